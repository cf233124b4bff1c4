"""``toolbox.map``: serial, processes or a cluster, a run is the same, and lost workers lose nothing."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster, get_worker

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import PerPicture
from nsfw_experiments.evolution.parallel import cluster_map, process_map
from nsfw_experiments.evolution.primitives import Circles
from nsfw_experiments.evolution.strategies import climbing_toolbox, original_toolbox


def redness(picture):
    return float(np.asarray(picture)[..., 0].mean())


class SlowRedness:
    """Redness that takes its time, and tells in a folder who is at work."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, picture):
        (self.folder / f"{os.getpid()} {get_worker().address.replace('/', '_')}").touch()
        time.sleep(0.02)
        return redness(picture)


def worker_and_threads(_):
    time.sleep(0.05)
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def state_of_run(map_function, make_toolbox=original_toolbox, fitness=redness, generations=4):
    toolbox = make_toolbox(Circles((24, 24)), 6, PerPicture(fitness), seed=1, population=20)
    toolbox.register("map", map_function)
    evolution = Evolution(toolbox)
    evolution.run(generations)
    state = evolution.state()
    del state["about"]  # names the fitness function
    return state


@pytest.fixture(scope="module")
def serial_state():
    return state_of_run(map)


def test_a_pool_of_processes_gives_the_same_run(serial_state):
    with process_map(2) as pool_map:
        assert state_of_run(pool_map) == serial_state
        assert state_of_run(pool_map, climbing_toolbox) == state_of_run(map, climbing_toolbox)


def test_less_than_one_process_is_refused():
    with pytest.raises(ValueError, match="processes: got 0, expected a whole number of at least 1"), process_map(0):
        pass


def test_workers_share_the_machine_s_cores():
    before = dict(os.environ)
    with process_map(2) as pool_map:
        told = set(pool_map(worker_and_threads, range(20)))
    assert len(told) == 2  # each of the two workers tells one thing
    assert {threads for _, threads in told} == {str(max(1, os.cpu_count() // 2))}
    assert dict(os.environ) == before


def test_a_worker_that_dies_ends_the_run_instead_of_hanging():
    with process_map(2) as pool_map, pytest.raises(BrokenProcessPool):
        list(pool_map(os._exit, [1, 1]))


def test_an_interrupted_start_ends_the_workers_that_were_started(monkeypatch):
    submit, calls = ProcessPoolExecutor.submit, []

    def submit_once(self, *args):
        if calls:
            raise KeyboardInterrupt
        calls.append(args)
        return submit(self, *args)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit_once)
    with pytest.raises(KeyboardInterrupt), process_map(2):
        pass


def test_a_lost_cluster_worker_loses_no_individual(serial_state, tmp_path):
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=tmp_path,
        ) as cluster,
        Client(cluster) as client,
    ):
        killed = []

        def map_and_kill(function, work):
            if not killed and len(work) > 1:
                futures_before = client.map(function, work, pure=False)
                while not (at_work := sorted(path.name for path in tmp_path.glob("* tcp*"))):
                    time.sleep(0.005)
                os.kill(int(at_work[0].split()[0]), 9)
                killed.append(at_work[0])
                return client.gather(futures_before)
            return cluster_map(client, function, work)

        assert state_of_run(map_and_kill, fitness=SlowRedness(tmp_path)) == serial_state
        assert killed
