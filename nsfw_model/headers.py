"""Whether what precedes a picture's pixels can be read without taking long: checked before Pillow opens a file.

Pillow reads headers in Python, piece by piece, whatever the number of pieces: 5 MB of fill bytes of a JPEG took 11 s,
1 MB of a PNG's colour profiles 3 s, each inflated and forgotten. No encoder writes so many. They are counted here:

====== =================================================================================================
GIF    blocks before the first frame [1]_
JPEG   segments, those of Exif, which Pillow joins one by one, and resources of Photoshop's in them; bytes of tables
       and of frame headers, and bytes between segments [2]_
PNG    chunks, and colour profiles, of which there is one at most [3]_
PPM    bytes before the pixels, and comments among numbers that are written as text [4]_
TIFF   entries of the first directory [5]_
====== =================================================================================================

References
----------
.. [1] CompuServe, "Graphics Interchange Format, Version 89a"
.. [2] ITU-T T.81 (JPEG), annex B
.. [3] W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", chapters 5 and 11
.. [4] Netpbm, "PPM Format Specification", https://netpbm.sourceforge.net/doc/ppm.html
.. [5] Adobe, "TIFF, Revision 6.0", section 2
"""

from __future__ import annotations

import re
import struct

from nsfw_model.integrity import DamagedError

#: Blocks of a GIF, segments of a JPEG, chunks of a PNG: each is read by itself. Parts of a GIF's blocks cost less.
MAX_BLOCKS, MAX_PARTS = 1 << 16, 1 << 20
#: Bytes of a PPM's header, and of what lies between a JPEG's segments, which are read one by one.
MAX_HEADER_BYTES = 1 << 16
#: Bytes of a JPEG's tables and frame headers, of which each takes the place of an earlier one.
MAX_TABLE_BYTES = 1 << 20
#: Segments of a JPEG's Exif. Few programs write more than one, which has room for 64 KiB.
MAX_EXIF_SEGMENTS = 1 << 6
#: Colour profiles of a PNG, comments in a PPM that is written as text, entries of a TIFF's directory.
MAX_PROFILES, MAX_COMMENTS, MAX_ENTRIES = 1 << 4, 1 << 10, 1 << 12


def check_headers(data: bytes) -> None:
    """Check that reading a picture's headers does not take long.

    Parameters
    ----------
    data : bytes
        A picture's file.

    Raises
    ------
    DamagedError
        If it would.

    Examples
    --------
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     check_headers(file.read())
    >>> check_headers(b"P6 #" + bytes(1 << 20))
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: got a header of more than 65536 bytes
    """
    for signature, check in _CHECKS.items():
        if re.match(signature, data):
            check(data)


def _expect_at_most(limit: int, got: int, what: str) -> None:
    if got > limit:
        raise DamagedError(f"got more than {limit} {what}")


def _check_gif(data: bytes) -> None:
    if len(data) < 13:
        return  # ends early, which Pillow tells
    at = 13 + (2 << (data[10] & 7)) * 3 * (data[10] >> 7)  # behind the colours
    blocks = parts = 0
    while at < len(data) and data[at] not in b",;":
        blocks += 1
        _expect_at_most(MAX_BLOCKS, blocks, "blocks before the first frame")
        if data[at] == _EXTENSION:
            at += 2
            while at < len(data) and data[at]:
                at += 1 + data[at]
                parts += 1
                _expect_at_most(MAX_PARTS, parts, "parts of blocks before the first frame")
        at += 1


_EXTENSION = 0x21
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SOS, _DQT, _APP1, _APP13 = 0xDA, 0xDB, 0xE1, 0xED
_TABLES = (*range(0xC0, 0xD0), _DQT, 0xDE)  # and frame headers
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xDA))


def _check_jpeg(data: bytes) -> None:
    segments = tables = exif = resources = between = at = 0
    while at < len(data):
        found = _MARKER.search(data, at)
        between += (found.start() if found else len(data)) - at
        _expect_at_most(MAX_HEADER_BYTES, between, "bytes between segments")
        if not found or data[found.end() - 1] == _SOS:
            return  # Pillow reads no further, and libjpeg is fast
        marker, at = data[found.end() - 1], found.end()
        segments += 1
        _expect_at_most(MAX_BLOCKS, segments, "segments")
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        start, at = at + 2, at + max(length, 2)
        tables += length if marker in _TABLES else 0
        _expect_at_most(MAX_TABLE_BYTES, tables, "bytes of tables")
        exif += marker == _APP1 and data.startswith(b"Exif\0\0", start)
        _expect_at_most(MAX_EXIF_SEGMENTS, exif, "segments of Exif")
        resources += data.count(b"8BIM", start, at) if marker == _APP13 else 0
        _expect_at_most(MAX_BLOCKS, resources, "resources of Photoshop's")


def _check_png(data: bytes) -> None:
    at = 8
    chunks = profiles = 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        chunks += 1
        profiles += name == b"iCCP"
        _expect_at_most(MAX_BLOCKS, chunks, "chunks")
        _expect_at_most(MAX_PROFILES, profiles, "colour profiles")
        if name == b"IEND":
            return
        at += 12 + length


_NUMBERS_OF_HEADER = re.compile(rb"P[0-6fy][A-Z]*(?:(?:\s|#[^\r\n]*[\r\n])+[^\s#]+){2,3}\s")


def _check_ppm(data: bytes) -> None:
    if len(data) > MAX_HEADER_BYTES and not _NUMBERS_OF_HEADER.match(data[:MAX_HEADER_BYTES]):
        raise DamagedError(f"got a header of more than {MAX_HEADER_BYTES} bytes")
    if data[1] in b"123":
        _expect_at_most(MAX_COMMENTS, data.count(b"#"), "comments among numbers as text")


def _check_tiff(data: bytes) -> None:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    try:
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    except (struct.error, OverflowError):
        return  # ends early, which Pillow tells
    _expect_at_most(MAX_ENTRIES, entries, "entries of a directory")


_CHECKS = {
    rb"GIF8": _check_gif,
    rb"\xff\xd8": _check_jpeg,
    rb"\x89PNG\r\n\x1a\n": _check_png,
    rb"P[0-6fy]": _check_ppm,
    rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]": _check_tiff,
}
