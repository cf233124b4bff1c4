"""``open-nsfw evolve``: paint a picture by evolution."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsfw_command.arguments import NOT_WRITTEN, also_read, file_path, nonempty, number, positive, processes
from nsfw_command.terminal import complain, printable
from nsfw_experiments.evolution.primitives import CANVAS, PRIMITIVES
from nsfw_experiments.evolution.settings import (
    GENERATIONS,
    POPULATION,
    SEED,
    SHAPES,
    STRATEGY,
    STRATEGY_FOR_TARGET,
    Settings,
)
from nsfw_model.outputs import sole_writer

if TYPE_CHECKING:
    from nsfw_experiments.evolution import Evolution

WORKER_LOST, REFUSED, INTERRUPTED = 1, 2, 130
#: The files that a run makes, beside the folder of its generations.
MADE = ("checkpoint.json", "best.png", "best.svg", "evolution.gif", "evolution.webp")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
    """
    parser = subparsers.add_parser(
        "evolve",
        help="paint a picture by evolution",
        description="Evolve a picture out of translucent shapes until its NSFW score is high, or until it "
        "is like another picture. DIR gets best.png, best.svg, an animation, generations/*.png and "
        "checkpoint.json. Ctrl-C ends the run and keeps the best so far.",
        epilog=f"exit code: 0 done, {WORKER_LOST} a worker process died (--resume goes on), {REFUSED} refused before"
        f" anything was computed, {NOT_WRITTEN} a file could not be written, {INTERRUPTED} interrupted by any signal",
    )
    add = parser.add_argument
    add("--out", required=True, type=file_path, metavar="DIR", help="folder for all that is made")
    add("--shapes", choices=tuple(PRIMITIVES), help=f"default: {SHAPES}")
    add("--corners", type=positive, metavar="N", help="corners of polygons (default: 4)")
    counts = ", ".join(f"{name} {make().default_count}" for name, make in PRIMITIVES.items())
    add("--count", type=positive, metavar="N", help=f"number of shapes (default: {counts})")
    add("--size", type=canvas_size, metavar="WxH", help=f"canvas in pixels (default: {CANVAS[0]}x{CANVAS[1]})")
    add("--target", metavar="PICTURE", help="paint this picture instead of aiming at a high NSFW score")
    add("--strategy", choices=tuple(GENERATIONS), help=f"default: {STRATEGY}; with --target {STRATEGY_FOR_TARGET}")
    paintings = f"paintings in a generation (default: {POPULATION[STRATEGY]}; original: as the default of --count)"
    add("--population", type=positive, metavar="N", help=paintings)
    add("--seed", type=int, metavar="N", help=f"the same seed gives the same picture (default: {SEED})")
    generations = ", ".join(f"{strategy}: {number}" for strategy, number in GENERATIONS.items())
    add("--generations", type=positive, metavar="N", help=f"generations in all ({generations})")
    add("--until", type=number, default=float("inf"), metavar="X", help="stop at this score, or these dB")
    add("--every", type=positive, default=10, metavar="N", help="generations between two PNGs (default: 10)")
    add("--animation", choices=("gif", "webp"), default="gif", help="format of the animation (default: gif)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--processes", type=processes, metavar="N", help="spread the work over N processes")
    where.add_argument(
        "--cluster", type=nonempty, metavar="ADDRESS", help="spread it over a Dask cluster: its scheduler"
    )
    beginning = parser.add_mutually_exclusive_group()
    beginning.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    beginning.add_argument("--force", action="store_true", help="replace what an earlier run left in DIR")
    parser.set_defaults(run=run)


def canvas_size(text: str) -> list[int]:
    """Read a width and a height, or one number for a square.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of int

    Raises
    ------
    argparse.ArgumentTypeError
        If one of them is no whole number of at least 1.

    Examples
    --------
    >>> canvas_size("256x192"), canvas_size("64")
    ([256, 192], [64, 64])
    """
    width, x, height = text.partition("x")
    return [positive(width), positive(height if x else width)]


def run(args: Namespace) -> int:
    """Evolve a picture into the folder ``args.out``.

    Parameters
    ----------
    args : argparse.Namespace
        As the parser of `add_parser` gives them.

    Returns
    -------
    int
        The exit code.
    """
    from concurrent.futures.process import BrokenProcessPool

    with ExitStack() as stack:
        try:
            existed, own = args.out.is_dir(), [*MADE, "generations/*.png"]
            if existed:  # before its checkpoint is read
                stack.enter_context(sole_writer(args.out, own))
            evolution = _make_evolution(args)
            _refuse_to_overwrite(args)
            if not existed:
                args.out.mkdir(parents=True, exist_ok=True)
                stack.enter_context(sole_writer(args.out, own))
            evolution.toolbox.register("map", stack.enter_context(_work_map(args)))
        except (ValueError, OSError, ImportError, BrokenProcessPool) as error:
            complain(error, "open-nsfw evolve")
            return REFUSED
        args.generations = args.generations or GENERATIONS[evolution.toolbox.settings.strategy]
        exit_code = _evolve(evolution, args)
        if evolution.generation < 0:
            print("interrupted before there was a picture", file=sys.stderr)
        else:
            _save_and_report(evolution, args)
    return exit_code


def _make_evolution(args: Namespace) -> Evolution:
    """Make the run that the arguments describe, or take up the saved one."""
    from nsfw_experiments.evolution import Evolution
    from nsfw_experiments.evolution.checkpoint import Checkpoint
    from nsfw_experiments.evolution.fitness import FitnessFunction, NsfwLogit, NsfwScore, Psnr
    from nsfw_experiments.evolution.strategies import make_toolbox

    given = _given_settings(args)
    checkpoint = Checkpoint(args.out / "checkpoint.json")
    if args.resume:
        settings = checkpoint.settings()
        _refuse_other_settings(given, settings.to_dict())
    else:
        default = STRATEGY if args.target is None else STRATEGY_FOR_TARGET
        settings = Settings.from_dict({"strategy": default, **given})
    if settings.strategy == STRATEGY_FOR_TARGET and args.target is None:
        raise ValueError(f"--target: got none, expected the picture that {STRATEGY_FOR_TARGET!r} is to paint")
    fitness: FitnessFunction
    if args.target is not None:
        fitness = Psnr(args.target, settings.primitive.size)
    else:
        fitness = NsfwScore() if settings.strategy == "original" else NsfwLogit()
    evolution = Evolution(make_toolbox(replace(settings, fine=args.target is not None), fitness))
    if args.resume:
        checkpoint.restore(evolution)
    return evolution


def _given_settings(args: Namespace) -> dict[str, Any]:
    """Give the settings that the arguments name, as `Settings.to_dict` does."""
    names = ("shapes", "corners", "count", "size", "strategy", "population", "seed")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if given.get("shapes") == "polygons" and given.get("corners") == 3:
        given["shapes"] = "triangles"  # as they are saved
    return given


def _refuse_other_settings(given: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raise ValueError if something else is asked for than the saved run has."""
    for name, value in given.items():
        if saved[name] != value:
            raise ValueError(f"--{name}: got {value}, the saved run has {saved[name]}")


def _left_behind(args: Namespace) -> list[Path]:
    """List what an earlier run left in the folder, whichever animation it made."""
    from nsfw_experiments.evolution.callbacks import Snapshots

    paths = [*(args.out / name for name in MADE), *Snapshots(args.out / "generations").paths()]
    return [path for path in paths if path.exists()]


def _refuse_to_overwrite(args: Namespace) -> None:
    """Raise FileExistsError if an earlier run left something, and neither --resume nor --force was given.

    ValueError if the target is among what is written.
    """
    problem = also_read([*(args.out / name for name in MADE), *_left_behind(args)], [args.target])
    if problem:
        raise ValueError(problem)
    if not (args.resume or args.force):
        for path in _left_behind(args):
            raise FileExistsError(f"{path} exists: --resume goes on from there, --force replaces it")


def _evolve(evolution: Evolution, args: Namespace) -> int:
    """Run to the end, to Ctrl-C or to the loss of a worker process; gives the exit code."""
    from concurrent.futures.process import BrokenProcessPool

    from nsfw_experiments.evolution.callbacks import ProgressBar, Snapshots
    from nsfw_experiments.evolution.checkpoint import Checkpoint
    from nsfw_model.snapshot import stamp

    replaced = {path: stamp(path) for path in _left_behind(args)} if args.force else {}

    def save(evolution: Evolution) -> None:
        checkpoint(evolution)
        while replaced:  # not before this run can go on from something in its place
            path, before = replaced.popitem()
            with suppress(FileNotFoundError):
                if stamp(path) == before:
                    path.unlink()

    snapshots = Snapshots(args.out / "generations", args.every)
    checkpoint = Checkpoint(args.out / "checkpoint.json")
    started = time.monotonic()
    try:
        with ProgressBar(args.generations) as progress_bar:
            evolution.run(args.generations, args.until, [snapshots, save, progress_bar])
        if evolution.interrupted and evolution.generation >= 0:  # perhaps before it was saved
            save(evolution)
    except KeyboardInterrupt:  # before or after the run, which ends quietly
        return INTERRUPTED
    except BrokenProcessPool:
        saved = evolution.generation >= 0
        remedy = "--resume goes on from the last generation" if saved else "there is nothing to --resume yet"
        complain(f"a worker process died; {remedy}", "open-nsfw evolve")
        return WORKER_LOST
    finally:
        seconds = time.monotonic() - started
        print(f"generation {evolution.generation}, {evolution.evaluations} evaluations, {seconds:.1f} s")
    return INTERRUPTED if evolution.interrupted else 0


@contextmanager
def _work_map(args: Namespace) -> Iterator[Callable]:
    """Give the `map` that the arguments ask for."""
    from nsfw_experiments.evolution.parallel import cluster_map, process_map

    if args.processes:
        with process_map(args.processes) as pool_map:
            yield pool_map
    elif args.cluster:
        from distributed import Client

        with Client(args.cluster) as client:
            yield partial(cluster_map, client)
    else:
        yield map


def _save_and_report(evolution: Evolution, args: Namespace) -> None:
    """Save the best painting as PNG, SVG and animation, and print the score of the PNG."""
    from nsfw_experiments.evolution.callbacks import Snapshots, save_animation
    from nsfw_experiments.evolution.painting import render, to_svg
    from nsfw_model.outputs import save_picture, write_text
    from open_nsfw import nsfw_score

    primitive = evolution.toolbox.primitive
    picture = render(evolution.best, primitive)
    png = args.out / "best.png"
    save_picture(picture, png)
    write_text(args.out / "best.svg", to_svg(evolution.best, primitive))
    snapshots = Snapshots(args.out / "generations").paths()
    save_animation([*snapshots, picture], args.out / f"evolution.{args.animation}")
    if args.target is not None:
        target = printable(args.target)
        print(f"{evolution.toolbox.fitness.label} to {target}: {evolution.best_display_value:.2f} dB")
    print(f"{nsfw_score(png):.6f}  {printable(str(png))}")
