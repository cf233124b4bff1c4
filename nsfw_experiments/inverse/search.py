"""The search for the smallest change of a picture that takes its score across a goal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nsfw_experiments.pillow.jpeg import BLOCK
from nsfw_model.logit import logit_of
from nsfw_experiments.pillow.preprocessing import Pipeline, uncropped
from nsfw_experiments.inverse.prune import PILLOWS_JPEG, Tiles, changes_in_order

# Norms and steps of the difference, in grey levels over all values of a 256x256 picture (300 is 51 dB).
FIRST_NORM, FIRST_GROWTH, NORM_CHANGE = 300.0, 0.07, 0.05
FAR_STEP, FIRST_STEP, LAST_STEP = 100.0, 60.0, 4.0
#: A slack of less than this is hit by settling only.
TIGHT = 0.2
#: Changes of a tile whose effects `adjust` predicts.
VARIANTS = 48
#: Weightings of `Jpeg.pull_back` before and after the goal is first met.
FAR_WEIGHTING, NEAR_WEIGHTING = 2.0, 6.0


@dataclass(frozen=True)
class Goal:
    """Where a score should go, and from which side it comes.

    Attributes
    ----------
    logit : float
        To be reached or passed.
    direction : int
        +1 if the score has to rise, -1 if it has to fall.
    slack : float
        How far the logit may pass the goal before the score is out of tolerance.
    shy : float
        How far it may stay short of the goal: as far where the tolerance is tight, nothing where it is wide.
    """

    logit: float
    direction: int
    slack: float
    shy: float = 0.0

    @classmethod
    def between(cls, start: float, target: float, tolerance: float) -> Goal:
        """Make the goal of a search from a score to another.

        A target closer than the tolerance to 0 or 1 is aimed at from the tolerance.

        Examples
        --------
        >>> Goal.between(0.1, 0.5, 0.01).logit
        0.0
        """
        aim = min(max(target, tolerance), 1 - tolerance)
        direction = 1 if target > start else -1  # a start between aim and target lies beyond the aim
        slack = abs(logit_of(aim + direction * tolerance) - logit_of(aim))
        shy = abs(logit_of(aim - direction * tolerance) - logit_of(aim)) if slack < TIGHT else 0.0
        return cls(logit_of(aim), direction, slack, shy)

    def excess(self, logit: float) -> float:
        """How far a logit lies beyond the goal; negative where it falls short."""
        return self.direction * (logit - self.logit)

    def offset(self, logit: float) -> float:
        """How far a logit lies beyond the middle of what is tolerated."""
        return self.excess(logit) - (self.slack - self.shy) / 2

    def badness(self, logit: float) -> float:
        """How far a logit lies outside the tolerance: 0 when the goal is met."""
        excess = self.excess(logit)
        return max(-excess - self.shy, excess - self.slack, 0.0)


class Network:
    """The scorer seen from a picture's pixels.

    Parameters
    ----------
    scorer : nsfw_model.scorer.Scorer
    pipeline : Pipeline
        Everything before the network.

    Attributes
    ----------
    evaluations : int
        How often the network was asked.
    """

    def __init__(self, scorer, pipeline: Pipeline):
        self.scorer, self.pipeline, self.evaluations = scorer, pipeline, 0

    def logit(self, pixels: np.ndarray) -> float:
        """Give the logit of a picture's score."""
        self.evaluations += 1
        return float(self.scorer.logits(self.pipeline.forward(pixels)[0][None])[0])

    def logit_and_gradient(self, pixels: np.ndarray, weighting: float) -> tuple[float, np.ndarray]:
        """Give the logit and its gradient with respect to the pixels, weighted as in `Jpeg.pull_back`."""
        self.evaluations += 1
        x, memories = self.pipeline.forward(pixels)
        logits, gradients = self.scorer.logits_and_gradients(x[None])
        return float(logits[0]), self.pipeline.pull_back(gradients[0], memories, weighting)

    def logit_and_decoded_gradient(self, pixels: np.ndarray) -> tuple[float, np.ndarray]:
        """Give the logit and its gradient with respect to the 256x256 pixels that JPEG gives back."""
        self.evaluations += 1
        x, _ = self.pipeline.forward(pixels)
        logits, gradients = self.scorer.logits_and_gradients(x[None])
        return float(logits[0]), uncropped(gradients[0])


def rounded(values: np.ndarray) -> np.ndarray:
    """The nearest 8-bit picture."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def search(
    network: Network, original: np.ndarray, goal: Goal, gradient: np.ndarray, evaluations: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Look for small changes that meet the goal: decoupled direction and norm.

    Each step goes along the normalised gradient, then scales the difference to a norm that shrinks when the
    goal was met and grows when not (Rony et al., "Decoupling Direction and Norm for Efficient Gradient-Based
    L2 Adversarial Attacks and Defenses", 2019). Until the goal is first met steps are longer and JPEG's
    rounding edges are weighted less, to get there soon; after that only coefficients close to an edge count.

    Parameters
    ----------
    network : Network
    original : ndarray of uint8, shape (height, width, 3)
    goal : Goal
    gradient : ndarray, shape (height, width, 3)
        At the original.
    evaluations : int
        Steps to take.

    Yields
    ------
    pixels : ndarray of uint8, shape (height, width, 3)
    logit : float
        Of its score.
    """
    scale = math.sqrt(original.size / (256 * 256 * 3))
    start = original.astype(np.float32)
    difference = np.zeros_like(start)
    norm, near = FIRST_NORM * scale, False
    for number in range(evaluations):
        progress = 0.5 * (1 - math.cos(math.pi * number / evaluations))
        step = FIRST_STEP + (LAST_STEP - FIRST_STEP) * progress if near else FAR_STEP
        difference += goal.direction * step * scale / max(np.linalg.norm(gradient), 1e-30) * gradient
        difference *= norm / max(np.linalg.norm(difference), 1e-30)
        difference = np.clip(start + difference, 0, 255) - start
        pixels = rounded(start + difference)
        logit, gradient = network.logit_and_gradient(pixels, NEAR_WEIGHTING if near else FAR_WEIGHTING)
        yield pixels, logit
        met = goal.excess(logit) >= 0
        near = near or met
        norm *= 1 - NORM_CHANGE if met else 1 + (NORM_CHANGE if near else FIRST_GROWTH)


def settle(
    network: Network,
    original: np.ndarray,
    original_logit: float,
    pixels: np.ndarray,
    logit: float,
    gradient: np.ndarray,
    goal: Goal,
    evaluations: int,
) -> Iterator[tuple[np.ndarray, float]]:
    """Take back the changes that buy least, until the score is within tolerance of the goal.

    All changes by one grey level are put in the order of what they buy for the squared error they cost; how
    many of them can go is found by interpolation between a number that still meets the goal and one that does
    not. Where a single change makes the difference, it is kept, and the search goes on behind it.

    Parameters
    ----------
    network : Network
    original : ndarray of uint8, shape (height, width, 3)
    original_logit : float
        Short of the goal.
    pixels, logit, gradient
        A picture that meets the goal, and what the network says of it.
    goal : Goal
    evaluations : int
        At most so many.

    Yields
    ------
    As `search`.
    """
    entries, steps = _changes_by_worth(original, pixels, goal.direction * gradient)
    kept = pixels
    fewest, excess = 0, goal.excess(logit)
    most, shortfall, measured = len(entries), -goal.excess(original_logit), False
    for number in range(evaluations):
        if goal.badness(logit) == 0 or not len(entries):
            return
        share = goal.offset(goal.logit + goal.direction * excess) / (excess + shortfall)
        if measured and number % 4 == 3:  # a bisection now and then, where interpolation creeps
            share = 0.5
        count = min(max(round(fewest + share * (most - fewest)), fewest + 1), max(most - 1, fewest + 1))
        trial = _without(kept, entries[:count], steps[:count])
        logit = network.logit(trial)
        yield trial, logit
        if goal.excess(logit) >= 0:
            fewest, excess = count, goal.excess(logit)
        else:
            most, shortfall, measured = count, -goal.excess(logit), True
        if most - fewest <= 1:
            kept = _without(kept, entries[:fewest], steps[:fewest])
            entries, steps = entries[most:], steps[most:]
            fewest, most, shortfall, measured = 0, len(entries), -goal.excess(original_logit), False


def adjust(
    network: Network, original: np.ndarray, pixels: np.ndarray, goal: Goal, evaluations: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Take back single changes whose effect is predicted, until the score is within a tight tolerance.

    What a change does to JPEG's coefficients is computed, and what they do to the logit follows from the
    gradient. What that leaves out are mostly the roundings of the decoded pixels, so changes are preferred in
    tiles where these matter little.

    Parameters
    ----------
    network : Network
        At 256x256, so that JPEG sees the picture's own pixels.
    original, pixels : ndarray of uint8, shape (256, 256, 3)
        `pixels` is close to the goal, on either side.
    goal : Goal
    evaluations : int
        At most so many.

    Yields
    ------
    As `search`.
    """
    tiles = Tiles(PILLOWS_JPEG, original.shape[:2])
    before = tiles.cut(original).astype(np.int16)
    trial, accepted, offset, predictions = pixels, None, math.inf, None
    for _ in range(evaluations):
        logit, gradient = network.logit_and_decoded_gradient(trial)
        yield trial, logit
        if goal.badness(logit) == 0:
            return
        if abs(goal.offset(logit)) < abs(offset):
            accepted, offset = tiles.cut(trial).astype(np.int16), goal.offset(logit)
            variants, predictions, doubts = _predicted_effects(tiles, before, accepted, goal.direction * gradient)
        if not predictions.size:
            return
        chosen = np.hypot(predictions + offset, doubts).argmin()
        tile, variant = variants[chosen]
        predictions[predictions == predictions[chosen]] = math.inf  # not again, should it turn out worse
        nudged = accepted.copy()
        nudged[tile] = variant
        trial = tiles.join(nudged).astype(np.uint8)


def _predicted_effects(tiles, before, after, gradient):
    """Tiles with one change taken back, (tile, values) each, how the logit changes, and the error of that."""
    luma, chroma = tiles.jpeg.pull_back_decoding(gradient)
    luma_steps, chroma_steps = (np.tile(steps, (256 // BLOCK, 256 // BLOCK)) for steps in tiles.jpeg.steps)
    half = chroma.shape[1]
    per_step = tiles.cut_coefficients((luma * luma_steps, chroma * chroma_steps[:half, :half]))
    entries, steps = changes_in_order(before, after, np.zeros(before.shape))
    tile, item = np.nonzero(steps[:, :VARIANTS])
    varied = after[tile]
    varied[np.arange(len(tile)), entries[tile, item]] -= steps[tile, item].astype(np.int16)
    effects = ((tiles.codes(varied) - tiles.codes(after)[tile]) * per_step[tile]).sum(1)
    rounding = np.sqrt(1 / 12) / 2  # a luminance coefficient touches a quarter of the tile
    doubts = rounding * np.linalg.norm(tiles.cut_coefficients((luma, chroma)), axis=1)
    return list(zip(tile, varied)), effects, doubts[tile]


def _changes_by_worth(original, pixels, gradient):
    """All changes by one grey level: flat indices and +1 or -1, least worth for its squared error first."""
    change = pixels.astype(int).ravel() - original.ravel()
    changed = np.flatnonzero(change)
    size = np.abs(change[changed])
    entries = np.repeat(changed, size)
    level = np.arange(size.sum()) - np.repeat(size.cumsum() - size, size) + 1
    steps = np.sign(change)[entries]
    order = np.argsort(gradient.ravel()[entries] * steps / (2 * level - 1), kind="stable")
    return entries[order], steps[order]


def _without(pixels, entries, steps):
    values = pixels.astype(int)
    np.subtract.at(values.ravel(), entries, steps)
    return values.astype(np.uint8)
