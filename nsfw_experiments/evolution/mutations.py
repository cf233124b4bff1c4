"""DEAP mutations of paintings: the original's, of one gene, and a bolder mixture of four operators.

Random resetting, swap mutation and Gaussian mutation are those of A. E. Eiben, J. E. Smith, "Introduction to
Evolutionary Computing", 2nd edition, Springer 2015, chapter 4.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nsfw_experiments.evolution.individual import Painting, clipped, coloured_like, random_shape
from nsfw_experiments.evolution.primitives import COLOUR_GENES, Ranges, Shape
from nsfw_experiments.evolution.pursuit import Pursuit
from theano_compat.deprecation import renamed_arguments
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(
    __name__,
    {
        old: f"{__name__}:{new}"
        for old, new in {
            "change_one_gene": "reset_or_swap_mutation",
            "change_some_shapes": "mixed_mutation",
            "nudge_some": "gaussian_mutation",
            "nudge": "add_gaussian_noise",
            "replace_some": "replacement_mutation",
            "swap_two": "swap_mutation",
            "tinge_many": "colour_shift",
            "some_indices": "sample_indices",
        }.items()
    },
)


def reset_or_swap_mutation(painting: Painting, rng: random.Random, ranges: Ranges) -> tuple[Painting]:
    """Mutate as the original does: swap two shapes, or reset one gene of one shape at random.

    The original is https://github.com/tjwei/play_nsfw.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.

    Returns
    -------
    (Painting,)

    Examples
    --------
    >>> painting = Painting([(1, 2, 3), (4, 5, 6)])
    >>> (mutant,) = reset_or_swap_mutation(painting, random.Random(0), ranges=((0, 9),) * 3)
    >>> mutant is painting
    True
    """
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


#: Parameters of `mixed_mutation` for a fitness that follows every small change, such as `Psnr`.
FINE: dict[str, Any] = {"weights": (80, 10, 10, 2), "numbers": (1, 1, 2)}


@renamed_arguments(odds="weights", steps="sigmas")
def mixed_mutation(
    painting: Painting,
    rng: random.Random,
    ranges: Ranges,
    weights: Sequence[int] = (70, 20, 8, 2),
    numbers: Sequence[int] = (1, 1, 2, 3),
    sigmas: Sequence[float] = (0.03, 0.1, 0.3),
    new_shape: Callable[[random.Random], Shape] | None = None,
) -> tuple[Painting]:
    """Mutate boldly, by one of four operators.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.
    weights : sequence of int
        How often to take `gaussian_mutation`, `replacement_mutation`, `swap_mutation` and `colour_shift`.
    numbers : sequence of int
        How many shapes `gaussian_mutation` changes: one of these.
    sigmas : sequence of float
        How far it moves them: one of these standard deviations, in parts of a gene's range.
    new_shape : callable, optional
        As for `replacement_mutation`.

    Returns
    -------
    (Painting,)

    Examples
    --------
    >>> painting = Painting([(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)])
    >>> (mutant,) = mixed_mutation(painting, random.Random(0), ranges=((0, 9),) * 5)
    >>> mutant is painting
    True
    """
    gaussian = partial(gaussian_mutation, numbers=numbers, sigmas=sigmas)
    replacement = partial(replacement_mutation, new_shape=new_shape)
    (mutate,) = rng.choices((gaussian, replacement, swap_mutation, colour_shift), weights)
    mutate(painting, rng, ranges)
    return (painting,)


@renamed_arguments(steps="sigmas")
def gaussian_mutation(
    painting: Painting, rng: random.Random, ranges: Ranges, numbers: Sequence[int], sigmas: Sequence[float]
) -> None:
    """Add Gaussian noise to the places or to the colours of some shapes.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.
    numbers : sequence of int
        How many shapes: one of these.
    sigmas : sequence of float
        How far: one of these standard deviations, in parts of a gene's range.

    Examples
    --------
    >>> painting = Painting([(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)])
    >>> gaussian_mutation(painting, random.Random(0), ((0, 9),) * 5, numbers=[1], sigmas=[0.3])
    >>> sum(old != new for old, new in zip(painting, [(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)]))
    1
    """
    sigma = rng.choice(sigmas)
    geometry = range(len(ranges) - COLOUR_GENES)
    colour = range(len(ranges) - COLOUR_GENES, len(ranges))
    for index in sample_indices(painting, rng, numbers):
        painting[index] = add_gaussian_noise(painting[index], rng.choice((geometry, colour)), sigma, rng, ranges)


def replacement_mutation(
    painting: Painting, rng: random.Random, ranges: Ranges, new_shape: Callable[[random.Random], Shape] | None = None
) -> None:
    """Reset one to three shapes at random, every other to about the colour of a shape that is there.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.
    new_shape : callable, optional
        Draws a shape; left out, every gene is drawn from its range.

    Examples
    --------
    >>> painting = Painting([(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)])
    >>> replacement_mutation(painting, random.Random(0), ranges=((20, 29),) * 5)
    >>> painting == [(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)]
    False
    """
    for index in sample_indices(painting, rng, (1, 1, 2, 3)):
        shape = new_shape(rng) if new_shape else random_shape(rng, ranges)
        if rng.random() < 0.5:
            shape = coloured_like(shape, rng.choice(painting), rng, ranges)
        painting[index] = shape


def swap_mutation(painting: Painting, rng: random.Random, ranges: Ranges) -> None:
    """Exchange the places of two shapes, which may be one and the same.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Not used; all operators take it.

    Examples
    --------
    >>> painting = Painting([(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)])
    >>> swap_mutation(painting, random.Random(0), ranges=((0, 9),) * 5)
    >>> sorted(painting)
    [(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)]
    """
    index, other = rng.randrange(len(painting)), rng.randrange(len(painting))
    painting[index], painting[other] = painting[other], painting[index]


def colour_shift(painting: Painting, rng: random.Random, ranges: Ranges) -> None:
    """Shift the colours, opacity included, of all shapes or of a third of them in one direction.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.

    Examples
    --------
    >>> painting = Painting([(1, 2, 3, 4, 5), (5, 6, 7, 8, 9)])
    >>> colour_shift(painting, random.Random(0), ranges=((0, 9),) * 5)
    >>> [shape[:-4] for shape in painting]
    [(1,), (5,)]
    """
    strength, share = rng.choice((8, 25, 50)), rng.choice((0.33, 1))
    shift = [0] * (len(ranges) - COLOUR_GENES) + [round(rng.gauss(0, strength)) for _ in range(COLOUR_GENES)]
    for index, shape in enumerate(painting):
        if rng.random() < share:
            painting[index] = clipped([gene + change for gene, change in zip(shape, shift)], ranges)


def pursuit_mutation(
    painting: Painting,
    rng: random.Random,
    ranges: Ranges,
    pursuit: Pursuit,
    weights: Sequence[int] = (60, 15, 8, 8, 9),
    numbers: Sequence[int] = (1, 1, 2),
    sigmas: Sequence[float] = (0.03, 0.1, 0.3),
) -> tuple[Painting]:
    """Replace a shape by what a painting lacks most, or change some shapes but for their colours; then fit these.

    Parameters
    ----------
    painting : Painting
        Changed in place.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.
    pursuit : Pursuit
        Of the picture that is to be painted.
    weights : sequence of int
        How often shapes are moved or resized, one is replaced by a chosen one on top, and others are replaced at
        random, brought to another depth, or given another alpha.
    numbers : sequence of int
        How many shapes are changed: one of these.
    sigmas : sequence of float
        How far they are moved: one of these standard deviations, in parts of a gene's range.

    Returns
    -------
    (Painting,)

    Examples
    --------
    >>> from PIL import Image
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> circles = Circles((64, 48))
    >>> pursuit = Pursuit(circles, Image.new("RGB", (64, 48), "teal"))
    >>> painting = Painting(pursuit.painting(5, random.Random(0)))
    >>> (mutant,) = pursuit_mutation(painting, random.Random(0), circles.ranges, pursuit)
    >>> mutant is painting
    True
    """
    (change,) = rng.choices((_moved, None, _replaced, _sunk_or_raised, _let_through), weights)
    if change is None:
        painting.pop(rng.randrange(len(painting)))
        painting.append(pursuit.new_shape(painting, rng))
    else:
        for index in sample_indices(painting, rng, numbers):
            change(painting, index, rng, ranges, rng.choice(sigmas))
    painting[:] = pursuit.best_colours(painting)
    return (painting,)


def _moved(painting: Painting, index: int, rng: random.Random, ranges: Ranges, sigma: float) -> None:
    """All of a shape's geometry, or two neighbouring genes of it: a centre, a corner, an extent."""
    geometry = range(len(ranges) - COLOUR_GENES)
    first = rng.randrange(0, len(geometry), 2)
    genes = rng.choice((geometry, geometry[first : first + 2]))
    painting[index] = add_gaussian_noise(painting[index], genes, sigma, rng, ranges)


def _replaced(painting: Painting, index: int, rng: random.Random, ranges: Ranges, sigma: float) -> None:
    painting[index] = random_shape(rng, ranges)


def _sunk_or_raised(painting: Painting, index: int, rng: random.Random, ranges: Ranges, sigma: float) -> None:
    painting.insert(rng.randrange(len(painting)), painting.pop(index))


def _let_through(painting: Painting, index: int, rng: random.Random, ranges: Ranges, sigma: float) -> None:
    painting[index] = (*painting[index][:-1], rng.randint(*ranges[-1]))


def sample_indices(painting: Painting, rng: random.Random, numbers: Sequence[int]) -> list[int]:
    """Choose as many different places as one of some numbers says.

    Parameters
    ----------
    painting : Painting
    rng : random.Random
    numbers : sequence of int
        One of them is drawn.

    Returns
    -------
    list of int
        All places, if the painting has not so many.

    Examples
    --------
    >>> sorted(sample_indices(Painting("abc"), random.Random(0), numbers=[5]))
    [0, 1, 2]
    """
    return rng.sample(range(len(painting)), min(len(painting), rng.choice(numbers)))


@renamed_arguments(step="sigma")
def add_gaussian_noise(shape: Shape, genes: Sequence[int], sigma: float, rng: random.Random, ranges: Ranges) -> Shape:
    """Add Gaussian noise to some genes of a shape.

    Parameters
    ----------
    shape : tuple of int
    genes : sequence of int
        Their indices.
    sigma : float
        Standard deviation, in parts of a gene's range.
    rng : random.Random
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> add_gaussian_noise((1, 2, 3), [0, 2], 0.0, random.Random(0), ranges=((0, 9),) * 3)
    (1, 2, 3)
    """
    noisy = list(shape)
    for gene in genes:
        low, high = ranges[gene]
        noisy[gene] += round(rng.gauss(0, sigma * (high - low)))
    return clipped(noisy, ranges)
