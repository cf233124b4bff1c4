"""What results of inverse scoring show of themselves in a notebook."""

import base64
import dataclasses
import io
import re
from html import unescape

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.display import GAP, LINE, SIDE, png
from nsfw_experiments.image_metrics import psnr
from nsfw_experiments.inverse import Inversion
from nsfw_experiments.inverse.comparison import amplification, amplified_difference, comparison
from nsfw_experiments.inverse.stability import Fragility


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(10, 240, shape, dtype=np.uint8)


def pictures_in(html):
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def text_of(html):
    return unescape(re.sub(r"<[^>]*>", " ", html))


def test_original_result_and_difference_are_side_by_side():
    original = noise(40, 60, 3)
    changed = original + noise(40, 60, 3, seed=1) % 3
    difference = amplified_difference(original, changed)
    pictures = comparison(original, changed, (0.25, 0.75))
    for (shown, _), expected in zip(pictures, (original, changed, difference), strict=True):
        np.testing.assert_array_equal(np.asarray(shown), expected)
    captions = [caption for _, caption in pictures]
    assert captions[:2] == ["original, score 0.250000", "changed, score 0.750000"]
    assert captions[2] == f"difference ×63.5, PSNR {psnr(original, changed):.2f} dB"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_no_difference(bad):
    original = noise(4, 6, 3)
    changed = original.astype(float)
    changed[1, 2, 0] = bad
    for function, pictures in (
        (amplification, (original, changed)),
        (amplification, (changed, original)),
        (amplified_difference, (original, changed, 2.0)),
        (amplified_difference, (original, original, bad)),
    ):
        with pytest.raises(ValueError, match=r"difference: got (nan|inf|-inf) at \["), np.errstate(invalid="ignore"):
            function(*pictures)


def test_a_strip_has_the_pictures_and_below_each_its_caption():
    pictures = [noise(40, 300, 3), noise(30, 300, 3, seed=1)]
    captions = ["difference ×63.5", ""]
    strip = np.asarray(Image.open(io.BytesIO(png(list(zip(map(Image.fromarray, pictures), captions))))))
    assert strip.shape == (40 + LINE, 2 * 300 + GAP, 3)
    np.testing.assert_array_equal(strip[:40, :300], pictures[0])
    np.testing.assert_array_equal(strip[:30, 300 + GAP :], pictures[1])
    assert strip[40:, :300].min() < 100 and strip[40:, 300:].min() == 255


def test_a_caption_wider_than_its_picture_has_its_place():
    small = Image.new("RGB", (8, 8), "white")
    first, second = (
        np.asarray(Image.open(io.BytesIO(png([(small, "a long caption"), (small, caption)])))) for caption in ("", "x")
    )
    changed = np.flatnonzero((first[:, : second.shape[1]] != second[:, : first.shape[1]]).any(axis=(0, 2)))
    written = np.flatnonzero((first != 255).any(axis=(0, 2)))
    assert changed.min() > written.max()


def test_the_difference_of_a_large_picture_is_not_averaged_away():
    original = np.full((8 * SIDE, 8 * SIDE, 3), 100, np.uint8)
    changed = original + noise(8 * SIDE, 8 * SIDE, 3) % 3 - 1
    shown = np.asarray(comparison(original, changed, (0.1, 0.9))[2][0])
    assert shown.shape == (SIDE, SIDE, 3)
    assert np.abs(shown.astype(int) - 128).max() == amplification(original, changed) == 127


def test_the_worst_of_pictures_takes_some_hundred_kilobytes():
    original = noise(700, 900, 3)
    assert len(png(comparison(original, noise(700, 900, 3, seed=1), (0.1, 0.9)))) < 600_000


def test_a_record_shows_its_pictures_and_its_numbers(raised):
    picture, record, _ = raised
    html = record._repr_html_()
    np.testing.assert_array_equal(pictures_in(html)[1], np.asarray(picture))
    np.testing.assert_array_equal(pictures_in(html)[0], record.history[0].pixels)
    assert str(record) in text_of(html) and f"score {record.final_score:.6f}" in text_of(html)
    assert f"×{127 / record.linf:.3g}, PSNR {record.psnr:.2f} dB" in text_of(html)
    assert Image.open(io.BytesIO(record._repr_png_())).size == (3 * 256 + 2 * GAP, 256 + LINE)


def test_a_record_without_pictures_shows_its_numbers(raised):
    record = dataclasses.replace(raised[1], pixels=None)
    assert record._repr_png_() is None and str(record) in text_of(record._repr_html_())


def test_a_search_shows_the_best_so_far_and_before_its_first_step_a_sentence(scorer_giving):
    inversion = Inversion("img/chelsea.png", 0.5, iterations=4, scorer=scorer_giving(0.1))
    assert inversion._repr_png_() is None and "nothing was evaluated yet" in inversion._repr_html_()
    inversion.run()
    np.testing.assert_array_equal(pictures_in(inversion._repr_html_())[1], inversion.best.pixels)
    assert f"score {inversion.best.score:.6f}" in inversion._repr_html_() and "3 evaluations" in inversion._repr_html_()
    assert inversion._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def report():
    return Fragility(0.98, {"JPEG 95": 0.5, "<b>noise": 0.25}, 4.5)


def test_fragility_shows_each_transformation_s_score_and_how_it_changed(report):
    html = report._repr_html_()
    rows = [text_of(row).split() for row in re.findall("<tr>(.*?)</tr>", html)]
    assert rows[1:] == [
        ["as", "it", "is", "0.980000", "+0.000000"],
        ["JPEG", "95", "0.500000", "-0.480000"],
        ["<b>noise", "0.250000", "-0.730000"],
    ]
    assert "<b>" not in html and "fragility 4.500" in html
    assert report._repr_png_().startswith(b"\x89PNG")


def test_what_cannot_be_shown_raises_nothing(report):
    damaged = dataclasses.replace(report, scores=None)
    assert damaged._repr_html_() is None and damaged._repr_png_() is None
