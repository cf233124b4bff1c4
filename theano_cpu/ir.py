"""The intermediate representation of `theano_cpu.fuse`: what a layer computes, in a few words.

A layer is lowered (`theano_cpu.lowering`) to a list of these descriptions, applied one after the other. They speak of
pictures of shape (n, channels, height, width), whatever layout they are computed in later.

Some share their names with operations and layers, so they are written as ``ir.Convolution``:

>>> from theano_cpu import ir
>>> [ir.Convolution(W=None, pad=(1, 1)), ir.ReLU()][1]
ReLU(slope=0.0)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Convolution:
    """A cross-correlation, plus a bias.

    Parameters
    ----------
    W : array or Theano expression, shape (filters, channels / groups, rows, columns)
    b : array or Theano expression, shape (filters,), optional
    stride, pad, dilation : (int, int), optional
        For rows and columns.
    groups : int, optional
    flip : bool, optional
        Whether the filters are flipped first, which makes it a convolution in the mathematical sense.

    Examples
    --------
    >>> Convolution(W=None, stride=(2, 2)).stride
    (2, 2)
    """

    W: Any
    b: Any = None
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    flip: bool = False


@dataclass(frozen=True)
class InnerProduct:
    """``x.flatten(2)`` times the transpose of `W`, plus a bias.

    Parameters
    ----------
    W : array or Theano expression, shape (units, inputs)
    b : array or Theano expression, shape (units,), optional

    Examples
    --------
    >>> InnerProduct(W=None).b is None
    True
    """

    W: Any
    b: Any = None


@dataclass(frozen=True)
class Affine:
    """``x * scale + shift`` for each channel (axis 1).

    Parameters
    ----------
    scale, shift : array or Theano expression, shape (channels,)
    deterministic_only : bool, optional
        Whether the layer does something else in training (batch normalisation).

    Examples
    --------
    >>> Affine(scale=2.0, shift=0.0)
    Affine(scale=2.0, shift=0.0, deterministic_only=False)
    """

    scale: Any
    shift: Any
    deterministic_only: bool = False


@dataclass(frozen=True)
class ReLU:
    """``max(x, slope * x)``.

    Parameters
    ----------
    slope : float, optional
        From 0 (the plain rectifier) to 1.

    Examples
    --------
    >>> ReLU(0.1)
    ReLU(slope=0.1)
    """

    slope: float = 0.0


@dataclass(frozen=True)
class Elementwise:
    """``function(*inputs)``, element by element, so in any layout.

    Parameters
    ----------
    function : callable
        Of as many Theano expressions as there are inputs.

    Examples
    --------
    >>> Elementwise(max).function(1, 2)
    2
    """

    function: Callable


@dataclass(frozen=True)
class Pool:
    """Pooling over rows and columns.

    Parameters
    ----------
    size, stride, pad : (int, int)
        For rows and columns; `pad` is optional.
    mode : {'max', 'average_inc_pad', 'average_exc_pad'}, optional
        'average_inc_pad' counts padding as zeros.
    ceil : bool, optional
        Whether sizes round up and windows are clipped at the border, as in Caffe; see
        `theano_cpu.shapes.pool_output_length`.

    Examples
    --------
    >>> Pool(size=(3, 3), stride=(2, 2), ceil=True)
    Pool(size=(3, 3), stride=(2, 2), pad=(0, 0), mode='max', ceil=True)
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int] = (0, 0)
    mode: str = "max"
    ceil: bool = False


@dataclass(frozen=True)
class GlobalPool:
    """The mean over rows and columns.

    Parameters
    ----------
    keepdims : bool, optional
        Whether the result has shape (n, channels, 1, 1) instead of (n, channels).

    Examples
    --------
    >>> GlobalPool()
    GlobalPool(keepdims=False)
    """

    keepdims: bool = False


@dataclass(frozen=True)
class Sum:
    """The sum of all inputs, each times its coefficient.

    Parameters
    ----------
    coeffs : tuple of float

    Examples
    --------
    >>> Sum((1, -1))
    Sum(coeffs=(1, -1))
    """

    coeffs: tuple[float, ...]


@dataclass(frozen=True)
class Concat:
    """All inputs one after the other along the channels (axis 1).

    Examples
    --------
    >>> Concat()
    Concat()
    """


@dataclass(frozen=True)
class Flatten:
    """(n, channels, height, width) to (n, channels * height * width).

    Examples
    --------
    >>> Flatten()
    Flatten()
    """


@dataclass(frozen=True)
class Softmax:
    """Softmax over the last axis of a matrix.

    Examples
    --------
    >>> Softmax()
    Softmax()
    """


@dataclass(frozen=True)
class Identity:
    """The input itself.

    Parameters
    ----------
    deterministic_only : bool, optional
        Whether the layer does something else in training (dropout).

    Examples
    --------
    >>> Identity(deterministic_only=True)
    Identity(deterministic_only=True)
    """

    deterministic_only: bool = False
