"""Code in a new Python, for what happens once in a process: imports, and what they set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def fresh_python(
    code: str, *options: str, check: bool = True, path: Sequence[Path] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python that finds this repository's packages.

    Parameters
    ----------
    code : str
    *options : str
        Python's own, such as ``"-W", "error"``.
    check : bool
        Fail the test where Python fails.
    path : sequence of pathlib.Path
        Folders that are searched for modules before the repository.
    **environment : str
        Variables that are set beside the present ones.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*map(str, path), str(REPOSITORY)]),
        **environment,
    }
    command = [sys.executable, *options, "-c", code]
    run = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    if check:
        assert run.returncode == 0, run.stderr
    return run


def started_python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a new Python that finds this repository's packages and gets Ctrl-C.

    Who runs the tests in the background of a shell ignores it, and so would the new Python.

    Parameters
    ----------
    *arguments : str
        Python's.
    **options
        For `subprocess.Popen`.
    """
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )
