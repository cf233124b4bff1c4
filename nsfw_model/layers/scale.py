"""Scale and Bias: multiplication by a learned array, and addition of one. Caffe's scale_layer.cpp, bias_layer.cpp."""

from __future__ import annotations

from lasagne.layers import Layer

from nsfw_model.layers.arguments import expect, shape_of
from nsfw_model.layers.building import axis_of, builds, take
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule

__all__ = ["BiasLayer", "ScaleLayer"]


class ScaleLayer(Layer):
    """Multiplication by a learned array along some axes, and addition of another. Caffe's scale_layer.cpp.

    Parameters
    ----------
    incoming : Layer or tuple
    scale : float32 array or shared variable
        Its shape is that of the input's axes ``axis``, ``axis + 1``, ... that it covers; shape () scales all
        alike.
    bias : float32 array or shared variable, optional
        Shape of `scale`.
    axis : int
        The first axis covered, at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> ScaleLayer((None, 3, 7, 7), np.full(3, 2, "float32")).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, scale, bias=None, axis=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.axis = axis
        covered = self.input_shape[axis : axis + len(shape_of(scale))]
        expect(self, "shape of scale", shape_of(scale), covered)
        self.scale = self.add_param(scale, covered, name="scale")
        if bias is not None:
            expect(self, "shape of bias", shape_of(bias), covered)
            bias = self.add_param(bias, covered, name="bias", regularizable=False)
        self.bias = bias

    def get_output_for(self, input, **kwargs):
        output = input * _spread(self.scale, input.ndim, self.axis)
        return output if self.bias is None else output + _spread(self.bias, input.ndim, self.axis)


def _spread(param, ndim, axis):
    """Let a parameter cover the axes from `axis` on of something with `ndim` axes."""
    after = ndim - axis - param.ndim
    return param.dimshuffle(["x"] * axis + list(range(param.ndim)) + ["x"] * after)


@lowering_rule(ScaleLayer)
def _lower_scale(layer, value):
    scale = value(layer.scale)
    if layer.axis != 1 or scale.ndim != 1:
        return None
    return [ir.Affine(scale, 0 * scale if layer.bias is None else value(layer.bias))]


@builds("Scale", lowered=True)
def _build_scale(spec, incomings, blobs):
    axis, shape = _covered(spec, incomings[0])
    scale, bias = take(spec, blobs, scale=shape, bias=shape if spec.settings["bias"] else None)
    return ScaleLayer(incomings[0], scale, bias, axis, name=spec.name)


def _covered(spec, incoming):
    """The first axis that a layer's array covers, and the array's shape."""
    axis, num_axes, ndim = spec.settings["axis"], spec.settings["num_axes"], len(incoming.output_shape)
    start = axis_of(spec, incoming, may_end=num_axes == 0)
    end = ndim if num_axes == -1 else start + num_axes
    if end > ndim or (start == 0 and end > 0):
        raise spec.error(f"axis, num_axes: got {axis}, {num_axes}, expected axes 1 to {ndim - 1}")
    return start, incoming.output_shape[start:end]


class BiasLayer(Layer):
    """Addition of a learned array along some axes. Caffe's bias_layer.cpp.

    Parameters
    ----------
    incoming : Layer or tuple
    bias : float32 array or shared variable
        Its shape is that of the input's axes ``axis``, ``axis + 1``, ... that it covers; shape () adds one number.
    axis : int
        The first axis covered, at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> BiasLayer((None, 3, 7, 7), np.ones(3, "float32")).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, bias, axis=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.axis = axis
        covered = self.input_shape[axis : axis + len(shape_of(bias))]
        expect(self, "shape of bias", shape_of(bias), covered)
        self.bias = self.add_param(bias, covered, name="bias", regularizable=False)

    def get_output_for(self, input, **kwargs):
        return input + _spread(self.bias, input.ndim, self.axis)


@lowering_rule(BiasLayer)
def _lower_bias(layer, value):
    bias = value(layer.bias)
    return [ir.Affine(0 * bias + 1, bias)] if layer.axis == 1 and bias.ndim == 1 else None


@builds("Bias", lowered=True)
def _build_bias(spec, incomings, blobs):
    axis, shape = _covered(spec, incomings[0])
    (bias,) = take(spec, blobs, bias=shape)
    return BiasLayer(incomings[0], bias, axis, name=spec.name)
