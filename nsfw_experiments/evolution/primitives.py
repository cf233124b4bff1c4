"""The shapes that paintings are made of, in computer graphics called primitives.

A shape is a flat tuple of integers, geometry first and colour (red, green, blue, alpha, each 0..255) last:

* a circle is ``(x, y, radius, red, green, blue, alpha)``, painted on black;
* an ellipse is ``(x, y, half width, half height, red, green, blue, alpha)``, painted on black;
* a rectangle is ``(x, y, half width, half height, red, green, blue, alpha)``, painted on white;
* a polygon of n corners is ``(x1, y1, ..., xn, yn, red, green, blue, alpha)``, painted on white.

Coordinates are whole pixels; (0, 0) is the pixel at the top left. In this form every number is a gene with a
lowest and a highest value, paintings can share shapes without copying them, and a painting is plain JSON.
Ellipses and rectangles are upright: Pillow draws upright ones exactly, and a rotated rectangle is a polygon.

A new shape is a subclass of `Primitive` and a line in `PRIMITIVES`, all in this file.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from PIL import Image, ImageDraw

from nsfw_model.checks import check_whole

Shape = tuple[int, ...]
Ranges = tuple[tuple[int, int], ...]

#: Red, green, blue and alpha: the last genes of every shape.
COLOUR_GENES = 4
CHANNEL = (0, 255)
#: Width and height of a canvas in pixels, unless others are asked for.
CANVAS = (256, 256)
#: Of a canvas, in pixels.
LARGEST_CANVAS = 1 << 24
#: Of a polygon.
LARGEST_CORNERS = 10_000
#: Of a compact polygon: the least and the largest radius, in parts of the canvas's shorter side; the standard
#: deviations of a corner's angle, in radians over the number of corners, and of its radius's logarithm.
COMPACT_RADII, ANGLE_DEVIATION, RADIUS_DEVIATION = (1 / 32, 0.35), 1.0, 0.25


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


class Primitive(ABC):
    """One kind of shape on a canvas: its genes, and how it is drawn, in pixels and as SVG.

    Subclasses are frozen dataclasses: two that are equal draw alike, and a process pool can pickle them.

    Attributes
    ----------
    name : str
        Its name in `PRIMITIVES`, in a checkpoint and on the command line.
    size : (int, int)
        Width and height of the canvas in pixels.
    corners : int or None
        Number of corners, where that can be chosen.
    background : (int, int, int)
        Red, green and blue of the empty canvas, 0..255.
    default_count : int
        Shapes in a painting, unless another number is asked for.
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.
    small_ranges : tuple of (int, int)
        Ranges of the shapes that the original's algorithm starts with.

    Examples
    --------
    >>> isinstance(Circles(), Primitive)
    True
    """

    size: tuple[int, int]
    corners: int | None = None
    background: tuple[int, int, int]
    default_count: int = 100

    def __post_init__(self) -> None:
        whole = all(type(side) is int for side in self.size)
        if len(self.size) != 2 or not whole or min(self.size) < 1 or self.size[0] * self.size[1] > LARGEST_CANVAS:
            raise ValueError(
                f"size: got {'x'.join(map(str, self.size)):.100}, expected a canvas of 1x1 pixels or more, "
                f"{LARGEST_CANVAS} at most"
            )

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def ranges(self) -> Ranges: ...

    @property
    @abstractmethod
    def small_ranges(self) -> Ranges: ...

    def compact_shape(self, rng: random.Random) -> Shape:
        """Draw a shape at random that is about as wide as it is high, and at least half opaque.

        Parameters
        ----------
        rng : random.Random

        Returns
        -------
        tuple of int
        """
        return random_shape(rng, self.ranges)

    def centred(self, shape: Shape, x: int, y: int) -> Shape:
        """Give a shape with its centre elsewhere.

        Parameters
        ----------
        shape : tuple of int
        x, y : int
            The new centre, on the canvas.

        Returns
        -------
        tuple of int
            Within the ranges.
        """
        return clipped((x, y, *shape[2:]), self.ranges)

    def covering_shapes(self, colour: Sequence[int]) -> list[Shape]:
        """Give shapes that cover the canvas with a colour.

        Parameters
        ----------
        colour : sequence of int
            Red, green and blue, 0..255.

        Returns
        -------
        list of tuple of int
            Empty where no few shapes do.
        """
        return []

    @abstractmethod
    def paint(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, shape: Shape) -> None:
        """Blend one shape into the canvas, every pixel once.

        Parameters
        ----------
        canvas : PIL.Image.Image
            Mode RGB, of this primitive's size.
        pen : PIL.ImageDraw.ImageDraw
            Of the canvas, mode RGBA: what it draws is blended by alpha.
        shape : tuple of int
        """

    @abstractmethod
    def svg_shape(self, shape: Shape) -> str:
        """Write one shape as an SVG element that covers the same pixels.

        Parameters
        ----------
        shape : tuple of int

        Returns
        -------
        str
        """


@dataclass(frozen=True)
class Circles(Primitive):
    """Circles on black, at least half opaque.

    Parameters
    ----------
    size : (int, int)
        Width and height of the canvas in pixels.

    Attributes
    ----------
    ranges : tuple of (int, int)
        Lowest and highest value of each gene. The largest radius is a quarter of the shorter side.
    small_ranges : tuple of (int, int)
        The same with radii up to a sixteenth of the shorter side.

    Examples
    --------
    >>> Circles((64, 64)).ranges
    ((0, 63), (0, 63), (1, 16), (0, 255), (0, 255), (0, 255), (128, 255))
    """

    size: tuple[int, int] = CANVAS

    name = "circles"
    background = (0, 0, 0)
    default_count = 50

    @cached_property
    def ranges(self) -> Ranges:
        width, height = self.size
        return ((0, width - 1), (0, height - 1), (1, self._radius(4)), CHANNEL, CHANNEL, CHANNEL, (128, 255))

    @cached_property
    def small_ranges(self) -> Ranges:
        return (*self.ranges[:2], (1, self._radius(16)), *self.ranges[3:])

    def _radius(self, fraction: int) -> int:
        return max(1, min(self.size) // fraction)

    def paint(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, shape: Shape) -> None:
        # The box includes the pixels at both ends.
        x, y, radius = shape[:-COLOUR_GENES]
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shape[-COLOUR_GENES:])

    def svg_shape(self, shape: Shape) -> str:
        # Pillow fills the pixels x - radius to x + radius, 2 * radius + 1; SVG measures from pixel corners.
        x, y, radius = shape[:-COLOUR_GENES]
        return f'<circle cx="{x + 0.5}" cy="{y + 0.5}" r="{radius + 0.5}" {_svg_colour(shape)}/>'


class _Upright(Primitive):
    """Shapes of two half axes, each up to a quarter of its side of the canvas."""

    @cached_property
    def ranges(self) -> Ranges:
        return self._ranges(4)

    @cached_property
    def small_ranges(self) -> Ranges:
        return self._ranges(16)

    def _ranges(self, fraction: int) -> Ranges:
        centre = tuple((0, side - 1) for side in self.size)
        halves = tuple((1, max(1, side // fraction)) for side in self.size)
        return (*centre, *halves, CHANNEL, CHANNEL, CHANNEL, (128, 255))


@dataclass(frozen=True)
class Ellipses(_Upright):
    """Upright ellipses on black, at least half opaque.

    Parameters
    ----------
    size : (int, int)
        Width and height of the canvas in pixels.

    Attributes
    ----------
    ranges : tuple of (int, int)
        Lowest and highest value of each gene. Half an axis is at most a quarter of its side of the canvas.
    small_ranges : tuple of (int, int)
        The same with half axes up to a sixteenth of the side.

    Examples
    --------
    >>> Ellipses((64, 32)).ranges[2:4]
    ((1, 16), (1, 8))
    """

    size: tuple[int, int] = CANVAS

    name = "ellipses"
    background = (0, 0, 0)

    def paint(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, shape: Shape) -> None:
        x, y, half_width, half_height = shape[:-COLOUR_GENES]
        box = (x - half_width, y - half_height, x + half_width, y + half_height)
        pen.ellipse(box, fill=shape[-COLOUR_GENES:])

    def svg_shape(self, shape: Shape) -> str:
        x, y, half_width, half_height = shape[:-COLOUR_GENES]
        axes = f'rx="{half_width + 0.5}" ry="{half_height + 0.5}"'
        return f'<ellipse cx="{x + 0.5}" cy="{y + 0.5}" {axes} {_svg_colour(shape)}/>'


@dataclass(frozen=True)
class Rectangles(_Upright):
    """Upright rectangles on white, at least half opaque.

    Parameters
    ----------
    size : (int, int)
        Width and height of the canvas in pixels.

    Attributes
    ----------
    ranges : tuple of (int, int)
        Lowest and highest value of each gene. Half a side is at most a quarter of the canvas's.
    small_ranges : tuple of (int, int)
        The same with half sides up to a sixteenth of the canvas's.

    Examples
    --------
    >>> Rectangles((64, 32)).small_ranges[2:4]
    ((1, 4), (1, 2))
    """

    size: tuple[int, int] = CANVAS

    name = "rectangles"
    background = (255, 255, 255)

    def paint(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, shape: Shape) -> None:
        x, y, half_width, half_height = shape[:-COLOUR_GENES]
        box = (x - half_width, y - half_height, x + half_width, y + half_height)
        pen.rectangle(box, fill=shape[-COLOUR_GENES:])

    def svg_shape(self, shape: Shape) -> str:
        x, y, half_width, half_height = shape[:-COLOUR_GENES]
        sides = f'width="{2 * half_width + 1}" height="{2 * half_height + 1}"'
        return f'<rect x="{x - half_width}" y="{y - half_height}" {sides} {_svg_colour(shape)}/>'


@dataclass(frozen=True)
class Polygons(Primitive):
    """Polygons on white; triangles are polygons of three corners.

    Parameters
    ----------
    corners : int
        Number of corners, from 3 to `LARGEST_CORNERS`. Sides may cross.
    size : (int, int)
        Width and height of the canvas in pixels.

    Attributes
    ----------
    ranges : tuple of (int, int)
        Lowest and highest value of each gene.
    small_ranges : tuple of (int, int)
        The same with shapes that are at most half opaque.

    Examples
    --------
    >>> Polygons(5).name, Polygons(3).name
    ('polygons', 'triangles')
    """

    corners: int = 3
    size: tuple[int, int] = CANVAS

    background = (255, 255, 255)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("corners", self.corners, least=3, most=LARGEST_CORNERS)

    @property
    def name(self) -> str:
        return "triangles" if self.corners == 3 else "polygons"

    @cached_property
    def ranges(self) -> Ranges:
        width, height = self.size
        return ((0, width), (0, height)) * self.corners + (CHANNEL,) * COLOUR_GENES

    @cached_property
    def small_ranges(self) -> Ranges:
        return (*self.ranges[:-1], (0, 128))

    def compact_shape(self, rng: random.Random) -> Shape:
        # A polygon of corners anywhere is large and pointed, and mixes with what is there; this is a regular one, more
        # or less.
        shortest = min(self.size)
        x, y, turn = *(rng.randint(0, side) for side in self.size), rng.uniform(0, 2 * math.pi)
        radius = math.exp(rng.uniform(*(math.log(shortest * part) for part in COMPACT_RADII)))
        points: list[int] = []
        for corner in range(self.corners):
            angle = turn + (2 * math.pi * corner + rng.gauss(0, ANGLE_DEVIATION)) / self.corners
            distance = radius * math.exp(rng.gauss(0, RADIUS_DEVIATION))
            points += [round(x + distance * math.cos(angle)), round(y + distance * math.sin(angle))]
        colour = [rng.randint(*CHANNEL) for _ in range(COLOUR_GENES - 1)]
        return clipped([*points, *colour, rng.randint(128, 255)], self.ranges)

    def centred(self, shape: Shape, x: int, y: int) -> Shape:
        corners = shape[:-COLOUR_GENES]
        shift = [round(place - sum(corners[axis::2]) / self.corners) for axis, place in enumerate((x, y))]
        moved = [corner + shift[number % 2] for number, corner in enumerate(corners)]
        return clipped([*moved, *shape[-COLOUR_GENES:]], self.ranges)

    def covering_shapes(self, colour: Sequence[int]) -> list[Shape]:
        width, height = self.size
        opaque = (*colour, 255)
        if self.corners == 3:
            return [(0, 0, width, 0, 0, height, *opaque), (width, height, width, 0, 0, height, *opaque)]
        return [(0, 0, width, 0, width, height, *(0, height) * (self.corners - 3), *opaque)]

    def paint(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, shape: Shape) -> None:
        points, colour = shape[:-COLOUR_GENES], shape[-COLOUR_GENES:]
        if self.corners == 3 and not points[1] == points[3] == points[5]:
            pen.polygon(points, fill=colour)
            return
        # Where sides cross, or lie in one row, Pillow visits pixels twice: the pen would blend them twice.
        box = _box(points, self.size)
        if box:
            mask = Image.new("L", self.size)
            ImageDraw.Draw(mask).polygon(points, fill=colour[3])
            canvas.paste(colour[:3], box, mask.crop(box))

    def svg_shape(self, shape: Shape) -> str:
        # Pillow's corners are centres of pixels, and rows of pixels begin and end half a pixel outside the sides.
        corners = [(x + 0.5, y + 0.5) for x, y in zip(shape[0:-COLOUR_GENES:2], shape[1:-COLOUR_GENES:2])]
        sides = "".join(f"M{_svg_points(_widened(*side))}Z" for side in zip(corners, corners[1:] + corners[:1]))
        inside = f'<polygon points="{_svg_points(corners)}" fill-rule="evenodd"/>'
        return f'<g {_svg_colour(shape)}>{inside}<path d="{sides}"/></g>'


#: Makers of the primitives by name; each takes the canvas's `size`.
PRIMITIVES: dict[str, Callable[..., Primitive]] = {
    "circles": Circles,
    "triangles": partial(Polygons, 3),
    "polygons": partial(Polygons, 4),
    "rectangles": Rectangles,
    "ellipses": Ellipses,
}


def primitive_named(name: str, size: tuple[int, int] = CANVAS, corners: int | None = None) -> Primitive:
    """Make the primitive of a name.

    Parameters
    ----------
    name : str
        A key of `PRIMITIVES`.
    size : (int, int)
        Width and height of the canvas in pixels.
    corners : int, optional
        Of polygons; 4 if left out.

    Returns
    -------
    Primitive

    Raises
    ------
    ValueError
        If there is no such primitive, or it cannot have so many corners.

    Examples
    --------
    >>> primitive_named("triangles")
    Polygons(corners=3, size=(256, 256))
    """
    if name not in PRIMITIVES:
        raise ValueError(f"shapes: got {name!r}, expected one of {', '.join(PRIMITIVES)}")
    if name == "polygons" and corners is not None:
        return Polygons(corners, size)
    primitive = PRIMITIVES[name](size=size)
    if corners not in (None, primitive.corners):
        raise ValueError(f"corners: got {corners}, expected {primitive.corners or 'none'} for {name}")
    return primitive


def hexadecimal(colour: Sequence[int]) -> str:
    """Write red, green and blue as in SVG.

    Parameters
    ----------
    colour : sequence of int
        Red, green and blue, 0..255.

    Returns
    -------
    str

    Examples
    --------
    >>> hexadecimal((255, 128, 0))
    '#ff8000'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _box(points: Shape, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Give the part of the canvas in which all points lie: left, top, right, bottom; None outside."""
    left, top = max(0, min(points[0::2])), max(0, min(points[1::2]))
    right, bottom = min(size[0], max(points[0::2]) + 1), min(size[1], max(points[1::2]) + 1)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _widened(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """Give the outline, clockwise, of a line half a pixel wide to the left and to the right, and a hair high."""
    (ax, ay), (bx, by) = sorted((start, end))
    wide, hair = 0.5, 0.02
    if ay <= by:
        return [
            (ax - wide, ay - hair), (ax + wide, ay - hair), (bx + wide, by - hair),
            (bx + wide, by + hair), (bx - wide, by + hair), (ax - wide, ay + hair),
        ]  # fmt: skip
    return [
        (ax - wide, ay - hair), (bx - wide, by - hair), (bx + wide, by - hair),
        (bx + wide, by + hair), (ax + wide, ay + hair), (ax - wide, ay + hair),
    ]  # fmt: skip


def _svg_points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _svg_colour(shape: Shape) -> str:
    # `opacity` acts on all parts of a shape together, `fill-opacity` would blend twice where they overlap.
    return f'fill="{hexadecimal(shape[-COLOUR_GENES:-1])}" opacity="{shape[-1] / 255:.4f}"'
