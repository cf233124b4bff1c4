"""Robust mode on a tiny budget, and the robustness grid."""

import io

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.image_metrics import psnr
from nsfw_experiments.inverse import attack, eot
from nsfw_experiments.inverse import Inversion, inverse
from nsfw_experiments.inverse.record import Record
from nsfw_experiments.inverse.eot import GRID, SHOWN, Transformation, grid_of, robustness_grid, robustness_table
from nsfw_experiments.inverse.search import Goal
from open_nsfw import nsfw_score, resize_image

CHELSEA = "img/chelsea.png"
FEW = (Transformation(50, 0.75), Transformation(60, 1.5, True), Transformation(90, 1.0))


@pytest.fixture
def few(monkeypatch):
    """A grid of three transformations, none besides, and two of them drawn in each step."""
    monkeypatch.setattr(eot, "GRID", FEW)
    monkeypatch.setattr(eot, "SHOWN", ())
    monkeypatch.setattr(eot, "BATCH", 2)
    monkeypatch.setattr(attack, "compositions", lambda families: ())


@pytest.mark.parametrize("start, target, direction", [(0.995, "nsfw", 1), (0.005, "sfw", -1)])
def test_a_score_beyond_the_aim_is_driven_further_not_back(few, monkeypatch, scorer_giving, start, target, direction):
    undone = 0.0  # the logit that some transformation leaves of the original
    monkeypatch.setattr("nsfw_experiments.inverse.attack.verified_logit", lambda *_: undone)
    scorer = scorer_giving(start)
    picture, record = inverse(CHELSEA, target, iterations=6, robust="classic", scorer=scorer)
    assert direction * (record.final_score - start) > 0 and record.start_score == pytest.approx(start, abs=1e-4)
    assert record.reached


def interrupted_after(count, target, scorer):
    """Robust mode ended by Ctrl-C after so many steps."""

    def stop(step):
        if step_count.append(step) or len(step_count) == count:
            raise KeyboardInterrupt

    step_count = []
    return inverse(CHELSEA, target, iterations=8, robust="classic", callback=stop, scorer=scorer)


def test_ctrl_c_never_returns_the_original_once_there_is_a_candidate(few, scorer_giving):
    # 0.35 is near the original's score, which says nothing of its robustness
    picture, record = interrupted_after(3, 0.35, scorer_giving(0.3))
    assert not np.array_equal(np.asarray(picture), resize_image(CHELSEA))
    assert record.psnr < 60


def test_an_interrupted_attack_goes_on_from_the_best_so_far_and_is_verified(few, scorer_giving):
    def interrupted(x):
        calls.append(x)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return gradients(x)

    calls, scorer = [], scorer_giving(0.3)
    gradients, scorer.logits_and_gradients = scorer.logits_and_gradients, interrupted
    inversion = Inversion(CHELSEA, 0.8, iterations=6, robust="classic", scorer=scorer)
    inversion.run()
    best = inversion.best
    assert inversion.interrupted and len(inversion.history) == 2 and best.psnr < 60
    inversion.run()
    assert not inversion.interrupted and inversion.best.verified
    assert inversion.history[2].psnr == best.psnr  # where it began again


def test_of_verified_failures_the_one_that_fails_least_is_returned(few, monkeypatch, scorer_giving):
    def one_attack(scorer, original, goal, iterations, seed, start, families):
        for shift, missing in ((3, 5.0), (2, 2.0), (1, 3.0), (4, np.inf)):
            yield original // 2 + shift, goal.logit - goal.direction * missing, True
        yield original // 2, goal.logit - goal.direction * 1.5, False

    monkeypatch.setattr("nsfw_experiments.inverse.attack.eot_attack", one_attack)
    picture, _ = inverse(CHELSEA, 0.8, iterations=8, robust="classic", scorer=scorer_giving(0.3))
    np.testing.assert_array_equal(np.asarray(picture), resize_image(CHELSEA) // 2 + 2)


@pytest.mark.parametrize("transformation", [Transformation(50, 0.75, True), Transformation(80, 2.0)])
def test_the_scores_of_the_robustness_grid_are_those_of_a_picture_really_transformed(transformation):
    pixels = resize_image(CHELSEA)
    side = round(256 * transformation.scale)
    picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    if transformation.mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=transformation.quality)
    scores = robustness_grid(pixels, grid=[transformation])
    assert scores[transformation] == pytest.approx(nsfw_score(file.getvalue()), abs=1e-6)


def test_the_grid_is_qualities_50_to_95_at_three_quarters_to_double_size_and_mirrored():
    assert len(GRID) == 48
    assert {t.quality for t in GRID} >= {50, 95} and {t.scale for t in GRID} >= {0.75, 2.0}
    assert {t.mirrored for t in GRID} == {False, True}


def test_the_grid_of_some_families_has_nothing_of_others():
    assert grid_of(("jpeg", "scale", "mirror")) == (*SHOWN, *GRID)
    assert {(t.scale, t.mirrored) for t in grid_of(("jpeg", "mirror", "crop"))} == {(1.0, False), (1.0, True)}
    assert grid_of(("scale", "mirror", "blur")) == ()


def test_half_size_is_shown_but_not_required():
    grid = {**dict.fromkeys(GRID, 0.9), **dict.fromkeys(SHOWN, 0.2)}
    record = Record(
        target=0.9,
        tolerance=0.01,
        start_score=0.1,
        final_score=0.9,
        iterations=1,
        evaluations=1,
        first_reached=1,
        l2=0.0,
        linf=0,
        psnr=40.0,
        ssim=1.0,
        mean_shift=0.0,
        robustness_grid=grid,
        history=[],
    )
    assert record.reached and {t.scale for t in SHOWN} == {0.5}
    grid[GRID[0]] = 0.8
    assert not record.reached
    table = robustness_table(grid).splitlines()
    assert table[0].split() == ["quality", "x0.5", "x0.75", "x1", "x1.5", "x2"]
    assert table[1].split()[:3] == ["50", "0.2000", "0.8000"]
    assert table[-1].startswith("lowest 0.8000, highest 0.9000 at x0.75 and more;")


def test_the_robustness_grid_tries_what_the_module_says_when_it_is_called(few, scorer_giving):
    assert list(robustness_grid(resize_image(CHELSEA), scorer_giving(0.3))) == list(FEW)


def test_a_robust_change_survives(few):
    picture, record = inverse(CHELSEA, 0.8, iterations=16, robust="classic")
    scores = robustness_grid(np.asarray(picture), grid=FEW)
    assert record.robustness_grid == scores and min(scores.values()) >= 0.8
    assert record.reached and record.psnr > 37
    again, _ = inverse(CHELSEA, 0.8, iterations=16, robust="classic")
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(again))


def test_ctrl_c_returns_the_best_of_the_pictures_tried_so_far(few):
    def stop(step):
        if len(scores) == 4:
            raise KeyboardInterrupt
        scores.append(step.score)

    scores = []
    picture, record = inverse(CHELSEA, 0.8, iterations=50, robust="classic", callback=stop)
    assert record.first_reached is None and len(record.history) == 5
    assert record.psnr < 60 and not np.array_equal(np.asarray(picture), resize_image(CHELSEA))


def test_an_ordinary_change_does_not():
    picture, record = inverse(CHELSEA, 0.9, iterations=16, tolerance=0.05)
    assert record.reached
    assert min(robustness_grid(np.asarray(picture), grid=FEW).values()) < 0.5


class Counting:
    """Stands for the `PixelScorer`, of which `_smallest_robust` only counts the evaluations."""

    evaluations, scorer = 0, None


def candidates_of(margins):
    """Candidates of so many dB and pixels of that value, by their worst margin over what was drawn."""
    return [(float(db), margin, np.full((1, 1, 3), db, np.uint8)) for db, margin in margins.items()]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("limit", range(39, 46))
def test_the_smallest_candidate_that_passes_the_whole_grid_is_found(monkeypatch, limit, direction):
    """Candidates of 40 to 45 dB, of which those of at most `limit` pass, the others fail in one of the grid's cells."""
    good, bad = (0.9, 0.1)[::direction]
    monkeypatch.setattr(
        eot, "robustness_grid", lambda pixels, *_: {FEW[0]: good, FEW[1]: good if pixels.max() <= limit else bad}
    )
    goal = Goal(1.0 * direction, direction, 1.0)
    tried = list(eot._smallest_robust(Counting(), candidates_of(dict.fromkeys(range(40, 46), 1.0)), goal))
    passed = {int(pixels.max()): goal.margin(logit) >= 0 for pixels, logit, _ in tried}
    assert passed == {db: db <= limit for db in passed}
    assert {limit, limit + 1} & set(range(40, 46)) <= set(passed)  # on both sides of the limit
    assert len(tried) <= 3 and all(verified for _, _, verified in tried)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("least", [45, 60, 81, 120])
def test_the_smallest_scale_of_a_change_that_passes_is_found(monkeypatch, least, direction):
    """A change of 80 grey levels is scaled; at least so many pass, fewer fail in one of the cells of the grid."""
    good, bad = (0.9, 0.1)[::direction]
    monkeypatch.setattr(
        eot, "robustness_grid", lambda pixels, *_: {FEW[0]: good, FEW[1]: good if pixels.max() >= least else bad}
    )
    goal, original = Goal(1.0 * direction, direction, 1.0), np.zeros((1, 1, 3), np.float32)
    trials, passed = [], None
    scaled = eot._smallest_scaled(Counting(), original, original + 80, goal)
    while passed is None:
        try:
            trials.append(next(scaled))
        except StopIteration as end:
            passed = end.value
    assert all(verified for *_, verified in trials)
    if least > 80 * eot.LARGEST_SCALE:
        assert not passed and len(trials) == 1
    else:
        smallest = min(int(pixels.max()) for pixels, logit, _ in trials if goal.margin(logit) >= 0)
        assert passed and len(trials) == eot.SCALINGS and least <= smallest <= least + 1


def test_where_no_scale_passes_the_candidates_are_tried(few, monkeypatch, scorer_giving):
    """A step of its own may pass where the average does not."""
    monkeypatch.setattr(eot, "verified_logit", lambda scorer, pixels, *_: 5.0 if shown(pixels) in steps[-3:] else -5.0)
    steps, shown = [], lambda pixels: pixels.tobytes()
    inversion = Inversion(CHELSEA, 0.8, iterations=8, robust=("jpeg", "crop"), scorer=scorer_giving(0.3))
    for step in inversion.steps():
        if len(inversion.history) <= 8:
            steps.append(shown(step.pixels))
    assert inversion.best.verified and shown(inversion.best.pixels) in steps


def test_the_classic_transformations_give_a_picture_of_one_of_the_steps(few):
    """As version 1.0.0 did for a seed."""
    inversion = Inversion(CHELSEA, 0.8, iterations=16, robust="classic")
    steps = [step.pixels.tobytes() for step in inversion.steps() if len(inversion.history) <= 16]
    assert inversion.best.verified and inversion.best.pixels.tobytes() in steps


@pytest.mark.parametrize("beyond_margin, gained", [(0.5, 3), (-0.5, -3)])
def test_a_change_shrinks_while_it_meets_the_goal_with_a_margin_and_grows_else(monkeypatch, beyond_margin, gained):
    original, direction = np.full((32, 32, 3), 128, np.uint8), np.random.default_rng(0).standard_normal((32, 32, 3))
    monkeypatch.setattr(eot, "_expected_gradient", lambda *_: (eot.MARGIN + beyond_margin, direction))
    monkeypatch.setattr(eot, "_smallest_robust", lambda *_: iter(()))
    tried = [psnr(original, pixels) for pixels, *_ in eot.eot_attack(None, original, Goal(1.0, 1, 1.0), 90, 0)]
    assert (tried[-1] - tried[30]) / gained > 1


def test_only_candidates_that_met_the_goal_whenever_they_were_transformed_are_tried_on_the_whole_grid(monkeypatch):
    monkeypatch.setattr(eot, "robustness_grid", lambda pixels, *_: {FEW[0]: 0.9})
    candidates = candidates_of({45: -0.1, 44: 0.0, 43: 1.0, 42: 2.0})
    tried = eot._smallest_robust(Counting(), candidates, Goal(1.0, 1, 1.0))
    assert [int(pixels.max()) for pixels, _, _ in tried][-1] == 44


def test_where_no_candidate_met_the_goal_the_one_that_came_closest_is_tried(monkeypatch):
    monkeypatch.setattr(eot, "robustness_grid", lambda pixels, *_: {FEW[0]: 0.1})
    candidates = candidates_of({45: -3.0, 44: -0.5, 43: -1.0})
    tried = eot._smallest_robust(Counting(), candidates, Goal(1.0, 1, 1.0))
    assert [int(pixels.max()) for pixels, _, _ in tried] == [44]


def test_the_robustness_table_shows_the_worse_of_mirrored_and_not():
    table = robustness_table(
        {
            Transformation(50, 1.0): 0.9,
            Transformation(50, 1.0, True): 0.8,
            Transformation(90, 2.0): 0.95,
            Transformation(90, 1.0): 0.99,
        }
    )
    assert table.splitlines()[0].split() == ["quality", "x1", "x2"]
    assert table.splitlines()[1].split() == ["50", "0.8000"]
    assert table.splitlines()[2].split() == ["90", "0.9900", "0.9500"]
    assert "lowest 0.8000, highest 0.9900" in table
    assert str(Transformation(50, 0.75, True)) == "q50 x0.75 mirrored"
