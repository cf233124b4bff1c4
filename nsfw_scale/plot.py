"""A plot of a film's scores over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nsfw_scale.frames import FrameScore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Width and height, in inches.
_SIZE = (9.0, 3.0)


def plot_scores(frame_scores: Iterable[FrameScore], threshold: float | None = None) -> Figure:
    """Plot scores over time, each from its moment to the next.

    Parameters
    ----------
    frame_scores : iterable of FrameScore
        In the order of time, as `open_nsfw.frame_scores` gives them.
    threshold : float, optional
        In 0..1: what reaches it is marked, and it is drawn as a line.

    Returns
    -------
    matplotlib.figure.Figure
        To be saved by its `savefig`; notebooks show it.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        If there is no score, or `threshold` is none.

    Examples
    --------
    >>> figure = plot_scores([FrameScore(0.0, 0.1), FrameScore(1.0, 0.9)], threshold=0.8)
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('time, min:s', 'score')
    """
    try:
        from matplotlib.figure import Figure  # not pyplot, which would keep it, and choose a window system
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'open-nsfw-theano[notebooks]'") from error
    scores = list(frame_scores)
    if not scores:
        raise ValueError("frame_scores: got none, expected at least one")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold: got {threshold!r}, expected a number in 0..1")
    times, values = zip(*scores)
    figure = Figure(_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.step(times, values, where="post", color="tab:blue", linewidth=1)
    axes.plot(times, values, ".", color="tab:blue", markersize=3)
    if threshold is not None:
        reached = [score for score in scores if score.score >= threshold]
        axes.axhline(threshold, color="tab:red", linewidth=0.8, linestyle="--")
        axes.plot([at.seconds for at in reached], [at.score for at in reached], ".", color="tab:red", markersize=6)
    axes.set_ylim(-0.02, 1.02)
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 1.5, 3, 6, 10]))
    axes.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds))
    axes.set_xlabel("time, min:s" if times[-1] < 3600 else "time, h:min:s")
    axes.set_ylabel("score")
    return figure


def _clock(seconds: float) -> str:
    """A time as players show it; parts of seconds only where there are some."""
    hours, rest = divmod(round(seconds, 1), 3600)
    minutes, rest = divmod(rest, 60)
    shown = f"{rest:04.1f}" if rest % 1 else f"{rest:02.0f}"
    return f"{hours:.0f}:{minutes:02.0f}:{shown}" if hours else f"{minutes:.0f}:{shown}"
