"""What paintings and runs show of themselves in a notebook."""

import base64
import io
import math
import re

import numpy as np
import pytest
from PIL import Image, ImageFont

from nsfw_experiments.display import figures, never_raises, reduced, strip
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


# What all shown objects share


def test_pictures_stand_side_by_side_with_their_captions_below():
    red, blue = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (300, 20), "blue")
    whole = strip([(red, "a caption that is wider than the picture"), (blue, "")])
    width = math.ceil(ImageFont.load_default().getlength("a caption that is wider than the picture"))
    assert whole.size == (width + 8 + 300, 30 + 18) and width > 40
    pixels = np.asarray(whole)
    assert (pixels[:30, :40] == (255, 0, 0)).all() and (pixels[:20, width + 8 :] == (0, 0, 255)).all()
    assert (pixels[:30, 40 : width + 8] == 255).all() and (pixels[20:, width + 8 :] == 255).all()
    assert (pixels[34:, :width] < 128).any() and (pixels[30:33] == 255).all()


def test_without_captions_there_is_no_line_for_them():
    pictures = [(Image.new("RGB", (size, size)), "") for size in (10, 20, 30)]
    assert strip(pictures).size == (10 + 20 + 30 + 2 * 8, 30)
    assert strip(pictures[:1]).size == (10, 10)


def test_pictures_are_reduced_to_256_pixels_and_never_enlarged_or_changed():
    large, small = Image.new("RGB", (257, 100)), Image.new("RGB", (256, 3))
    assert reduced(large).size == (256, 100) and reduced(small).size == (256, 3)
    assert large.size == (257, 100)
    stripes = Image.fromarray(np.uint8([[0, 255] * 256] * 512))
    assert set(np.unique(np.asarray(reduced(stripes, Image.Resampling.NEAREST)))) <= {0, 255}
    assert not set(np.unique(np.asarray(reduced(stripes)))) <= {0, 255}


def test_a_text_below_is_escaped_and_left_out_where_it_is_empty():
    picture = Image.new("RGB", (2, 2))
    assert figures([(picture, "")], "a < b").endswith("<pre>a &lt; b</pre></div>")
    assert "<pre>" not in figures([(picture, "")])
    for shown, kind in (picture, "image/png"), (b"GIF89a", "image/gif"), ("<svg/>", "image/svg+xml"):
        assert f'<img src="data:{kind};base64,' in figures([(shown, "caption")])


def test_what_cannot_be_shown_is_not_and_what_can_is():
    class Shown:
        @never_raises
        def _repr_html_(self):
            return self.text

    shown = Shown()
    assert shown._repr_html_() is None
    shown.text = "text"
    assert shown._repr_html_() == "text" and Shown._repr_html_.__name__ == "_repr_html_"
