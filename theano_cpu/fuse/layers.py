"""Lasagne layers on oneDNN operations, channels last: what `theano_cpu.fuse` builds its networks of.

A four-dimensional tensor between these layers is a float32 tensor4, shape (n, height, width, channels); `ToNHWC` and
`ToNCHW` are the layout conversions from and to Lasagne's (n, channels, height, width). Shapes in `output_shape`
follow the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import theano
import theano.tensor as T
from lasagne.layers import Layer, MergeLayer

from theano_compat.deprecation import deprecated_names
from theano_cpu import ir, ops
from theano_cpu.shapes import conv_output_length, pool_output_length

_RENAMED = (
    "AffineLayer",
    "ConvolutionLayer",
    "ElementwiseLayer",
    "GlobalPoolLayer",
    "InnerProductLayer",
    "PoolLayer",
    "SoftmaxLayer",
    "SubsampleLayer",
)
__getattr__ = deprecated_names(__name__, {name: f"theano_cpu.fuse.layers:Fused{name}" for name in _RENAMED})


def constant(value: Any) -> Any:
    """Make a float32 Theano constant without broadcastable axes.

    Parameters
    ----------
    value : array_like

    Returns
    -------
    theano.tensor.TensorConstant

    Examples
    --------
    >>> constant([[1.0]]).type
    TensorType(float32, matrix)
    """
    array = np.ascontiguousarray(value, dtype="float32")
    return T.TensorConstant(T.TensorType("float32", (False,) * array.ndim), array)


def _as_variable(value: Any) -> Any:
    return value if value is None or isinstance(value, theano.gof.Variable) else constant(value)


class ToNHWC(Layer):
    """The layout conversion from Lasagne's pictures to those of all layers here.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
        Shape (n, channels, height, width).
    name : str, optional

    Raises
    ------
    TypeError
        When the output is asked for, if the input is not float32.

    Examples
    --------
    >>> ToNHWC((None, 3, 8, 9)).output_shape
    (None, 8, 9, 3)
    """

    def get_output_shape_for(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        batch, channels, height, width = input_shape
        return (batch, height, width, channels)

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        if input.dtype != "float32":
            raise TypeError(
                f"a fused network computes in float32: at layer {self.name!r} it got {input.type}, "
                "expected a float32 tensor (is theano.config.floatX float32?)"
            )
        return ops.to_nhwc(input)


class ToNCHW(Layer):
    """The layout conversion back to Lasagne's pictures.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
        Shape (n, height, width, channels).
    name : str, optional

    Examples
    --------
    >>> ToNCHW((None, 8, 9, 3)).output_shape
    (None, 3, 8, 9)
    """

    def get_output_shape_for(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        batch, height, width, channels = input_shape
        return (batch, channels, height, width)

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        return ops.to_nchw(input)


class FusedConvolutionLayer(MergeLayer):
    """``relu(conv(x, W) + b + residual)``, in one operation.

    Parameters
    ----------
    incomings : list of one or two layers
        The input and, if any, the residual, which has the shape of the output.
    W : Theano expression or array, shape (filters, channels / groups, rows, columns)
        Applied as a cross-correlation. Arrays become constants.
    b : Theano expression or array, shape (filters,), or None
    stride, pad, dilation : (int, int)
    groups : int
    slope : float or None
        Slope of the rectifier below zero; None for no rectifier.
    filter_shape : tuple of int
        The shape of `W`, which a Theano expression does not tell.
    precision : {'float32', 'bfloat16'}
        What products are computed of; see `theano_cpu.ops.conv2d`.
    name : str, optional

    Examples
    --------
    >>> import numpy as np
    >>> W = np.ones((4, 3, 3, 3), "float32")
    >>> image = ToNHWC((None, 3, 8, 9))
    >>> FusedConvolutionLayer([image], W, None, (2, 2), (1, 1), (1, 1), 1, 0.0, W.shape, "float32").output_shape
    (None, 4, 5, 4)
    """

    def __init__(
        self,
        incomings: Sequence[Any],
        W: Any,
        b: Any,
        stride: tuple[int, int],
        pad: tuple[int, int],
        dilation: tuple[int, int],
        groups: int,
        slope: float | None,
        filter_shape: tuple[int, ...],
        precision: Any,
        name: str | None = None,
    ):
        super().__init__(incomings, name=name)
        self.W, self.b = _as_variable(W), _as_variable(b)
        self.stride, self.pad, self.dilation, self.groups, self.slope = stride, pad, dilation, groups, slope
        self.filter_shape, self.precision = filter_shape, precision

    def get_output_shape_for(self, input_shapes: Sequence[Any]) -> tuple[Any, ...]:
        batch, *lengths, _ = input_shapes[0]
        filters, _, *sizes = self.filter_shape
        sides = zip(lengths, sizes, self.stride, self.pad, self.dilation)
        return (batch, *(conv_output_length(*side) for side in sides), filters)

    def get_output_for(self, inputs: Sequence[Any], **kwargs: Any) -> Any:
        x, residual = inputs if len(inputs) == 2 else (inputs[0], None)
        return ops.conv2d(
            x,
            self.W,
            self.b,
            residual=residual,
            stride=self.stride,
            pad=self.pad,
            dilation=self.dilation,
            groups=self.groups,
            relu=self.slope is not None,
            negative_slope=self.slope or 0.0,
            precision=self.precision,
        )


class FusedPoolLayer(Layer):
    """Maximum or average over windows.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
        Shape (n, height, width, channels).
    pool : theano_cpu.ir.Pool
    name : str, optional

    Examples
    --------
    >>> FusedPoolLayer((None, 112, 112, 64), ir.Pool((3, 3), (2, 2), ceil=True)).output_shape
    (None, 56, 56, 64)
    """

    def __init__(self, incoming: Any, pool: ir.Pool, name: str | None = None):
        super().__init__(incoming, name=name)
        self.pool = pool

    def get_output_shape_for(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        batch, *lengths, channels = input_shape
        sides = zip(lengths, self.pool.size, self.pool.stride, self.pool.pad)
        return (batch, *(pool_output_length(*side, self.pool.ceil) for side in sides), channels)

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        pool = self.pool
        return ops.pool2d(input, pool.size, pool.stride, pad=pool.pad, mode=pool.mode, ceil=pool.ceil)


class FusedSubsampleLayer(Layer):
    """Every `step`-th row and column.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
        Shape (n, height, width, channels).
    step : int
    name : str, optional

    Examples
    --------
    >>> FusedSubsampleLayer((None, 9, 8, 3), 2).output_shape
    (None, 5, 4, 3)
    """

    def __init__(self, incoming: Any, step: int, name: str | None = None):
        super().__init__(incoming, name=name)
        self.step = step

    def get_output_shape_for(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        batch, *lengths, channels = input_shape
        return (batch, *(conv_output_length(length, 1, self.step) for length in lengths), channels)

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        return ops.subsample(input, self.step)


class FusedGlobalPoolLayer(Layer):
    """The mean over rows and columns: (n, channels), or (n, 1, 1, channels) with `keepdims`.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
        Shape (n, height, width, channels).
    keepdims : bool, optional
    name : str, optional

    Examples
    --------
    >>> FusedGlobalPoolLayer((None, 7, 7, 64)).output_shape
    (None, 64)
    """

    def __init__(self, incoming: Any, keepdims: bool = False, name: str | None = None):
        super().__init__(incoming, name=name)
        self.keepdims = keepdims

    def get_output_shape_for(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        batch, _, _, channels = input_shape
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        means = ops.global_pool(input)
        return means.dimshuffle(0, "x", "x", 1) if self.keepdims else means


class FusedAffineLayer(Layer):
    """``x * scale + shift`` for each channel.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
    scale, shift : Theano expression or array, shape (channels,)
    axis : int
        The channels' axis.
    name : str, optional

    Examples
    --------
    >>> FusedAffineLayer((None, 7, 7, 2), [1.0, 2.0], [0.0, 0.0], axis=3).output_shape
    (None, 7, 7, 2)
    """

    def __init__(self, incoming: Any, scale: Any, shift: Any, axis: int, name: str | None = None):
        super().__init__(incoming, name=name)
        self.scale, self.shift, self.axis = _as_variable(scale), _as_variable(shift), axis

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        pattern = [0 if axis == self.axis else "x" for axis in range(input.ndim)]
        return input * self.scale.dimshuffle(pattern) + self.shift.dimshuffle(pattern)


class FusedElementwiseLayer(MergeLayer):
    """``function(*inputs)``, element by element.

    Parameters
    ----------
    incomings : list of layers or tuples
        All of one shape.
    function : callable
        Of as many Theano expressions.
    name : str, optional

    Examples
    --------
    >>> import theano.tensor as T
    >>> FusedElementwiseLayer([(None, 7, 7, 2)], T.tanh).output_shape
    (None, 7, 7, 2)
    """

    def __init__(self, incomings: Sequence[Any], function: Callable[..., Any], name: str | None = None):
        super().__init__(incomings, name=name)
        self.function = function

    def get_output_shape_for(self, input_shapes: Sequence[Any]) -> Any:
        return input_shapes[0]

    def get_output_for(self, inputs: Sequence[Any], **kwargs: Any) -> Any:
        return self.function(*inputs)


class FusedInnerProductLayer(Layer):
    """``x.dot(W.T) + b`` for a matrix x.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
        Shape (n, inputs).
    W : Theano expression or array, shape (units, inputs)
    b : Theano expression or array, shape (units,), or None
    units : int
    name : str, optional

    Examples
    --------
    >>> import numpy as np
    >>> FusedInnerProductLayer((None, 1024), np.ones((2, 1024)), None, units=2).output_shape
    (None, 2)
    """

    def __init__(self, incoming: Any, W: Any, b: Any, units: int, name: str | None = None):
        super().__init__(incoming, name=name)
        self.W, self.b, self.units = _as_variable(W), _as_variable(b), units

    def get_output_shape_for(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        return (input_shape[0], self.units)

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        return ops.inner_product(input, self.W, self.b)


class FusedSoftmaxLayer(Layer):
    """Softmax over the last axis of a matrix.

    Parameters
    ----------
    incoming : lasagne.layers.Layer or tuple
        Shape (n, classes).
    trainable : bool, optional
        True: Theano's softmax, whose logarithm Theano's optimiser keeps finite. False: oneDNN's.
    name : str, optional

    Examples
    --------
    >>> FusedSoftmaxLayer((None, 2)).output_shape
    (None, 2)
    """

    def __init__(self, incoming: Any, trainable: bool = False, name: str | None = None):
        super().__init__(incoming, name=name)
        self.trainable = trainable

    def get_output_for(self, input: Any, **kwargs: Any) -> Any:
        return T.nnet.softmax(input) if self.trainable else ops.softmax(input)
