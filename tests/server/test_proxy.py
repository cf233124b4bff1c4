"""The nginx of docs/service.md: services behind it are restarted and killed under load, and no request fails."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from ports import free_port
from running_service import running_service

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

ROOT = Path(__file__).resolve().parents[2]
COFFEE = (ROOT / "img" / "coffee.jpg").read_bytes()
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
CLIENTS = 6
WORKERS = "--decoders", "1", "--quick-seconds", "60", "--seconds", "60"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NGINX is None, reason="NOT RUN: docs/service.md's nginx is missing")]


@contextlib.contextmanager
def nginx(folder, listens, *services):
    """The page's configuration with other ports, in a configuration that keeps to a folder."""
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    shown = re.search(r"^```nginx\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    (folder / "passwords").write_text("moderator:{PLAIN}secret\n")
    for old, new in {
        "127.0.0.1:8001": f"127.0.0.1:{services[0]}",
        "127.0.0.1:8002": f"127.0.0.1:{services[1]}",
        "listen 8000": f"listen 127.0.0.1:{listens}",
        "/etc/nginx/open-nsfw.passwords": str(folder / "passwords"),
    }.items():
        assert old in shown
        shown = shown.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{'user root;' if os.getuid() == 0 else ''}\npid {folder}/pid;\nerror_log {folder}/errors;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{shown}\n}}\n"
    )
    process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder, "-g", "daemon off;"])
    try:
        ends = time.monotonic() + 30
        while not (folder / "pid").exists():
            assert process.poll() is None and time.monotonic() < ends, (folder / "errors").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


class Load:
    """Clients that ask until they are told to end."""

    def __init__(self, url):
        self._url, self._ends = url, threading.Event()
        self.answers = Counter()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def _ask(self):
        with httpx.Client(auth=("moderator", "secret"), timeout=120) as client:
            while not self._ends.is_set():
                try:
                    answer = client.post(self._url, content=COFFEE)
                    self.answers[answer.status_code, score(answer)] += 1
                except httpx.HTTPError as error:
                    self.answers[repr(error)] += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count=4 * CLIENTS):
        """Wait for so many answers."""
        wanted, ends = sum(self.answers.values()) + count, time.monotonic() + 120
        while sum(self.answers.values()) < wanted:
            assert time.monotonic() < ends
            time.sleep(0.05)


def score(answer):
    try:
        return answer.json()["results"][0]["score"]
    except (json.JSONDecodeError, KeyError):
        return answer.text


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "killed"])
def test_no_request_fails_while_a_service_ends_and_starts_again(tmp_path, how):
    ports, listens = [free_port(), free_port()], free_port()
    with running_service(*WORKERS, port=ports[1]), nginx(tmp_path, listens, *ports):
        with contextlib.ExitStack() as first, Load(f"http://127.0.0.1:{listens}/v1/score") as load:
            running = first.enter_context(running_service(*WORKERS, port=ports[0]))
            load.wait_for_more()
            if how == signal.SIGKILL:
                os.killpg(running.process.pid, signal.SIGKILL)
            first.close()
            load.wait_for_more()
            again = first.enter_context(running_service(*WORKERS, port=ports[0]))
            load.wait_for_more()
            counted = httpx.get(f"{again.url}/metrics").text
        assert len(load.answers) == 1, load.answers
        [(status, _)] = load.answers
        assert status == 200
        assert re.search(r'open_nsfw_requests_total\{endpoint="/v1/score",status="200"\} [1-9]', counted)


def test_nothing_but_scores_is_given_to_those_with_a_password(tmp_path):
    ports, listens = [free_port(), free_port()], free_port()
    url = f"http://127.0.0.1:{listens}"
    with running_service(*WORKERS, port=ports[0]), nginx(tmp_path, listens, *ports):
        assert httpx.post(f"{url}/v1/score", content=COFFEE, timeout=60).status_code == 401
        with httpx.Client(base_url=url, auth=("moderator", "secret"), timeout=60) as client:
            assert client.get("/v1/model").status_code == 200
            assert [client.get(path).status_code for path in ("/metrics", "/readyz", "/docs")] == [404] * 3
            assert client.post("/v1/score", content=bytes(65 << 20)).status_code == 413
