"""The files to score: those that were named, and in folders every one."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

#: The name that stands for a picture, or for a list of files, on standard input.
STANDARD_INPUT = "-"
#: The latest moment that 64 bits hold, in the year 2262; file systems know later ones.
_LATEST = 2**63 - 1


class Found(NamedTuple):
    """A file, and by what it is noticed to have changed.

    Attributes
    ----------
    file : str
        As it was given, ``./a.jpg`` as that.
    named : bool
        Whether somebody named it, rather than the folder that it is in.
    size, modified_ns : int or None
        Its bytes, and nanoseconds since 1970; None where there is no such file.
    """

    file: str
    named: bool
    size: int | None = None
    modified_ns: int | None = None


def find_files(paths: Iterable[str]) -> Iterator[Found]:
    """List the files to score, without reading any: those named, and every file in folders, hidden ones too, sorted.

    Parameters
    ----------
    paths : iterable of str

    Yields
    ------
    Found
        A folder that holds nothing or cannot be read stands for itself: scoring it gives an error. In a folder, links
        to folders are not followed, and pipes and devices are passed over. ``-`` is standard input, never a file.

    Examples
    --------
    >>> [found.file for found in find_files(["./README.md", "", "./img/"])][:3]
    ['./README.md', '', './img/astronaut.png']
    """
    for path in paths:
        if path == STANDARD_INPUT:  # whatever else has this name is ./-
            yield Found(path, named=True)
            continue
        if os.path.isdir(path):  # which never raises, unlike Path.is_dir
            nothing = True
            for found in _walk(path):
                nothing = False
                yield found
            if not nothing:
                continue
        yield _stamped(path, named=True)


def read_names(source: str) -> list[str]:
    """Read a list of files, one a line, or with zero bytes between them, as ``find -print0`` writes it.

    Parameters
    ----------
    source : str
        A file, or ``-`` for standard input.

    Returns
    -------
    list of str

    Raises
    ------
    OSError
        If it cannot be read. The message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"a.jpg\\0b\\n.jpg\\0")
    ...     file.flush()
    ...     read_names(file.name)
    ['a.jpg', 'b\\n.jpg']
    """
    if source == STANDARD_INPUT:
        content = sys.stdin.buffer.read()
    else:
        try:
            with open(source, "rb") as file:
                content = file.read()
        except OSError as error:
            raise type(error)(f"{source}: the list of files cannot be read: {error.strerror}") from error
    names = content.split(b"\0" if b"\0" in content else b"\n")
    return [os.fsdecode(name) for name in names if name]


def _walk(top: str) -> Iterator[Found]:
    """The files below a folder, by the parts of their paths; a loop, for folders may lie deeper than Python calls."""
    waiting = [iter(_entries(top))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif isinstance(entry, str):
            yield Found(entry, named=False)
        elif entry.is_dir(follow_symlinks=False):
            waiting.append(iter(_entries(entry.path)))
        elif may_be_read(entry):
            yield _stamped(entry)


def _entries(folder: str) -> Sequence[os.DirEntry[str] | str]:
    """What is in a folder, sorted; the folder itself where that cannot be said."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return [folder]


def may_be_read(path: str | os.DirEntry[str]) -> bool:
    """Whether a path is a file, or leads nowhere, which is for the reader to say; reading a pipe could take forever.

    Parameters
    ----------
    path : str or os.DirEntry

    Returns
    -------
    bool

    Examples
    --------
    >>> may_be_read("img/rocket.jpg"), may_be_read("img")
    (True, False)
    """
    try:
        return stat.S_ISREG(_status(path).st_mode)
    except OSError:
        return True


def _stamped(path: str | os.DirEntry[str], named: bool = False) -> Found:
    name = path if isinstance(path, str) else path.path
    try:
        status = _status(path)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return Found(name, named)
    return Found(name, named, status.st_size, min(status.st_mtime_ns, _LATEST))


def _status(path: str | os.DirEntry[str]) -> os.stat_result:
    """An entry of a folder remembers its status."""
    return os.stat(path) if isinstance(path, str) else path.stat()
