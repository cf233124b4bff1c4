"""What an MP4 promises is added up before FFmpeg makes room for it; whole films promise no more than they have."""

import io
import struct

import pytest

pytest.importorskip("av")

from hostile_films import HOSTILE, box, in_fragments, of_one_size, table, with_edits, with_uncompressed_sound
from made_films import film

from nsfw_model.integrity import DamagedError
from nsfw_model.picture import PictureError
from nsfw_scale import boxes
from nsfw_scale.boxes import ends_of_boxes
from nsfw_scale.film import read_film
from nsfw_scale.frames import read_frames


def promised(data):
    """The most bytes that anything in a file says that it has."""
    return max(ends_of_boxes(io.BytesIO(data), len(data)))


def handler(kind):
    return box(b"hdlr", bytes(8), kind)


def track(*contents):
    return box(b"moov", box(b"trak", *contents))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_there_is_refused_by_name(name):
    make, message = HOSTILE[name]
    with pytest.raises(PictureError, match=message) as caught:
        list(read_frames(make()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: film([0] * 10),
        lambda: film([0] * 10, container="mov"),
        in_fragments,
        lambda: with_edits(3),
        lambda: of_one_size(10, size=300),
        with_uncompressed_sound,
    ],
)
def test_whole_films_promise_what_they_have(make, monkeypatch):
    monkeypatch.setattr(boxes, "_FEW_SAMPLES", 100)
    data = make()
    assert promised(data) == len(data)


def test_a_film_with_uncompressed_sound_is_read(monkeypatch):
    """Each of its 48,000 numbers a second is a sample, of which FFmpeg takes many as one."""
    monkeypatch.setattr(boxes, "MAX_SAMPLES", 400)
    assert len(list(read_film(with_uncompressed_sound(), 0.1))) == 10


class TestSamples:
    """How many there may be: as many as a film has bytes, but never more than the limit."""

    LENGTH = 1 << 17
    EACH_LASTS_FOR_ONE = table(b"stts", 1, LENGTH, 1)
    IN_ONE_CHUNK = table(b"stsc", 1, 1, LENGTH, 1) + table(b"stco", 1, 0)

    def of(self, *contents):
        return b"".join(contents).ljust(self.LENGTH, b"\0")  # the rest is no box

    def accept(self, *contents):
        assert promised(self.of(*contents)) <= self.LENGTH

    def refuse(self, samples, *contents):
        with pytest.raises(DamagedError, match=f"got {samples} samples, .* in {self.LENGTH} bytes, expected at most"):
            promised(self.of(*contents))

    def test_as_many_as_there_are_bytes_and_no_more(self):
        self.accept(track(table(b"stsz", 1, self.LENGTH)))
        self.refuse(2 * self.LENGTH, *2 * [track(table(b"stsz", 1, self.LENGTH))])

    def test_no_more_than_the_limit(self, monkeypatch):
        monkeypatch.setattr(boxes, "MAX_SAMPLES", 1000)
        self.accept(track(table(b"stsz", 1, 1000)))
        self.refuse(1001, track(table(b"stsz", 1, 1001)))

    def test_a_short_film_may_have_some_edits(self):
        data = track(table(b"elst", 60), table(b"stsz", 1, 1000))
        assert promised(data.ljust(1100, b"\0")) <= 1100

    def test_those_with_sizes_and_those_of_fragments_are_added(self):
        sizes = box(b"stsz", struct.pack(">3I", 0, 0, 20_000), bytes(80_000))
        self.accept(track(sizes), box(b"moof", box(b"traf", table(b"trun", self.LENGTH - 20_001))))
        self.refuse(
            self.LENGTH + 1, track(sizes), box(b"moof", box(b"traf", table(b"trun", self.LENGTH - 20_000)))
        )  # with the fragment itself, of which each track has one

    def test_a_track_has_its_own_edits_but_those_that_show_nothing(self):
        nothing, something = (1000, 0xFFFFFFFF, 1 << 16), (1000, 0, 1 << 16)
        edits = table(b"elst", 3, *nothing, *something, *something)
        self.accept(track(edits), track(table(b"stsz", 1, self.LENGTH)))
        self.accept(track(edits, table(b"stsz", 1, self.LENGTH // 2)))
        self.refuse(self.LENGTH + 2, track(edits, table(b"stsz", 1, self.LENGTH // 2 + 1)))

    @pytest.mark.parametrize("version, row", [(0, 12), (1, 20)])
    def test_there_are_as_many_edits_as_there_is_room_for(self, version, row):
        edits = box(b"elst", bytes([version, 0, 0, 0, 0, 0, 0, 1]), bytes(4 * row))
        self.refuse(4 * self.LENGTH, track(edits, table(b"stsz", 1, self.LENGTH)))

    @pytest.mark.parametrize("in_order", [True, False])
    def test_of_uncompressed_sound_many_are_taken_together(self, in_order):
        parts = [handler(b"soun"), self.EACH_LASTS_FOR_ONE, table(b"stsz", 4, self.LENGTH), self.IN_ONE_CHUNK]
        sound = track(*parts if in_order else parts[::-1])
        self.accept(*150 * [sound])
        each = -(-self.LENGTH // 160) + 1
        self.refuse(self.LENGTH + 100 * each, track(table(b"stsz", 1, self.LENGTH)), *100 * [sound])

    def test_chunks_of_uncompressed_sound_count_by_their_length(self):
        runs = table(b"stsc", 2, 1, 16_000, 1, 11, 161, 1) + table(b"stco", 30, *[0] * 30)
        sound = track(handler(b"soun"), self.EACH_LASTS_FOR_ONE, runs)
        self.refuse(200 * (10 * 100 + 20 * 2 + 30), *200 * [sound])

    @pytest.mark.parametrize(
        "parts",
        [
            [handler(b"soun"), handler(b"vide"), table(b"stts", 1, 10, 1)],
            [handler(b"soun"), handler(b"subp"), table(b"stts", 1, 10, 1)],
            [handler(b"vide"), table(b"stts", 1, 10, 1)],
            [handler(b"soun"), table(b"stts", 1, 10, 2)],
            [handler(b"soun"), table(b"stts", 2, 10, 1)],
            [handler(b"soun"), table(b"stts", 1, 10, 1), table(b"stts", 1, 10, 2)],
            [handler(b"soun")],
        ],
    )
    def test_what_ffmpeg_does_not_take_for_uncompressed_sound_counts_in_full(self, parts):
        one = track(*parts, table(b"stsz", 1, self.LENGTH))
        self.refuse(2 * self.LENGTH, one, one)

    def test_sizes_of_uncompressed_sound_are_not_those_in_the_file(self):
        """As of IMA ADPCM in QuickTime: 34 bytes for 64 samples."""
        parts = [self.EACH_LASTS_FOR_ONE, table(b"stsz", 4, self.LENGTH // 2), self.IN_ONE_CHUNK]
        self.accept(track(handler(b"soun"), *parts))
        assert promised(self.of(track(*parts))) == 2 * self.LENGTH

    @pytest.mark.parametrize("bits", [4, 8, 16])
    def test_those_with_compact_sizes_are_samples_too(self, bits):
        sizes = box(b"stz2", struct.pack(">7xBI", bits, 50_000), bytes(50_000 * bits // 8))
        self.accept(track(sizes), track(table(b"stsz", 1, self.LENGTH - 50_000)))
        self.refuse(self.LENGTH + 1, track(sizes), track(table(b"stsz", 1, self.LENGTH - 49_999)))

    def test_the_last_track_counts_too_and_each_once(self):
        half = track(table(b"stsz", 1, self.LENGTH // 2))
        self.accept(half, half)
        self.refuse(self.LENGTH + 1, half, half, track(table(b"stsz", 1, 1)))
        self.refuse(self.LENGTH + 1, track(table(b"stsz", 1, 1)), half, half)

    def test_samples_and_chunks_of_several_tables_are_added(self):
        twice = [table(b"stsz", 1, self.LENGTH // 2)] * 2
        self.accept(track(*twice))
        self.refuse(self.LENGTH + 1, track(*twice, table(b"stsz", 1, 1)))
        chunks = [
            table(b"stco", 40_000, *[0] * 40_000),
            box(b"co64", bytes(4), struct.pack(">I", 25_537), bytes(204_296)),
        ]
        runs = table(b"stsc", 1, 1, 1, 1)
        sound = track(handler(b"soun"), self.EACH_LASTS_FOR_ONE, runs, *chunks)
        with pytest.raises(
            DamagedError, match="got 1048592 samples"
        ):  # a part of each chunk, and the chunk, for 8 edits
            data = track(
                table(b"elst", 8, *[1, 0, 1 << 16] * 8), handler(b"soun"), self.EACH_LASTS_FOR_ONE, runs, *chunks
            )
            promised(data)
        assert promised(sound) == len(sound)

    def test_the_largest_list_of_edits_counts(self):
        edits = [table(b"elst", count, *[1, 0, 1 << 16] * count) for count in (2, 3, 1)]
        self.refuse(3 * self.LENGTH, track(*edits, table(b"stsz", 1, self.LENGTH)))

    def test_edits_of_the_other_version_show_something(self):
        """Its times have 64 bits."""
        nothing = struct.pack(">QqI", 1000, -1, 1 << 16)
        edits = box(b"elst", b"\1\0\0\0", struct.pack(">I", 3), nothing * 3)
        self.refuse(3 * self.LENGTH, track(edits, table(b"stsz", 1, self.LENGTH)))

    @pytest.mark.parametrize(
        "more, count",
        [
            (box(b"moof"), 1),
            (box(b"sidx", bytes(22), struct.pack(">H", 60_000)), 60_000),
            (box(b"sidx", b"\1", bytes(29), struct.pack(">H", 60_000)), 60_000),
            (box(b"mfra", box(b"tfra", bytes(12), struct.pack(">I", 70_000))), 70_000),
        ],
    )
    def test_each_track_has_each_fragment(self, more, count):
        times = 2 * self.LENGTH // count // 20 + 1
        self.refuse(20 * times * count, box(b"moov", box(b"trak") * 20), *times * [more])


class TestWhereTablesAre:
    HUGE = table(b"stsz", 1 << 20, 1 << 10)

    @pytest.mark.parametrize("kind", [b"mdat", b"udta", b"trak", b"edts", b"wave", b"free", b"uuid"])
    def test_pictures_and_unknown_boxes_are_not_searched(self, kind):
        assert promised(box(kind, box(b"name", self.HUGE))) < 100

    @pytest.mark.parametrize(
        "data",
        [
            box(b"moov", HUGE),
            box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", HUGE))))),
            box(b"free", box(b"mvhd"), HUGE),
            box(b"udta", box(b"meta", bytes(4), box(b"hdlr", bytes(24)), HUGE)),
            box(b"meta", box(b"hdlr", bytes(24)), box(b"ilst", HUGE)),
            box(b"stbl", table(b"stsd", 1), HUGE),
            box(b"stbl", box(b"stsd", bytes(8), box(b"mp4v", bytes(70), HUGE))),
            box(b"stbl", box(b"stsd", bytes(8), b"\0\0\0el", HUGE)),  # "el" and its size would be "elst"
            struct.pack(">I4s", 0, b"moov") + HUGE,
            struct.pack(">I4sQ", 1, b"moov", 16 + len(HUGE)) + HUGE,
            box(b"moov", struct.pack(">I4s", 1 << 30, b"stbl"), HUGE),
        ],
    )
    def test_all_boxes_in_which_ffmpeg_finds_them_are(self, data):
        assert promised(data) == 1 << 30

    @pytest.mark.parametrize("depth, found", [(9, True), (10, True), (11, False)])
    def test_boxes_are_within_ten_others_at_most(self, depth, found):
        data = self.HUGE
        for _ in range(depth):
            data = box(b"stbl", data)
        assert promised(data) == (1 << 30 if found else len(data))

    @pytest.mark.parametrize("kind", [b"moov", b"meta", b"stsd"])
    def test_what_reaches_beyond_the_end_is_not_searched(self, kind):
        """It is refused for that already."""
        inside = box(b"hdlr", bytes(24)) + self.HUGE
        data = struct.pack(">I4s", 8 + len(inside) + 1, kind) + inside
        assert promised(data) == len(data) + 1

    def test_a_header_that_is_cut_is_no_box(self):
        whole = box(b"free") + table(b"free", 1)
        for length in range(len(box(b"free")), len(whole)):
            expected = len(whole) if length >= 16 else 8
            assert promised(whole[:length]) == expected

    @pytest.mark.parametrize("size", range(2, 8))
    def test_a_box_smaller_than_its_header_ends_the_search(self, size):
        assert promised(box(b"free") + struct.pack(">I4s", size, b"moov") + self.HUGE) == 8

    def test_a_box_of_64_bits_smaller_than_its_header_ends_the_search(self):
        for size, expected in (15, 8), (16, 1 << 30):
            assert promised(box(b"free") + struct.pack(">I4sQ", 1, b"moov", size) + box(b"moov", self.HUGE)) == expected

    @pytest.mark.parametrize(
        "words", ["Elephant trunk close-up", "Betrunken am Strand", "Edelstahl schweissen", "What cmov does"]
    )
    def test_words_in_a_title_are_no_tables(self, words):
        data = film([0] * 10, metadata={"title": words, "comment": f"{words} and again: {words}"})
        assert words.encode() in data and promised(data) == len(data)
        assert len(list(read_film(data, 0.1))) == 10

    def test_a_track_within_a_track_ends_it(self):
        """As it does to FFmpeg: otherwise, its samples would not be those of its edits."""
        with pytest.raises(DamagedError, match="got 250000 samples"):
            promised(track(table(b"elst", 5), box(b"stbl", box(b"trak")), table(b"stsz", 1, 50_000)))


def test_a_table_that_is_cut_is_as_if_zeros_followed():
    assert promised(box(b"moov", b"\0\0\0\x14stsz\0\0\0\0", struct.pack(">I", 1), b"\0\0\1")) == 256


@pytest.mark.parametrize(
    "small",
    [
        table(b"iinf", 0xFFFF_0000),
        box(b"iloc", b"\1\0\0\0\x44\x40\xff\xff\xff\xff"),
        box(b"sgpd", b"\1\0\0\0roll", b"\xff" * 8),
        box(b"sgpd", b"\2\0\0\0roll", b"\xff" * 8),
        box(b"elst", b"\0\0\0\0\0\0\0\0"),
    ],
)
def test_tables_without_large_numbers_are_left_alone(small):
    assert promised(track(small)) == len(track(small))


@pytest.mark.parametrize(
    "large, entries",
    [
        (table(b"iinf", 77_777, version=1), 77_777),
        (box(b"iloc", b"\2\0\0\0\x44\x40", struct.pack(">I", 77_777)), 77_777),
        (box(b"sgpd", b"\0\0\0\0sync", struct.pack(">I", 77_777)), 77_777),
        (box(b"sgpd", b"\1\0\0\0sync", struct.pack(">2I", 1, 77_777)), 77_777),
        (box(b"sgpd", b"\3\0\0\0sync", struct.pack(">3I", 1, 1, 77_777)), 77_777),
        (table(b"senc", 77_777), 77_777),
        (box(b"saiz", bytes(4), b"\x08", struct.pack(">I", 77_777)), 77_777),
        (box(b"saiz", b"\0\0\0\1", bytes(8), b"\x08", struct.pack(">I", 77_777)), 77_777),
        (table(b"saio", 77_777), 77_777),
        (box(b"saio", b"\0\0\0\1", bytes(8), struct.pack(">I", 77_777)), 77_777),
        (table(b"ctts", 2, 70_000, 1, 7_777, 2), 77_777),
        (box(b"sbgp", bytes(4), b"rap ", struct.pack(">5I", 2, 70_000, 1, 7_777, 1)), 77_777),
        (box(b"sbgp", b"\1\0\0\0rap ", struct.pack(">6I", 9, 2, 70_000, 1, 7_777, 1)), 77_777),
        (table(b"stz2", 16, 60_000), 120_000),
        (table(b"stz2", 8, 33_333), 33_333),
        (table(b"stz2", 4, 33_333), 16_666),
        (table(b"stsz", 0, 60_000), 240_000),
        (table(b"stsz", 3, 40_000), 120_000),
        (table(b"stco", 60_000), 240_000),
        (table(b"co64", 60_000), 240_000),
        (table(b"trun", 33_333), 33_333),
        (box(b"tfra", bytes(12), struct.pack(">I", 65_000)), 65_000),
    ],
)
def test_entries_have_a_byte_at_least(large, entries):
    assert promised(track(large)) == entries


class TestSizesOfBoxes:
    def test_a_size_of_64_bits(self):
        assert promised(struct.pack(">I4sQ", 1, b"mdat", 1 << 40)) == 1 << 40

    def test_bytes_of_their_tables_are_limited(self, monkeypatch):
        monkeypatch.setattr(boxes, "MAX_TABLE_BYTES", 1000)
        times = table(b"ctts", 20, *[1, 0] * 20)
        assert promised(track(*5 * [times])) == len(track(*5 * [times]))
        with pytest.raises(DamagedError, match="got more than nsfw_scale.boxes.MAX_TABLE_BYTES = 1000 bytes of tables"):
            promised(track(*6 * [times]))
        inside = box(b"stsd", b"ctts" * 1000)  # each reaches to the end of what it is in
        with pytest.raises(DamagedError, match="MAX_TABLE_BYTES"):
            promised(track(inside))

    def test_a_track_has_its_chunks_once(self):
        with pytest.raises(DamagedError, match=r"got two tables of a track's chunks \(stsc\), expected one"):
            promised(track(*2 * [table(b"stsc", 1, 1, 1, 1)]))

    def test_their_number_is_limited(self, monkeypatch):
        monkeypatch.setattr(boxes, "MAX_BOXES", 3)
        assert promised(box(b"moov", box(b"trak")) + box(b"free")) == 24
        with pytest.raises(DamagedError, match="got more than nsfw_scale.boxes.MAX_BOXES = 3 boxes"):
            promised(box(b"moov", box(b"trak")) + 2 * box(b"free"))

    def test_what_is_found_within_the_description_of_samples_is_counted_too(self, monkeypatch):
        monkeypatch.setattr(boxes, "MAX_BOXES", 5)
        inside = box(b"stco", bytes(8))
        assert promised(box(b"stsd", inside * 4)) == len(inside) * 4 + 8
        with pytest.raises(DamagedError, match="MAX_BOXES = 5"):
            promised(box(b"stsd", inside * 5))

    def test_as_many_bytes_of_tables_as_the_limit_are_read(self, monkeypatch):
        times = table(b"ctts", 20, *[1, 0] * 20)  # all of which is read, but its header
        monkeypatch.setattr(boxes, "MAX_TABLE_BYTES", len(times) - 8)
        assert promised(times) == len(times)
        monkeypatch.setattr(boxes, "MAX_TABLE_BYTES", len(times) - 9)
        with pytest.raises(DamagedError, match="MAX_TABLE_BYTES"):
            promised(times)
