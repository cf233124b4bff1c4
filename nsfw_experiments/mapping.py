"""What ``toolbox.map`` may be, other than the builtin `map`: a pool of processes, or a cluster.

Both give the results in the order of the work, so that a run is the same wherever it is computed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def process_map(processes: int) -> Iterator[Callable]:
    """Give a map over worker processes, which share the machine's cores among them.

    They are spawned, not forked: OpenMP's threads do not survive a fork. A script that uses this needs
    ``if __name__ == "__main__":``.

    Parameters
    ----------
    processes : int
        How many workers to start.

    Examples
    --------
    >>> with process_map(4) as pool_map:                              # doctest: +SKIP
    ...     toolbox.register("map", pool_map)
    ...     evolution.run(200)
    """
    threads = max(1, (os.cpu_count() or 1) // processes)
    with _environment(OMP_NUM_THREADS=str(threads)):
        pool = multiprocessing.get_context("spawn").Pool(processes, initializer=_leave_interrupts_to_parent)
    with pool:
        yield pool.map


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = os.environ.copy()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def cluster_map(client, function: Callable, work: Sequence) -> list:
    """Map on a Dask cluster. What a lost worker was doing, or had not yet handed over, is done by another.

    Parameters
    ----------
    client : distributed.Client
    function : callable
    work : sequence
        Arguments of `function`, one for each call.

    Returns
    -------
    list
        Results in the order of `work`.

    Examples
    --------
    >>> from distributed import Client                                # doctest: +SKIP
    >>> toolbox.register("map", cluster_map, Client("tcp://scheduler:8786"))    # doctest: +SKIP
    """
    return client.gather(client.map(function, work, pure=False))
