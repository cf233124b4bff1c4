"""Files that other decoders give to interpreters or programs, and pictures that are something else too."""

import struct
import sys

from attack import Attack
from made_pictures import icon, with_strip
from pictures import UNKNOWN, WHOLE, prepare, read, refused, unreadable

__all__ = ["ATTACKS", "prepare"]

ATTACKS = []


class AnotherProgram(Exception):
    """Something was started."""


def _watched(data, whole=None):
    """What is read of a file, unless another program is started for it."""

    def carry_out(folder):
        def refuse(event, arguments):
            if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "compile", "exec"):
                raise AnotherProgram(event)

        sys.addaudithook(refuse)
        return read(data, whole)

    return carry_out


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) (w) file\nshowpage\n"
METAFILE = b"\xd7\xcd\xc6\x9a\0\0\0\0\0\0\x64\0\x64\0\x48\0" + bytes(6) + b"\1\0\x09\0\0\3" + bytes(12)
OTHERS = {
    "EPS": (POSTSCRIPT, refused(f"{UNKNOWN} .*: it looks like PostScript")),
    "EPS with a preview": (
        b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH2x", 32, len(POSTSCRIPT), 0, 0, 0, 0, 0) + POSTSCRIPT,
        refused(f"{UNKNOWN} .*: it looks like PostScript"),
    ),
    "PDF": (b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>", refused(f"{UNKNOWN} .*: it looks like a PDF")),
    "SVG": (
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        refused(f"{UNKNOWN} .*an SVG"),
    ),
    "SVG with entities": (
        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><svg/>",
        refused(f"{UNKNOWN} .*(SVG|XML)"),
    ),
    "WMF": (METAFILE, refused(UNKNOWN)),
    "EMF": (struct.pack("<II", 1, 108) + bytes(32) + b" EMF" + bytes(64), refused(UNKNOWN)),
    "Photoshop": (b"8BPS\0\1" + bytes(20), refused(f"{UNKNOWN} .*a Photoshop document")),
    "FLI": (struct.pack("<IH", 200, 0xAF12) + bytes(200), refused(UNKNOWN)),
    "FPX": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), refused(UNKNOWN)),
    "GRIB": (b"GRIB\0\0\0\1" + bytes(100), refused(UNKNOWN)),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), refused(f"{UNKNOWN} .*an HDF5 file")),
    "IM, which once was evaluated": (b"Image type: RGB\r\nName: x\r\n" + bytes(500), refused(UNKNOWN)),
    "XPM": (b'/* XPM */\nstatic char *a[] = {"1 1 1 1", ". c #000000", "."};', refused(UNKNOWN)),
    "a program": (b"\x7fELF\2\1\1" + bytes(64), refused(f"{UNKNOWN} .*a program")),
    "a pickle": (b"\x80\x04cos\nsystem\n\x8c\x04trueq\0\x85R.", refused(UNKNOWN)),
    "a script": (b"#!/bin/sh\ntouch ran\n", refused(UNKNOWN)),
    "a ZIP archive": (b"PK\3\4" + bytes(30), refused(f"{UNKNOWN} .*a ZIP archive")),
}
for name, (data, outcome) in OTHERS.items():
    ATTACKS.append(Attack("formats", name, _watched(data), outcome))
    disguised = b"\xff\xd8\xff\xe0" + data  # as a JPEG, by its first bytes
    ATTACKS.append(Attack("formats", f"{name} behind a JPEG's first bytes", _watched(disguised), "PictureError: "))
for name in "JPEG", "PNG", "GIF", "BMP":
    for other, tail in {
        "PostScript": POSTSCRIPT,
        "a ZIP archive": b"PK\3\4" + bytes(30),
        "PHP": b"<?php exec('x');",
    }.items():
        data = WHOLE[name][0]
        ATTACKS.append(
            Attack("formats", f"{name} that {other} follows", _watched(data + tail, data), "the whole picture")
        )
TIFF_OF_POSTSCRIPT = with_strip(WHOLE["TIFF of Deflate"][0], POSTSCRIPT)
ATTACKS.append(Attack("formats", "TIFF of PostScript", _watched(TIFF_OF_POSTSCRIPT), unreadable("decoder error")))
ATTACKS.append(
    Attack(
        "formats",
        "ICO of PostScript",
        _watched(icon(POSTSCRIPT)),
        unreadable("Unsupported BMP|.*header|Truncated File Read"),
    )
)
