"""What a file is by its first bytes, where it is none of the pictures that are read."""

from __future__ import annotations

import re
from pathlib import Path

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
_BYTES = 4096


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
    beginning = bytes(data[:_BYTES])
    return next((name for pattern, name in _COMPILED if pattern.match(beginning)), None)


def model_file_kind(data: bytes) -> str | None:
    """Name what a file is that was given in place of another of a model's files.

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
    >>> model_file_kind(b"name: 'net' layer { name: 'conv' type: 'Convolution' }")
    'a prototxt, the architecture'
    >>> model_file_kind(b"\\x80\\x03](X")
    'a pickle, such as nsfw.pkl, the weights'
    """
    beginning = bytes(data[:_BYTES])
    kind = looks_like(beginning)
    if kind:
        return kind
    if re.match(rb"\x80[\x02-\x05]|\(lp\d|\]q|\(dp\d", beginning):
        return "a pickle, such as nsfw.pkl, the weights"
    if re.match(rb"(\s*#[^\n]*\n)*\s*(name|input|input_dim|layers?|state|force_backward)\s*[:{]", beginning):
        return "a prototxt, the architecture"
    # The name of the network (field 1), then layers (100 of V2, 2 of V1), as Caffe writes them
    if re.match(rb"\n[\x01-\x7f][\x20-\x7e]+(\xa2\x06|\x12)|\xa2\x06", beginning):
        return "a caffemodel, which open-nsfw convert makes nsfw.pkl of"
    if re.match(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|BM.{12}", beginning, re.DOTALL):
        return "a picture"
    return None


def mistaken_for(path: Path, expected: str) -> str:
    """Give the end of a message about a model's file: what it looks like, if that is something else.

    Parameters
    ----------
    path : Path
    expected : str
        A word of the right kind's name.

    Returns
    -------
    str
        Nothing if the file is of that kind, or of none that is known.

    Examples
    --------
    >>> mistaken_for(Path("nsfw.pkl"), "caffemodel")
    '; it looks like a pickle, such as nsfw.pkl, the weights'
    >>> mistaken_for(Path("nsfw.pkl"), "pickle")
    ''
    """
    with path.open("rb") as file:
        kind = model_file_kind(file.read(_BYTES))
    return f"; it looks like {kind}" if kind and expected not in kind else ""
