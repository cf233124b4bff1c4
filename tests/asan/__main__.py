"""Compile the native module with AddressSanitizer and UndefinedBehaviorSanitizer, and put it under load.

    python tests/asan [ROW ...] [--cases 14000] [--seed 0]
    python tests/asan --python -m pytest tests/onednn

Prints a table of operations; the exit code is 1 on any report of a sanitizer or any wrong result. With --python it runs
a Python with these arguments instead, which finds the sanitized module.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

SECONDS_FOR_ONE = 300
CASE = "case"  # file that holds the case that is being tried


def main() -> int:
    """Build, try everything, and print a table."""
    import sanitizers

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="such as pool_gradient or leaks (default: all)")
    parser.add_argument("--cases", type=int, default=14_000, help="in all, at least (default: 14000)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    parser.add_argument("--folder", type=Path, help="for what is compiled, kept (default: one that is removed)")
    parser.add_argument("--python", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="run a Python, sanitized")
    arguments = parser.parse_args()
    if problem := sanitizers.problem():
        parser.error(problem)
    with tempfile.TemporaryDirectory() as removed:
        folder = arguments.folder or Path(removed)
        folder.mkdir(parents=True, exist_ok=True)
        environment = sanitizers.environment(folder)
        if arguments.python is not None:
            return subprocess.run([sys.executable, *arguments.python], env=environment).returncode
        return table(try_rows(arguments.rows, arguments.cases, arguments.seed, folder, environment))


def table(outcomes: Iterator[tuple[str, int, str]]) -> int:
    """Print a row for each outcome; return the exit code."""
    total = faults = 0
    print(f"{'operation':<22}{'cases':>8}  outcome")
    for name, count, outcome in outcomes:
        total, faults = total + count, faults + (outcome != "held")
        print(f"{name:<22}{count:>8,}  {outcome}", flush=True)
    print(f"{'in all':<22}{total:>8,}  {f'{faults} FAILED' if faults else 'held'}")
    return 1 if faults else 0


def try_rows(
    wanted: list[str], cases: int, seed: int, folder: Path, environment: dict[str, str]
) -> Iterator[tuple[str, int, str]]:
    """Give name, number of cases and outcome of each row. One that ends its process leaves the others to a new one."""
    rows: list[str] | None = wanted or None
    while rows is None or rows:
        asked = json.dumps({"rows": rows, "cases": cases, "seed": seed, "folder": str(folder)})
        worker = [sys.executable, __file__, "--worker", asked]
        with tempfile.TemporaryFile("w+", errors="replace") as errors:
            with subprocess.Popen(worker, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
                for line in process.stdout or ():
                    told = json.loads(line)
                    if isinstance(told, dict):
                        rows = told["rows"]
                        continue
                    rows = [name for name in rows or () if name != told[0]]
                    yield told[0], told[1], told[2]
            errors.seek(0)
            report = errors.read()
        if process.returncode == 0:
            return
        case = Path(folder, CASE).read_text() if rows and Path(folder, CASE).exists() else "no case"
        died = f"FAILED: exit code {process.returncode} at {case}\n{report[:6000]}"
        if rows is None:
            yield "the start", 0, died
            return
        yield (rows[0] if rows else "the end"), 0, died
        rows = rows[1:]


def work(asked: dict[str, Any]) -> None:
    """Be the process that tries rows; tell first which, then what came of each."""
    import theano_cpu  # noqa: F401  the repairs, before anything else imports Theano
    from rows import ROWS, SHARES

    from theano_cpu.onednn.runtime import native_module

    native_module()
    units = max(-(-asked["cases"] // SHARES), 1)
    names = asked["rows"] or list(ROWS)
    print(json.dumps({"rows": names}), flush=True)
    current = Path(asked["folder"], CASE)

    def watch(number: int, case: Any) -> None:
        current.write_text(f"number {number}: {case}")
        # One that waits for ever is a fault too
        faulthandler.dump_traceback_later(SECONDS_FOR_ONE, exit=True)

    for name in names:
        run, count = ROWS[name]
        try:
            tried, outcome = run(count(units), asked["seed"], watch), "held"
        except Exception:
            tried, outcome = 0, f"FAILED at {current.read_text()}\n{traceback.format_exc()}"
        print(json.dumps([name, tried, outcome]), flush=True)
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(json.loads(sys.argv[2]))
    else:
        sys.exit(main())
