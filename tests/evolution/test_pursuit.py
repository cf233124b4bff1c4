"""The pursuit of a target: best colours are best, and what is chosen is what was missing."""

import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import NsfwLogit, Psnr
from nsfw_experiments.evolution.painting import render
from nsfw_experiments.evolution.primitives import PRIMITIVES, Circles, Polygons, Rectangles, primitive_named
from nsfw_experiments.evolution.pursuit import Pursuit
from nsfw_experiments.evolution.strategies import climbing_toolbox, least_squares_toolbox

SIZE = (64, 48)
TARGET = Image.open("img/starry_swirls.png").convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)


def error(shapes, primitive):
    difference = np.asarray(render(shapes, primitive), float) - np.asarray(TARGET, float)
    return float((difference**2).sum())


@pytest.mark.parametrize("name", PRIMITIVES)
def test_no_other_colour_of_a_shape_is_much_better(name):
    primitive, rng = primitive_named(name, SIZE), random.Random(0)
    shapes = Pursuit(primitive, TARGET).best_colours([primitive.compact_shape(rng) for _ in range(6)])
    best = error(shapes, primitive)
    for index, channel, step in [(i, c, s) for i in range(6) for c in (-4, -3, -2) for s in (-12, 12)]:
        changed = [list(shape) for shape in shapes]
        changed[index][channel] = min(max(changed[index][channel] + step, 0), 255)
        assert error([tuple(shape) for shape in changed], primitive) > 0.995 * best


def test_the_colours_of_a_painting_are_found_again():
    circles = Circles(SIZE)
    painted = [(20, 20, 12, 250, 40, 60, 255), (40, 24, 10, 30, 200, 90, 160)]
    grey = [(*shape[:3], 128, 128, 128, shape[-1]) for shape in painted]
    found = Pursuit(circles, render(painted, circles)).best_colours(grey)
    np.testing.assert_allclose(found, painted, atol=4)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_painting_of_chosen_shapes_is_nearer_than_a_random_one_and_within_its_ranges(name):
    primitive, rng = primitive_named(name, SIZE), random.Random(0)
    pursuit = Pursuit(primitive, TARGET)
    chosen = pursuit.painting(8, rng)
    assert error(chosen, primitive) < 0.8 * error(
        pursuit.best_colours([primitive.compact_shape(rng) for _ in range(8)]), primitive
    )
    for shape in chosen:
        assert all(type(gene) is int and low <= gene <= high for gene, (low, high) in zip(shape, primitive.ranges))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (0, 255, 0)])
def test_the_colour_of_a_new_shape_is_that_of_what_is_missing_to_both_ends_of_its_range(colour):
    circles = Circles(SIZE)
    background = [(32, 24, 80, 128, 128, 128, 255)]
    shape = Pursuit(circles, Image.new("RGB", SIZE, colour)).new_shape(background, random.Random(0))
    assert shape[3:6] == colour


def test_a_new_shape_lies_where_something_is_missing():
    white = Image.new("RGB", SIZE, "black")
    white.paste("white", (40, 24, 64, 48))
    x, y, *_ = Pursuit(Circles(SIZE), white).new_shape([], random.Random(0))
    assert x > 32 and y > 16


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (5, 6)])
def test_canvases_of_any_size_will_do(size):
    target = Image.new("RGB", size, (10, 200, 30))
    evolution = Evolution(least_squares_toolbox(Circles(size), 3, Psnr(target, size)))
    evolution.run(2)
    assert evolution.generation == 2 and evolution.best_display_value > Psnr(target, size)([Image.new("RGB", size)])[0]


def test_it_is_nearer_than_the_climber_that_knows_no_target():
    gains = []
    for make in (least_squares_toolbox, climbing_toolbox):
        evolution = Evolution(make(Circles(SIZE), 12, Psnr(TARGET, SIZE)))
        while evolution.evaluations < 300:
            evolution.step()
        gains.append(evolution.best_display_value)
    assert gains[0] > gains[1] + 1


def test_without_a_target_it_says_what_is_missing():
    with pytest.raises(ValueError, match="got 'least-squares' for NsfwLogit, expected a fitness with a target"):
        least_squares_toolbox(Circles(), 5, NsfwLogit())


def test_covering_shapes_cover_the_canvas():
    for corners in (3, 4, 7):
        polygons = Polygons(corners, SIZE)
        painting = polygons.covering_shapes((1, 2, 3))
        assert render(painting, polygons).getcolors() == [(SIZE[0] * SIZE[1], (1, 2, 3))]
        for shape in painting:
            assert all(low <= gene <= high for gene, (low, high) in zip(shape, polygons.ranges))
    assert Circles().covering_shapes((1, 2, 3)) == []


def blocks(values):
    """The means of blocks of 4x4 pixels, one row for each; whole as Pillow rounds: rows, then columns."""
    height, width = values.shape[:2]
    rows = np.floor(values.reshape(height, width // 4, 4, -1).mean(2) + 0.5)
    means = np.floor(rows.reshape(height // 4, 4, width // 4, -1).mean(1) + 0.5)
    return means.reshape(height // 4 * (width // 4), -1)


def least_squares(shapes, primitive, target, ridge=0.1):
    """The colours of least squared error over blocks of 4x4 pixels, a little drawn to what they were, by NumPy."""
    coverages = []
    for shape in shapes:
        # On black and on white: what differs is not covered
        drawn = [Image.new("RGB", primitive.size, level) for level in ("black", "white")]
        for picture in drawn:
            opaque = (*shape[:-4], 9, 9, 9, 255)
            primitive.paint(picture, ImageDraw.Draw(picture, "RGBA"), opaque)
        black, white = (np.asarray(picture)[..., 0] for picture in drawn)
        coverages.append(blocks(255.0 * (black == white))[:, 0] / 255 * shape[-1] / 255)
    shares, through = [], np.ones_like(coverages[0])
    for coverage in coverages[::-1]:
        shares.insert(0, coverage * through)
        through = through * (1 - coverage)
    aim = blocks(np.asarray(target, float)) - through[:, None] * np.array(primitive.background, float)
    old = np.array([shape[-4:-1] for shape in shapes], float)
    matrix = np.vstack([np.transpose(shares), np.sqrt(ridge) * np.eye(len(shapes))])
    colours, *_ = np.linalg.lstsq(matrix, np.vstack([aim, np.sqrt(ridge) * old]), rcond=None)
    return np.clip(colours, 0, 255)


@pytest.mark.parametrize("primitive", [*(primitive_named(name, SIZE) for name in PRIMITIVES), Polygons(5, SIZE)])
def test_the_best_colours_are_numpy_s_least_squares(primitive):
    rng, pursuit = random.Random(3), Pursuit(primitive, TARGET)
    for _ in range(5):
        shapes = [primitive.compact_shape(rng) for _ in range(7)]
        found = pursuit.best_colours(shapes)
        assert [(*shape[:-4], shape[-1]) for shape in found] == [(*shape[:-4], shape[-1]) for shape in shapes]
        colours = np.array([shape[-4:-1] for shape in found])
        np.testing.assert_allclose(colours, least_squares(shapes, primitive, TARGET), rtol=0, atol=0.501)


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_an_opaque_shape_that_covers_all_gets_the_very_colour_of_the_target(level):
    squares = Polygons(4, SIZE)
    target = Image.new("RGB", SIZE, (level, 255 - level, level))
    [shape] = Pursuit(squares, target).best_colours(squares.covering_shapes((level, 255 - level, level)))
    assert shape[-4:] == (level, 255 - level, level, 255)


def test_colours_that_would_have_to_be_beyond_their_ends_are_at_them():
    on_black, on_white = Circles(SIZE), Polygons(4, SIZE)
    [bright] = Pursuit(on_black, Image.new("RGB", SIZE, "white")).best_colours([(32, 24, 12, 9, 9, 9, 128)])
    assert bright == (32, 24, 12, 255, 255, 255, 128)
    [cover] = on_white.covering_shapes((99, 99, 99))
    [dark] = Pursuit(on_white, Image.new("RGB", SIZE, "black")).best_colours([(*cover[:-1], 128)])
    assert dark == (*cover[:-4], 0, 0, 0, 128)


def test_a_shape_that_cannot_be_seen_keeps_its_colour_and_one_that_hardly_can_is_drawn_to_it():
    squares = Polygons(4, (4, 4))
    [cover] = squares.covering_shapes((10, 20, 30))
    hidden, _ = Pursuit(squares, Image.new("RGB", (4, 4), "red")).best_colours([cover, (*cover[:-4], 9, 9, 9, 255)])
    assert hidden == cover
    share = 81 / 255  # its square is about 0.1, the weight of what it was
    expected = (share * (200 - (1 - share) * 255) + 0.1 * 255) / (share**2 + 0.1)
    [faint] = Pursuit(squares, Image.new("RGB", (4, 4), (200,) * 3)).best_colours([(*cover[:-4], *(255,) * 3, 81)])
    assert faint[-4:] == (round(expected),) * 3 + (81,)
    assert 160 < expected < 175


class Watched(Rectangles):
    """Rectangles that note where they were put, before they have their colours."""

    put: list = []
    places: list = []

    def centred(self, shape, x, y):
        self.places.append((x, y))
        self.put.append(super().centred(shape, x, y))
        return self.put[-1]


@pytest.fixture
def watched():
    Watched.put.clear()
    Watched.places.clear()
    return Watched(SIZE)


def gain(shape, target, canvas):
    """What a rectangle takes away of the squared error in its best colour, on a canvas of blocks, and this colour."""
    x, y, half_width, half_height = (gene // 4 for gene in shape[:4])
    alpha = shape[-1] / 255
    part = (slice(max(y - half_height, 0), y + half_height + 1), slice(max(x - half_width, 0), x + half_width + 1))
    wanted, there = target[part], canvas[part]
    colour = np.clip(np.rint((wanted - (1 - alpha) * there).mean((0, 1)) / alpha), 0, 255)
    left = wanted - (1 - alpha) * there - alpha * colour
    return ((wanted - there) ** 2).sum() - (left**2).sum(), tuple(colour.astype(int).tolist())


def test_a_new_shape_is_the_one_of_thirty_that_takes_away_most_in_its_best_colour(watched):
    blocky = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    target = blocky.resize(SIZE, Image.Resampling.NEAREST)
    wanted, white = np.asarray(blocky, float), np.full((12, 16, 3), 255.0)
    rng, pursuit = random.Random(0), Pursuit(watched, target)
    for _ in range(8):
        watched.put.clear()
        chosen = pursuit.new_shape([], rng)
        assert len(watched.put) == 30
        gains = [gain(shape, wanted, white) for shape in watched.put]
        most = max(range(30), key=lambda number: gains[number][0])
        assert chosen == (*watched.put[most][:4], *gains[most][1], watched.put[most][-1])


def test_new_shapes_lie_about_middles_of_blocks_as_often_as_there_is_error(watched):
    target = Image.new("RGB", SIZE, "white")
    target.paste((255, 255, 155), (8, 0, 12, 4))  # an error of 100 squared
    target.paste((55, 255, 255), (60, 44, 64, 48))  # and of 200 squared
    pursuit, rng = Pursuit(watched, target), random.Random(0)
    for _ in range(40):
        pursuit.new_shape([], rng)
    places = Counter(watched.places)
    assert places.keys() == {(10, 2), (62, 46)}
    assert places[62, 46] / places.total() == pytest.approx(0.8, abs=0.05)


class Least(random.Random):
    """Draws the least number that can be drawn."""

    def random(self):
        return 0.0


def test_no_new_shape_is_put_where_nothing_is_missing(watched):
    target = Image.new("RGB", SIZE, "white")
    target.paste("black", (8, 4, 12, 8))
    Pursuit(watched, target).new_shape([], Least(0))
    assert set(watched.places) == {(10, 6)}


def test_where_nothing_is_missing_a_new_shape_is_put_somewhere_all_the_same(watched):
    shape = Pursuit(watched, Image.new("RGB", SIZE, "white")).new_shape([], random.Random(0))
    assert all(low <= gene <= high for gene, (low, high) in zip(shape, watched.ranges))
    assert shape[4:7] == (255, 255, 255)


@pytest.mark.parametrize("name", ["triangles", "ellipses"])
def test_a_painting_is_chosen_shape_after_shape_and_then_coloured(name):
    primitive = primitive_named(name, SIZE)
    pursuit, one, other = Pursuit(primitive, TARGET), random.Random(1), random.Random(1)
    shapes = []
    for _ in range(4):
        shapes.append(pursuit.new_shape(shapes, one))
    assert pursuit.painting(4, other) == pursuit.best_colours(shapes) != shapes


class Somewhere(Polygons):
    """Triangles that are written down."""

    kinds = iter(())

    def compact_shape(self, rng):
        return next(self.kinds)

    def centred(self, shape, x, y):
        return shape


def test_a_transparent_shape_takes_its_colour_from_what_is_there_and_one_outside_gains_nothing():
    outside, transparent = (64, 48, 64, 48, 64, 48, 1, 2, 3, 255), (0, 0, 64, 0, 0, 48, 1, 2, 3, 0)
    pursuit = Pursuit(Somewhere(3, SIZE), Image.new("RGB", SIZE, (250, 250, 250)))
    Somewhere.kinds = iter([outside] * 30)
    assert pursuit.new_shape([], random.Random(0)) == outside
    Somewhere.kinds = iter([outside] * 29 + [transparent])
    assert pursuit.new_shape([], random.Random(0)) == (0, 0, 64, 0, 0, 48, 0, 0, 0, 0)


@pytest.mark.parametrize("alpha", [0, 1])
def test_a_shape_that_is_hardly_seen_has_the_colour_that_is_missing_in_the_least_alpha(alpha):
    target = Image.new("RGB", SIZE, (255, 254, 254))
    target.paste((255, 255, 254), (0, 0, 32, 48))
    Somewhere.kinds = iter([(0, 0, 64, 0, 64, 48, 0, 48, 1, 2, 3, alpha)] * 30)
    shape = Pursuit(Somewhere(4, SIZE), target).new_shape([], random.Random(0))
    assert shape[-4:] == (255, pytest.approx(127.5, abs=1), 0, alpha)


def test_of_shapes_that_gain_nothing_the_first_is_taken_outside_or_not():
    outside, white = (64, 48, 64, 48, 64, 48, 1, 2, 3, 255), (0, 0, 64, 0, 0, 48, 255, 255, 255, 255)
    pursuit = Pursuit(Somewhere(3, SIZE), Image.new("RGB", SIZE, "white"))
    for first, other in ((outside, white), (white, outside)):
        Somewhere.kinds = iter([first] + [other] * 29)
        assert pursuit.new_shape([], random.Random(0)) == first
