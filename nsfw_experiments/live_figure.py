"""A figure in a notebook that is renewed in place while something runs."""

from __future__ import annotations

import io
import time


class LiveFigure:
    """What all live figures share: when to draw, and where. A subclass gives `take` and `figure`.

    Parameters
    ----------
    seconds : float
        Least time between two renewals; drawing takes about a tenth of a second.
    """

    def __init__(self, seconds: float = 2.0):
        self.seconds = seconds
        self._renewed = float("-inf")
        self._handle = None
        self._started = False

    def take(self, state) -> None:
        """Remember of a state what `figure` is going to draw."""
        raise NotImplementedError

    def figure(self):
        """Draw what was remembered, as a matplotlib.figure.Figure."""
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        if self._started:
            self.show()

    def __call__(self, state) -> None:
        self.take(state)
        self._started = True
        if time.monotonic() - self._renewed >= self.seconds:
            self.show()
            self._renewed = time.monotonic()

    def show(self) -> None:
        """Show the present figure in place of the one before."""
        from IPython.display import Image as Png
        from IPython.display import display

        png = io.BytesIO()  # IPython shows a Figure itself as text, unless pyplot was imported
        self.figure().savefig(png, format="png", dpi=80)
        if self._handle is None:
            self._handle = display(Png(png.getvalue()), display_id=True)
        else:
            self._handle.update(Png(png.getvalue()))
