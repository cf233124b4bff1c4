"""Tags and chapters are counted before FFmpeg compares each with all others."""

import io
import struct

import pytest

pytest.importorskip("av")

from made_films import film
from tagged_films import GREYS, TAGGED, chapters_of_matroska, comments, element, page, tags_of_matroska

from nsfw_model.integrity import DamagedError
from nsfw_model.picture import PictureError
from nsfw_scale import film as film_module
from nsfw_scale import tags
from nsfw_scale.film import read_film
from nsfw_scale.frames import read_frames
from nsfw_scale.tags import check_tags

COUNTED = {"Matroska": "mkv", "Matroska's chapters": "mkv", "Ogg": "ogg"}


def refused(data, noun):
    """Whether a film has more tags than the limit."""
    try:
        check_tags(io.BytesIO(data), noun)
    except DamagedError as error:
        assert str(error) == f"got more than nsfw_scale.tags.MAX_TAGS = {tags.MAX_TAGS} tags and chapters"
        return True
    return False


@pytest.fixture
def few(monkeypatch):
    """Ten tags are as many as there may be."""
    monkeypatch.setattr(tags, "MAX_TAGS", 10)


@pytest.mark.parametrize("name", TAGGED)
def test_a_film_of_some_tags_is_read(name):
    assert len(list(read_film(TAGGED[name](100), every=0.1))) == len(GREYS)


@pytest.mark.parametrize("name", TAGGED)
def test_a_film_of_too_many_tags_is_refused_by_name(name, monkeypatch, capfd):
    monkeypatch.setattr(film_module, "MAX_DEMUX_SECONDS", 0.05)
    message = (
        "got more than nsfw_scale.tags.MAX_TAGS = 8192 tags and chapters"
        if name in COUNTED
        else r"took [0-9.]+ s of the processor to be taken apart into 0 packets, more than "
        "nsfw_scale.film.MAX_DEMUX_SECONDS = 0.05 and a little for each"
    )
    with pytest.raises(PictureError, match=f"cannot be read as a picture: {message}"):
        list(read_frames(TAGGED[name](20_000)))
    assert "".join(capfd.readouterr()) == ""


def test_time_is_measured_while_packets_are_made_too(monkeypatch):
    """An FLV may have tags anywhere."""
    head, tagged = film(GREYS, container="flv", codec="flv"), TAGGED["FLV"](20_000)
    script = tagged[13 : 13 + len(tagged) - len(head)]
    monkeypatch.setattr(film_module, "MAX_DEMUX_SECONDS", 0.05)
    seen = []
    with pytest.raises(DamagedError, match=r"to be taken apart into [0-9]+ packets"):
        for seconds, _ in read_film(film([0] * 400, container="flv", codec="flv", size=(640, 480)) + script, every=0.1):
            seen.append(seconds)
    assert len(seen) > 100


def test_each_packet_may_take_a_little(monkeypatch):
    data = film([0] * 100)
    monkeypatch.setattr(film_module, "MAX_DEMUX_SECONDS", 0.0)
    monkeypatch.setattr(film_module, "SECONDS_OF_A_PACKET", 1.0)
    assert len(list(read_film(data, every=0.1))) == 100
    monkeypatch.setattr(film_module, "SECONDS_OF_A_PACKET", 0.0)
    with pytest.raises(DamagedError, match="taken apart into 0 packets"):
        list(read_film(data, every=0.1))


@pytest.mark.parametrize("name", COUNTED)
def test_the_limit_is_the_number_that_is_taken(name, few):
    own = 0 if name == "Ogg" else 2  # who has made it, and how long it lasts
    assert not refused(TAGGED[name](10 - own), COUNTED[name])
    assert refused(TAGGED[name](11 - own), COUNTED[name])


def test_the_file_is_left_at_its_beginning():
    for name, noun in COUNTED.items():
        file = io.BytesIO(TAGGED[name](10))
        check_tags(file, noun)
        assert file.tell() == 0


def test_other_containers_are_not_looked_at(few):
    assert not refused(TAGGED["Matroska"](11), "mp4")


class TestMatroska:
    def test_tags_and_chapters_are_counted_together(self, few):
        assert not refused(tags_of_matroska(5) + chapters_of_matroska(5), "mkv")
        assert refused(tags_of_matroska(5) + chapters_of_matroska(6), "mkv")
        assert refused(tags_of_matroska(5) + tags_of_matroska(6), "mkv")

    @pytest.mark.parametrize("size", [b"\xa1", b"\x40\x21", b"\x01\0\0\0\0\0\0\x21", b"\xff", b"\x01" + b"\xff" * 7])
    def test_sizes_may_have_any_length_and_be_unknown(self, size, few):
        assert refused(b"\x12\x54\xc3\x67" + size + b"\x67\xc8\x80" * 11, "mkv")

    def test_they_are_found_wherever_they_begin(self, few, monkeypatch):
        """Behind what is damaged, or between two parts that are read."""
        monkeypatch.setattr(tags, "_CHUNK", 64)
        data = element(b"\x12\x54\xc3\x67", b"\x67\xc8\x80" * 11)
        for begin in range(130):
            assert refused(b"\x1f" * begin + data, "mkv")

    @pytest.mark.parametrize("chunk", [1, 3, 4, 5, 64])
    def test_each_place_is_found_once_however_the_file_is_read(self, chunk, monkeypatch):
        monkeypatch.setattr(tags, "_CHUNK", chunk)
        data = b"aabaaab" * 20
        expected = [place for place in range(len(data)) if data.startswith(b"aa", place)]
        assert list(tags._places(io.BytesIO(data), b"aa")) == expected
        assert list(tags._places(io.BytesIO(data), b"aa", 10)) == [place for place in expected if place >= 10]
        assert list(tags._places(io.BytesIO(data), b"aab" * 10)) == []

    def test_those_of_a_long_film_are_counted_once(self, few, monkeypatch):
        monkeypatch.setattr(tags, "_CHUNK", 64)
        data = element(b"\x12\x54\xc3\x67", b"\x67\xc8\x80" * 10)
        for begin in range(130):
            assert not refused(b"\x1f" * begin + data + b"\x1f" * 200, "mkv")

    @pytest.mark.parametrize(
        "identifier, count", [(b"\x67\xc8", 11), (b"\xb6", 11), (b"\x73\x73", 0), (b"\x45\xb9", 0)]
    )
    def test_only_tags_and_chapters_count_and_what_they_are_in_does_not(self, identifier, count, few):
        for parent in b"\x12\x54\xc3\x67", b"\x10\x43\xa7\x70":
            assert refused(element(parent, (identifier + b"\x80") * 11), "mkv") == (count > 10)

    def test_those_within_tags_and_chapters_are_counted(self, few):
        nested = element(b"\x67\xc8", *[element(b"\x67\xc8", b"\x67\xc8\x80")] * 5)
        assert refused(element(b"\x12\x54\xc3\x67", element(b"\x73\x73", nested)), "mkv")
        nested = element(b"\xb6", *[element(b"\xb6", b"\xb6\x80")] * 5)
        assert refused(element(b"\x10\x43\xa7\x70", element(b"\x45\xb9", nested)), "mkv")

    def test_nothing_is_counted_in_values_nor_behind_the_end(self, few):
        picture = element(b"\x44\x85", b"\x67\xc8\x80" * 11)
        assert not refused(element(b"\x12\x54\xc3\x67", element(b"\x73\x73", picture)) + b"\x67\xc8\x80" * 11, "mkv")

    @pytest.mark.parametrize("end", [b"", b"\0", b"\x12", b"\x12\x54\xc3\x67", b"\x12\x54\xc3\x67\0", b"\x67\xc8\0"])
    def test_what_ends_early_or_is_no_element_ends_the_count(self, end, few):
        assert not refused(b"\x12\x54\xc3\x67\xff" + b"\x67\xc8\x80" * 10 + end, "mkv")

    def test_elements_are_limited(self, monkeypatch):
        monkeypatch.setattr(tags, "MAX_TAG_ELEMENTS", 10)
        check_tags(io.BytesIO(element(b"\x12\x54\xc3\x67", b"\x73\x73\x80" * 9)), "mkv")
        with pytest.raises(DamagedError, match="got more than nsfw_scale.tags.MAX_TAG_ELEMENTS = 10 elements of tags"):
            check_tags(io.BytesIO(element(b"\x12\x54\xc3\x67", b"\x73\x73\x80" * 10)), "mkv")


class TestOgg:
    #: How a stream begins, and a header of it that has comments.
    STREAMS = {
        "CELT": (b"CELT    ", b""),
        "FLAC": (b"\x7fFLAC\1\0", b"\4\0\0\0"),
        "OGM": (b"\1video\0\0\0", b"\5      "),
        "Opus": (b"OpusHead", b"OpusTags"),
        "Speex": (b"Speex   ", b""),
        "Theora": (b"\x80theora", b"\x81theora"),
        "Vorbis": (b"\1vorbis", b"\3vorbis"),
        "VP8": (b"OVP80\1\1\0", b"OVP80\2 "),
    }

    @pytest.mark.parametrize("name", STREAMS)
    def test_comments_of_any_stream_are_counted(self, name, few):
        first, second = self.STREAMS[name]
        begin = page(2, 7, 0, first)
        assert not refused(begin + page(0, 7, 1, second + comments(10)), "ogg")
        assert refused(begin + page(0, 7, 1, second + comments(11)), "ogg")

    @pytest.mark.parametrize("name", STREAMS)
    def test_data_is_no_comment(self, name, few):
        first, second = self.STREAMS[name]
        begin = page(2, 7, 0, first) + page(0, 7, 1, second + comments(1))
        assert not refused(begin + page(0, 7, 2, b"\0" + b"=" * 11), "ogg")

    def test_packets_go_on_from_page_to_page(self, few):
        begin, packet = page(2, 7, 0, b"OVP80\1\1\0"), b"OVP80\2 " + bytes(100_000) + b"=" * 11
        pages = page(0, 7, 1, packet)
        assert pages.count(b"OggS") == 2 and refused(begin + pages, "ogg")
        another = page(2, 8, 0, b"OVP80\1\1\0")
        second = pages.index(b"OggS", 1)
        assert refused(begin + pages[:second] + another + pages[second:], "ogg")

    def test_several_packets_of_a_page_are_told_apart(self, few):
        lengths = [20, 8, 255, 10]
        body = b"\0" + b"=" * 19 + b"OVP80\2 " + b"=" + b"\0" + b"=" * 264
        data = b"OggS\0" + bytes([0]) + struct.pack("<qII4xB", 0, 7, 1, 4) + bytes(lengths) + body
        assert not refused(page(2, 7, 0, b"OVP80\1\1\0") + data, "ogg")

    def test_comments_of_all_streams_are_added(self, few):
        data = b"".join(
            page(2, serial, 0, b"OVP80\1\1\0") + page(0, serial, 1, b"OVP80\2 " + b"=" * 5) for serial in (7, 8)
        )
        assert not refused(data, "ogg")
        assert refused(data + page(2, 9, 0, b"OVP80\2 ="), "ogg")

    def test_a_packet_of_255_bytes_has_an_empty_piece_behind_it(self, few):
        """RFC 3533, 5: a piece shorter than 255 bytes ends a packet."""
        begin = page(2, 7, 0, b"OVP80\1\1\0")
        head = b"OVP80\2 ".ljust(255, b"\0")
        for lengths, counts in ([255, 11], True), ([255, 0, 11], False), ([254, 11], False):
            body = head[: lengths[0]] + b"=" * 11
            data = b"OggS\0\0" + struct.pack("<qII4xB", 0, 7, 1, len(lengths)) + bytes(lengths) + body
            assert refused(begin + data, "ogg") is counts

    @pytest.mark.parametrize(
        "first, second, is_header",
        [
            (b"\x80theora", b"\x80", True),
            (b"\x80theora", b"\x7f", False),
            (b"\1vorbis", b"\1", True),
            (b"\1vorbis", b"\2", False),
            (b"\x7fFLAC", b"\x84", True),
            (b"\x7fFLAC", b"\x83", False),
            (b"Speex   ", b"x", True),
            (b"CELT    ", b"x", True),
            (b"OpusHead", b"OpusTags", True),
            (b"OpusHead", b"OpusTag.", False),
            (b"OVP80\1", b"OVP80\2", True),
            (b"OVP80\1", b"OVP80\3", False),
            (b"unknown", b"\1", False),
        ],
    )
    def test_headers_are_told_from_data_as_ffmpeg_does(self, first, second, is_header, few):
        data = page(2, 7, 0, first) + page(0, 7, 1, second + b"=" * 11)
        assert refused(data, "ogg") is is_header

    @pytest.mark.parametrize("first", [b"Speex   ", b"CELT    "])
    def test_the_second_packet_of_speech_is_its_only_header_with_comments(self, first, few):
        begin = page(2, 7, 0, first + b"=" * 11)
        assert not refused(begin, "ogg")
        assert refused(begin + page(0, 7, 1, b"=" * 11), "ogg")
        assert not refused(begin + page(0, 7, 1, b"") + page(0, 7, 2, b"=" * 11), "ogg")

    def test_a_stream_may_begin_anew(self, few):
        vorbis, theora = page(2, 7, 0, b"\1vorbis"), page(2, 7, 0, b"\x80theora")
        data = page(0, 7, 1, b"\x81theora" + comments(11))
        assert refused(vorbis + data, "ogg")  # odd
        assert refused(theora + data, "ogg")
        even = page(0, 7, 1, b"\x82theora" + comments(11))
        assert not refused(vorbis + even, "ogg")
        assert refused(vorbis + theora + even, "ogg")

    def test_pages_are_found_behind_and_in_what_is_damaged(self, few):
        begin, data = page(2, 7, 0, b"OVP80\1\1\0"), page(0, 7, 1, b"OVP80\2 " + comments(11))
        assert refused(begin + b"garbage" * 3 + data, "ogg")
        assert refused(begin + page(0, 7, 1, data), "ogg")
        for size in range(1, 28):
            assert refused(begin + page(0, 7, 1, b"")[:size] + data, "ogg")

    @pytest.mark.parametrize("size", [0, 3, 4, 26, 27, 28, 40])
    def test_one_that_ends_anywhere_is_passed(self, size):
        assert not refused(page(2, 7, 0, b"OVP80\1\1\0" + bytes(50))[:size], "ogg")

    def test_damaged_pages_are_limited(self, monkeypatch):
        monkeypatch.setattr(tags, "MAX_DAMAGED_PAGES", 10)
        whole = page(2, 7, 0, b"OVP80\1\1\0") * 20
        check_tags(io.BytesIO(whole + b"garbage" + b"OggS" * 9), "ogg")
        for data in (whole + b"OggS" * 11, (whole[:36] + b"garbage") * 11):
            with pytest.raises(
                DamagedError, match="got more than nsfw_scale.tags.MAX_DAMAGED_PAGES = 10 damaged pages"
            ):
                check_tags(io.BytesIO(data), "ogg")
