"""One colour scale for all maps: red raises the score, blue lowers it, grey does neither."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: The colours of the largest values, in 0..1. People who do not tell red from green tell these apart.
RAISES, LOWERS = np.array([0.84, 0.05, 0.10]), np.array([0.02, 0.35, 0.85])
#: How much of the largest values' pixels is colour, and how fast it rises: less than linearly, so that half is seen.
STRENGTH, EXPONENT = 0.8, 0.8
#: What of a colour's light a black pixel has, and how much more a white one: the picture is made out beneath it.
LEAST_LIGHT, LIGHT = 0.45, 0.75
#: What of its light the picture keeps where the network does not see it.
UNSEEN = 0.35
#: Of red, green and blue in grey: ITU-R BT.601.
GREY = np.array([0.299, 0.587, 0.114], np.float32)
#: How many pixels are coloured at once: each takes hundreds of bytes then.
AT_ONCE = 1 << 18


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
    >>> np.asarray(tinted(grey, np.array([[-1, 0, np.nan]]), 1.0))[0].tolist()
    [[29, 85, 169], [128, 128, 128], [45, 45, 45]]
    """
    pixels = np.asarray(picture)
    result = np.empty_like(pixels)
    rows = max(AT_ONCE // picture.width, 1)
    for begin in range(0, picture.height, rows):
        band = slice(begin, begin + rows)
        result[band] = _tinted(pixels[band], values[band], limit)
    return Image.fromarray(result)


def _tinted(pixels: np.ndarray, values: np.ndarray, limit: float) -> np.ndarray:
    grey = (pixels.astype(np.float32) @ GREY)[..., np.newaxis] / 255
    seen = np.isfinite(values)[..., np.newaxis]
    shares = np.clip(np.nan_to_num(values) / limit, -1, 1)[..., np.newaxis]
    colours = np.where(shares > 0, RAISES, LOWERS) * (LEAST_LIGHT + LIGHT * grey)
    strength = STRENGTH * np.abs(shares) ** EXPONENT
    mixed = np.where(seen, grey + strength * (colours - grey), UNSEEN * grey)
    coloured: np.ndarray = np.rint(255 * np.clip(mixed, 0, 1)).astype(np.uint8)
    return coloured
