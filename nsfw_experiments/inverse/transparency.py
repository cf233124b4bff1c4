"""How transparent the pixels of a picture are, by the depth that its file has.

Pillow gives a PNG's pixels as 8 bits, whatever their depth, and the colour that is transparent as the file has it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

_OF_DEPTH = 24  # where a PNG's header has its bits


def transparency(opened: Image.Image, info: Mapping[Any, Any], data: bytes = b"") -> np.ndarray | None:
    """Give how opaque each pixel is.

    Parameters
    ----------
    opened : PIL.Image.Image
    info : mapping
        What Pillow has kept of the file's header.
    data : bytes
        The file, if it is known.

    Returns
    -------
    ndarray of uint8, shape (height, width), or None
        255 is opaque; None where all is.

    Examples
    --------
    >>> transparency(Image.new("L", (2, 1), 7), {"transparency": 7}).tolist()
    [[0, 0]]
    """
    alpha = None
    colour = info.get("transparency")
    if opened.mode in ("1", "L", "I", "I;16", "I;16B", "RGB") and isinstance(colour, (int, tuple)):
        alpha = _unlike(colour, opened, data)
    elif opened.mode in ("RGBA", "LA", "PA", "La", "RGBa") or colour is not None:
        opaque = opened.convert("LA") if opened.mode == "La" else opened
        alpha = np.asarray(opaque.convert("RGBA").getchannel("A"))
    return None if alpha is None or alpha.min() == 255 else alpha


def _unlike(colour: int | tuple[int, ...], opened: Image.Image, data: bytes) -> np.ndarray:
    """Opaque wherever a pixel is not of the transparent colour, of which as many bits count as pixels have."""
    bits = data[_OF_DEPTH] if opened.format == "PNG" and data else _bits(opened.mode)
    key = np.array(colour) % 2**bits
    if opened.mode == "RGB" and bits == 16:
        alike = _equal(opened, key >> 8) & _equal(_low_bytes(data), key & 0xFF)
    else:
        alike = _equal(opened, key * 255 // (2**bits - 1) if opened.mode == "L" else key)
    return np.where(alike, np.uint8(0), np.uint8(255))


def _equal(picture: Image.Image, colour: np.ndarray) -> np.ndarray:
    pixels = np.asarray(picture)
    equal = pixels == colour.astype(pixels.dtype)
    return equal.all(axis=2) if equal.ndim == 3 else equal


def _bits(mode: str) -> int:
    return {"1": 1, "L": 8, "RGB": 8}.get(mode, 16)


def _low_bytes(data: bytes) -> Image.Image:
    """The lower halves of a PNG's 16-bit colours: told that numbers begin with these, Pillow drops the other halves."""
    picture = Image.open(io.BytesIO(data), formats=["PNG"])
    picture.tile = [(*tile[:3], "RGB;16L") for tile in picture.tile]  # type: ignore[misc]
    return picture
