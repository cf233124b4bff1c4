"""How many pictures evolution draws, and how long it takes, until the network is sure; how like a picture they become.

    python benchmarks/evolution.py [PART ...] [--seeds N]

Parts, all by default: circles, triangles, others, original, picture, drawing. Prints a Markdown table: the median and
the quartiles over N seeds (default 12, from 0 on; settings were chosen on others), how many seeds did not get there
within the evaluations allowed, and the single values. An evaluation is one picture drawn and scored, or drawn and
compared; thresholds are noticed at the end of a generation. "Outside the network" is all but the time in the compiled
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

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import nsfw_experiments.evolution.fitness  # noqa: E402
import open_nsfw  # noqa: E402
from nsfw_experiments.evolution import Evolution  # noqa: E402
from nsfw_experiments.evolution.fitness import NsfwLogit, NsfwScore, Psnr  # noqa: E402
from nsfw_experiments.evolution.individual import palette_painting  # noqa: E402
from nsfw_experiments.evolution.painting import render  # noqa: E402
from nsfw_experiments.evolution.primitives import (  # noqa: E402
    PRIMITIVES,
    Circles,
    Ellipses,
    Polygons,
    Rectangles,
)
from nsfw_experiments.evolution.strategies import (  # noqa: E402
    climbing_toolbox,
    compact_toolbox,
    least_squares_toolbox,
    original_toolbox,
)

STARRY = ROOT / "img" / "starry_swirls.png"
NEVER = float("inf")
#: Evaluations that a run to a score may take.
MOST = 5000


class TimedScorer:
    """The scorer, with a sum of the seconds spent in it."""

    def __init__(self):
        self.scorer = open_nsfw.get_scorer()
        self.input_size = self.scorer.input_size
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
    """One line of the table: the median, the quartiles, how many failed, and all values."""

    def text(value):
        return "-" if value == NEVER else layout.format(value)

    low, median, high = np.quantile(values, (0.25, 0.5, 0.75), method="nearest")
    failed = sum(value == NEVER for value in values)
    cells = text(median), f"{text(low)} to {text(high)}", failed, ", ".join(map(text, values))
    print(f"| {what} | " + " | ".join(map(str, cells)) + " |", flush=True)


def climb(primitive, count, thresholds, seeds):
    """Evaluations of the default strategy to scores."""
    timed = TimedScorer()
    runs, shares = [], []
    for seed in range(seeds):
        timed.seconds, started = 0.0, time.perf_counter()
        with patch.object(nsfw_experiments.evolution.fitness, "get_scorer", lambda: timed):
            hits, _ = reached(compact_toolbox(primitive, count, NsfwLogit(), seed), thresholds, MOST)
        shares.append(1 - timed.seconds / (time.perf_counter() - started))
        runs.append(hits)
    for index, threshold in enumerate(thresholds):
        row(f"{count} {primitive.name}: evaluations to {threshold}", [hits[index][0] for hits in runs], "{:.0f}")
        row(f"{count} {primitive.name}: seconds to {threshold}", [hits[index][1] for hits in runs], "{:.1f}")
    row(f"{count} {primitive.name}: outside the network", shares, "{:.0%}")


def circles(seeds):
    climb(Circles(), 50, (0.99, 0.999, 0.9999), seeds)


def triangles(seeds):
    climb(Polygons(3), 100, (0.99, 0.999), seeds)


def others(seeds):
    """The other shapes, 100 of each."""
    for primitive in Polygons(5), Rectangles(), Ellipses():
        climb(primitive, 100, (0.99,), seeds)


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
    """Decibels above a picture of the mean colour after 5,000 and 20,000 evaluations."""
    fitness = Psnr(STARRY)
    ways = {
        "least squares": least_squares_toolbox,
        "hill climber": partial(climbing_toolbox, fine=True),
        "the original's algorithm": original_toolbox,
    }
    for name, make in ways.items():
        runs = [Evolution(make(Circles(), 50, fitness, seed=seed)) for seed in range(seeds)]
        for evaluations in 5_000, 20_000:
            for evolution in runs:
                while evolution.evaluations < evaluations:
                    evolution.step()
            gains = [evolution.best_display_value - fitness.mean_colour_baseline() for evolution in runs]
            row(f"starry_swirls.png, 50 circles, {name}: dB above the mean colour at {evaluations}", gains, "{:+.2f}")


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


PARTS = {part.__name__: part for part in (circles, triangles, others, original, picture, drawing)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12, metavar="N")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    NsfwLogit()([open_nsfw.read_picture(STARRY)])  # compile the network before the clock starts
    print("| what | median | quartiles | failed | all seeds |\n|---|---|---|---|---|")
    for name in args.parts or PARTS:
        PARTS[name](args.seeds)


if __name__ == "__main__":
    main()
