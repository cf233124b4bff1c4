"""Pruning: taking back what JPEG does not show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsfw_experiments.pillow.jpeg import SUBSAMPLINGS, Jpeg
from nsfw_experiments.inverse.prune import MOST_TRIALS, McuGrid, changes_in_order, prune, unit_changes


def pictures(seed, height, width, largest):
    rng = np.random.default_rng(seed)
    original = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    change = rng.integers(-largest, largest + 1, original.shape)
    return original, np.clip(original + change, 0, 255).astype(np.uint8)


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 4),
    st.sampled_from(sorted(SUBSAMPLINGS)),
    st.sampled_from([30, 75, 95]),
)
def test_jpeg_cannot_tell_the_result_from_the_changed_picture(seed, rows, columns, largest, subsampling, quality):
    original, changed = pictures(seed, 16 * rows, 16 * columns, largest)
    jpeg = Jpeg(quality, subsampling)
    pruned = prune(original, changed, jpeg)
    np.testing.assert_array_equal(jpeg(pruned), jpeg(changed))
    low, high = np.minimum(original, changed), np.maximum(original, changed)
    assert ((low <= pruned) & (pruned <= high)).all()


def test_no_input_takes_more_than_so_many_trials_of_an_mcu(monkeypatch):
    """Noise all over, of which JPEG shows nearly every change, and of which thousands could be tried for long."""
    codings = []
    quantised = McuGrid.quantised_coefficients

    def counted(grid, mcus):
        codings.append(len(mcus))
        return quantised(grid, mcus)

    monkeypatch.setattr(McuGrid, "quantised_coefficients", counted)
    original, changed = pictures(0, 16, 32, 128)
    pruned = prune(original, changed)
    assert np.abs(changed.astype(int) - original).sum() > 10 * MOST_TRIALS
    assert MOST_TRIALS < len(codings) <= MOST_TRIALS + 2 and max(codings) == 2
    np.testing.assert_array_equal(Jpeg()(pruned), Jpeg()(changed))
    assert np.linalg.norm(pruned - 1.0 * original) < np.linalg.norm(changed - 1.0 * original)


def test_every_change_that_is_left_matters():
    original, changed = pictures(0, 16, 32, 2)
    pruned = prune(original, changed)
    for entry in map(tuple, np.argwhere(pruned != original)):
        closer = pruned.copy()
        closer[entry] = closer[entry] + 1 if closer[entry] < original[entry] else closer[entry] - 1
        assert (Jpeg()(closer) != Jpeg()(pruned)).any()


def test_a_change_that_jpeg_erases_altogether_is_taken_back_altogether():
    original = np.full((32, 48, 3), 100, np.uint8)
    changed = original.copy()
    changed[3, 5] += 1
    np.testing.assert_array_equal(prune(original, changed), original)


def test_sizes_must_be_whole_mcus():
    with pytest.raises(ValueError, match=r"size: got \(20, 32\), expected multiples of \(16, 16\)"):
        prune(*pictures(0, 20, 32, 1))
    prune(*pictures(0, 24, 8, 1), Jpeg(75, "4:4:4"))


@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_unit_changes_lead_from_one_picture_to_the_other(seed, largest):
    original, changed = pictures(seed, 4, 5, largest)
    entries, levels, steps = unit_changes(original, changed)
    values = original.astype(int).ravel()
    np.add.at(values, entries, steps)
    np.testing.assert_array_equal(values, changed.ravel())
    sizes = np.abs(changed.astype(int) - original).ravel()
    assert list(zip(entries, levels)) == [(i, level) for i, size in enumerate(sizes) for level in range(1, size + 1)]


def test_outer_levels_are_taken_back_first_then_what_does_least():
    before, after = np.array([[0, 0, 0], [9, 9, 9]]), np.array([[1, 3, 2], [9, 10, 8]])
    gradient = np.array([[3.0, 2.0, 1.0], [0.0, 1.0, 1.0]])
    entries, steps = changes_in_order(before, after, gradient)
    assert entries.tolist() == [[1, 2, 1, 2, 1, 0], [2, 1, 0, 0, 0, 0]]
    assert steps.tolist() == [[1, 1, 1, 1, 1, 1], [-1, 1, 0, 0, 0, 0]]


def test_changes_that_do_as_much_are_taken_back_in_the_order_of_their_values():
    entries, _ = changes_in_order(np.array([[0, 0, 0]]), np.array([[1, 3, 2]]), np.zeros((1, 3)))
    assert entries.tolist() == [[1, 1, 2, 0, 1, 2]]


@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
def test_the_gradients_of_mcus_are_those_of_each_alone(subsampling):
    grid = McuGrid(Jpeg(95, subsampling), (32, 48))
    shape = grid.quantised_coefficients(grid.cut(np.zeros((32, 48, 3), int))).shape
    gradients = np.random.default_rng(0).standard_normal(shape)
    alone = [grid.encoding_vjp(gradient[np.newaxis])[0] for gradient in gradients]
    np.testing.assert_allclose(grid.encoding_vjp(gradients), alone)
    assert np.any(alone)
