"""Paintings made of translucent shapes: what they are, how they are drawn, how they become SVG.

A shape is a flat tuple of integers, geometry first and colour (red, green, blue, alpha, each 0..255) last; a
painting is a list of shapes in the order in which they are painted:

* a circle is ``(x, y, radius, red, green, blue, alpha)``, painted on black;
* a polygon of n corners is ``(x1, y1, ..., xn, yn, red, green, blue, alpha)``, painted on white.

Coordinates are whole pixels; (0, 0) is the pixel at the top left. In this form every number is a gene with a
lowest and a highest value, paintings can share shapes without copying them, and a painting is plain JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image, ImageDraw

Shape = tuple[int, ...]
Ranges = tuple[tuple[int, int], ...]

#: Red, green, blue and alpha: the last genes of every shape.
COLOUR_GENES = 4
CHANNEL = (0, 255)


@dataclass(frozen=True)
class Circles:
    """Circles on black.

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
    >>> render([(32, 32, 10, 255, 0, 0, 128)], Circles((64, 64))).getpixel((32, 32))
    (128, 0, 0)
    """

    size: tuple[int, int] = (256, 256)

    name = "circles"
    background = (0, 0, 0)

    def __post_init__(self) -> None:
        _check_size(self.size)

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
        """Draw one circle. Its box includes the pixels at both ends."""
        x, y, radius = shape[:-COLOUR_GENES]
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shape[-COLOUR_GENES:])

    def svg_shape(self, shape: Shape) -> str:
        """Write one circle as an SVG element."""
        # Pillow fills the pixels x - radius to x + radius, 2 * radius + 1; SVG measures from pixel corners.
        x, y, radius = shape[:-COLOUR_GENES]
        return f'<circle cx="{x + 0.5}" cy="{y + 0.5}" r="{radius + 0.5}" {_svg_colour(shape)}/>'


@dataclass(frozen=True)
class Polygons:
    """Polygons on white; triangles are polygons of three corners.

    Parameters
    ----------
    corners : int
        Number of corners, 3 or more. Sides may cross.
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
    >>> triangle = (0, 0, 60, 0, 0, 60, 255, 0, 0, 255)
    >>> render([triangle], Polygons(3, (64, 64))).getpixel((10, 10))
    (255, 0, 0)
    """

    corners: int = 3
    size: tuple[int, int] = (256, 256)

    background = (255, 255, 255)

    def __post_init__(self) -> None:
        _check_size(self.size)
        if self.corners < 3:
            raise ValueError(f"a polygon needs 3 corners or more, got {self.corners}")

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

    def paint(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, shape: Shape) -> None:
        """Draw one polygon, border included, every pixel once."""
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
        """Write one polygon as an SVG element."""
        # Pillow's corners are centres of pixels, and rows of pixels begin and end half a pixel outside the sides.
        corners = [(x + 0.5, y + 0.5) for x, y in zip(shape[0:-COLOUR_GENES:2], shape[1:-COLOUR_GENES:2])]
        sides = "".join(f"M{_svg_points(_widened(*side))}Z" for side in zip(corners, corners[1:] + corners[:1]))
        inside = f'<polygon points="{_svg_points(corners)}" fill-rule="evenodd"/>'
        return f'<g {_svg_colour(shape)}>{inside}<path d="{sides}"/></g>'


Kind = Circles | Polygons


def kind_named(name: str, size: tuple[int, int] = (256, 256), corners: int | None = None) -> Kind:
    """Give the kind of shape of a name.

    Parameters
    ----------
    name : {"circles", "triangles", "polygons"}
    size : (int, int)
        Width and height of the canvas in pixels.
    corners : int, optional
        Of polygons; 4 if left out.

    Raises
    ------
    ValueError
        If there is no such kind, or it cannot have so many corners.

    Examples
    --------
    >>> kind_named("triangles")
    Polygons(corners=3, size=(256, 256))
    """
    own_corners = {"circles": None, "triangles": 3, "polygons": corners or 4}
    if name not in own_corners:
        raise ValueError(f"expected one of {', '.join(own_corners)}, got {name!r}")
    if corners not in (None, own_corners[name]):
        raise ValueError(f"{name} cannot have {corners} corners")
    return Circles(size) if name == "circles" else Polygons(own_corners[name], size)


def render(painting: Sequence[Shape], kind: Kind) -> Image.Image:
    """Draw a painting.

    The picture is, pixel for pixel, the one that comes of pasting an RGBA mask for each shape in turn.

    Parameters
    ----------
    painting : sequence of shapes
        Shapes of `kind`, the lowest first.
    kind : Circles or Polygons
        What the shapes are, and the size of the canvas.

    Returns
    -------
    PIL.Image.Image
        A picture of mode RGB.

    Examples
    --------
    >>> render([], Circles()).size
    (256, 256)
    """
    return render_all([painting], kind)[0]


def render_all(paintings: Sequence[Sequence[Shape]], kind: Kind) -> list[Image.Image]:
    """Draw many paintings, with what several of them have lowest painted only once.

    The children of one parent differ from a random shape upwards, so this halves the work on them.

    Parameters
    ----------
    paintings : sequence of paintings
        See `render`.
    kind : Circles or Polygons

    Returns
    -------
    list of PIL.Image.Image
        Pictures of mode RGB, in the order of `paintings`.
    """
    pictures: list = [None] * len(paintings)
    blank = Image.new("RGB", kind.size, kind.background)
    groups = [(list(range(len(paintings))), 0, blank)]  # paintings that are equal up to a depth, painted so far
    while groups:
        members, depth, canvas = groups.pop()
        pen = ImageDraw.Draw(canvas, "RGBA")
        if len(members) == 1:
            for shape in paintings[members[0]][depth:]:
                kind.paint(canvas, pen, shape)
            pictures[members[0]] = canvas
            continue
        branches: dict = {}  # members by the shape that they go on with, or None
        for member in members:
            painting = paintings[member]
            branches.setdefault(painting[depth] if depth < len(painting) else None, []).append(member)
        for member in branches.pop(None, ()):
            pictures[member] = canvas.copy()
        while branches:
            shape, branch = branches.popitem()
            if branches:
                copy = canvas.copy()
                kind.paint(copy, ImageDraw.Draw(copy, "RGBA"), shape)
                groups.append((branch, depth + 1, copy))
            else:
                kind.paint(canvas, pen, shape)
                groups.append((branch, depth + 1, canvas))
    return pictures


def to_svg(painting: Sequence[Shape], kind: Kind) -> str:
    """Write a painting as an SVG document that a browser shows as `render` draws it.

    Parameters
    ----------
    painting, kind
        See `render`.

    Returns
    -------
    str
        An SVG 1.1 document of the canvas's size.

    Examples
    --------
    >>> print(to_svg([(5, 5, 2, 255, 0, 0, 255)], Circles((10, 10))))
    <svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" viewBox="0 0 10 10"
    shape-rendering="crispEdges">
    <rect width="10" height="10" fill="#000000"/>
    <circle cx="5.5" cy="5.5" r="2.5" fill="#ff0000" opacity="1.0000"/>
    </svg>
    """
    width, height = kind.size
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}"',
        # Pillow does not smooth borders either
        'shape-rendering="crispEdges">',
        f'<rect {size} fill="{_hexadecimal(kind.background)}"/>',
        *map(kind.svg_shape, painting),
        "</svg>",
    ]
    return "\n".join(lines)


def _check_size(size: Sequence[int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"expected a canvas of 1x1 pixels or more, got {'x'.join(map(str, size))}")


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
    return f'fill="{_hexadecimal(shape[-COLOUR_GENES:-1])}" opacity="{shape[-1] / 255:.4f}"'


def _hexadecimal(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
