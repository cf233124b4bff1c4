"""DEAP's individual: a painting with a fitness, and the ways to make one."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from deap import base

from nsfw_experiments.display import figures, never_raises, png, reduced
from nsfw_experiments.evolution.painting import render
from nsfw_experiments.evolution.primitives import COLOUR_GENES, Primitive, Ranges, Shape
from theano_compat.deprecation import renamed_arguments


# DEAP's creator.create makes the same two classes, but where a new process does not find them.
class PaintingFitness(base.Fitness):
    """One number, the higher the better.

    Examples
    --------
    >>> PaintingFitness((2.0,)) > PaintingFitness((1.0,))
    True
    """

    weights = (1.0,)


class Painting(list[Shape]):
    """DEAP's individual: a list of shapes with a ``fitness``.

    Parameters
    ----------
    shapes : iterable of tuple of int
    primitive : Primitive, optional
        What the shapes are. A notebook shows the picture of a painting that knows.

    Attributes
    ----------
    fitness : PaintingFitness
        Not valid until ``fitness.values``, a tuple of one number, is set.
    primitive : Primitive or None

    Examples
    --------
    >>> Painting([(1, 2, 3)]).fitness.valid
    False
    """

    def __init__(self, shapes: Iterable[Shape] = (), primitive: Primitive | None = None):
        super().__init__(shapes)
        self.fitness = PaintingFitness()
        self.primitive = primitive

    @never_raises
    def _repr_png_(self) -> bytes | None:
        return None if self.primitive is None else png([(reduced(render(self, self.primitive)), "")])

    @never_raises
    def _repr_html_(self) -> str | None:
        if self.primitive is None:
            return None
        fitness = f"fitness {self.fitness.values[0]:.6g}" if self.fitness.valid else "not evaluated yet"
        return figures([(reduced(render(self, self.primitive)), f"{len(self)} {self.primitive.name}, {fitness}")])


def clone(painting: Painting) -> Painting:
    """Copy a painting and its fitness; the shapes, which never change, are shared.

    Parameters
    ----------
    painting : Painting

    Returns
    -------
    Painting

    Examples
    --------
    >>> painting = Painting([(1, 2, 3)])
    >>> clone(painting) == painting and clone(painting) is not painting
    True
    """
    copy = Painting(painting, painting.primitive)
    copy.fitness.wvalues = painting.fitness.wvalues
    return copy


def random_shape(rng: random.Random, ranges: Ranges) -> Shape:
    """Draw every gene of a shape from its range.

    Parameters
    ----------
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> random_shape(random.Random(0), ((5, 5), (7, 7)))
    (5, 7)
    """
    return tuple(rng.randint(low, high) for low, high in ranges)


@renamed_arguments(kind="primitive")
def palette_painting(rng: random.Random, primitive: Primitive, count: int) -> Painting:
    """Give a random painting in one to three colours and their neighbours.

    Colours that are all drawn at random mix to grey; palettes make random paintings that differ.

    Parameters
    ----------
    rng : random.Random
    primitive : Primitive
    count : int
        Shapes in the painting.

    Returns
    -------
    Painting
        Without a fitness.

    Examples
    --------
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> len(palette_painting(random.Random(0), Circles(), count=50))
    50
    """
    ranges = primitive.ranges
    palette = [random_shape(rng, ranges)[-COLOUR_GENES:] for _ in range(rng.randint(1, 3))]
    shapes = (coloured_like(random_shape(rng, ranges), rng.choice(palette), rng, ranges) for _ in range(count))
    return Painting(shapes, primitive)


def coloured_like(shape: Shape, model: Shape, rng: random.Random, ranges: Ranges) -> Shape:
    """Give a shape about the red, green and blue of another; its alpha stays.

    Parameters
    ----------
    shape : tuple of int
    model : tuple of int
        Another shape, or its four genes of colour.
    rng : random.Random
    ranges : tuple of (int, int)

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> coloured_like((7, 0, 0, 0, 99), (200, 9, 9, 50), random.Random(0), ((0, 9), *((0, 255),) * 4))
    (7, 226, 0, 0, 99)
    """
    colour = [round(rng.gauss(channel, 28)) for channel in model[-COLOUR_GENES:-1]]
    return clipped([*shape[:-COLOUR_GENES], *colour, shape[-1]], ranges)


def clipped(genes: Sequence[int], ranges: Ranges) -> Shape:
    """Bring genes back into their ranges.

    Parameters
    ----------
    genes : sequence of int
    ranges : tuple of (int, int)

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> clipped([-3, 300], ((0, 10), (0, 255)))
    (0, 255)
    """
    return tuple(min(high, max(low, gene)) for gene, (low, high) in zip(genes, ranges))
