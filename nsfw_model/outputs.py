"""Files that are whole or not there: written beside their place, and moved to it when all is on the disk."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from theano_compat.damage import sync


class OutputError(OSError):
    """A file could not be written; what was there before is unchanged. The message names the file and the reason."""


@contextlib.contextmanager
def replacing(path: str | Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file to be written, which takes the place of `path` at the end of the ``with`` block.

    Whatever interrupts the block, an error, Ctrl-C, a killed process or a power cut, leaves what was at `path`
    before. A link stays one, and what it leads to is replaced, with the permissions that it has. A pipe or device is
    written to as it is.

    Parameters
    ----------
    path : str or Path
    overwrite : bool
        Whether a file may be replaced that is there at the end of the block, as others may have made it meanwhile.

    Yields
    ------
    binary file

    Raises
    ------
    OutputError
        If the file cannot be written, such as on a full disk, or is there and not to be overwritten.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "out.txt") as file:
    ...     _ = file.write(b"all of it")
    >>> [path.name for path in folder.iterdir()]
    ['out.txt']
    """
    target = Path(os.path.realpath(path))
    with _explained(path):
        # By its own name: what /dev/stdout leads to, where that is a pipe, has none
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as file:
                yield file
            return
        # In the same folder, or it could not be moved there
        unfinished = target.with_name(f".{_cut(target.name)}.{secrets.token_hex(_RANDOM_BYTES)}{PART}")
        try:
            with _created(unfinished, target) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _move(unfinished, target, overwrite)
            with contextlib.suppress(OSError):  # not every system lets folders be opened
                sync(target.parent)  # or the new name could be lost in a power cut
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise


#: How names of files end that are not complete yet, behind as many random bytes.
PART, _RANDOM_BYTES = ".part", 6


def _cut(name: str) -> str:
    """So much of a name that there is room for more behind it: file systems count its bytes, mostly up to 255."""
    return os.fsencode(name)[:100].decode("utf-8", "ignore")


def _created(path: Path, target: Path) -> BinaryIO:
    """Open a new file that nobody can read who cannot read the one that it is to replace."""
    if not target.exists():
        return open(path, "xb")
    mode = stat.S_IMODE(target.stat().st_mode)
    file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode))
    try:
        os.chmod(path, mode)  # what the mask has taken away
    except BaseException:
        file.close()
        raise
    return file


def _move(unfinished: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(unfinished, target)
        return
    try:
        os.link(unfinished, target)  # which never replaces anything
    except FileExistsError:
        raise
    except OSError:  # such as on FAT, which has no such links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(unfinished, target)
    else:
        os.unlink(unfinished)


@contextlib.contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written: {reason}") from error


@contextlib.contextmanager
def sole_writer(folder: str | Path, names: Iterable[str]) -> Iterator[None]:
    """Be the only process that writes some files of a folder, and remove what killed ones have left of them unfinished.

    Parameters
    ----------
    folder : str or Path
    names : iterable of str
        Of the files, ``*`` standing for anything; what others write beside them is left alone.

    Raises
    ------
    BlockingIOError
        If another process does so already.

    Examples
    --------
    >>> import tempfile
    >>> with sole_writer(tempfile.mkdtemp(), ["best.png", "generations/*.png"]):
    ...     pass
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(ImportError):  # no such locks on Windows
            import fcntl

            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(f"{folder}: another process is writing there") from None
        for path in (Path(folder, name) for name in names):
            for unfinished in path.parent.glob(f".{path.name}.{'[0-9a-f]' * (2 * _RANDOM_BYTES)}{PART}"):
                unfinished.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, as `replacing` does.

    Parameters
    ----------
    path : str or Path
    text : str

    Raises
    ------
    OutputError
        As `replacing`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.svg")
    >>> write_text(path, "<svg/>")
    >>> path.read_text()
    '<svg/>'
    """
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def save_picture(picture: Image.Image, path: str | Path, *, overwrite: bool = True, **options: Any) -> None:
    """Save a picture, as `replacing` does.

    Parameters
    ----------
    picture : PIL.Image.Image
    path : str or Path
        Its extension says the format.
    overwrite : bool
        As of `replacing`.
    options
        For `PIL.Image.Image.save`.

    Raises
    ------
    OutputError
        As `replacing`.
    ValueError
        If Pillow knows no format of this extension.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "white.png")
    >>> save_picture(Image.new("RGB", (3, 2), "white"), path)
    >>> Image.open(path).size
    (3, 2)
    """
    Image.init()
    extension = Path(path).suffix.lower()
    if extension not in Image.EXTENSION:
        raise ValueError(f"{path}: got an extension of no picture format")
    # Pillow's encoders do not notice a write that a full disk cuts short
    encoded = io.BytesIO()
    picture.save(encoded, format=Image.EXTENSION[extension], **options)
    with replacing(path, overwrite=overwrite) as file:
        file.write(encoded.getbuffer())
