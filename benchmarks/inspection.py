"""How well an inspection tells inverted pictures from ordinary ones: thresholds of one half, rates of the other.

``make`` makes the pictures of `inspected_pictures`, as many as the time allows (hours for all; a run goes on where it
was stopped), ``judge`` inspects them and prints both halves, and ``adaptive`` lets an attacker try who knows the
inspection. Pictures and what was measured of them stay in the folder that is given::

    python benchmarks/inspection.py make judge adaptive --folder /tmp/inspected
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from inspected_pictures import (  # noqa: E402
    HALVES,
    further_pictures,
    inverted_pictures,
    make_inverted,
    make_paintings,
    ordinary_pictures,
)
from wheel_pictures import UNSEEN  # noqa: E402

from nsfw_experiments.image_metrics import norm_of_psnr, psnr  # noqa: E402
from nsfw_experiments.inverse import Inspection, inspect, inverse  # noqa: E402
from nsfw_experiments.inverse.inspection import INVERTED, NOTHING_FOUND, looks, moves  # noqa: E402
from nsfw_experiments.pillow.preprocessing import preprocessing  # noqa: E402
from nsfw_model.logit import logit_of, score_of  # noqa: E402
from open_nsfw import get_scorer, resize_image  # noqa: E402

KINDS = ("ordinary", "further", "plain", "certain", "full size", "robust", "robust wide", "evolved")
#: Of the standard normal distribution, for intervals of 95 %.
Z = 1.96
#: The adaptive attack: the score that it asks for, its steps as in nsfw_experiments.inverse.eot, and its bounds in dB.
ASKED, MARGIN, STEP, MOMENTUM, NORM_CHANGE = 0.9, 2.0, 0.25, 0.75, 0.04
FIRST_PSNR, LOWEST_PSNR = 42.0, 24.0


def wilson(found: int, of: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of a rate.

    >>> [round(end, 3) for end in wilson(49, 50)]
    [0.895, 0.996]
    """
    rate, square = found / of, Z * Z / of
    middle, half = rate + square / 2, Z * np.sqrt(rate * (1 - rate) / of + square / (4 * of))
    return float((middle - half) / (1 + square)), float((middle + half) / (1 + square))


class Measured:
    """Inspections by the names of pictures, kept in a file."""

    def __init__(self, path: Path):
        self.path = path
        self._known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def inspect(self, named: Iterable[tuple[str, Any]]) -> Iterator[Inspection]:
        """Inspect pictures that have not been."""
        for name, picture in named:
            if name not in self._known:
                inspection = inspect(picture)
                self._known[name] = [inspection.score, inspection.noise, inspection.smoothing]
                self.path.write_text(json.dumps(self._known))
            yield Inspection(*self._known[name])

    def of(self, folder: str) -> list[Inspection]:
        """Give what is known of a folder's pictures."""
        return [Inspection(*numbers) for name, numbers in self._known.items() if name.startswith(f"{folder}/")]


def measure(measured: Measured, folder: Path, half: str) -> None:
    """Inspect the pictures of a half."""
    ordinary = ((f"{half}/ordinary/{at}", picture) for at, picture in enumerate(ordinary_pictures(half)))
    further = ((f"{half}/further/{at}", picture) for at, picture in enumerate(further_pictures(half)))
    paths = (path for kind in KINDS[2:] for path in inverted_pictures(folder, half, kind))
    inverted = ((str(path.relative_to(folder)), path) for path in paths)
    deque(measured.inspect(chain(ordinary, further, inverted)), maxlen=0)


def judge(folder: Path, complete: bool) -> None:
    """Print what was measured of both halves, and how often something is found."""
    measured = Measured(folder / "inspections.json")
    for half in HALVES:
        if complete:
            measure(measured, folder, half)
        print(f"\n{half:<12} {'number':>7} {'found':>6} {'rate, %':>8} {'95 %':>14} {'robustly':>9}   noise, smoothing")
        for kind in KINDS:
            found = measured.of(f"{half}/{kind}")
            if not found:
                continue
            number = sum(it.verdict != NOTHING_FOUND for it in found)
            robustly = number - sum(it.verdict == INVERTED for it in found)
            low, high = wilson(number, len(found))
            ends = (99, 100) if kind in ("ordinary", "further") else (0, 5)
            spread = [np.percentile([getattr(it, of) for it in found], ends) for of in ("noise", "smoothing")]
            print(
                f"{kind:<12} {len(found):>7} {number:>6} {100 * number / len(found):>8.1f} "
                f"{100 * low:>7.1f}-{100 * high:<6.1f} {robustly:>9}   "
                + ", ".join(f"{first:.2f} {last:.2f} ({ends[0]} and {ends[1]} %)" for first, last in spread)
            )


def evading_attack(original: np.ndarray, iterations: int) -> tuple[np.ndarray | None, float]:
    """Look for the smallest change that reaches the score asked for and is not found.

    The attacker's gradient is averaged over the inspection's own looks with new noise in each step (expectation over
    transformation); that of smoothing is passed straight through.

    Returns
    -------
    pixels : ndarray of uint8, shape (256, 256, 3), or None
        None if no step came through.
    psnr : float
        Of the change, in dB.
    """
    scorer, pipeline, goal = get_scorer(), preprocessing(original.shape[:2]), logit_of(ASKED)
    before = original.astype(np.float32)
    difference, momentum = np.zeros_like(before), np.zeros_like(before)
    norm, largest = (norm_of_psnr(decibels, original.size) for decibels in (FIRST_PSNR, LOWEST_PSNR))
    best, best_psnr = None, 0.0
    for number in range(iterations):
        pixels = np.rint(before + difference).astype(np.uint8)
        inputs, residuals = zip(*(pipeline.forward(look) for look in looks(pixels, number)))
        logits, gradients = scorer.logits_and_gradients(np.stack(inputs))
        margins = logits - goal
        found = Inspection(score_of(float(logits[0])), *moves(logits))
        passes = margins[0] >= 0 and found.verdict == NOTHING_FOUND
        if passes and psnr(original, pixels) > best_psnr and inspect(pixels).verdict == NOTHING_FOUND:
            best, best_psnr = pixels, psnr(original, pixels)
        gradient = sum(
            score_of(float(2 * MARGIN - margin)) * pipeline.vjp(each, residual)
            for margin, each, residual in zip(margins, gradients, residuals)
        )
        momentum = MOMENTUM * momentum + gradient / np.maximum(np.linalg.norm(gradient), 1e-30)
        difference += STEP * norm * (1 - 0.9 * number / iterations) / np.linalg.norm(momentum) * momentum
        norm = min(norm * (1 - NORM_CHANGE if passes else 1 + NORM_CHANGE), largest)
        difference *= min(norm / np.maximum(np.linalg.norm(difference), 1e-30), 1.0)
        difference = np.clip(before + difference, 0, 255) - before
    return best, best_psnr


def adaptive(pictures: int, iterations: int) -> None:
    """Print what an attacker who knows the inspection pays, against one who does not."""
    print(f"\n{'picture':<32} {'plain, dB':>10} {'unfound, dB':>12} {'score':>7} {'noise':>6} {'smoothing':>10}")
    for part in islice(UNSEEN, 0, None, max(len(UNSEEN) // pictures, 1)):
        original = resize_image(part.read())
        _, record = inverse(original, ASKED, iterations=40)
        pixels, decibels = evading_attack(original, iterations)
        if pixels is None:
            print(f"{part.name:<32} {record.psnr:>10.1f} {'found':>12}", flush=True)
            continue
        found = inspect(pixels)
        numbers = f"{decibels:>12.1f} {found.score:>7.3f} {found.noise:>6.2f} {found.smoothing:>10.2f}"
        print(f"{part.name:<32} {record.psnr:>10.1f} {numbers}", flush=True)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="+", choices=("make", "judge", "adaptive"))
    parser.add_argument("--folder", type=Path, required=True, help="of pictures and what was measured of them")
    parser.add_argument("--as-far", action="store_true", help="judge what is measured, and inspect no further pictures")
    parser.add_argument("--attacked", type=int, default=8, metavar="N", help="pictures of the adaptive attack")
    parser.add_argument("--iterations", type=int, default=60, metavar="N", help="of the adaptive attack")
    args = parser.parse_args()
    if "make" in args.parts:
        for half in HALVES:
            make_paintings(args.folder, half)
        make_inverted(args.folder)
    if "judge" in args.parts:
        judge(args.folder, complete=not args.as_far)
    if "adaptive" in args.parts:
        adaptive(args.attacked, args.iterations)


if __name__ == "__main__":
    main()
