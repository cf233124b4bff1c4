"""Primitives: every shape is drawn as if pasted through a mask of its own, and shown alike as SVG."""

import pickle
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nsfw_experiments.evolution.painting import render, to_svg
from nsfw_experiments.evolution.primitives import (
    PRIMITIVES,
    Circles,
    Ellipses,
    Polygons,
    Rectangles,
    primitive_named,
)

SIZE = (40, 30)
TRIANGLES, PENTAGONS = Polygons(3, SIZE), Polygons(5, SIZE)

every_primitive = pytest.mark.parametrize("name", PRIMITIVES)


def paintings_of(primitive):
    return st.lists(st.tuples(*(st.integers(low, high) for low, high in primitive.ranges)), max_size=12)


def pasted(painting, primitive):
    """The original's way: an RGBA mask for every shape, pasted through itself."""
    picture = Image.new("RGB", primitive.size, primitive.background)
    for *geometry, red, green, blue, alpha in painting:
        mask = Image.new("RGBA", primitive.size)
        colour = (red, green, blue, alpha)
        if primitive.name in ("triangles", "polygons"):
            ImageDraw.Draw(mask).polygon(geometry, fill=colour)
        else:
            x, y, half_width, half_height = geometry if len(geometry) == 4 else [*geometry, geometry[-1]]
            box = (x - half_width, y - half_height, x + half_width, y + half_height)
            pen = ImageDraw.Draw(mask)
            draw = pen.rectangle if primitive.name == "rectangles" else pen.ellipse
            draw(box, fill=colour, outline=colour)
        picture.paste(mask, mask=mask)
    return picture


def assert_same(picture, expected):
    assert picture.mode == expected.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))


@every_primitive
def test_every_pixel_is_as_if_masks_were_pasted(name):
    primitive = primitive_named(name, SIZE)

    @settings(max_examples=150)
    @given(paintings_of(primitive))
    def law(painting):
        assert_same(render(painting, primitive), pasted(painting, primitive))

    law()


@settings(max_examples=150)
@given(paintings_of(PENTAGONS))
def test_pentagons_whose_sides_cross_are_as_if_masks_were_pasted(painting):
    assert_same(render(painting, PENTAGONS), pasted(painting, PENTAGONS))


@pytest.mark.parametrize(
    "primitive, shape",
    [
        (TRIANGLES, (1, 6, 13, 6, 0, 6, 10, 100, 200, 120)),  # all corners in one row
        (TRIANGLES, (5, 5, 5, 5, 5, 5, 10, 100, 200, 120)),
        (PENTAGONS, (2, 5, 4, 5, 2, 0, 2, 5, 1, 5, 10, 100, 200, 120)),  # sides that cover one another
        (Polygons(8, SIZE), (0, 11, 18, 13, 15, 4, 13, 6, 4, 6, 5, 6, 2, 20, 13, 0, 3, 184, 19, 136)),
    ],
)
def test_no_pixel_of_a_degenerate_polygon_is_blended_twice(primitive, shape):
    assert_same(render([shape], primitive), pasted([shape], primitive))


@pytest.mark.parametrize("name, level", [("circles", 0), ("ellipses", 0), ("triangles", 255), ("rectangles", 255)])
def test_round_shapes_are_on_black_and_those_with_corners_on_white(name, level):
    assert render([], primitive_named(name, SIZE)).getcolors() == [(40 * 30, (level,) * 3)]


@pytest.mark.parametrize(
    "primitive, geometry",
    [(Circles(SIZE), (20, 15, 5)), (Ellipses(SIZE), (20, 15, 5, 3)), (Rectangles(SIZE), (20, 15, 5, 3))],
)
def test_a_shape_reaches_as_far_on_both_sides_of_its_centre(primitive, geometry):
    picture = np.asarray(render([(*geometry, 255, 0, 255, 255)], primitive))
    rows, columns = np.nonzero((picture != primitive.background).any(axis=2))
    assert sorted(set(columns.tolist())) == list(range(15, 26))
    half_height = geometry[-1]
    assert sorted(set(rows.tolist())) == list(range(15 - half_height, 16 + half_height))


@every_primitive
def test_a_shape_has_a_range_for_every_gene_and_small_ones_are_within_it(name):
    primitive = primitive_named(name, SIZE)
    assert len(primitive.small_ranges) == len(primitive.ranges)
    for (small_low, small_high), (low, high) in zip(primitive.small_ranges, primitive.ranges):
        assert low <= small_low <= small_high <= high
    assert primitive.small_ranges != primitive.ranges


@every_primitive
def test_the_smallest_canvas_has_shapes_too(name):
    primitive = primitive_named(name, (1, 1))
    for shape in (tuple(low for low, _ in primitive.ranges), tuple(high for _, high in primitive.ranges)):
        assert_same(render([shape], primitive), pasted([shape], primitive))


@every_primitive
def test_a_primitive_knows_its_name_and_survives_pickling(name):
    primitive = primitive_named(name, SIZE)
    assert primitive.name == name and primitive.size == SIZE
    assert pickle.loads(pickle.dumps(primitive)) == primitive


def test_primitives_by_name():
    assert primitive_named("circles") == Circles()
    assert primitive_named("triangles", SIZE, 3) == TRIANGLES
    assert primitive_named("polygons", SIZE, 5) == PENTAGONS
    assert primitive_named("polygons").corners == 4
    assert primitive_named("rectangles").size == primitive_named("ellipses").size == (256, 256)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Circles((0, 10)), "size: got 0x10, expected a canvas of 1x1 pixels or more"),
        (lambda: Polygons(3, (10, -1)), "size: got 10x-1, expected a canvas of 1x1 pixels or more"),
        (lambda: Rectangles((10,)), "size: got 10, expected a canvas of 1x1 pixels or more"),
        (lambda: Polygons(2), "corners: got 2, expected a whole number of at least 3"),
        (lambda: Polygons(3.5), "corners: got 3.5, expected a whole number of at least 3"),
        (lambda: Polygons(10**6), "corners: got 1000000, expected a whole number of at least 3 and at most 10000"),
        (
            lambda: primitive_named("squares"),
            "shapes: got 'squares', expected one of circles, triangles, polygons, rectangles, ellipses",
        ),
        (lambda: primitive_named("triangles", SIZE, 5), "corners: got 5, expected 3 for triangles"),
        (lambda: primitive_named("ellipses", SIZE, 5), "corners: got 5, expected none for ellipses"),
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
        colour = [int(element.get("fill")[i : i + 2], 16) for i in (1, 3, 5)]
        opacity = float(element.get("opacity", 1)) * covered(x, y, element)[..., None]
        picture = (1 - opacity) * picture + opacity * np.array(colour)
    return picture


def covered(x, y, element):
    """Whether points are inside an SVG element."""
    tag = element.tag.split("}")[-1]
    values = {name: float(text) for name, text in element.items() if name not in ("fill", "opacity")}
    if tag == "rect":
        left, top = values.get("x", 0), values.get("y", 0)
        return (left < x) & (x < left + values["width"]) & (top < y) & (y < top + values["height"])
    if tag == "circle":
        return np.hypot(x - values["cx"], y - values["cy"]) <= values["r"]
    if tag == "ellipse":
        return np.hypot((x - values["cx"]) / values["rx"], (y - values["cy"]) / values["ry"]) <= 1
    polygon, sides = element
    outlines = [polygon.get("points"), *sides.get("d").strip("MZ").split("ZM")]
    return np.logical_or.reduce([is_inside(x, y, outline) for outline in outlines])


def points_of(outline):
    return [tuple(map(float, pair.split(","))) for pair in outline.split()]


def is_inside(x, y, outline):
    """Whether points are inside a polygon, by the even-odd rule."""
    points = points_of(outline)
    inside = np.zeros_like(x, dtype=bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay or 1))
    return inside


def random_painting(primitive, count=20):
    random = np.random.default_rng(0)
    return [tuple(int(random.integers(low, high + 1)) for low, high in primitive.ranges) for _ in range(count)]


@pytest.mark.parametrize(
    "primitive", [*(primitive_named(name, (128, 96)) for name in PRIMITIVES), Polygons(5, (128, 96))]
)
def test_an_svg_shows_the_same_picture(primitive):
    painting = random_painting(primitive)
    difference = np.abs(browser(to_svg(painting, primitive)) - np.asarray(render(painting, primitive), dtype=float))
    assert np.median(difference) < 1
    assert np.mean(difference.max(axis=2) > 8) < 0.01  # a few pixels on borders


def test_an_svg_of_rectangles_shows_every_pixel_alike():
    rectangles = Rectangles((128, 96))
    opaque = [(*shape[:-1], 255) for shape in random_painting(rectangles)]
    np.testing.assert_array_equal(browser(to_svg(opaque, rectangles)), np.asarray(render(opaque, rectangles)))


def test_the_sides_of_a_polygon_are_drawn_clockwise_so_that_none_erases_another():
    pentagon = (3, 4, 30, 9, 8, 29, 20, 2, 25, 28, 1, 2, 3, 4)
    path = ElementTree.fromstring(to_svg([pentagon], PENTAGONS))[1][1].get("d")
    for outline in path.strip("MZ").split("ZM"):
        points = points_of(outline)
        assert sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1])) > 0


def test_a_side_of_a_polygon_is_drawn_as_wide_and_as_high_at_both_of_its_ends():
    pentagon = (3, 4, 30, 9, 8, 29, 20, 2, 25, 28, 1, 2, 3, 4)
    path = ElementTree.fromstring(to_svg([pentagon], PENTAGONS))[1][1].get("d")
    corners = np.reshape(pentagon[:10], (5, 2)) + 0.5
    for outline, ends in zip(path.strip("MZ").split("ZM"), zip(corners, np.roll(corners, -1, axis=0))):
        turned = np.sum(ends, axis=0) - points_of(outline)
        assert {tuple(point) for point in np.round(turned, 3)} == {
            tuple(point) for point in np.round(points_of(outline), 3)
        }
