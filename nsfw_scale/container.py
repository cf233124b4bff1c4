"""Whether the file of a film is as long as its container says: FFmpeg takes one that was cut for a shorter film.

The boxes of an MP4 [1]_, the segment of a Matroska [2]_ and the lists of an AVI [3]_ have their sizes in front of them,
and tables of an MP4 say how many bytes its samples have.
An MPEG stream, a transport stream and an FLV do not say how long they are.

References
----------
.. [1] ISO/IEC 14496-12 (ISO base media file format), 4.2
.. [2] IETF, RFC 8794, "Extensible Binary Meta Language", section 6
.. [3] Microsoft, "AVI RIFF File Reference", https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from nsfw_model.integrity import DamagedError

#: Boxes of an MP4, of which one that is written in pieces has two for each.
MAX_BOXES = 1 << 20


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
        If it does.

    Examples
    --------
    >>> check_length(io.BytesIO(b"\\0\\0\\1\\0mdat"), "mp4")
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: truncated: got 8 bytes, expected 256
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    expected = max(_ENDS[noun](file, length), default=0) if noun in _ENDS else 0
    file.seek(0)
    if expected > length:
        raise DamagedError(f"truncated: got {length} bytes, expected {expected}")


def _ends_of_boxes(file: BinaryIO, length: int) -> Iterator[int]:
    """Where the boxes of an MP4 end."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            return
        (size,) = struct.unpack_from(">I", header)
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        if size < 8 or at + size > length:  # 0: to the end
            yield at + size
            return
        if header[4:8] == b"moov":
            file.seek(at)
            yield from _bytes_of_samples(file.read(size))
        at += size
    raise DamagedError(f"got more than nsfw_scale.container.MAX_BOXES = {MAX_BOXES} boxes")


def _bytes_of_samples(moov: bytes) -> Iterator[int]:
    """What tables of sample sizes (8.7.3.2) promise: FFmpeg makes room for each sample, whether it is there or not."""
    for found in re.finditer(rb"stsz", moov):
        if found.end() + 12 <= len(moov):
            size, count = struct.unpack_from(">II", moov, found.end() + 4)
            yield size * count if size else 4 * count


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
_ENDS = {"mp4": _ends_of_boxes, "mkv": _ends_of_segment, "avi": _ends_of_lists}
