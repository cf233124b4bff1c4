"""``open-nsfw score``: a row for each file, whatever is in it, and an exit code that tells."""

import csv
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fresh_python import started_python
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import open_nsfw
from nsfw_command.main import main
from nsfw_command.row import Row
from nsfw_model.weights import load_weights, save_weights
from theano_cpu.onednn import runtime

ROOT = Path(__file__).parents[2]
IMG = ROOT / "img"
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
    assert main(["score", ROCKET, str(IMG / "camera.png")]) == 0
    assert capsys.readouterr().out == f"0.000463  {ROCKET}\n0.003831  {IMG / 'camera.png'}\n"


def test_folders_are_searched_and_bad_files_are_rows_of_their_own(folder, capsys):
    assert main(["score", str(folder)]) == 1
    good_b, bad_c, bad_d, good_a = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"0\.\d{{6}}  {folder}/b\.png", good_b)
    assert re.fullmatch(rf" +ERROR  {folder}/c\.jpg: not a picture of a supported format.*", bad_c)
    assert re.fullmatch(rf" +ERROR  {folder}/d\.gif: .*", bad_d)
    assert re.fullmatch(rf"0\.\d{{6}}  {folder}/sub/a\.JPG", good_a)


def test_odd_metadata_is_a_score_or_a_row_of_its_own(tmp_path, capsys):
    texts = {"comment": "x" * 70_000, "transparency": "none"}
    for key, value in texts.items():
        text = PngInfo()
        text.add_text(key, value)
        Image.new("L", (64, 64)).save(tmp_path / f"{key}.png", pnginfo=text)
    assert main(["score", str(tmp_path), ROCKET]) == 1
    comment, transparency, rocket = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"0\.\d{{6}}  {tmp_path}/comment\.png", comment)
    assert re.fullmatch(rf" +ERROR  {tmp_path}/transparency\.png: cannot be read as a picture: .*", transparency)
    assert rocket == f"0.000463  {ROCKET}"


def test_a_name_that_is_too_long_does_not_stop_the_others(capsys):
    assert main(["score", "a" * 300, ROCKET]) == 1
    bad, good = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" +ERROR  a{300}: .*File name too long.*", bad) and good == f"0.000463  {ROCKET}"


def test_a_link_to_nothing_is_a_row(tmp_path, capsys):
    (tmp_path / "b.jpg").symlink_to("gone")
    assert main(["score", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"   ERROR  {tmp_path}/b.jpg: no such file\n"


def test_a_folder_that_cannot_be_read_is_a_row(folder, capsys, monkeypatch):
    scandir = os.scandir

    def denying(path):
        if str(path).endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denying)  # permissions do not bind root, as whom containers run tests
    for name in ("c.jpg", "d.gif"):
        (folder / name).unlink()
    assert main(["score", str(folder)]) == 1
    good, unreadable = capsys.readouterr().out.splitlines()
    assert good.endswith("b.png") and unreadable.startswith(f"   ERROR  {folder}/sub: ")


@pytest.mark.parametrize("layout", [[], ["--csv"], ["--json"]])
def test_a_name_that_is_not_utf8_is_printed_with_escapes(tmp_path, layout):
    shutil.copy(ROCKET, os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    process = subprocess.run(
        [sys.executable, "-m", "nsfw_command.main", "score", *layout, str(tmp_path)],
        capture_output=True,
        cwd=IMG.parent,
        timeout=300,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert process.returncode == 0, process.stderr.decode()
    assert b"caf\\udce9.jpg" in process.stdout and b"0.00046" in process.stdout


@pytest.mark.parametrize("engine", ["cuda", "onednn"])
def test_an_engine_that_cannot_be_had_is_one_line_and_exit_code_2(engine, monkeypatch, capsys):
    def missing():
        raise runtime.OneDnnUnavailableError("oneDNN is not installed")

    monkeypatch.setattr(runtime, "native_module", missing)
    monkeypatch.setattr(open_nsfw, "_scorers", {})
    monkeypatch.setenv("THEANO_CPU_ENGINE", engine)
    assert main(["score", ROCKET]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and re.fullmatch(r"open-nsfw: error: .*(cuda|oneDNN).*\n", captured.err)


def test_a_network_of_more_classes_is_refused(tmp_path, capsys):
    architecture = ROOT / "nsfw_model" / "deploy.prototxt"
    weights = dict(load_weights(ROOT / "nsfw.pkl"))
    weights["fc_nsfw"] = [np.zeros((5, 1024), "float32"), np.zeros(5, "float32")]
    head, last = architecture.read_text().rsplit("num_output: 2", 1)
    (tmp_path / "five.prototxt").write_text(f"{head}num_output: 5{last}")
    save_weights(tmp_path / "five.pkl", list(weights.items()))
    files = ["--nsfw-pkl", str(tmp_path / "five.pkl"), "--prototxt", str(tmp_path / "five.prototxt")]
    assert main(["score", *files, ROCKET]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == (
        f"open-nsfw: error: {tmp_path}/five.prototxt: last layer: got SoftmaxLayer of shape (None, 5), "
        "expected a Softmax over two classes, shape (None, 2)\n"
    )


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
    assert header[:3] == ["file", "score", "error"] and header == list(Row._fields)
    assert [bool(score) for _, score, *_ in rows] == [True, False, False, True]


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


def test_a_reader_that_stops_early_is_no_error():
    command = f"{sys.executable} -m nsfw_command.main score {ROCKET} {ROCKET} --batch-size 1 | head -n 1"
    process = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=IMG.parent, timeout=300)
    assert process.stdout == f"0.000463  {ROCKET}\n" and "Traceback" not in process.stderr


def test_names_cannot_forge_rows_or_command_the_terminal(tmp_path, capsys):
    name = "a\n0.000001  innocent.jpg\x1b[2J\u202e.png"
    Image.new("RGB", (64, 64)).save(tmp_path / name)
    (tmp_path / "b\x1b]0;title\x07.jpg").write_text("no picture")
    assert main(["score", str(tmp_path)]) == 1
    rows = capsys.readouterr().out
    assert len(rows.splitlines()) == 2 and "\x1b" not in rows and "\u202e" not in rows
    assert r"a\n0.000001  innocent.jpg\x1b[2J\u202e.png" in rows and r"b\x1b]0;title\x07.jpg" in rows


@pytest.mark.parametrize("name", ["a\nb\u202e.png", "a\rb.png"])
def test_programs_get_names_as_they_are(name, tmp_path, capsys):
    Image.new("RGB", (64, 64)).save(tmp_path / name)
    assert main(["score", str(tmp_path), "--csv"]) == 0
    _, row = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row[0] == str(tmp_path / name)


def test_names_stay_as_they_were_given(monkeypatch, capsys):
    monkeypatch.chdir(IMG)
    assert main(["score", "./rocket.jpg", "../img//rocket.jpg", "--csv"]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "./rocket.jpg",
        "../img//rocket.jpg",
    ]


def test_an_empty_name_is_not_the_working_directory(monkeypatch, capsys):
    """Such as of a shell's variable that is not set."""
    monkeypatch.chdir(IMG)
    assert main(["score", ""]) == 1
    assert capsys.readouterr().out == "   ERROR  : the empty name: no such file\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.timeout(60)
def test_a_pipe_that_is_named_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert main(["score", str(tmp_path / "pipe.jpg"), "/dev/null"]) == 1
    pipe, device = capsys.readouterr().out.splitlines()
    assert pipe.endswith("pipe.jpg: is a pipe or a device, not a file") and device.endswith("not a file")


def test_the_working_directory_does_not_choose_the_network(tmp_path, monkeypatch, capsys):
    """Whoever scores a folder of uploads may well be in it."""
    installed = open_nsfw.model_files()
    name, blobs = load_weights(ROOT / "nsfw.pkl")[0]
    hostile = [(name, [np.zeros_like(blob) for blob in blobs]), *load_weights(ROOT / "nsfw.pkl")[1:]]
    save_weights(tmp_path / "nsfw.pkl", hostile)
    (tmp_path / "nsfw_model").mkdir()
    (tmp_path / "nsfw_model" / "deploy.prototxt").write_text("layer { }")
    monkeypatch.chdir(tmp_path)
    assert main(["score", "-v", ROCKET]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("0.000463")
    weights, architecture = installed
    assert captured.err == f"open-nsfw: weights: {weights}\nopen-nsfw: architecture: {architecture}\n"
    shutil.rmtree(tmp_path / "nsfw_model")
    monkeypatch.setenv("OPEN_NSFW_FOLDER", ".")
    assert main(["score", "-v", ROCKET]) == 0
    captured = capsys.readouterr()
    assert not captured.out.startswith("0.000463") and f"weights: {tmp_path / 'nsfw.pkl'}\n" in captured.err
    (tmp_path / "nsfw.pkl").unlink()
    assert main(["score", ROCKET]) == 2
    assert "no such file: nsfw.pkl" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.2, 0.3])
def test_ctrl_c_at_the_start_is_no_traceback(seconds):
    command = ["-m", "nsfw_command", "score", "img"]
    process = started_python(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # Before the first line of ours Python itself is starting
    assert "Traceback" not in said or "import signal" in said or "nsfw_command" not in said
