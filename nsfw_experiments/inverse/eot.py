"""The EOT attack: changes that survive what happens to pictures on their way, from JPEG to a crop.

A change that `nsfw_experiments.inverse.search` finds is tied to one exact pipeline; saving the picture again undoes
it. Here the gradient is averaged over transformations drawn anew in every step (expectation over transformation [1]_),
each followed by the scorer's preprocessing and each with its exact forward and its gradient. What is drawn are the
families of `nsfw_experiments.inverse.families`. A result is judged by its scores after every one of a fixed set of
transformations: the robustness grid (JPEG, scaling, mirroring), and what else the families require. Where they require
more than the grid, it is the average of the last steps' changes that is tried on them, in which the noise of what was
drawn cancels out (iterate averaging [2]_), at smaller and smaller scales.

References
----------
.. [1] Anish Athalye, Logan Engstrom, Andrew Ilyas, Kevin Kwok, "Synthesizing robust adversarial examples", ICML 2018,
   arXiv:1707.07397.
.. [2] B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control
   and Optimization 30, 1992.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from nsfw_experiments.image_metrics import norm_of_psnr, psnr
from nsfw_experiments.inverse.families import Batches, required
from nsfw_experiments.inverse.search import Goal, PixelScorer, rounded
from nsfw_experiments.inverse.target import CLASSIC
from nsfw_experiments.inverse.wild import scores_through, wild_scores
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.preprocessing import HorizontalFlip, JpegRoundTrip, Pipeline, Transform, resizing
from nsfw_model.logit import logit_of, score_of
from nsfw_model.preprocess import CROPPED, RESIZED
from nsfw_model.scorer import Scorer
from open_nsfw import get_scorer
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(
    __name__,
    {
        "robust_search": f"{__name__}:eot_attack",
        "survival": f"{__name__}:robustness_grid",
        "survival_table": f"{__name__}:robustness_table",
        "DRAWN_QUALITIES": "nsfw_experiments.inverse.families:DRAWN_QUALITIES",
        "DRAWN_SCALES": "nsfw_experiments.inverse.families:DRAWN_SCALES",
    },
)

#: What a result has to survive, and what the robustness grid shows besides.
QUALITIES, SCALES, MIRRORED = (50, 60, 70, 80, 90, 95), (0.75, 1.0, 1.5, 2.0), (False, True)
SHOWN_SCALE = 0.5

#: Transformations that are drawn in each step.
BATCH = 4
FIRST_PSNR, LOWEST_PSNR = 42.0, 37.0
#: In logits, by which each transformed picture should pass the goal.
MARGIN = 2.0
STEP, MOMENTUM, NORM_CHANGE = 0.25, 0.75, 0.02
#: The last part of the steps, whose changes are averaged; between which scales the average is tried, and how often.
AVERAGED, SMALLEST_SCALE, LARGEST_SCALE, SCALINGS = 0.1, 0.5, 1.25, 7


#: PSNR in dB, the worst margin over the transformations drawn, and the pixels.
_Candidate = tuple[float, float, np.ndarray]


@dataclass(frozen=True, order=True)
class Transformation:
    """Scaled, mirrored, saved as JPEG.

    Attributes
    ----------
    quality : int
        1..95.
    scale : float
    mirrored : bool

    Examples
    --------
    >>> print(Transformation(75, 0.5, mirrored=True))
    q75 x0.5 mirrored
    """

    quality: int
    scale: float = 1.0
    mirrored: bool = False

    def __str__(self) -> str:
        return f"q{self.quality} x{self.scale:g}{' mirrored' if self.mirrored else ''}"

    @property
    def required(self) -> bool:
        """Whether a result has to survive this; the robustness grid shows smaller scales too."""
        return self.scale >= SCALES[0]

    @property
    def families(self) -> set[str]:
        """Names of the `nsfw_experiments.inverse.families` that this is made of."""
        return {"jpeg", *(["scale"] if self.scale != 1 else []), *(["mirror"] if self.mirrored else [])}

    @property
    def demanded(self) -> bool:
        """Deprecated: `required`."""
        warnings.warn("Transformation.demanded is now Transformation.required", DeprecationWarning, stacklevel=2)
        return self.required

    def pipeline(self, size: tuple[int, ...], cropped: tuple[int, int] = CROPPED) -> Pipeline:
        """Give the way of a picture through the transformation and the scorer's preprocessing.

        Parameters
        ----------
        size : (int, int)
            Height and width of the picture.
        cropped : (int, int)
            As for `Pipeline`.

        Returns
        -------
        Pipeline
        """
        height, width = (max(round(side * self.scale), 1) for side in size)
        flip: list[Transform] = [HorizontalFlip()] if self.mirrored else []
        return Pipeline(
            [
                *resizing(size, (height, width)),
                *flip,
                JpegRoundTrip(Jpeg(self.quality)),
                *resizing((height, width), RESIZED[::-1]),
                JpegRoundTrip(),
            ],
            cropped,
        )


#: What a result has to survive, and what is shown besides.
GRID = tuple(Transformation(*values) for values in product(QUALITIES, SCALES, MIRRORED))
SHOWN = tuple(Transformation(*values) for values in product(QUALITIES, [SHOWN_SCALE], MIRRORED))


def grid_of(families: Sequence[str]) -> tuple[Transformation, ...]:
    """Give the part of the robustness grid that is made of some families.

    Parameters
    ----------
    families : sequence of str
        Names of `nsfw_experiments.inverse.families.FAMILIES`.

    Returns
    -------
    tuple of Transformation
        Of `SHOWN` and `GRID`.

    Examples
    --------
    >>> len(grid_of(("jpeg", "scale", "mirror"))), *map(str, grid_of(("jpeg", "crop"))[:2])
    (60, 'q50 x1', 'q60 x1')
    """
    return tuple(each for each in (*SHOWN, *GRID) if each.families <= set(families))


def robustness_grid(
    pixels: np.ndarray, scorer: Scorer | None = None, grid: Sequence[Transformation] | None = None
) -> dict[Transformation, float]:
    """Score a picture after each transformation.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    scorer : nsfw_model.scorer.Scorer, optional
    grid : sequence of Transformation, optional
        Left out: `SHOWN` and `GRID`.

    Returns
    -------
    dict of Transformation to float
        Scores in 0..1.

    Examples
    --------
    >>> from open_nsfw import resize_image
    >>> for transformation, score in robustness_grid(resize_image("img/coffee.jpg"), grid=[GRID[0]]).items():
    ...     print(transformation, round(score, 2))
    q50 x0.75 0.03
    """
    scorer = scorer or get_scorer()
    grid = (*SHOWN, *GRID) if grid is None else grid
    pipelines = (transformation.pipeline(pixels.shape[:2], scorer.input_size) for transformation in grid)
    return dict(zip(grid, scores_through(pipelines, pixels, scorer)))


def robustness_table(scores: dict[Transformation, float]) -> str:
    """Lay out a robustness grid: a row per quality, a column per scale, the lower of mirrored and not.

    Parameters
    ----------
    scores : dict of Transformation to float
        As `robustness_grid` gives them.

    Returns
    -------
    str
        Lines of text; below the table the lowest and the highest score of the required transformations.

    Examples
    --------
    >>> print(robustness_table({Transformation(50): 0.9, Transformation(95): 0.97}))
    quality        x1
         50    0.9000
         95    0.9700
    lowest 0.9000, highest 0.9700; a cell is the lower one of mirrored and not
    """
    qualities, scales = sorted({t.quality for t in scores}), sorted({t.scale for t in scores})
    lines = ["quality " + "".join(f"{f'x{scale:g}':>9}" for scale in scales)]
    for quality in qualities:
        cells = []
        for scale in scales:
            both = [score for t, score in scores.items() if (t.quality, t.scale) == (quality, scale)]
            cells.append(f"{min(both):.4f}" if both else "")
        lines.append(f"{quality:7} " + "".join(f"{cell:>9}" for cell in cells))
    required = [score for t, score in scores.items() if t.required]
    at = f" at x{SCALES[0]:g} and more" if len(required) < len(scores) else ""
    if required:
        lines.append(
            f"lowest {min(required):.4f}, highest {max(required):.4f}{at}; a cell is the lower one of mirrored and not"
        )
    return "\n".join(lines)


def eot_attack(
    scorer: PixelScorer,
    original: np.ndarray,
    goal: Goal,
    iterations: int,
    seed: int,
    start: np.ndarray | None = None,
    families: Sequence[str] = CLASSIC,
) -> Iterator[tuple[np.ndarray, float, bool]]:
    """Look for small changes that meet the goal after every transformation.

    Momentum steps along the gradient averaged over drawn transformations, weighted by how far each is from
    the goal; the difference's norm shrinks while all of them meet it with a margin. Afterwards the candidates are tried
    on all that is required, to find the smallest that passes. Where that is more than the robustness grid, the average
    of the last differences comes first, to find the smallest scale that passes, and candidates only if none does.

    Parameters
    ----------
    scorer : PixelScorer
        Its scorer is used and its evaluations are counted.
    original : ndarray of uint8, shape (height, width, 3)
    goal : Goal
    iterations : int
        Gradient steps.
    seed : int
        Of the transformations drawn.
    start : ndarray of uint8, shape (height, width, 3), optional
        A changed picture, to begin with instead of the original.
    families : sequence of str
        Names of `nsfw_experiments.inverse.families.FAMILIES`.

    Yields
    ------
    pixels : ndarray of uint8, shape (height, width, 3)
    logit : float
        The worst over the transformations that were tried.
    verified : bool
        Whether these were all that are required, or only a few drawn ones.
    """
    batches = Batches(families, BATCH, np.random.default_rng(seed))
    before = original.astype(np.float32)
    difference = np.zeros_like(before) if start is None else start - before
    momentum = np.zeros_like(before)
    norm, largest = (norm_of_psnr(decibels, original.size) for decibels in (FIRST_PSNR, LOWEST_PSNR))
    candidates: list[_Candidate] = []
    for number in range(iterations):
        pixels = rounded(before + difference)
        worst, gradient = _expected_gradient(scorer, pixels, goal, batches)
        if number or start is not None:
            candidates.append((psnr(original, pixels), worst, pixels))
            yield pixels, goal.logit + goal.direction * worst, False
        momentum = MOMENTUM * momentum + gradient / np.maximum(np.linalg.norm(gradient), 1e-30)
        step = STEP * norm * (1 - 0.9 * number / iterations)
        difference += step / np.maximum(np.linalg.norm(momentum), 1e-30) * momentum
        if number > iterations // 3:
            norm = min(norm * (1 - NORM_CHANGE if worst > MARGIN else 1 + NORM_CHANGE), largest)
        difference *= min(norm / np.maximum(np.linalg.norm(difference), 1e-30), 1.0)
        difference = np.clip(before + difference, 0, 255) - before
    passed = False
    if candidates and required(families):
        averaged = candidates[-max(round(AVERAGED * len(candidates)), 1) :]
        change = np.mean([pixels - before for *_, pixels in averaged], axis=0)
        passed = yield from _smallest_scaled(scorer, before, change, goal, families)
    if not passed:
        yield from _smallest_robust(scorer, candidates, goal, families)


def _expected_gradient(
    scorer: PixelScorer, pixels: np.ndarray, goal: Goal, batches: Batches
) -> tuple[float, np.ndarray]:
    """The smallest margin over the goal, and the gradient towards it, over a few drawn transformations."""
    drawn = batches.draw()
    pipelines = [composition.pipeline(scorer.scorer.input_size) for composition in drawn]
    inputs, residuals = zip(*(pipeline.forward(pixels) for pipeline in pipelines))
    logits, gradients = scorer.scorer.logits_and_gradients(np.stack(inputs))
    scorer.evaluations += len(drawn)
    margins = [goal.margin(float(logit)) for logit in logits]
    total = np.zeros(pixels.shape, np.float32)
    for pipeline, residual, gradient, margin in zip(pipelines, residuals, gradients, margins):
        # Roundings are passed straight through: changes of this size are larger than JPEG's steps.
        weight = goal.direction * score_of(2 * MARGIN - margin)  # of log(sigmoid(margin - 2 * MARGIN))
        total += weight * pipeline.vjp(gradient, residual)
    return batches.note(margins), total


def verified_logit(scorer: PixelScorer, pixels: np.ndarray, goal: Goal, families: Sequence[str] = CLASSIC) -> float:
    """Give the logit of a picture's worst score over all that is required.

    Parameters
    ----------
    scorer : PixelScorer
        Its evaluations are counted.
    pixels : ndarray of uint8, shape (height, width, 3)
    goal : Goal
        Tells which score is the worst.
    families : sequence of str
        As for `eot_attack`.

    Returns
    -------
    float

    Examples
    --------
    >>> from nsfw_experiments.pillow.preprocessing import preprocessing
    >>> from open_nsfw import resize_image
    >>> scorer = PixelScorer(get_scorer(), preprocessing((256, 256)))
    >>> verified_logit(scorer, resize_image("img/coffee.jpg"), Goal.between(0.01, 0.9, 0.01)) < 0
    True
    """
    grid, others = [each for each in grid_of(families) if each.required], required(families)
    scores = [
        *robustness_grid(pixels, scorer.scorer, grid).values(),
        *wild_scores(pixels, scorer.scorer, others).values(),
    ]
    scorer.evaluations += len(grid) + len(others)
    return logit_of(min(scores) if goal.direction > 0 else max(scores))


def _smallest_scaled(
    scorer: PixelScorer, original: np.ndarray, change: np.ndarray, goal: Goal, families: Sequence[str] = CLASSIC
) -> Generator[tuple[np.ndarray, float, bool], None, bool]:
    """Bisect over the scales of a change for the smallest that all that is required leaves at the goal.

    Gives whether the largest is left there.
    """
    low, high = SMALLEST_SCALE, math.inf
    for _ in range(SCALINGS):
        scale = LARGEST_SCALE if high == math.inf else (low + high) / 2
        pixels = rounded(original + scale * change)
        logit = verified_logit(scorer, pixels, goal, families)
        yield pixels, logit, True
        if goal.margin(logit) >= 0:
            high = scale
        elif high == math.inf:
            return False
        else:
            low = scale
    return True


def _smallest_robust(
    scorer: PixelScorer, candidates: list[_Candidate], goal: Goal, families: Sequence[str] = CLASSIC
) -> Iterator[tuple[np.ndarray, float, bool]]:
    """Bisect over the candidates, sorted by size, for the smallest that all that is required leaves at the goal."""
    promising = sorted((c for c in candidates if c[1] >= 0), key=lambda candidate: -candidate[0])
    promising = promising or sorted(candidates, key=lambda candidate: -candidate[1])[:1]
    low, high = -1, len(promising)
    while high - low > 1:
        middle = (low + high + 1) // 2
        pixels = promising[middle][2]
        logit = verified_logit(scorer, pixels, goal, families)
        yield pixels, logit, True
        if goal.margin(logit) >= 0:
            high = middle
        else:
            low = middle
