"""Genes and geometry of each primitive, computed by hand: ranges, pixels, compact shapes, and SVG."""

import math
import random

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.evolution.painting import render, to_svg
from nsfw_experiments.evolution.primitives import (
    PRIMITIVES,
    Circles,
    Ellipses,
    Polygons,
    Rectangles,
    clipped,
    hexadecimal,
    primitive_named,
    random_shape,
)

SIZE = (80, 48)
HALF_OPAQUE = (*((0, 255),) * 3, (128, 255))


@pytest.mark.parametrize(
    "primitive, geometry, small_geometry",
    [
        (Circles(SIZE), ((0, 79), (0, 47), (1, 12)), ((0, 79), (0, 47), (1, 3))),
        (Ellipses(SIZE), ((0, 79), (0, 47), (1, 20), (1, 12)), ((0, 79), (0, 47), (1, 5), (1, 3))),
        (Rectangles(SIZE), ((0, 79), (0, 47), (1, 20), (1, 12)), ((0, 79), (0, 47), (1, 5), (1, 3))),
        (Circles((3, 2)), ((0, 2), (0, 1), (1, 1)), ((0, 2), (0, 1), (1, 1))),
        (Ellipses((3, 2)), ((0, 2), (0, 1), (1, 1), (1, 1)), ((0, 2), (0, 1), (1, 1), (1, 1))),
    ],
)
def test_round_and_upright_shapes_reach_a_quarter_of_the_canvas_and_small_ones_a_sixteenth(
    primitive, geometry, small_geometry
):
    assert primitive.ranges == (*geometry, *HALF_OPAQUE)
    assert primitive.small_ranges == (*small_geometry, *HALF_OPAQUE)


@pytest.mark.parametrize("corners", [3, 4, 5])
def test_the_corners_of_a_polygon_are_anywhere_and_small_ones_are_at_most_half_opaque(corners):
    polygons = Polygons(corners, SIZE)
    assert polygons.ranges == ((0, 80), (0, 48)) * corners + ((0, 255),) * 4
    assert polygons.small_ranges == ((0, 80), (0, 48)) * corners + ((0, 255),) * 3 + ((0, 128),)


def test_a_painting_has_fifty_circles_or_a_hundred_other_shapes():
    counts = {name: primitive_named(name).default_count for name in PRIMITIVES}
    assert counts == {"circles": 50, "triangles": 100, "polygons": 100, "rectangles": 100, "ellipses": 100}
    assert [primitive_named(name).corners for name in PRIMITIVES] == [None, 3, 4, None, None]
    assert {primitive_named(name).size for name in PRIMITIVES} == {Polygons().size} == {(256, 256)}
    assert Polygons().corners == 3


def test_the_backgrounds_are_black_and_white_to_the_last_bit():
    backgrounds = {name: primitive_named(name).background for name in PRIMITIVES}
    black, white = (0, 0, 0), (255, 255, 255)
    assert backgrounds == dict(circles=black, ellipses=black, triangles=white, polygons=white, rectangles=white)


def test_the_largest_canvas_has_sixteen_million_pixels_and_the_largest_polygon_ten_thousand_corners():
    assert Circles((1 << 24, 1)).size == (1 << 24, 1) and Circles((4096, 4096)).size == (4096, 4096)
    for size in ((1 << 24) + 1, 1), (4097, 4096):
        with pytest.raises(ValueError, match="16777216 at most"):
            Circles(size)
    for size in (1.0, 5), (5, 0), (True, 5), (5, 5, 5):
        with pytest.raises(ValueError, match="expected a canvas of 1x1 pixels or more"):
            Rectangles(size)
    assert Polygons(10_000).corners == 10_000
    with pytest.raises(ValueError, match="at most 10000"):
        Polygons(10_001)


def test_every_value_of_a_range_is_drawn_and_no_other():
    rng = random.Random(0)
    shapes = [random_shape(rng, ((-1, 2), (7, 7), (0, 1))) for _ in range(200)]
    assert [set(genes) for genes in zip(*shapes)] == [{-1, 0, 1, 2}, {7}, {0, 1}]


def test_genes_are_clipped_at_both_ends_and_otherwise_left():
    assert clipped([-4, -3, -2, 9, 10, 11], ((-3, 10),) * 6) == (-3, -3, -2, 9, 10, 10)


def covered(primitive, geometry):
    """The pixels that a shape covers, as rows of 0 and 1."""
    picture = render([(*geometry, 1, 2, 3, 255)], primitive)
    return (np.asarray(picture) != primitive.background).all(axis=2).astype(int).tolist()


@pytest.mark.parametrize(
    "primitive, geometry, expected",
    [
        (Circles((5, 4)), (1, 2, 1), ["00000", "01000", "11100", "01000"]),
        (Ellipses((6, 3)), (2, 1, 2, 1), ["01110", "11111", "01110"]),
        (Rectangles((6, 4)), (3, 1, 2, 1), ["011111", "011111", "011111", "000000"]),
        (Rectangles((6, 4)), (0, 3, 1, 2), ["000000", "110000", "110000", "110000"]),
        (Polygons(3, (6, 4)), (1, 0, 4, 3, 1, 3), ["010000", "011000", "011100", "011110"]),
        (Polygons(4, (6, 4)), (1, 1, 4, 1, 4, 2, 1, 2), ["000000", "011110", "011110", "000000"]),
        (Polygons(4, (6, 4)), (2, 1, 6, 1, 6, 4, 2, 4), ["000000", "001111", "001111", "001111"]),
        (Polygons(4, (6, 4)), (0, 0, 6, 0, 6, 4, 0, 4), ["111111"] * 4),
        (Polygons(4, (6, 4)), (6, 0, 6, 4, 6, 4, 6, 0), ["000000"] * 4),  # just outside
        (Polygons(4, (6, 4)), (0, 4, 6, 4, 6, 4, 0, 4), ["000000"] * 4),
        (Polygons(4, (6, 4)), (5, 3, 5, 3, 5, 3, 5, 3), ["000000"] * 3 + ["000001"]),
        (Polygons(4, (6, 4)), (0, 0, 0, 0, 0, 0, 0, 0), ["100000"] + ["000000"] * 3),
    ],
)
def test_a_shape_covers_just_these_pixels(primitive, geometry, expected):
    width = primitive.size[0]
    assert covered(primitive, geometry) == [[int(pixel) for pixel in row.ljust(width, "0")] for row in expected]


@pytest.mark.parametrize(
    "primitive, geometry",
    [
        (Circles(SIZE), (30, 20, 8)),
        (Ellipses(SIZE), (30, 20, 8, 5)),
        (Rectangles(SIZE), (30, 20, 8, 5)),
        (Polygons(3, SIZE), (20, 10, 40, 12, 30, 40)),
        (Polygons(4, SIZE), (20, 10, 40, 12, 45, 40, 22, 35)),
    ],
)
def test_a_colour_is_blended_with_what_is_below_by_its_alpha(primitive, geometry):
    below = primitive.covering_shapes((50, 100, 150)) or [(30, 20, 40, 40, 50, 100, 150, 255)[-len(geometry) - 4 :]]
    below = [(30, 20, 15, *shape[-4:]) if primitive.name == "circles" else shape for shape in below]
    pixel = render([*below, (*geometry, 250, 0, 10, 51)], primitive).getpixel((30, 20))
    assert pixel == pytest.approx((90, 80, 122), abs=1)  # a fifth of the new colour


@pytest.mark.parametrize(
    "primitive, shape, written",
    [
        (
            Circles(SIZE),
            (7, 9, 4, 255, 16, 1, 204),
            '<circle cx="7.5" cy="9.5" r="4.5" fill="#ff1001" opacity="0.8000"/>',
        ),
        (
            Ellipses(SIZE),
            (7, 9, 4, 3, 255, 16, 1, 204),
            '<ellipse cx="7.5" cy="9.5" rx="4.5" ry="3.5" fill="#ff1001" opacity="0.8000"/>',
        ),
        (
            Rectangles(SIZE),
            (7, 9, 4, 3, 255, 16, 1, 204),
            '<rect x="3" y="6" width="9" height="7" fill="#ff1001" opacity="0.8000"/>',
        ),
        (
            Polygons(3, SIZE),
            (1, 2, 5, 3, 4, 9, 255, 16, 1, 204),
            '<g fill="#ff1001" opacity="0.8000">'
            '<polygon points="1.5,2.5 5.5,3.5 4.5,9.5" fill-rule="evenodd"/><path d="'
            "M1,2.48 2,2.48 6,3.48 6,3.52 5,3.52 1,2.52Z"
            "M4,9.48 5,3.48 6,3.48 6,3.52 5,9.52 4,9.52Z"
            'M1,2.48 2,2.48 5,9.48 5,9.52 4,9.52 1,2.52Z"/></g>',
        ),
    ],
)
def test_a_shape_is_written_as_this_svg(primitive, shape, written):
    assert primitive.svg_shape(shape) == written
    assert to_svg([shape], primitive).splitlines()[3:] == [written, "</svg>"]


def test_a_side_that_does_not_rise_or_fall_is_written_as_a_hair():
    assert "M1,2.48 2,2.48 6,2.48 6,2.52 5,2.52 1,2.52Z" in Polygons(3).svg_shape((1, 2, 5, 2, 4, 9, 0, 0, 0, 255))


def test_colours_are_written_in_six_digits():
    assert [hexadecimal(colour) for colour in ((0, 10, 255), (1, 2, 3))] == ["#000aff", "#010203"]


def test_the_shapes_that_cover_a_canvas():
    blue = (10, 20, 255)
    opaque = (*blue, 255)
    assert Polygons(3, SIZE).covering_shapes(blue) == [
        (0, 0, 80, 0, 0, 48, *opaque),
        (80, 48, 80, 0, 0, 48, *opaque),
    ]
    assert Polygons(4, SIZE).covering_shapes(blue) == [(0, 0, 80, 0, 80, 48, 0, 48, *opaque)]
    assert Polygons(5, SIZE).covering_shapes(blue) == [(0, 0, 80, 0, 80, 48, 0, 48, 0, 48, *opaque)]
    assert [primitive_named(name).covering_shapes(blue) for name in ("circles", "rectangles", "ellipses")] == [[]] * 3


@pytest.mark.parametrize("make", [Circles, Ellipses, Rectangles])
def test_other_shapes_are_centred_by_their_first_two_genes(make):
    shape = random_shape(random.Random(0), make(SIZE).ranges)
    assert make(SIZE).centred(shape, 3, 47) == (3, 47, *shape[2:])
    assert make(SIZE).centred(shape, 80, -1) == (79, 0, *shape[2:])


def test_polygons_are_centred_by_the_mean_of_their_corners_and_keep_their_form():
    pentagon = (30, 20, 40, 22, 41, 30, 33, 34, 28, 29, 1, 2, 3, 4)
    moved = Polygons(5, SIZE).centred(pentagon, 50, 20)  # from 34.4, 27
    assert moved == (46, 13, 56, 15, 57, 23, 49, 27, 44, 22, 1, 2, 3, 4)
    assert Polygons(5, SIZE).centred(pentagon, 80, 0) == (76, 0, 80, 0, 80, 3, 79, 7, 74, 2, 1, 2, 3, 4)


@pytest.mark.parametrize("make", [Circles, Ellipses, Rectangles])
def test_other_shapes_are_compact_as_they_are(make):
    first, second = random.Random(4), random.Random(4)
    assert make(SIZE).compact_shape(first) == random_shape(second, make(SIZE).ranges)


def test_a_compact_polygon_is_regular_but_for_noise():
    """Radii from 1/32 to 0.35 of the shorter side by their logarithm, and so much noise of angles and of radii."""
    size, corners, rng = (3000, 2000), 64, random.Random(0)
    polygons = Polygons(corners, size)
    shapes = np.array([polygons.compact_shape(rng) for _ in range(1500)])
    points, colours = shapes[:, :-4].reshape(-1, corners, 2), shapes[:, -4:]
    assert [(low, high) for low, high in zip(colours.min(0), colours.max(0))] == [(0, 255)] * 3 + [(128, 255)]
    assert colours[:, :3].mean(0) == pytest.approx(127.5, abs=5) and colours[:, 3].mean() == pytest.approx(191.5, abs=3)

    inside = (points > 0).all((1, 2)) & (points < size).all((1, 2))
    assert 0.3 < inside.mean() < 1
    centres = points[inside].mean(1)
    assert centres.mean(0) == pytest.approx((1500, 1000), rel=0.05)
    assert (centres.min(0) < 200).all() and (centres.max(0) > np.array(size) - 200).all()

    spokes = points[inside] - centres[:, np.newaxis]
    logarithms = np.log(np.hypot(*np.moveaxis(spokes, 2, 0)))
    means = np.exp(logarithms.mean(1))
    assert (means.min(), means.max()) == pytest.approx((2000 / 32, 2000 * 0.35), rel=0.1)
    assert logarithms.std(1).mean() == pytest.approx(0.25, rel=0.05)

    angles = np.unwrap(np.arctan2(spokes[..., 1], spokes[..., 0]), axis=1)
    steps = np.diff(angles) * corners / (2 * math.pi)
    assert steps.mean() == pytest.approx(1, abs=0.02)  # once around, clockwise as y points down
    # Each angle has a deviation of 1 / corners in radians, and a step is the difference of two
    assert np.diff(angles).std() == pytest.approx(math.sqrt(2) / corners, rel=0.15)
    turns = angles[:, 0] % (2 * math.pi)
    assert np.histogram(turns, 4, (0, 2 * math.pi))[0] == pytest.approx(len(turns) / 4, rel=0.2)


def test_the_centre_of_a_compact_polygon_may_lie_on_every_border():
    rng = random.Random(0)
    shapes = np.array([Polygons(3, (4, 2)).compact_shape(rng) for _ in range(400)])
    assert set(shapes[:, 0:6:2].ravel().tolist()) == {0, 1, 2, 3, 4}
    assert set(shapes[:, 1:6:2].ravel().tolist()) == {0, 1, 2}


def test_a_painting_lies_on_its_background_from_the_lowest_shape_up():
    squares = Rectangles((9, 9))
    picture = render([(4, 4, 2, 2, 255, 0, 0, 255), (6, 6, 2, 2, 0, 0, 255, 255)], squares)
    expected = Image.new("RGB", (9, 9), "white")
    expected.paste((255, 0, 0), (2, 2, 7, 7))
    expected.paste((0, 0, 255), (4, 4, 9, 9))
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))
