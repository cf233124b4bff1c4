"""A file of every kind that is read, by a name for it: formats, modes, orientations, palettes, animations."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from made_pictures import bmp, encoded, icon
from PIL import Image, features

IMG = Path(__file__).resolve().parents[2] / "img"
#: Where the orientation of a photograph stands in EXIF.
ORIENTATION = 0x0112
#: Needs no plugin, and every Pillow has them.
ALWAYS = "BMP", "GIF", "JPEG", "PNG", "PPM", "TGA", "TIFF", "PCX", "WEBP", "ICO"


@cache
def kinds_of_pictures() -> dict[str, bytes]:
    """Make the files that this installation can make.

    Returns
    -------
    dict of str to bytes
    """
    with Image.open(IMG / "coffee.jpg") as opened:
        photo = opened.convert("RGB").resize((150, 100))
    files = {path.name: path.read_bytes() for path in sorted(IMG.iterdir()) if path.suffix in (".jpg", ".png")}
    for kinds in _formats, _jpegs, _pngs, _tiffs, _others, _animations, _newer:
        files.update(kinds(photo))
    return files


def _formats(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    for format in ALWAYS:
        yield format, encoded(photo, format)
    for size in (1, 1), (1, 300), (700, 2), (257, 255):
        yield f"PNG of {size[0]}x{size[1]}", encoded(photo.resize(size), "PNG")


def _jpegs(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    for number in range(9):  # 0 is none
        exif = Image.Exif()
        exif[ORIENTATION] = number
        yield f"JPEG of orientation {number}", encoded(photo, "JPEG", exif=exif)
    for subsampling in range(3):
        yield f"JPEG of subsampling {subsampling}", encoded(photo, "JPEG", subsampling=subsampling, quality=70)
    yield "JPEG, progressive", encoded(photo, "JPEG", progressive=True)
    yield "JPEG of grey", encoded(photo.convert("L"), "JPEG")
    yield "JPEG of CMYK", encoded(photo.convert("CMYK"), "JPEG")
    yield "JPEG, restarting", encoded(photo, "JPEG", restart_marker_blocks=5)
    yield "JPEG, large", encoded(photo.resize((2048, 1536)), "JPEG")
    yield "MPO", encoded(photo, "MPO", save_all=True, append_images=[Image.new("RGB", photo.size, "white")])


def _pngs(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    alpha = photo.copy()
    alpha.putalpha(photo.convert("L"))
    for mode in "1", "L", "LA", "P", "RGBA":
        yield f"PNG of {mode}", encoded(alpha.convert(mode), "PNG")
    for colours in 2, 4, 16, 256:
        yield f"PNG with a palette of {colours}", encoded(photo.quantize(colours), "PNG")
    yield "PNG with a transparent palette", encoded(photo.quantize(16), "PNG", transparency=bytes(range(0, 256, 16)))
    yield "PNG of RGB with a transparent colour", encoded(photo, "PNG", transparency=(0, 0, 0))
    yield "PNG of 16 bits", encoded(_of_16_bits(photo), "PNG")


def _of_16_bits(photo: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)


def _tiffs(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    for compression in "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg":
        yield f"TIFF of {compression}", encoded(photo, "TIFF", compression=compression)
    yield "TIFF of group 4", encoded(photo.convert("1"), "TIFF", compression="group4")
    yield "TIFF of CMYK", encoded(photo.convert("CMYK"), "TIFF")
    yield "TIFF of 16 bits", encoded(_of_16_bits(photo), "TIFF")
    yield "TIFF of pages", encoded(photo, "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))])


def _others(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    yield "BMP of run lengths", bmp(64 * b"\x40\x77\0\0" + b"\0\1")
    yield "BMP of a palette", encoded(photo.quantize(16), "BMP")
    yield "BMP of one bit", encoded(photo.convert("1"), "BMP")
    yield "GIF, interlaced", encoded(photo.quantize(64), "GIF", interlace=1)
    yield "ICO of two PNGs", icon(encoded(photo.resize((32, 32)), "PNG"), encoded(photo.resize((64, 64)), "PNG"))
    yield "ICO of a BMP", encoded(photo.resize((64, 64)), "ICO", sizes=[(64, 64)], bitmap_format="bmp")
    yield "PCX with a palette", encoded(photo.quantize(64), "PCX")
    yield "PGM", encoded(photo.convert("L"), "PPM")
    yield "PBM", encoded(photo.convert("1"), "PPM")
    yield "PPM of text", b"P3 9 9 255 " + b"17 255 3 " * 81
    yield "TGA of run lengths", encoded(photo, "TGA", compression="tga_rle")
    yield "WebP, lossless, with alpha", encoded(photo.convert("RGBA"), "WEBP", lossless=True)


def _animations(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    frames = [photo.rotate(90 * number).resize((60, 40)) for number in range(4)]
    yield "GIF of frames", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    yield "PNG of frames", encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    yield "WebP of frames", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100)
    if importlib.util.find_spec("av"):
        from made_films import film

        yield "MP4", film([40, 90, 200, 120, 60])


def _newer(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    if features.check("jpg_2000"):
        yield "JPEG 2000", encoded(photo, "JPEG2000")
        yield "JPEG 2000 of tiles", encoded(photo, "JPEG2000", no_jp2=True, tile_size=(64, 64))
    if features.check("avif"):
        yield "AVIF", encoded(photo, "AVIF")
    if importlib.util.find_spec("pillow_heif"):
        from pillow_heif import register_heif_opener

        register_heif_opener()
        yield "HEIC", encoded(photo, "HEIF")
    if importlib.util.find_spec("pillow_jxl"):
        import pillow_jxl  # noqa: F401

        yield "JPEG XL", encoded(photo, "JXL")


def damaged_pictures() -> dict[str, bytes]:
    """Make files that cannot be scored.

    Returns
    -------
    dict of str to bytes
    """
    whole = kinds_of_pictures()
    cut = {f"{name}, cut": whole[name][: len(whole[name]) * 2 // 3] for name in (*ALWAYS, "TIFF of jpeg")}
    flipped = bytearray(whole["PNG"])
    flipped[flipped.index(b"IDAT") + 40] ^= 4
    return {
        **cut,
        "PNG, a bit flipped": bytes(flipped),
        "PNG of 4 billion pixels": whole["PNG"].replace(struct.pack(">II", 150, 100), struct.pack(">II", 65536, 65536)),
        "text": b"no picture at all\n" * 9,
        "zeros": bytes(4096),
        "PDF": b"%PDF-1.7\n" + bytes(100),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "PostScript": b"%!PS-Adobe-3.0\n(x) run\n",
    }
