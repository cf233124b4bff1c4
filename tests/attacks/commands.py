"""Commands that attacks start, each in a session of its own, and what is left of them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
COFFEE, ROCKET = (str(REPOSITORY / "img" / name) for name in ("coffee.jpg", "rocket.jpg"))
EVOLVE = ["evolve", "--size", "32", "--count", "5", "--target", COFFEE]
#: Seconds after which what was started counts as hanging.
PATIENCE = 90


def start(*arguments, folder=".", python=(), **environment):
    """Start ``open-nsfw`` as it is installed: what lies in the working directory is not searched for modules."""
    code = "import sys; from nsfw_command.__main__ import main; sys.exit(main())"
    if sys.version_info < (3, 11):
        code = f"import sys; sys.path.remove(''); {code}"
    command = [
        sys.executable,
        *(["-P"] if sys.version_info >= (3, 11) else []),
        *python,
        "-c",
        code,
        *map(str, arguments),
    ]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(*arguments, **options):
    """Exit code of a command and what it said."""
    process = start(*arguments, **options)
    said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def await_file(path, process):
    """Wait until a command has made a file."""
    ends = time.monotonic() + PATIENCE
    while not Path(path).exists():
        if process.poll() is not None or time.monotonic() > ends:
            raise AssertionError(f"{path} was not made: {process.stdout.read()}")
        time.sleep(0.01)


def end(process, how):
    """Send a signal; say how it ended, and whether it left processes behind or wrote of a traceback."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(how)
    said, _ = process.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(children, timeout=20)
    traces = " with a traceback" if "Traceback" in said else ""
    return f"exit code {process.returncode}{traces}, {len(alive)} processes left"
