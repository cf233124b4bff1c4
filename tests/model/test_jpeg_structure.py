"""What is read of a JPEG's markers, segment by segment, and what follows of it: pictures written by hand."""

import io
import struct

import numpy as np
import pytest
from made_pictures import encoded
from PIL import Image

from nsfw_model import integrity
from nsfw_model.integrity import DamagedError, _Coding, _Component, _Frame, _Scan

START, END = b"\xff\xd8", b"\xff\xd9"
BASELINE, PROGRESSIVE = _Coding(), _Coding(progressive=True)


def segment(marker, contents=b""):
    """A marker with its length, of which its own two bytes are a part (T.81 B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(contents)) + contents


def frame_header(size, components, marker=0xC0):
    """A frame header (T.81 B.2.2); components are (identifier, sampling)."""
    contents = struct.pack(">BHHB", 8, size[1], size[0], len(components))
    return segment(marker, contents + b"".join(bytes([*component, 0]) for component in components))


def scan_header(identifiers, first=0, last=63, high=0, low=0):
    """A scan header (T.81 B.2.3)."""
    named = b"".join(bytes([identifier, 0]) for identifier in identifiers)
    return segment(0xDA, bytes([len(identifiers)]) + named + bytes([first, last, high << 4 | low]))


def restart_interval(units):
    return segment(0xDD, struct.pack(">H", units))


def grey_frame(size, coding=BASELINE, sampling=(1, 1)):
    return _Frame(coding, size[1], size[0], [_Component(1, *sampling)])


def noise(size, mode="L"):
    """A picture of which no two pixels beside each other are alike."""
    values = np.random.default_rng(0).permutation(size[0] * size[1]) % 251
    return Image.merge(mode, [Image.fromarray(values.reshape(size[::-1]).astype(np.uint8))] * len(mode))


def scan_of(components=(0,), first=0, last=63, high=0, low=0, start=0, end=0, interval=0):
    return _Scan(list(components), first, last, high, low, start, end, interval)


class TestStructure:
    def test_all_of_a_frame_and_its_scans_is_read(self):
        before = START + segment(0xE0, b"JFIF\0" + bytes(9)) + segment(0xFE, b"\xff\xda\xff\xc0")
        before += frame_header((300, 200), [(7, 0x21), (8, 0x14), (9, 0x00)], 0xC2)
        first = scan_header([8, 7], 0, 1, 2, 3)
        second = scan_header([9], 5, 62, 15, 14)
        data = before + first + b"ab\xff\0c" + restart_interval(260) + second + b"de" + END + b"behind"
        start = len(before) + len(first)
        again = start + 5 + 6 + len(second)
        components = [_Component(7, 2, 1), _Component(8, 1, 4), _Component(9, 1, 1)]
        assert integrity._jpeg_structure(data) == (
            _Frame(PROGRESSIVE, 200, 300, components),
            [_Scan([1, 0], 0, 1, 2, 3, start, start + 5, 0), _Scan([2], 5, 62, 15, 14, again, again + 2, 260)],
        )

    @pytest.mark.parametrize(
        "marker, coding",
        [
            (0xC0, _Coding()),
            (0xC1, _Coding()),
            (0xC2, _Coding(progressive=True)),
            (0xC3, _Coding(lossless=True)),
            (0xC9, _Coding(arithmetic=True)),
            (0xCA, _Coding(progressive=True, arithmetic=True)),
        ],
    )
    def test_a_frame_is_coded_as_its_marker_says(self, marker, coding):
        """T.81, table B.1."""
        frame, scans = integrity._jpeg_structure(START + frame_header((8, 8), [(1, 0x11)], marker) + END)
        assert frame == _Frame(coding, 8, 8, [_Component(1, 1, 1)]) and scans == []

    @pytest.mark.parametrize("marker", [0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF])
    def test_what_libjpeg_does_not_decode_is_no_frame(self, marker):
        assert integrity._jpeg_structure(START + frame_header((8, 8), [(1, 0x11)], marker) + END) == (None, [])

    def test_the_first_frame_counts_and_nothing_in_front_of_it_nor_behind_the_end(self):
        scan = scan_header([1]) + b"ab"
        large, small = frame_header((80, 90), [(1, 0x11)]), frame_header((8, 9), [(2, 0x11)])
        frame, scans = integrity._jpeg_structure(START + scan + large + small + scan + END + scan)
        assert (frame.width, frame.height, frame.components[0].identifier, len(scans)) == (80, 90, 1, 1)

    @pytest.mark.parametrize("marker", [0x01, *range(0xD0, 0xD8), 0xD8])
    def test_markers_without_a_length_are_passed_over(self, marker):
        """TEM, RST and SOI (T.81 B.1.1.3), and fill bytes (B.1.1.2)."""
        header = frame_header((8, 8), [(1, 0x11)])
        for between in bytes([0xFF, marker]), b"\xff\0", b"\xff\xff\xff", b"stray":
            frame, scans = integrity._jpeg_structure(START + between + header + scan_header([1]) + b"ab" + END)
            assert frame == grey_frame((8, 8)) and len(scans) == 1

    @pytest.mark.parametrize(
        "damaged",
        [
            segment(0xC0, b"\x08\0\x08\0"),
            segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11"),
            frame_header((8, 8), [(1, 0x11)]) + segment(0xDD, b"\5"),
            frame_header((8, 8), [(1, 0x11)]) + segment(0xDD, b"\0\5\0"),
            frame_header((8, 8), [(1, 0x11)]) + scan_header([2]),
            frame_header((8, 8), [(1, 0x11)]) + scan_header([1, 1]),
            frame_header((8, 8), [(1, 0x11)]) + scan_header([]),
            frame_header((8, 8), [(1, 0x11)]) + segment(0xDA, b"\1\1\0\0\x3f"),
            frame_header((8, 8), [(1, 0x11)]) + segment(0xDA, b""),
        ],
    )
    def test_what_contradicts_itself_is_left_to_libjpeg(self, damaged):
        whole = frame_header((8, 8), [(1, 0x11)]) + scan_header([1]) + b"ab"
        assert integrity._jpeg_structure(START + damaged + whole + END) == (None, [])

    def test_a_marker_that_ends_the_file_is_none(self):
        header = START + frame_header((8, 8), [(1, 0x11)])
        for rest in b"\xff", b"\xff\xda", b"\xff\xda\0":
            assert integrity._jpeg_structure(header + rest) == (grey_frame((8, 8)), [])
        assert integrity._jpeg_structure(header + b"\xff\xda\0\0") == (None, [])

    @pytest.mark.parametrize("identifiers, indices", [((5, 5, 5), [0, 1, 2]), ((5, 6, 5), [0, 1, 2])])
    def test_components_that_share_an_identifier_are_meant_in_order(self, identifiers, indices):
        data = START + frame_header((8, 8), [(identifier, 0x11) for identifier in identifiers])
        _, scans = integrity._jpeg_structure(data + scan_header(identifiers) + b"ab" + END)
        assert [scan.components for scan in scans] == [indices]

    def test_thousands_of_scans_are_not_looked_for(self):
        header = START + frame_header((8, 8), [(1, 0x11)])
        scan = scan_header([1]) + b"a"
        for there, read in (1000, 1000), (1001, 1001), (1002, 1001):
            assert len(integrity._jpeg_structure(header + scan * there + END)[1]) == read

    @pytest.mark.parametrize("piece", [1, 2, 3, 5])
    @pytest.mark.parametrize("has_restarts", [False, True])
    @pytest.mark.parametrize(
        "data, end, with_restarts",
        [
            (b"abc\xff\xd9", 3, 3),
            (b"abc\xff\xff\xff\xd9", 3, 3),
            (b"a\xff\0c\xff\xc4z", 4, 4),
            (b"ab\xff\xd7c\xff\xd9", 2, 5),
            (b"ab\xff\xd0\xff\xd8", 2, 4),
            (b"ab\xff\xcf", 2, 2),
            (b"ab\xff\0\xff", 5, 5),
            (b"ab\xff\xff", 4, 4),
            (b"", 0, 0),
        ],
    )
    def test_a_scan_ends_at_the_same_place_wherever_it_is_cut_into_pieces(
        self, data, end, with_restarts, has_restarts, piece, monkeypatch
    ):
        monkeypatch.setattr(integrity, "_PIECE", piece)
        assert integrity._end_of_scan(data, 0, has_restarts) == (with_restarts if has_restarts else end)
        assert integrity._end_of_scan(b"\xff\xd9" + data, 2, has_restarts) == 2 + (
            with_restarts if has_restarts else end
        )

    def test_the_fill_bytes_of_what_precedes_a_scan_are_none_of_it(self):
        assert integrity._end_of_scan(b"\xff\xff\xff\xd9", 2, False) == 2


class TestUnits:
    """Minimum coded units, counted by hand after T.81 A.2."""

    COMPONENTS = [_Component(1, 2, 2), _Component(2, 1, 1), _Component(3, 1, 2)]

    @pytest.mark.parametrize(
        "size, all_of_them, alone",
        [
            ((16, 16), 1, [4, 1, 2]),
            ((17, 16), 2, [3 * 2, 2 * 1, 2 * 2]),
            ((16, 17), 2, [2 * 3, 1 * 2, 1 * 3]),
            ((8, 8), 1, [1, 1, 1]),
            ((9, 9), 1, [4, 1, 2]),
            ((33, 15), 3, [5 * 2, 3 * 1, 3 * 2]),
        ],
    )
    def test_of_blocks(self, size, all_of_them, alone):
        frame = _Frame(BASELINE, size[1], size[0], self.COMPONENTS)
        assert frame.units([0, 1, 2]) == frame.units([1, 2]) == all_of_them
        assert [frame.units([index]) for index in range(3)] == alone

    def test_of_samples(self):
        """Lossless ones have no blocks (H.1.1)."""
        frame = _Frame(_Coding(lossless=True), 5, 4, self.COMPONENTS)
        assert frame.units([0, 1, 2]) == 2 * 3
        assert [frame.units([index]) for index in range(3)] == [4 * 5, 2 * 3, 2 * 5]

    def test_have_blocks_by_the_sampling(self):
        frame = _Frame(BASELINE, 16, 16, self.COMPONENTS)
        assert [frame.blocks_of_unit(indices) for indices in ([0, 1, 2], [0, 1], [1, 2], [0], [2])] == [7, 5, 3, 1, 1]

    def test_have_a_size_in_pixels(self):
        frame = _Frame(BASELINE, 16, 16, [_Component(1, 2, 4), _Component(2, 3, 1)])
        assert frame.unit_size([0, 1]) == frame.unit_size([0]) == (24, 32)
        assert grey_frame((16, 16), sampling=(2, 4)).unit_size([0]) == (8, 8)


class TestCoefficients:
    def refuse(self, frame, scans, what):
        with pytest.raises(
            DamagedError, match=f"^truncated: got {len(scans)} scans, none of which has all bits of {what}$"
        ):
            integrity._check_coefficients(frame, scans)

    def test_of_a_progressive_one_come_in_bands_and_bit_by_bit(self):
        frame = _Frame(PROGRESSIVE, 8, 8, [_Component(1, 1, 1), _Component(4, 1, 1)])
        both = [scan_of((0, 1), 0, 0, low=1), scan_of((0, 1), 0, 0, 1, 0)]
        first = [scan_of((0,), 1, 5), scan_of((0,), 6, 63)]
        second = [scan_of((1,), 1, 63, low=2), scan_of((1,), 1, 63, 2, 1), scan_of((1,), 1, 63, 1, 0)]
        integrity._check_coefficients(frame, both + first + second)
        self.refuse(frame, both[:1] + first + second, "coefficient 0 of component 1")
        self.refuse(frame, both + first[1:] + second, "coefficient 1 of component 1")
        self.refuse(frame, both + first[:1] + second, "coefficient 6 of component 1")
        self.refuse(frame, both + first + second[:2], "coefficient 1 of component 4")
        self.refuse(frame, both + first, "coefficient 1 of component 4")
        self.refuse(frame, [*both, first[0], scan_of((0,), 6, 62), *second], "coefficient 63 of component 1")

    def test_behind_the_last_are_none(self):
        integrity._check_coefficients(grey_frame((8, 8), PROGRESSIVE), [scan_of(), scan_of(first=60, last=255)])

    def test_of_others_come_all_at_once_whatever_the_scan_says(self):
        frame = _Frame(BASELINE, 8, 8, [_Component(1, 1, 1), _Component(4, 1, 1)])
        integrity._check_coefficients(frame, [scan_of((0,), 5, 6, 1, 1), scan_of((1,), low=3)])
        self.refuse(frame, [scan_of((0,)), scan_of((0,))], "component 4")
        self.refuse(frame, [scan_of((1,))], "component 1")


class TestLeastBits:
    @pytest.mark.parametrize(
        "coding, first, blocks, bits",
        [
            (BASELINE, 0, 10, 20),
            (_Coding(lossless=True), 0, 10, 10),
            (_Coding(arithmetic=True), 0, 10, 0),
            (_Coding(progressive=True, arithmetic=True), 1, 10, 0),
            (PROGRESSIVE, 0, 10, 10),
            (PROGRESSIVE, 1, 32766, 1),
            (PROGRESSIVE, 1, 32767, 2),
            (PROGRESSIVE, 1, 65533, 2),
            (PROGRESSIVE, 1, 65534, 3),
        ],
    )
    def test_of_so_many_blocks(self, coding, first, blocks, bits):
        """A code for each block, two of a baseline one; an EOB14 run ends 32767 bands at most (T.81 G.1.2.2)."""
        assert integrity._least_bits(coding, scan_of(first=first), blocks) == bits

    @pytest.mark.parametrize(
        "side, coding, least",
        [(8, BASELINE, 1), (40, BASELINE, 7), (40, PROGRESSIVE, 4), (40, _Coding(lossless=True), 200)],
    )
    def test_are_whole_bytes_of_a_scan(self, side, coding, least):
        """25 blocks of two bits each take seven bytes."""
        frame = grey_frame((side, side), coding)
        integrity._check_intervals(bytes(least), 3, frame, scan_of(end=least))
        blocks = frame.units([0])
        message = f"^truncated: got {least - 1} bytes for {blocks} blocks of scan 3, expected at least {least}$"
        with pytest.raises(DamagedError, match=message):
            integrity._check_intervals(bytes(least), 3, frame, scan_of(end=least - 1))

    def test_are_those_of_all_components(self):
        """Four blocks of 4:2:0 and two more: twelve bits."""
        frame = _Frame(BASELINE, 16, 16, [_Component(1, 2, 2), _Component(2, 1, 1), _Component(3, 1, 1)])
        integrity._check_intervals(bytes(2), 0, frame, scan_of((0, 1, 2), end=2))
        with pytest.raises(DamagedError, match="^truncated: got 1 bytes for 6 blocks of scan 0, expected at least 2$"):
            integrity._check_intervals(bytes(2), 0, frame, scan_of((0, 1, 2), end=1))


class TestIntervals:
    """A grey of 80x8 pixels has ten blocks; in threes, they are three intervals and one of a single block."""

    FRAME = grey_frame((80, 8))

    def check(self, data, interval=3, start=0):
        integrity._check_intervals(data, 2, self.FRAME, scan_of(start=start, end=len(data), interval=interval))

    def test_are_separated_by_markers_in_order(self):
        self.check(b"a\xff\xd0b\xff\xd1c\xff\xd2d")
        self.check(b"\xff\xd5abc\xff\xd0b\xff\xd1c\xff\xd2d", start=2)

    @pytest.mark.parametrize("interval", [10, 11, 65535])
    def test_that_hold_all_of_a_scan_need_none(self, interval):
        self.check(b"abc", interval)

    def test_are_numbered_by_eight(self):
        """T.81 B.2.1: RST0 to RST7, and again from RST0."""
        marked = [b"\xff" + bytes([0xD0 + index % 8]) for index in range(9)]
        self.check(b"a" + b"".join(mark + b"a" for mark in marked), 1)
        marked[8] = b"\xff\xd1"
        with pytest.raises(DamagedError, match="^scan 2: restart interval 8 of 10 is missing$"):
            self.check(b"a" + b"".join(mark + b"a" for mark in marked), 1)

    @pytest.mark.parametrize(
        "data, message",
        [
            (b"a\xff\xd1b\xff\xd1c\xff\xd2d", "scan 2: restart interval 0 of 4 is missing"),
            (b"a\xff\xd0b\xff\xd2c\xff\xd2d", "scan 2: restart interval 1 of 4 is missing"),
            (b"a\xff\xd0b\xff\xd1c\xff\xd3d", "scan 2: restart interval 2 of 4 is missing"),
            (b"a\xff\xd0\xff\xd1c\xff\xd2d", "scan 2: restart interval 1 of 4 is missing"),
            (b"\xff\xd0b\xff\xd1c\xff\xd2d", "scan 2: restart interval 0 of 4 is missing"),
            (b"a\xff\xd0b\xff\xd1c", "scan 2: got 2 restart markers, expected 3"),
            (b"abcd", "scan 2: got 0 restart markers, expected 3"),
            (b"a\xff\xd0b\xff\xd1c\xff\xd2", "truncated: got 0 bytes for 1 blocks of scan 2, expected at least 1"),
        ],
    )
    def test_that_are_missing_are_named(self, data, message):
        with pytest.raises(DamagedError, match=f"^{message}$"):
            self.check(data)

    def test_of_arithmetic_codes_may_be_empty(self):
        """Zeros at their end are left out (T.81 D.1.8)."""
        frame = grey_frame((80, 8), _Coding(arithmetic=True))
        data = b"\xff\xd0\xff\xd1\xff\xd2"
        integrity._check_intervals(data, 0, frame, scan_of(end=len(data), interval=3))

    def test_each_need_the_bits_of_their_own_blocks(self):
        """In eights, two bytes for the first and one for the other two blocks."""
        self.check(b"ab\xff\xd0c", 8)
        with pytest.raises(DamagedError, match="^truncated: got 1 bytes for 8 blocks of scan 2, expected at least 2$"):
            self.check(b"a\xff\xd0bc", 8)

    @pytest.mark.parametrize(
        "interval, expected", [(0, [13]), (3, [1, 4, 7, 10]), (4, [1, 4, 7]), (5, [1, 4]), (10, [1])]
    )
    def test_end_at_as_many_markers_as_there_should_be(self, interval, expected):
        data = b"a\xff\xd0b\xff\xd1c\xff\xd2d\xff\xd3e"
        scan = scan_of(end=len(data), interval=interval)
        assert integrity._ends_of_intervals(data, self.FRAME, scan) == expected

    def test_end_with_the_scan_where_markers_are_missing(self):
        scan = scan_of(start=2, end=8, interval=3)
        assert integrity._ends_of_intervals(b"\xff\xd0a\xff\xd0bcd\xff\xd1", self.FRAME, scan) == [3, 8]


class TestSuspicion:
    """A decoder leaves blocks of one colour where it has no more data."""

    @pytest.mark.parametrize("mode, other", [("L", 8), ("RGB", (7, 7, 8)), ("RGB", (8, 7, 7)), ("CMYK", (7, 7, 7, 8))])
    def test_a_block_is_flat_within_its_first_row_and_column(self, mode, other):
        picture = noise((24, 24), mode)
        picture.paste(7 if mode == "L" else (7,) * len(other), (9, 9, 16, 16))
        assert integrity._is_flat(picture, 8, 8)
        for corner in (9, 9), (15, 9), (9, 15), (15, 15):
            changed = picture.copy()
            changed.putpixel(corner, other)
            assert not integrity._is_flat(changed, 8, 8)

    def test_a_block_at_the_edge_is_what_there_is_of_it(self):
        picture = Image.new("L", (19, 18), 7)
        assert integrity._is_flat(picture, 16, 16)
        for corner in (17, 17), (18, 17):
            changed = picture.copy()
            changed.putpixel(corner, 8)
            assert not integrity._is_flat(changed, 16, 16)
        for thin in noise((17, 24)), noise((24, 17)):
            assert integrity._is_flat(thin, 16, 16)
            assert not integrity._is_flat(thin, 8, 8)

    def test_the_last_blocks_of_intervals_are_those_in_front_of_markers(self):
        """Of 40x24 pixels, five blocks in each of three rows: every fourth."""
        frame = grey_frame((40, 24))
        assert list(integrity._last_blocks(frame, scan_of(interval=4))) == [(24, 0), (16, 8), (8, 16)]
        assert list(integrity._last_blocks(frame, scan_of(interval=15))) == [(32, 16)]
        assert list(integrity._last_blocks(frame, scan_of(interval=16))) == []
        assert list(integrity._last_blocks(frame, scan_of())) == []
        colours = _Frame(BASELINE, 24, 40, [_Component(1, 2, 1), _Component(2, 1, 1)])
        blocks = [(16, 0), (0, 8), (32, 8), (16, 16)]  # three units of 16x8 pixels in each row
        assert list(integrity._last_blocks(colours, scan_of((0, 1), interval=2))) == blocks

    def test_only_of_one_plain_scan_the_pixels_tell(self):
        picture, frame = noise((24, 24)), grey_frame((24, 24))
        assert not integrity._may_lack_data(frame, [scan_of()], picture)
        assert integrity._may_lack_data(frame, [scan_of(), scan_of()], picture)
        assert integrity._may_lack_data(grey_frame((24, 24), PROGRESSIVE), [scan_of()], picture)
        assert not integrity._may_lack_data(None, [], picture)
        assert not integrity._may_lack_data(frame, [], picture)

    @pytest.mark.parametrize(
        "size, unknown", [((24, 24), False), ((19, 18), False), ((18, 18), True), ((25, 24), True), ((17, 31), True)]
    )
    def test_the_last_block_may_be_missing(self, size, unknown):
        """Of which nothing is known where no more than its first row or column, or one pixel, is within the picture."""
        picture, frame = noise(size), grey_frame(size)
        left, top = ((side - 1) // 8 * 8 for side in size)
        assert integrity._may_lack_data(frame, [scan_of()], picture) is unknown
        picture.paste(7, (left, top, *size))
        assert integrity._may_lack_data(frame, [scan_of()], picture)

    def test_the_last_block_of_an_interval_may_be_missing(self):
        picture, frame = noise((40, 24)), grey_frame((40, 24))
        assert not integrity._may_lack_data(frame, [scan_of(interval=4)], picture)
        picture.paste(7, (16, 8, 24, 16))
        assert integrity._may_lack_data(frame, [scan_of(interval=4)], picture)
        assert not integrity._may_lack_data(frame, [scan_of(interval=5)], picture)

    @pytest.mark.parametrize("size, small, looked", [((8, 8), 64, 1), ((8, 8), 63, 0), ((9, 8), 64, 0)])
    def test_small_ones_are_looked_at_again_whatever_they_look_like(self, size, small, looked, monkeypatch):
        monkeypatch.setattr(integrity, "SMALL", small)
        monkeypatch.setattr(integrity, "_may_lack_data", lambda *_: False)
        calls = []
        monkeypatch.setattr(integrity, "_look_again", lambda *arguments: calls.append(arguments))
        data = encoded(Image.new("L", size), "JPEG")
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            integrity.check_after_decoding(data, picture)
            assert calls == [(data, *integrity._jpeg_structure(data), picture)] * looked


class TestSecondLook:
    def test_pictures_are_compared_to_their_last_row_and_column(self):
        one = noise((5, 130))
        assert integrity._same(one, one.copy())
        for place in (0, 0), (4, 63), (0, 64), (4, 127), (0, 128), (4, 129):
            other = one.copy()
            other.putpixel(place, other.getpixel(place) ^ 1)
            assert not integrity._same(one, other)

    def test_it_adds_data_where_a_decoder_leaves_it_out(self):
        """At the end of each restart interval, with a zero behind a fill byte, and much at that of each scan."""
        data = b"head" + b"a\xff\xd0b\xff" + b"between" + b"cd" + b"tail"
        frame = grey_frame((16, 8))
        scans = [scan_of(start=4, end=9, interval=1), scan_of(start=16, end=18)]
        few, many = integrity._SHORT_FILLER, integrity._FILLER
        expected = [b"heada", few, b"\xff\xd0b\xff", b"\0", few, many, b"between", b"cd", few, many, b"tail"]
        assert integrity._filled(data, frame, scans) == b"".join(expected)

    def test_what_it_adds_has_no_marker(self):
        assert len(integrity._FILLER) == 4096 and 0xFF not in integrity._FILLER
        assert integrity._FILLER.startswith(integrity._SHORT_FILLER) and len(integrity._SHORT_FILLER) == 8

    def test_it_decodes_an_eighth_of_what_is_in_one_part(self):
        """Of a file in parts averages would not tell enough."""
        plain = _Coding()
        assert not integrity._in_parts(grey_frame((8, 8), plain), [scan_of()])
        assert integrity._in_parts(grey_frame((8, 8), plain), [scan_of(interval=1)])
        assert integrity._in_parts(grey_frame((8, 8), plain), [scan_of(), scan_of()])
        assert integrity._in_parts(grey_frame((8, 8), PROGRESSIVE), [scan_of()])
        assert integrity._small(encoded(Image.new("L", (80, 48)), "JPEG")).size == (10, 6)

    def test_arithmetic_codes_are_not_looked_at_again(self):
        integrity._look_again(b"no picture", grey_frame((8, 8), _Coding(arithmetic=True)), [scan_of()])
        integrity._look_again(b"no picture", None, [])
        integrity._look_again(b"no picture", grey_frame((8, 8)), [])


class TestLimits:
    def jpeg(self, scans, size=(8, 8)):
        return START + frame_header(size, [(1, 0x11)]) + (scan_header([1]) + bytes(20)) * scans + END

    def test_a_hundred_scans_are_read(self):
        integrity.check_before_decoding(self.jpeg(100))
        expected = r"^got 101 scans of 8x8 pixels, expected at most 100 scans, and 2147483648 pixels in all$"
        with pytest.raises(DamagedError, match=expected):
            integrity.check_before_decoding(self.jpeg(101))

    def test_scans_are_limited_by_the_pixels_of_all(self, monkeypatch):
        monkeypatch.setattr(integrity, "MAX_SCANNED_PIXELS", 3 * 8 * 16)
        integrity.check_before_decoding(self.jpeg(3, (8, 16)))
        with pytest.raises(DamagedError, match="got 4 scans of 8x16 pixels"):
            integrity.check_before_decoding(self.jpeg(4, (8, 16)))
        with pytest.raises(DamagedError, match="got 3 scans of 9x16 pixels"):
            integrity.check_before_decoding(self.jpeg(3, (9, 16)))

    def test_what_has_no_scan_is_left_to_libjpeg(self):
        integrity.check_before_decoding(START + END)
        integrity.check_before_decoding(self.jpeg(0))

    def test_the_scan_that_lacks_something_is_named(self):
        data = START + frame_header((80, 80), [(1, 0x11)]) + scan_header([1]) + bytes(25) + scan_header([1]) + bytes(24)
        with pytest.raises(
            DamagedError, match="truncated: got 24 bytes for 100 blocks of scan 1, expected at least 25"
        ):
            integrity.check_before_decoding(data + END)
