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
