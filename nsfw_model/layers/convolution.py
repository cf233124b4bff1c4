"""Convolution and Deconvolution. Caffe's base_conv_layer.cpp, conv_layer.cpp, deconv_layer.cpp."""

from __future__ import annotations

import theano.tensor as T
from lasagne.layers import Layer
from theano.tensor.nnet.abstract_conv import conv2d_grad_wrt_inputs

from nsfw_model.layers.arguments import called, expect, shape_of
from nsfw_model.layers.building import builds, image_shape, take
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule
from theano_cpu.shapes import conv_output_length

__all__ = ["ConvolutionLayer", "DeconvolutionLayer"]


class ConvolutionLayer(Layer):
    """Cross-correlation of (N, C, H, W) with filters that are not flipped. Caffe's conv_layer.cpp.

    The output has ``floor((size + 2 pad - dilation (kernel - 1) - 1) / stride) + 1`` rows and columns.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or its shape (N, C, H, W).
    W : float32 array or shared variable, shape (num_output, C / group, kernel height, kernel width)
    b : float32 array or shared variable, shape (num_output,), optional
    stride, pad, dilation : (int, int)
        For height and width.
    group : int
        Input and output channels are split into so many groups, each connected to its own only.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.ones((8, 3, 3, 3), "float32")
    >>> ConvolutionLayer((None, 3, 224, 224), W, stride=(2, 2), pad=(1, 1)).output_shape
    (None, 8, 112, 112)
    """

    def __init__(self, incoming, W, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1), group=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.stride, self.pad, self.dilation, self.group = tuple(stride), tuple(pad), tuple(dilation), group
        self.W = self.add_param(W, shape_of(W), name="W")
        self.num_output, filter_channels, *kernel = shape_of(W)
        self.kernel = tuple(kernel)
        expect(self, "input dimensions", len(self.input_shape), 4)
        expect(self, "input channels", self.input_shape[1], filter_channels * group)
        expect(self, "outputs left over by the groups", self.num_output % group, 0)
        self.b = None if b is None else self.add_param(b, (self.num_output,), name="b", regularizable=False)

    def get_output_shape_for(self, input_shape):
        sizes = zip(input_shape[2:], self.kernel, self.stride, self.pad, self.dilation)
        return (input_shape[0], self.num_output, *(self._output_size(*each) for each in sizes))

    def _output_size(self, size, kernel, stride, pad, dilation):
        extent = dilation * (kernel - 1) + 1
        if size is None:
            return None
        if size + 2 * pad < extent:
            raise ValueError(f"{called(self)}: padded input of {size + 2 * pad} is smaller than the kernel's {extent}")
        return conv_output_length(size, kernel, stride, pad, dilation)

    def get_output_for(self, input, **kwargs):
        output = T.nnet.conv2d(
            input,
            self.W,
            input_shape=(None, self.input_shape[1], None, None),
            filter_shape=(self.num_output, self.input_shape[1] // self.group, *self.kernel),
            border_mode=self.pad,
            subsample=self.stride,
            filter_flip=False,
            filter_dilation=self.dilation,
            num_groups=self.group,
        )
        return output if self.b is None else output + self.b.dimshuffle("x", 0, "x", "x")


@lowering_rule(ConvolutionLayer)
def _lower_convolution(layer, value):
    return [ir.Convolution(value(layer.W), value(layer.b), layer.stride, layer.pad, layer.dilation, layer.group)]


@builds("Convolution", lowered=True)
def _build_convolution(spec, incomings, blobs):
    s, (incoming,) = spec.settings, incomings
    channels = _grouped_channels(spec, incoming)
    shape = (s["num_output"], channels // s["group"], *s["kernel"])
    W, b = take(spec, blobs, filters=shape, bias=(s["num_output"],) if s["bias"] else None)
    return ConvolutionLayer(incoming, W, b, s["stride"], s["pad"], s["dilation"], s["group"], name=spec.name)


def _grouped_channels(spec, incoming):
    channels, group = image_shape(spec, incoming)[1], spec.settings["group"]
    if channels % group:
        raise spec.error(f"group: got {group}, expected a divisor of the {channels} input channels")
    return channels


class DeconvolutionLayer(Layer):
    """Transposed convolution: what a convolution's gradient does. Caffe's deconv_layer.cpp.

    Every value of the input adds its multiple of a filter to the output, `stride` apart; `pad` rows and columns
    are cut off at the border. The output has ``stride (size - 1) + dilation (kernel - 1) + 1 - 2 pad`` rows and
    columns.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or its shape (N, C, H, W).
    W : float32 array or shared variable, shape (C, num_output / group, kernel height, kernel width)
    b : float32 array or shared variable, shape (num_output,), optional
    stride, pad, dilation : (int, int)
        For height and width.
    group : int
        Input and output channels are split into so many groups, each connected to its own only.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.ones((8, 3, 4, 4), "float32")
    >>> DeconvolutionLayer((None, 8, 14, 14), W, stride=(2, 2), pad=(1, 1)).output_shape
    (None, 3, 28, 28)
    """

    def __init__(self, incoming, W, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1), group=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.stride, self.pad, self.dilation, self.group = tuple(stride), tuple(pad), tuple(dilation), group
        self.W = self.add_param(W, shape_of(W), name="W")
        channels, outputs, *kernel = shape_of(W)
        self.num_output, self.kernel = outputs * group, tuple(kernel)
        expect(self, "input dimensions", len(self.input_shape), 4)
        expect(self, "input channels", self.input_shape[1], channels)
        expect(self, "input channels left over by the groups", channels % group, 0)
        self.b = None if b is None else self.add_param(b, (self.num_output,), name="b", regularizable=False)

    def get_output_shape_for(self, input_shape):
        sides = self._output_sides(input_shape[2:])
        if any(side is not None and side < 1 for side in sides):
            raise ValueError(f"{called(self)}: pad: got {self.pad}, which leaves no output of input {input_shape}")
        return (input_shape[0], self.num_output, *sides)

    def _output_sides(self, sides):
        settings = zip(sides, self.kernel, self.stride, self.pad, self.dilation)
        return [
            None if side is None else stride * (side - 1) + dilation * (kernel - 1) + 1 - 2 * pad
            for side, kernel, stride, pad, dilation in settings
        ]

    def get_output_for(self, input, **kwargs):
        sides = self._output_sides([input.shape[2], input.shape[3]])
        output = conv2d_grad_wrt_inputs(
            input,
            self.W,
            input_shape=(None, self.num_output, *sides),
            filter_shape=(self.input_shape[1], self.num_output // self.group, *self.kernel),
            border_mode=self.pad,
            subsample=self.stride,
            filter_flip=False,
            filter_dilation=self.dilation,
            num_groups=self.group,
        )
        return output if self.b is None else output + self.b.dimshuffle("x", 0, "x", "x")


@builds("Deconvolution", lowered=False)
def _build_deconvolution(spec, incomings, blobs):
    s, (incoming,) = spec.settings, incomings
    shape = (_grouped_channels(spec, incoming), s["num_output"] // s["group"], *s["kernel"])
    W, b = take(spec, blobs, filters=shape, bias=(s["num_output"],) if s["bias"] else None)
    return DeconvolutionLayer(incoming, W, b, s["stride"], s["pad"], s["dilation"], s["group"], name=spec.name)
