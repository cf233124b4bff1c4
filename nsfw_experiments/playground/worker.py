"""One thread that computes, one thing at a time: a compiled function of Theano's is for one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing

#: What is done in steps, each of which ends with a ``yield``, or at once.
Job = Callable[[], "Generator[None, None, None] | None"]


class Worker:
    """Does jobs in the order in which they come, on a thread of its own.

    A job that is done in steps makes room for the next one: its generator is closed after the present step. Of jobs
    with one name that wait, only the latest is done.

    Parameters
    ----------
    on_error : callable
        Called on that thread with the name of a job and the exception that ended it.

    Examples
    --------
    >>> done = []
    >>> worker = Worker(on_error=print)
    >>> worker.do("one", lambda: done.append(1))
    >>> worker.wait()
    True
    >>> done
    [1]
    """

    def __init__(self, on_error: Callable[[str, Exception], object]):
        self._on_error = on_error
        self._waiting: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._is_idle = True
        self._thread: threading.Thread | None = None

    def do(self, name: str, job: Job) -> None:
        """Take a job, and return at once.

        Parameters
        ----------
        name : str
            Another job of that name that still waits is dropped.
        job : callable
            Without arguments. Where it gives a generator, that is its steps.
        """
        with self._changed:
            self._waiting.pop(name, None)
            self._waiting[name] = job
            self._is_idle = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="playground")
                self._thread.start()
            self._changed.notify_all()

    def drop(self, *names: str) -> None:
        """Take back jobs that still wait.

        Parameters
        ----------
        *names : str
        """
        with self._changed:
            for name in names:
                self._waiting.pop(name, None)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is left to do.

        Parameters
        ----------
        seconds : float, optional
            At most so long.

        Returns
        -------
        bool
            Whether nothing is left.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._is_idle, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._is_idle = True
                    self._changed.notify_all()
                    self._changed.wait()
                name = next(iter(self._waiting))
                job = self._waiting.pop(name)
            try:
                self._run(job)
            except Exception as error:
                self._on_error(name, error)

    def _run(self, job: Job) -> None:
        steps = job()
        if steps is None:
            return
        with closing(steps):
            for _ in steps:
                if self._waiting:
                    return
