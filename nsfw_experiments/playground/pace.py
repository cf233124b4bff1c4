"""How often something is shown: what computes goes at its own pace, and a browser is not flooded."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Tells whether it is time to show something again.

    Parameters
    ----------
    per_second : float
        At most so often.
    clock : callable
        Gives seconds.

    Examples
    --------
    >>> seconds = iter([0.0, 0.05, 0.11])
    >>> pace = Pace(10, clock=lambda: next(seconds))
    >>> pace.is_due(), pace.is_due(), pace.is_due()
    (True, False, True)
    """

    def __init__(self, per_second: float = 5.0, clock: Callable[[], float] = time.monotonic):
        self._interval, self._clock = 1 / per_second, clock
        self._next = float("-inf")

    def is_due(self) -> bool:
        """Tell whether it is time, and if so, begin the next interval."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._interval
        return True
