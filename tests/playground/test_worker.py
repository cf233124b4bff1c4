"""One job at a time, in order; long ones make room, errors are told, and the thread goes on."""

import threading

import pytest

from nsfw_experiments.playground.worker import Worker

SECONDS = 20


@pytest.fixture
def errors():
    return []


@pytest.fixture
def worker(errors):
    return Worker(on_error=lambda name, error: errors.append((name, str(error))))


def held(worker):
    """A job that runs until the event that is given is set."""
    begun, release = threading.Event(), threading.Event()

    def hold():
        begun.set()
        release.wait(SECONDS)

    worker.do("held", hold)
    assert begun.wait(SECONDS)
    return release


def test_jobs_are_done_in_order_on_one_thread_that_is_not_the_callers(worker):
    done = []
    for name in "abc":
        worker.do(name, lambda name=name: done.append((name, threading.current_thread())))
    assert worker.wait(SECONDS)
    assert [name for name, _ in done] == ["a", "b", "c"]
    threads = {thread for _, thread in done}
    assert len(threads) == 1 and threading.current_thread() not in threads


def test_of_jobs_with_one_name_that_wait_only_the_latest_is_done(worker):
    done = []
    release = held(worker)
    for position in range(10):
        worker.do("slide", lambda position=position: done.append(position))
    release.set()
    assert worker.wait(SECONDS)
    assert done == [9]


def test_a_job_in_steps_makes_room_for_the_next_and_is_closed(worker):
    seen = []
    running = threading.Event()

    def endless():
        try:
            while True:
                running.set()
                yield
        finally:
            seen.append("closed")

    worker.do("endless", endless)
    assert running.wait(SECONDS)
    worker.do("next", lambda: seen.append("next"))
    assert worker.wait(SECONDS)
    assert seen == ["closed", "next"]


def test_a_job_that_was_dropped_is_not_done(worker):
    done = []
    release = held(worker)
    worker.do("dropped", lambda: done.append("dropped"))
    worker.drop("dropped", "never there")
    release.set()
    assert worker.wait(SECONDS)
    assert done == []


def test_an_error_is_told_and_the_next_job_is_done(worker, errors):
    done = []

    def fails():
        yield
        raise ValueError("no such thing")

    worker.do("failing", fails)
    worker.do("next", lambda: done.append(True))
    assert worker.wait(SECONDS)
    # the first may have made room before it failed
    worker.do("failing", fails)
    assert worker.wait(SECONDS)
    assert errors[-1] == ("failing", "no such thing") and done == [True]


def test_waiting_has_a_limit(worker):
    release = held(worker)
    assert not worker.wait(0.01)
    release.set()
    assert worker.wait(SECONDS)
