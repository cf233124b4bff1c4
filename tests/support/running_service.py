"""``open-nsfw serve`` in processes of its own, for tests that are its clients."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
#: Seconds in which it has to be ready; nothing waits longer than it takes.
PATIENCE = 120


class Running:
    """A service that runs.

    Parameters
    ----------
    process : subprocess.Popen
    port : int
    log : pathlib.Path

    Attributes
    ----------
    process, port
    url : str
    """

    def __init__(self, process: subprocess.Popen, port: int, log: Path):
        self.process, self.port, self._log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self) -> None:
        """Wait until a known picture scores right."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=PATIENCE).status_code == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"port {self.port}: the service is not ready\n{self.log}")


@contextlib.contextmanager
def running_service(*options: str, port: int | None = None, **environment: str) -> Iterator[Running]:
    """Serve until the end, of which nothing is left.

    Parameters
    ----------
    *options : str
        Of the command.
    port : int, optional
    **environment : str
        Variables beside the present ones.

    Yields
    ------
    Running
    """
    port = port or free_port()
    command = [sys.executable, "-m", "nsfw_command", "serve", "--port", str(port), *options]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w") as file:
            process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        running = Running(process, port, log)
        try:
            running.wait_until_ready()
            yield running
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
