"""Headers in thousands of pieces are refused before any decoder reads them one by one."""

import struct
import time
import zlib

import pytest
from made_pictures import chunk, encoded, png
from PIL import Image

from nsfw_model import headers
from nsfw_model.headers import check_headers
from nsfw_model.integrity import DamagedError
from nsfw_model.picture import PictureError, read_picture

PHOTO = Image.open("img/coffee.jpg").convert("RGB").resize((60, 40))
JPEG, GIF = encoded(PHOTO, "JPEG"), encoded(PHOTO.quantize(8), "GIF")
COMMENT = b"!\xfe\x01a\0"
FRAME = GIF.index(b",\0\0\0\0")
PALETTE = zlib.compress(bytes(1000))


def jpeg_with(inserted):
    return JPEG[:2] + inserted + JPEG[2:]


def png_with(inserted):
    whole = png(4 * (b"\0" + 12 * b"\x7f"), 4, 4)
    return whole[:33] + inserted + whole[33:]


def gif_with(inserted):
    return GIF[:FRAME] + inserted + GIF[FRAME:]


def tiff_of(entries, big=False):
    """A directory of so many entries, of one byte each."""
    entry = struct.pack("<HHQQ", 40000, 1, 1, 0) if big else struct.pack("<HHII", 40000, 1, 1, 0)
    start = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, entries) if big else b"II*\0" + struct.pack("<IH", 8, entries)
    return start + entry * entries + bytes(8)


def segment(marker, contents):
    return struct.pack(">BBH", 255, marker, 2 + len(contents)) + contents


EXIF = segment(0xE1, b"Exif\0\0" + b"a" * 100)
FRAME_HEADER = segment(0xC0, b"\x08\0\x10\0\x10\x03" + bytes(65526))
RESOURCES = segment(0xED, b"Photoshop 3.0\0" + 5000 * (b"8BIM\4\4" + bytes(6)))
TOO_MUCH = {
    "fill bytes of a JPEG": (jpeg_with(b"\xff" * (1 << 17)), "more than 65536 bytes between segments"),
    "strangers' bytes in a JPEG": (jpeg_with(b"\0" * (1 << 17)), "more than 65536 bytes between segments"),
    "bytes without a marker": (b"\xff\xd8" + bytes(1 << 17), "more than 65536 bytes between segments"),
    "empty segments": (jpeg_with(b"\xff\xe0\0\2" * 70_000), "more than 65536 segments"),
    "markers without length": (jpeg_with(b"\xff\x01" * 70_000), "more than 65536 segments"),
    "tables of a JPEG": (jpeg_with((b"\xff\xdb\xff\xdc" + bytes(65498)) * 17), "more than 1048576 bytes of tables"),
    "frame headers of a JPEG": (jpeg_with(FRAME_HEADER * 17), "more than 1048576 bytes of tables"),
    "Exif in many segments": (jpeg_with(EXIF * 65), "more than 64 segments of Exif"),
    "resources of Photoshop's": (jpeg_with(RESOURCES * 14), "more than 65536 resources of Photoshop's"),
    "chunks of a PNG": (png_with(chunk(b"teXt", b"") * 70_000), "more than 65536 chunks"),
    "colour profiles": (png_with(chunk(b"iCCP", b"a\0\0" + PALETTE) * 17), "more than 16 colour profiles"),
    "blocks of a GIF": (gif_with(COMMENT * 70_000), "more than 65536 blocks before the first frame"),
    "strangers' bytes in a GIF": (gif_with(bytes(70_000)), "more than 65536 blocks before the first frame"),
    "parts of a block": (gif_with(b"!\xfe" + b"\x01a" * (1 << 20) + b"\x01a\0"), "more than 1048576 parts of blocks"),
    "a comment in a PPM's header": (
        b"P6 #" + b"a" * (1 << 16) + b"\n2 2 255 " + bytes(12),
        "header of more than 65536",
    ),
    "spaces in a PPM's header": (b"P6" + b" " * (1 << 16) + b"2 2 255 " + bytes(12), "header of more than 65536"),
    "comments among numbers": (b"P3 2 2 255 " + b"#\n" * 1025 + b"1 " * 12, "more than 1024 comments among numbers"),
    "entries of a TIFF": (tiff_of(4097), "more than 4096 entries of a directory"),
    "entries of a BigTIFF": (tiff_of(4097, big=True), "more than 4096 entries of a directory"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_no_encoder_writes_is_refused_before_it_is_read(what):
    data, message = TOO_MUCH[what]
    with pytest.raises(PictureError, match=message):
        read_picture(data)


ENOUGH = {
    "fill bytes": jpeg_with(b"\xff" * 60_000),
    "segments": jpeg_with(b"\xff\xe0\0\2" * 1000),
    "Exif in several segments": jpeg_with(EXIF * 64),
    "resources of Photoshop's": jpeg_with(RESOURCES * 2),
    "other segments of the same kind": jpeg_with(
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60)) * 65
    ),
    "what follows a JPEG": JPEG + bytes(1 << 17),
    "chunks": png_with(chunk(b"teXt", b"a\0b") * 1000),
    "one colour profile": png_with(chunk(b"iCCP", b"a\0\0" + PALETTE)),
    "comments in a GIF": gif_with(COMMENT * 1000),
    "a long comment in a GIF": gif_with(b"!\xfe" + (b"\xff" + b"a" * 255) * 5000 + b"\0"),
    "a comment in a PPM's header": b"P6 # by\n2 #\n 2 255 " + bytes(12) + bytes(1 << 17),
    "a bitmap, whose header has two numbers": b"P4 800 800 " + bytes(80_000),
    "comments among numbers": b"P3 2 2 255 " + b"1 # one\n" * 12,
}


@pytest.mark.parametrize("what", ENOUGH)
def test_what_people_write_is_read(what):
    assert read_picture(ENOUGH[what]).mode == "RGB"


@pytest.mark.parametrize("format", ["GIF", "JPEG", "PNG", "PPM", "TIFF"])
def test_files_that_end_early_are_left_to_pillow(format):
    data = encoded(PHOTO.convert("L"), format)
    for end in range(120):
        check_headers(data[:end])


def test_the_limits_are_read_when_they_are_needed(monkeypatch):
    monkeypatch.setattr(headers, "MAX_PROFILES", 0)
    with pytest.raises(DamagedError, match="got more than 0 colour profiles"):
        check_headers(ENOUGH["one colour profile"])


def test_fill_bytes_within_a_scan_do_not_take_quadratic_time():
    scan = JPEG.index(b"\xff\xda") + 14
    began = time.process_time()
    read_picture(JPEG[:scan] + b"\xff" * 200_000 + b"\0" + JPEG[scan:])
    assert time.process_time() - began < 10  # minutes, if it does


@pytest.mark.parametrize("marker", [0x01, *range(0xD0, 0xDA)])
def test_markers_of_a_jpeg_that_have_no_length_hide_nothing(marker):
    """T.81, table B.1: TEM, RST, SOI and EOI; with a length, most of what follows would be a segment."""
    with pytest.raises(DamagedError, match="more than 65536 bytes between segments"):
        check_headers(b"\xff\xd8\xff" + bytes([marker]) + b"\xfe\xfe" + bytes(66_000))


def tiff_start(order, big, at, entries):
    number = "Q" if big else "I"
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    return (head + bytes(4 if big else 0) + struct.pack(order + number, at)).ljust(at, b"\0") + struct.pack(
        order + ("Q" if big else "H"), entries
    )


# Of each limit: its value, what has as much of it, and what has one more; and what is named
AT_THE_LIMIT = {
    "blocks of a GIF": (
        "MAX_BLOCKS",
        3,
        b"GIF89a" + bytes(7) + b"!\xfe\0" * 3 + b",",
        b"GIF89a" + bytes(7) + b"!\xfe\0" * 3 + b"\0,",
        "3 blocks before the first frame",
    ),
    "blocks of a GIF without frames": (
        "MAX_BLOCKS",
        3,
        b"GIF89a" + bytes(7) + b"\1" * 3 + b";" + b"\1" * 9,
        b"GIF89a" + bytes(7) + b"\1" * 4 + b";",
        "3 blocks before the first frame",
    ),
    "blocks of a GIF behind its colours": (
        "MAX_BLOCKS",
        3,
        b"GIF89a" + bytes(4) + b"\x81\0\0" + b"\1" * 12 + b"!\xfe\2,,\0" * 3 + b",",
        b"GIF89a" + bytes(4) + b"\x81\0\0" + b"\1" * 12 + b"!\xfe\2,,\0" * 4 + b",",
        "3 blocks before the first frame",
    ),
    "parts of blocks": (
        "MAX_PARTS",
        3,
        b"GIF89a" + bytes(7) + b"!\xfe\1a\2aa\0!\xf9\1a\0,",
        b"GIF89a" + bytes(7) + b"!\xfe\1a\2aa\0!\xf9\1a\1a\0,",
        "3 parts of blocks before the first frame",
    ),
    "segments of a JPEG": (
        "MAX_BLOCKS",
        3,  # with its start
        b"\xff\xd8" + segment(0xE0, b"\xff\xe1") + segment(0xFE, b"") + b"\xff\xda" + segment(0xE0, b""),
        b"\xff\xd8" + segment(0xE0, b"\xff\xe1") + segment(0xFE, b"") * 2 + b"\xff\xda",
        "3 segments",
    ),
    "bytes between a JPEG's segments": (
        "MAX_HEADER_BYTES",
        5,
        b"\xff\xd8..\xff" + segment(0xFE, b"abcdef") + b"\xff\xff\xff\xda" + bytes(20),
        b"\xff\xd8..\xff" + segment(0xFE, b"abcdef") + b".\xff\xff\xff\xda",
        "5 bytes between segments",
    ),
    "bytes behind a JPEG's last segment": (
        "MAX_HEADER_BYTES",
        5,
        b"\xff\xd8" + segment(0xFE, b"abcdef") + b".....",
        b"\xff\xd8" + segment(0xFE, b"abcdef") + b"......",
        "5 bytes between segments",
    ),
    "a JPEG's Exif": (
        "MAX_EXIF_SEGMENTS",
        2,
        b"\xff\xd8" + EXIF * 2 + segment(0xE1, b"Exif\0a") + segment(0xE2, b"Exif\0\0"),
        b"\xff\xd8" + EXIF * 3,
        "2 segments of Exif",
    ),
    "a JPEG's resources of Photoshop's": (
        "MAX_BLOCKS",
        5,
        b"\xff\xd8" + segment(0xED, b"8BIM" * 3) + segment(0xED, b"8BIM" * 2) + segment(0xE1, b"8BIM"),
        b"\xff\xd8" + segment(0xED, b"8BIM" * 3) + segment(0xED, b"8BIM" * 3),
        "5 resources of Photoshop's",
    ),
    "chunks of a PNG": (
        "MAX_BLOCKS",
        3,
        b"\x89PNG\r\n\x1a\n" + chunk(b"teXt", b"") * 2 + chunk(b"IEND", b"") + chunk(b"teXt", b""),
        b"\x89PNG\r\n\x1a\n" + chunk(b"teXt", b"abc") * 3 + struct.pack(">I4s", 0, b"IEND"),
        "3 chunks",
    ),
    "a PNG's colour profiles": (
        "MAX_PROFILES",
        2,
        b"\x89PNG\r\n\x1a\n" + chunk(b"iCCP", b"") * 2 + chunk(b"IEND", b"") + chunk(b"iCCP", b""),
        b"\x89PNG\r\n\x1a\n" + chunk(b"iCCP", b"") * 3,
        "2 colour profiles",
    ),
    "comments of a PPM of text": (
        "MAX_COMMENTS", 3, b"P3 1 1 9 #\n#\n#\n", b"P3 1 1 9 #\n#\n#\n#\n", "3 comments among numbers as text"
    ),
    **{
        f"entries of a TIFF, {order}, {big}": (
            "MAX_ENTRIES",
            3,
            tiff_start(order, big, at, 3),
            tiff_start(order, big, at, 4),
            "3 entries of a directory",
        )
        for order in "<>"
        for big, at in ((False, 8), (False, 30), (True, 16), (True, 40))
    },
}  # fmt: skip


@pytest.mark.parametrize("what", AT_THE_LIMIT)
def test_as_much_as_is_allowed_is_read(what, monkeypatch):
    limit, value, enough, too_much, message = AT_THE_LIMIT[what]
    monkeypatch.setattr(headers, limit, value)
    check_headers(enough)
    with pytest.raises(DamagedError, match=f"^got more than {message}$"):
        check_headers(too_much)


@pytest.mark.parametrize("marker", range(0xC0, 0x100))
def test_tables_and_frame_headers_of_a_jpeg_are_counted_by_their_bytes(marker, monkeypatch):
    """T.81, table B.1: SOF0 to SOF15 with DHT, JPG and DAC among them, DQT and DHP."""
    monkeypatch.setattr(headers, "MAX_TABLE_BYTES", 20)
    ten_bytes = segment(marker, bytes(8))
    if marker in (*range(0xC0, 0xD0), 0xDB, 0xDE):
        check_headers(b"\xff\xd8" + ten_bytes * 2)
        with pytest.raises(DamagedError, match="^got more than 20 bytes of tables$"):
            check_headers(b"\xff\xd8" + ten_bytes * 2 + segment(marker, b""))
    else:
        check_headers(b"\xff\xd8" + ten_bytes * 3)


@pytest.mark.parametrize("kind", [b"P0", b"P1", b"P3", b"P4", b"P6", b"Pf", b"Py", b"PyRGBA"])
@pytest.mark.parametrize("numbers", [b"12 34", b"12 34 255", b"1#comment 5\n2#another\r 3"])
def test_a_header_of_a_ppm_ends_behind_its_numbers(kind, numbers, monkeypatch):
    header = kind + b"\n" + numbers + b"\n"
    monkeypatch.setattr(headers, "MAX_HEADER_BYTES", len(header))
    check_headers(header + bytes(100))
    monkeypatch.setattr(headers, "MAX_HEADER_BYTES", len(header) - len(numbers.split()[-1]) - 1)
    if len(numbers.split()) == 2:
        with pytest.raises(DamagedError, match="^got a header of more than [0-9]+ bytes$"):
            check_headers(header + bytes(100))


def test_a_short_file_has_a_short_header(monkeypatch):
    monkeypatch.setattr(headers, "MAX_HEADER_BYTES", 10)
    check_headers(b"P6 #......")
    with pytest.raises(DamagedError, match="^got a header of more than 10 bytes$"):
        check_headers(b"P6 #.......")


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"])
def test_comments_are_counted_where_numbers_are_text(kind, monkeypatch):
    monkeypatch.setattr(headers, "MAX_COMMENTS", 0)
    data = kind + b" 1 1 255 #"
    if kind in (b"P1", b"P2", b"P3"):
        with pytest.raises(DamagedError, match="^got more than 0 comments among numbers as text$"):
            check_headers(data)
    else:
        check_headers(data)
