"""A painting: a list of shapes in the order in which they are painted, drawn in pixels or written as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from nsfw_experiments.evolution.primitives import Primitive, Shape, hexadecimal
from theano_compat.deprecation import renamed_arguments
from theano_compat.deprecation import deprecated_names

_PRIMITIVES = "nsfw_experiments.evolution.primitives"

__getattr__ = deprecated_names(
    __name__,
    {
        **{name: f"{_PRIMITIVES}:{name}" for name in ("Circles", "Polygons", "Ranges", "COLOUR_GENES", "CHANNEL")},
        "Kind": f"{_PRIMITIVES}:Primitive",
        "kind_named": f"{_PRIMITIVES}:primitive_named",
    },
)


@renamed_arguments(kind="primitive")
def render(painting: Sequence[Shape], primitive: Primitive) -> Image.Image:
    """Draw a painting.

    The picture is, pixel for pixel, the one that comes of pasting an RGBA mask for each shape in turn.

    Parameters
    ----------
    painting : sequence of tuple of int
        Shapes, the lowest first.
    primitive : Primitive
        What the shapes are, and the size of the canvas.

    Returns
    -------
    PIL.Image.Image
        A picture of mode RGB.

    Examples
    --------
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> render([(32, 32, 10, 255, 0, 0, 128)], Circles((64, 64))).getpixel((32, 32))
    (128, 0, 0)
    """
    return render_all([painting], primitive)[0]


@renamed_arguments(kind="primitive")
def render_all(paintings: Sequence[Sequence[Shape]], primitive: Primitive) -> list[Image.Image]:
    """Draw many paintings, with what several of them have lowest painted only once.

    The children of one parent differ from a random shape upwards, so this halves the work on them.

    Parameters
    ----------
    paintings : sequence of paintings
        See `render`.
    primitive : Primitive

    Returns
    -------
    list of PIL.Image.Image
        Pictures of mode RGB, in the order of `paintings`.

    Examples
    --------
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> shape = (32, 32, 10, 255, 0, 0, 128)
    >>> [picture.getpixel((32, 32)) for picture in render_all([[], [shape]], Circles((64, 64)))]
    [(0, 0, 0), (128, 0, 0)]
    """
    pictures: dict[int, Image.Image] = {}

    def draw(members: list[int], depth: int, canvas: Image.Image) -> None:
        """Go on with paintings that are equal up to a depth, which is on the canvas."""
        pen = ImageDraw.Draw(canvas, "RGBA")
        while True:
            fork = _first_difference([paintings[member] for member in members], depth)
            for shape in paintings[members[0]][depth:fork]:
                primitive.paint(canvas, pen, shape)
            branches: dict[tuple[Shape, ...], list[int]] = {}  # by the next shape, if there is one
            for member in members:
                branches.setdefault(tuple(paintings[member][fork : fork + 1]), []).append(member)
            *others, largest = sorted(branches.values(), key=len)
            if not others:
                break
            for branch in others:
                draw(branch, fork, canvas.copy())
            # The largest without recursion: this so is no deeper than log2(len(paintings)).
            members, depth = largest, fork
        for member in members:
            pictures[member] = canvas if member == members[0] else canvas.copy()

    if paintings:
        draw(list(range(len(paintings))), 0, Image.new("RGB", primitive.size, primitive.background))
    return [pictures[member] for member in range(len(paintings))]


def _first_difference(paintings: Sequence[Sequence[Shape]], depth: int) -> int:
    """Give the number of shapes that all begin with, at least `depth`."""
    first, *others = paintings
    shortest = min(map(len, paintings))
    while depth < shortest and all(painting[depth] == first[depth] for painting in others):
        depth += 1
    return depth


@renamed_arguments(kind="primitive")
def to_svg(painting: Sequence[Shape], primitive: Primitive) -> str:
    """Write a painting as an SVG document that a browser shows as `render` draws it.

    Parameters
    ----------
    painting : sequence of tuple of int
        Shapes, the lowest first.
    primitive : Primitive

    Returns
    -------
    str
        An SVG 1.1 document of the canvas's size.

    Examples
    --------
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> print(to_svg([(5, 5, 2, 255, 0, 0, 255)], Circles((10, 10))))
    <svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" viewBox="0 0 10 10"
    shape-rendering="crispEdges">
    <rect width="10" height="10" fill="#000000"/>
    <circle cx="5.5" cy="5.5" r="2.5" fill="#ff0000" opacity="1.0000"/>
    </svg>
    """
    width, height = primitive.size
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}"',
        # Pillow does not smooth borders either
        'shape-rendering="crispEdges">',
        f'<rect {size} fill="{hexadecimal(primitive.background)}"/>',
        *map(primitive.svg_shape, painting),
        "</svg>",
    ]
    return "\n".join(lines)
