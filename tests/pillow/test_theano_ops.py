"""The Theano expressions: Pillow's values forwards, the documented gradient backwards."""

import io

import numpy as np
import pytest
from PIL import Image

import theano_cpu  # noqa: F401

import theano
import theano.tensor as T

from nsfw_experiments.pillow.theano_ops import jpeg, resize
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.resize import BilinearResize


def noise(*shape):
    return np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_jpeg_gives_pillows_values_for_each_picture_of_a_batch(subsampling):
    pictures = noise(3, 21, 30, 3)
    coded = jpeg(T.constant(pictures.astype("float32")), 80, subsampling).eval()
    for picture, result in zip(pictures, coded):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=80, subsampling=subsampling)
        np.testing.assert_array_equal(result, np.asarray(Image.open(file)))


def test_resize_gives_pillows_values():
    pictures = noise(2, 31, 50, 3)
    resized = resize(T.constant(pictures.astype("float32")), (31, 50), (20, 60)).eval()
    for picture, result in zip(pictures, resized):
        expected = Image.fromarray(picture).resize((60, 20), Image.BILINEAR)
        np.testing.assert_array_equal(result, np.asarray(expected))


def test_values_between_and_outside_bytes_are_rounded_and_clipped_first():
    greys = np.array([-3.2, 0.4, 99.6, 300.0], "float32")
    pictures = np.broadcast_to(greys[:, None, None, None], (4, 8, 8, 3))
    np.testing.assert_array_equal(jpeg(T.constant(pictures)).eval()[:, 0, 0, 0], [0, 0, 100, 255])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_neither_value_nor_gradient(bad):
    pictures = T.tensor4()
    values = np.full((1, 16, 16, 3), 100, "float32")
    values[0, 3, 4, 1] = bad
    resized, coded = resize(pictures, (16, 16), (8, 8)), jpeg(pictures)
    for expression in resized, coded, T.grad(coded.sum(), pictures):
        compute = theano.function([pictures], expression)
        with pytest.raises(ValueError, match=rf"pictures: got {bad} at \[0, 3, 4, 1\]"):
            compute(values)


def test_theano_differentiates_through_both():
    pictures = T.tensor4()
    weights = np.random.default_rng(1).normal(size=(1, 16, 24, 3)).astype("float32")
    value = (jpeg(resize(pictures, (30, 20), (16, 24)), 75, straight_through_exponent=6.0) * weights).sum()
    picture = noise(30, 20, 3)
    gradient = theano.function([pictures], T.grad(value, pictures))(picture[None].astype("float32"))[0]
    resizing, coder = BilinearResize((30, 20), (16, 24)), Jpeg(75)
    expected = resizing.adjoint(coder.vjp(weights[0], coder.unrounded_coefficients(resizing(picture)), 6.0))
    np.testing.assert_array_equal(gradient, expected)


def test_shapes_are_known_without_computing():
    pictures = T.tensor4()
    shape = theano.function([pictures], jpeg(resize(pictures, (9, 9), (16, 24))).shape)
    assert not any(type(node.op).__name__ == "ResizeOp" for node in shape.maker.fgraph.apply_nodes)
    assert shape(np.zeros((2, 9, 9, 3), "float32")).tolist() == [2, 16, 24, 3]


def test_what_is_not_a_batch_of_float_pictures_is_refused():
    with pytest.raises(TypeError, match="pictures: got float32 of 3 axes, expected a float tensor of 4 axes"):
        jpeg(T.tensor3())
    with pytest.raises(TypeError, match="pictures: got uint8 of 4 axes"):
        resize(T.tensor4(dtype="uint8"), (8, 8), (4, 4))
    with pytest.raises(ValueError, match="JPEG quality"):
        jpeg(T.tensor4(), quality=0)
