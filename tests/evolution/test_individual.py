"""Paintings as DEAP's individuals: what they begin with, their colours, copies, and which is better."""

import random
from collections import Counter

import numpy as np
import pytest

from nsfw_experiments.evolution.individual import (
    Painting,
    PaintingFitness,
    clone,
    coloured_like,
    covered_painting,
    palette_painting,
)
from nsfw_experiments.evolution.primitives import Circles, Polygons, Rectangles

SIZE = (64, 48)
WIDE = ((0, 9), *((-1000, 1000),) * 3, (0, 255))


def test_a_greater_fitness_is_better_and_the_number_itself_is_kept():
    better, worse = PaintingFitness((2.5,)), PaintingFitness((-1.0,))
    assert better > worse and better.values == (2.5,) and better.wvalues == (2.5,) and worse.wvalues == (-1.0,)


def test_a_copy_has_the_shapes_the_fitness_and_the_primitive_and_is_apart():
    painting = Painting([(1, 2), (3, 4)], Circles(SIZE))
    assert not clone(painting).fitness.valid
    painting.fitness.values = (3.0,)
    copy = clone(painting)
    assert copy == painting and copy.fitness.values == (3.0,) and copy.primitive == Circles(SIZE)
    copy[0] = (9, 9)
    copy.fitness.values = (4.0,)
    assert painting[0] == (1, 2) and painting.fitness.values == (3.0,)


def test_a_colour_like_another_deviates_by_28_and_geometry_and_alpha_stay():
    rng, model = random.Random(0), (-50, 100, 0)
    shapes = np.array([coloured_like((7, 1, 2, 3, 99), (5, *model, 200), rng, WIDE) for _ in range(4000)])
    assert (shapes[:, 0] == 7).all() and (shapes[:, 4] == 99).all()
    assert shapes[:, 1:4].mean(0) == pytest.approx(model, abs=1.5)
    assert shapes[:, 1:4].std(0) == pytest.approx(np.full(3, 28), rel=0.04)
    assert np.abs(np.corrcoef(shapes[:, 1:4].T) - np.eye(3)).max() < 0.06  # each channel by itself


def test_a_colour_like_another_stays_within_its_ranges():
    rng, ranges = random.Random(0), ((0, 9), *((0, 255),) * 4)
    colours = {gene for _ in range(300) for gene in coloured_like((7, 0, 0, 0, 99), (0, 250, 9, 1), rng, ranges)[1:4]}
    assert min(colours) == 0 and max(colours) == 255


@pytest.mark.parametrize("make", [palette_painting, covered_painting])
def test_a_first_painting_is_in_one_to_three_colours(monkeypatch, make):
    def exactly_coloured(shape, model, rng, ranges):
        return (*shape[:-4], *model[-4:-1], shape[-1])

    rng, circles, sizes, colours = random.Random(0), Circles(SIZE), Counter(), Counter()
    for _ in range(100):
        painting = make(rng, circles, 60)
        assert len(painting) == 60 and painting.primitive == circles and not painting.fitness.valid
        assert all(low <= gene <= high for shape in painting for gene, (low, high) in zip(shape, circles.ranges))
    monkeypatch.setattr("nsfw_experiments.evolution.individual.coloured_like", exactly_coloured)
    for _ in range(900):
        palette = Counter(shape[-4:-1] for shape in make(rng, circles, 60))
        sizes[len(palette)] += 1
        colours.update(gene for colour in palette for gene in colour)
        assert min(palette.values()) > 5  # of sixty shapes, each colour has its part
    assert sizes == {number: pytest.approx(300, rel=0.15) for number in (1, 2, 3)}
    assert min(colours) == 0 and max(colours) == 255


def test_the_shapes_of_a_first_painting_are_anywhere_in_their_ranges():
    rng, circles = random.Random(0), Circles(SIZE)
    shapes = np.array([shape for _ in range(40) for shape in palette_painting(rng, circles, 20)])
    assert [(low, high) for low, high in zip(shapes.min(0), shapes.max(0))] == list(circles.ranges)


def test_a_covered_painting_begins_with_what_covers_the_canvas_in_a_colour_that_is_often_dark():
    rng, squares, grounds = random.Random(0), Polygons(4, SIZE), []
    for _ in range(2000):
        painting = covered_painting(rng, squares, 2)
        assert len(painting) == 2 and painting.primitive == squares
        assert painting[0][:8] == (0, 0, 64, 0, 64, 48, 0, 48) and painting[0][-1] == 255
        grounds.append(painting[0][8:11])
    grounds = np.array(grounds)
    # Half of them as they were drawn, half of them times a number from 0 to 1
    assert grounds.mean() == pytest.approx(127.5 * 0.75, rel=0.04)
    assert grounds.min() == 0 and grounds.max() == 255
    assert np.mean(grounds.max(1) > 200) == pytest.approx(0.5 * (1 - (201 / 256) ** 3) + 0.5 * 0.08, abs=0.04)
    assert np.mean(grounds.max(1) < 26) == pytest.approx(0.5 * 0.13, abs=0.03)


def test_a_covered_painting_of_few_shapes_is_cut_and_one_of_other_shapes_has_no_ground():
    rng = random.Random(0)
    [only] = covered_painting(rng, Polygons(3, SIZE), 1)
    assert only[:6] == (0, 0, 64, 0, 0, 48)
    first, second, third = covered_painting(rng, Polygons(3, SIZE), 3)
    assert first[6:] == second[6:] and second[:6] == (64, 48, 64, 0, 0, 48) and third[-1] >= 128
    assert len(covered_painting(rng, Rectangles(SIZE), 4)) == 4
