"""uvicorn with the application, in this process or in several that it watches."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from contextlib import contextmanager
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsfw_server.limits import Limits, variable

if TYPE_CHECKING:
    from fastapi import FastAPI

#: Seconds in which a worker has to show that it lives. uvicorn waits as long for one that is killed while it is asked.
HEALTHCHECK_SECONDS = 10


def run(host: str, port: int, workers: int, limits: Limits, json_logs: bool = False, log_level: str = "info") -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    host : str
    port : int
    workers : int
        Processes; one that crashes is replaced.
    limits : Limits
    json_logs : bool
        Whether each line of the log is an object.
    log_level : str
    """
    import uvicorn

    os.environ.update({variable(name): str(value) for name, value in asdict(limits).items()})  # for the workers
    with _shared_metrics(workers):
        uvicorn.run(
            "nsfw_server.workers:create_worker",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            http="nsfw_server.protocol:LimitedProtocol",
            log_config=log_config(json_logs, log_level),
            access_log=False,
            ws="none",
            server_header=False,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.shutdown_seconds,
            timeout_worker_healthcheck=HEALTHCHECK_SECONDS,
        )


def create_worker() -> FastAPI:
    """Make the application of a process that ends with the one that started it.

    Returns
    -------
    fastapi.FastAPI

    Examples
    --------
    >>> create_worker().title
    'Open NSFW'
    """
    from nsfw_server.app import create_app

    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    return create_app()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """A folder in memory, where there is one, in which several workers count together."""
    if workers == 1 or os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        yield
        return
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="open_nsfw-", dir=parent) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def log_config(json_logs: bool, level: str) -> dict[str, Any]:
    """Make the settings of `logging`.

    Parameters
    ----------
    json_logs : bool
    level : str

    Returns
    -------
    dict

    Examples
    --------
    >>> log_config(True, "info")["formatters"]["line"]
    {'()': 'nsfw_server.logs.JsonFormatter'}
    """
    text = {"()": "nsfw_server.logs.TextFormatter"}
    logger = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "nsfw_server.logs.JsonFormatter"} if json_logs else text},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"uvicorn": logger, "open_nsfw": logger},
    }
