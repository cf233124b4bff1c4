"""``open-nsfw info``: what computes the scores here, and from which files."""

from __future__ import annotations

import json
import platform
from argparse import Namespace, _SubParsersAction
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import open_nsfw

PACKAGES = ("Theano", "Lasagne", "numpy", "pillow", "protobuf", "deap", "onednn-cpu-gomp")


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        What `argparse.ArgumentParser.add_subparsers` gives.
    """
    parser = subparsers.add_parser(
        "info", help="say what computes the scores here", description="Say what computes the scores here."
    )
    parser.add_argument("--json", action="store_true", help="write a JSON object")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Write engine, versions, threads and files.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code, 0.
    """
    facts = gather()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:{width}}  {'-' if value is None else value}")
    return 0


def gather() -> dict[str, Any]:
    """Collect the facts.

    Returns
    -------
    dict of str to (str, int, bool or None)
        Versions by the name of what has them, ``onednn`` being the library that is loaded (its wheel counts
        otherwise); then the facts of `theano_cpu.onednn.info`, and paths of folders and files.

    Raises
    ------
    FileNotFoundError
        If weights or architecture are missing.
    TheanoEnvironmentError
        If the engine that is asked for cannot be had.

    Examples
    --------
    >>> gather()["open-nsfw"] == open_nsfw.__version__
    True
    """
    from theano_cpu.onednn import info

    import theano

    facts: dict[str, Any] = {"open-nsfw": open_nsfw.__version__, "python": platform.python_version()}
    facts.update({package.lower(): installed_version(package) for package in PACKAGES})
    facts.update({"onednn" if name == "version" else name: fact for name, fact in info().items()})
    facts["compiled functions"] = theano.config.compiledir
    facts["weights"], facts["architecture"] = map(str, open_nsfw.model_files())
    return facts


def installed_version(package: str) -> str | None:
    """Give a package's version.

    Parameters
    ----------
    package : str
        Its name on PyPI.

    Returns
    -------
    str or None
        None where it is not installed.

    Examples
    --------
    >>> installed_version("Theano")
    '1.0.5'
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None
