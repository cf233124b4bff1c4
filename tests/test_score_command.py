"""``open-nsfw score``: a row for each file, whatever is in it, and an exit code that tells."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from nsfw_command.main import main

IMG = Path(__file__).parent.parent / "img"
ROCKET = str(IMG / "rocket.jpg")


@pytest.fixture
def folder(tmp_path):
    """A folder with two pictures (one in a subfolder), a text file, a text renamed to .jpg and an empty file."""
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (64, 64), "white").save(tmp_path / "b.png")
    Image.new("L", (64, 64)).save(tmp_path / "sub" / "a.JPG", format="JPEG")
    (tmp_path / "notes.txt").write_text("not looked at")
    (tmp_path / "c.jpg").write_text("text renamed")
    (tmp_path / "d.gif").touch()
    return tmp_path


def test_a_score_and_a_file_per_line(capsys):
    assert main(["score", ROCKET, str(IMG / "moon.png")]) == 0
    assert capsys.readouterr().out == f"0.000463  {ROCKET}\n0.049501  {IMG / 'moon.png'}\n"


def test_folders_are_searched_and_bad_files_are_rows_of_their_own(folder, capsys):
    assert main(["score", str(folder)]) == 1
    good_b, bad_c, bad_d, good_a = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"0\.\d{{6}}  {folder}/b\.png", good_b)
    assert re.fullmatch(rf" +ERROR  {folder}/c\.jpg: not a picture of a supported format.*", bad_c)
    assert re.fullmatch(rf" +ERROR  {folder}/d\.gif: .*", bad_d)
    assert re.fullmatch(rf"0\.\d{{6}}  {folder}/sub/a\.JPG", good_a)


def test_json(folder, capsys):
    assert main(["score", "--json", str(folder), ROCKET]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [Path(row["file"]).name for row in rows] == ["b.png", "c.jpg", "d.gif", "a.JPG", "rocket.jpg"]
    assert [row["score"] is None for row in rows] == [False, True, True, False, False]
    assert [row["error"] is None for row in rows] == [True, False, False, True, True]
    assert rows[-1]["score"] == pytest.approx(0.0004626, abs=1e-6)


def test_csv(folder, capsys):
    assert main(["score", "--csv", str(folder)]) == 1
    header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["file", "score", "error"]
    assert [bool(score) for _, score, _ in rows] == [True, False, False, True]


def test_json_without_rows_to_score_is_an_array_all_the_same(tmp_path, capsys):
    assert main(["score", "--json", str(tmp_path)]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["file"] == str(tmp_path) and "is a folder, not a picture" in row["error"]


def test_a_missing_file_is_a_row_and_a_failure(capsys):
    assert main(["score", "none.png", ROCKET]) == 1
    assert capsys.readouterr().out.splitlines() == ["   ERROR  none.png: no such file", f"0.000463  {ROCKET}"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["score"], "PATH"),
        (["score", "--batch-size", "0", ROCKET], "expected a whole number of at least 1, got '0'"),
        (["score", "--json", "--csv", ROCKET], "not allowed with"),
        (["scor", ROCKET], "invalid choice"),
        ([], "SUBCOMMAND"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_weights_are_one_line_and_exit_code_2(tmp_path, capsys):
    assert main(["score", "--nsfw-pkl", str(tmp_path / "none.pkl"), ROCKET]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and re.fullmatch(r"open-nsfw: error: no such file: .*none\.pkl\n", captured.err)


def test_help_names_every_subcommand(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("score", "convert", "info", "evolve", "inverse"))


def test_a_reader_that_stops_early_is_no_error():
    command = f"{sys.executable} -m nsfw_command.main score {ROCKET} {ROCKET} --batch-size 1 | head -n 1"
    process = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=IMG.parent, timeout=300
    )
    assert process.stdout == f"0.000463  {ROCKET}\n" and "Traceback" not in process.stderr
