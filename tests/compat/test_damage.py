"""Compiled modules that are cut short, as by a power cut: compiled anew, never loaded."""

import os
import shutil
import sys

import pytest
from fresh_python import fresh_python

from theano_compat.damage import is_whole

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about files of ELF")

SCRIPT = """
import theano_cpu, numpy as np, theano, theano.tensor as T
from theano_cpu import ops
x = T.tensor4()
y = ops.conv2d(x, np.ones((4, 4, 3, 3), "float32")) if theano_cpu.onednn_available() else x[:, 1:-1, 1:-1]
print(float(theano.function([x], T.exp(-y).sum())(np.zeros((1, 5, 5, 4), "float32"))))
"""


def compute(folder):
    ran = fresh_python(SCRIPT, check=False, THEANO_FLAGS=f"base_compiledir={folder}")
    return ran.returncode, ran.stdout.strip(), ran.stderr[-2000:]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder in which all that the script needs was compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    assert compute(folder)[:2] == (0, "36.0")
    return folder


def test_a_whole_module_is_told_from_any_part_of_it(compiled, tmp_path):
    module = next(compiled.rglob("lazylinker_ext.so"))
    data = module.read_bytes()
    cut = tmp_path / "cut.so"
    for size in [0, 1, 63, 64, 4096, len(data) // 2, len(data) - 1]:
        cut.write_bytes(data[:size])
        assert not is_whole(cut), size
        cut.write_bytes(data[:size].ljust(len(data), b"\0"))  # its size was on the disk, and these bytes were not
        assert size == len(data) - 1 or not is_whole(cut), size
    assert is_whole(module)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 8192])
def test_each_cut_module_is_compiled_anew(size, compiled, tmp_path):
    folder = tmp_path / "compiled"
    shutil.copytree(compiled, folder)
    modules = [path for path in folder.rglob("*.so") if path.stat().st_size > size]
    assert len(modules) >= 2
    for module in modules:
        os.truncate(module, size)
    code, printed, said = compute(folder)
    assert (code, printed) == (0, "36.0"), said
    assert all(map(is_whole, folder.rglob("*.so")))


@pytest.mark.slow
def test_what_killed_builds_left_is_removed_by_the_next(compiled, tmp_path):
    folder = tmp_path / "compiled"
    shutil.copytree(compiled, folder)
    for module in folder.rglob("theano_cpu_onednn/*.so"):
        left = module.parent / "build-killed"
        left.mkdir()
        (left / "convolution.o").write_text("")
        module.unlink()
    assert compute(folder)[:2] == (0, "36.0")
    assert not list(folder.rglob("theano_cpu_onednn/build-*/*"))
