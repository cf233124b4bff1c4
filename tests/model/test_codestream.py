"""What a JPEG 2000's headers say, read from codestreams written by hand, and what it is cut into, by counting."""

import struct

import pytest

from nsfw_model import integrity
from nsfw_model.codestream import (
    BEGINNING,
    Grid,
    Headers,
    Style,
    codestream_start,
    parts_of_tiles,
    read_grid,
    read_headers,
)
from nsfw_model.integrity import DamagedError

GREY = ((1, 1),)
LARGEST = (15, 15)


def segment(marker, contents=b""):
    """A marker with its length, of which its own two bytes are a part (T.800 A.1.3)."""
    return struct.pack(">HH", marker, 2 + len(contents)) + contents


def size_segment(right, bottom, left=0, top=0, tile=(64, 64), tile_start=(0, 0), steps=GREY):
    """SIZ (T.800 A.5.1)."""
    components = b"".join(bytes([7, *step]) for step in steps)
    return segment(
        0xFF51, struct.pack(">H8IH", 0, right, bottom, left, top, *tile, *tile_start, len(steps)) + components
    )


def style_bytes(levels=0, block=(4, 4), precincts=None):
    """SPcod and SPcoc (T.800, table A.20)."""
    return bytes([levels, block[0] - 2, block[1] - 2, 0, 1]) + bytes(
        down << 4 | across for across, down in precincts or ()
    )


def for_all(layers=1, levels=0, block=(4, 4), precincts=None, flags=0):
    """COD (T.800 A.6.1)."""
    return segment(
        0xFF52, struct.pack(">BBHB", flags | bool(precincts), 0, layers, 0) + style_bytes(levels, block, precincts)
    )


def for_one(component, levels=0, block=(4, 4), precincts=None):
    """COC (T.800 A.6.2)."""
    return segment(0xFF53, bytes([component, bool(precincts)]) + style_bytes(levels, block, precincts))


def tile_part(tile, contents=b"", data=b"", part=0, parts=1, size=None):
    """SOT, what follows of headers, SOD and data (T.800 A.4.2)."""
    rest = contents + b"\xff\x93" + data
    return segment(0xFF90, struct.pack(">HIBB", tile, 12 + len(rest) if size is None else size, part, parts)) + rest


def headers_of(*segments, components=1, most=100):
    data = b"..\xff\x4f" + b"".join(segments)
    return read_headers(data, 2, components, most)


class TestStart:
    @pytest.mark.parametrize("behind", [b"", b"x" * 100])
    def test_a_bare_codestream_begins_the_file(self, behind):
        assert codestream_start(BEGINNING + behind) == 0

    @pytest.mark.parametrize(
        "boxes, start",
        [
            (struct.pack(">I4s", 16, b"jp2c") + bytes(8), 8),
            (struct.pack(">I4sQ", 1, b"jp2c", 16), 16),
            (struct.pack(">I4s", 0, b"jp2c") + bytes(8), 8),
            (struct.pack(">I4s4x", 12, b"free") + struct.pack(">I4s", 0, b"jp2c") + bytes(8), 20),
            (struct.pack(">I4s", 8, b"free") + struct.pack(">I4s", 0, b"jp2c") + bytes(8), 16),
            (struct.pack(">I4sQ", 1, b"free", 16) + struct.pack(">I4s", 0, b"jp2c") + bytes(8), 24),
            (struct.pack(">I4sQ4x", 1, b"free", 20) + struct.pack(">I4sQ", 1, b"jp2c", 0), 36),
            # Of boxes that are no larger than their heads, and behind the last that is whole, there is none
            (struct.pack(">I4s", 7, b"free") + struct.pack(">I4s", 0, b"jp2c") + bytes(8), None),
            (struct.pack(">I4sQ", 1, b"free", 15) + struct.pack(">I4s", 0, b"jp2c") + bytes(8), None),
            (struct.pack(">I4s", 0, b"free") + struct.pack(">I4s", 0, b"jp2c") + bytes(8), None),
            (struct.pack(">I4s", 16, b"jp2c") + bytes(7), None),
            (b"", None),
        ],
    )
    def test_others_are_in_a_box(self, boxes, start):
        """T.800 I.4: the size in four bytes or, where those are 1, in eight behind the kind; 0 up to the end."""
        assert codestream_start(boxes) == start


class TestGrid:
    def test_all_sizes_are_read(self):
        data = b"..." + b"\xff\x4f" + size_segment(200, 100, 10, 5, (64, 32), (3, 2), ((1, 2), (3, 4)))
        grid = read_grid(data, 3)
        assert grid == Grid(10, 5, 200, 100, 3, 2, 64, 32, ((1, 2), (3, 4)))
        assert (grid.columns, grid.rows) == (4, 4)  # (200 - 3) / 64 and (100 - 2) / 32, rounded up
        assert read_grid(data[:-1], 3) is None

    @pytest.mark.parametrize(
        "right, bottom, start, columns, rows",
        [
            (64, 64, (0, 0), 1, 1),
            (65, 64, (0, 0), 2, 1),
            (64, 65, (0, 0), 1, 2),
            (65, 65, (1, 1), 1, 1),
            (66, 129, (1, 0), 2, 3),
        ],
    )
    def test_tiles_are_counted_from_their_own_origin(self, right, bottom, start, columns, rows):
        grid = read_grid(b"\xff\x4f" + size_segment(right, bottom, *start, tile_start=start), 0)
        assert (grid.columns, grid.rows) == (columns, rows)

    @pytest.mark.parametrize(
        "sizes, readable",
        [
            ({}, True),
            ({"left": 63, "top": 63}, True),
            ({"left": 64}, False),
            ({"top": 64}, False),
            ({"left": 5, "tile_start": (5, 0)}, True),
            ({"left": 5, "tile_start": (6, 0)}, False),
            ({"top": 5, "tile_start": (0, 5)}, True),
            ({"top": 5, "tile_start": (0, 6)}, False),
            ({"tile": (0, 64)}, False),
            ({"tile": (64, 0)}, False),
            ({"tile": (1, 1)}, True),
            ({"steps": ((1, 1), (0, 1))}, False),
            ({"steps": ((1, 0), (1, 1))}, False),
            ({"steps": ((255, 255),)}, True),
        ],
    )
    def test_sizes_that_make_no_sense_are_left_to_openjpeg(self, sizes, readable):
        data = b"\xff\x4f" + size_segment(64, 64, **sizes)
        assert (read_grid(data, 0) is not None) is readable
        assert read_grid(b"\xff\x4f\xff\x52" + data[4:], 0) is None


class TestHeaders:
    def test_the_style_of_all_components_is_read(self):
        headers = headers_of(for_all(300, 2, (6, 5), ((15, 14), (3, 4), (1, 2))), components=3)
        style = Style(300, (6, 5), ((15, 14), (3, 4), (1, 2)))
        assert headers == Headers(1, (style, style, style), {}, {}, {})

    def test_what_follows_the_precincts_says_nothing(self):
        contents = struct.pack(">BBHB", 1, 0, 7, 0) + style_bytes(1, precincts=((5, 5), (6, 6), (7, 7)))
        assert headers_of(segment(0xFF52, contents)).styles == (Style(7, (4, 4), ((5, 5), (6, 6))),)

    @pytest.mark.parametrize("flags", [0, 2, 4, 6])
    def test_precincts_are_as_large_as_can_be_where_none_are_named(self, flags):
        """Their bit is the lowest of those of the style (T.800, table A.13)."""
        headers = headers_of(for_all(1, 2, flags=flags) + b"\xff\xd9")
        assert headers.styles == (Style(1, (4, 4), (LARGEST, LARGEST, LARGEST)),)

    def test_one_component_may_have_another_style_but_no_other_layers(self):
        headers = headers_of(for_all(9), for_one(1, 1, (3, 5), ((6, 7), (8, 9))), for_one(2, 1), components=3)
        usual = Style(9, (4, 4), (LARGEST,))
        changed = Style(9, (3, 5), ((6, 7), (8, 9))), Style(9, (4, 4), (LARGEST, LARGEST))
        assert headers == Headers(3, (usual, *changed), {}, {}, {})

    def test_a_tile_may_have_other_styles(self):
        headers = headers_of(
            for_all(1),
            tile_part(0),
            tile_part(1, for_all(5) + for_one(1, 1)),
            tile_part(2, for_one(0, 1)),
            components=2,
        )
        usual, more = Style(1, (4, 4), (LARGEST,)), Style(1, (4, 4), (LARGEST, LARGEST))
        of_tiles = {1: (usual._replace(layers=5), more._replace(layers=5)), 2: (more, usual)}
        assert headers == Headers(7, (usual, usual), of_tiles, {0: 1, 1: 1, 2: 1}, {0: 1, 1: 1, 2: 1})

    @pytest.mark.parametrize(
        "damaged",
        [
            segment(0xFF52, b"\0\0\0"),
            segment(0xFF52, b"\0\0\0\5\0\1\1"),
            segment(0xFF52, struct.pack(">BBHB", 1, 0, 5, 0) + style_bytes(2, precincts=((5, 5), (6, 6)))),
            segment(0xFF53, b"\0"),
            segment(0xFF53, b"\1\0" + style_bytes()),
            segment(0xFF53, b"\0\0\0\2"),
            segment(0xFF53, b"\0\1" + style_bytes(1, precincts=((5, 5),))),
        ],
    )
    def test_what_ends_early_changes_nothing(self, damaged):
        assert headers_of(for_all(7), damaged).styles == (Style(7, (4, 4), (LARGEST,)),)

    def test_parts_of_tiles_are_counted_and_the_most_that_any_promises(self):
        parts = [tile_part(5, parts=0), tile_part(6, parts=3), tile_part(5), tile_part(6, part=1, parts=0)]
        headers = headers_of(*parts, tile_part(6, part=2, parts=2), tile_part(7, parts=0))
        assert (headers.parts, headers.promised_parts) == ({5: 2, 6: 3, 7: 1}, {5: 1, 6: 3, 7: 1})

    @pytest.mark.parametrize("most, segments", [(2, 3), (3, 4), (4, 5), (5, 5), (6, 5)])
    def test_one_segment_more_than_asked_for_is_read(self, most, segments):
        assert headers_of(*[segment(0xFF64)] * 5, b"\xff\xd9", most=most).segments == segments

    def test_data_is_passed_over(self):
        """Up to where its tile part ends, whatever it looks like."""
        headers = headers_of(
            for_all(1), tile_part(0, data=for_all(5) + b"\xff\xd9"), tile_part(1), b"\xff\xd9", for_all(6)
        )
        assert headers == Headers(3, (Style(1, (4, 4), (LARGEST,)),), {}, {0: 1, 1: 1}, {0: 1, 1: 1})

    @pytest.mark.parametrize("size, tiles", [(0, {0: 1}), (13, {0: 1}), (14, {0: 1, 1: 1}), (15, {0: 1})])
    def test_a_part_of_no_size_goes_up_to_the_end(self, size, tiles):
        """One has at least 14 bytes: its own segment of twelve, and SOD (T.800 A.4.2)."""
        assert headers_of(tile_part(0, size=size), tile_part(1)).parts == tiles

    @pytest.mark.parametrize("unknown", [0xFF54, 0xFF5A, 0xFF5B, 0xFF62, 0xFF65, 0xFF73, 0xFF79, 0xFF92, 0x1234])
    def test_markers_that_openjpeg_does_not_know_have_no_length(self, unknown):
        assert headers_of(struct.pack(">H", unknown), for_all(7)).styles == (Style(7, (4, 4), (LARGEST,)),)

    @pytest.mark.parametrize(
        "known",
        [0xFF50, 0xFF53, 0xFF55, 0xFF57, 0xFF58, 0xFF59, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF60, 0xFF61, 0xFF63, 0xFF64]
        + [0xFF74, 0xFF75, 0xFF76, 0xFF77, 0xFF78, 0xFF91],
    )
    def test_markers_that_openjpeg_knows_have_a_length(self, known):
        """The table `j2k_memory_marker_handler_tab` of OpenJPEG 2.5."""
        hidden = segment(known, for_all(9)), struct.pack(">HH", known, 0), for_all(7)
        headers = headers_of(*hidden)
        assert (headers.segments, headers.styles) == (3, (Style(7, (4, 4), (LARGEST,)),))

    def test_within_a_tile_any_marker_has_a_length(self):
        contents = struct.pack(">HH", 0x1234, 2 + len(for_all(9))) + for_all(9)
        assert headers_of(for_all(7), tile_part(0, contents)).styles_of_tiles == {}

    @pytest.mark.parametrize("end, segments", [(0, 1), (1, 0)])
    def test_the_last_segment_may_end_the_file(self, end, segments):
        assert headers_of(segment(0xFF64)[: 4 - end]).segments == segments

    def test_a_tile_without_a_number_ends_the_headers(self):
        assert headers_of(segment(0xFF90, bytes(7)), for_all(7)) == Headers(0, (), {}, {}, {})
        assert headers_of(segment(0xFF90, bytes(8)), for_all(7)).segments == 2


class TestParts:
    def count(self, styles, right=64, bottom=64, left=0, top=0, tile=(64, 64), start=(0, 0), steps=GREY, of_tiles=()):
        grid = Grid(left, top, right, bottom, *start, *tile, steps)
        return parts_of_tiles(grid, Headers(0, styles, dict(of_tiles), {}, {}))

    @pytest.mark.parametrize(
        "size, block, blocks",
        [((64, 64), (4, 4), 16), ((65, 64), (4, 4), 20), ((64, 65), (5, 4), 10), ((64, 64), (4, 6), 4)],
    )
    def test_code_blocks_tile_a_band(self, size, block, blocks):
        assert self.count((Style(3, block, (LARGEST,)),), *size, tile=(99, 99)) == (blocks + 1, 3)

    def test_precincts_cut_code_blocks(self):
        """Blocks of 16x16 in precincts of 8x32: blocks of 8x16."""
        assert self.count((Style(3, (4, 4), ((3, 5),)),)) == (8 * 2 + 8 * 4, 3 * 16)

    def test_wavelets_give_three_bands_of_each_resolution_but_the_lowest(self):
        """64x64 samples: the lowest of 16x16, then bands of 16x16 and of 32x32, in blocks of 16x16 (T.800 B.5, B.7)."""
        assert self.count((Style(2, (4, 4), (LARGEST, LARGEST, LARGEST)),)) == (1 + 1 + 3 + 3 + 3 * 4 + 3, 2 * 3)

    def test_precincts_of_a_resolution_are_twice_as_large_as_in_its_bands(self):
        """One of 32x32 of the whole is 16x16 in each band; blocks of 32x32 become as small (T.800 B.7)."""
        assert self.count((Style(1, (5, 5), (LARGEST, (5, 5))),)) == (1 + 1 + 3 * 4 + 3 * 4, 1 + 4)

    @pytest.mark.parametrize("step, blocks", [((1, 1), 16), ((2, 1), 8), ((1, 2), 8), ((3, 1), 8), ((4, 4), 1)])
    def test_components_may_have_fewer_samples(self, step, blocks):
        """Of 64, every third: 22, which lie in two blocks."""
        assert self.count((Style(1, (4, 4), (LARGEST,)),), steps=(step,)) == (blocks + 1, 1)

    def test_components_are_added_up(self):
        one, other = Style(1, (4, 4), (LARGEST,)), Style(5, (5, 5), (LARGEST,))
        assert self.count((one, other, one), steps=((1, 1), (1, 1), (1, 1))) == (17 + 5 + 17, 1 + 5 + 1)
        assert self.count((one, one, one), steps=((1, 1), (2, 2), (1, 1))) == (17 + 5 + 17, 3)

    def test_cells_are_counted_from_the_origin_and_not_from_the_picture(self):
        """From 15 to 33, three blocks of 16 begin."""
        assert self.count((Style(1, (4, 4), (LARGEST,)),), 33, 16, 15, 0) == (3 + 1, 1)
        assert self.count((Style(1, (4, 4), (LARGEST,)),), 32, 16, 16, 0) == (1 + 1, 1)

    def test_tiles_are_what_the_picture_has_of_them(self):
        """Four columns of 20 from 5 on, of which the picture has 10 to 25, up to 45, up to 65, and one."""
        blocks = 2 + 2 + 3 + 1  # that columns 10-24, 25-44, 45-64 and 65 lie in, of 16
        assert self.count((Style(1, (4, 4), (LARGEST,)),), 66, 16, 10, 5, (20, 20), (5, 0)) == (blocks + 4, 4)
        assert self.count((Style(1, (4, 4), (LARGEST,)),), 16, 66, 5, 10, (20, 20), (0, 5)) == (blocks + 4, 4)

    def test_tiles_with_other_styles_come_on_top(self):
        """In the first and the last of 2x2 tiles; those behind are none."""
        usual, more = Style(1, (4, 4), (LARGEST,)), Style(7, (3, 3), (LARGEST,))
        options = {"right": 40, "bottom": 33, "tile": (32, 32)}
        assert self.count((usual,), **options) == (4 + 2 + 2 + 1 + 4, 4)
        # The first has 32x32 samples, the second 8x32, the third 32x1, the last 8x1
        for tile, blocks in (0, 16), (1, 4), (2, 4), (3, 1):
            assert self.count((usual,), **options, of_tiles={tile: (more,)}) == (13 + blocks + 1, 4 + 7)
        assert self.count((usual,), **options, of_tiles={4: (more,)}) == (13, 4)

    def test_a_picture_without_samples_of_a_component_has_no_parts(self):
        """Of every fourth sample from 0 on, 65 and 66 are none."""
        assert self.count((Style(1, (4, 4), (LARGEST,)),), 67, 64, 65, 0, (99, 99), steps=((4, 1),)) == (0, 0)


class TestCheck:
    """Whole codestreams, of six tiles."""

    TILES = [tile_part(tile) for tile in range(6)]

    def check(self, tiles=TILES, size=None, more=b""):
        integrity.check_before_decoding(
            b"\xff\x4f" + (size or size_segment(192, 128)) + for_all() + more + b"".join(tiles) + b"\xff\xd9"
        )

    def test_all_tiles_have_to_be_there(self):
        self.check()
        for missing in range(6):
            with pytest.raises(DamagedError, match="^truncated: got 5 of 6 tiles$"):
                self.check(self.TILES[:missing] + self.TILES[missing + 1 :])

    def test_tiles_that_the_picture_has_not_count_for_none(self):
        self.check([*self.TILES, tile_part(6)])
        with pytest.raises(DamagedError, match="^truncated: got 5 of 6 tiles$"):
            self.check([*self.TILES[:5], tile_part(6)])

    def test_all_parts_of_a_tile_have_to_be_there(self):
        self.check([*self.TILES[:5], tile_part(5, parts=2), tile_part(5, part=1, parts=2)])
        with pytest.raises(DamagedError, match="^truncated: got 5 of 6 tiles$"):
            self.check([*self.TILES[:5], tile_part(5, parts=2)])

    @pytest.mark.parametrize(
        "limit, most, message",
        [
            ("MAX_TILES", 6, "^got 6 tiles, expected at most 5$"),
            ("MAX_SEGMENTS", 8, "^got more than 7 segments$"),  # SIZ, COD and six tiles
            (
                "MAX_CODE_BLOCKS",
                102,
                "^got 102 code blocks and precincts and 6 packets, expected at most 101 and 4194304$",
            ),
            ("MAX_PACKETS", 6, "^got 102 code blocks and precincts and 6 packets, expected at most 1048576 and 5$"),
        ],
    )
    def test_as_many_as_are_allowed_are_read(self, limit, most, message, monkeypatch):
        monkeypatch.setattr(integrity, limit, most)
        self.check()
        monkeypatch.setattr(integrity, limit, most - 1)
        with pytest.raises(DamagedError, match=message):
            self.check()

    def test_more_components_than_pillow_decodes_are_left_to_it(self):
        with pytest.raises(DamagedError):
            self.check([], size_segment(192, 128, steps=GREY * 4))
        self.check([], size_segment(192, 128, steps=GREY * 5))

    def test_sizes_that_make_no_sense_are_left_to_openjpeg(self):
        self.check([], size_segment(192, 128, tile=(0, 64)))
        integrity.check_before_decoding(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(4))
