"""Whether the pictures that are coded in an AVIF [1]_ are as large as its header says, for they are decoded in full.

What Pillow is told of the size stands beside the pictures, in a property or a track. Two kilobytes of 12000x12000
pixels took 550 MB so, though they were called a picture of 16x16. Each coded picture tells its size itself, in the
sequence header of its AV1 stream [2]_. One that differs is scaled by the decoder, as in browsers.

References
----------
.. [1] AOM, "AV1 Image File Format (AVIF)"; ISO/IEC 14496-12, 8.7 and 8.11 (samples and items)
.. [2] AOM, "AV1 Bitstream & Decoding Process Specification", 5.3 and 5.5
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from PIL import Image

from nsfw_model.integrity import DamagedError

#: Parts (OBUs) of all AV1 streams of a file, and samples of its tracks.
MAX_UNITS, MAX_SAMPLES = 1 << 20, 1 << 17
#: Pixels of all items together, by `PIL.Image.MAX_IMAGE_PIXELS`: colours and alpha, each whole or in tiles.
_PICTURES = 2
#: Pixels that are coded for one that a track shows.
_CODED = 4

_CONTAINERS = frozenset(b"moov trak mdia minf stbl iprp ipco".split())


def check_coded_sizes(data: bytes) -> None:
    """Check that no more pixels are coded in an AVIF than may be decoded.

    Parameters
    ----------
    data : bytes
        The file.

    Raises
    ------
    DamagedError
        If there are more, or if the streams have too many parts.

    Examples
    --------
    >>> check_coded_sizes(b"\\0\\0\\0\\x0cftypavif")
    """
    streams = _Streams(data)
    for kind, begin, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            _check_items(data, begin + 4, end, streams)
        elif kind == b"moov":
            for inner, inner_begin, inner_end in _boxes(data, begin, end):
                if inner == b"trak":
                    _check_track(data, inner_begin, inner_end, streams)


class _Streams:
    """Reads the sizes in AV1 streams, up to a number of parts of all of them."""

    def __init__(self, data: bytes):
        self._data = data
        self._units = self._joined = 0

    def pixels(self, extents: list[tuple[int, int]]) -> int:
        """The pixels of the largest picture that a stream announces, which consists of so many parts of the file."""
        if len(extents) == 1:
            stream, at, end = self._data, extents[0][0], min(sum(extents[0]), len(self._data))
        else:
            self._joined += sum(size for _, size in extents)
            if self._joined > 2 * len(self._data):
                raise DamagedError(f"got more than {2 * len(self._data)} bytes of streams in pieces")
            stream, at = b"".join(self._data[begin : begin + size] for begin, size in extents), 0
            end = len(stream)
        most = 0
        while at < end:
            self._units += 1
            if self._units > MAX_UNITS:
                raise DamagedError(f"got more than {MAX_UNITS} parts of AV1 streams")
            kind, has_size = stream[at] >> 3 & 15, stream[at] & 2
            at += 2 if stream[at] & 4 else 1
            size, at = _leb128(stream, at) if has_size else (end - at, at)
            if kind == _SEQUENCE_HEADER:
                most = max(most, _pixels_of_sequence(stream[at : min(at + size, at + 1024)]))
            at += size
        return most


_SEQUENCE_HEADER = 1


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits in each byte, and where it ends."""
    value = shift = 0
    while at < len(data) and shift < 56:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            break
    return value, at


class _Bits:
    """Reads numbers of any width; behind the end there are zeros."""

    def __init__(self, data: bytes):
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def __call__(self, width: int) -> int:
        self._left -= width
        shifted = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return shifted & ((1 << width) - 1)

    def skip_uvlc(self) -> None:
        zeros = 0
        while zeros < 32 and not self(1):
            zeros += 1
        self(zeros)


def _pixels_of_sequence(header: bytes) -> int:
    """The largest picture of a sequence (AV1 5.5.1)."""
    bits = _Bits(header)
    bits(4)  # profile, and whether it is a still picture
    if bits(1):  # reduced
        bits(5)
    else:
        _skip_operating_points(bits)
    widths = bits(4) + 1, bits(4) + 1
    return prod(bits(width) + 1 for width in widths)


def _skip_operating_points(bits: _Bits) -> None:
    delays = 0
    if bits(1):  # timing
        bits(64)
        if bits(1):
            bits.skip_uvlc()
        if bits(1):  # a model of the decoder
            delays = bits(5) + 1
            bits(42)
    displayed = bits(1)
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits(1)
        if delays and bits(1):
            bits(2 * delays + 1)
        if displayed and bits(1):
            bits(4)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes in a part of the file, and where the contents of each begin and end."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1 and at + 16 <= end:
            (size,), begin = struct.unpack_from(">Q", data, at + 8), at + 16
        size = size or end - at  # 0: to the end
        if size < begin - at:
            return
        yield kind, begin, min(at + size, end)
        at += size


def _check_items(data: bytes, begin: int, end: int, streams: _Streams) -> None:
    """Check the sum of all items, of which a large picture has many, as tiles, and one with alpha twice as many."""
    coded: set[int] = set()
    items: list[_Item] = []
    buffer = 0
    for kind, at, box_end in _boxes(data, begin, end):
        if kind == b"iinf":
            first = at + (6 if data[at] == 0 else 8)
            for inner, entry, _ in _boxes(data, first, box_end):
                wide = data[entry] == 3
                if inner == b"infe" and data.startswith(b"av01", entry + (10 if wide else 8)):
                    coded.update(struct.unpack_from(">I" if wide else ">H", data, entry + 4))
        elif kind == b"iloc":
            items += _items(data, at)
        elif kind == b"idat":
            buffer = at
    limit, pixels = Image.MAX_IMAGE_PIXELS, 0
    for item in items:
        if item.number in coded:
            start = buffer if item.in_buffer else 0
            of_item = streams.pixels([(start + offset, size) for offset, size in item.extents])
            pixels += of_item
            if limit is not None and (of_item > limit or pixels > _PICTURES * limit):
                raise DamagedError(
                    f"got {pixels} pixels that are coded, {of_item} in one item, expected at most {limit} in one, and "
                    f"{_PICTURES * limit} in all"
                )


class _Item(NamedTuple):
    number: int
    in_buffer: bool
    extents: list[tuple[int, int]]


def _items(data: bytes, at: int) -> Iterator[_Item]:
    """Where the items of a file are (ISO/IEC 14496-12, 8.11.3)."""
    version = data[at]
    widths = data[at + 4] >> 4, data[at + 4] & 15, data[at + 5] >> 4, data[at + 5] & 15
    of_offset, of_size, of_base, of_index = widths
    at += 6

    def number(width: int) -> int:
        nonlocal at
        at += width
        if at > len(data):
            raise DamagedError("truncated: the list of items ends early")
        return int.from_bytes(data[at - width : at], "big")

    for _ in range(number(4 if version == 2 else 2)):
        identifier = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # of another file
        base = number(of_base)
        extents = []
        for _ in range(number(2)):
            number(of_index if version else 0)
            extents.append((base + number(of_offset), number(of_size)))
        yield _Item(identifier, method == 1, extents)


def _check_track(data: bytes, begin: int, end: int, streams: _Streams) -> None:
    """Check each sample of a track by the size that the track says; most have no sequence header of their own."""
    shown = [prod(size) for size in _shown(data, begin, end)]
    for offset, size in _samples(data, begin, end):
        pixels = streams.pixels([(offset, size)])
        if shown and pixels > _CODED * min(shown):
            raise DamagedError(f"got a frame of {pixels} pixels, expected at most {_CODED * min(shown)}")


def _within(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes in a track, at any depth."""
    for box in _boxes(data, begin, end):
        yield box
        if box[0] in _CONTAINERS:
            yield from _within(data, *box[1:])


def _shown(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    for kind, at, box_end in _within(data, begin, end):
        if kind == b"tkhd" and box_end - at >= 84:
            width, height = struct.unpack_from(">II", data, at + (88 if data[at] == 1 else 76))
            yield width >> 16, height >> 16


def _samples(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the samples of a track are, and how large (ISO/IEC 14496-12, 8.7)."""
    sizes: list[int] = []
    chunks: list[int] = []
    runs: list[tuple[int, int]] = []
    size_of_all = 0
    for kind, at, box_end in _within(data, begin, end):
        if kind not in (b"stsz", b"stco", b"co64", b"stsc") or box_end - at < 8:
            continue
        if kind == b"stsz":
            (size_of_all,) = struct.unpack_from(">I", data, at + 4)
            sizes += _numbers(data, at + 8, box_end, "I") if not size_of_all else []
        elif kind == b"stsc":
            table = _numbers(data, at + 4, box_end, "III")
            runs += zip(table[::3], table[1::3])
        else:
            chunks += _numbers(data, at + 4, box_end, "I" if kind == b"stco" else "Q")
        if max(len(sizes), len(runs), len(chunks)) > MAX_SAMPLES:
            raise DamagedError(f"got more than {MAX_SAMPLES} samples")
    runs.sort()
    count = 0
    for number, offset in enumerate(chunks, 1):
        run = bisect_right(runs, number, key=lambda run: run[0]) - 1
        for _ in range(runs[run][1] if run >= 0 else 0):
            if not size_of_all and count >= len(sizes):
                return
            size = size_of_all or sizes[count]
            count += 1
            if count > MAX_SAMPLES:
                raise DamagedError(f"got more than {MAX_SAMPLES} samples")
            yield offset, size
            offset += size


def _numbers(data: bytes, at: int, end: int, layout: str) -> list[int]:
    """The rows of a table, in front of which their number stands, one after the other."""
    (rows,) = struct.unpack_from(">I", data, at)
    rows = min(rows, (end - at - 4) // struct.calcsize(f">{layout}"))
    return list(struct.unpack_from(f">{layout * rows}", data, at + 4))
