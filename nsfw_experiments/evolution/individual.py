"""DEAP's individual: a painting with a fitness, and the ways to make one."""

from __future__ import annotations

import random
from collections.abc import Sequence

from deap import base

from nsfw_experiments.evolution.painting import COLOUR_GENES, Kind, Ranges, Shape


# DEAP's creator.create makes the same two classes, but where a new process does not find them.
class PaintingFitness(base.Fitness):
    """One number, the higher the better."""

    weights = (1.0,)


class Painting(list):
    """DEAP's individual: a list of shapes with a ``fitness``."""

    def __init__(self, shapes: Sequence[Shape] = ()):
        super().__init__(shapes)
        self.fitness = PaintingFitness()


def clone(painting: Painting) -> Painting:
    """Copy a painting and its fitness; the shapes, which never change, are shared."""
    copy = Painting(painting)
    copy.fitness.wvalues = painting.fitness.wvalues
    return copy


def random_shape(rng: random.Random, ranges: Ranges) -> Shape:
    """Draw every gene of a shape from its range."""
    return tuple(rng.randint(low, high) for low, high in ranges)


def palette_painting(rng: random.Random, kind: Kind, count: int) -> Painting:
    """Give a random painting in one to three colours and their neighbours.

    Colours that are all drawn at random mix to grey; palettes make random paintings that differ.
    """
    palette = [random_shape(rng, kind.ranges)[-COLOUR_GENES:] for _ in range(rng.randint(1, 3))]
    return Painting(
        coloured_like(random_shape(rng, kind.ranges), rng.choice(palette), rng, kind.ranges) for _ in range(count)
    )


def coloured_like(shape: Shape, model: Shape, rng: random.Random, ranges: Ranges) -> Shape:
    """Give `shape` about the red, green and blue of `model`; its alpha stays."""
    colour = [round(rng.gauss(channel, 28)) for channel in model[-COLOUR_GENES:-1]]
    return clipped([*shape[:-COLOUR_GENES], *colour, shape[-1]], ranges)


def clipped(genes: Sequence[int], ranges: Ranges) -> Shape:
    """Bring genes back into their ranges."""
    return tuple(min(high, max(low, gene)) for gene, (low, high) in zip(genes, ranges))
