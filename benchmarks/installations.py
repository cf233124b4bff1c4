"""Install this project in every way that people do, on every Python that is here, and print the first score of each.

    python -m pip install uv pipx
    python benchmarks/installations.py [--pythons python3.10 python3.13 ...] [--ways pip uv ...] [--markdown]

What is installed is the last commit of this checkout. Each way gets an environment of its own, with nothing in it but
what the project's own files ask for. The scored picture is given as a path, from another folder, by the command
``open-nsfw`` that was installed. A second table has the seconds of a first score with an empty compile folder and of
the next ones, a process each.

The exit code is 1 if an installation fails, or if scores differ.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tables import write_row

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "img" / "coffee.jpg"
PYTHONS = [f"3.{minor}" for minor in range(10, 16)]


class InstallationError(Exception):
    """A command failed; the message is the end of what it printed."""


def run(*command: object, folder: Path, **environment: object) -> str:
    """Run a program outside the checkout and give what it printed."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {name: str(value) for name, value in environment.items()}
    process = subprocess.run([str(part) for part in command], cwd=folder, env=variables, capture_output=True, text=True)
    if process.returncode:
        raise InstallationError(f"{' '.join(map(str, command))}\n{(process.stdout + process.stderr)[-2000:]}")
    return process.stdout


# Each way: a Python, a clean checkout and an empty folder, to the command that was installed.


def environment(python: str, folder: Path) -> Path:
    """Make a virtual environment and give its folder of programs."""
    run(python, "-m", "venv", folder / "venv", folder=folder)
    return folder / "venv" / "bin"


def by_pip(python: str, checkout: Path, folder: Path) -> Path:
    """``pip install .``"""
    programs = environment(python, folder)
    run(programs / "python", "-m", "pip", "install", checkout, folder=folder)
    return programs / "open-nsfw"


def editable(python: str, checkout: Path, folder: Path) -> Path:
    """``pip install --editable .``"""
    programs = environment(python, folder)
    run(programs / "python", "-m", "pip", "install", "--editable", checkout, folder=folder)
    return programs / "open-nsfw"


def requirements_line(python: str, checkout: Path, folder: Path) -> Path:
    """``pip install -r requirements.txt``, with a line ``git+...`` that names a clone"""
    programs = environment(python, folder)
    (folder / "requirements.txt").write_text(f"git+{checkout.as_uri()}\n")
    run(programs / "python", "-m", "pip", "install", "-r", "requirements.txt", folder=folder)
    return programs / "open-nsfw"


def sdist(python: str, checkout: Path, folder: Path) -> Path:
    """A source distribution, built by ``uv build --sdist``, installed by pip"""
    programs = environment(python, folder)
    run("uv", "build", "--sdist", "--python", python, "--out-dir", folder / "dist", checkout, folder=folder)
    [made] = (folder / "dist").glob("*.tar.gz")
    run(programs / "python", "-m", "pip", "install", made, folder=folder)
    return programs / "open-nsfw"


def wheel(python: str, checkout: Path, folder: Path) -> Path:
    """A wheel, built by ``pip wheel``, installed by pip"""
    programs = environment(python, folder)
    run(programs / "python", "-m", "pip", "wheel", "--no-deps", "-w", folder / "dist", checkout, folder=folder)
    [made] = (folder / "dist").glob("*.whl")
    run(programs / "python", "-m", "pip", "install", made, folder=folder)
    return programs / "open-nsfw"


def by_uv(python: str, checkout: Path, folder: Path) -> Path:
    """``uv venv; uv pip install .``"""
    run("uv", "venv", "--python", python, folder / "venv", folder=folder)
    run("uv", "pip", "install", "--python", folder / "venv", checkout, folder=folder)
    return folder / "venv" / "bin" / "open-nsfw"


def uv_tool(python: str, checkout: Path, folder: Path) -> Path:
    """``uv tool install .``"""
    places = {"UV_TOOL_DIR": folder / "tools", "UV_TOOL_BIN_DIR": folder / "bin"}
    run("uv", "tool", "install", "--python", python, checkout, folder=folder, **places)
    return folder / "bin" / "open-nsfw"


def by_pipx(python: str, checkout: Path, folder: Path) -> Path:
    """``pipx install .``"""
    places = {"PIPX_HOME": folder / "pipx", "PIPX_BIN_DIR": folder / "bin"}
    run("pipx", "install", "--python", python, checkout, folder=folder, **places)
    return folder / "bin" / "open-nsfw"


WAYS: dict[str, Callable[[str, Path, Path], Path]] = {
    "pip": by_pip,
    "editable": editable,
    "git": requirements_line,
    "sdist": sdist,
    "wheel": wheel,
    "uv": by_uv,
    "uv tool": uv_tool,
    "pipx": by_pipx,
}


def find_pythons() -> list[str]:
    """Paths of the Pythons on PATH and under pyenv, one of each version."""
    found = []
    for version in PYTHONS:
        candidates = [*Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), shutil.which(f"python{version}")]
        found += [str(path) for path in candidates if path][:1]
    return found


def first_score(way: str, python: str, checkout: Path, compiled: Path) -> tuple[str, float]:
    """Install, score a picture, and give what was printed and the seconds that the score took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            command = WAYS[way](python, checkout, folder)
            start = time.perf_counter()
            printed = run(command, "score", PICTURE, folder=folder, THEANO_FLAGS=f"base_compiledir={compiled}")
        except InstallationError as error:
            print(f"{python}, {way}: {error}", file=sys.stderr)
            return "failed", float("nan")
        return printed.split()[0], time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> int:
    """Install, score, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pythons", nargs="+", default=find_pythons(), help="programs (default: all that are found)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args(argv)

    for way in args.ways:
        print(f"{way}: {(WAYS[way].__doc__ or '').strip()}")
    print()
    scores, seconds = set(), []
    with tempfile.TemporaryDirectory() as work:
        checkout = Path(work, "checkout")
        run("git", "clone", "--quiet", ROOT, checkout, folder=Path(work))
        write_row(["Python", *args.ways], args.markdown, header=True)
        for python in args.pythons:
            version = run(python, "-c", "import platform; print(platform.python_version())", folder=Path(work)).strip()
            compiled = Path(work, "compiled", version)
            results = [first_score(way, python, checkout, compiled) for way in args.ways]
            write_row([version, *(score for score, _ in results)], args.markdown)
            scores |= {score for score, _ in results}
            seconds.append((version, [taken for _, taken in results]))
    print()
    write_row(["seconds", *args.ways], args.markdown, header=True)
    for version, taken in seconds:
        write_row([version, *(f"{value:.1f}" for value in taken)], args.markdown)
    return int(len(scores) != 1 or "failed" in scores)


if __name__ == "__main__":
    sys.exit(main())
