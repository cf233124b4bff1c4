"""Inverse scoring: small budgets, real scores."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from nsfw_experiments.inverse import inverse, read_pixels
from nsfw_experiments.inverse.attack import LARGEST_AREA, LARGEST_ROBUST_AREA
from nsfw_experiments.inverse.callbacks import closest
from nsfw_experiments.inverse.target import check_target
from open_nsfw import PictureError, nsfw_score, resize_image

CHELSEA, COFFEE = "img/chelsea.png", "img/coffee.jpg"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


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


def test_a_tight_tolerance_is_met_by_single_changes():
    # taking back all that does least, without the prediction of single changes, ends 0.0015 away
    _, record = inverse(CHELSEA, 0.37, iterations=48, tolerance=0.001)
    assert record.reached and abs(record.final_score - 0.37) <= 0.001


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
    closest = min(abs(step.score - 0.9) for step in record.history)
    assert nsfw_score(picture) == record.final_score
    assert abs(record.final_score - 0.9) == pytest.approx(closest, abs=1e-5)


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


@pytest.mark.parametrize(
    "target", [-0.1, 1.1, float("nan"), "unsafe", None, float("inf"), pytest.param(10**5000, id="huge")]
)
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
    with pytest.raises(ValueError, match="tolerance: got 1000.*, expected more than 0 and less than 0.5"):
        inverse(CHELSEA, 0.9, tolerance=10**400)
    with pytest.raises(TypeError, match="scorer: got str, expected a nsfw_model.scorer.Scorer"):
        inverse(CHELSEA, 0.9, scorer="nsfw.pkl")
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


def test_a_score_that_the_search_met_is_kept_where_the_boundary_search_misses_it():
    _, record = inverse(CHELSEA, 0.5, iterations=60)
    assert record.reached and record.psnr > 57


def test_a_later_phase_never_hands_back_less_than_an_earlier_one_had(monkeypatch, scorer_giving):
    original = resize_image(CHELSEA)
    almost, beyond = original.copy(), original.copy()
    almost[:16, :16] ^= 8
    beyond[:16, :16] ^= 4

    def search(scorer, original, goal, gradient, evaluations):
        yield almost, goal.logit + goal.upper_tolerance + 0.01
        yield beyond, goal.logit + 9.0

    for phase in ("boundary_search", "greedy_correction"):
        monkeypatch.setattr(f"nsfw_experiments.inverse.attack.{phase}", lambda *arguments: iter(()))
    monkeypatch.setattr("nsfw_experiments.inverse.attack.search", search)
    _, record = inverse(CHELSEA, 0.5, iterations=20, scorer=scorer_giving(0.3))
    handed_back = closest(record.history)
    np.testing.assert_array_equal(handed_back.pixels, almost)
    assert handed_back.score == pytest.approx(0.51, abs=0.01) and handed_back is not record.history[-1]
