"""``benchmarks/scaling.py`` computes what docs/scaling.md says that many pictures cost."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # as for the program itself

import scaling  # noqa: E402

RATES = scaling.Rates(core=10, cores=10, megabytes=2, task=1, client=20000, partition=64)


def test_work_is_divided_among_cores_and_machines():
    run = scaling.cost(864_000_000, 100, RATES)
    assert run.speed == 10 * 10 * 100
    assert run.days == 1
    assert run.read == 20


@pytest.mark.parametrize(("machines", "clusters"), [(1, 1), (100, 1), (101, 2), (1000, 10)])
def test_a_client_is_half_busy_at_most(machines, clusters):
    assert scaling.cost(1, machines, RATES).clusters == clusters


@pytest.mark.parametrize(("partition", "clusters"), [(1, 20), (5, 4), (20, 1), (1000, 1)])
def test_a_scheduler_is_half_busy_at_most(partition, clusters):
    """100 machines score 10,000 pictures a second, and a scheduler minds 1000 parts a second."""
    assert scaling.cost(1, 100, RATES._replace(partition=partition)).clusters == clusters


@pytest.mark.parametrize(
    ("days", "text"),
    [(1 / 1440, "1 minutes"), (1 / 24, "60 minutes"), (1.9, "46 hours"), (2, "2 days"), (3650, "10 years")],
)
def test_times_are_in_the_largest_unit_of_which_there_are_two(days, text):
    assert scaling.duration(days) == text


def test_the_tables_of_the_page_are_what_the_program_prints():
    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    commands = re.findall(r"`python (benchmarks/scaling\.py [^`]*)`", page)
    assert len(commands) == 2
    for command in commands:
        run = subprocess.run(
            [sys.executable, *shlex.split(command)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert run.stdout in page, run.stdout
