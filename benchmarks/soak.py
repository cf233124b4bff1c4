"""Score 10,000 pictures in one process and print how its memory grows.

    python benchmarks/soak.py [--scores 10000] [--bad 10000] [--threads 8]

The exit code is 1 if a score changes, or if memory grows by more than 5 MB after the first tenth.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

#: What allocators may still move after the first tenth of a run; a leak of 1 KB a picture is more in 10,000.
MAY_GROW = 5.0

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from open_nsfw import PictureError, nsfw_score, nsfw_scores  # noqa: E402


def resident_megabytes() -> float:
    """Memory of this process that is in use now (Linux): holes that pictures of many sizes have left are given back."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU C library
    if trim is not None:
        trim(0)
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


def bad_files() -> list[bytes]:
    """Return pictures of several formats, each cut at many places, and with a damaged byte at many others."""
    bad = []
    for file in pictures():
        with Image.open(file) as opened:
            small = opened.convert("RGB").resize((48, 40))
        for format in "PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP":
            encoded = io.BytesIO()
            small.save(encoded, format)
            data = encoded.getvalue()
            for part in range(1, 20):
                place = len(data) * part // 20
                bad += [data[:place], data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]]
    return bad


def score_bad_files(count: int) -> list[float]:
    """Score damaged files, most of which are refused, and return memory at the start and after each tenth."""
    bad = bad_files()
    list(nsfw_scores(bad, on_error="return"))  # those that are whole make batches of all sizes, each prepared once
    megabytes, refused = [resident_megabytes()], 0
    print("| bad files | resident MB |\n|---|---|")
    for tenth in range(1, 11):
        pictures = (bad[number % len(bad)] for number in range((tenth - 1) * count // 10, tenth * count // 10))
        refused += sum(
            isinstance(score, PictureError) for score in nsfw_scores(pictures, on_error="return", seconds=60)
        )
        megabytes.append(resident_megabytes())
        print(f"| {tenth * count // 10} | {megabytes[-1]:.1f} |", flush=True)
    print(f"\n{refused} of {count} were refused")
    return megabytes


def score_by_threads(threads: int, scores: int) -> None:
    """Let threads score the same pictures at once; end the program if a score is another one than alone."""
    files = pictures()
    expected = [nsfw_score(file) for file in files]

    def work(first: int) -> int:
        return sum(nsfw_score(files[i % len(files)]) != expected[i % len(files)] for i in range(first, first + scores))

    with ThreadPoolExecutor(threads) as pool:
        others = sum(pool.map(work, range(threads)))
    if others:
        raise SystemExit(f"{others} scores by threads are not those of one thread alone")
    print(f"\n{threads} threads x {scores} scores: all identical")


def pictures() -> list[Path]:
    """Return the project's pictures."""
    return sorted(path for path in (ROOT / "img").iterdir() if path.suffix in (".png", ".jpg"))


def score_pictures(count: int) -> list[float]:
    """Score the project's pictures again and again, and return memory at the start and after each tenth."""
    files = pictures()
    expected = [nsfw_score(file) for file in files]
    megabytes: list[float] = []
    start = time.perf_counter()
    print("| scores | resident MB |\n|---|---|")
    for done in range(count):
        if done == len(megabytes) * count // 10:
            megabytes.append(resident_megabytes())
            print(f"| {done} | {megabytes[-1]:.1f} |", flush=True)
        i = done % len(files)
        if nsfw_score(files[i]) != expected[i]:
            raise SystemExit(f"score {done}: {files[i]} changed its score")
    seconds = time.perf_counter() - start
    megabytes.append(resident_megabytes())
    print(f"| {count} | {megabytes[-1]:.1f} |")
    print(f"\n{seconds / count * 1e3:.1f} ms a picture, from file to score")
    return megabytes


def main() -> None:
    """Score, print the tables, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scores", type=ten_or_more, default=10_000, help="default: 10,000")
    parser.add_argument("--bad", type=ten_or_more, help="then so many damaged files")
    parser.add_argument("--threads", type=int, help="then so many threads at once, 1,000 scores each")
    args = parser.parse_args()
    judge(score_pictures(args.scores))
    if args.bad:
        judge(score_bad_files(args.bad))
    if args.threads:
        score_by_threads(args.threads, 1000)


if __name__ == "__main__":
    main()
