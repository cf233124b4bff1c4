"""Time the network under several oneDNN libraries in turns, and print a table.

    python benchmarks/onednn_versions.py PREFIX PREFIX ... [--rounds 5] [--threads 2]

A prefix is what the environment variable THEANO_CPU_ONEDNN takes, a folder with ``lib`` and ``include``: /usr, or an
environment. Each library is timed in a process of its own, and the median of all rounds is shown with the lowest and
the highest round, by which to judge how quiet the machine was; leave it alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TASKS = {
    "forward": ("this port", "forward"),
    "forward, batch 8": ("this port", "forward, batch 8"),
    "score and gradient": ("this port", "score and gradient"),
    "training gradient": ("this port", "JPEG surrogate gradient"),
}
DESCRIBE = """
import json
from open_nsfw import nsfw_score
from theano_cpu import onednn
info = onednn.info()
print(json.dumps([info["version"], info["instruction_set"], nsfw_score("img/coffee.jpg")]))
"""


def run(prefix: str, threads: int, *arguments: str) -> list:
    """Run Python in a process that uses the oneDNN in `prefix`; give the JSON of its last line."""
    environment = {
        **os.environ,
        "THEANO_CPU_ENGINE": "onednn",
        "THEANO_CPU_ONEDNN": prefix,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(process.stdout.splitlines()[-1])


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefixes", nargs="+", metavar="PREFIX")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    described = {prefix: run(prefix, args.threads, "-c", DESCRIBE) for prefix in args.prefixes}
    rounds: dict[tuple[str, str], list[float]] = {}
    for number in range(args.rounds):
        for task, worker in TASKS.items():
            for prefix in args.prefixes:
                print(f"round {number + 1}: {prefix}, {task}", file=sys.stderr)
                samples = run(prefix, args.threads, "benchmarks/speed.py", "--worker", *worker)
                rounds.setdefault((prefix, task), []).append(statistics.median(samples))
    print(f"\nMilliseconds, {args.threads} threads: median (lowest to highest) of {args.rounds} rounds\n")
    print("| oneDNN | instructions | score | " + " | ".join(TASKS) + " |\n|---|---|---|" + "---|" * len(TASKS))
    for prefix, (version, instructions, score) in described.items():
        cells = [
            f"{statistics.median(times):.1f} ({min(times):.1f} to {max(times):.1f})"
            for times in (rounds[prefix, task] for task in TASKS)
        ]
        print(f"| {version} in {prefix} | {instructions} | {score:.7f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
