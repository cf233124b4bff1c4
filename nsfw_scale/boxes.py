"""The boxes of an MP4 [1]_: where they end, and what their tables promise.

FFmpeg makes room for every sample that a table promises before it looks for its bytes: 28 bytes and more for each. Six
kilobytes cost 1.8 GB so, and a list of edits, which says what is shown, multiplies the samples once more. All that is
promised is added up here first [2]_.

Tables are found by their names, wherever they are, for FFmpeg reads them in places where the standard has none, too.

References
----------
.. [1] ISO/IEC 14496-12 (ISO base media file format), 4.2 and chapter 8
.. [2] Apple, "QuickTime File Format", https://developer.apple.com/documentation/quicktime-file-format
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from nsfw_model.integrity import DamagedError

#: Boxes of a film, of which one that is written in pieces has two for each.
MAX_BOXES = 1 << 20
#: Samples of a film, times the entries of its longest list of edits; of a short film, as many as it has bytes.
MAX_SAMPLES = 1 << 24
#: Samples times edits that no film is too short for.
_FEW_SAMPLES = 1 << 16

#: Bytes that are searched at once, and of a table's beginning.
_PIECE, _BEGINNING = 1 << 20, 24
_NAMES = re.compile(rb"cmov|elst|hdlr|iinf|iloc|sgpd|stsz|stts|trak|trun")
#: Samples of sound without compression, each of which lasts for one unit of time, that FFmpeg takes together.
_TOGETHER = 1 << 10


def ends_of_boxes(file: BinaryIO, length: int) -> Iterator[int]:
    """Where boxes end, and how long a file is at least that has the samples of its tables.

    Parameters
    ----------
    file : binary file
        An MP4, or a QuickTime film.
    length : int
        Its bytes.

    Yields
    ------
    int
        Bytes since the beginning; more than `length`, if something is missing.

    Raises
    ------
    DamagedError
        If there are more boxes or samples than the limits of this module.

    Examples
    --------
    >>> import io
    >>> list(ends_of_boxes(io.BytesIO(b"\\0\\0\\0\\x08ftyp" + b"\\0\\0\\1\\0mdat"), 16))
    [8, 264]
    """
    promises = _Promises()
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            break
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        end = at + size if size >= 8 else length  # 0: to the end
        yield end
        if kind != b"mdat":
            for name, table in _tables(file, at, end):
                yield from promises.of(name, table)
        if size < 8 or end > length:
            break
        at = end
    else:
        raise DamagedError(f"got more than nsfw_scale.boxes.MAX_BOXES = {MAX_BOXES} boxes")
    promises.check(length)


def _tables(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The names of tables in a part of a file, and what follows them."""
    for at in range(begin, end, _PIECE):
        file.seek(at)
        wanted = min(_PIECE, end - at)
        piece = file.read(wanted + _BEGINNING)
        if not piece:
            return
        for found in _NAMES.finditer(piece):
            if found.start() < wanted:
                yield found[0], piece[found.end() : found.start() + _BEGINNING].ljust(_BEGINNING, b"\0")


def _entries(name: bytes, table: bytes) -> int:
    """The number of a table's entries, each of a byte at least; 0 if its version has no room for a large one."""
    version = table[0]
    if name == b"sgpd":
        at = 8 + 4 * min(version, 2) if table[4:8] == b"sync" else None  # FFmpeg reads no others
    elif name == b"iloc":
        at = 6 if version >= 2 else None
    else:
        at = 4 if version >= 1 else None
    return 0 if at is None else int.from_bytes(table[at : at + 4], "big")


class _Promises:
    """What the tables of a film say that there is."""

    def __init__(self) -> None:
        self._samples = self._edits = 0
        self._begin_track()

    def _begin_track(self) -> None:
        self._of_one_size, self._handlers, self._times = 0, set[bytes](), set[tuple[int, int]]()

    def _end_track(self) -> None:
        is_sound = b"soun" in self._handlers and b"vide" not in self._handlers
        are_together = is_sound and self._times == {(1, 1)}
        self._samples += self._of_one_size // (_TOGETHER if are_together else 1)
        self._begin_track()

    def of(self, name: bytes, table: bytes) -> Iterator[int]:
        """Add a table, and say how many bytes a film has at least that has such a one."""
        if name == b"cmov":
            raise DamagedError("got a compressed list of samples (cmov), which is not read")
        if name == b"trak":
            self._end_track()
        elif name == b"hdlr":
            self._handlers.add(table[8:12])
        elif name == b"stts":
            entries, _, duration = struct.unpack_from(">4x3I", table)
            self._times.add((entries, duration))
        elif name == b"elst":
            self._edits = max(self._edits, *struct.unpack_from(">4xI", table))
        elif name == b"stsz":
            size, count = struct.unpack_from(">4xII", table)
            self._of_one_size += count if size else 0
            self._samples += 0 if size else count
            yield count * (size or 4)
        elif name == b"trun":
            (count,) = struct.unpack_from(">4xI", table)
            self._samples += count
            yield count
        else:
            yield _entries(name, table)

    def check(self, length: int) -> None:
        """Check that FFmpeg will not make room for more samples than a film of that length may have."""
        self._end_track()
        limit = min(MAX_SAMPLES, max(length, _FEW_SAMPLES))
        samples = self._samples * max(self._edits, 1)
        if samples > limit:
            raise DamagedError(
                f"got {self._samples} samples and {self._edits} edits in {length} bytes, "
                f"more than {limit} (nsfw_scale.boxes.MAX_SAMPLES = {MAX_SAMPLES}, or a sample for each byte)"
            )
