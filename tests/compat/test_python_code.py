"""Without a C++ compiler pooling and convolution compute in Python what they should."""

import functools
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import theano_compat  # noqa: F401
import theano
import theano.tensor as T
import unoptimised
from fresh_python import fresh_python
from scipy.signal import convolve2d
from theano.tensor.signal.pool import Pool

from open_nsfw import nsfw_score
from theano_compat import python_code

PICTURE = Path(__file__).parents[2] / "img" / "coffee.jpg"
IN_PYTHON = theano.Mode("py", None)
MODES = "max", "sum", "average_inc_pad", "average_exc_pad"


@pytest.fixture
def random():
    return np.random.default_rng(0)


def compute(inputs, outputs, *values):
    return theano.function(inputs, outputs, mode=IN_PYTHON, on_unused_input="ignore")(*values)


def tensors(dtype, dimensions, names):
    return [T.TensorType(dtype, (False,) * dimensions)(name) for name in names]


# Pooling, against a loop over windows


def pooled(x, axes, window, stride, pad, mode, shape):
    """Each window is cut at the picture's edge, and at that of the padding where the padding counts."""
    result = np.zeros(x.shape[:-axes] + shape[-axes:])
    for position in np.ndindex(*shape[-axes:]):
        sides = x.shape[-axes:]
        starts = [at * stride - pad for at in position]
        inside = tuple(slice(max(start, 0), start + window) for start in starts)
        values = x[(..., *inside)].reshape(*x.shape[:-axes], -1)
        with_padding = np.prod([min(start + window, side + pad) - start for start, side in zip(starts, sides)])
        result[(..., *position)] = {
            "max": lambda values=values: values.max(-1),
            "sum": lambda values=values: values.sum(-1),
            "average_inc_pad": lambda values=values, n=with_padding: values.sum(-1) / n,
            "average_exc_pad": lambda values=values: values.mean(-1),
        }[mode]()
    return result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("ignore_border, stride, pad", [(True, 2, 0), (True, 2, 1), (False, 2, 0), (False, 4, 0)])
def test_pooling_and_its_gradient(mode, axes, ignore_border, stride, pad, random):
    x, image = tensors("float64", axes + 1, "x")[0], random.standard_normal((2, 7, 6, 5)[: axes + 1])
    output = Pool(ignore_border, mode, axes)(x, (3,) * axes, (stride,) * axes, (pad,) * axes)
    computed = compute([x], output, image)
    expected = functools.partial(pooled, axes=axes, window=3, stride=stride, pad=pad, mode=mode, shape=computed.shape)
    np.testing.assert_allclose(computed, expected(image), rtol=1e-12)
    assert type(computed) is np.ndarray

    if (mode, pad) == ("average_exc_pad", 1):
        with pytest.raises(ValueError, match="padding must be zero for average_exc_pad"):
            compute([x], T.grad(output.sum(), x), image)
        return
    gradient = compute([x], T.grad((output**2).sum(), x), image)
    direction = random.standard_normal(image.shape)
    losses = [(expected(image + step * direction) ** 2).sum() for step in (1e-6, -1e-6)]
    assert (gradient * direction).sum() == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-6)


def test_second_derivatives_of_max_pooling(random):
    """The gradient of v . grad(sum(max(x)^2 / 2)) = sum(max(x) v at the maximum) is v at the maximum, put back."""
    x, v = tensors("float64", 2, "xv")
    output = Pool(True, "max", 1)(x, (2,), (2,))
    gradient = T.grad((output**2).sum() / 2, x)
    image, direction = np.array([[1.0, 3, 4, 2]]), np.array([[5.0, 6, 7, 8]])
    outputs = [T.grad((gradient * v).sum(), x), T.Rop(output, x, v)]
    twice, forward = compute([x, v], outputs, image, direction)
    np.testing.assert_array_equal(twice, [[0, 6, 7, 0]])
    np.testing.assert_array_equal(forward, [[6, 7]])


# Convolution, against the NumPy code of the tests


@pytest.mark.parametrize(
    "settings",
    [
        dict(border_mode=border_mode, subsample=subsample, filter_dilation=dilation, filter_flip=flip)
        for (border_mode, flip), subsample, dilation in itertools.product(
            [("valid", True), ("full", False), ("half", True), ((1, 2), False)], [(1, 1), (2, 1)], [(1, 1), (1, 2)]
        )
    ]
    + [dict(num_groups=2)],
    ids=str,
)
def test_convolution_and_its_gradients(settings, random):
    x, w = T.ftensor4s("xw")
    images = random.standard_normal((2, 4, 7, 8)).astype("float32")
    filters = random.standard_normal((6, 4 // settings.get("num_groups", 1), 3, 3)).astype("float32")
    output = T.nnet.conv2d(x, w, **settings)
    outputs = [output, *T.grad((output**2).sum(), [x, w])]
    expected = unoptimised.function([x, w], outputs)(images, filters)
    for one, other in zip(compute([x, w], outputs, images, filters), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_convolution_of_volumes(random):
    x, w = tensors("float64", 5, "xw")
    volumes, filters = random.standard_normal((2, 3, 4, 5, 6)), random.standard_normal((2, 3, 2, 3, 2))
    windows = np.lib.stride_tricks.sliding_window_view(volumes, (2, 3, 2), (2, 3, 4))
    expected = np.einsum("nctyxijk,ocijk->notyx", windows, filters)
    np.testing.assert_allclose(compute([x, w], T.nnet.conv3d(x, w, filter_flip=False), volumes, filters), expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("mode", ["valid", "full"])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3)])
def test_all_channels_at_once_give_what_one_after_the_other_does(dilation, mode, groups, random):
    images, filters = random.standard_normal((2, 4, 7, 8)), random.standard_normal((6, 4 // groups, 3, 2))
    spread = np.zeros((*filters.shape[:2], 2 * dilation[0] + 1, dilation[1] + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = filters

    def one_of(image, number):
        channels = np.split(image, groups)[number // (6 // groups)]
        return sum(convolve2d(channel, kernel, mode) for channel, kernel in zip(channels, spread[number]))

    expected = np.stack([[one_of(image, number) for number in range(6)] for image in images])
    np.testing.assert_allclose(python_code._convolved(images, filters, mode, dilation, groups), expected, atol=1e-12)


def test_a_filter_may_be_as_large_as_the_picture_and_a_larger_one_has_no_output(random):
    images, filters = random.standard_normal((2, 3, 4, 5)).astype("float32"), random.standard_normal((6, 3, 4, 5))
    found = python_code._convolved(images, filters, "valid", (1, 1), 1)
    expected = np.einsum("nchw,kchw->nk", images, filters[:, :, ::-1, ::-1])
    np.testing.assert_allclose(found[:, :, 0, 0], expected, rtol=1e-4)
    assert found.shape == (2, 6, 1, 1) and found.dtype == np.float32
    for smaller in images[:, :, 1:], images[..., 1:]:
        none = python_code._convolved(smaller, filters, "valid", (1, 1), 1)
        assert none.shape == (2, 6, 0, 0) and none.dtype == np.float32


@pytest.mark.parametrize("change, alone", [
    ({}, False), ({"mode": "full"}, False), ({"dilation": (1, 1)}, False), ({"unshared": False}, False),
    ({"mode": "half"}, True), ({"unshared": True}, True), ({"num_groups": 2}, True),
    ({"img": np.ones((0, 4, 7, 8))}, True), ({"kern": np.ones((6, 3, 3, 2))}, True),
    ({"kern": np.ones((5, 2, 3, 2)), "num_groups": 2}, True),
    ({"kern": np.ones((6, 2, 3, 2)), "num_groups": 2}, False),
])  # fmt: skip
def test_what_products_are_not_made_for_is_left_to_theano(change, alone):
    calls = []

    class BaseAbstractConv:
        convdim = 2

        def conv(self, *arguments, **named):
            calls.append((arguments, named))

    python_code.convolve_by_products(SimpleNamespace(BaseAbstractConv=BaseAbstractConv))
    given = {"img": np.ones((2, 4, 7, 8)), "kern": np.ones((6, 4, 3, 2)), **change}
    found = BaseAbstractConv().conv(**given)
    assert (found is None) is alone and len(calls) == alone
    if alone:
        [(arguments, named)] = calls
        expected = {"mode": "valid", "dilation": 1, "num_groups": 1, **given}
        assert arguments == tuple(expected[name] for name in ("img", "kern", "mode", "dilation", "num_groups"))
        assert named == {name: value for name, value in given.items() if name == "unshared"}


def test_further_arguments_by_position_are_left_to_theano():
    class BaseAbstractConv:
        convdim = 2

        def conv(self, *arguments):
            return arguments

    python_code.convolve_by_products(SimpleNamespace(BaseAbstractConv=BaseAbstractConv))
    img, kern = np.ones((2, 4, 7, 8)), np.ones((6, 4, 3, 2))
    assert BaseAbstractConv().conv(img, kern, "valid", 1, 1, False) == (img, kern, "valid", 1, 1, False)


def test_a_network_learns_where_there_is_no_compiler(tmp_path):
    """In Theano's default mode; with a compiler other operations are taken."""
    run = fresh_python(
        """
import theano_compat, theano, numpy as np, theano.tensor as T
from theano.tensor.signal.pool import pool_2d
random = np.random.default_rng(0)
images, labels = random.standard_normal((20, 1, 6, 6)).astype("float32"), np.arange(20) % 2
images[labels == 1, :, :, 2:4] += 3
filters = theano.shared(random.standard_normal((2, 1, 3, 3)).astype("float32"))
weights = theano.shared(np.zeros((8, 2), "float32"))
x, y = T.ftensor4(), T.lvector()
features = pool_2d(T.nnet.conv2d(x, filters, subsample=(1, 1), filter_flip=False), (2, 2), ignore_border=True)
loss = T.nnet.categorical_crossentropy(T.nnet.softmax(T.dot(features.flatten(2), weights)), y).mean()
updates = [(value, value - 0.1 * slope) for value, slope in zip((filters, weights), T.grad(loss, [filters, weights]))]
learn = theano.function([x, y], loss, updates=updates)
print(theano.config.cxx == "", learn(images, labels), min(learn(images, labels) for _ in range(20)))
""",
        THEANO_FLAGS=f"cxx=,base_compiledir={tmp_path}",
    )
    without_compiler, before, after = run.stdout.split()[-3:]
    assert without_compiler == "True"
    assert float(before) == pytest.approx(np.log(2), rel=1e-5)
    assert float(after) < 0.3


@pytest.mark.slow
def test_a_picture_is_scored_where_there_is_no_compiler(tmp_path):
    run = fresh_python(
        f"from open_nsfw import nsfw_score; print(nsfw_score({str(PICTURE)!r}))",
        THEANO_FLAGS=f"cxx=,base_compiledir={tmp_path}",
    )
    assert float(run.stdout) == pytest.approx(nsfw_score(PICTURE), rel=1e-4)


def test_elementwise_operations_are_left_to_numpy_where_there_is_no_compiler(tmp_path):
    run = fresh_python(
        "import theano_compat, theano, theano.tensor as T; x = T.matrix()\n"
        "print([str(node.op) for node in theano.function([x], T.exp(T.tanh(x)) * 3).maker.fgraph.toposort()])",
        THEANO_FLAGS=f"cxx=,base_compiledir={tmp_path}",
    )
    assert run.stdout.count("Elemwise{") == 3 and "Composite" not in run.stdout
