"""The search for the smallest change of a picture that takes its score across a goal, and its progress.

Three searches follow each other, each yielding the pictures it tries and their logits:

- `search` crosses the goal along the gradient and makes the change smaller there (DDN), or `advance` crosses it from an
  earlier result;
- `boundary_search` takes changes back until the score is at the goal;
- `greedy_correction` takes back single changes whose effect is predicted, where the tolerance is tight.

A `Goal` tells by how much a logit misses what each of them is after. Candidates are compared by `best_of` alone,
whatever they are to miss as little as possible. What is tried is noted in a `Progress`, which knows the best of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from PIL import Image

from nsfw_experiments.image_metrics import psnr
from nsfw_experiments.inverse.prune import PILLOWS_JPEG, McuGrid, changes_in_order, unit_changes
from nsfw_experiments.inverse.record import Step
from nsfw_experiments.pillow.jpeg import BLOCK
from nsfw_experiments.pillow.preprocessing import Pipeline, network_input_vjp
from nsfw_model.checks import check_finite
from nsfw_model.logit import logit_of, score_of
from nsfw_model.scorer import Scorer
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(
    __name__,
    {
        "Network": f"{__name__}:PixelScorer",
        "settle": f"{__name__}:boundary_search",
        "adjust": f"{__name__}:greedy_correction",
    },
)

# Norms and steps of the difference, in grey levels over all values of a 256x256 picture (300 is 51 dB).
FIRST_NORM, FIRST_GROWTH, FIRST_CHANGE, LAST_CHANGE = 300.0, 0.07, 0.05, 0.01
FAR_STEP, FIRST_STEP, LAST_STEP = 100.0, 60.0, 4.0
#: The least step, as a share of the norm: a difference that had to grow far is not turned by the steps above.
FIRST_SHARE, LAST_SHARE = 0.15, 0.03
#: The norm's change grows by this from step to step on the same side of the goal, up to the largest.
FASTER, LARGEST_CHANGE = 1.5, 0.3
#: Steps of `advance`; what is not reached by so many is not near.
MOST_ADVANCES = 8
#: An upper tolerance of less than this, in logits, is hit by the boundary search only.
TIGHT = 0.2
#: Changes of an MCU whose effects `greedy_correction` predicts.
VARIANTS = 48
#: Straight-through exponents of `Jpeg.vjp` before and after the goal is first met.
FAR_EXPONENT, NEAR_EXPONENT = 0.0, 4.0


class Evidence(IntEnum):
    """How much of what is asked for a candidate's logit tells."""

    NONE = 0  #: Of robust mode's original the score as it is.
    DRAWN = 1  #: In robust mode a few transformations.
    ALL = 2


@dataclass(frozen=True, eq=False)
class Candidate:
    """A picture that was tried.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    logit : float
        Of its score; in robust mode the worst over the transformations tried.
    psnr : float
        Of `pixels`, in dB; infinite for the original.
    evidence : Evidence
        What `logit` rests on.
    """

    pixels: np.ndarray
    logit: float
    psnr: float
    evidence: Evidence = Evidence.ALL

    @property
    def verified(self) -> bool:
        """Whether `logit` holds for all that is asked for."""
        return self.evidence is Evidence.ALL

    @property
    def score(self) -> float:
        """In 0..1."""
        return score_of(self.logit)

    @property
    def picture(self) -> Image.Image:
        """The pixels as a picture of mode RGB."""
        return Image.fromarray(self.pixels)


#: By how much a logit misses what a search is after, in any unit: 0 where it does not.
Excess = Callable[[float], float]


def best_of(candidates: Iterable[Candidate], excess: Excess) -> Candidate:
    """Give the best candidate: of those of which most is known what misses the aim least, by the smallest change.

    Parameters
    ----------
    candidates : iterable of Candidate
        At least one.
    excess : callable
        By how much a logit misses the aim.

    Returns
    -------
    Candidate
        Of equals the first.

    Examples
    --------
    >>> goal, grey = Goal(logit=3.0, direction=1, upper_tolerance=0.1), np.full((8, 8, 3), 128, np.uint8)
    >>> candidates = [Candidate(grey, logit, decibels) for logit, decibels in ((2.9, 70.0), (3.05, 60.0), (9.0, 65.0))]
    >>> best_of(candidates, goal.shortfall).logit, best_of(candidates, goal.violation).logit
    (9.0, 3.05)
    """
    return min(candidates, key=lambda candidate: (-candidate.evidence, excess(candidate.logit), -candidate.psnr))


@dataclass(frozen=True)
class Goal:
    """Where a score should go, and from which side it comes.

    Attributes
    ----------
    logit : float
        To be reached or passed.
    direction : int
        +1 if the score has to rise, -1 if it has to fall.
    upper_tolerance : float
        How far the logit may pass the goal before the score is out of tolerance.
    lower_tolerance : float
        How far it may stay short of the goal: as far where the tolerance is tight, nothing where it is wide.
    """

    logit: float
    direction: int
    upper_tolerance: float
    lower_tolerance: float = 0.0

    @classmethod
    def between(cls, start: float, target: float, tolerance: float) -> Goal:
        """Make the goal of a search from a score to another.

        A target closer than the tolerance to 0 or 1 is aimed at from the tolerance.

        Parameters
        ----------
        start, target : float
            Scores in 0..1.
        tolerance : float
            How far the score may be from the target, more than 0 and less than 0.5.

        Returns
        -------
        Goal

        Examples
        --------
        >>> Goal.between(0.1, 0.5, 0.01).logit
        0.0
        """
        aim = min(max(target, tolerance), 1 - tolerance)
        direction = 1 if target > start else -1  # a start between aim and target lies beyond the aim
        upper = abs(logit_of(aim + direction * tolerance) - logit_of(aim))
        lower = abs(logit_of(aim - direction * tolerance) - logit_of(aim)) if upper < TIGHT else 0.0
        return cls(logit_of(aim), direction, upper, lower)

    def margin(self, logit: float) -> float:
        """Give how far a logit lies beyond the goal; negative where it falls short."""
        return self.direction * (logit - self.logit)

    def shortfall(self, logit: float) -> float:
        """Give how far a logit falls short of the goal: 0 when it is reached or passed."""
        return max(-self.margin(logit), 0.0)

    @property
    def middle(self) -> float:
        """The margin in the middle of what is tolerated."""
        return (self.upper_tolerance - self.lower_tolerance) / 2

    def offset(self, logit: float) -> float:
        """Give how far a logit lies beyond the middle of what is tolerated."""
        return self.margin(logit) - self.middle

    def violation(self, logit: float) -> float:
        """Give how far a logit lies outside the tolerance: 0 within."""
        margin = self.margin(logit)
        return max(-margin - self.lower_tolerance, margin - self.upper_tolerance, 0.0)


class PixelScorer:
    """The scorer as a function of a picture's pixels, with its gradient: what is optimised.

    Parameters
    ----------
    scorer : nsfw_model.scorer.Scorer
    pipeline : Pipeline
        Everything before the network.

    Attributes
    ----------
    evaluations : int
        How many pictures the network was given.
    interrupt : KeyboardInterrupt or None
        What an evaluation was interrupted by. It was done again: so a search, which an exception would end, can go on
        after it. Who drives the search raises this afterwards; a second interrupt is raised at once.
    """

    def __init__(self, scorer: Scorer, pipeline: Pipeline):
        self.scorer, self.pipeline, self.evaluations = scorer, pipeline, 0
        self.interrupt: KeyboardInterrupt | None = None

    def logit(self, pixels: np.ndarray) -> float:
        """Give the logit of a picture's score.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)

        Returns
        -------
        float
        """
        x, _ = self.pipeline.forward(pixels)
        (logit,) = self._evaluate(self.scorer.logits, x)
        return float(logit)

    def logit_and_gradient(self, pixels: np.ndarray, straight_through_exponent: float) -> tuple[float, np.ndarray]:
        """Give the logit and its gradient with respect to the pixels.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
        straight_through_exponent : float
            See `Jpeg.vjp`.

        Returns
        -------
        logit : float
        gradient : ndarray of float32, shape (height, width, 3)
        """
        x, residuals = self.pipeline.forward(pixels)
        logits, gradients = self._evaluate(self.scorer.logits_and_gradients, x)
        return float(logits[0]), self.pipeline.vjp(gradients[0], residuals, straight_through_exponent)

    def logit_and_decoded_gradient(self, pixels: np.ndarray) -> tuple[float, np.ndarray]:
        """Give the logit and its gradient with respect to the pixels that the last JPEG gives back.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)

        Returns
        -------
        logit : float
        gradient : ndarray of float32, shape (256, 256, 3)
        """
        x, _ = self.pipeline.forward(pixels)
        logits, gradients = self._evaluate(self.scorer.logits_and_gradients, x)
        return float(logits[0]), network_input_vjp(gradients[0])

    def _evaluate(self, function: Callable[[np.ndarray], Any], x: np.ndarray) -> Any:
        self.evaluations += 1
        try:
            return function(x[None])
        except KeyboardInterrupt as error:
            if self.interrupt:
                raise
            self.interrupt = error
        return function(x[None])


class Progress:
    """The history of a search, and the best candidate in it; of equals the later one.

    The history has the pixels of the original and of the best step only; those of all would take gigabytes.

    Parameters
    ----------
    original : ndarray of uint8, shape (height, width, 3)
    scorer : PixelScorer
        Its evaluations are the steps' numbers.
    excess : callable
        What the best misses least, see `best_of`.
    reaches : callable
        Whether a `Candidate` reaches the goal or passes it.

    Attributes
    ----------
    best : Candidate or None
        None as long as nothing was noted.
    latest : Step or None
        The last one noted, with its pixels.
    history : list of Step
    first_reached : int or None
        The number of evaluations when the goal was first reached or passed.

    Examples
    --------
    >>> class Counting:
    ...     evaluations = 1
    >>> grey = np.full((8, 8, 3), 128, np.uint8)
    >>> goal = Goal(logit=3.0, direction=1, upper_tolerance=0.1)
    >>> progress = Progress(grey, Counting, goal.violation, lambda candidate: candidate.logit >= 3.0)
    >>> for level, logit in ((0, 1.0), (2, 4.0), (3, 3.05)):
    ...     _ = progress.note(grey + np.uint8(level), logit)
    >>> progress.best.logit, progress.latest.best
    (3.05, True)
    """

    def __init__(self, original: np.ndarray, scorer: PixelScorer, excess: Excess, reaches: Callable[[Candidate], bool]):
        self.original, self.scorer, self.excess, self.reaches = original, scorer, excess, reaches
        self.best: Candidate | None = None
        self.latest: Step | None = None
        self.history: list[Step] = []
        self.first_reached: int | None = None

    def note(self, pixels: np.ndarray, logit: float, evidence: Evidence = Evidence.ALL) -> Candidate:
        """Take a candidate into the history.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
        logit : float
        evidence : Evidence
            See `Candidate`.

        Returns
        -------
        Candidate
        """
        candidate = Candidate(pixels, logit, psnr(self.original, pixels), evidence)
        best = best_of(filter(None, (candidate, self.best)), self.excess)  # of equals the first of these
        number, first = self.scorer.evaluations, self.first_reached
        if first is None and self.reaches(candidate):
            first = number
        best_psnr = None if first is None else best.psnr
        step = Step(number, candidate.score, candidate.psnr, best_psnr, pixels, best=best is candidate)
        # At once, lest Ctrl-C falls between
        self.best, self.latest, self.first_reached, self.history = best, step, first, self._with(step)
        return candidate

    def _with(self, step: Step) -> list[Step]:
        """The history and a step, with the pixels of the original and of the best only."""
        if not self.history:
            return [step]
        if not step.best:
            return [*self.history, replace(step, pixels=None)]
        original, *others = self.history
        return [original, *(other if other.pixels is None else replace(other, pixels=None) for other in others), step]


def rounded(values: np.ndarray) -> np.ndarray:
    """Give the nearest 8-bit picture.

    Parameters
    ----------
    values : ndarray of float

    Returns
    -------
    ndarray of uint8, of the same shape

    Raises
    ------
    ValueError
        If a value is not finite.

    Examples
    --------
    >>> rounded(np.array([-3.0, 1.5, 99.4, 300.0])).tolist()
    [0, 2, 99, 255]
    """
    check_finite("pixels", values)
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def search(
    scorer: PixelScorer, original: np.ndarray, goal: Goal, gradient: np.ndarray, evaluations: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Look for small changes that meet the goal: decoupled direction and norm (DDN).

    Each step goes along the normalised gradient, then scales the difference to a norm that shrinks when the
    goal was met and grows when not [1]_. Until the goal is first met steps are longer and all of JPEG's
    coefficients count, to get there soon; after that only those close to a rounding edge do.

    Parameters
    ----------
    scorer : PixelScorer
    original : ndarray of uint8, shape (height, width, 3)
    goal : Goal
    gradient : ndarray of float32, shape (height, width, 3)
        At the original.
    evaluations : int
        Steps to take; none where the gradient is 0, since no way leads anywhere.

    Yields
    ------
    pixels : ndarray of uint8, shape (height, width, 3)
    logit : float
        Of its score.

    References
    ----------
    .. [1] Jerome Rony, Luiz G. Hafemann, Luiz S. Oliveira, Ismail Ben Ayed, Robert Sabourin, Eric Granger, "Decoupling
       direction and norm for efficient gradient-based L2 adversarial attacks and defenses", CVPR 2019,
       arXiv:1811.09600.
    """
    scale = math.sqrt(original.size / (256 * 256 * 3))
    start = original.astype(np.float32)
    difference = np.zeros_like(start)
    norm, largest = FIRST_NORM * scale, 255 * math.sqrt(original.size)
    near, run = False, 0
    for number in range(evaluations if gradient.any() else 0):
        annealed = 0.5 * (1 - math.cos(math.pi * number / evaluations))
        step = FIRST_STEP + (LAST_STEP - FIRST_STEP) * annealed if near else FAR_STEP
        step = max(step * scale, norm * (FIRST_SHARE + (LAST_SHARE - FIRST_SHARE) * annealed))
        difference += goal.direction * step / np.maximum(np.linalg.norm(gradient), 1e-30) * gradient
        difference *= norm / np.maximum(np.linalg.norm(difference), 1e-30)
        difference = np.clip(start + difference, 0, 255) - start
        pixels = rounded(start + difference)
        logit, gradient = scorer.logit_and_gradient(pixels, NEAR_EXPONENT if near else FAR_EXPONENT)
        yield pixels, logit
        met = goal.margin(logit) >= 0
        near = near or met
        run = max(run, 0) + 1 if met else min(run, 0) - 1  # steps beyond the goal, or short of it, one after another
        change = FIRST_CHANGE + (LAST_CHANGE - FIRST_CHANGE) * annealed
        change = min(change * FASTER ** min(abs(run) - 1, 9), LARGEST_CHANGE)
        norm = min(norm * (1 - change if met else 1 + (change if near else FIRST_GROWTH)), largest)


def advance(
    scorer: PixelScorer, start: np.ndarray, goal: Goal, gradient: np.ndarray, evaluations: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Go on from a changed picture, by a few steps along the gradient, until the goal is crossed.

    Parameters
    ----------
    scorer : PixelScorer
    start : ndarray of uint8, shape (height, width, 3)
        A picture that falls short of the goal.
    goal : Goal
    gradient : ndarray of float32, shape (height, width, 3)
        At that picture.
    evaluations : int
        At most so many steps.

    Yields
    ------
    pixels : ndarray of uint8, shape (height, width, 3)
    logit : float
        Of its score.
    """
    scale = math.sqrt(start.size / (256 * 256 * 3))
    values, step = start.astype(np.float32), FIRST_STEP
    for _ in range(min(evaluations, MOST_ADVANCES) if gradient.any() else 0):
        values += goal.direction * step * scale / np.maximum(np.linalg.norm(gradient), 1e-30) * gradient
        values = np.clip(values, 0, 255)
        pixels = rounded(values)
        logit, gradient = scorer.logit_and_gradient(pixels, FAR_EXPONENT)
        yield pixels, logit
        if goal.margin(logit) >= 0:
            return
        step = FAR_STEP


@dataclass
class Bracket:
    """Two numbers of changes taken back: with `low` of them the goal is still met, with `high` it is not.

    Attributes
    ----------
    low, high : int
    margin : float
        By how much the logit passes the goal with `low`.
    shortfall : float
        By how much it falls short with `high`.
    measured : bool
        Whether `high` was tried, or `shortfall` is only assumed.
    """

    low: int
    high: int
    margin: float
    shortfall: float
    measured: bool = False

    def propose(self, margin: float, bisect: bool = False) -> int:
        """Give the number to try next.

        Parameters
        ----------
        margin : float
            To be met by interpolation.
        bisect : bool
            Take the middle instead, if both ends were measured.

        Returns
        -------
        int
            More than `low` and less than `high`, where there is such a number.

        Examples
        --------
        >>> Bracket(low=0, high=100, margin=3.0, shortfall=1.0).propose(0.0)
        75
        """
        share = 0.5 if bisect and self.measured else (self.margin - margin) / (self.margin + self.shortfall)
        between = round(self.low + share * (self.high - self.low))
        return min(max(between, self.low + 1), max(self.high - 1, self.low + 1))

    def narrow(self, count: int, margin: float) -> None:
        """Replace an end by a number that was tried; a negative margin falls short."""
        if margin >= 0:
            self.low, self.margin = count, margin
        else:
            self.high, self.shortfall, self.measured = count, -margin, True

    @property
    def closed(self) -> bool:
        """Whether no number lies between the ends."""
        return self.high - self.low <= 1


def boundary_search(
    scorer: PixelScorer,
    original: np.ndarray,
    original_logit: float,
    pixels: np.ndarray,
    logit: float,
    gradient: np.ndarray,
    goal: Goal,
    evaluations: int,
) -> Iterator[tuple[np.ndarray, float]]:
    """Take back the changes that do least, until the score is within tolerance of the goal.

    All changes by one grey level are put in the order of what they do for the squared error they cost; how
    many of them can go is found by interpolation in a `Bracket`, with a bisection now and then, where interpolation
    creeps. Where a single change makes the difference, it is kept, and the search goes on behind it.

    Parameters
    ----------
    scorer : PixelScorer
    original : ndarray of uint8, shape (height, width, 3)
    original_logit : float
        Short of the goal.
    pixels : ndarray of uint8, shape (height, width, 3)
        A picture that meets the goal.
    logit : float
    gradient : ndarray of float32, shape (height, width, 3)
        At that picture.
    goal : Goal
    evaluations : int
        At most so many.

    Yields
    ------
    pixels : ndarray of uint8, shape (height, width, 3)
    logit : float
        Of its score.
    """
    entries, steps = _least_effective_first(original, pixels, goal.direction * gradient)
    bracket = Bracket(0, len(entries), goal.margin(logit), -goal.margin(original_logit))
    end_is_known = True  # without any change it is the original
    for number in range(evaluations):
        if goal.violation(logit) == 0 or not len(entries):
            return
        count = bracket.propose(goal.middle, bisect=number % 4 == 3) if end_is_known else bracket.high
        end_is_known = True
        trial = _without(pixels, entries[:count], steps[:count])
        logit = scorer.logit(trial)
        yield trial, logit
        bracket.narrow(count, goal.margin(logit))
        if bracket.closed:
            pixels = _without(pixels, entries[: bracket.low], steps[: bracket.low])
            entries, steps = entries[bracket.high :], steps[bracket.high :]
            bracket = Bracket(0, len(entries), bracket.margin, -goal.margin(original_logit))
            end_is_known = False  # the change that made the difference stays


def _least_effective_first(
    original: np.ndarray, pixels: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """All changes by one grey level, flat indices and +1 or -1: those first that do least for their squared error."""
    entries, levels, steps = unit_changes(original, pixels)
    order = np.argsort(gradient.ravel()[entries] * steps / (2 * levels - 1), kind="stable")
    return entries[order], steps[order]


def _without(pixels: np.ndarray, entries: np.ndarray, steps: np.ndarray) -> np.ndarray:
    values = pixels.astype(int)
    np.subtract.at(values.ravel(), entries, steps)
    return values.astype(np.uint8)


def greedy_correction(
    scorer: PixelScorer, original: np.ndarray, pixels: np.ndarray, goal: Goal, evaluations: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Take back single changes whose effect is predicted, until the score is within a tight tolerance.

    What a change does to JPEG's coefficients is computed, and what they do to the logit follows from the
    gradient. What that leaves out are mostly the roundings of the decoded pixels, so changes are preferred in
    MCUs where these matter little. A change that brings the score closer is kept, and all are predicted anew.

    Parameters
    ----------
    scorer : PixelScorer
        At 256x256, so that JPEG sees the picture's own pixels.
    original, pixels : ndarray of uint8, shape (256, 256, 3)
        `pixels` is close to the goal, on either side.
    goal : Goal
    evaluations : int
        At most so many.

    Yields
    ------
    pixels : ndarray of uint8, shape (256, 256, 3)
    logit : float
        Of its score.
    """
    grid = McuGrid(PILLOWS_JPEG, original.shape[:2])
    before, trial, offset = grid.cut(original).astype(np.int16), pixels, math.inf
    proposals: Iterator[tuple[int, np.ndarray]] = iter(())
    for _ in range(evaluations):
        logit, gradient = scorer.logit_and_decoded_gradient(trial)
        yield trial, logit
        if goal.violation(logit) == 0:
            return
        if abs(goal.offset(logit)) < abs(offset):
            accepted, offset = grid.cut(trial).astype(np.int16), goal.offset(logit)
            proposals = _proposals(grid, before, accepted, goal.direction * gradient, offset)
        proposal = next(proposals, None)
        if proposal is None:
            return
        mcu, values = proposal
        corrected = accepted.copy()
        corrected[mcu] = values
        trial = grid.join(corrected).astype(np.uint8)


def _proposals(
    grid: McuGrid, before: np.ndarray, after: np.ndarray, gradient: np.ndarray, offset: float
) -> Iterator[tuple[int, np.ndarray]]:
    """MCUs and their values with one change taken back: least predicted error first, each effect once."""
    if np.array_equal(before, after):
        return  # nothing is left to take back
    mcus, variants, effects, errors = _predicted_effects(grid, before, after, gradient)
    tried = set()
    for chosen in np.argsort(np.hypot(effects + offset, errors), kind="stable"):
        if effects[chosen] not in tried:
            tried.add(effects[chosen])
            yield mcus[chosen], variants[chosen]


def _predicted_effects(
    grid: McuGrid, before: np.ndarray, after: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """MCUs, their values with one change taken back, how the logit changes, and the standard error of that."""
    luma, chroma = grid.jpeg.decoding_vjp(gradient)
    luma_steps, chroma_steps = (np.tile(steps, (256 // BLOCK, 256 // BLOCK)) for steps in grid.jpeg.steps)
    half = chroma.shape[1]
    per_step = grid.cut_coefficients((luma * luma_steps, chroma * chroma_steps[:half, :half]))
    entries, steps = changes_in_order(before, after, np.zeros(before.shape))
    mcus, items = np.nonzero(steps[:, :VARIANTS])
    variants = after[mcus]
    variants[np.arange(len(mcus)), entries[mcus, items]] -= steps[mcus, items].astype(np.int16)
    changes = grid.quantised_coefficients(variants) - grid.quantised_coefficients(after)[mcus]
    effects = (changes * per_step[mcus]).sum(1)
    rounding = np.sqrt(1 / 12) / 2  # a luminance coefficient touches a quarter of the MCU
    errors = rounding * np.linalg.norm(grid.cut_coefficients((luma, chroma)), axis=1)
    return mcus, variants, effects, errors[mcus]
