"""Paintings: drawn together as they are drawn alone, the later shape over the earlier one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nsfw_experiments.evolution.painting import render, render_all
from nsfw_experiments.evolution.primitives import Circles

SIZE = (40, 30)
CIRCLES = Circles(SIZE)

shapes = st.tuples(*(st.integers(low, high) for low, high in CIRCLES.ranges))
paintings = st.lists(shapes, max_size=12)


def assert_drawn_as_alone(together):
    for picture, painting in zip(render_all(together, CIRCLES), together, strict=True):
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(render(painting, CIRCLES)))


class CountedCircles(Circles):
    """Circles that count how often they are painted."""

    painted = 0

    def paint(self, canvas, pen, shape):
        type(self).painted += 1
        super().paint(canvas, pen, shape)


@settings(max_examples=100)
@given(paintings, st.lists(st.tuples(st.integers(0, 12), paintings), max_size=5))
def test_paintings_that_share_their_lowest_shapes_are_drawn_together_as_they_are_alone(trunk, branches):
    assert_drawn_as_alone([trunk] + [trunk[:shared] + rest for shared, rest in branches])


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.sampled_from([(5, 5, 3, 255, 0, 0, 200), (7, 6, 4, 0, 255, 0, 150)]), max_size=4), max_size=9)
)
def test_paintings_of_a_few_shapes_are_drawn_together_as_they_are_alone(together):
    assert_drawn_as_alone(together)


def test_what_paintings_share_is_painted_once():
    trunk = [(20, 15, radius, 255, 0, 0, 128) for radius in range(1, 8)]
    blue, green = (10, 10, 3, 0, 0, 255, 255), (10, 10, 3, 0, 255, 0, 255)
    render_all([[*trunk, blue], [*trunk, green], trunk, [*trunk, blue, green]], CountedCircles(SIZE))
    assert CountedCircles.painted == len(trunk) + len([blue, green]) + len([green])


def test_thousands_of_shapes_and_of_paintings_that_share_them_can_be_drawn():
    trunk = [(index % 40, index % 30, 3, index % 256, 99, 99, 200) for index in range(1500)]
    together = [trunk[:length] for length in range(1, 1501)]  # a fork at every depth
    pictures = render_all(together, CIRCLES)
    for index in (0, 1, 750, 1499):
        np.testing.assert_array_equal(np.asarray(pictures[index]), np.asarray(render(together[index], CIRCLES)))


def test_no_painting_is_no_picture():
    assert render_all([], CIRCLES) == []


def test_pictures_that_are_drawn_together_are_independent():
    shape = (20, 15, 5, 255, 0, 0, 255)
    first, second = render_all([[shape], [shape]], CIRCLES)
    first.paste((0, 0, 255), (0, 0, *SIZE))
    assert second.getpixel((20, 15)) == (255, 0, 0)


def test_a_later_shape_covers_an_earlier_one():
    red, blue = (20, 15, 5, 255, 0, 0, 255), (20, 15, 5, 0, 0, 255, 255)
    assert render([red, blue], CIRCLES).getpixel((20, 15)) == (0, 0, 255)
