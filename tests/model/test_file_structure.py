"""What is read of the structure of BMP, PNG, GIF, PCX, PPM, TIFF and ICO, at the bounds of each, byte by byte."""

import io
import itertools
import re
import struct
import zlib

import numpy as np
import pytest
from made_pictures import bmp, chunk, encoded, grey_tiff, icon, png, tiff
from PIL import Image

from nsfw_model import integrity
from nsfw_model.integrity import Bitmap, DamagedError, GifFrame, bitmap, gif_frames, png_chunks, tiff_directories
from nsfw_model.picture import read_picture


def check(data):
    integrity.check_before_decoding(data)


def refuse(data, message):
    with pytest.raises(DamagedError, match=f"^{re.escape(message)}$"):
        check(data)


class TestBitmap:
    """The headers of Windows and of OS/2, BITMAPINFOHEADER and BITMAPCOREHEADER."""

    def made(self, bits=8, colours=0, start=0, size=40, palette=bytes(1024), compression=0):
        header = struct.pack("<IiiHHIIiiII", size, -3, -7, 1, bits, compression, 5, 6, 7, colours, 8)
        return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + header.ljust(size, b"\0") + palette

    def test_all_fields_are_read(self):
        assert bitmap(self.made(4, 9, 100, compression=2)) == Bitmap(-3, -7, 4, 2, 54, 4, 9, 100)
        assert bitmap(self.made(4, 9, 1000)[14:], 0) == Bitmap(-3, -7, 4, 0, 40, 4, 9, 40 + 36)

    def test_those_of_os_2_are_shorter(self):
        header = struct.pack("<IHHHH", 12, 65535, 40000, 1, 4)
        whole = b"BM" + struct.pack("<IHHI", 0, 0, 0, 50) + header
        assert bitmap(whole) == Bitmap(65535, 40000, 4, 0, 26, 3, 8, 50)
        assert bitmap(header, 0) == Bitmap(65535, 40000, 4, 0, 12, 3, 16, 12 + 48)

    @pytest.mark.parametrize("bits, colours", [(1, 2), (2, 4), (4, 16), (8, 256)])
    def test_there_are_as_many_colours_as_numbers_where_it_is_not_said(self, bits, colours):
        assert bitmap(self.made(bits)) == Bitmap(-3, -7, bits, 0, 54, 4, colours, 54 + 4 * colours)

    @pytest.mark.parametrize("bits", [9, 16, 24, 32])
    def test_of_more_bits_there_is_no_palette(self, bits):
        assert bitmap(self.made(bits)) == Bitmap(-3, -7, bits, 0, 54, 4, 0, 54)
        assert bitmap(self.made(bits, start=54 + 4 * 70_000)).colours == min(1 << bits, 1 << 16)

    @pytest.mark.parametrize(
        "start, colours", [(53, 0), (55, 0), (57, 0), (58, 1), (61, 1), (62, 2), (94, 10), (98, 10)]
    )
    def test_there_are_as_many_colours_as_have_room_in_front_of_the_pixels(self, start, colours):
        assert bitmap(self.made(8, 10, start)) == Bitmap(-3, -7, 8, 0, 54, 4, colours, start)

    @pytest.mark.parametrize("size", [16, 40, 64, 108, 124])
    def test_the_palette_is_behind_a_header_of_any_size(self, size):
        assert bitmap(self.made(1, size=size))[4:] == (14 + size, 4, 2, 14 + size + 8)

    def test_one_that_ends_within_its_headers_is_an_error(self):
        whole = self.made(palette=b"")
        assert bitmap(whole[:50]).bits == 8
        for end in range(50):
            with pytest.raises(struct.error):
                bitmap(whole[:end])


class TestRunLengthCodes:
    ROW = b"\4\7\0\0"

    def made(self, codes, size=(4, 3), compression=1, bits=8):
        return bmp(codes, size, compression, bits)

    @pytest.mark.parametrize(
        "codes",
        [
            3 * ROW + b"\0\1",
            3 * ROW,
            2 * ROW + b"\4\7\0\1",
            2 * ROW + b"\4\7",
            2 * ROW + b"\4\7\0",
            2 * ROW + b"\1\7\3\7",
            2 * ROW + b"\0\4abcd",
            2 * ROW + b"\1\7\0\3abc.",
            3 * ROW + b"\0\2",
        ],
    )
    def test_that_fill_all_rows_are_read(self, codes):
        check(self.made(codes))
        check(self.made(codes, (4, -3)))

    @pytest.mark.parametrize(
        "codes, message",
        [
            (2 * ROW + b"\0\1", "got run-length codes for 2 rows, expected 3"),
            (2 * ROW + b"\0\1" + ROW, "got run-length codes for 2 rows, expected 3"),
            (2 * ROW, "got run-length codes for 2 rows, expected 3"),
            (b"", "got run-length codes for 0 rows, expected 3"),
            (b"\4", "got run-length codes for 0 rows, expected 3"),
            (ROW + b"\3\7\0\0" + ROW, "row 1: got run-length codes for 3 pixels, expected 4"),
            (ROW + b"\5\7\0\0" + ROW, "row 1: got run-length codes for 5 pixels, expected 4"),
            (ROW + b"\0\0" + ROW, "row 1: got run-length codes for 0 pixels, expected 4"),
            (2 * ROW + b"\3\7\0\1", "row 2: got run-length codes for 3 pixels, expected 4"),
            (2 * ROW + b"\3\7", "row 2: got run-length codes for 3 pixels, expected 4"),
            (2 * ROW + b"\3\7\0", "row 2: got run-length codes for 3 pixels, expected 4"),
            (2 * ROW + b"\2\7\0\3abc.", "row 2: got run-length codes for 5 pixels, expected 4"),
            (2 * ROW + b"\0\2\1\1", "got run-length codes that leave pixels out"),
        ],
    )
    def test_that_do_not_are_told_from_each_other(self, codes, message):
        refuse(self.made(codes), message)
        refuse(self.made(codes, (4, -3)), message)

    @pytest.mark.parametrize("pixels, bytes_there", [(3, 2), (4, 2), (5, 4), (6, 4), (7, 4), (8, 4), (9, 6)])
    def test_of_four_bits_two_pixels_share_a_byte(self, pixels, bytes_there):
        """And literal ones end at an even byte."""
        literal = b"\0" + bytes([pixels]) + b"\2" * bytes_there
        check(self.made(literal + b"\0\0" + literal, (pixels, 2), 2, 4))
        with pytest.raises(DamagedError):
            check(self.made(literal[:-2] + b"\0\0" + literal + b"\0\0", (pixels, 2), 2, 4))

    def test_others_are_none(self):
        for compression in 0, 3, 4, 5, 6:
            check(self.made(b"", compression=compression))

    def test_are_limited(self, monkeypatch):
        monkeypatch.setattr(integrity, "MAX_RUN_LENGTH_BYTES", 12)
        check(self.made(3 * self.ROW))
        refuse(self.made(3 * self.ROW + b"."), "got 13 bytes of run-length codes, expected at most 12")

    def test_a_header_without_a_compression_has_none(self):
        data = bytearray(self.made(b""))
        refuse(bytes(data), "got run-length codes for 0 rows, expected 3")
        data[14] = 39
        check(bytes(data))
        short = bytearray(self.made(b"", bits=8)[:54])
        struct.pack_into("<I", short, 10, 54)
        refuse(bytes(short), "got run-length codes for 0 rows, expected 3")
        check(bytes(short[:53]))


class TestPngRows:
    """PNG, 11.2.1 and 7.2: samples of so many bits, so many of each pixel, and a byte in front of each row."""

    @pytest.mark.parametrize("colours, channels, depths", [
        (0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 1, (1, 2, 4, 8)), (4, 2, (8, 16)), (6, 4, (8, 16)),
    ])  # fmt: skip
    @pytest.mark.parametrize("width", [1, 7, 8, 9])
    def test_of_each_kind_and_depth(self, colours, channels, depths, width):
        for bits in depths:
            row = 1 + (width * channels * bits + 7) // 8
            assert integrity.png_row_bytes(width, 5, bits, colours, False) == 5 * row

    @pytest.mark.parametrize("width, height", list(itertools.product([1, 2, 3, 4, 5, 8, 9, 17], repeat=2)))
    def test_of_seven_passes(self, width, height):
        """The pattern of Adam7 as the standard draws it (8.1), repeated all over the picture."""
        pattern = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
        passes = np.array([[int(pattern[y % 8][x % 8]) for x in range(width)] for y in range(height)])
        in_rows = [(row == number).sum() for number in range(1, 8) for row in passes]
        assert integrity.png_row_bytes(width, height, 16, 6, True) == sum(1 + 8 * count for count in in_rows if count)
        assert integrity.png_row_bytes(width, height, 1, 0, True) == sum(
            1 + -(-count // 8) for count in in_rows if count
        )

    @pytest.mark.parametrize("size", [1, 7, 100, 10_000])
    def test_are_counted_over_all_parts(self, size):
        compressed = zlib.compress(bytes(3 << 20))
        parts = [compressed[at : at + size] for at in range(0, len(compressed), size)]
        integrity.check_inflated(parts, 3 << 20)
        integrity.check_inflated(parts, 1)
        integrity.check_inflated([*parts, b"behind the end"], 3 << 20)
        expected = f"^truncated: got {3 << 20} bytes of pixels, expected {(3 << 20) + 1}$"
        with pytest.raises(DamagedError, match=expected):
            integrity.check_inflated([*parts, zlib.compress(bytes(10))], (3 << 20) + 1)

    def test_without_any_part_there_are_none(self):
        with pytest.raises(DamagedError, match="^truncated: got 0 bytes of pixels, expected 1$"):
            integrity.check_inflated([], 1)

    @pytest.mark.parametrize(
        "rows, looked", [("0111", False), ("1011", False), ("1101", True), ("1110", True), ("0", True), ("1", True)]
    )
    def test_are_counted_where_one_of_the_last_two_is_black(self, rows, looked, monkeypatch):
        """Or where there is no other: that of an interlaced one has pixels of several passes."""
        calls = []
        monkeypatch.setattr(integrity, "check_png_rows", calls.append)
        picture = Image.fromarray(np.array([[0, 0, 255 * int(row)] for row in rows], np.uint8))
        picture.format = "PNG"
        integrity.check_after_decoding(b"data", picture)
        assert calls == [b"data"] * looked
        picture.format = "BMP"
        integrity.check_after_decoding(b"data", picture)
        assert calls == [b"data"] * looked

    def test_alpha_alone_is_not_black(self):
        picture = Image.new("RGBA", (2, 3), (0, 0, 0, 1))
        assert not integrity._ends_in_zeros(picture)


class TestPngChunks:
    HEAD = b"\x89PNG\r\n\x1a\n"

    def test_are_found_up_to_the_end(self):
        data = (
            self.HEAD + chunk(b"IHDR", b"abc") + chunk(b"IDAT", b"") + chunk(b"IEND", b"") + chunk(b"IDAT", b"behind")
        )
        assert list(png_chunks(data)) == [(b"IHDR", 16, 19), (b"IDAT", 31, 31), (b"IEND", 43, 43)]
        assert list(png_chunks(data[:43])) == [(b"IHDR", 16, 19), (b"IDAT", 31, 31), (b"IEND", 43, 43)]
        assert list(png_chunks(data[:42])) == [(b"IHDR", 16, 19), (b"IDAT", 31, 31)]

    def test_something_else_is_an_error_where_it_is(self):
        with pytest.raises(DamagedError, match="^byte 20: expected a chunk of PNG's, got something else$"):
            list(png_chunks(self.HEAD + chunk(b"tEXt", b"") + bytes(4) + b"ID1T"))

    @pytest.mark.parametrize("name, checked", [(b"IHDR", True), (b"PLTE", True), (b"IDAT", True), (b"tEXt", False)])
    def test_of_the_pixels_have_to_have_their_checksum(self, name, checked):
        header = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)
        chunks = {b"IHDR": chunk(b"IHDR", header), b"PLTE": chunk(b"PLTE", b"abc"), b"tEXt": chunk(b"tEXt", b"a\0b")}
        chunks[b"IDAT"] = chunk(b"IDAT", zlib.compress(b"\0\0"))
        check(self.HEAD + b"".join(chunks.values()))
        at = 8 + b"".join(chunks.values()).index(chunks[name])
        checksum = zlib.crc32(chunks[name][4:-4])
        chunks[name] = chunks[name][:-4] + struct.pack(">I", checksum ^ 1)
        changed = self.HEAD + b"".join(chunks.values())
        if checked:
            refuse(changed, f"byte {at}: chunk {name.decode()} got checksum {checksum:08x}, not {checksum ^ 1:08x}")
        else:
            check(changed)

    def test_a_checksum_that_is_cut_off_is_left_to_pillow(self):
        data = self.HEAD + chunk(b"IHDR", b"abc")
        integrity.check_checksum(data[:-4] + bytes(3), b"IHDR", 16, 19)
        with pytest.raises(DamagedError, match="^byte 8: chunk IHDR got checksum [0-9a-f]{8}, not 00000000$"):
            integrity.check_checksum(data[:-4] + bytes(4), b"IHDR", 16, 19)

    @pytest.mark.parametrize(
        "size, right", [(0, False), (3, True), (4, False), (5, False), (6, True), (768, True), (771, False)]
    )
    def test_a_palette_has_1_to_256_colours_of_three_bytes(self, size, right):
        """PNG, 11.2.2."""
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0))
        data = self.HEAD + header + chunk(b"PLTE", bytes(size)) + chunk(b"IDAT", b"")
        if right:
            check(data)
        else:
            refuse(data, f"got palette 1 of {size} bytes, expected one of 3 bytes for each colour")
        for colours in 0, 2, 4, 6:  # which have no use for it
            header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, colours, 0, 0, 0))
            check(self.HEAD + header + chunk(b"PLTE", bytes(size)) * 2 + chunk(b"IDAT", b""))


class TestGifFrames:
    """GIF89a, sections 18 (screen), 20 (image) and 23 (graphic control)."""

    CONTROL = b"!\xf9\4"

    def screen(self, flags=0, table=b""):
        return b"GIF89a" + bytes(4) + bytes([flags]) + b"\0\0" + table

    def image(self, size=(5, 300), flags=0, table=b"", codes=b"\2\1,\0"):
        return b"," + struct.pack("<HHHHB", 9, 8, *size, flags) + table + codes

    def test_all_of_each_frame_is_read(self):
        tables = [b";" * 3 * colours for colours in (4, 16, 256)]
        data = self.screen(0x81, tables[0]) + self.CONTROL + b"\1\0\0\x07\0" + self.image()
        starts = [len(data) - 4]
        data += b"!\xfe\3;;;\0" + self.CONTROL + b"\xfe\0\0\x09\0" + self.image((6, 7), 0x83, tables[1])
        starts.append(len(data) - 4)
        data += self.image((1, 2), 0x87, tables[2], b"\x08\3,;!\2,!\0")
        starts.append(len(data) - 9)
        data += b";" + self.image()
        assert list(gif_frames(data)) == [
            GifFrame(5, 300, 4, 7, starts[0]),
            GifFrame(6, 7, 16, None, starts[1]),
            GifFrame(1, 2, 256, None, starts[2]),
        ]

    @pytest.mark.parametrize("flags, colours", [(0, 0), (7, 0), (0x80, 2), (0x86, 128), (0xF7, 256), (0x78, 0)])
    def test_a_table_has_as_many_colours_as_its_flags_say(self, flags, colours):
        frames = list(gif_frames(self.screen() + self.image(flags=flags, table=bytes(3 * colours)) + b";"))
        assert frames == [GifFrame(5, 300, colours, None, 13 + 10 + 3 * colours)]
        frames = list(gif_frames(self.screen(flags, b"," * 3 * colours) + self.image() + b";"))
        assert frames == [GifFrame(5, 300, colours, None, 13 + 10 + 3 * colours)]

    def test_a_colour_is_transparent_for_one_frame(self):
        data = self.screen() + self.CONTROL + b"\xff\0\0\x09\0" + self.image() + self.image() + b";"
        assert [frame.transparent for frame in gif_frames(data)] == [9, None]

    @pytest.mark.parametrize("block, transparent", [
        (b"!\xf9\4\1\0\0\x09\0", 9), (b"!\xf9\5\1\0\0\x09\0\0", 9), (b"!\xf9\3\1\0\0\0", None),
        (b"!\xf8\4\1\0\0\x09\0", None), (b"!\xf9\4\0\0\0\x09\0", None),
    ])  # fmt: skip
    def test_a_graphic_control_has_four_bytes(self, block, transparent):
        assert [frame.transparent for frame in gif_frames(self.screen() + block + self.image() + b";")] == [transparent]

    def test_a_file_that_ends_early_says_in_which_frame(self):
        head, image = self.screen(0x80, bytes(6)), self.image()
        whole = head + image + self.CONTROL + b"\1\0\0\x07\0" + image + b";"
        assert len(list(gif_frames(whole))) == 2
        for end in range(len(whole)):
            with pytest.raises(DamagedError) as caught:
                list(gif_frames(whole[:end]))
            # At these places a block could begin
            frames = {19: 0, 33: 1, 41: 1, 55: 2}.get(max(end, 19) if end >= 11 else -1)
            if frames is not None:
                assert str(caught.value) == f"truncated: got {frames} frames, and no end of the file"
            else:
                number = 2 if end > 41 else 1
                assert str(caught.value) == f"truncated: the file ends in or before frame {number}"

    def test_bytes_between_blocks_are_passed_over(self):
        assert len(list(gif_frames(self.screen() + b"\0\0" + self.image() + b"\0" + self.image() + b"\0;"))) == 2


class TestPcx:
    def made(self, version=5, bits=8, planes=1, kind=1, end=b"\0" * 769):
        header = bytearray(128)
        header[0:4], header[65], header[68] = bytes([10, version, 1, bits]), planes, kind
        return bytes(header) + bytes(100) + end

    def test_a_picture_of_256_colours_needs_its_palette(self):
        refuse(self.made(), "truncated: got no palette at the end of the file")
        refuse(self.made(end=b"\x0c" + bytes(767)), "truncated: got no palette at the end of the file")
        refuse(self.made(end=b"\x0c" + bytes(769)), "truncated: got no palette at the end of the file")
        check(self.made(end=b"\x0c" + bytes(768)))

    @pytest.mark.parametrize("other", [{"version": 4}, {"bits": 4}, {"bits": 1}, {"planes": 3}, {"kind": 2}])
    def test_others_need_none(self, other):
        check(self.made(**other))

    @pytest.mark.parametrize("kind", [0, 1, 3])
    def test_only_one_that_says_so_is_of_greys(self, kind):
        refuse(self.made(kind=kind), "truncated: got no palette at the end of the file")

    def test_a_header_may_have_any_bytes(self):
        """Such as those that end a line of text."""
        data = bytearray(self.made())
        data[4:64] = b"\n" * 60
        refuse(bytes(data), "truncated: got no palette at the end of the file")

    def test_a_version_or_coding_that_pcx_has_not_makes_it_none(self):
        check(self.made(version=6))
        data = bytearray(self.made())
        data[2] = 0
        check(bytes(data))
        check(self.made()[:127])


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3"])
def test_files_of_numbers_as_text_are_limited(kind, monkeypatch):
    monkeypatch.setattr(integrity, "MAX_TEXT_BYTES", 20)
    check((kind + b"\n").ljust(20))
    refuse((kind + b" ").ljust(21), "got 21 bytes of numbers as text, expected at most 20")
    for other in kind + b"1", b"P4 ", b"P5 ", b"P6 ", b"P0 ":
        check(other.ljust(21))


def big_tiff(order, entries, body=b"", following=0):
    """A BigTIFF, whose `body` begins at byte 16: entries of a tag, a type and numbers that fit into eight bytes."""
    layouts = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 17: "Q", 18: "Q"}
    data = (b"II\x2b\0" if order == "<" else b"MM\0\x2b") + struct.pack(order + "HHQ", 8, 0, 16 + len(body)) + body
    data += struct.pack(order + "Q", len(entries))
    for tag, kind, numbers in entries:
        value = struct.pack(f"{order}{len(numbers)}{layouts[kind]}", *numbers)
        data += struct.pack(order + "HHQ", tag, kind, len(numbers)) + value.ljust(8, b"\0")
    return data + struct.pack(order + "Q", following)


class TestTiffDirectories:
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_follow_each_other(self, order):
        head = b"II*\0" if order == "<" else b"MM\0*"
        data = head + struct.pack(order + "I", 10) + b".."
        data += struct.pack(order + "H12xI", 1, 30) + b".."  # at 10
        data += struct.pack(order + "H24xI", 2, 10)  # at 30, which leads back
        assert list(tiff_directories(data)) == [10, 30]
        assert list(tiff_directories(data[:-1])) == [10, 30]
        assert list(tiff_directories(data[:27])) == [10]
        assert list(tiff_directories(head)) == []

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_of_a_large_one_have_larger_numbers(self, order):
        data = big_tiff(order, [(256, 3, [1])], following=60)
        assert len(data) == 16 + 8 + 20 + 8
        data += bytes(8) + struct.pack(order + "Q40xQ", 2, 16)
        assert list(tiff_directories(data)) == [16, 60]
        assert list(tiff_directories(data[:15])) == []

    def test_without_entries_are_some(self):
        assert list(tiff_directories(b"II*\0\x08\0\0\0\0\0\0\0\0\0")) == [8]
        assert list(tiff_directories(b"II*\0\0\0\0\0")) == []

    def test_beyond_all_numbers_are_none(self):
        assert list(tiff_directories(b"II\x2b\0\x08\0\0\0" + b"\xff" * 8)) == [(1 << 64) - 1]


class TestTiffEntries:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("kind", [1, 3, 4, 13, 16, 17, 18])
    def test_of_a_large_one_are_read(self, order, kind):
        """Of type LONG8, SLONG8 and IFD8 too: the offset is told there, and its size is wrong."""
        entries = [
            (256, kind, [8]),
            (257, kind, [9]),
            (259, 3, [5]),
            (273, kind, [16]),
            (278, kind, [9]),
            (279, kind, [250]),
        ]
        refuse(
            big_tiff(order, entries, bytes(72)),
            "truncated: strip or tile 0 got no data, or data behind the end of the file",
        )
        check(big_tiff(order, [*entries[:5], (279, kind, [72])], bytes(72)))

    @pytest.mark.parametrize(
        "kind, layout", [(1, "B"), (3, "H"), (4, "I"), (6, "b"), (7, "B"), (8, "h"), (9, "i"), (13, "I")]
    )
    def test_have_numbers_of_any_size(self, kind, layout):
        """TIFF 6.0, section 2: BYTE, SHORT, LONG, SBYTE, UNDEFINED, SSHORT, SLONG, and IFD."""
        directory = struct.pack("<HHHI", 1, 257, kind, 1) + struct.pack("<" + layout, 77).ljust(4, b"\xff") + bytes(4)
        assert integrity.TiffPages(b"II*\0\x08\0\0\0" + directory)._entries(8) == {257: [77]}

    @pytest.mark.parametrize("kind", [0, 2, 5, 10, 11, 12, 14, 15, 19])
    def test_of_texts_and_fractions_are_left_out(self, kind):
        directory = struct.pack("<HHHII", 1, 257, kind, 1, 77) + bytes(4)
        assert integrity.TiffPages(b"II*\0\x08\0\0\0" + directory)._entries(8) == {}

    @pytest.mark.parametrize("numbers", [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4, 5]])
    def test_that_have_no_room_stand_elsewhere(self, numbers):
        data = tiff([(273, 3, numbers)], b"body")
        (at,) = tiff_directories(data)
        assert integrity.TiffPages(data)._entries(at) == {273: numbers}

    @pytest.mark.parametrize("tag", [256, 257, 259, 273, 277, 278, 279, 284, 322, 323, 324, 325, 347])
    def test_that_are_checked_have_these_tags(self, tag):
        """TIFF 6.0, sections 3, 8, 15, and the tables of a JPEG ("TIFF Technical Note 2")."""
        data = tiff([(tag, 4, [5]), (258, 3, [8]), (262, 3, [1])], b"")
        assert integrity.TiffPages(data)._entries(8) == {tag: [5]}

    @pytest.mark.parametrize("count, read", [(4095, True), (4096, True), (4097, False)])
    def test_behind_the_first_4096_are_left_out(self, count, read):
        data = tiff([(1000, 4, [5])] * (count - 1) + [(257, 4, [5])], b"")
        assert integrity.TiffPages(data)._entries(8) == ({257: [5]} if read else {})

    @pytest.mark.parametrize("tag", [273, 279, 324, 325])
    def test_list_no_more_strips_than_are_allowed(self, tag, monkeypatch):
        monkeypatch.setattr(integrity, "MAX_STRIPS", 3)
        assert integrity.TiffPages(three := tiff([(tag, 3, [1, 2, 3])], b""))._entries(len(three) - 18) == {
            tag: [1, 2, 3]
        }
        refuse(tiff([(tag, 3, [1, 2, 3, 4])], b""), "got 4 strips or tiles, expected at most 3")

    def test_of_other_lists_no_more_are_read(self, monkeypatch):
        monkeypatch.setattr(integrity, "MAX_STRIPS", 3)
        data = tiff([(347, 4, [1, 2, 3, 4])], b"")
        assert integrity.TiffPages(data)._entries(len(data) - 18) == {347: [1, 2, 3]}

    def test_lists_of_all_pages_are_limited_together(self, monkeypatch):
        data = tiff([(273, 4, [1] * 5), (279, 4, [2] * 5)], b"")
        directory = len(data) - 30
        monkeypatch.setattr(integrity, "MAX_LIST_BYTES", 0)
        pages = integrity.TiffPages(data)
        assert len(data) == 8 + 40 + 30  # of which each page reads forty
        pages._entries(directory)
        with pytest.raises(DamagedError, match="^got more than 78 bytes of lists of strips and tiles in all$"):
            pages._entries(directory)
        monkeypatch.setattr(integrity, "MAX_LIST_BYTES", 80)
        pages = integrity.TiffPages(data)
        pages._entries(directory)
        pages._entries(directory)
        with pytest.raises(DamagedError, match="^got more than 80 bytes of lists of strips and tiles in all$"):
            pages._entries(directory)


class TestTiffParts:
    """How many strips or tiles there are (TIFF 6.0, sections 3, 8 and 15)."""

    def made(self, offsets=(), sizes=None, tags=(), size=(10, 10), compression=5, tiled=False):
        sizes = [1] * len(offsets) if sizes is None else sizes
        of_offsets, of_sizes = (324, 325) if tiled else (273, 279)
        entries = [(256, 4, [size[0]]), (257, 4, [size[1]]), (259, 3, [compression])]
        entries += [(of_offsets, 4, list(offsets))] * bool(offsets) + [(of_sizes, 4, list(sizes))] * bool(sizes)
        return tiff([*entries, *tags], bytes(100))

    @pytest.mark.parametrize(
        "tags, expected",
        [
            ([], 1),
            ([(278, 4, [10])], 1),
            ([(278, 4, [9])], 2),
            ([(278, 4, [5])], 2),
            ([(278, 4, [4])], 3),
            ([(278, 4, [1 << 31])], 1),
            ([(278, 4, [0])], 1),
            ([(278, 4, [5]), (277, 3, [3])], 2),
            ([(278, 4, [5]), (277, 3, [3]), (284, 3, [1])], 2),
            ([(278, 4, [5]), (277, 3, [3]), (284, 3, [2])], 6),
            ([(284, 3, [2])], 1),
        ],
    )
    def test_strips(self, tags, expected):
        check(self.made([8] * expected, tags=tags))
        check(self.made([8] * (expected + 1), tags=tags))
        refuse(
            self.made([8] * (expected - 1), tags=tags),
            f"truncated: got {expected - 1} strips or tiles, expected {expected}",
        )

    @pytest.mark.parametrize(
        "tile, tags, expected",
        [
            ((16, 16), [], 1),
            ((5, 10), [], 2),
            ((4, 10), [], 3),
            ((10, 4), [], 3),
            ((4, 5), [], 6),
            ((4, 5), [(277, 3, [3]), (284, 3, [2])], 18),
            ((0, 0), [], 1),
        ],
    )
    def test_tiles(self, tile, tags, expected):
        tags = [*tags, (322, 4, [tile[0]]), (323, 4, [tile[1]])]
        check(self.made([8] * expected, tags=tags, tiled=True))
        offsets = [8] * expected
        offsets[0] = 0
        message = f"truncated: got {expected - 1} strips or tiles, expected {expected}"
        refuse(self.made(offsets, tags=tags, tiled=True), message)

    def test_entries_without_a_number_say_nothing(self):
        check(self.made([8], tags=[(278, 4, []), (284, 3, [])]))
        refuse(self.made([8], tags=[(278, 4, [5]), (284, 3, [])]), "truncated: got 1 strips or tiles, expected 2")

    def test_a_file_without_a_size_has_one_pixel(self):
        check(tiff([(259, 3, [5]), (273, 4, [8]), (279, 4, [1])], bytes(100)))

    @pytest.mark.parametrize(
        "places, there", [([0, 1, 8], 2), ([8, 8, 0], 2), ([0, 8, 0], 1), ([8, 8], 2), ([8, 0], 1)]
    )
    def test_those_that_were_never_written_are_counted(self, places, there):
        refuse(self.made(places, tags=[(278, 4, [4])]), f"truncated: got {there} strips or tiles, expected 3")

    def test_those_behind_the_last_do_not_matter(self):
        check(self.made([8, 8, 8, 0], [1, 1, 1, 10_000], tags=[(278, 4, [4])]))

    @pytest.mark.parametrize(
        "sizes, missing", [([1, 1, 0], 2), ([1, 0, 1], 1), ([1, 1], 2), ([10_000, 1, 1], 0), ([], 0)]
    )
    def test_each_has_some_data_within_the_file(self, sizes, missing):
        message = f"truncated: strip or tile {missing} got no data, or data behind the end of the file"
        refuse(self.made([8, 9, 10], sizes, [(278, 4, [4])]), message)

    def test_the_last_may_end_with_the_file(self):
        data = self.made([8], [1])
        check(self.made([8], [len(data) - 8]))
        refuse(
            self.made([8], [len(data) - 7]),
            "truncated: strip or tile 0 got no data, or data behind the end of the file",
        )

    def test_sizes_of_what_is_not_compressed_say_nothing(self):
        check(self.made([8], [0], compression=1))
        check(tiff([(256, 4, [10]), (257, 4, [10]), (273, 4, [8])], b""))  # nor is it, where it is not said
        refuse(self.made([0], [1], compression=1), "truncated: got 0 strips or tiles, expected 1")

    def test_what_ends_within_its_directory_is_left_to_pillow(self):
        data = self.made([0], [1])
        refuse(data, "truncated: got 0 strips or tiles, expected 1")
        check(data[:-5])
        check(data[:9])
        check(data[:4])

    def test_bytes_that_are_shared_are_limited(self, monkeypatch):
        tags = [(278, 4, [1])]
        data = self.made([8] * 10, [100] * 10, tags)
        monkeypatch.setattr(integrity, "MAX_SHARED_BYTES", 1000)
        check(data)
        monkeypatch.setattr(integrity, "MAX_SHARED_BYTES", 999)
        refuse(data, "got more than 999 bytes of strips or tiles in all")
        monkeypatch.setattr(integrity, "MAX_SHARED_BYTES", 0)
        refuse(data, f"got more than {2 * len(data)} bytes of strips or tiles in all")
        check(self.made([8] * 10, [2 * len(data) // 10] * 10, tags))


class TestTiffJpegs:
    @pytest.fixture
    def looked(self, monkeypatch):
        """What is looked at: the bytes, the tables, which strip or tile it is, and its size."""
        calls = []
        monkeypatch.setattr(integrity, "_check_jpeg_inside", lambda *arguments: calls.append(arguments))
        return calls

    def test_each_strip_has_its_rows(self, looked):
        body = bytes(range(100))
        tables = (347, 7, list(b"\xff\xd8table\xff\xd9"))
        check(grey_tiff((20, 10), 7, [(8, 5), (13, 6), (19, 7)], 4, body))
        assert looked == [(body[:5], b"", 0, (20, 4)), (body[5:11], b"", 1, (20, 4)), (body[11:18], b"", 2, (20, 2))]
        looked.clear()
        data = tiff(
            [(256, 4, [20]), (257, 4, [10]), (259, 3, [7]), (273, 4, [8]), (279, 4, [5]), (347, 4, tables[2])], body
        )
        check(data)
        assert looked == [(body[:5], b"\xff\xd8table\xff\xd9", 0, (20, 10))]

    def test_each_plane_begins_at_the_first_row(self, looked):
        """Two strips of eight and of four rows for each."""
        entries = [(256, 4, [20]), (257, 4, [12]), (259, 3, [7]), (273, 4, [8] * 6), (277, 3, [3]), (278, 4, [8])]
        check(tiff([*entries, (279, 4, [1] * 6), (284, 3, [2])], bytes(100)))
        assert looked == [(b"\0", b"", 0, (20, 8)), (b"\0", b"", 1, (20, 4))]  # those of other planes are the same
        looked.clear()
        check(tiff([*entries, (279, 4, range(1, 7)), (284, 3, [2])], bytes(100)))
        assert [size for *_, size in looked] == [(20, 8), (20, 4)] * 3

    def test_each_tile_has_its_own_size(self, looked):
        entries = [(256, 4, [20]), (257, 4, [10]), (259, 3, [7]), (322, 4, [16]), (323, 4, [32])]
        check(tiff([*entries, (324, 4, [8, 10]), (325, 4, [2, 3])], bytes(range(100))))
        assert looked == [(b"\0\1", b"", 0, (16, 32)), (b"\2\3\4", b"", 1, (16, 32))]

    def test_others_are_not_looked_at(self, looked):
        for compression in 1, 5, 6, 8, 32773:
            check(grey_tiff((20, 10), compression, [(8, 5)], 10, bytes(100)))
        assert looked == []

    def test_planes_of_a_height_that_no_strips_divide_are_read(self):
        photo = Image.open("img/coffee.jpg").convert("RGB").resize((24, 12))
        strips = [
            encoded(plane.crop((0, top, 24, min(top + 8, 12))), "JPEG", quality=95)
            for plane in photo.split()
            for top in (0, 8)
        ]
        offsets = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
        entries = [(256, 4, [24]), (257, 4, [12]), (258, 3, [8] * 3), (259, 3, [7]), (262, 3, [2]), (273, 4, offsets)]
        entries += [(277, 3, [3]), (278, 4, [8]), (279, 4, list(map(len, strips))), (284, 3, [2])]
        read = read_picture(tiff(entries, b"".join(strips)))
        assert np.abs(np.asarray(read, np.int16) - np.asarray(photo, np.int16)).mean() < 3

    @pytest.mark.parametrize("size, counted", [(1, 128), (128, 128), (129, 129)])
    def test_each_counts_128_bytes_at_least(self, size, counted, looked, monkeypatch):
        pages = integrity.TiffPages(b"II*\0" + bytes(60))
        monkeypatch.setattr(integrity, "MAX_OVERLAPPING_BYTES", 2 * counted)
        for offset in 0, 1, 0, 1:  # each is looked at once
            pages._check_jpeg(offset, size, b"", 0, (8, 8))
        with pytest.raises(DamagedError, match=f"^got more than {2 * counted} bytes of different JPEGs inside$"):
            pages._check_jpeg(2, size, b"", 0, (8, 8))
        assert len(looked) == 2

    @pytest.mark.parametrize("tables, counted", [(1024, 200), (1025, 201), (2000, 1176)])
    def test_tables_count_where_they_are_larger_than_usual(self, tables, counted, looked, monkeypatch):
        pages = integrity.TiffPages(b"II*\0" + bytes(60))
        monkeypatch.setattr(integrity, "MAX_OVERLAPPING_BYTES", counted)
        pages._check_jpeg(0, 200, bytes(tables), 0, (8, 8))
        monkeypatch.setattr(integrity, "MAX_OVERLAPPING_BYTES", 2 * counted - 1)
        with pytest.raises(DamagedError):
            pages._check_jpeg(1, 200, bytes(tables), 0, (8, 8))

    @pytest.mark.parametrize(
        "other", [(1, 5, b"", (8, 8)), (0, 6, b"", (8, 8)), (0, 5, b"t", (8, 8)), (0, 5, b"", (8, 9))]
    )
    def test_those_that_differ_in_anything_are_looked_at(self, other, looked):
        pages = integrity.TiffPages(b"II*\0" + bytes(60))
        pages._check_jpeg(0, 5, b"", 0, (8, 8))
        pages._check_jpeg(*other[:3], 1, other[3])
        assert len(looked) == 2

    def test_tables_stand_behind_the_first_marker(self, monkeypatch):
        """Those of "TIFF Technical Note 2" are a JPEG without a picture, between SOI and EOI."""
        seen = []
        monkeypatch.setattr(integrity, "_check_jpeg", seen.append)
        monkeypatch.setattr(integrity, "_look_again", lambda data, *_: seen.append(data))
        strip = b"\xff\xd8abc\xff\xd9"
        integrity._check_jpeg_inside(strip, b"\xff\xd8tables\xff\xd9", 0, (8, 8))
        integrity._check_jpeg_inside(strip, b"\xff\xd8tables", 0, (8, 8))
        assert seen == [b"\xff\xd8tablesabc\xff\xd9"] * 4
        seen.clear()
        integrity._check_jpeg_inside(strip, b"", 0, (8, 8))
        assert seen == [strip] * 2

    @pytest.mark.parametrize("size, right", [((16, 8), True), ((17, 8), False), ((16, 9), False), ((15, 7), True)])
    def test_one_is_as_large_as_its_part(self, size, right):
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((16, 8)).save(buffer, "JPEG")
        integrity._check_jpeg_inside(buffer.getvalue(), b"", 3, (16, 8))
        if right:
            integrity._check_jpeg_inside(buffer.getvalue(), b"", 3, size)
        else:
            expected = f"^strip or tile 3: truncated: got 16x8 pixels, expected {size[0]}x{size[1]}$"
            with pytest.raises(DamagedError, match=expected):
                integrity._check_jpeg_inside(buffer.getvalue(), b"", 3, size)


class TestIcon:
    PNG = png(bytes(4), 1, 1)

    def test_pictures_inside_are_counted(self):
        data = icon(self.PNG, self.PNG)
        check(data)
        struct.pack_into("<I", changed := bytearray(data), 14 + 16, len(data) - len(self.PNG))
        check(bytes(changed))
        struct.pack_into("<I", changed, 14 + 16, len(data) - len(self.PNG) + 1)
        refuse(bytes(changed), f"got pictures inside of {len(data) + 1} bytes in all, expected at most {len(data)}")

    def test_entries_that_are_cut_off_are_left_to_pillow(self):
        data = struct.pack("<HHH", 0, 1, 2) + bytes(8) + struct.pack("<II", 0, 0) + bytes(8)
        full = struct.pack("<II", 1000, 0)
        refuse(data + full, "got pictures inside of 1000 bytes in all, expected at most 38")
        check(data + full[:-1])

    @pytest.mark.parametrize("count", [1, 9, 10, 13])
    def test_any_number_of_pictures_is_looked_at(self, count):
        """Ten among them, whose number is the byte that ends a line of text."""
        check(icon(*[self.PNG] * count))
        with pytest.raises(DamagedError, match="^truncated: got 3 bytes of pixels, expected 4$"):
            check(icon(*[self.PNG] * (count - 1), png(bytes(3), 1, 1)))

    @pytest.mark.parametrize("number", [0, 1])
    def test_each_png_is_looked_at(self, number):
        """Its checksums, and its rows."""
        broken = bytearray(self.PNG)
        broken[-13] ^= 1
        with pytest.raises(DamagedError, match="chunk IDAT got checksum"):
            check(icon(*[bytes(broken) if index == number else self.PNG for index in range(2)]))
        with pytest.raises(DamagedError, match="^truncated: got 3 bytes of pixels, expected 4$"):
            check(icon(*[png(bytes(3), 1, 1) if index == number else self.PNG for index in range(2)]))

    def test_pixels_are_limited_in_all(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
        check(icon(png(bytes(14), 2, 2), self.PNG))
        refuse(icon(png(bytes(14), 2, 2), self.PNG, self.PNG), "got pictures inside of 6 pixels, expected at most 5")
        check(icon(self.PNG[:23]))

    @pytest.mark.parametrize("compression, refused", [(0, False), (1, True), (2, True), (3, False)])
    def test_run_length_codes_are_refused(self, compression, refused):
        inside = struct.pack("<IiiHHI", 40, 1, 2, 1, 8, compression)
        if refused:
            refuse(icon(self.PNG, inside), "picture 1 inside got run-length codes, which icons do not have")
        else:
            check(icon(self.PNG, inside))
        check(icon(self.PNG, inside[:19]))
