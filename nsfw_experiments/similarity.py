"""How far apart two pictures are, in the usual measures."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

PEAK = 255.0


def psnr(original: np.ndarray, changed: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, over all values; infinite for equal pictures.

    Examples
    --------
    >>> round(psnr(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 3), np.uint8)), 2)
    48.13
    """
    error = np.mean((original.astype(np.float64) - changed) ** 2)
    return float(10 * np.log10(PEAK ** 2 / error)) if error else float("inf")


def norm_of_psnr(decibels: float, values: int) -> float:
    """Give the Euclidean norm, in grey levels, of a difference of `values` values that has this PSNR.

    Examples
    --------
    >>> round(norm_of_psnr(48.13, 8 * 8 * 3) ** 2)
    192
    """
    return float(PEAK * 10 ** (-decibels / 20) * np.sqrt(values))


def ssim(original: np.ndarray, changed: np.ndarray) -> float:
    """Give the structural similarity, a mean over windows of 7x7 pixels and channels; 1 for equal pictures.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, channels)
        At least 7 pixels high and wide.

    Notes
    -----
    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004, with uniform windows and unbiased covariances, which is scikit-image's default.
    """
    side = 7
    window = (side, side, 1)
    unbiased = side ** 2 / (side ** 2 - 1)
    x, y = original.astype(np.float64), changed.astype(np.float64)
    mean_x, mean_y = uniform_filter(x, window), uniform_filter(y, window)
    variance_x = unbiased * (uniform_filter(x * x, window) - mean_x ** 2)
    variance_y = unbiased * (uniform_filter(y * y, window) - mean_y ** 2)
    covariance = unbiased * (uniform_filter(x * y, window) - mean_x * mean_y)
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                  / ((mean_x ** 2 + mean_y ** 2 + c1) * (variance_x + variance_y + c2)))
    border = side // 2
    return float(similarity[border:-border, border:-border].mean())
