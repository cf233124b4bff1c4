"""A picture beside what was made of it, and their difference amplified: what results show of themselves."""

from __future__ import annotations

import numpy as np
from PIL import Image

from nsfw_experiments.display import reduced
from nsfw_experiments.image_metrics import psnr
from nsfw_model.checks import check_finite


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
    difference = np.abs(changed.astype(float) - original)
    check_finite("difference", difference)
    return 127 / max(int(difference.max()), 1)


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
    shown = 128 + factor * (changed.astype(float) - original)
    check_finite("difference", shown)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def comparison(original: np.ndarray, changed: np.ndarray, scores: tuple[float, float]) -> list[tuple[Image.Image, str]]:
    """Give original, result and difference, with captions: their scores, the PSNR, and how it was amplified.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, 3)
    scores : (float, float)
        Of both.

    Returns
    -------
    list of (PIL.Image.Image, str)
        As `nsfw_experiments.display.png` and `figures` take them.

    Examples
    --------
    >>> grey = np.full((8, 8, 3), 9, np.uint8)
    >>> [caption for _, caption in comparison(grey, grey + np.uint8(1), (0.1, 0.2))]
    ['original, score 0.100000', 'changed, score 0.200000', 'difference ×127, PSNR 48.13 dB']
    """
    before, after = (reduced(Image.fromarray(pixels)) for pixels in (original, changed))
    # What averages neighbours would average the difference away
    difference = reduced(Image.fromarray(amplified_difference(original, changed)), Image.Resampling.NEAREST)
    factor, decibels = amplification(original, changed), psnr(original, changed)
    return [
        (before, f"original, score {scores[0]:.6f}"),
        (after, f"changed, score {scores[1]:.6f}"),
        (difference, f"difference ×{factor:.3g}, PSNR {decibels:.2f} dB"),
    ]
