"""What paintings and runs show of themselves in a notebook."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.display import figures
from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import PerPicture
from nsfw_experiments.evolution.individual import Painting
from nsfw_experiments.evolution.painting import render, to_svg
from nsfw_experiments.evolution.primitives import Circles
from nsfw_experiments.evolution.settings import Settings
from nsfw_experiments.evolution.strategies import STRATEGIES, make_toolbox

CIRCLES = Circles((48, 32))


def warmth(picture):
    red, _, blue = picture.resize((1, 1)).getpixel((0, 0))
    return red - blue


def new_run(strategy="climb"):
    fitness = PerPicture(warmth)
    fitness.target = Image.new("RGB", CIRCLES.size, "orange")  # which "least-squares" asks for
    return Evolution(make_toolbox(Settings(strategy, CIRCLES, 7, 6), fitness))


def pixels_of_png(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def pixels_of_html(html):
    [data] = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return pixels_of_png(base64.b64decode(data))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_painting_of_a_run_shows_its_picture(strategy):
    evolution, resumed = new_run(strategy), new_run(strategy)
    evolution.run(3)
    resumed.restore(evolution.state())
    for painting in [*evolution.population, evolution.best, *resumed.population, resumed.best]:
        expected = np.asarray(render(painting, CIRCLES))
        np.testing.assert_array_equal(pixels_of_png(painting._repr_png_()), expected)
        np.testing.assert_array_equal(pixels_of_html(painting._repr_html_()), expected)
        assert f"7 circles, fitness {painting.fitness.values[0]:.6g}" in painting._repr_html_()


def test_a_painting_without_a_fitness_says_so_and_one_of_unknown_shapes_shows_nothing():
    assert "1 circles, not evaluated yet" in Painting([(9, 9, 5, 255, 0, 0, 255)], CIRCLES)._repr_html_()
    for painting in Painting([(1, 2, 3)]), Painting("abc", CIRCLES):
        assert painting._repr_png_() is None and painting._repr_html_() is None


def test_a_run_shows_its_best_painting_and_how_far_it_is():
    evolution = new_run()
    evolution.run(3)
    html = evolution._repr_html_()
    np.testing.assert_array_equal(pixels_of_html(html), np.asarray(render(evolution.best, CIRCLES)))
    captioned = pixels_of_png(evolution._repr_png_())
    np.testing.assert_array_equal(captioned[:32, :48], np.asarray(render(evolution.best, CIRCLES)))
    assert captioned[32:].min() < 100
    label = evolution.toolbox.fitness.label
    effort = f"generation 3, {evolution.evaluations} evaluations"
    assert f"{label} {evolution.best_display_value:.6g}, {effort}" in html


def test_a_run_before_its_first_generation_shows_a_sentence():
    assert "before its first generation" in new_run()._repr_html_() and new_run()._repr_png_() is None


def test_a_label_cannot_be_markup():
    evolution = new_run()
    evolution.toolbox.fitness.label = '<script>"'
    evolution.run(0)
    assert "&lt;script&gt;&quot;" in evolution._repr_html_() and "<script>" not in evolution._repr_html_()


def test_a_gif_and_an_svg_are_embedded_as_they_are_and_need_no_trust():
    svg, gif = to_svg([(9, 9, 5, 255, 0, 0, 255)], CIRCLES), b"GIF89a..."
    html = figures([(svg, "an <svg>"), (gif, "a film")])
    sources = re.findall(r'<img src="data:(image/[a-z+]+);base64,([^"]+)"', html)
    assert [(mimetype, base64.b64decode(data)) for mimetype, data in sources] == [
        ("image/svg+xml", svg.encode()),
        ("image/gif", gif),
    ]
    assert "<svg" not in html and "an &lt;svg&gt;" in html  # which JupyterLab would hide
