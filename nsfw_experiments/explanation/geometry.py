"""From a grid over the network's input to the picture's own pixels: the crop and the resize undone.

The network is given the centre of the picture, resized to 256x256. So of each side of the picture it sees a part in the
middle, whatever the picture's size. (Of what lies beside it, one pixel of those 256 blurs in.)
"""

from __future__ import annotations

import numpy as np

from nsfw_model.preprocess import RESIZED, centre

#: How many pixels are computed at once, in float64.
AT_ONCE = 1 << 18


def map_of_picture(cells: np.ndarray, size: tuple[int, int], input_size: tuple[int, int]) -> np.ndarray:
    """Lay a grid over a picture.

    Between the centres of cells values are interpolated, linearly, and a pixel has the mean over its area. So the mean
    over all that the network sees stays the same, to the last digits: see `coverage`.

    Parameters
    ----------
    cells : ndarray, shape (rows, columns)
        Equal parts of the network's input.
    size : (int, int)
        Width and height of the picture.
    input_size : (int, int)
        Those of the network's input, see `nsfw_model.scorer.Scorer.input_size`.

    Returns
    -------
    ndarray of float32, shape (height, width)
        NaN where the network does not see the picture.

    Examples
    --------
    >>> map_of_picture(np.array([[1.0, 3.0]]), (8, 1), (128, 256)).tolist()
    [[nan, nan, 1.0, 1.5, 2.5, 3.0, nan, nan]]
    """
    width, height = size
    rows, columns = centre(input_size)
    vertical = _averaging(cells.shape[0], height, _span(rows, height, RESIZED[1]))
    horizontal = _averaging(cells.shape[1], width, _span(columns, width, RESIZED[0]))
    laid = np.empty((height, width), np.float32)
    step = max(AT_ONCE // width, 1)
    with np.errstate(invalid="ignore"):
        for begin in range(0, height, step):
            laid[begin : begin + step] = vertical[begin : begin + step] @ cells @ horizontal.T
    return laid


def coverage(size: tuple[int, int], input_size: tuple[int, int]) -> np.ndarray:
    """Tell how much of each pixel of a picture the network sees.

    Parameters
    ----------
    size, input_size : (int, int)
        As for `map_of_picture`.

    Returns
    -------
    ndarray of float64, shape (height, width)
        In 0..1.

    Examples
    --------
    >>> coverage((4, 1), (160, 256)).tolist()
    [[0.25, 1.0, 1.0, 0.25]]
    """
    width, height = size
    rows, columns = centre(input_size)
    vertical = np.diff(_edges(height, _span(rows, height, RESIZED[1])))
    horizontal = np.diff(_edges(width, _span(columns, width, RESIZED[0])))
    return np.multiply.outer(vertical, horizontal)


def _span(crop: slice, pixels: int, resized: int) -> tuple[float, float]:
    """Where on a side of the picture the crop begins and ends, in pixels."""
    return crop.start * pixels / resized, crop.stop * pixels / resized


def _edges(pixels: int, span: tuple[float, float]) -> np.ndarray:
    return np.clip(np.arange(pixels + 1), *span)


def _averaging(cells: int, pixels: int, span: tuple[float, float]) -> np.ndarray:
    """The matrix of one side, shape (pixels, cells): a pixel's mean over its seen part; NaN where it has none."""
    edges = (_edges(pixels, span) - span[0]) * (cells / (span[1] - span[0]))
    # Before the first centre and behind the last, values stay as they are: as if one more cell were the same
    centres = np.arange(-1, cells + 1) + 0.5
    distances = np.clip(edges[:, np.newaxis] - centres, -1, 1)
    shares = np.diff(distances - distances * abs(distances) / 2, axis=0)  # areas of the triangle around each centre
    shares[:, 1] += shares[:, 0]
    shares[:, -2] += shares[:, -1]
    lengths = np.diff(edges)[:, np.newaxis]
    return np.divide(shares[:, 1:-1], lengths, where=lengths > 0, out=np.full((pixels, cells), np.nan))
