"""From Lasagne's layers to `theano_cpu.ir`.

`lower` turns a layer into a list of small descriptions, to be applied one after the other: a Lasagne
convolution with its default nonlinearity is ``[ir.Convolution(...), ir.ReLU(0)]``. A layer that has no rule is
``None``: it is left as it is.

Other packages lower their own layers with `lowering_rule`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import lasagne
import numpy as np
import theano
import theano.tensor as T
from lasagne import nonlinearities

from theano_compat.deprecation import deprecated_names
from theano_cpu import ir

# This module was theano_cpu.describe, and had the classes of theano_cpu.ir in it
__getattr__ = deprecated_names(
    __name__,
    {
        "describe": "theano_cpu.lowering:lower",
        "describes": "theano_cpu.lowering:lowering_rule",
        "describe_nonlinearity": "theano_cpu.lowering:lower_nonlinearity",
        **{name: f"theano_cpu.ir:{name}" for name, value in vars(ir).items() if dataclasses.is_dataclass(value)},
    },
)

#: Applied to each parameter of a layer that is lowered: `parameter` or `current_value`.
Value = Callable[[Any], Any]


def parameter(value: Any) -> Any:
    """Give the parameter itself, for descriptions that follow its later changes and let gradients reach it.

    Parameters
    ----------
    value : shared variable, Theano expression or None

    Returns
    -------
    the same

    Examples
    --------
    >>> parameter(None) is None
    True
    """
    return value


def current_value(value: Any) -> Any:
    """Give a parameter's value of this moment.

    Parameters
    ----------
    value : shared variable, Theano expression, array or None

    Returns
    -------
    ndarray of float64, or None for None

    Examples
    --------
    >>> import numpy as np, theano
    >>> current_value(theano.shared(np.float32([1, 2])))
    array([1., 2.])
    """
    if value is None:
        return None
    if isinstance(value, theano.compile.SharedVariable):
        value = value.get_value()
    elif isinstance(value, theano.gof.Variable):
        value = value.eval()
    return np.asarray(value, dtype="float64")


@functools.singledispatch
def lower(layer: Any, value: Value = parameter) -> list[Any] | None:
    """Say what a layer computes.

    Parameters
    ----------
    layer : lasagne.layers.Layer
    value : callable, optional
        Applied to each of the layer's parameters before it enters a description: `parameter` (the shared
        variable itself) or `current_value` (a float64 array). Rules calculate with the result, so they
        use only arithmetic that works on both.

    Returns
    -------
    list of objects of `theano_cpu.ir`, or None for a layer that is not known
        To be applied in order.

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


def lowering_rule(layer_class: type) -> Callable[[Callable], Callable]:
    """Decorate ``function(layer, value)`` as the rule that lowers `layer_class`.

    Subclasses are lowered by it as long as they change nothing but the constructor: one that overrides a
    method may compute something else, and counts as unknown.

    Parameters
    ----------
    layer_class : subclass of lasagne.layers.Layer

    Returns
    -------
    callable
        The decorator; it returns the function unchanged. `function` gives what `lower` does.

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu import ir
    >>> from theano_cpu.lowering import lower, lowering_rule
    >>> class Rectify(lasagne.layers.Layer):
    ...     def get_output_for(self, input, **kwargs):
    ...         return input * (input > 0)
    >>> @lowering_rule(Rectify)
    ... def lower_rectify(layer, value):
    ...     return [ir.ReLU()]
    >>> lower(Rectify((None, 3, 8, 8)))
    [ReLU(slope=0.0)]
    """

    def register(function: Callable) -> Callable:
        @functools.wraps(function)
        def guarded(layer: Any, value: Value = parameter) -> list[Any] | None:
            return function(layer, value) if _computes_like(layer, layer_class) else None

        lower.register(layer_class, guarded)
        return function

    return register


def _computes_like(layer: Any, layer_class: type) -> bool:
    names = [name for name in dir(layer_class) if not name.startswith("__")]
    return all(getattr(type(layer), name, None) is getattr(layer_class, name) for name in names) and not any(
        callable(getattr(layer_class, name)) and name in vars(layer) for name in names
    )


def lower_nonlinearity(function: Any, ndim: int) -> list[Any] | None:
    """Say what a nonlinearity applied to a tensor of `ndim` axes computes.

    Parameters
    ----------
    function : callable or None
        As layers take it; None is the identity.
    ndim : int

    Returns
    -------
    list of objects of `theano_cpu.ir`, or None for a function that is not known

    Examples
    --------
    >>> from lasagne.nonlinearities import leaky_rectify, softmax
    >>> lower_nonlinearity(leaky_rectify, ndim=4), lower_nonlinearity(softmax, ndim=2)
    ([ReLU(slope=0.01)], [Softmax()])
    """
    if function is None or function is nonlinearities.linear:
        return []
    if function is nonlinearities.rectify:
        return [ir.ReLU(0.0)]
    if type(function) is nonlinearities.LeakyRectify and 0 <= function.leakiness < 1:
        return [ir.ReLU(float(function.leakiness))]
    if function is nonlinearities.softmax and ndim == 2:
        return [ir.Softmax()]
    if function in _ELEMENTWISE or type(function) is getattr(nonlinearities, "ScaledTanH", ()):
        return [ir.Elementwise(function)]
    return None


_ELEMENTWISE = [
    getattr(nonlinearities, name)
    for name in ("sigmoid", "tanh", "softplus", "elu", "selu")
    if hasattr(nonlinearities, name)
]


def _with_nonlinearity(layer: Any, descriptions: list[Any]) -> list[Any] | None:
    after = lower_nonlinearity(layer.nonlinearity, len(layer.output_shape))
    return None if after is None else descriptions + after


@lowering_rule(lasagne.layers.Conv2DLayer)
def _conv2d(layer: Any, value: Value) -> list[Any] | None:
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
            ir.Convolution(
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
def _dense(layer: Any, value: Value) -> list[Any] | None:
    if getattr(layer, "num_leading_axes", 1) != 1:
        return None
    return _with_nonlinearity(layer, [ir.InnerProduct(value(layer.W).T, value(layer.b))])


@lowering_rule(lasagne.layers.NINLayer)
def _network_in_network(layer: Any, value: Value) -> list[Any] | None:
    if layer.untie_biases or len(layer.input_shape) != 4:
        return None
    shape = (layer.num_units, layer.input_shape[1], 1, 1)
    return _with_nonlinearity(layer, [ir.Convolution(value(layer.W).T.reshape(shape), value(layer.b))])


@lowering_rule(lasagne.layers.NonlinearityLayer)
def _nonlinearity(layer: Any, value: Value) -> list[Any] | None:
    return _with_nonlinearity(layer, [])


@lowering_rule(lasagne.layers.Pool2DLayer)
def _pool2d(layer: Any, value: Value) -> list[Any] | None:
    if layer.mode not in ("max", "average_inc_pad", "average_exc_pad"):
        return None
    size, stride, pad = tuple(layer.pool_size), tuple(layer.stride), tuple(layer.pad)
    if layer.ignore_border:
        return [ir.Pool(size, stride, pad, layer.mode)]
    # Theano's partial windows: the same as Caffe's as long as no window starts behind the border
    sides = zip(layer.input_shape[2:], size, stride)
    if any(step > window or (side is not None and side < window) for side, window, step in sides):
        return None
    mode = "max" if layer.mode == "max" else "average_exc_pad"
    return [ir.Pool(size, stride, mode=mode, ceil=True)]


@lowering_rule(lasagne.layers.GlobalPoolLayer)
def _global_pool(layer: Any, value: Value) -> list[Any] | None:
    return [ir.GlobalPool()] if layer.pool_function is T.mean and len(layer.input_shape) == 4 else None


@lowering_rule(lasagne.layers.ElemwiseSumLayer)
def _sum(layer: Any, value: Value) -> list[Any] | None:
    return [ir.Sum(tuple(layer.coeffs))] if _equal_shapes(layer) and not _crops(layer) else None


@lowering_rule(lasagne.layers.ElemwiseMergeLayer)
def _merge(layer: Any, value: Value) -> list[Any] | None:
    if not _equal_shapes(layer) or _crops(layer):
        return None
    return [ir.Elementwise(lambda *inputs: functools.reduce(layer.merge_function, inputs))]


@lowering_rule(lasagne.layers.ConcatLayer)
def _concat(layer: Any, value: Value) -> list[Any] | None:
    return None if _crops(layer) or layer.axis != 1 else [ir.Concat()]


def _equal_shapes(layer: Any) -> bool:
    return len(set(layer.input_shapes)) == 1  # Lasagne 0.2 broadcasts and crops others


def _crops(layer: Any) -> bool:
    return any(getattr(layer, "cropping", None) or ())  # Lasagne 0.2


@lowering_rule(lasagne.layers.FlattenLayer)
def _flatten(layer: Any, value: Value) -> list[Any] | None:
    return [ir.Flatten()] if layer.outdim == 2 else None


@lowering_rule(lasagne.layers.DropoutLayer)
@lowering_rule(lasagne.layers.GaussianNoiseLayer)
def _noise(layer: Any, value: Value) -> list[Any] | None:
    return [ir.Identity(deterministic_only=True)]


def _batch_norm(layer: Any, value: Value) -> list[Any] | None:
    if tuple(layer.axes) != (0, *range(2, len(layer.input_shape))):
        return None
    scale = value(layer.inv_std)
    if layer.gamma is not None:
        scale = scale * value(layer.gamma)
    shift = -value(layer.mean) * scale
    if layer.beta is not None:
        shift = shift + value(layer.beta)
    return [ir.Affine(scale, shift, deterministic_only=True)]


if hasattr(lasagne.layers, "BatchNormLayer"):  # Lasagne 0.2
    lowering_rule(lasagne.layers.BatchNormLayer)(_batch_norm)
