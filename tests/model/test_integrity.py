"""A file that does not contain what it promises is an error, whichever way its decoder would fill the gap."""

import io
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from nsfw_model import integrity
from nsfw_model.preprocess import PictureError, read_picture

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "picture-bmp"
SIZE = WIDTH, HEIGHT = 150, 100


@pytest.fixture(scope="module")
def photo():
    """A photograph, small."""
    return Image.open("img/coffee.jpg").convert("RGB").resize(SIZE)


def encoded(picture, format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def refuse(data, message):
    with pytest.raises(PictureError, match=message):
        read_picture(data)


def is_read_as(data, picture):
    return read_picture(data).tobytes() == picture.tobytes()


class TestJpeg:
    KINDS = {
        "baseline": {},
        "of one sampling": {"subsampling": 0},
        "grey": {},
        "with restart markers": {"restart_marker_blocks": 5},
        "progressive": {"progressive": True},
    }

    def encode(self, photo, kind):
        return encoded(photo.convert("L") if kind == "grey" else photo, "JPEG", **self.KINDS[kind])

    @pytest.mark.parametrize("kind", KINDS)
    def test_whole_files_are_read(self, photo, kind):
        data = self.encode(photo, kind)
        assert is_read_as(data, Image.open(io.BytesIO(data)).convert("RGB"))
        assert is_read_as(data + b"trailing", Image.open(io.BytesIO(data)).convert("RGB"))

    @settings(max_examples=30)
    @given(data=st.data(), kind=st.sampled_from([kind for kind in KINDS if kind != "progressive"]))
    def test_one_that_is_cut_anywhere_and_closed_is_refused(self, photo, data, kind):
        whole = self.encode(photo, kind)
        scan = whole.index(b"\xff\xda")
        cut = whole[: data.draw(st.integers(scan + 12, len(whole) - 6))].rstrip(b"\xff")
        refuse(cut + b"\xff\xd9", "truncated|restart|cannot be read")

    @settings(max_examples=30)
    @given(data=st.data())
    def test_a_progressive_one_is_refused_if_it_is_cut_before_its_last_scan(self, photo, data):
        whole = self.encode(photo, "progressive")
        first, last = whole.index(b"\xff\xda"), whole.rindex(b"\xff\xda")
        cut = whole[: data.draw(st.integers(first + 12, last))].rstrip(b"\xff")
        refuse(cut + b"\xff\xd9", "truncated|cannot be read")

    def test_a_progressive_one_without_its_refinements_is_refused(self, photo):
        whole = self.encode(photo, "progressive")
        scans = [found.start() for found in re.finditer(rb"\xff\xda", whole)]
        tables = [whole.rfind(b"\xff\xc4", 0, scan) for scan in scans]
        refuse(whole[: tables[-1]] + b"\xff\xd9", "truncated: got 9 scans, none of which has all bits of coefficient 1")

    def test_a_hole_between_restart_markers_is_refused(self, photo):
        data = self.encode(photo, "with restart markers")
        markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
        refuse(data[: markers[3]] + data[markers[4] :], "restart")
        refuse(data[: markers[3] + 2] + data[markers[4] :], "scan 0: restart interval 4 of 14 is missing")
        refuse(data[: markers[3]] + data[markers[11] :], "scan 0: got 5 restart markers, expected 13")

    def test_blocks_that_are_flat_themselves_are_none_that_are_missing(self):
        for colour in "white", "black", "red":
            picture = Image.new("RGB", SIZE, colour)
            assert read_picture(encoded(picture, "JPEG")).size == SIZE
            assert read_picture(encoded(picture, "JPEG", progressive=True)).size == SIZE

    def test_three_hundred_scans_are_refused_before_they_are_decoded(self, photo):
        """A progressive JPEG that repeats a scan: 556 KB of them took 18 s."""
        whole = encoded(photo.resize((2000, 1500)), "JPEG", progressive=True)
        last = whole.rindex(b"\xff\xda")
        many = whole[:-2] + 300 * whole[last:-2] + whole[-2:]
        began = time.process_time()
        refuse(many, "got 310 scans of 2000x1500 pixels, expected at most 100 scans")
        assert time.process_time() - began < 5

    def test_scans_of_a_large_picture_count_by_its_pixels(self, photo, monkeypatch):
        monkeypatch.setattr(integrity, "MAX_SCANNED_PIXELS", 9 * WIDTH * HEIGHT)
        refuse(self.encode(photo, "progressive"), "got 10 scans of 150x100 pixels")


def chunk(name, contents):
    return struct.pack(">I", len(contents)) + name + contents + struct.pack(">I", zlib.crc32(name + contents))


def png(rows, width=WIDTH, height=HEIGHT, interlaced=0, cut=None):
    """A PNG whose header promises `width` times `height` pixels, of the given bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)[:cut]),
            chunk(b"IEND", b""),
        ]
    )


class TestPng:
    def rows(self, photo):
        return [b"\0" + row.tobytes() for row in np.asarray(photo)]

    def test_all_rows_are_read(self, photo):
        assert is_read_as(png(b"".join(self.rows(photo))), photo)

    @pytest.mark.parametrize("missing", [1, 50, 99])
    def test_missing_rows_are_refused_though_every_checksum_is_right(self, photo, missing):
        got = (HEIGHT - missing) * (1 + 3 * WIDTH)
        refuse(
            png(b"".join(self.rows(photo)[: HEIGHT - missing])), f"truncated: got {got} bytes of pixels, expected 45100"
        )

    def test_black_rows_are_none_that_are_missing(self):
        for mode in "RGB", "RGBA", "LA", "L", "P", "1", "I;16":
            black = Image.new(mode, (33, 21))
            for format in "PNG", "ICO" if mode == "RGBA" else "PNG":
                assert not any(read_picture(encoded(black, format)).tobytes())

    def test_an_interlaced_picture_has_seven_passes(self):
        """Adam7, PNG 8.1: of 3x3 pixels, passes of 1, 0, 0, 1, 2, 2 and 3 pixels, each row with a filter byte."""
        passes = [(1, 1), (1, 1), (1, 2), (2, 1), (1, 3)]  # rows, columns; two have no pixel
        whole = b"".join(rows * (b"\0" + columns * b"\x40\x80\xc0") for rows, columns in passes)
        assert read_picture(png(whole, 3, 3, interlaced=1)).tobytes() == 9 * b"\x40\x80\xc0"
        black = bytes(len(whole))
        assert not any(read_picture(png(black, 3, 3, interlaced=1)).tobytes())
        refuse(png(black[:-1], 3, 3, interlaced=1), "truncated|cannot be read")

    @pytest.mark.parametrize("name", [b"IHDR", b"IDAT", b"PLTE"])
    def test_a_wrong_checksum_is_refused(self, photo, name):
        data = bytearray(encoded(photo.convert("P"), "PNG"))
        place = data.index(name)
        (length,) = struct.unpack_from(">I", data, place - 4)
        data[place + 4 + length] ^= 1
        refuse(bytes(data), "checksum|cannot be read|not a picture")

    def test_zeros_in_place_of_an_end_are_refused(self, photo):
        data = encoded(photo.resize((600, 400)), "PNG")
        for cut in 0.5, 0.9, 0.99:
            kept = int(cut * len(data))
            refuse(data[:kept] + bytes(len(data) - kept), "nothing|something else|checksum|cannot be read")

    def test_one_inside_an_icon_is_checked_too(self, photo):
        data = encoded(photo.resize((64, 64)), "ICO", sizes=[(64, 64)])
        refuse(data[:-40] + bytes(40), "checksum|something else|cannot be read")


def bmp(codes, size=(64, 64), compression=1, bits=8):
    palette = b"".join(bytes([value, value, value, 0]) for value in range(2**bits))
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, compression, len(codes), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(codes), 0, 0, start) + header + palette + codes


class TestRunLengthBmp:
    ROW, END = b"\x40\x77\0\0", b"\0\1"  # 64 times 0x77, end of row; end of picture

    def test_whole_pictures_are_read(self):
        assert read_picture(bmp(64 * self.ROW + self.END)).tobytes() == 64 * 64 * b"\x77\x77\x77"
        literal = b"\0\x40" + bytes(range(64)) + b"\0\0"
        assert read_picture(bmp(64 * literal + self.END)).tobytes()[::3] == 64 * bytes(range(64))
        assert read_picture(bmp(64 * self.ROW)).size == (64, 64)  # the code at its end may be left out

    @pytest.mark.parametrize(
        "codes, message",
        [
            (32 * ROW + END, "got run-length codes for 32 rows, expected 64|row 32: got"),
            (32 * ROW, "row 32|32 rows"),
            (64 * b"\x20\x77\0\0" + END, "row 0: got run-length codes for 32 pixels, expected 64"),
            (64 * b"\x50\x77\0\0" + END, "row 0: got run-length codes for 80 pixels, expected 64"),
            (b"\0\2\0\x20" + 32 * ROW + END, "leave pixels out"),
            (END, "row 0|0 rows"),
            (b"", "row 0|0 rows"),
        ],
    )
    def test_codes_that_leave_pixels_out_are_refused(self, codes, message):
        refuse(bmp(codes), message)

    @pytest.mark.parametrize("name", ["bmp_384_bytes_30s.bmp", "bmp_delta_20000000.bmp", "bmp_rle_wide.bmp"])
    def test_a_few_bytes_that_ask_for_gigabytes_or_minutes_are_refused_at_once(self, name):
        """Found by fuzzing: 9.8 GB on Pillow 10.0, 30 s on any."""
        began = time.process_time()
        refuse((CORPUS / name).read_bytes(), "run-length codes")
        assert time.process_time() - began < 2

    @pytest.mark.parametrize("bits, compression", [(8, 1), (4, 2), (1, 1), (4, 1), (8, 2)])
    def test_whatever_the_depth(self, bits, compression):
        refuse(bmp(b"\xff\x00" * 10, (80_000_000, 1), compression, bits), "run-length codes for 2550 pixels")

    def test_an_icon_has_none(self):
        inside = bmp(b"\x40\x77\0\0" * 64, (64, 128))[14:]
        icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 8, len(inside), 22) + inside
        refuse(icon, "run-length codes, which icons do not have|cannot be read")


class TestTiff:
    @pytest.fixture
    def strips(self, photo, monkeypatch):
        """Makes a TIFF of many strips, and lists where its entries lie, by tag."""
        monkeypatch.setattr(TiffImagePlugin, "STRIP_SIZE", 4096)

        def make(compression):
            data = bytearray(encoded(photo, "TIFF", compression=compression))
            (at,) = struct.unpack_from("<I", data, 4)
            (count,) = struct.unpack_from("<H", data, at)
            places = range(at + 2, at + 2 + 12 * count, 12)
            return data, {struct.unpack_from("<H", data, place)[0]: place for place in places}

        return make

    @pytest.mark.parametrize("compression", [None, "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
    def test_missing_strips_are_refused(self, strips, compression):
        data, places = strips(compression)
        assert read_picture(bytes(data)).size == SIZE
        (count,) = struct.unpack_from("<I", data, places[273] + 4)
        if count < 4:
            pytest.skip("this release of Pillow writes one strip")
        fewer = data.copy()
        struct.pack_into("<I", fewer, places[273] + 4, count // 2)
        refuse(bytes(fewer), "truncated|not a picture|cannot be read")
        (where,) = struct.unpack_from("<I", data, places[273] + 8)
        absent = data.copy()
        struct.pack_into("<I", absent, where + 4 * (count - 1), 0)
        refuse(bytes(absent), f"truncated: got {count - 1} strips or tiles, expected {count}|cannot be read")

    def test_the_number_of_strips_is_limited_before_a_list_of_them_is_made(self, strips, monkeypatch):
        monkeypatch.setattr(integrity, "MAX_STRIPS", 3)
        data, _ = strips("packbits")
        refuse(bytes(data), "strips or tiles, expected at most 3")


class TestJpeg2000:
    @pytest.fixture
    def tiles(self, photo):
        """A codestream of six tiles, and where each begins."""
        data = encoded(photo, "JPEG2000", no_jp2=True, tile_size=(64, 64))
        return data, [found.start() for found in re.finditer(rb"\xff\x90\x00\x0a", data)]

    def test_all_tiles_are_read(self, tiles):
        assert read_picture(tiles[0]).size == SIZE and len(tiles[1]) == 6

    @pytest.mark.parametrize("missing", [0, 2, 5])
    def test_a_missing_tile_is_refused(self, tiles, missing):
        data, places = tiles
        ends = [*places[1:], len(data) - 2]
        refuse(data[: places[missing]] + data[ends[missing] :], "truncated: got 5 of 6 tiles|cannot be read")

    def test_a_file_with_boxes_is_checked_alike(self, photo, monkeypatch):
        data = encoded(photo, "JPEG2000", tile_size=(64, 64))
        assert read_picture(data).size == SIZE
        monkeypatch.setattr(integrity, "MAX_TILES", 5)
        refuse(data, "got 6 tiles, expected at most 5")


def test_numbers_as_text_are_limited_by_their_bytes(monkeypatch):
    """A text PPM of 150 MB took 24 s."""
    text = b"P3 10 10 255 " + b"1 2 3 " * 100
    assert read_picture(text).size == (10, 10)
    monkeypatch.setattr(integrity, "MAX_TEXT_BYTES", 500)
    refuse(text, "got 613 bytes of numbers as text, expected at most 500")
