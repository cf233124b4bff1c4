"""What the C++ compiler is told beside Theano's own arguments: two headers, and where the BLAS of the wheel is."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from theano_compat.import_hook import after
from theano_compat.requirements import numpy_version

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
