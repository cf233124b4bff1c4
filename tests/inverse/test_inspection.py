"""The inspection: what it finds, in how many evaluations, and what it says of odd pictures."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.inverse import Inspection, inspect, inverse
from nsfw_experiments.inverse.inspection import NOISE_THRESHOLD, SMOOTHING_THRESHOLD, looks, moves
from open_nsfw import PictureError, get_scorer, nsfw_score

CHELSEA = "img/chelsea.png"


class Counting:
    """A scorer that counts what it is asked."""

    input_size = (224, 224)

    def __init__(self):
        self.asked = 0

    def logits(self, inputs):
        self.asked += len(inputs)
        return get_scorer().logits(inputs)


def test_an_ordinary_picture_has_nothing_to_be_found_and_its_own_score():
    found = inspect(CHELSEA)
    assert found.verdict == "nothing found"
    assert found.score == pytest.approx(nsfw_score(CHELSEA), abs=1e-6)


@pytest.mark.parametrize("full_resolution", [False, True], ids=["256x256", "its own size"])
def test_an_inverted_picture_is_found(full_resolution):
    picture, _ = inverse(Image.open(CHELSEA).resize((300, 200)), 0.98, iterations=16, full_resolution=full_resolution)
    found = inspect(picture)
    assert found.verdict == "inverted" or (full_resolution and found.verdict == "robustly inverted")


@pytest.mark.slow
def test_a_robustly_inverted_picture_is_found_as_such():
    picture, _ = inverse("img/coffee.jpg", 0.9, iterations=25, robust="classic")
    found = inspect(picture)
    assert found.verdict == "robustly inverted"
    assert found.noise < NOISE_THRESHOLD


def test_at_most_eight_evaluations_are_spent():
    scorer = Counting()
    inspect(CHELSEA, scorer=scorer)
    assert 0 < scorer.asked <= 8


def test_it_is_repeatable():
    assert inspect("img/coffee.jpg") == inspect("img/coffee.jpg")
    assert inspect("img/coffee.jpg", seed=1).noise != inspect("img/coffee.jpg").noise


def test_noise_is_of_one_grey_level_and_smoothing_of_what_the_scorer_sees():
    pixels = np.asarray(Image.open(CHELSEA).convert("RGB"))
    own, large, _, small, other, denoised, coarse = looks(pixels)
    resized = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR)).astype(int)
    assert np.array_equal(own, pixels)
    assert set(np.unique(large.astype(int) - pixels)) == {-1, 0, 1}
    assert set(np.unique(small - resized)) == set(np.unique(other - resized)) == {-1, 0, 1}

    def variation(image):
        return np.abs(np.diff(image.astype(int), axis=0)).mean()

    assert variation(denoised) < variation(resized) / 2
    assert variation(coarse) < variation(resized)


@pytest.mark.parametrize("shape", [(2000, 3001, 3), (2, 3_000_000, 3)], ids=["large photograph", "long strip"])
def test_the_looks_of_many_pixels_take_little_memory(shape):
    pixels = np.zeros(shape, np.uint8)
    tracemalloc.start()
    looks(pixels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * pixels.nbytes


def test_noise_is_drawn_as_if_at_once():
    pixels = np.full((301, 70, 3), 7, np.uint8)
    assert np.array_equal(looks(pixels, seed=3)[1], pixels + np.random.default_rng(3).integers(-1, 2, pixels.shape))


def test_the_numbers_are_the_median_and_the_mean_of_distances():
    assert moves(np.array([2.0, 3.0, 1.0, 4.0, 2.0, -1.0, -3.0])) == (1.0, 4.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_logits_of_scores_that_are_certain_are_all_the_same(sign):
    assert moves(sign * np.array([12.0, 9.0, 8.0, 7.0, 6.0, 5.0, 5.0])) == (0.0, 0.0)
    assert moves(sign * np.array([12.0, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0])) == (0.0, pytest.approx(np.log(99)))


@pytest.mark.parametrize(
    "noise, smoothing, verdict",
    [
        (NOISE_THRESHOLD, SMOOTHING_THRESHOLD, "nothing found"),
        (NOISE_THRESHOLD + 0.01, 0.0, "inverted"),
        (NOISE_THRESHOLD + 0.01, SMOOTHING_THRESHOLD + 0.01, "inverted"),
        (0.0, SMOOTHING_THRESHOLD + 0.01, "robustly inverted"),
    ],
)
def test_noise_decides_first_and_smoothing_then(noise, smoothing, verdict):
    found = Inspection(0.98, noise, smoothing)
    assert found.verdict == verdict
    assert str(found).startswith(f"{verdict}: ") and f"{noise:.2f}" in found.evidence
    assert verdict in found._repr_html_()


@pytest.mark.parametrize("score", [1e-6, 0.5, 0.98, 1 - 1e-6])
def test_the_evidence_says_within_what_the_logit_is_looked_at(score):
    """Otherwise a logit that is said to stay where it is may have moved far."""
    assert "the logit, clipped to those of 0.01 and 0.99, moves by 0.00 under noise" in Inspection(score, 0, 0).evidence


def test_a_picture_that_is_inverted_to_a_certain_score_is_found_too():
    picture, record = inverse(CHELSEA, 0.9999, iterations=16, tolerance=0.00005)
    assert record.final_score > 0.99
    assert inspect(picture).verdict == "inverted"


def test_a_picture_of_one_pixel_has_nothing_found_and_says_why():
    found = inspect(np.full((1, 1, 3), 200, np.uint8))
    assert found.verdict == "nothing found"
    assert "1x1 pixels are too few" in str(found)
    assert Inspection(0.9, 99.0, 99.0, too_small=True).verdict == "nothing found"


def test_an_animation_is_its_first_frame_and_says_so():
    first = Image.open("img/coffee.jpg").resize((96, 64)).quantize()
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=[Image.new("P", (96, 64), 3)])
    found = inspect(file.getvalue())
    assert found.score == pytest.approx(nsfw_score(file.getvalue()), abs=1e-6)
    assert "the first of several frames" in str(found)
    assert found.remark in found._repr_html_()
    assert inspect(CHELSEA).remark == ""


def test_an_opened_animation_is_the_frame_that_it_is_at():
    frames = [Image.open(path).resize((96, 64)) for path in ("img/coffee.jpg", "img/retina.jpg")]
    file = io.BytesIO()
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    opened = Image.open(file)
    opened.seek(1)
    found = inspect(opened)
    assert found.score == pytest.approx(nsfw_score(frames[1]), abs=1e-6)
    assert found.remark == "frame 2 of several"
    assert opened.tell() == 1


def test_what_is_no_picture_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(PictureError, match=r"a\.jpg: not a picture"):
        inspect(tmp_path / "a.jpg")
    with pytest.raises(PictureError, match=r"b\.jpg: no such file"):
        inspect(tmp_path / "b.jpg")
    with pytest.raises(TypeError, match="got NoneType"):
        inspect(None)
