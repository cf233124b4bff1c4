"""Where what is asked for begins and ends: targets, tolerances, goals, sizes, and what a record calls reached."""

import math

import numpy as np
import pytest

from nsfw_experiments.inverse import Inversion, attack, inverse, read_pixels
from nsfw_experiments.inverse.attack import LARGEST_AREA, LARGEST_ROBUST_AREA, SMALLEST_SIDE
from nsfw_experiments.inverse.eot import GRID, SHOWN, Transformation, robustness_table
from nsfw_experiments.inverse.families import required
from nsfw_experiments.inverse.record import Record, Step
from nsfw_experiments.inverse.search import Candidate, Evidence, Goal
from nsfw_experiments.inverse.target import check_robust, check_scorer, check_target, check_tolerance
from nsfw_model.logit import logit_of
from open_nsfw import PictureError, resize_image

CHELSEA = "img/chelsea.png"


# What may be asked


@pytest.mark.parametrize("target, number", [(0, 0.0), (1, 1.0), ("0", 0.0), ("1", 1.0), ("sfw", 0.0), ("nsfw", 1.0)])
def test_targets_reach_from_0_to_1(target, number):
    assert check_target(target) == number
    for beyond in (np.nextafter(0, -1), np.nextafter(1, 2)):
        with pytest.raises(ValueError):
            check_target(beyond)


def test_tolerances_lie_between_0_and_a_half():
    assert check_tolerance(np.nextafter(0, 1)) > 0 and check_tolerance(np.nextafter(0.5, 0)) < 0.5
    for bad in (0, 0.5, -0.1, math.nan, "wide", None):
        with pytest.raises(ValueError, match="expected more than 0 and less than 0.5"):
            check_tolerance(bad)


def test_a_bad_value_is_quoted_in_a_hundred_characters_at_most():
    for function, quoted in (
        (check_target, "'" + "x" * 99),
        (check_tolerance, "'" + "x" * 99),
        (check_robust, "'" + "x" * 99),
    ):
        with pytest.raises(ValueError) as raised:
            function("x" * 300)
        assert f"got {quoted}, expected" in str(raised.value)
    with pytest.raises(ValueError, match="target: got a int of too many digits, expected"):
        check_target(10**5000)


def test_names_of_families_may_have_spaces_around_and_come_in_any_order():
    assert check_robust(" mirror ,jpeg,classic, webp") == ("jpeg", "scale", "mirror", "webp")
    assert check_robust(iter(["tone", "crop"])) == ("crop", "tone")


def test_a_scorer_has_all_that_a_search_asks_of_one():
    class Scorer:
        input_size, scores, logits, logits_and_gradients = (1, 1), None, None, None

    check_scorer(Scorer())
    for name in ("input_size", "scores", "logits", "logits_and_gradients"):
        lacking = type("Lacking", (), {other: None for other in vars(Scorer) if other != name and other[0] != "_"})
        with pytest.raises(TypeError, match="scorer: got Lacking, expected a nsfw_model.scorer.Scorer"):
            check_scorer(lacking())


# Goals


@pytest.mark.parametrize(
    "start, target, tolerance, aim, direction, beyond, short_of",
    [
        (0.2, 0.6, 0.01, 0.6, 1, 0.61, 0.59),
        (0.9, 0.6, 0.01, 0.6, -1, 0.59, 0.61),
        (0.2, 0.98, 0.01, 0.98, 1, 0.99, None),  # 0.70 in logits: wide
        (0.2, 0.9, 0.01, 0.9, 1, 0.91, 0.89),  # 0.12: tight
        (0.2, 0.6, 0.048, 0.6, 1, 0.648, None),  # just over 0.2
        (0.2, 0.6, 0.046, 0.6, 1, 0.646, 0.554),  # just under it
        (0.6, 0.6, 0.01, 0.6, -1, 0.59, 0.61),  # nowhere to go: down
        (0.2, 1.0, 0.01, 0.99, 1, None, None),
        (0.2, 0.0, 0.01, 0.01, -1, None, None),
        (0.2, 0.99, 0.01, 0.99, 1, None, None),
    ],
)
def test_a_goal_is_a_logit_and_what_is_tolerated_on_its_sides(
    start, target, tolerance, aim, direction, beyond, short_of
):
    goal = Goal.between(start, target, tolerance)
    assert goal.logit == pytest.approx(logit_of(aim), abs=1e-9) and goal.direction == direction
    upper = math.inf if beyond is None else abs(logit_of(beyond) - logit_of(aim))
    assert goal.upper_tolerance == pytest.approx(upper, rel=1e-6) or (beyond is None and goal.upper_tolerance > 30)
    lower = 0 if short_of is None else abs(logit_of(short_of) - logit_of(aim))
    assert goal.lower_tolerance == pytest.approx(lower, rel=1e-6)


@pytest.mark.parametrize("direction", [1, -1])
def test_what_a_logit_misses_is_nothing_up_to_the_ends_of_what_is_tolerated(direction):
    goal = Goal(2.0, direction, upper_tolerance=0.5, lower_tolerance=0.25)
    logits = [2.0 + direction * margin for margin in (-0.5, -0.25, 0.0, 0.5, 1.5)]
    assert [goal.margin(logit) for logit in logits] == [-0.5, -0.25, 0.0, 0.5, 1.5]
    assert [goal.shortfall(logit) for logit in logits] == [0.5, 0.25, 0.0, 0.0, 0.0]
    assert [goal.violation(logit) for logit in logits] == [0.25, 0.0, 0.0, 0.0, 1.0]
    assert goal.middle == 0.125 and [goal.offset(logit) for logit in logits] == [-0.625, -0.375, -0.125, 0.375, 1.375]


def candidate(score, evidence=Evidence.ALL):
    return Candidate(np.zeros((1, 1, 3), np.uint8), logit_of(score), 50.0, evidence)


@pytest.fixture
def begun(scorer_giving):
    """Makes a search that has looked at its original."""

    def begin(start, target, tolerance, robust=False):
        inversion = Inversion(CHELSEA, target, tolerance=tolerance, robust=robust, scorer=scorer_giving(start))
        inversion.step()
        return inversion

    return begin


def test_a_plain_search_is_after_the_target_and_nears_a_wide_one_from_its_far_side(begun):
    search = begun(0.2, 0.98, 0.01)
    misses = {score: search._excess(logit_of(score)) for score in (0.5, 0.97, 0.979, 0.981, 0.989, 0.995)}
    assert misses == pytest.approx({0.5: 0.48, 0.97: 0.01, 0.979: 0.01, 0.981: 0, 0.989: 0, 0.995: 0.015}, abs=1e-9)
    reached = [score for score in (0.5, 0.969, 0.971, 0.979, 0.981, 0.999) if search._reaches(candidate(score))]
    assert reached == [0.971, 0.979, 0.981, 0.999]
    assert not search._reaches(candidate(0.98, Evidence.DRAWN))


def test_a_robust_search_is_after_all_that_is_not_short_of_the_target(begun):
    search = begun(0.2, 0.6, 0.01, robust="classic")
    assert search._excess(logit_of(0.5)) == pytest.approx(logit_of(0.6) - logit_of(0.5))
    assert search._excess(logit_of(0.61)) == search._excess(logit_of(0.9)) == 0
    assert [score for score in (0.595, 0.601, 0.9) if search._reaches(candidate(score))] == [0.601, 0.9]
    assert not search._reaches(candidate(0.9, Evidence.DRAWN))
    assert search.history[0].best and not search.best.verified and search.robust


def test_what_is_within_tolerance_at_once_is_not_searched_for(scorer_giving):
    for start, steps in ((0.5909, 1), (0.6091, 1), (0.58, 3), (0.62, 3)):
        inversion = Inversion(CHELSEA, 0.6, iterations=3, scorer=scorer_giving(start))
        inversion.run()
        assert len(inversion.history) == steps, start
        assert inversion.step() is None and inversion.evaluations == steps
    one = Inversion(CHELSEA, 0.6, iterations=1, scorer=scorer_giving(0.1))
    one.run()
    assert one.evaluations == 1 and one.best.psnr == math.inf


@pytest.mark.parametrize(
    "tolerance, target, iterations, reserved",
    [(0.01, 1.0, 60, 0), (0.01, 0.98, 60, 4), (0.01, 0.6, 60, 16), (0.01, 0.6, 45, 15), (0.01, 0.98, 9, 3)],
)
def test_evaluations_are_kept_for_hitting_a_target_the_tighter_the_more(
    tolerance, target, iterations, reserved, monkeypatch, scorer_giving
):
    given = []

    def search(scorer, original, goal, gradient, evaluations):
        given.append(evaluations)
        return iter(())

    monkeypatch.setattr(attack, "search", search)
    Inversion(CHELSEA, target, tolerance=tolerance, iterations=iterations, scorer=scorer_giving(0.1)).run()
    assert given == [iterations - 1 - reserved]


@pytest.mark.parametrize(
    "start, left, asked, steps",
    [(0.995, 0.995, 1, 2), (0.995, 0.9, 1, 1), (0.98, 0.995, 0, 1)],
    ids=["withstands", "does not withstand", "is short of the target"],
)
def test_robust_mode_first_asks_whether_the_original_withstands_it(
    start, left, asked, steps, monkeypatch, scorer_giving
):
    verified, attacks = [], []

    def attacked(scorer, original, goal, iterations, *others):
        attacks.append(iterations)
        return iter(())

    monkeypatch.setattr(attack, "verified_logit", lambda *given: verified.append(given[3]) or logit_of(left))
    monkeypatch.setattr(attack, "eot_attack", attacked)
    inversion = Inversion(CHELSEA, "nsfw", iterations=7, robust="jpeg", scorer=scorer_giving(start))
    inversion.run()
    assert len(inversion.history) == steps and verified == [("jpeg",)] * asked
    assert attacks == ([] if steps == 2 else [7])
    assert inversion.best.verified == (steps == 2)


# Sizes


def test_full_resolution_takes_pictures_up_to_its_limits():
    assert (SMALLEST_SIDE, LARGEST_AREA, LARGEST_ROBUST_AREA) == (64, 16_000_000, 2_000_000)
    for robust, largest in ((False, LARGEST_AREA), (True, LARGEST_ROBUST_AREA)):
        for shape in ((64, 64, 3), (largest // 1000, 1000, 3)):
            assert read_pixels(np.zeros(shape, np.uint8), True, robust).shape == shape
        for shape in ((63, 64, 3), (64, 63, 3), (largest // 1000 + 1, 1000, 3)):
            with pytest.raises(PictureError):
                read_pixels(np.zeros(shape, np.uint8), True, robust)


# Records


def record(final=0.6, target=0.6, start=0.2, grid=None, **more):
    values = {
        "tolerance": 0.0625,
        "iterations": 9,
        "evaluations": 3,
        "first_reached": None,
        "l2": 12.34,
        "linf": 2,
        "psnr": 51.234,
        "ssim": 0.987654,
        "mean_shift": -0.01234,
        "history": [],
    }
    return Record(target=target, start_score=start, final_score=final, robustness_grid=grid, **{**values, **more})


@pytest.mark.parametrize("start, further", [(0.1, 0.9), (0.9, 0.1), (0.5, 0.1)])
def test_a_score_meets_a_target_up_to_its_tolerance_and_in_robust_mode_beyond_it(start, further):
    plain, robust = record(target=0.5, start=start), record(target=0.5, start=start, grid={})
    back = 1 - further
    for one in (plain, robust):
        assert one.meets(0.5) and one.meets(0.5625) and one.meets(0.4375) and not one.meets(back)
    assert not plain.meets(further) and robust.meets(further)


def test_a_record_is_of_all_that_is_required():
    wild = dict.fromkeys(required(("blur",)), 0.7)
    assert record(grid={GRID[0]: 0.7, SHOWN[0]: 0.1}, wild=wild).reached
    assert not record(grid={GRID[0]: 0.5, SHOWN[0]: 0.9}, wild=wild).reached
    assert not record(grid={GRID[0]: 0.7}, wild={**wild, required(("blur",))[1]: 0.5}).reached
    assert not record(final=0.5, grid={GRID[0]: 0.7}, wild=wild).reached
    assert record(grid=None, wild=None).reached and not record(final=0.7).reached


def test_a_record_reads_as_three_lines():
    steps = [Step(1, 0.2, math.inf, None, None), Step(2, 0.9, 48.0, 48.0, None), Step(3, 0.6, 51.0, 51.0, None)]
    assert str(record(first_reached=2, history=steps)).splitlines() == [
        "score       0.200000 -> 0.600000 (target 0.6 +-0.0625 reached, first passed at evaluation 2)",
        "difference  PSNR 51.23 dB, SSIM 0.98765, L2 12.3, Linf 2, mean shift -0.0123",
        "effort      3 evaluations of the network",
    ]
    assert "reached, first met at evaluation 3)" in str(record(first_reached=3, history=steps))
    assert "NOT reached, never met)" in str(record(final=0.1))
    assert "difference  none\n" in str(record(linf=0))
    assert "difference  none: no change that was tried came closer to the target\n" in str(record(final=0.1, linf=0))


def test_a_table_says_of_what_its_lowest_and_highest_are():
    both = {Transformation(50, 0.75): 0.9, Transformation(50, 0.5): 0.2, Transformation(60, 2.0): 0.95}
    assert robustness_table(both).splitlines() == [
        "quality      x0.5    x0.75       x2",
        "     50    0.2000   0.9000         ",
        "     60                      0.9500",
        "lowest 0.9000, highest 0.9500 at x0.75 and more; a cell is the lower one of mirrored and not",
    ]
    assert len(robustness_table({Transformation(50, 0.5): 0.2}).splitlines()) == 2
    assert [str(each) for each in (Transformation(50), Transformation(95, 0.75, True))] == [
        "q50 x1",
        "q95 x0.75 mirrored",
    ]
    assert Transformation(50, 0.75).required and not Transformation(50, 0.74).required


def test_what_comes_back_has_the_sizes_of_its_difference(scorer_giving):
    picture, found = inverse(CHELSEA, 0.6, iterations=6, scorer=scorer_giving(0.1))
    difference = np.asarray(picture).astype(int) - resize_image(CHELSEA)
    assert (found.linf, found.target, found.tolerance) == (abs(difference).max(), 0.6, 0.01)
    assert (found.iterations, found.evaluations, found.interrupted) == (6, len(found.history), False)
    assert found.robustness_grid is None and found.wild is None
