"""``open-nsfw info``: what computes the scores here, and from which files."""

from __future__ import annotations

import json
import platform
from argparse import Namespace
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("Theano", "Lasagne", "numpy", "pillow", "protobuf", "deap", "onednn-cpu-gomp")


def add_parser(subparsers) -> None:
    """Add the subcommand to the command line's parser."""
    parser = subparsers.add_parser(
        "info", help="say what computes the scores here", description="Say what computes the scores here."
    )
    parser.add_argument("--json", action="store_true", help="write a JSON object")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Write engine, versions, threads and files."""
    facts = gather()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:{width}}  {'-' if value is None else value}")
    return 0


def gather() -> dict:
    """Collect the facts, as strings, numbers, booleans or None."""
    from theano_cpu.onednn import info

    import theano

    from open_nsfw import model_files

    facts = {"python": platform.python_version()}
    facts.update({package.lower(): installed_version(package) for package in PACKAGES})
    facts.update(info())
    facts["compiled functions"] = theano.config.compiledir
    facts["weights"], facts["architecture"] = map(str, model_files())
    return facts


def installed_version(package: str) -> str | None:
    """Give a package's version, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
