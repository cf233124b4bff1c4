"""Pictures of a few bytes, or of a few megabytes, that ask for gigabytes or minutes."""

import struct
import zlib

from attack import Attack
from made_pictures import bmp, chunk, encoded, grey_tiff, icon, png, tiff_entries
from PIL import Image, features
from pictures import PHOTO, ROOT, UNKNOWN, UNREAD_TIFF, WHOLE, HEIGHT, WIDTH, prepare, read, refused, unreadable

__all__ = ["ATTACKS", "prepare"]

CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "picture-bmp"
ICON_OF_ONE_PNG = png(bytes(9001 * 3000), 3000, 3000)


def _many_for_one(count):
    """An icon in which each of so many pictures is the same part of the file."""
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(ICON_OF_ONE_PNG), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + ICON_OF_ONE_PNG


def jpeg_with(inserted):
    return WHOLE["JPEG"][0][:2] + inserted + WHOLE["JPEG"][0][2:]


def png_with(inserted):
    whole = png(4 * (b"\0" + 12 * b"\x7f"), 4, 4)
    return whole[:33] + inserted + whole[33:]


def gif_with(inserted):
    data = WHOLE["GIF"][0]
    frame = data.index(b",\0\0\0\0")
    return data[:frame] + inserted + data[frame:]


def sharing_tiff(entries):
    """A TIFF each of whose entries is the same 512 KiB of whole numbers."""
    shared = bytes(1 << 19)
    pixels = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    directory = [*pixels, *((1000 + tag, 4, 1 << 17, 8) for tag in range(entries))]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in directory)
    return (
        b"II*\0" + struct.pack("<I", 8 + len(shared)) + shared + struct.pack("<H", len(directory)) + packed + bytes(4)
    )


def tiff_of_strips(count):
    """A TIFF that promises so many strips."""
    data = bytearray(WHOLE["TIFF"][0])
    struct.pack_into("<I", data, tiff_entries(data)[273] + 4, count)
    return bytes(data)


def webp_of(size):
    """A WebP whose canvas has this size, and a tiny frame."""
    data = bytearray(encoded(PHOTO, "WEBP", exif=b"Exif\0\0II*\0"))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = 2 * (size - 1).to_bytes(3, "little")
    return bytes(data)


def repeated_scans():
    data = encoded(PHOTO.resize((2000, 1500)), "JPEG", progressive=True)
    return data[:-2] + 300 * data[data.rindex(b"\xff\xda") : -2] + data[-2:]


def large_progressive(marker, scans=b""):
    """A progressive JPEG of 64x64 pixels that promises 9000x9000, with its own scans, or others behind its first."""
    data = encoded(PHOTO.resize((64, 64)).convert("L"), "JPEG", progressive=True)
    at = data.index(b"\xff\xc2")
    data = data[: at + 1] + bytes([marker]) + data[at + 2 : at + 5] + struct.pack(">HH", 9000, 9000) + data[at + 9 :]
    return data[: data.index(b"\xff\xda") + 10] + b"\x55" + scans + b"\xff\xd9" if scans else data


def j2k_of_tiny_tiles():
    data = bytearray(encoded(PHOTO, "JPEG2000", no_jp2=True))
    struct.pack_into(">II", data, 8, 8000, 8000)
    struct.pack_into(">II", data, 24, 1, 1)
    return bytes(data)


def j2k_of_tiny_parts(layers=1, block=4, precinct=0xFF):
    """A JPEG 2000 of 512x512 pixels, or of 4000x4000, cut into these. Sizes are exponents of two."""
    size = 512 if layers > 1 else 4000
    sizes = struct.pack(">H8IH", 0, size, size, 0, 0, size, size, 0, 0, 3) + 3 * b"\7\1\1"
    style = struct.pack(">BBHB", 1, 0, layers, 0) + bytes([0, block, block, 0, 1, precinct])
    part = struct.pack(">HIBB", 0, 114, 0, 1)
    segments = (0xFF51, sizes), (0xFF52, style), (0xFF5C, b"\x40\x40"), (0xFF90, part)
    packed = b"".join(struct.pack(">HH", marker, 2 + len(contents)) + contents for marker, contents in segments)
    return b"\xff\x4f" + packed + b"\xff\x93" + bytes(100) + b"\xff\xd9"


def j2k_of_segments(count):
    data = encoded(PHOTO, "JPEG2000", no_jp2=True)
    part = data.index(b"\xff\x90")
    return data[:part] + count * b"\xff\x64\0\2" + data[part:]


TOO_MANY_PARTS = unreadable("got [0-9]+ code blocks and precincts and [0-9]+ packets, expected at most 1048576 and")


def tiff_of_shared_strips(strip, compression, count, *more, rows=8):
    """A TIFF of 64 pixels across, each of whose strips is the same part of the file."""
    return grey_tiff((64, rows * count), compression, [(8, len(strip))] * count, rows, strip, *more)


GREY_STRIP = encoded(PHOTO.convert("L").resize((64, 8)), "JPEG")
ZEROS = zlib.compress(bytes(50_000_000), 9)
PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
PIXELS = unreadable(".*exceeds limit of [0-9]+ pixels")
TOO_MANY_PIXELS = refused("[0-9]+x[0-9]+ is [0-9]+ pixels, more than PIL.Image.MAX_IMAGE_PIXELS")
READ = "a picture of 150x100"  # in time

BOMBS = {
    "BMP, 384 bytes for half a minute": ((CORPUS / "bmp_384_bytes_30s.bmp").read_bytes(), unreadable(".*run-length")),
    "BMP, a jump over 20 million": ((CORPUS / "bmp_delta_20000000.bmp").read_bytes(), unreadable(".*run-length")),
    "BMP, wide": ((CORPUS / "bmp_rle_wide.bmp").read_bytes(), unreadable(".*run-length codes")),
    "BMP, 17 MB of run lengths": (
        bmp(b"\x01\x77" * (17 << 19)),
        unreadable(".*bytes of run-length codes, expected at"),
    ),
    "BMP of 2 billion colours": (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 0, 64, 0, 0, 1 << 31, 0),
        unreadable("Unsupported BMP Palette size"),
    ),
    "BMP of the least height": (
        b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<IiiHHI20x", 40, 8, -(1 << 31), 1, 24, 0),
        PIXELS,
    ),
    "GIF of a huge screen": (
        WHOLE["GIF"][0][:6] + b"\xff\xff\xff\xff" + WHOLE["GIF"][0][10:],
        PIXELS,
    ),
    "GIF, 400,000 comments": (gif_with(b"!\xfe\x01a\0" * 400_000), unreadable("got more than 65536 blocks before")),
    "GIF, a comment of two million parts": (
        gif_with(b"!\xfe" + b"\x01a" * 2_000_000 + b"\0"),
        unreadable("got more than 1048576"),
    ),
    "ICO, 65,535 entries for one PNG": (
        _many_for_one(65535),
        unreadable("got pictures inside of [0-9]+ (bytes in all|pixels)"),
    ),
    "ICO of a PNG of 2 billion squared": (icon(png(ZEROS, 2**31 - 1, 2**31 - 1)), PIXELS),
    "ICO of PNGs for gigabytes": (
        icon(*[png(bytes(9001 * 3000), 3000, 3000)] * 40),
        unreadable("got pictures inside of [0-9]+ pixels"),
    ),
    "ICO beside a bitmap of 2 billion colours": (
        icon(encoded(PHOTO, "PNG"), struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 0, 64, 0, 0, 1 << 31, 0)),
        READ,
    ),
    "ICO beside 20,000 bitmaps of 65,536 colours": (
        icon(encoded(PHOTO, "PNG"), *[struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 0, 64, 0, 0, 1 << 16, 0)] * 20_000),
        READ,
    ),
    "ICO in ICO in ICO": (
        icon(icon(icon(WHOLE["ICO of a PNG"][0]))),
        unreadable("Unsupported BMP|.*header|Truncated File Read"),
    ),
    "JPEG of 310 scans": (
        repeated_scans(),
        unreadable("got 310 scans of 2000x1500 pixels, expected at most 100 scans"),
    ),
    "JPEG of 101 scans of arithmetic codes": (
        large_progressive(0xCA, b"\xff\xda\0\x08\x01\x01\0\x01\x3f\0\x55" * 100),
        unreadable("got 101 scans of 9000x9000 pixels, expected at most 100 scans"),
    ),
    "JPEG, progressive scans of a few bytes": (
        large_progressive(0xC2),
        unreadable("truncated: got [0-9]+ bytes for 1265625 blocks of scan 0, expected at least 158204"),
    ),
    "JPEG, 5 MB of fill bytes": (
        jpeg_with(b"\xff" * 5_000_000),
        unreadable("got more than 65536 bytes between segments"),
    ),
    "JPEG, 5 MB of no segment": (jpeg_with(bytes(5_000_000)), unreadable("got more than 65536 bytes between segments")),
    "JPEG, a million segments": (jpeg_with(b"\xff\xe0\0\2" * 1_000_000), unreadable("got more than 65536 segments")),
    "JPEG, 13 MB of tables": (
        jpeg_with((b"\xff\xdb\xff\xdc" + bytes(65498)) * 200),
        unreadable("got more than 1048576 bytes of tables"),
    ),
    "JPEG, 65,000 segments of Exif": (
        jpeg_with((b"\xff\xe1\0\x6cExif\0\0" + b"a" * 100) * 65_000),
        unreadable("got more than 64 segments of Exif"),
    ),
    "JPEG, 20 MB of frame headers": (
        jpeg_with((b"\xff\xc0\xff\xfe\x08\0\x10\0\x10\x03" + bytes(65526)) * 300),
        unreadable("got more than 1048576 bytes of tables"),
    ),
    "JPEG, 2 million resources of Photoshop's": (
        jpeg_with((b"\xff\xed\xea\x70Photoshop 3.0\0" + 5000 * (b"8BIM\4\4" + bytes(6))) * 400),
        unreadable("got more than 65536 resources of Photoshop's"),
    ),
    "JPEG, fill bytes within a scan": (
        WHOLE["JPEG"][0][:-400] + b"\xff" * 1_000_000 + b"\0" + WHOLE["JPEG"][0][-400:],
        f"{READ}|{unreadable('truncated')}",
    ),
    "JPEG of 65,500 pixels squared": (
        WHOLE["JPEG"][0].replace(struct.pack(">HH", HEIGHT, WIDTH), b"\xff\xdc\xff\xdc", 1),
        PIXELS,
    ),
    "JPEG 2000 of 64 million tiles": (j2k_of_tiny_tiles(), unreadable("got 64000000 tiles, expected at most 16384")),
    "JPEG 2000 of 65,535 layers": (j2k_of_tiny_parts(layers=65535, precinct=0x33), TOO_MANY_PARTS),
    "JPEG 2000 of blocks of 4x4": (j2k_of_tiny_parts(block=0), TOO_MANY_PARTS),
    "JPEG 2000 of precincts of 2x2": (j2k_of_tiny_parts(precinct=0x11), TOO_MANY_PARTS),
    "JPEG 2000 of two million comments": (j2k_of_segments(2_000_000), unreadable("got more than 1048576 segments")),
    "PCX of 65,536 pixels squared": (
        WHOLE["PCX"][0][:4] + b"\0\0\0\0\xfe\xff\xfe\xff" + WHOLE["PCX"][0][12:],
        PIXELS,
    ),
    "PNG of 2 billion squared": (png(ZEROS, 2**31 - 1, 2**31 - 1), PIXELS),
    "PNG of 90 million pixels": (png(bytes(9), 10_000, 9_000), TOO_MANY_PIXELS),
    "PNG, a profile of 50 MB": (
        png_with(chunk(b"iCCP", b"a\0\0" + ZEROS)),
        unreadable("Decompressed data too large"),
    ),
    "PNG, 3000 profiles": (png_with(PROFILE * 3000), unreadable("got more than 16 colour profiles")),
    "PNG, 2000 texts": (png_with(TEXT * 2000), unreadable("Too much memory used in text chunks")),
    "PNG, 500,000 chunks": (png_with(chunk(b"teXt", b"") * 500_000), unreadable("got more than 65536 chunks")),
    "PPM, a comment of 5 MB": (
        b"P6 #" + b"a" * 5_000_000 + b"\n2 2 255 " + bytes(12),
        unreadable("got a header of more"),
    ),
    "PPM, three million comments": (
        b"P3 2 2 255 " + b"#a\n" * 3_000_000 + b"1 " * 12,
        unreadable("got more than 1024 comm"),
    ),
    "PPM of 17 MB of text": (
        b"P3 2 2 255 " + b" " * (17 << 20),
        unreadable(".*bytes of numbers as text, expected at most"),
    ),
    "PPM of 24 MB and a maximum of 254": (b"P6 2800 2800 254\n" + bytes(3 * 2800**2), "a picture of 2800x2800"),
    "PPM of a number of many digits": (b"P6 " + b"9" * 50_000 + b" 2 255 ", unreadable(".*Token too long")),
    "TIFF, entries that share a megabyte": (sharing_tiff(4000), "a picture of 4x4"),
    "TIFF, 60,000 entries": (sharing_tiff(60_000), unreadable("got more than 4096 entries")),
    "TIFF of a million strips": (
        tiff_of_strips(1_000_000),
        f"{refused(UNREAD_TIFF)}|{unreadable('got 1000000 strips or tiles, expected at most 131072')}",
    ),
    "TIFF of a JPEG for 60,000 strips": (tiff_of_shared_strips(GREY_STRIP, 7, 60_000), "a picture of 64x480000"),
    "TIFF of a megabyte for 131,000 strips": (
        tiff_of_shared_strips(bytes(1 << 20), 8, 131_000, (266, 3, [2]), rows=1),
        unreadable("got more than 268435456 bytes of strips or tiles in all"),
    ),
    "TIFF of 10,000 JPEGs that overlap": (
        grey_tiff(
            (64, 80_000),
            7,
            [(8, len(GREY_STRIP) + more) for more in range(10_000)],
            8,
            GREY_STRIP + bytes(10_000),
        ),
        unreadable("got more than 4194304 bytes of different JPEGs inside"),
    ),
    "TGA of 65,535 pixels squared": (
        WHOLE["TGA"][0][:12] + b"\xff\xff\xff\xff" + WHOLE["TGA"][0][16:],
        PIXELS,
    ),
    "WebP of 16,384 pixels squared": (webp_of(16383), f"{PIXELS}|{unreadable('could not create')}"),
    "Nothing but zeros": (bytes(1 << 24), refused(UNKNOWN)),
}


def _reading(data):
    return lambda folder: read(data)


def an_avif_that_calls_itself_small(folder):
    """Of more pixels than are allowed, of which its header does not tell."""
    data = encoded(PHOTO, "AVIF")
    Image.MAX_IMAGE_PIXELS = WIDTH * HEIGHT // 3
    return read(data.replace(struct.pack(">II", WIDTH, HEIGHT), struct.pack(">II", 16, 16)))


ATTACKS = [Attack("cost", name, _reading(data), outcome) for name, (data, outcome) in BOMBS.items()]
if features.check("avif"):
    ATTACKS.append(
        Attack(
            "cost",
            "AVIF that calls itself small",
            an_avif_that_calls_itself_small,
            unreadable("got 15000 pixels that are coded, 15000 in one item, expected at most 5000"),
        )
    )
