"""Raw PPM and PGM files [1]_ whose samples end at another number than 255, which Pillow scales one by one in Python.

36 MB of them took 13 s so. Here they are scaled by a table, to the same numbers.

References
----------
.. [1] Netpbm, "PPM Format Specification", https://netpbm.sourceforge.net/doc/ppm.html
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFile

from nsfw_model.integrity import DamagedError

#: Samples that are scaled at once.
_PIECE = 1 << 20


def scaled(data: bytes, opened: ImageFile.ImageFile) -> ImageFile.ImageFile:
    """Give the same picture of samples that Pillow takes as they are.

    Parameters
    ----------
    data : bytes
        The file.
    opened : PIL.ImageFile.ImageFile
        As Pillow opened it; nothing is decoded yet.

    Returns
    -------
    PIL.ImageFile.ImageFile
        Not decoded either; `opened` itself if its samples need not be scaled.

    Raises
    ------
    DamagedError
        If samples are missing, or beyond the largest that the header names.

    Examples
    --------
    >>> data = b"P5 2 1 4 \\1\\4"
    >>> scaled(data, Image.open(io.BytesIO(data))).tobytes()
    b'@\\xff'
    >>> data = b"P5 2 1 4 \\1\\5"
    >>> scaled(data, Image.open(io.BytesIO(data)))
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: got a sample of 5, expected at most 4
    """
    decoder, _, start, arguments = opened.tile[0]
    if decoder != "ppm":
        return opened
    assert isinstance(arguments, tuple)
    most, wanted = arguments[-1], 65535 if opened.mode == "I" else 255
    samples = np.dtype(">u2" if most > 255 else "u1")
    count = opened.width * opened.height * len(opened.getbands())
    there = (len(data) - start) // samples.itemsize
    if there < count:
        raise DamagedError(f"truncated: got {there} samples, expected {count}")
    table = np.rint(np.arange(most + 1) / most * wanted).astype(">u2" if wanted > 255 else "u1")
    pieces = [data[:6].split()[0], b"\n%d %d\n%d\n" % (*opened.size, wanted)]
    for begin in range(0, count, _PIECE):
        piece = np.frombuffer(data, samples, min(_PIECE, count - begin), start + begin * samples.itemsize)
        if piece.max() > most:
            raise DamagedError(f"got a sample of {piece.max()}, expected at most {most}")
        pieces.append(table[piece].tobytes())
    return Image.open(io.BytesIO(b"".join(pieces)), formats=["PPM"])
