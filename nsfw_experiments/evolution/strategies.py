"""Two ways to evolve a painting, each a DEAP toolbox with all its parts in sight.

A strategy is a function that fills a `deap.base.Toolbox`. Whatever is registered there can be registered
anew: ``toolbox.register("map", pool.map)`` spreads the work over processes, ``toolbox.register("mate",
tools.cxUniform, indpb=0.2)`` crosses in another way. `evolution.Evolution` runs what the toolbox describes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import isfinite

from deap import algorithms, base, tools

from nsfw_experiments.evolution.deap_random import deap_draws_from
from nsfw_experiments.evolution.individual import Painting, clone, palette_painting, random_shape
from nsfw_experiments.evolution.mutations import FINE, change_one_gene, change_some_shapes
from nsfw_experiments.evolution.painting import Kind, Shape, render_all


def original_toolbox(kind: Kind, count: int, fitness: Callable, seed: int = 0, population: int = 50) -> base.Toolbox:
    """Make the toolbox of the original experiment: DEAP's ``eaSimple`` with its own mutation.

    Tournaments of three, two-point crossover with probability 1/2, and with probability 1/10 a mutation that
    tries up to ten changes of one gene each and keeps the first that is an improvement.

    Parameters
    ----------
    kind : Circles or Polygons
        What to paint with.
    count : int
        Shapes in a painting.
    fitness : callable
        See `nsfw_experiments.evolution.fitness`.
    seed : int
        Decides all that is random.
    population : int
        Paintings in a generation.

    Returns
    -------
    deap.base.Toolbox

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import NsfwScore
    >>> from nsfw_experiments.evolution.painting import Circles
    >>> toolbox = original_toolbox(Circles(), count=50, fitness=NsfwScore())
    >>> len(toolbox.individual())
    50
    """
    toolbox = _painting_toolbox("original", kind, count, fitness, seed, population=population)
    toolbox.register("shape", random_shape, toolbox.rng, kind.small_ranges)
    toolbox.register("individual", tools.initRepeat, Painting, toolbox.shape, count)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", change_one_gene, rng=toolbox.rng, ranges=kind.ranges)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("start", random_population, toolbox, size=population)
    toolbox.register("generation", select_cross_and_mutate, toolbox, cxpb=0.5, mutpb=0.1, tries=10)
    return toolbox


def climbing_toolbox(
    kind: Kind, count: int, fitness: Callable, seed: int = 0, population: int = 4, fine: bool = False
) -> base.Toolbox:
    """Make the toolbox of a hill climber that unites the improvements of a generation.

    It starts with several lineages, the best of many random paintings. Every generation has `population`
    changed copies of their best paintings so far. A lineage goes on with the best copy, or, where that is better
    still, with the union of all improvements that concern different shapes. Now and then the worst lineage ends,
    until one is left: in the beginning luck decides much, and later on every evaluation counts.

    Parameters
    ----------
    kind, count, fitness, seed
        As for `original_toolbox`.
    population : int
        Changed copies in a generation. Few climb with fewer evaluations, many keep more workers busy.
    fine : bool
        Whether to make smaller changes, for a fitness such as `Likeness` that follows each of them.

    Returns
    -------
    deap.base.Toolbox
    """
    toolbox = _painting_toolbox("climb", kind, count, fitness, seed, population=population)
    toolbox.about["fine"] = fine
    toolbox.register("individual", palette_painting, toolbox.rng, kind, count)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    manner = FINE if fine else {}
    toolbox.register("mutate", change_some_shapes, rng=toolbox.rng, ranges=kind.ranges, **manner)
    toolbox.register("select", tools.selTournament, tournsize=2)
    toolbox.register("start", best_of_random, toolbox, size=32 * population, lineages=2 * population)
    toolbox.register("generation", climb, toolbox, children=population, extinction=min(0.02 * population, 1))
    return toolbox


STRATEGIES = {"climb": climbing_toolbox, "original": original_toolbox}


def _painting_toolbox(
    strategy: str, kind: Kind, count: int, fitness: Callable, seed: int, population: int
) -> base.Toolbox:
    """Make a toolbox with what both strategies need; its ``about`` describes the run in JSON values."""
    for name, value in (("count", count), ("population", population)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    toolbox = base.Toolbox()
    toolbox.kind, toolbox.fitness, toolbox.rng = kind, fitness, random.Random(seed)
    toolbox.about = {
        "strategy": strategy,
        "shapes": kind.name,
        "corners": getattr(kind, "corners", None),
        "size": list(kind.size),
        "count": count,
        "fitness": fitness.identity,
        "seed": seed,
        "population": population,
    }
    toolbox.register("clone", clone)
    toolbox.register("map", map)
    toolbox.register("batches", batches, size=8)
    toolbox.register("evaluate", evaluate, kind=kind, fitness=fitness)
    return toolbox


def batches(paintings: Sequence[Painting], size: int) -> Iterator[Sequence[Painting]]:
    """Cut a list into lists of `size`, the last maybe shorter: the pieces that `toolbox.map` hands out."""
    for start in range(0, len(paintings), size):
        yield paintings[start : start + size]


def evaluate(paintings: Sequence[Sequence[Shape]], kind: Kind, fitness: Callable) -> list[tuple[float]]:
    """Draw and judge a batch of paintings.

    Returns
    -------
    list of (float,)
        Fitness values as DEAP wants them.

    Raises
    ------
    ValueError
        If `fitness` gives a value that is no finite number, or not one for each picture.
    """
    values = [float(value) for value in fitness(render_all(paintings, kind))]
    if len(values) != len(paintings) or not all(map(isfinite, values)):
        raise ValueError(f"expected {len(paintings)} finite fitness values, got {values}")
    return [(value,) for value in values]


def assess(paintings: Sequence[Painting], toolbox: base.Toolbox) -> int:
    """Give a fitness to all paintings that have none; returns how many that were."""
    unknown = [painting for painting in paintings if not painting.fitness.valid]
    values = toolbox.map(toolbox.evaluate, list(toolbox.batches(unknown)))
    for painting, value in zip(unknown, chain.from_iterable(values)):
        painting.fitness.values = value
    return len(unknown)


def random_population(toolbox: base.Toolbox, size: int) -> tuple[list[Painting], int]:
    """Start with random paintings.

    Returns
    -------
    population : list of Painting
    evaluations : int
        Paintings that were drawn and judged.
    """
    population = toolbox.population(n=size)
    return population, assess(population, toolbox)


def select_cross_and_mutate(
    toolbox: base.Toolbox, population: list[Painting], cxpb: float, mutpb: float, tries: int
) -> tuple[list[Painting], int]:
    """Make one generation of ``eaSimple``; paintings that mutate try their changes side by side, in batches.

    Parameters
    ----------
    population : list of Painting
    cxpb, mutpb : float
        Probabilities that two neighbours are crossed, and that a painting mutates.
    tries : int
        Changes that a mutation tries at most.

    Returns
    -------
    population : list of Painting
    evaluations : int
    """
    with deap_draws_from(toolbox.rng):
        offspring = algorithms.varAnd(toolbox.select(population, len(population)), toolbox, cxpb, mutpb=0)
    mutants = [painting for painting in offspring if toolbox.rng.random() < mutpb]
    evaluations = keep_first_improvements(mutants, toolbox, tries)
    return offspring, evaluations + assess(offspring, toolbox)


def keep_first_improvements(paintings: Sequence[Painting], toolbox: base.Toolbox, tries: int) -> int:
    """Change each painting in place to the first of up to `tries` mutants that is better, if one is.

    After a crossover a painting has no fitness, and then, as in the original, the first mutant is kept.

    Returns
    -------
    int
        Paintings that were drawn and judged.
    """
    evaluations = 0
    for _ in range(tries):
        mutants = [mutant_of(painting, toolbox) for painting in paintings]
        evaluations += assess(mutants, toolbox)
        unchanged = []
        for painting, mutant in zip(paintings, mutants):
            if mutant.fitness > painting.fitness:
                painting[:] = mutant
                painting.fitness.wvalues = mutant.fitness.wvalues
            else:
                unchanged.append(painting)
        paintings = unchanged
    return evaluations


def mutant_of(painting: Painting, toolbox: base.Toolbox) -> Painting:
    """Give a changed copy, its fitness unknown."""
    with deap_draws_from(toolbox.rng):
        (mutant,) = toolbox.mutate(toolbox.clone(painting))
    del mutant.fitness.values
    return mutant


def best_of_random(toolbox: base.Toolbox, size: int, lineages: int) -> tuple[list[Painting], int]:
    """Start with the best few of `size` random paintings; returns as `random_population`."""
    population, evaluations = random_population(toolbox, size)
    return tools.selBest(population, lineages), evaluations


def climb(
    toolbox: base.Toolbox, population: list[Painting], children: int, extinction: float
) -> tuple[list[Painting], int]:
    """Make one generation of the hill climber.

    Parameters
    ----------
    population : list of Painting
        The best painting of each lineage.
    children : int
        Changed copies to judge; better parents, by tournament, have more of them.
    extinction : float
        Probability that the worst lineage ends, as long as there is another.

    Returns
    -------
    population : list of Painting
        No lineage is worse than before.
    evaluations : int
    """
    with deap_draws_from(toolbox.rng):
        parents = toolbox.select(population, children)
    brood = [(parent, mutant_of(parent, toolbox)) for parent in parents]
    evaluations = assess([child for _, child in brood], toolbox)
    families = [[child for parent, child in brood if parent is ancestor] for ancestor in population]
    unions = []
    for ancestor, family in zip(population, families):
        better = [child for child in family if child.fitness > ancestor.fitness]
        union = unite(ancestor, tools.selBest(better, len(better)))
        if union not in [ancestor, *better]:
            unions.append(union)
            family.append(union)
    evaluations += assess(unions, toolbox)
    # The ancestor comes last: a child that is as good replaces it, and so the search can drift.
    heirs = [
        max([*family, ancestor], key=lambda painting: painting.fitness)
        for ancestor, family in zip(population, families)
    ]
    if len(heirs) > 1 and toolbox.rng.random() < extinction:
        heirs.remove(tools.selWorst(heirs, 1)[0])
    return heirs, evaluations


def unite(parent: Painting, children: Sequence[Painting]) -> Painting:
    """Give the parent with its children's changes, except those to shapes that an earlier child changed."""
    united = Painting(parent)
    changed: set[int] = set()
    for child in children:
        changes = {index for index, shape in enumerate(child) if shape != parent[index]}
        if not changes & changed:
            changed |= changes
            for index in changes:
                united[index] = child[index]
    return united
