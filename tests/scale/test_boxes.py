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
def test_whole_films_promise_what_they_have(make):
    data = make()
    assert promised(data) == len(data)


def test_a_film_with_uncompressed_sound_is_read(monkeypatch):
    """Each of its 48,000 numbers a second is a sample, of which FFmpeg takes a thousand as one."""
    monkeypatch.setattr(boxes, "MAX_SAMPLES", 100)
    assert len(list(read_film(with_uncompressed_sound(), 0.1))) == 10


class TestSamples:
    """How many there may be: as many as a film has bytes, but never more than the limit."""

    LENGTH = 1 << 17
    TIMES = table(b"stts", 1, LENGTH, 1)

    def of(self, *contents):
        return b"".join(contents).ljust(self.LENGTH, b"\0")  # the rest is no box

    def accept(self, *contents):
        assert promised(self.of(*contents)) <= self.LENGTH

    def refuse(self, samples, edits, *contents):
        with pytest.raises(DamagedError, match=f"got {samples} samples and {edits} edits in {self.LENGTH} bytes"):
            promised(self.of(*contents))

    def test_as_many_as_there_are_bytes_and_no_more(self):
        self.accept(track(table(b"stsz", 1, self.LENGTH)))
        self.refuse(2 * self.LENGTH, 0, *2 * [track(table(b"stsz", 1, self.LENGTH))])

    def test_no_more_than_the_limit(self, monkeypatch):
        monkeypatch.setattr(boxes, "MAX_SAMPLES", 1000)
        self.accept(track(table(b"stsz", 1, 1000)))
        self.refuse(1001, 0, track(table(b"stsz", 1, 1001)))

    def test_a_short_film_may_have_some_edits(self):
        data = track(table(b"elst", 60), table(b"stsz", 1, 1000))
        assert promised(data.ljust(1100, b"\0")) <= 1100

    def test_those_with_sizes_and_those_of_fragments_are_added(self):
        table_of_sizes = box(b"stsz", struct.pack(">3I", 0, 0, 20_000), bytes(80_000))
        self.accept(track(table_of_sizes), box(b"moof", table(b"trun", self.LENGTH - 20_000)))
        self.refuse(self.LENGTH + 1, 0, track(table_of_sizes), box(b"moof", table(b"trun", self.LENGTH - 19_999)))

    def test_the_longest_list_of_edits_counts(self):
        lists = [track(table(b"elst", count)) for count in (2, 5, 3)]
        self.accept(*lists, track(table(b"stsz", 1, self.LENGTH // 5)))
        self.refuse(self.LENGTH // 5 + 1, 5, *lists, track(table(b"stsz", 1, self.LENGTH // 5 + 1)))

    @pytest.mark.parametrize("in_order", [True, False])
    def test_uncompressed_sound_counts_a_thousandth(self, in_order):
        parts = [handler(b"soun"), self.TIMES, table(b"stsz", 1, self.LENGTH)]
        sound = track(*parts if in_order else parts[::-1])
        self.accept(*100 * [sound])
        self.refuse(self.LENGTH + 100 * (self.LENGTH // 1024), 0, track(table(b"stsz", 1, self.LENGTH)), *100 * [sound])

    @pytest.mark.parametrize(
        "parts",
        [
            [handler(b"soun"), handler(b"vide"), table(b"stts", 1, 10, 1)],
            [handler(b"vide"), table(b"stts", 1, 10, 1)],
            [handler(b"soun"), table(b"stts", 1, 10, 2)],
            [handler(b"soun"), table(b"stts", 2, 10, 1)],
            [handler(b"soun"), table(b"stts", 1, 10, 1), table(b"stts", 1, 10, 2)],
            [handler(b"soun")],
        ],
    )
    def test_what_ffmpeg_does_not_take_for_uncompressed_sound_counts_in_full(self, parts):
        one = track(*parts, table(b"stsz", 1, self.LENGTH))
        self.refuse(2 * self.LENGTH, 0, one, one)

    def test_pictures_are_not_searched_for_tables(self):
        assert promised(box(b"mdat", table(b"stsz", 1 << 20, 1 << 10))) < 100

    def test_all_other_boxes_are(self):
        """FFmpeg takes some of them for what they are not."""
        assert promised(box(b"free", table(b"stsz", 1 << 20, 1 << 10))) == 1 << 30


@pytest.mark.parametrize("at", [*range(-30, 5), 1000])
def test_a_table_is_found_between_two_pieces_that_are_searched(at):
    data = box(b"free", bytes((1 << 20) + at), table(b"stsz", 7, 1 << 20), bytes(50))
    assert promised(data) == 7 << 20


def test_a_table_that_is_cut_is_as_if_zeros_followed():
    assert promised(box(b"moov", b"\0\0\0\x14stsz\0\0\0\0", struct.pack(">I", 1), b"\0\0\1")) == 256


@pytest.mark.parametrize(
    "small",
    [
        table(b"iinf", 0xFFFF_0000),
        box(b"iloc", b"\1\0\0\0\x44\x40\xff\xff\xff\xff"),
        box(b"sgpd", b"\1\0\0\0roll", b"\xff" * 8),
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
    ],
)
def test_entries_have_a_byte_at_least(large, entries):
    assert promised(track(large)) == entries


class TestSizesOfBoxes:
    def test_a_size_of_64_bits(self):
        assert promised(struct.pack(">I4sQ", 1, b"mdat", 1 << 40)) == 1 << 40

    def test_none_is_to_the_end_which_is_searched(self):
        data = struct.pack(">I4s", 0, b"moov") + table(b"stsz", 1 << 20, 1 << 10)
        assert promised(data) == 1 << 30

    def test_their_number_is_limited(self, monkeypatch):
        monkeypatch.setattr(boxes, "MAX_BOXES", 3)
        assert promised(2 * box(b"free")) == 16
        with pytest.raises(DamagedError, match="got more than nsfw_scale.boxes.MAX_BOXES = 3 boxes"):
            promised(3 * box(b"free"))
