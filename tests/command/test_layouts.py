"""Rows are laid out for people and for programs, and what programs get can be read back."""

import csv
import io
import json
import math
import sys

import pytest

from nsfw_command.formats import CsvFormat, JsonlFormat, read_blocks
from nsfw_command.layouts import csv_lines, json_lines, row_of_csv, row_of_json, table_lines
from nsfw_command.row import Row, failed_row, labelled, rows_of_frames
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


def test_shares_have_four_digits_and_seconds_three():
    scores = [FrameScore(at / 7, 0.9 if at in (1, 2) else 0.1) for at in range(3)]
    (row,) = rows_of_frames("film.mp4", [*scores, *[FrameScore(1.0, 0.0)] * 3], "max", 0.8)
    assert (row.share_above, row.worst_second, row.segments) == (0.3333, 0.143, ((0.143, 1.0),))
    assert [row.second for row in rows_of_frames("film.mp4", scores, "all")] == [0.0, 0.143, 0.286]


def test_nothing_above_the_threshold_has_no_segments_and_no_threshold_no_share():
    (row,) = rows_of_frames("film.mp4", FILM, "max", 0.96)
    assert (row.share_above, row.segments, row.label) == (0.0, None, "safe")
    (row,) = rows_of_frames("film.mp4", FILM, "max")
    assert (row.share_above, row.segments, row.label, row.threshold) == (None, None, None, None)


def test_of_equal_frames_the_first_is_the_worst():
    (row,) = rows_of_frames("film.mp4", [FrameScore(float(at), 0.5) for at in range(3)], "max")
    assert row.worst_second == 0.0


def test_a_frame_at_the_threshold_is_above_it():
    (row,) = rows_of_frames("film.mp4", [FrameScore(0.0, 0.8), FrameScore(1.0, 0.7999)], "max", 0.8)
    assert (row.share_above, row.segments, row.label) == (0.5, ((0.0, 1.0),), "unsafe")


def test_a_row_of_each_frame_counts_all_of_them():
    rows = rows_of_frames("film.mp4", FILM, "all", 0.8)
    assert [row.frames for row in rows] == [5] * 5 and [row.label for row in rows].count("unsafe") == 3
    assert {row.worst_second for row in rows} == {None}


def test_the_mean_is_judged_where_it_is_asked_for():
    (row,) = rows_of_frames("film.mp4", FILM, "mean", 0.8)
    assert row.score == pytest.approx(0.56) and row.label == "safe" and row.worst_second == 2.0


@pytest.mark.parametrize("score, threshold", [(math.nan, 0.8), (0.9, math.nan), (None, math.nan)])
def test_what_is_no_number_is_neither_safe_nor_unsafe(score, threshold):
    with pytest.raises(ValueError, match=f"a.jpg: got a score of {score} and a threshold of {threshold}, expected"):
        labelled(Row("a.jpg", score, None), threshold)


def test_a_picture_that_failed_has_its_name_and_why():
    assert failed_row("a.jpg", "is empty") == Row("a.jpg", None, "is empty")
    assert failed_row("a.jpg", "is empty", 0.8) == Row("a.jpg", None, "is empty", "failed", 0.8)


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


DEEP = json.loads("[" * 900 + "]" * 900)
NO_SHARES = [7.5, -3, True, "0.5", [1], {}, math.nan, math.inf, -math.inf, 10**400, 1.0000001, -1e-9, DEEP]
NO_SECONDS = [-0.1, True, "1", [1.0], math.nan, math.inf, 10**400]
NO_WHOLES = [0.5, 1.0, True, "1", [1], math.nan, 2**63, 10**400]
NO_TEXTS = [0, 1.5, True, ["x"], {}, math.nan]
NO_VALUES = {
    "file": [None, *NO_TEXTS],
    "score": NO_SHARES,
    "error": NO_TEXTS,
    "label": ["", "Safe", "other", *NO_TEXTS],
    "threshold": NO_SHARES,
    "frames": [0, -1, *NO_WHOLES],
    "second": NO_SECONDS,
    "worst_second": NO_SECONDS,
    "mean": NO_SHARES,
    "share_above": NO_SHARES,
    "segments": [3, "ab", ["ab"], [[1.0]], [[1.0, 2.0, 3.0]], [[1.0, math.nan]], [[1.0, "2"]], {"a": 1}, [1.0], DEEP],
    "inspection": NO_TEXTS,
    "size": [-1, *NO_WHOLES],
    "modified_ns": [-(2**63) - 1, *NO_WHOLES],
}
SOUND = Row("a.gif", 0.9, None, "unsafe", 0.8, 2, 0.5, 1.5, 0.5, 0.5, ((1.0, 2.0),), "inverted", 5, 6)


@pytest.mark.parametrize("name", Row._fields)
def test_every_attribute_of_a_row_is_read_back_within_its_bounds_only(name):
    assert row_of_json(json.dumps(SOUND._asdict())) == SOUND
    for value in NO_VALUES[name]:
        with pytest.raises(ValueError, match=f"^{name}: got .*, expected "):
            row_of_json(json.dumps({**SOUND._asdict(), name: value}))


LAST_VALUES = {
    **dict.fromkeys(("score", "threshold", "mean", "share_above"), [0, 0.0, 1, 1.0, 5e-324]),
    **dict.fromkeys(("second", "worst_second"), [0, 0.0, 7, sys.float_info.max]),
    "file": ["", "-"],
    "frames": [1, 2**63 - 1],
    "segments": [[[0, 0]], [[0.0, sys.float_info.max], [3, 4]]],
    "inspection": ["robustly inverted"],
    "size": [0, 2**63 - 1],
    "modified_ns": [-(2**63), -1, 0, 2**63 - 1],  # before 1970, too
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in LAST_VALUES.items() for value in values])
def test_the_last_values_of_the_bounds_are_within_them(name, value):
    row = row_of_json(json.dumps({**SOUND._asdict(), name: value}))
    assert row == SOUND._replace(**{name: tuple(map(tuple, value)) if name == "segments" else value})
    assert [read for read, _ in CsvFormat().read([CsvFormat().encode(row)])] == [row]


@pytest.mark.parametrize("label, score, error", [("unsafe", 0.9, None), ("safe", 0.1, None), ("failed", None, "empty")])
def test_each_label_is_read_back(label, score, error):
    row = Row("a.jpg", score, error, label, 0.8)
    assert row_of_json(json.dumps(row._asdict())) == row


@pytest.mark.parametrize("name", Row._fields[3:])
def test_every_attribute_but_three_may_be_missing(name):
    together = {"label": ("label", "threshold"), "threshold": ("label", "threshold"), "frames": ("frames", "second")}
    missing = together.get(name, (name,))
    texts = {key: value for key, value in SOUND._asdict().items() if key not in missing}
    assert row_of_json(json.dumps(texts)) == SOUND._replace(**dict.fromkeys(missing))


@pytest.mark.parametrize("name", Row._fields[:3])
def test_three_attributes_may_not(name):
    texts = {key: value for key, value in SOUND._asdict().items() if key != name}
    for others in texts, {**SOUND._asdict(), "other": 1}:
        with pytest.raises(ValueError, match="expected an object with the keys file, score, error, label"):
            row_of_json(json.dumps(others))


NO_TEXTS_OF_CSV = {
    **dict.fromkeys(("score", "threshold", "mean", "share_above"), ["nan", "inf", "7.5", "-3", "1e400", "x"]),
    **dict.fromkeys(("second", "worst_second"), ["nan", "inf", "-1", "1e400", "x"]),
    **dict.fromkeys(("frames", "size", "modified_ns"), ["nan", "1.0", "x", "9" * 5000, str(2**63)]),
    "segments": ["1", "1-2-3", "nan-1.0", "1.0-inf", "x-y"],
    "label": ["other", ""],
    "error": ["is damaged"],
}


@pytest.mark.parametrize("name, text", [(name, text) for name, texts in NO_TEXTS_OF_CSV.items() for text in texts])
def test_every_column_of_csv_is_read_back_within_its_bounds_only(name, text):
    texts = dict(zip(Row._fields, next(csv.reader(CsvFormat().encode(SOUND).decode().splitlines()))))
    assert row_of_csv(list(texts.values())) == SOUND
    with pytest.raises(ValueError):
        row_of_csv(list({**texts, name: text}.values()))


@pytest.mark.parametrize("changes, message", [
    ({"error": "is damaged"}, "score: got 0.9 and the error 'is damaged', expected one of them"),
    ({"score": None}, "score: got None and the error None, expected one of them"),
    ({"label": None}, "label: got None and the threshold 0.8, expected both or none"),
    ({"threshold": None}, "label: got unsafe and the threshold None, expected both or none"),
    ({"label": "failed"}, "label: got failed and the score 0.9, expected failed where there is none"),
    ({"score": None, "error": "x"}, "label: got unsafe and the score None, expected failed where there is none"),
    ({"frames": None}, "second: got 0.5 and no number of frames, expected one"),
])  # fmt: skip
def test_rows_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        row_of_json(json.dumps({**SOUND._asdict(), **changes}))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"file": ' + "[" * 200_000, "[" * 200_000 + "]" * 200_000])
def test_brackets_within_brackets_are_no_row(text):
    with pytest.raises(ValueError, match=r"got '[\[{].*, expected an object with the keys file, score"):
        row_of_json(text)


def test_whole_numbers_are_scores_too():
    """Other programs write 1.0 so."""
    assert [row_of_json(f'{{"file": "a", "score": {score}, "error": null}}').score for score in (0, 1)] == [0, 1]


def test_what_an_inspection_has_found_does_not_forge_rows():
    assert list(table_lines([Row("a.jpg", 0.9, None, inspection="x\n0.000001  b.jpg")])) == [
        r"0.900000  x\n0.000001  b.jpg  a.jpg"
    ]


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
