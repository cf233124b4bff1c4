"""Score 10,000 pictures in one process and print how its memory grows.

    python benchmarks/soak.py [--scores 10000]

The exit code is 1 if a score changes, or if memory grows by more than 5 MB after the first tenth.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

#: What allocators may still move after the first tenth of a run; a leak of 1 KB a picture is more in 10,000.
MAY_GROW = 5.0

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def resident_megabytes() -> float:
    """Memory of this process that is in use now (Linux)."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20


def ten_or_more(text: str) -> int:
    """Parse --scores: memory is looked at after each tenth."""
    if not text.isdecimal() or int(text) < 10:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 10, got {text!r}")
    return int(text)


def judge(megabytes: list[float]) -> None:
    """End the program if memory, measured at the start and after each tenth, grew since the first tenth."""
    growth = megabytes[-1] - megabytes[1]
    if growth > MAY_GROW:
        raise SystemExit(f"memory grew by {growth:.1f} MB after the first tenth, expected at most {MAY_GROW:.0f} MB")


def main() -> None:
    """Score, print the table, and judge."""
    from open_nsfw import nsfw_score

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scores", type=ten_or_more, default=10_000)
    args = parser.parse_args()
    files = sorted(path for path in (ROOT / "img").iterdir() if path.suffix in (".png", ".jpg"))
    expected = [nsfw_score(file) for file in files]
    megabytes: list[float] = []
    start = time.perf_counter()
    print("| scores | resident MB |\n|---|---|")
    for done in range(args.scores):
        if done == len(megabytes) * args.scores // 10:
            megabytes.append(resident_megabytes())
            print(f"| {done} | {megabytes[-1]:.1f} |", flush=True)
        i = done % len(files)
        if nsfw_score(files[i]) != expected[i]:
            raise SystemExit(f"score {done}: {files[i]} changed its score")
    seconds = time.perf_counter() - start
    megabytes.append(resident_megabytes())
    print(f"| {args.scores} | {megabytes[-1]:.1f} |")
    print(f"\n{seconds / args.scores * 1e3:.1f} ms a picture, from file to score")
    judge(megabytes)


if __name__ == "__main__":
    main()
