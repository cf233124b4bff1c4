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
