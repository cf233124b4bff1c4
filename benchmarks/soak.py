"""Score 10,000 pictures in one process and print how its memory grows.

    python benchmarks/soak.py [--scores 10000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def resident_megabytes() -> float:
    """Memory of this process that is in use now (Linux)."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20


def main() -> None:
    from open_nsfw import nsfw_score

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scores", type=int, default=10_000)
    args = parser.parse_args()
    files = sorted(path for path in (ROOT / "img").iterdir() if path.suffix in (".png", ".jpg"))
    expected = [nsfw_score(file) for file in files]
    start = time.perf_counter()
    print("| scores | resident MB |\n|---|---|")
    for done in range(args.scores):
        if done % (args.scores // 10) == 0:
            print(f"| {done} | {resident_megabytes():.1f} |", flush=True)
        i = done % len(files)
        if nsfw_score(files[i]) != expected[i]:
            raise SystemExit(f"score {done}: {files[i]} changed its score")
    seconds = time.perf_counter() - start
    print(f"| {args.scores} | {resident_megabytes():.1f} |")
    print(f"\n{seconds / args.scores * 1e3:.1f} ms a picture, from file to score")


if __name__ == "__main__":
    main()
