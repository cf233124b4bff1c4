"""`theano_cpu.lowering`: what each layer is lowered to, with the settings of Lasagne 0.1 and 0.2 alike."""

from types import SimpleNamespace

import theano_cpu  # noqa: F401  # before theano

import lasagne
import numpy as np
import pytest
import theano
import theano.tensor as T
from lasagne import nonlinearities
from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    ElemwiseMergeLayer,
    ElemwiseSumLayer,
    FlattenLayer,
    GaussianNoiseLayer,
    GlobalPoolLayer,
    InputLayer,
    MergeLayer,
    NINLayer,
    NonlinearityLayer,
    Pool2DLayer,
)

from theano_cpu import ir, lowering
from theano_cpu.fuse.graph import Keep, input_layers, read_graph
from theano_cpu.lowering import current_value, lower, lower_nonlinearity, parameter


def image(channels=4, height=9, width=8):
    return InputLayer((None, channels, height, width))


def convolution(**settings):
    """A 3x2 convolution's one description."""
    layer = Conv2DLayer(image(), 6, (3, 1), nonlinearity=None, **settings)
    [found] = lower(layer, current_value)
    np.testing.assert_array_equal(found.W, layer.W.get_value())
    return found


# Values


def test_a_current_value_is_float64_whatever_holds_it():
    x = theano.shared(np.float32([1, 2]))
    for value in x, T.constant([1, 2]), np.float32([1, 2]), [1, 2]:
        found = current_value(value)
        assert found.dtype == np.float64 and found.tolist() == [1, 2]
    assert current_value(None) is None and parameter(x) is x


def test_without_a_word_parameters_themselves_are_described():
    layer = Conv2DLayer(image(), 6, 3)
    assert lower(layer)[0].W is layer.W and lower(layer, parameter)[0].b is layer.b


# Convolutions and products


@pytest.mark.parametrize("settings, expected", [
    ({}, dict(stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1, flip=True)),
    ({"stride": (2, 3), "pad": (1, 2)}, dict(stride=(2, 3), pad=(1, 2))),
    ({"pad": "same"}, dict(pad=(1, 0))),
    ({"pad": "full"}, dict(pad=(2, 0))),
    ({"pad": "valid"}, dict(pad=(0, 0))),
])  # fmt: skip
def test_a_convolution_has_the_geometry_of_its_layer(settings, expected):
    found = convolution(**settings)
    assert {name: getattr(found, name) for name in expected} == expected


def test_lasagne_0_2_has_groups_and_filters_that_are_not_flipped():
    layer = Conv2DLayer(image(), 6, 3, nonlinearity=None)
    layer.num_groups, layer.flip_filters = 2, False
    [found] = lower(layer)
    assert (found.groups, found.flip) == (2, False)


def test_a_convolution_without_a_bias_has_none():
    assert convolution(b=None).b is None and convolution().b.tolist() == [0] * 6


@pytest.mark.parametrize("axes, known", [(1, True), (2, False)])
def test_a_dense_layer_of_lasagne_0_2_may_have_more_leading_axes(axes, known):
    layer = DenseLayer(InputLayer((2, 3)), 5, nonlinearity=None)
    layer.num_leading_axes = axes
    assert (lower(layer) is not None) is known
    if known:
        np.testing.assert_array_equal(lower(layer, current_value)[0].W, layer.W.get_value().T)


def test_a_network_in_network_is_a_convolution_of_single_pixels():
    layer = NINLayer(image(), 6, nonlinearity=None)
    [found] = lower(layer, current_value)
    np.testing.assert_array_equal(found.W[:, :, 0, 0], layer.W.get_value().T)
    assert found.W.shape == (6, 4, 1, 1) and not found.flip and found.b.tolist() == [0] * 6
    assert lower(NINLayer(image(), 6, untie_biases=True)) is None


# Nonlinearities


@pytest.mark.parametrize("function, ndim, expected", [
    (None, 4, []),
    (nonlinearities.linear, 4, []),
    (nonlinearities.rectify, 4, [ir.ReLU(0.0)]),
    (nonlinearities.LeakyRectify(0), 4, [ir.ReLU(0.0)]),
    (nonlinearities.LeakyRectify(0.999), 4, [ir.ReLU(0.999)]),
    (nonlinearities.LeakyRectify(1), 4, None),
    (nonlinearities.LeakyRectify(-0.001), 4, None),
    (nonlinearities.softmax, 2, [ir.Softmax()]),
    (nonlinearities.softmax, 4, None),
    (nonlinearities.tanh, 2, [ir.Elementwise(nonlinearities.tanh)]),
    (nonlinearities.sigmoid, 4, [ir.Elementwise(nonlinearities.sigmoid)]),
    (lambda x: x, 4, None),
])  # fmt: skip
def test_a_nonlinearity_is_a_rectifier_a_softmax_elementwise_or_not_known(function, ndim, expected):
    assert lower_nonlinearity(function, ndim) == expected


def test_a_nonlinearity_follows_what_its_layer_does():
    for layer, first in (Conv2DLayer(image(), 6, 3), ir.Convolution), (DenseLayer(image(), 5), ir.InnerProduct):
        found = lower(layer)
        assert [type(each) for each in found] == [first, ir.ReLU]
    assert lower(NonlinearityLayer(image())) == [ir.ReLU(0.0)]
    assert lower(NonlinearityLayer(image(), nonlinearities.linear)) == []


# Pooling


@pytest.mark.parametrize("mode", ["max", "average_inc_pad", "average_exc_pad"])
def test_a_pooling_that_leaves_the_border_out_is_as_it_says(mode):
    assert lower(Pool2DLayer(image(), (3, 2), (2, 1), (1, 0), mode=mode)) == [ir.Pool((3, 2), (2, 1), (1, 0), mode)]


@pytest.mark.parametrize("mode, expected", [
    ("max", "max"), ("average_inc_pad", "average_exc_pad"), ("average_exc_pad", "average_exc_pad"),
])  # fmt: skip
def test_partial_windows_are_caffes_while_each_begins_within_the_picture(mode, expected):
    def pooled(size, stride, height=9, width=8):
        return lower(Pool2DLayer(image(4, height, width), size, stride, ignore_border=False, mode=mode))

    assert pooled((3, 2), (2, 2)) == [ir.Pool((3, 2), (2, 2), mode=expected, ceil=True)]
    assert pooled((3, 2), (3, 2), 3, 2) == [ir.Pool((3, 2), (3, 2), mode=expected, ceil=True)]
    assert pooled(3, 2, None, None) == [ir.Pool((3, 3), (2, 2), mode=expected, ceil=True)]
    assert pooled((3, 2), (4, 2)) is None and pooled((3, 2), (3, 3)) is None
    assert pooled(3, 2, 2, 8) is None and pooled(3, 2, 8, 2) is None


def test_only_the_mean_over_pictures_is_a_global_pooling():
    assert lower(GlobalPoolLayer(image())) == [ir.GlobalPool(keepdims=False)]
    assert lower(GlobalPoolLayer(InputLayer((None, 3, 5)))) is None
    assert lower(GlobalPoolLayer(image(), pool_function=T.sum)) is None


# Merging


@pytest.mark.parametrize("kind, expected", [
    (lambda sources: ElemwiseSumLayer(sources, coeffs=[1, -2]), ir.Sum((1, -2))),
    (lambda sources: ConcatLayer(sources, axis=1), ir.Concat()),
])  # fmt: skip
def test_inputs_of_one_shape_are_merged_unless_lasagne_0_2_crops_them(kind, expected):
    layer = kind([image(), image()])
    assert lower(layer) == [expected]
    layer.cropping = [None, None, None, None]
    assert lower(layer) == [expected]
    layer.cropping = [None, None, "center", None]
    assert lower(layer) is None


@pytest.mark.parametrize("kind", [ElemwiseSumLayer, lambda sources: ElemwiseMergeLayer(sources, T.mul)])
def test_inputs_of_other_shapes_which_lasagne_0_2_broadcasts_are_not_merged(kind):
    layer = kind([image(), image()])
    assert lower(layer) is not None
    layer.input_shapes = [(None, 4, 9, 8), (None, 1, 9, 8)]
    assert lower(layer) is None


def test_a_merge_is_a_function_of_all_inputs_in_their_order():
    layer = ElemwiseMergeLayer([image(), image(), image()], merge_function=lambda a, b: f"({a} {b})")
    [found] = lower(layer)
    assert found.function("a", "b", "c") == "((a b) c)"
    layer.cropping = [None, None, "center", None]
    assert lower(layer) is None


@pytest.mark.parametrize("outdim, expected", [(1, None), (2, [ir.Flatten()]), (3, None)])
def test_flattening_is_to_matrices(outdim, expected):
    assert lower(FlattenLayer(image(), outdim=outdim)) == expected


def test_noise_does_nothing_but_in_training():
    for kind in DropoutLayer, GaussianNoiseLayer:
        assert lower(kind(image())) == [ir.Identity(deterministic_only=True)]


# Batch normalisation, of Lasagne 0.2


@pytest.mark.parametrize("gamma", [None, [3.0, 4.0]])
@pytest.mark.parametrize("beta", [None, [5.0, 6.0]])
def test_batch_normalisation_is_a_scale_and_a_shift(gamma, beta):
    mean, inv_std = np.array([1.0, -2.0]), np.array([0.5, 2.0])
    layer = SimpleNamespace(
        axes=(0, 2, 3),
        input_shape=(None, 2, 9, 8),
        mean=mean,
        inv_std=inv_std,
        gamma=None if gamma is None else np.array(gamma),
        beta=None if beta is None else np.array(beta),
    )
    [found] = lowering._batch_norm(layer, current_value)
    x = np.array([7.0, 8.0])
    expected = (x - mean) * inv_std * (1 if gamma is None else np.array(gamma)) + (
        0 if beta is None else np.array(beta)
    )
    np.testing.assert_allclose(x * found.scale + found.shift, expected)
    assert found.deterministic_only


@pytest.mark.parametrize("axes, shape, known", [
    ((0, 2, 3), (None, 2, 9, 8), True), ((0,), (None, 2), True),
    ((0,), (None, 2, 9, 8), False), ((0, 1, 2, 3), (None, 2, 9, 8), False), ((0, 2), (None, 2, 9, 8), False),
])  # fmt: skip
def test_batch_normalisation_is_over_all_axes_but_the_channels(axes, shape, known):
    one = np.ones(2)
    layer = SimpleNamespace(axes=axes, input_shape=shape, mean=one, inv_std=one, gamma=None, beta=None)
    assert (lowering._batch_norm(layer, current_value) is not None) is known


# The graph


def descriptions(outputs, trainable=False):
    return [type(node.description) for node in read_graph(outputs, trainable).nodes()]


def test_what_an_inverse_layer_differentiates_stays_as_it_is(monkeypatch):
    class InverseLayer(MergeLayer):
        """As in Lasagne 0.2: its second input is the layer that is inverted."""

        def __init__(self, incoming, layer):
            super().__init__([incoming, layer])

        def get_output_shape_for(self, input_shapes):
            return input_shapes[0]

    monkeypatch.setattr(lasagne.layers, "InverseLayer", InverseLayer, raising=False)
    first = Conv2DLayer(image(), 4, 1, nonlinearity=None)
    inverted = Conv2DLayer(first, 4, 1, nonlinearity=None)
    assert descriptions([inverted]) == [Keep, ir.Convolution, ir.Convolution]
    assert descriptions([InverseLayer(inverted, inverted)]) == [Keep, ir.Convolution, Keep, Keep]


def test_a_shape_in_place_of_a_layer_is_no_input():
    layer = ConcatLayer([(None, 3, 9, 8), image()])
    assert input_layers(layer) == [None, layer.input_layers[1]]
    assert input_layers(image()) == [None]
    assert descriptions([layer]) == [Keep, Keep]  # nothing is known of what it will be given


def test_in_training_what_behaves_otherwise_then_stays_as_it_is():
    layer = Conv2DLayer(DropoutLayer(image()), 4, 1)
    assert descriptions([layer]) == [Keep, ir.Convolution, ir.ReLU]
    assert descriptions([layer], trainable=True) == [Keep, Keep, ir.Convolution, ir.ReLU]


def test_nodes_have_their_layers_shapes_and_parameters_once():
    layer = Conv2DLayer(image(), 6, (3, 1), name="first")
    for trainable in False, True:
        source, filtered, rectified = read_graph([layer], trainable).nodes()
        assert filtered.inputs == [source] and rectified.inputs == [filtered]
        assert filtered.shape == rectified.shape == layer.output_shape and source.shape == (None, 4, 9, 8)
        assert filtered.weights_shape == (6, 4, 3, 1) and rectified.weights_shape == ()
        assert (filtered.layers, rectified.layers) == ([layer], [])
        assert (filtered.name, rectified.name, filtered.slope) == ("first", "first", None)
        assert (filtered.description.W is layer.W) is trainable
