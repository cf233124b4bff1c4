"""The line that closes a run: only what there was is told."""

import pytest

from nsfw_command import tally as tally_module
from nsfw_command.row import Row, failed_row, labelled
from nsfw_command.tally import Tally

SCORED = [labelled(Row("a.jpg", 0.1, None), 0.8)]
UNSAFE = [labelled(Row("b.jpg", 0.8, None), 0.8)]
FAILED = [failed_row("c.jpg", "is empty", 0.8)]
PLAIN = [Row("d.jpg", 0.9, None)]


def told(*pictures, kinds=(), before=0, seconds=2.0):
    tally = Tally()
    for number, rows in enumerate(pictures):
        tally.add(rows, before=number < before)
    for kind in kinds:
        tally.pass_over(kind)
    return tally.text(seconds)


@pytest.mark.parametrize(
    "pictures, expected",
    [
        ([], "0 scored"),
        ([PLAIN], "1 scored; 0.5 pictures/s"),
        ([PLAIN] * 3, "3 scored; 1.5 pictures/s"),
        ([SCORED], "1 scored (0 unsafe); 0.5 pictures/s"),
        ([SCORED, UNSAFE, UNSAFE], "3 scored (2 unsafe); 1.5 pictures/s"),
        ([FAILED, SCORED], "1 scored (0 unsafe), 1 failed; 1.0 pictures/s"),
        ([FAILED, FAILED], "0 scored (0 unsafe), 2 failed; 1.0 pictures/s"),
        ([[*SCORED, *UNSAFE, *UNSAFE]], "1 scored (1 unsafe); 0.5 pictures/s"),
    ],
)
def test_pictures_are_counted_once_whatever_rows_they_have(pictures, expected):
    assert told(*pictures) == expected


@pytest.mark.parametrize(
    "kinds, expected",
    [
        (["pdf"], "0 scored, 1 no picture: 1 pdf"),
        (["text", "pdf", "pdf"], "0 scored, 3 no pictures: 2 pdf, 1 text"),
    ],
)
def test_what_is_no_picture_is_counted_by_its_kind_the_most_first(kinds, expected):
    assert told(kinds=kinds) == expected


def test_what_was_there_before_took_no_time():
    assert told(PLAIN, PLAIN, PLAIN, before=1) == "3 scored; 1 of them before; 1.0 pictures/s"
    assert told(PLAIN, PLAIN, before=2) == "2 scored; 2 of them before"


def test_no_time_at_all_is_one():
    assert told(PLAIN, seconds=0.0).endswith("pictures/s")


def test_time_is_counted_from_its_beginning(monkeypatch):
    moments = iter([10.0, 14.0])
    monkeypatch.setattr(tally_module.time, "monotonic", lambda: next(moments))
    tally = Tally()
    tally.add(PLAIN)
    assert tally.text() == "1 scored; 0.2 pictures/s"
