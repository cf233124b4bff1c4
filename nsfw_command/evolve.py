"""``open-nsfw evolve``: paint a picture by evolution."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from nsfw_command.arguments import number, positive

WORKER_LOST, REFUSED, INTERRUPTED = 1, 2, 130
#: Generations of each strategy, unless others are asked for.
GENERATIONS = {"climb": 1000, "original": 200}


def add_parser(subparsers) -> None:
    """Add the subcommand to the command line's parser."""
    parser = subparsers.add_parser(
        "evolve",
        help="paint a picture by evolution",
        description="Evolve a picture out of translucent shapes until its NSFW score is high, or until it "
        "is like another picture. DIR gets best.png, best.svg, an animation, generations/*.png and "
        "checkpoint.json. Ctrl-C ends the run and keeps the best so far.",
        epilog=f"exit code: 0 done, {WORKER_LOST} a worker process died (--resume goes on), {REFUSED} refused before"
        f" anything was computed, {INTERRUPTED} interrupted",
    )
    add = parser.add_argument
    add("--out", required=True, type=Path, metavar="DIR", help="folder for all that is made")
    add("--shapes", choices=("circles", "triangles", "polygons"), help="default: circles")
    add("--corners", type=positive, metavar="N", help="corners of polygons (default: 4)")
    add("--count", type=positive, metavar="N", help="number of shapes (default: 50 circles, 100 others)")
    add("--size", type=canvas_size, metavar="WxH", help="canvas in pixels (default: 256x256)")
    add("--target", metavar="PICTURE", help="paint this picture instead of aiming at a high NSFW score")
    add("--strategy", choices=("climb", "original"), help="default: climb")
    add("--population", type=positive, metavar="N", help="paintings a generation (4; original: 50 or 100)")
    add("--seed", type=int, metavar="N", help="the same seed gives the same picture (default: 0)")
    add("--generations", type=positive, metavar="N", help="generations in all (default: 1000; original: 200)")
    add("--until", type=number, default=float("inf"), metavar="X", help="stop at this score, or these dB")
    add("--every", type=positive, default=10, metavar="N", help="generations between two PNGs (default: 10)")
    add("--animation", choices=("gif", "webp"), default="gif", help="format of the animation (default: gif)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--processes", type=positive, metavar="N", help="spread the work over N processes")
    where.add_argument("--cluster", metavar="ADDRESS", help="spread it over a Dask cluster: its scheduler")
    beginning = parser.add_mutually_exclusive_group()
    beginning.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    beginning.add_argument("--force", action="store_true", help="replace what an earlier run left in DIR")
    parser.set_defaults(run=run)


def canvas_size(text: str) -> list[int]:
    """Read a width and a height such as ``256x192``, or one number for a square."""
    width, x, height = text.partition("x")
    return [positive(width), positive(height if x else width)]


def run(args: Namespace) -> int:
    """Evolve a picture into the folder ``args.out``."""
    from concurrent.futures.process import BrokenProcessPool

    with ExitStack() as stack:
        try:
            evolution = make_evolution(args)
            refuse_to_overwrite(args)
            evolution.toolbox.register("map", stack.enter_context(work_map(args)))
            args.out.mkdir(parents=True, exist_ok=True)
        except (ValueError, OSError, ImportError, BrokenProcessPool) as error:
            print(f"open-nsfw evolve: {error}", file=sys.stderr)
            return REFUSED
        args.generations = args.generations or GENERATIONS[evolution.toolbox.about["strategy"]]
        exit_code = evolve(evolution, args)
    if evolution.generation < 0:
        print("interrupted before there was a picture", file=sys.stderr)
    else:
        save_and_report(evolution, args)
    return exit_code


def make_evolution(args: Namespace):
    """Make the run that the arguments describe, or take up the saved one."""
    from nsfw_experiments.evolution.checkpoint import Checkpoint, CheckpointError
    from nsfw_experiments.evolution import Evolution

    if not args.resume:
        return Evolution(make_toolbox(settings(args, saved={}), args.target))
    checkpoint = Checkpoint(args.out / "checkpoint.json")
    try:
        saved = checkpoint.read()["about"]
        evolution = Evolution(make_toolbox(settings(args, saved), args.target))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint.path}: is damaged: {error!r}") from error
    checkpoint.restore(evolution)
    return evolution


def make_toolbox(about: dict, target: str | None):
    """Make the toolbox of a strategy from settings."""
    from nsfw_experiments.evolution.fitness import Likeness, NsfwLogit, NsfwScore
    from nsfw_experiments.evolution.painting import kind_named
    from nsfw_experiments.evolution.strategies import STRATEGIES

    kind = kind_named(about["shapes"], tuple(about["size"]), about["corners"])
    if target is not None:
        fitness = Likeness(target, kind.size)
    else:
        fitness = NsfwScore() if about["strategy"] == "original" else NsfwLogit()
    make = STRATEGIES[about["strategy"]]
    options = {"fine": target is not None} if about["strategy"] == "climb" else {}
    return make(kind, about["count"], fitness, about["seed"], about["population"], **options)


def settings(args: Namespace, saved: dict) -> dict:
    """Combine what the arguments say with what the saved run says, or else with the defaults."""
    names = ("shapes", "corners", "count", "size", "strategy", "population", "seed")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if given.get("shapes") == "polygons" and given.get("corners") == 3:
        given["shapes"] = "triangles"  # as they are saved
    for name, value in given.items():
        if saved and saved[name] != value:
            raise ValueError(f"--{name}: got {value}, the saved run has {saved[name]}")
    defaults = {"shapes": "circles", "corners": None, "size": [256, 256], "strategy": "climb", "seed": 0}
    about = {**defaults, **given, **saved}
    as_original = 50 if about["shapes"] == "circles" else 100
    about.setdefault("count", as_original)
    about.setdefault("population", as_original if about["strategy"] == "original" else 4)
    return about


def left_behind(args: Namespace) -> list[Path]:
    """List what an earlier run left in the folder, whichever animation it made."""
    from nsfw_experiments.evolution.callbacks import Snapshots

    names = ("checkpoint.json", "best.png", "best.svg", "evolution.gif", "evolution.webp")
    paths = [*(args.out / name for name in names), *Snapshots(args.out / "generations").paths()]
    return [path for path in paths if path.exists()]


def refuse_to_overwrite(args: Namespace) -> None:
    """Raise FileExistsError if an earlier run left something, and neither --resume nor --force was given."""
    if not (args.resume or args.force):
        for path in left_behind(args):
            raise FileExistsError(f"{path} exists: --resume goes on from there, --force replaces it")


def evolve(evolution, args: Namespace) -> int:
    """Run to the end, to Ctrl-C or to the loss of a worker process; gives the exit code."""
    from concurrent.futures.process import BrokenProcessPool

    from nsfw_experiments.evolution.checkpoint import Checkpoint
    from nsfw_experiments.evolution.callbacks import ProgressBar, Snapshots

    replaced = left_behind(args) if args.force else []

    def remove_replaced(evolution):
        while replaced:  # not before there is something in its place
            replaced.pop().unlink()

    snapshots = Snapshots(args.out / "generations", args.every)
    checkpoint = Checkpoint(args.out / "checkpoint.json")
    started = time.monotonic()
    try:
        with ProgressBar(args.generations) as progress_bar:
            watch = [remove_replaced, snapshots, checkpoint, progress_bar]
            evolution.run(args.generations, args.until, watch)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenProcessPool:
        saved = evolution.generation >= 0
        remedy = "--resume goes on from the last generation" if saved else "there is nothing to --resume yet"
        print(f"open-nsfw evolve: a worker process died; {remedy}", file=sys.stderr)
        return WORKER_LOST
    finally:
        seconds = time.monotonic() - started
        print(f"generation {evolution.generation}, {evolution.evaluations} evaluations, {seconds:.1f} s")
    return 0


@contextmanager
def work_map(args: Namespace):
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


def save_and_report(evolution, args: Namespace) -> None:
    """Save the best painting as PNG, SVG and animation, and print what the PNG is worth."""
    from nsfw_experiments.evolution.painting import render, to_svg
    from nsfw_experiments.evolution.callbacks import Snapshots, save_animation
    from open_nsfw import nsfw_score

    kind = evolution.toolbox.kind
    picture = render(evolution.best, kind)
    png = args.out / "best.png"
    picture.save(png)
    (args.out / "best.svg").write_text(to_svg(evolution.best, kind), encoding="utf-8")
    snapshots = Snapshots(args.out / "generations").paths()
    save_animation([*snapshots, picture], args.out / f"evolution.{args.animation}")
    if args.target is not None:
        print(f"{evolution.toolbox.fitness.label} to {args.target}: {evolution.best_shown:.2f} dB")
    print(f"{nsfw_score(png):.6f}  {png}")
