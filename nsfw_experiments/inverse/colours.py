"""What a file says of its colours, as a profile of RGB, which every format holds that a result is written in.

PNG has chunks for it [1]_, AVIF and HEIC have code points [2]_ in a box [3]_, BMP has a profile behind its pixels, and
the profile of a grey picture [4]_ knows no red. Where a file contradicts itself, Chromium's choice is taken.

References
----------
.. [1] Portable Network Graphics (PNG) Specification (Third Edition), 4.3 and 11.3.2
.. [2] ITU-T H.273 (07/2024), tables 2 and 3
.. [3] ISO/IEC 23008-12:2022 (HEIF), 6.5.5, 9.3 and ISO/IEC 14496-12:2022, 8.11, 12.1.5
.. [4] ISO 15076-1:2010 (ICC.1:2010), 7.2, 7.3, 8.3 and 10.18
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from nsfw_model.integrity import png_chunks

#: Chromaticities x and y of white, red, green and blue.
Primaries = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

_D65, _C = (0.3127, 0.329), (0.31, 0.316)
#: By H.273's code points, those that are seen in pictures.
PRIMARIES: dict[int, Primaries] = {
    1: (_D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)),
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    6: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (_D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
SRGB_PRIMARIES, SRGB_TRANSFER = 1, 13
#: Exponents that a gAMA chunk may ask for; the numbers of a profile end at 32768.
MAX_EXPONENT = 1000
#: How far from sRGB's 1/2.2 a gAMA chunk may be, by itself, and be taken for it.
_ALMOST_SRGB = 0.05
_UNSPECIFIED = 0, 2, 3
_NOTHING = memoryview(b"")
_VIDEO = 1, 6, 14, 15
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B")


class ColoursError(ValueError):
    """Colours that no profile of RGB can tell of."""


def colour_profile(opened: Image.Image, info: Mapping[Any, Any], data: bytes = b"") -> bytes | None:
    """Give the ICC profile of RGB by which the pixels look as a viewer shows the file.

    Parameters
    ----------
    opened : PIL.Image.Image
    info : mapping
        What Pillow has kept of the file's header.
    data : bytes
        The file, if it is known.

    Returns
    -------
    bytes or None
        None where the colours are those of sRGB, as far as the file says.

    Raises
    ------
    ColoursError
        If there is no such profile.

    Examples
    --------
    >>> grey = Image.new("L", (1, 1))
    >>> colour_profile(grey, {}), len(colour_profile(grey, {"gamma": 1.0}))
    (None, 440)
    """
    if opened.format == "PNG" and (points := _code_points_of_png(data)):
        return _profile_of_code_points(*points, video=_power(2.4))
    profile = _embedded_in_bmp(data) if opened.format == "BMP" else info.get("icc_profile")
    if profile:
        return _fitting(profile, opened.mode)
    if opened.format in ("AVIF", "HEIF") and (points := _code_points_of_heif(data)):
        return _profile_of_code_points(*points, video=_SRGB)
    return None if "srgb" in info else _profile_of_gamma(info.get("gamma", 0), info.get("chromaticity", ()))


def _fitting(profile: object, mode: str) -> bytes | None:
    """A file's profile, if viewers apply it to pixels of this mode, for RGB."""
    if not isinstance(profile, bytes):
        return None
    space = profile[16:20]
    if mode == "CMYK":
        if space == b"CMYK":
            raise ColoursError("its colour profile is of CMYK, which a result of RGB cannot have")
        return None
    if space == b"GRAY":
        return _profile_of_grey(profile) if mode in _GREY_MODES else None
    return profile if space == b"RGB " else None


def _profile_of_grey(profile: bytes) -> bytes | None:
    """The profile of RGB that shows grey alike; None for one that viewers do not know what to do with."""
    if profile[20:24] != b"XYZ ":
        return None
    for at in range(132, min(132 + 12 * int.from_bytes(profile[128:132], "big"), len(profile) - 11), 12):
        name, start, length = struct.unpack_from(">4sII", profile, at)
        if name == b"kTRC":
            return _rgb_profile(PRIMARIES[SRGB_PRIMARIES], profile[start : start + length])
    return None


def _profile_of_gamma(gamma: float, chromaticities: tuple[float, ...]) -> bytes | None:
    """Of a PNG's chunks gAMA and cHRM; without the former, the latter means nothing to viewers."""
    known = len(chromaticities) == 8
    if gamma <= 0 or (not known and abs(gamma * 2.2 - 1) < _ALMOST_SRGB):
        return None
    if 1 / gamma > MAX_EXPONENT:
        raise ColoursError(f"its gAMA is {gamma:g}, expected at least {1 / MAX_EXPONENT:g}")
    curve = _power(1 / gamma)
    if not known:
        return _rgb_profile(PRIMARIES[SRGB_PRIMARIES], curve)
    white, red, green, blue = zip(chromaticities[::2], chromaticities[1::2], strict=True)
    try:
        with np.errstate(divide="raise", invalid="raise"):
            return _rgb_profile((white, red, green, blue), curve)
    except (ArithmeticError, ValueError, struct.error):  # no triangle, or too large numbers come of it
        raise ColoursError(f"its cHRM is {chromaticities}, expected those of white and of three colours") from None


def _profile_of_code_points(primaries: int, transfer: int, video: bytes) -> bytes | None:
    primaries = SRGB_PRIMARIES if primaries in _UNSPECIFIED else primaries
    curves = {4: _power(2.2), 5: _power(2.8), 8: _power(1), SRGB_TRANSFER: _SRGB}
    curves |= dict.fromkeys(_UNSPECIFIED, _SRGB) | dict.fromkeys(_VIDEO, video)
    if primaries not in PRIMARIES or transfer not in curves:
        raise ColoursError(
            f"its colours are those of H.273's primaries {primaries} and transfer {transfer}, of which a profile of RGB"
            " cannot tell"
        )
    if primaries == SRGB_PRIMARIES and curves[transfer] == _SRGB:
        return None
    return _rgb_profile(PRIMARIES[primaries], curves[transfer])


def _code_points_of_png(data: bytes) -> tuple[int, int] | None:
    """Of the chunk cICP: RGB of full range, of which both are specified."""
    for name, start, end in png_chunks(data):
        if name == b"IDAT":
            return None
        if name == b"cICP" and end - start == 4:
            primaries, transfer, matrix, full = data[start:end].ljust(4, b"\0")
            specified = primaries not in _UNSPECIFIED and transfer not in _UNSPECIFIED
            return (primaries, transfer) if specified and matrix == 0 and full == 1 else None
    return None


def _code_points_of_heif(data: bytes) -> tuple[int, int] | None:
    """Of the primary item's box colr."""
    meta = next((body[4:] for kind, body in _boxes(memoryview(data)) if kind == b"meta"), _NOTHING)
    boxes = dict(_boxes(meta))
    properties = dict(_boxes(boxes.get(b"iprp", _NOTHING)))
    items = list(_boxes(properties.get(b"ipco", _NOTHING)))
    try:
        chosen = _associations(properties[b"ipma"], _number_of(boxes[b"pitm"]))
        for kind, body in (items[index - 1] for index in chosen if 0 < index <= len(items)):
            if kind == b"colr" and body[:4] == b"nclx":
                return struct.unpack_from(">HH", body, 4)
    except (KeyError, struct.error):
        return None  # no such item, which decoders tell
    return None


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1 and at + 16 <= len(data):
            (size,), header = struct.unpack_from(">Q", data, at + 8), 16
        end = len(data) if size == 0 else at + size
        if end < at + header:
            return
        yield kind, data[at + header : end]
        at = end


def _number_of(pitm: memoryview) -> int:
    return struct.unpack_from(">H" if pitm[:1] == b"\0" else ">I", pitm, 4)[0]


def _associations(ipma: memoryview, item: int) -> list[int]:
    """The properties of an item, counted from 1."""
    version, wide, entries = struct.unpack_from(">B2xBI", ipma)
    wide &= 1
    at = 8
    for _ in range(entries):
        number, count = struct.unpack_from(">IB" if version else ">HB", ipma, at)
        at += 5 if version else 3
        indices = struct.unpack_from(f">{count}{'H' if wide else 'B'}", ipma, at)
        at += count * (2 if wide else 1)
        if number == item:
            return [index & (0x7FFF if wide else 0x7F) for index in indices]
    return []


def _embedded_in_bmp(data: bytes) -> bytes | None:
    """The profile behind the pixels, of which a header of the fifth version tells."""
    if len(data) < 138 or data[14:18] != struct.pack("<I", 124) or data[70:74] != b"DEBM":
        return None
    start, length = struct.unpack_from("<II", data, 126)
    return data[14 + start : 14 + start + length]


def _numbers(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _power(exponent: float) -> bytes:
    return b"para" + bytes(8) + _numbers(exponent)


_SRGB = b"para" + struct.pack(">4xHH", 3, 0) + _numbers(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _colorants(primaries: Primaries) -> np.ndarray:
    """XYZ of red, green and blue in columns, adapted to D50 by Bradford's transformation, as profiles have them."""
    (x, y), *rgb = primaries
    white = np.array([x, y, 1 - x - y]) / y
    matrix = np.array([[x, y, 1 - x - y] for x, y in rgb]).T
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ (cones[:, None] * (_BRADFORD @ matrix))


def _rgb_profile(primaries: Primaries, curve: bytes) -> bytes:
    """An ICC profile of the fourth version, for displays, of three colours and one curve."""
    words = "RGB".encode("utf-16-be")
    text = b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(words), 28) + words
    tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ " + bytes(4) + _numbers(*_D50)}
    for name, colorant in zip((b"r", b"g", b"b"), _colorants(primaries).T, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + _numbers(*colorant)
        tags[name + b"TRC"] = curve
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (header + _numbers(*_D50)).ljust(128, b"\0") + table + body
