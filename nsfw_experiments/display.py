"""What objects show of themselves in a notebook: pictures as PNG, and HTML that has its pictures in it.

A notebook that is not trusted yet hides SVG, and nbconvert knows no GIF; an ``<img>`` with its data is shown by both,
and by code hosts.
"""

from __future__ import annotations

import base64
import functools
import io
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

#: In pixels: the longer side of a picture that is shown, what lies between two, and the height of a caption.
SIDE, GAP, LINE = 256, 8, 18

Shown = TypeVar("Shown", str, bytes)


def never_raises(represent: Callable[..., Shown | None]) -> Callable[..., Shown | None]:
    """Decorate a representation: where it fails, there is none, and a notebook shows the object's `repr`.

    Parameters
    ----------
    represent : callable
        A method such as ``_repr_png_``.

    Returns
    -------
    callable

    Examples
    --------
    >>> class Damaged:
    ...     @never_raises
    ...     def _repr_html_(self):
    ...         return self.nothing
    >>> print(Damaged()._repr_html_())
    None
    """

    @functools.wraps(represent)
    def represent_or_not(self: object) -> Shown | None:
        try:
            return represent(self)
        except Exception:
            return None

    return represent_or_not


def reduced(picture: Image.Image, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """Give a picture of at most `SIDE` pixels a side.

    Parameters
    ----------
    picture : PIL.Image.Image
    resampling : PIL.Image.Resampling

    Returns
    -------
    PIL.Image.Image

    Examples
    --------
    >>> reduced(Image.new("RGB", (1024, 512))).size
    (256, 128)
    """
    copy = picture.copy()
    copy.thumbnail((SIDE, SIDE), resampling)
    return copy


def png(pictures: Sequence[tuple[Image.Image, str]]) -> bytes:
    """Give pictures, side by side, as one PNG.

    Parameters
    ----------
    pictures : sequence of (PIL.Image.Image, str)
        Each with its caption, which is written below; "" is none.

    Returns
    -------
    bytes

    Examples
    --------
    >>> data = png([(Image.new("RGB", (30, 20)), ""), (Image.new("RGB", (30, 10)), "")])
    >>> Image.open(io.BytesIO(data)).size
    (68, 20)
    """
    file = io.BytesIO()
    strip(pictures).save(file, "PNG")
    return file.getvalue()


def strip(pictures: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """Give pictures, side by side, as one picture.

    Parameters
    ----------
    pictures : sequence of (PIL.Image.Image, str)
        Each with its caption, which is written below; "" is none.

    Returns
    -------
    PIL.Image.Image

    Examples
    --------
    >>> strip([(Image.new("RGB", (30, 20)), ""), (Image.new("RGB", (30, 10)), "")]).size
    (68, 20)
    """
    font = ImageFont.load_default()
    widths = [max(picture.width, math.ceil(font.getlength(caption))) for picture, caption in pictures]
    line = LINE if any(caption for _, caption in pictures) else 0
    height = max(picture.height for picture, _ in pictures)
    whole = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), height + line), "white")
    pen, left = ImageDraw.Draw(whole), 0
    for (picture, caption), width in zip(pictures, widths):
        whole.paste(picture, (left, 0))
        pen.text((left, height + LINE // 4), caption, "black", font)
        left += width + GAP
    return whole


def figures(pictures: Sequence[tuple[Image.Image | bytes | str, str]], text: str = "") -> str:
    """Give HTML of pictures with captions, side by side, and of a text below.

    Parameters
    ----------
    pictures : sequence of (PIL.Image.Image or bytes or str, str)
        Each a picture, the bytes of a GIF file or the text of an SVG document, with its caption, which is escaped.
    text : str
        Its lines and spaces are kept; escaped too.

    Returns
    -------
    str

    Examples
    --------
    >>> "<figcaption>&lt;em&gt;</figcaption>" in figures([(Image.new("RGB", (2, 2)), "<em>")])
    True
    """
    parts = []
    for picture, caption in pictures:
        image = f'<img src="{_data_uri(picture)}" alt="{escape(caption)}">'
        style = f"display:inline-block;margin:0 {GAP}px 0 0;vertical-align:top"
        parts.append(f'<figure style="{style}">{image}<figcaption>{escape(caption)}</figcaption></figure>')
    below = f"<pre>{escape(text)}</pre>" if text else ""
    return f"<div>{''.join(parts)}{below}</div>"


def _data_uri(picture: Image.Image | bytes | str) -> str:
    if isinstance(picture, str):
        mimetype, data = "image/svg+xml", picture.encode()
    elif isinstance(picture, bytes):
        mimetype, data = "image/gif", picture
    else:
        mimetype, data = "image/png", png([(picture, "")])
    return f"data:{mimetype};base64,{base64.b64encode(data).decode()}"
