"""Every example in the README, the pages of docs/ and the docstrings is run, and prints what it says."""

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import nsfw_experiments
import nsfw_model
import theano_compat
import theano_cpu

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["open_nsfw"] + [
    module.name
    for package in (theano_compat, theano_cpu, nsfw_model, nsfw_experiments)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]
#: Modules whose examples compute with oneDNN, with which alone they work.
NEED_ONEDNN = {"theano_cpu.ops", "theano_cpu.onednn.rewrites"}


def fenced(page, language):
    """The fenced code blocks of a Markdown page that are of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_doctest(examples, name, namespace):
    test = doctest.DocTestParser().get_doctest(examples, namespace, name, None, 0)
    report = []
    doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
    namespace.update(test.globs)
    assert not report, "".join(report)


@pytest.fixture(autouse=True)
def in_a_checkout(monkeypatch):
    """Examples name files of the project relative to its root."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_of_a_page(page):
    """The blocks of a page are one story: later ones use names of earlier ones."""
    namespace = {}
    for block in fenced(page, "python"):
        if ">>>" in block:
            run_doctest(block, page.name, namespace)
        else:
            exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page(page, tmp_path, yahoo_files):
    """In ``console`` blocks, what follows ``$ `` is run and prints the lines below it ("..." stands for anything)."""
    for block in fenced(page, "console"):
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            command = command.replace("/tmp/", f"{tmp_path}/").replace("yahoo/", f"{yahoo_files[0].parent}/")
            if command.startswith("open-nsfw"):
                command = shlex.join([sys.executable, "-m", "nsfw_command.main"]) + command.removeprefix("open-nsfw")
            process = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=600)
            printed = (process.stdout + process.stderr).replace(f"{tmp_path}/", "/tmp/")
            assert doctest.OutputChecker().check_output(expected, printed, FLAGS), f"{command}\n{printed}"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    if name in NEED_ONEDNN and not theano_cpu.onednn_available():
        pytest.skip("oneDNN is not the engine")
    module = importlib.import_module(name)
    report = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)  # whatever pytest's own -v says
    for test in doctest.DocTestFinder().find(module):
        runner.run(test, out=report.append)
    assert not report, "".join(report)
