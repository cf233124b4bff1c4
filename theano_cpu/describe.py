"""What a Lasagne layer computes, in a few words that `theano_cpu.fuse` understands.

`describe` turns a layer into a list of small descriptions, to be applied one after the other: a Lasagne
convolution with its default nonlinearity is ``[Convolution(...), ReLU(0)]``. A layer that nobody described is
``None``: it is left as it is. Descriptions speak of NCHW tensors, whatever layout they are computed in later.

Other packages describe their own layers with `describes`.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import theano_cpu  # noqa: F401  (Theano's repairs come before Theano)

import lasagne
import numpy as np
import theano
import theano.tensor as T
from lasagne import nonlinearities


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


def parameter(value):
    """The parameter itself, for a description that follows its later changes and lets gradients reach it."""
    return value


def current_value(value):
    """A parameter's value now, as a float64 array (or None for None)."""
    if value is None:
        return None
    if isinstance(value, theano.compile.SharedVariable):
        value = value.get_value()
    elif isinstance(value, theano.gof.Variable):
        value = value.eval()
    return np.asarray(value, dtype="float64")


@functools.singledispatch
def describe(layer, value=parameter):
    """Say what a layer computes.

    Parameters
    ----------
    layer : lasagne.layers.Layer
    value : callable
        Applied to each of the layer's parameters before it enters a description: `parameter` (the shared
        variable itself) or `current_value` (a float64 array). Descriptions calculate with the result, so they
        use only arithmetic that works on both.

    Returns
    -------
    list of descriptions, to be applied in order, or None for a layer that is not known

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.describe import describe
    >>> image = lasagne.layers.InputLayer((None, 3, 8, 8))
    >>> describe(lasagne.layers.Pool2DLayer(image, 2, mode='max'))
    [Pool(size=(2, 2), stride=(2, 2), pad=(0, 0), mode='max', ceil=False)]
    >>> describe(lasagne.layers.DimshuffleLayer(image, (0, 2, 3, 1))) is None
    True
    """
    return None


def describes(layer_class):
    """Decorate ``function(layer, value)`` as the description of `layer_class`.

    Subclasses are described by it as long as they change nothing but the constructor: one that overrides a
    method may compute something else, and counts as unknown.

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.describe import ReLU, describe, describes
    >>> class Rectify(lasagne.layers.Layer):
    ...     def get_output_for(self, input, **kwargs):
    ...         return input * (input > 0)
    >>> @describes(Rectify)
    ... def describe_rectify(layer, value):
    ...     return [ReLU()]
    >>> describe(Rectify((None, 3, 8, 8)))
    [ReLU(slope=0.0)]
    """
    def register(function):
        @functools.wraps(function)
        def guarded(layer, value=parameter):
            return function(layer, value) if _computes_like(layer, layer_class) else None

        describe.register(layer_class, guarded)
        return function

    return register


def _computes_like(layer, layer_class):
    names = [name for name in dir(layer_class) if not name.startswith("__")]
    return all(getattr(type(layer), name, None) is getattr(layer_class, name) for name in names) and not any(
        callable(getattr(layer_class, name)) and name in vars(layer) for name in names
    )


def describe_nonlinearity(function, ndim):
    """Descriptions for a nonlinearity applied to a tensor of `ndim` axes, or None if it is not known.

    Parameters
    ----------
    function : callable or None
        As layers take it; None is the identity.
    ndim : int

    Returns
    -------
    list of descriptions, or None
    """
    if function is None or function is nonlinearities.linear:
        return []
    if function is nonlinearities.rectify:
        return [ReLU(0.0)]
    if type(function) is nonlinearities.LeakyRectify and 0 <= function.leakiness < 1:
        return [ReLU(float(function.leakiness))]
    if function is nonlinearities.softmax and ndim == 2:
        return [Softmax()]
    if function in _ELEMENTWISE or type(function) is getattr(nonlinearities, "ScaledTanH", ()):
        return [Elementwise(function)]
    return None


_ELEMENTWISE = [
    getattr(nonlinearities, name)
    for name in ("sigmoid", "tanh", "softplus", "elu", "selu")
    if hasattr(nonlinearities, name)
]


def _with_nonlinearity(layer, descriptions):
    after = describe_nonlinearity(layer.nonlinearity, len(layer.output_shape))
    return None if after is None else descriptions + after


@describes(lasagne.layers.Conv2DLayer)
def _conv2d(layer, value):
    pad = layer.pad
    if layer.untie_biases or layer.convolution is not T.nnet.conv2d:
        return None
    if pad == "same":
        if any(size % 2 == 0 for size in layer.filter_size):
            return None  # Lasagne 0.1 pads one side more than the other
        pad = tuple(size // 2 for size in layer.filter_size)
    elif pad == "full":
        pad = tuple(size - 1 for size in layer.filter_size)
    return _with_nonlinearity(layer, [
        Convolution(
            value(layer.W),
            value(layer.b),
            stride=tuple(layer.stride),
            pad=tuple(pad),
            groups=getattr(layer, "num_groups", 1),
            flip=getattr(layer, "flip_filters", True),  # Lasagne 0.1 always flips
        )
    ])


@describes(lasagne.layers.DenseLayer)
def _dense(layer, value):
    if getattr(layer, "num_leading_axes", 1) != 1:
        return None
    return _with_nonlinearity(layer, [InnerProduct(value(layer.W).T, value(layer.b))])


@describes(lasagne.layers.NINLayer)
def _network_in_network(layer, value):
    if layer.untie_biases or len(layer.input_shape) != 4:
        return None
    shape = (layer.num_units, layer.input_shape[1], 1, 1)
    return _with_nonlinearity(layer, [Convolution(value(layer.W).T.reshape(shape), value(layer.b))])


@describes(lasagne.layers.NonlinearityLayer)
def _nonlinearity(layer, value):
    return _with_nonlinearity(layer, [])


@describes(lasagne.layers.Pool2DLayer)
def _pool2d(layer, value):
    if layer.mode not in ("max", "average_inc_pad", "average_exc_pad"):
        return None
    size, stride, pad = tuple(layer.pool_size), tuple(layer.stride), tuple(layer.pad)
    if layer.ignore_border:
        return [Pool(size, stride, pad, layer.mode)]
    # Theano's partial windows: the same as Caffe's as long as no window starts behind the border
    sides = zip(layer.input_shape[2:], size, stride)
    if any(step > window or (side is not None and side < window) for side, window, step in sides):
        return None
    mode = "max" if layer.mode == "max" else "average_exc_pad"
    return [Pool(size, stride, mode=mode, ceil=True)]


@describes(lasagne.layers.GlobalPoolLayer)
def _global_pool(layer, value):
    return [GlobalPool()] if layer.pool_function is T.mean and len(layer.input_shape) == 4 else None


@describes(lasagne.layers.ElemwiseSumLayer)
def _sum(layer, value):
    return [Sum(tuple(layer.coeffs))] if _equal_shapes(layer) and not _crops(layer) else None


@describes(lasagne.layers.ElemwiseMergeLayer)
def _merge(layer, value):
    if not _equal_shapes(layer) or _crops(layer):
        return None
    return [Elementwise(lambda *inputs: functools.reduce(layer.merge_function, inputs))]


@describes(lasagne.layers.ConcatLayer)
def _concat(layer, value):
    return None if _crops(layer) or layer.axis != 1 else [Concat()]


def _equal_shapes(layer):
    return len(set(layer.input_shapes)) == 1  # Lasagne 0.2 broadcasts and crops others


def _crops(layer):
    return any(getattr(layer, "cropping", None) or ())  # Lasagne 0.2


@describes(lasagne.layers.FlattenLayer)
def _flatten(layer, value):
    return [Flatten()] if layer.outdim == 2 else None


@describes(lasagne.layers.DropoutLayer)
@describes(lasagne.layers.GaussianNoiseLayer)
def _noise(layer, value):
    return [Identity(deterministic_only=True)]


def _batch_norm(layer, value):
    if tuple(layer.axes) != (0, *range(2, len(layer.input_shape))):
        return None
    scale = value(layer.inv_std)
    if layer.gamma is not None:
        scale = scale * value(layer.gamma)
    shift = -value(layer.mean) * scale
    if layer.beta is not None:
        shift = shift + value(layer.beta)
    return [Affine(scale, shift, deterministic_only=True)]


if hasattr(lasagne.layers, "BatchNormLayer"):  # Lasagne 0.2
    describes(lasagne.layers.BatchNormLayer)(_batch_norm)
