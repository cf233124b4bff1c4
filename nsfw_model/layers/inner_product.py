"""InnerProduct: a fully connected layer. Caffe's inner_product_layer.cpp."""

from __future__ import annotations

from math import prod

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer

from nsfw_model.layer_types.reading import axis_is_channels
from nsfw_model.layers.arguments import expect, shape_of
from nsfw_model.layers.building import builds, take
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule

__all__ = ["InnerProductLayer"]


class InnerProductLayer(Layer):
    """A matrix times each picture's values, flattened: a fully connected layer. Caffe's inner_product_layer.cpp.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, ...) with K values for each picture.
    W : float32 array or shared variable, shape (num_output, K)
    b : float32 array or shared variable, shape (num_output,), optional

    Examples
    --------
    >>> import numpy as np
    >>> InnerProductLayer((None, 1024, 1, 1), np.ones((2, 1024), "float32")).output_shape
    (None, 2)
    """

    def __init__(self, incoming, W, b=None, **kwargs):
        super().__init__(incoming, **kwargs)
        self.num_output, inputs = shape_of(W)
        if None not in self.input_shape[1:]:
            expect(self, "inputs", int(np.prod(self.input_shape[1:])), inputs)
        self.W = self.add_param(W, shape_of(W), name="W")
        self.b = None if b is None else self.add_param(b, (self.num_output,), name="b", regularizable=False)

    def get_output_shape_for(self, input_shape):
        return (input_shape[0], self.num_output)

    def get_output_for(self, input, **kwargs):
        output = T.dot(input.flatten(2), self.W.T)
        return output if self.b is None else output + self.b


@lowering_rule(InnerProductLayer)
def _lower(layer, value):
    return [ir.InnerProduct(value(layer.W), value(layer.b))]


@builds("InnerProduct", lowered=True)
def _build(spec, incomings, blobs):
    s, (incoming,) = spec.settings, incomings
    axis_is_channels(spec, s["axis"], len(incoming.output_shape))
    inputs = prod(incoming.output_shape[1:])
    shape = (inputs, s["num_output"]) if s["transpose"] else (s["num_output"], inputs)
    W, b = take(spec, blobs, matrix=shape, bias=(s["num_output"],) if s["bias"] else None)
    return InnerProductLayer(incoming, np.ascontiguousarray(W.T) if s["transpose"] else W, b, name=spec.name)
