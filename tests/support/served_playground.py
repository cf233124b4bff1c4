"""Servers of the playground's page for tests in a browser: `open-nsfw playground`, and JupyterLab."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port

import theano_compat  # noqa: F401  puts Theano on the path

import theano

ROOT = Path(__file__).parents[2]
#: Upper limits in seconds; nothing waits longer than it takes.
START, END = 180, 60


def environment(home: Path) -> dict[str, str]:
    """A home of its own, in which compiled modules are those of this process."""
    home.mkdir(exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")},
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "THEANO_FLAGS": f"base_compiledir={theano.config.base_compiledir}",
    }


@contextmanager
def running(command: list[str], home: Path, cwd: Path) -> Iterator[subprocess.Popen]:
    """A process whose group is gone at the end."""
    process = subprocess.Popen(
        command, env=environment(home), cwd=cwd, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()  # a shell's background jobs do not heed Ctrl-C
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def voila(folder: Path) -> Iterator[str]:
    """The address of the page that `open-nsfw playground` prints."""
    command = [sys.executable, "-m", "nsfw_command", "playground", "--no-browser", "--port", str(free_port())]
    with running(command, folder / "home", ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """The address of the notebook in JupyterLab, not run yet."""
    port, token = free_port(), "of-this-test"
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    shutil.copy(ROOT / "notebooks" / "Playground.ipynb", notebooks)
    quiet(folder / "home")
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={notebooks}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--log-level=ERROR",
    ]
    with running([sys.executable, "-m", "jupyterlab", *options], folder / "home", notebooks) as process:
        wait_until_it_listens(port, process)
        yield f"http://127.0.0.1:{port}/lab/tree/Playground.ipynb?token={token}"


def quiet(home: Path) -> None:
    """Keep JupyterLab from asking whether it may fetch news, before what is to be clicked."""
    settings = home / ".jupyter" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}', encoding="utf-8")


def wait_until_it_listens(port: int, process: subprocess.Popen) -> None:
    last = time.monotonic() + START
    while time.monotonic() < last and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"port {port}: the server did not start")
