"""``open-nsfw warm-up``: compile everything beforehand, for machines that have no compiler."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import subprocess
import sys
import time
from argparse import Namespace, _SubParsersAction
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nsfw_command.terminal import complain

#: What else than scoring can be compiled for.
ALSO = ("inverse", "evolve")
PRECISIONS = ("float32", "bfloat16")
DONE, REFUSED = 0, 2
COMPILE, CHECK = "compiled", "checked without a compiler"
_PROGRAM = "import sys; from nsfw_command import warm_up; sys.exit(warm_up.work(sys.argv[1], sys.argv[2:]))"


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        What `argparse.ArgumentParser.add_subparsers` gives.
    """
    parser = subparsers.add_parser(
        "warm-up",
        help="compile beforehand, for machines without a compiler",
        description="Compile everything that scoring needs. Afterwards neither a compiler nor Python's headers are "
        "needed, and the folder may be read-only; it can be brought to other machines that have the same Python, "
        "the same packages in the same place, and a processor that can do as much.",
    )
    parser.add_argument(
        "--to", type=folder, metavar="FOLDER", help="where to compile (default: Theano's folder, see open-nsfw info)"
    )
    parser.add_argument("--also", nargs="+", choices=ALSO, default=[], help="what else than scoring is to work")
    parser.add_argument(
        "--march",
        type=processor_name,
        metavar="ARCH",
        help="the processor to compile for, such as x86-64-v3 (default: the one of this machine)",
    )
    parser.set_defaults(run=run)


def folder(text: str) -> Path:
    """Read a path that Theano's settings can hold.

    Parameters
    ----------
    text : str

    Returns
    -------
    pathlib.Path
        Absolute.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is empty or has a comma.

    Examples
    --------
    >>> folder("/opt/compiled")
    PosixPath('/opt/compiled')
    """
    if not text or "," in text:
        raise argparse.ArgumentTypeError(f"expected a path without commas, which end Theano's settings, got {text!r}")
    return Path(text).expanduser().absolute()


def processor_name(text: str) -> str:
    """Read what may stand after the compiler's ``-march=``.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Raises
    ------
    argparse.ArgumentTypeError
        If no processor has such a name.

    Examples
    --------
    >>> processor_name("x86-64-v3")
    'x86-64-v3'
    """
    if not re.fullmatch(r"[\w.+-]+", text):
        raise argparse.ArgumentTypeError(f"expected a processor's name, such as x86-64-v3, got {text!r}")
    return text


def run(args: Namespace) -> int:
    """Compile in a process of its own, then do the same once more as if there were no compiler.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code: 0, or 2 if something could not be compiled.
    """
    flags = [os.environ["THEANO_FLAGS"]] if os.environ.get("THEANO_FLAGS") else []
    if args.to is not None:
        flags.append(f"base_compiledir={args.to}")
    if args.march is not None:
        _check_march(args.march, ",".join(flags))
        flags.append(f"gcc.cxxflags=-march={args.march}")
    compiled: dict[str, Any] = {}
    for task, more in (COMPILE, []), (CHECK, ["cxx=no-compiler"]):
        print(f"{task}:", flush=True)
        for step in _steps(task, args.also, [*flags, *more]):
            if "problem" in step:
                complain(f"error: {step['problem']}")
                return REFUSED
            if "folder" in step:
                compiled = step
            else:
                print(f"  {step['name']:20} {step['result']:10} {step['seconds']:6.1f} s", flush=True)
    _report(compiled, args)
    return DONE


def _check_march(march: str, flags: str) -> None:
    """What is compiled is run here too, first of all while Theano is imported."""
    from theano_compat import TheanoEnvironmentError, processor
    from theano_compat.compiler import needed_flags
    from theano_compat.requirements import check_compiler, default_compiler

    cxx = dict(flag.split("=", 1) for flag in flags.split(",") if "=" in flag).get("cxx") or None
    check_compiler(cxx)
    lacking = processor.lacking(needed_flags(cxx or default_compiler(), march))
    if lacking:
        raise TheanoEnvironmentError(
            f"--march {march} is for processors that have {', '.join(lacking)}, and this one, which is to run what "
            "it compiles, has not: name an older one, or compile on another machine."
        )


def _steps(task: str, also: Iterable[str], flags: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What `work` writes in a new process with these settings of Theano's, line by line."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}
    environment["THEANO_FLAGS"] = ",".join(flags)
    environment["OPEN_NSFW_SNAPSHOT"] = "0"  # with one, there would be nothing to compile
    command = [sys.executable, "-c", _PROGRAM, task, *also]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                yield json.loads(line)
            except ValueError:  # somebody else's words
                print(line, end="", file=sys.stderr)
    if process.returncode not in (DONE, REFUSED):
        yield {"problem": f"the process that compiles ended with exit code {process.returncode}"}


def _report(compiled: dict[str, Any], args: Namespace) -> None:
    made = Path(compiled["folder"])
    if args.to is not None:
        _let_everybody_read(args.to)
    size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
    print(f"in {made}, {size / 1e6:.1f} MB, for {compiled['processor']}")
    if args.to is not None:
        print(f"export THEANO_FLAGS=base_compiledir={args.to}")
    elif "THEANO_FLAGS" not in os.environ:
        print("which Theano takes by itself: nothing has to be set")


def _let_everybody_read(top: Path) -> None:
    """Theano makes folders that only their owner may open; who uses them is another user."""
    for path in [top, *top.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | (0o555 if path.is_dir() else 0o444))


# --- in the process that compiles


def work(task: str, also: Iterable[str]) -> int:
    """Compile, or run what is compiled, and write a line of JSON for each step to standard output.

    Parameters
    ----------
    task : {"compiled", "checked without a compiler"}
    also : iterable of str
        Of `ALSO`.

    Returns
    -------
    int
        The exit code, 0, or 2 after a line that has the ``problem``.

    Examples
    --------
    >>> work(CHECK, [])
    {"name": "score float32", "result": "...", "seconds": ...}
    ...
    0
    """
    from theano_compat import TheanoEnvironmentError

    try:
        if task == COMPILE:
            _check_compiling()
        for name, step in steps(also).items():
            start = time.perf_counter()
            try:
                result = step()
            except NotImplementedError:
                result = "not here"
            _write(name=name, result=result, seconds=round(time.perf_counter() - start, 2))
        if task == COMPILE:
            _write(**_finish())
    except (TheanoEnvironmentError, FileNotFoundError) as error:
        _write(problem=str(error))
        return REFUSED
    return DONE


def _write(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def _check_compiling() -> None:
    import theano  # noqa: F401
    from theano_compat import precompiled

    precompiled.check_compiling()


def _finish() -> dict[str, str]:
    """Compile what Theano does not before it is needed, leave the record, and say where all is."""
    import importlib

    import theano
    from theano_compat import precompiled
    from theano_compat.compiler import march_of

    importlib.import_module("theano.gof.cutils")
    precompiled.write_record()
    march = march_of(theano.config.gcc.cxxflags)
    return {
        "folder": theano.config.compiledir,
        "processor": f"every {march}" if march else "processors that can do what this one can",
    }


def steps(also: Iterable[str]) -> dict[str, Callable[[], str]]:
    """List what is to be compiled.

    Parameters
    ----------
    also : iterable of str
        Of `ALSO`.

    Returns
    -------
    dict of str to callable
        Each computes a small example and gives a result to show.

    Examples
    --------
    >>> list(steps(["inverse"]))
    ['score float32', 'score bfloat16', 'inverse']
    """
    scoring = {f"score {precision}": lambda precision=precision: _score(precision) for precision in PRECISIONS}
    others = {"inverse": _invert, "evolve": _evolve}
    return {**scoring, **{name: others[name] for name in also}}


def _picture() -> Any:
    from PIL import Image

    return Image.linear_gradient("L").convert("RGB")


def _score(precision: Any) -> str:
    from open_nsfw import nsfw_score, nsfw_scores

    list(nsfw_scores([_picture()] * 3, precision=precision))
    return f"{nsfw_score(_picture(), precision=precision):.6f}"


def _invert() -> str:
    from nsfw_experiments.inverse import inverse

    _, record = inverse(_picture(), 0.5, iterations=2)
    return f"{record.final_score:.6f}"


def _evolve() -> str:
    from nsfw_experiments.evolution import Evolution
    from nsfw_experiments.evolution.fitness import NsfwLogit, NsfwScore
    from nsfw_experiments.evolution.settings import Settings
    from nsfw_experiments.evolution.strategies import make_toolbox

    for strategy, fitness in (("compact", NsfwLogit()), ("original", NsfwScore())):
        settings = Settings.from_dict({"strategy": strategy, "count": 4, "population": 2})
        evolution = Evolution(make_toolbox(settings, fitness))
        evolution.run(generations=1)
    return f"{evolution.best.fitness.values[0]:.6f}"
