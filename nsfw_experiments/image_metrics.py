"""How far apart two pictures are, in the usual measures."""

from __future__ import annotations

import numpy as np

PEAK = 255.0


def psnr(original: np.ndarray, changed: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, over all values; infinite for equal pictures.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, channels)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ.

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
    """Give the Euclidean norm of a difference that has this PSNR.

    Parameters
    ----------
    decibels : float
        The PSNR.
    values : int
        How many values the difference has.

    Returns
    -------
    float
        In grey levels.

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

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ, or a side is shorter than 7 pixels.

    Notes
    -----
    SSIM [1]_ with scikit-image's default windows.

    References
    ----------
    .. [1] Zhou Wang, Alan C. Bovik, Hamid R. Sheikh, Eero P. Simoncelli, "Image quality assessment: from error
       visibility to structural similarity", IEEE Transactions on Image Processing 13 (4), 2004.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    >>> ssim(noise, noise)
    1.0
    """
    from skimage.metrics import structural_similarity

    return float(structural_similarity(original, changed, data_range=PEAK, channel_axis=-1))
