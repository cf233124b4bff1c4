"""Pictures of every kind in, RGB pixels out, or one kind of error that says what is wrong.

What a file is, its content says and not its name, see `nsfw_model.signatures`. What it says of itself is checked
before it is paid for, see `nsfw_model.headers` and `nsfw_model.integrity`.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from nsfw_model.avif import check_coded_sizes
from nsfw_model.camera_raw import raw_format
from nsfw_model.headers import check_headers
from nsfw_model.integrity import check_after_decoding, check_before_decoding
from nsfw_model.jpeg_xl import jpeg_xl_header
from nsfw_model.netpbm import scaled
from nsfw_model.palettes import check_palette
from nsfw_model.regular_file import NotRegularError, open_regular
from nsfw_model.signatures import BEGINNING, FileKind, is_called_a_picture, is_text, kind_of, looks_like

File = str | Path | bytes | BinaryIO
Picture = File | np.ndarray | Image.Image

#: Pillow's names of the formats that are opened, with the module that decodes each. Others
#: (PostScript, metafiles, ...) run interpreters or external programs: no business of a classifier.
FORMATS = {
    "AVIF": "AvifImagePlugin",  # of Pillow 11.3 and later
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "ICO": "IcoImagePlugin",
    "JPEG": "JpegImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "MPO": "MpoImagePlugin",
    "PCX": "PcxImagePlugin",
    "PNG": "PngImagePlugin",
    "PPM": "PpmImagePlugin",
    "TGA": "TgaImagePlugin",
    "TIFF": "TiffImagePlugin",
    "WEBP": "WebPImagePlugin",
}
#: Formats that others read for Pillow: the noun of `nsfw_model.signatures`, Pillow's name of the format, the package.
PLUGINS = {"heic": ("HEIF", "pillow-heif"), "jxl": ("JXL", "pillow-jxl-plugin")}
#: The largest file that is read, in bytes.
MAX_FILE_BYTES = 1 << 29
#: How much of a name is shown in a message, in characters.
SHOWN_NAME = 300


class PictureError(ValueError):
    """A picture that cannot be scored.

    The message names the picture and says what is wrong with it; ``__cause__`` is the error
    that was met, where there was one.
    """


class NotAPictureError(PictureError):
    """What was given is no picture at all: a document, a text, an archive, a film, a sound.

    Attributes
    ----------
    kind : str
        What it is, for counting: a short noun of lower-case letters, such as "pdf", "mp4", "zip" or "text"; "empty"
        for a file without content, and "unknown".
    """

    def __init__(self, message: str, kind: str = "unknown"):
        super().__init__(message)
        self.kind = kind


def read_picture(img: Picture) -> Image.Image:
    """Open a picture of any supported kind and give it as RGB.

    Alpha is dropped, an animation stands for its first frame and EXIF orientation is not
    applied, all as in Yahoo's code. (HEIC and JPEG XL say in their own headers how a picture is turned, and come
    out as their decoders turn them.) 16-bit grey values are scaled to 8 bits (Pillow's own
    conversion would clip them to white).

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        A path, a file's content, an open file (read from its beginning, whatever its position, and left
        open at any), an array of dtype uint8 and shape (height, width, 3) in RGB order, or a picture of
        any mode.

    Returns
    -------
    PIL.Image.Image
        A picture of mode RGB, fully loaded.

    Raises
    ------
    NotAPictureError
        If the file is something else than a picture; it is a PictureError too.
    PictureError
        If there is no such file, it is no picture of a supported format, it is damaged or
        truncated, it has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``, or it asks for more than
        `nsfw_model.integrity` allows.
    TypeError
        If `img` is none of the kinds above.

    Examples
    --------
    >>> read_picture(np.zeros((10, 20, 3), np.uint8)).size
    (20, 10)
    """
    name = picture_name(img)
    opened = open_picture(img)
    with explained(name):
        converted = to_rgb(opened, name)
        return converted.copy() if converted is img else converted


def open_picture(img: Picture) -> Image.Image:
    """Open a picture of any supported kind, with the checks of `read_picture`, and leave its mode as it is.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        As for `read_picture`.

    Returns
    -------
    PIL.Image.Image
        Fully loaded; `img` itself if it is one.

    Raises
    ------
    PictureError, TypeError
        As `read_picture`.

    Examples
    --------
    >>> open_picture("img/camera.png").mode
    'L'
    """
    check_kind(img)
    name = picture_name(img)
    with explained(name):
        if isinstance(img, np.ndarray):
            return _picture_of_array(img, name)
        if isinstance(img, Image.Image):
            check_pixels(img.width, img.height, name)
            img.load()
            return img
        return decoded(read_file(img), img)


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Let whatever goes wrong be a `PictureError` that names the picture.

    Parameters
    ----------
    name : str

    Yields
    ------
    None

    Raises
    ------
    PictureError

    Examples
    --------
    >>> with explained("a.jpg"):
    ...     open("no/such/a.jpg")
    Traceback (most recent call last):
    nsfw_model.picture.PictureError: a.jpg: no such file
    """
    try:
        yield
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"{name}: no such file{_hint_at_name(name)}") from error
    except IsADirectoryError as error:
        raise PictureError(f"{name}: is a folder, not a picture") from error
    except MemoryError as error:
        raise PictureError(f"{name}: cannot be read as a picture: there is not enough memory for it") from error
    except (Exception, Image.DecompressionBombWarning) as error:  # decoders raise all sorts of things
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(text.split())[:SHOWN_NAME] or type(error).__name__
        raise PictureError(f"{name}: cannot be read as a picture: {reason}{_hint_at_name(name)}") from error


def check_kind(img: object) -> None:
    """Check that this is one of the kinds that `read_picture` takes.

    Parameters
    ----------
    img : object

    Raises
    ------
    TypeError
        If it is none.

    Examples
    --------
    >>> check_kind(7)
    Traceback (most recent call last):
    TypeError: expected a path, bytes, a binary file, an array or a PIL image, got int
    """
    read = getattr(img, "read", None)
    if inspect.iscoroutinefunction(read):  # FastAPI's and Starlette's UploadFile
        raise TypeError(
            f"got {type(img).__name__}, whose read() has to be awaited; expected a binary file, such as its .file"
        )
    if read is None and not isinstance(img, (str, os.PathLike, bytes, bytearray, np.ndarray, Image.Image)):
        raise TypeError(f"expected a path, bytes, a binary file, an array or a PIL image, got {type(img).__name__}")


def picture_name(img: Picture) -> str:
    """Say what error messages call a picture.

    Parameters
    ----------
    img : picture as `read_picture` takes it

    Returns
    -------
    str
        The name of its file as it was given, shortened if it is very long, or its kind.

    Examples
    --------
    >>> picture_name("./a.jpg"), picture_name(b"abc")
    ('./a.jpg', '<3 bytes>')
    """
    if isinstance(img, (str, os.PathLike)):
        return shortened(_file_name(img)) or "the empty name"
    if isinstance(img, (bytes, bytearray)):
        return f"<{len(img)} bytes>"
    if isinstance(img, np.ndarray):
        return f"<array {shortened(str(img.dtype))} {img.shape}>"
    return shortened(_file_name(img)) or f"<{type(img).__name__}>"


def _file_name(img: object) -> str:
    """The name of a file as it was given, or nothing."""
    if isinstance(img, (str, os.PathLike)):
        return str(os.fspath(img))
    name = getattr(img, "filename", "") or getattr(img, "name", "")
    return name if isinstance(name, str) else ""


def shortened(text: str, most: int = SHOWN_NAME) -> str:
    """Give the beginning of what is too long for a message.

    Parameters
    ----------
    text : str
    most : int
        Characters.

    Returns
    -------
    str

    Examples
    --------
    >>> shortened("a" * 1000)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa... (1000 characters)'
    """
    return text if len(text) <= most else f"{text[: most // 5]}... ({len(text)} characters)"


def _hint_at_name(name: str) -> str:
    """What a text probably is that is no path of a file."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        return "; it is an address: fetch what is there, and give its bytes"
    kind = looks_like(name.encode("utf-8", "replace"))
    if kind is None and re.match(r"[0-9A-Za-z+/=\s]{60}\.\.\. \(", name):
        kind = "base64; base64.b64decode gives the file"
    return f"; it looks like {kind}" if kind else ""


@contextlib.contextmanager
def opened_file(img: File) -> Iterator[BinaryIO]:
    """Open a file of any kind at its beginning; one that was open already stays so.

    Parameters
    ----------
    img : str, Path, bytes or binary file
        As for `read_picture`.

    Yields
    ------
    binary file
        A regular one: nothing waits for a pipe.

    Raises
    ------
    PictureError
        If it is a folder, a pipe or a device.
    OSError
        If it cannot be opened.
    TypeError
        As `read_picture`.

    Examples
    --------
    >>> with opened_file(b"abc") as file:
    ...     file.read()
    b'abc'
    """
    check_kind(img)
    if isinstance(img, (bytes, bytearray)):
        yield io.BytesIO(img)
    elif isinstance(img, (str, os.PathLike)):
        with _opened_by_name(img, picture_name(img)) as opened:
            yield opened
    else:
        if hasattr(img, "seek"):
            img.seek(0)
        yield img


def read_file(img: File) -> bytes:
    """Read a picture's file, unless it begins like something else than a picture.

    Parameters
    ----------
    img : str, Path, bytes or binary file
        As for `read_picture`.

    Returns
    -------
    bytes

    Raises
    ------
    NotAPictureError
        If it is empty, or known to be no picture, in which case no more than its beginning is read.
    PictureError
        If it has more than `MAX_FILE_BYTES`.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> read_file("img/coffee.jpg")[:3]
    b'\\xff\\xd8\\xff'
    """
    name = picture_name(img)
    with opened_file(img) as file:
        if hasattr(file, "seek"):  # what cannot seek is read once
            _refuse_others(file.read(BEGINNING), name)
            file.seek(0)
        data = file.read(MAX_FILE_BYTES + 1)
    _refuse_others(data, name)
    if len(data) > MAX_FILE_BYTES:
        raise PictureError(f"{name}: is larger than {MAX_FILE_BYTES} bytes")
    if not data:
        raise _unreadable(f"{name}: is empty", "empty", img)
    return data


def _unreadable(message: str, kind: str, img: Picture) -> PictureError:
    """The error for a file of a kind that may be what is left of a picture, if its name says so."""
    promised = is_called_a_picture(_file_name(img))
    return PictureError(message) if promised else NotAPictureError(message, kind)


def _opened_by_name(path: str | os.PathLike, name: str) -> BinaryIO:
    try:
        return open_regular(path)
    except IsADirectoryError as error:
        raise PictureError(f"{name}: is a folder, not a picture") from error
    except NotRegularError:
        raise PictureError(f"{name}: is a pipe or a device, not a file") from None


def _picture_of_array(pixels: np.ndarray, name: str) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise PictureError(
            f"{name}: expected an array of dtype uint8 and shape (height, width, 3){_hint_at_array(pixels)}"
        )
    check_pixels(pixels.shape[1], pixels.shape[0], name)
    if np.ma.is_masked(pixels):
        raise PictureError(f"{name}: got masked pixels, expected none; array.filled gives them a value")
    return Image.fromarray(pixels)


def _hint_at_array(pixels: np.ndarray) -> str:
    """Which other layout of pixels it looks like, and how it becomes the right one."""
    hints = []
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
        hints.append("its channels come first (array.transpose(1, 2, 0))")
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        hints.append("it has an alpha channel (array[:, :, :3])")
    elif pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1):
        hints.append("it is grey (numpy.dstack([array] * 3))")
    elif pixels.ndim == 4:
        hints.append("it is a batch (nsfw_scores takes several pictures)")
    if pixels.dtype.kind == "f":
        hints.append("its values are floats (numpy.rint(array * 255).astype(numpy.uint8), if they are in 0..1)")
    elif pixels.dtype.kind in "iu" and pixels.dtype != np.uint8:
        hints.append(f"its values are {pixels.dtype} (array.astype(numpy.uint8), if they are in 0..255)")
    return f"; it looks as if {' and '.join(hints)}" if hints else ""


def decoded(data: bytes, img: Picture) -> Image.Image:
    """Give the picture of a file's bytes, fully loaded.

    Parameters
    ----------
    data : bytes
    img : picture as `read_picture` takes it
        Of which these are the bytes.

    Returns
    -------
    PIL.Image.Image
        Of any mode.

    Raises
    ------
    PictureError
        If the bytes are no picture, or one that is not read.
    Exception
        Whatever Pillow raises for damaged files, see `explained`.

    Examples
    --------
    >>> with open("img/camera.png", "rb") as file:
    ...     decoded(file.read(), "img/camera.png").mode
    'L'
    """
    name, kind = picture_name(img), kind_of(data)
    _refuse_by_name(data, kind, name)
    check_headers(data)
    try:
        opened = Image.open(io.BytesIO(data), formats=_formats(kind, name))
    except Image.UnidentifiedImageError as error:
        raise _unidentified(data, img) from error
    check_pixels(opened.width, opened.height, name)
    check_before_decoding(data)
    if opened.format == "AVIF":
        check_coded_sizes(data)
    if opened.format == "PPM":
        opened = scaled(data, opened)
    opened.load()
    check_after_decoding(data, opened)
    check_palette(data, opened)
    return opened


def _refuse_others(beginning: object, name: str) -> None:
    """Refuse what is known to be no picture, however large, by its first bytes."""
    if not isinstance(beginning, bytes):
        raise PictureError(f"{name}: its read() gives {type(beginning).__name__}, expected bytes: open it as 'rb'")
    kind = kind_of(beginning)
    if kind is None or kind.role in ("picture", "raw"):
        return
    scored = ", which frame_scores and frames='max' score" if kind.role == "film" else ""
    raise NotAPictureError(f"{name}: {_NOT_SUPPORTED}: it looks like {kind.name}{scored}", kind.noun)


_NOT_SUPPORTED = (
    f"not a picture of a supported format ({', '.join([*FORMATS, *(name for name, _ in PLUGINS.values())])})"
)


def _refuse_by_name(data: bytes, kind: FileKind | None, name: str) -> None:
    """Refuse pictures that would be opened, and should not."""
    if kind is None:
        return
    if kind.role == "raw":
        raise PictureError(f"{name}: {kind.name}: export it as JPEG first")
    if kind.noun == "tiff" and (format := raw_format(data)):
        raise PictureError(f"{name}: a camera's raw picture ({format}): export it as JPEG first")
    if kind.noun == "jxl":  # decoded when it is opened
        header = jpeg_xl_header(data)
        check_pixels(header.width, header.height, name)
        if header.several:
            raise PictureError(f"{name}: an animated JPEG XL, of which pillow-jxl-plugin cannot tell the frames")


def _formats(kind: FileKind | None, name: str) -> list[str]:
    """Pillow's names of the formats that a file may have, each of them registered."""
    if kind and kind.noun in PLUGINS:
        return [_registered(kind, name)]
    possible = [kind.noun.upper()] if kind and kind.noun.upper() in FORMATS else list(FORMATS)
    for format in possible:
        with contextlib.suppress(ModuleNotFoundError):  # of AVIF, in earlier releases
            importlib.import_module(f"PIL.{FORMATS[format]}")  # Pillow knows only five formats before it is told
    return [format for format in possible if format in Image.OPEN]


def _registered(kind: FileKind, name: str) -> str:
    """Register a plugin, and give Pillow's name of its format."""
    format, package = PLUGINS[kind.noun]
    try:
        if format == "HEIF":
            from pillow_heif import register_heif_opener

            register_heif_opener()
        else:
            importlib.import_module("pillow_jxl")
    except ImportError as error:
        raise PictureError(
            f"{name}: {kind.name}, which {package} reads: pip install 'open-nsfw-theano[formats]'"
        ) from error
    return format


def _unidentified(data: bytes, img: Picture) -> PictureError:
    """Say why nothing could open a file."""
    name = picture_name(img)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return PictureError(
            f"{name}: a TIFF of a kind that Pillow does not read, such as samples of floating point or more than 4 "
            "channels: convert it to 8 bits a channel first"
        )
    kind = kind_of(data)
    if kind:
        return PictureError(f"{name}: {_NOT_SUPPORTED}, or damaged: it looks like {kind.name}")
    if is_text(data):
        return _unreadable(f"{name}: {_NOT_SUPPORTED}: it looks like text", "text", img)
    return _unreadable(f"{name}: {_NOT_SUPPORTED}, or damaged", "unknown", img)


def check_pixels(width: int, height: int, name: str) -> None:
    """Refuse before decoding what would take gigabytes (Pillow itself only warns up to twice its limit).

    Parameters
    ----------
    width, height : int
    name : str
        Of the picture, for the message.

    Raises
    ------
    PictureError
        If it has no pixels, or more than ``PIL.Image.MAX_IMAGE_PIXELS``.

    Examples
    --------
    >>> check_pixels(0, 5, "a.png")
    Traceback (most recent call last):
    nsfw_model.picture.PictureError: a.png: has no pixels (0x5)
    """
    pixels = width * height
    if not pixels:
        raise PictureError(f"{name}: has no pixels ({width}x{height})")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise PictureError(
            f"{name}: {width}x{height} is {pixels} pixels, more than PIL.Image.MAX_IMAGE_PIXELS = {limit}"
        )


def to_rgb(opened: Image.Image, name: str) -> Image.Image:
    """Give the same picture in mode RGB; itself where it is that already.

    Parameters
    ----------
    opened : PIL.Image.Image
    name : str
        Of the picture, for the message.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    PictureError
        If its mode does not say what is white.

    Examples
    --------
    >>> to_rgb(Image.new("LA", (1, 1), (7, 0)), "a.png").getpixel((0, 0))
    (7, 7, 7)
    """
    # Of 16 bits too: Pillow gives PPM always, and PNG in older releases, as mode I
    if opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format in ("PNG", "PPM")):
        grey = np.asarray(opened).astype(np.uint16) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if opened.mode in ("I", "F"):
        raise PictureError(
            f"{name}: mode {opened.mode} has no defined white; convert the picture to 8 bits a channel first"
        )
    if opened.mode == "La":
        opened = opened.convert("LA")  # the one way that Pillow knows out of premultiplied grey
    if opened.mode == "P" and "transparency" in opened.info:
        opened = opened.convert("RGBA")  # the same colours; straight to RGB makes Pillow warn
    return opened if opened.mode == "RGB" else opened.convert("RGB")
