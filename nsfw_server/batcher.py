"""The network's thread: pictures of many requests share its batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np


class _Waiting(NamedTuple):
    network: str
    array: np.ndarray
    result: Future[Any]


class Batcher:
    """A thread that runs networks on batches of what waits for them.

    A picture waits for others only while some are on their way, and no longer than `seconds`.

    Parameters
    ----------
    networks : dict of str to callable
        Each gives a list of n results, such as scores, for network input of shape (n, 3, height, width).
    batch : int
        Pictures at once, at most.
    seconds : float
    observe : callable, optional
        Told the size of each batch and the seconds that it took.

    Examples
    --------
    >>> batcher = Batcher({"float32": lambda x: x[:, 0, 0, 0].tolist()}, 8, 0.001)
    >>> batcher.start()
    >>> batcher.submit("float32", np.full((3, 2, 2), 0.25, np.float32)).result()
    0.25
    >>> batcher.stop()
    """

    def __init__(
        self,
        networks: dict[str, Callable[[np.ndarray], list[Any]]],
        batch: int,
        seconds: float,
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ):
        self._networks, self._batch, self._seconds, self._observe = networks, batch, seconds, observe
        self._waiting: deque[_Waiting] = deque()
        self._coming = 0
        self._changed = threading.Condition()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="open_nsfw network", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end behind what waits for it, and wait for that."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join()

    def expect(self, count: int) -> None:
        """Tell that more pictures are on their way, or fewer.

        Parameters
        ----------
        count : int
            How many; below 0 for those that do not come, or have come.
        """
        with self._changed:
            self._coming += count
            if self._coming <= 0:
                self._changed.notify()

    def submit(self, network: str, array: np.ndarray, *, came: int = 0, first: bool = False) -> Future[Any]:
        """Put a frame before a network.

        Parameters
        ----------
        network : str
        array : ndarray of float32, shape (3, height, width)
        came : int
            How many of the pictures that were on their way are no more.
        first : bool
            Before all others that wait.

        Returns
        -------
        concurrent.futures.Future
            Of its result.
        """
        waiting = _Waiting(network, array, Future())
        with self._changed:
            self._coming -= came
            if first:
                self._waiting.appendleft(waiting)
            else:
                self._waiting.append(waiting)
            self._changed.notify()
        return waiting.result

    def _run(self) -> None:
        while batch := self._next_batch():
            self._score(batch)

    def _next_batch(self) -> list[_Waiting]:
        """Those that go through a network together; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends)
            self._changed.wait_for(lambda: self._is_worth_it() or self._ends, self._seconds)
            batch: list[_Waiting] = []
            others: deque[_Waiting] = deque()
            while self._waiting and len(batch) < self._batch:
                waiting = self._waiting.popleft()
                (batch if not batch or waiting.network == batch[0].network else others).append(waiting)
            self._waiting.extendleft(reversed(others))
            return batch

    def _is_worth_it(self) -> bool:
        return len(self._waiting) >= self._batch or self._coming <= 0

    def _score(self, batch: list[_Waiting]) -> None:
        wanted = [waiting for waiting in batch if waiting.result.set_running_or_notify_cancel()]
        if not wanted:
            return
        began = time.perf_counter()
        try:
            results = self._networks[wanted[0].network](np.stack([waiting.array for waiting in wanted]))
        except Exception as error:
            for waiting in wanted:
                waiting.result.set_exception(error)
            return
        self._observe(len(wanted), time.perf_counter() - began)
        for waiting, result in zip(wanted, results):
            waiting.result.set_result(result)
