"""A picture changed to another score, live: a slider's next position goes on from where the last one came to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator

import numpy as np
from PIL import Image

from nsfw_experiments.image_metrics import psnr
from nsfw_experiments.inverse import Inversion
from nsfw_experiments.inverse.appearance import Appearance
from nsfw_experiments.inverse.comparison import amplification, amplified_difference
from nsfw_experiments.inverse.record import Record
from nsfw_experiments.playground.encoding import exact, shown
from nsfw_experiments.playground.pace import Pace
from nsfw_experiments.playground.panel import Panel, State
from open_nsfw import nsfw_score

#: Evaluations for one position of the slider, and how far from it the score may end.
ITERATIONS, TOLERANCE = 100, 0.01


class InversionPanel(Panel):
    """The picture beside its changed copy, with the difference amplified.

    Parameters
    ----------
    show : callable
        See `Panel`.

    Attributes
    ----------
    target : float
        The score that is wanted. Any thread may set it; `slide` takes it up when it begins.
    saved : bytes or None
        The result as a PNG, whose score is the one shown; None where there is none.

    Examples
    --------
    >>> from pathlib import Path
    >>> panel = InversionPanel(lambda state: None)
    >>> panel.target = 0.5
    >>> for _ in panel.slide(Path("img/coffee.jpg").read_bytes()):
    ...     pass
    >>> abs(panel.state["score"] - 0.5) <= 0.01, panel.state["reached"]
    (True, True)
    """

    def __init__(self, show: Callable[[State], object]):
        super().__init__(show)
        self.target = 0.5
        self.clear()

    def clear(self) -> None:
        """Forget the results: there is another picture."""
        self._source: bytes | None = None
        self._running: Inversion | None = None
        self._latest: Inversion | None = None
        self.saved: bytes | None = None
        self.state = {"error": "", "running": False, "done": False, "tolerance": TOLERANCE}
        self.update()

    def slide(self, source: bytes) -> Generator[None, None, None]:
        """Change the picture until its score is `target`.

        Parameters
        ----------
        source : bytes
            The picture's file. Results for another one are forgotten.

        Yields
        ------
        None
            After each evaluation. Closed before the end, what was found so far is where the next target begins; it is
            the result too, unless there is another target already.
        """
        if source != self._source:
            self.clear()
            self._source = source
        target = self.target
        self._running = inversion = Inversion(
            source, target, iterations=ITERATIONS, tolerance=TOLERANCE, start_from=self._latest
        )
        self.saved = None
        before = shown(Image.fromarray(inversion.original))
        self.update(target=target, before=before, running=True, done=False, error="")
        began, pace = time.monotonic(), Pace()
        try:
            for step in inversion.steps():
                if pace.is_due():
                    self.update(
                        score=step.score,
                        **_compared(inversion.original, step.pixels),
                        **_effort(inversion.evaluations, began),
                    )
                yield
        finally:
            self._running = None
            if inversion.best is not None and inversion.best.psnr < math.inf:
                self._latest = inversion
            if self.target == target and inversion.best is not None:
                self._finish(*inversion.result(), began)

    def stop(self) -> None:
        """End the present search after its evaluation; the best so far is its result. Any thread may call it."""
        inversion = self._running
        if inversion is not None:
            inversion.stop()

    def _finish(self, picture: Image.Image, record: Record, began: float) -> None:
        assert self._source is not None
        self.saved = exact(picture, **Appearance.of(self._source).saving())
        self.update(
            score=nsfw_score(self.saved),
            **_compared(record.history[0].pixels, record.pixels),
            **_effort(record.evaluations, began),
            reached=record.reached,
            running=False,
            done=True,
        )


def _effort(evaluations: int, began: float) -> State:
    return {"evaluations": evaluations, "rate": evaluations / max(time.monotonic() - began, 1e-9)}


def _compared(original: np.ndarray | None, changed: np.ndarray | None) -> State:
    """What is shown of a change: the picture, the difference with its factor, and the PSNR; None where infinite."""
    assert original is not None and changed is not None
    decibels = psnr(original, changed)
    return {
        "after": shown(Image.fromarray(changed)),
        "difference": shown(Image.fromarray(amplified_difference(original, changed))),
        "factor": amplification(original, changed),
        "psnr": decibels if decibels < math.inf else None,
        "largest": int(np.abs(changed.astype(int) - original).max()),
    }
