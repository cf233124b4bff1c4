"""A camera's raw pictures, most of which are TIFFs: what Pillow would read of those is a preview of some pixels.

Which of them a TIFF is, its first directory tells: DNG by a tag of its own [1]_, those of Canon, Nikon, Sony, Pentax
and others by a first picture that is a reduced copy of another one in the file [2]_, with the maker's name beside it,
or by compressions that only cameras use.

References
----------
.. [1] Adobe, "Digital Negative (DNG) Specification", version 1.7, chapter 4: DNGVersion
.. [2] Adobe, "TIFF, Revision 6.0", section 8: NewSubfileType
"""

from __future__ import annotations

import struct

_SUBFILE_TYPE, _COMPRESSION, _MAKE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 259, 271, 330, 50706
_REDUCED = 1
#: Nikon's, Pentax's, Samsung's and Sony's, and Kodak's.
_RAW_COMPRESSIONS = {34713, 65535, 32770, 32767, 65000}
_FORMATS = {b"CANON": "CR2", b"NIKON": "NEF", b"PENTAX": "PEF", b"SAMSUNG": "SRW", b"SONY": "ARW"}
_MAX_ENTRIES = 4096


def raw_format(data: bytes) -> str | None:
    """Name the raw format of a TIFF.

    Parameters
    ----------
    data : bytes
        A file.

    Returns
    -------
    str or None
        Such as "DNG"; "raw" where the camera is none whose format has a name here; None if the file is no TIFF, or
        an ordinary one.

    Examples
    --------
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     raw_format(file.read()) is None
    True
    """
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    try:
        entries = _entries(data, "<" if data[:2] == b"II" else ">")
    except struct.error:
        return None  # ends early, which Pillow tells
    if _DNG_VERSION in entries:
        return "DNG"
    reduced = entries.get(_SUBFILE_TYPE, (0, b""))[0] & _REDUCED
    if (reduced and _SUB_DIRECTORIES in entries) or entries.get(_COMPRESSION, (0, b""))[0] in _RAW_COMPRESSIONS:
        make = entries.get(_MAKE, (0, b""))[1].upper()
        return next((name for maker, name in _FORMATS.items() if make.startswith(maker)), "raw")
    return None


def _entries(data: bytes, order: str) -> dict[int, tuple[int, bytes]]:
    """The first directory's entries by tag, each as a number and as text, of which its type chooses one."""
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    entries = {}
    for place in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        tag, kind, length, value = struct.unpack_from(order + "HHII", data, place)
        if kind == _SHORT:
            (value,) = struct.unpack_from(order + "H", data, place + 8)
        entries[tag] = value, data[place + 8 : place + 12] if length <= 4 else data[value : value + 16]
    return entries


_SHORT = 3
