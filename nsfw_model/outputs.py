"""Files that are whole or not there: written beside their place, and moved to it when all is on the disk."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from theano_compat.damage import sync


class OutputError(OSError):
    """A file could not be written; what was there before is unchanged. The message names the file and the reason."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to be written, which takes the place of `path` at the end of the ``with`` block.

    Whatever interrupts the block, an error, Ctrl-C, a killed process or a power cut, leaves what was at `path`
    before. A link stays one, and what it leads to is replaced. A pipe or device is written to as it is.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    binary file

    Raises
    ------
    OutputError
        If the file cannot be written, such as on a full disk.

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
        if target.exists() and not target.is_file():
            with open(target, "wb") as file:
                yield file
            return
        # In the same folder, or it could not be moved there
        unfinished = target.with_name(f".{target.name[:100]}.{secrets.token_hex(_RANDOM_BYTES)}{PART}")
        try:
            with open(unfinished, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                os.chmod(unfinished, stat.S_IMODE(target.stat().st_mode))
            os.replace(unfinished, target)
            with contextlib.suppress(OSError):  # not every system lets folders be opened
                sync(target.parent)  # or the new name could be lost in a power cut
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise


#: How names of files end that are not complete yet, behind as many random bytes.
PART, _RANDOM_BYTES = ".part", 6


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
def sole_writer(folder: str | Path) -> Iterator[None]:
    """Be the only process that writes to a folder, and remove what killed ones have left there unfinished.

    Parameters
    ----------
    folder : str or Path

    Raises
    ------
    BlockingIOError
        If another process does so already.

    Examples
    --------
    >>> import tempfile
    >>> with sole_writer(tempfile.mkdtemp()):
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
        for unfinished in Path(folder).rglob(f".*.{'[0-9a-f]' * (2 * _RANDOM_BYTES)}{PART}"):
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


def save_picture(picture: Image.Image, path: str | Path, **options: Any) -> None:
    """Save a picture, as `replacing` does.

    Parameters
    ----------
    picture : PIL.Image.Image
    path : str or Path
        Its extension says the format.
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
    with replacing(path) as file:
        file.write(encoded.getbuffer())
