"""A file that does not contain what it promises is an error, whichever way its decoder would fill the gap."""

import contextlib
import io
import re
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import bmp, chunk, encoded, grey_tiff, icon, png, tiff_entries, with_strip
from PIL import Image, TiffImagePlugin

from nsfw_model import integrity
from nsfw_model.preprocess import PictureError, read_picture

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "picture-bmp"
SIZE = WIDTH, HEIGHT = 150, 100


@pytest.fixture(scope="module")
def photo():
    """A photograph, small."""
    return Image.open("img/coffee.jpg").convert("RGB").resize(SIZE)


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
        cut = whole[: data.draw(st.integers(scan + 12, len(whole) - 12))].rstrip(b"\xff")
        refuse(cut + b"\xff\xd9", "truncated|restart|cannot be read")

    @pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
    def test_a_large_one_that_is_cut_and_closed_is_refused_too(self, photo, part, monkeypatch):
        """Large ones are decoded a second time only where they end in one colour, as those do."""
        monkeypatch.setattr(integrity, "SMALL", 0)
        whole = self.encode(photo, "baseline")
        assert read_picture(whole).size == SIZE
        refuse(whole[: int(part * len(whole))].rstrip(b"\xff") + b"\xff\xd9", "truncated")

    @pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
    @pytest.mark.parametrize("size", [(300, 300), (513, 257)])
    def test_no_more_than_a_part_of_the_last_block_is_missed_in_a_picture_of_any_size(self, photo, size, subsampling):
        whole = encoded(photo.resize(size), "JPEG", subsampling=subsampling)
        pixels = np.asarray(read_picture(whole)).astype(int)
        refused = 0
        for missing in (1, 5, 21, 55, 144, 377, 610, 1000, 2000):
            try:
                cut = read_picture(whole[: -2 - missing].rstrip(b"\xff") + b"\xff\xd9")
            except PictureError:
                refused += 1
            else:  # and what is blended into its neighbours
                assert np.any(np.asarray(cut) != pixels, axis=2).sum() <= 17 * 17
        assert refused >= 5

    @given(
        st.lists(st.sampled_from([b"\xff", b"\0", b"\xd0", b"\xd7", b"\xd8", b"\xcf", b"\x01"]), max_size=12),
        st.booleans(),
    )
    def test_a_scan_ends_where_a_marker_follows_that_is_no_expected_restart(self, parts, has_restarts):
        data = b"".join(parts)
        expected = re.search(rb"\xff+[^\x00\xff\xd0-\xd7]" if has_restarts else rb"\xff+[^\x00\xff]", data)
        assert integrity._end_of_scan(data, 0, has_restarts) == (expected.start() if expected else len(data))

    @settings(max_examples=30)
    @given(data=st.data())
    def test_a_progressive_one_is_refused_wherever_it_is_cut_and_closed(self, photo, data):
        whole = self.encode(photo, "progressive")
        cut = whole[: data.draw(st.integers(whole.index(b"\xff\xda") + 12, len(whole) - 12))].rstrip(b"\xff")
        refuse(cut + b"\xff\xd9", "truncated|cannot be read")

    @settings(max_examples=30)
    @given(data=st.data(), kind=st.sampled_from(["progressive", "with restart markers", "grey, block by block"]))
    def test_whatever_scan_or_restart_interval_ends_early_is_missed(self, photo, data, kind):
        options = {"restart_marker_blocks": 1} if kind == "grey, block by block" else self.KINDS[kind]
        whole = encoded(photo.convert("L") if "grey" in kind else photo, "JPEG", **options)
        spans = intervals(whole)
        start, end = spans[data.draw(st.integers(0, len(spans) - 1))]
        fewer = whole[start : data.draw(st.integers(start, max(end - 4, start)))].rstrip(b"\xff")
        refuse(whole[:start] + fewer + whole[end:], "truncated|restart interval [0-9]+ of [0-9]+ is missing")

    @pytest.mark.parametrize("kept", [0, 1, 0.5])
    @pytest.mark.parametrize("kind", ["progressive", "with restart markers"])
    def test_all_scans_or_intervals_but_the_last_that_end_early_are_missed(self, photo, kind, kept):
        """Of 700 bytes of progressive scans without data, or 1.4 KB of intervals of one byte, a score was given."""
        whole = self.encode(photo, kind)
        parts, at = [], 0
        for start, end in intervals(whole)[:-1]:
            size = int(kept * (end - start)) if isinstance(kept, float) else kept
            parts += [whole[at:start], whole[start : start + size].rstrip(b"\xff")]
            at = end
        refuse(b"".join([*parts, whole[at:]]), "truncated: got|restart interval 0 of 14 is missing")

    @pytest.mark.parametrize("identifiers", [(1, 2, 3), (1, 1, 1)])
    def test_components_in_scans_of_their_own_are_read_and_missed(self, photo, identifiers):
        scans = of_components(photo, identifiers)
        if len(set(identifiers)) == 1:  # each scan is that of the first one, to libjpeg too
            refuse(b"".join(scans), "truncated: got 3 scans, none of which has all bits of component 1")
            return
        assert read_picture(b"".join(scans)).size == SIZE
        for part in 1, 2, 3:
            header = 10  # of a scan
            half = scans[part][: header + (len(scans[part]) - header) // 2].rstrip(b"\xff")
            refuse(b"".join([*scans[:part], half, *scans[part + 1 :]]), "truncated: got less data than")
            refuse(b"".join([*scans[:part], *scans[part + 1 :]]), f"none of which has all bits of component {part}")
            none = scans[part][:header]
            refuse(b"".join([*scans[:part], none, *scans[part + 1 :]]), "truncated: got 0 bytes for 247 blocks of scan")

    def test_components_of_one_identifier_in_one_scan_are_read(self, photo):
        """Some encoders number all of them 0, and libjpeg takes them in order."""
        data = self.encode(photo, "of one sampling")
        frame, scan = data.index(b"\xff\xc0") + 10, data.index(b"\xff\xda") + 5
        same = bytearray(data)
        same[frame : frame + 9 : 3] = same[scan : scan + 6 : 2] = bytes(3)
        assert is_read_as(bytes(same), Image.open(io.BytesIO(same)).convert("RGB"))

    def test_a_restart_that_the_header_does_not_tell_of_ends_the_data(self, photo):
        """A decoder leaves out what follows, as it does behind any other marker."""
        data = self.encode(photo, "baseline")
        middle = (data.index(b"\xff\xda") + len(data)) // 2
        while data[middle - 1] == 0xFF:
            middle += 1
        refuse(data[:middle] + b"\xff\xd0" + data[middle:], "truncated: got less data than the picture has blocks")

    @pytest.mark.parametrize("marker", [0xC0, 0xC2, 0xC3])
    def test_a_large_one_without_data_is_refused_before_it_is_decoded(self, marker):
        """A progressive one of CMYK took 1 GB, for 794 bytes."""
        data = encoded(Image.new("CMYK", (64, 64)), "JPEG", progressive=marker == 0xC2, subsampling=0)
        at = data.index(b"\xff\xc2" if marker == 0xC2 else b"\xff\xc0")
        large = (
            data[: at + 1] + bytes([marker]) + data[at + 2 : at + 5] + struct.pack(">HH", 9400, 9400) + data[at + 9 :]
        )
        with pytest.raises(integrity.DamagedError, match=r"truncated: got [0-9]+ bytes for [0-9]+ blocks of scan 0"):
            integrity.check_before_decoding(large)

    def test_arithmetic_codes_have_the_same_scans(self, photo):
        """Nothing was known of them: 1.3 KB of scans of 9000x9000 pixels took 14 s."""
        whole = self.encode(photo, "progressive").replace(b"\xff\xc2", b"\xff\xca", 1)
        last = whole.rindex(b"\xff\xda")
        refuse(whole[:-2] + 91 * whole[last:-2] + whole[-2:], "got 101 scans of 150x100 pixels, expected at most 100")
        second = whole.index(b"\xff\xda", whole.index(b"\xff\xda") + 2)
        refuse(whole[:second] + b"\xff\xd9", "truncated: got 1 scans, none of which has all bits of coefficient")

    def test_a_lossless_one_is_read_and_missed(self):
        """16 x 16 samples, each one more or less than that before it or above, in three bits (T.81 H.1.2)."""
        header = b"\xff\xd8\xff\xc3\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0"
        header += b"\xff\xc4\0\x15\0\x01\x01" + bytes(14) + b"\0\x01\xff\xda\0\x08\x01\x01\0\x01\0\0"
        bits = 128 * "101100"
        scan = int(bits, 2).to_bytes(96, "big")
        refuse(
            header + scan[:31] + b"\xff\xd9", "truncated: got 31 bytes for 256 blocks of scan 0, expected at least 32"
        )
        try:
            picture = read_picture(header + scan + b"\xff\xd9")
        except PictureError:
            pytest.skip("this release of Pillow does not read it")
        assert np.asarray(picture)[:, :2, 0].tolist() == [[129 + row, 128 + row] for row in range(16)]
        refuse(header + scan[:60] + b"\xff\xd9", "truncated: got less data than the picture has blocks")

    def test_a_progressive_one_without_its_refinements_is_refused(self, photo):
        whole = self.encode(photo, "progressive")
        scans = [found.start() for found in re.finditer(rb"\xff\xda", whole)]
        tables = [whole.rfind(b"\xff\xc4", 0, scan) for scan in scans]
        refuse(whole[: tables[-1]] + b"\xff\xd9", "truncated: got 9 scans, none of which has all bits of coefficient 1")

    @pytest.mark.parametrize("indices, expected", [([0, 1, 2], 2 * 1), ([0], 3 * 2), ([1], 2 * 1)])
    def test_a_scan_of_one_component_has_an_mcu_for_each_block_of_it(self, indices, expected):
        """17 x 9 pixels of 4:2:0, counted by hand after T.81 A.2."""
        components = [
            integrity._Component(1, 2, 2),
            integrity._Component(2, 1, 1),
            integrity._Component(3, 1, 1),
        ]
        assert integrity._Frame(integrity._Coding(), 9, 17, components).units(indices) == expected

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


def intervals(data):
    """Where the data of each restart interval of each scan begins and ends."""
    frame, scans = integrity._jpeg_structure(data)
    spans = []
    for scan in scans:
        ends = integrity._ends_of_intervals(data, frame, scan)
        spans += zip([scan.start, *(end + 2 for end in ends)], ends)
    return spans


def of_components(photo, identifiers):
    """A JPEG of three scans, one for each component: what precedes them, the scans, and its end."""
    greys = [encoded(plane, "JPEG") for plane in photo.convert("YCbCr").split()]
    head = greys[0][: greys[0].index(b"\xff\xda")]
    at = head.index(b"\xff\xc0")
    frame = head[at + 4 : at + 9] + bytes([3]) + b"".join(bytes([name, 0x11, 0]) for name in identifiers)
    head = head[:at] + b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame + head[at + 13 :]
    scans = []
    for name, grey in zip(identifiers, greys):
        ((start, end),) = intervals(grey)
        scans.append(b"\xff\xda\0\x08\x01" + bytes([name]) + b"\0\0\x3f\0" + grey[start:end])
    return [head, *scans, b"\xff\xd9"]


class TestPng:
    def rows(self, photo):
        return [b"\0" + row.tobytes() for row in np.asarray(photo)]

    def test_all_rows_are_read(self, photo):
        assert is_read_as(png(b"".join(self.rows(photo)), *SIZE), photo)

    @pytest.mark.parametrize("missing", [1, 50, 99])
    def test_missing_rows_are_refused_though_every_checksum_is_right(self, photo, missing):
        got = (HEIGHT - missing) * (1 + 3 * WIDTH)
        refuse(
            png(b"".join(self.rows(photo)[: HEIGHT - missing]), *SIZE),
            f"truncated: got {got} bytes of pixels, expected 45100",
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

    @pytest.mark.parametrize("width", [5, 8, 33])
    def test_an_interlaced_picture_of_one_row_has_four_passes(self, width):
        """Passes of every eighth pixel, of those between, and so on: the last is not the row's last pixels."""
        columns = [len(range(*pixels, step)) for pixels, step in (((0, width), 8), ((4, width), 8))]
        columns += [len(range(2, width, 4)), len(range(1, width, 2))]
        passes = [b"\0" + count * b"\x40\x80\xc0" for count in columns]
        assert read_picture(png(b"".join(passes), width, 1, interlaced=1)).tobytes() == width * b"\x40\x80\xc0"
        refuse(png(b"".join(passes[:-1]), width, 1, interlaced=1), "truncated: got .* bytes of pixels")

    def test_two_headers_are_refused_and_one_behind_another_chunk(self, photo):
        """Pillow takes the last."""
        whole = png(b"".join(self.rows(photo)), *SIZE)
        header = whole[8:33]
        short = png(b"".join(self.rows(photo)[:50]), WIDTH, 50)
        refuse(short[:33] + header + short[33:], "got a header that is not the first chunk, or several")
        refuse(whole[:8] + chunk(b"tEXt", b"a\0b") + whole[8:], "got a header that is not the first chunk")
        refuse(whole[:-12] + header + whole[-12:], "got a header that is not the first chunk, or several")

    def test_zeros_in_place_of_an_end_are_refused(self, photo):
        data = encoded(photo.resize((600, 400)), "PNG")
        for cut in 0.5, 0.9, 0.99:
            kept = int(cut * len(data))
            refuse(data[:kept] + bytes(len(data) - kept), "nothing|something else|checksum|cannot be read")

    def test_one_inside_an_icon_is_checked_too(self, photo):
        data = encoded(photo.resize((64, 64)), "ICO", sizes=[(64, 64)])
        refuse(data[:-40] + bytes(40), "checksum|something else|cannot be read")


class TestIcon:
    """One file may hold thousands of pictures, of which Pillow decodes one, and all are looked at."""

    def test_pictures_that_share_their_bytes_are_refused(self, photo):
        """65,535 entries for one PNG: 1 MB took hours."""
        inside = encoded(photo.convert("RGBA"), "PNG")
        shared = icon(inside, inside)
        second = bytearray(shared[: -len(inside)])
        second[22:38] = second[6:22]
        assert read_picture(shared).size == SIZE
        refuse(bytes(second), rf"got pictures inside of {2 * len(inside)} bytes in all, expected at most {len(second)}")

    def test_pixels_inside_are_limited_together(self, photo, monkeypatch):
        inside = encoded(photo.convert("RGBA"), "PNG")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 256 * 256)
        assert read_picture(icon(*[inside] * 4)).size == SIZE
        refuse(icon(*[inside] * 5), "got pictures inside of 75000 pixels, expected at most 65536")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert read_picture(icon(*[inside] * 5)).size == SIZE


class TestPcx:
    @pytest.mark.parametrize("colours", ["RGB", "L", "P", "1"])
    def test_whole_files_are_read(self, colours, photo):
        picture = photo.convert(colours)
        assert is_read_as(encoded(picture, "PCX"), picture.convert("RGB"))

    def test_a_palette_that_is_cut_off_is_refused(self, photo):
        """The numbers of its colours were read as greys."""
        data = encoded(photo.quantize(16), "PCX")
        refuse(data[:-1], "truncated: got no palette at the end of the file")
        refuse(data[:-769], "truncated: got no palette at the end of the file")

    def test_greys_need_no_palette_if_the_file_says_that_they_are_greys(self, photo):
        grey = photo.convert("L")
        data = bytearray(encoded(grey, "PCX")[:-769])
        data[68] = 2
        assert is_read_as(bytes(data), grey.convert("RGB"))


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

    @pytest.mark.parametrize("start", [0, 54])
    def test_codes_begin_behind_the_palette_if_the_file_header_does_not_say(self, start):
        """Pillow looks there; what is in front of them could be read as other codes."""
        whole = bytearray(bmp(64 * self.ROW + self.END))
        struct.pack_into("<I", whole, 10, start)
        assert read_picture(bytes(whole)).tobytes() == 64 * 64 * b"\x77\x77\x77"
        holes = bytearray(bmp(b"\0\2\xf0\0\x1a\x80\0\1", (266, 1)))
        holes[2:6] = b"\x64\7\x64\7"  # as if it began with runs of 100 pixels
        struct.pack_into("<I", holes, 10, start)
        refuse(bytes(holes), "leave pixels out")

    def test_literal_pixels_are_filled_up_to_an_even_byte_of_the_file(self):
        """As Pillow reads them, wherever the codes begin."""
        whole = bmp(b"", (64, 1))
        codes = b"\0" + b"\0\4\1\2\3\4" + b"\x55" + b"\x3c\x77" + self.END
        odd = bytearray(whole + codes)
        struct.pack_into("<I", odd, 10, len(whole) + 1)
        assert read_picture(bytes(odd)).tobytes()[::3] == b"\1\2\3\4" + 60 * b"\x77"

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
        refuse(icon(inside, size=64), "run-length codes, which icons do not have|cannot be read")


class TestTiff:
    @pytest.fixture
    def strips(self, photo, monkeypatch):
        """Makes a TIFF of many strips, and lists where its entries lie, by tag."""
        monkeypatch.setattr(TiffImagePlugin, "STRIP_SIZE", 4096)

        def make(compression):
            data = bytearray(encoded(photo, "TIFF", compression=compression))
            return data, tiff_entries(data)

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

    @pytest.mark.parametrize("missing", [None, 0, 1, 2])
    def test_each_plane_of_a_tiff_of_planes_is_missed(self, missing):
        """Written by hand: 4 x 2 pixels, one strip for each of red, green and blue."""
        entries = {
            256: [4],
            257: [2],
            258: [8] * 3,
            259: [1],
            262: [2],
            273: [0] * 3,
            277: [3],
            278: [2],
            279: [8] * 3,
            284: [2],
        }
        values = 8 + 2 + 12 * len(entries) + 4
        offsets = [0 if plane == missing else values + 36 + 8 * plane for plane in range(3)]
        data = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
        for tag, numbers in (entries | {273: offsets}).items():
            place = numbers[0] if len(numbers) == 1 else values + 12 * [258, 273, 279].index(tag)
            data += struct.pack("<HHII", tag, 4, len(numbers), place)
        data += bytes(4) + struct.pack("<9I", 8, 8, 8, *offsets, 8, 8, 8) + bytes([200] * 8 + [100] * 8 + [50] * 8)
        if missing is None:
            assert read_picture(data).getcolors() == [(8, (200, 100, 50))]
        else:
            refuse(data, "truncated: got 2 strips or tiles, expected 3")

    def test_a_strip_that_was_never_written_is_not_taken_from_the_beginning_of_the_file(self, photo):
        data = bytearray(encoded(photo, "TIFF"))
        place = tiff_entries(data)[273]
        assert struct.unpack_from("<HI", data, place + 2) == (4, 1)  # one offset, which stands in its entry
        struct.pack_into("<I", data, place + 8, 0)
        refuse(bytes(data), "truncated: got 0 strips or tiles, expected 1")

    def test_the_number_of_strips_is_limited_before_a_list_of_them_is_made(self, strips, monkeypatch):
        monkeypatch.setattr(integrity, "MAX_STRIPS", 3)
        data, _ = strips("packbits")
        refuse(bytes(data), "strips or tiles, expected at most 3")

    @pytest.fixture
    def of_jpeg(self, photo):
        """A TIFF of one strip that is a JPEG, whose tables stand apart, and a JPEG of the same picture."""
        return encoded(photo, "TIFF", compression="jpeg"), encoded(photo, "JPEG", subsampling=0)

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
    def test_a_jpeg_inside_that_ends_early_is_refused(self, part, of_jpeg):
        """libjpeg fills the rest with grey."""
        data, _ = of_jpeg
        (at,) = struct.unpack_from("<I", data, tiff_entries(data)[273] + 8)
        (size,) = struct.unpack_from("<I", data, tiff_entries(data)[279] + 8)
        strip = data[at : at + size]
        assert is_read_as(with_strip(data, strip), read_picture(data))
        refuse(with_strip(data, strip[: int(part * size)]), "strip or tile 0: ")

    def test_a_jpeg_inside_that_is_cut_and_closed_or_too_small_is_refused(self, photo, of_jpeg):
        data, jpeg = of_jpeg
        assert read_picture(with_strip(data, jpeg)).size == SIZE
        closed = jpeg[: jpeg.index(b"\xff\xda") + 800] + b"\xff\xd9"
        refuse(with_strip(data, closed), "strip or tile 0: truncated: got less data than the picture has blocks")
        low = encoded(photo.crop((0, 0, WIDTH, 48)), "JPEG", subsampling=0)
        refuse(with_strip(data, low), "strip or tile 0: truncated: got 150x48 pixels, expected 150x100")

    @pytest.mark.parametrize("tiled", [False, True], ids=["strips", "tiles"])
    def test_several_jpegs_inside_are_read(self, tiled, photo, monkeypatch):
        """The last strip has fewer rows, a tile at the edge has not."""
        monkeypatch.setattr(TiffImagePlugin, "STRIP_SIZE", 150 * 3 * 16)
        data = tiff_of_jpeg_tiles(photo, 64) if tiled else encoded(photo, "TIFF", compression="jpeg")
        with Image.open(io.BytesIO(data)) as opened:
            assert len(opened.tag_v2[324 if tiled else 273]) == (6 if tiled else 7)
            assert is_read_as(data, opened.convert("RGB"))

    def test_an_entry_that_is_there_twice_says_the_same_twice(self):
        """Pillow takes the first."""
        pixels, strip = bytes(range(64)), [(8, 64)]
        eight_rows = grey_tiff((8, 8), 1, strip, 8, pixels)
        assert read_picture(grey_tiff((8, 8), 1, strip, 8, pixels, (278, 4, [8]))).tobytes()[::3] == pixels
        assert read_picture(eight_rows).tobytes()[::3] == pixels
        refuse(grey_tiff((8, 8), 1, strip, 2, pixels, (278, 4, [8])), "got two entries of tag 278 that differ")
        refuse(grey_tiff((8, 8), 1, strip, 8, pixels, (278, 3, [8])), "got two entries of tag 278 that differ")

    @pytest.mark.parametrize("kind", [3, 4, 6, 8, 9, 13])
    def test_numbers_of_any_type_are_read(self, kind):
        data = grey_tiff((8, 8), 1, [(8, 16)], (278, kind, [2]), bytes(range(64)))
        refuse(data, "truncated: got 1 strips or tiles, expected 4")

    def test_strips_may_share_their_bytes(self, monkeypatch):
        """Blank ones of a scan do. Each JPEG is looked at once: 60,000 took 30 s."""
        looked = []
        check = integrity._check_jpeg_inside
        monkeypatch.setattr(integrity, "_check_jpeg_inside", lambda *args: looked.append(args[2]) or check(*args))
        strip = encoded(Image.new("L", (16, 8), 200), "JPEG")
        data = grey_tiff((16, 8 * 5000), 7, [(8, len(strip))] * 5000, 8, strip)
        assert read_picture(data).getcolors() == [(16 * 8 * 5000, (200, 200, 200))]
        assert looked == [0]

    def test_what_strips_share_is_limited(self, monkeypatch):
        """Of a megabyte that 131,000 strips shared, each bit was turned as often: 31 s."""
        strip = zlib.compress(bytes(64)) + bytes(1000)
        data = grey_tiff((64, 100), 8, [(8, len(strip))] * 100, 1, strip)
        assert read_picture(data).size == (64, 100)
        monkeypatch.setattr(integrity, "MAX_SHARED_BYTES", 100 * len(strip) - 1)
        refuse(data, f"got more than {100 * len(strip) - 1} bytes of strips or tiles in all")
        monkeypatch.setattr(integrity, "MAX_SHARED_BYTES", 0)
        apart = grey_tiff((64, 100), 8, [(8 + len(strip) * row, len(strip)) for row in range(100)], 1, strip * 100)
        assert read_picture(apart).size == (64, 100)

    def test_jpegs_inside_that_overlap_are_limited(self, monkeypatch):
        strip = encoded(Image.new("L", (16, 8), 200), "JPEG")
        data = grey_tiff((16, 8 * 40), 7, [(8, len(strip) + more) for more in range(40)], 8, strip + bytes(40))
        assert read_picture(data).size == (16, 320)
        monkeypatch.setattr(integrity, "MAX_OVERLAPPING_BYTES", 0)
        refuse(data, f"got more than {2 * len(data)} bytes of different JPEGs inside")
        apart = grey_tiff((16, 8 * 40), 7, [(8 + len(strip) * row, len(strip)) for row in range(40)], 8, strip * 40)
        assert read_picture(apart).size == (16, 320)

    def test_thousands_of_entries_that_share_a_megabyte_do_not_cost_gigabytes(self):
        """Of each entry a list was made: 600 KB took 20 GB."""
        shared = bytes(4 * integrity.MAX_STRIPS)
        entries = [struct.pack("<HHII", 1000 + tag, 4, integrity.MAX_STRIPS, 8) for tag in range(1000)]
        directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
        data = b"II*\0" + struct.pack("<I", 8 + len(shared)) + shared + directory
        tracemalloc.start()
        try:
            with pytest.raises(integrity.DamagedError, match="got 0 strips"):
                integrity.check_before_decoding(data)
            assert tracemalloc.get_traced_memory()[1] < 1 << 24
        finally:
            tracemalloc.stop()


def tiff_of_jpeg_tiles(picture, side):
    """A TIFF whose tiles are JPEGs, those at the edges as large as the others (TIFF 6.0, section 15)."""
    columns, rows = (range(0, length, side) for length in picture.size)
    tiles = [
        encoded(picture.crop((x, y, x + side, y + side)), "JPEG", subsampling=0, quality=90)
        for y in rows
        for x in columns
    ]
    starts = [8 + sum(map(len, tiles[:index])) for index in range(len(tiles))]
    lists = 8 + sum(map(len, tiles))
    bits, offsets, sizes = lists, lists + 6, lists + 6 + 4 * len(tiles)
    entries = [(256, 3, 1, picture.width), (257, 3, 1, picture.height), (258, 3, 3, bits), (259, 3, 1, 7)]
    entries += [(262, 3, 1, 6), (277, 3, 1, 3), (284, 3, 1, 1), (322, 3, 1, side), (323, 3, 1, side)]
    entries += [(324, 4, len(tiles), offsets), (325, 4, len(tiles), sizes)]
    data = b"".join(tiles) + struct.pack("<3H", 8, 8, 8) + struct.pack(f"<{len(tiles)}I", *starts)
    data += struct.pack(f"<{len(tiles)}I", *map(len, tiles))
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


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

    def test_a_tile_part_without_data_is_followed_by_others(self, tiles):
        data, places = bytearray(tiles[0]), tiles[1]
        data[places[0] + 11] = 2  # of two parts, the second is a header (SOT) and an end (SOD): T.800, A.4.2
        part = struct.pack(">HHHIBBH", 0xFF90, 10, 0, 14, 1, 2, 0xFF93)
        assert read_picture(bytes(data[: places[1]] + part + data[places[1] :])).size == SIZE

    def test_a_file_with_boxes_is_checked_alike(self, photo, monkeypatch):
        data = encoded(photo, "JPEG2000", tile_size=(64, 64))
        assert read_picture(data).size == SIZE
        monkeypatch.setattr(integrity, "MAX_TILES", 5)
        refuse(data, "got 6 tiles, expected at most 5")

    @pytest.mark.parametrize("kind", [b"free", b"uuid"])
    @pytest.mark.parametrize("large", [False, True])
    def test_a_codestream_in_another_box_hides_no_missing_tile(self, tiles, kind, large):
        data, places = tiles
        boxes = encoded(Image.new("RGB", SIZE), "JPEG2000")
        boxes = boxes[: boxes.index(b"jp2c") - 4]
        whole = boxes + box(kind, data, large) + box(b"jp2c", data, large)
        assert is_read_as(whole, read_picture(data))
        fewer = data[: places[1]] + data[places[2] :]
        refuse(boxes + box(kind, data, large) + box(b"jp2c", fewer, large), "truncated: got 5 of 6 tiles")
        refuse(boxes + box(kind, data, large), "broken data stream|cannot be read")

    def test_what_does_not_begin_with_its_size_is_refused(self, photo):
        """OpenJPEG looks for the size behind markers that it does not know."""
        data = encoded(photo, "JPEG2000")
        at = data.index(b"\xff\x4f\xff\x51")
        refuse(data[: at + 2] + b"\xff\x02" + data[at + 2 :], f"byte {at}: expected a codestream, which begins with")

    def test_segments_are_limited(self, tiles, monkeypatch):
        data, places = tiles
        comments = data[: places[0]] + b"\xff\x64\0\2" * 20 + data[places[0] :]
        assert read_picture(comments).size == SIZE
        monkeypatch.setattr(integrity, "MAX_SEGMENTS", 20)
        assert read_picture(data).size == SIZE
        refuse(comments, "got more than 20 segments")

    @pytest.mark.parametrize(
        "options, blocks, packets",
        [
            ({"num_resolutions": 1}, 10 * 7 + 1, 1),
            ({"num_resolutions": 2}, (5 * 4 + 1) + 3 * (5 * 4 + 1), 2),
            ({"num_resolutions": 1, "precinct_size": (32, 32)}, 10 * 7 + 5 * 4, 5 * 4),
            ({"num_resolutions": 1, "quality_mode": "rates", "quality_layers": [40, 20, 10]}, 10 * 7 + 1, 3),
            ({"num_resolutions": 1, "tile_size": (100, 100)}, 7 * 7 + 4 * 7 + 2, 2),
        ],
    )
    def test_code_blocks_and_packets_are_counted(self, photo, options, blocks, packets, monkeypatch):
        """150 x 100 pixels in code blocks of 16 x 16."""
        data = encoded(photo.convert("L"), "JPEG2000", codeblock_size=(16, 16), **options)
        monkeypatch.setattr(integrity, "MAX_CODE_BLOCKS", blocks)
        monkeypatch.setattr(integrity, "MAX_PACKETS", packets)
        assert read_picture(data).size == SIZE
        expected = f"got {blocks} code blocks and precincts and {packets} packets, expected at most"
        monkeypatch.setattr(integrity, "MAX_CODE_BLOCKS", blocks - 1)
        refuse(data, expected)
        monkeypatch.setattr(integrity, "MAX_CODE_BLOCKS", blocks)
        monkeypatch.setattr(integrity, "MAX_PACKETS", packets - 1)
        refuse(data, expected)

    @pytest.mark.parametrize("sizes", [{"layers": 65535, "precinct": 0x33}, {"block": 2}, {"precinct": 0x11}])
    @pytest.mark.parametrize("where", ["main header", "tile", "component", "component of a tile"])
    def test_a_few_bytes_that_ask_for_millions_of_parts_are_refused(self, sizes, where):
        """187 bytes took 24 s and 1.6 GB for layers, 1.5 GB for code blocks, and 3 GB for precincts."""
        began = time.process_time()
        refuse(codestream(4200, where, **sizes), "got [0-9]+ code blocks and precincts and [0-9]+ packets, expected at")
        assert read_picture(codestream(64, where, **sizes | {"layers": 2})).size == (64, 64)
        assert time.process_time() - began < 2

    @pytest.mark.parametrize("block", [5, 6])
    def test_large_pictures_of_usual_parts_are_not_refused(self, block):
        data = codestream(9400, "main header", block=block, precinct=0x77, layers=20, components=4)
        integrity.check_before_decoding(data)

    def test_headers_that_end_early_are_left_to_pillow(self, photo):
        for data in encoded(photo, "JPEG2000"), encoded(photo, "JPEG2000", no_jp2=True):
            for end in range(data.index(b"\xff\x90") + 16):
                with contextlib.suppress(integrity.DamagedError):
                    integrity.check_before_decoding(data[:end])


def box(kind, contents, large=False):
    """A box of a JPEG 2000, whose size stands in four bytes, or in eight behind its kind."""
    if large:
        return struct.pack(">I4sQ", 1, kind, 16 + len(contents)) + contents
    return struct.pack(">I4s", 8 + len(contents), kind) + contents


def codestream(size, where, *, layers=1, block=6, precinct=0xFF, components=3):
    """A JPEG 2000 of one tile without wavelets nor data, which says in one of its headers what it is cut into."""

    def segment(marker, contents):
        return struct.pack(">HH", marker, 2 + len(contents)) + contents

    def styles(layers, block, precinct):
        style = bytes([0, block - 2, block - 2, 0, 1, precinct])
        return segment(0xFF52, struct.pack(">BBHB", 1, 0, layers, 0) + style), segment(0xFF53, b"\0\1" + style)

    usual, _ = styles(layers, 6, 0xFF)
    for_all, for_one = styles(layers, block, precinct)
    main = for_all if where == "main header" else usual + (for_one if where == "component" else b"")
    of_tile = {"tile": for_all, "component of a tile": for_one}.get(where, b"")
    sizes = struct.pack(">H8IH", 0, size, size, 0, 0, size, size, 0, 0, components) + components * b"\7\1\1"
    part = of_tile + b"\xff\x93" + bytes(100)
    part = segment(0xFF90, struct.pack(">HIBB", 0, 12 + len(part), 0, 1)) + part
    return b"\xff\x4f" + segment(0xFF51, sizes) + main + segment(0xFF5C, b"\x40\x40") + part + b"\xff\xd9"


def test_numbers_as_text_are_limited_by_their_bytes(monkeypatch):
    """A text PPM of 150 MB took 24 s."""
    text = b"P3 10 10 255 " + b"1 2 3 " * 100
    assert read_picture(text).size == (10, 10)
    monkeypatch.setattr(integrity, "MAX_TEXT_BYTES", 500)
    refuse(text, "got 613 bytes of numbers as text, expected at most 500")
