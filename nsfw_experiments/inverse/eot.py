"""Changes that survive what happens to pictures on their way: JPEG, scaling, mirroring.

A change that `nsfw_experiments.inverse.search` finds is tied to one exact pipeline; saving the picture again undoes
it. Here the gradient is averaged over transformations drawn anew in every step (expectation over
transformation, Athalye et al., "Synthesizing Robust Adversarial Examples", 2018), each followed by the
scorer's preprocessing and each with its exact forward and its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_model.logit import logit_of, score_of
from nsfw_experiments.pillow.preprocessing import Coding, Mirroring, Pipeline, resizing
from nsfw_experiments.inverse.search import Goal, Network, rounded
from nsfw_experiments.image_metrics import norm_of_psnr, psnr
from nsfw_model.preprocess import RESIZED
from open_nsfw import get_scorer

#: What a result has to survive, what the survival table shows besides, and the ranges that the search draws from.
QUALITIES, SCALES, MIRRORED = (50, 60, 70, 80, 90, 95), (0.75, 1.0, 1.5, 2.0), (False, True)
SHOWN_SCALE = 0.5
DRAWN_QUALITIES, DRAWN_SCALES = (50, 95), (0.5, 2.0)

BATCH = 4
FIRST_PSNR, LOWEST_PSNR = 42.0, 37.0
MARGIN = 2.0
STEP, MOMENTUM, NORM_CHANGE = 0.25, 0.75, 0.02


@dataclass(frozen=True, order=True)
class Transformation:
    """Scaled, mirrored, saved as JPEG.

    Attributes
    ----------
    quality : int
        1..95.
    scale : float
    mirrored : bool
    """

    quality: int
    scale: float = 1.0
    mirrored: bool = False

    def __str__(self):
        return f"q{self.quality} x{self.scale:g}{' mirrored' if self.mirrored else ''}"

    @property
    def demanded(self) -> bool:
        """Whether a result has to survive this; the survival table shows smaller scales too."""
        return self.scale >= SCALES[0]

    def pipeline(self, size: tuple[int, int]) -> Pipeline:
        """Give the way of a picture of a size (height, width) through it and the scorer's preprocessing."""
        scaled = tuple(max(round(side * self.scale), 1) for side in size)
        mirroring = [Mirroring()] if self.mirrored else []
        return Pipeline(
            [
                *resizing(size, scaled),
                *mirroring,
                Coding(Jpeg(self.quality)),
                *resizing(scaled, RESIZED[::-1]),
                Coding(),
            ]
        )


#: What a result has to survive, and what is shown besides.
GRID = tuple(Transformation(*values) for values in product(QUALITIES, SCALES, MIRRORED))
SHOWN = tuple(Transformation(*values) for values in product(QUALITIES, [SHOWN_SCALE], MIRRORED))


def survival(
    pixels: np.ndarray, scorer=None, grid: Sequence[Transformation] | None = None
) -> dict[Transformation, float]:
    """Score a picture after each transformation.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    scorer : nsfw_model.scorer.Scorer, optional
    grid : sequence of Transformation, optional
        Left out: all that the survival table shows.

    Returns
    -------
    dict of Transformation to float
        Scores in 0..1.
    """
    scorer = scorer or get_scorer()
    grid = (*SHOWN, *GRID) if grid is None else grid
    logits = (scorer.logits(t.pipeline(pixels.shape[:2]).forward(pixels)[0][None])[0] for t in grid)
    return {transformation: score_of(float(logit)) for transformation, logit in zip(grid, logits)}


def survival_table(scores: dict[Transformation, float]) -> str:
    """Lay out survival scores: a row per quality, a column per scale, the worse of mirrored and not."""
    qualities, scales = sorted({t.quality for t in scores}), sorted({t.scale for t in scores})
    lines = ["quality " + "".join(f"{f'x{scale:g}':>9}" for scale in scales)]
    for quality in qualities:
        cells = []
        for scale in scales:
            both = [score for t, score in scores.items() if (t.quality, t.scale) == (quality, scale)]
            cells.append(f"{min(both):.4f}" if both else "")
        lines.append(f"{quality:7} " + "".join(f"{cell:>9}" for cell in cells))
    demanded = [score for t, score in scores.items() if t.demanded]
    at = f" at x{SCALES[0]:g} and more" if len(demanded) < len(scores) else ""
    if demanded:
        lines.append(
            f"lowest {min(demanded):.4f}, highest {max(demanded):.4f}{at}; a cell is the lower one of mirrored and not"
        )
    return "\n".join(lines)


def robust_search(
    network: Network, original: np.ndarray, goal: Goal, iterations: int, seed: int
) -> Iterator[tuple[np.ndarray, float, bool]]:
    """Look for small changes that meet the goal after every transformation.

    Momentum steps along the gradient averaged over drawn transformations, weighted by how far each is from
    the goal; the difference's norm shrinks while all of them meet it with a margin. Afterwards the candidates
    are tried on the whole survival grid, to find the smallest that passes.

    Parameters
    ----------
    network : Network
        Its scorer is used and its evaluations are counted.
    original : ndarray of uint8, shape (height, width, 3)
    goal : Goal
    iterations : int
    seed : int

    Yields
    ------
    pixels : ndarray of uint8, shape (height, width, 3)
    logit : float
        The worst over the transformations that were tried.
    verified : bool
        Whether these were the whole survival grid, or only a few drawn ones.
    """
    random = np.random.default_rng(seed)
    start = original.astype(np.float32)
    difference, momentum = np.zeros_like(start), np.zeros_like(start)
    norm, largest = (norm_of_psnr(decibels, original.size) for decibels in (FIRST_PSNR, LOWEST_PSNR))
    candidates = []
    for number in range(iterations):
        pixels = rounded(start + difference)
        worst, gradient = _expected_gradient(network, pixels, goal, random)
        if number:
            candidates.append((psnr(original, pixels), worst, pixels))
            yield pixels, goal.logit + goal.direction * worst, False
        momentum = MOMENTUM * momentum + gradient / max(np.linalg.norm(gradient), 1e-30)
        step = STEP * norm * (1 - 0.9 * number / iterations)
        difference += step / np.linalg.norm(momentum) * momentum
        if number > iterations // 3:
            norm = min(norm * (1 - NORM_CHANGE if worst > MARGIN else 1 + NORM_CHANGE), largest)
        difference *= min(norm / max(np.linalg.norm(difference), 1e-30), 1.0)
        difference = np.clip(start + difference, 0, 255) - start
    yield from _smallest_survivors(network, candidates, goal)


def _expected_gradient(network, pixels, goal, random):
    """The smallest excess over the goal, and the gradient towards it, over a few drawn transformations."""
    drawn = [Transformation(QUALITIES[0], SCALES[0], bool(random.integers(2)))]  # the hardest corner, always
    for _ in range(BATCH - 1):
        low, high = np.log2(DRAWN_SCALES)
        drawn.append(
            Transformation(
                int(random.integers(DRAWN_QUALITIES[0], DRAWN_QUALITIES[1] + 1)),
                float(2 ** random.uniform(low, high)),
                bool(random.integers(2)),
            )
        )
    pipelines = [transformation.pipeline(pixels.shape[:2]) for transformation in drawn]
    inputs, memories = zip(*(pipeline.forward(pixels) for pipeline in pipelines))
    logits, gradients = network.scorer.logits_and_gradients(np.stack(inputs))
    network.evaluations += len(drawn)
    excesses = [goal.excess(float(logit)) for logit in logits]
    total = np.zeros(pixels.shape, np.float32)
    for pipeline, memory, gradient, excess in zip(pipelines, memories, gradients, excesses):
        # Roundings are passed straight through: changes of this size are larger than JPEG's steps.
        weight = goal.direction * score_of(2 * MARGIN - excess)  # of log(sigmoid(excess - 2 * margin))
        total += weight * pipeline.pull_back(gradient, memory)
    return min(excesses), total


def _smallest_survivors(network, candidates, goal):
    """Bisect over the candidates, sorted by size, for the smallest that the whole grid leaves at the goal."""
    promising = sorted((c for c in candidates if c[1] >= 0), key=lambda candidate: -candidate[0])
    promising = promising or sorted(candidates, key=lambda candidate: -candidate[1])[:1]
    low, high = -1, len(promising)
    while high - low > 1:
        middle = (low + high + 1) // 2
        pixels = promising[middle][2]
        scores = survival(pixels, network.scorer, GRID).values()
        network.evaluations += len(GRID)
        worst = min(scores) if goal.direction > 0 else max(scores)
        logit = logit_of(worst)
        yield pixels, logit, True
        if goal.excess(logit) >= 0:
            high = middle
        else:
            low = middle
