"""Functions of one value, applied to each. Caffe's absval_layer.cpp, power_layer.cpp and so on, one for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer, NonlinearityLayer
from lasagne.nonlinearities import sigmoid, tanh

from nsfw_model.layers.building import BUILDERS, Builder, take
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule

__all__ = ["ElementwiseLayer"]


class ElementwiseLayer(Layer):
    """A function of each value.

    Parameters
    ----------
    incoming : Layer or tuple
    formula : callable
        From a Theano variable to one of the same shape, element by element.

    Examples
    --------
    >>> ElementwiseLayer((None, 3, 7, 7), abs).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, formula, **kwargs):
        super().__init__(incoming, **kwargs)
        self.formula = formula

    def get_output_for(self, input, **kwargs):
        return self.formula(input)


@lowering_rule(ElementwiseLayer)
def _lower(layer, value):
    return [ir.Elementwise(layer.formula)]


# One for each of Caffe's types: the settings of a layer, as float32 numbers, to its function.


def _clip(low, high):
    """clip_layer.cpp"""
    return lambda x: T.maximum(low, T.minimum(x, high))


def _elu(alpha):
    """elu_layer.cpp; Djork-Arne Clevert, Thomas Unterthiner, Sepp Hochreiter (2015): Fast and Accurate Deep Network
    Learning by Exponential Linear Units (ELUs). https://arxiv.org/abs/1511.07289
    """
    zero = np.float32(0)
    return lambda x: T.maximum(x, zero) + alpha * (T.exp(T.minimum(x, zero)) - np.float32(1))


def _exp(base, scale, shift):
    """exp_layer.cpp: base to the power of shift + scale x"""
    inner = np.float32(_log_of(base) * scale)
    outer = np.float32(math.exp(_log_of(base) * shift))
    return lambda x: outer * T.exp(inner * x)


def _log(base, scale, shift):
    """log_layer.cpp: the logarithm to a base of shift + scale x"""
    factor = np.float32(1 / _log_of(base))
    return lambda x: factor * T.log(scale * x + shift)


def _log_of(base):
    return 1.0 if base == -1 else math.log(base)


def _power(power, scale, shift):
    """power_layer.cpp: shift + scale x to a power"""
    if power == 1:
        return lambda x: scale * x + shift
    return lambda x: (scale * x + shift) ** power


def _softplus():
    """bnll_layer.cpp: log(1 + exp(x))"""
    return lambda x: T.maximum(x, np.float32(0)) + T.log1p(T.exp(-abs(x)))


def _swish(beta):
    """swish_layer.cpp; Prajit Ramachandran, Barret Zoph, Quoc V. Le (2017): Searching for Activation Functions.
    https://arxiv.org/abs/1710.05941
    """
    return lambda x: x * T.nnet.sigmoid(beta * x)


def _threshold(threshold):
    """threshold_layer.cpp: 1 above it, 0 elsewhere"""
    return lambda x: T.cast(T.gt(x, threshold), "float32")


_FORMULAS: dict[str, Callable[..., Callable[[Any], Any]]] = {
    "AbsVal": lambda: abs,  # absval_layer.cpp
    "BNLL": _softplus,
    "Clip": _clip,
    "ELU": _elu,
    "Exp": _exp,
    "Log": _log,
    "Power": _power,
    "Swish": _swish,
    "Threshold": _threshold,
}


def _build_formula(spec, incomings, blobs):
    take(spec, blobs)
    settings = {name: np.float32(value) for name, value in spec.settings.items()}
    return ElementwiseLayer(incomings[0], _FORMULAS[spec.type](**settings), name=spec.name)


_NONLINEARITIES = {"Sigmoid": sigmoid, "TanH": tanh}  # sigmoid_layer.cpp, tanh_layer.cpp


def _build_nonlinearity(spec, incomings, blobs):
    take(spec, blobs)
    return NonlinearityLayer(incomings[0], _NONLINEARITIES[spec.type], name=spec.name)


BUILDERS.update({name: Builder(_build_formula, lowered=True) for name in _FORMULAS})
BUILDERS.update({name: Builder(_build_nonlinearity, lowered=True) for name in _NONLINEARITIES})
