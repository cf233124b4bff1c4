"""The clients of docs/service.md, run as they stand there."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from open_nsfw import nsfw_score

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
SHOWN = "http://127.0.0.1:8000"


def fenced(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", [block for block in fenced("sh") if "curl" in block])
def test_curl(service, command):
    if shutil.which("curl") is None:
        pytest.skip("NOT RUN: curl is missing")
    assert SHOWN in command
    words = shlex.split(command.replace(SHOWN, service.url))
    found = json.loads(subprocess.run(words, cwd=ROOT, capture_output=True, check=True, timeout=120).stdout)
    names = re.findall(r"@(\S+)", command)
    assert [result["score"] for result in found["results"]] == [nsfw_score(ROOT / name) for name in names]


def test_python(service):
    [program] = fenced("py")
    assert SHOWN in program
    command = [sys.executable, "-c", program.replace(SHOWN, service.url)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout
    assert printed == f"coffee.jpg safe {nsfw_score(ROOT / 'img/coffee.jpg')}\n"


def test_the_shown_answer_has_the_fields_of_answers(service):
    [shown] = fenced("text")
    httpx = pytest.importorskip("httpx")
    data = (ROOT / "img/coffee.jpg").read_bytes()
    answer = httpx.post(f"{service.url}/v1/score", content=data, timeout=120).json()
    assert set(re.findall(r'"(\w+)":', shown)) <= set(answer) | set(answer["results"][0])
    assert answer["model"] in shown
