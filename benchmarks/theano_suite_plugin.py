"""The part of theano_suite.py that runs inside pytest, in the process of one of Theano's test files.

It imports theano_compat and Theano before any test is, serves the test files of the sdist beside the Theano that is
installed, stands in for nose, which Theano's tests were written for, and writes down each result at once: a process
that dies keeps what it had.
"""

from __future__ import annotations

import faulthandler
import functools
import hashlib
import inspect
import linecache
import os
import platform
import random
import re
import signal
import subprocess
import sys
import unittest
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy
import numpy.testing
import pytest
import scipy
from theano_suite import ENDED, SELECTED, STARTED, read_events, write_event

import theano_compat  # noqa: F401  # repairs theano's import

import theano

LONGEST_REASON = 160
#: How many times its time of the processor a test may wait, for a compiler and on a busy machine.
WAIT = 20


def pytest_addoption(parser) -> None:
    """Add what theano_suite.py hands down."""
    parser.addoption("--suite-tests", type=Path, help="the folder with Theano's tests")
    parser.addoption("--suite-results", type=Path, help="the file that results are appended to")
    parser.addoption("--suite-limit", type=int, help="tests of a file that are run, 0 for all")
    parser.addoption("--suite-seconds", type=float, help="what one test may take")


def pytest_configure(config) -> None:
    """Make Theano's tests importable, and start to watch the time."""
    options = config.option
    # behind the import hook of theano_compat, which repairs what others find
    sys.meta_path.insert(1, TestFiles(options.suite_tests, every_check=not options.suite_limit))
    sys.modules.update((module.__name__, module) for module in nose_stand_ins())
    numpy.testing.dec = SimpleNamespace(skipif=unittest.skipIf)  # its decorators were nose's as well
    config.pluginmanager.register(Journal(options.suite_results, options.suite_limit, options.suite_seconds))


@pytest.fixture(autouse=True)
def as_under_nose(request) -> Iterator[None]:
    """Seed what a test draws from, and call ``setUp`` of classes that are no TestCase, as nose did."""
    random.seed(0)
    numpy.random.seed(0)
    plain = None if isinstance(request.instance, unittest.TestCase) else request.instance
    getattr(plain, "setUp", lambda: None)()
    yield
    getattr(plain, "tearDown", lambda: None)()


class TestFiles:
    """Finds the modules of Theano's test packages in a folder that holds nothing else of Theano's."""

    __test__ = False

    def __init__(self, folder: Path, every_check: bool):
        self.folder = folder
        self.every_check = every_check

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None):
        """Return the spec of a module of a test package, None for others."""
        *packages, _ = parts = name.split(".")
        if parts[0] != "theano" or "tests" not in parts:
            return None
        spec = PathFinder.find_spec(name, [str(self.folder.joinpath(*packages))])
        if spec is not None and spec.loader is not None:
            self._wrap(spec)
        return spec

    def _wrap(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        assert loader is not None
        exec_module = loader.exec_module

        def exec_and_adapt(module: ModuleType) -> None:
            exec_module(module)
            run_yielded_checks(module, self.every_check)

        loader.exec_module = exec_and_adapt  # type: ignore[method-assign]


def run_yielded_checks(module: ModuleType, every_check: bool) -> None:
    """Replace test functions that yield checks, which only nose knows, by such as run the checks."""
    classes = [value for value in vars(module).values() if inspect.isclass(value)]
    for owner in (module, *classes):
        for name, function in list(vars(owner).items()):
            if name.startswith("test") and inspect.isgeneratorfunction(function):
                setattr(owner, name, _running(function, every_check))


def _running(generator: Callable[..., Iterator], every_check: bool) -> Callable[..., None]:
    @functools.wraps(generator)
    def test(*args) -> None:
        for number, check in enumerate(generator(*args), start=1):
            # some yield thousands: of a sample of tests, a sample of their checks
            if every_check or number.bit_count() == 1:
                function, *arguments = check if isinstance(check, tuple) else (check,)
                function(*arguments)

    # functools.wraps leaves the generator for inspect to find
    del test.__wrapped__  # type: ignore[attr-defined]
    if list(inspect.signature(generator).parameters) == ["self"]:
        return lambda self: test(self)
    return lambda: test()


def nose_stand_ins() -> list[ModuleType]:
    """Make the modules of nose that Theano's tests import, with the names that they take from them."""
    case = unittest.TestCase()
    contents: dict[str, dict[str, object]] = {
        "nose": {},
        "nose.plugins": {},
        "nose.plugins.skip": {"SkipTest": unittest.SkipTest},
        "nose.plugins.attrib": {"attr": lambda *names: lambda function: function},
        "nose.tools": {
            "assert_equal": case.assertEqual,
            "assert_equals": case.assertEqual,
            "assert_raises": case.assertRaises,
            "assert_true": case.assertTrue,
            "raises": raises,
        },
    }
    modules = []
    for name, names in contents.items():
        module = ModuleType(name)
        vars(module).update(names)
        modules.append(module)
    return modules


def raises(*exceptions: type[BaseException]) -> Callable[[Callable], Callable]:
    """Decorate a test that passes if it raises one of the exceptions (``nose.tools.raises``)."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def test(*args):
            with pytest.raises(exceptions):
                function(*args)

        return test

    return decorate


class Journal:
    """Chooses the tests, writes each event as a line of JSON, and ends the process when a test takes too long."""

    def __init__(self, file: Path, limit: int, seconds: float):
        self.file = file
        self.limit = limit
        self.seconds = seconds
        self.started = {event[1] for event in read_events(file) if event[0] == STARTED}
        self.outcome, self.reason = "", ""
        self.watch()

    def watch(self) -> None:
        """Let the system end the process when the next step has had its time of the processor, or waits for ever."""
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        faulthandler.dump_traceback_later(WAIT * self.seconds, exit=True, file=sys.__stderr__)

    def pytest_collection_modifyitems(self, config, items: list) -> None:
        """Choose the tests, leaving out those that an earlier process has begun."""
        chosen = sample([item.nodeid for item in items], self.limit)
        write_event(self.file, SELECTED, len(items), versions())
        items[:] = [item for item in items if item.nodeid in chosen - self.started]

    def pytest_collectreport(self, report) -> None:
        """A file that cannot be imported is one failed test."""
        if report.failed:
            write_event(self.file, "failed", report.nodeid, reason(report))
        elif report.skipped:
            write_event(self.file, "skipped", report.nodeid, reason(report))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write down which test would be to blame."""
        self.outcome, self.reason = "passed", ""
        write_event(self.file, STARTED, nodeid)
        self.watch()

    def pytest_runtest_logreport(self, report) -> None:
        """Keep the worst of set-up, call and tear-down."""
        if report.failed or report.skipped and self.outcome == "passed":
            self.outcome, self.reason = report.outcome, reason(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Write the result down."""
        write_event(self.file, self.outcome, nodeid, self.reason)

    def pytest_sessionfinish(self) -> None:
        """Say that nothing is left to be done."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        write_event(self.file, ENDED)


def sample(tests: list[str], limit: int) -> set[str]:
    """Choose tests by the hash of their names: the same ones everywhere, whatever else a file has. 0 is all."""
    by_hash = sorted(set(tests), key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(by_hash[:limit] if limit else by_hash)


def reason(report) -> str:
    """Return in one line what a failed or skipped test said."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        said = first_line(crash.message)
        if said == "AssertionError":
            said = f"{said}: {linecache.getline(crash.path, crash.lineno).strip()}"
    elif isinstance(report.longrepr, tuple):
        said = first_line(report.longrepr[2])
    else:  # of a whole file: a traceback, with its message at the end
        said = str(report.longrepr).rstrip().rpartition("\n")[2].removeprefix("E").strip()
    return re.sub(r"0x[0-9a-f]+", "0x...", said)[:LONGEST_REASON]


def first_line(text: str) -> str:
    """Return the first line of a text that is not empty."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def versions() -> dict[str, str]:
    """Return what the tests are run with."""
    compiler = subprocess.run([theano.config.cxx, "-dumpfullversion"], capture_output=True, text=True).stdout
    return {
        "Python": platform.python_version(),
        "NumPy": numpy.__version__,
        "SciPy": scipy.__version__,
        "Theano": theano.__version__,
        "g++": compiler.strip(),
        "folder of Theano": os.path.dirname(theano.__file__),
    }
