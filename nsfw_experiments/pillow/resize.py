"""Pillow's BILINEAR resize as a linear operator, value for value, with its adjoint.

``Image.resize(size, Image.BILINEAR)`` is a sparse matrix per axis: a triangle filter, stretched by the scale
when a picture shrinks, in 22-bit fixed point, rounded and clipped to a byte after each axis [1]_. The width comes
first; from Pillow 13 on the height does when it loses more than twice as many pixels as the width. Without those two
roundings the operator is linear, and the gradient of anything computed from the resized picture reaches the original's
pixels through the transposed matrices.

References
----------
.. [1] Pillow, src/libImaging/Resample.c, https://github.com/python-pillow/Pillow
"""

from __future__ import annotations

import numpy as np
import PIL
from scipy import sparse

PRECISION_BITS = 22
CHOOSES_THE_ORDER = int(PIL.__version__.split(".")[0]) >= 13


def filter_matrix(source: int, target: int) -> sparse.csr_array:
    """Make the matrix of one axis: target samples from source samples, times 2**22.

    Parameters
    ----------
    source, target : int
        Numbers of samples.

    Returns
    -------
    scipy.sparse.csr_array of int32, shape (target, source)

    Notes
    -----
    Pillow's Resample.c, ``precompute_coeffs`` and ``normalize_coeffs_8bpc``.

    Examples
    --------
    >>> (filter_matrix(4, 2).toarray() / 2**22).round(3).tolist()
    [[0.429, 0.429, 0.143, 0.0], [0.0, 0.143, 0.429, 0.429]]
    """
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    # Truncation towards zero, as C does it, then clipping to the picture.
    first = np.maximum((centres - support + 0.5).astype(int), 0)
    last = np.minimum((centres + support + 0.5).astype(int), source)
    taps = np.arange(max(last - first))
    columns = first[:, None] + taps
    weights = np.maximum(1 - np.abs((columns - centres[:, None] + 0.5) / support), 0)
    weights[columns >= last[:, None]] = 0
    weights /= weights.sum(1, keepdims=True)
    fixed = np.floor(weights * 2**PRECISION_BITS + 0.5).astype(np.int32)
    rows = np.broadcast_to(np.arange(target)[:, None], fixed.shape)
    used = fixed != 0
    return sparse.csr_array((fixed[used], (rows[used], columns[used])), (target, source))


class BilinearResize:
    """Pillow's ``resize`` with ``BILINEAR`` from one size to another.

    Parameters
    ----------
    source, target : (int, int)
        Heights and widths, as NumPy has them (Pillow's ``size`` is the other way round).

    Raises
    ------
    ValueError
        When a size is not positive.

    Examples
    --------
    >>> from PIL import Image
    >>> noise = np.random.default_rng(0).integers(0, 256, (30, 45, 3), dtype=np.uint8)
    >>> pillows = Image.fromarray(noise).resize((20, 70), Image.BILINEAR)
    >>> bool((BilinearResize((30, 45), (70, 20))(noise) == np.asarray(pillows)).all())
    True
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...]):
        if min(*source, *target) < 1:
            raise ValueError(f"resize: got {source} and {target}, expected sizes of at least 1")
        (height, width), (new_height, new_width) = source, target
        self.source, self.target = (height, width), (new_height, new_width)
        self.height_first = CHOOSES_THE_ORDER and height > new_height and height - new_height > 2 * (width - new_width)
        # Pillow leaves an axis that keeps its size alone: its filter is the identity.
        self._fixed = [filter_matrix(s, t) for s, t in zip(self.source, self.target)]
        self._float = [matrix.astype(np.float64) / 2**PRECISION_BITS for matrix in self._fixed]
        self._single = [matrix.astype(np.float32) for matrix in self._float]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Give the resized picture, as Pillow gives it.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, channels)

        Returns
        -------
        ndarray of uint8, shape (target height, target width, channels)

        Raises
        ------
        ValueError
            If `pixels` is no such array.
        """
        self._check(pixels, self.source)
        if pixels.dtype != np.uint8:
            raise ValueError(f"pixels: got {pixels.dtype}, expected uint8")
        vertical, horizontal = self._fixed
        values = pixels.astype(np.int32)
        if self.height_first:
            values = _rounded(_along_width(horizontal, _rounded(_along_height(vertical, values))))
        else:
            values = _rounded(_along_height(vertical, _rounded(_along_width(horizontal, values))))
        return values.astype(np.uint8)

    def linear(self, values: np.ndarray) -> np.ndarray:
        """Apply the operator without its roundings.

        Parameters
        ----------
        values : ndarray of float, shape (height, width, channels)

        Returns
        -------
        ndarray, shape (target height, target width, channels)
            Of float64 if `values` are, else of float32.
        """
        self._check(values, self.source)
        vertical, horizontal = self._matrices(values)
        return _along_height(vertical, _along_width(horizontal, values))

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Give the gradient with respect to the source, from one with respect to the resized picture.

        ``(linear(x) * y).sum() == (x * adjoint(y)).sum()`` for all x and y.

        Parameters
        ----------
        gradient : ndarray of float, shape (target height, target width, channels)

        Returns
        -------
        ndarray, shape (height, width, channels)
            Of float64 if `gradient` is, else of float32.
        """
        self._check(gradient, self.target)
        vertical, horizontal = self._matrices(gradient)
        return _along_width(horizontal.T, _along_height(vertical.T, gradient))

    def _matrices(self, values: np.ndarray) -> list[sparse.csr_array]:
        return self._float if values.dtype == np.float64 else self._single

    @staticmethod
    def _check(values: np.ndarray, size: tuple[int, int]) -> None:
        if values.ndim != 3 or values.shape[:2] != size:
            raise ValueError(f"resize: got an array of shape {values.shape}, expected {size} and channels")


def _along_height(matrix: sparse.csr_array, values: np.ndarray) -> np.ndarray:
    height, width, channels = values.shape
    return (matrix @ values.reshape(height, width * channels)).reshape(-1, width, channels)


def _along_width(matrix: sparse.csr_array, values: np.ndarray) -> np.ndarray:
    return _along_height(matrix, values.transpose(1, 0, 2)).transpose(1, 0, 2)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Fixed point back to bytes: rounded, clipped."""
    return np.clip((values + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS, 0, 255)
