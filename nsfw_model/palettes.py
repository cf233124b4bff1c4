"""Whether each pixel that is a number of a colour has that colour in its file's palette.

Decoders take black, or a grey, for a number behind the end of a palette: a photograph whose palette is cut off would
be scored as darkness. Pixels that are transparent are never seen, and may have any number. That a palette is there at
all, `nsfw_model.integrity` checks.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from nsfw_model.integrity import Bitmap, DamagedError, GifFrame, bitmap, gif_frames


def check_palette(data: bytes, picture: Image.Image) -> None:
    """Check that the colours of all pixels are in the palette.

    Parameters
    ----------
    data : bytes
        The picture's file.
    picture : PIL.Image.Image
        As it was decoded, before any conversion.

    Raises
    ------
    DamagedError
        If some are not.

    Examples
    --------
    >>> two_pixels = b"\\x05\\x07"
    >>> data = b"\\0\\1\\1\\0\\0\\6\\0\\x18\\0\\0\\0\\0\\2\\0\\1\\0\\x08\\x20" + bytes(18) + two_pixels
    >>> check_palette(data, Image.open(io.BytesIO(data), formats=["TGA"]))
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: got a pixel of colour 7, expected 0..5, which are all in the palette
    """
    if picture.format == "BMP":
        _check_bmp(data, picture)
    elif picture.format == "GIF":
        _check_gif(next(gif_frames(data)), data)
    elif picture.format == "ICO":
        _check_icon(data, picture)
    elif picture.format == "TGA" and picture.mode == "P":
        first, count = struct.unpack_from("<HH", data, 3)
        _expect_between(first, first + count, picture.histogram())
    else:
        _check_colours(picture)


def check_palettes(data: bytes, picture: Image.Image) -> Iterator[None]:
    """Check the palette of the frame at which a picture is, each time that the next of these is asked for.

    Parameters
    ----------
    data : bytes
        The picture's file.
    picture : PIL.Image.Image
        An animation, or pages, which is at its first frame at first, and at the next one then.

    Yields
    ------
    None

    Raises
    ------
    DamagedError
        If a pixel's colour is not in the palette.

    Examples
    --------
    >>> pages = Image.new("P", (1, 1), 3)
    >>> next(check_palettes(b"", pages))
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: got a pixel of colour 3, expected a palette, got none
    """
    if picture.format == "GIF":  # whose frames are of RGB once they are drawn
        for frame in gif_frames(data):
            _check_gif(frame, data)
            yield
    while True:
        _check_colours(picture)
        yield


def _check_colours(picture: Image.Image) -> None:
    if picture.mode in ("P", "PA"):
        _expect_between(0, len(picture.getpalette() or ()) // 3, picture.histogram()[:256])


def _expect_between(first: int, end: int, counts: list[int], transparent: int | None = None) -> None:
    """Expect that no number outside of `first`..`end` - 1 has a pixel; `counts` are those of all numbers."""
    for number, count in enumerate(counts):
        if count and not first <= number < end and number != transparent:
            expected = f"{first}..{end - 1}, which are all in the palette" if end > first else "a palette, got none"
            raise DamagedError(f"got a pixel of colour {number}, expected {expected}")


def _check_gif(frame: GifFrame, data: bytes) -> None:
    """Look at the numbers of a frame's colours, if its codes have room for more than there are."""
    if 1 << data[frame.start] <= frame.colours:
        return
    size = struct.pack("<HH", frame.width, frame.height)
    table = bytes(range(256)) * 3  # no greys, which Pillow would do without
    alone = b"GIF89a" + size + b"\xf7\0\0" + table + b",\0\0\0\0" + size + b"\0" + _codes(data, frame.start) + b";"
    with Image.open(io.BytesIO(alone), formats=["GIF"]) as numbers:
        _expect_between(0, frame.colours, numbers.histogram(), frame.transparent)


def _codes(data: bytes, start: int) -> bytes:
    """The codes of a GIF's frame, as far as the file has them."""
    end = start + 1
    while end < len(data) and data[end]:
        end += 1 + data[end]
    return data[start : end + 1]


def _check_bmp(data: bytes, picture: Image.Image) -> None:
    parts = bitmap(data)
    if parts.compression == 0:
        _check_bitmap(data, parts, masked=False)
    elif parts.bits <= 8:
        _expect_between(0, parts.colours, picture.histogram())


def _check_icon(data: bytes, picture: Image.Image) -> None:
    """Check the bitmaps inside, of which each has a mask of transparent pixels behind it."""
    (count,) = struct.unpack_from("<H", data, 4)
    for number in range(count):
        size, offset = struct.unpack_from("<II", data, 14 + 16 * number)
        inside = data[offset : offset + size]
        if len(inside) >= 40 and not inside.startswith(b"\x89PNG"):
            parts = bitmap(inside, 0)
            _check_bitmap(inside, parts._replace(height=parts.height // 2), masked=True)
    _check_colours(picture)  # of a PNG


def _check_bitmap(data: bytes, parts: Bitmap, masked: bool) -> None:
    """Look at the numbers of an uncompressed bitmap, if they have room for more colours than there are."""
    if parts.bits not in (1, 4, 8):
        return
    depth = _depth_to_pillow(data, parts)
    if parts.colours >= 1 << parts.bits and depth == parts.bits:
        return
    counts = _counts(data, parts, masked)
    _expect_between(0, parts.colours, counts)
    if depth != parts.bits and any(counts[1:]):
        raise DamagedError(f"got a palette of greys for {parts.bits} bits a pixel, of which Pillow would read {depth}")


def _depth_to_pillow(data: bytes, parts: Bitmap) -> int:
    """The bits of a pixel that Pillow reads, which depend on the palette's length if it is one of greys."""
    palette = data[parts.palette : parts.palette + parts.step * parts.colours]
    if len(palette) < parts.step * (parts.colours - 1) + 3:  # and need not make room for as many greys as it promises
        return parts.bits
    greys = bytes([0, 255] if parts.colours == 2 else [value & 255 for value in range(parts.colours)])
    if any(palette[channel :: parts.step] != greys for channel in range(3)):
        return parts.bits
    return 1 if parts.colours <= 2 else 8


def _counts(data: bytes, parts: Bitmap, masked: bool) -> list[int]:
    """How many pixels each number has, without those that an icon's mask hides."""
    counts = [0] * 256
    width, height = parts.width, abs(parts.height)
    stride, stride_of_mask = (-(-width * bits // 32) * 4 for bits in (parts.bits, 1))
    mask = len(data) - stride_of_mask * height
    if min(width, height) < 1 or parts.start + stride * height > len(data):
        return counts  # ends early, which Pillow tells
    step = max(_PIECE // stride, 1)
    for row in range(0, height, step):
        rows = min(step, height - row)
        numbers = _unpacked(data, parts.start + stride * row, (rows, stride), parts.bits)[:, :width]
        if masked and mask > 0:
            hidden = _unpacked(data, mask + stride_of_mask * row, (rows, stride_of_mask), 1)[:, :width]
            numbers = numbers[hidden == 0]
        if numbers.size:
            more = Image.fromarray(np.atleast_2d(numbers)).histogram()  # NumPy's would take eight bytes for each
            counts = [count + number for count, number in zip(counts, more)]
    return counts


#: Bytes that are unpacked at once.
_PIECE = 1 << 20


def _unpacked(data: bytes, at: int, shape: tuple[int, int], bits: int) -> np.ndarray:
    """The numbers in so many rows of bytes: ndarray of uint8."""
    packed = np.frombuffer(data, np.uint8, shape[0] * shape[1], at).reshape(shape)
    if bits == 4:
        return np.stack([packed >> 4, packed & 15], axis=2).reshape(len(packed), -1)
    return np.unpackbits(packed, axis=1) if bits == 1 else packed
