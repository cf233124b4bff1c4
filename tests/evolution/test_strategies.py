"""The parts of the strategies: how many paintings they start with, and what a generation makes of them."""

import math
import random

import deap.algorithms
import deap.tools.crossover
import deap.tools.mutation
import deap.tools.selection
import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.evolution.deap_random import deap_draws_from
from nsfw_experiments.evolution.fitness import PerPicture
from nsfw_experiments.evolution.individual import Painting
from nsfw_experiments.evolution.mutations import FINE
from nsfw_experiments.evolution.primitives import Circles
from nsfw_experiments.evolution.settings import Settings
from nsfw_experiments.evolution.strategies import (
    STRATEGIES,
    TRIED,
    PaintingToolbox,
    batches,
    best_of_random,
    climb,
    climb_or_start_anew,
    evaluate,
    evaluate_invalid,
    ignore,
    keep_first_improvements,
    make_toolbox,
    random_population,
    recombine,
)

CIRCLES = Circles((16, 12))


class Redness(PerPicture):
    """A fitness with all that a strategy may ask for."""

    target = Image.new("RGB", CIRCLES.size, "red")
    promising = 3.5

    def __init__(self):
        super().__init__(lambda picture: float(np.asarray(picture)[..., 0].sum()))


def toolbox_of(strategy="climb", population=5, fitness=None, **options):
    return make_toolbox(Settings(strategy, CIRCLES, 4, population, **options), fitness or Redness())


@pytest.mark.parametrize(
    "strategy, drawn, kept", [("original", 5, 5), ("climb", 160, 10), ("compact", 160, 10), ("least-squares", 30, 5)]
)
def test_a_run_starts_with_the_best_of_so_many_paintings(strategy, drawn, kept):
    toolbox, all_of_them = toolbox_of(strategy), []
    toolbox.register("evaluated", all_of_them.append)
    population, evaluations = toolbox.start()
    assert (len(all_of_them), evaluations, len(population)) == (drawn, drawn, kept)
    values = sorted((painting.fitness.values[0] for painting in all_of_them), reverse=True)
    assert sorted((painting.fitness.values[0] for painting in population), reverse=True) == values[:kept]


@pytest.mark.parametrize("strategy, size", [("climb", 2), ("compact", 2), ("least-squares", 2), ("original", 3)])
def test_tournaments_are_of_two_climbers_or_of_three_of_the_original_s(strategy, size):
    assert toolbox_of(strategy).select.keywords == {"tournsize": size}


@pytest.mark.parametrize("population, probability", [(1, 0.02), (4, 0.08), (50, 1), (51, 1), (200, 1)])
def test_a_lineage_ends_the_more_often_the_more_paintings_a_generation_has(population, probability):
    for strategy in ("climb", "least-squares"):
        generation = toolbox_of(strategy, population).generation.keywords
        assert generation == {"children": population, "extinction": pytest.approx(probability)}


def test_the_original_crosses_and_mutates_as_it_did():
    assert toolbox_of("original").generation.keywords == {"cxpb": 0.5, "mutpb": 0.1, "tries": 10}


def test_only_the_fine_climber_has_the_fine_changes():
    fine, plain = (toolbox_of(fine=fine).mutate.keywords for fine in (True, False))
    assert {name: fine[name] for name in FINE} == FINE and plain.keys() == {"rng", "ranges"}
    assert FINE == {"weights": (80, 10, 10, 2), "numbers": (1, 1, 2)}


def test_compact_looks_after_900_evaluations_whether_its_fitness_is_promising():
    assert TRIED == 900
    assert toolbox_of("compact").generation.keywords == {"tried": 900, "promising": 3.5}
    plain = toolbox_of("compact", fitness=PerPicture(len))
    assert plain.generation.keywords == {"tried": 900, "promising": -math.inf}
    assert toolbox_of("compact").mutate.keywords["new_shape"] == CIRCLES.compact_shape


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_toolbox_knows_its_settings_with_the_fitness_s_identity(strategy):
    toolbox, fitness = toolbox_of(strategy, seed=9), Redness()
    assert toolbox.settings == Settings(strategy, CIRCLES, 4, 5, 9, fitness=fitness.identity)
    assert toolbox.primitive is CIRCLES and toolbox.memory == {} and len(toolbox.individual()) == 4
    assert PaintingToolbox(toolbox.settings, fitness).rng.random() == random.Random(9).random()


def test_work_is_handed_out_in_batches_of_eight():
    toolbox = toolbox_of()
    assert [len(batch) for batch in toolbox.batches(range(20))] == [8, 8, 4]
    assert list(batches("abcdef", 3)) == ["abc", "def"] and list(batches("", 3)) == []


def valued(*values):
    """Paintings of these fitnesses, each of a shape of its own."""
    paintings = []
    for number, value in enumerate(values):
        paintings.append(Painting([(number,), (number,), (number,)]))
        paintings[-1].fitness.values = (value,)
    return paintings


def values_of(paintings):
    return [painting.fitness.values[0] for painting in paintings]


def test_only_paintings_without_a_fitness_are_evaluated():
    toolbox, told = toolbox_of(), []
    paintings = [toolbox.individual() for _ in range(20)]
    for painting in paintings[::3]:
        painting.fitness.values = (-7.0,)
    toolbox.register("evaluated", told.append)
    assert evaluate_invalid(paintings, toolbox) == 13
    assert [painting for painting in paintings if values_of([painting]) != [-7.0]] == told and len(told) == 13
    assert values_of(told) == [value for (value,) in evaluate(told, CIRCLES, Redness())]
    assert evaluate_invalid(paintings, toolbox) == 0 and len(told) == 13
    assert ignore(paintings[0]) is None


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan], [math.inf, 1.0], [-math.inf, 1.0]])
def test_a_fitness_gives_a_finite_number_for_each_picture(values):
    with pytest.raises(ValueError, match="expected 2 finite numbers"):
        evaluate([[], []], CIRCLES, lambda pictures: values)
    assert evaluate([[], []], CIRCLES, lambda pictures: [1, np.float32(2)]) == [(1.0,), (2.0,)]


class Scripted:
    """A toolbox whose mutants, and their fitnesses, are written down: by the shape that a change puts in its place."""

    def __init__(self, changes, values=lambda painting: 0.0, parents=None):
        self.changes, self.rng, self.memory = iter(changes), random.Random(0), {}
        self.values, self.seen, self.parents = values, [], parents

    def clone(self, painting):
        return Painting(painting)

    def mutate(self, painting):
        place, shape = next(self.changes)
        painting[place] = shape
        return (painting,)

    def map(self, function, work):
        return map(function, work)

    def batches(self, paintings):
        return [paintings]

    def evaluate(self, paintings):
        return [(self.values(painting),) for painting in paintings]

    def evaluated(self, painting):
        self.seen.append(list(painting))

    def select(self, population, count):
        return [population[number] for number in self.parents]


def total(painting):
    return float(sum(value for (value,) in painting))


def test_a_climb_recombines_what_is_better_and_keeps_the_best_of_each_lineage():
    first, second = Painting([(5,), (5,), (5,)]), Painting([(1,), (1,), (1,)])
    for painting in (first, second):
        painting.fitness.values = (total(painting),)
    changes = [(0, (7,)), (2, (6,)), (1, (4,)), (1, (3,))]
    toolbox = Scripted(changes, total, parents=[0, 0, 0, 1])
    survivors, evaluations = climb(toolbox, [first, second], children=4, extinction=0.0)
    assert survivors == [[(7,), (5,), (6,)], [(1,), (3,), (1,)]] and values_of(survivors) == [18.0, 5.0]
    assert evaluations == 5 == len(toolbox.seen)  # the four, and one recombination
    assert first == [(5,), (5,), (5,)]


def test_a_climb_keeps_a_parent_that_is_better_and_leaves_it_for_a_child_that_is_as_good():
    for value, expected in ((4, (5,)), (5, (9,)), (6, (9,))):
        parent = Painting([(5,), (0,)])
        parent.fitness.values = (5.0,)
        toolbox = Scripted([(0, (9,))], lambda painting, value=value: float(value), parents=[0])
        [survivor], evaluations = climb(toolbox, [parent], children=1, extinction=1.0)
        assert survivor[0] == expected and evaluations == 1


def test_the_best_changes_are_recombined_first():
    parent = Painting([(0,), (0,)])
    parent.fitness.values = (0.0,)
    toolbox = Scripted([(0, (1,)), (0, (3,)), (0, (2,)), (1, (1,))], total, parents=[0] * 4)
    [survivor], evaluations = climb(toolbox, [parent], children=4, extinction=0.0)
    assert survivor == [(3,), (1,)] and evaluations == 5


def test_the_worst_lineage_ends_as_often_as_is_said_but_never_the_last():
    def lineages(extinction, *values):
        toolbox = Scripted([(0, (0,))] * 300, lambda painting: -1.0, parents=[0])
        ends = []
        for _ in range(300):
            survivors, _ = climb(toolbox, valued(*values), children=1, extinction=extinction)
            ends.append(values_of(survivors))
        return ends

    assert lineages(1.0, 3.0, 1.0, 2.0) == [[3.0, 2.0]] * 300
    assert lineages(0.0, 3.0, 1.0, 2.0) == [[3.0, 1.0, 2.0]] * 300
    assert lineages(1.0, 3.0) == [[3.0]] * 300
    ended = [len(left) == 1 for left in lineages(0.25, 1.0, 2.0)]
    assert np.mean(ended) == pytest.approx(0.25, abs=0.08)


def test_changes_of_one_shape_are_taken_from_the_best_alone_and_changes_of_several_together():
    parent = Painting("abcdef")
    assert recombine(parent, []) == parent and recombine(parent, []) is not parent
    children = [Painting("aBCdef"), Painting("abXdeX"), Painting("Abcdef"), Painting("abcdeF")]
    assert recombine(parent, children) == list("ABCdeF")
    assert recombine(Painting("ab", CIRCLES), []).primitive == CIRCLES


class Anew:
    """A toolbox whose generations have so many evaluations, and whose population the best of so good a fitness."""

    def __init__(self, evaluations, best, memory):
        self.memory = dict(memory)
        self.climb = lambda population: (valued(best, best - 1), evaluations)
        self.start = lambda: (valued(-50.0), 64)


@pytest.mark.parametrize(
    "tried_before, evaluations, best, anew",
    [
        (0, 9, 1.0, False),
        (0, 10, 1.0, True),
        (0, 10, 2.0, False),  # just promising
        (0, 10, 1.99, True),
        (9, 1, 1.0, True),
        (9, 5, 1.0, True),
        (9, 5, 3.0, False),
        (8, 1, 1.0, False),
        (10, 1, 1.0, False),  # it was looked at then
        (30, 5, 1.0, False),
    ],
)
def test_a_run_starts_anew_where_it_is_not_promising_once_it_has_tried_enough(tried_before, evaluations, best, anew):
    toolbox = Anew(evaluations, best, {"tried": tried_before} if tried_before else {})
    population, count = climb_or_start_anew(toolbox, valued(0.0), tried=10, promising=2.0)
    if anew:
        assert values_of(population) == [-50.0] and count == evaluations + 64 and toolbox.memory == {"tried": 0}
    else:
        assert values_of(population) == [best, best - 1] and count == evaluations
        assert toolbox.memory == {"tried": tried_before + evaluations}


def test_each_painting_tries_changes_until_one_is_better():
    paintings = valued(5.0, 5.0, 5.0)
    outcomes = iter([6.0, 5.0, 1.0, 4.0, 9.0, 3.0])  # the first is content after one change, the last never
    toolbox = Scripted([(0, (9,))] * 6, lambda painting: next(outcomes))
    assert keep_first_improvements(paintings, toolbox, tries=3) == 6
    assert values_of(paintings) == [6.0, 5.0, 9.0]
    assert [painting[0] for painting in paintings] == [(9,), (1,), (9,)]
    assert keep_first_improvements(valued(1.0), toolbox, tries=0) == 0


def test_a_start_is_of_as_many_paintings_as_are_asked_for():
    toolbox = toolbox_of("original")
    population, evaluations = random_population(toolbox, 7)
    assert len(population) == evaluations == 7 and all(painting.fitness.valid for painting in population)
    population, evaluations = best_of_random(toolbox, size=9, lineages=2)
    assert (len(population), evaluations) == (2, 9)


def test_deap_draws_from_what_it_is_given_and_then_from_the_module_again():
    modules = (deap.algorithms, deap.tools.crossover, deap.tools.mutation, deap.tools.selection)
    rng = random.Random(0)
    with deap_draws_from(rng):
        assert all(module.random is rng for module in modules)
    assert all(module.random is random for module in modules)
    with pytest.raises(KeyboardInterrupt), deap_draws_from(rng):
        raise KeyboardInterrupt
    assert all(module.random is random for module in modules)
