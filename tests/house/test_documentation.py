"""Every example is run and prints what it says, every link leads somewhere, and every public name is described."""

import dataclasses
import doctest
import importlib
import functools
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
import typing
from itertools import chain
from pathlib import Path

import nbformat
import pytest
import yaml
from numpydoc.docscrape import NumpyDocString

import nsfw_command
import nsfw_experiments
import nsfw_model
import nsfw_scale
import nsfw_server
import theano_compat
import theano_cpu
from theano_compat import import_hook

import lasagne
import theano

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "third_party/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["open_nsfw", "third_party.unpack"] + [
    module.name
    for package in (theano_compat, theano_cpu, nsfw_model, nsfw_scale, nsfw_experiments, nsfw_server, nsfw_command)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]
#: Modules whose examples compute with oneDNN, with which alone they work.
NEED_ONEDNN = {"theano_cpu.ops", "theano_cpu.onednn.rewrites"}
#: Modules whose examples need a package of an extra.
NEED_PACKAGES = {"nsfw_command.parquet": "pyarrow", "nsfw_experiments.playground.page": "anywidget"}


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


# --- examples


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
def test_commands_of_a_page(page, tmp_path, request):
    """In ``console`` blocks, what follows ``$ `` is run and prints the lines below it ("..." stands for anything)."""
    for block in fenced(page, "console"):
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            command = command.replace("/tmp/", f"{tmp_path}/")
            if "yahoo/" in command:
                command = command.replace("yahoo/", f"{request.getfixturevalue('yahoo_files')[0].parent}/")
            if command.startswith("open-nsfw"):
                command = shlex.join([sys.executable, "-m", "nsfw_command.main"]) + command.removeprefix("open-nsfw")
            process = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=600)
            printed = (process.stdout + process.stderr).replace(f"{tmp_path}/", "/tmp/")
            assert doctest.OutputChecker().check_output(expected, printed, FLAGS), f"{command}\n{printed}"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    if name in NEED_ONEDNN and not theano_cpu.onednn_available():
        pytest.skip("oneDNN is not the engine")
    if name in NEED_PACKAGES:
        pytest.importorskip(NEED_PACKAGES[name])
    module = importlib.import_module(name)
    report = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)  # whatever pytest's own -v says
    for test in doctest.DocTestFinder().find(module):
        runner.run(test, out=report.append)
    assert not report, "".join(report)


# --- pages


def without_code(text):
    """A page without its code, where brackets are no links and # begins no heading."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def links(text):
    """Targets of a page's links and pictures, except those on other sites."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(text))
    return [target for target in targets if not re.match(r"\w+:", target)]


def anchors(path):
    """What GitHub and MyST call the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def dead_links(text, path):
    """Links of a text in the file `path` to files and headings that do not exist."""
    dead = []
    for target in links(text):
        file, _, anchor = target.partition("#")
        found = path.parent / file if file else path
        if not found.is_file() or (anchor and anchor not in anchors(found)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    assert dead_links(page.read_text(encoding="utf-8"), page) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_links_of_a_notebook_lead_somewhere(path):
    cells = nbformat.read(path, as_version=4).cells
    assert dead_links("\n".join(cell.source for cell in cells if cell.cell_type == "markdown"), path) == []


def test_a_dead_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    text = "# A title\n[a](page.md#a-title) [b](#a-title) [c](none.md) [d](#none) [e](https://example.org) `[f](none)`"
    page.write_text(text)
    assert dead_links(text, page) == ["none.md", "#none"]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


def test_all_pages_and_notebooks_are_in_the_sites_contents():
    contents = (ROOT / "docs/index.md").read_text(encoding="utf-8").split()
    pages = {path.stem for path in PAGES if path.parent.name == "docs"} - {"index"}
    assert pages | {f"notebooks/{path.stem}" for path in NOTEBOOKS} <= set(contents)


def walks():
    """The steps of docs/architecture.md's walks: the file that each begins with, and its text."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Four walks")[2]
    return re.findall(r"^ ?\d+\. `([\w./]+)`: (.*?)(?=^ ?\d+\. |^$)", text, re.MULTILINE | re.DOTALL)


def test_the_walks_name_files_and_functions_that_exist():
    assert len(walks()) > 20
    for file, text in walks():
        code = (ROOT / file).read_text(encoding="utf-8")
        for name in re.findall(r"`([^`]+)`", text):
            if "/" in name:
                assert (ROOT / name).exists(), f"{file}: {name}"
            else:
                assert re.search(rf"\b{re.escape(name)}\b", code), f"{file}: {name}"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stdout + process.stderr
    assert (tmp_path / "index.html").exists()
    loaded = r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//"
    online = [page.name for page in tmp_path.rglob("*.html") if re.search(loaded, page.read_text(encoding="utf-8"))]
    assert online == [], "pages that load files from other sites"


def test_the_citation_file_has_what_its_format_requires():
    # The required keys of Citation File Format 1.2.0, and of its references:
    # https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema-guide.md
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all({"type", "title", "authors"} <= set(reference) for reference in citation["references"])


# --- docstrings

#: Modules that people reach through those above them, whose docstrings have the examples.
INNER = (
    "nsfw_experiments.inverse.search.",
    "nsfw_model.layer_types.",
    "nsfw_model.layers.arguments.",
    "nsfw_model.layers.building.",
    "theano_compat.",
    "theano_cpu.fuse.",
    "theano_cpu.ir.",
    "theano_cpu.onednn.",
)
#: Parameters of functions that follow one form, and where that is described.
FORMS = {("message", "spec"): "nsfw_model.layer_types.record.LayerType.read"}
#: Functions and classes whose example would need what a docstring has not, and what that is.
WITHOUT_EXAMPLE = {
    "nsfw_experiments.inverse.eot.eot_attack": "a minute",
    "nsfw_experiments.evolution.callbacks.draw_progress": "a notebook",
    "nsfw_experiments.inverse.callbacks.draw_history": "a notebook",
    "nsfw_experiments.live_figure.LiveFigure": "a notebook",
    "nsfw_server.decoder.main": "a parent process",
    "nsfw_server.logs.RequestLog": "a server",
    "nsfw_server.protocol.LimitedProtocol": "a server",
    "nsfw_server.service.Service": "a server",
    "nsfw_server.workers.run": "a server",
}


#: The two functions that the parser asks of each subcommand's module.
OF_A_SUBCOMMAND = re.compile(r"nsfw_command\.\w+\.(add_parser|run)")


def public_objects(name):
    """The functions and classes that a module offers, by their full names."""
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")])
    things = {f"{name}.{key}": vars(module).get(key) for key in offered}
    return {
        full_name: thing
        for full_name, thing in things.items()
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__ == name
    }


def described_names(section):
    """The names of a numpydoc section: "height, width : int" describes two."""
    return {name.strip(" *") for entry in section for name in entry.name.split(",")}


def taken_names(thing):
    """The parameters of a function or of a class."""
    if dataclasses.is_dataclass(thing):
        return {field.name for field in dataclasses.fields(thing) if field.init and not field.name.startswith("_")}
    if inspect.isclass(thing) and ("__init__" not in vars(thing) or issubclass(thing, typing.Protocol)):
        return set()  # those of the class that it is derived from, or none
    parameters = inspect.signature(thing).parameters.values()
    return {parameter.name for parameter in parameters if not parameter.name.startswith("_")}


def gives_something(function):
    """Whether a function returns or yields, by its annotation; a context manager may yield nothing."""
    annotation = inspect.signature(function).return_annotation
    return annotation not in (None, "None", "NoReturn", "Iterator[None]", inspect.Signature.empty)


def is_repair(thing):
    """Whether the import hook calls it. Its docstring is its reason, one line, which `applied_repairs` gives."""
    registered = [
        repair for registry in (import_hook._before, import_hook._after) for repair in chain(*registry.values())
    ]
    registered += import_hook._provided.values()
    for step in chain(*import_hook._during.values()):
        registered.append(step.args[0] if isinstance(step, functools.partial) else inspect.unwrap(step))
    return any(thing is repair for repair in registered)


def flaws(name, thing):
    """What a docstring lacks."""
    if not inspect.getdoc(thing):
        return ["a docstring"]
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return []
    if inspect.isfunction(thing) and tuple(inspect.signature(thing).parameters) in FORMS:
        return []
    if is_repair(thing):
        return []
    document = NumpyDocString(inspect.getdoc(thing))
    parameters = described_names(document["Parameters"])
    if dataclasses.is_dataclass(thing):
        parameters |= described_names(document["Attributes"])
    lasagnes = {"name", "kwargs"} if inspect.isclass(thing) and issubclass(thing, lasagne.layers.Layer) else set()
    lacking = sorted(taken_names(thing) - parameters - lasagnes)
    found = [f"Parameters: {', '.join(lacking)}"] if lacking else []
    if inspect.isfunction(thing) and gives_something(thing) and not (document["Returns"] or document["Yields"]):
        found.append("Returns")
    if not document["Examples"] and needs_example(name, thing):
        found.append("Examples")
    return found


def needs_example(name, thing):
    """Records, abstract classes and Theano operations are not what people make themselves."""
    abstract = inspect.isclass(thing) and (
        inspect.isabstract(thing) or issubclass(thing, (typing.Protocol, theano.Op, tuple))
    )
    return not (
        abstract
        or dataclasses.is_dataclass(thing)
        or hasattr(thing, "model_fields")  # a record of pydantic's
        or name.startswith(INNER)
        or name in WITHOUT_EXAMPLE
        or OF_A_SUBCOMMAND.fullmatch(name)
    )


#: Those that are built up step by step.
CHANGING = {"nsfw_experiments.inverse.search.Bracket", "theano_cpu.fuse.graph.Node"}


@pytest.mark.parametrize("name", MODULES)
def test_records_do_not_change(name):
    records = {full_name: thing for full_name, thing in public_objects(name).items() if dataclasses.is_dataclass(thing)}
    changing = {full_name for full_name, thing in records.items() if not thing.__dataclass_params__.frozen}
    assert changing <= CHANGING


@pytest.mark.parametrize("name", MODULES)
def test_public_docstrings_are_complete(name):
    found = {full_name: flaws(full_name, thing) for full_name, thing in public_objects(name).items()}
    assert {full_name: lacking for full_name, lacking in found.items() if lacking} == {}


def test_the_names_without_an_example_exist():
    for full_name in WITHOUT_EXAMPLE:
        assert full_name in public_objects(full_name.rpartition(".")[0])


def test_a_flaw_of_a_docstring_is_noticed():
    def undescribed(size: int) -> int:
        """Do something."""
        return size

    assert flaws("undescribed", undescribed) == ["Parameters: size", "Returns", "Examples"]
