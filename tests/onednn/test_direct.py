"""The module's own convolutions, which take the place of oneDNN's where they are faster."""

import theano_cpu  # noqa: F401  # before theano

import joined
import numpy as np
import pytest
import theano
import theano.tensor as T

from theano_compat import processor
from theano_cpu import onednn, ops
from theano_cpu.onednn.activation import Bfloat16
from theano_cpu.onednn.pooling import Pool
from theano_cpu.onednn.runtime import num_threads, set_num_threads

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")

needs_vectors = pytest.mark.skipif("avx512f" not in processor.flags(), reason="without AVX-512 oneDNN computes all")
needs_tiles = pytest.mark.skipif("amx_bf16" not in processor.flags(), reason="without AMX oneDNN computes all")

needs_bfloat16 = pytest.mark.skipif(
    ops.onednn_available() and not onednn.has_bfloat16(), reason="this processor does not multiply bfloat16"
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def names(function):
    """Of what computes the convolutions of a function."""
    return [name for thunk in function.fn.thunks for name in onednn.native_module().implementations(thunk.cthunk)]


def convolution(w, **settings):
    x = T.tensor4()
    return theano.function([x], ops.conv2d(x, w, **settings), mode=ops.fast_compile())


def narrow_convolution(w, b, residual):
    """Of pictures and residuals that are rounded to bfloat16."""
    x, r = T.tensor4(), T.tensor4()
    y = ops.conv2d(x, w, b, residual=r if residual else None, relu=True, precision="bfloat16")
    return theano.function([x, r], y, mode=ops.fast_compile(), on_unused_input="ignore")


def rounded(values):
    """To bfloat16, as float64."""
    x = T.tensor4()
    return theano.function([x], Bfloat16(False)(Bfloat16(True)(x)), mode=ops.fast_compile())(values).astype(float)


@pytest.fixture
def threads():
    before = num_threads()
    yield set_num_threads
    set_num_threads(before)


@needs_vectors
def test_few_pixels_and_few_products_are_convolved_by_vectors():
    late, first = convolution(random(64, 300, 1, 1)), convolution(random(64, 3, 7, 7), stride=2, pad=3)
    late(random(1, 7, 7, 300)), first(random(2, 64, 64, 3))
    assert names(late) == names(first) == ["direct:avx512"]


@needs_vectors
def test_many_pixels_groups_dilations_and_weights_that_change_are_left_to_onednn():
    many, grouped = convolution(random(32, 32, 3, 3), pad=1), convolution(random(64, 8, 1, 1), groups=2)
    dilated = convolution(random(32, 8, 3, 3), dilation=2)
    many(random(1, 40, 40, 32)), grouped(random(1, 4, 4, 16)), dilated(random(1, 8, 8, 8))
    x, w = T.tensor4(), T.tensor4()
    changing = theano.function([x, w], ops.conv2d(x, w), mode=ops.fast_compile())
    changing(random(1, 4, 4, 8), random(32, 8, 1, 1))
    assert not [name for f in (many, grouped, dilated, changing) for name in names(f) if "direct" in name]


@needs_tiles
def test_few_pixels_of_bfloat16_are_convolved_by_tiles():
    f = narrow_convolution(random(64, 96, 1, 1), random(64), residual=False)
    f(random(1, 7, 7, 96), random(1, 7, 7, 64))
    assert names(f) == ["direct:amx"]


@needs_bfloat16
@pytest.mark.parametrize("residual", [False, True], ids=["alone", "with a residual"])
@pytest.mark.parametrize("channels", [2, 32, 48, 64, 96, 30])
@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 33, 49, 130, 196, 300])
def test_products_of_bfloat16_are_float64s_but_for_the_last_rounding(pixels, channels, residual):
    w, b = random(64, channels, 1, 1, seed=1), random(64, seed=2)
    x, r = random(1, 1, pixels, channels, seed=3), random(1, 1, pixels, 64, seed=4)
    a, weights, added = rounded(x)[0, 0], rounded(w)[:, :, 0, 0].T, rounded(r)[0, 0]
    expected = np.maximum(a @ weights + b + (added if residual else 0), 0)
    got = narrow_convolution(w, b, residual)(x, r)[0, 0]
    scale = np.abs(a) @ np.abs(weights) + np.abs(b)
    assert (np.abs(got - expected) <= 2.0**-8 * np.abs(expected) + 1e-5 * scale).all()


@pytest.mark.parametrize("shape", [(49, 256, 64), (1, 30, 32), (113, 3, 64), (196, 128, 96)], ids=str)
def test_scores_do_not_depend_on_threads_or_on_the_number_of_pictures(shape, threads):
    pixels, channels, filters = shape
    x = random(5, 1, pixels, channels)
    f = convolution(random(filters, channels, 1, 1), relu=True)
    alone = np.concatenate([f(picture[np.newaxis]) for picture in x])
    for count in 1, 2, 3, 5, 16:
        threads(count)
        np.testing.assert_array_equal(f(x), alone)


def test_a_pooling_after_it_is_computed_with_it_and_gives_the_same(threads):
    x = T.tensor4()
    y = ops.conv2d(x, random(64, 3, 7, 7), random(64), stride=2, pad=3, relu=True)
    together = theano.function([x], ops.pool2d(y, 3, 2), mode=ops.fast_compile())
    convolved = theano.function([x], y, mode=ops.fast_compile())
    pooled = theano.function([x], ops.pool2d(x, 3, 2), mode=ops.fast_compile())
    assert Pool in {type(op) for op in joined.operations(together)}
    for seed, shape in enumerate([(1, 224, 224, 3), (3, 60, 41, 3), (2, 7, 9, 3), (1, 1, 1, 3), (0, 9, 9, 3)]):
        pictures = random(*shape, seed=seed)
        expected = pooled(convolved(pictures))
        for count in 1, 2, 5:
            threads(count)
            np.testing.assert_array_equal(together(pictures), expected)


@pytest.mark.parametrize(
    "pool", [dict(size=3, stride=2, mode="average_inc_pad"), dict(size=2, stride=3), dict(size=5, stride=1, pad=2)]
)
def test_every_pooling_of_every_convolution_is_the_same_apart(pool):
    x = T.tensor4()
    for w, pad in (random(32, 6, 1, 1), 0), (random(32, 6, 3, 3), 1), (random(20, 6, 3, 3), 1):
        y = ops.conv2d(x, w, pad=pad)
        both = theano.function([x], [ops.pool2d(y, **pool), y], mode=ops.fast_compile())  # y is wanted: not together
        together = theano.function([x], ops.pool2d(y, **pool), mode=ops.fast_compile())
        pictures = random(2, 23, 19, 6)
        np.testing.assert_array_equal(together(pictures), both(pictures)[0])


def test_what_is_not_a_number_stays_so_and_goes_no_further():
    x, w = random(1, 9, 9, 8), random(32, 8, 3, 3)
    x[0, 4, 4, 2] = np.nan
    y = convolution(w, pad=1)(x)
    reached = np.zeros((9, 9), bool)
    reached[3:6, 3:6] = True
    np.testing.assert_array_equal(np.isnan(y[0]), np.broadcast_to(reached[..., np.newaxis], y[0].shape))


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_what_is_not_a_number_is_rectified_as_by_onednn(slope):
    x, w = np.full((1, 2, 2, 4), np.nan, "float32"), np.ones((32, 4, 1, 1), "float32")
    ours = convolution(w, relu=True, negative_slope=slope)(x)
    tx, tw = T.tensor4(), T.tensor4()
    theirs = theano.function([tx, tw], ops.conv2d(tx, tw, relu=True, negative_slope=slope), mode=ops.fast_compile())
    np.testing.assert_array_equal(ours, theirs(x, w))


def test_minus_infinity_is_rectified_to_zero():
    x, w = np.full((1, 2, 2, 4), -np.inf, "float32"), np.ones((32, 4, 1, 1), "float32")
    assert (convolution(w, relu=True)(x) == 0).all()
    assert (convolution(w, relu=True, negative_slope=0.5)(x) == -np.inf).all()
