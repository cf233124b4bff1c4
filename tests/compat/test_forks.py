"""Locks that are free in a forked child, and after whatever a handler of a signal raises."""

import os
import signal

import pytest

from theano_compat.forks import ForkSafeLock

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals of POSIX")


class Alarm(Exception):
    """Raised by a handler, wherever the program is."""


def is_free(lock):
    free = lock._lock.acquire(blocking=False)
    if free:
        lock._lock.release()
    return free


def test_an_exception_of_a_signal_leaves_no_lock_held():
    def interrupt(number, frame):
        raise Alarm

    lock, before = ForkSafeLock(), signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(300):
            with pytest.raises(Alarm):
                signal.setitimer(signal.ITIMER_REAL, 0.0003)
                while True:
                    with lock:
                        pass
            assert is_free(lock)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_it_is_held_within_the_block_and_free_after_an_error():
    lock = ForkSafeLock()
    with pytest.raises(KeyError), lock:
        assert not is_free(lock)
        raise KeyError
    assert is_free(lock)


def test_a_child_that_is_forked_within_the_block_leaves_it():
    lock = ForkSafeLock()
    with lock:
        child = os.fork()
    if not child:
        os._exit(0 if lock.interrupted and is_free(lock) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_free(lock) and not lock.interrupted
