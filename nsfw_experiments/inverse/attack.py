"""Inverse scoring: the smallest change of a picture that gives it the score you ask for.

The scorer resizes and JPEG-compresses before it looks, which destroys naive changes. Here every step is
computed as Pillow computes it, and its gradient is known (`nsfw_experiments.pillow.preprocessing`), so the search sees
the real score at each step. A plain attack has four parts: a gradient search that crosses the goal
(`nsfw_experiments.inverse.search.search`), pruning what JPEG does not show (`nsfw_experiments.inverse.prune.prune`),
a boundary search that takes back a little more until the score is at its target
(`nsfw_experiments.inverse.search.boundary_search`), and, where the tolerance is tight, a greedy correction by single
changes (`nsfw_experiments.inverse.search.greedy_correction`). The robust attack is that of
`nsfw_experiments.inverse.eot`. An `Inversion` is such an attack evaluation by evaluation, `inverse` the whole of it.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from inspect import GEN_CLOSED, getgeneratorstate
from itertools import islice

import numpy as np
from PIL import Image

from nsfw_experiments.display import figures, never_raises, png
from nsfw_experiments.image_metrics import psnr, ssim
from nsfw_experiments.inverse.appearance import opened_with_appearance
from nsfw_experiments.inverse.comparison import comparison
from nsfw_experiments.inverse.eot import Transformation, eot_attack, grid_of, robustness_grid, verified_logit
from nsfw_experiments.inverse.prune import prune
from nsfw_experiments.inverse.record import Record, Step
from nsfw_experiments.inverse.search import (
    FAR_EXPONENT,
    NEAR_EXPONENT,
    TIGHT,
    Candidate,
    Evidence,
    Goal,
    PixelScorer,
    Progress,
    advance,
    best_of,
    boundary_search,
    greedy_correction,
    search,
)
from nsfw_experiments.inverse.target import check_robust, check_scorer, check_target, check_tolerance
from nsfw_experiments.inverse.wild import compositions, wild_scores
from nsfw_experiments.pillow.preprocessing import preprocessing
from nsfw_model.checks import check_whole
from nsfw_model.logit import score_of
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
    robust: bool | str | Sequence[str] = False,
    seed: int = 0,
    callback: Callable[[Step], None] | None = None,
    scorer: Scorer | None = None,
    start_from: Picture | Inversion | None = None,
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
    robust : bool, str or sequence of str
        Make the change survive what happens to pictures, see `nsfw_experiments.inverse.eot`. The target is then a
        bound: all scores reach it or pass it. True for all of `nsfw_experiments.inverse.target.FAMILIES`; the names
        of some, as ``("jpeg", "crop")`` or ``"jpeg,crop"``; "classic" for JPEG, scaling and mirroring only.
    seed : int
        Of the transformations that robust mode draws; nothing else is random.
    callback : callable, optional
        Called with a `Step` after each evaluation; see `nsfw_experiments.inverse.callbacks`.
    scorer : nsfw_model.scorer.Scorer, optional
        Instead of the published network.
    start_from : picture or Inversion, optional
        An earlier result for the same picture, see `Inversion`.
    watch : callable, optional
        Deprecated: the old name of `callback`.

    Returns
    -------
    picture : PIL.Image.Image
        To be saved without loss (PNG). It is transparent where the source was, and its `info` has the source's
        orientation and a profile of its colours: ``picture.save("result.png", **Appearance.of(image).saving())`` looks
        as the source did, unless ``Appearance.of(image).unkept`` says what cannot be kept.
    record : Record

    Raises
    ------
    ValueError
        If the target, the tolerance, the number of iterations, the seed or what to start from makes no sense.
    TypeError
        If the scorer is none.
    PictureError
        If the picture cannot be read, or is too small or too large for its mode.

    Notes
    -----
    Whatever ends the search, Ctrl-C (KeyboardInterrupt) or its last iteration, the picture closest to the target is
    returned; of those within tolerance, the one with the smallest change; the original, where nothing came closer.

    Examples
    --------
    >>> picture, record = inverse("img/coffee.jpg", 0.5, iterations=30)
    >>> picture.size, round(record.start_score, 2), round(record.final_score, 1), record.psnr > 50
    ((256, 256), 0.01, 0.5, True)
    """
    if watch is not None:
        warnings.warn("inverse: watch is now callback", DeprecationWarning, stacklevel=2)
        callback = callback or watch
    inversion = Inversion(
        image,
        target,
        iterations=iterations,
        tolerance=tolerance,
        full_resolution=full_resolution,
        robust=robust,
        seed=seed,
        scorer=scorer,
        start_from=start_from,
    )
    try:
        inversion.run(*([callback] if callback else []))
        return inversion.result()
    except KeyboardInterrupt:  # while the record was made
        return inversion.result()


class Inversion:
    """The search that `inverse` makes, which can be stepped, stopped, looked at and gone on with.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
    target : float or {"sfw", "nsfw"}
    iterations : int
    tolerance : float
    full_resolution : bool
    robust : bool, str or sequence of str
    seed : int
    scorer : nsfw_model.scorer.Scorer, optional
        All as for `inverse`.
    start_from : picture or Inversion, optional
        An earlier result for the same picture, of the same size. What it has changed is where the search begins, and
        it ends as soon as the score is within tolerance: a few evaluations, if the targets are neighbours. The change
        is still measured against the original. A start that is farther from the target than the original is not used.

    Attributes
    ----------
    target, tolerance : float
    iterations : int
    families : tuple of str
        What the change has to survive, see `nsfw_experiments.inverse.target.FAMILIES`; none in plain mode.
    robust : bool
        Whether there are any.
    original : ndarray of uint8, shape (height, width, 3)
        The pixels that are going to be changed.
    interrupted : bool
        Whether Ctrl-C or `stop` ended the last `run`.

    Raises
    ------
    ValueError, TypeError, PictureError
        As `inverse`.

    Examples
    --------
    >>> inversion = Inversion("img/coffee.jpg", 0.5, iterations=30)
    >>> for step in inversion.steps():
    ...     if step.score > 0.3:
    ...         inversion.stop()
    >>> inversion.best.score > 0.3
    True
    >>> inversion.run()                                                             # all the rest
    >>> picture, record = inversion.result()
    >>> record.reached
    True
    >>> slid = Inversion("img/coffee.jpg", 0.52, start_from=inversion)
    >>> slid.run()
    >>> slid.result()[1].reached, slid.evaluations < inversion.evaluations
    (True, True)
    """

    def __init__(
        self,
        image: Picture,
        target: float | str,
        *,
        iterations: int = 100,
        tolerance: float = 0.01,
        full_resolution: bool = False,
        robust: bool | str | Sequence[str] = False,
        seed: int = 0,
        scorer: Scorer | None = None,
        start_from: Picture | Inversion | None = None,
    ):
        self.target, self.tolerance = check_target(target), check_tolerance(tolerance)
        check_whole("iterations", iterations, least=1)
        check_whole("seed", seed, least=0)
        if scorer is not None:
            check_scorer(scorer)
        self.families = check_robust(robust)
        self.iterations, self.robust, self.interrupted = iterations, bool(self.families), False
        source, self._appearance = opened_with_appearance(image)  # once, for its pixels and for what else it has
        self.original = read_pixels(source, full_resolution, self.robust)
        self._start = None if start_from is None else _start_pixels(start_from, self.original.shape)
        self._seed, self._given_scorer = seed, scorer
        used = get_scorer() if scorer is None else scorer
        # Theano is imported now: no search could go on after an interrupt in the midst of that
        getattr(used, "output", None)
        self._scorer = PixelScorer(used, preprocessing(self.original.shape[:2], used.input_size))
        self._progress = Progress(self.original, self._scorer, self._excess, self._reaches)
        self._stopped = False
        self._candidates = self._search()

    @property
    def best(self) -> Candidate | None:
        """The picture closest to the target; of those within tolerance, the one with the smallest change.

        Its `pixels`, its `picture`, its `score` and its `psnr`; None before the first step.
        """
        return self._progress.best

    @property
    def evaluations(self) -> int:
        """How many pictures the network was given so far."""
        return self._scorer.evaluations

    @property
    def history(self) -> list[Step]:
        """The steps so far, see `Record`."""
        return self._progress.history

    def step(self) -> Step | None:
        """Evaluate one picture more; in robust mode some transformations of one.

        Returns
        -------
        Step or None
            None when the search is at its end.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C. The next step goes on from there; where the search itself was interrupted, from the best so
            far.
        """
        try:
            candidate = next(self._candidates, None)
        except BaseException:
            if getgeneratorstate(self._candidates) == GEN_CLOSED:  # it is ended by what was raised in it
                self._go_on_from(self.best)
            raise
        if self._scorer.interrupt:
            interrupt, self._scorer.interrupt = self._scorer.interrupt, None
            raise interrupt
        return None if candidate is None else self._progress.latest

    def _go_on_from(self, best: Candidate | None) -> None:
        if best is not None and best.psnr < math.inf:
            self._start = best.pixels
        self._candidates = self._search()

    def steps(self) -> Iterator[Step]:
        """Go on to the end, or until `stop` is called.

        Yields
        ------
        Step
            After each evaluation.
        """
        self._stopped = False
        yield from self._unless_stopped()

    def _unless_stopped(self) -> Iterator[Step]:
        while not self._stopped and (step := self.step()):
            yield step

    def run(self, *callbacks: Callable[[Step], object]) -> None:
        """Go on to the end, until Ctrl-C, or until `stop` is called.

        Parameters
        ----------
        *callbacks : callable
            Each is called with a `Step` after each evaluation; see `nsfw_experiments.inverse.callbacks`. One that has a
            method ``begin`` is called by that with this object before.
        """
        self.interrupted = self._stopped = False
        try:
            for begin in (callback.begin for callback in callbacks if hasattr(callback, "begin")):
                begin(self)
            for step in self._unless_stopped():
                for callback in callbacks:
                    callback(step)
            self.interrupted = self._stopped
        except KeyboardInterrupt:
            self.interrupted = True  # the best so far is the result

    def stop(self) -> None:
        """End `run` and `steps` after the present evaluation; may be called by a callback or another thread."""
        self._stopped = True

    def result(self) -> tuple[Image.Image, Record]:
        """Give the best picture so far and its record, as `inverse` does; in robust mode this takes a while.

        Returns
        -------
        picture : PIL.Image.Image
        record : Record
        """
        pixels = self.original if self.best is None else self.best.pixels
        if not self.robust:
            pixels = _pruned(self.original, pixels)
        return self._appearance.put_on(Image.fromarray(pixels)), self._record(pixels)

    def _excess(self, logit: float) -> float:
        """The distance from the target, 0 within tolerance; on the near side of a wide one, as much as that."""
        if self.robust:
            return self._goal.shortfall(logit)
        return max(abs(score_of(logit) - self.target), self.tolerance) if self._goal.violation(logit) else 0.0

    def _reaches(self, candidate: Candidate) -> bool:
        near = not self.robust and abs(candidate.score - self.target) <= self.tolerance
        return candidate.verified and (near or self._goal.margin(candidate.logit) >= 0)

    def _search(self) -> Generator[Candidate, None, None]:
        """Look at the original, unless that has been done; then attack it."""
        if self.best is None:
            self._logit, self._gradient = self._scorer.logit_and_gradient(self.original, FAR_EXPONENT)
            self._goal = Goal.between(score_of(self._logit), self.target, self.tolerance)
            yield self._progress.note(self.original, self._logit, Evidence.NONE if self.robust else Evidence.ALL)
        if self.robust:
            yield from self._attack_robustly()
        elif abs(score_of(self._logit) - self.target) > self.tolerance and self.evaluations < self.iterations:
            yield from self._attack()

    def _attack_robustly(self) -> Iterator[Candidate]:
        if not self._goal.shortfall(self._logit):  # it may withstand all of them as it is
            logit = verified_logit(self._scorer, self.original, self._goal, self.families)
            if not self._goal.shortfall(logit):
                yield self._progress.note(self.original, logit)
                return
        left = max(self.iterations - len(self.history) + 1, 1)
        attack = eot_attack(self._scorer, self.original, self._goal, left, self._seed, self._start, self.families)
        for pixels, worst, verified in attack:
            yield self._progress.note(pixels, worst, Evidence.ALL if verified else Evidence.DRAWN)

    def _attack(self) -> Iterator[Candidate]:
        """Cross the goal; then hit it, if the tolerance is not wide anyway."""
        goal, scorer = self._goal, self._scorer
        # A wide tolerance is hit by crossing the goal, or nearly so.
        reserved = 0 if goal.upper_tolerance == math.inf else 4 if goal.upper_tolerance > TIGHT else 16
        reserved = min(reserved, self.iterations // 3)
        if self._start is None:
            crossing = yield from self._cross(reserved)
        else:
            crossing = yield from self._advance(self._start, reserved)
            reserved = self.iterations - scorer.evaluations
        if reserved > 0 and not goal.shortfall(crossing.logit):
            yield from self._hit(crossing.pixels, reserved)

    def _cross(self, reserved: int) -> Generator[Candidate, None, Candidate]:
        """Spend all evaluations but those reserved on the smallest change that crosses the goal; gives the best."""
        best = Candidate(self.original, self._logit, math.inf)
        evaluations = self.iterations - reserved - self._scorer.evaluations
        for trial in search(self._scorer, self.original, self._goal, self._gradient, evaluations):
            candidate = self._progress.note(*trial)
            best = best_of((candidate, best), self._goal.shortfall)
            yield candidate
        return best

    def _advance(self, start: np.ndarray, reserved: int) -> Generator[Candidate, None, Candidate]:
        """Cross the goal from another picture, or from the original where that is closer to it; gives what crosses."""
        goal, scorer = self._goal, self._scorer
        logit, gradient = scorer.logit_and_gradient(start, FAR_EXPONENT)
        candidate = self._progress.note(start, logit)
        yield candidate
        if goal.shortfall(logit) < goal.shortfall(self._logit):
            if goal.violation(logit) == 0 or goal.margin(logit) >= 0:
                return candidate
            for trial in advance(scorer, start, goal, gradient, self.iterations - reserved - scorer.evaluations):
                candidate = self._progress.note(*trial)
                yield candidate
                if goal.margin(candidate.logit) >= 0:
                    return candidate
        return (yield from self._cross(reserved))

    def _hit(self, pixels: np.ndarray, evaluations: int) -> Iterator[Candidate]:
        """Take a picture that crosses the goal back until its score is within tolerance."""
        original, scorer, goal, note = self.original, self._scorer, self._goal, self._progress.note
        last = scorer.evaluations + evaluations
        pixels = _pruned(original, pixels)
        logit, gradient = scorer.logit_and_gradient(pixels, NEAR_EXPONENT)
        best = note(pixels, logit)
        yield best
        correctable = goal.lower_tolerance > 0 and _is_resized(original)
        boundary = boundary_search(scorer, original, self._logit, pixels, logit, gradient, goal, evaluations - 1)
        for trial in islice(boundary, BOUNDARY_FIRST if correctable else None):
            candidate = note(*trial)
            best = best_of((candidate, best), goal.violation)
            yield candidate
        if not correctable or not goal.violation(best.logit):
            return
        in_vain, closest = 0, math.inf
        for pixels, logit in greedy_correction(scorer, original, best.pixels, goal, last - scorer.evaluations):
            candidate = note(pixels, logit)
            best = best_of((candidate, best), goal.violation)
            yield candidate
            in_vain += 1
            if abs(goal.offset(logit)) < closest:
                in_vain, closest = 0, abs(goal.offset(logit))
            if in_vain == GREEDY_IN_VAIN:
                break
        # What is left belongs to the search that always comes closer in the end
        for trial in islice(boundary, max(last - scorer.evaluations, 0) if goal.violation(best.logit) else 0):
            yield note(*trial)

    def _record(self, pixels: np.ndarray) -> Record:
        before, after = (self._appearance.shown(values) for values in (self.original, pixels))
        start, final = (_score_of_file(values, self._given_scorer) for values in (self.original, pixels))
        difference = pixels.astype(int) - self.original
        return Record(
            target=self.target,
            tolerance=self.tolerance,
            start_score=start,
            final_score=final,
            iterations=self.iterations,
            evaluations=self.evaluations,
            first_reached=self._progress.first_reached,
            l2=float(np.linalg.norm(difference)),
            linf=int(np.abs(difference).max()),
            psnr=psnr(before, after),
            ssim=ssim(before, after),
            mean_shift=float(difference.mean()),
            robustness_grid=self._robustness_grid(pixels) if self.robust else None,
            wild=wild_scores(pixels, self._given_scorer, compositions(self.families)) if self.robust else None,
            history=list(self.history),
            interrupted=self.interrupted,
            pixels=pixels,
        )

    def _robustness_grid(self, pixels: np.ndarray) -> dict[Transformation, float]:
        return robustness_grid(pixels, self._given_scorer, grid_of(self.families))

    @never_raises
    def _repr_png_(self) -> bytes | None:
        return png(self._comparison) if self._comparison else None

    @never_raises
    def _repr_html_(self) -> str | None:
        aim = f"target {self.target:g} ±{self.tolerance:g}, {self.evaluations} evaluations so far"
        return figures(self._comparison, aim if self._comparison else f"{aim}; nothing was evaluated yet")

    @property
    def _comparison(self) -> list[tuple[Image.Image, str]]:
        if self.best is None:
            return []
        return comparison(self.original, self.best.pixels, (self.history[0].score, self.best.score))


def _pruned(original: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    # At other sizes JPEG does not see these pixels but resized ones.
    return prune(original, pixels) if _is_resized(original) else pixels


def _start_pixels(start: Picture | Inversion, shape: tuple[int, ...]) -> np.ndarray | None:
    """What an earlier search has found, if anything, or a picture of the original's size."""
    if isinstance(start, Inversion):
        if start.best is None:
            return None
        pixels = start.best.pixels
    else:
        pixels = np.asarray(read_picture(start))
    if pixels.shape != shape:
        (height, width), (wanted_height, wanted_width) = pixels.shape[:2], shape[:2]
        raise ValueError(f"start_from: got {width}x{height} pixels, expected {wanted_width}x{wanted_height}")
    return pixels


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


def _score_of_file(pixels: np.ndarray, scorer: Scorer | None) -> float:
    """The score of the picture as a PNG file, on the way every file takes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    if scorer is None:
        return nsfw_score(file.getvalue())
    return float(scorer.scores(prepare(file.getvalue(), scorer.input_size)[None])[0])
