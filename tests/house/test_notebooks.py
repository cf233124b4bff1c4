"""The notebooks run from top to bottom, with a tiny budget, and are committed with outputs that every viewer shows."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.name for path in NOTEBOOKS]
#: What JupyterLab shows of a notebook that is not trusted, and of HTML what its sanitizer takes out.
PICTURES = {"image/png", "image/jpeg", "image/gif"}
SAFE = {"text/plain", "text/markdown", "text/latex", "text/html"} | PICTURES
TAKEN_OUT = re.compile(r"<(?:script|style|svg|iframe|object|embed|canvas|link|form)\b|<[^>]*\son\w+\s*=", re.IGNORECASE)
LARGEST = 5_000_000


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def hidden(output):
    """What a viewer hides of an output as long as the notebook is not trusted, if it has no picture to show instead."""
    data = output.get("data", {})
    lost = [mimetype for mimetype in data if mimetype not in SAFE] + TAKEN_OUT.findall(data.get("text/html", ""))
    return [] if PICTURES & set(data) else lost


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("OPEN_NSFW_NOTEBOOK_BUDGET", "tiny")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(path.parent)}}
    ).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_committed_executed_and_without_errors(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert outputs(notebook) and not [output for output in outputs(notebook) if output.output_type == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_written_as_jupyterlab_writes_it(path):
    """Otherwise JupyterLab changes it when it is opened, and asks whether to save it."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    language = dict(notebook.metadata.language_info)
    assert re.fullmatch(r"3\.\d+\.\d+", language.pop("version"))
    assert language == {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_all_outputs_of_a_notebook_are_shown_before_it_is_trusted(path):
    notebook = nbformat.read(path, as_version=4)
    assert [part for output in outputs(notebook) for part in hidden(output)] == []


@pytest.mark.parametrize(
    "data",
    [
        {"image/svg+xml": "<svg/>", "text/plain": "a drawing"},
        {"application/javascript": "draw()"},
        {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a slider"},
        {"text/html": "<div><SVG></SVG></div>"},
        {"text/html": '<img src="a.png" onload="draw()">'},
    ],
    ids=" ".join,
)
def test_an_output_that_is_not_shown_is_noticed(data):
    assert hidden({"output_type": "display_data", "data": data})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_no_line_of_a_notebook_runs_off_the_page(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    printed = [output.text for cell in cells for output in cell.outputs if output.output_type == "stream"]
    lines = [line for text in [*(cell.source for cell in cells), *printed] for line in text.splitlines()]
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_small_enough_to_be_shown(path):
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_leads_to_others(path):
    text = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    linked = set(re.findall(r"\]\(([\w-]+\.ipynb)\)", text))
    assert linked - {path.name}
