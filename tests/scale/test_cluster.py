"""Clusters: scores in order, of workers that score as this process does, and whoever is lost loses nothing."""

import io
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from math import isnan
from pathlib import Path
from types import SimpleNamespace

import dask
import distributed
import fsspec
import numpy as np
import pytest
from distributed import Client, LocalCluster, get_worker
from PIL import Image

from nsfw_model.picture import PictureError, picture_name
from nsfw_scale import cluster as cluster_module
from nsfw_scale.cluster import AHEAD, ClusterError, connect, distributed_scores
from open_nsfw import FrameScore, nsfw_score, nsfw_scores

ROOT = Path(__file__).resolve().parents[2]
PICTURES = [str(ROOT / "img" / name) for name in ("astronaut.png", "coffee.jpg", "retina.jpg", "rocket.jpg")]


# --- what workers are given to do: as many results as pictures, and no network


def same(images, workers):
    yield from images


def names(images, workers):
    return [PictureError(f"{picture_name(img)}: is no picture") for img in images]


def sizes_of_parts(images, workers):
    part = list(images)
    return [len(part)] * len(part)


def threads(images, workers):
    return [workers for _ in images]


def at_work(images, workers):
    """How many parts are at work at the same time, at most."""
    return [highest_of(counted) for _ in images]


counted: list[int] = [0]


def highest_of(count):
    count[0] += 1
    time.sleep(0.01)
    count[0], seen = count[0] - 1, count[0]
    return seen


def broken(images, workers):
    for img in images:
        raise ZeroDivisionError(f"at {img!r}")
        yield


def facts_of_all():
    return {"Pillow": "13.0.0"}


def facts_except(odd):
    """Those of a worker of that name are others; this process is no worker."""
    try:
        name = get_worker().name
    except ValueError:
        name = None
    return {"Pillow": "11.0.0" if name == odd else "13.0.0"}


def facts_of_a_client():
    """A worker has none, as one whose processor lacks what is asked for."""
    try:
        get_worker()
    except ValueError:
        return {"Pillow": "13.0.0"}
    raise NotImplementedError("no bfloat16 here")


class Lacking:
    """What cannot be unpickled where a module is missing."""

    def __reduce__(self):
        return __import__, ("a_module_that_nobody_has",)


def workers_names(images, workers):
    time.sleep(0.02)
    return [get_worker().name for _ in images]


class Deadly:
    """Scores as `same`, and ends the process that has a certain picture."""

    def __init__(self, deadly):
        self.deadly = deadly

    def __call__(self, images, workers):
        for img in images:
            if img == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            yield img


class SlowScores:
    """Scores, slowly, and tells in a folder who is at work."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, images, workers):
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.1)
        return nsfw_scores(images, on_error="return", workers=workers)


# --- in this process


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def scored(client, images, score_part=same, **settings):
    return distributed_scores(client, images, score_part, facts_of_all, **settings)


def of_unknown_number(images):
    yield from images


def test_results_come_in_order(client):
    pictures = [bytes([number]) for number in range(100)]
    assert list(scored(client, pictures, partition=7)) == pictures
    assert list(scored(client, of_unknown_number(pictures), partition=7)) == pictures


def test_no_pictures_have_no_results(client):
    assert list(scored(client, [])) == list(scored(client, of_unknown_number([]))) == []


def test_no_more_pictures_are_taken_than_the_workers_have_ahead(client):
    taken = []
    results = scored(client, (taken.append(number) or b"%d" % number for number in range(1000)), partition=5)
    assert taken == []
    assert next(results) == b"0"
    assert len(taken) == 5 * AHEAD * 2


def test_parts_are_large_unless_a_worker_would_have_few_of_them(client):
    many = [b""] * 1500
    assert list(scored(client, many, sizes_of_parts, partition=50)) == [50] * 1500
    assert list(scored(client, many[:160], sizes_of_parts, partition=50)) == [10] * 160
    assert list(scored(client, many[:5], sizes_of_parts, partition=50)) == [1] * 5
    assert list(scored(client, of_unknown_number(many[:53]), sizes_of_parts, partition=50)) == [50] * 50 + [3] * 3


def test_the_size_of_parts_may_be_set(client, monkeypatch):
    monkeypatch.setattr(cluster_module, "PARTITION", 3)
    assert list(scored(client, of_unknown_number([b""] * 4), sizes_of_parts)) == [3, 3, 3, 1]


def test_bytes_and_pixels_travel_in_smaller_parts(client, monkeypatch):
    monkeypatch.setattr(cluster_module, "MAX_PART_BYTES", 100)

    def sizes(images):
        return list(scored(client, of_unknown_number(images), sizes_of_parts))

    assert sizes([bytes(40)] * 7) == [3, 3, 3, 3, 3, 3, 1]
    assert sizes([np.zeros((5, 5, 3), np.uint8)] * 3) == [2, 2, 1]
    assert sizes([bytes(50)] * 3) == [2, 2, 1]
    assert sizes([bytearray(40)] * 4) == [3, 3, 3, 1]
    assert sizes([bytes(400)] * 2) == [1, 1]
    assert sizes(["a" * 40] * 7) == [7] * 7


def test_names_are_those_of_the_same_file_in_every_folder(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["a.jpg", Path("b/c.jpg"), "/d.jpg", "", bytearray(b"bytes")]
    assert list(scored(client, given)) == [f"{tmp_path}/a.jpg", f"{tmp_path}/b/c.jpg", "/d.jpg", "", b"bytes"]


def test_errors_call_a_picture_as_it_was_given(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    errors = list(scored(client, ["a.jpg", Path("b.jpg"), "/c.jpg", b"bytes", ""], names))
    assert [str(error).removesuffix(": is no picture") for error in errors] == [
        *("a.jpg", "b.jpg", "/c.jpg", "<5 bytes>", "the empty name")
    ]


def test_workers_fetch_what_is_at_addresses(client):
    with fsspec.open("memory://test_cluster/a.jpg", "wb") as file:
        file.write(b"a file")
    images = ["memory://test_cluster/a.jpg", "/b.jpg", "memory://none.jpg", "memory://test_cluster/a.jpg"]
    first, second, error, last = scored(client, images)
    assert (first, second, last) == (b"a file", "/b.jpg", b"a file")
    assert isinstance(error, PictureError) and str(error) == "memory://none.jpg: no such file"
    assert list(map(str, scored(client, images[:1], names))) == [f"{images[0]}: is no picture"]


@pytest.mark.parametrize("img", [io.BytesIO(b"bytes"), Image.new("RGB", (3, 3)), 7], ids=lambda img: type(img).__name__)
def test_what_cannot_be_sent_is_refused_after_the_scores_before_it(client, img):
    results = scored(client, [b"one", b"two", img, b"three"])
    assert [next(results), next(results)] == [b"one", b"two"]
    with pytest.raises(
        TypeError, match=f"got {type(img).__name__}, which cannot be sent to a cluster; expected a path"
    ):
        next(results)


def test_an_error_of_the_iterator_is_raised_after_the_scores_before_it(client):
    def images():
        yield from (b"one", b"two")
        raise ZeroDivisionError("of the iterator")

    results = scored(client, images())
    assert [next(results), next(results)] == [b"one", b"two"]
    with pytest.raises(ZeroDivisionError, match="of the iterator"):
        next(results)


def test_an_error_of_a_part_is_raised(client):
    with pytest.raises(ZeroDivisionError, match="at b'one'"):
        list(scored(client, [b"one"], broken))


def test_a_worker_computes_one_part_at_a_time_with_as_many_threads_as_told(client):
    assert set(scored(client, [b""] * 12, at_work, partition=1)) == {1}
    assert list(scored(client, [b""], threads)) == [None]
    assert list(scored(client, [b""], threads, threads=5)) == [5]


def test_who_takes_no_more_results_leaves_no_work_behind(client):
    results = scored(client, (b"%d" % number for number in range(1000)))
    next(results)
    assert client.futures
    results.close()
    deadline = time.monotonic() + 10
    while client.futures and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not client.futures


def test_a_partition_of_nothing_is_refused(client):
    with pytest.raises(ValueError, match="partition: got 0, expected a whole number of at least 1"):
        scored(client, [], partition=0)


def test_scores_are_those_of_one_process(client):
    images = [*PICTURES, "none.jpg", Path(PICTURES[0]).read_bytes()]
    *one, error, last = nsfw_scores(images, on_error="return")
    *here, same_error, same_last = nsfw_scores(images, on_error="return", client=client)
    assert [*here, same_last] == pytest.approx([*one, last], abs=1e-6)
    assert isinstance(same_error, PictureError) and str(same_error) == str(error)


def test_what_becomes_of_an_error_is_as_without_a_cluster(client):
    images = [PICTURES[0], "none.jpg", PICTURES[1]]
    first, nan, last = nsfw_scores(images, on_error="nan", client=client)
    assert isnan(nan) and not isnan(first) and not isnan(last)
    results = nsfw_scores(images, client=client)
    assert next(results) == pytest.approx(first, abs=1e-6)
    with pytest.raises(PictureError, match="^none.jpg: no such file$"):
        next(results)


def test_frames_are_scored_as_without_a_cluster(client, tmp_path):
    animation = tmp_path / "two.gif"
    white, black = Image.new("RGB", (64, 64), "white"), Image.new("RGB", (64, 64))
    white.save(animation, save_all=True, append_images=[black], duration=[200, 200])
    [[first, second]] = nsfw_scores([animation], frames="all", client=client)
    assert isinstance(first, FrameScore) and (first.seconds, second.seconds) == (0.0, 0.2)
    [worst] = nsfw_scores([animation], frames="max", client=client)
    assert worst == pytest.approx(max(first.score, second.score), abs=1e-6)


def test_workers_that_cannot_score_at_all_are_refused_by_name():
    with (
        LocalCluster(n_workers=5, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        with pytest.raises(ClusterError) as raised:
            distributed_scores(client, [], same, facts_of_a_client)
        shown = [f"worker {address}: NotImplementedError: no bfloat16 here" for address in client.nthreads()][:3]
        assert str(raised.value) == "; ".join([*shown, "and 2 more workers"])


def test_a_worker_that_lacks_a_module_is_refused_with_its_name(client):
    with pytest.raises(ClusterError, match="^worker inproc://.*: .*Error: "):
        distributed_scores(client, [], Lacking(), facts_of_all)


def test_weights_that_are_not_there_are_noticed_before_anything_is_sent(client):
    with pytest.raises(FileNotFoundError, match="no such file: none.pkl"):
        nsfw_scores([], nsfw_pkl_path="none.pkl", client=client)


def test_a_cluster_without_workers_is_given_up():
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        pytest.raises(ClusterError, match="^inproc://.*: the cluster has had no worker for 0.2 s$"),
    ):
        scored(client, [b""], patience=0.2)


def test_a_scheduler_that_is_lost_is_an_error():
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        results = scored(client, (b"" for _ in range(1000)), partition=1)
        next(results)
        cluster.close()
        with pytest.raises(ClusterError, match="the scheduler of the cluster is lost"):
            list(results)


def test_nobody_at_an_address_is_one_line():
    with pytest.raises(ClusterError) as raised, connect("tcp://127.0.0.1:1", seconds=0.2):
        pass
    assert str(raised.value).startswith("tcp://127.0.0.1:1: no scheduler of a cluster answers: ")
    assert "\n" not in str(raised.value)


def test_a_server_of_another_kind_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        address = "tcp://{}:{}".format(*server.getsockname())
        with pytest.raises(ClusterError, match=f"^{address}: no scheduler of a cluster answers: "):
            with connect(address, seconds=1):
                pass


def test_an_address_that_is_none_is_one_line():
    with pytest.raises(ClusterError, match="^nowhere://1: no scheduler of a cluster answers: "), connect("nowhere://1"):
        pass


def test_a_missing_dask_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ClusterError, match=r"^a cluster needs Dask: pip install 'open-nsfw-theano\[cluster\]'$"),
        connect("tcp://127.0.0.1:1"),
    ):
        pass


# --- with a client made up here, whose workers come, go and differ as they are told


class Answer:
    """What comes of a part that was sent: a value, an error, or None as long as nothing does."""

    def __init__(self, value):
        self.value, self.is_released = value, False

    def exception(self):
        return self.value if isinstance(self.value, BaseException) else None

    def result(self):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    def release(self):
        self.is_released = True


class Scripted:
    """A client: `there` are its workers, and `answers` what comes of parts in their order."""

    def __init__(self, *answers, there=("a", "b")):
        self.there, self.answers, self.sent, self.looks = list(there), list(answers), [], 0
        self.status, self.scheduler = "running", SimpleNamespace(address="tcp://here:1")

    def nthreads(self):
        self.looks += 1
        if isinstance(self.there, Exception):
            raise self.there
        return dict.fromkeys(self.there, 1)

    def submit(self, function, job, part, *, workers, pure):
        assert function is cluster_module._answer and pure is False, "the same part may be sent again"
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        self.sent.append((part.pictures, workers))
        return Answer(answer)


@pytest.fixture
def scripted(monkeypatch):
    """Makes a cluster of a client; whoever waits in vain is told so, and time goes on by a look."""
    now = [1000.0]

    def wait(futures, timeout):
        assert timeout == cluster_module.LOOK
        if futures[0].value is None:
            now[0] += 1.01 * cluster_module.LOOK
            on_wait()
            raise distributed.TimeoutError

    def on_wait():
        pass

    def scripted(client, patience=30.0, while_waiting=None):
        nonlocal on_wait
        on_wait = while_waiting or on_wait
        job = cluster_module._Job("name", same, facts_of_all, {}, None)
        return cluster_module._Cluster(client, job, patience)

    def sleep(seconds):
        now[0] += seconds
        on_wait()

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(cluster_module, "time", clock)
    monkeypatch.setattr(distributed, "wait", wait)
    scripted.now = now
    return scripted


def received(cluster, *images, size=1):
    return list(cluster.results(cluster_module._Partitions(images, size)))


REFUSAL = cluster_module._Refusal("b", "Pillow 11.0, expected 13.0")


class TestLostWorkers:
    def test_one_that_is_lost_before_it_is_asked_is_no_reason_to_refuse_the_others(self, scripted):
        client = Scripted(None, [])
        scripted(client, while_waiting=lambda: client.there.remove("a")).check_workers()
        assert client.sent == [([], ["a"]), ([], ["b"])]

    def test_one_that_is_there_is_waited_for(self, scripted):
        client = Scripted(None)
        cluster = scripted(client)
        sent = cluster._send(cluster_module._Part([], []), ["a"])
        waits = []

        def answer():
            waits.append(1)
            if len(waits) == 5:
                sent.future.value = REFUSAL

        scripted(client, while_waiting=answer)
        assert cluster._check(sent) == REFUSAL and len(waits) == 5

    def test_a_part_whose_only_workers_are_lost_is_sent_to_others(self, scripted):
        client = Scripted(REFUSAL, None, ["one"], there=["a", "b"])

        def replace():
            client.there = ["b", "c"]

        with pytest.warns(RuntimeWarning, match="^worker b: Pillow 11.0, expected 13.0: it gets no work$"):
            assert received(scripted(client, while_waiting=replace), b"1") == ["one"]
        assert client.sent == [([b"1"], None), ([b"1"], ["a"]), ([b"1"], ["c"])]

    def test_a_part_one_of_whose_workers_is_left_is_not_sent_again(self, scripted):
        client = Scripted(None, there=["a", "c", "b"])
        cluster = scripted(client)
        cluster._refused.add("b")
        sent = cluster._send(cluster_module._Part(["1"], [b"1"]))

        def lose():
            client.there = ["b", "c"]
            sent.future.value = ["one"] if client.looks > 3 else None

        scripted(client, while_waiting=lose)
        assert cluster._answered(sent) == ["one"] and client.sent == [([b"1"], ["a", "c"])]

    def test_one_that_differs_is_warned_of_once_and_its_parts_are_sent_again(self, scripted):
        client = Scripted(REFUSAL, REFUSAL, ["one"], ["two"])
        with pytest.warns(RuntimeWarning) as warned:
            assert received(scripted(client), b"1", b"2") == ["one", "two"]
        assert len(warned) == 1
        assert client.sent == [([b"1"], None), ([b"2"], None), ([b"1"], ["a"]), ([b"2"], ["a"])]

    def test_no_worker_is_waited_for_and_how_many_differ_is_told(self, scripted):
        client = Scripted(there=["b"])
        cluster = scripted(client, patience=3.0)
        cluster._refused.add("b")
        begun = scripted.now[0]
        with pytest.raises(ClusterError) as raised:
            cluster.workers()
        assert str(raised.value) == (
            "tcp://here:1: the cluster has had no worker for 3 s, other than 1 that would score otherwise"
        )
        assert 3.0 < scripted.now[0] - begun < 3.2

    def test_one_that_comes_in_time_is_taken_and_time_begins_anew(self, scripted):
        client = Scripted(there=[])
        begun = scripted.now[0]

        def come():
            if scripted.now[0] > begun + 2.5:
                client.there = ["c"]

        cluster = scripted(client, patience=3.0, while_waiting=come)
        assert cluster.workers() == ["c"]
        client.there = []
        scripted.now[0] += 2.9
        scripted(client, while_waiting=lambda: client.there.append("d"))
        assert cluster.workers() == ["d"]

    def test_a_list_of_workers_is_not_asked_for_more_often_than_each_second(self, scripted):
        client = Scripted()
        cluster = scripted(client)
        for seconds, looks in (0, 1), (0.5, 1), (0.5, 1), (0.1, 2), (1.0, 2), (0.01, 3):
            scripted.now[0] += seconds
            assert cluster.workers() == ["a", "b"] and client.looks == looks


@pytest.mark.parametrize("count, more", [(1, ""), (3, ""), (4, "; and 1 more workers")])
def test_three_that_differ_are_named(count, more, scripted):
    there = [f"worker{number}" for number in range(count)]
    refusals = [cluster_module._Refusal(name, "differs") for name in there]
    with pytest.raises(ClusterError) as raised:
        scripted(Scripted(*refusals, there=there)).check_workers()
    assert str(raised.value) == "; ".join(f"worker {name}: differs" for name in there[:3]) + more


class TestLostSchedulers:
    LOST = "^tcp://here:1: the scheduler of the cluster is lost$"

    def test_one_that_does_not_answer_is_lost(self, scripted):
        client = Scripted()
        client.there = OSError("no socket")
        with pytest.raises(ClusterError, match=self.LOST):
            scripted(client).workers()

    def test_what_is_cancelled_is_lost(self, scripted):
        with pytest.raises(ClusterError, match=self.LOST):
            received(scripted(Scripted(distributed.CancelledError())), b"1")

    @pytest.mark.parametrize("status", ["running", "connecting"])
    def test_what_cannot_be_sent_is_an_error_of_its_own(self, status, scripted):
        client = Scripted(OSError("cannot be pickled"))
        client.status = status
        with pytest.raises(OSError, match="cannot be pickled"):
            received(scripted(client), b"1")

    def test_unless_there_is_no_connection(self, scripted):
        client = Scripted(OSError("no connection"))
        client.status = "closed"
        with pytest.raises(ClusterError, match=self.LOST):
            received(scripted(client), b"1")
        client.answers, client.scheduler = [OSError("no connection")], None
        with pytest.raises(ClusterError, match="^a closed client: the scheduler of the cluster is lost$"):
            received(scripted(client), b"1")


def killed():
    return distributed.KilledWorker("a part", SimpleNamespace(address="a"), 3)


class TestPicturesThatEndWorkers:
    def test_a_part_that_does_is_done_picture_by_picture(self, scripted):
        client = Scripted(killed(), ["one"], killed(), ["three"])
        first, error, last = received(scripted(client), b"1", b"22", b"3", size=3)
        assert (first, last) == ("one", "three")
        assert str(error) == "<2 bytes>: cannot be scored: each worker that tried was lost"
        assert isinstance(error, PictureError) and isinstance(error.__cause__, distributed.KilledWorker)
        assert [pictures for pictures, _ in client.sent] == [[b"1", b"22", b"3"], [b"1"], [b"22"], [b"3"]]

    def test_one_by_itself_is_not_tried_again(self, scripted):
        client = Scripted(killed())
        [error] = received(scripted(client), b"1")
        assert isinstance(error, PictureError) and len(client.sent) == 1


def test_what_is_on_its_way_when_nobody_wants_more_is_released(scripted):
    client = Scripted(*[["one"]] * 6)
    futures, submit = [], client.submit
    client.submit = lambda *arguments, **options: futures.append(submit(*arguments, **options)) or futures[-1]
    results = scripted(client).results(cluster_module._Partitions([b""] * 9, 1))
    next(results)
    results.close()
    assert [future.is_released for future in futures] == [True] * AHEAD * 2


class TestWhereItIsScored:
    @pytest.fixture
    def job(self):
        def job(score_part=same, facts=facts_of_all, expected=None):
            return cluster_module._Job(os.urandom(8).hex(), score_part, facts, expected or facts_of_all(), 3)

        return job

    def test_why_a_worker_differs_is_found_out_once_for_each_job(self, job):
        asked = []

        def facts():
            asked.append(1)
            return {"Pillow": "11.0"}

        differing = job(facts=facts)
        assert [cluster_module._why_not(differing) for _ in range(3)] == ["Pillow 11.0, expected 13.0.0"] * 3
        assert len(asked) == 1 and cluster_module._why_not(job()) is None
        assert len(asked) == 1 and cluster_module._why_not(job(facts=facts)) is not None and len(asked) == 2

    def test_each_error_has_the_name_that_was_given(self, job):
        part = cluster_module._Part(
            ["a.jpg", "memory://none.jpg", "b.jpg"], ["/x/a.jpg", "memory://none.jpg", "/x/b.jpg"]
        )
        results = cluster_module._results(job(names), part)
        assert [str(result) for result in results] == [
            "a.jpg: is no picture",
            "memory://none.jpg: no such file",
            "b.jpg: is no picture",
        ]

    def test_an_error_of_another_name_stays_as_it_is(self):
        error = PictureError("somebody: is no picture")
        assert str(cluster_module._called(error, "/x/a.jpg", "a.jpg")) == "somebody: is no picture"
        assert cluster_module._called(0.5, "/x/a.jpg", "a.jpg") == 0.5

    def test_threads_are_those_of_the_job(self, job):
        assert cluster_module._results(job(threads), cluster_module._Part(["a"], [b"a"])) == [3]


# --- in processes


@pytest.fixture
def processes(tmp_path):
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", local_directory=tmp_path / "dask"
    ) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(processes, tmp_path):
    images = [*PICTURES, "none.jpg"] * 6
    one = [nsfw_score(img) for img in PICTURES]
    with connect(processes.scheduler_address) as client:
        results = distributed_scores(client, images, SlowScores(tmp_path), facts_of_all, partition=2)
        begun = [next(results)]
        [killed, *_] = [path for path in tmp_path.iterdir() if path.name.isdigit()]
        os.kill(int(killed.name), signal.SIGKILL)
        scores = [*begun, *results]
    assert len(scores) == len(images)
    for place, score in enumerate(scores):
        if images[place] == "none.jpg":
            assert str(score) == "none.jpg: no such file"
        else:
            assert score == pytest.approx(one[PICTURES.index(images[place])], abs=1e-6)


@pytest.mark.slow
def test_all_workers_may_be_lost_if_others_come(processes, tmp_path):
    images = [bytes([number]) for number in range(40)]
    with connect(processes.scheduler_address) as client:
        results = scored(client, images, partition=1)
        begun = [next(results)]
        for pid in client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
        assert [*begun, *results] == images


@pytest.mark.slow
def test_a_picture_that_ends_its_workers_costs_no_other(tmp_path):
    images = [bytes([number]) for number in range(20)]
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", local_directory=tmp_path
        ) as cluster,
        Client(cluster) as client,
    ):
        results = list(
            distributed_scores(client, of_unknown_number(images), Deadly(images[7]), facts_of_all, partition=10)
        )
    error = results.pop(7)
    assert results == images[:7] + images[8:]
    assert isinstance(error, PictureError)
    assert str(error) == "<1 bytes>: cannot be scored: each worker that tried was lost"


@pytest.mark.slow
def test_a_worker_that_would_score_otherwise_is_refused_by_name(processes):
    with Client(processes) as client:
        refused = processes.workers[1].worker_address
        with pytest.raises(ClusterError) as raised:
            distributed_scores(client, [b""], same, partial(facts_except, odd=1))
        assert str(raised.value) == f"worker {refused}: Pillow 11.0.0, expected 13.0.0"


@pytest.mark.slow
def test_a_worker_that_comes_later_and_would_score_otherwise_gets_no_work(processes):
    images = [b""] * 400
    with Client(processes) as client:
        results = distributed_scores(client, images, workers_names, partial(facts_except, odd=2), partition=2)
        at_work = [next(results)]
        processes.scale(3)
        client.wait_for_workers(3)
        with pytest.warns(RuntimeWarning, match="^worker tcp://.*: Pillow 11.0.0, expected 13.0.0: it gets no work$"):
            at_work += results
    assert len(at_work) == 400
    assert set(at_work) == {0, 1}
