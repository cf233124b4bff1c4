"""Rows are kept from the moment that they are made, and a run goes on where it was, whatever ended it."""

import errno
import json
import os
import signal
import textwrap
import time
from functools import partial
from importlib.util import find_spec

import pytest
from fresh_python import fresh_python, started_python
from PIL import Image

from nsfw_command import results as results_module
from nsfw_command import score
from nsfw_command.found import Found
from nsfw_command.main import main
from nsfw_command.parquet import read_parquet, write_parquet
from nsfw_command.results import Results, ResultsError
from nsfw_command.row import Row, labelled, rows_of_frames
from nsfw_model.outputs import OutputError
from nsfw_scale.frames import FrameScore

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="no pyarrow here")
SUFFIXES = pytest.mark.parametrize("suffix", ["csv", "jsonl", pytest.param("parquet", marks=needs_pyarrow)])
MODEL = {"weights": "a", "--frames": "max"}


def found(name, modified_ns=1):
    return Found(name, False, 10, modified_ns)


def row(name, number=0.25, threshold=None):
    return labelled(Row(name, number, None), threshold)


def stored(path):
    """The rows of a file, by name and score."""
    if path.suffix == ".parquet":
        return [(row.file, row.score) for row in read_parquet(path)]
    with Results(path, json.loads(open(f"{path}.run").readline())["settings"], resume=True) as results:
        spans = sorted(results._spans.values())
        return [(row.file, row.score) for span in spans for row in results._read(span)]


def written(path, files, settings=MODEL, **options):
    """Let a run write a row for each file that has none; gives those that had some."""
    with Results(path, settings, **options) as results:
        had = [it.file for it in files if results.has(it)]
        for it in files:
            if not results.has(it):
                results.add(it, [row(it.file, threshold=options.get("threshold"))])
        results.finish(files)
    return had


@SUFFIXES
def test_only_what_is_new_is_asked_for(suffix, tmp_path):
    path = tmp_path / f"out.{suffix}"
    assert written(path, [found("a"), found("b")]) == []
    assert written(path, [found("a"), found("b"), found("c")], resume=True) == ["a", "b"]
    assert [name for name, _ in stored(path)] == ["a", "b", "c"]


@SUFFIXES
def test_a_changed_file_is_asked_for_again_and_has_one_row_in_its_place(suffix, tmp_path):
    path = tmp_path / f"out.{suffix}"
    written(path, [found("a"), found("b")])
    with Results(path, MODEL, resume=True) as results:
        changed = found("a", modified_ns=2)
        assert not results.has(changed) and not results.has(Found("b", False, 11, 1))
        results.add(changed, [row("a", 0.75)])
        results.finish([changed, found("b")])
    assert stored(path) == [("a", 0.75), ("b", 0.25)]


def test_rows_are_in_the_order_of_the_list_whenever_they_were_made(tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("b"), found("d")])
    written(path, [found("a"), found("b"), found("c"), found("d")], resume=True)
    assert [name for name, _ in stored(path)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("names, is_written", [("ab", False), ("ba", True)])
def test_rows_that_are_in_order_are_not_written_again(names, is_written, tmp_path):
    path = tmp_path / "out.csv"
    with Results(path, MODEL) as results:
        for name in names:
            results.add(found(name), [row(name)])
        before = path.stat().st_ino
        results.finish([found("a"), found("b")])
    assert (path.stat().st_ino != before) is is_written
    assert [name for name, _ in stored(path)] == ["a", "b"]


def test_rows_of_files_that_are_not_listed_stay_behind_the_others(tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("a"), found("z")])
    written(path, [found("b"), found("z")], resume=True)
    assert [name for name, _ in stored(path)] == ["b", "z", "a"]


def test_a_file_that_cannot_be_looked_at_is_never_done(tmp_path):
    nowhere = Found("gone.jpg", True)
    path = tmp_path / "out.csv"
    assert written(path, [nowhere]) == written(path, [nowhere], resume=True) == []
    assert stored(path) == [("gone.jpg", 0.25)]


def test_a_row_is_in_the_file_when_add_returns(tmp_path):
    path = tmp_path / "out.jsonl"
    with Results(path, MODEL) as results:
        for number in range(3):
            results.add(found(str(number)), [row(str(number))])
            assert path.read_bytes().count(b"\n") == number + 1


def test_what_is_no_picture_is_remembered_without_a_row(tmp_path):
    path = tmp_path / "out.csv"
    with Results(path, MODEL) as results:
        results.pass_over(found("a.pdf"), "pdf")
        results.finish([found("a.pdf")])
    with Results(path, MODEL, resume=True) as results:
        assert results.has(found("a.pdf")) and results.kind(found("a.pdf")) == "pdf"
        assert not results.has(found("a.pdf", modified_ns=2))
    assert stored(path) == []


def test_what_is_no_picture_is_asked_for_once_somebody_names_it(tmp_path):
    path, named = tmp_path / "out.csv", found("a.pdf")._replace(named=True)
    with Results(path, MODEL) as results:
        results.pass_over(found("a.pdf"), "pdf")
        assert not results.has(named)
    with Results(path, MODEL, resume=True) as results:
        assert not results.has(named) and results.kind(named) is None
        results.add(named, [Row("a.pdf", None, "not a picture")])
        assert results.has(named) and results.rows(named)[0].error == "not a picture"
    assert stored(path) == [("a.pdf", None)]


def test_what_is_listed_twice_has_one_row(tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("b"), found("a"), found("b")._replace(named=True)])
    assert stored(path) == [("b", 0.25), ("a", 0.25)]


def test_a_note_that_was_cut_short_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "out.csv"
    written(path, [])
    with open(f"{path}.run", "ab") as file:
        file.write(b'{"file": "a.pdf", "si')
    with Results(path, MODEL, resume=True) as results:
        results.pass_over(found("b.pdf"), "pdf")
    with Results(path, MODEL, resume=True) as results:
        assert results.has(found("b.pdf")) and not results.has(found("a.pdf"))


def test_a_picture_that_became_something_else_has_no_row_any_more(tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("a"), found("b")])
    with Results(path, MODEL, resume=True) as results:
        results.pass_over(found("b", modified_ns=2), "pdf")
        results.finish([found("a"), found("b", modified_ns=2)])
    assert stored(path) == [("a", 0.25)]


def test_what_failed_is_done_unless_it_is_to_be_tried_again(tmp_path):
    path = tmp_path / "out.csv"
    with Results(path, MODEL) as results:
        results.add(found("a"), [Row("a", None, "is damaged")])
    for retry in (False, True):
        with Results(path, MODEL, resume=True, retry=retry) as results:
            assert results.has(found("a")) is not retry


@SUFFIXES
def test_nothing_that_is_there_is_replaced_unasked(suffix, tmp_path):
    path = tmp_path / f"out.{suffix}"
    path.write_bytes(b"mine")
    with pytest.raises(ResultsError, match="exists; --resume goes on from there, --force replaces it"):
        written(path, [found("a")])
    with pytest.raises(ResultsError, match=r"out.\w+: cannot be gone on with: .*\.run does not say how it was made"):
        written(path, [found("a")], resume=True)
    assert path.read_bytes() == b"mine"
    written(path, [found("a")], force=True)
    assert stored(path) == [("a", 0.25)]


@SUFFIXES
def test_old_rows_stay_whole_until_there_is_a_new_one(suffix, tmp_path):
    path = tmp_path / f"out.{suffix}"
    written(path, [found("a")])
    before = {it.name: it.read_bytes() for it in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt), Results(path, MODEL, force=True) as results:
        raise KeyboardInterrupt
    assert not results.begun and {it.name: it.read_bytes() for it in tmp_path.iterdir()} == before
    assert written(path, [found("b")], {**MODEL, "weights": "b"}, force=True) == []
    assert stored(path) == [("b", 0.25)]


@SUFFIXES
def test_a_run_that_ends_before_its_first_row_leaves_nothing(suffix, tmp_path):
    for options in {}, {"force": True}, {"resume": True}:
        with pytest.raises(KeyboardInterrupt), Results(tmp_path / f"out.{suffix}", MODEL, **options):
            raise KeyboardInterrupt
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(ResultsError, match="cannot be gone on with"):
        written(tmp_path / "mine.csv", [], resume=True)
    assert os.listdir(tmp_path) == ["mine.csv"]


@pytest.mark.parametrize("name, other", [("weights", "b"), ("--frames", "mean")])
def test_rows_of_another_model_or_other_settings_are_not_gone_on_with(name, other, tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("a")])
    before = path.read_bytes()
    message = (
        f"out.csv: {name}: got {other}, its rows were made with {MODEL[name]}; expected the same, or another --out"
    )
    with pytest.raises(ResultsError, match=message):
        written(path, [found("b")], {**MODEL, name: other}, resume=True)
    assert path.read_bytes() == before


def test_photographs_are_labelled_anew_for_another_threshold(tmp_path):
    path = tmp_path / "out.csv"
    with Results(path, MODEL, 0.8) as results:
        results.add(found("a"), [row("a", 0.6, 0.8)])
        results.add(found("gone"), [row("gone", 0.6, 0.8)])
    with Results(path, MODEL, 0.5, resume=True) as results:
        assert results.has(found("a"))
        assert [(it.label, it.threshold) for it in results.rows(found("a"))] == [("unsafe", 0.5)]
        results.finish([found("a")])
    assert path.read_text().count(",unsafe,0.5,") == 2


def test_animations_are_scored_again_for_another_threshold(tmp_path):
    """Which of their frames are above it is not in their rows."""
    path = tmp_path / "out.csv"
    scores = [FrameScore(0.0, 0.1), FrameScore(1.0, 0.6)]
    with Results(path, MODEL, 0.8) as results:
        for name in "a.gif", "b.gif":
            results.add(found(name), rows_of_frames(name, scores, "max", 0.8))
    assert written(path, [found("a.gif")], resume=True) == ["a.gif"]
    with Results(path, MODEL, 0.5, resume=True) as results:
        assert not results.has(found("a.gif"))
        results.add(found("a.gif"), rows_of_frames("a.gif", scores, "max", 0.5))
        results.finish([found("a.gif")])
    a, b = path.read_text().splitlines()[1:]
    assert ",unsafe,0.5," in a and b.startswith("b.gif,0.6,,safe,0.8,"), "what is not scored again stays as it was"


def test_all_frames_of_a_film_are_there_or_none(tmp_path):
    path = tmp_path / "out.csv"
    rows = rows_of_frames("a.gif", [FrameScore(float(at), 0.5) for at in range(3)], "all")
    with Results(path, MODEL) as results:
        results.add(found("0"), [row("0")])
        results.add(found("a.gif"), rows)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 50)  # the last row, and a part of the one before it
    with Results(path, MODEL, resume=True) as results:
        assert results.has(found("0")) and not results.has(found("a.gif"))
        results.add(found("a.gif"), rows)
        results.finish([found("0"), found("a.gif")])
    assert stored(path) == [("0", 0.25), *[("a.gif", 0.5)] * 3]


@SUFFIXES
def test_names_that_are_not_utf8_are_found_again(suffix, tmp_path):
    path = tmp_path / f"out.{suffix}"
    name = os.fsdecode(b"caf\xe9,\n.jpg")
    written(path, [found(name)])
    assert written(path, [found(name)], resume=True) == [name]
    with Results(path, MODEL, resume=True) as results:
        assert [row.file for row in results.rows(found(name))] == [name]


@SUFFIXES
def test_a_name_that_looks_like_an_escape_is_not_taken_for_one(suffix, tmp_path):
    names = ["\udcff.jpg", r"\udcff.jpg", r"\\udcff.jpg", "\\\udcff.jpg", r"\\\udcff.jpg", r"\udcf.jpg", r"\x\\"]
    files = [found(name) for name in names]
    path = tmp_path / f"out.{suffix}"
    with Results(path, MODEL) as results:
        for score, it in enumerate(files):
            results.add(it, [row(it.file, score / 10)])
        results.finish(files)
    with Results(path, MODEL, resume=True) as results:
        assert [results.rows(it)[0].score for it in files] == [score / 10 for score in range(len(files))]


@posix
def test_two_runs_do_not_write_to_one_file(tmp_path):
    path = tmp_path / "out.csv"
    with Results(path, MODEL) as results:
        results.add(found("a"), [row("a")])
        for options in {"resume": True}, {"force": True}:
            with pytest.raises(ResultsError, match="out.csv: another process is writing to it"):
                written(path, [found("b")], **options)
    assert stored(path) == [("a", 0.25)]


@posix
def test_what_another_run_has_made_meanwhile_is_not_replaced_unasked(tmp_path, monkeypatch):
    path, plain = tmp_path / "out.csv", results_module._lock

    def lock(*arguments):
        monkeypatch.setattr(results_module, "_lock", plain)
        written(path, [found("a")])
        plain(*arguments)

    monkeypatch.setattr(results_module, "_lock", lock)
    with pytest.raises(ResultsError, match=r"out.csv: exists; --resume goes on"):
        written(path, [found("b")])
    assert stored(path) == [("a", 0.25)]


@posix
@SUFFIXES
def test_two_runs_do_not_write_to_one_file_of_two_names(suffix, tmp_path):
    path, link = tmp_path / f"b.{suffix}", tmp_path / f"a.{suffix}"
    link.symlink_to(path.name)
    with Results(path, MODEL) as results:
        results.add(found("a"), [row("a")])
        with pytest.raises(ResultsError, match=f"a.{suffix}: another process is writing to it"):
            written(link, [found("b")], force=True)
        results.finish([found("a")])
    assert stored(path) == [("a", 0.25)]
    assert written(link, [found("a"), found("b")], resume=True) == ["a"] and link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == [link.name, path.name, f"{path.name}.run"]


@posix
def test_two_runs_do_not_write_to_one_file_that_is_linked_hard(tmp_path):
    path = tmp_path / "b.csv"
    with Results(path, MODEL) as results:
        results.add(found("a"), [row("a")])
        os.link(path, tmp_path / "a.csv")
        with pytest.raises(ResultsError, match=r"a.csv: another process is writing to it"):
            written(tmp_path / "a.csv", [found("b")], force=True)
    assert stored(path) == [("a", 0.25)]


@posix
def test_a_file_beside_the_rows_that_is_not_there_any_more_locks_nothing(tmp_path, monkeypatch):
    """Whoever opened it before it was removed has the lock of a file that nobody else will find."""
    import fcntl

    plain = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: (os.unlink(tmp_path / "a.csv.run"), plain(*arguments)))
    with pytest.raises(ResultsError, match=r"a.csv: another process is writing to it"):
        written(tmp_path / "a.csv", [found("a")])


@SUFFIXES
def test_parquet_appears_whole_and_the_others_grow(suffix, tmp_path):
    path = tmp_path / f"out.{suffix}"
    with Results(path, MODEL) as results:
        results.add(found("a"), [row("a")])
        assert path.exists() is (suffix != "parquet")
        results.finish([found("a")])
    assert sorted(os.listdir(tmp_path)) == [path.name, f"{path.name}.run"]


@needs_pyarrow
def test_rows_for_parquet_that_were_not_finished_are_gone_on_with(tmp_path):
    path = tmp_path / "out.parquet"
    with Results(path, MODEL) as results:
        results.add(found("a"), [row("a")])
    with pytest.raises(ResultsError, match="out.parquet.jsonl: exists"):
        written(path, [found("a")])
    assert written(path, [found("a"), found("b")], resume=True) == ["a"]
    assert [name for name, _ in stored(path)] == ["a", "b"]


@needs_pyarrow
def test_a_parquet_file_that_was_gone_on_with_does_not_take_the_place_of_newer_rows(tmp_path):
    path = tmp_path / "out.parquet"
    written(path, [found("a")])
    with Results(path, MODEL, resume=True) as results:
        results.add(found("b"), [row("b")])
    assert written(path, [found("a"), found("b")], resume=True) == ["a", "b"]
    assert [name for name, _ in stored(path)] == ["a", "b"]


def test_pandas_reads_parquet_and_csv(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    scores = [FrameScore(0.0, 0.1), FrameScore(1.0, 0.9)]
    for suffix, read in ("csv", pandas.read_csv), ("parquet", pandas.read_parquet):
        path = tmp_path / f"out.{suffix}"
        with Results(path, MODEL, 0.8) as results:
            results.add(found("caf\udce9.jpg"), [row("caf\udce9.jpg", 0.5, 0.8)])
            results.add(found("a.gif"), rows_of_frames("a.gif", scores, "max", 0.8))
            results.finish([found("caf\udce9.jpg"), found("a.gif")])
        frame = read(path)
        assert list(frame.columns) == list(Row._fields)
        assert list(frame["score"]) == [0.5, 0.9] and list(frame["modified_ns"]) == [1, 1]


@posix
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.run"])
@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused_at_once(name, make, tmp_path):
    make(tmp_path / name)
    for options in {}, {"force": True}, {"resume": True}:
        with pytest.raises(ResultsError, match=f"{name}: is a pipe, a folder or a device, expected a file or nothing"):
            written(tmp_path / "rows.csv", [found("a")], **options)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("path, beside", [
    ("rows.csv", "rows.csv.run"),
    pytest.param("rows.parquet", "rows.parquet.jsonl", marks=needs_pyarrow),
])  # fmt: skip
def test_a_link_that_somebody_has_laid_beside_it_is_not_followed(path, beside, tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / beside).symlink_to("precious")
    with pytest.raises(ResultsError, match=f"{beside}: is a link"):
        written(tmp_path / path, [found("a")], force=True)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("a")])
    for content, message in (
        (b"name,price\nhat,3\n", "out.csv:1: got b'name,price"),
        (path.read_bytes() + b"a,b\r\na,b\r\n", "is no row: got 2 columns"),
    ):
        path.write_bytes(content)
        with pytest.raises(ResultsError, match=message):
            written(path, [found("a")], resume=True)
        assert path.read_bytes() == content


ROW = b'{"file": "a", "score": %s, "error": null, "size": 10, "modified_ns": 1}\n'
BAD_ROWS = [
    *(("jsonl", ROW % score) for score in (b"7.5", b"true", b"NaN", b"1e400", b'"0.5"', b"[1]", b"[" * 200_000)),
    *(("csv", b"a,%s,,,,,,,,,,,10,1\r\n" % score) for score in (b"7.5", b"-3", b"nan", b"inf")),
]


@pytest.mark.parametrize("threshold", [None, 0.8])
@pytest.mark.parametrize("suffix, line", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_row_that_no_picture_has_is_refused_by_its_place_and_left_alone(suffix, line, threshold, tmp_path):
    path = tmp_path / f"out.{suffix}"
    written(path, [found("0")])
    begin = path.stat().st_size
    with path.open("ab") as file:
        file.write(line)
    before = path.read_bytes()
    with pytest.raises(ResultsError, match=rf"out.{suffix}: what is behind byte {begin} is no row: (score: )?got "):
        written(path, [found("a")], threshold=threshold, resume=True)
    assert path.read_bytes() == before


@needs_pyarrow
@pytest.mark.parametrize("changes", [{"score": 7.5}, {"score": float("nan")}, {"mean": -1.0}, {"label": "other"}])
def test_a_row_of_parquet_that_no_picture_has_is_refused(changes, tmp_path):
    path = tmp_path / "out.parquet"
    written(path, [found("a")])
    write_parquet(path, [row("a")._replace(**changes)])
    before = path.read_bytes()
    with pytest.raises(ResultsError, match=rf"out.parquet: is not of open-nsfw score: {next(iter(changes))}: got"):
        written(path, [found("a")], resume=True)
    assert path.read_bytes() == before


@needs_pyarrow
def test_parquet_of_something_else_is_refused(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "out.parquet"
    written(path, [found("a")])
    pyarrow.parquet.write_table(pyarrow.table({"file": ["a"], "score": [0.5]}), path)
    with pytest.raises(ResultsError, match="is not of open-nsfw score: got the columns file, score, expected file, sc"):
        written(path, [found("a")], resume=True)
    path.write_bytes(b"no parquet at all")
    with pytest.raises(ResultsError, match="out.parquet: is not of open-nsfw score: "):
        written(path, [found("a")], resume=True)


NOTE = {"file": "a.pdf", "size": 10, "modified_ns": 1, "kind": "pdf"}
NO_NOTES = {
    "file": [None, 3, ["a"]],
    "size": [-1, 1.5, "1", [1], {}, True, float("nan")],
    "modified_ns": [1.5, "1", [1], 2**63],
    "kind": [None, "", 3, ["x"], {}],
}
NO_LINES = [json.dumps({**NOTE, name: value}).encode() for name, values in NO_NOTES.items() for value in values]
NO_LINES += [b"[]", b"3", b"null", b'"abc"', b"{}", b"no JSON", b"\xff", b"[" * 200_000, b"9" * 5000]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("line", NO_LINES, ids=range(len(NO_LINES)))
def test_a_line_beside_the_rows_that_is_something_else_is_refused(line, place, tmp_path):
    path, beside = tmp_path / "out.csv", tmp_path / "out.csv.run"
    written(path, [found("a")])
    lines = [beside.read_bytes(), json.dumps(NOTE).encode() + b"\n"]
    lines[place] = line + b"\n"
    beside.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(ResultsError, match=r"out.csv.run: is not of open-nsfw score"):
        written(path, [found("a")], resume=True)
    assert beside.read_bytes() == b"".join(lines) and path.read_bytes() == before


@pytest.mark.parametrize("settings", [None, 3, "abc", ["weights"]])
def test_settings_that_are_none_are_refused(settings, tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("a")])
    (tmp_path / "out.csv.run").write_text(json.dumps({"settings": settings}) + "\n")
    with pytest.raises(ResultsError, match=r"is not of open-nsfw score: settings: got .*, expected an object"):
        written(path, [found("a")], resume=True)


@pytest.mark.parametrize("content", [b"[]\n", b'{"a": 1}\n', b"3\n"])
def test_a_file_beside_it_that_is_something_else_is_refused(content, tmp_path):
    path = tmp_path / "out.csv"
    written(path, [found("a")])
    (tmp_path / "out.csv.run").write_bytes(content)
    with pytest.raises(ResultsError, match=r"out.csv.run: is not of open-nsfw score"):
        written(path, [found("a")], resume=True)


@posix
@SUFFIXES
def test_a_full_disk_is_one_error_after_which_a_run_goes_on(suffix, tmp_path):
    """A limit on the size of files stands for the disk: the same writes fail."""
    path = tmp_path / f"out.{suffix}"
    code = f"""
        import resource
        from nsfw_command.found import Found
        from nsfw_command.results import Results
        from nsfw_command.row import Row
        from nsfw_model.outputs import OutputError
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        try:
            with Results({str(path)!r}, {MODEL!r}) as results:
                for number in range(1000):
                    results.add(Found(str(number), False, 10, 1), [Row(str(number), 0.25, None)])
        except OutputError as error:
            message = str(error)
            assert message == {str(path)!r} + (": cannot be written: File too large; "
                "--resume goes on with the rows that are there"), message
        else:
            raise AssertionError
    """
    fresh_python(textwrap.dedent(code))
    files = [found(str(number)) for number in range(100)]
    had = written(path, files, resume=True)
    assert len(had) > 10 and had == [it.file for it in files[: len(had)]]
    assert stored(path) == [(it.file, 0.25) for it in files]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"none/out.csv: cannot be written: No such file or directory$"):
        written(tmp_path / "none" / "out.csv", [found("a")])


def test_writing_goes_on_after_a_part(tmp_path, monkeypatch):
    """A system may write less than it is given."""
    path = tmp_path / "out.jsonl"
    with Results(path, MODEL) as results:
        results.add(found("a"), [row("a")])

        class Slow:
            def __init__(self, file):
                self.file, self.fileno = file, file.fileno

            def write(self, data):
                return self.file.write(bytes(data[:3]))

        results._rows = Slow(results._rows)
        results.add(found("b"), [row("b")])
    assert stored(path) == [("a", 0.25), ("b", 0.25)]


def test_the_disk_is_waited_for_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    synchronised = []
    monkeypatch.setattr(os, "fsync", synchronised.append)
    monkeypatch.setattr(results_module, "SYNCHRONISED_EVERY", 3600)
    with Results(tmp_path / "out.csv", MODEL) as results:
        results.add(found("a"), [row("a")])
        synchronised.clear()
        results.add(found("b"), [row("b")])
        assert synchronised == []
        monkeypatch.setattr(results_module, "SYNCHRONISED_EVERY", -1)
        results.add(found("c"), [row("c")])
        assert len(synchronised) == 2
    assert len(synchronised) == 4


def test_the_disk_is_waited_for_again_only_after_some_seconds(tmp_path, monkeypatch):
    synchronised, now = [], [100.0]
    monkeypatch.setattr(os, "fsync", synchronised.append)
    monkeypatch.setattr(results_module.time, "monotonic", lambda: now[0])
    with Results(tmp_path / "out.csv", MODEL) as results:
        results.add(found("0"), [row("0")])
        counts = []
        for seconds in 105.0, 105.1, 110.0, 110.2, 115.3:  # five seconds are not yet too many
            now[0] = seconds
            synchronised.clear()
            (results.add(found(str(seconds)), [row("a")]), counts.append(len(synchronised)))
        assert counts == [0, 2, 0, 2, 2]
        synchronised.clear()
        now[0] = 130.0
        results.pass_over(found("a.pdf"), "pdf")
        assert len(synchronised) == 2


def test_what_is_no_picture_is_in_the_file_when_it_is_passed_over(tmp_path):
    path = tmp_path / "out.csv"
    with Results(path, MODEL) as results:
        for number in range(3):
            results.pass_over(found(str(number)), "pdf")
            lines = (tmp_path / "out.csv.run").read_text().splitlines()
            assert len(lines) == number + 2
            assert json.loads(lines[-1]) == {"file": str(number), "size": 10, "modified_ns": 1, "kind": "pdf"}


@posix
@pytest.mark.parametrize("suffix", ["csv", "jsonl", pytest.param("parquet", marks=[pytest.mark.slow, needs_pyarrow])])
def test_a_process_that_is_killed_at_any_step_loses_nothing_that_was_added(suffix, tmp_path):
    """Steps are openings, renamings and removals of files, which Python tells of, each write, and each fsync."""
    path = tmp_path / f"out.{suffix}"
    code = f"""
        import os, sys
        from nsfw_command import results as module
        from nsfw_command.found import Found
        from nsfw_command.parquet import read_parquet
        from nsfw_command.results import Results
        from nsfw_command.row import Row
        path, suffix = {str(path)!r}, {suffix!r}
        files = [Found(name, False, 10, 1) for name in "bd"], [Found(name, False, 10, 1) for name in "abcd"]
        if suffix == "parquet":
            import pyarrow.parquet
        module.SYNCHRONISED_EVERY = -1  # so that each write is followed by a step
        steps, last = 0, None
        def at_each_step(event, arguments=()):
            global steps
            if last is not None and event.split(".")[0] in ("open", "os"):
                steps += 1
                if steps == last:
                    os._exit(77)
        sys.addaudithook(at_each_step)
        plain = os.fsync
        os.fsync = lambda *arguments: (at_each_step("os.fsync"), plain(*arguments))
        def run(listing, added):
            with Results(path, {MODEL!r}, resume=True) as results:
                for found in listing:
                    if not results.has(found):
                        results.add(found, [Row(found.file, 0.25, None)])
                        os.write(added, found.file.encode())
                    elif found.file == "b":
                        os.write(added, b"!")
                results.finish(listing)
        def finished():
            if suffix == "parquet":
                return [row.file for row in read_parquet(path)]
            return open(path, "rb").read()
        for name in os.listdir(os.path.dirname(path)):
            os.unlink(os.path.join(os.path.dirname(path), name))
        out, into = os.pipe()
        run(files[0], into), run(files[1], into)
        whole, killed = finished(), 0
        os.read(out, 99)
        for first_step in range(1, 200):
            for name in os.listdir(os.path.dirname(path)):
                os.unlink(os.path.join(os.path.dirname(path), name))
            child = os.fork()
            if child == 0:
                last = first_step
                run(files[0], into)
                run(files[1], into)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(into, b".")
            added = os.read(out, 99).decode()
            run(files[1], into)
            again = os.read(out, 99).decode()
            lost = set(added) & set(again) - set("!.")
            assert not lost, (first_step, added, again)
            assert finished() == whole, (first_step, finished())
            if code == 0:
                break
            killed += 1
        else:
            raise AssertionError("it never came to its end")
        assert killed > 15, killed
    """
    fresh_python(textwrap.dedent(code))


@pytest.fixture
def pictures(tmp_path):
    """A folder of forty small pictures and a text."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(40):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(folder / f"{number:02d}.png")
    (folder / "notes").write_text("no picture")
    return folder


@posix
@pytest.mark.slow
@SUFFIXES
def test_a_run_that_was_killed_ends_as_one_that_was_not(suffix, pictures, tmp_path):
    killed, whole = tmp_path / f"killed.{suffix}", tmp_path / f"whole.{suffix}"
    growing = tmp_path / f"killed.{suffix}{'.jsonl' if suffix == 'parquet' else ''}"
    options = ["--batch-size", "1", "--threshold", "0.5", "--quiet"]
    ends = 0
    for lines in 5, 12, 30:
        process = started_python(
            "-m", "nsfw_command", "score", str(pictures), "--out", str(killed), "--resume", *options
        )
        while process.poll() is None:
            if growing.exists() and growing.read_bytes().count(b"\n") >= lines:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.002)
        ends += process.returncode == -signal.SIGKILL
    assert ends == 3
    for path in killed, whole:
        assert main(["score", str(pictures), "--out", str(path), "--resume", *options]) == 0
    assert stored(killed) == stored(whole) and len(stored(whole)) == 40
    if suffix != "parquet":
        assert killed.read_bytes() == whole.read_bytes()


def test_a_run_with_nothing_new_computes_nothing(pictures, tmp_path, monkeypatch, capsys):
    out = str(tmp_path / "out.csv")
    assert main(["score", str(pictures), "--out", out, "--quiet"]) == 0
    monkeypatch.setattr(score, "nsfw_scores", None)
    capsys.readouterr()
    assert main(["score", str(pictures), "--out", out, "--resume"]) == 0
    assert capsys.readouterr().err == "open-nsfw: 40 scored, 1 no picture: 1 text; 40 of them before\n"


def test_another_model_is_refused_by_the_command(pictures, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(["score", str(pictures / "00.png"), "--out", str(out)]) == 0
    before = out.read_bytes()
    capsys.readouterr()
    assert main(["score", str(pictures), "--out", str(out), "--resume", "--frames", "mean"]) == 2
    assert capsys.readouterr().err == (
        f"open-nsfw: error: {out}: --frames: got mean, its rows were made with max; "
        "expected the same, or another --out\n"
    )
    assert out.read_bytes() == before


@pytest.mark.parametrize("refused", ["--nsfw-pkl", "--cluster"])
def test_what_is_refused_with_force_leaves_the_old_rows(refused, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(score, "connect", partial(score.connect, seconds=0.5))
    (tmp_path / "garbage.pkl").write_bytes(b"garbage")
    out, given = tmp_path / "out.csv", {"--nsfw-pkl": str(tmp_path / "garbage.pkl"), "--cluster": "tcp://127.0.0.1:1"}
    command = ["score", str(pictures / "00.png"), "--out", str(out)]
    assert main([*command, refused, given[refused]]) == 2 and not out.exists()
    assert main(command) == 0
    before = out.read_bytes()
    assert main([*command, "--force", refused, given[refused]]) == 2
    assert out.read_bytes() == before


def test_a_full_disk_is_exit_code_74(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    out = tmp_path / "out.csv"
    assert main(["score", str(pictures / "00.png"), "--out", str(out)]) == 74
    error = capsys.readouterr().err
    assert error.count("\n") <= 2 and f"error: {out}: cannot be written: No space left on device" in error


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_its_rows_and_says_so(number, pictures, tmp_path):
    out = tmp_path / "out.csv"
    command = ["score", str(pictures), "--out", str(out), "--batch-size", "1"]
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
from nsfw_command import score
from nsfw_command.main import main
def scores(images, *arguments, **options):
    for at, _ in enumerate(images):
        if at == 3:
            os.kill(os.getpid(), {int(number)})
        yield 0.5
score.nsfw_scores = scores
sys.exit(main({command!r}))
"""
    process = fresh_python(code, check=False)
    assert process.returncode == 128 + number
    assert process.stderr == f"open-nsfw: interrupted; {out} has the rows until then, and --resume goes on\n"
    assert len(stored(out)) == 3
