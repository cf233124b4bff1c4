"""The steps of each search by themselves: how long, which way, how often, and what follows from where they end."""

import math

import numpy as np
import pytest

from nsfw_experiments.inverse import eot, search
from nsfw_experiments.inverse.eot import eot_attack
from nsfw_experiments.inverse.prune import PILLOWS_JPEG, McuGrid
from nsfw_experiments.inverse.search import Bracket, Goal, advance, boundary_search
from nsfw_experiments.pillow.jpeg import quantised

SIZE = 16, 16, 3
#: Of a picture of this size, whose norms and steps are a sixteenth of those at 256x256.
SCALE = 1 / 16


def towards(*values):
    """A gradient that has these values first and 0 everywhere else."""
    gradient = np.zeros(SIZE, np.float32)
    gradient.ravel()[: len(values)] = values
    return gradient


class Scripted:
    """Stands for the `PixelScorer`: gives margins over a goal, and gradients, one after the other."""

    def __init__(self, goal, margins, gradients=()):
        self.goal, self.margins, self.gradients = goal, iter(margins), dict(gradients)
        self.exponents = []

    def logit_and_gradient(self, pixels, exponent):
        self.exponents.append(exponent)
        gradient = self.gradients.get(len(self.exponents), towards(1))
        return self.goal.logit + self.goal.direction * next(self.margins), gradient


@pytest.fixture
def unrounded(monkeypatch):
    """Searches whose pictures are not rounded, so that their steps can be measured."""
    monkeypatch.setattr(search, "rounded", lambda values: values)
    monkeypatch.setattr(eot, "rounded", lambda values: values)


def changes(trials, original):
    return [np.asarray(pixels - original, float).ravel()[:2] for pixels, *_ in trials]


# Crossing the goal

#: Margins where steps end, and by how many percent the norm grows after each: by 7 until the goal is met, exactly or
#: not; after that 5 at the begin and 1 at the end of the search, half as much again each time that the side is the
#: same; but 30 at most.
NORMS = [
    (-1.0, lambda change: 7),
    (-2.0, lambda change: 7),
    (0.0, lambda change: -change),
    (1.0, lambda change: -1.5 * change),
    (0.5, lambda change: -(1.5**2) * change),
    (2.0, lambda change: -(1.5**3) * change),
    (0.1, lambda change: -(1.5**4) * change),
    (0.1, lambda change: -(1.5**5) * change),
    (0.1, lambda change: -30),
    (-0.1, lambda change: change),
    (-3.0, lambda change: 1.5 * change),
    (0.0, lambda change: -change),
    (0.1, lambda change: -1.5 * change),
    (-0.1, lambda change: change),
    (0.1, lambda change: -change),
    (0.1, None),
]


@pytest.mark.parametrize("direction", [1, -1])
def test_the_norm_grows_until_the_goal_is_met_and_then_shrinks_where_it_is(unrounded, direction):
    original = np.full(SIZE, 0 if direction > 0 else 255, np.uint8)
    goal = Goal(2.0, direction, 0.1)
    scorer = Scripted(goal, [margin for margin, _ in NORMS])
    trials = list(search.search(scorer, original, goal, towards(1), len(NORMS)))
    norms = [direction * change for change, _ in changes(trials, original)]
    assert norms[0] == pytest.approx(300 * SCALE) and len(norms) == len(NORMS)
    for number, ((_, percent), before, after) in enumerate(zip(NORMS, norms, norms[1:])):
        change = 5 - 4 * annealed(number, len(NORMS))
        assert 100 * (after / before - 1) == pytest.approx(percent(change), abs=1e-3), f"after step {number}"
    assert scorer.exponents == [0.0] * 3 + [4.0] * (len(NORMS) - 3)


def annealed(number, count):
    """From 0 at the begin to nearly 1 at the end, by a cosine."""
    return 0.5 * (1 - math.cos(math.pi * number / count))


@pytest.mark.parametrize(
    "margin, step",
    [
        (-1.0, 100 * SCALE),  # far: always as long
        (1.0, (60 - 56 * annealed(6, 8)) * SCALE),  # near: from 60 to 4
    ],
)
def test_a_step_is_long_before_the_goal_is_met_and_ever_shorter_afterwards(unrounded, margin, step):
    goal, original = Goal(0.0, 1, 0.1), np.zeros(SIZE, np.uint8)
    scorer = Scripted(goal, [margin] * 8, {6: towards(0, 5)})
    trials = changes(search.search(scorer, original, goal, towards(3), 8), original)
    (along, _), (turned, across) = trials[5:7]
    assert across / turned == pytest.approx(step / along, rel=1e-4)


def test_a_step_is_no_shorter_than_a_share_of_the_norm(unrounded):
    goal, original = Goal(0.0, 1, 0.1), np.zeros(SIZE, np.uint8)
    scorer = Scripted(goal, [-1.0] * 200, {30: towards(0, 0.1)})
    trials = changes(search.search(scorer, original, goal, towards(3), 200), original)
    (along, _), (turned, across) = trials[29:31]
    share = 0.15 - 0.12 * annealed(30, 200)
    assert share * 1.07 * along > 100 * SCALE
    assert across / turned == pytest.approx(share * 1.07, rel=1e-4)


def test_what_is_clipped_is_no_part_of_the_difference(unrounded):
    goal, original = Goal(0.0, 1, 0.1), np.full(SIZE, 250, np.uint8)
    scorer = Scripted(goal, [-1.0] * 2, {1: towards(0, 1)})
    (first, second) = changes(search.search(scorer, original, goal, towards(1), 2), original)
    assert first.tolist() == [5, 0]
    norm, step = 1.07 * 300 * SCALE, 100 * SCALE
    assert second.tolist() == pytest.approx([5, 5])
    assert norm * step / math.hypot(5, step) > 5


@pytest.mark.parametrize("evaluations", [0, 1, 3])
def test_a_search_takes_as_many_steps_as_it_may_and_none_without_a_gradient(evaluations):
    goal, original = Goal(0.0, 1, 0.1), np.zeros(SIZE, np.uint8)
    for gradient, count in ((towards(1), evaluations), (towards(), 0)):
        scorer = Scripted(goal, [-1.0] * 3)
        assert len(list(search.search(scorer, original, goal, gradient, evaluations))) == count
        scorer = Scripted(goal, [-1.0] * 3)
        assert len(list(advance(scorer, original, goal, gradient, evaluations))) == count


# Advancing from an earlier result


@pytest.mark.parametrize("direction", [1, -1])
def test_an_advance_takes_one_short_step_and_then_long_ones_until_the_goal_is_met(unrounded, direction):
    goal = Goal(1.0, direction, 0.1)
    original = np.full(SIZE, 0 if direction > 0 else 255, np.uint8)
    scorer = Scripted(goal, [-1.0, -0.5, 0.0, 1.0], {1: towards(0, 7)})
    trials = direction * np.array(changes(advance(scorer, original, goal, towards(2), 9), original))
    np.testing.assert_allclose(
        trials / SCALE, [[60, 0], [60, 100], [160, 100]], rtol=1e-5, err_msg="60 to begin with, then 100"
    )
    assert scorer.exponents == [0.0] * 3


def test_an_advance_gives_up_after_eight_steps():
    goal, original = Goal(0.0, 1, 0.1), np.zeros(SIZE, np.uint8)
    assert len(list(advance(Scripted(goal, [-1.0] * 20), original, goal, towards(1), 20))) == 8


# The boundary search


@pytest.mark.parametrize(
    "bracket, margin, bisect, proposed",
    [
        (Bracket(10, 20, 3.0, 1.0), 0.0, False, 18),  # three quarters of 10, rounded to even
        (Bracket(10, 20, 3.0, 1.0), 1.0, False, 15),
        (Bracket(10, 20, 3.0, 1.0, measured=True), 0.0, True, 15),
        (Bracket(10, 20, 3.0, 1.0, measured=True), 0.0, False, 18),
        (Bracket(10, 20, 3.0, 1.0), 9.0, False, 11),  # never an end
        (Bracket(10, 20, 3.0, 1.0), -9.0, False, 19),
        (Bracket(0, 1, 3.0, 1.0), 0.0, False, 1),
    ],
)
def test_a_bracket_interpolates_or_bisects(bracket, margin, bisect, proposed):
    assert bracket.propose(margin, bisect) == proposed


@pytest.mark.parametrize("high, closed", [(5, True), (6, True), (7, False)])
def test_a_bracket_is_closed_when_no_number_is_left(high, closed):
    assert Bracket(5, high, 1.0, 1.0).closed == closed


def test_what_does_least_for_its_squared_error_is_taken_back_first():
    """Levels of one value cost 1, 3, 5, ...; of equals those come first whose values do."""
    original = np.full((1, 4, 1), 100, np.uint8)
    changed = np.array([103, 98, 101, 100], np.uint8).reshape(original.shape)
    gradient = np.array([0.9, -1.0, 0.25, 5.0]).reshape(original.shape)
    entries, steps = search._least_effective_first(original, changed, gradient)
    # Each level's share: 0.9, 0.3, 0.18 of the first, 1 and 0.333 of the second, 0.25 of the third
    assert list(zip(entries.tolist(), steps.tolist())) == [(0, 1), (2, 1), (0, 1), (1, -1), (0, 1), (1, -1)]
    left = search._without(changed, entries[:3], steps[:3])
    assert left.ravel().tolist() == [101, 98, 100, 100] and changed.ravel().tolist() == [103, 98, 101, 100]


class Count:
    """A scorer whose logit is how many values were changed, and which remembers how many."""

    def __init__(self, effect=lambda count: count):
        self.tried, self.effect = [], effect

    def logit(self, pixels):
        self.tried.append(int((pixels != 100).sum()))
        return float(self.effect(self.tried[-1]))


def bounded(scorer, goal, evaluations, changed=40):
    original = np.full((8, 8, 1), 100, np.uint8)
    pixels = original.copy()
    pixels.ravel()[:changed] += 1
    gradient = np.ones(original.shape)
    arguments = original, float(scorer.effect(0)), pixels, float(scorer.effect(changed)), gradient, goal, evaluations
    return list(boundary_search(scorer, *arguments))


@pytest.mark.parametrize("tolerances, tried", [((0.5, 0.5), [20]), ((2.0, 0.0), [21]), ((0.0, 0.0), [20])])
def test_the_boundary_search_aims_at_the_middle_of_what_is_tolerated(tolerances, tried):
    scorer = Count()
    trials = bounded(scorer, Goal(20.0, 1, *tolerances), 9)
    assert scorer.tried == tried and [logit for _, logit in trials] == tried


def test_the_boundary_search_bisects_every_fourth_time_and_takes_no_more_than_it_may():
    creeping = Count(lambda count: 20 + 100 * (count - 20) if count > 20 else count - 1)
    bounded(creeping, Goal(20.0, 1, 1e-9), 5)
    assert creeping.tried == [1, 2, 3, 22, 5]  # of 40, of which 21 to 40 meet the goal


def test_nothing_is_tried_where_nothing_is_changed_or_all_is_within_tolerance():
    assert not bounded(Count(), Goal(20.0, 1, 1.0), 9, changed=0)
    assert not bounded(Count(), Goal(39.0, 1, 1.0), 9)
    assert not bounded(Count(), Goal(20.0, 1, 1.0), 0)


# The greedy correction


def test_the_effect_of_a_change_is_predicted_from_the_coefficients_that_it_changes():
    rng = np.random.default_rng(0)
    before = rng.integers(50, 200, (256, 256, 3), dtype=np.uint8)
    after = before.copy()
    after[20, 40] += np.array([9, 0, 2], np.uint8)  # the MCU in row 1 and column 2
    after[3:6, 250:] -= np.uint8(3)  # 54 changed values, 162 changes, in the last MCU of row 0
    gradient = rng.normal(size=before.shape).astype(np.float32)
    grid = McuGrid(PILLOWS_JPEG, (256, 256))
    cut_before, cut_after = (grid.cut(each).astype(np.int16) for each in (before, after))
    mcus, variants, effects, errors = search._predicted_effects(grid, cut_before, cut_after, gradient)
    assert mcus.tolist() == [15] * 48 + [18] * 11  # no more of one than 48
    luma, chroma = PILLOWS_JPEG.decoding_vjp(gradient)
    for number in (0, 47, 48, 49, 58):
        values = cut_after.copy()
        values[mcus[number]] = variants[number]
        [[row, column, channel]] = np.argwhere(grid.join(values) != after)
        assert abs(variants[number].astype(int) - cut_after[mcus[number]]).sum() == 1
        assert abs(variants[number].astype(int) - cut_before[mcus[number]]).sum() == (161 if number < 48 else 10)
        expected = 0.0
        coded = [PILLOWS_JPEG.unrounded_coefficients(grid.join(each).astype(np.uint8)) for each in (cut_after, values)]
        for old, new, slopes, steps in zip(*coded, (luma, chroma), PILLOWS_JPEG.steps):
            stored = quantised(new) - quantised(old)
            for *plane, down, right in np.argwhere(stored):
                at = (*plane, down, right)
                expected += stored[at] * steps[down % 8, right % 8] * slopes[at]
        assert effects[number] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        top, left = row // 16, column // 16
        inside = [luma[16 * top : 16 * top + 16, 16 * left : 16 * left + 16]]
        inside += [chroma[:, 8 * top : 8 * top + 8, 8 * left : 8 * left + 8]]
        size = math.sqrt(sum((each.astype(float) ** 2).sum() for each in inside))
        assert errors[number] == pytest.approx(size * math.sqrt(1 / 12) / 2, rel=1e-4)


def test_proposals_are_what_is_predicted_to_come_closest_and_each_effect_comes_once(monkeypatch):
    predicted = [0, 1, 2, 3, 4], list("abcde"), np.array([0.5, -1.0, -0.6, -0.6, -0.9]), np.array([0.0, 0, 0.3, 0, 0.5])
    monkeypatch.setattr(search, "_predicted_effects", lambda *_: predicted)
    proposals = list(search._proposals(None, np.zeros(1), np.ones(1), None, 0.8))
    assert proposals == [(1, "b"), (3, "d"), (4, "e"), (0, "a")]
    assert not list(search._proposals(None, np.ones(1), np.ones(1), None, 0.8))


# Robust mode


@pytest.fixture
def scripted(unrounded, monkeypatch):
    """Makes the changes that robust mode tries, in grey levels of the first two values, from margins and gradients."""

    def tried(worst, gradients=(), iterations=None, start=None):
        def expected_gradient(scorer, pixels, goal, batches):
            number = len(seen)
            seen.append(number)
            return worst[number], dict(gradients).get(number, towards(1))

        seen = []
        monkeypatch.setattr(eot, "_expected_gradient", expected_gradient)
        monkeypatch.setattr(eot, "_smallest_robust", lambda *_: iter(()))
        original = np.zeros(SIZE, np.uint8)
        count = len(worst) if iterations is None else iterations
        trials = list(eot_attack(None, original, Goal(3.0, 1, 0.1), count, 0, start))
        assert [logit for _, logit, _ in trials] == [3.0 + each for each in worst[start is None :]]
        assert not any(verified for *_, verified in trials)
        return changes(trials, original)

    return tried


FIRST_NORM = 255 * 10 ** (-42 / 20) * math.sqrt(np.prod(SIZE))


def test_the_norm_of_a_robust_change_stays_for_a_third_and_then_follows_the_margin(scripted):
    """Shrinks by 2 % beyond a margin of 2, else grows as much; the steps fill it from the fifth on."""
    norms = [change for change, _ in scripted([9.0] * 7 + [2.0, 2.01, 9.0, -1.0, 2.0, 5.0, *[0.0] * 5])]
    assert norms[5] == pytest.approx(FIRST_NORM, rel=1e-5) == pytest.approx(norms[6], rel=1e-5)
    ratios = np.divide(norms[7:], norms[6:-1])
    np.testing.assert_allclose(ratios, [1.02, 0.98, 0.98, 1.02, 1.02, 0.98, *[1.02] * 4], rtol=1e-5)


def test_the_norm_of_a_robust_change_is_never_larger_than_that_of_37_decibels(scripted):
    lengths = [float(change) for change, _ in scripted([0.0] * 80)]
    assert lengths[-1] == pytest.approx(FIRST_NORM * 10 ** (5 / 20), rel=1e-5) == pytest.approx(max(lengths), rel=1e-5)


def test_robust_steps_are_a_quarter_of_the_norm_at_first_and_a_tenth_of_that_at_last(scripted):
    lengths = np.array([change for change, _ in scripted([0.0] * 9, iterations=9)])
    steps = np.diff([0, *lengths[:3]]) / FIRST_NORM
    np.testing.assert_allclose(steps, [0.25 * (1 - 0.9 * number / 9) for number in range(3)], rtol=1e-5)


def test_robust_steps_have_momentum(scripted):
    """The direction of a step is that of its gradient, whatever its size, and three quarters of the last one's."""
    [first, second] = scripted([0.0] * 3, {0: towards(8), 1: towards(0, 3)})
    direction = np.array([0.75, 1.0]) / math.hypot(0.75, 1.0)
    step = 0.25 * FIRST_NORM * (1 - 0.9 / 3)
    np.testing.assert_allclose(first, [0.25 * FIRST_NORM, 0], rtol=1e-5)
    np.testing.assert_allclose(second, first + step * direction, rtol=1e-5)


def test_robust_mode_begins_with_what_it_is_given(scripted):
    start = np.zeros(SIZE, np.uint8)
    start[0, 0, 1] = 5
    first, second = scripted([0.0] * 2, start=start)
    assert first.tolist() == [0, 5]
    np.testing.assert_allclose(second, np.array([0.25 * FIRST_NORM, 5]), rtol=1e-5)


class Way:
    """Stands for a composition and its pipeline: a factor, by which the gradient is multiplied on its way back."""

    def __init__(self, factor):
        self.factor = factor

    def pipeline(self, size):
        assert size == (224, 227)
        return self

    def forward(self, pixels):
        return np.full((1, 1, 1), self.factor, np.float32), self.factor + 1

    def vjp(self, gradient, residual):
        assert residual == self.factor + 1
        return np.full(SIZE, gradient.sum() * self.factor, np.float32)


@pytest.mark.parametrize("direction", [1, -1])
def test_the_farther_a_transformed_picture_is_from_the_goal_the_more_its_gradient_counts(direction):
    """By the sigmoid of what its margin lacks of four logits, whose slopes add up."""

    class Network:
        input_size = 224, 227

        def logits_and_gradients(self, x):
            return 2.0 + direction * (x[:, 0, 0, 0] - 2), 10 * x

    class Three:
        def draw(self):
            return [Way(1.0), Way(2.0), Way(5.0)]

        def note(self, margins):
            assert margins == [-1.0, 0.0, 3.0]
            return -7.0

    class Scorer:
        scorer, evaluations = Network(), 4

    scorer = Scorer()
    worst, gradient = eot._expected_gradient(scorer, np.zeros(SIZE, np.uint8), Goal(2.0, direction, 0.1), Three())
    assert worst == -7.0 and scorer.evaluations == 7
    weights = [1 / (1 + math.exp(margin - 4)) for margin in (-1, 0, 3)]
    expected = direction * sum(weight * 10 * factor**2 for weight, factor in zip(weights, (1, 2, 5)))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.parametrize("direction, worst", [(1, 0.2), (-1, 0.9)])
def test_what_is_verified_is_the_worst_score_of_the_grid_and_of_what_else_is_required(monkeypatch, direction, worst):
    scores = {"grid": [0.5, 0.2], "wild": [0.9, 0.4, 0.6]}
    tried = {}

    def scored(kind):
        def function(pixels, scorer, asked):
            tried[kind] = list(asked)
            return dict(enumerate(scores[kind]))

        return function

    monkeypatch.setattr(eot, "robustness_grid", scored("grid"))
    monkeypatch.setattr(eot, "wild_scores", scored("wild"))

    class Scorer:
        scorer, evaluations = None, 1

    scorer = Scorer()
    logit = eot.verified_logit(scorer, None, Goal(0.0, direction, 0.1), ("jpeg", "scale", "blur"))
    assert logit == pytest.approx(math.log(worst / (1 - worst)))
    assert [str(each) for each in tried["wild"]] == ["blur 1", "blur 1, JPEG 60"]
    qualities, scales = (50, 60, 70, 80, 90, 95), (0.75, 1.0, 1.5, 2.0)
    assert [(each.quality, each.scale) for each in tried["grid"]] == [(q, s) for q in qualities for s in scales]
    assert not any(each.mirrored for each in tried["grid"])
    assert scorer.evaluations == 1 + 24 + 2


@pytest.mark.parametrize("count, averaged", [(4, 1), (16, 2), (25, 2), (26, 3)])
def test_the_last_tenth_of_the_changes_is_averaged(unrounded, monkeypatch, count, averaged):
    """Where more is required than the grid, the average is tried, and candidates only if no scale of it passes."""
    original, calls = np.zeros(SIZE, np.uint8), []
    monkeypatch.setattr(eot, "_expected_gradient", lambda *_: (1.0, towards(1)))

    def scaled(scorer, before, change, goal, families):
        calls.append(change.ravel()[0])
        yield original, 0.0, True
        return len(calls) > 1

    monkeypatch.setattr(eot, "_smallest_scaled", scaled)
    monkeypatch.setattr(eot, "_smallest_robust", lambda *_: iter([(original, 9.0, True)]))
    goal = Goal(0.0, 1, 0.1)
    for last in ([0.0, 9.0], [0.0]):
        trials = list(eot_attack(None, original, goal, count + 1, 0, families=("crop",)))
        assert [logit for *_, logit, verified in trials if verified] == last
        drawn = [pixels.ravel()[0] for pixels, _, verified in trials if not verified]
        assert len(drawn) == count and calls[-1] == pytest.approx(np.mean(drawn[-averaged:]), rel=1e-6)
    assert not list(eot_attack(None, original, goal, 1, 0, families=("crop",)))[:-1] and len(calls) == 2


@pytest.mark.parametrize(
    "margins, scales",
    [
        ([1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 0.0], [1.25, 0.875, 0.6875, 0.78125, 0.828125, 0.8046875, 0.81640625]),
        ([0.0, -1.0], [1.25, 0.875, 1.0625]),
        ([-1.0], [1.25]),
    ],
)
def test_scales_of_a_change_are_bisected_from_a_half_to_five_quarters(monkeypatch, margins, scales):
    monkeypatch.setattr(eot, "rounded", lambda values: values)
    given = iter(margins)
    monkeypatch.setattr(eot, "verified_logit", lambda *_: 5.0 + next(given))
    original = np.full(SIZE, 7.0)
    trials = eot._smallest_scaled(None, original, np.full(SIZE, 64.0), Goal(5.0, 1, 0.1))
    assert [(next(trials)[0][0, 0, 0] - 7) / 64 for _ in scales[: len(margins)]] == scales[: len(margins)]
