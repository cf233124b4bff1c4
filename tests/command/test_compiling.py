"""What ``open-nsfw warm-up`` says and does, step by step, where nothing has to be compiled for it."""

import argparse
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from nsfw_command import warm_up
from nsfw_command.main import main
from theano_compat import TheanoEnvironmentError

STEP = {"name": "score float32", "result": "0.000463", "seconds": 12.34}


@pytest.fixture
def played(monkeypatch, tmp_path):
    """Steps made up, in place of those of a process; and what that would have been told."""
    told = []

    def played(*steps):
        folder = {"folder": str(tmp_path / "made"), "processor": "every x86-64-v3"}

        def play(task, also, flags):
            told.append((task, list(also), list(flags)))
            yield from steps
            if task == warm_up.COMPILE:
                yield folder

        monkeypatch.setattr(warm_up, "_steps", play)
        return told

    (tmp_path / "made" / "inner").mkdir(parents=True)
    (tmp_path / "made" / "inner" / "a.so").write_bytes(bytes(1_230_000))
    (tmp_path / "made" / "b").write_bytes(bytes(20_000))
    monkeypatch.delenv("THEANO_FLAGS", raising=False)
    return played


def test_steps_are_printed_twice_and_then_the_place(played, tmp_path, capsys):
    played(STEP)
    assert main(["warm-up"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "compiled:",
        "  score float32        0.000463     12.3 s",
        "checked without a compiler:",
        "  score float32        0.000463     12.3 s",
        f"in {tmp_path / 'made'}, 1.2 MB, for every x86-64-v3",
        "which Theano takes by itself: nothing has to be set",
    ]


def test_settings_of_theanos_that_there_are_come_first(played, tmp_path, monkeypatch, capsys):
    told = played()
    monkeypatch.setenv("THEANO_FLAGS", "openmp=True")
    monkeypatch.setattr(warm_up, "_check_march", lambda march, flags: told.append((march, flags)))
    to = ["--to", str(tmp_path / "made")]
    assert main(["warm-up", *to, "--march", "x86-64-v3", "--also", "evolve", "inverse"]) == 0
    flags = ["openmp=True", f"base_compiledir={tmp_path / 'made'}", "gcc.cxxflags=-march=x86-64-v3"]
    assert told == [
        ("x86-64-v3", ",".join(flags[:2])),
        ("compiled", ["evolve", "inverse"], flags),
        ("checked without a compiler", ["evolve", "inverse"], [*flags, "cxx=no-compiler"]),
    ]
    assert capsys.readouterr().out.splitlines()[-1] == f"export THEANO_FLAGS=base_compiledir={tmp_path / 'made'}"
    assert main(["warm-up"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("for every x86-64-v3")  # for they are set already


def test_a_problem_ends_it(played, capsys):
    told = played(STEP, {"problem": "no room is left"}, STEP)
    assert main(["warm-up"]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("score float32") == 1 and len(told) == 1
    assert captured.err == "open-nsfw: error: no room is left\n"


def test_everybody_may_read_what_was_made_and_nothing_that_is_linked(tmp_path):
    folder, file = tmp_path / "top" / "folder", tmp_path / "top" / "folder" / "file"
    folder.mkdir(parents=True)
    program, elsewhere = tmp_path / "top" / "program", tmp_path / "elsewhere"
    for path in file, program, elsewhere:
        path.touch()
    (tmp_path / "top" / "link").symlink_to(elsewhere)
    for path, mode in (folder, 0o700), (file, 0o600), (program, 0o710), (elsewhere, 0o600), (tmp_path / "top", 0o711):
        path.chmod(mode)
    warm_up._let_everybody_read(tmp_path / "top")
    paths = tmp_path / "top", folder, file, program, elsewhere
    assert [oct(path.stat().st_mode & 0o777) for path in paths] == ["0o755", "0o755", "0o644", "0o754", "0o600"]


@pytest.mark.parametrize("text, expected", [("a", "a"), ("~/a", "{home}/a"), ("/a/../b", "/a/../b")])
def test_a_folder_is_absolute(text, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert warm_up.folder(text) == (tmp_path / expected.format(home=Path.home()))


@pytest.mark.parametrize("text", ["x86-64-v3", "armv8.2-a+fp16", "native", "znver4"])
def test_names_of_processors_are_taken(text):
    assert warm_up.processor_name(text) == text


@pytest.mark.parametrize("text", ["", "a b", "a,b", "a;b", "a\n", "$(a)"])
def test_what_is_no_name_of_a_processor_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a processor's name, such as x86-64-v3"):
        warm_up.processor_name(text)


@pytest.mark.parametrize("flags, compiler", [("", None), ("a=b,cxx=clang++,c", "clang++"), ("cxx=", None)])
@pytest.mark.parametrize("lacking", [[], ["avx512f", "avx512bw"]])
def test_a_processor_that_can_do_more_than_this_one_is_refused(flags, compiler, lacking, monkeypatch):
    told = []
    monkeypatch.setattr("theano_compat.requirements.check_compiler", told.append)
    monkeypatch.setattr("theano_compat.requirements.default_compiler", lambda: "g++")
    monkeypatch.setattr("theano_compat.compiler.needed_flags", lambda *arguments: told.append(arguments) or ["flags"])
    monkeypatch.setattr("theano_compat.processor.lacking", lambda flags: lacking if flags == ["flags"] else None)
    if lacking:
        with pytest.raises(TheanoEnvironmentError, match="^--march x86-64-v4 is for .* avx512f, avx512bw, and this"):
            warm_up._check_march("x86-64-v4", flags)
    else:
        warm_up._check_march("x86-64-v4", flags)
    assert told == [compiler, (compiler or "g++", "x86-64-v4")]


class TestProcess:
    """Lines of a program made up, in place of the one that compiles."""

    def steps(self, program, monkeypatch, flags=("a=1", "b=2")):
        monkeypatch.setattr(warm_up, "_PROGRAM", program)
        return list(warm_up._steps("compiled", ["evolve"], flags))

    def test_lines_of_json_are_steps_and_others_are_passed_on(self, monkeypatch, capfd):
        program = (
            """print('{"name": "a"}'); print("a compiler's words"); print('{"problem": "b"}'); raise SystemExit(2)"""
        )
        assert self.steps(program, monkeypatch) == [{"name": "a"}, {"problem": "b"}]
        assert capfd.readouterr().err == "a compiler's words\n"

    @pytest.mark.parametrize("code, problems", [(0, 0), (2, 0), (1, 1), (3, 1), (139, 1)])
    def test_another_end_is_a_problem(self, code, problems, monkeypatch):
        problem = {"problem": f"the process that compiles ended with exit code {code}"}
        assert self.steps(f"raise SystemExit({code})", monkeypatch) == [problem] * problems

    def test_it_has_its_settings_and_finds_this_package(self, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", "/elsewhere")
        program = (
            "import json, os, sys; names = 'THEANO_FLAGS', 'OPEN_NSFW_SNAPSHOT', 'PYTHONPATH', 'PYTHONSAFEPATH';"
            "print(json.dumps([sys.argv[1:], [os.environ[name] for name in names]]))"
        )
        [[arguments, environment]] = self.steps(program, monkeypatch)
        assert arguments == ["compiled", "evolve"]
        root = Path(warm_up.__file__).parents[1]
        assert environment == ["a=1,b=2", "0", f"{root}{os.pathsep}/elsewhere", "1"]


class TestWork:
    @pytest.fixture
    def run(self, monkeypatch, capsys):
        done, moments = [], iter(range(100))
        monkeypatch.setattr(warm_up, "_check_compiling", lambda: done.append("checked"))
        monkeypatch.setattr(warm_up, "_finish", lambda: {"folder": "/made", "processor": "all"})
        monkeypatch.setattr(warm_up.time, "perf_counter", lambda: 1.23456 * next(moments))

        def run(task, **steps):
            monkeypatch.setattr(warm_up, "steps", lambda also: steps)
            done.clear()
            code = warm_up.work(task, [])
            return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()], done

        return run

    def test_compiling_is_checked_before_and_finished_behind(self, run):
        step = {"name": "a", "result": "0.5", "seconds": 1.23}
        code, lines, done = run(warm_up.COMPILE, a=lambda: "0.5")
        assert (code, lines, done) == (0, [step, {"folder": "/made", "processor": "all"}], ["checked"])
        assert run(warm_up.CHECK, a=lambda: "0.5") == (0, [step], [])

    @pytest.mark.parametrize("error", [TheanoEnvironmentError("no compiler"), FileNotFoundError("no compiler")])
    def test_what_is_missing_is_a_problem_and_ends_it(self, error, run):
        def fail():
            raise error

        assert run(warm_up.COMPILE, a=fail, b=lambda: "0.5")[:2] == (2, [{"problem": "no compiler"}])

    def test_what_a_processor_cannot_do_is_told_and_ends_nothing(self, run):
        def fail():
            raise NotImplementedError

        code, lines, _ = run(warm_up.CHECK, a=fail, b=lambda: "0.5")
        assert (code, [line["result"] for line in lines]) == (0, ["not here", "0.5"])

    def test_each_step_has_its_own_precision_or_experiment(self, monkeypatch):
        monkeypatch.setattr(warm_up, "_score", lambda precision: f"scored in {precision}")
        made = warm_up.steps([])
        assert {name: step() for name, step in made.items()} == {
            "score float32": "scored in float32",
            "score bfloat16": "scored in bfloat16",
        }
        assert list(warm_up.steps(["evolve", "inverse"]))[2:] == ["evolve", "inverse"]
        assert warm_up.steps(["evolve"])["evolve"] is warm_up._evolve


def test_a_folder_that_theano_takes_by_itself_is_not_changed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(warm_up, "_let_everybody_read", lambda top: pytest.fail("it is the user's own"))
    warm_up._report({"folder": str(tmp_path), "processor": "all"}, Namespace(to=None))
    assert f"in {tmp_path}, 0.0 MB, for all\n" in capsys.readouterr().out


def test_the_program_is_one_that_can_be_run():
    command = [sys.executable, "-c", warm_up._PROGRAM.replace("warm_up.work", "print"), "a", "b", "c"]
    environment = {**os.environ, "PYTHONPATH": str(Path(warm_up.__file__).parents[1])}
    assert subprocess.run(command, capture_output=True, text=True, env=environment).stdout == "a ['b', 'c']\n"
