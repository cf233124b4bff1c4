"""Progress is thinned by a clock, not by counting."""

from nsfw_experiments.playground.pace import Pace


def due_of(moments, per_second):
    seconds = iter(moments)
    pace = Pace(per_second, clock=lambda: next(seconds))
    return [pace.is_due() for _ in moments]


def test_a_thousand_steps_in_a_second_are_shown_ten_times():
    assert sum(due_of([number / 1000 for number in range(1000)], per_second=10)) == 10


def test_the_first_step_and_every_slow_one_are_shown():
    assert all(due_of([5.0, 6.0, 9.0], per_second=10))
