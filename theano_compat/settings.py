"""Theano's settings, only where the user has set nothing in ``THEANO_FLAGS`` or ``.theanorc``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from theano_compat.compiler import OPENBLAS_FLAG, openblas_folder
from theano_compat.import_hook import after
from theano_compat.requirements import TheanoEnvironmentError, check_compiler


@after("theano.configparser")
def set_defaults(configparser: Any) -> bool:
    """Theano would take float64, a BLAS named by numpy.distutils (gone), a home that may be read-only"""

    def users_choice(key: str) -> str | None:
        try:
            value: str = configparser.fetch_val_for_key(key)
        except KeyError:
            return None
        return value

    check_compiler(users_choice("cxx"))
    defaults = {
        "floatX": "float32",
        "blas.ldflags": OPENBLAS_FLAG if openblas_folder() else "",
        # The compiled modules of one NumPy cannot be loaded by another
        "compiledir_format": "compiledir_%(short_platform)s-%(processor)s-%(python_version)s-"
        "%(python_bitwidth)s-numpy-%(numpy_version)s",
    }
    if users_choice("base_compiledir") is None and users_choice("compiledir") is None:
        defaults["base_compiledir"] = writable_base_compiledir()
    for key, value in defaults.items():
        if users_choice(key) is None:
            configparser.THEANO_FLAGS_DICT[key] = value
    return True


def writable_base_compiledir() -> str:
    """Choose the folder that Theano keeps its compiled modules in.

    Theano loads and runs what it finds in this folder, so one that another user could have prepared is not
    taken.

    Returns
    -------
    str
        ``~/.theano``, or a private folder among the temporary files when that cannot be written.

    Raises
    ------
    TheanoEnvironmentError
        Neither can be written.
    """
    folder = os.path.join(os.path.expanduser("~"), ".theano")
    if os.path.isabs(folder):
        with contextlib.suppress(OSError):
            os.makedirs(folder, mode=0o770, exist_ok=True)
            if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                return folder
    try:
        return private_temporary_folder()
    except OSError as error:
        raise TheanoEnvironmentError(
            f"Theano needs a folder for its compiled modules, and neither {folder} nor the temporary files can be "
            f"written ({error}): set THEANO_FLAGS=base_compiledir=/path/to/a/folder."
        ) from error


def private_temporary_folder() -> str:
    """Make a temporary folder that only this user can open.

    Returns
    -------
    str
        The same folder each time, ``theano-`` and the user's number, unless that is somebody else's or open to
        others: then a new one.
    """
    import stat
    import tempfile

    uid = os.getuid() if hasattr(os, "getuid") else 0
    folder = os.path.join(tempfile.gettempdir(), f"theano-{uid}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077:
        return folder
    return tempfile.mkdtemp(prefix="theano-")


def quiet_spinning() -> None:
    """Let libgomp's idle threads sleep soon.

    By default they spin for long: 10-40 times slower when other processes want the cores.

    Examples
    --------
    >>> quiet_spinning()
    >>> "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ
    True
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "5000"
