"""Pictures that are damaged: each is refused, and never scored as what a decoder makes of the rest."""

import functools
import importlib
import re
import struct
import warnings
import zlib
from pathlib import Path

from attack import Attack, Attacks
from made_pictures import bmp, chunk, encoded, grey_tiff, png, tiff_entries, with_chunks, with_strip
from PIL import Image, TiffImagePlugin

from nsfw_model.picture import FORMATS, read_picture

ROOT = Path(__file__).resolve().parents[2]
SIZE = WIDTH, HEIGHT = 150, 100
PHOTO = Image.open(ROOT / "img" / "coffee.jpg").convert("RGB").resize(SIZE)
COLOURS, SMALL = PHOTO.quantize(64), PHOTO.resize((64, 64))
ATTACKS = Attacks()


def prepare():
    """Import before forking what each attack needs."""
    warnings.simplefilter("ignore")
    for plugin in FORMATS.values():
        importlib.import_module(f"PIL.{plugin}")


def read(data, whole=None):
    """What is read of a file, and whether that is what is read of another one, which is whole."""
    picture = read_picture(data)
    if whole is None:
        return f"a picture of {picture.width}x{picture.height}"
    return "the whole picture" if picture.tobytes() == read_picture(whole).tobytes() else "another picture"


def add(name, data, outcome):
    ATTACKS.append(Attack("pictures", name, lambda folder: read(data), outcome))


def refused(message):
    return f"(NotAP|P)ictureError: <[0-9]+ bytes>: ({message})"


def unreadable(message):
    return refused(f"cannot be read as a picture: ({message})")


# Files that end early. In their headers they may be taken for something else

ENDS = "image file is truncated|Truncated File Read"
UNKNOWN = "not a picture of a supported format"
UNREAD_TIFF = "a TIFF of a kind that Pillow does not read"  # its directory is at the end


def tiff(compression):
    return encoded(PHOTO, "TIFF", compression=compression)


WHOLE = {
    "BMP": (encoded(PHOTO, "BMP"), unreadable(ENDS)),
    "BMP of run lengths": (bmp(64 * b"\x40\x77\0\0" + b"\0\1"), unreadable("row|got run-length|Truncated|.*palette")),
    "GIF": (encoded(COLOURS, "GIF"), f"{unreadable(ENDS)}|{refused(UNKNOWN)}"),
    "GIF, interlaced": (encoded(COLOURS, "GIF", interlace=1), f"{unreadable(ENDS)}|{refused(UNKNOWN)}"),
    "ICO of a PNG": (encoded(SMALL, "ICO", sizes=[(64, 64)]), f"{unreadable(ENDS)}|{refused(UNKNOWN)}"),
    "ICO of a BMP": (encoded(SMALL, "ICO", sizes=[(64, 64)], bitmap_format="bmp"), unreadable("not enough image data")),
    "JPEG": (encoded(PHOTO, "JPEG"), unreadable(f"{ENDS}|truncated: got")),
    "JPEG of CMYK": (encoded(PHOTO.convert("CMYK"), "JPEG"), unreadable(f"{ENDS}|truncated: got")),
    "JPEG, progressive": (encoded(PHOTO, "JPEG", progressive=True), unreadable(f"{ENDS}|truncated: got")),
    "JPEG 2000": (encoded(PHOTO, "JPEG2000"), unreadable("broken data stream|truncated: got")),
    "JPEG 2000 of tiles": (
        encoded(PHOTO, "JPEG2000", no_jp2=True, tile_size=(64, 64)),
        unreadable("broken data stream|truncated: got"),
    ),
    "PCX": (encoded(PHOTO, "PCX"), unreadable(ENDS)),
    "PCX with a palette": (encoded(COLOURS, "PCX"), unreadable(f"{ENDS}|truncated: got no palette")),
    "PNG": (encoded(PHOTO, "PNG"), unreadable(ENDS)),
    "PNG with a palette": (encoded(COLOURS, "PNG"), f"{unreadable(ENDS)}|{refused(UNKNOWN)}"),
    "PPM": (encoded(PHOTO, "PPM"), unreadable(ENDS)),
    "PPM of text": (b"P3 9 9 255 " + b"17 255 3 " * 81, unreadable("not enough image data|Reached EOF")),
    "TGA": (encoded(PHOTO, "TGA"), unreadable(ENDS)),
    "TGA of run lengths": (encoded(PHOTO, "TGA", compression="tga_rle"), unreadable(ENDS)),
    "TIFF": (tiff(None), unreadable(ENDS)),
    "TIFF of PackBits": (tiff("packbits"), refused(UNREAD_TIFF)),
    "TIFF of LZW": (tiff("tiff_lzw"), refused(UNREAD_TIFF)),
    "TIFF of Deflate": (tiff("tiff_adobe_deflate"), refused(UNREAD_TIFF)),
    "TIFF of JPEG": (tiff("jpeg"), f"{refused(UNREAD_TIFF)}|{unreadable('strip or tile 0|decoder error')}"),
    "WebP": (encoded(PHOTO, "WEBP"), unreadable("could not create decoder object")),
    "WebP, lossless": (encoded(PHOTO, "WEBP", lossless=True), unreadable("could not create decoder object")),
}
CUTS = 16
for name, (data, outcome) in WHOLE.items():
    for number in range(CUTS):
        cut = data[: len(data) * (2 * number + 1) // (2 * CUTS)]
        add(f"{name}, of which {len(cut)} of {len(data)} bytes are there", cut, outcome)

# Bits flipped under checksums

for name in "PNG", "PNG with a palette", "ICO of a PNG":
    data = WHOLE[name][0]
    pixels = data.index(b"IDAT") + 4
    for number in range(CUTS):
        place = pixels + (len(data) - 20 - pixels) * number // CUTS
        flipped = data[:place] + bytes([data[place] ^ 1 << number % 8]) + data[place + 1 :]
        add(
            f"{name}, bit {number % 8} of byte {place} flipped",
            flipped,
            unreadable(".*checksum|(broken|unrecognized) data"),
        )

# Parts that are missing while all else is in order


@ATTACKS.on("pictures", unreadable("truncated: got 9 scans, none of which has all bits of coefficient 1"))
def a_jpeg_without_its_last_refinement(folder):
    data = WHOLE["JPEG, progressive"][0]
    table = data.rfind(b"\xff\xc4", 0, data.rindex(b"\xff\xda"))
    return read(data[:table] + b"\xff\xd9")


@ATTACKS.on("pictures", unreadable("truncated: got less data than the picture has blocks"))
def a_jpeg_that_is_cut_and_closed(folder):
    data = WHOLE["JPEG"][0]
    return read(data[: len(data) * 3 // 4] + b"\xff\xd9")


@ATTACKS.on("pictures", unreadable("scan 0: got 5 restart markers, expected 13"))
def a_jpeg_with_eight_restart_intervals_less(folder):
    data = encoded(PHOTO, "JPEG", restart_marker_blocks=5)
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    return read(data[: markers[3]] + data[markers[11] :])


@ATTACKS.on("pictures", unreadable("truncated: got 0 bytes for 420 blocks of scan 0, expected at least 53"))
def a_progressive_jpeg_whose_scans_are_all_empty(folder):
    first, *others = WHOLE["JPEG, progressive"][0].split(b"\xff\xda")
    return read(b"\xff\xda".join([first, *(_head_and_tables(scan) for scan in others)]))


def _head_and_tables(scan):
    """What a scan is but for its data: its header, and the tables of the next one, or the end."""
    (length,) = struct.unpack_from(">H", scan)
    return scan[:length] + scan[re.search(rb"\xff[\xc4\xd9]|\Z", scan).start() :]


@ATTACKS.on("pictures", unreadable("truncated: got less data than the picture has blocks"))
def a_progressive_jpeg_without_half_of_its_averages(folder):
    data = WHOLE["JPEG, progressive"][0]
    start = data.index(b"\xff\xda") + 14
    end = data.index(b"\xff\xc4", start)
    return read(data[: (start + end) // 2] + data[end:])


@ATTACKS.on("pictures", unreadable("truncated: got 1 bytes for 30 blocks of scan 0, expected at least 8"))
def a_jpeg_of_restart_intervals_of_one_byte(folder):
    *intervals, last = re.split(rb"(?<=\xff[\xd0-\xd7])", encoded(PHOTO, "JPEG", restart_marker_blocks=5))
    start = intervals[0].index(b"\xff\xda") + 14
    return read(intervals[0][:start] + b"".join(b"\0\xff" + one[-1:] for one in intervals) + last)


@ATTACKS.on("pictures", unreadable("truncated: got less data than the picture has blocks"))
def a_jpeg_of_restart_intervals_that_are_halved(folder):
    first, *others = re.split(rb"(\xff[\xd0-\xd7])", encoded(PHOTO, "JPEG", restart_marker_blocks=5))
    halves = (part[: (len(part) + 2) // 2].rstrip(b"\xff") if part[0] != 0xFF else part for part in others[:-1])
    return read(b"".join([first, *halves, others[-1]]))


@ATTACKS.on("pictures", unreadable("truncated: got less data than the picture has blocks"))
def a_jpeg_with_a_restart_that_nobody_expects(folder):
    data = WHOLE["JPEG"][0]
    middle = data.index(b"\0", len(data) // 2)
    return read(data[:middle] + b"\xff\xd0" + data[middle:])


@ATTACKS.on("pictures", unreadable("truncated: got 22550 bytes of pixels, expected 45100"))
def a_png_of_half_its_rows(folder):
    rows = b"".join(b"\0" + PHOTO.crop((0, y, WIDTH, y + 1)).tobytes() for y in range(HEIGHT // 2))
    return read(png(rows, *SIZE))


@ATTACKS.on("pictures", unreadable("got a header that is not the first chunk, or several, expected one"))
def a_png_of_two_headers(folder):
    rows = b"".join(b"\0" + PHOTO.crop((0, y, WIDTH, y + 1)).tobytes() for y in range(HEIGHT // 2))
    data = png(rows, WIDTH, HEIGHT // 2)
    return read(data[:33] + png(rows, *SIZE)[8:33] + data[33:])


@ATTACKS.on("pictures", unreadable("truncated: got 77 bytes of pixels, expected 304"))
def an_interlaced_png_of_one_row_and_half_its_passes(folder):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 1, 8, 0, 0, 0, 1))
    return read(with_chunks(png((b"\0" + 38 * b"\x7f" + b"\0" + 37 * b"\x7f"), 1, 1), b"IHDR", header))


@ATTACKS.on("pictures", unreadable("got pixels without a palette in front of them"))
def a_png_without_its_palette(folder):
    return read(with_chunks(WHOLE["PNG with a palette"][0], b"PLTE"))


def _behind_the_palette(colours):
    return unreadable(f"got a pixel of colour [0-9]+, expected 0..{colours - 1}, which are all in the palette")


@ATTACKS.on("pictures", _behind_the_palette(10))
def a_png_of_ten_of_its_colours(folder):
    return read(with_chunks(WHOLE["PNG with a palette"][0], b"PLTE", chunk(b"PLTE", bytes(range(30)))))


@ATTACKS.on("pictures", _behind_the_palette(4))
def a_gif_of_four_of_its_colours(folder):
    data = WHOLE["GIF"][0]
    return read(data[:10] + bytes([data[10] & 0xF8 | 1]) + data[11:25] + data[13 + 3 * 64 :])


@ATTACKS.on("pictures", unreadable("got a pixel of colour 0, expected a palette, got none"))
def a_gif_without_a_table(folder):
    data = WHOLE["GIF"][0]
    return read(data[:10] + bytes([data[10] & 0x7F]) + data[11:13] + data[13 + 3 * 64 :])


@ATTACKS.on("pictures", _behind_the_palette(10))
def a_bmp_of_ten_of_its_colours(folder):
    data = bytearray(encoded(COLOURS, "BMP"))
    struct.pack_into("<I", data, 46, 10)
    return read(bytes(data))


@ATTACKS.on("pictures", _behind_the_palette(10))
def a_tga_of_ten_of_its_colours(folder):
    data = encoded(COLOURS, "TGA")
    return read(data[:5] + b"\x0a\0" + data[7:48] + data[18 + 3 * 64 :])


@ATTACKS.on("pictures", _behind_the_palette(10))
def a_tiff_of_ten_of_its_colours(folder):
    data = bytearray(encoded(COLOURS, "TIFF"))
    struct.pack_into("<I", data, tiff_entries(data)[320] + 4, 30)
    return read(bytes(data))


@ATTACKS.on("pictures", unreadable("got run-length codes that leave pixels out"))
def a_bmp_of_other_codes_than_its_header_leads_to(folder):
    data = bytearray(bmp(b"\0\2\xf0\0\x1a\x80\0\1", (266, 1)))
    data[2:6], data[10:14] = b"\x64\7\x64\7", bytes(4)
    return read(bytes(data))


@ATTACKS.on("pictures", unreadable("row 32: got run-length codes for 0 pixels, expected 64|.* for 32 rows"))
def a_bmp_of_half_its_rows(folder):
    return read(bmp(32 * b"\x40\x77\0\0" + b"\0\1"))


@ATTACKS.on("pictures", unreadable("got run-length codes that leave pixels out"))
def a_bmp_that_jumps_over_rows(folder):
    return read(bmp(b"\0\2\0\x20" + 32 * b"\x40\x77\0\0" + b"\0\1"))


@ATTACKS.on("pictures", unreadable("truncated: got 5 of 6 tiles"))
def a_jpeg_2000_without_a_tile(folder):
    data = WHOLE["JPEG 2000 of tiles"][0]
    starts = [found.start() for found in re.finditer(rb"\xff\x90\x00\x0a", data)]
    return read(data[: starts[2]] + data[starts[3] :])


@ATTACKS.on("pictures", unreadable("truncated: got 1 of 6 tiles"))
def a_jpeg_2000_of_one_tile_behind_a_whole_codestream_that_nobody_reads(folder):
    data, boxes = WHOLE["JPEG 2000 of tiles"][0], WHOLE["JPEG 2000"][0]
    second = data.index(b"\xff\x90\x00\x0a", data.index(b"\xff\x90\x00\x0a") + 2)
    parts = (b"free", data), (b"jp2c", data[:second] + b"\xff\xd9")
    boxed = (struct.pack(">I", 8 + len(contents)) + kind + contents for kind, contents in parts)
    return read(boxes[: boxes.index(b"jp2c") - 4] + b"".join(boxed))


@ATTACKS.on("pictures", unreadable("truncated: got 11 strips or tiles, expected 12"))
def a_tiff_without_a_strip(folder):
    TiffImagePlugin.STRIP_SIZE = 4096
    data = bytearray(tiff("packbits"))
    (offsets,) = struct.unpack_from("<I", data, tiff_entries(data)[273] + 8)
    struct.pack_into("<I", data, offsets + 4 * 11, 0)
    return read(bytes(data))


@ATTACKS.on("pictures", unreadable("got a sample of 200, expected at most 100"))
def a_pgm_of_samples_beyond_its_largest(folder):
    return read(b"P5 10 10 100\n" + bytes([200] * 100))


@ATTACKS.on("pictures", unreadable("got two entries of tag 278 that differ, expected one"))
def a_tiff_of_two_numbers_of_rows(folder):
    return read(grey_tiff((64, 64), 1, [(8, 512)], 8, bytes(range(64)) * 64, (278, 4, [64])))


@functools.cache
def _jpeg_and_tiff():
    return encoded(PHOTO, "JPEG", subsampling=0), tiff("jpeg")


@ATTACKS.on("pictures", unreadable("strip or tile 0: truncated: got less data than the picture has blocks"))
def a_tiff_of_a_jpeg_that_is_cut_and_closed(folder):
    jpeg, data = _jpeg_and_tiff()
    return read(with_strip(data, jpeg[: len(jpeg) // 2] + b"\xff\xd9"))


@ATTACKS.on("pictures", unreadable("strip or tile 0: image file is truncated"))
def a_tiff_of_a_jpeg_that_ends(folder):
    jpeg, data = _jpeg_and_tiff()
    return read(with_strip(data, jpeg[: len(jpeg) // 2]))


@ATTACKS.on("pictures", unreadable("strip or tile 0: truncated: got 150x48 pixels, expected 150x100"))
def a_tiff_of_a_jpeg_of_fewer_rows(folder):
    return read(with_strip(tiff("jpeg"), encoded(PHOTO.crop((0, 0, WIDTH, 48)), "JPEG", subsampling=0)))


for name, strip in {
    "Deflate": zlib.compress(PHOTO.tobytes()[:20000]),
    "PackBits": b"".join(b"\x7f" + PHOTO.tobytes()[at : at + 128] for at in range(0, 20096, 128)),
}.items():
    add(f"TIFF of {name} of fewer rows", with_strip(WHOLE[f"TIFF of {name}"][0], strip), unreadable("decoder"))
