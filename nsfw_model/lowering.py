"""What Caffe's layers compute, told to `theano_cpu.fuse`.

Importing this module is enough; networks of `nsfw_model.layers` can be fused from then on.
"""

import functools

from theano_cpu.ir import (
    Affine,
    Convolution,
    Elementwise,
    GlobalPool,
    InnerProduct,
    Pool,
    Softmax,
    Sum,
)
from theano_cpu.lowering import lowering_rule

import numpy as np
import theano.tensor as T

from nsfw_model import layers


@lowering_rule(layers.ConvolutionLayer)
def _convolution(layer, value):
    return [Convolution(value(layer.W), value(layer.b), layer.stride, layer.pad, layer.dilation, layer.group)]


@lowering_rule(layers.BatchNormLayer)
def _batch_norm(layer, value):
    scale = _reciprocal_or_zero(value(layer.scale_factor)[0])
    inverse_deviation = (value(layer.variance) * scale + layer.eps) ** -0.5
    return [Affine(inverse_deviation, -value(layer.mean) * scale * inverse_deviation)]


def _reciprocal_or_zero(total):
    if isinstance(total, np.floating):
        return 1 / total if total else 0.0
    return T.switch(T.eq(total, 0), np.float32(0), 1 / total)


@lowering_rule(layers.ScaleLayer)
def _scale(layer, value):
    scale = value(layer.scale)
    if layer.axis != 1 or scale.ndim != 1:
        return None
    return [Affine(scale, 0 * scale if layer.bias is None else value(layer.bias))]


@lowering_rule(layers.PoolingLayer)
def _pooling(layer, value):
    if layer.global_pooling:
        return [GlobalPool(keepdims=True)] if layer.mode == "ave" else None
    mode = "max" if layer.mode == "max" else "average_inc_pad"
    return [Pool(layer.kernel, layer.stride, layer.pad, mode, ceil=True)]


@lowering_rule(layers.EltwiseLayer)
def _eltwise(layer, value):
    if layer.operation == "sum":
        return [Sum(layer.coeff or (1,) * len(layer.input_shapes))]
    combine = T.mul if layer.operation == "prod" else T.maximum
    return [Elementwise(lambda *inputs: functools.reduce(combine, inputs))]


@lowering_rule(layers.InnerProductLayer)
def _inner_product(layer, value):
    return [InnerProduct(value(layer.W), value(layer.b))]


@lowering_rule(layers.SoftmaxLayer)
def _softmax(layer, value):
    return [Softmax()] if len(layer.input_shape) == 2 and layer.axis in (1, -1) else None
