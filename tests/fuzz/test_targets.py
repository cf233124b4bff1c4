"""Every seed of the fuzzer, and every file that once broke a reader, is read or refused as promised."""

import subprocess
import sys
from pathlib import Path

import pytest
import targets

HERE = Path(__file__).parent


@pytest.mark.parametrize("target", targets.TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_the_corpus(target, monkeypatch):
    if target == "film":
        pytest.importorskip("av")
    if target == "uploads":
        pytest.importorskip("python_multipart")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", targets.PIXELS)
    assert targets.run_corpus(target) >= 1


@pytest.mark.slow
def test_some_seconds_of_fuzzing():
    pytest.importorskip("atheris")
    command = [sys.executable, str(HERE), "--seconds", "3"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert ran.returncode == 0, ran.stdout
    rows = [line.split() for line in ran.stdout.splitlines()[1:]]
    assert {name: outcome for name, _, outcome in rows} == dict.fromkeys(targets.TARGETS, "held")
    assert all(int(executions.replace(",", "")) > 20 for _, executions, _ in rows)


@pytest.mark.slow
def test_a_run_goes_on_from_what_the_last_has_reached(tmp_path):
    pytest.importorskip("atheris")
    command = [sys.executable, str(HERE), "--seconds", "1", "--corpus", str(tmp_path), "prototxt"]
    reached = [len(list(targets.seeds("prototxt")))]
    for _ in range(2):
        subprocess.run(command, check=True, capture_output=True, timeout=100)
        reached.append(len(list((tmp_path / "prototxt").iterdir())))
    assert reached[0] < reached[1] < reached[2]
