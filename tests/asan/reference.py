"""What the native operations are to compute, window by window and in float64.

Pictures are (n, height, width, channels), weights (filters, channels / groups, rows, columns).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Geometry(NamedTuple):
    """The settings of a convolution; pairs are for rows and columns."""

    stride: tuple[int, int]
    pad: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def output_shape(self, x: tuple[int, ...], w: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the output, with sides of 0 or less where the kernel is larger than the input."""
        sides = zip(x[1:3], w[2:], self.stride, self.pad, self.dilation)
        return (x[0], *((a + 2 * p - (k - 1) * d - 1) // s + 1 for a, k, s, p, d in sides), w[0])


def _taps(padded: np.ndarray, w: tuple[int, ...], y: tuple[int, ...], geometry: Geometry) -> Iterator[tuple]:
    """For each weight's place and group: what it sees of the padded input, its filters, and where it stands."""
    filters, channels = w[0] // geometry.groups, w[1]
    for u, v in np.ndindex(*w[2:]):
        rows, columns = (
            slice(tap * d, tap * d + (count - 1) * s + 1, s)
            for tap, d, count, s in zip((u, v), geometry.dilation, y[1:3], geometry.stride)
        )
        for group in range(geometry.groups):
            seen = padded[:, rows, columns, group * channels : (group + 1) * channels]
            yield seen, slice(group * filters, (group + 1) * filters), (u, v)


def _padded(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    return np.pad(np.asarray(x, float), ((0, 0), *((p, p) for p in geometry.pad), (0, 0)))


def convolution(x: np.ndarray, w: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The cross-correlation of pictures and weights."""
    y = np.zeros(geometry.output_shape(x.shape, w.shape))
    for seen, filters, (u, v) in _taps(_padded(x, geometry), w.shape, y.shape, geometry):
        y[..., filters] += seen @ np.asarray(w[filters, :, u, v], float).T
    return y


def input_gradient(x: np.ndarray, w: np.ndarray, gy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Its gradient with respect to the pictures."""
    padded = np.zeros_like(_padded(x, geometry))
    for seen, filters, (u, v) in _taps(padded, w.shape, gy.shape, geometry):
        seen += np.asarray(gy[..., filters], float) @ w[filters, :, u, v]
    (top, left), (height, width) = geometry.pad, x.shape[1:3]
    return padded[:, top : top + height, left : left + width]


def weight_gradient(x: np.ndarray, w: np.ndarray, gy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Its gradient with respect to the weights."""
    gw = np.zeros(w.shape)
    for seen, filters, (u, v) in _taps(_padded(x, geometry), w.shape, gy.shape, geometry):
        gw[filters, :, u, v] = np.einsum("nijo,nijc->oc", np.asarray(gy[..., filters], float), seen, optimize=True)
    return gw


class Windows(NamedTuple):
    """The settings of a pooling."""

    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    ceil: bool

    def of(self, x: tuple[int, ...]) -> list[list[tuple[int, int, int]]]:
        """For rows and columns: first and last of each window within the picture, and its length with padding."""
        return [
            [
                (max(start, 0), min(start + size, length), min(start + size, length + pad) - start)
                for start in _starts(length, size, stride, pad, self.ceil)
            ]
            for length, size, stride, pad in zip(x[1:3], self.size, self.stride, self.pad)
        ]


def _starts(length: int, size: int, stride: int, pad: int, ceil: bool) -> range:
    """Where windows begin, as Caffe's pooling_layer.cpp lays them out."""
    room = length + 2 * pad - size
    count = max(-(-room // stride) if ceil else room // stride, 0 if ceil else -1) + 1
    if ceil and count > 1 and (count - 1) * stride >= length + pad:
        count -= 1
    return range(-pad, count * stride - pad, stride)


def pool(x: np.ndarray, windows: Windows, mode: int) -> np.ndarray:
    """Maximum (mode 0), average over cells and padding (1) or over cells alone (2)."""
    rows, columns = windows.of(x.shape)
    y = np.zeros((len(x), len(rows), len(columns), x.shape[3]))
    for i, (top, bottom, height) in enumerate(rows):
        for j, (left, right, width) in enumerate(columns):
            seen = np.asarray(x[:, top:bottom, left:right], float)
            cells = (height * width, (bottom - top) * (right - left))
            y[:, i, j] = seen.max(axis=(1, 2)) if mode == 0 else seen.sum(axis=(1, 2)) / cells[mode - 1]
    return y


def pool_gradient(x: np.ndarray, gy: np.ndarray, windows: Windows, mode: int) -> np.ndarray:
    """Its gradient; of equal maxima the first receives it."""
    rows, columns = windows.of(x.shape)
    gx = np.zeros(x.shape)
    for i, (top, bottom, height) in enumerate(rows):
        for j, (left, right, width) in enumerate(columns):
            share = np.asarray(gy[:, i, j], float)[:, None, None]
            if mode == 0:
                seen = x[:, top:bottom, left:right]
                flat = seen.reshape(len(x), (bottom - top) * (right - left), x.shape[3])
                first = np.arange(flat.shape[1])[:, None] == flat.argmax(axis=1)[:, None]
                gx[:, top:bottom, left:right] += first.reshape(seen.shape) * share
            else:
                cells = (height * width, (bottom - top) * (right - left))
                gx[:, top:bottom, left:right] += share / cells[mode - 1]
    return gx


def softmax(x: np.ndarray) -> np.ndarray:
    """exp(x) / sum(exp(x)) of each row."""
    exponentials = np.exp(np.asarray(x, float))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """The upper halves of float32's bits; whole numbers up to 256 lose nothing."""
    return (np.asarray(x, "float32").view("uint32") >> 16).astype("uint16")


def from_bfloat16(x: np.ndarray) -> np.ndarray:
    """float32 of which the lower halves are zeros."""
    return (np.asarray(x, "uint32") << 16).view("float32")
