"""Measure what a cluster costs: pictures a second of one process and of two workers, and Dask's share of a part.

    python benchmarks/cluster.py [--pictures 400] [--size 1024x768] [--rounds 3] [--markdown]
    python benchmarks/cluster.py --overhead [--tasks 5000]

The workers are processes of one thread each on this machine, so that two of them have what the one process has. Rounds
alternate, and medians are printed; the last column is the share of the one process's speed that the workers have. The
files are JPEGs of smooth noise, which take as long to decode as photographs.

With ``--overhead`` nothing is scored: milliseconds of Dask for a task that does nothing, and pictures a second that one
client can name and get results of.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from tables import write_row  # noqa: E402

from nsfw_scale.cluster import distributed_scores  # noqa: E402
from open_nsfw import nsfw_scores  # noqa: E402

WORKERS = 2
#: Bytes of freed memory that a worker keeps, and of a piece that it asks the system for separately.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": 1 << 28, "MALLOC_MMAP_THRESHOLD_": 1 << 25}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=400, metavar="N")
    parser.add_argument("--size", type=size, default=(1024, 768), metavar="WxH")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--overhead", action="store_true", help="measure Dask's share only")
    parser.add_argument("--tasks", type=int, default=5000, metavar="N", help="for --overhead")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cluster(folder) as client:
        if args.overhead:
            write_row(("ms a task", "pictures/s of a client"), args.markdown, header=True)
            write_row((milliseconds_of_a_task(client, args.tasks), pictures_of_a_client(client)), args.markdown)
            return
        files = list(photographs(Path(folder), args.pictures, args.size))
        one, two = speeds(files, client, args.rounds)
        write_row(("pictures/s", "one process", f"{WORKERS} workers", "ratio"), args.markdown, header=True)
        write_row(("{}x{}".format(*args.size), one, two, two / one), args.markdown)


def size(text: str) -> tuple[int, int]:
    """Read ``1024x768``."""
    width, _, height = text.partition("x")
    return int(width), int(height)


@contextmanager
def cluster(folder: str) -> Iterator[Any]:
    """Start workers as docs/scaling.md says, and give their client. Dask gives each ``OMP_NUM_THREADS=1``."""
    import dask
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"})
    dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ALLOCATOR.items()})
    options = dict(processes=True, dashboard_address=":0", local_directory=folder)
    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, **options) as local, Client(local) as client:
        yield client


def photographs(folder: Path, count: int, size: tuple[int, int]) -> Iterator[str]:
    """Write JPEGs that are alike in content and in nothing else."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        grain = rng.integers(-8, 9, (size[1], size[0], 1))
        path = folder / f"{number}.jpg"
        Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)
        yield str(path)


def speeds(files: list[str], client: Any, rounds: int) -> list[float]:
    """Pictures a second of this process, and of the client's workers."""
    ways = {}, {"client": client}
    for way in ways:
        list(nsfw_scores(files[:16], **way))  # what is imported, built and compiled once
    taken: list[list[float]] = [[], []]
    for _ in range(rounds):
        for way, seconds in zip(ways, taken):
            started = time.perf_counter()
            assert len(list(nsfw_scores(files, **way))) == len(files)
            seconds.append(time.perf_counter() - started)
    return [len(files) / statistics.median(seconds) for seconds in taken]


def milliseconds_of_a_task(client: Any, count: int) -> float:
    """What Dask takes for a task that does nothing."""
    started = time.perf_counter()
    for future in [client.submit(int, pure=False) for _ in range(count)]:
        future.result()
    return 1e3 * (time.perf_counter() - started) / count


def pictures_of_a_client(client: Any, count: int = 100_000) -> float:
    """How many files a second are named, sent, and answered by workers that do not look at them."""
    started = time.perf_counter()
    names = (f"/pictures/{number}.jpg" for number in range(count))
    assert sum(distributed_scores(client, names, no_scores, dict, partition=256)) == 0
    return count / (time.perf_counter() - started)


def no_scores(images: Iterable[str], workers: int) -> Iterator[float]:
    """Answer as a worker that does nothing."""
    return (0.0 for _ in images)


if __name__ == "__main__":
    main()
