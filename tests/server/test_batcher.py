"""The network's thread: who shares a batch, who waits for whom, and what becomes of errors."""

import threading
import time

import numpy as np
import pytest

from nsfw_server import batcher as batcher_module
from nsfw_server.batcher import Batcher


def frame(value):
    return np.full((3, 2, 2), value, np.float32)


class Networks:
    """Two networks that give back what they get, and note it; they wait while `gate` is closed."""

    def __init__(self):
        self.batches, self.gate, self.observed = [], threading.Event(), []
        self.gate.set()
        self.began = threading.Event()

    def named(self, name):
        def scores(x):
            self.began.set()
            self.gate.wait(30)
            values = x[:, 0, 0, 0].tolist()
            self.batches.append((name, values))
            if -1 in values:
                raise ZeroDivisionError("a fault of the network")
            return values

        return scores


@pytest.fixture
def networks():
    return Networks()


@pytest.fixture
def make(networks):
    made = []

    def make(batch=4, seconds=30.0):
        both = {name: networks.named(name) for name in ("a", "b")}
        made.append(Batcher(both, batch, seconds, lambda size, seconds: networks.observed.append((size, seconds))))
        return made[-1]

    yield make
    networks.gate.set()
    for batcher in made:
        if batcher._thread.is_alive():
            batcher.stop()


def submitted(batcher, *values, network="a", **options):
    return [batcher.submit(network, frame(value), **options) for value in values]


def results(futures):
    return [future.result(30) for future in futures]


def test_what_waits_shares_batches_of_so_many_in_its_order(make, networks):
    batcher = make(batch=4)
    waiting = submitted(batcher, *range(10))
    batcher.start()
    assert results(waiting) == list(range(10))
    assert networks.batches == [("a", [0, 1, 2, 3]), ("a", [4, 5, 6, 7]), ("a", [8, 9])]
    batcher.stop()
    assert [size for size, _ in networks.observed] == [4, 4, 2]


def test_a_batch_is_of_one_network_and_those_of_others_keep_their_places(make, networks):
    batcher = make(batch=3)
    waiting = [batcher.submit(name, frame(value)) for value, name in enumerate("abaabbab")]
    batcher.start()
    assert results(waiting) == list(range(8))
    assert networks.batches == [("a", [0, 2, 3]), ("b", [1, 4, 5]), ("a", [6]), ("b", [7])]


def test_who_is_first_passes_all_that_wait(make, networks):
    batcher = make(batch=2)
    waiting = [*submitted(batcher, 0, 1), *submitted(batcher, 9, first=True)]
    batcher.start()
    assert results(waiting) == [0, 1, 9]
    assert networks.batches == [("a", [9, 0]), ("a", [1])]


def test_a_picture_waits_while_others_are_on_their_way(make, networks):
    batcher = make(batch=4)
    batcher.expect(3)
    batcher.start()
    first = submitted(batcher, 0, came=1)
    time.sleep(0.1)
    assert networks.batches == []
    rest = submitted(batcher, 1, 2, came=1)
    assert results(first + rest) == [0, 1, 2]
    assert networks.batches == [("a", [0, 1, 2])]


def test_a_batch_that_is_full_waits_for_nobody(make, networks):
    batcher = make(batch=2)
    batcher.expect(9)
    batcher.start()
    assert results(submitted(batcher, 0, 1)) == [0, 1]


def test_those_that_do_not_come_are_not_waited_for(make):
    batcher = make()
    batcher.expect(2)
    batcher.start()
    waiting = submitted(batcher, 0, came=1)
    batcher.expect(-1)
    assert results(waiting) == [0]


def test_nobody_is_waited_for_longer_than_so_many_seconds(make, networks):
    batcher = make(seconds=0.05)
    batcher.expect(1)
    batcher.start()
    began = time.monotonic()
    assert results(submitted(batcher, 0)) == [0]
    assert time.monotonic() - began >= 0.05


def test_what_waits_at_the_end_is_scored_and_nothing_is_waited_for(make, networks):
    batcher = make(batch=2)
    batcher.expect(5)
    waiting = submitted(batcher, 0, 1, 2)
    batcher.start()
    batcher.stop()
    assert [future.done() for future in waiting] == [True] * 3
    assert results(waiting) == [0, 1, 2] and not batcher._thread.is_alive()


def test_an_error_is_that_of_its_batch_and_the_thread_goes_on(make, networks):
    batcher = make(batch=2)
    bad, good = submitted(batcher, 0, -1), submitted(batcher, 1)
    batcher.start()
    for future in bad:
        with pytest.raises(ZeroDivisionError, match="a fault of the network"):
            future.result(30)
    assert results(good) == [1]
    batcher.stop()
    assert [size for size, _ in networks.observed] == [1]


def test_what_is_wanted_no_more_is_left_out(make, networks):
    batcher = make(batch=3)
    waiting = submitted(batcher, 0, 1, 2, 3)
    assert waiting[0].cancel() and waiting[3].cancel()
    batcher.start()
    batcher.stop()
    assert networks.batches == [("a", [1, 2])] and results(waiting[1:3]) == [1, 2]


def test_what_is_being_scored_cannot_be_cancelled(make, networks):
    networks.gate.clear()
    batcher = make()
    batcher.start()
    (waiting,) = submitted(batcher, 7)
    assert networks.began.wait(30) and not waiting.cancel()
    networks.gate.set()
    assert waiting.result(30) == 7


def test_the_seconds_of_a_batch_are_those_in_the_network(make, networks, monkeypatch):
    moments = iter([10.0, 10.25])
    monkeypatch.setattr(batcher_module.time, "perf_counter", lambda: next(moments))
    batcher = make()
    waiting = submitted(batcher, 0)
    batcher.start()
    results(waiting)
    batcher.stop()
    assert networks.observed == [(1, 0.25)]


def test_its_thread_does_not_keep_a_process_that_ends(make):
    assert make()._thread.daemon


def test_who_is_not_told_of_batches_needs_not_be():
    batcher = Batcher({"a": lambda x: x[:, 0, 0, 0].tolist()}, 2, 0.0)
    batcher.start()
    assert batcher.submit("a", frame(0.5)).result(30) == 0.5
    batcher.stop()
