"""The guarantees of docs/security.md withstand every attack, and an attack that succeeds is told."""

import re
import subprocess
import sys
from pathlib import Path

import attack
import pytest
import table
from guarantees import GUARANTEES, MODULES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and signals of Linux")

MODULE = """
import os, time
from attack import Attacks
ATTACKS = Attacks()

@ATTACKS.on("cost", "ValueError: too many")
def one_that_is_refused(folder):
    raise ValueError("too many bytes")

@ATTACKS.on("cost", "ValueError: too many")
def one_that_is_refused_for_another_reason(folder):
    raise ValueError("broken")

@ATTACKS.on("names", "ValueError: ")
def one_that_succeeds(folder):
    return "a number"

@ATTACKS.on("names", "ValueError: ")
def one_that_ends_the_process(folder):
    os.abort()
"""


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A module of attacks of which one is withstood."""
    (tmp_path / "hostile.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return ["hostile"]


def test_attacks_that_succeed_are_told_and_give_exit_code_1(hostile, capsys):
    assert table.main(["cost", "names"], hostile) == 1
    counted, told = capsys.readouterr().out.split("What did not hold:\n")
    assert re.findall(r"^(cost|names) .* (\d+) +(\d+)$", counted, re.MULTILINE) == [
        ("cost", "2", "1"),
        ("names", "2", "0"),
    ]
    assert [re.split("  +", line)[1:] for line in told.splitlines()] == [
        ["cost", "one that is refused for another reason", "ValueError: broken"],
        ["names", "one that succeeds", "a number"],
        ["names", "one that ends the process", "ended by code -6"],
    ]


def test_only_what_is_asked_for_is_attacked(hostile, capsys):
    assert table.main(["-v", "cost"], hostile) == 1
    printed = capsys.readouterr().out
    assert "held    cost      one that is refused " in printed and "one that succeeds" not in printed


def test_a_module_that_fails_is_no_success(tmp_path, monkeypatch, capsys):
    (tmp_path / "hostile.py").write_text("raise RuntimeError('of the module')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert table.main(["cost"], ["hostile"]) == 1
    assert "RuntimeError: of the module" in capsys.readouterr().out


def test_what_takes_too_much_time_or_memory_is_ended(monkeypatch):
    monkeypatch.setattr(attack, "PATIENCE", 0.5)
    slow = attack.Attack("cost", "slow", lambda folder: __import__("time").sleep(60), "")
    assert attack.outcome_of(slow) == "took more than 0.5 s"
    large = attack.Attack("cost", "large", lambda folder: len(bytes(1 << 31)), "")
    assert attack.outcome_of(large).startswith("MemoryError")


def test_each_guarantee_is_documented():
    documented = re.findall(r"^\|.*\| `(\w+)` \|[^|]*\|$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    explained = re.findall(r"^\| `(\w+)` \|", (HERE / "README.md").read_text(), re.MULTILINE)
    assert sorted(set(documented)) == sorted(explained) == sorted(GUARANTEES)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_every_guarantee_withstands_every_attack(module):
    script = f"import sys, table; sys.exit(table.main([], [{module!r}]))"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(HERE)!r}]; {script}"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
