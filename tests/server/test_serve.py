"""The command, over real connections: slow clients, signals, crashes, more work than it can do."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from ports import free_port

from nsfw_command.main import main
from open_nsfw import nsfw_score

pytest.importorskip("fastapi")

ROOT = Path(__file__).parents[2]
COFFEE = (ROOT / "img" / "coffee.jpg").read_bytes()
#: Beyond this a server hangs.
PATIENCE = 120


@contextlib.contextmanager
def served(*options, command=("nsfw_command.main", "serve", "--port", "{port}"), code=0, **environment):
    """Run the service until the end of the block; it ends with this code, and nothing of it is left."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *(part.format(port=port) for part in command), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    log = []
    reader = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)
    reader.start()
    try:
        began = time.monotonic()
        while status(port, "GET", "/readyz") != 200:
            assert process.poll() is None and time.monotonic() - began < PATIENCE, b"".join(log).decode()
            time.sleep(0.1)
        yield port, process, log
        process.terminate()
        assert process.wait(PATIENCE) == code, b"".join(log).decode()
        until(lambda: not processes_of(process.pid), 10)  # those that watch for the end of others end a little later
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        process.stderr.close()


def processes_of(group):
    """Those of a process group that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, _, rest = path.read_text().rpartition(")")
            state, parent, of_group = rest.split()[:3]
            if int(of_group) == group and state != "Z":
                found.append((int(path.parent.name), int(parent)))
    return found


def ask(port, method="POST", path="/v1/score", body=COFFEE):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def status(port, *args):
    """The status of an answer, or the name of the error that came instead."""
    try:
        return ask(port, *args)[0]
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


def together(work, count):
    """What `count` threads give."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve"]) == 2
    assert "pip install 'open-nsfw-theano[server]'" in capsys.readouterr().err


def test_a_limit_that_is_none_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--queue", "0"])
    assert "queue: got 0" in capsys.readouterr().err
    monkeypatch.setenv("OPEN_NSFW_QUEUE", "many")
    with pytest.raises(SystemExit, match="2"):
        main(["serve"])
    assert "OPEN_NSFW_QUEUE: got 'many'" in capsys.readouterr().err


@pytest.mark.parametrize("host, message", [
    ("", "--host: got nothing, expected an address"),
    ("  ", "--host: got nothing"),
    ("a..b", "--host: got 'a..b', expected an address"),
    ("a" * 300, f"--host: got '{'a' * 99}, expected an address"),
])  # fmt: skip
def test_a_host_that_is_none_is_refused(host, message, monkeypatch, capsys):
    monkeypatch.setattr("uvicorn.run", lambda *arguments, host, **options: host.encode("idna"))
    monkeypatch.setattr("os.environ", dict(os.environ))
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--host", host])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_port_that_is_taken_is_the_exit_code_of_what_cannot_be_started():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "nsfw_command", "serve", "--port", str(taken.getsockname()[1])]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 2 and "address already in use" in ran.stderr


@pytest.fixture(scope="module")
def service():
    """One with little patience for connections, and much for pictures."""
    limits = ["--head-seconds", "1", "--body-seconds", "2", "--connections", "8", "--queue", "6"]
    with served(*limits, "--quick-seconds", "60", "--seconds", "60", "--json-logs", "--decoders", "1") as found:
        yield found


@pytest.mark.slow
def test_a_score_is_that_of_nsfw_score(service):
    code, headers, body = ask(service[0])
    assert code == 200 and json.loads(body)["results"][0]["score"] == nsfw_score(COFFEE)
    assert "server" not in {name.lower() for name in headers}


@pytest.mark.slow
def test_each_request_is_a_line_of_json(service):
    port, _, log = service
    ask(port, "POST", "/v1/score?threshold=0.5")
    until(lambda: any(b"/v1/score" in line for line in log))
    line = json.loads(next(line for line in log if b"/v1/score" in line))
    assert line["method"] == "POST" and line["status"] == 200 and line["client"] == "127.0.0.1"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"POST /v1/sc", b"POST /v1/score HTTP/1.1\r\nHost: a\r\n"])
def test_a_client_that_sends_no_head_is_closed(service, sent):
    with socket.create_connection(("127.0.0.1", service[0]), timeout=PATIENCE) as slow:
        slow.sendall(sent)
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(1000) == b""
        assert 0.5 < time.monotonic() - began


@pytest.mark.slow
def test_a_client_that_sends_its_body_by_the_byte_is_told(service):
    with socket.create_connection(("127.0.0.1", service[0]), timeout=PATIENCE) as slow:
        slow.sendall(b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        slow.settimeout(0.2)
        answer = b""
        while not answer:
            slow.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = slow.recv(1000)
        slow.settimeout(PATIENCE)
        while len(answer.partition(b"\r\n\r\n")[2]) < 76:  # the body may come by itself
            part = slow.recv(1000)
            assert part, f"the answer ends early: {answer}"
            answer += part
        assert answer.startswith(b"HTTP/1.1 408") and b"content-length: 76" in answer and b"too_slow" in answer


@pytest.mark.slow
@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Transfer-Encoding: zip",
        b"Content-Length: 3\r\nContent-Type: multipart/form-data; boundary=B",
        b"A: " + b"x" * 100_000,
    ],
)
def test_a_head_that_lies_is_refused_and_the_service_goes_on(service, head):
    with socket.create_connection(("127.0.0.1", service[0]), timeout=PATIENCE) as liar:
        with contextlib.suppress(ConnectionError):
            liar.sendall(b"POST /v1/score HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\nabc\r\n0\r\n\r\n")
            liar.shutdown(socket.SHUT_WR)
            assert liar.recv(1000)[:10] in (b"HTTP/1.1 4", b"")
    assert status(service[0]) == 200


@pytest.mark.slow
def test_a_head_without_an_end_is_cut(service):
    with socket.create_connection(("127.0.0.1", service[0]), timeout=PATIENCE) as endless:
        sent = 0
        with contextlib.suppress(ConnectionError):
            endless.sendall(b"POST /v1/score HTTP/1.1\r\nHost: a\r\nX: ")
            while sent < 1 << 26:
                endless.sendall(b"x" * 4096)
                sent += 4096
        assert sent < 1 << 26


@pytest.mark.slow
def test_too_many_connections_are_told_so_and_far_too_many_are_closed(service):
    port = service[0]
    until(lambda: status(port, "GET", "/healthz") == 200)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        code, headers, body = ask(port, "GET", "/healthz")
        assert code == 503 and headers["retry-after"] == "1" and json.loads(body)["error"]["kind"] == "busy"
        for _ in range(8):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert isinstance(status(port, "GET", "/healthz"), str)
    until(lambda: status(port, "GET", "/healthz") == 200)


@pytest.mark.slow
def test_more_work_than_it_can_do_is_answered_by_200_and_503_and_it_recovers(service):
    port = service[0]
    end = time.monotonic() + 4
    found = Counter()

    def client():
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            while time.monotonic() < end:
                connection.request("POST", "/v1/score", COFFEE)
                answer = connection.getresponse()
                answer.read()
                found[answer.status] += 1

    together(client, 8)
    assert set(found) == {200, 503}
    assert status(port) == 200


@pytest.mark.slow
def test_sigterm_ends_it_behind_what_it_has_accepted():
    with served("--decoders", "1", "--quick-seconds", "60", "--seconds", "60") as (port, process, _):
        found = []
        threads = [threading.Thread(target=lambda: found.append(status(port))) for _ in range(12)]
        for thread in threads:
            thread.start()

        def accepted():
            queue = re.search(rb"^open_nsfw_queue (\S+)", ask(port, "GET", "/metrics")[2], re.MULTILINE)
            return float(queue.group(1)) + len(found)

        until(lambda: accepted() == 12)
        process.terminate()
        for thread in threads:
            thread.join()
        assert found == [200] * 12


@pytest.mark.slow
def test_a_killed_worker_loses_its_own_requests_only_and_is_replaced():
    options = ["--workers", "2", "--decoders", "1", "--quick-seconds", "60", "--seconds", "60"]
    with served(*options) as (port, process, _):
        end = time.monotonic() + 6
        found = Counter()
        workers = [number for number, parent in processes_of(process.pid) if parent == process.pid]
        # One of multiprocessing's keeps track of resources
        [victim, *_] = [number for number in workers if has_children(process.pid, number)]

        def client():
            while time.monotonic() < end:
                found[status(port)] += 1

        threads = [threading.Thread(target=client) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        os.kill(victim, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert found[200] > 0 and sum(found.values()) - found[200] <= 6

        def are_two():
            parents = [parent for _, parent in processes_of(process.pid)]
            return sum(number != process.pid and parents.count(number) >= 3 for number in set(parents)) == 2

        until(are_two)
        text = ask(port, "GET", "/metrics")[2].decode()
        [counted] = [line for line in text.splitlines() if line.startswith('open_nsfw_pictures_total{label="safe"}')]
        assert float(counted.split()[-1]) >= found[200]


@pytest.mark.slow
def test_workers_end_with_the_process_that_watches_them():
    with served("--workers", "2", "--decoders", "1", code=-signal.SIGKILL) as (_, process, _):
        process.kill()


def has_children(group, number):
    return any(parent == number for _, parent in processes_of(group))


@pytest.mark.slow
def test_gunicorn_runs_the_application():
    pytest.importorskip("gunicorn")
    pytest.importorskip("uvicorn.workers")
    bind = ["--bind", "127.0.0.1:{port}", "--worker-class", "uvicorn.workers.UvicornWorker", "--workers", "2"]
    command = ("gunicorn", *bind, "--timeout", str(PATIENCE), "nsfw_server.app:create_app()")
    with served(command=command, OPEN_NSFW_DECODERS="1", OPEN_NSFW_QUEUE="7") as (port, _, _):
        assert json.loads(ask(port)[2])["results"][0]["score"] == nsfw_score(COFFEE)
        assert json.loads(ask(port, "GET", "/v1/model")[2])["limits"]["queue"] == 7
