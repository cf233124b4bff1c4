"""An AVIF is as large as its AV1 streams, whatever stands beside them."""

import struct

import numpy as np
import pytest
from made_pictures import encoded
from PIL import Image

from nsfw_model import avif
from nsfw_model.integrity import DamagedError
from nsfw_model.picture import PictureError, read_picture
from nsfw_scale.frames import read_frames

pytest.importorskip("PIL._avif")
SIZE = WIDTH, HEIGHT = 150, 100


@pytest.fixture(scope="module")
def photo():
    """A photograph, small."""
    return Image.open("img/coffee.jpg").convert("RGB").resize(SIZE)


def refuse(data, message):
    with pytest.raises(PictureError, match=message):
        read_picture(data)


def calling_itself(data, width, height):
    """The same AVIF of another size, says its header."""
    changed, at = bytearray(data), 0
    while (at := data.find(b"ispe", at) + 4) > 3:
        struct.pack_into(">II", changed, at + 4, width, height)
    return bytes(changed)


def test_pixels_are_limited_that_are_coded_and_not_told(photo, monkeypatch):
    data = calling_itself(encoded(photo, "AVIF"), 16, 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT)
    assert read_picture(data).size == (16, 16)  # scaled by the decoder
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT - 1)
    refuse(data, "got 15000 pixels that are coded, 15000 in one item, expected at most 14999")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_picture(data).size == (16, 16)


def test_alpha_has_as_many(photo, monkeypatch):
    alpha = photo.convert("RGBA")
    alpha.putalpha(photo.convert("L"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT)
    assert read_picture(encoded(alpha, "AVIF")).size == SIZE


def test_frames_are_as_large_as_their_track_says(photo):
    data = encoded(photo, "AVIF", save_all=True, append_images=[photo.rotate(180)])
    assert len(list(read_frames(data))) == 2
    changed = bytearray(data)
    at = data.index(b"tkhd") + 4
    struct.pack_into(">II", changed, at + (88 if data[at] else 76), 61 << 16, 61 << 16)
    refuse(bytes(changed), "got a frame of 15000 pixels, expected at most 14884")


def test_parts_and_samples_are_limited(photo, monkeypatch):
    data = encoded(photo, "AVIF", save_all=True, append_images=[photo.rotate(180)] * 2)
    avif.check_coded_sizes(data)
    monkeypatch.setattr(avif, "MAX_SAMPLES", 2)
    with pytest.raises(DamagedError, match="got more than 2 samples"):
        avif.check_coded_sizes(data)
    monkeypatch.setattr(avif, "MAX_UNITS", 1)
    with pytest.raises(DamagedError, match="got more than 1 parts of AV1 streams"):
        avif.check_coded_sizes(data)


def sequence(width, height, timing=False, model=False, points=1, displayed=False, reduced=False):
    """A sequence header after AV1 5.5.1, up to the size."""
    bits = "000" + "1" + str(int(reduced))
    if reduced:
        bits += f"{5:05b}"
    else:
        bits += str(int(timing))
        if timing:
            bits += f"{1:032b}{30:032b}" + "1" + "00101"  # equal intervals of four ticks, as uvlc
            bits += str(int(model)) + (f"{9:05b}{1:032b}{3:05b}{4:05b}" if model else "")
        bits += str(int(displayed)) + f"{points - 1:05b}"
        for point in range(points):
            level = 5 + 4 * (point % 2)
            bits += f"{point:012b}{level:05b}" + ("1" if level > 7 else "")
            bits += ("1" + f"{700:010b}{900:010b}" + "0" if model and timing else "") + (
                "1" + "1010" if displayed else ""
            )
    across, down = (width - 1).bit_length() or 1, (height - 1).bit_length() or 1
    bits += f"{across - 1:04b}{down - 1:04b}{width - 1:0{across}b}{height - 1:0{down}b}" + "1" * 20
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


@pytest.mark.parametrize("size", [(1, 1), (150, 100), (12000, 9000), (65536, 65536)])
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"reduced": True},
        {"timing": True},
        {"timing": True, "model": True, "points": 3},
        {"points": 32, "displayed": True},
        {"timing": True, "model": True, "points": 32, "displayed": True},
    ],
)
def test_sizes_are_read_behind_all_that_may_be_in_front_of_them(size, parts):
    header = sequence(*size, **parts)
    unit = b"\x0a" + bytes([len(header) & 127 | 128, len(header) >> 7]) + header
    stream = b"\x12\0" + unit + b"\x32\3abc"  # a delimiter, the header, a frame
    assert avif._Streams(stream).pixels([(0, len(stream))]) == size[0] * size[1]
    assert avif._Streams(b"..." + stream).pixels([(3, 4), (7, len(stream) - 4)]) == size[0] * size[1]
    without_length = b"\x0c\0" + header  # to the end, with an extension
    assert avif._Streams(without_length).pixels([(0, len(without_length))]) == size[0] * size[1]
    largest = stream + b"\x0a\x0a" + sequence(3, 3)[:10] + stream
    assert avif._Streams(largest).pixels([(0, len(largest))]) == max(size[0] * size[1], 9)


def box(kind, contents):
    return struct.pack(">I4s", 8 + len(contents), kind) + contents


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("in_buffer", [False, True])
def test_tiles_are_added_up_wherever_they_are(wide, in_buffer, monkeypatch):
    """A hundred items share one stream, which is in the file or in a box of its own (8.11.3, 8.11.11)."""
    unit = b"\x0a\x0c" + sequence(1000, 1000).ljust(12, b"\0")
    number, version = (">I" if wide else ">H"), bytes([3 if wide else 2])
    kinds = [
        box(b"infe", version + bytes(3) + struct.pack(number, item) + b"\0\0" + (b"av01" if item else b"mime") + b"\0")
        for item in range(101)
    ]
    listed = bytes([1 if wide else 0]) + bytes(3) + struct.pack(">I" if wide else ">H", len(kinds)) + b"".join(kinds)
    places = b"".join(
        struct.pack(number, item) + struct.pack(">HHHII", int(in_buffer), 0, 1, 0 if in_buffer else 8, len(unit))
        for item in range(101)
    )
    located = bytes([2 if wide else 1]) + bytes(3) + b"\x44\0" + struct.pack(number, 101) + places
    meta = bytes(4) + box(b"iloc", located) + box(b"iinf", listed) + (box(b"idat", unit) if in_buffer else b"")
    data = box(b"mdat", unit) + box(b"meta", meta)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000_000)
    avif.check_coded_sizes(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 49_900_000)
    with pytest.raises(
        DamagedError, match="got 100000000 pixels that are coded, 1000000 in one item, expected at most 49900000"
    ):
        avif.check_coded_sizes(data)


def test_pieces_of_a_stream_are_put_together_once():
    data = bytes(1000)
    streams = avif._Streams(data)
    streams.pixels([(0, 500), (500, 500)])
    with pytest.raises(DamagedError, match="got more than 2000 bytes of streams in pieces"):
        streams.pixels([(0, 500), (0, 501)])


def test_samples_of_a_chunk_follow_each_other():
    """Two chunks of two samples, and one of one (ISO/IEC 14496-12, 8.7.4)."""
    sizes = box(b"stsz", bytes(4) + struct.pack(">7I", 0, 5, 1, 2, 3, 4, 5))
    runs = box(b"stsc", bytes(4) + struct.pack(">7I", 2, 1, 2, 1, 3, 1, 1))
    chunks = box(b"co64", bytes(4) + struct.pack(">I3Q", 3, 100, 200, 300))
    data = box(b"mdia", box(b"minf", box(b"stbl", sizes + runs + chunks)))
    expected = [(100, 1), (101, 2), (200, 3), (203, 4), (300, 5)]
    assert list(avif._samples(data, 0, len(data))) == expected
    alike = data.replace(sizes, box(b"stsz", bytes(4) + struct.pack(">7I", 9, 5, 1, 2, 3, 4, 5)))
    assert list(avif._samples(alike, 0, len(data))) == [(100, 9), (109, 9), (200, 9), (209, 9), (300, 9)]


def test_what_is_no_list_of_items_is_refused():
    data = box(b"meta", bytes(4) + box(b"iloc", b"\1\0\0\0\x44\0\0\5\0\1"))
    with pytest.raises(DamagedError, match="truncated: the list of items ends early"):
        avif.check_coded_sizes(data)
    rng = np.random.default_rng(0)
    for _ in range(100):  # ends, whatever it finds
        avif._Streams(noise := rng.integers(0, 256, 1000, np.uint8).tobytes()).pixels([(0, len(noise))])


class TestBoxes:
    """ISO/IEC 14496-12, 4.2."""

    def test_have_their_size_in_four_bytes_or_in_eight_or_go_to_the_end(self):
        data = b"..." + box(b"free", b"abc") + struct.pack(">I4sQ", 1, b"uuid", 18) + b"de" + box(b"free", b"")
        data += struct.pack(">I4s", 0, b"mdat") + b"fghi"
        assert list(avif._boxes(data, 3, len(data))) == [
            (b"free", 11, 14), (b"uuid", 30, 32), (b"free", 40, 40), (b"mdat", 48, 52),
        ]  # fmt: skip
        assert list(avif._boxes(data, 3, 40)) == [(b"free", 11, 14), (b"uuid", 30, 32), (b"free", 40, 40)]
        assert list(avif._boxes(data, 3, 39)) == [(b"free", 11, 14), (b"uuid", 30, 32)]
        assert list(avif._boxes(data, 3, 31)) == [(b"free", 11, 14), (b"uuid", 30, 31)]

    @pytest.mark.parametrize("head", [struct.pack(">I4s", 7, b"free"), struct.pack(">I4sQ", 1, b"free", 15)])
    def test_smaller_than_their_heads_are_none(self, head):
        data = head + box(b"free", b"")
        assert list(avif._boxes(data, 0, len(data))) == []

    def test_without_room_for_eight_bytes_of_a_size_have_none(self):
        assert list(avif._boxes(struct.pack(">I4s7x", 1, b"free"), 0, 15)) == []
        assert list(avif._boxes(struct.pack(">I4sQ", 1, b"free", 16), 0, 16)) == [(b"free", 16, 16)]

    def test_of_a_track_are_found_at_any_depth(self):
        inner = box(b"stbl", box(b"stsz", b"abc"))
        data = box(b"mdia", box(b"hdlr", b"") + box(b"minf", inner)) + box(b"edts", box(b"elst", b""))
        found = [kind for kind, *_ in avif._within(data, 0, len(data))]
        assert found == [b"mdia", b"hdlr", b"minf", b"stbl", b"stsz", b"edts"]


class TestNumbers:
    @pytest.mark.parametrize(
        "data, value, end",
        [
            (b"\x05", 5, 1),
            (b"\x7f\x05", 127, 1),
            (b"\x80\x01", 128, 2),
            (b"\xe5\x8e\x26", 624485, 3),
            (b"\x80" * 7 + b"\x01", 1 << 49, 8),
            (b"\xff" * 9, (1 << 56) - 1, 8),
            (b"\x85", 5, 1),
            (b"", 0, 0),
        ],
    )
    def test_of_seven_bits_a_byte_have_eight_bytes_at_most(self, data, value, end):
        """AV1 4.10.5, leb128()."""
        assert avif._leb128(data, 0) == (value, end)

    def test_of_any_width_are_read_from_the_highest_bit_on(self):
        bits = avif._Bits(b"\xa5\x0f")
        assert [bits(width) for width in (1, 3, 4, 0, 8, 5)] == [1, 0b010, 0b0101, 0, 0x0F, 0]
        half = avif._Bits(b"\xff")
        assert [half(4), half(8), half(3)] == [15, 0xF0, 0]

    @pytest.mark.parametrize("bits, length", [("1", 1), ("010", 3), ("00111", 5), ("0001000", 7), ("0" * 32, 64)])
    def test_of_a_width_that_they_tell_are_passed_over(self, bits, length):
        """AV1 4.10.3, uvlc()."""
        whole = (bits.ljust(length, "0") + "1011").ljust(80, "0")
        reader = avif._Bits(int(whole, 2).to_bytes(10, "big"))
        reader.skip_uvlc()
        assert reader(4) == 0b1011

    def test_of_a_table_are_as_many_as_it_says_and_has(self):
        table = struct.pack(">I6I", 2, *range(6))
        assert avif._numbers(table, 0, len(table), "III") == [0, 1, 2, 3, 4, 5]
        assert avif._numbers(table, 0, len(table), "I") == [0, 1]
        assert avif._numbers(b"." + table, 1, len(table), "III") == [0, 1, 2]
        assert avif._numbers(table, 0, 4, "I") == []


class TestStreams:
    UNIT = b"\x0a\x0a" + sequence(30, 20, reduced=True).ljust(10, b"\0")

    def test_have_a_limited_number_of_parts(self, monkeypatch):
        monkeypatch.setattr(avif, "MAX_UNITS", 5)
        streams = avif._Streams(b"\x12\0" * 5)
        assert streams.pixels([(0, 4)]) == streams.pixels([(4, 6)]) == 0
        with pytest.raises(DamagedError, match="^got more than 5 parts of AV1 streams$"):
            streams.pixels([(0, 2)])

    def test_end_where_they_are_said_to_end(self):
        assert avif._Streams(self.UNIT).pixels([(0, 12)]) == 600
        assert avif._Streams(b"\x12\0" + self.UNIT).pixels([(0, 2)]) == 0
        assert avif._Streams(b"\x12\0" + self.UNIT).pixels([(2, 1000)]) == 600
        assert avif._Streams(self.UNIT).pixels([]) == 0

    def test_may_be_in_pieces(self):
        streams = avif._Streams(self.UNIT[6:] + b"..." + self.UNIT[:6])
        assert streams.pixels([(9, 6), (0, 6)]) == 600
        streams.pixels([(0, 9), (0, 9)])
        with pytest.raises(DamagedError, match="^got more than 30 bytes of streams in pieces$"):
            streams.pixels([(0, 1), (0, 0)])

    @pytest.mark.parametrize("kind, pixels", [(0, 0), (1, 600), (2, 0), (3, 0), (9, 0), (15, 0)])
    def test_tell_their_size_in_a_sequence_header(self, kind, pixels):
        """AV1 6.2.2: OBU_SEQUENCE_HEADER is 1; what marks a byte as extension or with a size stands beside it."""
        unit = bytes([kind << 3 | 2]) + self.UNIT[1:]
        assert avif._Streams(unit).pixels([(0, len(unit))]) == pixels
        to_the_end = bytes([kind << 3 | 1]) + self.UNIT[2:]  # whose lowest bit is reserved
        assert avif._Streams(to_the_end).pixels([(0, len(to_the_end))]) == pixels
        extended = bytes([kind << 3 | 6, 0xFF]) + self.UNIT[1:]
        assert avif._Streams(extended).pixels([(0, len(extended))]) == pixels


def located(version, widths, items):
    """iloc: items are (number, method, base, [(index, offset, size)]) (ISO/IEC 14496-12, 8.11.3)."""
    of_offset, of_size, of_base, of_index = widths
    wide = 4 if version == 2 else 2
    data = bytes([version, 0, 0, 0, of_offset << 4 | of_size, of_base << 4 | of_index]) + len(items).to_bytes(
        wide, "big"
    )
    for number, method, base, extents in items:
        data += number.to_bytes(wide, "big") + (method.to_bytes(2, "big") if version else b"") + b"\0\0"
        data += base.to_bytes(of_base, "big") + len(extents).to_bytes(2, "big")
        for index, offset, size in extents:
            data += index.to_bytes(of_index if version else 0, "big")
            data += offset.to_bytes(of_offset, "big") + size.to_bytes(of_size, "big")
    return data


class TestItems:
    @pytest.mark.parametrize("version", [0, 1, 2])
    @pytest.mark.parametrize("widths", [(4, 4, 0, 0), (8, 4, 4, 0), (4, 8, 8, 4), (0, 4, 4, 8)])
    def test_are_listed_with_their_places(self, version, widths):
        base, offset, index = 1000 if widths[2] else 0, 50 if widths[0] else 0, 1 if widths[3] and version else 0
        listed = [(7, 1, base, [(index, offset, 9), (index, offset, 10)]), (300, 0, base, []), (8, 0, 0, [(0, 0, 11)])]
        expected = [(base + offset, 9), (base + offset, 10)]
        data = b"..." + located(version, widths, listed)
        items = list(avif._items(data, 3))
        assert items == [(7, version > 0, expected), (300, False, []), (8, False, [(0, 11)])]
        with pytest.raises(DamagedError, match="^truncated: the list of items ends early$"):
            list(avif._items(data[:-1], 3))

    def test_in_a_file_behind_the_header_are_counted_by_their_kind(self):
        """Only the lowest four bits of the method tell (8.11.3)."""
        (item,) = avif._items(located(1, (4, 4, 0, 0), [(1, 0xFFF1, 0, [])]), 0)
        assert item.in_buffer
        (item,) = avif._items(located(1, (4, 4, 0, 0), [(1, 0xFFF2, 0, [])]), 0)
        assert not item.in_buffer

    def data(self, sizes, of_list=0):
        """Each item is of a size; the box of items is of a version."""
        units = [b"\x0a\x0c" + sequence(*size).ljust(12, b"\0") for size in sizes]
        kinds = [box(b"infe", b"\2\0\0\0" + struct.pack(">HH", number, 0) + b"av01\0") for number in range(len(sizes))]
        count = struct.pack(">I" if of_list else ">H", len(kinds))
        listed = box(b"iinf", bytes([of_list, 0, 0, 0]) + count + b"".join(kinds))
        places = [(number, 0, 0, [(0, 8 + 14 * number, 14)]) for number in range(len(sizes))]
        meta = box(b"meta", bytes(4) + listed + box(b"iloc", located(0, (4, 4, 0, 0), places)))
        return box(b"mdat", b"".join(units)) + meta

    @pytest.mark.parametrize("of_list", [0, 1])
    def test_may_have_the_limit_each_and_twice_as_much_together(self, of_list, monkeypatch):
        data = self.data([(30, 20), (20, 10), (25, 16)], of_list)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
        avif.check_coded_sizes(data)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
        message = "got 600 pixels that are coded, 600 in one item, expected at most 599 in one, and 1198 in all"
        with pytest.raises(DamagedError, match=f"^{message}$"):
            avif.check_coded_sizes(data)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
        message = "got 1201 pixels that are coded, 1 in one item, expected at most 600 in one, and 1200 in all"
        with pytest.raises(DamagedError, match=f"^{message}$"):
            avif.check_coded_sizes(self.data([(30, 20), (20, 10), (25, 16), (1, 1)], of_list))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        avif.check_coded_sizes(self.data([(30, 20)] * 9, of_list))


class TestTracks:
    def data(self, *shown, version=0, frame=(60, 20)):
        """A track of a frame, with headers that tell sizes (ISO/IEC 14496-12, 8.3.2)."""
        unit = b"\x0a\x0c" + sequence(*frame).ljust(12, b"\0")
        start = 100 if version else 88
        headers = [bytes([version]).ljust(start - 12, b"\0") + struct.pack(">II", w << 16, h << 16) for w, h in shown]
        stbl = box(b"stsz", struct.pack(">4xII", 14, 1)) + box(b"stco", struct.pack(">4xII", 1, 8))
        stbl += box(b"stsc", struct.pack(">4xIIII", 1, 1, 1, 1))
        track = box(
            b"trak",
            b"".join(box(b"tkhd", header) for header in headers) + box(b"mdia", box(b"minf", box(b"stbl", stbl))),
        )
        return box(b"mdat", unit) + box(b"moov", track)

    @pytest.mark.parametrize("version", [0, 1])
    def test_may_code_four_times_the_pixels_that_they_show(self, version):
        avif.check_coded_sizes(self.data((30, 10), version=version))
        avif.check_coded_sizes(self.data((15, 20), (100, 100), version=version))
        for shown in ((23, 13),), ((100, 100), (13, 23)):
            with pytest.raises(DamagedError, match="^got a frame of 1200 pixels, expected at most 1196$"):
                avif.check_coded_sizes(self.data(*shown, version=version))

    def test_that_do_not_say_what_they_show_are_left_to_the_decoder(self):
        avif.check_coded_sizes(self.data())

    def test_headers_that_end_early_say_nothing(self):
        data = box(b"tkhd", bytes(76) + struct.pack(">II", 5 << 16, 6 << 16))
        assert list(avif._shown(data, 0, len(data))) == [(5, 6)]
        assert list(avif._shown(data, 0, len(data) - 1)) == []

    def samples(self, sizes, runs, chunks, size_of_all=0):
        data = box(b"stsz", struct.pack(f">4xII{len(sizes)}I", size_of_all, len(sizes), *sizes))
        data += box(b"stco", struct.pack(f">4xI{len(chunks)}I", len(chunks), *chunks))
        data += box(
            b"stsc", struct.pack(f">4xI{3 * len(runs)}I", len(runs), *(number for run in runs for number in run))
        )
        return list(avif._samples(data, 0, len(data)))

    def test_have_no_more_samples_than_sizes(self):
        assert self.samples([5, 6], [(1, 3, 1)], [100, 200]) == [(100, 5), (105, 6)]
        assert self.samples([5, 6, 7], [(1, 2, 1)], [100, 200]) == [(100, 5), (105, 6), (200, 7)]
        assert self.samples([], [(1, 2, 1)], [100], 4) == [(100, 4), (104, 4)]

    def test_have_none_in_front_of_their_first_run(self):
        assert self.samples([5, 6], [(2, 1, 1)], [100, 200]) == [(200, 5)]
        assert self.samples([5, 6], [], [100, 200]) == []

    def test_have_runs_in_any_order(self):
        assert self.samples([1] * 9, [(3, 1, 1), (1, 2, 1)], [10, 20, 30]) == [
            (10, 1),
            (11, 1),
            (20, 1),
            (21, 1),
            (30, 1),
        ]

    @pytest.mark.parametrize("which", range(3))
    def test_have_tables_of_limited_length(self, which, monkeypatch):
        monkeypatch.setattr(avif, "MAX_SAMPLES", 3)
        tables = [[1], [(1, 1, 1)], [100]]
        tables[which] = tables[which] * 3
        self.samples(*tables)
        tables[which] = tables[which][:1] * 4
        with pytest.raises(DamagedError, match="^got more than 3 samples$"):
            self.samples(*tables)

    def test_have_a_limited_number_of_samples_of_one_size(self, monkeypatch):
        monkeypatch.setattr(avif, "MAX_SAMPLES", 3)
        assert len(self.samples([], [(1, 3, 1)], [100], 4)) == 3
        with pytest.raises(DamagedError, match="^got more than 3 samples$"):
            self.samples([], [(1, 2, 1)], [100, 200], 4)

    def test_have_boxes_of_at_least_eight_bytes(self):
        data = box(b"stsc", bytes(7)) + box(b"stsz", struct.pack(">4xI", 5))
        assert list(avif._samples(data, 0, len(data))) == []
