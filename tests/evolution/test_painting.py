"""Paintings: drawn as if each shape were pasted through a mask of its own, and shown alike as SVG."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nsfw_experiments.evolution.painting import Circles, Polygons, kind_named, render, render_all, to_svg

SIZE = (40, 30)
CIRCLES, TRIANGLES, PENTAGONS = Circles(SIZE), Polygons(3, SIZE), Polygons(5, SIZE)


def shapes_of(kind):
    return st.tuples(*(st.integers(low, high) for low, high in kind.ranges))


def paintings_of(kind):
    return st.lists(shapes_of(kind), max_size=12)


def pasted(painting, kind):
    """The original's way: an RGBA mask for every shape, pasted through itself."""
    picture = Image.new("RGB", kind.size, kind.background)
    for *geometry, red, green, blue, alpha in painting:
        mask = Image.new("RGBA", kind.size)
        colour = (red, green, blue, alpha)
        if kind.name == "circles":
            x, y, radius = geometry
            box = (x - radius, y - radius, x + radius, y + radius)
            ImageDraw.Draw(mask).ellipse(box, fill=colour, outline=colour)
        else:
            ImageDraw.Draw(mask).polygon(geometry, fill=colour)
        picture.paste(mask, mask=mask)
    return picture


def assert_same(picture, expected):
    assert picture.mode == expected.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))


@pytest.mark.parametrize("kind", [CIRCLES, TRIANGLES, PENTAGONS], ids=["circles", "triangles", "pentagons"])
def test_every_pixel_is_as_if_masks_were_pasted(kind):
    @settings(max_examples=150)
    @given(paintings_of(kind))
    def law(painting):
        assert_same(render(painting, kind), pasted(painting, kind))

    law()


@pytest.mark.parametrize(
    "kind, shape",
    [
        (TRIANGLES, (1, 6, 13, 6, 0, 6, 10, 100, 200, 120)),  # all corners in one row
        (TRIANGLES, (5, 5, 5, 5, 5, 5, 10, 100, 200, 120)),
        (PENTAGONS, (2, 5, 4, 5, 2, 0, 2, 5, 1, 5, 10, 100, 200, 120)),  # sides that cover one another
        (Polygons(8, SIZE), (0, 11, 18, 13, 15, 4, 13, 6, 4, 6, 5, 6, 2, 20, 13, 0, 3, 184, 19, 136)),
    ],
)
def test_no_pixel_of_a_degenerate_polygon_is_blended_twice(kind, shape):
    assert_same(render([shape], kind), pasted([shape], kind))


@settings(max_examples=100)
@given(paintings_of(CIRCLES), st.lists(st.tuples(st.integers(0, 12), paintings_of(CIRCLES)), max_size=5))
def test_paintings_that_share_their_lowest_shapes_are_drawn_together_as_they_are_alone(trunk, branches):
    paintings = [trunk] + [trunk[:shared] + rest for shared, rest in branches]
    for picture, painting in zip(render_all(paintings, CIRCLES), paintings):
        assert_same(picture, render(painting, CIRCLES))


def test_pictures_that_are_drawn_together_are_independent():
    shape = (20, 15, 5, 255, 0, 0, 255)
    first, second = render_all([[shape], [shape]], CIRCLES)
    first.paste((0, 0, 255), (0, 0, *SIZE))
    assert second.getpixel((20, 15)) == (255, 0, 0)


def test_circles_are_on_black_and_polygons_on_white():
    assert render([], CIRCLES).getcolors() == [(40 * 30, (0, 0, 0))]
    assert render([], PENTAGONS).getcolors() == [(40 * 30, (255, 255, 255))]


def test_a_later_shape_covers_an_earlier_one():
    red, blue = (20, 15, 5, 255, 0, 0, 255), (20, 15, 5, 0, 0, 255, 255)
    assert render([red, blue], CIRCLES).getpixel((20, 15)) == (0, 0, 255)


def test_a_circle_covers_its_radius_on_both_sides_of_its_centre():
    row = np.asarray(render([(20, 15, 5, 255, 255, 255, 255)], CIRCLES))[15, :, 0]
    assert np.flatnonzero(row).tolist() == list(range(15, 26))


def test_kinds_by_name():
    assert kind_named("circles") == Circles()
    assert kind_named("triangles", SIZE) == TRIANGLES
    assert kind_named("polygons", SIZE, 5) == PENTAGONS
    assert kind_named("polygons").corners == 4


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Circles((0, 10)), r"expected a canvas of 1x1 pixels or more, got 0x10"),
        (lambda: Polygons(3, (10, -1)), r"expected a canvas of 1x1 pixels or more, got 10x-1"),
        (lambda: Polygons(2), r"a polygon needs 3 corners or more, got 2"),
        (lambda: kind_named("squares"), r"expected one of circles, triangles, polygons, got 'squares'"),
        (lambda: kind_named("triangles", SIZE, 5), r"triangles cannot have 5 corners"),
    ],
)
def test_what_cannot_be_painted_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def browser(svg):
    """Draw an SVG document as its specification says, a pixel being covered if its centre is."""
    root = ElementTree.fromstring(svg)
    assert root.get("shape-rendering") == "crispEdges"
    width, height = int(root.get("width")), int(root.get("height"))
    y, x = np.mgrid[0:height, 0:width] + 0.5
    picture = np.zeros((height, width, 3))
    for element in root:
        if element.tag.endswith("rect"):
            covered = np.ones_like(x, dtype=bool)
        elif element.tag.endswith("circle"):
            cx, cy, radius = (float(element.get(name)) for name in ("cx", "cy", "r"))
            covered = (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
        else:
            polygon, sides = element
            outlines = [polygon.get("points"), *sides.get("d").strip("MZ").split("ZM")]
            covered = np.logical_or.reduce([is_inside(x, y, outline) for outline in outlines])
        colour = [int(element.get("fill")[i : i + 2], 16) for i in (1, 3, 5)]
        opacity = float(element.get("opacity", 1)) * covered[..., None]
        picture = (1 - opacity) * picture + opacity * np.array(colour)
    return picture


def is_inside(x, y, outline):
    """Whether points are inside a polygon, by the even-odd rule."""
    points = [tuple(map(float, pair.split(","))) for pair in outline.split()]
    inside = np.zeros_like(x, dtype=bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay or 1))
    return inside


@pytest.mark.parametrize("kind", [Circles((128, 96)), Polygons(3, (128, 96)), Polygons(5, (128, 96))])
def test_an_svg_shows_the_same_picture(kind):
    random = np.random.default_rng(0)
    painting = [tuple(int(random.integers(low, high + 1)) for low, high in kind.ranges) for _ in range(20)]
    difference = np.abs(browser(to_svg(painting, kind)) - np.asarray(render(painting, kind), dtype=float))
    assert np.median(difference) < 1
    assert np.mean(difference.max(axis=2) > 8) < 0.01  # a few pixels on borders


def test_the_sides_of_a_polygon_are_drawn_clockwise_so_that_none_erases_another():
    pentagon = (3, 4, 30, 9, 8, 29, 20, 2, 25, 28, 1, 2, 3, 4)
    path = ElementTree.fromstring(to_svg([pentagon], PENTAGONS))[1][1].get("d")
    for outline in path.strip("MZ").split("ZM"):
        points = [tuple(map(float, pair.split(","))) for pair in outline.split()]
        assert sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1])) > 0
