"""The operators of the bolder mutation: what each changes, how much of it, and what it leaves alone."""

import random
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from nsfw_experiments.evolution.individual import Painting
from nsfw_experiments.evolution.mutations import (
    add_gaussian_noise,
    colour_shift,
    gaussian_mutation,
    mixed_mutation,
    pursuit_mutation,
    replacement_mutation,
    sample_indices,
    swap_mutation,
)

RANGES = ((0, 1000),) * 3 + ((0, 255),) * 4  # three genes of geometry; red, green, blue and alpha
GREY = (500, 500, 500, 128, 128, 128, 128)


def mutants(parent, mutate, count, **options):
    """Copies of a painting, mutated one after the other by one generator of random numbers."""
    rng = random.Random(0)
    for _ in range(count):
        mutant = Painting(parent)
        mutate(mutant, rng, RANGES, **options)
        yield mutant


def changed(parent, mutant):
    """The places where two paintings differ."""
    return tuple(index for index, (old, new) in enumerate(zip(parent, mutant)) if old != new)


def test_a_swap_exchanges_any_two_shapes_or_none():
    parent = Painting([(number,) * 7 for number in range(5)])
    exchanged = set()
    for mutant in mutants(parent, swap_mutation, 300):
        places = changed(parent, mutant)
        exchanged.add(places)
        if places:
            index, other = places
            assert (mutant[index], mutant[other]) == (parent[other], parent[index])
    assert exchanged == {(), *combinations(range(5), 2)}


def test_a_pursuit_moves_all_of_a_shape_or_two_neighbouring_genes():
    ranges = ((0, 1000),) * 6 + RANGES[-4:]
    pursuit = SimpleNamespace(best_colours=list)
    rng, seen = random.Random(0), set()
    for _ in range(300):
        mutant = Painting([(500,) * 6 + GREY[-4:]] * 4)
        pursuit_mutation(mutant, rng, ranges, pursuit, weights=(1, 0, 0, 0, 0), numbers=[1], sigmas=[0.3])
        [index] = changed([(500,) * 6 + GREY[-4:]] * 4, mutant)
        seen.add(tuple(gene for gene, value in enumerate(mutant[index][:6]) if value != 500))
        assert mutant[index][6:] == GREY[-4:]
    pairs = {(0, 1), (2, 3), (4, 5)}
    assert seen >= {*pairs, (0, 1, 2, 3, 4, 5)}
    assert all(len(genes) > 3 or any(set(genes) <= set(pair) for pair in pairs) for genes in seen)


def test_a_colour_shift_reaches_all_shapes_or_a_third_of_them():
    parent = Painting([GREY] * 300)
    reached = [len(changed(parent, mutant)) for mutant in mutants(parent, colour_shift, 100)]
    all_of_them, some = [count for count in reached if count == 300], [count for count in reached if count < 300]
    assert len(all_of_them) > 30 and len(some) > 30
    assert all(75 <= count <= 125 for count in some)
    assert np.mean(some) == pytest.approx(100, abs=3)


def test_a_colour_shift_is_one_for_all_that_it_reaches_and_leaves_the_geometry():
    parent = Painting([GREY] * 300)
    for mutant in mutants(parent, colour_shift, 100):
        assert len(set(mutant)) <= 2
        assert {shape[:3] for shape in mutant} == {GREY[:3]}


@pytest.mark.parametrize("low", [0, 1000, -1000])
def test_the_deviation_of_noise_is_a_part_of_the_range_wherever_it_starts(low):
    rng, ranges = random.Random(0), ((low, low + 200), (0, 9))
    values = [add_gaussian_noise((low + 100, 5), [0], 0.1, rng, ranges) for _ in range(2000)]
    assert {unchanged for _, unchanged in values} == {5}
    assert np.std([value for value, _ in values]) == pytest.approx(20, rel=0.05)


def test_a_gaussian_mutation_moves_as_many_shapes_as_it_is_told_or_tinges_them():
    parent = Painting([GREY] * 20)
    sorts = set()
    for mutant in mutants(parent, gaussian_mutation, 200, numbers=[3], sigmas=[0.3]):
        places = changed(parent, mutant)
        assert len(places) == 3
        for place in places:
            assert mutant[place][:3] == GREY[:3] or mutant[place][3:] == GREY[3:]
            sorts.add("tinged" if mutant[place][:3] == GREY[:3] else "moved")
    assert sorts == {"moved", "tinged"}


def test_a_replacement_resets_one_to_three_shapes_every_other_to_about_a_colour_that_is_there():
    red = (500, 500, 500, 255, 0, 0, 128)
    parent = Painting([red] * 20)
    numbers, replaced = set(), []
    for mutant in mutants(parent, replacement_mutation, 1000):
        places = changed(parent, mutant)
        numbers.add(len(places))
        replaced += [mutant[place] for place in places]
    assert numbers == {1, 2, 3}
    # a random colour is as red as that in 4 of 100 cases
    reddish = np.mean([r > 171 and g < 84 and b < 84 for _, _, _, r, g, b, _ in replaced])
    assert reddish == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "weights, operator",
    [
        ((0, 1, 0, 0), replacement_mutation),
        ((0, 0, 1, 0), swap_mutation),
        ((0, 0, 0, 1), colour_shift),
    ],
)
def test_the_weights_of_a_mixed_mutation_are_those_of_its_operators(weights, operator):
    parent = Painting([(number,) * 7 for number in range(5)])
    mixed, alone = random.Random(0), random.Random(0)
    alone.random()  # the choice
    for_mixed, for_alone = Painting(parent), Painting(parent)
    mixed_mutation(for_mixed, mixed, RANGES, weights=weights)
    operator(for_alone, alone, RANGES)
    assert for_mixed == for_alone != parent


def test_places_are_drawn_once_each_and_all_of_them_where_more_are_asked_for():
    rng = random.Random(0)
    assert all(len(set(sample_indices(Painting("abcde"), rng, [4]))) == 4 for _ in range(50))
    assert sorted(sample_indices(Painting("abcde"), rng, [9])) == [0, 1, 2, 3, 4]
