"""Fuzz the readers by coverage, with Atheris (https://github.com/google/atheris, libFuzzer).

    pip install -e '.[test]'
    python tests/fuzz [TARGET ...] [--seconds 60] [--jobs 2] [--seed 1] [--corpus FOLDER]

Each target has a process of its own, which is given mutations of its corpus for that long; the same ones in the same
order, if a seed is given. Whatever raises, takes longer than ten seconds, or more than two gigabytes, is a fault: its
input is kept in tests/fuzz/found, and the exit code is 1. With a folder for the corpus, what reached new code is kept
there, and the next run goes on from it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1])]

SECONDS_FOR_ONE, MEGABYTES = 10, 2048


def main() -> int:
    """Fuzz, and print a table."""
    import targets

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all; {', '.join(targets.TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes at once (default: one for each core)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (default: another one each time)")
    parser.add_argument(
        "--corpus", type=Path, metavar="FOLDER", help="keep there what reached new code, and go on from it"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.targets) - set(targets.TARGETS))
    if unknown:
        parser.error(f"got {unknown[0]}, expected some of {', '.join(targets.TARGETS)}")
    # A limit by the clock: those that share a core take so much longer
    patience = SECONDS_FOR_ONE * math.ceil(arguments.jobs / (os.cpu_count() or 1))
    faults = 0
    print(f"{'target':<18}{'executions':>12}  outcome")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        names = arguments.targets or list(targets.TARGETS)
        outcomes = pool.map(
            lambda name: fuzz(name, arguments.seconds, arguments.seed, patience, arguments.corpus), names
        )
        for name, (executions, outcome) in zip(names, outcomes):
            faults += outcome != "held"
            print(f"{name:<18}{executions:>12,}  {outcome}", flush=True)
    return 1 if faults else 0


def fuzz(target: str, seconds: int, seed: int, patience: int, kept: Path | None) -> tuple[int, str]:
    """Fuzz one target in a process of its own; return the number of executions and what came of them.

    libFuzzer takes a seed of 0 for none.
    """
    found = HERE / "found" / target
    found.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(kept / target) if kept else tempfile.TemporaryDirectory() as corpus:
        Path(corpus).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--one", target, str(corpus)]
        command += [f"-max_total_time={seconds}", f"-seed={seed}"]
        command += [f"-timeout={patience}", f"-rss_limit_mb={MEGABYTES}", f"-artifact_prefix={found}/"]
        command += ["-print_final_stats=1", "-max_len=65536", "-close_fd_mask=1"]
        ran = subprocess.run(command, capture_output=True, text=True, errors="replace")
    counted = re.search(r"number_of_executed_units: (\d+)", ran.stderr)
    if ran.returncode == 0 and counted:
        return int(counted[1]), "held"
    return int(counted[1]) if counted else 0, f"FAILED\n{ran.stderr[-3000:]}"


def run_one(target: str, corpus: str, *options: str) -> None:
    """Be the process of one target."""
    import atheris

    with atheris.instrument_imports(include=["nsfw_model", "nsfw_scale", "nsfw_server", "python_multipart", "PIL"]):
        import targets
        from PIL import Image
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = targets.PIXELS
    for number, data in enumerate(targets.seeds(target)):
        Path(corpus, f"seed-{number}").write_bytes(data)
    atheris.Setup([sys.argv[0], corpus, *options], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(*sys.argv[2:])
    else:
        sys.exit(main())
