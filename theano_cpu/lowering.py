"""From Lasagne's layers to `theano_cpu.ir`.

`lower` turns a layer into a list of small descriptions, to be applied one after the other: a Lasagne
convolution with its default nonlinearity is ``[Convolution(...), ReLU(0)]``. A layer that has no rule is
``None``: it is left as it is.

Other packages lower their own layers with `lowering_rule`.
"""

from __future__ import annotations

import functools

import lasagne
import numpy as np
import theano
import theano.tensor as T
from lasagne import nonlinearities

from theano_cpu.ir import (
    Affine,
    Concat,
    Convolution,
    Elementwise,
    Flatten,
    GlobalPool,
    Identity,
    InnerProduct,
    Pool,
    ReLU,
    Softmax,
    Sum,
)


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
def lower(layer, value=parameter):
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
    >>> from theano_cpu.lowering import lower
    >>> image = lasagne.layers.InputLayer((None, 3, 8, 8))
    >>> lower(lasagne.layers.Pool2DLayer(image, 2, mode='max'))
    [Pool(size=(2, 2), stride=(2, 2), pad=(0, 0), mode='max', ceil=False)]
    >>> lower(lasagne.layers.DimshuffleLayer(image, (0, 2, 3, 1))) is None
    True
    """
    return None


def lowering_rule(layer_class):
    """Decorate ``function(layer, value)`` as the description of `layer_class`.

    Subclasses are described by it as long as they change nothing but the constructor: one that overrides a
    method may compute something else, and counts as unknown.

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.ir import ReLU
    >>> from theano_cpu.lowering import lower, lowering_rule
    >>> class Rectify(lasagne.layers.Layer):
    ...     def get_output_for(self, input, **kwargs):
    ...         return input * (input > 0)
    >>> @lowering_rule(Rectify)
    ... def describe_rectify(layer, value):
    ...     return [ReLU()]
    >>> lower(Rectify((None, 3, 8, 8)))
    [ReLU(slope=0.0)]
    """

    def register(function):
        @functools.wraps(function)
        def guarded(layer, value=parameter):
            return function(layer, value) if _computes_like(layer, layer_class) else None

        lower.register(layer_class, guarded)
        return function

    return register


def _computes_like(layer, layer_class):
    names = [name for name in dir(layer_class) if not name.startswith("__")]
    return all(getattr(type(layer), name, None) is getattr(layer_class, name) for name in names) and not any(
        callable(getattr(layer_class, name)) and name in vars(layer) for name in names
    )


def lower_nonlinearity(function, ndim):
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
    after = lower_nonlinearity(layer.nonlinearity, len(layer.output_shape))
    return None if after is None else descriptions + after


@lowering_rule(lasagne.layers.Conv2DLayer)
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
    return _with_nonlinearity(
        layer,
        [
            Convolution(
                value(layer.W),
                value(layer.b),
                stride=tuple(layer.stride),
                pad=tuple(pad),
                groups=getattr(layer, "num_groups", 1),
                flip=getattr(layer, "flip_filters", True),  # Lasagne 0.1 always flips
            )
        ],
    )


@lowering_rule(lasagne.layers.DenseLayer)
def _dense(layer, value):
    if getattr(layer, "num_leading_axes", 1) != 1:
        return None
    return _with_nonlinearity(layer, [InnerProduct(value(layer.W).T, value(layer.b))])


@lowering_rule(lasagne.layers.NINLayer)
def _network_in_network(layer, value):
    if layer.untie_biases or len(layer.input_shape) != 4:
        return None
    shape = (layer.num_units, layer.input_shape[1], 1, 1)
    return _with_nonlinearity(layer, [Convolution(value(layer.W).T.reshape(shape), value(layer.b))])


@lowering_rule(lasagne.layers.NonlinearityLayer)
def _nonlinearity(layer, value):
    return _with_nonlinearity(layer, [])


@lowering_rule(lasagne.layers.Pool2DLayer)
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


@lowering_rule(lasagne.layers.GlobalPoolLayer)
def _global_pool(layer, value):
    return [GlobalPool()] if layer.pool_function is T.mean and len(layer.input_shape) == 4 else None


@lowering_rule(lasagne.layers.ElemwiseSumLayer)
def _sum(layer, value):
    return [Sum(tuple(layer.coeffs))] if _equal_shapes(layer) and not _crops(layer) else None


@lowering_rule(lasagne.layers.ElemwiseMergeLayer)
def _merge(layer, value):
    if not _equal_shapes(layer) or _crops(layer):
        return None
    return [Elementwise(lambda *inputs: functools.reduce(layer.merge_function, inputs))]


@lowering_rule(lasagne.layers.ConcatLayer)
def _concat(layer, value):
    return None if _crops(layer) or layer.axis != 1 else [Concat()]


def _equal_shapes(layer):
    return len(set(layer.input_shapes)) == 1  # Lasagne 0.2 broadcasts and crops others


def _crops(layer):
    return any(getattr(layer, "cropping", None) or ())  # Lasagne 0.2


@lowering_rule(lasagne.layers.FlattenLayer)
def _flatten(layer, value):
    return [Flatten()] if layer.outdim == 2 else None


@lowering_rule(lasagne.layers.DropoutLayer)
@lowering_rule(lasagne.layers.GaussianNoiseLayer)
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
    lowering_rule(lasagne.layers.BatchNormLayer)(_batch_norm)
