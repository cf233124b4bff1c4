"""One colour scale for all maps: red raises the score, blue lowers it, grey does neither."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: What the largest values are coloured, in 0..1: the ends of ColorBrewer's RdBu, of equal lightness to all eyes.
RAISES, LOWERS = np.array([0.84, 0.05, 0.10]), np.array([0.02, 0.35, 0.85])
#: How much of the picture's light is left under the strongest colour, and what is unseen has of it.
STRENGTH, UNSEEN = 0.8, 0.35
#: How much of a pixel's grey level the picture keeps beside its colour, so that it is made out in both.
WEIGHTS = np.array([0.299, 0.587, 0.114])


def tinted(picture: Image.Image, values: np.ndarray, limit: float) -> Image.Image:
    """Colour a picture by a map: the stronger, the larger the value; grey where it is 0, dark where it is NaN.

    Parameters
    ----------
    picture : PIL.Image.Image
        Of mode RGB.
    values : ndarray of float32, shape (height, width)
        Of the picture's size.
    limit : float
        The value that has the full colour, above 0; larger ones have it too.

    Returns
    -------
    PIL.Image.Image

    Examples
    --------
    >>> grey = Image.new("RGB", (3, 1), (128, 128, 128))
    >>> list(tinted(grey, np.array([[-1, 0, np.nan]]), 1.0).getdata())[1:]
    [(128, 128, 128), (45, 45, 45)]
    """
    grey = (np.asarray(picture, np.float32) @ WEIGHTS.astype(np.float32))[..., np.newaxis] / 255
    seen = np.isfinite(values)[..., np.newaxis]
    shares = np.clip(np.nan_to_num(values) / limit, -1, 1)[..., np.newaxis]
    colours = np.where(shares > 0, RAISES, LOWERS) * (0.45 + 0.75 * grey)
    strength = STRENGTH * np.abs(shares) ** 0.8
    mixed = np.where(seen, grey + strength * (colours - grey), UNSEEN * grey)
    return Image.fromarray(np.rint(255 * np.clip(mixed, 0, 1)).astype(np.uint8))
