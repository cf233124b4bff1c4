"""Carry out the attacks and print one table: which guarantee, how many attacks, how many of them it withstood."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from attack import outcome_of
from guarantees import GUARANTEES, MODULES

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


class Result(NamedTuple):
    """What came of an attack."""

    guarantee: str
    name: str
    outcome: str
    held: bool


def main(argv: Sequence[str] | None = None, modules: Sequence[str] = MODULES) -> int:
    """Run the program.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; left out, those of the process.
    modules : sequence of str
        Where attacks are looked for.

    Returns
    -------
    int
        The exit code: 0 if every guarantee withstood every attack, 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog="python tests/attacks", description=__doc__)
    names = ", ".join(GUARANTEES)
    parser.add_argument("guarantees", nargs="*", metavar="GUARANTEE", help=f"default: all of {names}")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for every attack, with what came of it")
    arguments = parser.parse_args(argv)
    chosen = arguments.guarantees or list(GUARANTEES)
    unknown = sorted(set(chosen) - set(GUARANTEES))
    if unknown:
        parser.error(f"got {unknown[0]}, expected some of {names}")
    results = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda module: list(_results_of(module, chosen)), modules):
            results += found
            if arguments.verbose:
                print(*map(_line, found), sep="\n", flush=True)
    print_table(results, chosen)
    broken = [result for result in results if not result.held]
    if broken:
        print("\nWhat did not hold:", *map(_line, broken), sep="\n")
    return 1 if broken or not results else 0


def print_table(results: Sequence[Result], chosen: Sequence[str]) -> None:
    """Print a row for each of the chosen guarantees."""
    tried, held = (Counter(result.guarantee for result in results if result.held or which) for which in (True, False))
    print(f"{'guarantee':<10}{'':<52}{'attacks':>8}{'held':>6}")
    for name in chosen:
        print(f"{name:<10}{GUARANTEES[name]:<52}{tried[name]:>8}{held[name]:>6}")


def _line(result: Result) -> str:
    verdict = "held" if result.held else "BROKEN"
    return f"{verdict:<8}{result.guarantee:<10}{result.name:<60} {ascii(result.outcome[:200])[1:-1]}"


def _results_of(module: str, chosen: Sequence[str]) -> Iterator[Result]:
    """Carry out a module's attacks in a process of its own, which forks one for each."""
    command = [sys.executable, str(HERE), "--one", module, *chosen]
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    ran = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    for line in ran.stdout.splitlines():
        yield Result(*json.loads(line))
    if ran.returncode:
        yield Result(
            chosen[0], f"(the module {module})", f"ended by code {ran.returncode}: {ran.stderr.strip()[-150:]}", False
        )


def carry_out(module: str, chosen: Sequence[str]) -> None:
    """Be the process of one module: print a line of JSON for each attack.

    Parameters
    ----------
    module : str
    chosen : sequence of str
        The guarantees to attack.
    """
    imported = importlib.import_module(module)
    attacks = [attack for attack in imported.ATTACKS if attack.guarantee in chosen]
    if attacks and hasattr(imported, "prepare"):
        imported.prepare()
    for attack in attacks:
        outcome = outcome_of(attack)
        print(json.dumps(Result(attack.guarantee, attack.name, outcome, attack.held(outcome))), flush=True)
