"""What the file of an animation promises, read chunk by chunk from files that are written by hand."""

import re
import struct
import zlib

import pytest
from made_pictures import chunk, grey_tiff

from nsfw_model import animation
from nsfw_model.animation import check_animation, check_frame_count
from nsfw_model.integrity import DamagedError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))
IEND = chunk(b"IEND", b"")


def refuse(data, message):
    with pytest.raises(DamagedError, match=f"^{re.escape(message)}$"):
        check_animation(data)


def promise(frames):
    return chunk(b"acTL", struct.pack(">II", frames, 0))


def control(width, height, sequence=0):
    """fcTL (PNG 11.3.6.2)."""
    return chunk(b"fcTL", struct.pack(">5I2H2B", sequence, width, height, 0, 0, 1, 1, 0, 0))


def rows(width, height, missing=0):
    return zlib.compress(bytes(height * (1 + 3 * width) - missing))


def first(width=9, height=9, missing=0):
    return control(width, height) + chunk(b"IDAT", rows(width, height, missing))


def later(width, height, missing=0, pieces=1):
    data = rows(width, height, missing)
    size = -(-len(data) // pieces)
    return control(width, height) + b"".join(
        chunk(b"fdAT", struct.pack(">I", 7) + data[at : at + size]) for at in range(0, len(data), size)
    )


class TestPng:
    def test_each_frame_has_the_rows_of_its_own_size(self):
        data = SIGNATURE + IHDR + promise(3) + first() + later(4, 5) + later(6, 2, pieces=3) + IEND
        check_animation(data)
        check_animation(data[: -len(IEND)])

    @pytest.mark.parametrize("frame", [1, 2, 3])
    def test_a_frame_that_lacks_a_byte_is_named(self, frame):
        sizes = (9, 9), (4, 5), (6, 2)
        frames = [
            (first if number == 0 else later)(*size, missing=number + 1 == frame) for number, size in enumerate(sizes)
        ]
        expected = sizes[frame - 1][1] * (1 + 3 * sizes[frame - 1][0])
        message = f"frame {frame}: truncated: got {expected - 1} bytes of pixels, expected {expected}"
        refuse(SIGNATURE + IHDR + promise(3) + b"".join(frames) + IEND, message)

    def test_a_first_picture_may_be_none_of_the_frames(self):
        """One without a control chunk in front of it is for those who know no animations (PNG 4.9)."""
        still = chunk(b"IDAT", rows(9, 9))
        check_animation(SIGNATURE + IHDR + promise(2) + still + later(4, 5) + later(6, 2) + IEND)
        refuse(SIGNATURE + IHDR + promise(2) + still + later(4, 5) + IEND, "truncated: got 1 frames, expected 2")

    @pytest.mark.parametrize(
        "promised, message",
        [(1, "got 2 frames, expected 1"), (0, "got 2 frames, expected 0"), (3, "truncated: got 2 frames, expected 3")],
    )
    def test_there_are_as_many_frames_as_are_promised(self, promised, message):
        check_animation(SIGNATURE + IHDR + promise(2) + first() + later(4, 5) + IEND)
        refuse(SIGNATURE + IHDR + promise(promised) + first() + later(4, 5) + IEND, message)
        refuse(SIGNATURE + IHDR + promise(5) + chunk(b"IDAT", rows(9, 9)) + IEND, "truncated: got 0 frames, expected 5")

    def test_a_picture_that_promises_none_is_not_looked_at(self):
        check_animation(SIGNATURE + IHDR + first(missing=9) + IEND)
        check_animation(SIGNATURE + IHDR + chunk(b"IDAT", rows(9, 9)) + promise(5) + IEND)

    def test_two_promises_are_refused(self):
        refuse(SIGNATURE + IHDR + promise(0) + promise(0) + first() + IEND, "got two numbers of frames, expected one")
        check_animation(SIGNATURE + IHDR + promise(1) + first() + promise(7) + IEND)

    @pytest.mark.parametrize("name", [b"acTL", b"fcTL", b"fdAT"])
    def test_chunks_of_frames_have_their_checksum(self, name):
        data = bytearray(SIGNATURE + IHDR + promise(2) + first() + later(4, 5) + IEND)
        place = data.index(name)
        (length,) = struct.unpack_from(">I", data, place - 4)
        data[place + 4 + length] ^= 1
        with pytest.raises(DamagedError, match=f"^byte {place - 4}: chunk {name.decode()} got checksum"):
            check_animation(bytes(data))

    @pytest.mark.parametrize(
        "bits, colours, interlaced, size",
        [(16, 6, 0, 4 * (1 + 3 * 8)), (1, 0, 0, 4 * 2), (8, 0, 1, 2 + 2 + 3 + 2 * 2 + 2 * 4)],
    )
    def test_rows_are_those_of_the_kind_that_the_header_says(self, bits, colours, interlaced, size):
        """3x4 pixels; in passes of 1x1, none, none, 1x1, 2x1, 1x2 and 3x2, each row with a byte more."""
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 4, bits, colours, 0, 0, interlaced))
        for missing in 0, 1:
            pixels = zlib.compress(bytes(size - missing))
            data = SIGNATURE + header + promise(1) + control(3, 4) + chunk(b"IDAT", pixels) + IEND
            if missing:
                refuse(data, f"frame 1: truncated: got {size - 1} bytes of pixels, expected {size}")
            else:
                check_animation(data)


class TestCount:
    def test_frames_are_limited(self):
        check_frame_count(32768)
        with pytest.raises(DamagedError, match="^got more than nsfw_model.animation.MAX_FRAMES = 32768 frames$"):
            check_frame_count(32769)

    def test_in_each_format(self, monkeypatch):
        monkeypatch.setattr(animation, "MAX_FRAMES", 2)
        message = "got more than nsfw_model.animation.MAX_FRAMES = 2 frames"
        frame = b",\0\0\0\0\1\0\1\0\0\2\0"
        check_animation(b"GIF89a" + bytes(7) + frame * 2 + b";")
        refuse(b"GIF87a" + bytes(7) + frame * 3 + b";", message)
        check_animation(SIGNATURE + IHDR + promise(2) + first() + later(4, 5) + IEND)
        refuse(SIGNATURE + IHDR + promise(3), message)
        page = grey_tiff((4, 4), 1, [(8, 16)], 4, bytes(16))
        directory = page[struct.unpack_from("<I", page, 4)[0] : -4]

        def pages(count):
            links = [len(page) + number * (len(directory) + 4) for number in range(count - 1)]
            return page[:-4] + b"".join(struct.pack("<I", link) + directory for link in links) + bytes(4)

        check_animation(pages(2))
        refuse(pages(3), message)

    def test_a_page_that_lacks_something_is_named(self):
        refuse(grey_tiff((4, 4), 1, [(0, 16)], 4, bytes(16)), "frame 1: truncated: got 0 strips or tiles, expected 1")

    def test_other_files_are_not_looked_at(self):
        for data in b"RIFF", b"GIF7", b"II*.", b"":
            check_animation(data)
