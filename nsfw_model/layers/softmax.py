"""Softmax. Caffe's softmax_layer.cpp."""

from __future__ import annotations

import theano.tensor as T
from lasagne.layers import Layer

from nsfw_model.layers.building import axis_of, builds, take
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule

__all__ = ["SoftmaxLayer"]


class SoftmaxLayer(Layer):
    """Exponentials along an axis, divided by their sum. Caffe's softmax_layer.cpp.

    Parameters
    ----------
    incoming : Layer or tuple
    axis : int

    Examples
    --------
    >>> SoftmaxLayer((None, 2)).output_shape
    (None, 2)
    """

    def __init__(self, incoming, axis=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.axis = axis

    def get_output_for(self, input, **kwargs):
        if input.ndim == 2 and self.axis == 1:
            return T.nnet.softmax(input)
        exponentials = T.exp(input - input.max(axis=self.axis, keepdims=True))
        return exponentials / exponentials.sum(axis=self.axis, keepdims=True)


@lowering_rule(SoftmaxLayer)
def _lower(layer, value):
    return [ir.Softmax()] if len(layer.input_shape) == 2 and layer.axis in (1, -1) else None


@builds("Softmax", lowered=True)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    return SoftmaxLayer(incomings[0], axis_of(spec, incomings[0]), name=spec.name)
