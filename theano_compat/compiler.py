"""The C++ compiler: what it is told beside Theano's own arguments, and for which processors it makes code."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

from theano_compat import processor
from theano_compat.import_hook import after
from theano_compat.requirements import TheanoEnvironmentError, numpy_version

_HERE = os.path.dirname(os.path.abspath(__file__))
NUMPY2_HEADER = os.path.join(_HERE, "numpy2.h")
OPENBLAS_HEADER = os.path.join(_HERE, "scipy_openblas.h")
OPENBLAS_FLAG = "-lscipy_openblas"


def openblas_folder() -> str | None:
    """Find the library in the wheel scipy-openblas32.

    Returns
    -------
    str or None
        Its folder, or None where the wheel is not installed.

    Examples
    --------
    >>> folder = openblas_folder()
    >>> folder is None or os.path.isdir(folder)
    True
    """
    spec = importlib.util.find_spec("scipy_openblas32")
    for package_folder in (spec and spec.submodule_search_locations) or ():
        folder = os.path.join(package_folder, "lib")
        for suffix in ("so", "dylib"):
            if os.path.exists(os.path.join(folder, "libscipy_openblas." + suffix)):
                return folder
    return None


def march_of(cxxflags: str) -> str | None:
    """Find the processor that the user's compiler flags are for.

    Parameters
    ----------
    cxxflags : str
        Theano's setting ``gcc.cxxflags``.

    Returns
    -------
    str or None
        None where they name none: then it is this machine's.

    Examples
    --------
    >>> march_of("-O2 -march=x86-64-v3"), march_of("")
    ('x86-64-v3', None)
    """
    named = [flag.partition("-march=")[2] for flag in cxxflags.split() if flag.lstrip("-").startswith("march=")]
    return named[-1] if named and named[-1] != "native" else None


def needed_flags(cxx: str, march: str | None) -> set[str]:
    """Ask the compiler for which processors its code is.

    Parameters
    ----------
    cxx : str
        The compiler.
    march : str or None
        As for its ``-march=``; None is this machine's processor.

    Returns
    -------
    set of str
        The flags that a processor must have, as `processor.needed_flags` gives them.

    Raises
    ------
    TheanoEnvironmentError
        The compiler does not know the processor.

    Examples
    --------
    >>> needed_flags("g++", None) <= {flag.replace("_", "") for flag in processor.flags()}
    True
    """
    import subprocess

    command = [cxx, f"-march={march or 'native'}", "-dM", "-E", "-x", "c++", os.devnull]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if run.returncode and march:
        raise TheanoEnvironmentError(
            f"the C++ compiler {cxx!r} makes no code for the processor {march!r}: name another one, such as "
            f"x86-64-v3 ('{cxx} -march=list -E -x c++ /dev/null' lists those that it knows)."
        )
    needs = processor.needed_flags(line.split()[1] for line in run.stdout.splitlines() if line.count(" ") > 1)
    # The kernel may know a flag by another name than we think: this machine runs its own code in any case
    return needs if march else needs - set(processor.lacking(needs))


@after("theano.gof.cmodule")
def add_compiler_arguments(cmodule: Any) -> bool:
    """Generated C needs NumPy 1's names on NumPy 2, and the way to the BLAS of the wheel"""
    # As list items, not through gcc.cxxflags: that splits paths at spaces, and it is the user's
    plain_compile_args = cmodule.GCC_compiler.compile_args
    numpy2 = ["-include", NUMPY2_HEADER] if numpy_version() >= (2,) else []
    folder = openblas_folder()

    def compile_args(march_flags: bool = True) -> list[str]:
        arguments: list[str] = plain_compile_args(march_flags) + numpy2
        if folder and OPENBLAS_FLAG in cmodule.config.blas.ldflags.split():
            arguments += ["-include", OPENBLAS_HEADER, "-L" + folder]
            arguments += ["-Xlinker", "-rpath", "-Xlinker", folder]
        return arguments

    cmodule.GCC_compiler.compile_args = staticmethod(compile_args)
    return True


@after("theano.gof.cmodule")
def leave_libpython_out(cmodule: Any) -> bool:
    """Linux resolves Python's names in the running program; Debian has libpython only beside the headers"""
    if not sys.platform.startswith("linux"):
        return False
    cmodule.std_libs = lambda: []
    return True
