"""A grid over the network's input is laid over what the network sees of the picture, and keeps its mean."""

import numpy as np
import pytest

from nsfw_experiments.explanation.geometry import coverage, map_of_picture

SIZES = [(512, 512), (451, 300), (37, 61), (5, 3), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("input_size", [(224, 224), (227, 64)])
@pytest.mark.parametrize("shape", [(7, 7), (224, 224), (1, 5)])
def test_the_mean_over_what_is_seen_is_that_of_the_cells(shape, input_size, size):
    cells = np.random.default_rng(0).normal(size=shape)
    seen = coverage(size, input_size)
    values = map_of_picture(cells, size, input_size)
    assert values.shape == seen.shape == size[::-1] and values.dtype == np.float32
    assert np.nansum(values * seen) / seen.sum() == pytest.approx(cells.mean(), abs=1e-6)
    np.testing.assert_array_equal(np.isnan(values), seen == 0)


@pytest.mark.parametrize("size", SIZES)
def test_the_network_sees_seven_eighths_of_each_side(size):
    # 224 of 256, by Yahoo's classify_nsfw.py
    assert coverage(size, (224, 224)).sum() == pytest.approx(size[0] * size[1] * (7 / 8) ** 2)


def test_between_centres_of_cells_values_are_interpolated():
    # A pixel has the interpolated value of its centre, unless a cell's centre is in it
    cells = np.random.default_rng(0).normal(size=(4, 8))
    values = map_of_picture(cells, (256, 256), (256, 256))
    rows, columns = (np.clip((np.arange(256) + 0.5) / 256 * side - 0.5, 0, side - 1) for side in cells.shape)
    along = np.stack([np.interp(columns, np.arange(8), row) for row in cells])
    expected = np.stack([np.interp(rows, np.arange(4), column) for column in along.T], axis=1)
    np.testing.assert_allclose(values, expected, atol=0.02)
    np.testing.assert_allclose(values[40:60, 40:46], expected[40:60, 40:46], atol=1e-6)


def test_a_cell_stands_where_the_network_sees_what_it_tells_of():
    cells = np.zeros((7, 7))
    cells[1, 5] = 1
    values = map_of_picture(cells, (2560, 1280), (224, 224))
    # In 256ths the crop begins at 16, and a cell has 32: this one's centre is at 16 + 1.5 * 32, and 16 + 5.5 * 32
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    assert row == pytest.approx(64 * 5, abs=1) and column == pytest.approx(192 * 10, abs=1)


def test_a_constant_stays_constant():
    values = map_of_picture(np.full((7, 7), 2.5), (123, 77), (224, 224))
    np.testing.assert_allclose(values[~np.isnan(values)], 2.5, rtol=1e-6)
