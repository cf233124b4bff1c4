"""Four ways to evolve a painting, each a DEAP toolbox with all its parts in sight.

A strategy is a function that fills a toolbox [1]_. Whatever is registered there can be registered anew:
``toolbox.register("map", pool.map)`` spreads the work over processes, ``toolbox.register("mate", tools.cxUniform,
indpb=0.2)`` crosses in another way. `run.Evolution` runs what the toolbox describes.

References
----------
.. [1] F.-A. Fortin, F.-M. De Rainville, M.-A. Gardner, M. Parizeau, C. Gagné, "DEAP: Evolutionary Algorithms Made
   Easy", Journal of Machine Learning Research 13, 2012.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from math import inf, isfinite
from typing import Any

from deap import algorithms, base, tools

from nsfw_experiments.evolution.deap_random import deap_draws_from
from nsfw_experiments.evolution.fitness import FitnessFunction
from nsfw_experiments.evolution.individual import (
    Painting,
    clone,
    covered_painting,
    palette_painting,
    pursued_painting,
    random_shape,
)
from nsfw_experiments.evolution.mutations import FINE, mixed_mutation, pursuit_mutation, reset_or_swap_mutation
from nsfw_experiments.evolution.painting import render_all
from nsfw_experiments.evolution.primitives import Primitive, Shape
from nsfw_experiments.evolution.pursuit import Pursuit
from theano_compat.deprecation import renamed_arguments
from nsfw_experiments.evolution.settings import POPULATION, SEED, Settings
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(__name__, {"assess": f"{__name__}:evaluate_invalid", "unite": f"{__name__}:recombine"})


#: Evaluations after which a run of "compact" is to be promising.
TRIED = 900


class PaintingToolbox(base.Toolbox):
    """DEAP's toolbox, with what a run needs beside the operators, and the operators that all strategies need.

    Parameters
    ----------
    settings : Settings
    fitness : FitnessFunction

    Attributes
    ----------
    settings : Settings
        With the identity of the fitness.
    primitive : Primitive
    fitness : FitnessFunction
    rng : random.Random
        The only source of randomness of a run.
    memory : dict of str to int
        What a strategy has to know besides its population; saved with the run.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import NsfwLogit
    >>> PaintingToolbox(Settings.from_dict({"seed": 7}), NsfwLogit()).settings.fitness
    'NsfwLogit'
    """

    def __init__(self, settings: Settings, fitness: FitnessFunction):
        super().__init__()
        self.settings = replace(settings, fitness=fitness.identity)
        self.primitive = settings.primitive
        self.fitness = fitness
        self.rng = random.Random(settings.seed)
        self.memory: dict[str, int] = {}
        self.register("clone", clone)
        self.register("map", map)
        self.register("batches", batches, size=8)
        self.register("evaluate", evaluate, primitive=self.primitive, fitness=fitness)
        self.register("evaluated", ignore)

    @property
    def kind(self) -> Primitive:
        """Old name of `primitive`."""
        warnings.warn("toolbox.kind is now toolbox.primitive", DeprecationWarning, stacklevel=2)
        return self.primitive

    @property
    def about(self) -> dict[str, Any]:
        """Old form of `settings`."""
        warnings.warn("toolbox.about is now toolbox.settings", DeprecationWarning, stacklevel=2)
        return self.settings.to_dict()


def make_toolbox(settings: Settings, fitness: FitnessFunction) -> PaintingToolbox:
    """Make the toolbox of the strategy that the settings name.

    Parameters
    ----------
    settings : Settings
    fitness : FitnessFunction

    Returns
    -------
    PaintingToolbox

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import NsfwLogit
    >>> toolbox = make_toolbox(Settings.from_dict({"shapes": "ellipses"}), NsfwLogit())
    >>> len(toolbox.individual())
    100
    """
    toolbox = PaintingToolbox(settings, fitness)
    STRATEGIES[settings.strategy](toolbox)
    return toolbox


@renamed_arguments(kind="primitive")
def original_toolbox(
    primitive: Primitive,
    count: int,
    fitness: FitnessFunction,
    seed: int = SEED,
    population: int = POPULATION["original"],
) -> PaintingToolbox:
    """Make the toolbox of the original experiment [1]_: DEAP's ``eaSimple`` [2]_ with its own mutation.

    Tournaments of three, two-point crossover with probability 1/2, and with probability 1/10 a mutation that
    tries up to ten changes of one gene each and keeps the first that is an improvement.

    Parameters
    ----------
    primitive : Primitive
        What to paint with.
    count : int
        Shapes in a painting.
    fitness : FitnessFunction
        See `nsfw_experiments.evolution.fitness`.
    seed : int
        Decides all that is random.
    population : int
        Paintings in a generation.

    Returns
    -------
    PaintingToolbox

    Raises
    ------
    ValueError
        If `count` or `population` is no whole number of at least 1.

    References
    ----------
    .. [1] https://github.com/tjwei/play_nsfw, its notebooks of circles and triangles.
    .. [2] T. Bäck, D. B. Fogel, Z. Michalewicz (eds.), "Evolutionary Computation 1: Basic Algorithms and Operators",
       Institute of Physics Publishing 2000, chapter 7; as DEAP says.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import NsfwScore
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> toolbox = original_toolbox(Circles(), count=50, fitness=NsfwScore())
    >>> len(toolbox.individual())
    50
    """
    return make_toolbox(Settings("original", primitive, count, population, seed), fitness)


@renamed_arguments(kind="primitive")
def climbing_toolbox(
    primitive: Primitive,
    count: int,
    fitness: FitnessFunction,
    seed: int = SEED,
    population: int = POPULATION["climb"],
    fine: bool = False,
) -> PaintingToolbox:
    """Make the toolbox of a hill climber that recombines the improvements of a generation.

    It starts with several lineages, the best of many random paintings. Every generation has `population`
    mutants of their best paintings so far. A lineage goes on with the best mutant, or, where that is better
    still, with the recombination of all improvements that concern different shapes. Now and then the worst lineage
    ends, until one is left: in the beginning luck decides much, and later on every evaluation counts.

    Parameters
    ----------
    primitive : Primitive
        What to paint with.
    count : int
        Shapes in a painting.
    fitness : FitnessFunction
        See `nsfw_experiments.evolution.fitness`.
    seed : int
        Decides all that is random.
    population : int
        Mutants in a generation. Few climb with fewer evaluations, many keep more workers busy.
    fine : bool
        Whether to make smaller changes, for a fitness such as `Psnr` that follows each of them.

    Returns
    -------
    PaintingToolbox

    Raises
    ------
    ValueError
        If `count` or `population` is no whole number of at least 1.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import NsfwLogit
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> toolbox = climbing_toolbox(Circles(), count=50, fitness=NsfwLogit())
    >>> toolbox.settings.population
    4
    """
    return make_toolbox(Settings("climb", primitive, count, population, seed, fine), fitness)


@renamed_arguments(kind="primitive")
def compact_toolbox(
    primitive: Primitive,
    count: int,
    fitness: FitnessFunction,
    seed: int = SEED,
    population: int = POPULATION["compact"],
) -> PaintingToolbox:
    """Make the toolbox of a hill climber with compact shapes that starts anew where it gets nowhere.

    It climbs as `climbing_toolbox` does. New shapes are compact (`Primitive.compact_shape`), and a painting begins with
    some that cover the canvas, which give it a ground (`Primitive.covering_shapes`): for triangles both make
    much of a difference, circles are compact already. A run whose fitness is not promising after `TRIED` evaluations,
    as the fitness function says, has chosen a bad beginning and starts anew; the hall of fame keeps the best.

    Parameters
    ----------
    primitive : Primitive
        What to paint with.
    count : int
        Shapes in a painting.
    fitness : FitnessFunction
        See `nsfw_experiments.evolution.fitness`. One without ``promising`` is never started anew.
    seed : int
        Decides all that is random.
    population : int
        Mutants in a generation.

    Returns
    -------
    PaintingToolbox

    Raises
    ------
    ValueError
        If `count` or `population` is no whole number of at least 1.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import NsfwLogit
    >>> from nsfw_experiments.evolution.primitives import Polygons
    >>> toolbox = compact_toolbox(Polygons(3), count=100, fitness=NsfwLogit())
    >>> toolbox.individual()[0]
    (0, 0, 256, 0, 0, 256, 124, 90, 58, 255)
    """
    return make_toolbox(Settings("compact", primitive, count, population, seed), fitness)


@renamed_arguments(kind="primitive")
def least_squares_toolbox(
    primitive: Primitive,
    count: int,
    fitness: FitnessFunction,
    seed: int = SEED,
    population: int = POPULATION["least-squares"],
) -> PaintingToolbox:
    """Make the toolbox of a hill climber towards a picture that makes use of knowing it.

    The colours of each painting are those with the least squared error to the target, so that evolution only looks
    for places and alphas; and the first paintings, as some of the new shapes later on, are chosen for what is missing
    (`nsfw_experiments.evolution.pursuit`). What is tried there is compared with the target in blocks of pixels, and is
    no evaluation. Other fitness functions only tell how good a painting is, and not what would be better.

    Parameters
    ----------
    primitive : Primitive
        What to paint with.
    count : int
        Shapes in a painting.
    fitness : FitnessFunction
        One with a ``target``, a picture of the canvas's size, such as `Psnr`.
    seed : int
        Decides all that is random.
    population : int
        Mutants in a generation.

    Returns
    -------
    PaintingToolbox

    Raises
    ------
    ValueError
        If the fitness has no target, or `count` or `population` is no whole number of at least 1.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import Psnr
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> toolbox = least_squares_toolbox(Circles(), count=50, fitness=Psnr("img/coffee.jpg"))
    >>> population, _ = toolbox.start()
    >>> population[0].fitness.values[0] > 11
    True
    """
    return make_toolbox(Settings("least-squares", primitive, count, population, seed), fitness)


def _register_original(toolbox: PaintingToolbox) -> None:
    settings, primitive, rng = toolbox.settings, toolbox.primitive, toolbox.rng
    toolbox.register("shape", random_shape, rng, primitive.small_ranges)
    painting = partial(Painting, primitive=primitive)
    toolbox.register("individual", tools.initRepeat, painting, toolbox.shape, settings.count)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", reset_or_swap_mutation, rng=rng, ranges=primitive.ranges)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("start", random_population, toolbox, size=settings.population)
    toolbox.register("generation", select_cross_and_mutate, toolbox, cxpb=0.5, mutpb=0.1, tries=10)


def _register_climb(toolbox: PaintingToolbox) -> None:
    settings, primitive, rng = toolbox.settings, toolbox.primitive, toolbox.rng
    population = settings.population
    toolbox.register("individual", palette_painting, rng, primitive, settings.count)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    steps = FINE if settings.fine else {}
    toolbox.register("mutate", mixed_mutation, rng=rng, ranges=primitive.ranges, **steps)
    toolbox.register("select", tools.selTournament, tournsize=2)
    toolbox.register("start", best_of_random, toolbox, size=32 * population, lineages=2 * population)
    toolbox.register("generation", climb, toolbox, children=population, extinction=min(0.02 * population, 1))


def _register_compact(toolbox: PaintingToolbox) -> None:
    primitive, rng = toolbox.primitive, toolbox.rng
    _register_climb(toolbox)
    toolbox.register("individual", covered_painting, rng, primitive, toolbox.settings.count)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("mutate", mixed_mutation, rng=rng, ranges=primitive.ranges, new_shape=primitive.compact_shape)
    toolbox.register("climb", toolbox.generation)
    promising = getattr(toolbox.fitness, "promising", -inf)
    toolbox.register("generation", climb_or_start_anew, toolbox, tried=TRIED, promising=promising)


def _register_least_squares(toolbox: PaintingToolbox) -> None:
    settings, primitive, rng = toolbox.settings, toolbox.primitive, toolbox.rng
    target = getattr(toolbox.fitness, "target", None)
    if target is None:
        raise ValueError(
            f"strategy: got 'least-squares' for {settings.fitness}, expected a fitness with a target picture"
        )
    pursuit = Pursuit(primitive, target)
    _register_climb(toolbox)
    toolbox.register("individual", pursued_painting, rng, primitive, settings.count, pursuit)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("mutate", pursuit_mutation, rng=rng, ranges=primitive.ranges, pursuit=pursuit)
    toolbox.register("start", best_of_random, toolbox, size=6 * settings.population, lineages=settings.population)


#: What fills the toolbox, by the strategy's name. A new strategy has a line here and in `settings`.
STRATEGIES: dict[str, Callable[[PaintingToolbox], None]] = {
    "climb": _register_climb,
    "compact": _register_compact,
    "least-squares": _register_least_squares,
    "original": _register_original,
}


def batches(paintings: Sequence[Painting], size: int) -> Iterator[Sequence[Painting]]:
    """Cut a list into lists of `size`, the last maybe shorter: the pieces that `toolbox.map` hands out.

    Parameters
    ----------
    paintings : sequence of Painting
    size : int

    Yields
    ------
    sequence of Painting

    Examples
    --------
    >>> list(batches([1, 2, 3, 4, 5], size=2))
    [[1, 2], [3, 4], [5]]
    """
    for start in range(0, len(paintings), size):
        yield paintings[start : start + size]


@renamed_arguments(kind="primitive")
def evaluate(
    paintings: Sequence[Sequence[Shape]], primitive: Primitive, fitness: FitnessFunction
) -> list[tuple[float]]:
    """Draw a batch of paintings and give their fitness.

    Parameters
    ----------
    paintings : sequence of paintings
    primitive : Primitive
    fitness : FitnessFunction

    Returns
    -------
    list of (float,)
        Fitness values as DEAP wants them.

    Raises
    ------
    ValueError
        If `fitness` gives a value that is no finite number, or not one for each picture.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> evaluate([[], [(16, 12, 24, 255, 0, 0, 255)]], Circles((32, 24)), redness)
    [(0.0,), (255.0,)]
    """
    values = [float(value) for value in fitness(render_all(paintings, primitive))]
    if len(values) != len(paintings) or not all(map(isfinite, values)):
        raise ValueError(f"fitness: got {values}, expected {len(paintings)} finite numbers")
    return [(value,) for value in values]


def evaluate_invalid(paintings: Sequence[Painting], toolbox: PaintingToolbox) -> int:
    """Evaluate all paintings whose fitness is not valid, as DEAP says of one that is not known.

    Parameters
    ----------
    paintings : sequence of Painting
        They are given their fitness.
    toolbox : PaintingToolbox

    Returns
    -------
    int
        How many there were.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = climbing_toolbox(Circles((32, 24)), 5, redness)
    >>> paintings = toolbox.population(n=3)
    >>> evaluate_invalid(paintings, toolbox), evaluate_invalid(paintings, toolbox)
    (3, 0)
    """
    invalid = [painting for painting in paintings if not painting.fitness.valid]
    values = toolbox.map(toolbox.evaluate, list(toolbox.batches(invalid)))
    for painting, value in zip(invalid, chain.from_iterable(values)):
        painting.fitness.values = value
        toolbox.evaluated(painting)
    return len(invalid)


def ignore(painting: Painting) -> None:
    """Do nothing with a painting that was evaluated; who wants to see each registers something else.

    Parameters
    ----------
    painting : Painting

    Examples
    --------
    >>> ignore(Painting())
    """


def random_population(toolbox: PaintingToolbox, size: int) -> tuple[list[Painting], int]:
    """Start with random paintings.

    Parameters
    ----------
    toolbox : PaintingToolbox
    size : int
        How many.

    Returns
    -------
    population : list of Painting
    evaluations : int
        Paintings that were drawn and evaluated.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = climbing_toolbox(Circles((32, 24)), 5, redness)
    >>> population, evaluations = random_population(toolbox, size=20)
    >>> len(population), evaluations
    (20, 20)
    """
    population = toolbox.population(n=size)
    return population, evaluate_invalid(population, toolbox)


def select_cross_and_mutate(
    toolbox: PaintingToolbox, population: list[Painting], cxpb: float, mutpb: float, tries: int
) -> tuple[list[Painting], int]:
    """Make one generation of ``eaSimple``; paintings that mutate try their changes side by side, in batches.

    Parameters
    ----------
    toolbox : PaintingToolbox
    population : list of Painting
    cxpb, mutpb : float
        Probabilities that two neighbours are crossed, and that a painting mutates.
    tries : int
        Changes that a mutation tries at most.

    Returns
    -------
    population : list of Painting
    evaluations : int

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = original_toolbox(Circles((32, 24)), 5, redness)
    >>> population, _ = toolbox.start()
    >>> population, evaluations = select_cross_and_mutate(toolbox, population, cxpb=0.5, mutpb=0.1, tries=10)
    >>> len(population)
    50
    """
    with deap_draws_from(toolbox.rng):
        offspring = algorithms.varAnd(toolbox.select(population, len(population)), toolbox, cxpb, mutpb=0)
    mutants = [painting for painting in offspring if toolbox.rng.random() < mutpb]
    evaluations = keep_first_improvements(mutants, toolbox, tries)
    return offspring, evaluations + evaluate_invalid(offspring, toolbox)


def keep_first_improvements(paintings: Sequence[Painting], toolbox: PaintingToolbox, tries: int) -> int:
    """Change each painting in place to the first of up to `tries` mutants that is better, if one is.

    After a crossover a painting has no fitness, and then, as in the original, the first mutant is kept.

    Parameters
    ----------
    paintings : sequence of Painting
    toolbox : PaintingToolbox
    tries : int

    Returns
    -------
    int
        Paintings that were drawn and evaluated.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = original_toolbox(Circles((32, 24)), 5, redness)
    >>> population, _ = toolbox.start()
    >>> 1 <= keep_first_improvements(population[:1], toolbox, tries=10) <= 10
    True
    """
    evaluations = 0
    for _ in range(tries):
        mutants = [mutant_of(painting, toolbox) for painting in paintings]
        evaluations += evaluate_invalid(mutants, toolbox)
        unchanged = []
        for painting, mutant in zip(paintings, mutants):
            if mutant.fitness > painting.fitness:
                painting[:] = mutant
                painting.fitness.wvalues = mutant.fitness.wvalues
            else:
                unchanged.append(painting)
        paintings = unchanged
    return evaluations


def mutant_of(painting: Painting, toolbox: PaintingToolbox) -> Painting:
    """Give a mutated copy, its fitness not valid.

    Parameters
    ----------
    painting : Painting
    toolbox : PaintingToolbox

    Returns
    -------
    Painting

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = climbing_toolbox(Circles((32, 24)), 5, redness)
    >>> mutant_of(toolbox.individual(), toolbox).fitness.valid
    False
    """
    with deap_draws_from(toolbox.rng):
        (mutant,) = toolbox.mutate(toolbox.clone(painting))
    del mutant.fitness.values
    return mutant


def best_of_random(toolbox: PaintingToolbox, size: int, lineages: int) -> tuple[list[Painting], int]:
    """Start with the best few of many random paintings.

    Parameters
    ----------
    toolbox : PaintingToolbox
    size : int
        Random paintings.
    lineages : int
        How many of them to keep.

    Returns
    -------
    population : list of Painting
    evaluations : int
        Paintings that were drawn and evaluated.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = climbing_toolbox(Circles((32, 24)), 5, redness)
    >>> population, evaluations = best_of_random(toolbox, size=20, lineages=4)
    >>> len(population), evaluations
    (4, 20)
    """
    population, evaluations = random_population(toolbox, size)
    return tools.selBest(population, lineages), evaluations


def climb(
    toolbox: PaintingToolbox, population: list[Painting], children: int, extinction: float
) -> tuple[list[Painting], int]:
    """Make one generation of the hill climber.

    Parameters
    ----------
    toolbox : PaintingToolbox
    population : list of Painting
        The best painting of each lineage.
    children : int
        Mutants to evaluate; better parents, by tournament, have more of them.
    extinction : float
        Probability that the worst lineage ends, as long as there is another.

    Returns
    -------
    population : list of Painting
        No lineage is worse than before.
    evaluations : int
        Paintings that were drawn and evaluated.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = climbing_toolbox(Circles((32, 24)), 5, redness)
    >>> population, evaluations = toolbox.start()
    >>> best = max(painting.fitness for painting in population)
    >>> population, evaluations = climb(toolbox, population, children=4, extinction=0.0)
    >>> max(painting.fitness for painting in population) >= best
    True
    """
    with deap_draws_from(toolbox.rng):
        parents = toolbox.select(population, children)
    offspring = [(parent, mutant_of(parent, toolbox)) for parent in parents]
    evaluations = evaluate_invalid([child for _, child in offspring], toolbox)
    families = [[child for parent, child in offspring if parent is ancestor] for ancestor in population]
    recombinations = []
    for ancestor, family in zip(population, families):
        better = [child for child in family if child.fitness > ancestor.fitness]
        recombination = recombine(ancestor, tools.selBest(better, len(better)))
        if recombination not in [ancestor, *better]:
            recombinations.append(recombination)
            family.append(recombination)
    evaluations += evaluate_invalid(recombinations, toolbox)
    # The ancestor comes last: a child that is as good replaces it, and so the search can drift.
    survivors = [
        max([*family, ancestor], key=lambda painting: painting.fitness)
        for ancestor, family in zip(population, families)
    ]
    if len(survivors) > 1 and toolbox.rng.random() < extinction:
        survivors.remove(tools.selWorst(survivors, 1)[0])
    return survivors, evaluations


def climb_or_start_anew(
    toolbox: PaintingToolbox, population: list[Painting], tried: int, promising: float
) -> tuple[list[Painting], int]:
    """Make one generation with ``toolbox.climb``, or start anew, if so many evaluations have led nowhere.

    Parameters
    ----------
    toolbox : PaintingToolbox
        Its memory has the evaluations since the last start, once they were looked at.
    population : list of Painting
    tried : int
        After so many evaluations of generations the fitness is looked at, once for each start.
    promising : float
        Fitness that the best painting should have then.

    Returns
    -------
    population : list of Painting
    evaluations : int

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import PerPicture
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> toolbox = compact_toolbox(Circles((32, 24)), 5, redness)
    >>> population, _ = toolbox.start()
    >>> population, _ = climb_or_start_anew(toolbox, population, tried=10, promising=256)
    >>> toolbox.memory["tried"] < 10
    True
    """
    population, evaluations = toolbox.climb(population)
    before = toolbox.memory.get("tried", 0)
    toolbox.memory["tried"] = before + evaluations
    best = max(painting.fitness.values[0] for painting in population)
    if best >= promising or not before < tried <= toolbox.memory["tried"]:
        return population, evaluations
    toolbox.memory["tried"] = 0
    population, again = toolbox.start()
    return population, evaluations + again


def recombine(parent: Painting, children: Sequence[Painting]) -> Painting:
    """Give the parent with its children's changes, except those to shapes that an earlier child changed.

    Parameters
    ----------
    parent : Painting
    children : sequence of Painting
        Mutants of `parent`, the best first.

    Returns
    -------
    Painting
        Without a fitness.

    Examples
    --------
    >>> recombine(Painting("abcde"), [Painting("abXde"), Painting("Ybcde"), Painting("abZdZ")])
    ['Y', 'b', 'X', 'd', 'e']
    """
    recombination = Painting(parent, parent.primitive)
    changed: set[int] = set()
    for child in children:
        changes = {index for index, shape in enumerate(child) if shape != parent[index]}
        if not changes & changed:
            changed |= changes
            for index in changes:
                recombination[index] = child[index]
    return recombination
