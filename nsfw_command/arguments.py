"""Types of arguments that several subcommands take."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import TypeVar

from nsfw_model.checks import MAX_NUMBER, MAX_PROCESSES, MAX_THREADS

Value = TypeVar("Value")


#: Exit code of all commands if a file cannot be written (EX_IOERR of sysexits.h).
NOT_WRITTEN = 74


def positive(text: str, most: int = MAX_NUMBER) -> int:
    """Read a whole number of at least 1.

    Parameters
    ----------
    text : str
    most : int
        The largest number.

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.

    Examples
    --------
    >>> positive("8")
    8
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= most:
        above = f" and at most {most}" if value > most else ""
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1{above}, got {text!r:.100}")
    return value


def threads(text: str) -> int:
    """Read a number of threads.

    Parameters
    ----------
    text : str

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is no whole number of at least 1, or more than `nsfw_model.checks.MAX_THREADS`.

    Examples
    --------
    >>> threads("8")
    8
    """
    return positive(text, MAX_THREADS)


def processes(text: str) -> int:
    """Read a number of processes.

    Parameters
    ----------
    text : str

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is no whole number of at least 1, or more than `nsfw_model.checks.MAX_PROCESSES`.

    Examples
    --------
    >>> processes("8")
    8
    """
    return positive(text, MAX_PROCESSES)


def port(text: str) -> int:
    """Read the number of a port.

    Parameters
    ----------
    text : str

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is no whole number from 1 to 65,535.

    Examples
    --------
    >>> port("8000")
    8000
    """
    return positive(text, 65535)


def nonempty(text: str) -> str:
    """Read a name, such as of a file or an address; nothing is none.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Raises
    ------
    argparse.ArgumentTypeError
        If it is empty.

    Examples
    --------
    >>> nonempty("nsfw.pkl")
    'nsfw.pkl'
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got ''")
    return text


def file_path(text: str) -> Path:
    """Read the name of a file or folder. An empty one would be the working directory.

    Parameters
    ----------
    text : str

    Returns
    -------
    pathlib.Path

    Raises
    ------
    argparse.ArgumentTypeError
        If it is empty.

    Examples
    --------
    >>> file_path("out/a.png")
    PosixPath('out/a.png')
    """
    return Path(nonempty(text))


def number(text: str) -> float:
    """Read a number; NaN is none, since nothing compares with it.

    Parameters
    ----------
    text : str

    Returns
    -------
    float
        Finite or infinite.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.

    Examples
    --------
    >>> number("0.9")
    0.9
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r:.100}")
    return value


def probability(text: str) -> float:
    """Read a number from 0 to 1.

    Parameters
    ----------
    text : str

    Returns
    -------
    float

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.

    Examples
    --------
    >>> probability("0.8")
    0.8
    """
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r:.100}")
    return value


def seconds(text: str) -> float | None:
    """Read a limit of time.

    Parameters
    ----------
    text : str

    Returns
    -------
    float or None
        Seconds; None for infinity, which is no limit.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is no number above 0.

    Examples
    --------
    >>> seconds("0.5"), seconds("inf")
    (0.5, None)
    """
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, or inf, got {text!r:.100}")
    return None if value > TIMEOUT_MAX else value


def checked(check: Callable[[str], Value]) -> Callable[[str], Value]:
    """Make an argument's type of a function that reads a value or raises ValueError, to keep its message.

    Parameters
    ----------
    check : callable
        It takes a str.

    Returns
    -------
    callable
        The same, raising argparse.ArgumentTypeError instead.

    Examples
    --------
    >>> checked(float)("0.9")
    0.9
    """

    def read(text: str) -> Value:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def also_read(outputs: Iterable[str | Path], sources: Iterable[str | Path | None]) -> str | None:
    """Say which file is to be written and read: it may be the only one of what it holds.

    Parameters
    ----------
    outputs : iterable of str or Path
    sources : iterable of str, Path or None
        The files that are read; None is none.

    Returns
    -------
    str or None
        None if they are all others, by whatever names and links.

    Examples
    --------
    >>> also_read(["./README.md"], ["img", "README.md"])
    './README.md: is read, too; expected another file to be written'
    """
    written = {_identity(path): path for path in outputs}
    for source in sources:
        if source is not None and (path := written.get(_identity(source))) is not None:
            return f"{path}: is read, too; expected another file to be written"
    return None


def _identity(path: str | Path) -> object:
    try:
        status = os.stat(path)
    except OSError:  # it is still to be made
        return os.path.realpath(path)
    except ValueError:  # a name with a zero byte
        return path
    return status.st_dev, status.st_ino


def unwritable(path: Path, force: bool) -> str | None:
    """Say why a file could not be written, before anything is computed for it.

    Parameters
    ----------
    path : Path
    force : bool
        Whether a file that is there may be overwritten.

    Returns
    -------
    str or None
        None if nothing speaks against it.

    Examples
    --------
    >>> unwritable(Path("README.md"), force=False)
    'README.md: exists; --force overwrites it'
    """
    if not path.parent.is_dir():
        return f"{path}: there is no folder {path.parent}"
    if path.exists() and not force:
        return f"{path}: exists; --force overwrites it"
    written = path if path.exists() else path.parent
    return None if os.access(written, os.W_OK) else f"{path}: {written} cannot be written to"
