"""The pursuit of a target: best colours are best, and what is chosen is what was missing."""

import random

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import NsfwLogit, Psnr
from nsfw_experiments.evolution.painting import render
from nsfw_experiments.evolution.primitives import PRIMITIVES, Circles, Polygons, primitive_named
from nsfw_experiments.evolution.pursuit import Pursuit
from nsfw_experiments.evolution.strategies import climbing_toolbox, least_squares_toolbox

SIZE = (64, 48)
TARGET = Image.open("img/starry_swirls.png").convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)


def error(shapes, primitive):
    difference = np.asarray(render(shapes, primitive), float) - np.asarray(TARGET, float)
    return float((difference**2).sum())


@pytest.mark.parametrize("name", PRIMITIVES)
def test_no_other_colour_of_a_shape_is_much_better(name):
    primitive, rng = primitive_named(name, SIZE), random.Random(0)
    shapes = Pursuit(primitive, TARGET).best_colours([primitive.compact_shape(rng) for _ in range(6)])
    best = error(shapes, primitive)
    for index, channel, step in [(i, c, s) for i in range(6) for c in (-4, -3, -2) for s in (-12, 12)]:
        changed = [list(shape) for shape in shapes]
        changed[index][channel] = min(max(changed[index][channel] + step, 0), 255)
        assert error([tuple(shape) for shape in changed], primitive) > 0.995 * best


def test_the_colours_of_a_painting_are_found_again():
    circles = Circles(SIZE)
    painted = [(20, 20, 12, 250, 40, 60, 255), (40, 24, 10, 30, 200, 90, 160)]
    grey = [(*shape[:3], 128, 128, 128, shape[-1]) for shape in painted]
    found = Pursuit(circles, render(painted, circles)).best_colours(grey)
    np.testing.assert_allclose(found, painted, atol=4)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_painting_of_chosen_shapes_is_nearer_than_a_random_one_and_within_its_ranges(name):
    primitive, rng = primitive_named(name, SIZE), random.Random(0)
    pursuit = Pursuit(primitive, TARGET)
    chosen = pursuit.painting(8, rng)
    assert error(chosen, primitive) < 0.8 * error(
        pursuit.best_colours([primitive.compact_shape(rng) for _ in range(8)]), primitive
    )
    for shape in chosen:
        assert all(type(gene) is int and low <= gene <= high for gene, (low, high) in zip(shape, primitive.ranges))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (0, 255, 0)])
def test_the_colour_of_a_new_shape_is_that_of_what_is_missing_to_both_ends_of_its_range(colour):
    circles = Circles(SIZE)
    background = [(32, 24, 80, 128, 128, 128, 255)]
    shape = Pursuit(circles, Image.new("RGB", SIZE, colour)).new_shape(background, random.Random(0))
    assert shape[3:6] == colour


def test_a_new_shape_lies_where_something_is_missing():
    white = Image.new("RGB", SIZE, "black")
    white.paste("white", (40, 24, 64, 48))
    x, y, *_ = Pursuit(Circles(SIZE), white).new_shape([], random.Random(0))
    assert x > 32 and y > 16


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (5, 6)])
def test_canvases_of_any_size_will_do(size):
    target = Image.new("RGB", size, (10, 200, 30))
    evolution = Evolution(least_squares_toolbox(Circles(size), 3, Psnr(target, size)))
    evolution.run(2)
    assert evolution.generation == 2 and evolution.best_display_value > Psnr(target, size)([Image.new("RGB", size)])[0]


def test_it_is_nearer_than_the_climber_that_knows_no_target():
    gains = []
    for make in (least_squares_toolbox, climbing_toolbox):
        evolution = Evolution(make(Circles(SIZE), 12, Psnr(TARGET, SIZE)))
        while evolution.evaluations < 300:
            evolution.step()
        gains.append(evolution.best_display_value)
    assert gains[0] > gains[1] + 1


def test_without_a_target_it_says_what_is_missing():
    with pytest.raises(ValueError, match="got 'least-squares' for NsfwLogit, expected a fitness with a target"):
        least_squares_toolbox(Circles(), 5, NsfwLogit())


def test_covering_shapes_cover_the_canvas():
    for corners in (3, 4, 7):
        polygons = Polygons(corners, SIZE)
        painting = polygons.covering_shapes((1, 2, 3))
        assert render(painting, polygons).getcolors() == [(SIZE[0] * SIZE[1], (1, 2, 3))]
        for shape in painting:
            assert all(low <= gene <= high for gene, (low, high) in zip(shape, polygons.ranges))
    assert Circles().covering_shapes((1, 2, 3)) == []
