"""The page without JupyterLab: Voila runs the notebook, and shows what the cell shows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

_HERE = Path(__file__).parent
#: Where the notebook lies: copied here by an installation, else at the top of the checkout.
NOTEBOOKS = (_HERE / "Playground.ipynb", _HERE.parents[1] / "notebooks" / "Playground.ipynb")
#: Seconds in which Voila answers, and in which it ends.
START, END = 180.0, 20.0


#: Voila, which asks itself to end when its standard input does.
_PROGRAM = """
import os, runpy, signal, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_parent, daemon=True).start()
runpy.run_module("voila", run_name="__main__", alter_sys=True)
"""


class ServerError(OSError):
    """Why there is no page, in words."""


@contextmanager
def serving(host: str, port: int) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run Voila until the end of the block; no process of it is left.

    Parameters
    ----------
    host : str
        The address of this computer that is listened at; with "0.0.0.0" others can open the page too.
    port : int

    Yields
    ------
    address : str
        Of the page, which answers now.
    process : subprocess.Popen
        Voila.

    Raises
    ------
    ModuleNotFoundError
        If the extra is not installed.
    ServerError
        If the port is in use, or Voila ends.

    Examples
    --------
    >>> with serving("127.0.0.1", 8866) as (address, process):                           # doctest: +SKIP
    ...     print(address)
    http://127.0.0.1:8866/
    """
    _check_extra()
    _check_free(host, port)
    with TemporaryFile() as log:  # of Voila and of its kernels, who say much that is of no use here
        # The pipe ends with this process, however that is ended
        process = subprocess.Popen(
            _command(host, port),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        assert process.stdin is not None
        with process.stdin:
            try:
                _wait_for_answer(host, port, process, log)
                yield f"http://{f'[{host}]' if ':' in host else host}:{port}/", process
            finally:
                _end(process)


def _check_extra() -> None:
    for name in ("voila", "anywidget"):
        if find_spec(name) is None:
            raise ModuleNotFoundError(
                f"the playground needs {name}: pip install 'open-nsfw-theano[playground]'", name=name
            )


def _check_free(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServerError(f"{host}:{port}: {reason}; --port takes another") from error


def _command(host: str, port: int) -> list[str]:
    [notebook, *_] = [path for path in NOTEBOOKS if path.is_file()]
    options = (
        f"--Voila.ip={host}",
        f"--port={port}",
        "--Voila.port_retries=0",
        "--no-browser",
        "--template=playground",
    )
    return [sys.executable, "-c", _PROGRAM, str(notebook), *options]


def _environment() -> dict[str, str]:
    """Voila looks for templates where Jupyter has its files, and ours is in this package."""
    paths = [str(_HERE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return {**os.environ, "JUPYTER_PATH": os.pathsep.join(paths)}


def _wait_for_answer(host: str, port: int, process: subprocess.Popen, log: IO[bytes]) -> None:
    last = time.monotonic() + START
    while process.poll() is None:
        try:
            with socket.create_connection((host, port), timeout=5):
                return
        except OSError:
            pass
        if time.monotonic() > last:
            raise ServerError(f"{host}:{port}: Voila did not answer within {START:g} s")
        time.sleep(0.1)
    log.seek(0)
    said = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    last_words = said[-1] if said else "it said nothing"
    raise ServerError(f"{host}:{port}: Voila ended with exit code {process.returncode}: {last_words}")


def _end(process: subprocess.Popen) -> None:
    """Voila ends its kernels when it is asked to end. Those of one that had to be killed notice, and end too."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
