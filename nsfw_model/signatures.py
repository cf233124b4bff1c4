"""What a file is by its first bytes, where it is none of the pictures that are read."""

from __future__ import annotations

import re

_SIGNATURES = {
    rb"%PDF-": "a PDF",
    rb"(\xef\xbb\xbf)?\s*(<\?xml.{0,2000})?<svg": "an SVG",
    rb"(?i:(\xef\xbb\xbf)?\s*(<!--.{0,500}-->\s*)?<(!doctype html|html|head|body))": "a web page (HTML)",
    rb"(\xef\xbb\xbf)?\s*<\?xml": "XML",
    rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)": "an HEIC picture",
    rb"....ftypavi[fs]": "an AVIF picture",
    rb"....ftypcrx ": "a camera's raw picture (CR3)",
    rb"....ftyp": "a film (MP4 or QuickTime)",
    rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n": "a JPEG XL picture",
    rb"RIFF....AVI ": "a film (AVI)",
    rb"RIFF....WAVE": "a sound (WAV)",
    rb"\x1a\x45\xdf\xa3": "a film (Matroska or WebM)",
    rb"OggS": "a sound or film (Ogg)",
    rb"ID3|\xff[\xfb\xf3\xf2]": "a sound (MP3)",
    rb"8BPS": "a Photoshop document",
    rb"%!PS|\xc5\xd0\xd3\xc6": "PostScript",
    rb"gimp xcf": "a GIMP picture",
    rb"PK\x03\x04": "a ZIP archive",
    rb"\x1f\x8b": "a gzip archive",
    rb"Rar!": "a RAR archive",
    rb"7z\xbc\xaf": "a 7z archive",
    rb"\x7fELF|MZ": "a program",
    rb"\x89HDF\r\n": "an HDF5 file",
    rb"\x93NUMPY": "a NumPy array (.npy)",
    rb"version https://git-lfs": "a pointer of Git LFS, not the file itself (git lfs pull gets it)",
    rb"data:image/[\w.+-]+;base64,": "a data URL; base64.b64decode of what is behind its comma gives the file",
    rb"(/9j/|iVBORw0KGgo|R0lGOD|UklGR|Qk[0-9A-Za-z+/]{6})[0-9A-Za-z+/\s]{40,}={0,2}\s*\Z": (
        "base64; base64.b64decode gives the file"
    ),
}
_COMPILED = [(re.compile(pattern, re.DOTALL), name) for pattern, name in _SIGNATURES.items()]
#: How much of a file is looked at.
BYTES = 4096


def looks_like(data: bytes) -> str | None:
    """Name what a file is.

    Parameters
    ----------
    data : bytes
        The file, or its beginning.

    Returns
    -------
    str or None
        With its article; None where nothing is recognised.

    Examples
    --------
    >>> looks_like(b"%PDF-1.7 ..."), looks_like(b"<!DOCTYPE html><title>404</title>")
    ('a PDF', 'a web page (HTML)')
    >>> looks_like(b"hello") is None
    True
    """
    beginning = bytes(data[:BYTES])
    return next((name for pattern, name in _COMPILED if pattern.match(beginning)), None)
