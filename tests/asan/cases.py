"""Valid calls of each native operation, drawn at random, and what they are to give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import reference
from arrays import odd
from reference import Geometry, Windows

from theano_cpu.onednn.operation import WIDTHS
from theano_cpu.onednn.runtime import has_bfloat16, native_module, set_num_threads

CHANNELS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33)
FILTERS = (*CHANNELS, 32, 64, 64, 96)
THREADS = (1, 2, 3, 5, 16)

Shape = tuple[int, int, int, int]
Call = tuple[list[Any], list[np.ndarray]]


@dataclass
class Case:
    """One operation with its settings, and calls of it: inputs, and the outputs that are expected."""

    operation: str
    settings: dict[str, Any]
    calls: list[Call]
    in_place: int = -1

    def __str__(self) -> str:
        described = [
            [f"{x.dtype.str}{x.shape} strides {x.strides}" for x in inputs if isinstance(x, np.ndarray)]
            for inputs, _ in self.calls
        ]
        return f"{self.operation} {self.settings} in_place={self.in_place} {described}"


class Thunk:
    """A native operation with its cells."""

    def __init__(self, case: Case, in_widths: Sequence[int] | None = None, out_widths: Sequence[int] | None = None):
        inputs, expected = case.calls[0]
        self.inputs: list[Any] = [[None] for _ in inputs]
        self.outputs: list[Any] = [[None] for _ in expected]
        in_widths = [WIDTHS[x.dtype.name] for x in inputs] if in_widths is None else in_widths
        out_widths = [WIDTHS[y.dtype.name] for y in expected] if out_widths is None else out_widths
        self.made = native_module().make_thunk(
            case.operation,
            case.operation,
            case.settings,
            self.inputs,
            self.outputs,
            tuple(in_widths),
            tuple(out_widths),
            case.in_place,
        )

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        for cell, value in zip(self.inputs, inputs):
            cell[0] = value
        native_module().run_thunk(self.made)
        return [cell[0] for cell in self.outputs]


def check(case: Case, rng: np.random.Generator) -> None:
    """Compute all calls of a case with one thunk, and compare."""
    set_num_threads(int(rng.choice(THREADS)))
    thunk = Thunk(case)
    for inputs, expected in case.calls:
        if rng.integers(2):  # outputs of a call before: memory that is of the right size to the byte
            for cell, value in zip(thunk.outputs, expected):
                cell[0] = np.full(value.shape, 7, value.dtype)
        before = [value.copy() for value in inputs]
        got = thunk(inputs)
        for value, right in zip(got, expected, strict=True):
            assert value.dtype == right.dtype
            np.testing.assert_allclose(_numbers(value), _numbers(right), rtol=1e-5, atol=1e-5)
        for i, (value, same) in enumerate(zip(inputs, before)):
            if i != case.in_place:
                np.testing.assert_array_equal(value, same, "an input was changed")


def _numbers(value: np.ndarray) -> np.ndarray:
    """Those that bfloat16 stands for: of zero it has two."""
    return reference.from_bfloat16(value) if value.dtype == np.uint16 else value


def _float32(*values: Any) -> list[np.ndarray]:
    return [np.asarray(value, "float32") for value in values]


def _one(operation: str, settings: dict[str, Any], inputs: list[Any], *expected: Any, in_place: int = -1) -> Case:
    return Case(operation, settings, [(inputs, _float32(*expected))], in_place)


def _pair(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    a, b = rng.integers(low, high + 1, 2)
    return int(a), int(b)


def _flag(rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))


def _batch(rng: np.random.Generator) -> int:
    return int(rng.choice((0, 1, 1, 1, 2, 3, 5)))


def _picture(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Mostly tiny, sometimes large enough for several threads."""
    if rng.integers(12) == 0:
        return int(rng.integers(1, 4)), *_pair(rng, 30, 50), int(rng.choice((15, 16, 17, 33)))
    return _batch(rng), *_pair(rng, 1, 13), int(rng.choice(CHANNELS))


# ---- convolutions ----------------------------------------------------------------------------------------------------


def _geometry(rng: np.random.Generator, groups: int) -> Geometry:
    usual = rng.integers(3)  # strides and dilations at once are rare, and so are both without padding
    stride = (1, 1) if usual == 0 else _pair(rng, 1, 5)
    dilation = (1, 1) if usual == 1 else _pair(rng, 1, 3)
    return Geometry(stride, _pair(rng, 0, 4), dilation, groups)


def _convolution_shapes(rng: np.random.Generator) -> tuple[Geometry, Shape, list[Shape]]:
    """A geometry, the weights' shape, and shapes of pictures that they fit."""
    while True:
        groups = int(rng.choice((1, 1, 1, 2, 3, 8)))
        few = (1, 2, 3, 8)
        channels, filters = (int(rng.choice(few if groups > 1 else usual)) for usual in (CHANNELS, FILTERS))
        geometry = _geometry(rng, groups)
        w = (filters * groups, channels, *_pair(rng, 1, 7))
        count = 10 if rng.integers(50) == 0 else int(rng.integers(1, 4))  # more than are kept at once
        largest = 40 if rng.integers(20) == 0 else 13
        pictures = [(_batch(rng), *_pair(rng, 1, largest), channels * groups) for _ in range(count)]
        if all(min(geometry.output_shape(x, w)[1:3]) > 0 for x in pictures):
            return geometry, w, pictures


def convolution(rng: np.random.Generator) -> Case:
    """With or without bias, residual, rectifier; of bfloat16 where the processor has it."""
    geometry, shape, pictures = _convolution_shapes(rng)
    bias, residual, relu, frozen = (_flag(rng) for _ in range(4))
    narrow = has_bfloat16() and rng.integers(4) == 0
    slope = float(rng.choice((0, 0.25))) if relu else 0.0
    settings = {**geometry._asdict(), "bias": bias, "residual": residual, "relu": relu, "negative_slope": slope}
    settings.update(bfloat16=narrow, frozen_weights=frozen)
    w, b = odd(rng, shape), odd(rng, shape[:1])
    calls = []
    for x_shape in pictures:
        x, r = odd(rng, x_shape), odd(rng, geometry.output_shape(x_shape, shape))
        if not frozen:
            w = odd(rng, shape)
        y = reference.convolution(x, w, geometry) + bias * b.astype(float) + residual * r.astype(float)
        y = np.where(y > 0, y, slope * y) if relu else y
        if narrow:
            x, r = (reference.to_bfloat16(value) for value in (x, r))
        y = _rounded(y) if narrow else np.asarray(y, "float32")
        calls.append(([x, w] + [b] * bias + [r] * residual, [y]))
    return Case("convolution", settings, calls, 2 + bias if residual and _flag(rng) else -1)


def _rounded(y: np.ndarray) -> np.ndarray:
    """To the nearest bfloat16, ties to even."""
    bits = np.asarray(y, "float32").view("uint32")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("uint16")


def input_gradient(rng: np.random.Generator) -> Case:
    """By all strategies: flipped, sub-pixel, oneDNN's own."""
    geometry, shape, pictures = _convolution_shapes(rng)
    frozen, narrow_x = _flag(rng), _flag(rng)
    narrow = has_bfloat16() and rng.integers(4) == 0
    w = odd(rng, shape)
    calls = []
    for x_shape in pictures:
        x, gy = odd(rng, x_shape), odd(rng, geometry.output_shape(x_shape, shape))
        if not frozen:
            w = odd(rng, shape)
        expected = _float32(reference.input_gradient(x, w, gy, geometry))
        calls.append(([reference.to_bfloat16(x) if narrow_x else x, w, gy], expected))
    settings = {**geometry._asdict(), "frozen_weights": frozen, "bfloat16": narrow, "narrow_x": narrow_x}
    return Case("input_gradient", settings, calls)


def weight_gradient(rng: np.random.Generator) -> Case:
    """With or without the bias's."""
    geometry, shape, pictures = _convolution_shapes(rng)
    bias = _flag(rng)
    calls = []
    for x_shape in pictures:
        x, w, gy = odd(rng, x_shape), odd(rng, shape), odd(rng, geometry.output_shape(x_shape, shape))
        sums = [gy.astype(float).sum(axis=(0, 1, 2))] * bias
        calls.append(([x, w, gy], _float32(reference.weight_gradient(x, w, gy, geometry), *sums)))
    return Case("weight_gradient", {**geometry._asdict(), "bias": bias}, calls)


# ---- pooling ---------------------------------------------------------------------------------------------------------


def _pooling(rng: np.random.Generator) -> tuple[tuple[int, ...], Windows, int, dict[str, Any]]:
    while True:
        size = _pair(rng, 1, 6)
        pad = int(rng.integers(size[0])), int(rng.integers(size[1]))
        windows = Windows(size, _pair(rng, 1, 7), pad, _flag(rng))
        mode, shape = int(rng.integers(3)), _picture(rng)
        rows, columns = windows.of(shape)
        if rows and columns:
            return shape, windows, mode, {**windows._asdict(), "mode": mode}


def pool(rng: np.random.Generator) -> Case:
    """Windows with padding, larger than the picture, and further apart than they are large."""
    shape, windows, mode, settings = _pooling(rng)
    x = odd(rng, shape)
    if mode == 0 and _flag(rng):
        x = reference.to_bfloat16(x)
        expected = reference.to_bfloat16(
            np.asarray(reference.pool(reference.from_bfloat16(x), windows, mode), "float32")
        )
        return Case("pool", {**settings, "bfloat16": True}, [([x], [expected])])
    return _one("pool", {**settings, "bfloat16": False}, [x], reference.pool(x, windows, mode))


def pool_gradient(rng: np.random.Generator) -> Case:
    """Of pictures full of equal maxima."""
    shape, windows, mode, settings = _pooling(rng)
    x = odd(rng, shape)
    y = np.asarray(reference.pool(x, windows, mode), "float32")
    gy = odd(rng, y.shape)
    return _one("pool_gradient", settings, [x, y, gy], reference.pool_gradient(x, gy, windows, mode))


def subsample(rng: np.random.Generator) -> Case:
    """Of float32 and of bfloat16."""
    dtype, step = ("float32", "uint16")[rng.integers(2)], _pair(rng, 1, 5)
    x = odd(rng, _picture(rng), dtype)
    expected = np.asarray(x[:, :: step[0], :: step[1]], dtype)
    return Case("subsample", {"step": step, "bfloat16": dtype == "uint16"}, [([x], [expected])])


def subsample_gradient(rng: np.random.Generator) -> Case:
    """Zeros wherever nothing was taken."""
    step, x = _pair(rng, 1, 5), odd(rng, _picture(rng))
    expected = np.zeros(x.shape)
    gy = odd(rng, expected[:, :: step[0], :: step[1]].shape)
    expected[:, :: step[0], :: step[1]] = gy
    narrow_x = _flag(rng)
    x = reference.to_bfloat16(x) if narrow_x else x
    return _one("subsample_gradient", {"step": step, "narrow_x": narrow_x}, [x, gy], expected)


def global_pool(rng: np.random.Generator) -> Case:
    """The mean of a picture of float32 or bfloat16."""
    x, narrow = odd(rng, _picture(rng)), _flag(rng)
    x = reference.to_bfloat16(x) if narrow else x
    return _one("global_pool", {"bfloat16": narrow}, [x], _numbers(x).astype(float).mean(axis=(1, 2)))


def global_pool_gradient(rng: np.random.Generator) -> Case:
    """The same for each pixel."""
    x = odd(rng, _picture(rng))
    gy = odd(rng, (x.shape[0], x.shape[3]))
    pixels, narrow_x = x.shape[1] * x.shape[2], _flag(rng)
    expected = np.broadcast_to(gy[:, None, None] / pixels, x.shape)
    x = reference.to_bfloat16(x) if narrow_x else x
    return _one("global_pool_gradient", {"narrow_x": narrow_x}, [x, gy], expected)


# ---- value by value --------------------------------------------------------------------------------------------------


def relu_gradient(rng: np.random.Generator) -> Case:
    """Of one gradient, or of the sum of two; in place or not; the ReLU's output bfloat16 or not."""
    shape, slope = _picture(rng), float(rng.choice((0, 0.25)))
    *gradients, y = (odd(rng, shape) for _ in range(rng.integers(2, 4)))
    expected = sum(g.astype(float) for g in gradients) * np.where(y > 0, 1, slope)
    in_place, narrow = int(rng.integers(-1, 1)), _flag(rng)
    y = reference.to_bfloat16(y) if narrow else y
    settings = {"negative_slope": slope, "bfloat16": narrow}
    return _one("relu_gradient", settings, [*gradients, y], expected, in_place=in_place)


def sum_of_terms(rng: np.random.Generator) -> Case:
    """Two to five terms, in place or not."""
    shape = _picture(rng)
    terms = [odd(rng, shape) for _ in range(rng.integers(2, 6))]
    return _one("sum", {}, terms, sum(term.astype(float) for term in terms), in_place=int(rng.integers(-1, 1)))


def layout(rng: np.random.Generator) -> Case:
    """Channels to the end, as bfloat16 or not, and back."""
    last, x = _flag(rng), odd(rng, _picture(rng))
    expected = x.transpose((0, 2, 3, 1) if last else (0, 3, 1, 2))
    if last and _flag(rng):
        return Case("layout", {"channels_last": True, "bfloat16": True}, [([x], [reference.to_bfloat16(expected)])])
    return _one("layout", {"channels_last": last, "bfloat16": False}, [x], expected)


def bfloat16(rng: np.random.Generator) -> Case:
    """Narrower, or back."""
    shape, narrow = _picture(rng), _flag(rng)
    x = odd(rng, shape, "float32" if narrow else "uint16")
    expected = reference.to_bfloat16(x) if narrow else reference.from_bfloat16(x)
    return Case("bfloat16", {"narrow": narrow}, [([x], [expected])])


# ---- matrices --------------------------------------------------------------------------------------------------------


def _length(rng: np.random.Generator) -> int:
    return int(rng.choice((0, 1, 1, 2, 3, 7, 16, 17, 31, 65)))


def gemm(rng: np.random.Generator) -> Case:
    """Either factor transposed, with or without a bias."""
    (rows, inner, columns), (a_turned, b_turned) = (_length(rng) for _ in range(3)), (_flag(rng), _flag(rng))
    a = odd(rng, (inner, rows) if a_turned else (rows, inner))
    b = odd(rng, (columns, inner) if b_turned else (inner, columns))
    bias = [odd(rng, (columns,))] * _flag(rng)
    product = (a.T if a_turned else a).astype(float) @ (b.T if b_turned else b).astype(float)
    expected = product + sum(bias) if bias else product
    return _one("gemm", {"transpose_a": a_turned, "transpose_b": b_turned}, [a, b, *bias], expected)


def sum_rows(rng: np.random.Generator) -> Case:
    """The sum over all rows."""
    x = odd(rng, (_length(rng), _length(rng)))
    return _one("sum_rows", {}, [x], x.astype(float).sum(axis=0))


def _scores(rng: np.random.Generator) -> tuple[int, int]:
    return (_length(rng), _length(rng)) if rng.integers(8) else (300, 17)


def softmax(rng: np.random.Generator) -> Case:
    """Of each row."""
    x = odd(rng, _scores(rng))
    return _one("softmax", {}, [x], reference.softmax(x))


def softmax_gradient(rng: np.random.Generator) -> Case:
    """Of each row."""
    y, g = (odd(rng, shape) for shape in [_scores(rng)] * 2)
    wide_y, wide_g = y.astype(float), g.astype(float)
    expected = wide_y * (wide_g - (wide_g * wide_y).sum(axis=1, keepdims=True))
    return _one("softmax_gradient", {}, [y, g], expected)


#: Operations by the names that the native module knows: how they are drawn, and their share of the cases.
OPERATIONS: dict[str, tuple[Callable[[np.random.Generator], Case], int]] = {
    "convolution": (convolution, 6),
    "input_gradient": (input_gradient, 6),
    "weight_gradient": (weight_gradient, 6),
    "pool": (pool, 3),
    "pool_gradient": (pool_gradient, 3),
    "subsample": (subsample, 1),
    "subsample_gradient": (subsample_gradient, 1),
    "global_pool": (global_pool, 1),
    "global_pool_gradient": (global_pool_gradient, 1),
    "relu_gradient": (relu_gradient, 2),
    "sum": (sum_of_terms, 2),
    "layout": (layout, 2),
    "bfloat16": (bfloat16, 1),
    "gemm": (gemm, 2),
    "sum_rows": (sum_rows, 1),
    "softmax": (softmax, 1),
    "softmax_gradient": (softmax_gradient, 1),
}
