"""Inverse scoring: small budgets, real scores."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from nsfw_experiments.inverse import inverse, read_pixels
from nsfw_experiments.inverse.attack import LARGEST_AREA, LARGEST_ROBUST_AREA
from nsfw_experiments.inverse.callbacks import LiveInverse, ProgressBar, amplified_difference, closest, draw_history
from nsfw_model.logit import logit_of, score_of
from nsfw_experiments.pillow.preprocessing import HorizontalFlip, Pipeline, preprocessing
from nsfw_experiments.inverse.search import Goal, PixelScorer, boundary_search
from nsfw_experiments.image_metrics import norm_of_psnr, psnr, ssim
from nsfw_experiments.inverse.target import check_target
from open_nsfw import PictureError, get_scorer, nsfw_score, prepare, resize_image

CHELSEA, COFFEE = "img/chelsea.png", "img/coffee.jpg"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def raised():
    """A picture raised to 0.98 within 24 evaluations, with what a callback saw."""
    seen = []
    picture, record = inverse(CHELSEA, 0.98, iterations=24, callback=seen.append)
    return picture, record, seen


def saved(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_a_safe_picture_gets_a_high_score_by_an_invisible_change(raised):
    picture, record, _ = raised
    assert record.reached and record.first_reached <= 13
    assert record.psnr > 54 and record.ssim > 0.998
    assert 0.98 <= nsfw_score(saved(picture)) <= 0.99


def test_the_record_describes_the_saved_file(raised):
    picture, record, _ = raised
    original, pixels = resize_image(CHELSEA), np.asarray(picture)
    difference = pixels.astype(float) - original
    assert record.start_score == nsfw_score(CHELSEA)
    assert record.final_score == nsfw_score(saved(picture))
    assert record.l2 == pytest.approx(np.sqrt((difference**2).sum()))
    assert record.linf == np.abs(difference).max()
    assert record.mean_shift == pytest.approx(difference.mean())
    assert record.ssim == pytest.approx(structural_similarity(original, pixels, channel_axis=2))
    assert record.evaluations <= record.iterations == 24
    assert "reached" in str(record) and "NOT" not in str(record)


def test_the_history_has_every_evaluation_and_is_what_a_callback_sees(raised):
    _, record, seen = raised
    assert record.history == seen
    assert [step.evaluation for step in seen] == list(range(1, record.evaluations + 1))
    assert seen[0].score == pytest.approx(record.start_score, abs=1e-6)
    assert seen[record.first_reached - 1].best_psnr is not None
    assert seen[record.first_reached - 2].best_psnr is None


def test_the_result_is_the_same_every_time(raised):
    again, _ = inverse(CHELSEA, 0.98, iterations=24)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(raised[0]))


def test_a_high_score_is_lowered(raised):
    _, record = inverse(raised[0], "sfw", iterations=12)
    assert record.start_score > 0.97 and record.final_score <= 0.01 and record.reached


def test_a_score_in_between_is_met_from_both_sides():
    picture, record = inverse(CHELSEA, 0.37, iterations=36)
    assert abs(nsfw_score(saved(picture)) - 0.37) <= 0.01
    assert record.psnr > 57 and record.evaluations <= 36


def test_full_resolution_keeps_the_pictures_size():
    picture, record = inverse("img/rocket.jpg", 0.9, iterations=24, tolerance=0.05, full_resolution=True)
    assert picture.size == Image.open("img/rocket.jpg").size
    assert record.reached and record.psnr > 48
    assert abs(nsfw_score(saved(picture)) - 0.9) <= 0.05


def test_a_picture_that_has_the_score_already_stays_as_it_is():
    picture, record = inverse(CHELSEA, "sfw")
    np.testing.assert_array_equal(np.asarray(picture), resize_image(CHELSEA))
    assert record.reached and record.evaluations == 1 and record.psnr == np.inf


def test_ctrl_c_returns_the_best_so_far():
    def stop(step):
        if step.best_psnr is not None or step.evaluation == 15:
            raise KeyboardInterrupt

    picture, record = inverse(CHELSEA, 0.9, callback=stop)
    assert record.first_reached == record.evaluations
    assert nsfw_score(picture) == record.final_score >= 0.9


def test_the_history_has_the_pixels_of_the_original_and_of_the_best_only(raised):
    with_pixels = [step for step in raised[1].history if step.pixels is not None]
    assert len(with_pixels) == 2 and with_pixels[0].evaluation == 1
    assert closest(raised[1].history) is with_pixels[1]
    assert with_pixels[1].psnr == raised[1].history[-1].best_psnr
    assert all(step.pixels is not None for step in raised[2])  # a callback gets them all


@pytest.mark.parametrize("iterations", [13, 15, 18])
def test_a_tight_tolerance_spends_no_more_than_it_is_given(iterations):
    _, record = inverse(CHELSEA, 0.37, iterations=np.int64(iterations), tolerance=1e-5)
    assert record.first_reached is not None or record.history[-1].score > 0.3
    assert record.evaluations <= iterations


def test_a_target_out_of_reach_is_reported_as_such():
    _, record = inverse(COFFEE, 0.98, iterations=3)
    assert not record.reached and record.first_reached is None
    assert "NOT reached" in str(record)
    assert record.final_score > record.start_score  # the closest that was seen


@pytest.mark.parametrize("target", [-0.1, 1.1, float("nan"), "unsafe", None, float("inf")])
def test_targets_that_are_no_scores_are_refused_before_the_picture_is_read(target):
    with pytest.raises(ValueError, match='target: got .*, expected a number from 0 to 1, "sfw" or "nsfw"'):
        inverse("no such picture", target)


def test_other_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="iterations: got 0"):
        inverse(CHELSEA, 0.9, iterations=0)
    with pytest.raises(ValueError, match="iterations: got 10.0, expected a whole number"):
        inverse(CHELSEA, 0.9, iterations=10.0)
    with pytest.raises(ValueError, match="seed: got -1, expected a whole number of at least 0"):
        inverse(CHELSEA, 0.9, robust=True, seed=-1)
    with pytest.raises(ValueError, match="tolerance: got 0.5"):
        inverse(CHELSEA, 0.9, tolerance=0.5)
    with pytest.raises(PictureError, match="no such file"):
        inverse("img/nothing.png", 0.9)
    assert check_target("sfw") == 0.0


def test_full_resolution_refuses_sizes_it_cannot_take():
    with pytest.raises(PictureError, match="got a picture of 63x500, expected sides of at least 64"):
        read_pixels(noise(500, 63, 3), full_resolution=True)
    side = int(LARGEST_AREA**0.5) + 1
    with pytest.raises(PictureError, match=f"at most {LARGEST_AREA} pixels"):
        read_pixels(np.zeros((side, side, 3), np.uint8), full_resolution=True)
    side = int(LARGEST_ROBUST_AREA**0.5) + 1
    large = np.zeros((side, side, 3), np.uint8)
    assert read_pixels(large, full_resolution=True).shape == large.shape
    with pytest.raises(PictureError, match=f"robust: got a picture of {side}x{side}, .* {LARGEST_ROBUST_AREA} pixels"):
        read_pixels(large, full_resolution=True, robust=True)
    assert read_pixels(noise(70, 63, 3), full_resolution=False).shape == (256, 256, 3)


# The parts


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


def test_the_logit_rises_along_the_gradient():
    """A long step through all roundings, predicted in sign only."""
    scorer = PixelScorer(get_scorer(), preprocessing((256, 256)))
    original = resize_image(CHELSEA)
    logit, gradient = scorer.logit_and_gradient(original, 2.0)
    step = 300 * gradient / np.linalg.norm(gradient)
    moved = np.clip(np.rint(original + step), 0, 255).astype(np.uint8)
    assert scorer.logit(moved) > logit + 1


def test_goals_are_aimed_at_from_the_tolerance_and_know_their_side():
    assert score_of(Goal.between(0.1, 1.0, 0.01).logit) == pytest.approx(0.99)
    assert score_of(Goal.between(0.9, 0.0, 0.02).logit) == pytest.approx(0.02)
    assert Goal.between(0.995, 1.0, 0.01).direction == 1  # even beyond what is aimed at
    assert Goal.between(0.005, 0.0, 0.01).direction == -1
    falling = Goal.between(0.9, 0.5, 0.01)
    assert falling.margin(0.1) < 0 < falling.margin(-0.1)
    assert falling.shortfall(0.1) == pytest.approx(0.1) and falling.shortfall(-0.1) == 0
    assert falling.violation(-0.03) == falling.violation(0.03) == 0  # a tight tolerance counts on both sides
    assert falling.violation(-0.1) > 0 and falling.violation(0.1) > 0
    assert Goal.between(0.1, 0.98, 0.01).violation(Goal.between(0.1, 0.98, 0.01).logit - 0.01) > 0


def test_the_boundary_search_takes_changes_back_until_the_score_is_within_tolerance():
    class Sum:
        """A scorer whose logit is how much the picture changed, so that every step can be foreseen."""

        def logit(self, pixels):
            return float(pixels.astype(int).sum() - original.astype(int).sum()) / 100

    original = noise(20, 20, 3) // 2
    changed = original + noise(20, 20, 3, seed=1) // 64
    goal = Goal(logit=5.0, direction=1, upper_tolerance=0.02)
    *_, (pixels, logit) = boundary_search(
        Sum(), original, 0.0, changed, Sum().logit(changed), np.ones(changed.shape), goal, 10
    )
    assert 5.0 <= logit <= 5.02
    assert (pixels >= original).all() and (pixels <= changed).all()


def test_logits_of_any_size_have_a_score():
    for logit in (-1000.0, -701.0, -30.0, 0.0, 3.0, 30.0, 1000.0):
        assert 0 <= score_of(logit) <= 1
        assert logit_of(score_of(logit)) == pytest.approx(logit, rel=1e-3) or abs(logit) > 40
    assert logit_of(score_of(-699.0)) == pytest.approx(-699)


def test_a_score_that_the_search_met_is_kept_where_the_boundary_search_misses_it():
    _, record = inverse(CHELSEA, 0.5, iterations=60)
    assert record.reached and record.psnr > 57


def test_similarity_measures():
    a, b = noise(40, 50, 3), noise(40, 50, 3, seed=1)
    assert psnr(a, a) == np.inf and ssim(a, a) == 1
    assert abs(ssim(a, b)) < 0.05  # noise is like no other noise
    assert psnr(a, np.where(a > 0, a - 1, 1).astype(np.uint8)) == pytest.approx(20 * np.log10(255))
    difference = np.linalg.norm(a.astype(float) - b)
    assert norm_of_psnr(psnr(a, b), a.size) == pytest.approx(difference)


# Callbacks


def test_a_search_can_be_drawn(raised):
    figure = draw_history(raised[1].history)
    titles = [axes.get_title().split(",")[0] for axes in figure.axes[:3]]
    assert titles == ["original", "changed", "difference"]
    assert len(figure.axes[3].lines[0].get_xdata()) == len(raised[1].history)


def test_a_live_view_is_renewed_in_place(raised, monkeypatch):
    shown = []

    class Handle:
        update = shown.append

    monkeypatch.setattr("IPython.display.display", lambda picture, display_id: shown.append(picture) or Handle)
    with LiveInverse(seconds=0) as view:
        for step in raised[2][:3]:
            view(step)
    assert len(shown) == 4  # the end is drawn once more
    assert all(picture.data.startswith(b"\x89PNG") for picture in shown)


def test_a_live_view_keeps_the_pixels_of_original_best_and_latest_only(raised, monkeypatch):
    monkeypatch.setattr(LiveInverse, "show", lambda self: None)
    seen, view = raised[2], LiveInverse()
    for step in seen:
        view(step)
        kept = [step for step in view._history if step.pixels is not None]
        assert kept[0].pixels is seen[0].pixels and kept[-1].pixels is step.pixels
        assert len(kept) <= 3
        assert closest(view._history).psnr == (step.best_psnr or step.psnr)
    assert view._history == seen


def test_the_progress_bar_tells_score_and_psnr(raised, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with ProgressBar(24) as bar:
        for step in raised[2]:
            bar(step)
    assert bar.n == len(raised[2])
    assert f"score {raised[2][-1].score:.4f}" in terminal.getvalue() and "best" in terminal.getvalue()


def test_differences_are_amplified_around_grey():
    original = np.full((4, 4, 3), 100, np.uint8)
    changed = original.copy()
    changed[0, 0] = 101, 99, 102
    assert amplified_difference(original, changed)[0, 0].tolist() == [192, 64, 255]
    assert amplified_difference(original, original)[1, 1].tolist() == [128, 128, 128]
