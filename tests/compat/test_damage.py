"""Compiled modules that are cut short, as by a power cut: compiled anew, never loaded."""

import os
import shutil
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fresh_python import fresh_python

from theano_compat import damage, precompiled
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


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("wide", [True, False], ids=["64 bits", "32 bits"])
def test_the_table_of_sections_is_where_the_header_of_elf_says(wide, order, tmp_path):
    # Tool Interface Standard, Executable and Linking Format 1.2, "ELF Header"; the ELF-64 Object File Format 1.5
    form = order + ("16sHHIQQQIHHHHHH" if wide else "16sHHIIIIIHHHHHH")
    file, table, entry_size, entries = tmp_path / "a.so", 1000, 64 if wide else 40, 3

    def write(entries, end, filled=b"\1"):
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2])
        header = struct.pack(form, ident, 3, 62, 1, 0, 0, table, 0, 64, 56, 1, entry_size, entries, 0)
        file.write_bytes(header.ljust(end - 1, b"\0") + filled)

    end = table + entry_size * entries
    write(entries, end)
    assert is_whole(file)
    write(entries, end + 1)  # all of the table is zeros, and something is behind it
    assert not is_whole(file)
    write(entries, end - 1)
    assert not is_whole(file)
    write(entries, end, b"\0")
    assert not is_whole(file)
    write(0, table, b"\0")  # no table at all
    assert is_whole(file)


def test_other_systems_have_other_files(tmp_path, monkeypatch):
    (tmp_path / "a.so").write_bytes(b"Mach-O")
    assert not is_whole(tmp_path / "a.so")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert is_whole(tmp_path / "a.so")


def test_a_file_is_brought_to_the_disk_and_closed_where_that_is_refused_too(tmp_path, monkeypatch):
    synced = []

    def refuse(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        raise OSError("no such operation")

    (tmp_path / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    damage.sync(tmp_path / "file")
    monkeypatch.setattr(os, "fsync", refuse)
    damage.sync(tmp_path / "file")
    assert synced == [(tmp_path / "file").stat().st_ino] and len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def modules(tmp_path):
    """A whole module and a cut one."""
    data = Path(np.random.mtrand.__file__).read_bytes()
    for name, size in ("whole", len(data)), ("cut", 5000):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.so").write_bytes(data[:size])
    return tmp_path


def test_theano_is_told_of_a_cut_module_as_of_none(modules, monkeypatch):
    synced = []
    monkeypatch.setattr(damage, "sync", synced.append)
    gcc = SimpleNamespace(compile_str=lambda file, **settings: SimpleNamespace(__file__=file, **settings))
    cmodule = SimpleNamespace(
        module_name_from_dir=lambda folder, *args: None if folder is None else str(folder / "m.so"), GCC_compiler=gcc
    )
    damage.pass_over_cut_modules(cmodule)
    assert cmodule.module_name_from_dir(modules / "whole", True) == str(modules / "whole" / "m.so")
    assert cmodule.module_name_from_dir(None) is None
    with pytest.raises(ValueError, match="cut/m.so is cut short"):
        cmodule.module_name_from_dir(modules / "cut")
    assert cmodule.GCC_compiler.compile_str("/a.so", location="here").location == "here"
    cmodule.GCC_compiler.compile_str(None)  # compiled, and not imported
    assert synced == ["/a.so"]
    monkeypatch.setattr(precompiled, "in_use", lambda: "what was compiled elsewhere")
    assert cmodule.module_name_from_dir(modules / "cut") == str(modules / "cut" / "m.so")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_theanos_own_extensions_are_removed_where_they_are_cut(elsewhere, modules, monkeypatch):
    import theano

    (modules / "cut").rename(modules / "cutils_ext")
    (modules / "whole").rename(modules / "lazylinker_ext")
    monkeypatch.setattr(theano, "config", SimpleNamespace(compiledir=str(modules)))
    monkeypatch.setattr(precompiled, "in_use", lambda: "what was compiled elsewhere" if elsewhere else None)
    assert not damage.remove_cut_extensions(None)
    left = sorted(path.name for path in modules.iterdir())
    assert left == (["cutils_ext", "lazylinker_ext"] if elsewhere else ["lazylinker_ext"])


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
