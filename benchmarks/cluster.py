"""Time a cluster of two workers beside one process, and compute what a million to a trillion pictures cost.

    python benchmarks/cluster.py [--rounds 3] [--large 24] [--small 400]

All runs on this machine: the workers are processes that share its cores. Leave it alone meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from nsfw_scale.cluster import PARTITION, distributed_scores  # noqa: E402
from open_nsfw import nsfw_scores  # noqa: E402
from scale import LARGE, SMALL  # noqa: E402

CORES = len(os.sched_getaffinity(0))
#: Cores of a machine in the computed tables.
CORES_OF_A_MACHINE = 16


@contextmanager
def workers(count: int, folder: Path) -> Iterator[Any]:
    """Start workers that share the cores, each with its part of the network's threads."""
    from distributed import Client, LocalCluster

    os.environ["OMP_NUM_THREADS"] = str(max(1, CORES // count))
    options = dict(threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder)
    try:
        with LocalCluster(n_workers=count, **options) as cluster, Client(cluster) as client:
            yield client
    finally:
        del os.environ["OMP_NUM_THREADS"]


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rates(paths: list[str], client: Any, rounds: int) -> tuple[float, float]:
    """Pictures a second by one process and by the cluster, in turns, after some that prepare everything."""
    ways: list[Callable[[list[str]], object]] = [
        lambda some: list(nsfw_scores(some)),
        lambda some: list(nsfw_scores(some, client=client)),
    ]
    for way in ways:
        way(paths[: 2 * PARTITION])
    measured = [[seconds_of(lambda way=way: way(paths)) for way in ways] for _ in range(rounds)]
    alone, together = (len(paths) / statistics.median(of_way) for of_way in zip(*measured))
    return alone, together


def nothing(part: Iterable[Any], workers: int | None) -> Iterator[Any]:
    """Stand for the scoring of a part."""
    return iter(part)


def milliseconds_of_a_part(client: Any, parts: int = 3000) -> float:
    """What a part costs the scheduler and this process, whatever is in it."""
    return (
        seconds_of(lambda: list(distributed_scores(client, iter([b""] * parts), nothing, dict, partition=1)))
        / parts
        * 1e3
    )


def write_paper(name: str, rate: float, megabytes: float, part_milliseconds: float) -> None:
    """Print what many pictures cost, by the pictures a second of a core and the size of a file."""
    machine = rate * CORES_OF_A_MACHINE
    print(f"\n| {name} | 10^6 | 10^9 | 10^12 |\n|---|---|---|---|")
    rows: dict[str, Callable[[float], str]] = {
        f"days of one machine of {CORES_OF_A_MACHINE} cores": lambda n: f"{n / machine / 86400:,.2f}",
        "machines for a day": lambda n: f"{max(1.0, n / machine / 86400):,.0f}",
        "the files, TB": lambda n: f"{n * megabytes / 1e6:,.1f}",
        f"days of one scheduler, in parts of {PARTITION}": lambda n: (
            f"{n / PARTITION * part_milliseconds / 1e3 / 86400:,.3f}"
        ),
    }
    for row, cell in rows.items():
        print(f"| {row} | {' | '.join(cell(10.0**power) for power in (6, 9, 12))} |")
    print(f"\nA machine reads {machine * megabytes:.0f} MB/s. One scheduler keeps "
          f"{PARTITION / part_milliseconds * 1e3 / machine:,.0f} machines busy.")  # fmt: skip


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=24, help="photographs of 12 megapixels (default: 24)")
    parser.add_argument("--small", type=int, default=400, help="photographs of 1024x768 (default: 400)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, workers(2, Path(folder, "dask")) as client:
        found = {}
        print("| JPEGs | one process, pictures/s | 2 workers | ratio |\n|---|---|---|---|")
        for count, size in (args.small, SMALL), (args.large, LARGE):
            name, photographs = f"{size[0]}x{size[1]}", Path(folder, f"{size[0]}x{size[1]}")
            make = [sys.executable, str(ROOT / "benchmarks/scale.py"), "--make", str(photographs)]
            subprocess.run([*make, *map(str, (count, *size))], check=True)
            paths = sorted(map(str, photographs.iterdir()))
            alone, together = rates(paths, client, args.rounds)
            print(f"| {count} of {name} | {alone:.1f} | {together:.1f} | {together / alone:.2f}x |", flush=True)
            found[name] = alone / CORES, sum(path.stat().st_size for path in photographs.iterdir()) / count / 1e6
        part_milliseconds = milliseconds_of_a_part(client)
    print(f"\nA part of nothing takes {part_milliseconds:.2f} ms.")
    for name, (rate, megabytes) in found.items():
        write_paper(
            f"JPEGs of {name}, {megabytes:.2f} MB, {rate:.1f} a second on a core", rate, megabytes, part_milliseconds
        )


if __name__ == "__main__":
    main()
