"""Measure `open-nsfw serve` beside the same work in Python, and print the table of the documentation.

    python benchmarks/serve.py [--pictures 600] [--rounds 3] [--seconds 60] [--requests 100000]
                               [--precision bfloat16] [--opennsfw2 CHECKOUT]

Service and load are on this machine and share its cores; leave it alone meanwhile. `--opennsfw2` names a checkout of
github.com/bhky/opennsfw2, whose server is in `app/`, with ``pip install opennsfw2 fastapi uvicorn requests keras``
and the backend of Keras that ``KERAS_BACKEND`` names. Where its weights are not at its place, it gets random ones:
they take as long, and score nothing. ``--opennsfw2-python`` is for where it is installed, if it is elsewhere.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "support"), str(ROOT)]

from ports import free_port  # noqa: E402

CLIENTS, SIZE, SMALL = 32, (1024, 768), (256, 256)
#: How much more than it can do a service is asked for, and connections at most.
OVERLOAD, CONNECTIONS = 10, 400
#: Seconds in which a service has to be ready, and to end.
PATIENCE = 300
SERVE = [sys.executable, "-m", "nsfw_command", "serve", "--log-level", "warning"]
OPENNSFW2 = """
import os, sys, functools, opennsfw2, uvicorn
from opennsfw2 import _download, _inference, _model
if not os.path.exists(_download.get_default_weights_path()):
    random = functools.partial(_model.make_open_nsfw_model, weights_path=None)
    opennsfw2.make_open_nsfw_model = random
    _inference.make_open_nsfw_model = lambda weights_path=None: random()
sys.path.insert(0, sys.argv[2])
uvicorn.run("app.main:app", port=int(sys.argv[1]), log_level="warning")
"""


# -- in this process, or beside it -------------------------------------------------------------------------------------


def work(way: str, folder: Path, precision: Any) -> None:
    """Score a folder in this process, and print the pictures of a second, or the median of seconds for one."""
    from open_nsfw import nsfw_score, nsfw_scores

    paths = sorted(folder.iterdir())
    list(nsfw_scores(paths[:8], precision=precision))
    if way == "many":
        began = time.perf_counter()
        assert len(list(nsfw_scores(paths, precision=precision))) == len(paths)
        print(len(paths) / (time.perf_counter() - began))
        return
    taken = []
    for data in [path.read_bytes() for path in paths]:
        began = time.perf_counter()
        nsfw_score(data, precision=precision)
        taken.append(time.perf_counter() - began)
    print(statistics.median(taken))


def in_python(way: str, folder: Path, precision: str) -> float:
    """What `work` prints, in a process of its own."""
    command = [sys.executable, __file__, "--work", way, str(folder), "--precision", precision]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Server:
    """A server that runs, and the requests that are made of it."""

    def __init__(self, port: int, process: subprocess.Popen, path: str, media_type: str):
        self._port, self._process, self._path, self._media_type = port, process, path, media_type

    def load(self, folder: Path, **options: float) -> dict[str, Any]:
        """Put a load on it, see `load.py`."""
        command = [sys.executable, str(ROOT / "benchmarks" / "load.py"), str(self._port), self._path, self._media_type]
        told = [f"--{name}={value}" for name, value in options.items()]
        printed = subprocess.run([*command, str(folder), *told], capture_output=True, text=True, check=True).stdout
        return json.loads(printed)

    def megabytes(self) -> float:
        """Memory of all its processes, of what they share each its part (Linux)."""
        kilobytes = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getsid(int(folder.name)) == self._process.pid:
                    kilobytes += int((folder / "smaps_rollup").read_text().partition("\nPss:")[2].split()[0])
        return kilobytes / 1024


@contextlib.contextmanager
def serving(command: list[str], ready: str, path: str, media_type: str, **options: Any) -> Iterator[Server]:
    """A server in a session of its own, of which nothing is left at the end. The first argument lacks the port."""
    port = free_port()
    command = [str(port) if part == "PORT" else part for part in command]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, **options)
    try:
        _wait_for(f"http://127.0.0.1:{port}{ready}", process)
        yield Server(port, process, path, media_type)
        process.terminate()
        process.wait(PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(url: str, process: subprocess.Popen) -> None:
    ends = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < ends:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=PATIENCE).close()
            return
        time.sleep(0.2)
    raise SystemExit(f"{url}: no server")


def this_service(precision: str) -> contextlib.AbstractContextManager[Server]:
    """`open-nsfw serve` with its defaults."""
    return serving(
        [*SERVE, "--port", "PORT"],
        "/readyz",
        f"/v1/score?precision={precision}",
        "image/jpeg",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
    )


# -- rows of the table -------------------------------------------------------------------------------------------------


def row(what: str, service: str, beside: str = "", verdict: str = "") -> None:
    """Print a row."""
    print(f"| {what} | {service} | {beside} | {verdict} |", flush=True)


def answered(result: dict[str, Any]) -> float:
    """The pictures of a second that were scored."""
    return result["statuses"].get("200", 0) / result["wall"]


def throughput(photographs: Path, pictures: int, rounds: int, precision: str) -> float:
    """Many clients beside `nsfw_scores`, in turns; gives the pictures of a second."""
    there, here, latencies = [], [], []
    with this_service(precision) as server:
        server.load(photographs, clients=CLIENTS, count=min(pictures, 100))
        for _ in range(rounds):
            result = server.load(photographs, clients=CLIENTS, count=pictures)
            check_all_scored(result, pictures)
            there.append(answered(result))
            latencies += result["latencies"]
            here.append(in_python("many", photographs, precision))
    service, python = statistics.median(there), statistics.median(here)
    many = f"{CLIENTS} clients, JPEGs of {SIZE[0]}x{SIZE[1]}"
    row(f"{many}: pictures/s, beside `nsfw_scores`", f"{service:.1f}", f"{python:.1f}", f"{service / python:.2f}x")
    half, worst = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
    row(f"{many}: ms, p99 beside p50", f"{1e3 * worst:.0f}", f"{1e3 * half:.0f}", f"{worst / half:.2f}x")
    return service


def check_all_scored(result: dict[str, Any], count: int) -> None:
    """End the program if a request was not answered by a score."""
    if result["statuses"] != {"200": count}:
        raise SystemExit(f"got the answers {result['statuses']}, expected {count} of 200")


def latency(small: Path, count: int, rounds: int, precision: str) -> float:
    """One client beside one call; gives the seconds of the client."""
    there, here = [], []
    with this_service(precision) as server:
        server.load(small, clients=1, count=20)
        for _ in range(rounds):
            there.append(statistics.median(server.load(small, clients=1, count=count)["latencies"]))
            here.append(in_python("one", small, precision))
    service, python = statistics.median(there), statistics.median(here)
    what = f"one client, JPEGs of {SMALL[0]}x{SMALL[1]}: median ms, beside `nsfw_score`"
    row(what, f"{1e3 * service:.2f}", f"{1e3 * python:.2f}", f"{1e3 * (service - python):+.2f} ms")
    return service


def overload(photographs: Path, rate: float, seconds: float, precision: str) -> None:
    """Ten times of what it can do, for some time."""
    with this_service(precision) as server:
        alone = server.load(photographs, clients=1, count=50)["latencies"]
        server.load(photographs, clients=CLIENTS, count=200)
        before = server.megabytes()
        usual = 2 * statistics.quantiles(alone, n=20)[18]
        result = server.load(photographs, clients=CONNECTIONS, rate=OVERLOAD * rate, seconds=seconds, usual=usual)
        after = server.megabytes()
    counts = result["statuses"]
    others = sum(counts.values()) - counts.get("200", 0) - counts.get("503", 0)
    offered = (sum(counts.values()) + result["without_client"]) / result["wall"] / rate
    what = f"{offered:.1f} times as many requests for {seconds:g} s"
    row(f"{what}: answers 200, beside 503", str(counts.get("200", 0)), str(counts.get("503", 0)), f"{others} others")
    row(
        f"{what}: pictures/s, beside without",
        f"{answered(result):.1f}",
        f"{rate:.1f}",
        f"{answered(result) / rate:.2f}x",
    )
    row(f"{what}: MB, beside those before", f"{after:.0f}", f"{before:.0f}", f"{100 * (after / before - 1):+.1f} %")
    row(f"{what}: s until one client waits as before", f"{result['recovery']:.2f}")


def endurance(photographs: Path, requests: int, precision: str) -> None:
    """Very many requests."""
    with this_service(precision) as server:
        check_all_scored(server.load(photographs, clients=CLIENTS, count=requests // 10), requests // 10)
        before, left = server.megabytes(), requests - requests // 10
        check_all_scored(server.load(photographs, clients=CLIENTS, count=left), left)
        after = server.megabytes()
    growth = f"{100 * (after / before - 1):+.1f} %"
    row(f"{requests} requests: MB, beside those after a tenth", f"{after:.0f}", f"{before:.0f}", growth)


def opennsfw2(photographs: Path, checkout: Path, python: str, rate: float) -> None:
    """The server of opennsfw2, which takes a picture as a text of JSON."""
    environment = {"KERAS_BACKEND": "torch", **os.environ}
    command = [python, "-c", OPENNSFW2, "PORT", str(checkout)]
    started = serving(command, "/health/", "/predict/image", "application/json", env=environment, cwd="/")
    with tempfile.TemporaryDirectory() as folder, started as server:
        for path in list(photographs.iterdir())[:50]:
            request = {"input": {"type": "base64", "data": base64.b64encode(path.read_bytes()).decode()}}
            Path(folder, path.name).write_text(json.dumps(request))
        server.load(Path(folder), clients=CLIENTS, count=CLIENTS)
        result = server.load(Path(folder), clients=CLIENTS, count=3 * CLIENTS)
    check_all_scored(result, 3 * CLIENTS)
    theirs, backend = answered(result), environment["KERAS_BACKEND"]
    what = f"{CLIENTS} clients, JPEGs of {SIZE[0]}x{SIZE[1]}: pictures/s, beside opennsfw2's server ({backend})"
    row(what, f"{rate:.1f}", f"{theirs:.1f}", f"{rate / theirs:.1f}x")


# -- the program -------------------------------------------------------------------------------------------------------


def make(folder: Path, pictures: int) -> tuple[Path, Path]:
    """Make photographs, and small ones."""
    photographs, small = folder / "photographs", folder / "small"
    for path, count, size in (photographs, pictures, SIZE), (small, 200, SMALL):
        numbers = map(str, (count, *size))
        subprocess.run([sys.executable, str(ROOT / "benchmarks/scale.py"), "--make", path, *numbers], check=True)
    return photographs, small


def main() -> None:
    """Make pictures, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=600, help="default: 600")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=float, default=60, help="of overload; 0 for none (default: 60)")
    parser.add_argument("--requests", type=int, default=100_000, help="0 for none (default: 100,000)")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="of the convolutions")
    parser.add_argument("--opennsfw2", type=Path, metavar="CHECKOUT", help="measured as well")
    parser.add_argument("--opennsfw2-python", default=sys.executable, metavar="PYTHON", help="default: this one")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work(args.work[0], Path(args.work[1]), args.precision)
    with tempfile.TemporaryDirectory() as folder:
        photographs, small = make(Path(folder), args.pictures)
        print(f"\n| {args.precision} | the service | beside | |\n|---|---|---|---|")
        rate = throughput(photographs, args.pictures, args.rounds, args.precision)
        latency(small, args.pictures, args.rounds, args.precision)
        if args.seconds:
            overload(photographs, rate, args.seconds, args.precision)
        if args.requests:
            endurance(photographs, args.requests, args.precision)
        if args.opennsfw2:
            opennsfw2(photographs, args.opennsfw2.resolve(), args.opennsfw2_python, rate)


if __name__ == "__main__":
    main()
