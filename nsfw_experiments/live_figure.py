"""A figure in a notebook that is renewed in place while something runs."""

from __future__ import annotations

import io
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from theano_compat.deprecation import deprecated_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__getattr__ = deprecated_names(__name__, {"LiveView": f"{__name__}:LiveFigure"})

#: In seconds, what drawing a figure takes where nothing else runs.
DRAWING = 0.1

State = TypeVar("State")
Self = TypeVar("Self", bound="LiveFigure")


class LiveFigure(Generic[State]):
    """What all live figures share: when to draw, and where. A subclass gives `take` and `figure`.

    It is a callback: called with a state, it takes what is to be drawn, and draws if it is time. As a context
    manager it shows the last state at the end.

    Parameters
    ----------
    seconds : float
        Least time between two renewals. Where drawing takes longer than a tenth of a second, as on a machine that is
        busy, the time between two is longer in proportion: of the default, drawing never takes more than a twentieth.

    Examples
    --------
    >>> class Curve(LiveFigure[list]):
    ...     def take(self, state):
    ...         self.values = list(state)
    ...     def figure(self):
    ...         from matplotlib.figure import Figure
    ...         figure = Figure()
    ...         figure.subplots().plot(self.values)
    ...         return figure
    >>> with Curve(seconds=1) as curve:                               # doctest: +SKIP
    ...     curve([1, 2, 4])
    """

    def __init__(self, seconds: float = 2.0):
        self.seconds = seconds
        self._next = float("-inf")
        self._handle: Any = None
        self._started = False

    def take(self, state: State) -> None:
        """Remember of a state what `figure` is going to draw."""
        raise NotImplementedError

    def figure(self) -> Figure:
        """Draw what was remembered.

        Returns
        -------
        matplotlib.figure.Figure
        """
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._started:
            self.show()

    def __call__(self, state: State) -> None:
        self.take(state)
        self._started = True
        begun = time.monotonic()
        if begun >= self._next:
            self.show()
            shown = time.monotonic()
            self._next = shown + self.seconds * max(1.0, (shown - begun) / DRAWING)

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
