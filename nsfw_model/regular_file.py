"""Files that end: a pipe in the place of one may be waited for for ever, and a device read for ever."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


class NotRegularError(OSError):
    """A pipe, a socket or a device bears the name of a file.

    Examples
    --------
    >>> issubclass(NotRegularError, OSError)
    True
    """


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a file to read it, without waiting for whatever else may bear its name.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    binary file

    Raises
    ------
    NotRegularError
        If it is a pipe, a socket or a device.
    IsADirectoryError
        If it is a folder.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> with open_regular("img/coffee.jpg") as file:
    ...     file.read(3)
    b'\\xff\\xd8\\xff'
    >>> open_regular("/dev/null")
    Traceback (most recent call last):
    nsfw_model.regular_file.NotRegularError: /dev/null: is a pipe or a device, not a file
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise NotRegularError(f"{os.fspath(path)}: is a pipe or a device, not a file")


def read_regular(path: str | os.PathLike, most: int) -> bytes:
    """Read a file, or its beginning.

    Parameters
    ----------
    path : str or Path
    most : int
        How many bytes at most, however large it is by now.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        As `open_regular`; if it cannot be read.

    Examples
    --------
    >>> read_regular("img/coffee.jpg", 3)
    b'\\xff\\xd8\\xff'
    """
    with open_regular(path) as file:
        # Python makes room for as many bytes as it is asked for
        return file.read(min(os.fstat(file.fileno()).st_size, most))
