"""A pixel whose colour is not in the palette is an error, unless it is transparent and nobody sees it."""

import struct
import tracemalloc

import numpy as np
import pytest
from made_pictures import bmp, chunk, encoded, icon, tiff_entries, with_chunks
from PIL import Image

from nsfw_model import palettes
from nsfw_model.integrity import Bitmap, DamagedError, GifFrame
from nsfw_model.picture import PictureError, read_picture
from nsfw_scale.frames import read_frames

SIZE = WIDTH, HEIGHT = 60, 40
COLOURS = 50


@pytest.fixture(scope="module")
def photo():
    """A photograph of a few colours, small."""
    return Image.open("img/coffee.jpg").convert("RGB").resize(SIZE).quantize(COLOURS)


def refuse(data, message="got a pixel of colour 10, expected 0..9, which are all in the palette"):
    with pytest.raises(PictureError, match=message):
        read_picture(data)


def is_read_as(data, picture):
    return read_picture(data).tobytes() == picture.convert("RGB").tobytes()


class TestPng:
    def test_a_palette_of_fewer_colours_than_pixels_have_is_refused(self, photo):
        data = encoded(photo, "PNG")
        assert is_read_as(data, photo)
        colours = bytes(photo.getpalette())
        refuse(with_chunks(data, b"PLTE", chunk(b"PLTE", colours[:30])))
        assert is_read_as(with_chunks(data, b"PLTE", chunk(b"PLTE", colours.ljust(768, b"\0"))), photo)

    def test_a_palette_that_is_missing_or_behind_the_pixels_is_refused(self, photo):
        data = encoded(photo, "PNG")
        palette = chunk(b"PLTE", bytes(photo.getpalette()))
        message = "got pixels without a palette in front of them"
        refuse(with_chunks(data, b"PLTE"), message)
        refuse(with_chunks(with_chunks(data, b"PLTE"), b"IEND", palette, chunk(b"IEND", b"")), message)

    @pytest.mark.parametrize("size", [0, 31, 771])
    def test_a_palette_of_a_size_that_none_has_is_refused(self, photo, size):
        palette = chunk(b"PLTE", bytes(photo.getpalette()).ljust(size, b"\0")[:size])
        refuse(with_chunks(encoded(photo, "PNG"), b"PLTE", palette), f"got palette 1 of {size} bytes, expected one of")

    def test_two_palettes_are_refused(self, photo):
        palette = chunk(b"PLTE", bytes(photo.getpalette()))
        refuse(with_chunks(encoded(photo, "PNG"), b"PLTE", palette, palette), "got palette 2 of 150 bytes")

    def test_a_palette_that_is_a_suggestion_may_be_any(self):
        picture = Image.new("RGB", SIZE, "teal")
        data = encoded(picture, "PNG")
        header = data[8:33]
        assert is_read_as(with_chunks(data, b"IHDR", header, chunk(b"PLTE", bytes(6))), picture)

    def test_a_later_frame_is_looked_at_too(self, photo):
        first = Image.new("P", SIZE)
        first.putpalette(photo.getpalette())
        data = encoded(first, "PNG", save_all=True, append_images=[photo])
        assert [frame.picture.tobytes() for frame in read_frames(data)][1] == photo.convert("RGB").tobytes()
        cut = with_chunks(data, b"PLTE", chunk(b"PLTE", bytes(photo.getpalette())[:30]))
        with pytest.raises(PictureError, match="frame 2 of 2: got a pixel of colour 10"):
            list(read_frames(cut))


class TestGif:
    """The table of the file is at byte 13."""

    SIZE_OF_TABLE = 64

    def with_table(self, data, bits):
        """The same GIF with the first `2 ** (bits + 1)` of its 64 colours, or with none."""
        count = 0 if bits is None else 2 << bits
        flags = data[10] & 0x78 | (0 if bits is None else 0x80 | bits)
        table = data[13 : 13 + 3 * count]
        return data[:10] + bytes([flags]) + data[11:13] + table + data[13 + 3 * self.SIZE_OF_TABLE :]

    def test_a_table_of_fewer_colours_than_pixels_have_is_refused(self, photo):
        data = encoded(photo, "GIF")
        assert is_read_as(data, photo) and is_read_as(self.with_table(data, 5), photo)
        refuse(self.with_table(data, 2), "got a pixel of colour 8, expected 0..7, which are all in the palette")
        refuse(self.with_table(data, None), "got a pixel of colour 0, expected a palette, got none")

    def test_greys_of_a_table_are_those_of_the_table(self):
        """Pillow does without a table in which each grey has its own number."""
        greys = Image.fromarray(np.arange(64, dtype=np.uint8)[None])
        data = encoded(greys, "GIF")
        assert is_read_as(data, greys)
        refuse(self.with_table(data, 4), "got a pixel of colour 32, expected 0..31")

    def test_a_transparent_pixel_may_have_any_number(self):
        """Of one pixel and no table, as pages have them that count their readers."""
        pixel = b"GIF89a\1\0\1\0\0\0\0!\xf9\4\1\x0a\0\1\0,\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0;"
        assert read_picture(pixel).size == (1, 1)
        refuse(pixel.replace(b"\xf9\4\1", b"\xf9\4\0"), "got a pixel of colour 1, expected a palette, got none")

    def test_a_later_frame_is_looked_at_too(self):
        """Two colours need codes of two bits, which are enough for four."""

        def frame(number, control=b""):
            codes = (4 | number << 3 | 5 << 6).to_bytes(2, "little")  # clear, one pixel, end
            return control + b",\0\0\0\0\1\0\1\0\0\2\2" + codes + b"\0"

        start = b"GIF89a\1\0\1\0\x80\0\0" + bytes([200, 0, 0, 0, 100, 0])
        read = [each.picture.getpixel((0, 0)) for each in read_frames(start + frame(0) + frame(1) + b";")]
        assert read == [(200, 0, 0), (0, 100, 0)]
        assert len(list(read_frames(start + frame(0) + frame(3, b"!\xf9\4\1\0\0\3\0") + frame(1) + b";"))) == 3
        message = "frame 3 of 3: got a pixel of colour 3, expected 0..1"
        with pytest.raises(PictureError, match=message):
            list(read_frames(start + frame(0) + frame(3, b"!\xf9\4\1\0\0\3\0") + frame(3) + b";"))


class TestBmp:
    def with_colours(self, data, count, kept=COLOURS):
        """The same BMP that says that it has `count` colours, and has `kept`."""
        changed = bytearray(data[: 54 + 4 * kept] + data[54 + 4 * COLOURS :])
        struct.pack_into("<I", changed, 46, count)
        struct.pack_into("<I", changed, 10, 54 + 4 * kept)
        return bytes(changed)

    def test_a_palette_of_fewer_colours_than_pixels_have_is_refused(self, photo):
        data = encoded(photo, "BMP")
        assert struct.unpack_from("<I", data, 46) == (COLOURS,) and is_read_as(data, photo)
        refuse(self.with_colours(data, 10))
        refuse(self.with_colours(data, 10, kept=10))
        refuse(self.with_colours(data, 0, kept=10))

    def test_a_palette_may_be_shorter_than_the_header_says_as_long_as_no_pixel_misses_a_colour(self, photo):
        assert is_read_as(self.with_colours(encoded(photo, "BMP"), 0), photo)

    @pytest.mark.parametrize("bits", [1, 4, 8])
    @pytest.mark.parametrize("width", [5, 8, 33])
    def test_numbers_are_unpacked_at_any_depth(self, bits, width):
        """Rows end at a multiple of four bytes, and what fills them up is no pixel."""
        stride = -(-width * bits // 32) * 4
        row = bytearray(b"\xff" * stride)
        for column in range(width):
            at, shift = column * bits // 8, 8 - bits - column * bits % 8
            row[at] &= 0xFF ^ (2**bits - 1) << shift
        header = struct.pack("<IiiHHIIiiII", 40, width, 2, 1, bits, 0, 0, 0, 0, 1, 0)
        data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 58) + header + b"\1\2\3\0" + row * 2
        assert read_picture(data).getcolors() == [(2 * width, (3, 2, 1))]
        changed = bytearray(data)
        changed[58 + stride + (width - 1) * bits // 8] |= 1 << (8 - bits - (width - 1) * bits % 8)
        refuse(bytes(changed), "got a pixel of colour 1, expected 0..0")

    @pytest.mark.parametrize("bits, expected", [(8, 1), (4, 1)])
    def test_black_and_white_of_more_bits_a_pixel_than_one_are_refused(self, bits, expected):
        """Pillow takes any palette of black and white for a picture of one bit a pixel."""
        header = struct.pack("<IiiHHIIiiII", 40, 8, 1, 1, bits, 0, 0, 0, 0, 2, 0)
        start = b"BM" + struct.pack("<IHHI", 0, 0, 0, 62) + header + b"\0\0\0\0\xff\xff\xff\0"
        refuse(start + b"\0\1\1\0\1\1\1\1", f"got a palette of greys for {bits} bits a pixel, of which .* {expected}")
        assert not any(read_picture(start + bytes(8)).tobytes())

    def test_run_length_codes_are_numbers_too(self):
        data = bytearray(bmp(64 * b"\x40\x77\0\0" + b"\0\1"))
        data[54] = 1  # no palette of greys only
        assert read_picture(bytes(data)).getpixel((0, 0)) == (0x77, 0x77, 0x77)
        struct.pack_into("<I", data, 46, 0x77)
        refuse(bytes(data), "got a pixel of colour 119, expected 0..118")


class TestIcon:
    def icon(self, photo, count, mask=0):
        """Of a BMP without the header of its file, of twice the height, with a mask behind it."""
        data = bytearray(encoded(photo, "BMP")[14:])
        struct.pack_into("<i", data, 8, 2 * HEIGHT)
        struct.pack_into("<I", data, 32, count)
        kept = data[: 40 + 4 * count] + data[40 + 4 * COLOURS :]
        made = bytearray(icon(bytes(kept) + HEIGHT * 8 * bytes([mask]), size=WIDTH))
        struct.pack_into("<H", made, 12, 8)  # bits of a pixel
        return bytes(made)

    def test_a_palette_of_fewer_colours_than_pixels_have_is_refused(self, photo):
        assert is_read_as(self.icon(photo, COLOURS), photo)
        refuse(self.icon(photo, 10))
        assert read_picture(self.icon(photo, 10, mask=0xFF)).size == SIZE

    def test_a_palette_that_the_bitmap_ends_in_costs_no_more_than_it_has(self, photo):
        promising = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 0, 64, 0, 0, 1 << 24, 0)
        tracemalloc.start()
        try:
            assert read_picture(icon(encoded(photo, "PNG"), promising)).size == SIZE
            assert tracemalloc.get_traced_memory()[1] < 1 << 22
        finally:
            tracemalloc.stop()

    def test_a_png_inside_is_looked_at_too(self, photo):
        inside = with_chunks(encoded(photo, "PNG"), b"PLTE", chunk(b"PLTE", bytes(photo.getpalette())[:30]))
        refuse(icon(inside, size=WIDTH))


class TestTga:
    @pytest.mark.parametrize("rle", [False, True])
    def test_a_map_of_other_colours_than_pixels_have_is_refused(self, photo, rle):
        data = bytearray(encoded(photo, "TGA", rle=rle))
        assert is_read_as(bytes(data), photo)
        struct.pack_into("<H", data, 5, 10)
        refuse(bytes(data[: 18 + 30] + data[18 + 3 * COLOURS :]))

    def test_a_map_that_begins_behind_a_pixels_number_is_refused(self):
        header = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 100, 2, 24, 0, 0, 2, 1, 8, 0x20)
        colours = b"\1\2\3\4\5\6"
        assert read_picture(header + colours + b"\x64\x65").tobytes() == b"\3\2\1\6\5\4"
        refuse(header + colours + b"\x64\x63", "got a pixel of colour 99, expected 100..101")


class TestTiff:
    def test_a_map_of_fewer_colours_than_pixels_have_is_refused(self, photo):
        data = bytearray(encoded(photo, "TIFF"))
        assert is_read_as(bytes(data), photo)
        struct.pack_into("<I", data, tiff_entries(data)[320] + 4, 30)
        refuse(bytes(data))

    def test_a_later_page_is_looked_at_too(self, photo):
        first, pages = encoded(photo, "TIFF"), encoded(photo, "TIFF", save_all=True, append_images=[photo])
        data = bytearray(pages)
        at = tiff_entries(first)[320]
        entry = data.rindex(first[at : at + 4])  # tag and type
        struct.pack_into("<I", data, entry + 4, 30)
        with pytest.raises(PictureError, match="frame 2 of 2: got a pixel of colour 10"):
            list(read_frames(bytes(data)))


def test_numbers_without_any_palette_are_refused():
    """A PPM of Pillow's own kind."""
    refuse(b"PyP 2 1 255\n\1\2", "got a pixel of colour 1, expected a palette, got none")


class TestNumbers:
    """Of uncompressed bitmaps, counted row by row."""

    @pytest.mark.parametrize("bits, numbers", [(1, [1, 0, 1, 0, 0, 1, 0, 1]), (4, [10, 5]), (8, [0xA5])])
    def test_are_unpacked_from_the_highest_bit_on(self, bits, numbers):
        unpacked = palettes._unpacked(b".\xa5\0\xa5\0", 1, (2, 2), bits)
        assert unpacked.tolist() == [numbers + [0] * len(numbers)] * 2

    def bitmap(self, width, height, bits, colours=0, start=0):
        return Bitmap(width, height, bits, 0, 0, 4, colours, start)

    @pytest.mark.parametrize("piece", [1, 4, 8, 12, 1 << 20])
    def test_are_counted_whatever_is_unpacked_at_once(self, piece, monkeypatch):
        monkeypatch.setattr(palettes, "_PIECE", piece)
        rows = [b"\x12\x30..", b"\x11\x1f..", b"\x45\x6f.."]  # of three numbers each
        counts = palettes._counts(b"head" + b"".join(rows), self.bitmap(3, 3, 4, start=4), False)
        assert {number: count for number, count in enumerate(counts) if count} == {1: 4, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}
        assert palettes._counts(b"head" + b"".join(rows), self.bitmap(3, -3, 4, start=4), False) == counts

    def test_that_a_mask_hides_are_not_counted(self):
        """Which is at the end, of one bit a pixel, its rows filled up to four bytes."""
        rows = bytes([7, 8, 9, 0, 7, 7, 7, 0])
        mask = b"\xa0\0\0\0" + b"\x00\0\0\0"
        counts = palettes._counts(rows + mask, self.bitmap(3, 2, 8), True)
        assert {number: count for number, count in enumerate(counts) if count} == {7: 3, 8: 1}
        counts = palettes._counts(rows + mask, self.bitmap(3, 2, 8), False)
        assert {number: count for number, count in enumerate(counts) if count} == {7: 4, 8: 1, 9: 1}

    def test_of_a_file_that_ends_early_are_none(self):
        whole = bytes([7, 7, 7, 0]) * 2
        assert sum(palettes._counts(whole, self.bitmap(3, 2, 8), False)) == 6
        assert sum(palettes._counts(whole[:-1], self.bitmap(3, 2, 8), False)) == 0
        assert sum(palettes._counts(b"." + whole, self.bitmap(3, 2, 8, start=2), False)) == 0
        for width, height in (0, 2), (-3, 2), (3, 0):
            assert sum(palettes._counts(whole, self.bitmap(width, height, 8), False)) == 0


class TestDepth:
    def depth(self, colours, bits=8, step=4):
        data = b"head" + b"".join(bytes([*colour, 0][:step]) for colour in colours)
        return palettes._depth_to_pillow(data, Bitmap(1, 1, bits, 0, 4, step, len(colours), 0))

    @pytest.mark.parametrize("step", [3, 4])
    def test_of_a_palette_of_greys_depends_on_its_length(self, step):
        """As Pillow's reader takes one for the mode 1, L or P."""
        assert self.depth([(0, 0, 0), (255, 255, 255)], 4, step) == 1
        assert self.depth([(0, 0, 0)], 4, step) == 1
        assert self.depth([(value,) * 3 for value in range(3)], 4, step) == 8
        assert self.depth([(value,) * 3 for value in range(256)], 8, step) == 8
        assert self.depth([(0, 0, 0), (1, 1, 1)], 4, step) == 4
        for channel in range(3):
            other = [0, 0, 0]
            other[channel] = 1
            assert self.depth([tuple(other), (255, 255, 255)], 4, step) == 4


class TestExpectation:
    @pytest.mark.parametrize("number, fits", [(1, False), (2, True), (4, True), (5, False)])
    def test_numbers_are_within_the_palette(self, number, fits):
        counts = [0] * 256
        counts[number] = 1
        palettes._expect_between(2, 5, counts, transparent=number)
        if fits:
            palettes._expect_between(2, 5, counts)
        else:
            message = f"got a pixel of colour {number}, expected 2..4, which are all in the palette"
            with pytest.raises(DamagedError, match=f"^{message}$"):
                palettes._expect_between(2, 5, counts, transparent=7)

    def test_of_no_palette_none_is(self):
        with pytest.raises(DamagedError, match="^got a pixel of colour 0, expected a palette, got none$"):
            palettes._expect_between(3, 3, [1])

    @pytest.mark.parametrize(
        "bits, colours, looked", [(1, 2, 0), (1, 1, 1), (4, 15, 1), (4, 16, 0), (8, 255, 1), (2, 1, 0), (24, 0, 0)]
    )
    def test_bitmaps_with_a_colour_for_each_number_are_not_looked_at(self, bits, colours, looked, monkeypatch):
        calls = []
        monkeypatch.setattr(palettes, "_counts", lambda *arguments: calls.append(arguments[1:]) or [0] * 256)
        parts = Bitmap(1, 1, bits, 0, 0, 4, colours, 0)
        palettes._check_bitmap(bytes(range(255)) * 5, parts, masked=True)
        assert calls == [(parts, True)] * looked

    @pytest.mark.parametrize("size, colours, looked", [(2, 4, 0), (3, 4, 1), (8, 256, 0), (2, 3, 1)])
    def test_frames_with_a_colour_for_each_code_are_not_looked_at(self, size, colours, looked, monkeypatch):
        calls = []
        monkeypatch.setattr(
            palettes, "_expect_between", lambda *arguments: calls.append((*arguments[:2], arguments[3]))
        )
        data = bytes([size]) + b"\x02\x44\x01\0"
        palettes._check_gif(GifFrame(1, 1, colours, 9, 0), data)
        assert calls == [(0, colours, 9)] * looked

    def test_the_codes_of_a_frame_are_its_own(self):
        data = b".\2\3abc\1d\0behind"
        assert palettes._codes(data, 1) == b"\2\3abc\1d\0"
        assert palettes._codes(data[:8], 1) == b"\2\3abc\1d"[:7]
        assert palettes._codes(b"\2\xffab", 0) == b"\2\xffab"
