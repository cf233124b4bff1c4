"""Whether a picture's file contains what it promises, and promises no more than can be paid for.

Pillow's decoders fill in some of what is missing: a JPEG that stops early gets grey blocks, a PNG black rows, and a
score of such a picture would be a number about something that nobody ever saw. Others pay whatever a few bytes ask
for: a run-length coded BMP of 1 KB could take gigabytes, a JPEG of 300 scans half a minute. The checks here read the
structure of a file, never its pixels, and cost next to nothing. They look at formats where Pillow does not:

========== =========================================================================================
BMP        run-length codes that leave pixels out, or write beyond the picture [1]_
JPEG       missing scans, refinements and restart intervals; the number of scans; scans with fewer bytes than
           their blocks take; and, by a second look, data that ends early (but for arithmetic codes) [2]_
JPEG 2000  missing tiles; the numbers of tiles, of segments, and of what tiles are cut into [3]_
PCX        the palette at the end of the file
PNG        checksums of the pixels' chunks; palettes; rows that the compressed data does not have [4]_; in ICO
           too
PPM        numbers written as text, which take long, in large files
TIFF       missing strips and tiles, the number of them, and what they share [5]_; JPEGs in them; entries that
           contradict each other
========== =========================================================================================

References
----------
.. [1] Microsoft, "Bitmap Compression", https://learn.microsoft.com/windows/win32/gdi/bitmap-compression
.. [2] ITU-T T.81 (JPEG), annexes A, B, D, G and H
.. [3] ITU-T T.800 (JPEG 2000), see `nsfw_model.codestream`
.. [4] W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", chapters 5 and 10
.. [5] Adobe, "TIFF, Revision 6.0"
"""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from math import ceil, prod
from typing import NamedTuple

import numpy as np
from PIL import Image

from nsfw_model.codestream import BEGINNING, codestream_start, parts_of_tiles, read_grid, read_headers

#: Scans of a JPEG. Encoders make up to a dozen; each costs as much as decoding the whole picture once.
MAX_SCANS = 100
#: Pixels of a JPEG times its scans.
MAX_SCANNED_PIXELS = 1 << 31
#: Bytes of a PPM, PGM or PBM that is written as text: some three seconds.
MAX_TEXT_BYTES = 1 << 24
#: Pixels of a JPEG that is looked at twice, whatever it looks like.
SMALL = 1 << 16
#: Strips or tiles of a TIFF.
MAX_STRIPS = 1 << 17
#: Bytes of a TIFF's compressed strips and tiles, which may share some; but twice those of the file in any case.
MAX_SHARED_BYTES = 1 << 28
#: Bytes of JPEGs in a TIFF that overlap and differ; but twice those of the file in any case.
MAX_OVERLAPPING_BYTES = 1 << 22
#: Bytes of the lists of strips and tiles of all pages; but those of the file in any case.
MAX_LIST_BYTES = 1 << 21
#: Tiles of a JPEG 2000, and segments of its headers.
MAX_TILES, MAX_SEGMENTS = 1 << 14, 1 << 20
#: Code blocks and precincts of a JPEG 2000, which take some 500 bytes each, and its packets, one for each layer of a
#: precinct. Cameras and scanners cut 9000x9000 pixels into a quarter of that at most.
MAX_CODE_BLOCKS, MAX_PACKETS = 1 << 20, 1 << 22
#: Bytes of run-length codes of a BMP.
MAX_RUN_LENGTH_BYTES = 1 << 24


class DamagedError(ValueError):
    """A file does not contain what it promises, or promises too much."""


def check_before_decoding(data: bytes) -> None:
    """Check what can be known before a picture is decoded.

    Parameters
    ----------
    data : bytes
        A picture's file.

    Raises
    ------
    DamagedError
        If the file lacks something, or would cost too much.

    Examples
    --------
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     check_before_decoding(file.read())
    >>> check_before_decoding(b"P3 10000 10000 255 " + bytes(1 << 25))
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: got 33554451 bytes of numbers as text, expected at most 16777216
    """
    for signature, check in _CHECKS.items():
        if re.match(signature, data, re.DOTALL):
            check(data)


def check_after_decoding(data: bytes, picture: Image.Image) -> None:
    """Check what only looks suspicious once a picture is decoded.

    Parameters
    ----------
    data : bytes
        The picture's file.
    picture : PIL.Image.Image
        As it was decoded, before any conversion.

    Raises
    ------
    DamagedError
        If the file's compressed data ends early.

    Examples
    --------
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     data = file.read()
    >>> check_after_decoding(data, Image.open(io.BytesIO(data)))
    """
    # The one row of an interlaced picture has pixels of several passes
    if picture.format == "PNG" and (picture.height == 1 or _ends_in_zeros(picture)):
        check_png_rows(data)
    # A second look costs a third of the first, or of a file in parts as much
    if picture.format in ("JPEG", "MPO"):
        frame, scans = _jpeg_structure(data)
        if picture.width * picture.height <= SMALL or _may_lack_data(frame, scans, picture):
            _look_again(data, frame, scans, picture)


# BMP


class Bitmap(NamedTuple):
    """Where the parts of a BMP are.

    Attributes
    ----------
    width, height : int
        As the header has them: a height below 0 where rows go downwards, and that of the mask besides in an icon.
    bits : int
        Of a pixel.
    compression : int
    palette, step, colours : int
        Where the colours begin, the bytes of each, and how many there are; of 8 bits and less.
    start : int
        Where the pixels begin.
    """

    width: int
    height: int
    bits: int
    compression: int
    palette: int
    step: int
    colours: int
    start: int


def bitmap(data: bytes, at: int = 14) -> Bitmap:
    """Read the header of a BMP, as Pillow does.

    Parameters
    ----------
    data : bytes
        A file, or what is in an icon.
    at : int
        Where the second header is; in front of it is that of a file.

    Returns
    -------
    Bitmap

    Raises
    ------
    struct.error
        If the file ends within its headers.

    Examples
    --------
    >>> bitmap(b"\\x0c\\0\\0\\0\\x20\\0\\x10\\0\\1\\0\\1\\0", 0)
    Bitmap(width=32, height=16, bits=1, compression=0, palette=12, step=3, colours=2, start=18)
    """
    (size,) = struct.unpack_from("<I", data, at)
    colours = compression = 0
    if size == 12:  # of OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, at + 4)
    else:
        width, height, _, bits, compression, colours = struct.unpack_from("<iiHHI12xI", data, at + 4)
    step, palette = 3 if size == 12 else 4, at + size
    colours = colours or 1 << min(bits, 16)
    (start,) = struct.unpack_from("<I", data, 10) if at else (0,)
    if start in (0, palette):
        start = palette + (step * colours if bits <= 8 else 0)
    there = max(start - palette, 0) // step
    return Bitmap(width, height, bits, compression, palette, step, min(colours, there), start)


def _check_bmp(data: bytes) -> None:
    """Follow run-length codes from pixel to pixel, without storing any."""
    if len(data) < 54 or struct.unpack_from("<I", data, 14)[0] < 40:
        return
    width, height, _, compression, *_, start = bitmap(data)
    per_byte = _PIXELS_PER_BYTE.get(compression)
    if per_byte is None:
        return
    if len(data) - start > MAX_RUN_LENGTH_BYTES:
        raise DamagedError(
            f"got {len(data) - start} bytes of run-length codes, expected at most {MAX_RUN_LENGTH_BYTES}"
        )
    full_rows = 0
    for column, ended in _run_length_rows(data, start, per_byte):
        if column > width:
            raise DamagedError(f"row {full_rows}: got run-length codes for {column} pixels, expected {width}")
        if column == width:
            full_rows += 1
        elif ended != _END_OF_PICTURE or column:
            raise DamagedError(f"row {full_rows}: got run-length codes for {column} pixels, expected {width}")
        if full_rows == abs(height):
            return
    raise DamagedError(f"got run-length codes for {full_rows} rows, expected {abs(height)}")


_PIXELS_PER_BYTE = {1: 1, 2: 2}  # BI_RLE8, BI_RLE4
_END_OF_ROW, _END_OF_PICTURE, _DELTA = 0, 1, 2


def _run_length_rows(data: bytes, at: int, per_byte: int) -> Iterator[tuple[int, int]]:
    """Give the number of pixels in each row, and the code that ended it."""
    column = 0
    while at + 1 < len(data):
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            column += count
        elif value == _DELTA:
            raise DamagedError("got run-length codes that leave pixels out")
        elif value in (_END_OF_ROW, _END_OF_PICTURE):
            yield column, value
            if value == _END_OF_PICTURE:
                return
            column = 0
        else:
            column += value
            at += ceil(value / per_byte)
            at += at % 2  # counted from the beginning of the file, as Pillow does
    yield column, _END_OF_PICTURE


# JPEG


class _Coding(NamedTuple):
    progressive: bool = False
    arithmetic: bool = False
    lossless: bool = False


class _Component(NamedTuple):
    identifier: int
    horizontal: int
    vertical: int


class _Frame(NamedTuple):
    coding: _Coding
    height: int
    width: int
    components: list[_Component]

    def units(self, indices: list[int]) -> int:
        """The number of MCUs in a scan of these components (T.81 A.2; of lossless ones, H.1.1)."""
        side = 1 if self.coding.lossless else 8
        across = max(component.horizontal for component in self.components)
        down = max(component.vertical for component in self.components)
        if len(indices) > 1:
            return ceil(self.width / (side * across)) * ceil(self.height / (side * down))
        component = self.components[indices[0]]
        columns = ceil(ceil(self.width * component.horizontal / across) / side)
        return columns * ceil(ceil(self.height * component.vertical / down) / side)

    def unit_size(self, indices: list[int]) -> tuple[int, int]:
        """Width and height of each of these MCUs, in pixels, of a JPEG that is not lossless."""
        if len(indices) == 1 and len(self.components) == 1:
            return 8, 8
        return 8 * max(part.horizontal for part in self.components), 8 * max(part.vertical for part in self.components)

    def blocks_of_unit(self, indices: list[int]) -> int:
        """The number of blocks, or of samples of a lossless JPEG, in each of these MCUs."""
        if len(indices) == 1:
            return 1
        return sum(self.components[index].horizontal * self.components[index].vertical for index in indices)


class _Scan(NamedTuple):
    components: list[int]
    first: int
    last: int
    high: int
    low: int
    start: int
    end: int
    restart_interval: int


#: Bytes that are looked through at once.
_PIECE = 1 << 18
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_MARKER_OF_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # or of the end
_FRAMES = {
    0xC0: _Coding(),  # baseline
    0xC1: _Coding(),  # extended sequential
    0xC2: _Coding(progressive=True),
    0xC3: _Coding(lossless=True),
    0xC9: _Coding(arithmetic=True),
    0xCA: _Coding(progressive=True, arithmetic=True),
}  # libjpeg has no others
#: Blocks that one code of a progressive JPEG may leave without new coefficients (T.81 G.1.2.2).
_LONGEST_RUN = (1 << 15) - 1
#: What follows data that ends early. Without 0xFF, which begins a marker.
_FILLER = bytes(random.Random(0).choices(range(255), k=4096))
#: As many restart intervals as a picture has units may follow each other, and one unit needs few bytes.
_SHORT_FILLER = _FILLER[:8]


def _check_jpeg(data: bytes) -> None:
    frame, scans = _jpeg_structure(data)
    if frame is None or not scans:
        return  # nothing that Pillow would decode
    if len(scans) > MAX_SCANS or len(scans) * frame.width * frame.height > MAX_SCANNED_PIXELS:
        raise DamagedError(
            f"got {len(scans)} scans of {frame.width}x{frame.height} pixels, expected at most {MAX_SCANS} scans, and "
            f"{MAX_SCANNED_PIXELS} pixels in all"
        )
    _check_coefficients(frame, scans)
    for number, scan in enumerate(scans):
        _check_intervals(data, number, frame, scan)


def _jpeg_structure(data: bytes) -> tuple[_Frame | None, list[_Scan]]:
    """The frame header and the scans, as far as they can be understood."""
    frame, scans, restart_interval = None, [], 0
    at = 2
    while (found := _MARKER_OF_SEGMENT.search(data, at)) and found.end() < len(data) - 1:
        marker, at = data[found.end() - 1], found.end()
        if marker == 0xD9:
            break
        length = struct.unpack_from(">H", data, at)[0]
        segment, at = data[at + 2 : at + length], at + length
        try:
            if marker in _FRAMES and frame is None:
                frame = _frame(_FRAMES[marker], segment)
            elif marker == 0xDD:
                restart_interval = struct.unpack(">H", segment)[0]
            elif marker == 0xDA and frame is not None:
                end = _end_of_scan(data, at, restart_interval > 0)
                scans.append(_scan(frame, segment, at, end, restart_interval))
                at = end
                if len(scans) > 10 * MAX_SCANS:
                    break
        except (struct.error, IndexError, ValueError):
            return None, []  # damaged in a way that Pillow tells
    return frame, scans


def _end_of_scan(data: bytes, start: int, has_restarts: bool) -> int:
    """Where the marker behind a scan begins. By NumPy: a regular expression would take as long as decoding."""
    values = np.frombuffer(data, np.uint8)
    for piece in range(start, len(data) - 1, _PIECE):
        places = piece + np.flatnonzero(values[piece : min(piece + _PIECE, len(data) - 1)] == 0xFF)
        following = values[places + 1]
        markers = (following != 0) & (following != 0xFF)
        if has_restarts:  # any other marker, and an unexpected restart, is the end to libjpeg
            markers &= (following & 0xF8) != 0xD0
        if markers.any():
            at = int(places[markers][0])
            fill_bytes = at - start - len(data[start:at].rstrip(b"\xff"))
            return at - fill_bytes
    return len(data)


def _frame(coding: _Coding, segment: bytes) -> _Frame:
    _, height, width, count = struct.unpack_from(">BHHB", segment)
    components = []
    for number in range(count):
        identifier, sampling, _ = segment[6 + 3 * number : 9 + 3 * number]
        components.append(_Component(identifier, max(sampling >> 4, 1), max(sampling & 15, 1)))
    return _Frame(coding, height, width, components)


def _scan(frame: _Frame, segment: bytes, start: int, end: int, restart_interval: int) -> _Scan:
    count = segment[0]
    indices: list[int] = []
    for number in range(count):  # of components that share an identifier, each is meant once
        index, wanted = 0, segment[1 + 2 * number]
        while frame.components[index].identifier != wanted or index in indices:
            index += 1
        indices.append(index)
    first, last, approximation = segment[1 + 2 * count : 4 + 2 * count]
    if not indices:
        raise ValueError
    return _Scan(indices, first, last, approximation >> 4, approximation & 15, start, end, restart_interval)


def _check_coefficients(frame: _Frame, scans: list[_Scan]) -> None:
    """Check that each coefficient of each component comes, and in full precision (T.81 G.1.1.1)."""
    progressive = frame.coding.progressive
    sizes = range(64) if progressive else range(1)
    missing_bits = {(component, k): -1 for component in range(len(frame.components)) for k in sizes}
    for scan in scans:
        for component in scan.components:
            for k in range(scan.first, min(scan.last, 63) + 1) if progressive else (0,):
                missing_bits[component, k] = scan.low if progressive else 0
    absent = [key for key, bits in missing_bits.items() if bits]
    if absent:
        component, k = absent[0]
        identifier = frame.components[component].identifier
        what = f"coefficient {k} of component {identifier}" if progressive else f"component {identifier}"
        raise DamagedError(f"truncated: got {len(scans)} scans, none of which has all bits of {what}")


def _check_intervals(data: bytes, number: int, frame: _Frame, scan: _Scan) -> None:
    """Check that the markers between a scan's restart intervals are all there, in order, with enough between them."""
    units = frame.units(scan.components)
    interval = scan.restart_interval or units
    last = ceil(units / interval) - 1
    ends = _ends_of_intervals(data, frame, scan)
    if len(ends) <= last:
        raise DamagedError(f"scan {number}: got {len(ends) - 1} restart markers, expected {last}")
    start = scan.start
    for index, end in enumerate(ends):
        blocks = min(interval, units - index * interval) * frame.blocks_of_unit(scan.components)
        least = ceil(_least_bits(frame.coding, scan, blocks) / 8)
        if index < last and (data[end + 1] != 0xD0 + index % 8 or (least and end == start)):
            raise DamagedError(f"scan {number}: restart interval {index} of {last + 1} is missing")
        if end - start < least:
            raise DamagedError(
                f"truncated: got {end - start} bytes for {blocks} blocks of scan {number}, expected at least {least}"
            )
        start = end + 2


def _ends_of_intervals(data: bytes, frame: _Frame, scan: _Scan) -> list[int]:
    """Where the data of each restart interval ends: at a marker between them, or at the scan's end."""
    if not scan.restart_interval:
        return [scan.end]
    expected = ceil(frame.units(scan.components) / scan.restart_interval)
    places = [found.start() for found in islice(_RESTART.finditer(data, scan.start, scan.end), expected)]
    return [*places, scan.end][:expected]


def _least_bits(coding: _Coding, scan: _Scan, blocks: int) -> int:
    """The fewest bits that so many blocks take: where nothing is there, no large picture is decoded."""
    if coding.arithmetic:
        return 0  # zeros at the end are left out (T.81 D.1.8), which may be all that there is
    if coding.lossless:
        return blocks
    if not coding.progressive:
        return 2 * blocks  # an average, and the end of the block
    return blocks if not scan.first else 1 + blocks // _LONGEST_RUN


def _may_lack_data(frame: _Frame | None, scans: list[_Scan], picture: Image.Image) -> bool:
    """Whether a JPEG may end early, or one of its parts: a decoder without more data leaves blocks of one colour.

    Where no more is missing than a part of its last block, nobody sees a difference. A scan that only adds to what
    others have told leaves nothing that could be looked for.
    """
    if frame is None or not scans:
        return False
    if frame.coding != _Coding() or len(scans) > 1:
        return True
    return _is_flat(picture, *((size - 1) // 8 * 8 for size in picture.size)) or any(
        _is_flat(picture, left, top) for left, top in _last_blocks(frame, scans[0])
    )


def _last_blocks(frame: _Frame, scan: _Scan) -> Iterator[tuple[int, int]]:
    """Where the last MCU of each restart interval begins, in pixels."""
    if scan.restart_interval:
        width, height = frame.unit_size(scan.components)
        columns = ceil(frame.width / width)
        for unit in range(scan.restart_interval - 1, frame.units(scan.components), scan.restart_interval):
            yield unit % columns * width, unit // columns * height


def _is_flat(picture: Image.Image, left: int, top: int) -> bool:
    """Whether a block is of one colour."""
    # Chroma of the blocks beside it is blended into its first row and column
    inner = picture.crop((left + 1, top + 1, min(left + 8, picture.width), min(top + 8, picture.height)))
    if not inner.width or not inner.height:
        return True
    extrema = inner.getextrema()
    ranges = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low == high for low, high in ranges)


def _in_parts(frame: _Frame, scans: list[_Scan]) -> bool:
    """Whether a JPEG may lack something elsewhere than at its end."""
    return frame.coding != _Coding() or len(scans) > 1 or scans[0].restart_interval > 0


def _look_again(data: bytes, frame: _Frame | None, scans: list[_Scan], picture: Image.Image | None = None) -> None:
    """Decode once more, with other data behind all that may end early: who needs it, has too little.

    Of a file in parts, ``picture`` is what was decoded before, if it was.
    """
    if frame is None or not scans or frame.coding.arithmetic:  # which gives zeros that are not there a meaning
        return
    filled = _filled(data, frame, scans)
    if _in_parts(frame, scans):  # of which averages do not tell enough
        same = _same(_opened(data) if picture is None else picture, _opened(filled))
    else:
        same = _small(filled).tobytes() == _small(data).tobytes()
    if not same:
        raise DamagedError("truncated: got less data than the picture has blocks")


def _filled(data: bytes, frame: _Frame, scans: list[_Scan]) -> bytes:
    """A JPEG with more data at the end of each restart interval and of each scan, where a decoder leaves it out."""
    parts, at = [], 0
    for scan in scans:
        for end in _ends_of_intervals(data, frame, scan):
            # Behind a fill byte, a zero makes it one of data
            parts += [data[at:end], b"\0" if data[end - 1] == 0xFF else b"", _SHORT_FILLER]
            at = end
        parts.append(_FILLER)
    return b"".join([*parts, data[at:]])


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("JPEG",))


def _small(data: bytes) -> Image.Image:
    picture = _opened(data)
    picture.draft(picture.mode, (1, 1))
    return picture


def _same(one: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures of one size are the same, without a copy of either."""
    boxes = ((0, top, one.width, min(top + _ROWS, one.height)) for top in range(0, one.height, _ROWS))
    return all(one.crop(box).tobytes() == other.crop(box).tobytes() for box in boxes)


_ROWS = 64  # that are compared at once


# JPEG 2000


def _check_jpeg2000(data: bytes) -> None:
    start = codestream_start(data)
    if start is None:
        return  # nothing that Pillow would decode
    if data[start : start + 4] != BEGINNING:
        raise DamagedError(f"byte {start}: expected a codestream, which begins with its size, got something else")
    grid = read_grid(data, start)
    if grid is None or len(grid.steps) > _MOST_COMPONENTS:
        return
    tiles = grid.columns * grid.rows
    if tiles > MAX_TILES:
        raise DamagedError(f"got {tiles} tiles, expected at most {MAX_TILES}")
    headers = read_headers(data, start, len(grid.steps), MAX_SEGMENTS)
    if headers.segments > MAX_SEGMENTS:
        raise DamagedError(f"got more than {MAX_SEGMENTS} segments")
    blocks, packets = parts_of_tiles(grid, headers)
    if blocks > MAX_CODE_BLOCKS or packets > MAX_PACKETS:
        raise DamagedError(
            f"got {blocks} code blocks and precincts and {packets} packets, expected at most {MAX_CODE_BLOCKS} and "
            f"{MAX_PACKETS}"
        )
    whole = [tile for tile, parts in headers.parts.items() if tile < tiles and parts >= headers.promised_parts[tile]]
    if len(whole) < tiles:
        raise DamagedError(f"truncated: got {len(whole)} of {tiles} tiles")


_MOST_COMPONENTS = 4  # that Pillow decodes


# PNG


def _check_png(data: bytes) -> None:
    """Check the checksums of what the pixels depend on, of which Pillow leaves out those of IDAT, and its order."""
    before: Counter[bytes] = Counter()
    for name, start, end in png_chunks(data):
        if name in (b"IHDR", b"PLTE", b"IDAT"):
            check_checksum(data, name, start, end)
        if (name == b"IHDR") == bool(before):
            raise DamagedError("got a header that is not the first chunk, or several, expected one")
        before[name] += 1
        if data[25:26] == b"\x03":  # numbers of colours
            _check_png_palette(name, before, end - start)


def _check_png_palette(name: bytes, before: Counter[bytes], size: int) -> None:
    """Check that there is one palette in front of the pixels; Pillow takes the last, or black."""
    if name == b"PLTE" and (size % 3 or not 3 <= size <= 768 or before[b"PLTE"] > 1):
        raise DamagedError(f"got palette {before[b'PLTE']} of {size} bytes, expected one of 3 bytes for each colour")
    if name == b"IDAT" and not before[b"PLTE"]:
        raise DamagedError("got pixels without a palette in front of them")


def check_checksum(data: bytes, name: bytes, start: int, end: int) -> None:
    """Check the checksum of a chunk of a PNG, if the file has it.

    Parameters
    ----------
    data : bytes
        The file.
    name : bytes
    start, end : int
        Of the contents of the chunk, see `png_chunks`.

    Raises
    ------
    DamagedError
        If it is another one.

    Examples
    --------
    >>> check_checksum(b"....IEND" + bytes(4), b"IEND", 8, 8)
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: byte 0: chunk IEND got checksum ae426082, not 00000000
    """
    if end + 4 > len(data):
        return  # ends early, which Pillow tells
    (expected,) = struct.unpack_from(">I", data, end)
    got = zlib.crc32(memoryview(data)[start - 4 : end])
    if got != expected:
        raise DamagedError(f"byte {start - 8}: chunk {name.decode()} got checksum {got:08x}, not {expected:08x}")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Find the chunks of a PNG, up to the last or to what is none.

    Parameters
    ----------
    data : bytes
        The file.

    Yields
    ------
    name : bytes
    start, end : int
        Of the contents.

    Raises
    ------
    DamagedError
        Where a chunk should be, and is none.

    Examples
    --------
    >>> list(png_chunks(bytes(8) + b"\\0\\0\\0\\0IEND"))
    [(b'IEND', 16, 16)]
    """
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if not name.isalpha():
            raise DamagedError(f"byte {at}: expected a chunk of PNG's, got something else")
        yield name, at + 8, at + 8 + length
        if name == b"IEND":
            return
        at += 12 + length


def _ends_in_zeros(picture: Image.Image) -> bool:
    """Whether one of the last two rows, which of interlaced pictures come last, is as it is before decoding."""
    rows = range(max(picture.height - 2, 0), picture.height)
    return any(picture.crop((0, row, picture.width, row + 1)).getbbox(alpha_only=False) is None for row in rows)


def check_png_rows(data: bytes) -> None:
    """Count what a PNG's compressed data comes to, and compare it with what the header promises.

    Parameters
    ----------
    data : bytes
        A PNG that `check_before_decoding` takes.

    Raises
    ------
    DamagedError
        If it ends early.

    Examples
    --------
    >>> with open("img/camera.png", "rb") as file:
    ...     check_png_rows(file.read())
    """
    """Count what the compressed data comes to, and compare it with what the header promises."""
    width, height, bits, colours, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    parts = (memoryview(data)[start:end] for name, start, end in png_chunks(data) if name == b"IDAT")
    check_inflated(parts, png_row_bytes(width, height, bits, colours, bool(interlaced)))


def png_row_bytes(width: int, height: int, bits: int, colours: int, interlaced: bool) -> int:
    """Count the bytes that the rows of a PNG have before they are compressed.

    Parameters
    ----------
    width, height : int
        Of the picture, or of a frame.
    bits : int
        Of a sample.
    colours : int
        PNG's number of the kind of colours.
    interlaced : bool

    Returns
    -------
    int

    Examples
    --------
    >>> png_row_bytes(10, 20, 8, 2, False)
    620
    """
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colours, 1)
    # Adam7: first column and row of each pass, and steps (PNG 8.1)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    expected = 0
    for x, y, step_x, step_y in passes if interlaced else [(0, 0, 1, 1)]:
        columns, rows = ceil((width - x) / step_x), ceil((height - y) / step_y)
        if columns > 0 and rows > 0:
            expected += rows * (1 + ceil(columns * channels * bits / 8))
    return expected


def check_inflated(parts: Iterable[bytes | memoryview], expected: int) -> None:
    """Check that compressed data comes to so many bytes, without keeping them.

    Parameters
    ----------
    parts : iterable of bytes
        What zlib compressed, in parts.
    expected : int

    Raises
    ------
    DamagedError
        If there are fewer.

    Examples
    --------
    >>> check_inflated([zlib.compress(bytes(100))], 101)
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: truncated: got 100 bytes of pixels, expected 101
    """
    got, decompressor = 0, zlib.decompressobj()
    for compressed in parts:
        while compressed and not decompressor.eof and got < expected:
            got += len(decompressor.decompress(compressed, 1 << 20))
            compressed = decompressor.unconsumed_tail
    if got < expected:
        raise DamagedError(f"truncated: got {got} bytes of pixels, expected {expected}")


# GIF


class GifFrame(NamedTuple):
    """A frame of a GIF.

    Attributes
    ----------
    width, height : int
    colours : int
        Of its own table, or of the file's; 0 where there is none.
    transparent : int or None
        The number of the colour that is not drawn.
    start : int
        Where its codes begin, with the size of the first.
    """

    width: int
    height: int
    colours: int
    transparent: int | None
    start: int


def gif_frames(data: bytes) -> Iterator[GifFrame]:
    """Find the frames of a GIF, in order.

    Parameters
    ----------
    data : bytes
        The file.

    Yields
    ------
    GifFrame

    Raises
    ------
    DamagedError
        Where the file ends, if that is within a frame or without its mark.

    Examples
    --------
    >>> next(gif_frames(b"GIF89a" + bytes(7) + b",\\0\\0\\0\\0\\2\\0\\1\\0\\x80" + bytes(9)))
    GifFrame(width=2, height=1, colours=2, transparent=None, start=29)
    """
    frames = 0
    transparent = None
    try:
        in_all = _colours_of_gif(data[10])
        at = 13 + 3 * in_all
        while (block := _GIF_BLOCK.search(data, at)) and block[0] != b";":
            at = block.start()
            if block[0] == b",":
                frames += 1
                width, height, flags = struct.unpack_from("<HHB", data, at + 5)
                at += 10 + 3 * _colours_of_gif(flags)
                yield GifFrame(width, height, _colours_of_gif(flags) or in_all, transparent, at)
                transparent = None
                at += 1
            else:
                if data[at + 1] == _GRAPHIC_CONTROL and data[at + 2] >= 4:
                    transparent = data[at + 6] if data[at + 3] & 1 else None
                at += 2
            while data[at]:
                at += 1 + data[at]
            at += 1
    except (IndexError, struct.error):
        raise DamagedError(f"truncated: the file ends in or before frame {max(frames, 1)}") from None
    if not block:
        raise DamagedError(f"truncated: got {frames} frames, and no end of the file")


_GIF_BLOCK = re.compile(rb"[!,;]")
_GRAPHIC_CONTROL = 0xF9


def _colours_of_gif(flags: int) -> int:
    """The number of colours in a table."""
    return (2 << (flags & 7)) * (flags >> 7)


# PCX, PPM and TIFF


def _check_pcx(data: bytes) -> None:
    """Check for the palette, which follows the pixels; without one Pillow takes the numbers of colours for greys."""
    version, bits, planes, palette_kind = data[1], data[3], data[65], data[68]
    if version == 5 and bits == 8 and planes == 1 and palette_kind != 2 and data[-769:-768] != b"\x0c":
        raise DamagedError("truncated: got no palette at the end of the file")


def _check_text(data: bytes) -> None:
    if len(data) > MAX_TEXT_BYTES:
        raise DamagedError(f"got {len(data)} bytes of numbers as text, expected at most {MAX_TEXT_BYTES}")


# BYTE, SHORT, LONG, SBYTE, UNDEFINED, SSHORT, SLONG, IFD, LONG8, SLONG8, IFD8; nothing that is checked is below 0
_STRUCTURE_OF_TYPE = {1: "B", 3: "H", 4: "I", 6: "B", 7: "B", 8: "H", 9: "I", 13: "I", 16: "Q", 17: "Q", 18: "Q"}
_WIDTH, _HEIGHT, _COMPRESSION, _PLANAR, _SAMPLES = 256, 257, 259, 284, 277
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_JPEG_TABLES = 347
_TAGS = {_WIDTH, _HEIGHT, _COMPRESSION, _PLANAR, _SAMPLES, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES}
_TAGS |= {_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _JPEG_TABLES}


def _check_tiff(data: bytes) -> None:
    first = next(tiff_directories(data), None)
    if first is not None:
        TiffPages(data).check(first)


def tiff_directories(data: bytes) -> Iterator[int]:
    """Find the directories of a TIFF, one for each page, in order.

    Parameters
    ----------
    data : bytes
        The file.

    Yields
    ------
    int
        Where each begins, each once: one that leads back to an earlier one is the last.

    Examples
    --------
    >>> list(tiff_directories(b"II*\\0\\x08\\0\\0\\0\\0\\0\\x0e\\0\\0\\0\\0\\0\\0\\0\\0\\0"))
    [8, 14]
    """
    order, big = _tiff_kind(data)
    found: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        while at and at not in found:
            found.add(at)
            yield at
            (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
            at += 8 + 20 * entries if big else 2 + 12 * entries
            (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, at)
    except (struct.error, OverflowError):
        return  # ends early, which Pillow tells


def _tiff_kind(data: bytes) -> tuple[str, bool]:
    """The order of bytes, and whether it is a BigTIFF."""
    return "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")


class TiffPages:
    """Checks the pages of a TIFF, one after the other (TIFF 6.0, sections 2, 3 and 15).

    Pages may share lists of strips, and strips may share bytes, as blank tiles do: what is shared is looked at once,
    and decoders pay for it each time, so that it counts as often.

    Parameters
    ----------
    data : bytes
        The file.

    Examples
    --------
    >>> TiffPages(b"II*\\0\\x08\\0\\0\\0\\0\\0\\0\\0\\0\\0").check(8)
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: truncated: got 0 strips or tiles, expected 1
    """

    def __init__(self, data: bytes):
        self._data = data
        self._jpegs: set[tuple[int, int, bytes, tuple[int, int]]] = set()
        self._listed = self._compressed = self._bytes_of_jpegs = 0

    def check(self, at: int) -> None:
        """Check that all strips or tiles of a page are there.

        Parameters
        ----------
        at : int
            Where the page's directory is.

        Raises
        ------
        DamagedError
            If some are missing, there are too many, or it contradicts itself.
        """
        try:
            entries = self._entries(at)
        except (struct.error, OverflowError):
            return  # ends early, which Pillow tells

        def number(tag: int, default: int) -> int:
            values = entries.get(tag, [default])
            return values[0] if values and values[0] else default

        width, height = number(_WIDTH, 1), number(_HEIGHT, 1)
        if _TILE_OFFSETS in entries:
            offsets, sizes = entries[_TILE_OFFSETS], entries.get(_TILE_BYTES, [])
            expected = ceil(width / number(_TILE_WIDTH, width)) * ceil(height / number(_TILE_HEIGHT, height))
        else:
            offsets, sizes = entries.get(_STRIP_OFFSETS, []), entries.get(_STRIP_BYTES, [])
            expected = ceil(height / number(_ROWS_PER_STRIP, height))
        if number(_PLANAR, 1) == 2:
            expected *= number(_SAMPLES, 1)
        if len(offsets) < expected or 0 in offsets[:expected]:
            there = sum(offset > 0 for offset in offsets[:expected])
            raise DamagedError(f"truncated: got {there} strips or tiles, expected {expected}")
        if number(_COMPRESSION, 1) == 1:
            return  # sizes say nothing then, and Pillow tells where the file ends early
        tables = bytes(entries.get(_JPEG_TABLES, []))
        for index, (offset, size) in enumerate(zip(offsets[:expected], [*sizes, *[0] * expected])):
            if not size or offset + size > len(self._data):
                raise DamagedError(f"truncated: strip or tile {index} got no data, or data behind the end of the file")
            self._compressed += size
            _expect_bytes(self._compressed, max(2 * len(self._data), MAX_SHARED_BYTES), "strips or tiles in all")
            if number(_COMPRESSION, 1) == _JPEG:
                rows = number(_ROWS_PER_STRIP, height)
                first_row = index % ceil(height / rows) * rows  # of its plane
                part = width, min(rows, height - first_row)
                if _TILE_OFFSETS in entries:
                    part = number(_TILE_WIDTH, width), number(_TILE_HEIGHT, height)
                self._check_jpeg(offset, size, tables, index, part)

    def _check_jpeg(self, offset: int, size: int, tables: bytes, index: int, part: tuple[int, int]) -> None:
        """Check a JPEG inside, unless that is done."""
        key = offset, size, tables, part
        if key in self._jpegs:
            return
        self._jpegs.add(key)
        self._bytes_of_jpegs += max(size + len(tables) - _USUAL_TABLES, _LEAST_JPEG)
        _expect_bytes(self._bytes_of_jpegs, max(2 * len(self._data), MAX_OVERLAPPING_BYTES), "different JPEGs inside")
        _check_jpeg_inside(self._data[offset : offset + size], tables, index, part)

    def _entries(self, at: int) -> dict[int, list[int]]:
        """The whole numbers of those of a directory's entries that are checked, by tag."""
        data = self._data
        order, big = _tiff_kind(data)
        (count_of_entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
        at += 8 if big else 2
        room, step = (8, 20) if big else (4, 12)
        entries: dict[int, list[int]] = {}
        found: dict[int, bytes] = {}
        for place in range(at, at + step * min(count_of_entries, 4096), step):
            tag, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, place)
            if tag not in _TAGS:
                continue  # thousands of entries may share a megabyte
            if found.setdefault(tag, data[place : place + step]) != data[place : place + step]:
                raise DamagedError(f"got two entries of tag {tag} that differ, expected one")
            if kind not in _STRUCTURE_OF_TYPE or tag in entries:
                continue
            if tag in (_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES) and count > MAX_STRIPS:
                raise DamagedError(f"got {count} strips or tiles, expected at most {MAX_STRIPS}")
            layout = f"{order}{min(count, MAX_STRIPS)}{_STRUCTURE_OF_TYPE[kind]}"
            where = place + step - room
            if struct.calcsize(layout) > room:
                self._listed += struct.calcsize(layout)
                _expect_bytes(self._listed, max(len(data), MAX_LIST_BYTES), "lists of strips and tiles in all")
                (where,) = struct.unpack_from(order + ("Q" if big else "I"), data, where)
            entries[tag] = list(struct.unpack_from(layout, data, where))
        return entries


#: Bytes that a JPEG inside counts at least, and of its tables that do not count.
_LEAST_JPEG, _USUAL_TABLES = 1 << 7, 1 << 10


def _expect_bytes(got: int, limit: int, of_what: str) -> None:
    if got > limit:
        raise DamagedError(f"got more than {limit} bytes of {of_what}")


_JPEG = 7


def _check_jpeg_inside(strip: bytes, tables: bytes, index: int, size: tuple[int, int]) -> None:
    """Check a strip or tile that is a JPEG, whose tables may stand apart ("TIFF Technical Note 2", 1995)."""
    whole = strip[:2] + tables[2:].removesuffix(b"\xff\xd9") + strip[2:]
    try:
        frame, scans = _jpeg_structure(whole)
        if frame is not None and (frame.width < size[0] or frame.height < size[1]):
            raise DamagedError(f"truncated: got {frame.width}x{frame.height} pixels, expected {size[0]}x{size[1]}")
        _check_jpeg(whole)
        _look_again(whole, frame, scans)
    except (DamagedError, OSError) as error:
        raise DamagedError(f"strip or tile {index}: {error}") from error


# ICO


def _check_ico(data: bytes) -> None:
    """Check the pictures inside: whole files of PNG, or what follows the file header of a BMP."""
    (count,) = struct.unpack_from("<H", data, 4)
    in_all = pixels = 0
    for number in range(count):
        if len(data) < 22 + 16 * number:
            return  # ends early, which Pillow tells
        size, offset = struct.unpack_from("<II", data, 14 + 16 * number)
        in_all += size
        if in_all > len(data):
            raise DamagedError(f"got pictures inside of {in_all} bytes in all, expected at most {len(data)}")
        inside = data[offset : offset + size]
        if inside.startswith(b"\x89PNG") and len(inside) >= 24:
            pixels += prod(struct.unpack_from(">II", inside, 16))
            if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
                raise DamagedError(f"got pictures inside of {pixels} pixels, expected at most {Image.MAX_IMAGE_PIXELS}")
            _check_png(inside)
            check_png_rows(inside)
        elif len(inside) >= 20 and struct.unpack_from("<I", inside, 16)[0] in _PIXELS_PER_BYTE:
            raise DamagedError(f"picture {number} inside got run-length codes, which icons do not have")


_CHECKS = {
    rb"BM": _check_bmp,
    rb"\xff\xd8": _check_jpeg,
    rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n": _check_jpeg2000,
    rb"\x89PNG\r\n\x1a\n": _check_png,
    rb"\x0a[\x00-\x05]\x01.{125}": _check_pcx,
    rb"P[1-3]\s": _check_text,
    rb"\x00\x00\x01\x00..": _check_ico,
    rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]": _check_tiff,
}
