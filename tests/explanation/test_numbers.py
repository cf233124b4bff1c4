"""What maps, colours and methods give, number for number, of scorers whose logit is known by a formula."""

import inspect
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from nsfw_experiments.explanation import METHODS, Explanation
from nsfw_experiments.explanation.attribution import batches, blurred
from nsfw_experiments.explanation.colours import tinted
from nsfw_experiments.explanation.path_integral import PathIntegral

# --- colours and pictures


@pytest.mark.parametrize("pixel", [(0, 0, 0), (255, 255, 255), (120, 40, 200)])
@pytest.mark.parametrize("value", [-3.0, -2.0, -0.5, 0.0, 0.1, 1.0, 2.0, 9.0, math.nan])
def test_a_colour_is_mixed_of_the_pixels_light_and_that_of_the_scale(pixel, value):
    grey = (0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]) / 255  # ITU-R BT.601
    if math.isnan(value):
        expected = [0.35 * grey] * 3
    else:
        share = 0.8 * min(abs(value) / 2.0, 1) ** 0.8
        scale = (0.84, 0.05, 0.10) if value > 0 else (0.02, 0.35, 0.85)
        expected = [(1 - share) * grey + share * colour * (0.45 + 0.75 * grey) for colour in scale]
    found = tinted(Image.new("RGB", (1, 1), pixel), np.array([[value]], np.float32), 2.0).getpixel((0, 0))
    np.testing.assert_allclose(found, 255 * np.clip(expected, 0, 1), atol=0.51)


def explanation(cells, size, logit=0.0):
    return Explanation(Image.new("RGB", size, "grey"), "occlusion", np.float32(cells), logit, None, (224, 224))


def test_what_is_shown_is_blurred_by_a_sixty_fourth_of_each_side():
    cells = np.random.default_rng(0).normal(size=(32, 192))
    np.testing.assert_allclose(
        explanation(cells, (9, 9)).shown, gaussian_filter(np.float32(cells), (0.5, 3)), rtol=1e-6
    )


def test_the_limit_of_nothing_is_one():
    assert explanation(np.zeros((2, 2)), (4, 4)).limit == 1.0


@pytest.mark.parametrize(
    ("size", "times", "text"),
    [((160, 100), 1, 14), ((159, 100), 2, 14), ((53, 400), 4, 14), ((640, 360), 1, 15), ((1000, 800), 1, 33)],
)
def test_a_sheet_has_room_for_two_pictures_a_gap_and_two_lines(size, times, text):
    one = explanation([[-2, 1]], size, logit=-3.0)
    sheet, (width, height) = one.side_by_side(), (times * side for side in size)
    assert sheet.size == (2 * width + 8, height + 2 * text)
    expected = Image.new("RGB", sheet.size, "white")
    for left, half in (0, one.picture), (width + 8, one.overlay()):
        expected.paste(half.resize((width, height), Image.Resampling.NEAREST), (left, 0))
    caption = "0.0474   occlusion, full colour \N{PLUS-MINUS SIGN}2"
    font = ImageFont.load_default(text)
    ImageDraw.Draw(expected).text((width + 4, height + text), caption, fill="#222222", font=font, anchor="mm")
    np.testing.assert_array_equal(sheet, expected)


def test_a_sheet_of_another_limit_tells_it():
    one = explanation([[-2, 1]], (640, 360))
    assert np.any(np.asarray(one.side_by_side(2.0)) != np.asarray(one.side_by_side(4.0)))
    np.testing.assert_array_equal(one.side_by_side(), one.side_by_side(one.limit))


# --- methods


class Quadratic:
    """A scorer whose logit is the sum of weighted squares; how many pictures it was given at once is noted."""

    def __init__(self, shape=(3, 8, 8)):
        self.weights = np.random.default_rng(3).normal(size=shape)
        self.asked = []

    def logits(self, x):
        self.asked.append(len(x))
        return (self.weights * x.astype(np.float64) ** 2).sum((1, 2, 3))

    def logits_and_gradients(self, x):
        return self.logits(x), (2 * self.weights * x).astype(np.float32)


@pytest.fixture
def scorer():
    return Quadratic()


@pytest.fixture
def x():
    return np.random.default_rng(4).normal(0, 20, (3, 8, 8)).astype(np.float32)


def test_what_methods_do_unless_told():
    defaults = {
        name: {
            key: of.default for key, of in inspect.signature(method).parameters.items() if key not in ("scorer", "x")
        }
        for name, method in METHODS.items()
    }
    assert defaults == {
        "class-activation-map": {},
        "occlusion": {"patch": 32, "stride": None, "blur": 12.0},
        "integrated-gradients": {"steps": 32, "blur": 12.0, "tolerance": 0.01},
        "grad-cam": {"layer": None},
        "smooth-grad": {"samples": 32, "noise": 25.0, "seed": 0},
        "input-gradient": {},
    }


def test_the_input_gradient_is_summed_over_colours_and_its_mean_is_the_sum_of_all(scorer, x):
    found = METHODS["input-gradient"](scorer, x)
    gradient = 2 * scorer.weights * x
    np.testing.assert_allclose(found.cells, 64 * gradient.sum(0), rtol=1e-5)
    assert found.cells.mean() == pytest.approx(gradient.sum(), rel=1e-5)
    assert found.logit == scorer.logits(x[None])[0] and found.baseline_logit is None


def test_smooth_grad_is_the_mean_gradient_under_the_noises_of_its_seed(scorer, x):
    found = METHODS["smooth-grad"](scorer, x, samples=11, noise=3.0, seed=5)
    rng = np.random.default_rng(5)
    noises = np.concatenate([rng.standard_normal((some, 3, 8, 8), np.float32) for some in (8, 3)])
    expected = 64 * (2 * scorer.weights * (x + 3 * noises.mean(0))).sum(0)
    np.testing.assert_allclose(found.cells, expected, rtol=1e-4, atol=1e-2)
    assert scorer.asked[:2] == [8, 3] and found.baseline_logit is None
    assert found.logit == scorer.logits(x[None])[0]


@pytest.mark.parametrize(("patch", "stride"), [(3, None), (4, 2), (8, 8), (5, 3)])
def test_occlusion_is_the_mean_fall_of_all_patches_that_hide_a_place(patch, stride, scorer, x):
    found = METHODS["occlusion"](scorer, x, patch=patch, stride=stride, blur=2.0)
    hidden, falls = gaussian_filter(x, (0, 2, 2), mode="nearest"), [[[] for _ in range(8)] for _ in range(8)]
    starts = [start for start in range(0, 8, stride or patch) if start == 0 or start + patch - (stride or patch) < 8]
    for top in starts:
        for left in starts:
            view = x.copy()
            view[:, top : top + patch, left : left + patch] = hidden[:, top : top + patch, left : left + patch]
            fall = float(scorer.logits(x[None])[0] - scorer.logits(view[None])[0])
            for row in range(top, min(top + patch, 8)):
                for column in range(left, min(left + patch, 8)):
                    falls[row][column].append(fall)
    np.testing.assert_allclose(found.cells, [[np.mean(of) for of in row] for row in falls], rtol=1e-4)
    assert found.logit == scorer.logits(x[None])[0] and found.baseline_logit is None and max(scorer.asked) <= 8


@pytest.mark.parametrize("blur", [1e-3, 1024, np.float32(3)])
def test_a_blur_is_a_gaussian_of_rows_and_columns_not_of_colours(blur, x):
    np.testing.assert_array_equal(blurred(x, blur), gaussian_filter(x, (0, blur, blur), mode="nearest"))


def test_batches_end_where_the_numbers_do():
    assert [list(batch) for batch in batches(17)] == [[*range(8)], [*range(8, 16)], [16]]
    assert list(batches(0)) == [] and list(batches(8)) == [range(8)]


# --- the way from one picture to another


class Power(Quadratic):
    """A scorer whose logit is the weighted sum of fourth powers."""

    def logits(self, x):
        self.asked.append(len(x))
        return (self.weights * x.astype(np.float64) ** 4).sum((1, 2, 3))

    def logits_and_gradients(self, x):
        return self.logits(x), (4 * self.weights * x.astype(np.float64) ** 3).astype(np.float32)


@pytest.fixture
def way(x):
    start, end = x / 40, x / 20
    return PathIntegral(Power(), start, end, steps=3), start, end


def by_hand(edges, start, end, weights):
    """The midpoint rule over these parts of the way."""
    middles, lengths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    gradients = [4 * weights * (start + middle * (end - start)).astype(np.float64) ** 3 for middle in middles]
    return sum(length * gradient for length, gradient in zip(lengths, gradients)) * (end - start)


def test_first_steps_are_denser_where_the_way_begins(way):
    integral, start, end = way
    expected = by_hand(np.array([0, 1 / 9, 4 / 9, 1]), start, end, integral._scorer.weights)
    np.testing.assert_allclose(integral.attributions(), expected, rtol=1e-4)
    change = integral.end_logit - integral.start_logit
    assert integral.gap() == pytest.approx(expected.sum() - change, abs=1e-5 * abs(change))
    assert integral.evaluations == 3


def test_the_parts_that_miss_the_most_are_halved(way):
    integral, start, end = way
    edges, weights = np.array([0, 1 / 9, 4 / 9, 1]), integral._scorer.weights
    integral.refine(2)
    places = start + edges[:, None, None, None] * (end - start)
    logits = (weights * places.astype(np.float64) ** 4).sum((1, 2, 3))
    parts = [by_hand(edges[number : number + 2], start, end, weights).sum() for number in range(3)]
    worst = np.argsort(-np.abs(parts - np.diff(logits)))[:2]
    halved = np.sort(np.concatenate([edges, (edges[worst] + edges[worst + 1]) / 2]))
    np.testing.assert_allclose(integral.attributions(), by_hand(halved, start, end, weights), rtol=1e-4)
    assert integral.evaluations == 3 + 4  # whose middles were there are not computed again


class Stubborn(Power):
    """A scorer whose gradients never sum up to the change of its logit."""

    evaluations = 0

    def logits_and_gradients(self, x):
        self.evaluations += len(x)
        logits, gradients = super().logits_and_gradients(x)
        return logits, 2 * gradients


@pytest.mark.parametrize(("tolerance", "least", "most"), [(0.01, 512, 512 + 15), (math.inf, 4, 4)])
def test_integrated_gradients_are_refined_so_often_and_no_further(tolerance, least, most, x):
    scorer = Stubborn()
    METHODS["integrated-gradients"](scorer, x / 20, steps=4, blur=1.0, tolerance=tolerance)
    assert least <= scorer.evaluations <= most


def test_integrated_gradients_share_out_what_the_blurred_picture_lacks(x):
    scorer = Power()
    found = METHODS["integrated-gradients"](scorer, x / 20, steps=8, blur=1.5, tolerance=1e-4)
    start, end = scorer.logits(np.stack([gaussian_filter(x / 20, (0, 1.5, 1.5), mode="nearest"), x / 20]))
    assert (found.logit, found.baseline_logit) == (end, start)
    assert found.cells.mean() == pytest.approx(end - start, rel=1.1e-4) and found.cells.dtype == np.float32
