"""What several processes count together."""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("prometheus_client")

from nsfw_server import metrics as metrics_module
from nsfw_server.metrics import Metrics

MEASURED = """
from nsfw_server.metrics import Metrics
metrics = Metrics()
print(metrics.text().decode())
metrics.queue.set(5)
metrics.pictures.labels("safe").inc()
"""


def test_of_processes_that_are_no_more_counts_stay_and_queues_go(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def told():
        command = [sys.executable, "-c", MEASURED]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return dict(line.rsplit(" ", 1) for line in ran.stdout.splitlines() if line and not line.startswith("#"))

    told()
    second = told()
    assert second['open_nsfw_pictures_total{label="safe"}'] == "1.0"
    assert second["open_nsfw_queue"] == "0.0"


@pytest.mark.parametrize("error, forgotten", [(None, []), (PermissionError, []), (ProcessLookupError, [12, 345])])
def test_a_process_of_somebody_else_is_one_that_lives(error, forgotten, tmp_path, monkeypatch):
    for name in (
        "gauge_livesum_12.db",
        "gauge_liveall_345.db",
        "gauge_livesum_12.db.part",
        "gauge_all_6.db",
        "counter_7.db",
    ):
        (tmp_path / name).touch()
    dead, asked = [], []

    def kill(number, signal):
        asked.append((number, signal))
        if error:
            raise error

    def mark(number):
        dead.append(number)
        raise FileNotFoundError  # another process is quicker

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(metrics_module, "mark_process_dead", mark)
    monkeypatch.setenv(metrics_module.SHARED, str(tmp_path))
    metrics_module._forget_the_dead()
    assert sorted(dead) == forgotten and sorted(asked) == [(12, 0), (345, 0)]


def test_a_batch_is_counted_with_its_size_and_time():
    metrics = Metrics()
    metrics.observe_batch(3, 0.015)
    lines = metrics.text().decode().splitlines()
    for line in (
        'open_nsfw_batch_size_bucket{le="2.0"} 0.0',
        'open_nsfw_batch_size_bucket{le="4.0"} 1.0',
        "open_nsfw_batch_size_sum 3.0",
        'open_nsfw_batch_seconds_bucket{le="0.01"} 0.0',
        'open_nsfw_batch_seconds_bucket{le="0.02"} 1.0',
        "open_nsfw_batch_seconds_sum 0.015",
    ):
        assert line in lines


def test_two_in_a_process_count_apart():
    one, other = Metrics(), Metrics()
    one.pictures.labels("safe").inc()
    assert b'label="safe"' in one.text() and b'label="safe"' not in other.text()


def test_what_is_measured_has_names_that_dashboards_know():
    told = re.findall(r"^# HELP (\S+) .+\n# TYPE \S+ (\w+)$", Metrics().text().decode(), re.MULTILINE)
    assert {name: kind for name, kind in told if not name.endswith("_created")} == {
        **dict.fromkeys([f"open_nsfw_{what}_total" for what in ("requests", "pictures", "errors")], "counter"),
        "open_nsfw_batch_size": "histogram",
        **dict.fromkeys([f"open_nsfw_{what}_seconds" for what in ("request", "picture", "batch")], "histogram"),
        "open_nsfw_queue": "gauge",
        "open_nsfw_slow_pictures": "gauge",
    }
