"""Locks that do not outlive a fork: a child has only the thread that forked, and nobody would release the others'."""

from __future__ import annotations

import os
import threading
import weakref
from operator import attrgetter


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
        self._lock = threading.Lock()
        _locks.add(self)

    # Methods of the lock's own, of which `with` takes both before it calls the first: what a handler of a signal raises
    # between two steps of a function in Python would leave the lock held for ever
    __enter__ = property(attrgetter("_lock.__enter__"))
    __exit__ = property(attrgetter("_lock.__exit__"))

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
