"""Servers that fork their workers: right scores, whether or not the parent has scored before."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fresh_python import fresh_python
from ports import free_port

from open_nsfw import nsfw_score

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAMES = ["coffee.jpg", "rocket.jpg", "retina.jpg"] * 4
#: Beyond this a server hangs.
PATIENCE = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def expected():
    """Scores by name."""
    return {name: nsfw_score(ROOT / "img" / name) for name in NAMES}


@contextlib.contextmanager
def server(*command, **environment):
    """Run a server, and leave no process of it behind."""
    paths = [str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        yield process
        process.terminate()
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM), process.stdout.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def answers(port, process):
    """Ask for all pictures, four at a time, as soon as the server answers at all."""

    def ask(name):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=PATIENCE) as answer:
            return json.load(answer)

    began = time.monotonic()
    while True:
        try:
            ask(NAMES[0])
            break
        except OSError:
            assert process.poll() is None and time.monotonic() - began < PATIENCE, process.stdout.read()
            time.sleep(0.2)
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(ask, NAMES))


def check(found, expected):
    assert [answer["score"] for answer in found] == [expected[name] for name in NAMES]


@pytest.mark.parametrize("warm_up", ["", "1"], ids=["cold", "warmed up"])
@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize("workers", [["--workers", "2"], ["--workers", "2", "--threads", "2"]], ids=["sync", "gthread"])
def test_gunicorn(workers, preload, warm_up, expected):
    pytest.importorskip("gunicorn")
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--timeout", str(PATIENCE), *workers, *preload]
    with server("gunicorn", *options, "application:wsgi", WARM_UP=warm_up) as process:
        found = answers(port, process)
        assert process.pid not in {answer["process"] for answer in found}
    check(found, expected)


def test_uvicorn(expected):
    pytest.importorskip("uvicorn")
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--log-level", "warning"]
    with server("uvicorn", *options, "application:asgi") as process:
        check(answers(port, process), expected)


@pytest.mark.parametrize("warm_up", ["", "1"], ids=["cold", "warmed up"])
def test_celery(warm_up, expected, tmp_path, monkeypatch):
    pytest.importorskip("celery")
    for name in "queue", "results", "control":
        (tmp_path / name).mkdir()
    environment = {"CELERY_FOLDER": str(tmp_path), "WARM_UP": warm_up, "C_FORCE_ROOT": "1"}
    options = ["worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR", "--without-mingle"]
    ask = f"""
        import json, tasks
        results = [tasks.score.delay(name) for name in {NAMES}]
        print(json.dumps([json.loads(result.get(timeout={PATIENCE})) for result in results]))
    """
    with server("celery", "-A", "tasks", *options, **environment):
        paths = os.pathsep.join([str(HERE), str(ROOT)])
        asked = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(ask)],
            env={**os.environ, **environment, "WARM_UP": "", "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
    assert asked.returncode == 0, asked.stderr
    check(json.loads(asked.stdout), expected)


def run(script, **environment):
    here = f"import os; os.chdir({str(ROOT)!r})\n"
    return fresh_python(here + textwrap.dedent(script), "-W", "ignore", **environment).stdout.split()


@pytest.mark.parametrize("engine", ["onednn", "theano"])
@pytest.mark.parametrize("before", ["", "nsfw_score('img/coffee.jpg')"], ids=["cold", "warmed up"])
def test_a_pool_of_forked_processes(before, engine, expected):
    script = f"""
        import multiprocessing
        from open_nsfw import nsfw_score
        {before}
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(*pool.map_async(nsfw_score, ["img/" + name for name in {NAMES}]).get({PATIENCE}))
    """
    assert list(map(float, run(script, THEANO_CPU_ENGINE=engine))) == pytest.approx(
        [expected[name] for name in NAMES], abs=1e-6
    )


def test_a_child_that_is_forked_while_other_threads_score(expected):
    """Their locks are held for ever in the child, whose copies of these threads do not run."""
    script = """
        import os, threading, time
        from open_nsfw import nsfw_score, nsfw_scores
        nsfw_score("img/coffee.jpg")
        forever = lambda: [nsfw_score("img/rocket.jpg") for _ in range(10**6)]
        for _ in range(3):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.5)
        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                scores = [nsfw_score("img/coffee.jpg"), *nsfw_scores(["img/retina.jpg"] * 3)]
                os.write(1, (" ".join(map(str, scores)) + " ").encode())
                os._exit(0)
            children.append(child)
        assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    """
    scores = [expected["coffee.jpg"], *[expected["retina.jpg"]] * 3]
    assert list(map(float, run(script))) == pytest.approx(4 * scores, abs=1e-7)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_interpreter_ends_while_daemon_threads_score(threads):
    script = f"""
        import threading, time
        from open_nsfw import nsfw_score
        nsfw_score("img/coffee.jpg")
        for _ in range({threads}):
            threading.Thread(target=lambda: [nsfw_score("img/rocket.jpg") for _ in range(10**6)], daemon=True).start()
        time.sleep(0.3)
    """
    for _ in range(3):
        assert run(script) == []


def test_after_another_user_of_openmp_has_started_its_threads(expected):
    pytest.importorskip("torch")
    script = """
        import multiprocessing, torch
        (torch.ones(2000, 2000) @ torch.ones(2000, 2000)).sum()
        from open_nsfw import nsfw_score
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(*pool.map_async(nsfw_score, ["img/coffee.jpg"] * 4).get(60))
    """
    assert list(map(float, run(script))) == [expected["coffee.jpg"]] * 4
