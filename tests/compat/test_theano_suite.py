"""``benchmarks/theano_suite.py`` runs the tests of a source release, here of one with a few tests of each outcome."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytest.importorskip("parameterized")

SUITE = Path(__file__).parents[2] / "benchmarks" / "theano_suite.py"

ENDS = """
import os, unittest
import numpy as np
import theano
from nose.plugins.skip import SkipTest
from nose.tools import assert_raises, raises
from theano.tests import beside

def test_passes():
    assert theano.config.floatX == "float64" and beside.FROM_THE_RELEASE

def test_fails():
    raise ValueError("three is not four\\nand never was")

def test_skips():
    raise SkipTest("no GPU here")

def test_ends_the_process():
    os._exit(3)

def test_takes_for_ever():
    while True:
        pass

@raises(ZeroDivisionError)
def test_raises():
    1 / 0

class TestSetUp:
    def setUp(self):
        self.value = 1

    def test_is_set_up(self):
        assert self.value == 1

class T_case(unittest.TestCase):
    def test_draws(self):
        assert np.random.randint(10**9) == 209652396  # np.random.RandomState(0).randint(10**9), NumPy 1.26 and 2.5
"""

YIELDS = """
def check(number):
    assert number != 3

def test_yields():
    for number in range(1, 5):
        yield check, number
"""

RELEASE = {
    "theano/tests/test_ends.py": ENDS,
    "theano/tests/beside.py": "FROM_THE_RELEASE = True",
    "theano/scalar/tests/test_yields.py": YIELDS,
    "theano/scalar/tests/test_broken.py": "import no_such_module",
    "theano/gpuarray/tests/test_gpu.py": "def test_gpu(): pass",
    "theano/scalar/basic.py": "raise AssertionError('only tests are taken from the release')",
}


def sdist(folder: Path, files: dict[str, str]) -> Path:
    file = folder / "Theano-1.0.5.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"Theano-1.0.5/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return file


def suite(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SUITE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "THEANO_FLAGS": ""})


def results_of(folder: Path, files: dict[str, str], *arguments: object) -> tuple[dict, str]:
    done = suite("--sdist", sdist(folder, files), "--save", folder / "saved.json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "saved.json").read_text())["tests"], done.stdout


@pytest.fixture(scope="module")
def all_tests(tmp_path_factory):
    return results_of(tmp_path_factory.mktemp("release"), RELEASE, "--all", "--seconds", 5)


@pytest.mark.slow
class TestRun:
    @pytest.mark.parametrize(
        "test, outcome, said",
        [
            ("tests/test_ends.py::test_passes", "passed", ""),
            ("tests/test_ends.py::test_fails", "failed", "ValueError: three is not four"),
            ("tests/test_ends.py::test_skips", "skipped", "Skipped: no GPU here"),
            ("tests/test_ends.py::test_ends_the_process", "not finished", "exit code 3"),
            ("tests/test_ends.py::test_takes_for_ever", "not finished", "exit code -27"),  # SIGPROF
            ("tests/test_ends.py::test_raises", "passed", ""),
            ("tests/test_ends.py::TestSetUp::test_is_set_up", "passed", ""),
            ("tests/test_ends.py::T_case::test_draws", "passed", ""),
            ("scalar/tests/test_yields.py::test_yields", "failed", "AssertionError: assert number != 3"),
            ("scalar/tests/test_broken.py", "failed", "ModuleNotFoundError: No module named 'no_such_module'"),
        ],
    )
    def test_a_test_has_its_outcome_and_what_was_said(self, all_tests, test, outcome, said):
        tests, _ = all_tests
        found, what = tests[f"theano/{test}"]
        assert (found, said in what) == (outcome, True), what

    def test_the_table_counts_by_folder_and_leaves_the_gpu_out(self, all_tests):
        _, table = all_tests
        rows = [line.split() for line in table.splitlines() if line.startswith(("theano", "all"))]
        assert rows == [
            ["theano", "8", "4", "1", "1", "2"],
            ["theano/scalar", "2", "0", "2", "0", "0"],
            ["all", "10", "4", "3", "1", "2"],
        ]

    def test_of_a_sample_checks_1_2_4_and_so_on_are_run(self, tmp_path):
        tests, _ = results_of(tmp_path, {"theano/scalar/tests/test_yields.py": YIELDS}, "--limit", 1)
        assert tests == {"theano/scalar/tests/test_yields.py::test_yields": ["passed", ""]}

    def test_a_sample_does_not_depend_on_the_order_of_the_tests(self, tmp_path):
        functions = [f"def test_{i}(): pass\n" for i in range(9)]
        name = "theano/scalar/tests/test_many.py"
        tests, _ = results_of(tmp_path, {name: "".join(functions)}, "--limit", 3)
        same, _ = results_of(tmp_path, {name: "".join(reversed(functions))}, "--limit", 3)
        assert set(tests) == set(same) and len(tests) == 3


class TestCompare:
    def test_tests_that_did_not_end_alike_are_printed_and_common_failures_counted(self, tmp_path):
        old = {"theano/tests/a.py::x": ["passed", ""], "theano/tests/a.py::y": ["failed", "TypeError: no"]}
        new = {"theano/tests/a.py::x": ["skipped", "no GPU"], "theano/tests/a.py::y": ["failed", "TypeError: no"]}
        files = []
        for python, tests in (("3.10.1", old), ("3.15.2", new)):
            run = {"versions": {"Python": python, "NumPy": "2"}, "files": {"theano/tests/a.py": 7}, "tests": tests}
            files.append(tmp_path / f"{python}.json")
            files[-1].write_text(json.dumps(run))
        printed = suite("--compare", *files, "--markdown").stdout
        assert "| theano | 7 | 1, 1, 0, 0 | 0, 1, 1, 0 |" in printed
        assert "- theano/tests/a.py::x\n  - 3.10.1, NumPy 2: passed\n  - 3.15.2, NumPy 2: skipped: no GPU\n" in printed
        assert "1 failed in all:\n\n- 1: TypeError: no\n" in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--sdist", "nowhere.tar.gz"), "--sdist: got nowhere.tar.gz, which is no file"),
        (("--limit", "0"), "--limit: expected a whole number of at least 1, got '0'"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message):
    done = suite(*arguments)
    assert done.returncode and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_unknown_folder_is_named_with_those_that_exist(tmp_path):
    done = suite("--sdist", sdist(tmp_path, RELEASE), "--folders", "theano/tensor")
    assert "--folders: got theano/tensor, expected some of theano, theano/scalar" in done.stderr
