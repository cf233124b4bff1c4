"""The ways into the command: ``open-nsfw``, its version, and ``python -m open_nsfw``."""

import argparse
import errno
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import open_nsfw
from nsfw_command import main as main_module
from nsfw_command.main import main, make_parser
from nsfw_model import ModelFileError
from nsfw_model.outputs import OutputError
from theano_cpu import TheanoEnvironmentError

ROOT = Path(__file__).parents[2]
ROCKET = str(ROOT / "img" / "rocket.jpg")


def run_module(*arguments, folder):
    """Run ``python -m open_nsfw`` in another folder."""
    return subprocess.run(
        [sys.executable, "-m", "open_nsfw", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )


def test_the_version_is_that_of_the_module(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"open-nsfw {open_nsfw.__version__}\n"


@pytest.mark.parametrize(
    "command, option",
    [
        ("evolve", "--animation"),
        ("evolve", "--shapes"),
        ("evolve", "--strategy"),
        ("explain", "--method"),
        ("score", "--frames"),
        ("score", "--only"),
        ("score", "--precision"),
        ("score", "--sort"),
        ("serve", "--log-level"),
        ("warm-up", "--also"),
    ],
)
def test_a_choice_that_there_is_not_is_refused_with_those_that_there_are(command, option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([command, option, "another"])
    assert f"argument {option}: invalid choice: 'another' (choose from " in capsys.readouterr().err


@pytest.mark.parametrize(
    "command, option",
    [
        *(("evolve", f"--{name}") for name in ("corners", "count", "every", "generations", "population", "processes")),
        ("inverse", "--iterations"),
        ("playground", "--port"),
        *(("score", f"--{name}") for name in ("batch-size", "every", "seconds", "top", "workers")),
        ("serve", "--port"),
        ("serve", "--workers"),
    ],
)
def test_a_number_of_nothing_is_refused(command, option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([command, option, "0"])
    assert re.search(f"argument {option}: .*'?0'?", capsys.readouterr().err)


CLOSED = "open-nsfw: error: standard output cannot be written: Bad file descriptor\n"


@pytest.mark.skipif(os.name != "posix", reason="a shell that closes streams")
@pytest.mark.parametrize(
    "command, code, out, err",
    [
        (f"score {ROCKET} <&-", 0, f"0.000463  {ROCKET}\n", ""),
        (f"score {ROCKET} 2>&-", 0, f"0.000463  {ROCKET}\n", ""),
        (f"score {ROCKET} >&-", 74, "", CLOSED),
        (f"score {ROCKET} --out rows.jsonl --quiet >&-", 0, "", ""),
        (f"score {ROCKET} --out rows.jsonl >&- 2>&-", 0, "", ""),
        ("score none.jpg --jsonl 2>&-", 1, '{"file": "none.jpg", "score": null, "error": "no such file"}\n', ""),
        ("score none.jpg --out no/rows.csv 2>&-", 74, "", ""),
        ("score - <&-", 1, "   ERROR  -: is empty\n", ""),
        ("score --files-from - <&-", 0, "", "open-nsfw: 0 scored\n"),
        ("info >&-", 74, "", CLOSED),
    ],
)
def test_streams_that_are_closed_cost_no_score(command, code, out, err, tmp_path):
    process = subprocess.run(
        f"{sys.executable} -m nsfw_command {command}",
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert (process.returncode, process.stdout, process.stderr) == (code, out, err)
    if "--out rows" in command:
        assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1
        assert len((tmp_path / "rows.jsonl.run").read_text().splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="a shell that closes streams")
@pytest.mark.parametrize(
    "streams, code, out, err",
    [("<&-", 0, f"0.000463  {ROCKET}\n", ""), (">&-", 74, "", CLOSED), ("<&- >&-", 74, "", CLOSED)],
)
def test_the_module_minds_closed_streams_as_the_command_does(streams, code, out, err, tmp_path):
    command = f"{sys.executable} -m open_nsfw {ROCKET} {streams}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, out, err)


NEEDED = {"evolve": ("--out", "out")}


@pytest.mark.parametrize(
    ("command", "option", "most"),
    [
        ("evolve", "--processes", 1024),
        ("evolve", "--generations", 2**31 - 1),
        ("playground", "--port", 65535),
        ("score", "--batch-size", 2**31 - 1),
        ("score", "--workers", 4096),
        ("serve", "--port", 65535),
        ("serve", "--workers", 1024),
    ],
)
@pytest.mark.parametrize("times", [1, 10**30])
def test_a_number_that_is_too_large_is_refused(command, option, most, times, capsys):
    parse = make_parser().parse_args  # nothing is started, whatever becomes of the number
    with pytest.raises(SystemExit, match="2"):
        parse([command, *NEEDED.get(command, ()), option, str(most * times + 1)])
    said = capsys.readouterr().err.splitlines()[-1]
    assert (
        f"argument {option}: expected a whole number of at least 1 and at most {most}, got '{most * times + 1}'" in said
    )


@pytest.mark.parametrize("option", ["--batch-size", "--threshold"])
def test_a_number_of_very_many_digits_is_not_repeated(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["score", option, "9" * 5000])
    assert len(capsys.readouterr().err.splitlines()[-1]) < 300


@pytest.mark.parametrize(
    "arguments",
    [
        *(("score", option, "", "a.jpg") for option in ("--nsfw-pkl", "--prototxt", "--cluster", "--out", "--report")),
        ("score", "--files-from", ""),
        *(("explain", "--out", "a.png", option, "", "a.jpg") for option in ("--nsfw-pkl", "--prototxt")),
        ("explain", "--out", "", "a.jpg"),
        ("inverse", "a.jpg", "--target", "1", "--out", ""),
        ("evolve", "--out", ""),
        ("evolve", "--out", "a", "--cluster", ""),
        ("convert", "a.caffemodel", "--output", ""),
        ("convert", "a.caffemodel", "--prototxt", ""),
        ("convert", "a.caffemodel", "--deploy", ""),
    ],
)
def test_an_empty_name_is_refused(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    option = arguments[arguments.index("") - 1]
    assert re.search(f"argument (-o/)?{option}: expected a name, got ''", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


LONG = "n" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        *(("score", option, LONG, "img/rocket.jpg") for option in ("--nsfw-pkl", "--prototxt", "--files-from")),
        *(
            ("score", option, f"{LONG}{ending}", "img/rocket.jpg")
            for option, ending in [("--out", ".csv"), ("--report", ".html")]
        ),
        ("inverse", "img/rocket.jpg", "--target", "1", "--out", f"{LONG}.png"),
        ("explain", "img/rocket.jpg", "--out", f"{LONG}.png"),
        ("evolve", "--out", LONG, "--generations", "1", "--count", "1", "--target", "img/rocket.jpg"),
        ("convert", LONG),
    ],
)
def test_a_name_that_is_too_long_is_one_line(arguments, capsys):
    assert main(arguments) in (1, 2, 74)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("open-nsfw")


def test_a_folder_of_the_network_whose_name_is_too_long_is_one_short_line(monkeypatch, capsys):
    monkeypatch.setenv("OPEN_NSFW_FOLDER", "n" * 5000)
    for arguments in ("score", "img/rocket.jpg"), ("info",):
        assert main(arguments) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("open-nsfw: error: no such file: nnn") and len(line) < 400


def test_help_names_every_subcommand(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("score", "convert", "info", "evolve", "inverse"))


@pytest.mark.parametrize(
    "arguments", [["info", "a\n0.1\x1b[2J\u202eb"], ["a\x1bb"], ["score", "--re\x1b"], ["info", "--ver\x1b=a"]]
)
def test_names_among_the_arguments_command_no_terminal(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    said = capsys.readouterr().err
    assert "\\x1b" in said and all(line.isprintable() for line in said.splitlines())


def test_the_module_run_as_a_program_scores(tmp_path):
    process = run_module(ROCKET, folder=tmp_path)
    assert (process.returncode, process.stdout) == (0, f"0.000463  {ROCKET}\n"), process.stderr


def test_the_module_run_as_a_program_fails_as_the_command_does(tmp_path):
    process = run_module("none.png", folder=tmp_path)
    assert (process.returncode, process.stdout) == (1, "   ERROR  none.png: no such file\n"), process.stderr
    process = run_module(folder=tmp_path)
    assert process.returncode == 2 and "PATH" in process.stderr


@pytest.mark.parametrize(
    "error", [MemoryError(), SystemError("<function f> returned NULL without setting an exception")]
)
def test_too_little_memory_is_one_line(error, capsys, monkeypatch):
    def nsfw_scores(*arguments, **named):
        raise error

    monkeypatch.setattr("nsfw_command.score.nsfw_scores", nsfw_scores)
    assert main(["score", "img/rocket.jpg"]) == 1
    assert capsys.readouterr().err.startswith("open-nsfw: error: out of memory: raise the limit")


@pytest.fixture
def running(monkeypatch):
    """Runs something as a subcommand, and gives the exit code."""

    def running(run):
        return main_module._run(argparse.Namespace(run=lambda args: run()))

    return running


SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture
def default_signals():
    """The handlers that a process begins with, those of a test run afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_subcommand_which_may_keep_what_it_has(number, running, default_signals):
    kept = []

    def run():
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
        except KeyboardInterrupt:
            kept.append(number)
            raise

    assert running(run) == 128 + number and kept == [number]
    assert {signal.getsignal(each) for each in SIGNALS} == {signal.SIG_DFL}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_ignored_stays_so(number, running, default_signals):
    """As nohup does with SIGHUP."""
    signal.signal(number, signal.SIG_IGN)
    assert running(lambda: os.kill(os.getpid(), number) or 7) == 7
    assert signal.getsignal(number) is signal.SIG_IGN


def test_another_thread_has_no_signals(running, default_signals):
    seen = []
    thread = threading.Thread(
        target=lambda: seen.append(running(lambda: seen.append(signal.getsignal(SIGNALS[0])) or 5))
    )
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL, 5]


@pytest.mark.parametrize(
    "error, code, said",
    [
        (OutputError("a.png: cannot be written: none"), 74, "a.png: cannot be written: none"),
        (FileNotFoundError("no such file: a"), 2, "no such file: a"),
        (NotImplementedError("no bfloat16"), 2, "no bfloat16"),
        (ModelFileError("a.pkl: is damaged"), 2, "a.pkl: is damaged"),
        (TheanoEnvironmentError("no compiler"), 2, "no compiler"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5000), 2, None),
        (PermissionError(errno.EACCES, "Permission denied", "a.jpg"), 2, "a.jpg: Permission denied"),
        (OSError(errno.ELOOP, "Too many levels", "a.jpg"), 2, "a.jpg: Too many levels"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", b"a/b"), 2, "a/b: Not a directory"),
        (OSError(errno.ENOSPC, "No space left"), 74, "standard output cannot be written: No space left"),
        (OSError(errno.EDQUOT, "Quota exceeded"), 74, "standard output cannot be written: Quota exceeded"),
        (OSError(errno.EFBIG, "File too large"), 74, "standard output cannot be written: File too large"),
        (OSError(errno.EIO, "I/O error"), 74, "standard output cannot be written: I/O error"),
        (OSError(errno.EBADF, "Bad descriptor"), 74, "standard output cannot be written: Bad descriptor"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_what_went_wrong_is_a_line_and_an_exit_code(error, code, said, running, capsys, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert running(fail) == code
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"open-nsfw: error: {said}" if said else len(line) < 400
    assert sys.stdout.closed == (said is not None and said.startswith("standard output"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EINVAL, "Invalid argument"),
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOSPC, "No space left", "a.jpg"),
        OSError(errno.EINVAL, "Invalid argument", "a.jpg"),
        ValueError("a fault of the program"),
    ],
)
def test_what_nobody_expects_is_not_hidden(error, running):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        running(fail)
    assert caught.value is error


def test_a_reader_that_has_enough_is_told_nothing(running, monkeypatch):
    def fail():
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert running(fail) == 1 and sys.stderr.closed


def test_the_exit_code_of_a_subcommand_is_that_of_the_command(running):
    assert [running(lambda code=code: code) for code in (0, 1, 3, 74)] == [0, 1, 3, 74]


@pytest.mark.parametrize("length, shown", [(1000, "x" * 1000), (1001, "x" * 200 + "... (1001 characters)")])
def test_a_long_message_about_arguments_is_shortened(length, shown, capsys):
    with pytest.raises(SystemExit, match="2"):
        make_parser().error("x" * length)
    assert capsys.readouterr().err.splitlines()[-1] == f"open-nsfw: error: {shown}"


def test_a_system_error_of_another_kind_is_not_hidden(monkeypatch):
    def nsfw_scores(*arguments, **named):
        raise SystemError("bad argument to internal function")

    monkeypatch.setattr("nsfw_command.score.nsfw_scores", nsfw_scores)
    with pytest.raises(SystemError):
        main(["score", "img/rocket.jpg"])


def test_ctrl_c_is_told_by_the_exit_code(monkeypatch, capsys):
    def nsfw_scores(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("nsfw_command.score.nsfw_scores", nsfw_scores)
    assert main(["score", "img/rocket.jpg"]) == 130
    assert capsys.readouterr().err == ""
