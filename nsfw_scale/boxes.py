"""The boxes of an MP4 [1]_: where they end, and what their tables promise.

FFmpeg makes room for what tables promise before it looks for it: some seventy bytes for a sample. Six kilobytes cost
1.8 GB so, and a list of edits, which says what is shown, multiplies the samples once more. What is promised is added up
here first, in the boxes in which FFmpeg looks for tables, which are a few more than in the standard and QuickTime [2]_.

References
----------
.. [1] ISO/IEC 14496-12 (ISO base media file format), 4.2 and chapter 8
.. [2] Apple, "QuickTime File Format", https://developer.apple.com/documentation/quicktime-file-format
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from nsfw_model.integrity import DamagedError

#: Boxes of a film. One in pieces has some ten for each.
MAX_BOXES = 1 << 21
#: Samples of a film, each counted as often as an edit may show it; of a short film, as many as it has bytes.
MAX_SAMPLES = 1 << 25
#: Samples that no film is too short for.
_FEW_SAMPLES = 1 << 16
#: Bytes of a film's tables that are read as a whole: of edits, chunks, composition times and groups.
MAX_TABLE_BYTES = 1 << 27
#: Boxes within boxes, to FFmpeg.
_MAX_DEPTH = 10

_CONTAINERS = frozenset(
    b"dinf edts ilst ipco iprp mdia mfra minf moof moov mvex schi sinf stbl traf trak tref udta wave".split()
)
#: What may be within the description of samples, too, behind fields that depend on the codec.
_ANYWHERE = re.compile(rb"(?=....(cmov|ctts|elst|hdlr|sbgp|senc|stco|stsc|stsz|stts|stz2|trun))", re.DOTALL)
#: Samples of sound that are taken together, if each lasts for one unit of time.
_TOGETHER = 160


def ends_of_boxes(file: BinaryIO, length: int) -> Iterator[int]:
    """Where boxes end, and how long a file is at least that has what its tables promise.

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
    >>> max(ends_of_boxes(io.BytesIO(b"\\0\\0\\0\\x08ftyp" + b"\\0\\0\\1\\0mdat"), 16))
    264
    """
    film = _Film()
    for box in _Boxes(file, length).within(b"root", 0, length):
        if box.parent == b"root":
            yield box.end
        if box.end <= length:
            yield film.promised_by(box)
    yield film.end_track()
    film.check(length)


class _Box(NamedTuple):
    """A box, and how its contents are read."""

    kind: bytes
    parent: bytes
    begin: int
    end: int
    read: Callable[[int], bytes]

    def numbers(self, form: str) -> tuple[int, ...]:
        """The numbers with which it begins; what is missing are zeros, as FFmpeg may read what follows."""
        size = struct.calcsize(form)
        return struct.unpack(form, self.read(size).ljust(size, b"\0"))

    def table(self, columns: int, begin: int = 8) -> np.ndarray:
        """Its rows of 32 bits, behind version and number of rows: ndarray of int64, shape (rows, columns)."""
        data = self.read(max(self.end - self.begin, 0))[begin:]
        rows = np.frombuffer(data, ">u4", len(data) // (4 * columns) * columns)
        return rows.reshape(-1, columns).astype(np.int64)


class _Boxes:
    """A file's boxes, in the order in which FFmpeg reads them."""

    def __init__(self, file: BinaryIO, length: int):
        self._file, self._length = file, length
        self._number = self._bytes_of_tables = 0

    def within(self, parent: bytes, begin: int, end: int, depth: int = 0) -> Iterator[_Box]:
        """The boxes of a part of the file, each before those that are in it."""
        at = begin
        while at + 8 <= end:
            self._count()
            header = self._read(at, 16)
            size, kind = struct.unpack_from(">I4s", header)
            content = at + 8
            if size == 1 and len(header) == 16:
                (size,), content = struct.unpack_from(">Q", header, 8), at + 16
            size = size or end - at  # 0: to the end
            if at + size < content or (kind in (b"trak", b"mdat") and parent not in (b"root", b"moov")):
                return  # FFmpeg looks no further in there
            stop = at + size if parent == b"root" else min(at + size, end)
            yield self._box(kind, parent, content, stop)
            if stop > self._length:
                return
            if depth < _MAX_DEPTH:
                yield from self._children(kind, content, stop, depth + 1)
            at = stop

    def _children(self, kind: bytes, begin: int, end: int, depth: int) -> Iterator[_Box]:
        if kind in _CONTAINERS:
            yield from self.within(kind, begin, end, depth)
        elif kind in (b"free", b"hoov") and self._read(begin + 4, 4) in (b"cmov", b"mvhd"):
            yield from self.within(b"moov", begin, end, depth)
        elif kind == b"meta":  # with a version or without
            words = np.frombuffer(self._read(begin, min(end - begin, MAX_TABLE_BYTES) // 4 * 4), ">u4")
            first = np.flatnonzero(words == int.from_bytes(b"hdlr", "big"))
            if len(first):
                yield from self.within(kind, begin + 4 * int(first[0]) - 4, end, depth)
        elif kind == b"stsd":
            for found in _ANYWHERE.finditer(self._read(begin, min(end - begin, MAX_TABLE_BYTES))):
                self._count()
                yield self._box(found[1], kind, begin + found.start() + 8, end)

    def _box(self, kind: bytes, parent: bytes, begin: int, end: int) -> _Box:
        return _Box(kind, parent, begin, end, lambda size: self._read_table(begin, size))

    def _read_table(self, begin: int, size: int) -> bytes:
        self._bytes_of_tables += size
        if self._bytes_of_tables > MAX_TABLE_BYTES:
            raise DamagedError(f"got more than nsfw_scale.boxes.MAX_TABLE_BYTES = {MAX_TABLE_BYTES} bytes of tables")
        return self._read(begin, size)

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)

    def _count(self) -> None:
        self._number += 1
        if self._number > MAX_BOXES:
            raise DamagedError(f"got more than nsfw_scale.boxes.MAX_BOXES = {MAX_BOXES} boxes")


class _Track:
    """What the tables of a track promise."""

    def __init__(self) -> None:
        self.samples = self.alike = self.bytes_of_alike = self.edits = self.chunks = 0
        self.runs = np.empty((0, 3), np.int64)
        self.is_sound = self.is_something_else = self.lasts_for_one = self.lasts_otherwise = False

    @property
    def is_together(self) -> bool:
        """Whether it is sound of which FFmpeg takes many samples as one: as many as a chunk has, or 160 and more."""
        return self.is_sound and self.lasts_for_one and not (self.is_something_else or self.lasts_otherwise)

    @property
    def entries(self) -> int:
        """What FFmpeg's index of it has."""
        return (self._parts_of_chunks() if self.is_together else self.samples + self.alike) * max(self.edits, 1)

    def _parts_of_chunks(self) -> int:
        first, samples, _ = self.runs.T
        chunks = np.diff(first, append=self.chunks + 1)
        return int(np.maximum(chunks, 0).astype(float) @ np.ceil(samples / _TOGETHER)) + self.chunks


class _Film:
    """What the tables of a film promise."""

    def __init__(self) -> None:
        self._track = _Track()
        self._tracks = self._samples = self._fragments = 0

    def promised_by(self, box: _Box) -> int:
        """Add a box, and say how many bytes a film has at least that has such a one."""
        reading = _READINGS.get(box.kind)
        return reading(self, box) if reading else 0

    def end_track(self) -> int:
        """Add the track whose tables there were, and say how many bytes its samples have."""
        track, self._track = self._track, _Track()
        self._samples += track.entries
        # Sound may be compressed, and its numbers those of what it becomes
        return 0 if track.is_together else track.bytes_of_alike

    def check(self, length: int) -> None:
        """Check that FFmpeg will not make room for more than a film of that length may have."""
        limit = min(MAX_SAMPLES, max(length, _FEW_SAMPLES))
        promised = self._samples + self._fragments * self._tracks
        if promised > limit:
            raise DamagedError(
                f"got {promised} samples, with those of each edit and fragment, in {length} bytes, expected at most "
                f"{limit} (nsfw_scale.boxes.MAX_SAMPLES = {MAX_SAMPLES}, or one for each byte)"
            )

    def refuse(self, box: _Box) -> int:
        """cmov, of QuickTime."""
        raise DamagedError("got a compressed header (cmov), which is not read")

    def add_track(self, box: _Box) -> int:
        """trak, 8.3.1: the one before has ended."""
        self._tracks += 1
        return self.end_track()

    def add_sizes(self, box: _Box) -> int:
        """stsz, 8.7.3.2: one size for all samples, or one for each."""
        size, count = box.numbers(">4xII")
        if size:
            self._track.alike += count
            self._track.bytes_of_alike += size * count
            return 0
        self._track.samples += count
        return 4 * count

    def add_compact_sizes(self, box: _Box) -> int:
        """stz2, 8.7.3.3: 4, 8 or 16 bits for each sample."""
        bits, count = box.numbers(">7xBI")
        self._track.samples += count
        return bits * count // 8

    def add_edits(self, box: _Box) -> int:
        """elst, 8.6.6: FFmpeg takes as many as there is room for; those without pictures show nothing."""
        version, count = box.numbers(">B3xI")
        row = 20 if version == 1 else 12
        count = max(count, (box.end - box.begin - 8) // row)
        if version == 0:
            count -= int((box.table(3)[:, 1] == 0xFFFFFFFF).sum())
        self._track.edits = max(self._track.edits, count)
        return 0

    def add_handler(self, box: _Box) -> int:
        """hdlr, 8.4.3: what kind a track is."""
        (kind,) = box.numbers(">8x4s")
        self._track.is_sound |= kind == b"soun"
        self._track.is_something_else |= kind in (b"vide", b"subp", b"clcp", b"m1a ")
        return 0

    def add_times(self, box: _Box) -> int:
        """stts, 8.6.1.2: how long samples last."""
        rows, _, duration = box.numbers(">4x3I")
        self._track.lasts_for_one |= (rows, duration) == (1, 1)
        self._track.lasts_otherwise |= (rows, duration) != (1, 1)
        return 0

    def add_runs(self, box: _Box) -> int:
        """stsc, 8.7.4: how many samples the chunks have."""
        if len(self._track.runs):
            raise DamagedError("got two tables of a track's chunks (stsc), expected one")
        self._track.runs = box.table(3)
        return 0

    def add_chunks(self, box: _Box) -> int:
        """stco and co64, 8.7.5: where chunks are."""
        (count,) = box.numbers(">4xI")
        self._track.chunks += count
        return 4 * count

    def add_samples_of_fragment(self, box: _Box) -> int:
        """trun, 8.8.8."""
        (count,) = box.numbers(">4xI")
        self._samples += count
        return count

    def add_fragment(self, box: _Box) -> int:
        """moof, 8.8.4: FFmpeg makes room for each in each track."""
        self._fragments += 1
        return 0

    def add_references(self, box: _Box) -> int:
        """sidx, 8.16.3: fragments that there are."""
        version, *_ = box.numbers(">B")
        self._fragments += box.numbers(">30xH" if version else ">22xH")[0]
        return 0

    def add_places_of_fragments(self, box: _Box) -> int:
        """tfra, 8.8.10."""
        (count,) = box.numbers(">12xI")
        self._fragments += count
        return count

    def add_composition_times(self, box: _Box) -> int:
        """ctts, 8.6.1.3: runs of samples."""
        return int(box.table(2)[:, 0].sum())

    def add_groups(self, box: _Box) -> int:
        """sbgp, 8.9.2: runs of samples, too."""
        (version,) = box.numbers(">B")
        return int(box.table(2, begin=16 if version else 12)[:, 0].sum())

    def add_entries(self, box: _Box) -> int:
        """Other tables, whose entries have a byte at least."""
        version, flags, group = box.numbers(">B2xB4s")
        at = {
            b"iinf": 4 if version else None,  # None: the number has 16 bits
            b"iloc": 6 if version >= 2 else None,
            b"saio": 12 if flags & 1 else 4,
            b"saiz": 13 if flags & 1 else 5,
            b"senc": 4,
            b"sgpd": 8 + 4 * min(version, 2) if group == b"sync" else None,  # FFmpeg reads no others
        }[box.kind]
        return 0 if at is None else box.numbers(f">{at}xI")[0]


_READINGS: dict[bytes, Callable[[_Film, _Box], int]] = {
    b"cmov": _Film.refuse,
    b"co64": _Film.add_chunks,
    b"ctts": _Film.add_composition_times,
    b"elst": _Film.add_edits,
    b"hdlr": _Film.add_handler,
    b"iinf": _Film.add_entries,
    b"iloc": _Film.add_entries,
    b"moof": _Film.add_fragment,
    b"saio": _Film.add_entries,
    b"saiz": _Film.add_entries,
    b"sbgp": _Film.add_groups,
    b"senc": _Film.add_entries,
    b"sgpd": _Film.add_entries,
    b"sidx": _Film.add_references,
    b"stco": _Film.add_chunks,
    b"stsc": _Film.add_runs,
    b"stsz": _Film.add_sizes,
    b"stts": _Film.add_times,
    b"stz2": _Film.add_compact_sizes,
    b"tfra": _Film.add_places_of_fragments,
    b"trak": _Film.add_track,
    b"trun": _Film.add_samples_of_fragment,
}
