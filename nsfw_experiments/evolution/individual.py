"""DEAP's individual: a painting with a fitness, and the ways to make one."""

from __future__ import annotations

import random
from collections.abc import Iterable

from deap import base

from nsfw_experiments.display import figures, never_raises, png, reduced
from nsfw_experiments.evolution.painting import render
from nsfw_experiments.evolution.primitives import CHANNEL, COLOUR_GENES, Primitive, Ranges, Shape, clipped, random_shape
from nsfw_experiments.evolution.pursuit import Pursuit
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
    palette = _palette(rng, ranges)
    shapes = (coloured_like(random_shape(rng, ranges), rng.choice(palette), rng, ranges) for _ in range(count))
    return Painting(shapes, primitive)


def _palette(rng: random.Random, ranges: Ranges) -> list[Shape]:
    return [random_shape(rng, ranges)[-COLOUR_GENES:] for _ in range(rng.randint(1, 3))]


def pursued_painting(rng: random.Random, primitive: Primitive, count: int, pursuit: Pursuit) -> Painting:
    """Give a painting whose shapes were chosen one after the other for what was missing.

    Parameters
    ----------
    rng : random.Random
    primitive : Primitive
    count : int
        Shapes in the painting.
    pursuit : Pursuit
        Of the picture that is to be painted.

    Returns
    -------
    Painting
        Without a fitness.

    Examples
    --------
    >>> from PIL import Image
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> circles = Circles((64, 48))
    >>> len(pursued_painting(random.Random(0), circles, 5, Pursuit(circles, Image.new("RGB", (64, 48), "teal"))))
    5
    """
    return Painting(pursuit.painting(count, rng), primitive)


def covered_painting(rng: random.Random, primitive: Primitive, count: int) -> Painting:
    """Give a random painting of compact shapes in a palette, above others that cover the canvas, if such there are.

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
    >>> from nsfw_experiments.evolution.primitives import Polygons
    >>> painting = covered_painting(random.Random(0), Polygons(3), count=50)
    >>> len(painting), painting[0][:6], painting[1][:6]
    (50, (0, 0, 256, 0, 0, 256), (256, 256, 256, 0, 0, 256))
    """
    ranges = primitive.ranges
    palette = _palette(rng, ranges)
    brightness = rng.choice((1.0, rng.random()))
    shapes = primitive.covering_shapes([round(rng.randint(*CHANNEL) * brightness) for _ in range(COLOUR_GENES - 1)])
    while len(shapes) < count:
        shapes.append(coloured_like(primitive.compact_shape(rng), rng.choice(palette), rng, ranges))
    return Painting(shapes[:count], primitive)


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
