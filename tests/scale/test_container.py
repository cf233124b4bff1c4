"""Where a film's file ends, as its container says: RIFF lists of an AVI, the segment of a Matroska."""

import io
import struct

import pytest

from nsfw_model.integrity import DamagedError
from nsfw_scale.container import check_length

HEADER, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def riff(size, content=None, name=b"RIFF"):
    return name + struct.pack("<I", size) + bytes(size if content is None else content)


def is_whole(data, noun):
    file = io.BytesIO(data)
    check_length(file, noun)
    return file.tell() == 0


def refuse(data, noun, expected):
    with pytest.raises(DamagedError, match=f"^truncated: got {len(data)} bytes, expected {expected}$"):
        check_length(io.BytesIO(data), noun)


class TestAvi:
    """A list has its size behind its name, which does not count these eight bytes (AVI RIFF File Reference)."""

    @pytest.mark.parametrize("size", [1, 4, 1000])
    def test_a_list_has_its_bytes(self, size):
        assert is_whole(riff(size), "avi")
        refuse(riff(size)[:-1], "avi", 8 + size)

    def test_several_follow_one_another(self):
        first, second = riff(20), riff(30)
        assert is_whole(first + second, "avi")
        refuse((first + second)[:-1], "avi", 28 + 38)
        refuse(first + second[:8], "avi", 28 + 38)

    def test_a_header_that_is_cut_is_none(self):
        for length in range(8):
            assert is_whole(riff(20) + riff(30)[:length], "avi")
            assert is_whole(riff(20)[:length], "avi")

    def test_what_follows_and_is_no_list_is_not_looked_at(self):
        assert is_whole(riff(20) + riff(1000, 1, b"JUNK"), "avi")
        assert is_whole(riff(20) + riff(1000, 1, b"JUNK") + riff(1000, 1), "avi")

    def test_a_size_of_nothing_is_unknown(self):
        """As of what was not finished."""
        assert is_whole(riff(0, 20), "avi") and is_whole(riff(0) + riff(1000, 1), "avi")


class TestMatroska:
    """Sizes are numbers whose first bit that is set says how many bytes they have (RFC 8794, 4 and 6)."""

    HEAD = HEADER + b"\x84abcd"

    @pytest.mark.parametrize(
        "size, value",
        [
            (b"\x80", 0),
            (b"\x85", 5),
            (b"\xfe", 126),
            (b"\x40\x05", 5),
            (b"\x41\x00", 256),
            (b"\x01" + bytes(6) + b"\x09", 9),
        ],
    )
    def test_a_segment_has_its_bytes(self, size, value):
        whole = self.HEAD + SEGMENT + size + bytes(value)
        assert is_whole(whole, "mkv") and is_whole(whole + b"more", "mkv")
        if value:
            refuse(whole[:-1], "mkv", len(whole))

    @pytest.mark.parametrize("size", [b"\xff", b"\x7f\xff", b"\x01" + b"\xff" * 7])
    def test_a_size_may_be_unknown(self, size):
        """All its bits are set, as of what was sent while it was made."""
        assert is_whole(self.HEAD + SEGMENT + size, "mkv")
        assert is_whole(HEADER + size + b"abcd" + SEGMENT + b"\x88", "mkv")

    @pytest.mark.parametrize("size, value", [(b"\xfe", 126), (b"\x7f\xfe", 16382)])
    def test_one_less_is_known(self, size, value):
        refuse(self.HEAD + SEGMENT + size, "mkv", len(self.HEAD) + 4 + len(size) + value)

    def test_a_header_may_have_any_length(self):
        for count in 0, 1, 126, 300, 4000:
            head = HEADER + struct.pack(">H", 1 << 14 | count) + bytes(count)
            refuse(head + SEGMENT + b"\x8a", "mkv", len(head) + 5 + 10)

    @pytest.mark.parametrize("behind", [b"", SEGMENT, SEGMENT[:3], SEGMENT + b"\0", b"\x18\x53\x80\x68\x8a", b"\0" * 9])
    def test_what_has_no_segment_or_no_size_says_nothing(self, behind):
        assert is_whole(self.HEAD + behind, "mkv")

    def test_a_header_without_a_size_says_nothing(self):
        for data in HEADER, HEADER + b"\0" + SEGMENT + b"\x8a", HEADER + b"\x84":
            assert is_whole(data, "mkv")


@pytest.mark.parametrize("noun", ["flv", "ts", "mpeg", "ogg", "wmv", "mpv"])
def test_others_do_not_say_how_long_they_are(noun):
    assert is_whole(riff(1000, 1), noun)


def test_the_file_is_read_from_its_beginning_wherever_it_was():
    file = io.BytesIO(riff(20) + riff(30))
    file.seek(28)
    check_length(file, "avi")
    assert file.tell() == 0
    file = io.BytesIO(riff(1000, 1))
    file.seek(5)
    with pytest.raises(DamagedError):
        check_length(file, "avi")
