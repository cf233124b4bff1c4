"""What several processes count together."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("prometheus_client")

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
