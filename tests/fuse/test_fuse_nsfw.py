"""Caffe's layers and Open NSFW's network, fused: the same values and gradients."""

import functools
from collections import Counter
from pathlib import Path

import theano_cpu

import lasagne
import numpy as np
import pytest
import theano.tensor as T
import unoptimised
from lasagne.layers import InputLayer, NonlinearityLayer, get_all_layers, get_output
from lasagne.utils import floatX
from unoptimised import value_and_gradient

if not theano_cpu.onednn_available():
    pytest.skip("oneDNN is not the engine", allow_module_level=True)

import nsfw_model.lowering  # noqa: F401
from nsfw_model import layers
from nsfw_model.network import build_net
from nsfw_model.preprocess import prepare
from nsfw_model.prototxt import read_prototxt
from nsfw_model.weights import load_weights
from theano_cpu.compile import compile_function, allows_fast_compile
from theano_cpu.fuse import fuse

ROOT = Path(__file__).parents[2]


def relative_l2(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def kinds(*outputs):
    return Counter(type(layer).__name__ for layer in get_all_layers(list(outputs)))


def random(*shape, low=-1, high=1):
    return floatX(np.random.RandomState(len(shape)).uniform(low, high, shape))


def picture(channels=4):
    return InputLayer((None, channels, 9, 8))


def batch_norm(scale_factor):
    return layers.BatchNormLayer(picture(), random(4), random(4, low=0), floatX([scale_factor]))


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("build, kind", [
    (lambda: layers.ConvolutionLayer(picture(), random(6, 4, 3, 2), random(6), (2, 1), (1, 0)),
     "FusedConvolutionLayer"),
    (lambda: layers.ConvolutionLayer(picture(), random(6, 2, 3, 3), None, dilation=(2, 1), group=2),
     "FusedConvolutionLayer"),
    (lambda: batch_norm(2.5), "FusedAffineLayer"),
    (lambda: batch_norm(0), "FusedAffineLayer"),
    (lambda: layers.ScaleLayer(picture(), random(4), random(4)), "FusedAffineLayer"),
    (lambda: layers.ScaleLayer(picture(), random(4)), "FusedAffineLayer"),
    (lambda: layers.ScaleLayer(picture(), random(9), axis=2), "ScaleLayer"),
    (lambda: layers.PoolingLayer(picture(), "max", (3, 3), (2, 2)), "FusedPoolLayer"),
    (lambda: layers.PoolingLayer(picture(), "max", (3, 2), (2, 2), (1, 1)), "FusedPoolLayer"),
    (lambda: layers.PoolingLayer(picture(), "ave", (3, 3), (2, 2)), "FusedPoolLayer"),
    (lambda: layers.PoolingLayer(picture(), "ave", (3, 2), (2, 3), (2, 1)), "FusedPoolLayer"),
    # Padded on one axis, and a last window left out on the other
    (lambda: layers.PoolingLayer(picture(), "max", (3, 1), (2, 3), (1, 0)), "FusedPoolLayer"),
    (lambda: layers.InnerProductLayer(
        layers.PoolingLayer(picture(), "ave", (3, 1), (2, 3), (1, 0)), random(3, 4 * 5 * 3)), "FusedPoolLayer"),
    (lambda: layers.PoolingLayer(picture(), "ave", global_pooling=True), "FusedGlobalPoolLayer"),
    (lambda: layers.PoolingLayer(picture(), "max", global_pooling=True), "PoolingLayer"),
    (lambda: layers.EltwiseLayer([x := picture(), batch_norm_of(x)], coeff=(1, -0.5)), "ElemwiseSumLayer"),
    (lambda: layers.EltwiseLayer([x := picture(), batch_norm_of(x)], "max"), "FusedElementwiseLayer"),
    (lambda: layers.EltwiseLayer([x := picture(), batch_norm_of(x)], "prod"), "FusedElementwiseLayer"),
    (lambda: layers.InnerProductLayer(picture(), random(3, 4 * 9 * 8), random(3)), "FusedInnerProductLayer"),
    (lambda: layers.SoftmaxLayer(InputLayer((None, 5))), "FusedSoftmaxLayer"),
    (lambda: layers.SoftmaxLayer(picture()), "SoftmaxLayer"),
    (lambda: layers.LRNLayer(picture(), 3), "LRNLayer"),
])  # fmt: skip
def test_caffe_layers(build, kind, trainable):
    layer, double = unoptimised.in_float64(build)
    fused = fuse(layer, trainable=trainable)
    assert kinds(fused)[kind] == 1
    x = np.random.RandomState(1).normal(size=(2, *get_all_layers(layer)[0].shape[1:])).astype("float32")
    expected = value_and_gradient(double, x.astype("float64"))
    for one, other in zip(value_and_gradient(fused, x), expected):
        assert relative_l2(one, other) < 1e-5
    assert fused.output_shape == layer.output_shape


def batch_norm_of(layer):
    return layers.ScaleLayer(layer, random(4), random(4))


NSFW_SPECS = read_prototxt(ROOT / "nsfw_model" / "deploy.prototxt")
NSFW_WEIGHTS = load_weights(ROOT / "nsfw.pkl")


@pytest.fixture(scope="module")
def nsfw():
    return build_net(NSFW_SPECS, NSFW_WEIGHTS)


def test_open_nsfw_becomes_a_few_operations(nsfw):
    output, net = nsfw
    assert kinds(*fuse([net["fc_nsfw"], output])) == {
        "InputLayer": 1,
        "ToNHWC": 1,
        "FusedConvolutionLayer": 53,
        "FusedSubsampleLayer": 3,
        "FusedPoolLayer": 1,
        "FusedGlobalPoolLayer": 1,
        "FusedInnerProductLayer": 1,
        "FusedSoftmaxLayer": 1,
    }


def test_strides_of_open_nsfw_sit_on_3x3_convolutions(nsfw):
    output, _ = nsfw
    strided = [layer for layer in get_all_layers(fuse(output)) if getattr(layer, "stride", (1, 1)) != (1, 1)]
    assert [layer.filter_shape[2:] for layer in strided] == [(7, 7), (3, 3), (3, 3), (3, 3)]
    assert [layer.output_shape[1] for layer in strided] == [112, 28, 14, 7]


@pytest.mark.slow
def test_open_nsfw_scores_and_gradients_equal_those_of_float64(nsfw):
    """Where a rectifier's input is within rounding of 0, or two values of a pooling window within rounding
    of each other, float32 and float64 may take different sides, and the gradients differ by all that passes
    there. So float64 is given the sides that float32 took, after a check that hardly any differ."""
    output, net = nsfw
    x = prepare(ROOT / "img" / "retina.jpg")[np.newaxis]
    x = (x + np.random.RandomState(1).uniform(-0.5, 0.5, x.shape)).astype("float32")  # no flat areas

    x_var = net["data"].input_var
    fused = fuse([output, net["fc_nsfw"]])
    rectifying = [layer for layer in get_all_layers(fused) if getattr(layer, "slope", None) is not None]
    prob, classes, *activations = get_output([*fused, *rectifying])
    outputs = [prob[:, 1], T.grad(classes[0, 1] - classes[0, 0], x_var), *activations]
    assert allows_fast_compile(outputs)
    score, gradient, *activations = compile_function([x_var], outputs)(x)
    activations = [activation.transpose(0, 3, 1, 2) for activation in activations]

    weights = [(name, [floats.astype("float64") for floats in blobs]) for name, blobs in NSFW_WEIGHTS]
    x_var = T.tensor4(dtype="float64")
    output, net = build_net(NSFW_SPECS, weights, x_var)
    rectifiers = [layer for layer in net.values() if isinstance(layer, NonlinearityLayer)]
    assert len(rectifiers) == len(activations) == 49
    differing = []
    for layer, activation in zip(rectifiers, activations):
        layer.nonlinearity = functools.partial(rectify_like, activation, differing)
    net["pool1"].get_output_for = functools.partial(pool_like, activations[0])
    prob, classes = get_output([output, net["fc_nsfw"]], deterministic=True)
    gradients = T.grad(classes[0, 1] - classes[0, 0], x_var)
    exact = unoptimised.function([x_var], [prob[:, 1], gradients, sum(differing)])
    exact_score, exact_gradient, differ = exact(x.astype("float64"))
    assert differ < 100  # of about 3 million
    np.testing.assert_allclose(score, exact_score, rtol=0, atol=1e-6)
    assert relative_l2(gradient, exact_gradient) < 1e-5


def rectify_like(activation, differing, x):
    """Rectify `x` where `activation` is positive; in rows and columns that `activation` leaves out, where
    `x` is. The number of differences is appended to `differing`."""
    own, step = T.gt(x, 0), x.shape[2] // activation.shape[2]
    differing.append(T.neq(own[:, :, ::step, ::step], T.constant(activation > 0)).sum())
    return x * T.set_subtensor(own[:, :, ::step, ::step], T.constant(activation > 0))


def pool_like(activation, x, **kwargs):
    """Maxima of 3x3 windows, 2 apart, of `x`, at the places where `activation` has them."""
    size, count = activation.shape[2], activation.shape[2] // 2
    padded = T.zeros((x.shape[0], x.shape[1], size + 1, size + 1), x.dtype)
    padded = T.set_subtensor(padded[:, :, :size, :size], x)
    activation = np.pad(activation, [(0, 0), (0, 0), (0, 1), (0, 1)])
    windows = [(slice(i, i + 2 * count, 2), slice(j, j + 2 * count, 2)) for i, j in np.ndindex(3, 3)]
    places = np.argmax([activation[:, :, rows, columns] for rows, columns in windows], axis=0)
    return sum(padded[:, :, r, c] * T.constant(places == k) for k, (r, c) in enumerate(windows))


def test_trainable_open_nsfw_reaches_every_trainable_parameter(nsfw):
    output, _ = nsfw
    fused = fuse(output, trainable=True)
    params = lasagne.layers.get_all_params(output, trainable=True)
    assert set(lasagne.layers.get_all_params(fused, trainable=True)) == set(params)
    T.grad(get_output(fused)[:, 1].sum(), params, disconnected_inputs="raise")
