"""Inverse scoring: the smallest change of a picture that gives it the score you ask for.

The scorer resizes and JPEG-compresses before it looks, which destroys naive changes. Here every step is
computed as Pillow computes it, and its gradient is known (`nsfw_experiments.pillow.preprocessing`), so the search sees
the real score at each step. A plain attack has four parts: a gradient search that crosses the goal
(`nsfw_experiments.inverse.search.search`), pruning what JPEG does not show (`nsfw_experiments.inverse.prune.prune`),
a boundary search that takes back a little more until the score is at its target
(`nsfw_experiments.inverse.search.boundary_search`), and, where the tolerance is tight, a greedy correction by single
changes (`nsfw_experiments.inverse.search.greedy_correction`). The robust attack is that of
`nsfw_experiments.inverse.eot`.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
from PIL import Image

from nsfw_experiments.image_metrics import psnr, ssim
from nsfw_experiments.inverse.appearance import Appearance
from nsfw_experiments.inverse.eot import eot_attack, robustness_grid
from nsfw_experiments.inverse.prune import prune
from nsfw_experiments.inverse.record import Record, Step
from nsfw_experiments.inverse.search import (
    FAR_EXPONENT,
    NEAR_EXPONENT,
    TIGHT,
    Goal,
    PixelScorer,
    Progress,
    boundary_search,
    greedy_correction,
    search,
)
from nsfw_experiments.inverse.target import check_target, check_tolerance
from nsfw_experiments.pillow.preprocessing import preprocessing
from nsfw_model.checks import check_whole
from nsfw_model.logit import score_of
from nsfw_model.picture import open_picture
from nsfw_model.preprocess import RESIZED, Picture, PictureError, read_picture
from nsfw_model.scorer import Scorer
from open_nsfw import get_scorer, nsfw_score, prepare

#: Limits of the full-resolution mode: smaller pictures have no room for an invisible change, larger ones take
#: gigabytes and minutes.
SMALLEST_SIDE, LARGEST_AREA = 64, 16_000_000
#: Evaluations of the boundary search before the greedy correction, and of that without any that comes closer.
BOUNDARY_FIRST, GREEDY_IN_VAIN = 6, 6
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
    callback: Callable[[Step], None] | None = None,
    scorer: Scorer | None = None,
    watch: Callable[[Step], None] | None = None,
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
        A budget of network evaluations, of which as many as are useful are spent. Each picture that the network is
        given counts as one, with or without its gradient, whatever part of the search it belongs to; the original is
        the first. In robust mode it is the number of gradient steps, each of which evaluates several transformed
        pictures; verifying the result on the robustness grid comes on top. `Record.evaluations` counts all.
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
    callback : callable, optional
        Called with a `Step` after each evaluation; see `nsfw_experiments.inverse.callbacks`.
    scorer : nsfw_model.scorer.Scorer, optional
        Instead of the published network.
    watch : callable, optional
        Deprecated: the old name of `callback`.

    Returns
    -------
    picture : PIL.Image.Image
        To be saved without loss (PNG). It is transparent where the source was, and its `info` has the source's
        orientation and colour profile: ``picture.save("result.png", **Appearance.of(image).saving())`` looks as the
        source did.
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
    if watch is not None:
        warnings.warn("inverse: watch is now callback", DeprecationWarning, stacklevel=2)
        callback = callback or watch
    target = check_target(target)
    check_tolerance(tolerance)
    check_whole("iterations", iterations, least=1)
    check_whole("seed", seed, least=0)
    source = open_picture(image)  # once, for its pixels and for what else it has
    original, appearance = read_pixels(source, full_resolution, robust), Appearance.of(source)
    used = scorer or get_scorer()
    pixel_scorer = PixelScorer(used, preprocessing(original.shape[:2], used.input_size))
    progress = Progress(original, pixel_scorer, callback)
    interrupted = False
    try:
        logit, gradient = pixel_scorer.logit_and_gradient(original, FAR_EXPONENT)
        goal = Goal.between(score_of(logit), target, tolerance)
        if robust:
            _attack_robustly(progress, goal, logit, iterations, seed)
        elif abs(score_of(logit) - target) <= tolerance:
            progress.note(original, logit)
        else:
            _attack(progress, goal, logit, gradient, iterations)
    except KeyboardInterrupt:
        interrupted = True  # the best so far is the result
    pixels = progress.pixels if robust else _pruned(original, progress.pixels)
    record = _record(progress, pixels, target, tolerance, robust, iterations, scorer)
    return appearance.put_on(Image.fromarray(pixels)), replace(record, interrupted=interrupted)


def _attack_robustly(progress: Progress, goal: Goal, logit: float, iterations: int, seed: int) -> None:
    progress.rank = goal.robust
    progress.note(progress.original, logit, verified=False)
    for pixels, worst, verified in eot_attack(progress.scorer, progress.original, goal, iterations, seed):
        progress.note(pixels, worst, verified)


def _attack(progress: Progress, goal: Goal, logit: float, gradient: np.ndarray, iterations: int) -> None:
    """Cross the goal, given the original's logit and gradient; then hit it, if the tolerance is not wide anyway."""
    original, scorer = progress.original, progress.scorer
    # A wide tolerance is hit by crossing the goal, or nearly so.
    reserved = 0 if goal.upper_tolerance == math.inf else 4 if goal.upper_tolerance > TIGHT else 16
    reserved = min(reserved, iterations // 3)
    progress.rank = goal.crossing
    closest = progress.note(original, logit)
    for pixels, crossing_logit in search(scorer, original, goal, gradient, iterations - reserved - 1):
        closest = min(progress.note(pixels, crossing_logit), closest, key=goal.on_target)
    if not progress.met or not reserved:
        return
    _hit(progress, goal, logit, reserved)
    progress.reconsider(closest)


def _hit(progress: Progress, goal: Goal, original_logit: float, evaluations: int) -> None:
    """Take the best crossing back until its score is within tolerance."""
    original, scorer = progress.original, progress.scorer
    last = scorer.evaluations + evaluations
    pixels = _pruned(original, progress.pixels)
    logit, gradient = scorer.logit_and_gradient(pixels, NEAR_EXPONENT)
    progress.rank = goal.on_target
    progress.note(pixels, logit)
    correctable = goal.lower_tolerance > 0 and _is_resized(original)
    boundary = boundary_search(scorer, original, original_logit, pixels, logit, gradient, goal, evaluations - 1)
    for trial in islice(boundary, BOUNDARY_FIRST if correctable else None):
        progress.note(*trial)
    if correctable and not progress.met:
        in_vain, closest = 0, math.inf
        for pixels, logit in greedy_correction(scorer, original, progress.pixels, goal, last - scorer.evaluations):
            progress.note(pixels, logit)
            in_vain += 1
            if abs(goal.offset(logit)) < closest:
                in_vain, closest = 0, abs(goal.offset(logit))
            if in_vain == GREEDY_IN_VAIN:
                break
        # What is left belongs to the search that always comes closer in the end
        for trial in islice(boundary, max(last - scorer.evaluations, 0) if not progress.met else 0):
            progress.note(*trial)


def _pruned(original: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    # At other sizes JPEG does not see these pixels but resized ones.
    return prune(original, pixels) if _is_resized(original) else pixels


def _is_resized(pixels: np.ndarray) -> bool:
    return pixels.shape[:2] == RESIZED[::-1]


def read_pixels(image: Picture, full_resolution: bool, robust: bool = False) -> np.ndarray:
    """Read the picture that is going to be changed.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        See `open_nsfw.read_picture`.
    full_resolution : bool
        Keep the picture's own size.
    robust : bool
        For a robust attack, which takes more memory.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        256x256 pixels, or as many as the picture has.

    Raises
    ------
    PictureError
        If it cannot be read, or its size is not one for its mode.

    Examples
    --------
    >>> read_pixels("img/coffee.jpg", full_resolution=False).shape
    (256, 256, 3)
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


def _record(
    progress: Progress,
    pixels: np.ndarray,
    target: float,
    tolerance: float,
    robust: bool,
    iterations: int,
    scorer: Scorer | None,
) -> Record:
    original = progress.original
    start, final = (_score_of_file(values, scorer) for values in (original, pixels))
    difference = pixels.astype(int) - original
    return Record(
        target=target,
        tolerance=tolerance,
        start_score=start,
        final_score=final,
        iterations=iterations,
        evaluations=progress.scorer.evaluations,
        first_reached=progress.first_reached,
        l2=float(np.linalg.norm(difference)),
        linf=int(np.abs(difference).max()),
        psnr=psnr(original, pixels),
        ssim=ssim(original, pixels),
        mean_shift=float(difference.mean()),
        robustness_grid=robustness_grid(pixels, scorer) if robust else None,
        history=progress.history,
    )


def _score_of_file(pixels: np.ndarray, scorer: Scorer | None) -> float:
    """The score of the picture as a PNG file, on the way every file takes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    if scorer is None:
        return nsfw_score(file.getvalue())
    return float(scorer.scores(prepare(file.getvalue(), scorer.input_size)[None])[0])
