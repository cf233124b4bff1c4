"""How far apart two pictures are, in the usual measures."""

from __future__ import annotations

import numpy as np

PEAK = 255.0


def psnr(original: np.ndarray, changed: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, over all values; infinite for equal pictures.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, channels)

    Examples
    --------
    >>> round(psnr(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 3), np.uint8)), 2)
    48.13
    """
    from skimage.metrics import peak_signal_noise_ratio

    if np.array_equal(original, changed):
        return float("inf")
    return float(peak_signal_noise_ratio(original, changed, data_range=PEAK))


def norm_of_psnr(decibels: float, values: int) -> float:
    """Give the Euclidean norm, in grey levels, of a difference of `values` values that has this PSNR.

    Examples
    --------
    >>> round(norm_of_psnr(48.13, 8 * 8 * 3) ** 2)
    192
    """
    return float(PEAK * 10 ** (-decibels / 20) * np.sqrt(values))


def ssim(original: np.ndarray, changed: np.ndarray) -> float:
    """Structural similarity, a mean over windows of 7x7 pixels and channels; 1 for equal pictures.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, channels)
        At least 7 pixels high and wide.

    Notes
    -----
    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004, with scikit-image's default windows.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    >>> ssim(noise, noise)
    1.0
    """
    from skimage.metrics import structural_similarity

    return float(structural_similarity(original, changed, data_range=PEAK, channel_axis=-1))
