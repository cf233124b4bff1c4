"""However ``open-nsfw evolve`` ends, no process and no half-written file is left behind, and it can go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fresh_python import fresh_python, started_python
from PIL import Image

from nsfw_command.main import main
from nsfw_experiments.evolution.checkpoint import Checkpoint

ROOT = Path(__file__).parents[2]
PATIENCE = 120

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
SMALL = ["--size", "32", "--count", "5", "--target", str(ROOT / "img" / "coffee.jpg")]


_started = []


@pytest.fixture(autouse=True)
def nothing_is_left():
    """End what a failing test has started."""
    yield
    while _started:
        process = _started.pop()
        process.kill()
        process.wait()


def start(folder, *options, cwd=None, generations=100_000):
    """Start a run that goes on until it is ended, and wait for its first checkpoint."""
    command = ["-m", "nsfw_command", "evolve", "--out", str(folder), "--generations", str(generations), *options]
    safe = ["-P"] if sys.version_info >= (3, 11) else []
    process = started_python(*safe, *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd)
    _started.append(process)
    began = time.monotonic()
    while not (Path(folder) / "checkpoint.json").exists():
        assert process.poll() is None and time.monotonic() - began < PATIENCE, process.stdout.read()
        time.sleep(0.1)
    return process


def end(process):
    """Wait for a process, and return what it printed and its exit code."""
    printed, _ = process.communicate(timeout=PATIENCE)
    return printed, process.returncode


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_keeps_the_best_and_the_run_goes_on_from_there(name, tmp_path):
    process = start(tmp_path / "run", *SMALL)
    time.sleep(0.3)
    process.send_signal(getattr(signal, name))
    printed, code = end(process)
    assert code == 130 and "Traceback" not in printed, printed
    assert Image.open(tmp_path / "run" / "best.png").size == (32, 32)
    assert not list(tmp_path.rglob("*.part"))
    reached = Checkpoint(tmp_path / "run" / "checkpoint.json").read()["generation"]
    again = ["evolve", "--out", str(tmp_path / "run"), *SMALL, "--resume", "--generations", str(reached + 2)]
    assert main(again) == 0
    assert Checkpoint(tmp_path / "run" / "checkpoint.json").read()["generation"] == reached + 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGHUP"])
def test_no_worker_outlives_the_run(name, tmp_path):
    process = start(tmp_path / "run", *SMALL, "--processes", "2")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.send_signal(getattr(signal, name))
    end(process)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


@pytest.mark.slow
def test_workers_run_no_strangers_module_of_the_working_directory(tmp_path):
    (tmp_path / "here").mkdir()
    for name in "pickle", "random", "numpy", "socket":
        (tmp_path / "here" / f"{name}.py").write_text(f"open({str(tmp_path / 'run by')!r}, 'w').write(__name__)")
    process = start(tmp_path / "run", *SMALL, "--processes", "2", cwd=tmp_path / "here")
    process.send_signal(signal.SIGINT)
    end(process)
    assert not (tmp_path / "run by").exists()


def test_two_runs_do_not_share_a_folder(tmp_path, capsys):
    process = start(tmp_path, *SMALL)
    try:
        assert main(["evolve", "--out", str(tmp_path), *SMALL, "--force", "--generations", "2"]) == 2
        assert capsys.readouterr().err == f"open-nsfw evolve: {tmp_path}: another process is writing there\n"
    finally:
        process.kill()
        end(process)
    assert main(["evolve", "--out", str(tmp_path), *SMALL, "--force", "--generations", "2"]) == 0


def test_a_full_disk_is_one_sentence_with_an_exit_code_of_its_own(tmp_path):
    """A limit on the size of files stands for the disk."""
    script = f"""
import resource, sys
from nsfw_command.main import main
arguments = ["evolve", "--out", {str(tmp_path)!r}, *{SMALL}]
assert main([*arguments, "--generations", "2"]) == 0
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
sys.exit(main([*arguments, "--resume", "--generations", "4"]))
"""
    ran = fresh_python(script, check=False)
    assert ran.returncode == 74, ran.stderr
    assert "cannot be written: File too large" in ran.stderr and "Traceback" not in ran.stderr
    assert Checkpoint(tmp_path / "checkpoint.json").read()["generation"] == 2
    assert Image.open(tmp_path / "best.png").size == (32, 32) and not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    """Fifty kills, each at another moment; what is there is whole each time."""
    options = [*SMALL, "--every", "1"]
    generations = 400
    assert main(["evolve", "--out", str(tmp_path / "whole"), *options, "--generations", str(generations)]) == 0
    kills = 0
    for _ in range(50):
        resume = ["--resume"] if (tmp_path / "killed" / "checkpoint.json").exists() else []
        process = start(tmp_path / "killed", *options, *resume, generations=generations)
        time.sleep(0.1 + 0.013 * kills % 0.5)
        if process.poll() is not None:
            break
        process.kill()
        end(process)
        kills += 1
        Checkpoint(tmp_path / "killed" / "checkpoint.json").settings()
        for picture in (tmp_path / "killed" / "generations").glob("*.png"):
            Image.open(picture).load()
    end(process)
    assert kills
    resume = ["evolve", "--out", str(tmp_path / "killed"), *options, "--resume", "--generations", str(generations)]
    assert main(resume) == 0
    for name in "checkpoint.json", "best.png", "best.svg":
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.rglob("*.part"))
