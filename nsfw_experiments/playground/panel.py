"""A part of the page, without the page: a dictionary of what it shows, of which every change is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

State = dict[str, Any]


class Panel:
    """What all parts share.

    Parameters
    ----------
    show : callable
        Called with the whole state after each change.

    Attributes
    ----------
    state : dict
        Numbers, texts, and pictures as bytes. ``error`` is what went wrong, in words, or "".

    Examples
    --------
    >>> panel = Panel(print)
    >>> panel.update(running=True)
    {'error': '', 'running': True}
    """

    def __init__(self, show: Callable[[State], object]):
        self._show = show
        self.state: State = {"error": ""}

    def update(self, **changes: Any) -> None:
        """Change some of the state, and show it."""
        self.state = {**self.state, **changes}
        self._show(self.state)

    def fail(self, reason: object) -> None:
        """Say what went wrong, and that nothing runs any more."""
        self.update(error=str(reason), running=False)
