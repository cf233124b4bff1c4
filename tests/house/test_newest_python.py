"""Where the tests cannot run on the newest Python, .ci/newest_python says so, and why."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "newest_python"

ROOT_USER = {"id": "echo 0", "unshare": "exit 0", "apt-get": "echo http://example.org/debian/"}


@pytest.mark.parametrize(
    "commands, reason",
    [
        ({"id": "echo 1000"}, "that needs the rights of root"),
        ({**ROOT_USER, "unshare": "exit 1"}, "this machine does not allow namespaces"),
        (
            {**ROOT_USER, "debootstrap": 'echo "I: begun"; echo "E: it does not answer"; exit 1'},
            "debootstrap says: E: it does not answer",
        ),
    ],
    ids=["no root", "no namespaces", "no mirror"],
)
def test_a_machine_that_cannot_make_the_root_is_told_so_in_one_line(commands, reason, tmp_path):
    programs, temporary = tmp_path / "bin", tmp_path / "tmp"
    programs.mkdir()
    temporary.mkdir()
    for name, line in commands.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(temporary)}
    run = subprocess.run([SCRIPT, ".", "3.15", "echo", "run"], env=environment, capture_output=True, text=True)
    assert run.returncode == 77 and run.stdout == ""
    told = f"== Python 3.15: no Debian testing root could be made ({reason}): its tests did not run\n"
    assert run.stderr == told
    assert not list(temporary.iterdir())
