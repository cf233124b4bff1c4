"""Deep graphs: Theano walks them by recursion, and Python's stack ends after a thousand calls."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from theano.gof.graph import io_toposort

Result = TypeVar("Result")

#: Operations after one another that Python's own stack has room for.
SHALLOW = 150
# Theano's deepest recursion, of gradients, makes four calls for an operation, each of less than a kilobyte of C.
CALLS, BYTES = 10, 16 * 1024


def depth(outputs: Sequence[Any], of: Callable[[Any], bool] = lambda node: True) -> int:
    """Return how many operations of a graph come after one another.

    Parameters
    ----------
    outputs : list of Theano variables
    of : callable, optional
        Says of a `theano.gof.Apply` whether it counts; those that do not end a chain. Left out, all count.

    Returns
    -------
    int
        Operations of the longest chain.

    Examples
    --------
    >>> import theano.tensor as T
    >>> x = T.vector()
    >>> depth([T.exp(-x) + x]), depth([T.exp(-x).sum()], lambda node: isinstance(node.op, T.Elemwise))
    (3, 2)
    """
    depths: dict[Any, int] = {}
    for node in io_toposort([], outputs):
        before = max((depths[x.owner] for x in node.inputs if x.owner is not None), default=0)
        depths[node] = before + 1 if of(node) else 0
    return max(depths.values(), default=0)


def with_room(function: Callable[[], Result], outputs: Sequence[Any]) -> Result:
    """Call a function that walks a graph; if that is deep, on a thread with a stack to match.

    Parameters
    ----------
    function : callable without arguments
    outputs : list of Theano variables
        The graph.

    Returns
    -------
    object
        What the function returns; what it raises is raised.

    Examples
    --------
    >>> import theano
    >>> import theano.tensor as T
    >>> x = y = T.vector()
    >>> for _ in range(400):
    ...     y = T.tanh(y)
    >>> with_room(lambda: T.grad(y.sum(), x), [y]).ndim
    1
    """
    levels = depth(outputs)
    if levels <= SHALLOW:
        return function()
    results: list[Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    calls, size = sys.getrecursionlimit(), threading.stack_size()
    sys.setrecursionlimit(max(calls, levels * CALLS))
    threading.stack_size(max(8 << 20, levels * CALLS * BYTES))
    try:
        thread = threading.Thread(target=call)
        thread.start()
    finally:
        threading.stack_size(size)
    try:
        thread.join()
    finally:
        sys.setrecursionlimit(calls)
    if errors:
        raise errors[0]
    return results[0]
