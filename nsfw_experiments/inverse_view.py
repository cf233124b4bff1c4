"""Watching an inverse search: a progress bar in a terminal, pictures and a curve in a notebook.

A watcher is called with a `Step` after each evaluation: ``inverse(picture, 0.98, watch=ProgressBar(100))``.
"""

from __future__ import annotations

import math
import time

import numpy as np
from tqdm import tqdm

from nsfw_experiments.record import Step


class ProgressBar(tqdm):
    """A progress bar with score and PSNR; shown in terminals only.

    Parameters
    ----------
    iterations : int
        As given to `inverse`.
    """

    def __init__(self, iterations: int):
        super().__init__(total=iterations, unit="iteration", disable=None)

    def __call__(self, step: Step) -> None:
        best = "" if step.best_psnr is None else f", best {step.best_psnr:.2f} dB"
        self.set_postfix_str(f"score {step.score:.4f} at {step.psnr:.2f} dB{best}", refresh=False)
        self.update(1)


def amplified_difference(
    original: np.ndarray, changed: np.ndarray, factor: float | None = None
) -> np.ndarray:
    """Show a difference: grey where nothing changed, brighter and darker where values rose and fell.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, 3)
    factor : float, optional
        By which differences are multiplied; left out, so that the largest just fits.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Examples
    --------
    >>> grey = np.full((1, 1, 3), 9, np.uint8)
    >>> amplified_difference(grey, grey + np.array([0, 1, 2], np.uint8), 50).tolist()
    [[[128, 178, 228]]]
    """
    difference = changed.astype(float) - original
    if factor is None:
        factor = 127 / max(np.abs(difference).max(), 1)
    return np.clip(np.rint(128 + factor * difference), 0, 255).astype(np.uint8)


class LiveView:
    """In a notebook: original, result, amplified difference and the curve, renewed while the search goes on.

    Parameters
    ----------
    seconds : float
        Least time between two renewals; drawing takes about a tenth of a second.

    Examples
    --------
    >>> with LiveView() as view:                                                    # doctest: +SKIP
    ...     picture, record = inverse("img/coffee.jpg", "nsfw", watch=view)
    """

    def __init__(self, seconds: float = 2.0):
        self.seconds = seconds
        self._renewed = float("-inf")
        self._handle = None
        self._history: list[Step] = []

    def __enter__(self) -> LiveView:
        return self

    def __exit__(self, *exception) -> None:
        if self._history:
            self.show()

    def __call__(self, step: Step) -> None:
        self._history.append(step)
        if time.monotonic() - self._renewed >= self.seconds:
            self.show()
            self._renewed = time.monotonic()

    def show(self) -> None:
        """Show the present state in place of the one before."""
        from IPython.display import display

        figure = draw_history(self._history)
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)


def draw_history(history: list[Step]):
    """Draw a search: the original, the best picture so far, their difference, and scores and PSNR over time.

    Parameters
    ----------
    history : list of Step
        At least one; the first step's pixels are the original's.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    original, best = history[0], closest(history)
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    *pictures, curve = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.4])
    for axes, pixels, title in zip(
        pictures,
        (original.pixels, best.pixels, amplified_difference(original.pixels, best.pixels)),
        (f"original, {original.score:.4f}", f"changed, {best.score:.4f}", f"difference, {best.psnr:.2f} dB"),
    ):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(title)
    evaluations = [step.evaluation for step in history]
    curve.plot(evaluations, [step.score for step in history], color="tab:red")
    curve.set(xlabel="evaluation", ylim=(-0.02, 1.02))
    curve.set_ylabel("score", color="tab:red")
    decibels = curve.twinx()
    decibels.plot(evaluations, [math.nan if step.best_psnr is None else step.best_psnr for step in history])
    decibels.set_ylabel("PSNR of the best, dB", color="tab:blue")
    return figure


def closest(history: list[Step]) -> Step:
    """Give the step with the best picture so far: where the best PSNR was set, or else the last."""
    for before, step in zip([None, *history], history):
        if step.best_psnr is not None and (before is None or step.best_psnr != before.best_psnr):
            best = step
    return best if history[-1].best_psnr is not None else history[-1]
