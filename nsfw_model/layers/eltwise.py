"""Eltwise: the sum, product or maximum of several inputs. Caffe's eltwise_layer.cpp."""

from __future__ import annotations

import functools

import numpy as np
import theano.tensor as T
from lasagne.layers import MergeLayer

from nsfw_model.layers.arguments import called, expect
from nsfw_model.layers.building import builds, take
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule

__all__ = ["EltwiseLayer"]


class EltwiseLayer(MergeLayer):
    """Sum, product or maximum of several inputs of one shape. Caffe's eltwise_layer.cpp.

    The sum of a block's input and output makes a residual network [1]_, such as Open NSFW.

    Parameters
    ----------
    incomings : list of Layer or tuple
    operation : {"sum", "prod", "max"}
    coeff : sequence of float, optional
        One factor for each input of a sum; all 1 if left out.

    References
    ----------
    .. [1] Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun (2016): Deep Residual Learning for Image Recognition.
           CVPR. https://arxiv.org/abs/1512.03385

    Examples
    --------
    >>> EltwiseLayer([(None, 8, 7, 7), (None, 8, 7, 7)], "sum", coeff=(1, -1)).output_shape
    (None, 8, 7, 7)
    """

    def __init__(self, incomings, operation="sum", coeff=None, **kwargs):
        super().__init__(incomings, **kwargs)
        if operation not in ("sum", "prod", "max"):
            raise ValueError(f"{called(self)}: operation: got {operation!r}, expected 'sum', 'prod' or 'max'")
        if coeff is not None:
            expect(self, "operation with coefficients", operation, "sum")
            expect(self, "number of coefficients", len(coeff), len(incomings))
        self.operation = operation
        self.coeff = None if coeff is None else tuple(coeff)

    def get_output_shape_for(self, input_shapes):
        first = input_shapes[0]
        for shape in input_shapes[1:]:
            if len(shape) != len(first) or any(None not in (a, b) and a != b for a, b in zip(shape, first)):
                raise ValueError(f"{called(self)}: inputs of one shape are expected, got {list(input_shapes)}")
        return first

    def get_output_for(self, inputs, **kwargs):
        if self.coeff is not None:
            inputs = [x if c == 1 else np.float32(c) * x for x, c in zip(inputs, self.coeff)]
        return _combined(_COMBINE[self.operation], inputs)


_COMBINE = {"sum": T.add, "prod": T.mul, "max": T.maximum}
_GROUP = 64  # inputs


def _combined(combine, inputs):
    """One after the other, as Caffe; many in groups, since Theano walks through a graph by recursion."""
    while len(inputs) > _GROUP:
        groups = [inputs[at : at + _GROUP] for at in range(0, len(inputs), _GROUP)]
        inputs = [functools.reduce(combine, group) for group in groups]
    return functools.reduce(combine, inputs)


@lowering_rule(EltwiseLayer)
def _lower(layer, value):
    if len(layer.input_shapes) > _GROUP:
        return None
    if layer.operation == "sum":
        return [ir.Sum(layer.coeff or (1,) * len(layer.input_shapes))]
    combine = _COMBINE[layer.operation]
    return [ir.Elementwise(lambda *inputs: functools.reduce(combine, inputs))]


@builds("Eltwise", lowered=True)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    return EltwiseLayer(incomings, spec.settings["operation"], spec.settings["coeff"], name=spec.name)
