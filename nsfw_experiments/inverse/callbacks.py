"""Callbacks of an inverse search: a progress bar in a terminal, pictures and a curve in a notebook.

A callback is called with a `Step` after each evaluation: ``inverse(picture, 0.98, callback=ProgressBar(100))``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from nsfw_experiments.inverse.comparison import amplification, amplified_difference
from nsfw_experiments.inverse.record import Step
from nsfw_experiments.live_figure import LiveFigure
from theano_compat.deprecation import deprecated_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nsfw_experiments.inverse.attack import Inversion

__getattr__ = deprecated_names(__name__, {"LiveView": f"{__name__}:LiveInverse"})


class ProgressBar(tqdm):
    """A progress bar with score and PSNR; shown in terminals and notebooks only.

    Parameters
    ----------
    iterations : int
        As given to `inverse`.

    Examples
    --------
    >>> from nsfw_experiments.inverse import inverse
    >>> with ProgressBar(3) as progress_bar:
    ...     picture, record = inverse("img/coffee.jpg", 0.98, iterations=3, callback=progress_bar)
    """

    def __init__(self, iterations: int):
        super().__init__(total=iterations, unit="iteration", disable=None)

    def __call__(self, step: Step) -> None:
        best = "" if step.best_psnr is None else f", best {step.best_psnr:.2f} dB"
        self.set_postfix_str(f"score {step.score:.4f} at {step.psnr:.2f} dB{best}", refresh=False)
        self.update(1)


class LiveInverse(LiveFigure):
    """In a notebook: original, result, amplified difference and the curve, renewed while the search goes on.

    Parameters
    ----------
    seconds : float
        Least time between two renewals.

    Examples
    --------
    >>> with LiveInverse() as live:                                                 # doctest: +SKIP
    ...     picture, record = inverse("img/coffee.jpg", "nsfw", callback=live)
    """

    def __init__(self, seconds: float = 2.0):
        super().__init__(seconds)
        self._history: list[Step] = []

    def begin(self, inversion: Inversion) -> None:
        """Take up the steps of a search that goes on, of which the first is the original.

        Parameters
        ----------
        inversion : Inversion
        """
        self._history = list(inversion.history)

    def take(self, step: Step) -> None:
        """Remember a step, and the pixels of the original, the best and the latest."""
        if not self._history and step.psnr < math.inf:
            raise ValueError(
                f"step: got evaluation {step.evaluation} as the first, expected that of the original; "
                "call begin(inversion) before a search goes on"
            )
        self._history.append(step)
        kept = [self._history[0], closest(self._history), step]  # pixels of all would take gigabytes
        for index, earlier in enumerate(self._history):
            if earlier.pixels is not None and not any(earlier is one for one in kept):
                self._history[index] = replace(earlier, pixels=None)

    def figure(self) -> Figure:
        """Draw the steps taken so far."""
        return draw_history(self._history)


def draw_history(history: list[Step]) -> Figure:
    """Draw a search: the original, the best picture so far, their difference, and scores and PSNR over time.

    Parameters
    ----------
    history : list of Step
        At least one; the first step's pixels are the original's.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the first step has no pixels.

    Examples
    --------
    >>> from nsfw_experiments.inverse import inverse
    >>> _, record = inverse("img/coffee.jpg", 0.98, iterations=3)
    >>> [axes.get_title().split(",")[0] for axes in draw_history(record.history).axes[:3]]
    ['original', 'changed', 'difference']
    """
    from matplotlib.figure import Figure

    original, best = history[0], closest(history)
    if original.pixels is None or best.pixels is None:
        raise ValueError("history: got a first step without pixels, expected the original's")
    factor = amplification(original.pixels, best.pixels)
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    *pictures, curve = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.4])
    for axes, pixels, title in zip(
        pictures,
        (original.pixels, best.pixels, amplified_difference(original.pixels, best.pixels)),
        (
            f"original, {original.score:.4f}",
            f"changed, {best.score:.4f}",
            f"difference, ×{factor:.3g}, {best.psnr:.2f} dB",
        ),
    ):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(title)
    evaluations = [step.evaluation for step in history]
    curve.plot(evaluations, [step.score for step in history], ".-", color="tab:red")
    curve.plot(best.evaluation, best.score, "o", color="tab:red")
    curve.set(xlabel="evaluation", ylim=(-0.02, 1.02))
    curve.set_ylabel("score", color="tab:red")
    decibels = curve.twinx()
    decibels.plot(evaluations, [math.nan if step.best_psnr is None else step.best_psnr for step in history], ".-")
    decibels.set_ylabel("PSNR of the best, dB", color="tab:blue")
    return figure


def closest(history: list[Step]) -> Step:
    """Give the step with the best picture so far.

    Parameters
    ----------
    history : list of Step
        At least one; the first is always the best so far.

    Returns
    -------
    Step

    Examples
    --------
    >>> closest([Step(1, 0.1, math.inf, None, None, best=True), Step(2, 0.9, 50.0, 50.0, None)]).evaluation
    1
    """
    return [step for step in history if step.best][-1]
