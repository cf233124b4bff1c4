"""A limit of time for work that cannot be interrupted: it is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")


class LateError(TimeoutError):
    """A call that was not done in time."""


class TimeLimit:
    """Call functions one after another, and wait for none longer than a limit.

    What decodes a picture in C, or waits for a disk, heeds no signal. It runs on a thread of its own, and where that is
    late it is left to itself; the next function gets a new thread. Those left behind end with the process.

    Parameters
    ----------
    seconds : float or None
        For each call. With None there is no limit and no thread.

    Examples
    --------
    >>> import time
    >>> with TimeLimit(0.05) as limit:
    ...     limit.call(pow, 2, 3)
    8
    >>> with TimeLimit(0.05) as limit:
    ...     limit.call(time.sleep, 1)
    Traceback (most recent call last):
    nsfw_model.time_limit.LateError: not done within 0.05 s
    """

    def __init__(self, seconds: float | None):
        self.seconds = seconds
        self._calls: SimpleQueue[Any] | None = None

    def __enter__(self) -> TimeLimit:
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return what a function returns, or raise what it raises.

        Parameters
        ----------
        function : callable
        *arguments
            Of the function.

        Returns
        -------
        object

        Raises
        ------
        LateError
            If it is not done in time.
        """
        if self.seconds is None:
            return function(*arguments)
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(target=_work, args=(self._calls,), daemon=True).start()
        outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._calls.put((function, arguments, outcome))
        try:
            result, error = outcome.get(timeout=self.seconds)
        except Empty:
            self._leave()
            raise LateError(f"not done within {self.seconds:g} s") from None
        if error is not None:
            raise error
        return result

    def _leave(self) -> None:
        """Let the thread end when it has nothing more to do."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _work(calls: SimpleQueue[Any]) -> None:
    while (call := calls.get()) is not None:
        function, arguments, outcome = call
        try:
            outcome.put((function(*arguments), None))
        except BaseException as error:
            outcome.put((None, error))
