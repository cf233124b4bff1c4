"""Imports point one way, lazy ones too, and importing a package is cheap."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fresh_python import fresh_python

ROOT = Path(__file__).resolve().parents[2]

#: Each may import those before it.
LAYERS = [
    "theano_compat",
    "theano_cpu",
    "nsfw_model",
    "nsfw_scale",
    "open_nsfw",
    "nsfw_experiments",
    "nsfw_server",
    "nsfw_command",
]

#: Inside a package: these modules, and what they must not import.
APART = {
    "theano_cpu.onednn": [
        "theano_cpu.compile",
        "theano_cpu.fuse",
        "theano_cpu.ir",
        "theano_cpu.lowering",
        "theano_cpu.ops",
    ],
    "nsfw_experiments.evolution": [
        "nsfw_experiments.explanation",
        "nsfw_experiments.inverse",
        "nsfw_experiments.playground",
    ],
    "nsfw_experiments.explanation": [
        "nsfw_experiments.evolution",
        "nsfw_experiments.inverse",
        "nsfw_experiments.playground",
    ],
    "nsfw_experiments.inverse": [
        "nsfw_experiments.evolution",
        "nsfw_experiments.explanation",
        "nsfw_experiments.playground",
    ],
    "nsfw_server.decoder": ["nsfw_server.batcher", "nsfw_server.service", "open_nsfw", "theano_cpu"],
    "nsfw_experiments.pillow": [
        "nsfw_experiments.evolution",
        "nsfw_experiments.explanation",
        "nsfw_experiments.inverse",
        "nsfw_experiments.playground",
    ],
}

#: What takes long to import, and is not needed before something is computed.
SLOW = {
    "PIL",
    "deap",
    "distributed",
    "fastapi",
    "fsspec",
    "google.protobuf",
    "lasagne",
    "matplotlib",
    "numpy",
    "prometheus_client",
    "pydantic",
    "scipy",
    "skimage",
    "theano",
    "tqdm",
    "uvicorn",
}

#: Packages that users and the command import first, and which of the slow ones they need at once.
FACES = {
    "theano_compat": set(),
    "theano_cpu": set(),
    "theano_cpu.onednn": set(),
    "nsfw_model": set(),
    "open_nsfw": {"PIL", "numpy"},
    "nsfw_experiments": set(),
    "nsfw_experiments.evolution": set(),
    "nsfw_experiments.explanation": set(),
    "nsfw_experiments.inverse": set(),
    "nsfw_experiments.pillow": set(),
    "nsfw_experiments.playground": set(),
    "nsfw_server": set(),
    "nsfw_command.main": {"PIL", "numpy"},
}

MAIN_GUARD = "__name__ == '__main__'"
MODULE = re.compile(rf"({'|'.join(LAYERS)})(\.\w+)+")


def sources() -> Iterator[tuple[str, Path]]:
    """Every module of the packages that we wrote, by its full name."""
    for path in ROOT.glob("*.py"):
        if path.stem in LAYERS:
            yield path.stem, path
    for package in LAYERS:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "bundled" in parts:
                continue
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported_names(source: str, package: str) -> set[str]:
    """What a module imports, anywhere in its code: modules, and names as ``module.name``.

    Names of our modules in strings count as well: `lazy_names` and `deprecated_names` import by such names. What
    stands under ``if __name__ == "__main__"`` does not: there the module is a program, which nobody imports.

    Parameters
    ----------
    source : str
    package : str
        What the dots of relative imports stand for.
    """
    names = set()
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == MAIN_GUARD)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            module, _, _ = node.value.partition(":")
            names |= {module} if MODULE.fullmatch(module) else set()
    return names


IMPORTS = {
    name: imported_names(path.read_text(encoding="utf-8"), name if path.stem == "__init__" else name.rpartition(".")[0])
    for name, path in sources()
}


def is_in(name: str, package: str) -> bool:
    """Whether a module is the package or in it."""
    return name == package or name.startswith(package + ".")


def test_imports_are_found_wherever_they_stand():
    source = '''
"""theano_cpu.ops is named here, and not imported."""
import numpy as np
from theano_cpu import fuse, ir as graphs
from . import jpeg
from ..inverse.search import Goal

def late():
    import theano_cpu.compile

__getattr__ = lazy_names(__name__, {"Evolution": "nsfw_experiments.evolution.run", "old": "nsfw_model.logit:score_of"})

if __name__ == "__main__":
    import nsfw_command.main
'''
    assert imported_names(source, "nsfw_experiments.pillow") == {
        "numpy",
        "theano_cpu.fuse",
        "theano_cpu.ir",
        "nsfw_experiments.pillow.jpeg",
        "nsfw_experiments.inverse.search.Goal",
        "theano_cpu.compile",
        "nsfw_experiments.evolution.run",
        "nsfw_model.logit",
    }


def test_every_package_of_the_repository_has_its_place():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"open_nsfw"}
    assert packages == set(LAYERS)
    assert {name.partition(".")[0] for name in IMPORTS} == packages


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_only_those_below_it(package):
    above = LAYERS[LAYERS.index(package) + 1 :]
    upward = {
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if is_in(module, package)
        for name in names
        if name.partition(".")[0] in above
    }
    assert not upward


@pytest.mark.parametrize("package", APART)
def test_wings_keep_apart(package):
    assert any(is_in(module, package) for module in IMPORTS)
    across = {
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if is_in(module, package)
        for name in names
        if any(is_in(name, other) for other in APART[package])
    }
    assert not across


@pytest.mark.parametrize("face", FACES)
def test_importing_a_face_imports_nothing_slow(face):
    run = fresh_python(f"import sys, {face}; print(*sys.modules)")
    loaded = SLOW & set(run.stdout.split())
    assert loaded <= FACES[face]
