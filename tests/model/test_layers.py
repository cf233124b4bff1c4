"""Layers: each computes what Caffe's does, for any batch and picture size, and can be trained."""

import math

import theano_cpu

import lasagne
import numpy as np
import pytest
import theano.tensor as T
import unoptimised
from generated_nets import (
    FORMULAS,
    NETS,
    opencv_activations,
    our_activations,
    picture,
    relative_difference,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.layers import (
    BatchNormLayer,
    BiasLayer,
    ConvolutionLayer,
    CropLayer,
    DeconvolutionLayer,
    EltwiseLayer,
    InnerProductLayer,
    LRNLayer,
    MVNLayer,
    PoolingLayer,
    PReLULayer,
    ScaleLayer,
    SoftmaxLayer,
)
from nsfw_model.network import build_net
from nsfw_model.prototxt import read_prototxt
from theano_cpu.fuse import fuse

SHAPE = (None, 6, 11, 9)


def ones(*shape):
    return np.ones(shape, "float32")


def output(layer, x, **kwargs):
    variable = T.TensorType("float32", (False,) * x.ndim)()
    inputs = [variable] * len(layer.input_shapes) if hasattr(layer, "input_shapes") else variable
    return unoptimised.function([variable], layer.get_output_for(inputs, **kwargs))(x)


@pytest.mark.parametrize("name", NETS)
def test_activations_are_those_of_opencvs_caffe_importer(name, tmp_path):
    paths = write(name, tmp_path)
    ours, theirs = our_activations(*paths, picture()), opencv_activations(*paths, picture())
    assert theirs
    for layer, expected in theirs.items():
        assert ours[layer].shape == expected.shape
        assert relative_difference(ours[layer], expected) < 1e-6


@pytest.mark.parametrize("name", FORMULAS)
def test_activations_are_those_of_caffes_formula(name, tmp_path):
    paths, x = write(name, tmp_path), picture()
    [weights] = [blobs for _, blobs in read_caffemodel(paths[1])[1]] or [[]]
    *_, ours = our_activations(*paths, x).values()
    expected = FORMULAS[name][2](x.astype("float64"), *weights)
    assert ours.shape == expected.shape
    assert relative_difference(ours, expected) < 1e-6


@pytest.mark.skipif(not theano_cpu.onednn_available(), reason="oneDNN is not the engine")
@pytest.mark.parametrize("name", [*NETS, *FORMULAS])
def test_fused_networks_compute_the_same(name, tmp_path):
    prototxt, caffemodel = write(name, tmp_path)
    output, net = build_net(read_prototxt(prototxt), read_caffemodel(caffemodel)[1])
    outputs = [lasagne.layers.get_output(each, deterministic=True) for each in (output, fuse(output))]
    plain, fused = unoptimised.function([net["data"].input_var], outputs)(picture())
    assert plain.shape == fused.shape
    assert relative_difference(fused, plain) < 1e-5


def caffes_pooling(x, mode, kernel, stride, pad, round_mode):
    """Caffe's pooling_layer.cpp, loop for loop."""
    height, width = x.shape[2:]
    rounded = {"ceil": math.ceil, "floor": math.floor}[round_mode]
    counts = [rounded((n + 2 * p - k) / s) + 1 for n, p, k, s in zip((height, width), pad, kernel, stride)]
    if any(pad):
        counts = [c - ((c - 1) * s >= n + p) for c, n, p, s in zip(counts, (height, width), pad, stride)]
    y = np.zeros((*x.shape[:2], *counts), "float32")
    for i, j in np.ndindex(*counts):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        bottom, right = min(top + kernel[0], height + pad[0]), min(left + kernel[1], width + pad[1])
        area = (bottom - top) * (right - left)
        window = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        y[:, :, i, j] = window.max((2, 3)) if mode == "max" else window.sum((2, 3)) / area
    return y


class TestPooling:
    @settings(max_examples=60)
    @given(st.data())
    def test_is_caffes_for_any_window(self, data):
        sizes = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        pad = data.draw(st.tuples(*(st.integers(0, k - 1) for k in kernel)))
        mode = data.draw(st.sampled_from(["max", "ave"]))
        round_mode = data.draw(st.sampled_from(["ceil", "floor"]))
        try:
            layer = PoolingLayer((None, 2, *sizes), mode, kernel, stride, pad, round_mode=round_mode)
            shape = layer.output_shape
        except ValueError:
            return  # a window without a pixel, or larger than the picture
        x = picture((1, 2, *sizes))
        expected = caffes_pooling(x, mode, kernel, stride, pad, round_mode)
        assert shape == (None, *expected.shape[1:])
        np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-6)

    def test_rounds_up(self):
        # Open NSFW's first pooling; rounding down, as elsewhere, gives 55
        assert PoolingLayer((None, 64, 112, 112), "max", (3, 3), (2, 2)).output_shape == (None, 64, 56, 56)

    def test_rounds_down_where_asked(self):
        layer = PoolingLayer((None, 64, 112, 112), "max", (3, 3), (2, 2), round_mode="floor")
        assert layer.output_shape == (None, 64, 55, 55)

    @pytest.mark.parametrize("mode, numpys", [("max", np.max), ("ave", np.mean)])
    def test_global_is_over_the_picture_whatever_its_size(self, mode, numpys):
        layer = PoolingLayer((None, 2, 5, 5), mode, global_pooling=True)
        x = picture((1, 2, 7, 4))
        np.testing.assert_allclose(output(layer, x), numpys(x, axis=(2, 3), keepdims=True), atol=1e-6)


class TestSizes:
    """Sizes at run time need not be those that were declared."""

    @pytest.mark.parametrize(
        "layer",
        [
            ConvolutionLayer(SHAPE, ones(4, 6, 3, 3), stride=(2, 2), pad=(1, 1)),
            PoolingLayer(SHAPE, "max", (3, 3), (2, 2)),
            PoolingLayer(SHAPE, "max", (3, 3), (2, 2), (1, 1)),
            PoolingLayer(SHAPE, "ave", (3, 3), (2, 2), (1, 1)),
            DeconvolutionLayer(SHAPE, ones(6, 4, 4, 4), stride=(2, 2), pad=(1, 1)),
            PoolingLayer(SHAPE, "ave", (3, 3), (2, 2), (1, 1), round_mode="floor"),
            MVNLayer(SHAPE),
            PReLULayer(SHAPE, ones(6)),
            LRNLayer(SHAPE),
            SoftmaxLayer(SHAPE),
        ],
        ids=lambda layer: type(layer).__name__,
    )
    @pytest.mark.parametrize("shape", [(1, 6, 11, 9), (3, 6, 16, 7)])
    def test_decide_the_output(self, layer, shape):
        assert output(layer, picture(shape)).shape == layer.get_output_shape_for(shape)

    def test_that_are_not_known_stay_unknown(self):
        unknown = (None, 6, None, None)
        assert ConvolutionLayer(unknown, ones(4, 6, 3, 3)).output_shape == (None, 4, None, None)
        assert PoolingLayer(unknown, "max", (2, 2)).output_shape == unknown
        assert InnerProductLayer(unknown, ones(5, 54)).output_shape == (None, 5)


class TestBatchNorm:
    def test_divides_by_the_scale_factor_and_adds_eps(self):
        layer = BatchNormLayer((None, 2), np.float32([2, 4]), np.float32([6, 0]), np.float32([2]), eps=1)
        np.testing.assert_allclose(output(layer, np.float32([[3, 5]])), [[1, 3]])

    def test_counts_statistics_as_zero_where_the_scale_factor_is(self):
        layer = BatchNormLayer((None, 2), ones(2), ones(2), np.zeros(1, "float32"), eps=4)
        np.testing.assert_allclose(output(layer, np.float32([[3, 5]])), [[1.5, 2.5]])

    def test_statistics_are_not_trained(self):
        layer = BatchNormLayer(SHAPE, ones(6), ones(6), ones(1))
        assert lasagne.layers.get_all_params(layer, trainable=True) == []
        assert len(lasagne.layers.get_all_params(layer)) == 3


class TestScale:
    @pytest.mark.parametrize(
        "axis, shape", [(1, (6,)), (1, (6, 11)), (2, (11, 9)), (3, (9,)), (1, ()), (1, (6, 11, 9))]
    )
    def test_covers_the_axes_that_its_shape_has(self, axis, shape):
        scale, bias = picture((2, *shape))
        x = picture((2, *SHAPE[1:]))
        expand = (..., *[None] * (4 - axis - len(shape)))
        expected = x * np.asarray(scale)[expand] + np.asarray(bias)[expand]
        layer = ScaleLayer(SHAPE, np.asarray(scale), np.asarray(bias), axis)
        np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-6)


class TestLRN:
    def test_across_channels_uses_k(self):
        x = picture((1, 4, 2, 2))
        padded = np.pad(x**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
        squares = sum(padded[:, i : i + 4] for i in range(3))
        expected = x / (1.5 + 2 / 3 * squares) ** 0.6
        layer = LRNLayer((None, 4, 2, 2), local_size=3, alpha=2, beta=0.6, k=1.5)
        np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5)

    def test_of_one_pixel_within_a_channel(self):
        x = picture((1, 4, 2, 2))
        layer = LRNLayer((None, 4, 2, 2), local_size=1, alpha=2, beta=0.5, within_channel=True)
        np.testing.assert_allclose(output(layer, x), x / np.sqrt(1 + 2 * x**2), rtol=1e-5)


def test_all_layers_but_statistics_can_be_trained():
    source = lasagne.layers.InputLayer((None, 3, 5, 5))
    net = ConvolutionLayer(source, ones(4, 3, 3, 3), ones(4), name="conv")
    net = BatchNormLayer(net, ones(4), ones(4), ones(1), name="bn")
    net = ScaleLayer(net, ones(4), ones(4), name="scale")
    net = PReLULayer(net, ones(4), name="prelu")
    net = BiasLayer(net, ones(4), name="bias")
    net = DeconvolutionLayer(net, ones(4, 4, 1, 1), ones(4), name="deconv")
    net = InnerProductLayer(net, ones(2, 36), ones(2), name="fc")
    names = [param.name for param in lasagne.layers.get_all_params(net, trainable=True)]
    assert names == ("conv.W conv.b scale.scale scale.bias prelu.alpha bias.bias deconv.W deconv.b fc.W fc.b".split())
    loss = lasagne.layers.get_output(net).sum()
    gradients = T.grad(loss, lasagne.layers.get_all_params(net, trainable=True))
    values = unoptimised.function([source.input_var], gradients)(picture((2, 3, 5, 5)))
    assert [value.shape for value in values] == [
        (4, 3, 3, 3),
        *[(4,)] * 5,
        (4, 4, 1, 1),
        (4,),
        (2, 36),
        (2,),
    ]
    assert all(np.isfinite(value).all() for value in values)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: ConvolutionLayer(SHAPE, ones(4, 5, 3, 3), name="c"),
            "layer 'c': input channels: got 6, expected 5",
        ),
        (lambda: ConvolutionLayer(SHAPE, ones(3, 3, 3, 3), group=2), "ConvolutionLayer: outputs left over"),
        (lambda: ConvolutionLayer((None, 6), ones(4, 6, 3, 3)), "input dimensions: got 2, expected 4"),
        (
            lambda: ConvolutionLayer(SHAPE, ones(4, 6, 12, 3)).output_shape,
            "input of 11 is smaller than the kernel's 12",
        ),
        (lambda: ConvolutionLayer(SHAPE, ones(4, 6, 3, 3), ones(5)), r"array has shape \(5,\), should be \(4,\)"),
        (
            lambda: BatchNormLayer(SHAPE, ones(5), ones(6), ones(1)),
            r"shape of mean: got \(5,\), expected \(6,\)",
        ),
        (lambda: ScaleLayer(SHAPE, ones(9)), r"shape of scale: got \(9,\), expected \(6,\)"),
        (lambda: ScaleLayer(SHAPE, ones(6), ones(1)), r"shape of bias: got \(1,\), expected \(6,\)"),
        (lambda: PoolingLayer(SHAPE, "mean"), "mode: got 'mean', expected 'max' or 'ave'"),
        (
            lambda: PoolingLayer(SHAPE, "max", (2, 2), pad=(2, 0)),
            r"pad: got \(2, 0\), expected less than the kernel",
        ),
        (
            lambda: PoolingLayer(SHAPE, "max", (12, 1)).output_shape,
            "input of 11 is smaller than the kernel 12",
        ),
        (lambda: PoolingLayer(SHAPE, "max", (1, 1), (3, 3)).output_shape, "last window without a pixel"),
        (lambda: PoolingLayer(SHAPE, "max", round_mode="up"), "round_mode: got 'up', expected 'ceil' or 'floor'"),
        (lambda: DeconvolutionLayer(SHAPE, ones(5, 4, 3, 3)), "input channels: got 6, expected 5"),
        (
            lambda: DeconvolutionLayer(SHAPE, ones(6, 4, 1, 1), pad=(6, 0)).output_shape,
            r"pad: got \(6, 0\), which leaves no output",
        ),
        (lambda: PReLULayer(SHAPE, ones(5)), r"shape of alpha: got \(5,\), expected \(6,\)"),
        (lambda: BiasLayer(SHAPE, ones(5)), r"shape of bias: got \(5,\), expected \(6,\)"),
        (lambda: CropLayer([SHAPE, SHAPE], offset=(1,)), "number of offsets: got 1, expected 2"),
        (lambda: MVNLayer((None, 6)), "input dimensions: got 2, expected 4"),
        (lambda: EltwiseLayer([SHAPE, SHAPE], "mean"), "operation: got 'mean', expected"),
        (
            lambda: EltwiseLayer([SHAPE, SHAPE], "max", (1, 1)),
            "operation with coefficients: got max, expected sum",
        ),
        (lambda: EltwiseLayer([SHAPE, SHAPE], "sum", (1,)), "number of coefficients: got 1, expected 2"),
        (
            lambda: EltwiseLayer([SHAPE, (None, 6, 11, 8)]).output_shape,
            "inputs of one shape are expected, got",
        ),
        (lambda: InnerProductLayer(SHAPE, ones(2, 7)), "inputs: got 594, expected 7"),
        (lambda: LRNLayer(SHAPE, local_size=4), "local_size: got 4, expected an odd number"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_why(make, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        make()
