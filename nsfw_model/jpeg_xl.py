"""The header of a JPEG XL: its plugin for Pillow decodes a file when it opens it, so its size is read here before.

It begins the codestream [1]_, which may be in the boxes of a file [2]_.

References
----------
.. [1] ISO/IEC 18181-1:2024 (JPEG XL core coding system), annex D: SizeHeader and ImageMetadata
.. [2] ISO/IEC 18181-2:2024 (JPEG XL file format), clause 9: boxes jxlc and jxlp
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from nsfw_model.integrity import DamagedError

_CODESTREAM = b"\xff\x0a"
#: Of width to height, where it is one of these.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIZES_OF_NUMBERS = 9, 13, 18, 30
_HEADER_BYTES = 64


class JpegXlHeader(NamedTuple):
    """What is known before decoding.

    Attributes
    ----------
    width, height : int
    several : bool
        Whether it is an animation, or has a preview.
    """

    width: int
    height: int
    several: bool


def jpeg_xl_header(data: bytes) -> JpegXlHeader:
    """Read the header of a JPEG XL.

    Parameters
    ----------
    data : bytes
        A file, a bare codestream or one in boxes.

    Returns
    -------
    JpegXlHeader

    Raises
    ------
    DamagedError
        If it has none.

    Examples
    --------
    >>> jpeg_xl_header(bytes.fromhex("ff0a7f080000"))
    JpegXlHeader(width=256, height=256, several=False)
    """
    codestream = data if data.startswith(_CODESTREAM) else _codestream_of_boxes(data)
    bits = _Bits(codestream[len(_CODESTREAM) : _HEADER_BYTES])
    width, height = _size(bits)
    all_default = bits.read(1)
    several = False
    if not all_default and bits.read(1):  # extra fields
        bits.read(3)  # orientation
        if bits.read(1):
            _size(bits)  # intrinsic
        several = bool(bits.read(1) or bits.read(1))
    return JpegXlHeader(width, height, several)


def _codestream_of_boxes(data: bytes) -> bytes:
    at = 0
    while at + 16 <= len(data):
        size, name, large = struct.unpack_from(">I4sQ", data, at)
        start = at + (16 if size == 1 else 8) + (4 if name == b"jxlp" else 0)
        if name in (b"jxlc", b"jxlp"):
            return data[start : start + _HEADER_BYTES]
        length = large if size == 1 else size
        if length < 8:
            break
        at += length
    raise DamagedError("truncated: got no codestream")


class _Bits:
    """Bits of bytes, the lowest of each byte first."""

    def __init__(self, data: bytes):
        self._number, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def read(self, count: int) -> int:
        """The number that the next bits are."""
        if count > self._left:
            raise DamagedError("truncated: got a header that ends early")
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return value


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.read(1)

    def number() -> int:
        return 8 * (bits.read(5) + 1) if small else bits.read(_SIZES_OF_NUMBERS[bits.read(2)]) + 1

    height = number()
    ratio = bits.read(3)
    if not ratio:
        return number(), height
    numerator, denominator = _RATIOS[ratio]
    return height * numerator // denominator, height
