"""The parts of a search: the goal, the ranking of each phase, the bracket, and the searches on foreseeable scorers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsfw_experiments.image_metrics import psnr
from nsfw_experiments.inverse.prune import unit_changes
from nsfw_experiments.inverse.search import (
    Bracket,
    Evidence,
    Goal,
    PixelScorer,
    Progress,
    boundary_search,
    greedy_correction,
    rounded,
)
from nsfw_experiments.pillow.preprocessing import preprocessing
from nsfw_model.logit import score_of
from open_nsfw import get_scorer, resize_image

CHELSEA = "img/chelsea.png"
ORIGINAL = np.full((8, 8, 3), 100, np.uint8)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Counter:
    """What a `Progress` asks of its scorer."""

    evaluations = 0


def raised_by(levels):
    return (ORIGINAL.astype(int) + levels).astype(np.uint8)


def noted(excess, *candidates):
    """A progress that was told pixels raised by some levels, their logits and what these rest on."""
    counter = Counter()
    progress = Progress(ORIGINAL, counter, excess, lambda one: one.verified and not excess(one.logit))
    for levels, logit, *evidence in candidates:
        counter.evaluations += 1
        progress.note(raised_by(levels), logit, *evidence)
    return progress


# The goal


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_pixel_is_made_of_what_is_not_finite(bad):
    with pytest.raises(ValueError, match=rf"pixels: got {bad} at \[1\] \(1 of 3 values are not finite\)"):
        rounded(np.array([1.5, bad, 300.0]))


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


# The ranking

GOAL = Goal(logit=3.0, direction=1, upper_tolerance=0.1)


def test_while_the_goal_is_crossed_the_closest_of_those_beyond_it_is_the_best_however_far_beyond():
    progress = noted(GOAL.shortfall, (0, 0.0), (5, 3.05), (4, 9.0), (3, 2.9))
    np.testing.assert_array_equal(progress.best.pixels, raised_by(4))
    assert progress.first_reached == 2


def test_as_long_as_none_crosses_the_goal_the_one_that_misses_it_least_is_the_best():
    progress = noted(GOAL.shortfall, (0, 0.0), (5, 2.0), (1, 1.0))
    np.testing.assert_array_equal(progress.best.pixels, raised_by(5))
    assert progress.first_reached is None


def test_on_target_the_closest_of_those_within_tolerance_is_the_best():
    progress = noted(GOAL.violation, (1, 9.0), (5, 3.05), (4, 3.09), (3, 2.9))
    np.testing.assert_array_equal(progress.best.pixels, raised_by(4))


def test_those_of_which_more_is_known_come_first_however_far_from_the_goal():
    none, drawn, everything = Evidence
    candidates = [(0, 9.0, none), (5, 1.0, drawn), (6, 5.0, drawn), (7, 2.0, everything), (8, 2.5, everything)]
    best = [noted(GOAL.shortfall, *candidates[: count + 1]).best.pixels[0, 0, 0] - 100 for count in range(5)]
    assert best == [0, 5, 6, 7, 8]
    assert noted(GOAL.shortfall, *candidates[:3]).first_reached is None
    assert noted(GOAL.shortfall, (9, 3.0, everything)).first_reached == 1


@pytest.mark.parametrize("excess", [GOAL.shortfall, GOAL.violation])
def test_of_equals_the_later_one_wins(excess):
    progress = noted(excess, (2, 3.0), (-2, 3.0))  # the same distance
    np.testing.assert_array_equal(progress.best.pixels, raised_by(-2))


def test_steps_tell_whether_they_are_the_best_and_from_the_first_that_reaches_the_goal_how_good_the_best_is():
    progress = noted(GOAL.violation, (0, 0.0), (4, 9.0), (5, 3.05), (4, 3.05), (6, 3.05))
    assert [step.best for step in progress.history] == [True, False, True, True, False]
    assert [step.best_psnr for step in progress.history] == [
        None,
        None,
        *(psnr(ORIGINAL, raised_by(levels)) for levels in (5, 4, 4)),
    ]


def test_the_latest_step_has_its_pixels_whether_it_is_the_best_or_not():
    progress = noted(GOAL.violation, (0, 3.0), (4, 9.0))
    np.testing.assert_array_equal(progress.latest.pixels, raised_by(4))
    assert progress.latest == progress.history[-1] and progress.history[-1].pixels is None


@given(st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0.0, 2.0, 3.0, 3.05, 9.0])), min_size=1, max_size=12))
def test_the_history_has_the_pixels_of_two_steps_only(candidates):
    progress = noted(GOAL.shortfall, (0, 0.0), *candidates)
    with_pixels = [number for number, step in enumerate(progress.history) if step.pixels is not None]
    assert with_pixels[0] == 0 and len(with_pixels) <= 2
    np.testing.assert_array_equal(progress.history[with_pixels[-1]].pixels, progress.best.pixels)


# The boundary search


@given(
    st.integers(0, 1000),
    st.integers(2, 1000),
    st.floats(0, 100),
    st.floats(1e-6, 100),
    st.floats(-10, 10),
    st.booleans(),
    st.booleans(),
)
def test_a_bracket_proposes_numbers_between_its_ends_whatever_it_aims_at(
    low, width, margin, shortfall, aim, measured, bisect
):
    bracket = Bracket(low, low + width, margin, shortfall, measured)
    assert low < bracket.propose(aim, bisect) < low + width


def test_a_bracket_narrows_from_both_sides():
    bracket = Bracket(0, 100, margin=1.0, shortfall=1.0)
    assert bracket.propose(0.0) == 50
    assert bracket.propose(0.5) == bracket.propose(0.5, bisect=True) == 25  # nothing to bisect: 100 was not tried
    bracket.narrow(50, -0.5)
    assert (bracket.low, bracket.high, bracket.shortfall) == (0, 50, 0.5)
    assert bracket.propose(0.0) == 33 and bracket.propose(0.0, bisect=True) == 25
    bracket.narrow(49, 0.0)
    assert (bracket.low, bracket.margin) == (49, 0.0) and bracket.closed


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


@pytest.mark.parametrize("decisive_is_predicted", [False, True])
def test_the_boundary_search_goes_on_behind_a_change_that_decides(decisive_is_predicted):
    """Of one decisive change and nineteen small ones, some of the small ones are to be taken back."""
    effects = np.array([10.0, *np.linspace(0.05, 0.5, 19)])

    class Sum:
        """A scorer whose logit is the sum of the effects of what has changed."""

        tried = 0

        def logit(self, pixels):
            self.tried += 1
            return float(effects @ (pixels.ravel()[:20] > 100))

    original = np.full((4, 5, 3), 100, np.uint8)
    changed = original.copy()
    changed.ravel()[:20] += 1
    gradient = np.zeros(original.shape)
    gradient.ravel()[:20] = effects if decisive_is_predicted else [0.01, *effects[1:]]
    scorer, goal = Sum(), Goal(logit=11.4, direction=1, upper_tolerance=0.1)
    logit = scorer.logit(changed)
    *_, (pixels, reached) = boundary_search(scorer, original, 0.0, changed, logit, gradient, goal, 20)
    assert 11.4 <= reached <= 11.5 and scorer.tried <= 15
    *_, (pixels, reached) = boundary_search(
        scorer, original, 0.0, changed, logit, gradient, Goal(9.0, 1, upper_tolerance=1.01), 20
    )
    assert reached == 10.0 and (pixels.ravel() > 100).sum() == 1  # all small ones can go, the decisive one cannot


# The greedy correction


class RedSum:
    """A network whose logit is the sum of red, in hundreds."""

    def logits_and_gradients(self, x):
        gradients = np.zeros_like(x)
        gradients[:, 2] = 0.01
        return x[:, 2].sum(axis=(1, 2)) / 100, gradients


def test_the_greedy_correction_takes_back_single_changes_until_the_logit_is_within_a_tight_tolerance():
    original = resize_image(CHELSEA)
    pixels = np.clip(original.astype(int) + noise(256, 256, 3) % 3, 0, 255).astype(np.uint8)
    scorer = PixelScorer(RedSum(), preprocessing((256, 256)))
    logit, _ = scorer.logit_and_gradient(pixels, 0.0)
    goal = Goal(logit - 0.9, 1, upper_tolerance=0.05, lower_tolerance=0.05)
    tried = list(greedy_correction(scorer, original, pixels, goal, 16))
    corrected, reached = tried[-1]
    assert goal.violation(reached) == 0 < goal.violation(logit)
    taken_back = unit_changes(corrected, pixels)[2]
    assert 0 < len(taken_back) < len(tried)
    low, high = np.minimum(original, pixels), np.maximum(original, pixels)
    assert ((low <= corrected) & (corrected <= high)).all()


def test_the_greedy_correction_ends_where_no_change_is_left():
    original = resize_image(CHELSEA)
    scorer = PixelScorer(RedSum(), preprocessing((256, 256)))
    assert len(list(greedy_correction(scorer, original, original, Goal(math.pi, 1, 0.0), 5))) == 1


# The scorer


def test_the_logit_rises_along_the_gradient():
    """A long step through all roundings, predicted in sign only."""
    scorer = PixelScorer(get_scorer(), preprocessing((256, 256)))
    original = resize_image(CHELSEA)
    logit, gradient = scorer.logit_and_gradient(original, 2.0)
    step = 300 * gradient / np.linalg.norm(gradient)
    moved = np.clip(np.rint(original + step), 0, 255).astype(np.uint8)
    assert scorer.logit(moved) > logit + 1 and scorer.evaluations == 2


def test_an_interrupt_waits_for_the_evaluation_and_a_second_one_does_not():
    class Interrupted(RedSum):
        interrupts = 1

        def logits(self, x):
            if self.interrupts:
                self.interrupts -= 1
                raise KeyboardInterrupt
            return x[:, 2].sum(axis=(1, 2)) / 100

    network = Interrupted()
    scorer, original = PixelScorer(network, preprocessing((256, 256))), resize_image(CHELSEA)
    logit = scorer.logit(original)
    assert isinstance(scorer.interrupt, KeyboardInterrupt) and scorer.evaluations == 1
    assert logit == scorer.logit(original)
    network.interrupts = 1
    with pytest.raises(KeyboardInterrupt):
        scorer.logit(original)


def test_every_look_at_the_network_is_counted():
    scorer = PixelScorer(get_scorer(), preprocessing((256, 256)))
    original = resize_image(CHELSEA)
    logit = scorer.logit(original)
    assert scorer.logit_and_gradient(original, 2.0)[0] == pytest.approx(logit, abs=1e-4)
    assert scorer.logit_and_decoded_gradient(original)[0] == pytest.approx(logit, abs=1e-4)
    assert scorer.evaluations == 3
