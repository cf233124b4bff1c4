"""The native module under sanitizers, briefly; and every operation that Python knows is drawn there."""

import re
import subprocess
import sys
from pathlib import Path

import theano_cpu
import pytest

from theano_cpu import ops

HERE = Path(__file__).parent
NATIVE = Path(theano_cpu.__file__).parent / "onednn" / "native"

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")


def problem():
    """Why nothing can be sanitized here, or nothing."""
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import sanitizers; print(sanitizers.problem() or '')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_each_native_operation_is_drawn():
    registered = set()
    for name in "values.cpp", "convolution.cpp":
        registered.update(re.findall(r'\{"(\w+)", make<', (NATIVE / name).read_text()))
    drawn = re.findall(r'^    "(\w+)": \(\w+, \d+\),$', (HERE / "cases.py").read_text(), re.MULTILINE)
    assert set(drawn) == registered


@pytest.mark.slow
@pytest.mark.skipif(bool(problem()), reason=problem())
def test_some_hundred_cases():
    command = [sys.executable, str(HERE), "--cases", "300"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *rows, total = [line.rsplit(maxsplit=2) for line in ran.stdout.splitlines()[1:]]
    assert rows and {outcome for *_, outcome in rows} == {"held"}
    assert total[0] == "in all" and int(total[1]) >= 300
