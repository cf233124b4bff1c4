"""What a file is by its first bytes, and not by its name."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import Literal, NamedTuple


class FileKind(NamedTuple):
    """What a file is.

    Attributes
    ----------
    noun : str
        A short noun of lower-case letters, for counting.
    name : str
        With its article, for messages.
    role : {"picture", "raw", "film", "other"}
        Whether it is, or ought to be, a picture, a camera's raw picture, or a film. A sound is none of these.
    """

    noun: str
    name: str
    role: Literal["picture", "raw", "film", "other"] = "other"


_BOX = rb"....ftyp"
_SAMPLES = rb"\x47.{187}\x47.{187}\x47"  # of MPEG-TS: packets of 188 bytes
#: By what a file begins with; the first that matches. Those above a line that they overlap with are the narrower ones.
_SIGNATURES: dict[bytes, tuple] = {
    rb"\x89PNG\r\n\x1a\n": ("png", "a PNG", "picture"),
    rb"\xff\xd8\xff": ("jpeg", "a JPEG", "picture"),
    rb"GIF8[79]a": ("gif", "a GIF", "picture"),
    rb"RIFF....WEBP": ("webp", "a WebP", "picture"),
    rb"BM.{4}\0\0\0\0": ("bmp", "a BMP", "picture"),
    rb"\0\0\x01\0[^\0]\0": ("ico", "an ICO", "picture"),
    rb"\x0a[\0\2\3\5]\x01[\1\2\4\x08]": ("pcx", "a PCX", "picture"),
    rb"P[0-6fy]\s": ("ppm", "a PPM", "picture"),
    rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n": ("jpeg2000", "a JPEG 2000", "picture"),
    rb"II\*\0\x10\0\0\0CR": ("cr2", "a camera's raw picture (CR2)", "raw"),
    rb"IIU\0": ("rw2", "a camera's raw picture (RW2)", "raw"),
    rb"II(RO|RS)|MMOR": ("orf", "a camera's raw picture (ORF)", "raw"),
    rb"FUJIFILMCCD-RAW": ("raf", "a camera's raw picture (RAF)", "raw"),
    rb"FOVb": ("x3f", "a camera's raw picture (X3F)", "raw"),
    rb"\0MRM": ("mrw", "a camera's raw picture (MRW)", "raw"),
    rb"II[*+]\0|MM\0[*+]": ("tiff", "a TIFF", "picture"),
    rb"%PDF-": ("pdf", "a PDF"),
    rb"(\xef\xbb\xbf)?\s*(<\?xml.{0,2000})?<svg": ("svg", "an SVG", "picture"),
    rb"(?i:(\xef\xbb\xbf)?\s*(<!--.{0,500}-->\s*)?<(!doctype html|html|head|body))": ("html", "a web page (HTML)"),
    rb"(\xef\xbb\xbf)?\s*<\?xml": ("xml", "XML"),
    _BOX + rb"(avi[fs]|(mif1|msf1|miaf)....(....)*?avi[fs])": ("avif", "an AVIF picture", "picture"),
    _BOX + rb"(heic|heix|heim|heis|hevc|hevx|mif1|msf1|miaf)": ("heic", "an HEIC picture", "picture"),
    _BOX + rb"crx ": ("cr3", "a camera's raw picture (CR3)", "raw"),
    _BOX + rb"M4[AB] ": ("m4a", "a sound (M4A)"),
    _BOX + rb"|\0...(moov|wide|pnot|free|skip)|....mdat": ("mp4", "a film (MP4 or QuickTime)", "film"),
    rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n": ("jxl", "a JPEG XL picture", "picture"),
    rb"RIFF....AVI ": ("avi", "a film (AVI)", "film"),
    rb"RIFF....WAVE": ("wav", "a sound (WAV)"),
    rb"\x1a\x45\xdf\xa3": ("mkv", "a film (Matroska or WebM)", "film"),
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11": ("wmv", "a film (ASF or WMV)", "film"),
    rb"FLV\x01": ("flv", "a film (FLV)", "film"),
    rb"\0\0\x01\xba": ("mpeg", "a film (MPEG)", "film"),
    rb"\0\0\x01\xb3": ("mpv", "a film (MPEG video)", "film"),
    _SAMPLES + rb"|.{4}\x47.{191}\x47.{191}\x47": ("ts", "a film (MPEG-TS)", "film"),
    rb"OggS": ("ogg", "a sound or film (Ogg)", "film"),
    rb"ID3|\xff[\xfb\xfa\xf3\xf2]": ("mp3", "a sound (MP3)"),
    rb"\xff[\xf1\xf9]": ("aac", "a sound (AAC)"),
    rb"fLaC": ("flac", "a sound (FLAC)"),
    rb"FORM....AIF[FC]": ("aiff", "a sound (AIFF)"),
    rb"MThd": ("midi", "a sound (MIDI)"),
    rb"8BPS": ("psd", "a Photoshop document", "picture"),
    rb"%!PS|\xc5\xd0\xd3\xc6": ("postscript", "PostScript"),
    rb"gimp xcf": ("xcf", "a GIMP picture", "picture"),
    rb"PK\x03\x04.{26}mimetypeapplication/epub": ("epub", "a book (EPUB)"),
    rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis": ("opendocument", "a document (OpenDocument)"),
    rb"PK\x03\x04.{26}(\[Content_Types\]\.xml|_rels/|docProps/|word/|xl/|ppt/)": ("office", "a document (Office)"),
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("office", "a document (Office)"),
    rb"\{\\rtf": ("rtf", "a document (RTF)"),
    rb"PK(\x03\x04|\x05\x06)": ("zip", "a ZIP archive"),
    rb"\x1f\x8b": ("gzip", "a gzip archive"),
    rb"BZh[1-9]": ("bzip2", "a bzip2 archive"),
    rb"\xfd7zXZ\0": ("xz", "an xz archive"),
    rb"\x28\xb5\x2f\xfd": ("zstd", "a Zstandard archive"),
    rb"Rar!": ("rar", "a RAR archive"),
    rb"7z\xbc\xaf": ("7z", "a 7z archive"),
    rb".{257}ustar": ("tar", "a tar archive"),
    rb"\x7fELF|MZ": ("program", "a program"),
    rb"SQLite format 3\0": ("sqlite", "an SQLite database"),
    rb"\x89HDF\r\n": ("hdf5", "an HDF5 file"),
    rb"\x93NUMPY": ("npy", "a NumPy array (.npy)"),
    rb"version https://git-lfs": ("lfs", "a pointer of Git LFS, not the file itself (git lfs pull gets it)"),
    rb"data:image/[\w.+-]+;base64,": (
        "text",
        "a data URL; base64.b64decode of what is behind its comma gives the file",
    ),
    rb"(/9j/|iVBORw0KGgo|R0lGOD|UklGR|Qk[0-9A-Za-z+/]{6})[0-9A-Za-z+/\s]{40,}={0,2}\s*\Z": (
        "text",
        "base64; base64.b64decode gives the file",
    ),
}
_COMPILED = [(re.compile(pattern, re.DOTALL), FileKind(*kind)) for pattern, kind in _SIGNATURES.items()]
#: How much of a file is looked at.
BEGINNING = 4096
#: File name extensions that promise a picture, of formats that are read and of those that are refused by name.
PICTURE_EXTENSIONS = frozenset(
    ".apng .arw .avif .avifs .bmp .bw .cr2 .cr3 .crw .cur .dcr .dib .dng .emf .eps .erf .gif .heic .heics .heif .heifs "
    ".hif .icb .ico .iiq .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .jxl .kdc .mef .mos .mpo .mrw .nef .nrw "
    ".orf .pbm .pcx .pef .pfm .pgm .png .pnm .ppm .psb .psd .raf .rgb .rgba .rw2 .rwl .sgi .sr2 .srf .srw .svg .tga "
    ".tif .tiff .vda .vst .webp .wmf .x3f .xcf".split()
)


def is_called_a_picture(name: str) -> bool:
    """Whether a file's name ends as those of pictures do, see `PICTURE_EXTENSIONS`.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_called_a_picture("a.JPG"), is_called_a_picture("a.pdf"), is_called_a_picture("jpg")
    (True, False, False)
    """
    return os.path.splitext(name)[1].lower() in PICTURE_EXTENSIONS


def kind_of(data: bytes) -> FileKind | None:
    """Say what a file is by its first bytes.

    Parameters
    ----------
    data : bytes
        The file, or its beginning.

    Returns
    -------
    FileKind or None
        None where nothing is recognised. A TGA has no signature, and is never recognised.

    Examples
    --------
    >>> kind_of(b"\\x89PNG\\r\\n\\x1a\\n").role, kind_of(b"FLV\\x01").role, kind_of(b"fLaC").role
    ('picture', 'film', 'other')
    >>> kind_of(b"hello") is None
    True
    """
    beginning = bytes(data[:BEGINNING])
    return next((kind for pattern, kind in _COMPILED if pattern.match(beginning)), None)


def looks_like(data: bytes) -> str | None:
    """Name what a file is that is none of the pictures that are read.

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
    kind = kind_of(data)
    return kind.name if kind and kind.noun not in _READ else None


_READ = {"png", "jpeg", "gif", "webp", "bmp", "ico", "pcx", "ppm", "jpeg2000", "tiff"}


def is_text(data: bytes) -> bool:
    """Say whether a file is text.

    Parameters
    ----------
    data : bytes
        The file, or its beginning.

    Returns
    -------
    bool
        Whether it is UTF-8, or UTF-16 by its mark, without characters that texts do not have.

    Examples
    --------
    >>> is_text("Grüße,\\n".encode()), is_text("Grüße".encode("utf-16")), is_text(b"Gr\\xfc\\0")
    (True, True, False)
    """
    beginning = bytes(data[:BEGINNING])
    if beginning[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = beginning.decode("utf-16", "ignore")
    else:
        try:
            text, _ = codecs.utf_8_decode(beginning, "strict", False)  # its last character may be cut
        except UnicodeDecodeError:
            return False
    return bool(text) and not re.search(r"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]", text)


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
    beginning = bytes(data[:BEGINNING])
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
        kind = model_file_kind(file.read(BEGINNING))
    return f"; it looks like {kind}" if kind and expected not in kind else ""
