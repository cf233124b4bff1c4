"""An explanation is shown in the picture's own pixels: red raises, blue lowers, grey does neither, dark is not seen."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.explanation import Explanation, colours, geometry
from nsfw_experiments.explanation.colours import tinted
from nsfw_experiments.explanation.geometry import map_of_picture

GREY = (120, 120, 120)


def explanation(cells, size=(256, 128), logit=0.0):
    return Explanation(Image.new("RGB", size, GREY), "occlusion", np.float32(cells), logit, None, (224, 224))


@pytest.fixture
def halves():
    """The left half lowers the score, the right half raises it."""
    return explanation([[-2, 2]])


def test_red_raises_blue_lowers_and_the_border_is_dark_and_grey(halves):
    overlay = np.asarray(halves.overlay()).astype("int16")
    assert overlay.shape == (128, 256, 3)
    red, blue, border = overlay[64, 230], overlay[64, 30], overlay[64, 5]
    assert red[0] > 120 > red[2] + 40 and blue[2] > 120 > blue[0] + 40
    assert len(set(border)) == 1 and border[0] < 60


def test_where_nothing_counts_the_picture_is_grey_and_untouched():
    picture = Image.new("RGB", (2, 1), (200, 30, 30))
    # ITU-R BT.601's grey, as Pillow's mode L has it
    grey = picture.convert("L").getpixel((0, 0))
    result = np.asarray(tinted(picture, np.zeros((1, 2)), 1.0)).astype(int)
    assert np.abs(result - grey).max() <= 1


def test_the_opposite_value_is_as_strong():
    picture = Image.new("RGB", (4, 1), GREY)
    values = np.asarray(tinted(picture, np.array([[1.0, -1.0, 0.3, -0.3]]), 1.0)).astype(int)
    full, opposite, weak, weak_opposite = np.abs(values[0] - 120).max(axis=1)
    assert full > weak > 10 and opposite > weak_opposite > 10


def test_a_given_limit_makes_colours_of_several_explanations_comparable(halves):
    weak = explanation([[-1, 1]])
    np.testing.assert_array_equal(weak.overlay(4), explanation([[-2, 2]]).overlay(8))
    assert halves.limit == pytest.approx(2, abs=0.2) and weak.limit == pytest.approx(1, abs=0.1)
    assert np.any(np.asarray(weak.overlay()) != np.asarray(weak.overlay(2)))


def test_a_limit_of_nothing_is_refused(halves):
    for limit in 0, -1, float("nan"):
        with pytest.raises(ValueError, match=f"limit: got {limit}, expected a number above 0"):
            halves.overlay(limit)
        with pytest.raises(ValueError, match=f"limit: got {limit}, expected a number above 0"):
            halves.side_by_side(limit)


def test_values_beyond_the_limit_have_the_full_colour_and_no_more():
    values = np.asarray(tinted(Image.new("RGB", (4, 1), GREY), np.array([[2.0, 9.0, -2.0, -np.inf]]), 2.0))[0]
    assert values[0].tolist() == values[1].tolist() != values[2].tolist()
    assert len(set(values[3].tolist())) == 1 and values[3, 0] < values[2].min() + 60  # infinite ones are not seen


def test_the_picture_is_made_out_beneath_the_full_colour():
    shades = Image.fromarray(np.uint8([[[0] * 3, [128] * 3, [255] * 3]]))
    red = np.asarray(tinted(shades, np.ones((1, 3)), 1.0)).astype(int)[0]
    assert red[0, 0] < red[1, 0] < red[2, 0] and (red[:, 0] > red[:, 2] + 20).all()


def test_the_mean_of_the_map_is_that_of_the_cells():
    assert explanation([[-2, 3], [1, 4]]).mean == pytest.approx(1.5)


def test_an_explanation_of_nothing_is_grey():
    assert np.asarray(explanation(np.zeros((7, 7))).overlay())[64, 128].tolist() == list(GREY)


def test_a_fine_map_is_blurred_before_it_is_shown_and_a_coarse_one_is_not():
    dots, cells = np.zeros((224, 224)), np.eye(7)
    dots[100, 100] = 1
    assert explanation(dots).limit < 0.02
    assert explanation(dots).shown.mean() == pytest.approx(dots.mean(), rel=1e-4)
    np.testing.assert_allclose(explanation(cells).shown, cells, atol=0.01)


def test_the_score_is_that_of_the_logit():
    assert explanation([[0]], logit=np.log(3)).score == pytest.approx(0.75)


@pytest.mark.parametrize("size", [(256, 128), (20, 30), (1000, 40)])
def test_side_by_side_shows_the_picture_the_overlay_and_a_caption(size):
    one = explanation([[-2, 2]], size, logit=-3.0)
    sheet = one.side_by_side()
    times = (sheet.width - 8) // (2 * size[0])
    assert sheet.width >= 320 and times >= 1
    assert sheet.getpixel((3, 3)) == GREY
    width, height = (times * side for side in size)
    right = sheet.crop((width + 8, 0, 2 * width + 8, height)).resize(size, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(right, one.overlay())
    caption = np.asarray(sheet.crop((0, height, sheet.width, sheet.height)).convert("L"))
    assert caption.min() < 128 < caption.max()


def test_a_notebook_shows_it_side_by_side(halves):
    shown = Image.open(io.BytesIO(halves._repr_png_()))
    assert shown.format == "PNG"
    np.testing.assert_array_equal(shown, halves.side_by_side())


def test_a_large_picture_is_coloured_in_parts_as_it_would_be_at_once(monkeypatch):
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (700, 1000, 3), np.uint8))
    cells = random.normal(size=(7, 7)).astype("float32")

    def coloured(at_once):
        monkeypatch.setattr(colours, "AT_ONCE", at_once)
        monkeypatch.setattr(geometry, "AT_ONCE", at_once)
        tracemalloc.start()
        try:
            overlay = np.asarray(tinted(picture, map_of_picture(cells, picture.size, (224, 224)), 1.0)).astype("int16")
            return overlay, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    (whole, much), (parts, little) = coloured(10**6), coloured(3001)
    assert np.abs(whole - parts).max() <= 1
    assert 6 * little < much
