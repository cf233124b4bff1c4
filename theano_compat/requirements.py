"""What Theano needs and cannot be given here: a Python, a NumPy, a C++ compiler and Python's headers.

Each check raises one `TheanoEnvironmentError`, which says what to install.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from theano_compat.import_hook import before, is_installed

PYTHON_VERSIONS = (3, 10), (3, 15)
NUMPY_VERSIONS = (1, 26), (2,)


class TheanoEnvironmentError(ImportError):
    """Theano cannot work on this machine as it is; the message says what to install or change."""


def check_python() -> None:
    """Check the version of the Python that runs this.

    Raises
    ------
    TheanoEnvironmentError
        Theano is not kept working on this Python.

    Examples
    --------
    >>> check_python()
    """
    oldest, newest = PYTHON_VERSIONS
    if not oldest <= sys.version_info[:2] <= newest:
        raise TheanoEnvironmentError(
            "Theano 1.0.5 is kept working on Python {}.{} to {}.{}, and this is Python {}.{} ({}): "
            "make a virtual environment with one of those.".format(
                *(oldest + newest + tuple(sys.version_info[:2]) + (sys.executable,))
            )
        )


def check_not_imported_before() -> None:
    """Check that Theano has not been imported before the import hook was installed.

    Raises
    ------
    TheanoEnvironmentError
        It has, and so was not repaired.

    Examples
    --------
    >>> check_not_imported_before()
    """
    if "theano" in sys.modules and not is_installed():
        raise TheanoEnvironmentError(
            "theano was imported before theano_compat, too late to repair it: import theano_compat (or the "
            "package that uses it, such as open_nsfw) before theano and lasagne."
        )


def numpy_version() -> tuple[int, ...]:
    """Return NumPy's major and minor version.

    Returns
    -------
    tuple of (int, int)

    Examples
    --------
    >>> (1, 26) <= numpy_version() < (3,)
    True
    """
    import numpy

    return tuple(int(part) for part in numpy.__version__.split(".")[:2])


def check_numpy() -> None:
    """Check the version of NumPy.

    Raises
    ------
    TheanoEnvironmentError
        NumPy is not of 1.26 to 2.x, or cannot be imported.

    Examples
    --------
    >>> check_numpy()
    """
    try:
        version = numpy_version()
    except ImportError as error:
        raise TheanoEnvironmentError(
            f"Theano needs NumPy, and it cannot be imported here ({error}): pip install 'numpy>=1.26,<3'"
        ) from error
    oldest, newest = NUMPY_VERSIONS
    if version < oldest or version[:1] > newest:
        raise TheanoEnvironmentError(
            "Theano 1.0.5 is kept working on NumPy 1.26 to 2.x, and this is NumPy {}.{}: "
            "pip install 'numpy>=1.26,<3'".format(*version)
        )


@before("theano")
def check_numpy_first(theano: ModuleType) -> bool:
    """Theano itself would fail on another NumPy with messages that help nobody"""
    check_numpy()
    return False


def check_compiler(cxx: str | None) -> None:
    """Check that Theano's generated C++ can be compiled: there is a compiler, and there are Python's headers.

    Parameters
    ----------
    cxx : str or None
        The compiler that the user has chosen, ``""`` for none (Theano then runs in Python, very slowly), or
        None for Theano's own choice.

    Raises
    ------
    TheanoEnvironmentError
        The compiler or the headers are missing.

    Examples
    --------
    >>> check_compiler("/opt/none/g++")
    Traceback (most recent call last):
        ...
    theano_compat.requirements.TheanoEnvironmentError: Theano needs a C++ compiler, and '/opt/none/g++' was not...
    """
    import shutil
    import sysconfig

    if cxx == "":
        return
    compiler = cxx or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler.split()[0]) is None and shutil.which(compiler) is None:
        raise TheanoEnvironmentError(
            f"Theano needs a C++ compiler, and {compiler!r} was not found on PATH. Install one: "
            "'apt-get install g++' (Debian, Ubuntu), 'dnf install gcc-c++' (Fedora), "
            "'xcode-select --install' (macOS), 'conda install gxx' (conda). "
            "To name another one set THEANO_FLAGS=cxx=/path/to/it."
        )
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    if not os.path.exists(header):
        raise TheanoEnvironmentError(
            f"Theano compiles C++ code against Python's headers, and {header} does not exist. Install them: "
            "'apt-get install python3-dev' (Debian, Ubuntu), 'dnf install python3-devel' (Fedora)."
        )
