"""What uvicorn is told, where workers count together, and that none outlives who started it."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

from nsfw_server import workers  # noqa: E402
from nsfw_server.limits import Limits  # noqa: E402


@pytest.fixture
def told(monkeypatch):
    """What uvicorn is told, and the environment at that time."""
    told = {}

    def run(*arguments, **options):
        told.update(arguments=arguments, options=options, environment=dict(os.environ))

    monkeypatch.setattr(uvicorn, "run", run)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    return told


def test_uvicorn_is_told_all_that_was_asked_for(told):
    limits = Limits(idle_seconds=7, shutdown_seconds=9, batch=3)
    workers.run("0.0.0.0", 8123, 1, limits, json_logs=True, log_level="warning")
    assert told["arguments"] == ("nsfw_server.workers:create_worker",)
    assert told["options"] == dict(
        factory=True,
        host="0.0.0.0",
        port=8123,
        workers=1,
        http="nsfw_server.protocol:LimitedProtocol",
        log_config=workers.log_config(True, "warning"),
        access_log=False,  # it has a line for each request of its own
        ws="none",
        server_header=False,
        timeout_keep_alive=7,
        timeout_graceful_shutdown=9,
        timeout_worker_healthcheck=10,
    )


def test_words_of_the_level_of_information_are_logged_unless_told(told):
    workers.run("127.0.0.1", 1, 1, Limits())
    assert told["options"]["log_config"] == workers.log_config(False, "info")


def test_workers_have_the_limits_from_the_environment(told):
    limits = Limits(batch=3, seconds=0.5, pixels=1 << 17)
    workers.run("127.0.0.1", 1, 1, limits)
    assert told["environment"]["OPEN_NSFW_BATCH"] == "3"
    assert Limits.from_environment(told["environment"]) == limits


def test_one_worker_counts_alone_and_several_together_for_as_long_as_they_run(told):
    workers.run("127.0.0.1", 1, 1, Limits())
    assert "PROMETHEUS_MULTIPROC_DIR" not in told["environment"]
    workers.run("127.0.0.1", 1, 2, Limits())
    folder = Path(told["environment"]["PROMETHEUS_MULTIPROC_DIR"])
    assert folder.name.startswith("open_nsfw-") and not folder.exists()
    if os.access("/dev/shm", os.W_OK):
        assert folder.parent == Path("/dev/shm")


def test_where_there_is_no_memory_for_files_the_folder_is_elsewhere(told, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with workers._shared_metrics(2):
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        assert folder.is_dir() and folder.parent != Path("/dev/shm")


def test_a_folder_of_ones_own_stays(told, tmp_path):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path)
    workers.run("127.0.0.1", 1, 2, Limits())
    assert told["environment"]["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path) and tmp_path.exists()


@pytest.mark.parametrize("is_json, name", [(True, "JsonFormatter"), (False, "TextFormatter")])
def test_lines_of_uvicorn_and_of_the_service_go_to_standard_error_once(is_json, name):
    """https://docs.python.org/3/library/logging.config.html#configuration-dictionary-schema"""
    logger = {"handlers": ["stderr"], "level": "DEBUG", "propagate": False}
    assert workers.log_config(is_json, "debug") == {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"nsfw_server.logs.{name}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"uvicorn": logger, "open_nsfw": logger},
    }


def test_a_worker_ends_with_who_started_it(monkeypatch):
    steps = []
    parent = SimpleNamespace(join=lambda: steps.append("joined"))
    monkeypatch.setattr(workers.multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(os, "kill", lambda *arguments: steps.append(arguments))
    workers._end_with_parent()
    assert steps == ["joined", (os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("parent, threads", [(None, 0), (object(), 1)])
def test_only_a_worker_that_was_started_watches(parent, threads, monkeypatch):
    started = []

    def thread(target, daemon):
        return SimpleNamespace(start=lambda: started.append((target, daemon)))

    monkeypatch.setattr(workers.multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(workers.threading, "Thread", thread)
    assert workers.create_worker().title == "Open NSFW"
    assert started == [(workers._end_with_parent, True)] * threads
