"""Sphinx's settings: ``make docs`` builds the site of the docstrings, the pages and the executed notebooks.

Pages and notebooks are written to be read in the repository too. So the site takes the README, CONTRIBUTING and
CHANGELOG from the project's root, copies the notebooks, and rewrites the links between them.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from types import GenericAlias

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))
os.chdir(ROOT)  # where modules find the model's files
os.environ["PYTHONPATH"] = str(ROOT)

import theano_compat  # noqa: E402, F401  # before autodoc imports Theano

#: Pages whose text is a file elsewhere in the project.
ROOT_PAGES = {
    "index": "README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "third_party": "third_party/README.md",
}
NOTEBOOKS, API = DOCS / "notebooks", DOCS / "api"

project = "open_nsfw"
author = "the open_nsfw developers"
project_copyright = author
html_title = "Open NSFW"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "py:obj"  # `name` in a docstring is a link where there is such a name
highlight_language = "none"
add_module_names = False  # the page's head has it

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the Parameters sections have the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed as they were run
# A widget is shown by its picture, since its script would come from another site
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]

html_theme = "furo"
html_copy_source = False
html_show_copyright = False


def take_notebooks() -> None:
    """Copy the notebooks, and forget the pages that autosummary wrote for modules of an earlier build."""
    for folder in (NOTEBOOKS, API):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", NOTEBOOKS, ignore=shutil.ignore_patterns(".*"))


def write_page(app, docname: str, source: list[str]) -> None:
    """Give a page of `ROOT_PAGES` its text, and links to where the site has their targets."""
    if docname in ROOT_PAGES:
        path = ROOT / ROOT_PAGES[docname]
        source[0] = relinked(path.read_text(encoding="utf-8"), path.parent) + "\n" + source[0]
    elif Path(app.env.doc2path(docname)).suffix == ".md":
        source[0] = relinked(source[0], DOCS)


def relinked(text: str, folder: Path) -> str:
    """Rewrite a page's links to files, which are relative to `folder`, as links of the site."""
    pages = {ROOT / name: f"{page}.md" for page, name in ROOT_PAGES.items()}

    def link(match: re.Match) -> str:
        target = (folder / match["path"]).resolve()
        if target.parent == ROOT / "notebooks":
            target = NOTEBOOKS / target.name
        return f"]({pages.get(target) or os.path.relpath(target, DOCS)}{match['anchor'] or ''})"

    return re.sub(r"\]\((?!\w+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)]*)?\)", link, text)


def setup(app) -> None:
    """Called by Sphinx."""
    take_notebooks()
    app.connect("env-get-outdated", lambda *_: list(ROOT_PAGES))  # Sphinx cannot know when the root's files change
    app.connect("source-read", write_page)
    # Names of types, such as nsfw_model.weights.Weights: Sphinx 9.0 fails at their signatures
    app.connect(
        "autodoc-skip-member", lambda app, what, name, thing, skip, options: isinstance(thing, GenericAlias) or None
    )
