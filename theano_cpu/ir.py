"""The intermediate representation of `theano_cpu.fuse`: what a layer computes, in a few words.

A layer is lowered (`theano_cpu.lowering`) to a list of these, applied one after the other. They speak of NCHW
tensors, whatever layout they are computed in later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation with `W` (O, I/groups, kh, kw), plus `b` (O,); `flip` makes it a true convolution."""

    W: Any
    b: Any = None
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    flip: bool = False


@dataclass(frozen=True)
class InnerProduct:
    """``x.flatten(2)`` times the transpose of `W` (O, K), plus `b` (O,)."""

    W: Any
    b: Any = None


@dataclass(frozen=True)
class Affine:
    """``x * scale + shift`` for each channel (axis 1); `scale` and `shift` have shape (C,).

    `deterministic_only` says that the layer does something else in training (batch normalisation).
    """

    scale: Any
    shift: Any
    deterministic_only: bool = False


@dataclass(frozen=True)
class ReLU:
    """``max(x, slope * x)`` for a slope of 0 (the plain rectifier) to 1."""

    slope: float = 0.0


@dataclass(frozen=True)
class Elementwise:
    """``function(*inputs)``, element by element, so in any layout."""

    function: Callable


@dataclass(frozen=True)
class Pool:
    """Pooling over H and W. With `ceil`, sizes round up and windows are clipped at the border, as in Caffe.
    The modes are 'max', 'average_inc_pad' (which counts padding as zeros) and 'average_exc_pad'.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int] = (0, 0)
    mode: str = "max"
    ceil: bool = False


@dataclass(frozen=True)
class GlobalPool:
    """The mean over H and W: (N, C), or (N, C, 1, 1) with `keepdims`."""

    keepdims: bool = False


@dataclass(frozen=True)
class Sum:
    """The sum of all inputs, each times its coefficient."""

    coeffs: tuple[float, ...]


@dataclass(frozen=True)
class Concat:
    """All inputs one after the other along the channels (axis 1)."""


@dataclass(frozen=True)
class Flatten:
    """(N, C, H, W) to (N, C*H*W)."""


@dataclass(frozen=True)
class Softmax:
    """Softmax over the last axis of a matrix."""


@dataclass(frozen=True)
class Identity:
    """The input itself. `deterministic_only`: the layer does something else in training (dropout)."""

    deterministic_only: bool = False
