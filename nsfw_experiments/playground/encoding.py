"""Pictures as bytes: small ones for the page, exact ones to be saved."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

#: The longer side of a picture on the page, in pixels.
SIDE = 768


def shown(picture: Image.Image, side: int = SIDE, **options: Any) -> bytes:
    """Give a picture as the page shows it: a JPEG of a moderate size.

    Parameters
    ----------
    picture : PIL.Image.Image
    side : int
        At most so many pixels wide and high.
    **options
        Of `PIL.Image.Image.save`, such as those of `nsfw_experiments.inverse.appearance.Appearance.saving`.

    Returns
    -------
    bytes

    Examples
    --------
    >>> Image.open(io.BytesIO(shown(Image.new("RGB", (1536, 768))))).size
    (768, 384)
    """
    copy = picture.convert("RGB")
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _encoded(copy, "JPEG", quality=88, **options)


def exact(picture: Image.Image, **options: Any) -> bytes:
    """Give a picture with every pixel's value: a PNG.

    Parameters
    ----------
    picture : PIL.Image.Image
    **options
        Of `PIL.Image.Image.save`.

    Returns
    -------
    bytes

    Examples
    --------
    >>> Image.open(io.BytesIO(exact(Image.new("RGB", (3, 2), (7, 8, 9))))).getpixel((0, 0))
    (7, 8, 9)
    """
    return _encoded(picture, "PNG", **options)


def _encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()
