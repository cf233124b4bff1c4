"""Whenever a search is stopped, what comes back is the best of all that it has seen, and no stop loses anything."""

import math

import numpy as np
import pytest

from nsfw_experiments.inverse import Inversion, attack, eot, inverse
from nsfw_experiments.inverse.eot import Transformation
from open_nsfw import resize_image

CHELSEA = "img/chelsea.png"
SMALL = resize_image(CHELSEA)[64:136, 80:160]
TARGETS = [0.1, 0.6, 0.98]


def missed(score, target, tolerance):
    return max(abs(score - target) - tolerance, 0.0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("tolerance", [0.01, 1e-5])
@pytest.mark.parametrize("continued", [False, True])
def test_stopped_at_any_evaluation_nothing_that_was_seen_is_closer(target, tolerance, continued, scorer_giving):
    options = {"iterations": 24, "tolerance": tolerance, "full_resolution": True, "scorer": scorer_giving(0.3)}
    if continued:
        options["start_from"] = SMALL + np.uint8(1)
    inversion = Inversion(SMALL, target, **options)
    stops = 0
    for stops, _ in enumerate(inversion.steps(), 1):
        _, record = inversion.result()
        assert len(record.history) == record.evaluations == stops
        closest = min(missed(step.score, target, tolerance) for step in record.history)
        assert missed(record.final_score, target, tolerance) == closest
        beyond = [s.psnr for s in record.history if s.score >= target and not missed(s.score, target, tolerance)]
        if target == 0.98 and beyond:  # a wide tolerance is met from beyond
            assert record.final_score >= target and record.psnr == max(beyond)
    assert stops > 4 and inversion.result()[1].final_score != record.start_score


@pytest.mark.parametrize("target", TARGETS[:2])
def test_what_was_pruned_for_the_result_is_no_worse(target, scorer_giving):
    inversion = Inversion(CHELSEA, target, iterations=24, scorer=scorer_giving(0.3))
    for step in inversion.steps():
        if step.evaluation in (5, 18):
            picture, record = inversion.result()
            closest = min(missed(step.score, target, 0.01) for step in record.history)
            assert missed(record.final_score, target, 0.01) == closest
            assert record.psnr >= inversion.best.psnr
            np.testing.assert_array_equal(np.asarray(picture), record.pixels)


@pytest.mark.parametrize("target", TARGETS)
def test_a_robust_search_gives_the_best_of_those_of_which_it_knows_most(
    target, two_transformations, monkeypatch, scorer_giving
):
    seen = []
    inversion = Inversion(SMALL, target, iterations=5, robust=True, full_resolution=True, scorer=scorer_giving(0.3))
    note = inversion._progress.note

    def noted(*arguments):
        seen.append(note(*arguments))
        return seen[-1]

    monkeypatch.setattr(inversion._progress, "note", noted)
    direction = 1 if target > 0.3 else -1
    for _ in inversion.steps():
        known = [one for one in seen if one.evidence == max(one.evidence for one in seen)]
        least = min(max(direction * (target - one.score), 0.0) for one in known)
        assert max(direction * (target - inversion.best.score), 0.0) == pytest.approx(least, abs=1e-12)
        assert inversion.best in known
    assert inversion.best.verified


@pytest.fixture
def two_transformations(monkeypatch):
    monkeypatch.setattr(eot, "GRID", (Transformation(50), Transformation(90, 1.5)))
    monkeypatch.setattr(eot, "SHOWN", ())
    monkeypatch.setattr(attack, "compositions", lambda families: ())


def test_a_picture_that_survives_everything_as_it_is_stays_as_it_is(two_transformations, scorer_giving):
    picture, record = inverse(CHELSEA, "sfw", robust="classic", scorer=scorer_giving(0.001))
    np.testing.assert_array_equal(np.asarray(picture), resize_image(CHELSEA))
    assert record.reached and record.evaluations == 3 and record.first_reached == 3
    assert "difference  none\n" in str(record)


class StopsAtOnce:
    """A callback that has had enough before the first evaluation."""

    def begin(self, inversion):
        inversion.stop()

    def __call__(self, step):
        raise AssertionError("no step was to be made")


def test_a_stop_before_the_first_evaluation_gives_the_original_and_the_search_can_go_on(scorer_giving):
    inversion = Inversion(CHELSEA, 0.6, iterations=4, scorer=scorer_giving(0.3))
    inversion.run(StopsAtOnce())
    picture, record = inversion.result()
    np.testing.assert_array_equal(np.asarray(picture), resize_image(CHELSEA))
    assert record.interrupted and record.evaluations == 0 and not record.reached
    assert "NOT reached, never met" in str(record)
    inversion.run()
    assert not inversion.interrupted and inversion.evaluations > 1


@pytest.mark.parametrize("robust", [False, True])
def test_without_a_gradient_the_search_ends_and_says_so(robust, two_transformations, scorer_giving):
    scorer = scorer_giving(0.3)
    scorer.logits_and_gradients = lambda x: (scorer.logits(x), np.zeros_like(x))
    picture, record = inverse(CHELSEA, 0.9, iterations=4, robust=robust, scorer=scorer)
    np.testing.assert_array_equal(np.asarray(picture), resize_image(CHELSEA))
    assert not record.reached and record.psnr == math.inf
    assert "none: no change that was tried came closer to the target" in str(record)
    assert robust or record.evaluations == 1


def test_a_flat_colour_is_no_dead_end():
    """All of its coefficients lie in the middle of their steps, where a weighted gradient would be nothing."""
    _, record = inverse(np.full((256, 256, 3), 128, np.uint8), 0.3, tolerance=0.05, iterations=12)
    assert record.reached and record.start_score < 0.25
