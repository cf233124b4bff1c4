"""Compiled modules that a power cut or a killed process has left cut short: they are compiled anew, never loaded.

Loading a part of a shared object ends in an error at every later start, or in SIGBUS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

from theano_compat import precompiled
from theano_compat.import_hook import after, before


def is_whole(path: str | os.PathLike) -> bool:
    """Say whether a shared object has all the bytes that it says it has.

    The linker puts the table of sections at its end, so that nothing is missing if that is there, and is more than the
    zeros of a file of which a power cut left the size alone.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    bool
        True for what is no file of ELF, on other systems than Linux.

    Examples
    --------
    >>> import _ctypes
    >>> is_whole(_ctypes.__file__)
    True
    >>> is_whole(os.devnull)
    False
    """
    if not sys.platform.startswith("linux"):
        return True
    with open(path, "rb") as file:
        header = file.read(64)
        size = os.fstat(file.fileno()).st_size
        if len(header) < 64 or header[:4] != b"\x7fELF":
            return False
        wide, order = header[4] == 2, "<" if header[5] == 1 else ">"
        (table,) = struct.unpack_from(order + ("Q" if wide else "I"), header, 40 if wide else 32)
        entry_size, entries = struct.unpack_from(order + "HH", header, 58 if wide else 46)
        if table + entry_size * entries > size:
            return False
        file.seek(table)
        return not entries or any(file.read(entry_size * entries))


def sync(path: str | os.PathLike) -> None:
    """Let a file be on the disk before anything refers to it.

    Parameters
    ----------
    path : str or Path

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     sync(file.name)
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@after("theano.gof.cmodule")
def pass_over_cut_modules(cmodule: Any) -> bool:
    """Theano loads what its folder names, whole or not; a cut module is to be compiled anew"""
    plain_name, plain_compile = cmodule.module_name_from_dir, cmodule.GCC_compiler.compile_str

    def module_name_from_dir(dirname: str, *args: Any, **kwargs: Any) -> Any:
        name = plain_name(dirname, *args, **kwargs)
        if name is not None and precompiled.in_use() is None and not is_whole(name):
            raise ValueError(f"{name} is cut short")  # as for a folder without a module, which Theano removes
        return name

    def compile_str(*args: Any, **kwargs: Any) -> Any:
        module = plain_compile(*args, **kwargs)
        if getattr(module, "__file__", None):
            sync(module.__file__)
        return module

    cmodule.module_name_from_dir = module_name_from_dir
    cmodule.GCC_compiler.compile_str = staticmethod(compile_str)
    return False


@before("theano.gof.lazylinker_c", "theano.gof.cutils")
def remove_cut_extensions(module: Any) -> bool:
    """Theano's own extensions are imported by their names, and rebuilt only where they are missing"""
    import theano

    if precompiled.in_use() is None:
        for name in "lazylinker_ext", "cutils_ext":
            folder = Path(theano.config.compiledir, name)
            if not all(map(is_whole, folder.glob("*.so"))):
                shutil.rmtree(folder)  # with the version that its __init__.py tells
    return False
