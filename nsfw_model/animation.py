"""Whether an animation's file contains the frames that it promises, and no more than can be paid for.

Like `nsfw_model.integrity`, which looks at the first frame, this reads the structure of a file and none of its pixels.
Decoders take an animation that ends early for a shorter one, and draw frames of which a part is missing:

====== ====================================================================================================
GIF    parts of a frame that are missing, and the end of the file [1]_
PNG    frames that are missing or not promised, checksums of all frames, rows that the compressed data lacks [2]_
TIFF   strips and tiles of all pages that are missing, and what pages share [3]_
====== ====================================================================================================

WebP and AVIF are refused as a whole by their decoders where they end early.

References
----------
.. [1] CompuServe, "Graphics Interchange Format, Version 89a"
.. [2] W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 11.3.6
.. [3] Adobe, "TIFF, Revision 6.0", section 2
"""

from __future__ import annotations

import re
import struct

from nsfw_model.integrity import (
    DamagedError,
    TiffPages,
    check_checksum,
    check_inflated,
    gif_frames,
    png_chunks,
    png_row_bytes,
    tiff_directories,
)

#: Frames of an animation, pages of a TIFF.
MAX_FRAMES = 1 << 15


def check_animation(data: bytes) -> None:
    """Check that the frames of an animation are all there.

    Parameters
    ----------
    data : bytes
        A picture's file; one that is no GIF, PNG or TIFF is not looked at.

    Raises
    ------
    DamagedError
        If the file lacks something, or has more than `MAX_FRAMES` frames.

    Examples
    --------
    >>> check_animation(b"GIF89a" + bytes(7) + b";")
    >>> check_animation(b"GIF89a" + bytes(7))
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: truncated: got 0 frames, and no end of the file
    """
    for signature, check in _CHECKS.items():
        if re.match(signature, data):
            check(data)


def check_frame_count(count: int) -> None:
    """Check that there are not too many frames.

    Parameters
    ----------
    count : int

    Raises
    ------
    DamagedError
        If there are more than `MAX_FRAMES`.

    Examples
    --------
    >>> check_frame_count(1 << 20)
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: got more than nsfw_model.animation.MAX_FRAMES = 32768 frames
    """
    if count > MAX_FRAMES:
        raise DamagedError(f"got more than nsfw_model.animation.MAX_FRAMES = {MAX_FRAMES} frames")


def _check_gif(data: bytes) -> None:
    for number, _ in enumerate(gif_frames(data), 1):
        check_frame_count(number)


def _check_png(data: bytes) -> None:
    header, promised, frames = b"", None, 0
    parts: list[memoryview] = []
    size = 0, 0
    pixels = False
    for name, start, end in png_chunks(data):
        contents = memoryview(data)[start:end]
        if name in (b"acTL", b"fcTL", b"fdAT"):
            check_checksum(data, name, start, end)
        if name == b"IHDR":
            header = bytes(contents)
        elif name == b"acTL" and not pixels:  # behind them it says nothing
            if promised is not None:
                raise DamagedError("got two numbers of frames, expected one")  # Pillow would not tell of any
            promised = int.from_bytes(contents[:4], "big")
            check_frame_count(promised)
        elif name == b"fcTL" and promised is not None:
            if frames:
                _check_png_frame(header, size, parts, frames)
            frames += 1
            parts, size = [], struct.unpack_from(">II", contents, 4)
        elif name == b"IDAT":
            parts.append(contents)
            pixels = True
        elif name == b"fdAT":
            parts.append(contents[4:])
    if frames:
        _check_png_frame(header, size, parts, frames)
    if promised is not None and frames != promised:
        raise DamagedError(f"{'truncated: ' if frames < promised else ''}got {frames} frames, expected {promised}")


def _check_png_frame(header: bytes, size: tuple[int, int], parts: list[memoryview], number: int) -> None:
    bits, colours, _, _, interlaced = header[8:13]
    try:
        check_inflated(parts, png_row_bytes(*size, bits, colours, bool(interlaced)))
    except DamagedError as error:
        raise DamagedError(f"frame {number}: {error}") from error


def _check_tiff(data: bytes) -> None:
    pages = TiffPages(data)
    for number, at in enumerate(tiff_directories(data), 1):
        check_frame_count(number)
        try:
            pages.check(at)
        except DamagedError as error:
            raise DamagedError(f"frame {number}: {error}") from error


_CHECKS = {
    rb"GIF8": _check_gif,
    rb"\x89PNG\r\n\x1a\n": _check_png,
    rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]": _check_tiff,
}
