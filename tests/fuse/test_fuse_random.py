"""Random small networks compute the same after `theano_cpu.fuse` as before."""

import theano_cpu

import lasagne
import numpy as np
import pytest
import theano.tensor as T
import unoptimised
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    ElemwiseMergeLayer,
    ElemwiseSumLayer,
    InputLayer,
    Layer,
    NonlinearityLayer,
    Pool2DLayer,
)
from lasagne.nonlinearities import LeakyRectify, rectify, tanh
from unoptimised import value_and_gradient

if not theano_cpu.onednn_available():
    pytest.skip("oneDNN is not the engine", allow_module_level=True)

from theano_cpu import ir
from theano_cpu.lowering import lowering_rule
from theano_cpu.fuse import fuse


class Normalise(Layer):
    def __init__(self, incoming, **kwargs):
        super().__init__(incoming, **kwargs)
        self.scale = self.add_param(lasagne.init.Uniform((0.5, 2)), (self.input_shape[1],))
        self.shift = self.add_param(lasagne.init.Normal(0.5), (self.input_shape[1],))

    def get_output_for(self, input, **kwargs):
        return input * self.scale.dimshuffle("x", 0, "x", "x") + self.shift.dimshuffle("x", 0, "x", "x")


@lowering_rule(Normalise)
def _normalise(layer, value):
    return [ir.Affine(value(layer.scale), value(layer.shift))]


class Mirror(Layer):
    """A layer without a lowering rule."""

    def get_output_for(self, input, **kwargs):
        return input[:, :, ::-1]


def convolution(layer, filters, size, stride, pad, nonlinearity):
    biases = lasagne.init.Normal(0.3)
    return Conv2DLayer(layer, filters, size, stride, pad, b=biases, nonlinearity=nonlinearity)


# Each step makes a layer out of the one before and, some, of an earlier one of the same shape.
ALONE = st.one_of(
    st.builds(
        lambda *settings: lambda layer: convolution(layer, *settings),
        st.integers(1, 4), st.sampled_from([1, 1, 3]), st.sampled_from([1, 2]), st.sampled_from(["same", 1]),
        st.sampled_from([None, None, rectify, LeakyRectify(0.2), tanh]),
    ),
    # A rectified bottleneck and a convolution of its size: what strides move up through
    st.builds(
        lambda stride: lambda layer: convolution(layer, 3, 1, stride, 0, None), st.sampled_from([1, 2]),
    ),
    st.builds(lambda: Normalise),
    st.builds(lambda: NonlinearityLayer),
    st.builds(lambda: Mirror),
    st.builds(lambda: DropoutLayer),
    st.builds(
        lambda mode, down: lambda layer: Pool2DLayer(layer, 2, 2, ignore_border=down, mode=mode),
        st.sampled_from(["max", "average_exc_pad"]), st.booleans(),
    ),
)  # fmt: skip
TOGETHER = st.sampled_from([
    lambda layers: ElemwiseSumLayer(layers),
    lambda layers: ElemwiseSumLayer(layers, coeffs=[2, -1]),
    lambda layers: ElemwiseMergeLayer(layers, T.mul),
    lambda layers: ConcatLayer(layers),
])  # fmt: skip


@st.composite
def recipes(draw):
    """Instructions for a network: (maker, whether it merges, which earlier layer it merges)."""
    steps = draw(st.lists(st.one_of(
        st.tuples(ALONE, st.just(False), st.just(0)), st.tuples(TOGETHER, st.just(True), st.integers(0, 99)),
    ), min_size=2, max_size=9))  # fmt: skip
    return steps, draw(st.sampled_from([None, "dense"]))


def build(recipe):
    steps, end = recipe
    lasagne.random.set_rng(np.random.RandomState(5))
    layers = [InputLayer((None, 3, 8, 7))]
    for make, merges, which in steps:
        layer = layers[-1]
        if merges:
            equals = [other for other in layers if other.output_shape == layer.output_shape]
            layers.append(make([layer, equals[which % len(equals)]]))
        elif min(layer.output_shape[2:]) > 1 or make in (Normalise, NonlinearityLayer, Mirror, DropoutLayer):
            layers.append(make(layer))
    return DenseLayer(layers[-1], 2, nonlinearity=None) if end else layers[-1]


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(recipes(), st.booleans())
def test_a_fused_network_computes_the_same(recipe, trainable):
    network, double = unoptimised.in_float64(lambda: build(recipe))
    x = np.random.RandomState(6).normal(size=(2, 3, 8, 7))
    got = value_and_gradient(fuse(network, trainable=trainable), x.astype("float32"), deterministic=True)
    expected = value_and_gradient(double, x.astype("float32").astype("float64"), deterministic=True)
    for one, other in zip(got, expected):
        assert one.shape == other.shape
        assert np.linalg.norm(one - other) <= 1e-5 * np.linalg.norm(other)
