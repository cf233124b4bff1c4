"""Inverse scoring: the smallest change of a picture that gives it the score you ask for.

The scorer resizes and JPEG-compresses before it looks, which destroys naive changes. Here every step is
computed as Pillow computes it, and its gradient is known (`nsfw_experiments.pillow.preprocessing`), so the search sees
the real score at each step. It has four parts: a gradient search (`nsfw_experiments.inverse.search.search`), taking
back what JPEG does not show (`nsfw_experiments.inverse.prune.spare`), taking back a little more until the score is at
its target (`nsfw_experiments.inverse.search.settle`), and, where the tolerance is tight, taking back single changes
whose effect is predicted (`nsfw_experiments.inverse.search.adjust`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from nsfw_model.logit import score_of
from nsfw_experiments.pillow.preprocessing import preprocessing
from nsfw_experiments.inverse.record import Record, Step
from nsfw_experiments.inverse.eot import robust_search, survival
from nsfw_experiments.inverse.search import (
    FAR_WEIGHTING,
    NEAR_WEIGHTING,
    TIGHT,
    Goal,
    Network,
    adjust,
    search,
    settle,
)
from nsfw_experiments.image_metrics import psnr, ssim
from nsfw_experiments.inverse.target import check_target, check_tolerance
from nsfw_model.checks import check_whole
from nsfw_experiments.inverse.prune import spare
from nsfw_model.preprocess import RESIZED, Picture, PictureError, read_picture
from open_nsfw import get_scorer, nsfw_score, prepare

#: Limits of the full-resolution mode: smaller pictures have no room for an invisible change, larger ones take
#: gigabytes and minutes.
SMALLEST_SIDE, LARGEST_AREA = 64, 16_000_000
#: In robust mode each evaluation is of several pictures, and all candidates are kept until the end.
LARGEST_ROBUST_AREA = 2_000_000


def inverse(
    image: Picture,
    target: float | str,
    *,
    iterations: int = 100,
    tolerance: float = 0.01,
    full_resolution: bool = False,
    robust: bool = False,
    seed: int = 0,
    watch: Callable[[Step], None] | None = None,
    scorer=None,
) -> tuple[Image.Image, Record]:
    """Change a picture as little as possible so that its score becomes `target`.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        See `open_nsfw.read_picture`.
    target : float or {"sfw", "nsfw"}
        The score wanted, in 0..1; the names stand for 0 and 1. A target closer than the tolerance to 0 or 1
        is aimed at from the tolerance.
    iterations : int
        Evaluations of the network to spend; in robust mode each is of several transformed pictures.
    tolerance : float
        How far the final score may be from the target. As long as there is room (more than 0.2 in logits),
        the result lies beyond the target, as seen from the start: 0.98 +-0.01 gives at least 0.98 when the
        score has to rise.
    full_resolution : bool
        Keep the picture's own size. Otherwise the result is 256x256, where the scorer has nothing left to
        resize.
    robust : bool
        Make the change survive JPEG, scaling and mirroring, see `nsfw_experiments.inverse.eot`. The target is then
        a bound: all scores reach it or pass it.
    seed : int
        Of the transformations that robust mode draws; nothing else is random.
    watch : callable, optional
        Called with a `Step` after each evaluation; see `nsfw_experiments.inverse.callbacks`.
    scorer : nsfw_model.scorer.Scorer, optional
        Instead of the published network.

    Returns
    -------
    picture : PIL.Image.Image
        To be saved without loss (PNG).
    record : Record

    Raises
    ------
    ValueError
        If the target, the tolerance, the number of iterations or the seed makes no sense.
    PictureError
        If the picture cannot be read, or is too small or too large for its mode.

    Notes
    -----
    Ctrl-C (KeyboardInterrupt) ends the search early; the best picture so far is returned.

    Examples
    --------
    >>> picture, record = inverse("img/coffee.jpg", 0.5, iterations=30)
    >>> picture.size, round(record.start_score, 2), round(record.final_score, 1), record.psnr > 50
    ((256, 256), 0.01, 0.5, True)
    """
    target = check_target(target)
    check_tolerance(tolerance)
    check_whole("iterations", iterations, least=1)
    check_whole("seed", seed, least=0)
    original = read_pixels(image, full_resolution, robust)
    network = Network(scorer or get_scorer(), preprocessing(original.shape[:2]))
    progress = _Progress(original, network, watch)
    try:
        logit, gradient = network.logit_and_gradient(original, FAR_WEIGHTING)
        goal = Goal.between(score_of(logit), target, tolerance)
        met = abs(score_of(logit) - target) <= tolerance and not robust
        # Robust mode knows the untransformed original only: any candidate is better than that.
        progress.note(original, logit, 0.0 if met else math.inf if robust else goal.badness(logit))
        if met:
            pass
        elif robust:
            for pixels, worst, verified in robust_search(network, original, goal, iterations, seed):
                shortfall = max(-goal.excess(worst), 0.0)
                # In 0..1 on the whole grid, by how much is missing; from 1 on a few transformations only.
                progress.note(pixels, worst, 1 - 1 / (1 + shortfall) if verified else 1.0 + shortfall)
        else:
            _search_and_settle(network, progress, original, logit, gradient, goal, iterations)
    except KeyboardInterrupt:
        pass
    pixels = progress.best if robust else _spared(original, progress.best)
    record = _record(original, pixels, target, tolerance, robust, iterations, progress, scorer)
    return Image.fromarray(pixels), record


def _search_and_settle(network, progress, original, original_logit, gradient, goal, iterations):
    # A wide tolerance is hit without settling, or nearly so.
    settling = 0 if goal.slack == math.inf else 4 if goal.slack > TIGHT else 16
    settling = min(settling, iterations // 3)
    hit = None
    for pixels, logit in search(network, original, goal, gradient, iterations - settling - 1):
        progress.note(pixels, logit, max(-goal.excess(logit), 0.0))
        if goal.badness(logit) == 0:
            hit = pixels, logit
    if progress.best_badness > 0 or not settling:
        return
    last = network.evaluations + settling
    pixels = _spared(original, progress.best)
    logit, gradient = network.logit_and_gradient(pixels, NEAR_WEIGHTING)
    progress.forget_best()  # now it counts how close the score is
    progress.note(pixels, logit, goal.badness(logit))
    adjustable = goal.shy > 0 and original.shape[:2] == RESIZED[::-1]
    most = min(6, settling - 1) if adjustable else settling - 1
    for trial, trial_logit in settle(network, original, original_logit, pixels, logit, gradient, goal, most):
        progress.note(trial, trial_logit, goal.badness(trial_logit))
    if adjustable and progress.best_badness > 0:
        for trial, trial_logit in adjust(network, original, progress.best, goal, last - network.evaluations):
            progress.note(trial, trial_logit, goal.badness(trial_logit))
    if progress.best_badness > 0 and hit is not None:
        progress.note(*hit, badness=0.0)


def _spared(original, pixels):
    # At other sizes JPEG does not see these pixels but resized ones.
    return spare(original, pixels) if original.shape[:2] == RESIZED[::-1] else pixels


class _Progress:
    """The history of a search, and the best picture in it: the closest of those that miss the goal least.

    The history has the pixels of the original and of the best step only; those of all would take gigabytes.
    """

    def __init__(self, original, network, watch):
        self.original, self.network, self.watch = original, network, watch
        self.history: list[Step] = []
        self.best, self.best_badness, self.best_psnr = original, math.inf, math.inf
        self.first_reached = None
        self._best_step = 0

    def forget_best(self):
        self.best_badness, self.best_psnr = math.inf, math.inf

    def note(self, pixels, logit, badness):
        distance = psnr(self.original, pixels)
        improved = badness < self.best_badness or (badness == self.best_badness and distance >= self.best_psnr)
        if improved:
            self.best, self.best_badness, self.best_psnr = pixels, badness, distance
        if badness == 0 and self.first_reached is None:
            self.first_reached = self.network.evaluations
        best_psnr = self.best_psnr if self.best_badness == 0 else None
        step = Step(self.network.evaluations, score_of(logit), distance, best_psnr, pixels)
        self._remember(step, improved)
        if self.watch:
            self.watch(step)

    def _remember(self, step, improved):
        if improved:
            if self._best_step:
                self.history[self._best_step] = replace(self.history[self._best_step], pixels=None)
            self._best_step = len(self.history)
        self.history.append(step if improved or not self.history else replace(step, pixels=None))


def read_pixels(image: Picture, full_resolution: bool, robust: bool = False) -> np.ndarray:
    """Read the picture that is going to be changed.

    Returns
    -------
    ndarray of uint8, shape (256, 256, 3), or of the picture's own size in full resolution

    Raises
    ------
    PictureError
        If it cannot be read, or its size is not one for its mode.
    """
    picture = read_picture(image)
    if not full_resolution:
        return np.asarray(picture.resize(RESIZED, Image.Resampling.BILINEAR))
    width, height = picture.size
    largest = LARGEST_ROBUST_AREA if robust else LARGEST_AREA
    if min(width, height) < SMALLEST_SIDE or width * height > largest:
        raise PictureError(
            f"full resolution{', robust' if robust else ''}: got a picture of {width}x{height},"
            f" expected sides of at least {SMALLEST_SIDE} and at most {largest} pixels"
        )
    return np.asarray(picture)


def _record(original, pixels, target, tolerance, robust, iterations, progress, scorer):
    start, final = (_score_of_file(values, scorer) for values in (original, pixels))
    difference = pixels.astype(int) - original
    return Record(
        target=target,
        tolerance=tolerance,
        start_score=start,
        final_score=final,
        iterations=iterations,
        evaluations=progress.network.evaluations,
        first_reached=progress.first_reached,
        l2=float(np.linalg.norm(difference)),
        linf=int(np.abs(difference).max()),
        psnr=psnr(original, pixels),
        ssim=ssim(original, pixels),
        mean_shift=float(difference.mean()),
        survival=survival(pixels, scorer) if robust else None,
        history=progress.history,
    )


def _score_of_file(pixels, scorer):
    """The score of the picture as a PNG file, on the way every file takes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    if scorer is None:
        return nsfw_score(file.getvalue())
    return float(scorer.scores(prepare(file.getvalue())[None])[0])
