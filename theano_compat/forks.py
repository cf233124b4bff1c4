"""Locks that do not outlive a fork: a child has only the thread that forked, and nobody would release the others'."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType


class ForkSafeLock:
    """A lock as `threading.Lock`, for ``with``, that is free in a child that was forked while another thread held it.

    Attributes
    ----------
    interrupted : bool
        Whether it was held when this process was forked: what it guards may have been left half done by a thread
        that does not exist here. Whoever takes the lock mends that, and sets it to False.

    Examples
    --------
    >>> lock = ForkSafeLock()
    >>> with lock:
    ...     lock.interrupted
    False
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._lock = self._held = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> ForkSafeLock:
        lock = self._lock
        lock.acquire()
        self._held = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._held.release()

    def renew(self) -> None:
        """Begin anew in a child."""
        self.interrupted = self.interrupted or self._lock.locked()
        self._lock = threading.Lock()


_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
