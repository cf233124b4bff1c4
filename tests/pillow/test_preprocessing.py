"""The pipeline in front of the network: the scorer's values forwards, its steps' gradients backwards."""

import numpy as np
import pytest

from nsfw_experiments.pillow.preprocessing import HorizontalFlip, Pipeline, preprocessing
from open_nsfw import prepare


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(256, 256), (300, 400), (500, 200), (100, 90)])
def test_the_pipeline_is_the_scorers_preprocessing(size):
    pixels = noise(*size, 3)
    x, _ = preprocessing(size).forward(pixels)
    np.testing.assert_array_equal(x, prepare(pixels))


def test_the_pipelines_gradient_is_its_steps_gradients_backwards():
    pixels = noise(120, 90, 3)
    mirrored = Pipeline([HorizontalFlip(), *preprocessing((120, 90)).steps])
    plain = preprocessing((120, 90))
    gradient = np.random.default_rng(0).normal(size=(3, 224, 224)).astype(np.float32)
    x, residuals = mirrored.forward(pixels)
    expected_x, expected_residuals = plain.forward(np.ascontiguousarray(pixels[:, ::-1]))
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(
        mirrored.vjp(gradient, residuals, 6.0), plain.vjp(gradient, expected_residuals, 6.0)[:, ::-1]
    )


def test_roundings_are_passed_straight_through_unless_an_exponent_is_given():
    pipeline = preprocessing((256, 256))
    gradient = np.random.default_rng(0).normal(size=(3, 224, 224)).astype(np.float32)
    _, residuals = pipeline.forward(noise(256, 256, 3))
    plain = pipeline.vjp(gradient, residuals)
    np.testing.assert_array_equal(plain, pipeline.vjp(gradient, residuals, 0.0))
    assert (plain != pipeline.vjp(gradient, residuals, 6.0)).any()
