"""The header of a JPEG XL, bit by bit (ISO/IEC 18181-1, annex D)."""

import struct

import pytest

from nsfw_model.integrity import DamagedError
from nsfw_model.jpeg_xl import jpeg_xl_header


def bits_of(*numbers):
    """Numbers as (value, width), the lowest bit first, and zeros behind them."""
    value = at = 0
    for number, width in numbers:
        value |= number << at
        at += width
    return value.to_bytes(-(-at // 8), "little")


def codestream(*numbers, behind=bytes(8)):
    return b"\xff\x0a" + bits_of(*numbers) + behind


def side(length):
    """A length less 1, in the smallest of 9, 13, 18 and 30 bits (D.2)."""
    widths = 9, 13, 18, 30
    index = next(index for index, width in enumerate(widths) if length - 1 < 1 << width)
    return (index, 2), (length - 1, widths[index])


DEFAULT = (1, 1)


class TestSize:
    @pytest.mark.parametrize("height", [1, 2, 512, 513, 8192, 8193, 1 << 18, (1 << 18) + 1, 1 << 30])
    @pytest.mark.parametrize("width", [1, 300, 8193, 1 << 30])
    def test_is_of_any_number_of_bits(self, width, height):
        data = codestream((0, 1), *side(height), (0, 3), *side(width), DEFAULT)
        assert jpeg_xl_header(data) == (width, height, False)

    @pytest.mark.parametrize("eighths", [1, 7, 31, 32])
    def test_of_a_small_one_is_in_eighths(self, eighths):
        data = codestream((1, 1), (eighths - 1, 5), (0, 3), (32 - eighths, 5), DEFAULT)
        assert jpeg_xl_header(data) == (8 * (33 - eighths), 8 * eighths, False)

    @pytest.mark.parametrize("ratio, width", [(1, 120), (2, 144), (3, 160), (4, 180), (5, 213), (6, 150), (7, 240)])
    def test_may_be_a_ratio(self, ratio, width):
        """1:1, 12:10, 4:3, 3:2, 16:9, 5:4 and 2:1 (table D.3), rounded down."""
        assert jpeg_xl_header(codestream((1, 1), (14, 5), (ratio, 3), DEFAULT)) == (width, 120, False)
        assert jpeg_xl_header(codestream((0, 1), *side(120), (ratio, 3), DEFAULT)) == (width, 120, False)


class TestSeveral:
    SIZE = (1, 1), (0, 5), (1, 3)

    @pytest.mark.parametrize("orientation", range(8))
    @pytest.mark.parametrize("preview, animation", [(0, 0), (1, 0), (0, 1), (1, 1)])
    @pytest.mark.parametrize("intrinsic", [False, True])
    def test_are_told_by_the_fields_behind_the_size(self, orientation, preview, animation, intrinsic):
        """Orientation, intrinsic size, preview, animation (table D.4)."""
        own = [(1, 1), (0, 1), *side(1000), (0, 3), *side(70)] if intrinsic else [(0, 1)]
        data = codestream(*self.SIZE, (0, 1), (1, 1), (orientation, 3), *own, (preview, 1), (animation, 1))
        assert jpeg_xl_header(data) == (8, 8, bool(preview or animation))

    def test_are_not_looked_for_without_these_fields(self):
        assert jpeg_xl_header(codestream(*self.SIZE, (1, 1), behind=b"\xff" * 8)) == (8, 8, False)
        assert jpeg_xl_header(codestream(*self.SIZE, (0, 1), (0, 1), behind=b"\xff" * 8)) == (8, 8, False)


class TestBoxes:
    """ISO/IEC 18181-2, clause 9."""

    STREAM = codestream((1, 1), (2, 5), (1, 3), DEFAULT)
    SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"

    @pytest.mark.parametrize(
        "boxes",
        [
            struct.pack(">I4s", 100, b"jxlc") + STREAM,
            struct.pack(">I4sQ", 1, b"jxlc", 100) + STREAM,
            struct.pack(">I4s", 0, b"jxlc") + STREAM,
            struct.pack(">I4sI", 100, b"jxlp", 0) + STREAM,
            struct.pack(">I4sQI", 1, b"jxlp", 100, 0) + STREAM,
            struct.pack(">I4s", 8, b"free") + struct.pack(">I4s", 100, b"jxlc") + STREAM,
            struct.pack(">I4sQ4x", 1, b"free", 20) + struct.pack(">I4s", 100, b"jxlc") + STREAM,
        ],
    )
    def test_a_codestream_is_in_one_or_in_pieces(self, boxes):
        assert jpeg_xl_header(self.SIGNATURE + boxes) == (24, 24, False)

    @pytest.mark.parametrize(
        "boxes",
        [
            b"",
            struct.pack(">I4s", 7, b"free") + struct.pack(">I4s", 100, b"jxlc") + STREAM,
            struct.pack(">I4sQ", 1, b"free", 7) + struct.pack(">I4s", 100, b"jxlc") + STREAM,
            struct.pack(">I4s", 0, b"free") + struct.pack(">I4s", 100, b"jxlc") + STREAM,
            struct.pack(">I4s7s", 100, b"jxlc", b""),
        ],
    )
    def test_without_one_is_damaged(self, boxes):
        with pytest.raises(DamagedError, match="^truncated: got no codestream$"):
            jpeg_xl_header(self.SIGNATURE + boxes)

    def test_a_header_that_ends_early_is_damaged(self):
        header = bits_of((1, 1), (0, 5), (0, 3), (0, 5), (0, 1), (0, 1))
        assert len(header) == 2
        assert jpeg_xl_header(b"\xff\x0a" + header) == (8, 8, False)
        for end in range(2):
            with pytest.raises(DamagedError, match="^truncated: got a header that ends early$"):
                jpeg_xl_header(b"\xff\x0a" + header[:end])
