"""Pruning does what a loop over single changes would do, in its order; and MCUs are cut where a coder cuts them."""

import numpy as np
import pytest

from nsfw_experiments.inverse import prune as module
from nsfw_experiments.inverse.prune import McuGrid, changes_in_order, prune
from nsfw_experiments.pillow.jpeg import SUBSAMPLINGS, Jpeg, quantised

SIDES = {"4:4:4": (8, 8), "4:2:2": (8, 16), "4:2:0": (16, 16)}


def pictures(seed, shape, largest):
    rng = np.random.default_rng(seed)
    original = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    change = rng.integers(-largest, largest + 1, original.shape)
    return original, np.clip(original + change, 0, 255).astype(np.uint8)


def stored(jpeg, picture):
    return [quantised(planes) for planes in jpeg.unrounded_coefficients(picture)]


def same(jpeg, one, other):
    return all(np.array_equal(*planes) for planes in zip(stored(jpeg, one), stored(jpeg, other)))


def naive_order(before, after, gradient):
    """Each change by one level as (level, what it does, index, step), sorted: outer levels first, then the least."""
    changes = []
    for index, (old, new) in enumerate(zip(before.ravel().astype(int), after.ravel().astype(int))):
        step = int(np.sign(new - old))
        changes += [(-level, gradient.ravel()[index] * step, index, step) for level in range(1, abs(new - old) + 1)]
    return sorted(changes)


@pytest.mark.parametrize("seed", range(4))
def test_changes_of_many_mcus_are_in_the_order_of_a_naive_sort_of_each(seed):
    rng = np.random.default_rng(seed)
    before, after = rng.integers(0, 5, (2, 6, 7))
    after[seed] = before[seed]  # one MCU without a change
    gradient = rng.integers(-2, 3, before.shape).astype(float)
    entries, steps = changes_in_order(before, after, gradient)
    longest = 0
    for row in range(6):
        expected = naive_order(before[row], after[row], gradient[row])
        count = len(expected)
        longest = max(longest, count)
        assert list(zip(entries[row, :count], steps[row, :count])) == [(index, step) for *_, index, step in expected]
        assert not steps[row, count:].any()
    assert entries.shape == steps.shape == (6, longest)


def test_nothing_changed_is_no_change_to_order():
    entries, steps = changes_in_order(np.zeros((3, 4), int), np.zeros((3, 4), int), np.zeros((3, 4)))
    assert entries.shape == steps.shape == (3, 0)


def naively_pruned(jpeg, original, changed, gradient):
    """The same of one MCU, a trial at a time, until a pass over all changes takes nothing back; and its trials."""
    picture, stride, trials, moved = changed.astype(int), 64, 0, True
    while moved:
        order, position, moved = naive_order(original, picture, gradient), 0, False
        while position < len(order):
            trial = picture.copy()
            for *_, index, step in order[position : position + stride]:
                trial.ravel()[index] -= step
            trials += 1
            if same(jpeg, trial.astype(np.uint8), changed):
                picture, position, stride, moved = trial, position + stride, 2 * stride, True
            elif stride == 1:
                position += 1
            else:
                stride //= 2
        stride = 1
    return picture, trials


@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
@pytest.mark.parametrize("largest, rows", [(1, 4), (3, 2)])
def test_a_pruned_mcu_is_what_a_loop_over_its_changes_leaves(subsampling, largest, rows, monkeypatch):
    jpeg = Jpeg(85, subsampling)
    original, changed = pictures(3, SIDES[subsampling], largest)
    changed[rows:] = original[rows:]
    grid = McuGrid(jpeg, original.shape[:2])
    before, after = (grid.quantised_coefficients(grid.cut(each)) for each in (original, changed))
    gradient = grid.join(grid.encoding_vjp(np.sign(after - before).astype(np.float32)))
    expected, trials = naively_pruned(jpeg, original, changed, gradient)
    codings, quantise = [], McuGrid.quantised_coefficients
    monkeypatch.setattr(
        McuGrid, "quantised_coefficients", lambda grid, mcus: codings.append(len(mcus)) or quantise(grid, mcus)
    )
    np.testing.assert_array_equal(prune(original, changed, jpeg), expected)
    assert codings == [1] * (2 + trials)
    assert 0 < np.abs(expected - original).sum() < np.abs(changed.astype(int) - original).sum()


class Visible:
    """Stands for a grid: the coder shows the first so many values, and counts how often it is asked."""

    def __init__(self, shown):
        self.shown, self.asked = np.array(shown), []

    def quantised_coefficients(self, values):
        self.asked.append(len(values))
        return values * self.shown


def pruned_once(shown, after, stride, trials=0):
    grid = Visible(shown)
    after = np.array([after])
    before, coefficients = np.zeros_like(after), after * grid.shown
    # What does least comes first: so values are tried from left to right
    gradient = np.arange(after.shape[1])[np.newaxis].astype(float)
    values, trials = module._prune_once(grid, before, after, coefficients, gradient, stride, np.array([trials]))
    return values[0].tolist(), int(trials[0]), grid


@pytest.mark.parametrize(
    "shown, stride, left, trials",
    [
        ([0] * 8, 1, [0] * 8, 4),  # 1, 2, 4, and the one that is left
        ([0] * 8, 64, [0] * 8, 1),
        ([1] + [0] * 7, 1, [1] + [0] * 7, 4),  # one fails; 1, 2, 4
        ([0] * 7 + [1], 8, [0] * 7 + [1], 10),  # 8, 4 go, 8, 4, 2 go, 4, 2, 1 goes, 2, 1
        ([1] * 4, 1, [1] * 4, 4),
        ([1] * 4, 4, [1] * 4, 6),  # 4, 2, and each of them
    ],
)
def test_strides_double_where_changes_go_and_halve_where_one_has_to_stay(shown, stride, left, trials):
    values, taken, grid = pruned_once(shown, [1] * len(shown), stride)
    assert values == left
    assert taken == trials == len(grid.asked)


def test_trials_go_on_from_those_before_and_end_at_so_many(monkeypatch):
    monkeypatch.setattr(module, "MOST_TRIALS", 5)
    values, trials, grid = pruned_once([1] * 9, [1] * 9, 1, trials=3)
    assert (trials, len(grid.asked)) == (5, 2) and values == [1] * 9
    assert pruned_once([1] * 9, [1] * 9, 1, trials=5)[1] == 5


@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
def test_an_mcu_s_values_and_coefficients_are_those_of_its_place(subsampling):
    jpeg, (height, width) = Jpeg(70, subsampling), SIDES[subsampling]
    grid = McuGrid(jpeg, (3 * height, 2 * width))
    assert (grid.height, grid.width, grid.rows, grid.columns) == (height, width, 3, 2)
    picture, _ = pictures(1, (3 * height, 2 * width), 0)
    mcus = grid.cut(picture)
    np.testing.assert_array_equal(grid.join(mcus), picture)
    coefficients = grid.quantised_coefficients(mcus)
    for row in range(3):
        for column in range(2):
            part = picture[row * height : (row + 1) * height, column * width : (column + 1) * width]
            number = 2 * row + column
            np.testing.assert_array_equal(mcus[number], part.ravel())
            luma, chroma = stored(jpeg, part)
            expected = [*luma.ravel(), *chroma.transpose(1, 2, 0).ravel()]
            np.testing.assert_array_equal(coefficients[number], expected)
    np.testing.assert_array_equal(grid.cut_coefficients(stored(jpeg, picture)), coefficients)
    for size in ((3 * height + 1, width), (height, width + 8 - 1)):
        with pytest.raises(ValueError, match="expected multiples of"):
            McuGrid(jpeg, size)
