"""The operators of the bolder mutation: what each changes, how much of it, and what it leaves alone."""

import random
from collections import Counter
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from nsfw_experiments.evolution.individual import Painting
from nsfw_experiments.evolution.mutations import (
    FINE,
    add_gaussian_noise,
    colour_shift,
    gaussian_mutation,
    mixed_mutation,
    pursuit_mutation,
    replacement_mutation,
    reset_or_swap_mutation,
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


def shares(values):
    """How often each value occurs, as a part of all."""
    counts = Counter(values)
    return {value: count / counts.total() for value, count in counts.items()}


def test_the_original_resets_each_gene_of_each_shape_as_often_and_swaps_as_often_as_it_resets_one():
    ranges = ((1000, 1999), (2000, 2999), (3000, 3999))
    parent = Painting([(index, index, index) for index in range(4)])
    rng, seen = random.Random(0), []
    for _ in range(8000):
        mutant = Painting(parent)
        reset_or_swap_mutation(mutant, rng, ranges)
        places = changed(parent, mutant)
        if sorted(mutant) == sorted(parent):
            seen.append("swap")
            assert len(places) in (0, 2)
            continue
        [place] = places
        [gene] = [gene for gene in range(3) if mutant[place][gene] != place]
        assert ranges[gene][0] <= mutant[place][gene] <= ranges[gene][1]
        seen.append((place, gene))
    swapped = shares(seen).pop("swap")
    assert swapped == pytest.approx(1 / 4, rel=0.1)
    others = shares(entry for entry in seen if entry != "swap")
    assert others == {(place, gene): pytest.approx(1 / 12, rel=0.2) for place in range(4) for gene in range(3)}


def test_the_original_resets_a_gene_to_both_ends_of_its_range():
    rng, drawn = random.Random(0), set()
    for _ in range(200):
        mutant = Painting([(9,)])
        reset_or_swap_mutation(mutant, rng, ((3, 5),))
        drawn |= set(mutant)
    assert drawn == {(9,), (3,), (4,), (5,)}


OPERATORS = ("gaussian_mutation", "replacement_mutation", "swap_mutation", "colour_shift")


def operators_taken(monkeypatch, count=20_000, **options):
    """How often a mixed mutation takes each of its operators, and all that they are given."""
    taken, given = [], []
    for name in OPERATORS:

        def take(painting, rng, ranges, name=name, **options):
            taken.append(name)
            given.append(options) if options not in given else None

        monkeypatch.setattr(f"nsfw_experiments.evolution.mutations.{name}", take)
    rng = random.Random(0)
    for _ in range(count):
        mixed_mutation(Painting([GREY]), rng, RANGES, **options)
    return shares(taken), given


def test_a_mixed_mutation_mostly_adds_noise_and_seldom_shifts_colours(monkeypatch):
    taken, given = operators_taken(monkeypatch)
    assert taken == dict(zip(OPERATORS, (pytest.approx(parts, rel=0.12) for parts in (0.7, 0.2, 0.08, 0.02))))
    assert {"numbers": (1, 1, 2, 3), "sigmas": (0.03, 0.1, 0.3)} in given and {"new_shape": None} in given


def test_finer_changes_are_of_fewer_shapes_and_more_often_noise(monkeypatch):
    taken, given = operators_taken(monkeypatch, **FINE)
    parts = (part / 102 for part in (80, 10, 10, 2))
    assert taken == dict(zip(OPERATORS, (pytest.approx(part, rel=0.12) for part in parts)))
    assert {"numbers": (1, 1, 2), "sigmas": (0.03, 0.1, 0.3)} in given


def test_the_deviation_of_a_gaussian_mutation_is_one_of_those_it_is_given_for_all_it_moves():
    parent = Painting([GREY] * 40)
    deviations = []
    for mutant in mutants(parent, gaussian_mutation, 300, numbers=[40], sigmas=[0.01, 0.1]):
        moved = np.array([shape[:3] for shape in mutant if shape[:3] != GREY[:3]])
        tinged = np.array([shape[3:] for shape in mutant if shape[3:] != GREY[3:]])
        assert len(moved) + len(tinged) == pytest.approx(40, abs=1) and 8 < len(moved) < 32
        deviations.append((np.std(moved - 500), np.std(tinged - 128)))
    small, large = ([pair for pair in deviations if (pair[0] > 40) == side] for side in (False, True))
    assert len(small) == pytest.approx(150, abs=30)
    assert np.mean(small, axis=0) == pytest.approx((10, 2.55), rel=0.05)
    assert np.mean(large, axis=0) == pytest.approx((100, 25.5), rel=0.05)


def test_noise_is_kept_within_the_range():
    rng = random.Random(0)
    values = {add_gaussian_noise((5, 5), [0, 1], 3.0, rng, ((0, 10), (4, 6))) for _ in range(500)}
    assert {first for first, _ in values} == set(range(11)) and {second for _, second in values} == {4, 5, 6}


def test_half_of_the_replacements_are_of_one_shape_and_a_quarter_each_of_two_and_three():
    parent = Painting([GREY] * 20)
    numbers = shares(len(changed(parent, mutant)) for mutant in mutants(parent, replacement_mutation, 3000))
    assert numbers == {number: pytest.approx(part, rel=0.12) for number, part in ((1, 0.5), (2, 0.25), (3, 0.25))}


def test_a_replacement_is_a_shape_of_whom_it_is_asked_of():
    parent, asked = Painting([GREY] * 20), []

    def new_shape(rng):
        asked.append(rng)
        return (1, 2, 3, 4, 5, 6, 7)

    replaced = []
    for mutant in mutants(parent, replacement_mutation, 300, new_shape=new_shape):
        replaced += [mutant[place] for place in changed(parent, mutant)]
    assert len(replaced) == len(asked) and isinstance(asked[0], random.Random)
    assert {(*shape[:3], shape[6]) for shape in replaced} == {(1, 2, 3, 7)}
    as_it_is = np.mean([shape[3:6] == (4, 5, 6) for shape in replaced])
    assert as_it_is == pytest.approx(0.5, abs=0.08)
    likened = np.array([shape[3:6] for shape in replaced if shape[3:6] != (4, 5, 6)])
    assert likened.mean() == pytest.approx(128, abs=3) and likened.std() == pytest.approx(28, rel=0.1)


def test_each_operator_leaves_all_else_alone():
    parent = Painting([GREY] * 3)
    for mutate in (replacement_mutation, colour_shift):
        for mutant in mutants(parent, mutate, 100):
            assert len(mutant) == 3 and all(len(shape) == 7 for shape in mutant)


def test_a_colour_shift_is_weak_medium_or_strong_and_concerns_the_alpha_too():
    wide = (*RANGES[:3], *((-1000, 1000),) * 4)
    rng, shifts, reached = random.Random(0), [], []
    for _ in range(6000):
        mutant = Painting([(500, 500, 500, 0, 0, 0, 0)])
        colour_shift(mutant, rng, wide)
        reached.append(mutant[0][3:] != (0,) * 4)
        if reached[-1]:
            shifts.append(mutant[0][3:])
    assert np.mean(reached) == pytest.approx((1 + 0.33) / 2, abs=0.02)
    shifts = np.array(shifts)
    assert shifts.mean(0) == pytest.approx(np.zeros(4), abs=2)
    # A third of the shifts each: 8, 25 and 50
    assert shifts.std(0) == pytest.approx(np.full(4, np.sqrt((8**2 + 25**2 + 50**2) / 3)), rel=0.04)
    extents = np.hypot.reduce(shifts, axis=1) / 2  # the squares are of chi-squared distributions of four degrees
    assert np.mean(extents < 16) == pytest.approx(0.404, abs=0.03)
    assert np.mean(extents > 36) == pytest.approx(0.268, abs=0.03)


def test_a_colour_shift_stops_at_the_ends_of_the_ranges():
    ends = set()
    for mutant in mutants(Painting([(500, 500, 500, 250, 250, 5, 5)]), colour_shift, 300):
        ends |= set(mutant[0])
    assert {0, 255} <= ends and min(ends) == 0 and max(ends - {500}) == 255


class Recorded:
    """A pursuit that says what it is asked."""

    def __init__(self):
        self.below = []

    def new_shape(self, below, rng):
        self.below.append(list(below))
        return (1,) * 7

    def best_colours(self, shapes):
        return [(*shape[:3], 77, 78, 79, shape[-1]) for shape in shapes]


def pursued(count, **options):
    """Mutants of five shapes that differ in their geometry and alpha, and what the pursuit was asked."""
    pursuit = Recorded()
    parent = Painting([(500 + index, 500, 500, 77, 78, 79, 100 + index) for index in range(5)])
    options = {"numbers": (1,), **options}
    return parent, [list(m) for m in mutants(parent, pursuit_mutation, count, pursuit=pursuit, **options)], pursuit


def test_a_pursuit_replaces_any_shape_by_one_on_top_of_the_others():
    parent, replaced, pursuit = pursued(200, weights=(0, 1, 0, 0, 0))
    removed = Counter()
    for mutant, below in zip(replaced, pursuit.below):
        assert mutant[:-1] == below and mutant[-1] == (1, 1, 1, 77, 78, 79, 1)
        [gone] = set(parent) - set(below)
        removed[parent.index(gone)] += 1
    assert removed.keys() == set(range(5)) and min(removed.values()) > 20


def test_a_pursuit_replaces_a_shape_at_random_where_it_is():
    parent, replaced, _ = pursued(300, weights=(0, 0, 1, 0, 0))
    places = [changed(parent, mutant) for mutant in replaced]
    assert set(places) == {(index,) for index in range(5)}
    genes = np.array([mutant[place] for mutant, (place,) in zip(replaced, places)])
    assert genes[:, :3].mean(0) == pytest.approx(np.full(3, 500), abs=60) and genes[:, 6].std() > 60


def test_a_pursuit_brings_any_shape_to_any_depth():
    parent, moved, _ = pursued(600, weights=(0, 0, 0, 1, 0))
    expected = set()
    for source in range(5):
        for end in range(5):
            others = parent[:source] + parent[source + 1 :]
            others.insert(end, parent[source])
            expected.add(tuple(others))
    assert {tuple(mutant) for mutant in moved} == expected


def test_a_pursuit_lets_through_as_much_as_the_range_of_alpha_allows():
    parent, changes, _ = pursued(2000, weights=(0, 0, 0, 0, 1))
    alphas = set()
    for mutant in changes:
        for old, new in zip(parent, mutant):
            assert old[:-1] == new[:-1]
            alphas |= {new[-1]} if new != old else set()
    assert {0, 255} <= alphas and len(alphas) > 200


def test_a_pursuit_takes_each_of_its_changes_as_often_as_it_says():
    parent, changes, _ = pursued(6000, sigmas=(0.3,))
    kinds = Counter()
    for mutant in changes:
        places = changed(parent, mutant)
        if mutant[-1][:3] == (1, 1, 1):
            kinds["chosen"] += 1
        elif sorted(mutant) == sorted(parent):
            kinds["depth"] += 1
        else:
            [place] = places
            old, new = parent[place], mutant[place]
            kinds["alpha" if old[:3] == new[:3] else "moved" if old[-1] == new[-1] else "replaced"] += 1
    parts = {"moved": 0.6, "chosen": 0.15, "replaced": 0.08, "depth": 0.08, "alpha": 0.09}
    assert shares(kinds.elements()) == {kind: pytest.approx(part, rel=0.15) for kind, part in parts.items()}


def test_two_of_three_changes_of_a_pursuit_are_of_one_shape_and_the_others_of_two():
    parent = Painting([GREY] * 5)
    options = dict(pursuit=SimpleNamespace(best_colours=list), weights=(1, 0, 0, 0, 0))
    moved = list(mutants(parent, pursuit_mutation, 2000, **options))
    numbers = shares(len(changed(parent, mutant)) for mutant in moved)
    assert numbers[1] == pytest.approx(2 / 3, abs=0.04) and numbers[2] == pytest.approx(1 / 3, abs=0.04)
    steps = np.array([gene - 500 for mutant in moved for shape in mutant for gene in shape[:3] if gene != 500])
    # Deviations of 30, 100 and 300, a third each, on a range whose ends are 500 away
    assert np.mean(np.abs(steps) > 400) == pytest.approx(0.18 / 3, abs=0.02)
    assert np.mean(np.abs(steps) < 30) == pytest.approx((0.67 + 0.23 + 0.08) / 3, abs=0.03)


def test_as_many_places_are_drawn_as_one_of_the_numbers_says():
    rng = random.Random(0)
    drawn = [sample_indices(Painting("abcde"), rng, (1, 1, 3)) for _ in range(3000)]
    assert shares(map(len, drawn)) == {1: pytest.approx(2 / 3, abs=0.03), 3: pytest.approx(1 / 3, abs=0.03)}
    places = shares(place for chosen in drawn for place in chosen)
    assert places == {place: pytest.approx(0.2, rel=0.1) for place in range(5)}
