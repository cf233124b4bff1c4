"""Lasagne layers on oneDNN operations, in NHWC: what `theano_cpu.fuse` builds its networks of.

A four-dimensional tensor between these layers is logically (N, H, W, C) float32; `ToNHWC` and `ToNCHW` are
the doors to and from Lasagne's (N, C, H, W). Shapes in `output_shape` follow the tensor.
"""

from __future__ import annotations

from theano_cpu import ops
from theano_cpu.onednn.pooling import window_count

import numpy as np
import theano
import theano.tensor as T
from lasagne.layers import Layer, MergeLayer


def constant(value):
    """`value` as a float32 Theano constant without broadcastable axes.

    Parameters
    ----------
    value : array_like

    Returns
    -------
    theano.tensor.TensorConstant
    """
    array = np.ascontiguousarray(value, dtype="float32")
    return T.TensorConstant(T.TensorType("float32", (False,) * array.ndim), array)


def _as_variable(value):
    return value if value is None or isinstance(value, theano.gof.Variable) else constant(value)


class ToNHWC(Layer):
    """(N, C, H, W) to (N, H, W, C), the layout of all layers here."""

    def get_output_shape_for(self, input_shape):
        batch, channels, height, width = input_shape
        return (batch, height, width, channels)

    def get_output_for(self, input, **kwargs):
        if input.dtype != "float32":
            raise TypeError(
                f"a fused network computes in float32: at layer {self.name!r} it got {input.type}, "
                "expected a float32 tensor (is theano.config.floatX float32?)"
            )
        return ops.to_nhwc(input)


class ToNCHW(Layer):
    """(N, H, W, C) to (N, C, H, W), Lasagne's layout."""

    def get_output_shape_for(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, channels, height, width)

    def get_output_for(self, input, **kwargs):
        return ops.to_nchw(input)


class ConvolutionLayer(MergeLayer):
    """``relu(conv(x, W) + b + residual)``, in one operation.

    Parameters
    ----------
    incomings : list of one or two layers
        The input and, if any, the residual, which has the shape of the output.
    W : Theano expression or array, (O, I/groups, kh, kw)
        Applied as a cross-correlation. Arrays become constants.
    b : Theano expression or array, (O,), or None
    stride, pad, dilation : (int, int)
    groups : int
    slope : float or None
        Slope of the rectifier below zero; None for no rectifier.
    filter_shape : tuple of int
        The shape of `W`, which a Theano expression does not tell.
    precision : {'float32', 'bfloat16'}
        What products are computed of; see `theano_cpu.ops.conv2d`.
    """

    def __init__(self, incomings, W, b, stride, pad, dilation, groups, slope, filter_shape, precision, name=None):
        super().__init__(incomings, name=name)
        self.W, self.b = _as_variable(W), _as_variable(b)
        self.stride, self.pad, self.dilation, self.groups, self.slope = stride, pad, dilation, groups, slope
        self.filter_shape, self.precision = filter_shape, precision

    def get_output_shape_for(self, input_shapes):
        batch, *sides, _ = input_shapes[0]
        filters, _, *sizes = self.filter_shape
        sides = [
            None if side is None else (side + 2 * pad - (size - 1) * dilation - 1) // stride + 1
            for side, size, stride, pad, dilation in zip(sides, sizes, self.stride, self.pad, self.dilation)
        ]
        return (batch, *sides, filters)

    def get_output_for(self, inputs, **kwargs):
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


class PoolLayer(Layer):
    """Maximum or average over windows; see `theano_cpu.ir.Pool`."""

    def __init__(self, incoming, pool, name=None):
        super().__init__(incoming, name=name)
        self.pool = pool

    def get_output_shape_for(self, input_shape):
        batch, *sides, channels = input_shape
        windows = zip(sides, self.pool.size, self.pool.stride, self.pool.pad)
        sides = [None if window[0] is None else window_count(*window, self.pool.ceil) for window in windows]
        return (batch, *sides, channels)

    def get_output_for(self, input, **kwargs):
        pool = self.pool
        return ops.pool2d(input, pool.size, pool.stride, pad=pool.pad, mode=pool.mode, ceil=pool.ceil)


class SubsampleLayer(Layer):
    """Every `step`-th row and column."""

    def __init__(self, incoming, step, name=None):
        super().__init__(incoming, name=name)
        self.step = step

    def get_output_shape_for(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch, *[None if side is None else -(-side // self.step) for side in sides], channels)

    def get_output_for(self, input, **kwargs):
        return ops.subsample(input, self.step)


class GlobalPoolLayer(Layer):
    """The mean over H and W: (N, C), or (N, 1, 1, C) with `keepdims`."""

    def __init__(self, incoming, keepdims=False, name=None):
        super().__init__(incoming, name=name)
        self.keepdims = keepdims

    def get_output_shape_for(self, input_shape):
        batch, _, _, channels = input_shape
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)

    def get_output_for(self, input, **kwargs):
        means = ops.global_pool(input)
        return means.dimshuffle(0, "x", "x", 1) if self.keepdims else means


class AffineLayer(Layer):
    """``x * scale + shift`` for each channel; the channels are on `axis`."""

    def __init__(self, incoming, scale, shift, axis, name=None):
        super().__init__(incoming, name=name)
        self.scale, self.shift, self.axis = _as_variable(scale), _as_variable(shift), axis

    def get_output_for(self, input, **kwargs):
        pattern = [0 if axis == self.axis else "x" for axis in range(input.ndim)]
        return input * self.scale.dimshuffle(pattern) + self.shift.dimshuffle(pattern)


class ElementwiseLayer(MergeLayer):
    """``function(*inputs)``, element by element."""

    def __init__(self, incomings, function, name=None):
        super().__init__(incomings, name=name)
        self.function = function

    def get_output_shape_for(self, input_shapes):
        return input_shapes[0]

    def get_output_for(self, inputs, **kwargs):
        return self.function(*inputs)


class InnerProductLayer(Layer):
    """``x.dot(W.T) + b`` for a matrix x; `W` is (`units`, K)."""

    def __init__(self, incoming, W, b, units, name=None):
        super().__init__(incoming, name=name)
        self.W, self.b, self.units = _as_variable(W), _as_variable(b), units

    def get_output_shape_for(self, input_shape):
        return (input_shape[0], self.units)

    def get_output_for(self, input, **kwargs):
        return ops.inner_product(input, self.W, self.b)


class SoftmaxLayer(Layer):
    """Softmax over the last axis of a matrix.

    A network to be trained (`trainable`) gets Theano's: its optimiser keeps the logarithm of that one finite.
    """

    def __init__(self, incoming, trainable=False, name=None):
        super().__init__(incoming, name=name)
        self.trainable = trainable

    def get_output_for(self, input, **kwargs):
        return T.nnet.softmax(input) if self.trainable else ops.softmax(input)
