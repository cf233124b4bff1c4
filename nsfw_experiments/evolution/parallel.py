"""What ``toolbox.map`` may be, other than the builtin `map`: a pool of processes, or a cluster.

Both give the results in the order of the work, so that a run is the same on workers with the same kind of processor;
other processors may round the network's sums in another way.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.synchronize import Barrier
from threading import Thread
from typing import Any

from nsfw_model.checks import MAX_PROCESSES, check_whole


@contextmanager
def process_map(processes: int) -> Iterator[Callable]:
    """Give a map over worker processes, which share the machine's cores among them.

    They are spawned, not forked: what the other threads of this process hold stays behind. A script that uses this
    needs ``if __name__ == "__main__":``. The workers import nothing from the working directory that this process would
    not, and end when it ends, however it does.

    Parameters
    ----------
    processes : int
        How many workers to start.

    Yields
    ------
    callable
        As the builtin `map`; its results raise concurrent.futures.process.BrokenProcessPool when a worker has died.

    Raises
    ------
    ValueError
        If `processes` is no whole number of at least 1.

    Examples
    --------
    >>> with process_map(4) as pool_map:                              # doctest: +SKIP
    ...     toolbox.register("map", pool_map)
    ...     evolution.run(200)
    """
    check_whole("processes", processes, least=1, most=MAX_PROCESSES)
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = multiprocessing.get_context("spawn")
    all_there = context.Barrier(processes)
    pool = ProcessPoolExecutor(processes, context, initializer=_begin_work, initargs=(all_there, os.getcwd()))
    try:
        # A spawned Python would look for its modules in the working directory first, and run a stranger's pickle.py
        with _environment(OMP_NUM_THREADS=str(threads), PYTHONSAFEPATH="1"), _away_from_here():
            _start(pool, processes, all_there)
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _start(pool: ProcessPoolExecutor, processes: int, all_there: Barrier) -> None:
    try:
        for started in [pool.submit(int) for _ in range(processes)]:
            started.result()
    except BaseException:
        all_there.abort()  # nobody else will come
        raise


def _begin_work(all_there: Barrier, folder: str) -> None:
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C, or the terminal that closes, is for the parent
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()
    # A pool starts a worker only for work that none is free for: nobody is free until all are there.
    all_there.wait()


def _end_with_parent() -> None:
    """Work for nobody else than the process that started this one."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _away_from_here() -> Iterator[None]:
    """Work in a folder without modules, where Python does not know PYTHONSAFEPATH yet."""
    if sys.version_info >= (3, 11):
        yield
        return
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(before)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = os.environ.copy()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def cluster_map(client: Any, function: Callable, work: Sequence) -> list:
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
