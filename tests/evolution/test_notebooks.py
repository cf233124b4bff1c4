"""The notebooks of evolution, as a reader finds them who has run nothing, trusts nothing and sees them anywhere."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = ["NSFW-Circles.ipynb", "NSFW-Triangles.ipynb", "Painting-a-picture.ipynb"]

every_notebook = pytest.mark.parametrize("name", NAMES)


def outputs(notebook):
    """What cells show: bundles of data by their type."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [output["data"] for cell in cells for output in cell["outputs"] if "data" in output]


def read(name):
    return json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))


@every_notebook
def test_a_notebook_is_small(name):
    assert (NOTEBOOKS / name).stat().st_size < 3_000_000


@every_notebook
def test_every_picture_shows_without_trust_and_in_nbconvert(name):
    bundles = outputs(read(name))
    assert bundles
    for bundle in bundles:
        assert not {"image/svg+xml", "image/gif", "application/javascript"} & set(bundle)
        assert {"image/png", "text/html"} & set(bundle)
    embedded = re.findall(r'src=\\?"data:(image/[a-z+]+);', json.dumps(bundles))
    assert {"image/gif", "image/svg+xml"} <= set(embedded)


@every_notebook
def test_animations_move_for_four_seconds_and_rest_at_the_end(name):
    html = "".join("".join(bundle.get("text/html", ())) for bundle in outputs(read(name)))
    gifs = re.findall(r'src="data:image/gif;base64,([^"]+)"', html)
    assert gifs
    for gif in gifs:
        frames = ImageSequence.Iterator(Image.open(io.BytesIO(base64.b64decode(gif))))
        durations = [frame.info["duration"] for frame in frames]
        assert sum(durations[:-1]) >= 4000 and durations[-1] >= 2000


@every_notebook
def test_a_notebook_says_where_to_go_next(name):
    texts = ["".join(cell["source"]) for cell in read(name)["cells"] if cell["cell_type"] == "markdown"]
    links = {link for text in texts for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", text)}
    assert links >= {*NAMES, "Inverse-NSFW.ipynb", "Playground.ipynb"} - {name}
