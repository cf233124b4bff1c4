"""`theano_cpu.fuse`: which layers become one operation, which must not, and that the values stay the same."""

import functools
from collections import Counter

import theano_cpu

import lasagne
import numpy as np
import pytest
import theano
import theano.tensor as T
import unoptimised
from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    DimshuffleLayer,
    DropoutLayer,
    ElemwiseMergeLayer,
    ElemwiseSumLayer,
    FlattenLayer,
    GaussianNoiseLayer,
    GlobalPoolLayer,
    InputLayer,
    Layer,
    MaxPool2DLayer,
    NINLayer,
    NonlinearityLayer,
    Pool2DLayer,
    get_all_layers,
    get_all_param_values,
    get_all_params,
    get_output,
    get_output_shape,
)
from lasagne.nonlinearities import LeakyRectify, rectify, sigmoid, softmax, tanh
from theano.configparser import change_flags
from unoptimised import value_and_gradient

if not theano_cpu.onednn_available():
    pytest.skip("oneDNN is not installed", allow_module_level=True)

from theano_cpu import ir
from theano_cpu.lowering import lower, lowering_rule
from theano_cpu.fuse import fuse


class ChannelAffine(Layer):
    """``x * scale + shift``; Lasagne 0.1 has no layer that can be folded."""

    def __init__(self, incoming, **kwargs):
        super().__init__(incoming, **kwargs)
        channels = (self.input_shape[1],)
        self.scale = self.add_param(lasagne.init.Uniform((0.5, 2)), channels, name="scale")
        self.shift = self.add_param(lasagne.init.Normal(0.5), channels, name="shift", regularizable=False)

    def get_output_for(self, input, **kwargs):
        pattern = ["x", 0] + ["x"] * (input.ndim - 2)
        return input * self.scale.dimshuffle(pattern) + self.shift.dimshuffle(pattern)


@lowering_rule(ChannelAffine)
def _channel_affine(layer, value):
    return [ir.Affine(value(layer.scale), value(layer.shift))]


class Mystery(Layer):
    """A layer without a lowering rule: it reverses the channels."""

    def get_output_for(self, input, **kwargs):
        return input[:, ::-1]


@pytest.fixture(autouse=True)
def _seed():
    lasagne.random.set_rng(np.random.RandomState(7))


def image(channels=3, height=9, width=8, batch=None):
    return InputLayer((batch, channels, height, width))


def conv(incoming, filters, size, nonlinearity=None, **kwargs):
    return Conv2DLayer(
        incoming,
        filters,
        size,
        b=lasagne.init.Normal(0.3),
        nonlinearity=nonlinearity,
        **{"pad": "same", **kwargs},
    )


def relu(incoming):
    return NonlinearityLayer(incoming)


def kinds(*layers):
    """How many layers of each class there are below the given ones, without the inputs."""
    names = [type(layer).__name__ for layer in get_all_layers(list(layers))]
    return Counter(name for name in names if name != "InputLayer")


def convolutions(*layers):
    return [layer for layer in get_all_layers(list(layers)) if type(layer).__name__ == "FusedConvolutionLayer"]


def relative_l2(got, expected):
    return np.linalg.norm(np.subtract(got, expected)) / max(np.linalg.norm(expected), 1e-30)


def assert_equivalent(build, trainable=False, shape=None, **kwargs):
    """Fuse the network that `build()` builds; compare output and input gradient with it in float64."""
    network, double = unoptimised.in_float64(build)
    fused = fuse(network, trainable=trainable)
    input_layer = get_all_layers(network)[0]
    shape = shape or tuple(2 if side is None else side for side in input_layer.shape)
    x = np.random.RandomState(1).normal(size=shape).astype("float32")
    kwargs = {"deterministic": True, **kwargs}
    y, gradient = value_and_gradient(fused, x, **kwargs)
    expected_y, expected_gradient = value_and_gradient(double, x.astype("float64"), **kwargs)
    assert y.shape == expected_y.shape and y.dtype == np.float32
    assert relative_l2(y, expected_y) < 1e-5
    assert relative_l2(gradient, expected_gradient) < 1e-5
    assert fused.output_shape == network.output_shape
    return fused


# --- folding


def test_an_affine_layer_is_folded_into_the_convolution_before_it():
    fused = assert_equivalent(lambda: ChannelAffine(ChannelAffine(conv(image(), 4, 3))))
    assert kinds(fused) == {"ToNHWC": 1, "FusedConvolutionLayer": 1, "ToNCHW": 1}


def test_an_affine_layer_is_folded_into_a_convolution_without_bias():
    fused = assert_equivalent(lambda: ChannelAffine(Conv2DLayer(image(), 4, 3, b=None, nonlinearity=None)))
    assert kinds(fused)["FusedAffineLayer"] == 0


def test_an_affine_layer_is_folded_into_the_inner_product_before_it():
    fused = assert_equivalent(lambda: ChannelAffine(DenseLayer(InputLayer((None, 6)), 4, nonlinearity=None)))
    assert kinds(fused) == {"FusedInnerProductLayer": 1}


def test_an_affine_layer_is_not_folded_when_something_else_reads_the_convolution():
    def build():
        convolution = conv(image(), 4, 3)
        return ElemwiseMergeLayer([ChannelAffine(convolution), convolution], T.mul)

    fused = assert_equivalent(build)
    assert kinds(fused)["FusedConvolutionLayer"] == kinds(fused)["FusedAffineLayer"] == 1


def test_an_affine_layer_is_not_folded_when_the_convolution_is_an_output_too():
    convolution = conv(image(), 4, 3)
    assert kinds(*fuse([ChannelAffine(convolution), convolution]))["FusedAffineLayer"] == 1


def test_an_affine_layer_before_a_padded_convolution_stays():
    fused = assert_equivalent(lambda: conv(ChannelAffine(image()), 4, 3))
    assert kinds(fused)["FusedAffineLayer"] == 1


def test_an_affine_layer_is_not_folded_past_a_rectifier():
    fused = assert_equivalent(lambda: ChannelAffine(relu(conv(image(), 4, 3))))
    assert kinds(fused)["FusedAffineLayer"] == 1


def test_an_affine_layer_is_not_folded_past_a_residual_sum():
    def build():
        x = image(4)
        return ChannelAffine(ElemwiseSumLayer([x, conv(x, 4, 3)]))

    fused = assert_equivalent(build)
    assert kinds(fused)["FusedAffineLayer"] == 1


def test_frozen_weights_are_folded_in_float64():
    convolution = conv(InputLayer((1, 2, 1, 1)), 3, 1)
    scaled = ChannelAffine(convolution)
    [fused] = convolutions(fuse(scaled))
    W = convolution.W.get_value() * scaled.scale.get_value().astype("float64")[:, None, None, None]
    assert isinstance(fused.W, theano.Constant)
    np.testing.assert_array_equal(fused.W.data, W[:, :, ::-1, ::-1].astype("float32"))


# --- rectifiers


@pytest.mark.parametrize("nonlinearity, slope", [(rectify, 0), (LeakyRectify(0.1), 0.1)])
def test_a_rectifier_is_done_by_the_convolution(nonlinearity, slope):
    fused = assert_equivalent(lambda: conv(image(), 4, 3, nonlinearity))
    assert kinds(fused) == {"ToNHWC": 1, "FusedConvolutionLayer": 1, "ToNCHW": 1}
    assert [layer.slope for layer in convolutions(fused)] == [slope]


def test_a_rectifier_is_not_done_by_the_convolution_when_something_else_reads_it():
    def build():
        convolution = conv(image(), 4, 3)
        return ConcatLayer([convolution, relu(convolution)])

    fused = assert_equivalent(build)
    assert [layer.slope for layer in convolutions(fused)] == [None]
    assert kinds(fused)["FusedElementwiseLayer"] == 1


@pytest.mark.parametrize("nonlinearity", [sigmoid, tanh])
def test_another_elementwise_nonlinearity_does_not_change_the_layout(nonlinearity):
    fused = assert_equivalent(lambda: conv(conv(image(), 4, 3, nonlinearity), 2, 1))
    assert kinds(fused) == {"ToNHWC": 1, "FusedConvolutionLayer": 2, "FusedElementwiseLayer": 1, "ToNCHW": 1}


# --- residual sums


def test_a_residual_sum_and_its_rectifier_are_done_by_the_convolution():
    def build():
        x = image(4)
        return relu(ElemwiseSumLayer([x, ChannelAffine(conv(x, 4, 3))]))

    fused = assert_equivalent(build)
    assert kinds(fused) == {"ToNHWC": 1, "FusedConvolutionLayer": 1, "ToNCHW": 1}
    [convolution] = convolutions(fused)
    assert len(convolution.input_layers) == 2 and convolution.slope == 0


def test_a_sum_of_three_convolutions_needs_no_operation_of_its_own():
    def build():
        x = image()
        return ElemwiseSumLayer([conv(x, 4, 3), conv(x, 4, 1), conv(x, 4, 5)])

    fused = assert_equivalent(build)
    assert kinds(fused) == {"ToNHWC": 1, "FusedConvolutionLayer": 3, "ToNCHW": 1}


def test_a_residual_sum_stays_when_something_else_reads_the_convolution():
    def build():
        x = image(4)
        convolution = conv(x, 4, 3)
        return ConcatLayer([ElemwiseSumLayer([x, convolution]), convolution])

    fused = assert_equivalent(build)
    assert kinds(fused)["ElemwiseSumLayer"] == 1


def test_a_convolution_added_to_itself_stays_a_sum():
    def build():
        convolution = conv(image(), 4, 3)
        return ElemwiseSumLayer([convolution, convolution])

    assert kinds(assert_equivalent(build))["ElemwiseSumLayer"] == 1


def test_a_sum_with_other_coefficients_stays():
    def build():
        x = image(4)
        return ElemwiseSumLayer([x, conv(x, 4, 3)], coeffs=[1, -2])

    assert kinds(assert_equivalent(build))["ElemwiseSumLayer"] == 1


def test_a_sum_after_a_rectifier_stays():
    def build():
        x = image(4)
        return ElemwiseSumLayer([x, relu(conv(x, 4, 3))])

    assert kinds(assert_equivalent(build))["ElemwiseSumLayer"] == 1


# --- strides


def block(incoming, filters, stride=1):
    """A bottleneck block of the first ResNets, with the stride on its first layers."""
    shortcut = incoming
    if stride != 1 or incoming.output_shape[1] != 2 * filters:
        shortcut = ChannelAffine(conv(incoming, 2 * filters, 1, stride=stride))
    branch = relu(ChannelAffine(conv(incoming, filters, 1, stride=stride)))
    branch = relu(ChannelAffine(conv(branch, filters, 3)))
    branch = ChannelAffine(conv(branch, 2 * filters, 1))
    return relu(ElemwiseSumLayer([shortcut, branch]))


def strides(*layers):
    return [layer.stride for layer in convolutions(*layers)]


def test_a_stride_moves_up_through_a_residual_block():
    fused = assert_equivalent(lambda: block(block(block(image(9), 2), 2), 3, stride=2))
    assert kinds(fused) == {"ToNHWC": 1, "FusedConvolutionLayer": 11, "FusedSubsampleLayer": 1, "ToNCHW": 1}
    moved = [layer for layer in convolutions(fused) if layer.stride != (1, 1)]
    assert [layer.filter_shape for layer in moved] == [(2, 2, 3, 3)]
    whole = [layer.output_shape[1:3] for layer in convolutions(fused) if layer.output_shape[1:3] == (9, 8)]
    assert len(whole) == 5  # the first block's four, and the 1x1 of the second


def test_strides_of_several_stages_move_up():
    fused = assert_equivalent(lambda: block(block(block(image(3, 13, 11), 2), 3, stride=2), 2, stride=3))
    assert kinds(fused)["FusedSubsampleLayer"] == 0  # both shortcuts are convolutions, which take the stride
    assert (3, 3) in strides(fused) and (2, 2) in strides(fused)


def test_a_stride_moves_up_a_chain_to_the_first_larger_convolution():
    fused = assert_equivalent(lambda: conv(relu(conv(relu(conv(image(), 4, 3)), 5, 1)), 2, 1, stride=2))
    assert strides(fused) == [(2, 2), (1, 1), (1, 1)]


def test_a_stride_multiplies_the_one_it_meets():
    fused = assert_equivalent(lambda: conv(conv(image(3, 13, 14), 4, 5, stride=2), 2, 1, stride=3))
    assert strides(fused) == [(6, 6), (1, 1)]


def test_a_stride_moves_up_through_concatenation_and_elementwise_layers():
    def build():
        x = image()
        both = ConcatLayer([conv(x, 2, 3, tanh), ElemwiseMergeLayer([conv(x, 2, 1), conv(x, 2, 3)], T.mul)])
        return conv(both, 2, 1, stride=2)

    fused = assert_equivalent(build)
    assert strides(fused).count((2, 2)) == 3 and kinds(fused)["FusedSubsampleLayer"] == 0


def test_a_stride_moves_up_through_a_pooling_that_rounds_down():
    fused = assert_equivalent(lambda: conv(Pool2DLayer(conv(image(), 3, 3), 3, stride=1), 2, 1, stride=2))
    [pool] = [layer for layer in get_all_layers(fused) if type(layer).__name__ == "FusedPoolLayer"]
    assert pool.pool.stride == (2, 2) and strides(fused) == [(1, 1), (1, 1)]


def test_a_stride_stays_after_a_pooling_that_rounds_up():
    def build():
        return conv(Pool2DLayer(conv(image(), 3, 3), 3, stride=2, ignore_border=False), 2, 1, stride=2)

    assert strides(assert_equivalent(build)) == [(1, 1), (2, 2)]


def test_a_pooling_of_single_pixels_is_a_stride():
    fused = assert_equivalent(lambda: Pool2DLayer(conv(image(), 3, 3), 1, stride=2))
    assert kinds(fused)["FusedPoolLayer"] == 0 and strides(fused) == [(2, 2)]


def test_a_stride_stays_when_another_reader_needs_everything():
    def build():
        x = conv(image(), 4, 3)
        return GlobalPoolLayer(x), conv(x, 2, 1, stride=2)

    assert strides(*fuse(build())) == [(1, 1), (2, 2)]


def test_a_stride_stays_when_readers_disagree():
    def build():
        x = conv(image(), 4, 3)
        return conv(x, 2, 1, stride=2), conv(x, 2, 1, stride=3)

    assert sorted(strides(*fuse(build()))) == [(1, 1), (2, 2), (3, 3)]


def test_a_stride_stays_when_its_input_is_an_output():
    x = conv(image(), 4, 3)
    assert strides(*fuse([x, conv(x, 2, 1, stride=2)])) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("size, stride", [(3, 2), (1, (2, 1))])
def test_a_stride_stays_where_more_than_a_regular_grid_is_read(size, stride):
    fused = assert_equivalent(lambda: conv(conv(image(), 4, 3), 2, size, stride=stride))
    assert strides(fused)[0] == (1, 1)


def test_a_stride_with_padding_stays():
    fused = assert_equivalent(lambda: conv(conv(image(), 4, 3), 2, 1, stride=2, pad=1))
    assert strides(fused) == [(1, 1), (2, 2)]


# --- layout, and layers that are left alone


def test_the_layout_is_converted_once():
    def build():
        layer = Pool2DLayer(conv(image(), 4, 3, tanh), 2)
        return DenseLayer(GlobalPoolLayer(conv(layer, 5, 3)), 2, nonlinearity=softmax)

    fused = assert_equivalent(build)
    assert kinds(fused) == {
        "ToNHWC": 1,
        "FusedConvolutionLayer": 2,
        "FusedElementwiseLayer": 1,
        "FusedPoolLayer": 1,
        "FusedGlobalPoolLayer": 1,
        "FusedInnerProductLayer": 1,
        "FusedSoftmaxLayer": 1,
    }


def test_an_unknown_layer_is_kept_between_two_layout_conversions():
    fused = assert_equivalent(lambda: GlobalPoolLayer(conv(Mystery(conv(image(), 4, 3)), 5, 3)))
    assert kinds(fused) == {
        "ToNHWC": 2,
        "ToNCHW": 1,
        "Mystery": 1,
        "FusedConvolutionLayer": 2,
        "FusedGlobalPoolLayer": 1,
    }


def test_unknown_layers_among_themselves_need_no_layout_conversion():
    def build():
        x = image()
        mystery = Mystery(relu(Mystery(x)))
        return ChannelAffine(ConcatLayer([ElemwiseSumLayer([mystery, x]), x]))

    network = build()
    assert {"ToNHWC", "ToNCHW"}.isdisjoint(kinds(assert_equivalent(build)))
    assert kinds(fuse(network))["Mystery"] == 2


def test_a_layer_that_is_read_in_both_layouts_is_converted_once():
    def build():
        x = conv(image(), 4, 3)
        return ElemwiseSumLayer([Mystery(x), DimshuffleLayer(DimshuffleLayer(x, (1, 0, 2, 3)), (1, 0, 2, 3))])

    assert kinds(assert_equivalent(build))["ToNCHW"] == 1


def test_a_network_of_unknown_layers_is_returned_as_it_is():
    network = Mystery(Mystery(image()))
    assert fuse(network) is network


def test_the_original_network_is_not_changed():
    network = Mystery(conv(image(), 4, 3))
    before = get_all_layers(network)
    fuse(network)
    assert get_all_layers(network) == before


def test_a_subclass_with_another_computation_is_left_alone():
    class Doubled(Conv2DLayer):
        def get_output_for(self, input, **kwargs):
            return 2 * super().get_output_for(input, **kwargs)

    class Renamed(Conv2DLayer):
        def __init__(self, incoming, **kwargs):
            super().__init__(incoming, 4, 3, **kwargs)

    assert kinds(assert_equivalent(lambda: Doubled(image(), 4, 3))) == {"Doubled": 1}
    assert kinds(assert_equivalent(lambda: Renamed(image())))["FusedConvolutionLayer"] == 1


def test_a_layer_with_a_method_of_its_own_is_left_alone():
    layer = conv(image(), 4, 3)
    layer.get_output_for = lambda input, **kwargs: input
    assert lower(layer) is None


@pytest.mark.parametrize("build", [
    lambda: conv(image(), 4, 3, untie_biases=True),
    lambda: conv(image(), 4, 3, convolution=lambda *args, **kwargs: T.nnet.conv2d(*args, **kwargs)),
    lambda: conv(image(), 4, 3, nonlinearity=lambda x: x[:, ::-1]),
    lambda: Pool2DLayer(image(), 3, stride=4, ignore_border=False),
    lambda: Pool2DLayer(image(), 2, mode="sum"),
    lambda: GlobalPoolLayer(image(), pool_function=T.max),
    lambda: FlattenLayer(image(), outdim=3),
    lambda: ConcatLayer([image(), image()], axis=2),
    lambda: NonlinearityLayer(image(), LeakyRectify(2.0)),
])  # fmt: skip
def test_a_setting_without_an_operation_leaves_the_layer_alone(build):
    assert lower(build()) is None


def test_only_known_convolutions_are_fused_around_one_that_is_left_alone():
    fused = assert_equivalent(lambda: conv(conv(image(), 4, 3, untie_biases=True), 2, 3))
    assert kinds(fused) == {"Conv2DLayer": 1, "ToNHWC": 1, "FusedConvolutionLayer": 1, "ToNCHW": 1}


# --- each known layer


@pytest.mark.parametrize("pad", ["valid", "full", "same", 0, 2, (1, 0)])
@pytest.mark.parametrize("size, stride", [((3, 5), 1), (1, 1), (3, (2, 3))])
def test_convolutions(pad, size, stride):
    fused = assert_equivalent(lambda: conv(image(), 4, size, stride=stride, pad=pad))
    assert kinds(fused)["FusedConvolutionLayer"] == 1


@pytest.mark.skipif(lasagne.__version__ >= "0.2", reason="Lasagne 0.2 refuses it")
def test_convolutions_padded_on_one_side_more_are_left_alone():
    assert kinds(assert_equivalent(lambda: conv(image(), 4, 4))) == {"Conv2DLayer": 1}


@pytest.mark.parametrize("mode", ["max", "average_inc_pad", "average_exc_pad"])
@pytest.mark.parametrize("size, stride, pad, ignore_border", [
    (2, None, 0, True), (3, 2, 1, True), ((2, 3), (1, 2), 0, True), (3, 2, (1, 0), True),
    (3, 2, 0, False), (2, 2, 0, False), ((4, 3), (3, 1), 0, False),
])  # fmt: skip
def test_poolings(size, stride, pad, ignore_border, mode):
    fused = assert_equivalent(lambda: Pool2DLayer(image(), size, stride, pad, ignore_border, mode))
    assert kinds(fused)["FusedPoolLayer"] == 1


@pytest.mark.parametrize("build, expected", [
    (lambda: MaxPool2DLayer(image(), 2), {"ToNHWC": 1, "FusedPoolLayer": 1, "ToNCHW": 1}),
    (lambda: GlobalPoolLayer(image()), {"ToNHWC": 1, "FusedGlobalPoolLayer": 1}),
    (lambda: NINLayer(image(), 4), {"ToNHWC": 1, "FusedConvolutionLayer": 1, "ToNCHW": 1}),
    (lambda: NINLayer(InputLayer((None, 3, 5)), 4), {"NINLayer": 1}),
    (lambda: FlattenLayer(image()), {"FlattenLayer": 1}),
    (lambda: FlattenLayer(conv(image(), 4, 3)),
     {"ToNHWC": 1, "FusedConvolutionLayer": 1, "ToNCHW": 1, "FlattenLayer": 1}),
    (lambda: DenseLayer(InputLayer((None, 5)), 3), {"FusedInnerProductLayer": 1, "FusedElementwiseLayer": 1}),
    (lambda: DenseLayer(InputLayer((None, 5)), 3, b=None, nonlinearity=None), {"FusedInnerProductLayer": 1}),
    (lambda: ElemwiseSumLayer([image(), image()][:1], coeffs=0.5), {"ElemwiseSumLayer": 1}),
    (lambda: GaussianNoiseLayer(DropoutLayer(image())), {}),
])  # fmt: skip
def test_other_layers(build, expected):
    assert kinds(assert_equivalent(build)) == expected


def test_a_dense_layer_reads_features_in_nhwc():
    build = lambda: DenseLayer(FlattenLayer(DropoutLayer(conv(image(), 4, 3))), 2, nonlinearity=softmax)  # noqa: E731
    fused = assert_equivalent(build)
    assert kinds(fused) == {
        "ToNHWC": 1,
        "FusedConvolutionLayer": 1,
        "FlattenLayer": 1,
        "FusedInnerProductLayer": 1,
        "FusedSoftmaxLayer": 1,
    }


def test_a_dense_layer_reads_features_in_nchw_where_weights_stay_variables():
    build = lambda: DenseLayer(conv(image(), 4, 3), 2, nonlinearity=None)  # noqa: E731
    assert kinds(assert_equivalent(build, trainable=True))["ToNCHW"] == 1


def test_an_average_over_everything_is_a_global_pooling():
    pooled = lambda: Pool2DLayer(image(), (9, 8), mode="average_exc_pad")  # noqa: E731
    fused = assert_equivalent(lambda: DenseLayer(pooled(), 2))
    assert kinds(fused) == {
        "ToNHWC": 1,
        "FusedGlobalPoolLayer": 1,
        "FusedInnerProductLayer": 1,
        "FusedElementwiseLayer": 1,
    }


def test_an_average_over_everything_that_is_read_as_an_image_keeps_its_axes():
    fused = assert_equivalent(lambda: conv(Pool2DLayer(image(), (9, 8), mode="average_exc_pad"), 2, 1))
    assert kinds(fused)["FusedGlobalPoolLayer"] == 1


# --- the interface


def test_a_list_of_layers_gives_a_list_that_shares_its_computation():
    features = conv(image(), 4, 3)
    logits = DenseLayer(GlobalPoolLayer(features), 2, nonlinearity=None)
    fused = fuse([features, logits, NonlinearityLayer(logits, softmax)])
    assert [layer.output_shape for layer in fused] == [(None, 4, 9, 8), (None, 2), (None, 2)]
    assert kinds(*fused)["FusedConvolutionLayer"] == kinds(*fused)["FusedInnerProductLayer"] == 1


def test_the_input_layers_stay_and_can_be_given_expressions():
    a, b = image(), image()
    branches = conv(a, 4, 3), conv(b, 4, 1)
    fused = fuse(ElemwiseSumLayer(branches))
    assert {layer for layer in get_all_layers(fused) if isinstance(layer, InputLayer)} == {a, b}
    zeros, biases = np.zeros((1, 3, 9, 8), "float32"), [branch.b.get_value() for branch in branches]
    y = unoptimised.function([], get_output(fused, {a: T.constant(zeros), b: zeros}))()
    np.testing.assert_allclose(y[0, :, 4, 4], np.add(*biases), rtol=1e-6)


def test_output_shapes_follow_given_input_shapes():
    network = block(block(image(), 2), 3, stride=2)
    network = Pool2DLayer(network, 3, stride=2, ignore_border=False)
    for shape in [(1, 3, 24, 31), (None, 3, None, None)]:
        assert get_output_shape(fuse(network), shape) == get_output_shape(network, shape)


def test_frozen_weights_do_not_follow_their_variables():
    network = conv(image(), 4, 3)
    fused = fuse(network)
    x = np.ones((1, 3, 9, 8), "float32")
    before = value_and_gradient(fused, x)[0]
    network.W.set_value(0 * network.W.get_value())
    np.testing.assert_array_equal(value_and_gradient(fused, x)[0], before)
    assert get_all_params(fused) == []


def test_names_are_kept():
    fused = fuse(conv(image(), 4, 3, name="first"))
    assert [layer.name for layer in convolutions(fused)] == ["first"]


def test_other_dtypes_are_refused():
    layer = fuse(conv(image(), 4, 3, name="first"))
    with pytest.raises(TypeError, match=r"float64.*expected a float32 tensor"):
        get_output(layer, T.tensor4(dtype="float64"))


# --- training


def training_network():
    layer = MaxPool2DLayer(relu(ChannelAffine(conv(image(2, 8, 8), 4, 3))), 2)
    layer = block(layer, 3)
    return DenseLayer(DropoutLayer(block(layer, 2, stride=2), p=0), 2, nonlinearity=softmax)


def test_trainable_weights_follow_their_variables():
    assert_equivalent(training_network, trainable=True)
    network = conv(image(), 4, 3)
    fused = fuse(network, trainable=True)
    network.W.set_value(0 * network.W.get_value())
    network.b.set_value(0 * network.b.get_value())
    assert not value_and_gradient(fused, np.ones((1, 3, 9, 8), "float32"))[0].any()


def test_the_parameters_of_a_trainable_network_are_the_original_ones():
    network = training_network()
    fused = fuse(network, trainable=True)
    for tags in [{}, {"trainable": True}, {"regularizable": True}, {"regularizable": False}]:
        assert set(get_all_params(fused, **tags)) == set(get_all_params(network, **tags))


def test_parameter_gradients_equal_those_of_float64():
    network, double = unoptimised.in_float64(training_network)
    x = np.random.RandomState(2).normal(size=(3, 2, 8, 8))

    def gradients(output, params, dtype):
        x_var = T.tensor4(dtype=dtype)
        with change_flags(floatX=dtype):
            loss = T.nnet.categorical_crossentropy(get_output(output, x_var), np.array([0, 1, 1])).mean()
        return unoptimised.function([x_var], T.grad(loss, params))(x.astype(dtype))

    got = gradients(fuse(network, trainable=True), get_all_params(network), "float32")
    expected = gradients(double, get_all_params(double), "float64")
    for one, other in zip(got, expected):
        assert relative_l2(one, other) < 1e-5


def test_training_takes_the_same_steps():
    network, other = training_network(), training_network()
    start = get_all_param_values(network)
    lasagne.layers.set_all_param_values(other, start)
    x = np.random.RandomState(2).normal(size=(4, 2, 8, 8)).astype("float32")

    def losses(output, params):
        x_var = T.tensor4(dtype="float32")
        loss = T.nnet.categorical_crossentropy(get_output(output, x_var), np.array([0, 1, 1, 0])).mean()
        updates = lasagne.updates.sgd(loss, params, learning_rate=0.1)
        step = unoptimised.function([x_var], loss, updates=updates)
        return [float(step(x)) for _ in range(5)]

    fused = losses(fuse(network, trainable=True), get_all_params(network))
    np.testing.assert_allclose(fused, losses(other, get_all_params(other)), rtol=1e-5)
    assert fused[-1] < fused[0]


def test_the_loss_of_a_trainable_network_stays_finite():
    """Where the probability of the right class is 0 in float32, plain Lasagne's loss is the gap of the logits."""
    source = InputLayer((None, 4))
    weights = np.zeros((4, 3), "float32")
    weights[0, 0] = 200
    network = DenseLayer(source, 3, W=weights, nonlinearity=softmax)
    got = []
    for layer in (network, fuse(network, trainable=True)):
        loss = lasagne.objectives.categorical_crossentropy(get_output(layer), np.array([1, 2])).mean()
        step = theano.function([source.input_var], [loss, T.grad(loss, network.W)])
        got.append(step(np.array([[1, 0, 0, 0]] * 2, "float32")))
    (loss, gradient), (fused_loss, fused_gradient) = got
    assert fused_loss == loss == 200
    np.testing.assert_array_equal(fused_gradient, gradient)


def test_dropout_still_drops_in_a_trainable_network():
    fused = fuse(DropoutLayer(conv(image(), 4, 3), p=0.5), trainable=True)
    assert kinds(fused)["DropoutLayer"] == 1
    network = fuse(DropoutLayer(conv(image(), 4, 3), p=0.5))
    assert kinds(network)["DropoutLayer"] == 0


# --- Lasagne 0.2

lasagne_0_2 = pytest.mark.skipif(not hasattr(lasagne.layers, "BatchNormLayer"), reason="Lasagne 0.1")


def batch_norm(incoming):
    statistics = dict(mean=lasagne.init.Normal(0.3), inv_std=lasagne.init.Uniform((0.5, 2)))
    scaling = dict(gamma=lasagne.init.Uniform((0.5, 2)), beta=lasagne.init.Normal(0.3))
    return lasagne.layers.BatchNormLayer(incoming, **statistics, **scaling)


@lasagne_0_2
def test_batch_normalisation_is_folded():
    fused = assert_equivalent(lambda: relu(batch_norm(conv(image(), 4, 3))))
    assert kinds(fused) == {"ToNHWC": 1, "FusedConvolutionLayer": 1, "ToNCHW": 1}


@lasagne_0_2
def test_batch_normalisation_without_parameters_of_its_own_is_folded():
    def build():
        return lasagne.layers.BatchNormLayer(conv(image(), 4, 3), beta=None, gamma=None)

    assert kinds(assert_equivalent(build))["FusedConvolutionLayer"] == 1


@lasagne_0_2
def test_batch_normalisation_over_other_axes_is_left_alone():
    assert lower(lasagne.layers.BatchNormLayer(image(batch=2), axes=(0,))) is None


@lasagne_0_2
def test_batch_normalisation_stays_in_a_trainable_network():
    fused = assert_equivalent(lambda: batch_norm(conv(image(), 4, 3)), trainable=True)
    assert kinds(fused)["BatchNormLayer"] == 1


@lasagne_0_2
def test_an_inverted_layer_is_left_alone():
    def build():
        convolution = conv(conv(image(), 4, 3), 2, 3)
        return lasagne.layers.InverseLayer(convolution, convolution)

    fused = assert_equivalent(build)
    assert kinds(fused)["Conv2DLayer"] == kinds(fused)["FusedConvolutionLayer"] == 1


@lasagne_0_2
def test_filters_that_are_not_flipped():
    fused = assert_equivalent(lambda: conv(image(), 4, (3, 5), flip_filters=False))
    assert kinds(fused)["FusedConvolutionLayer"] == 1


@lasagne_0_2
@pytest.mark.parametrize("merge", [ElemwiseSumLayer, functools.partial(ElemwiseMergeLayer, merge_function=T.mul)])
def test_inputs_that_are_cropped_at_run_time_are_left_alone(merge):
    def build():
        incoming = image(height=None, width=None)
        return merge([conv(incoming, 4, 3, pad=0), conv(incoming, 4, 1)], cropping=[None, None, "center", "center"])

    assert kinds(assert_equivalent(build, shape=(2, 3, 9, 8)))["FusedConvolutionLayer"] == 2
