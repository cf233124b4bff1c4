"""``open-nsfw score``: a row for each file, whatever is in it, and an exit code that tells."""

import contextlib
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
import textwrap
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fresh_python import started_python
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import open_nsfw
from nsfw_command import score
from nsfw_command.main import main
from nsfw_command.row import Row
from nsfw_scale.frames import FrameScore
from nsfw_model.weights import load_weights, save_weights
from open_nsfw import PictureError
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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
@pytest.mark.parametrize("command", [["score", ROCKET], ["score", ROCKET, "--jsonl"], ["info"]], ids=" ".join)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_line_and_exit_code_74(command, unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "nsfw_command", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
    expected = "open-nsfw: error: standard output cannot be written: No space left on device\n"
    assert (run.returncode, run.stderr) == (74, expected)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
def test_ctrl_c_while_arguments_are_read_is_no_traceback():
    code = """
    import os, signal
    from nsfw_command import main
    from nsfw_command.__main__ import main as begin

    main.make_parser = lambda: os.kill(os.getpid(), signal.SIGINT)
    begin()
    """
    process = started_python("-c", textwrap.dedent(code), stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (-signal.SIGINT, "")


@pytest.fixture
def scores(monkeypatch):
    """Scores by file name in place of the network's; a list gives the frames of an animation."""
    numbers = {"unsafe.png": 0.9, "safe.png": 0.1, "edge.png": 0.8, "zero.png": 0.0}
    numbers["film.gif"] = [FrameScore(0.0, 0.2), FrameScore(0.5, 0.9), FrameScore(1.0, 0.4)]
    calls = []

    def scored(images, *arguments, **options):
        calls.append(options)
        scored.arguments = arguments
        for image in images:
            outcome = numbers.get(os.path.basename(image), PictureError(f"{image}: is damaged"))
            yield outcome if options["frames"] == "all" or not isinstance(outcome, list) else outcome[0].score

    monkeypatch.setattr(score, "nsfw_scores", scored)
    scored.calls = calls
    return scored


NAMES = ["safe.png", "unsafe.png", "broken.png", "film.gif", "edge.png"]


def printed(capsys, *arguments):
    """The file names of the lines that are printed, and the exit code."""
    code = main(["score", *NAMES, "--jsonl", *arguments])
    return [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()], code


def test_labels_come_with_a_threshold(scores, capsys):
    assert main(["score", *NAMES, "--threshold", "0.8"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "0.100000  safe    safe.png",
        "0.900000  unsafe  unsafe.png",
        "   ERROR  failed  broken.png: is damaged",
        "0.900000  unsafe  film.gif (3 frames, worst at 0.5 s)",
        "0.800000  unsafe  edge.png",
    ]


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--only", "unsafe"], ["unsafe.png", "film.gif", "edge.png"]),
        (["--only", "unsafe", "--threshold", "0.85"], ["unsafe.png", "film.gif"]),
        (["--only", "safe"], ["safe.png"]),
        (["--only", "failed"], ["broken.png"]),
        (["--sort", "score"], ["unsafe.png", "film.gif", "edge.png", "safe.png", "broken.png"]),
        (["--sort", "name"], ["broken.png", "edge.png", "film.gif", "safe.png", "unsafe.png"]),
        (["--top", "2"], ["unsafe.png", "film.gif"]),
        (["--top", "2", "--sort", "name"], ["broken.png", "edge.png"]),
        (["--top", "1", "--only", "safe"], ["safe.png"]),
    ],
)
def test_the_rows_that_are_asked_for_are_printed_and_all_count(arguments, expected, scores, capsys):
    assert printed(capsys, *arguments) == (expected, 1)


def test_what_failed_is_behind_the_lowest_score(scores, capsys):
    assert main(["score", "broken.png", "zero.png", "--sort", "score", "--jsonl"]) == 1
    assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()] == ["zero.png", "broken.png"]


def test_a_label_that_is_asked_for_needs_a_threshold_of_its_own(scores, capsys):
    """0.8, as the documentation has it."""
    for arguments in ["--only", "unsafe"], ["--exit-code"], ["--threshold", "0.8"]:
        main(["score", "edge.png", "--jsonl", *arguments])
        row = json.loads(capsys.readouterr().out)
        assert (row["label"], row["threshold"]) == ("unsafe", 0.8)
    main(["score", "edge.png", "--jsonl"])
    assert json.loads(capsys.readouterr().out).keys() == {"file", "score", "error"}


def test_a_threshold_of_nothing_is_one(scores, capsys):
    assert main(["score", "zero.png", "--jsonl", "--threshold", "0", "--exit-code"]) == 3
    assert json.loads(capsys.readouterr().out)["threshold"] == 0


@pytest.mark.parametrize(
    "names, code", [(["safe.png"], 0), (["broken.png"], 1), (["edge.png"], 3), (["edge.png", "broken.png"], 3)]
)
def test_the_exit_code_tells_of_findings(names, code, scores):
    assert main(["score", *names, "--exit-code"]) == code


def test_findings_are_no_exit_code_unless_asked_for(scores):
    assert main(["score", "unsafe.png", "--threshold", "0.8"]) == 0


@pytest.mark.parametrize(
    "frames, rows",
    [
        ("first", [0.2]),
        ("max", [0.9]),
        ("mean", [pytest.approx(0.5)]),
        ("all", [0.2, 0.9, 0.4]),
    ],
)
def test_an_animation_is_judged_by_the_frames_that_are_asked_for(frames, rows, scores, capsys):
    assert main(["score", "film.gif", "--json", "--frames", frames]) == 0
    assert [row["score"] for row in json.loads(capsys.readouterr().out)] == rows


def test_an_animation_is_judged_by_its_worst_frame_unless_told(tmp_path, capsys):
    first, second = (Image.open(IMG / name).convert("RGB").resize((256, 256)) for name in ("coffee.jpg", "chelsea.png"))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], duration=700)
    assert main(["score", "--json", str(tmp_path / "a.gif")]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    expected = open_nsfw.nsfw_score(str(tmp_path / "a.gif"), frames="max")
    assert row["frames"] == 2 and row["score"] == pytest.approx(expected)


def test_how_to_score_is_passed_on(scores):
    options = ["--workers", "3", "--every", "2.5", "--seconds", "inf", "--precision", "bfloat16"]
    assert main(["score", "safe.png", *options]) == 0
    (call,) = scores.calls
    expected = {"workers": 3, "every": 2.5, "seconds": None, "precision": "bfloat16", "client": None, "frames": "all"}
    assert {name: call[name] for name in expected} == expected


def test_what_scores_unless_told(scores):
    assert main(["score", "safe.png"]) == 0
    assert scores.arguments == (8, None, None)
    assert scores.calls == [
        dict(
            on_error="return",
            precision="float32",
            resist=False,
            seconds=60,
            workers=None,
            frames="all",
            every=None,
            client=None,
        )
    ]


def test_batches_the_network_and_its_views_are_passed_on(scores):
    given = ["--batch-size", "3", "--nsfw-pkl", "a.pkl", "--prototxt", "b.prototxt", "--resist", "--frames", "first"]
    assert main(["score", "safe.png", *given]) == 0
    assert scores.arguments == (3, "a.pkl", "b.prototxt")
    assert (scores.calls[0]["resist"], scores.calls[0]["frames"]) == (True, "first")


@pytest.mark.parametrize(
    "given, message",
    [
        (["--precision", "bfloat16"], "--precision: got float32, its rows were made with bfloat16"),
        (["--frames", "mean"], "--frames: got max, its rows were made with mean"),
        (["--every", "2"], "--every: got None, its rows were made with 2.0"),
        (["--resist"], "--resist: got None, its rows were made with True"),
    ],
)
def test_what_a_score_depends_on_is_the_same_in_all_rows_of_a_file(given, message, scores, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out.csv")]
    assert main(["score", "safe.png", *out, *given]) == 0
    assert main(["score", "safe.png", *out, *given, "--resume"]) == 0
    capsys.readouterr()
    assert main(["score", "safe.png", *out, "--resume"]) == 2
    assert f": {message}; expected the same, or another --out" in capsys.readouterr().err


def test_what_it_does_not_depend_on_may_change(scores, tmp_path):
    (tmp_path / "safe.png").touch()
    command = ["score", str(tmp_path / "safe.png"), "--out", str(tmp_path / "out.csv")]
    others = ["--batch-size", "3", "--workers", "2", "--seconds", "9", "--threshold", "0.5", "--quiet"]
    assert main(command) == main([*command, "--resume", *others]) == 0
    assert len(scores.calls) == 1 and ",safe,0.5," in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize("retry, times", [([], 1), (["--retry"], 2)])
def test_what_failed_is_scored_again_if_told(retry, times, scores, tmp_path):
    (tmp_path / "broken.png").touch()
    command = ["score", str(tmp_path / "broken.png"), "--out", str(tmp_path / "out.csv")]
    assert main(command) == main([*command, "--resume", *retry]) == 1
    assert len(scores.calls) == times


def test_each_row_is_printed_at_once(monkeypatch):
    """A pipe's reader does not wait for the rows behind it."""

    class Pipe(io.StringIO):
        sent = ""

        def flush(self):
            self.sent = self.getvalue()

    pipe, seen = Pipe(), []

    def scored(images, *arguments, **options):
        for _ in images:
            seen.append(pipe.sent.count("\n"))
            yield 0.5

    monkeypatch.setattr(score, "nsfw_scores", scored)
    monkeypatch.setattr(sys, "stdout", pipe)
    assert main(["score", "a.png", "b.png", "c.png"]) == 0
    assert seen == [0, 1, 2] and pipe.sent.count("\n") == 3


@pytest.mark.parametrize("is_terminal, shown", [(True, r"a\x1b[2J.png"), (False, "a\x1b[2J.png")])
def test_names_in_csv_command_no_terminal_and_programs_get_them(is_terminal, shown, scores, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    main(["score", "a\x1b[2J.png", "--csv"])
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{shown},")


@pytest.mark.parametrize("size, read", [(10, 10), (11, 11), (100, 11)])
def test_of_standard_input_no_more_is_read_than_is_needed_to_refuse_it(size, read, monkeypatch):
    monkeypatch.setattr(score, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(bytes(size))))
    taken = []
    monkeypatch.setattr(
        score, "nsfw_scores", lambda images, *_, **__: ([taken.append(len(it)), 0.5][1] for it in images)
    )
    assert main(["score", "-"]) == 0
    assert taken == [read]


def test_a_cluster_is_connected_for_as_long_as_it_scores(scores, monkeypatch):
    seen = []

    @contextlib.contextmanager
    def connect(address):
        seen.append(address)
        try:
            yield "client"
        finally:
            seen.append("closed")

    monkeypatch.setattr(score, "connect", connect)
    assert main(["score", "safe.png", "--cluster", "tcp://here:8786"]) == 0
    assert seen == ["tcp://here:8786", "closed"] and scores.calls[0]["client"] == "client"


def test_a_cluster_that_does_not_answer_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(score, "connect", partial(score.connect, seconds=0.5))
    assert main(["score", ROCKET, "--cluster", "tcp://127.0.0.1:1"]) == 2
    assert re.fullmatch(
        "open-nsfw: error: tcp://127.0.0.1:1: no scheduler of a cluster answers: .*\n", capsys.readouterr().err
    )


@pytest.mark.parametrize("called", ["cat.JPG", "cat.heic"])  # by Pillow itself, and by one of its plugins
def test_what_is_no_picture_is_counted_unless_it_is_named_or_called_one(called, tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "c.zip").write_bytes(b"PK\x03\x04")
    assert main(["score", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(rf"0\.\d{{6}}  {tmp_path}/a\.png\n", captured.out)
    assert re.fullmatch(r"open-nsfw: 1 scored, 3 no pictures: 2 pdf, 1 zip; \d+\.\d pictures/s\n", captured.err), (
        captured.err
    )
    (tmp_path / called).write_bytes(b"%PDF-1.7")
    assert main(["score", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert f"   ERROR  {tmp_path}/{called}: not a picture" in captured.out and "1 failed, 3 no pictures" in captured.err
    assert main(["score", str(tmp_path / "a.pdf")]) == 1
    assert capsys.readouterr().out.startswith(f"   ERROR  {tmp_path}/a.pdf: not a picture of a supported format")


def test_the_counts_close_what_is_about_folders_and_lists_only(scores, tmp_path, capsys):
    (tmp_path / "list").write_text("safe.png\nunsafe.png\n")
    assert main(["score", "--files-from", str(tmp_path / "list")]) == 0
    assert capsys.readouterr().err.startswith("open-nsfw: 2 scored; ")
    assert main(["score", "--files-from", str(tmp_path / "list"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["score", "safe.png", "unsafe.png"]) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "safe.png").touch()
    assert main(["score", "unsafe.png", str(tmp_path / "folder")]) == 0
    assert capsys.readouterr().err.startswith("open-nsfw: 2 scored; ")


def test_a_list_of_nothing_is_no_failure(tmp_path, capsys):
    (tmp_path / "list").touch()
    assert main(["score", "--files-from", str(tmp_path / "list"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == [] and captured.err == "open-nsfw: 0 scored\n"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_what_is_written_is_not_scored(suffix, scores, tmp_path, capsys):
    for name in "safe.png", "unsafe.png":
        (tmp_path / name).touch()
    outputs = ["--out", str(tmp_path / f"out.{suffix}"), "--report", str(tmp_path / "report.html")]
    for _ in range(2):
        assert main(["score", str(tmp_path), *outputs, "--resume"]) == 0
        assert capsys.readouterr().err.startswith("open-nsfw: 2 scored (1 unsafe); ")


def test_a_page_replaces_only_a_page_unless_told(scores, tmp_path, capsys):
    page, out = tmp_path / "page.html", ["--out", str(tmp_path / "out.csv")]
    page.write_bytes(b"precious")
    for options in [], [*out], [*out, "--resume"]:
        with pytest.raises(SystemExit, match="2"):
            main(["score", "safe.png", "--report", str(page), *options])
        assert "page.html: exists; --force overwrites it" in capsys.readouterr().err
        assert page.read_bytes() == b"precious" and os.listdir(tmp_path) == ["page.html"] and scores.calls == []
    assert main(["score", "safe.png", "--report", str(page), "--force"]) == 0
    before = page.read_bytes()
    assert main(["score", "unsafe.png", "--report", str(page)]) == 0
    assert page.read_bytes() != before


@pytest.mark.parametrize(
    "source, arguments",
    [
        ("rows.csv", ["rows.csv", "--out", "rows.csv"]),
        ("rows.csv", ["./rows.csv", "--out", "rows.csv", "--force"]),
        ("rows.csv", ["--files-from", "rows.csv", "--out", "rows.csv", "--force"]),
        ("rows.csv", ["safe.png", "--nsfw-pkl", "rows.csv", "--out", "rows.csv", "--force"]),
        ("rows.csv.run", ["rows.csv.run", "--out", "rows.csv", "--force"]),
        ("page.html", ["page.html", "--report", "page.html", "--force"]),
        ("page.html", ["link.jpg", "--report", "page.html", "--force"]),
        ("page.html", ["page.html", "--report", "hard.html", "--force"]),
    ],
)
def test_what_is_read_is_not_written(source, arguments, scores, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(source).write_bytes(b"precious")
    Path("link.jpg").symlink_to("page.html")
    if source == "page.html":
        os.link(source, "hard.html")
    before = set(os.listdir())
    assert main(["score", *arguments]) == 2
    assert "is read, too; expected another file to be written\n" in capsys.readouterr().err
    assert Path(source).read_bytes() == b"precious" and set(os.listdir()) == before and scores.calls == []


def test_a_name_of_nothing_that_is_to_be_written_is_refused_too(scores, tmp_path, monkeypatch):
    """It would be there by the time that it is read."""
    monkeypatch.chdir(tmp_path)
    assert main(["score", "rows.csv", "--out", "rows.csv"]) == 2 and os.listdir(tmp_path) == []


def test_a_run_that_goes_on_passes_over_its_own_files_though_they_are_named(scores, tmp_path, capsys):
    (tmp_path / "safe.png").touch()
    outputs = ["--out", str(tmp_path / "rows.csv"), "--report", str(tmp_path / "page.html")]
    for _ in range(2):
        names = [str(path) for path in sorted(tmp_path.iterdir())]
        assert main(["score", *names, *outputs, "--resume"]) == 0
        assert capsys.readouterr().err.startswith("open-nsfw: 1 scored (0 unsafe); ")


def test_the_counts_tell_of_a_threshold(scores, tmp_path, capsys):
    assert main(["score", *NAMES, "--threshold", "0.8", "--out", str(tmp_path / "out.csv")]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("open-nsfw: 4 scored (3 unsafe), 1 failed; ")


def test_rows_in_a_file_are_all_of_them_whatever_is_printed(scores, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert printed(capsys, "--out", str(out), "--only", "safe") == (["safe.png"], 1)
    assert [json.loads(line)["file"] for line in out.read_text().splitlines()] == NAMES


def test_a_file_that_is_named_twice_has_two_lines_and_one_row_in_a_file(scores, tmp_path, capsys):
    assert main(["score", "safe.png", "safe.png"]) == 0
    assert capsys.readouterr().out.count("safe.png") == 2
    assert main(["score", "safe.png", "safe.png", "--csv", "--out", str(tmp_path / "out.csv")]) == 0
    assert capsys.readouterr().out.count("safe.png") == (tmp_path / "out.csv").read_text().count("safe.png") == 1


def test_what_is_named_beside_its_folder_has_one_row_as_named(tmp_path, capsys):
    """Whether an earlier run took it for no picture or not."""
    folder, out = tmp_path / "folder", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "a.txt").write_text("hello")
    Image.new("RGB", (8, 8)).save(folder / "b.png")
    names = [str(folder / "a.txt"), str(folder / "b.png")]

    def rows(*arguments):
        code = main(["score", "--quiet", "--out", str(out), *arguments])
        return [json.loads(line)["file"] for line in out.read_text().splitlines()], code

    assert rows(str(folder)) == ([names[1]], 0)
    assert rows(names[0], "--resume") == (names, 1)
    assert rows(str(folder), *names, "--force") == (names, 1)
    assert len(Path(f"{out}.run").read_text().splitlines()) == 1, "it is not told to be no picture, too"


def test_a_picture_on_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(Path(ROCKET).read_bytes())))
    assert main(["score", "-"]) == 0
    assert capsys.readouterr().out == "0.000463  -\n"


def test_standard_input_is_read_anew_whatever_has_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROCKET, "-")
    for name, options in ("rocket.jpg", []), ("coffee.jpg", ["--resume", "--jsonl"]):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((IMG / name).read_bytes())))
        assert main(["score", "-", "--out", "out.csv", *options]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == pytest.approx(open_nsfw.nsfw_score(str(IMG / "coffee.jpg")))


@pytest.mark.parametrize("content, message", [(b"", "is empty"), (b"hello", "not a picture of a supported format")])
def test_no_picture_on_standard_input(content, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert main(["score", "-"]) == 1
    assert capsys.readouterr().out.startswith(f"   ERROR  -: {message}")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "PATH: got none, expected a picture, a folder, or --files-from"),
        (["-", "--files-from", "-"], "--files-from -: got a picture on standard input, too"),
        (["a.png", "--out", "out.txt"], "--out: got out.txt, expected a name that ends in .csv, .jsonl, .parquet"),
        (["a.png", "--report", "a.png"], "--report: got a.png, expected a name that ends in .html"),
        (["a.png", "--resume"], "--resume, --retry: got no --out, whose file they are about"),
        (["a.png", "--force"], "--force: got no --out and no --report, whose files it replaces"),
        (["a.png", "--report", "nowhere/a.html"], "--report: nowhere/a.html: there is no folder nowhere"),
        (["a.png", "--threshold", "1.5"], "expected a number from 0 to 1, got '1.5'"),
        (["a.png", "--out", "a.csv", "--resume", "--force"], "not allowed with"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["score", *arguments])
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_list_that_cannot_be_read_is_one_line_and_exit_code_2(capsys):
    assert main(["score", "--files-from", "none.txt"]) == 2
    error = capsys.readouterr().err
    assert error == "open-nsfw: error: none.txt: the list of files cannot be read: No such file or directory\n"


def test_a_pyarrow_that_numpy_is_too_old_for_is_one_line_and_exit_code_2(scores, tmp_path, monkeypatch, capsys):
    message = "pyarrow requires NumPy 2.0 or newer, found 1.26.4"  # of pyarrow 26.0.1
    (tmp_path / "pyarrow.py").write_text(f"raise ImportError({message!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["score", "safe.png", "--out", str(tmp_path / "out.parquet")]) == 2
    assert capsys.readouterr().err == (
        f"open-nsfw: error: Parquet: {message}; install such a one, or give --out a .csv or .jsonl\n"
    )
    assert scores.calls == []


def test_parquet_without_its_package_is_refused_before_anything_is_scored(scores, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["score", "safe.png", "--out", str(tmp_path / "out.parquet")]) == 2
    assert "pip install 'open-nsfw-theano[parquet]'" in capsys.readouterr().err
    assert scores.calls == [] and os.listdir(tmp_path) == []


def test_inspect_adds_a_column(tmp_path, capsys):
    from nsfw_experiments.inverse import inverse

    changed, _ = inverse(ROCKET, 0.98, iterations=16)
    changed.save(tmp_path / "changed.png")
    (tmp_path / "no.jpg").write_text("text")
    assert main(["score", "--inspect", "--csv", ROCKET, *map(str, sorted(tmp_path.iterdir()))]) == 1
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["inspection"] for row in rows] == ["nothing found", "inverted", ""]
    assert main(["score", "--inspect", str(tmp_path / "changed.png")]) == 0
    assert re.fullmatch(r"0\.98\d+  inverted +\S+changed\.png\n", capsys.readouterr().out)
    assert main(["score", "--jsonl", ROCKET]) == 0
    assert "inspection" not in json.loads(capsys.readouterr().out)


def test_of_an_animation_the_first_frame_is_inspected_and_a_film_is_not(tmp_path, capsys):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert main(["score", "--inspect", "--jsonl", str(tmp_path / "a.gif")]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["frames"], row["inspection"]) == (2, "nothing found")
    assert score._inspection(str(tmp_path / "film.mp4")) == "not inspected"


def test_standard_input_that_a_list_names_is_not_inspected_whatever_has_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROCKET, "-")
    Path("list").write_text("-\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(Path(ROCKET).read_bytes())))
    assert main(["score", "--files-from", "list", "--inspect", "--jsonl", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["inspection"] == "not inspected"


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_an_inspected_run_goes_on_only_as_such(extension, tmp_path, capsys):
    if extension == "parquet":
        pytest.importorskip("pyarrow")
    out = ["--out", str(tmp_path / f"rows.{extension}")]
    assert main(["score", ROCKET, "--inspect", *out]) == 0
    assert main(["score", ROCKET, "--inspect", *out, "--resume", "--csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["inspection"] == "nothing found"
    assert main(["score", ROCKET, *out, "--resume"]) == 2
    assert "--inspect: got None, its rows were made with True" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["-"], "standard input"),
        ([ROCKET, "--frames", "all"], "--frames all"),
        ([ROCKET, "--cluster", "tcp://localhost:1"], "--cluster"),
        ([ROCKET, "--nsfw-pkl", "other.pkl"], "--nsfw-pkl"),
    ],
)
def test_inspect_refuses_what_it_cannot_do(arguments, reason, capsys):
    with pytest.raises(SystemExit) as end:
        main(["score", "--inspect", *arguments])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "--inspect: got" in said and reason in said


def test_the_report_says_what_was_found(tmp_path):
    from nsfw_command.report import card

    assert "robustly inverted" in card(Row("a.jpg", 0.9, None, "unsafe", 0.8, inspection="robustly inverted"), None)
