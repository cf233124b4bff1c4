"""How many pictures evolution draws, and how long it takes, until the network is sure; how like a picture they become.

    python benchmarks/evolution.py [PART ...] [--seeds N]

Parts, all by default: circles, triangles, original, picture, drawing. Prints a Markdown table: medians over N seeds
(default 3), and the single values. An evaluation is one picture drawn and scored, or drawn and compared;
thresholds are noticed at the end of a generation. "Outside the network" is all but the time in the compiled
network: drawing, JPEG, DEAP.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import nsfw_experiments.evolution.fitness  # noqa: E402
import open_nsfw  # noqa: E402
from nsfw_experiments.evolution import Evolution  # noqa: E402
from nsfw_experiments.evolution.fitness import NsfwLogit, NsfwScore, Psnr  # noqa: E402
from nsfw_experiments.evolution.individual import palette_painting  # noqa: E402
from nsfw_experiments.evolution.painting import render  # noqa: E402
from nsfw_experiments.evolution.primitives import PRIMITIVES, Circles, Polygons  # noqa: E402
from nsfw_experiments.evolution.strategies import climbing_toolbox, original_toolbox  # noqa: E402

STARRY = ROOT / "img" / "starry_swirls.png"
NEVER = float("inf")


class TimedScorer:
    """The scorer, with a sum of the seconds spent in it."""

    def __init__(self):
        self.scorer = open_nsfw.get_scorer()
        self.seconds = 0.0

    def logits(self, x):
        started = time.perf_counter()
        logits = self.scorer.logits(x)
        self.seconds += time.perf_counter() - started
        return logits


def reached(toolbox, thresholds, most):
    """Evaluations and seconds to each threshold, and the run; `most` bounds the evaluations."""
    evolution, hits = Evolution(toolbox), {}
    started = time.perf_counter()
    while evolution.evaluations < most and len(hits) < len(thresholds):
        evolution.step()
        for threshold in thresholds:
            if evolution.best_display_value >= threshold:
                hits.setdefault(threshold, (evolution.evaluations, time.perf_counter() - started))
    return [hits.get(threshold, (NEVER, NEVER)) for threshold in thresholds], evolution


def row(what, values, layout):
    """One line of the table: the median, and all values."""
    texts = ["not reached" if value == NEVER else layout.format(value) for value in values]
    median = statistics.median(values)
    print(
        f"| {what} | {'not reached' if median == NEVER else layout.format(median)} | {', '.join(texts)} |",
        flush=True,
    )


def climb(primitive, count, thresholds, most, seeds):
    """Evaluations of the hill climber to scores."""
    timed = TimedScorer()
    runs, shares = [], []
    for seed in range(seeds):
        timed.seconds, started = 0.0, time.perf_counter()
        with patch.object(nsfw_experiments.evolution.fitness, "get_scorer", lambda: timed):
            hits, _ = reached(climbing_toolbox(primitive, count, NsfwLogit(), seed), thresholds, most)
        shares.append(1 - timed.seconds / (time.perf_counter() - started))
        runs.append(hits)
    for index, threshold in enumerate(thresholds):
        row(f"{count} {primitive.name}: evaluations to {threshold}", [hits[index][0] for hits in runs], "{:.0f}")
        row(f"{count} {primitive.name}: seconds to {threshold}", [hits[index][1] for hits in runs], "{:.1f}")
    row(f"{count} {primitive.name}: outside the network", shares, "{:.0%}")


def circles(seeds):
    climb(Circles(), 50, (0.99, 0.999, 0.9999), 8000, seeds)


def triangles(seeds):
    climb(Polygons(3), 100, (0.99, 0.999), 16000, seeds)


def original(seeds):
    """The original's algorithm as it was run: 50 paintings, 200 generations."""
    runs = []
    for seed in range(seeds):
        evolution = Evolution(original_toolbox(Circles(), 50, NsfwScore(), seed, population=50))
        evolution.run(200)
        runs.append(evolution)
    row("50 circles, the original's algorithm: score", [run.best_display_value for run in runs], "{:.5f}")
    row("50 circles, the original's algorithm: evaluations", [run.evaluations for run in runs], "{:.0f}")


def picture(seeds):
    """Decibels above a picture of the mean colour after 20,000 evaluations."""
    fitness = Psnr(STARRY)
    ways = {"hill climber": partial(climbing_toolbox, fine=True), "the original's algorithm": original_toolbox}
    for name, make in ways.items():
        gains = []
        for seed in range(seeds):
            evolution = Evolution(make(Circles(), 50, fitness, seed=seed))
            while evolution.evaluations < 20_000:
                evolution.step()
            gains.append(evolution.best_display_value - fitness.mean_colour_baseline())
        row(f"starry_swirls.png, 50 circles, {name}: dB above the mean colour", gains, "{:+.2f}")


def drawing(seeds):
    """Milliseconds to draw a random painting, the median of fifty for each seed."""
    for make in PRIMITIVES.values():
        primitive, medians = make(), []
        count = primitive.default_count
        for seed in range(seeds):
            rng = random.Random(seed)
            paintings = [palette_painting(rng, primitive, count) for _ in range(50)]
            medians.append(statistics.median(milliseconds_to_draw(painting, primitive) for painting in paintings))
        row(f"{count} {primitive.name}: milliseconds to draw", medians, "{:.2f}")


def milliseconds_to_draw(painting, primitive):
    """Time one drawing."""
    started = time.perf_counter()
    render(painting, primitive)
    return 1e3 * (time.perf_counter() - started)


PARTS = {part.__name__: part for part in (circles, triangles, original, picture, drawing)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    NsfwLogit()([open_nsfw.read_picture(STARRY)])  # compile the network before the clock starts
    print("| what | median | all seeds |\n|---|---|---|")
    for name in args.parts or PARTS:
        PARTS[name](args.seeds)


if __name__ == "__main__":
    main()
