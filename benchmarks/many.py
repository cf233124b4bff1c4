"""Time a folder of many small files, going on with it, and a film of ten minutes.

    python benchmarks/many.py [--listed 100000] [--scored 10000] [--minutes 10]

Leave the machine alone meanwhile. The exit code is 1 if memory grows by more than `MAY_GROW` after the first tenth.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]

from nsfw_command.found import find_files  # noqa: E402
from open_nsfw import frame_scores, nsfw_scores  # noqa: E402
from soak import judge, resident_megabytes  # noqa: E402

#: Seconds of the film that is repeated, and its frames a second.
PIECE, RATE = 20, 25


def make_small_files(folder: Path, count: int, different: int = 1000) -> None:
    """Make small pictures in folders of a thousand; of many the content is repeated by links."""
    with Image.open(ROOT / "img/coffee.jpg") as opened:
        small = opened.convert("RGB").resize((96, 64))
    for number in range(count):
        part = folder / f"{number // 1000:04}"
        part.mkdir(parents=True, exist_ok=True)
        path = part / f"{number:06}.jpg"
        if number >= different:
            os.link(folder / "0000" / f"{number % different:06}.jpg", path)
            continue
        encoded = io.BytesIO()
        small.putpixel((number % 96, number // 96 % 64), (number % 256,) * 3)
        small.save(encoded, "JPEG")
        path.write_bytes(encoded.getvalue())


def time_listing(folder: Path) -> None:
    start = time.perf_counter()
    count = sum(1 for _ in find_files([str(folder)]))
    print(f"listing {count} files: {time.perf_counter() - start:.2f} s", flush=True)


def watch_memory(paths: list[str]) -> None:
    """Score files in one process, and print its memory after each tenth."""
    list(nsfw_scores(paths[:100]))
    megabytes, start = [resident_megabytes()], time.perf_counter()
    print("| scores | resident MB |\n|---|---|")
    for number, _ in enumerate(nsfw_scores(paths), 1):
        if number * 10 // len(paths) > (number - 1) * 10 // len(paths):
            megabytes.append(resident_megabytes())
            print(f"| {number} | {megabytes[-1]:.1f} |", flush=True)
    print(f"\n{len(paths) / (time.perf_counter() - start):.1f} pictures/s")
    judge(megabytes)


def time_resuming(folder: Path, out: Path) -> None:
    """Score a folder into a file, and go on with it when nothing has changed."""
    seconds = []
    for options in ([], ["--resume"]):
        command = [sys.executable, "-m", "open_nsfw", str(folder), "--quiet", "--out", str(out), *options]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT)
        seconds.append(time.perf_counter() - start)
    scored, resumed = seconds
    print(f"--out {out.name}: {scored:.1f} s; --resume: {resumed:.2f} s, {scored / resumed:.0f}x faster", flush=True)


def time_film(path: Path, minutes: float) -> None:
    """Score a frame a second of a film of 1080p in H.264, with grain and a key frame each second."""
    import numpy as np
    from made_films import film, repeated

    greys = np.linspace(40, 215, PIECE * RATE).astype(int)
    piece = film(greys, RATE, codec="libx264", key_frames=RATE, size=(1920, 1080))
    path.write_bytes(repeated(piece, PIECE, round(minutes * 60 / PIECE)))
    list(frame_scores(ROOT / "img/coffee.jpg"))
    wall, cpu = time.perf_counter(), time.process_time()
    frames = sum(1 for _ in frame_scores(path, every=1.0))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rate = path.stat().st_size * 8 / minutes / 60 / 1e6
    print(
        f"film of {minutes:g} minutes, {rate:.1f} Mbit/s: {frames} frames in {wall:.1f} s, {cpu:.1f} s of CPU: "
        f"{minutes * 60 / wall:.0f}x faster than playing it",
        flush=True,
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listed", type=int, default=100_000)
    parser.add_argument("--scored", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        time_film(folder / "film.mp4", args.minutes)
        make_small_files(folder / "listed", args.listed)
        time_listing(folder / "listed")
        make_small_files(folder / "scored", args.scored)
        time_resuming(folder / "scored", folder / "scores.csv")
        watch_memory([found.file for found in find_files([str(folder / "scored")])])


if __name__ == "__main__":
    main()
