"""What viewers honour beside a picture's pixels, and the scorer does not: orientation, colour profile, transparency.

Yahoo's code looks at the pixels as they are stored, so that they are what is changed. A result that had the pixels
alone would look otherwise than its source: a phone's photograph would lie on its side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from nsfw_model.picture import Picture, open_picture

#: EXIF's tag (TIFF 6.0, section 8).
ORIENTATION = 0x0112
#: File name extensions of formats that hold an orientation, and transparency.
WITH_ORIENTATION = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
WITH_ALPHA = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Appearance:
    """What a picture has beside its pixels.

    Attributes
    ----------
    orientation : int
        1 to 8, as in EXIF; 1 is upright.
    icc_profile : bytes or None
        Of RGB colours.
    alpha : ndarray of uint8, shape (height, width), or None
        255 is opaque; None where all is.
    """

    orientation: int
    icc_profile: bytes | None
    alpha: np.ndarray | None

    @classmethod
    def of(cls, image: Picture) -> Appearance:
        """Read what a picture has.

        Parameters
        ----------
        image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
            See `open_nsfw.read_picture`.

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
        opened = open_picture(image)
        orientation = opened.getexif().get(ORIENTATION, 1)
        profile = opened.info.get("icc_profile")
        # The colour space of a profile's data (ICC.1, 7.2.6); one of CMYK or grey does not fit pixels of RGB
        fits = isinstance(profile, bytes) and profile[16:20] == b"RGB "
        alpha = None
        if opened.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in opened.info:
            opaque = opened.convert("LA") if opened.mode == "La" else opened
            alpha = np.asarray(opaque.convert("RGBA").getchannel("A"))
        return cls(
            orientation if orientation in range(1, 9) else 1,
            profile if fits else None,
            None if alpha is None or alpha.min() == 255 else alpha,
        )

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
            result.putalpha(Image.fromarray(self.alpha).resize(picture.size, Image.Resampling.BILINEAR))
        result.info.update(self.saving())
        return result

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
        if self.orientation != 1 and extension not in WITH_ORIENTATION:
            return "it holds no orientation, and the picture has one"
        if self.alpha is not None and extension not in WITH_ALPHA:
            return "it holds no transparency, and the picture has some"
        return None
