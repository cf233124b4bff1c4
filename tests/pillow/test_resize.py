"""The resize operator against Pillow itself, and its adjoint against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nsfw_experiments.pillow.resize import BilinearResize

sides = st.integers(1, 90)
seeds = st.integers(0, 2**32 - 1)


def noise(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow_resize(pixels, height, width):
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.BILINEAR))


@settings(max_examples=300)
@given(sides, sides, sides, sides, seeds)
def test_every_value_is_pillows(height, width, new_height, new_width, seed):
    pixels = noise(seed, height, width)
    resized = BilinearResize((height, width), (new_height, new_width))(pixels)
    np.testing.assert_array_equal(resized, pillow_resize(pixels, new_height, new_width))


@pytest.mark.parametrize("size", [(640, 1024), (427, 640), (256, 300), (100, 256), (31, 2000), (1024, 640), (900, 260)])
def test_every_value_is_pillows_at_the_scorers_size(size):
    pixels = noise(0, *size)
    np.testing.assert_array_equal(BilinearResize(size, (256, 256))(pixels), pillow_resize(pixels, 256, 256))


@settings(max_examples=50)
@given(sides, sides, sides, sides, seeds)
def test_the_adjoint_is_the_adjoint(height, width, new_height, new_width, seed):
    resize = BilinearResize((height, width), (new_height, new_width))
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(height, width, 3)), rng.normal(size=(new_height, new_width, 3))
    assert (resize.linear(x) * y).sum() == pytest.approx((x * resize.adjoint(y)).sum(), rel=1e-9, abs=1e-9)


def test_the_linear_part_stays_within_the_two_roundings():
    pixels = noise(1, 61, 83)
    resize = BilinearResize((61, 83), (40, 120))
    assert np.abs(resize.linear(pixels.astype(np.float64)) - resize(pixels)).max() <= 1.0 + 1e-6


def test_a_float32_gradient_stays_float32():
    gradient = np.ones((4, 4, 3), np.float32)
    assert BilinearResize((8, 8), (4, 4)).adjoint(gradient).dtype == np.float32


def test_wrong_shapes_types_and_sizes_are_refused():
    resize = BilinearResize((8, 8), (4, 4))
    with pytest.raises(ValueError, match=r"got an array of shape \(7, 8, 3\), expected \(8, 8\)"):
        resize(np.zeros((7, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="got float64, expected uint8"):
        resize(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"resize: got \(0, 8\) and \(4, 4\), expected sizes of at least 1"):
        BilinearResize((0, 8), (4, 4))
