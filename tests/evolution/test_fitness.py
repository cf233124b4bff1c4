"""Fitness: pictures in, as many numbers out; the NSFW score, the PSNR to a picture, or any function."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import nsfw_experiments.evolution.fitness
from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import NsfwLogit, NsfwScore, Psnr, PerPicture
from nsfw_experiments.evolution.primitives import Circles
from nsfw_experiments.evolution.strategies import climbing_toolbox
from open_nsfw import PictureError, nsfw_score


def noise(seed, size=(24, 16)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_the_psnr_is_that_of_scikit_image():
    target, picture = noise(0), noise(1)
    expected = peak_signal_noise_ratio(np.asarray(target), np.asarray(picture))
    assert Psnr(target, target.size)([picture]) == [pytest.approx(expected, abs=1e-9)]


def test_the_target_itself_is_fitter_than_any_other_picture():
    target = noise(0)
    almost = target.copy()
    almost.putpixel((0, 0), tuple(value ^ 1 for value in target.getpixel((0, 0))))
    equal, less = Psnr(target, target.size)([target, almost])
    assert equal == Psnr.EQUAL > less


def test_no_picture_of_one_colour_is_more_like_the_target_than_its_mean():
    fitness = Psnr(noise(0), (24, 16))
    flats = [Image.new("RGB", (24, 16), (grey, grey, grey)) for grey in range(0, 256, 5)]
    assert fitness.mean_colour_baseline() >= max(fitness(flats))


def test_the_target_is_brought_to_the_canvas_s_size():
    assert Psnr(noise(0, (100, 50)), (32, 20)).target.size == (32, 20)
    assert Psnr(noise(0, (100, 50))).size == (256, 256)  # the canvas's default


def test_pictures_of_another_size_are_refused():
    fitness = Psnr(noise(0), (24, 16))
    with pytest.raises(ValueError, match=r"PSNR: got a picture of size \(24, 15\), expected \(24, 16\)"):
        fitness([noise(1, (24, 15))])


def test_a_run_on_another_canvas_than_the_target_s_is_refused_before_anything_is_drawn():
    toolbox = climbing_toolbox(Circles((32, 16)), 5, Psnr(noise(0), (24, 16)))
    with pytest.raises(ValueError, match=r"pictures of size \(24, 16\), expected the canvas's \(32, 16\)"):
        Evolution(toolbox)


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_target_that_is_no_picture_is_refused(content):
    with pytest.raises(PictureError):
        Psnr(content)


def test_any_function_of_a_picture_is_a_fitness():
    assert PerPicture(lambda picture: picture.width)([noise(0), noise(0, (7, 7))]) == [24, 7]


def test_identities_tell_fitnesses_apart():
    psnr = Psnr(noise(0), (24, 16))
    others = [
        Psnr(noise(1), (24, 16)),
        NsfwLogit(),
        NsfwScore(),
        NsfwScore(precision="bfloat16"),
        PerPicture(len),
    ]
    assert psnr.identity == Psnr(noise(0), (24, 16)).identity
    assert len({fitness.identity for fitness in [psnr, *others]}) == 6


def test_pictures_go_through_the_network_in_one_batch(monkeypatch):
    shapes = []

    class CountingScorer:
        input_size = 224, 224

        def logits(self, x):
            shapes.append(x.shape)
            return x.mean(axis=(1, 2, 3))

    monkeypatch.setattr(nsfw_experiments.evolution.fitness, "get_scorer", lambda **model: CountingScorer())
    black, white = Image.new("RGB", (256, 256)), Image.new("RGB", (256, 256), "white")
    dark, bright = NsfwLogit()([black, white])
    assert shapes == [(2, 3, 224, 224)]
    assert dark < bright


def test_no_logit_is_too_large_to_be_displayed():
    assert NsfwLogit.display_value(-1000.0) == 0.0 and NsfwLogit.display_value(1000.0) == 1.0


@given(st.floats(-30, 30))
def test_a_logit_is_displayed_as_its_score(logit):
    score = NsfwLogit.display_value(logit)
    assert 0 < score < 1
    assert np.log(score) - np.log1p(-score) == pytest.approx(logit, abs=0.01) or logit > 15


def test_the_score_is_that_of_open_nsfw():
    picture = noise(0, (256, 256))
    expected = pytest.approx(nsfw_score(picture), rel=1e-4)
    assert NsfwScore()([picture]) == [expected]
    assert NsfwLogit.display_value(NsfwLogit()([picture])[0]) == expected


@pytest.mark.parametrize("difference, expected", [(255, 0.0), (51, 20 * np.log10(5)), (1, 20 * np.log10(255))])
def test_the_psnr_of_a_difference_that_is_the_same_everywhere(difference, expected):
    fitness = Psnr(Image.new("RGB", (8, 4), (255, 255, 255)), (8, 4))
    dark = Image.new("RGB", (8, 4), (255 - difference,) * 3)
    assert fitness([dark]) == [pytest.approx(expected, abs=1e-12)]


def test_each_colour_counts_as_much_and_one_pixel_as_its_part_of_all():
    black = Image.new("RGB", (8, 4))
    fitness, values = Psnr(black, (8, 4)), []
    for channel in range(3):
        picture = black.copy()
        picture.putpixel((7, 3), tuple(255 * (index == channel) for index in range(3)))
        values += fitness([picture])
    assert values == [pytest.approx(10 * np.log10(8 * 4 * 3))] * 3


def test_the_target_itself_has_a_hundred_decibels():
    assert Psnr(noise(0), (24, 16))([noise(0)]) == [100.0] == [Psnr.EQUAL]


def test_the_baseline_is_the_psnr_of_the_rounded_mean():
    target = Image.new("RGB", (4, 1), (10, 100, 200))
    target.putpixel((0, 0), (13, 103, 204))  # means of 10.75, 100.75 and 201
    mean = Image.new("RGB", (4, 1), (11, 101, 201))
    fitness = Psnr(target, (4, 1))
    assert [fitness.mean_colour_baseline()] == fitness([mean])
    squares = [2**2 + 1 + 1 + 1, 2**2 + 1 + 1 + 1, 3**2 + 1 + 1 + 1]
    assert fitness.mean_colour_baseline() == pytest.approx(10 * np.log10(255**2 * 12 / sum(squares)))


def test_a_target_is_resized_as_lanczos_does():
    large = noise(0, (100, 50))
    expected = large.resize((32, 20), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(Psnr(large, (32, 20)).target), np.asarray(expected))


def test_what_fitnesses_are_called_and_what_is_displayed_of_them():
    assert [fitness.label for fitness in (NsfwLogit, NsfwScore, Psnr, PerPicture)] == [
        "NSFW score",
        "NSFW score",
        "PSNR",
        "fitness",
    ]
    assert NsfwScore.display_value(0.25) == 0.25 and NsfwLogit.display_value(0.0) == 0.5
    assert Psnr(noise(0), (24, 16)).display_value(12.5) == 12.5 == PerPicture(len).display_value(12.5)
    assert NsfwLogit().identity == "NsfwLogit" and NsfwScore().identity == "NsfwScore"
    both = NsfwScore(precision="bfloat16", nsfw_pkl_path="a.pkl", deploy_prototxt_path="b.prototxt")
    assert both.identity == "NsfwScore deploy_prototxt_path=b.prototxt nsfw_pkl_path=a.pkl precision=bfloat16"
    assert PerPicture(noise).identity == "PerPicture noise" and PerPicture(Psnr(noise(0))).identity == "PerPicture Psnr"
    assert Psnr(Image.new("RGB", (2, 1)), (2, 1)).identity == "Likeness b0f66adc83641586"  # of six zeros


def test_a_run_is_promising_from_a_logit_of_1_2_on():
    assert NsfwLogit.promising == 1.2
    assert NsfwScore.promising == pytest.approx(1 / (1 + np.exp(-1.2)))
    assert not hasattr(Psnr, "promising") and not hasattr(PerPicture, "promising")


@pytest.mark.parametrize("make", [NsfwLogit, NsfwScore])
def test_the_network_is_that_of_the_options_and_scores_are_of_its_logits(monkeypatch, make):
    asked = []

    class Scorer:
        input_size = 224, 224

        def logits(self, x):
            return np.array([2.0, -3.0])[: len(x)]

    monkeypatch.setattr(
        nsfw_experiments.evolution.fitness, "get_scorer", lambda **model: asked.append(model) or Scorer()
    )
    values = make(precision="bfloat16", nsfw_pkl_path="a.pkl")([noise(0), noise(1)])
    assert asked == [{"precision": "bfloat16", "nsfw_pkl_path": "a.pkl"}]
    expected = np.array([2.0, -3.0])
    assert values == pytest.approx(expected if make is NsfwLogit else 1 / (1 + np.exp(-expected)))
    assert all(type(value) is float for value in values)
