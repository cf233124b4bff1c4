"""A cluster scores as one process does, in order. Lost workers lose nothing, and odd ones are refused."""

import io
import os
import time
from functools import partial
from itertools import count
from pathlib import Path

import fsspec
import pytest
from distributed import Client, LocalCluster
from PIL import Image

from nsfw_scale import cluster as cluster_module
from nsfw_scale.addresses import Address, is_address
from nsfw_scale.cluster import ClusterError, connect, distributed_scores
from open_nsfw import PictureError, nsfw_score, nsfw_scores

HERE = os.getpid()
PICTURES = [str(path) for path in sorted(Path("img").iterdir()) if path.suffix in (".png", ".jpg")]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two workers, processes of one thread each."""
    folder = tmp_path_factory.mktemp("dask")
    options = dict(processes=True, dashboard_address=None, local_directory=folder)
    with LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster, Client(cluster) as client:
        yield client


def squared(part):
    for img in part:
        yield img**2


def facts():
    return {"Pillow": "13.0.0"}


def facts_by_process(home):
    return {"open_nsfw": "2.0.0", "Pillow": "13.0.0" if os.getpid() == home else "11.3.0"}


def score_by_process(home, score):
    return {cluster_module._SCORE: score if os.getpid() == home else 0.5}


def broken_elsewhere(home):
    if os.getpid() != home:
        raise ZeroDivisionError("no facts")
    return {}


class TestOrder:
    @pytest.mark.parametrize("pictures, partition", [(0, 3), (1, 3), (9, 3), (50, 7)])
    def test_results_come_in_order(self, client, pictures, partition):
        results = distributed_scores(client, iter(range(pictures)), squared, facts, partition)
        assert list(results) == [number**2 for number in range(pictures)]

    def test_pictures_are_taken_a_few_parts_ahead(self, client):
        taken = []
        results = distributed_scores(client, (taken.append(n) or n for n in count()), squared, facts, 5)
        assert taken == []
        assert next(results) == 0
        assert len(taken) == 5 * cluster_module.AHEAD * 2
        results.close()

    def test_what_the_iterator_raises_comes_after_the_results_before_it(self, client):
        def images():
            yield from range(4)
            raise ZeroDivisionError

        results = distributed_scores(client, images(), squared, facts, 3)
        assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_what_scoring_raises_comes_after_the_results_before_it(self, client):
        results = distributed_scores(client, iter([1, 2, "three", 4]), squared, facts, 10)
        assert [next(results) for _ in range(2)] == [1, 4]
        with pytest.raises(TypeError):
            next(results)


def die_once(folder, part):
    """Score numbers slowly; the first process that comes to 7 dies of it."""
    for img in part:
        time.sleep(0.01)
        try:
            if img == 7:
                (folder / "died").touch(exist_ok=False)
                os._exit(1)
        except FileExistsError:
            pass
        yield img**2


def die(part):
    os._exit(1)


class TestLostWorkers:
    def test_what_a_lost_worker_had_is_scored_by_another(self, client, tmp_path):
        results = distributed_scores(client, iter(range(40)), partial(die_once, tmp_path), facts, 5)
        assert list(results) == [number**2 for number in range(40)]
        assert (tmp_path / "died").exists()

    @pytest.mark.slow
    def test_a_part_that_ends_every_worker_is_named(self, client):
        with pytest.raises(ClusterError, match="^a to b: every worker that scored this part died"):
            list(distributed_scores(client, iter(["a", "b"]), die, facts, 5))

    def test_a_cluster_without_workers_is_told(self, monkeypatch):
        monkeypatch.setattr(cluster_module, "PATIENCE", (10.0, 0.0))
        options = dict(processes=False, threads_per_worker=1, dashboard_address=None)
        with LocalCluster(n_workers=0, **options) as cluster, Client(cluster) as alone:
            with pytest.raises(ClusterError, match="the cluster has no workers"):
                list(distributed_scores(alone, iter([1]), squared, facts))
        with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as alone:

            def images():
                alone.retire_workers()
                yield 1

            with pytest.raises(ClusterError, match="no worker is left, and none came for 0 s"):
                list(distributed_scores(alone, images(), squared, facts, 1))


class TestHandshake:
    def test_workers_of_other_versions_are_refused_by_name(self, client):
        with pytest.raises(ClusterError) as caught:
            next(distributed_scores(client, iter([1]), squared, partial(facts_by_process, HERE)))
        for address in client.nthreads():
            assert f"worker {address}: Pillow is 11.3.0, expected 13.0.0" in str(caught.value)

    @pytest.mark.parametrize("score, is_refused", [(0.5 + 5e-6, False), (0.51, True), (float("nan"), True)])
    def test_scores_may_differ_as_those_of_processors_do(self, client, score, is_refused):
        results = distributed_scores(client, iter([1]), squared, partial(score_by_process, HERE, score))
        if is_refused:
            with pytest.raises(ClusterError, match="a known picture's score is 0.5, expected"):
                next(results)
        else:
            assert next(results) == 1

    def test_a_worker_that_joins_later_is_asked_too(self, client, monkeypatch):
        monkeypatch.setattr(cluster_module, "_check_workers", lambda *_: None)
        with pytest.raises(ClusterError, match="^worker tcp://.*: Pillow is 11.3.0, expected 13.0.0"):
            next(distributed_scores(client, iter([1]), squared, partial(facts_by_process, HERE)))

    def test_a_worker_that_cannot_tell_is_refused_by_name(self, client):
        with pytest.raises(ClusterError, match="worker tcp://.*: ZeroDivisionError"):
            next(distributed_scores(client, iter([1]), squared, partial(broken_elsewhere, HERE)))


class TestConnect:
    def test_a_scheduler_is_found(self, client):
        with connect(client.scheduler.address) as found:
            assert len(found.nthreads()) == 2

    def test_where_nobody_answers_it_says_so(self, monkeypatch):
        monkeypatch.setattr(cluster_module, "PATIENCE", (0.5, 1.0))
        with pytest.raises(ClusterError, match="^tcp://127.0.0.1:1: no scheduler of Dask answers"):
            with connect("tcp://127.0.0.1:1"):
                pass

    def test_what_is_no_address_is_told(self):
        with pytest.raises(ClusterError, match="^nonsense://a: no scheduler"):
            with connect("nonsense://a"):
                pass


class TestAddresses:
    @pytest.mark.parametrize("img", ["s3://bucket/a.jpg", "memory://a", "https://example.org/a.jpg", "gs://b/c"])
    def test_are_told_from_files(self, img):
        assert is_address(img)

    @pytest.mark.parametrize("img", ["a.jpg", "/a/b.jpg", "C:/a.jpg", "c://a", b"s3://a", Path("s3://a"), ""])
    def test_what_is_none(self, img):
        assert not is_address(img)

    def test_are_pictures_that_are_read_when_they_are_looked_at(self):
        with fsspec.open("memory://rocket.jpg", "wb") as file:
            file.write(Path("img/rocket.jpg").read_bytes())
        assert nsfw_score(Address("memory://rocket.jpg")) == nsfw_score("img/rocket.jpg")
        with pytest.raises(PictureError, match="^memory://none.jpg: no such file"):
            nsfw_score(Address("memory://none.jpg"))

    def test_are_refused_outside_of_a_cluster(self):
        with pytest.raises(PictureError, match="it is an address: fetch what is there"):
            nsfw_score("memory://rocket.jpg")


@pytest.mark.slow
class TestScores:
    def test_are_those_of_one_process_whatever_a_picture_is(self, client, tmp_path):
        white = Image.new("RGB", (30, 20), "white")
        encoded = io.BytesIO()
        white.save(encoded, "PNG")
        images = [*PICTURES, Path(PICTURES[0]), "none.jpg", "./none.jpg", encoded.getvalue(), encoded, white, b""]
        expected = list(nsfw_scores(images, on_error="return"))
        found = list(nsfw_scores(images, on_error="return", client=client))
        for there, here in zip(found, expected):
            assert str(there) == str(here) or there == pytest.approx(here, abs=1e-6)
        assert str(found[images.index("./none.jpg")]) == "./none.jpg: no such file"

    def test_errors_and_frames_are_as_in_one_process(self, client):
        with pytest.raises(PictureError, match="^none.jpg: no such file"):
            list(nsfw_scores([PICTURES[0], "none.jpg"], client=client))
        (frames,) = nsfw_scores(PICTURES[:1], frames="all", client=client)
        assert [seconds for seconds, _ in frames] == [0.0]

    def test_addresses_are_opened_by_the_workers(self, client, tmp_path):
        path = tmp_path / "rocket.jpg"
        path.write_bytes(Path("img/rocket.jpg").read_bytes())
        score, missing = nsfw_scores([f"file://{path}", f"file://{path}.none"], on_error="return", client=client)
        assert score == pytest.approx(nsfw_score(path), abs=1e-6)
        assert str(missing).startswith(f"file://{path}.none: no such file")
