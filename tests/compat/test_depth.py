"""`theano_compat.depth`: what recurses along a deep graph has the stack that it needs, and leaves no trace."""

import sys
import threading

import theano_compat  # noqa: F401

import pytest
import theano.tensor as T

from theano_compat.depth import SHALLOW, depth, with_room


def chain(length):
    x = y = T.vector("x")
    for _ in range(length):
        y = T.tanh(y)
    return x, y


def test_depth_is_that_of_the_longest_chain():
    x, y = chain(5)
    assert depth([y]) == 5 and depth([x]) == 0 and depth([]) == 0
    assert depth([x + 1, y + chain(2)[1]]) == 6


def test_what_does_not_count_ends_a_chain():
    _, y = chain(5)
    assert depth([T.exp(y.sum())], lambda node: isinstance(node.op, T.Elemwise)) == 5


def test_a_gradient_through_hundreds_of_operations():
    x, y = chain(450)  # a RecursionError without room, on most Pythons
    assert with_room(lambda: T.grad(y.sum(), x), [y]).ndim == 1


@pytest.mark.parametrize("length", [SHALLOW, SHALLOW + 1])
def test_results_errors_and_limits_are_as_without_it(length):
    _, y = chain(length)
    limits = sys.getrecursionlimit(), threading.stack_size()
    assert with_room(lambda: 7, [y]) == 7
    with pytest.raises(ZeroDivisionError):
        with_room(lambda: 1 / 0, [y])
    assert (sys.getrecursionlimit(), threading.stack_size()) == limits


def test_only_deep_graphs_cost_a_thread():
    threads = [with_room(threading.current_thread, [chain(length)[1]]) for length in (SHALLOW, SHALLOW + 1)]
    assert threads[0] is threading.current_thread() and threads[1] is not threading.current_thread()
