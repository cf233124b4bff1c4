"""What viewers honour beside a picture's pixels, and the scorer does not: orientation, colours, transparency.

Yahoo's code looks at the pixels as they are stored, so that they are what is changed. A result that had the pixels
alone would look otherwise than its source: a phone's photograph would lie on its side.

Where viewers differ, what Chromium shows is kept.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from nsfw_experiments.inverse.colours import ColoursError, colour_profile
from nsfw_experiments.inverse.transparency import transparency
from nsfw_model.integrity import png_chunks
from nsfw_model.picture import Picture, check_kind, decoded, explained, open_picture, picture_name, read_file

#: EXIF's tag (TIFF 6.0, section 8), and the type that it has.
ORIENTATION, SHORT = 0x0112, 3
#: File name extensions of formats that hold an orientation, one by which Pillow turns the pixels when it
#: reads them, a colour profile, and transparency.
WITH_ORIENTATION = (".png", ".jpg", ".jpeg")
TURNED_WHEN_SCORED = (".tif", ".tiff")
WITH_PROFILE = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
WITH_ALPHA = (".png", ".tif", ".tiff")
#: Pillow's names of formats in which EXIF's orientation is not what turns a picture: Chromium leaves WebP as it is, and
#: decoders have turned the others already.
NOT_TURNED_BY_EXIF = ("WEBP", "JXL", "HEIF", "TIFF")


@dataclass(frozen=True)
class Appearance:
    """What a picture has beside its pixels.

    Attributes
    ----------
    orientation : int
        1 to 8, as in EXIF; 1 is upright.
    icc_profile : bytes or None
        Of RGB colours: the file's, or one that says the same as it does in another way.
    alpha : ndarray of uint8, shape (height, width), or None
        255 is opaque; None where all is.
    unkept : str or None
        What no result can have, in words.
    """

    orientation: int
    icc_profile: bytes | None
    alpha: np.ndarray | None
    unkept: str | None = None

    @classmethod
    def of(cls, image: Picture) -> Appearance:
        """Read what a picture has.

        Parameters
        ----------
        image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
            See `open_nsfw.read_picture`. Of a PIL.Image.Image, what Pillow has kept of its file.

        Returns
        -------
        Appearance

        Raises
        ------
        PictureError
            If it cannot be read.

        Examples
        --------
        >>> Appearance.of("img/rocket.jpg").orientation
        1
        """
        return opened_with_appearance(image)[1]

    def put_on(self, picture: Image.Image) -> Image.Image:
        """Give a picture the same appearance.

        Parameters
        ----------
        picture : PIL.Image.Image
            Of mode RGB and any size; transparency is resized to it.

        Returns
        -------
        PIL.Image.Image
            Of mode RGBA where there is transparency. `saving` has what its file is to be told.
        """
        result = picture.copy()
        if self.alpha is not None:
            result.putalpha(self._alpha_of_size(picture.size))
        result.info.update(self.saving())
        return result

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """Give what is shown of pixels, on black: of transparent ones nothing, of others less.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
            Of any size; transparency is resized to it.

        Returns
        -------
        ndarray of uint8 or float32, shape (height, width, 3)
            The pixels themselves where all are opaque.

        Examples
        --------
        >>> pixels = np.full((1, 2, 3), 100, np.uint8)
        >>> Appearance(1, None, np.array([[0, 51]], np.uint8)).shown(pixels)[0, :, 0].round(3).tolist()
        [0.0, 20.0]
        """
        if self.alpha is None:
            return pixels
        height, width = pixels.shape[:2]
        return pixels * (np.asarray(self._alpha_of_size((width, height)), np.float32) / 255)[:, :, None]

    def _alpha_of_size(self, size: tuple[int, int]) -> Image.Image:
        assert self.alpha is not None
        return Image.fromarray(self.alpha).resize(size, Image.Resampling.BILINEAR)

    def saving(self) -> dict[str, bytes]:
        """Give the arguments of `PIL.Image.Image.save` by which a file has this appearance.

        Returns
        -------
        dict
            "exif" and "icc_profile", as far as there is anything to be told.

        Examples
        --------
        >>> Appearance(1, None, None).saving()
        {}
        """
        arguments = {}
        if self.orientation != 1:
            exif = Image.Exif()
            exif[ORIENTATION] = self.orientation
            arguments["exif"] = exif.tobytes()
        if self.icc_profile:
            arguments["icc_profile"] = self.icc_profile
        return arguments

    def flaw_in(self, extension: str) -> str | None:
        """Say what a file of some format would lose.

        Parameters
        ----------
        extension : str
            Such as ".bmp".

        Returns
        -------
        str or None
            None where nothing that changes how the picture looks.

        Examples
        --------
        >>> Appearance(6, None, None).flaw_in(".bmp")
        'it holds no orientation, and the picture has one'
        """
        if self.orientation != 1 and extension in TURNED_WHEN_SCORED:
            return "it is turned before it is scored, and the picture has an orientation"
        if self.orientation != 1 and extension not in WITH_ORIENTATION:
            return "it holds no orientation, and the picture has one"
        if self.alpha is not None and extension not in WITH_ALPHA:
            return "it holds no transparency, and the picture has some"
        if self.icc_profile is not None and extension not in WITH_PROFILE:
            return "it holds no colour profile, and the picture has one"
        return None


def opened_with_appearance(image: Picture) -> tuple[Image.Image, Appearance]:
    """Open a picture, as `nsfw_model.picture.open_picture` does, and read what else it has.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        As for `Appearance.of`.

    Returns
    -------
    (PIL.Image.Image, Appearance)

    Raises
    ------
    PictureError
        If it cannot be read.

    Examples
    --------
    >>> opened, appearance = opened_with_appearance("img/coffee.jpg")
    >>> opened.mode, appearance.alpha is None
    ('RGB', True)
    """
    check_kind(image)
    with explained(picture_name(image)):
        if isinstance(image, (np.ndarray, Image.Image)):
            opened, data = open_picture(image), b""
        else:
            data = read_file(image)
            opened = decoded(data, image)
        return opened, _appearance(opened, _header(opened, data), data)


def _appearance(opened: Image.Image, info: Mapping[Any, Any], data: bytes) -> Appearance:
    profile, unkept = None, None
    try:
        profile = colour_profile(opened, info, data)
    except ColoursError as error:
        unkept = str(error)
    orientation = 1 if opened.format in NOT_TURNED_BY_EXIF else _orientation(info.get("exif"))
    return Appearance(orientation, profile, transparency(opened, info, data), unkept)


def _header(opened: Image.Image, data: bytes) -> Mapping[Any, Any]:
    """What a file says before its pixels, the first time: what a PNG says again, Pillow heeds and viewers do not."""
    if opened.format != "PNG" or not data:
        return opened.info
    header, seen = [data[:8]], set()
    for name, start, end in png_chunks(data):
        if name not in seen:
            header.append(data[start - 8 : end + 4])
        seen.add(name)
        if name == b"IDAT":
            break
    return Image.open(io.BytesIO(b"".join(header)), formats=["PNG"]).info


def _orientation(exif: object) -> int:
    """The orientation in the first directory of EXIF, which Pillow would take from XMP too, and of any type."""
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    if not isinstance(exif, bytes):
        return 1
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order:
            (at,) = struct.unpack_from(order + "I", exif, 4)
            (entries,) = struct.unpack_from(order + "H", exif, at)
            for start in range(at + 2, at + 2 + 12 * entries, 12):
                tag, kind, count, value = struct.unpack_from(order + "HHIH2x", exif, start)
                if tag == ORIENTATION and kind == SHORT and count == 1 and 1 <= value <= 8:
                    return value
    except struct.error:
        pass  # it ends early
    return 1
