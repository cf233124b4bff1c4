"""Repeatable DEAP operators: they draw from a generator that is given, not from the module `random`."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import deap.algorithms
import deap.tools.crossover
import deap.tools.mutation
import deap.tools.selection

_deap_lock = threading.RLock()
_DEAP_MODULES = (deap.algorithms, deap.tools.crossover, deap.tools.mutation, deap.tools.selection)


@contextmanager
def deap_draws_from(rng: random.Random) -> Iterator[None]:
    """Let DEAP's operators draw from `rng` while the block runs.

    They know only the module `random`, whose state is shared with everything else in the process. The threads
    of a cluster's client, for one, draw from it at any time, and then no run could be repeated.

    Parameters
    ----------
    rng : random.Random

    Examples
    --------
    >>> from deap import tools
    >>> with deap_draws_from(random.Random(0)):
    ...     tools.selRandom([1, 2, 3], k=4)
    [2, 2, 1, 2]
    """
    with _deap_lock:
        for module in _DEAP_MODULES:
            module.random = rng
        try:
            yield
        finally:
            for module in _DEAP_MODULES:
                module.random = random
