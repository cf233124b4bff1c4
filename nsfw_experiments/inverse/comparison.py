"""A picture beside what was made of it, and their difference amplified: what results show of themselves."""

from __future__ import annotations

import numpy as np
from PIL import Image

from nsfw_experiments.display import figures, png, reduced
from nsfw_experiments.image_metrics import psnr


def amplification(original: np.ndarray, changed: np.ndarray) -> float:
    """Give the factor by which the largest difference just fits into 8 bits around grey.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, 3)

    Returns
    -------
    float

    Examples
    --------
    >>> grey = np.full((1, 1, 3), 9, np.uint8)
    >>> amplification(grey, grey + np.array([0, 1, 2], np.uint8))
    63.5
    """
    return 127 / max(int(np.abs(changed.astype(int) - original).max()), 1)


def amplified_difference(original: np.ndarray, changed: np.ndarray, factor: float | None = None) -> np.ndarray:
    """Show a difference: grey where nothing changed, brighter and darker where values rose and fell.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, 3)
    factor : float, optional
        By which differences are multiplied; left out, so that the largest just fits.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Examples
    --------
    >>> grey = np.full((1, 1, 3), 9, np.uint8)
    >>> amplified_difference(grey, grey + np.array([0, 1, 2], np.uint8), 50).tolist()
    [[[128, 178, 228]]]
    """
    if factor is None:
        factor = amplification(original, changed)
    return np.clip(np.rint(128 + factor * (changed.astype(float) - original)), 0, 255).astype(np.uint8)


def comparison_png(original: np.ndarray, changed: np.ndarray) -> bytes:
    """Give original, result and difference side by side as a PNG.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, 3)

    Returns
    -------
    bytes

    Examples
    --------
    >>> grey = np.full((8, 8, 3), 9, np.uint8)
    >>> comparison_png(grey, grey)[1:4]
    b'PNG'
    """
    return png(*_pictures(original, changed))


def comparison_html(original: np.ndarray, changed: np.ndarray, scores: tuple[float, float], text: str = "") -> str:
    """Give original, result and difference side by side as HTML: with their scores, the PSNR, and what was amplified.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, 3)
    scores : (float, float)
        Of both.
    text : str
        To stand below.

    Returns
    -------
    str

    Examples
    --------
    >>> grey = np.full((8, 8, 3), 9, np.uint8)
    >>> "score 0.100000" in comparison_html(grey, grey, (0.1, 0.2))
    True
    """
    captions = (
        f"original, score {scores[0]:.6f}",
        f"changed, score {scores[1]:.6f}",
        f"difference ×{amplification(original, changed):.3g}, PSNR {psnr(original, changed):.2f} dB",
    )
    return figures(list(zip(_pictures(original, changed), captions)), text)


def _pictures(original: np.ndarray, changed: np.ndarray) -> list[Image.Image]:
    difference = Image.fromarray(amplified_difference(original, changed))
    # What averages neighbours would average the difference away
    before, after = (reduced(Image.fromarray(pixels)) for pixels in (original, changed))
    return [before, after, reduced(difference, Image.Resampling.NEAREST)]
