"""``open-nsfw evolve``: paint a picture by evolution."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from nsfw_command.arguments import positive

REFUSED = 2
INTERRUPTED = 130


def add_parser(subparsers) -> None:
    """Add the subcommand to the command line's parser."""
    parser = subparsers.add_parser(
        "evolve",
        help="paint a picture by evolution",
        description="Evolve a picture out of translucent shapes until its NSFW score is high, or until it "
        "is like another picture. DIR gets best.png, best.svg, an animation, generations/*.png and "
        "checkpoint.json. Ctrl-C ends the run and keeps the best so far.",
        epilog="exit code: 0 done, 2 refused before anything was computed, 130 interrupted",
    )
    add = parser.add_argument
    add("--out", required=True, type=Path, metavar="DIR", help="folder for all that is made")
    add("--shapes", choices=("circles", "triangles", "polygons"), help="default: circles")
    add("--corners", type=positive, metavar="N", help="corners of polygons (default: 4)")
    add("--count", type=positive, metavar="N", help="number of shapes (default: 50 circles, 100 others)")
    add("--size", type=canvas_size, metavar="WxH", help="canvas in pixels (default: 256x256)")
    add("--target", metavar="PICTURE", help="paint this picture instead of aiming at a high NSFW score")
    add("--strategy", choices=("climb", "original"), help="default: climb")
    add("--population", type=positive, metavar="N", help="paintings a generation (16; original: 50 or 100)")
    add("--seed", type=int, metavar="N", help="the same seed gives the same picture (default: 0)")
    add("--generations", type=positive, default=200, metavar="N", help="generations in all (default: 200)")
    add("--until", type=float, default=float("inf"), metavar="X", help="stop at this score, or these dB")
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
    try:
        evolution = make_evolution(args)
        refuse_to_overwrite(args)
        args.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"open-nsfw evolve: {error}", file=sys.stderr)
        return REFUSED
    interrupted = evolve(evolution, args)
    if evolution.generation < 0:
        print("interrupted before there was a picture", file=sys.stderr)
    else:
        save_and_report(evolution, args)
    return INTERRUPTED if interrupted else 0


def make_evolution(args: Namespace):
    """Make the run that the arguments describe, or take up the saved one."""
    from nsfw_experiments.checkpoint import Checkpoint, CheckpointError
    from nsfw_experiments.evolution import Evolution

    if not args.resume:
        return Evolution(make_toolbox(settings(args, saved={}), args.target))
    checkpoint = Checkpoint(args.out / "checkpoint.json")
    saved = checkpoint.read()["about"]
    try:
        evolution = Evolution(make_toolbox(settings(args, saved), args.target))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint.path}: is damaged: {error!r}") from error
    checkpoint.restore(evolution)
    return evolution


def make_toolbox(about: dict, target: str | None):
    """Make the toolbox of a strategy from settings."""
    from nsfw_experiments.fitness import Likeness, NsfwLogit, NsfwScore
    from nsfw_experiments.painting import kind_named
    from nsfw_experiments.strategies import STRATEGIES

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
    for name, value in given.items():
        if saved and saved[name] != value:
            raise ValueError(f"--{name}: got {value}, the saved run has {saved[name]}")
    defaults = {"shapes": "circles", "corners": None, "size": [256, 256], "strategy": "climb", "seed": 0}
    about = {**defaults, **given, **saved}
    as_original = 50 if about["shapes"] == "circles" else 100
    about.setdefault("count", as_original)
    about.setdefault("population", as_original if about["strategy"] == "original" else 16)
    return about


def refuse_to_overwrite(args: Namespace) -> None:
    """Raise FileExistsError if an earlier run left something; with --force, remove its generations."""
    from nsfw_experiments.watching import Snapshots

    old_snapshots = Snapshots(args.out / "generations").paths()
    if args.force:
        for path in old_snapshots:
            path.unlink()
    elif not args.resume:
        names = ("checkpoint.json", "best.png", "best.svg", f"evolution.{args.animation}")
        for path in [*(args.out / name for name in names), *old_snapshots]:
            if path.exists():
                raise FileExistsError(f"{path} exists: --resume goes on from there, --force replaces it")


def evolve(evolution, args: Namespace) -> bool:
    """Run to the end, or to Ctrl-C; tells whether it was interrupted."""
    from nsfw_experiments.checkpoint import Checkpoint
    from nsfw_experiments.watching import ProgressBar, Snapshots

    started = time.monotonic()
    try:
        with work_map(args) as map_function, ProgressBar(args.generations) as progress_bar:
            evolution.toolbox.register("map", map_function)
            snapshots = Snapshots(args.out / "generations", args.every)
            checkpoint = Checkpoint(args.out / "checkpoint.json")
            evolution.run(args.generations, args.until, [snapshots, checkpoint, progress_bar])
    except KeyboardInterrupt:
        return True
    finally:
        seconds = time.monotonic() - started
        print(f"generation {evolution.generation}, {evolution.evaluations} evaluations, {seconds:.1f} s")
    return False


@contextmanager
def work_map(args: Namespace):
    """Give the `map` that the arguments ask for."""
    from nsfw_experiments.mapping import cluster_map, process_map

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
    from nsfw_experiments.painting import render, to_svg
    from nsfw_experiments.watching import Snapshots, save_animation
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
