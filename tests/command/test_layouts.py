"""Rows are laid out for people and for programs, and what programs get can be read back."""

import csv
import io
import json
import math

import pytest

from nsfw_command.formats import CsvFormat, JsonlFormat, read_blocks
from nsfw_command.layouts import csv_lines, json_lines, row_of_csv, row_of_json, table_lines
from nsfw_command.row import Row, labelled, rows_of_frames
from nsfw_scale.frames import FrameScore

FILM = [FrameScore(0.0, 0.1), FrameScore(1.0, 0.9), FrameScore(2.0, 0.95), FrameScore(3.0, 0.05), FrameScore(4.0, 0.8)]
ROWS = [
    Row("a.jpg", 0.25, None),
    Row("", None, "the empty name: no such file", "failed", 0.8),
    *rows_of_frames("film.mp4", FILM, "max", 0.8),
    *rows_of_frames("film.mp4", FILM, "all", 0.8),
    *rows_of_frames("safe.gif", FILM, "max", 0.99),
    Row('a,"b"\r\nc\r.jpg', 1e-9, None, "safe", 0.8, size=5, modified_ns=2**63 - 1),
    Row(" é\u2028.jpg ", 0.5, None),
]
FORMATS = pytest.mark.parametrize("format", [CsvFormat(), JsonlFormat()], ids=["csv", "jsonl"])


def test_a_film_tells_of_its_worst_second_its_mean_and_its_segments():
    (row,) = rows_of_frames("film.mp4", FILM, "max", 0.8)
    assert row.score == 0.95 and row.worst_second == 2.0 and row.label == "unsafe" and row.frames == 5
    assert row.mean == pytest.approx(0.56) and row.share_above == 0.6
    assert row.segments == ((1.0, 3.0), (4.0, 4.0))


def test_the_mean_is_judged_where_it_is_asked_for():
    (row,) = rows_of_frames("film.mp4", FILM, "mean", 0.8)
    assert row.score == pytest.approx(0.56) and row.label == "safe" and row.worst_second == 2.0


@pytest.mark.parametrize("score, threshold", [(math.nan, 0.8), (0.9, math.nan), (None, math.nan)])
def test_what_is_no_number_is_neither_safe_nor_unsafe(score, threshold):
    with pytest.raises(ValueError, match=f"a.jpg: got a score of {score} and a threshold of {threshold}, expected"):
        labelled(Row("a.jpg", score, None), threshold)


def test_a_photograph_tells_of_no_frames():
    assert rows_of_frames("a.jpg", FILM[:1], "all") == [Row("a.jpg", 0.1, None)]


def test_the_table_tells_of_frames_and_labels():
    assert list(table_lines(rows_of_frames("a.gif", FILM, "max"))) == ["0.950000  a.gif (5 frames, worst at 2 s)"]
    assert list(table_lines(rows_of_frames("a.gif", FILM[:2], "all", 0.8))) == [
        "0.100000  safe    a.gif (0 s)",
        "0.900000  unsafe  a.gif (1 s)",
    ]
    assert list(table_lines([Row("b.jpg", None, "is empty", "failed")])) == ["   ERROR  failed  b.jpg: is empty"]


def test_json_says_only_what_applies():
    objects = json.loads("\n".join(json_lines(ROWS)))
    assert objects[0] == {"file": "a.jpg", "score": 0.25, "error": None}
    assert objects[2]["segments"] == [[1.0, 3.0], [4.0, 4.0]] and "second" not in objects[2]


def cut_short(rows, error):
    yield from rows
    raise error


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_json_that_is_cut_short_is_whole_all_the_same(count, error):
    lines = []
    with pytest.raises(error):
        for line in json_lines(cut_short(ROWS[:count], error())):
            lines.append(line)
    assert [row["file"] for row in json.loads("\n".join(lines))] == [row.file for row in ROWS[:count]]


def test_csv_has_the_same_columns_always():
    header, *rows = csv.reader(csv_lines(ROWS))
    assert header == list(Row._fields)
    assert {len(row) for row in rows} == {len(header)}


def test_rows_are_read_back_as_they_were():
    lines = [f"{line}\r\n" for line in list(csv_lines(ROWS))[1:]]
    assert [row_of_csv(texts) for texts in csv.reader(lines)] == ROWS
    assert [row_of_json(json.dumps(row._asdict())) for row in ROWS] == ROWS


@FORMATS
def test_a_file_that_ends_anywhere_has_the_rows_that_are_whole(format, tmp_path):
    whole = b"".join(map(format.encode, ROWS))
    path = tmp_path / "rows"
    path.write_bytes(whole)
    with path.open("rb") as file:
        blocks = list(read_blocks(format, file))
    assert [row for rows, _, _ in blocks for row in rows] == ROWS
    assert [len(rows) for rows, _, _ in blocks] == [1, 1, 1, 5, 1, 1, 1]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with path.open("rb") as file:
            found = list(read_blocks(format, file))
        assert found == [block for block in blocks if block[2] <= length], length


@FORMATS
def test_what_is_no_row_is_an_error_and_not_the_end(format):
    lines = [format.encode(ROWS[0]), b'no "row"\r\n', format.encode(ROWS[0])]
    with pytest.raises(ValueError):
        list(format.read(lines))


def test_a_film_of_many_segments_is_read_back():
    """Python's own reader of CSV refuses texts of more than 131,072 characters."""
    row = Row("film.mp4", 0.9, None, frames=60_000, segments=tuple((at + 0.5, at + 1.0) for at in range(30_000)))
    assert [read for read, _ in CsvFormat().read([CsvFormat().encode(row)])] == [row]


@FORMATS
def test_names_that_are_not_utf8_are_kept_as_text(format):
    encoded = format.encode(Row("caf\udce9.jpg", 0.5, None))
    assert b"caf\\udce9.jpg" in encoded and encoded.decode("utf-8")


@FORMATS
def test_frames_whose_others_were_lost_are_no_rows_of_the_next_file(format):
    frame, *_ = rows_of_frames("film.mp4", FILM, "all")
    file = io.BytesIO(b"".join(map(format.encode, [frame, ROWS[0]])))
    assert [rows for rows, _, _ in read_blocks(format, file)] == [[ROWS[0]]]
