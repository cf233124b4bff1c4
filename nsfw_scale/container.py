"""Whether the file of a film is as long as its container says: FFmpeg takes one that was cut for a shorter film.

The boxes of an MP4 (`nsfw_scale.boxes`), the segment of a Matroska [1]_ and the lists of an AVI [2]_ have their sizes
in front of them. An MPEG stream, a transport stream and an FLV do not say how long they are.

References
----------
.. [1] IETF, RFC 8794, "Extensible Binary Meta Language", section 6
.. [2] Microsoft, "AVI RIFF File Reference", https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from nsfw_model.integrity import DamagedError
from nsfw_scale.boxes import ends_of_boxes


def check_length(file: BinaryIO, noun: str) -> None:
    """Check that a film's file does not end early, and go back to its beginning.

    Parameters
    ----------
    file : binary file
    noun : str
        Of `nsfw_model.signatures`; containers other than "mp4", "mkv" and "avi" are not looked at.

    Raises
    ------
    DamagedError
        If it does, or if an MP4 breaks a limit of `nsfw_scale.boxes`.

    Examples
    --------
    >>> check_length(io.BytesIO(b"\\0\\0\\1\\0mdat"), "mp4")
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: truncated: got 8 bytes, expected 256
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    for expected in _ENDS[noun](file, length) if noun in _ENDS else ():
        if expected > length:
            raise DamagedError(f"truncated: got {length} bytes, expected {expected}")
    file.seek(0)


def _ends_of_lists(file: BinaryIO, length: int) -> Iterator[int]:
    """Where the RIFF lists of an AVI end; one of more than a gigabyte has several."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF" or not size:
            return
        at += 8 + size
        yield at


def _ends_of_segment(file: BinaryIO, length: int) -> Iterator[int]:
    """Where the segment of a Matroska ends."""
    data = file.read(4096)
    at = 4
    for identifier in b"", _SEGMENT:
        if not data.startswith(identifier, at):
            return
        at += len(identifier)
        width = 9 - data[at].bit_length() if at < len(data) and data[at] else 0
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        if not width or size == (1 << 7 * width) - 1:  # unknown, as of what was sent while it was made
            return
        at += width + size
    yield at


_SEGMENT = b"\x18\x53\x80\x67"
_ENDS = {"mp4": ends_of_boxes, "mkv": _ends_of_segment, "avi": _ends_of_lists}
