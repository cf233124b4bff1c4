"""DEAP mutations of paintings: the original's, of one gene, and a bolder one."""

from __future__ import annotations

import random
from collections.abc import Sequence

from nsfw_experiments.evolution.individual import Painting, clipped, coloured_like, random_shape
from nsfw_experiments.evolution.painting import COLOUR_GENES, Ranges, Shape


def change_one_gene(painting: Painting, rng: random.Random, ranges: Ranges) -> tuple[Painting]:
    """Mutate as the original does: swap two shapes, or draw one gene of one shape anew."""
    index = rng.randrange(len(painting))
    gene = rng.randrange(-1, len(ranges))
    if gene == -1:
        other = rng.randrange(len(painting))
        painting[index], painting[other] = painting[other], painting[index]
    else:
        shape = list(painting[index])
        shape[gene] = rng.randint(*ranges[gene])
        painting[index] = tuple(shape)
    return (painting,)


#: Settings of `change_some_shapes` for a fitness that follows every small change, such as likeness to a picture.
FINE = {"odds": (80, 10, 10, 2), "numbers": (1, 1, 2)}


def change_some_shapes(
    painting: Painting,
    rng: random.Random,
    ranges: Ranges,
    odds: Sequence[int] = (70, 20, 8, 2),
    numbers: Sequence[int] = (1, 1, 2, 3),
    steps: Sequence[float] = (0.03, 0.1, 0.3),
) -> tuple[Painting]:
    """Mutate boldly.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.
    odds : sequence of int
        How often to nudge some shapes, to replace some, to swap two, and to tinge many.
    numbers : sequence of int
        How many shapes are nudged: one of these.
    steps : sequence of float
        How far: one of these standard deviations, in parts of a gene's range.

    Returns
    -------
    (Painting,)
    """
    (change,) = rng.choices((nudge_some, replace_some, swap_two, tinge_many), odds)
    if change is nudge_some:
        change(painting, rng, ranges, numbers, steps)
    else:
        change(painting, rng, ranges)
    return (painting,)


def nudge_some(
    painting: Painting, rng: random.Random, ranges: Ranges, numbers: Sequence[int], steps: Sequence[float]
) -> None:
    """Move some shapes or change their colours, a little or a lot."""
    step = rng.choice(steps)
    geometry = range(len(ranges) - COLOUR_GENES)
    colour = range(len(ranges) - COLOUR_GENES, len(ranges))
    for index in some_indices(painting, rng, numbers):
        painting[index] = nudge(painting[index], rng.choice((geometry, colour)), step, rng, ranges)


def replace_some(painting: Painting, rng: random.Random, ranges: Ranges) -> None:
    """Put new shapes in the places of one to three, every other in the colour of a shape that is there."""
    for index in some_indices(painting, rng, (1, 1, 2, 3)):
        shape = random_shape(rng, ranges)
        if rng.random() < 0.5:
            shape = coloured_like(shape, rng.choice(painting), rng, ranges)
        painting[index] = shape


def swap_two(painting: Painting, rng: random.Random, ranges: Ranges) -> None:
    """Exchange the places of two shapes."""
    index, other = rng.randrange(len(painting)), rng.randrange(len(painting))
    painting[index], painting[other] = painting[other], painting[index]


def tinge_many(painting: Painting, rng: random.Random, ranges: Ranges) -> None:
    """Shift the colours, opacity included, of all shapes or of a third of them in one direction."""
    strength, share = rng.choice((8, 25, 50)), rng.choice((0.33, 1))
    shift = [0] * (len(ranges) - COLOUR_GENES) + [round(rng.gauss(0, strength)) for _ in range(COLOUR_GENES)]
    for index, shape in enumerate(painting):
        if rng.random() < share:
            painting[index] = clipped([gene + change for gene, change in zip(shape, shift)], ranges)


def some_indices(painting: Painting, rng: random.Random, numbers: Sequence[int]) -> list[int]:
    """Choose as many different places as one of `numbers` says."""
    return rng.sample(range(len(painting)), min(len(painting), rng.choice(numbers)))


def nudge(shape: Shape, genes: Sequence[int], step: float, rng: random.Random, ranges: Ranges) -> Shape:
    """Add Gaussian noise to some genes, with a standard deviation of `step` times the gene's range."""
    nudged = list(shape)
    for gene in genes:
        low, high = ranges[gene]
        nudged[gene] += round(rng.gauss(0, step * (high - low)))
    return clipped(nudged, ranges)
