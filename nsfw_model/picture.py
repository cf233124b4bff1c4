"""Pictures of every kind in, RGB pixels out, or one kind of error that says what is wrong.

What a file says of itself is checked before it is paid for, see `nsfw_model.headers` and `nsfw_model.integrity`.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from nsfw_model.headers import check_headers
from nsfw_model.integrity import check_after_decoding, check_before_decoding
from nsfw_model.signatures import looks_like

Picture = str | Path | bytes | BinaryIO | np.ndarray | Image.Image

#: Pillow's names of the formats that are opened, with the module that decodes each. Others
#: (PostScript, metafiles, ...) run interpreters or external programs: no business of a classifier.
FORMATS = {
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "ICO": "IcoImagePlugin",
    "JPEG": "JpegImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "PCX": "PcxImagePlugin",
    "PNG": "PngImagePlugin",
    "PPM": "PpmImagePlugin",
    "TGA": "TgaImagePlugin",
    "TIFF": "TiffImagePlugin",
    "WEBP": "WebPImagePlugin",
}
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
    """What is no picture at all.

    Parameters
    ----------
    message : str
    kind : str
        A short noun for counting, such as "pdf" or "text".

    Examples
    --------
    >>> NotAPictureError("a.pdf: not a picture", "pdf").kind
    'pdf'
    """

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


def read_picture(img: Picture) -> Image.Image:
    """Open a picture of any supported kind and give it as RGB.

    Alpha is dropped, an animation stands for its first frame and EXIF orientation is not
    applied, all as in Yahoo's code. 16-bit grey values are scaled to 8 bits (Pillow's own
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
    with _explained(name):
        converted = _to_rgb(opened, name)
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
    _check_kind(img)
    name = picture_name(img)
    with _explained(name):
        if isinstance(img, np.ndarray):
            return _picture_of_array(img, name)
        if isinstance(img, Image.Image):
            _check_size(img, name)
            img.load()
            return img
        return _decoded(_content(img, name), name)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Let whatever goes wrong be a `PictureError` that names the picture."""
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


def _check_kind(img: object) -> None:
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
        return _shortened(str(os.fspath(img))) or "the empty name"
    if isinstance(img, (bytes, bytearray)):
        return f"<{len(img)} bytes>"
    if isinstance(img, np.ndarray):
        return f"<array {img.dtype} {img.shape}>"
    name = getattr(img, "filename", "") or getattr(img, "name", "")
    return _shortened(name) if isinstance(name, str) and name else f"<{type(img).__name__}>"


def _shortened(name: str) -> str:
    return name if len(name) <= SHOWN_NAME else f"{name[:60]}... ({len(name)} characters)"


def _hint_at_name(name: str) -> str:
    """What a text probably is that is no path of a file."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        return "; it is an address: fetch what is there, and give its bytes"
    kind = looks_like(name.encode("utf-8", "replace"))
    if kind is None and re.match(r"[0-9A-Za-z+/=\s]{60}\.\.\. \(", name):
        kind = "base64; base64.b64decode gives the file"
    return f"; it looks like {kind}" if kind else ""


def _content(img: str | os.PathLike | bytes | bytearray | BinaryIO, name: str) -> bytes:
    """The bytes of a file, of which there are not too many."""
    if isinstance(img, (bytes, bytearray)):
        data = bytes(img)
    elif isinstance(img, (str, os.PathLike)):
        with open(_regular_file(img, name), "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    else:
        if hasattr(img, "seek"):
            img.seek(0)
        data = img.read(MAX_FILE_BYTES + 1)
        if not isinstance(data, bytes):
            raise PictureError(f"{name}: its read() gives {type(data).__name__}, expected bytes: open it as 'rb'")
    if len(data) > MAX_FILE_BYTES:
        raise PictureError(f"{name}: is larger than {MAX_FILE_BYTES} bytes")
    if not data:
        known = Path(name).suffix.lower() in Image.registered_extensions()
        raise PictureError(f"{name}: is empty") if known else NotAPictureError(f"{name}: is empty", "empty")
    return data


def _regular_file(path: str | os.PathLike, name: str) -> int:
    """Open a file without waiting: a pipe that nobody writes to would take forever."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise PictureError(f"{name}: is a folder, not a picture") from IsADirectoryError(name)
    raise PictureError(f"{name}: is a pipe or a device, not a file")


def _picture_of_array(pixels: np.ndarray, name: str) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise PictureError(
            f"{name}: expected an array of dtype uint8 and shape (height, width, 3){_hint_at_array(pixels)}"
        )
    _check_pixels(pixels.shape[1], pixels.shape[0], name)
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


def _decoded(data: bytes, name: str) -> Image.Image:
    """The picture of a file's bytes."""
    check_headers(data)
    for plugin in FORMATS.values():
        importlib.import_module(f"PIL.{plugin}")  # Pillow knows only five formats before it is told
    try:
        opened = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    except Image.UnidentifiedImageError as error:
        kind = _kind_of_no_picture(data, name)
        message = f"{name}: {_what_it_is(data)}"
        raise (NotAPictureError(message, kind) if kind else PictureError(message)) from error
    _check_size(opened, name)
    check_before_decoding(data)
    opened.load()
    check_after_decoding(data, opened)
    return opened


def _kind_of_no_picture(data: bytes, name: str) -> str | None:
    """A noun for what is no picture, by its content; None for a picture of another format, or a damaged one."""
    kind = looks_like(data)
    if kind is not None:
        noun = re.search(r"PDF|HTML|ZIP|MP4|Matroska|AVI\b|WAV|MP3|gzip|program", kind)
        return noun[0].lower() if noun else None
    if Path(name).suffix.lower() in Image.registered_extensions() or data[:4] in (b"II*\0", b"MM\0*"):
        return None
    return "unknown" if b"\0" in data else "text"


def _what_it_is(data: bytes) -> str:
    """Say why nothing could open a file."""
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return (
            "a TIFF of a kind that Pillow does not read, such as samples of floating point or more than 4 channels: "
            "convert it to 8 bits a channel first"
        )
    kind = looks_like(data)
    supported = f"not a picture of a supported format ({', '.join(FORMATS)})"
    return f"{supported}: it looks like {kind}" if kind else supported


def _check_size(opened: Image.Image, name: str) -> None:
    _check_pixels(opened.width, opened.height, name)


def _check_pixels(width: int, height: int, name: str) -> None:
    """Refuse before decoding what would take gigabytes (Pillow itself only warns up to twice its limit)."""
    pixels = width * height
    if not pixels:
        raise PictureError(f"{name}: has no pixels ({width}x{height})")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise PictureError(
            f"{name}: {width}x{height} is {pixels} pixels, more than PIL.Image.MAX_IMAGE_PIXELS = {limit}"
        )


def _to_rgb(opened: Image.Image, name: str) -> Image.Image:
    """The same picture in mode RGB; itself where it is that already."""
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
