"""What people and services do to pictures: crops, tones, filters, rotations, scales, other codecs, with gradients.

Each is a `nsfw_experiments.pillow.preprocessing.Transform`: ``forward`` is Pillow's own operation, and ``vjp`` is, by
edit:

- `Crop`, `Tone`: exact, except that a table's roundings are passed straight through;
- `Rotation`, `GaussianBlur`, `UnsharpMask`, `Rescaling` with Pillow's BILINEAR: the exact adjoint of the operation
  without its roundings (an unsharp mask is piecewise linear: where it does nothing, or clips, is known);
- `Rescaling` and `Rotation` with another filter: the adjoint of BILINEAR's, which is near theirs;
- `CodecRoundTrip`: straight through, as if nothing were lost.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from scipy import sparse

from nsfw_experiments.pillow.resize import BilinearResize

#: Box blurs, one after the other, that Pillow's GaussianBlur is.
BOX_BLURS = 3


@dataclass(frozen=True)
class Crop:
    """Edges cut off.

    Attributes
    ----------
    top, bottom, left, right : float
        Parts of the height and of the width, each rounded to whole pixels.

    Examples
    --------
    >>> cropped, _ = Crop(top=0.1, left=0.25).forward(np.zeros((20, 20, 3), np.uint8))
    >>> cropped.shape
    (18, 15, 3)
    """

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def __str__(self) -> str:
        sides = (f"{name} {100 * share:.3g} %" for name, share in vars(self).items() if share)
        return f"crop {', '.join(sides)}"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
        height, width = pixels.shape[:2]
        top, bottom, left, right = (
            round(share * side) for share, side in zip(vars(self).values(), (height, height, width, width))
        )
        cropped = pixels[top : height - bottom, left : width - right]
        return np.ascontiguousarray(cropped), ((top, bottom), (left, right), (0, 0))

    def vjp(
        self, gradient: np.ndarray, residuals: tuple[tuple[int, int], ...], straight_through_exponent: float
    ) -> np.ndarray:
        return np.pad(gradient, residuals)


@dataclass(frozen=True)
class Tone:
    """Brightness and contrast: all values by one table, ``255 * gain * (value / 255) ** gamma``.

    Attributes
    ----------
    gain, gamma : float
        More than 0.

    Examples
    --------
    >>> brighter, _ = Tone(gain=1.1).forward(np.array([[[0, 100, 250]]], np.uint8))
    >>> brighter.tolist()
    [[[0, 110, 255]]]
    """

    gain: float = 1.0
    gamma: float = 1.0

    def __str__(self) -> str:
        parts = [f"brightness {100 * (self.gain - 1):+.3g} %"] * (self.gain != 1)
        return ", ".join(parts + [f"gamma {self.gamma:.3g}"] * (self.gamma != 1)) or "no tone"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.arange(256) / 255
        toned = self.gain * values**self.gamma
        table = np.clip(np.floor(255 * toned + 0.5), 0, 255).astype(np.uint8)
        # A root rises infinitely at 0, where a level is as far as it can be told
        slopes = self.gain * self.gamma * np.maximum(values, 1 / 255) ** (self.gamma - 1)
        return table[pixels], np.where(toned <= 1, slopes, 0).astype(np.float32)[pixels]

    def vjp(self, gradient: np.ndarray, residuals: np.ndarray, straight_through_exponent: float) -> np.ndarray:
        return gradient * residuals


@dataclass(frozen=True)
class Rotation:
    """Pillow's ``rotate``: by a small angle, the size kept, what comes in from outside black.

    Attributes
    ----------
    degrees : float
        Counter-clockwise.
    resample : {Image.Resampling.BILINEAR, Image.Resampling.BICUBIC}
        The gradient is always that of BILINEAR.

    Examples
    --------
    >>> rotated, _ = Rotation(45).forward(np.full((9, 9, 3), 200, np.uint8))
    >>> rotated[:, :, 0][[0, 4], [0, 4]].tolist()
    [0, 200]
    """

    degrees: float
    resample: Image.Resampling = Image.Resampling.BILINEAR

    def __str__(self) -> str:
        return f"rotated {self.degrees:.3g}°{_unless_bilinear(self.resample)}"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, None]:
        return np.asarray(Image.fromarray(pixels).rotate(self.degrees, self.resample)), None

    def vjp(self, gradient: np.ndarray, residuals: None, straight_through_exponent: float) -> np.ndarray:
        matrix = rotation_matrix(gradient.shape[:2], self.degrees)
        return (matrix.T @ gradient.reshape(-1, gradient.shape[2])).reshape(gradient.shape)


def rotation_matrix(size: tuple[int, ...], degrees: float) -> sparse.csr_array:
    """Make the matrix of Pillow's ``rotate`` with BILINEAR: pixels of the result from pixels of the picture.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    degrees : float

    Returns
    -------
    scipy.sparse.csr_array of float32, shape (height * width, height * width)

    Notes
    -----
    Pillow's Image.py, ``Image.rotate``, and libImaging/Geometry.c, ``bilinear_filter32RGB``: whose products Pillow
    truncates to whole numbers.

    Examples
    --------
    >>> rotation_matrix((2, 2), 180).toarray().tolist()[0]
    [0.0, 0.0, 0.0, 1.0]
    """
    height, width = size
    angle = -math.radians(degrees % 360)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    down, right = np.mgrid[:height, :width] + 0.5
    down, right = down - height / 2, right - width / 2
    x, y = cosine * right + sine * down + width / 2, -sine * right + cosine * down + height / 2
    inside = (0 <= x) & (x < width) & (0 <= y) & (y < height)
    rows, x, y = np.flatnonzero(inside), x[inside] - 0.5, y[inside] - 0.5
    x_first, y_first = np.floor(x).astype(int), np.floor(y).astype(int)
    weights, columns = [], []
    for y_next in (0, 1):
        for x_next in (0, 1):
            weights.append(np.abs(1 - y_next - (y - y_first)) * np.abs(1 - x_next - (x - x_first)))
            from_row, from_column = np.clip(y_first + y_next, 0, height - 1), np.clip(x_first + x_next, 0, width - 1)
            columns.append(from_row * width + from_column)
    entries = np.concatenate(weights).astype(np.float32), (np.tile(rows, 4), np.concatenate(columns))
    matrix = sparse.csr_array(entries, shape=(height * width, height * width))
    matrix.eliminate_zeros()
    return matrix


@dataclass(frozen=True)
class GaussianBlur:
    """Pillow's ``ImageFilter.GaussianBlur``.

    Attributes
    ----------
    radius : float
        The standard deviation in pixels.

    Examples
    --------
    >>> edge = np.repeat(np.array([[[0], [0], [255], [255]]], np.uint8), 3, axis=2)
    >>> GaussianBlur(0.5).forward(edge)[0][0, :, 0].tolist()
    [1, 28, 227, 254]
    """

    radius: float

    def __str__(self) -> str:
        return f"blur {self.radius:.3g}"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, None]:
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(self.radius))), None

    def vjp(self, gradient: np.ndarray, residuals: None, straight_through_exponent: float) -> np.ndarray:
        height, width, channels = gradient.shape
        vertical, horizontal = (blur_matrix(side, self.radius).T for side in (height, width))
        down = (vertical @ gradient.reshape(height, -1)).reshape(gradient.shape)
        across = horizontal @ down.transpose(1, 0, 2).reshape(width, -1)
        return across.reshape(width, height, channels).transpose(1, 0, 2)


@lru_cache(maxsize=16)
def blur_matrix(side: int, radius: float) -> sparse.csr_array:
    """Make the matrix of one axis of Pillow's GaussianBlur, which is three box blurs; edges are repeated.

    Parameters
    ----------
    side : int
        Number of samples.
    radius : float
        The standard deviation.

    Returns
    -------
    scipy.sparse.csr_array of float32, shape (side, side)

    Notes
    -----
    Pillow's libImaging/BoxBlur.c, ``_gaussian_blur_radius`` and ``ImagingLineBoxBlur8``: a box of a whole number of
    pixels, and a part of one at either end.

    Examples
    --------
    >>> (100 * blur_matrix(5, 0.5).toarray()[2]).round().tolist()
    [0.0, 11.0, 78.0, 11.0, 0.0]
    """
    variance = radius**2 / BOX_BLURS
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    weights = np.full(2 * whole + 3, 1.0)
    weights[[0, -1]] = part
    weights /= weights.sum()
    columns = np.arange(side)[:, None] + np.arange(-whole - 1, whole + 2)
    rows = np.broadcast_to(np.arange(side)[:, None], columns.shape)
    values = np.broadcast_to(weights, columns.shape)
    box = sparse.csr_array((values.ravel(), (rows.ravel(), np.clip(columns, 0, side - 1).ravel())), shape=(side, side))
    return sparse.csr_array((box @ box @ box).astype(np.float32))


@dataclass(frozen=True)
class UnsharpMask:
    """Pillow's ``ImageFilter.UnsharpMask``, with its defaults.

    Attributes
    ----------
    radius : float
        Of the blur that is taken away.
    percent : int
        How much of the difference from it is added.
    threshold : int
        Differences up to it are left alone.

    Examples
    --------
    >>> edge = np.repeat(np.array([[[90], [90], [120], [120]]], np.uint8), 3, axis=2)
    >>> UnsharpMask(radius=1).forward(edge)[0][0, :, 0].tolist()
    [90, 78, 133, 120]
    """

    radius: float = 2.0
    percent: int = 150
    threshold: int = 3

    def __str__(self) -> str:
        return f"unsharp mask {self.radius:.3g}, {self.percent} %"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        sharpened = np.asarray(
            Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(self.radius, self.percent, self.threshold))
        )
        blurred, _ = GaussianBlur(self.radius).forward(pixels)
        difference = pixels.astype(np.int16) - blurred
        sharp = np.abs(difference) > self.threshold
        exact = pixels + difference * (self.percent / 100)
        return sharpened, (sharp, sharp & ((exact < 0) | (exact > 255)))

    def vjp(
        self, gradient: np.ndarray, residuals: tuple[np.ndarray, np.ndarray], straight_through_exponent: float
    ) -> np.ndarray:
        sharp, clipped = residuals
        gradient = np.where(clipped, np.float32(0), gradient)
        added = np.where(sharp, gradient * np.float32(self.percent / 100), np.float32(0))
        return gradient + added - GaussianBlur(self.radius).vjp(added, None, straight_through_exponent)


@dataclass(frozen=True)
class Rescaling:
    """Pillow's ``resize`` by a factor.

    Attributes
    ----------
    scale : float
    resample : Image.Resampling
        The gradient is always that of BILINEAR.

    Examples
    --------
    >>> Rescaling(1.5).forward(np.zeros((20, 30, 3), np.uint8))[0].shape
    (30, 45, 3)
    """

    scale: float
    resample: Image.Resampling = Image.Resampling.BILINEAR

    def __str__(self) -> str:
        return f"x{self.scale:.3g}{_unless_bilinear(self.resample)}"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, BilinearResize | None]:
        height, width = (max(round(side * self.scale), 1) for side in pixels.shape[:2])
        return _resized(pixels, (height, width), self.resample)

    def vjp(
        self, gradient: np.ndarray, residuals: BilinearResize | None, straight_through_exponent: float
    ) -> np.ndarray:
        return gradient if residuals is None else residuals.adjoint(gradient)


@dataclass(frozen=True)
class ResizedTo:
    """Pillow's ``resize`` with BILINEAR to one size.

    Attributes
    ----------
    height, width : int

    Examples
    --------
    >>> ResizedTo(40, 50).forward(np.zeros((20, 30, 3), np.uint8))[0].shape
    (40, 50, 3)
    """

    height: int
    width: int

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, BilinearResize | None]:
        return _resized(pixels, (self.height, self.width), Image.Resampling.BILINEAR)

    def vjp(
        self, gradient: np.ndarray, residuals: BilinearResize | None, straight_through_exponent: float
    ) -> np.ndarray:
        return gradient if residuals is None else residuals.adjoint(gradient)


@dataclass(frozen=True)
class LongestSide:
    """Pillow's ``resize`` to the longest side that a service takes.

    Attributes
    ----------
    pixels : int
    resample : Image.Resampling
        The gradient is always that of BILINEAR.
    enlarged : bool
        Whether smaller pictures are made larger.

    Examples
    --------
    >>> LongestSide(1600).forward(np.zeros((1200, 3200, 3), np.uint8))[0].shape
    (600, 1600, 3)
    """

    pixels: int
    resample: Image.Resampling = Image.Resampling.BILINEAR
    enlarged: bool = False

    def __str__(self) -> str:
        return f"{'' if self.enlarged else 'at most '}{self.pixels} pixels{_unless_bilinear(self.resample)}"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, BilinearResize | None]:
        scale = self.pixels / max(pixels.shape[:2])
        return Rescaling(scale if self.enlarged else min(scale, 1.0), self.resample).forward(pixels)

    def vjp(
        self, gradient: np.ndarray, residuals: BilinearResize | None, straight_through_exponent: float
    ) -> np.ndarray:
        return gradient if residuals is None else residuals.adjoint(gradient)


def _resized(
    pixels: np.ndarray, target: tuple[int, int], resample: Image.Resampling
) -> tuple[np.ndarray, BilinearResize | None]:
    """Give the picture in another size, and the operator whose adjoint leads back; None where the size is kept."""
    if pixels.shape[:2] == target:
        return pixels, None
    resize = BilinearResize(pixels.shape[:2], target)
    if resample == Image.Resampling.BILINEAR:
        return resize(pixels), resize
    return np.asarray(Image.fromarray(pixels).resize(target[::-1], resample)), resize


def _unless_bilinear(resample: Image.Resampling) -> str:
    return "" if resample == Image.Resampling.BILINEAR else f" {Image.Resampling(resample).name.lower()}"


@dataclass(frozen=True)
class CodecRoundTrip:
    """Saving by Pillow and opening again; the gradient is passed straight through.

    Attributes
    ----------
    codec : {"WebP", "AVIF", "JPEG"}
    quality : int
        1..100.
    options : tuple of (str, int or str)
        What else ``Image.save`` is told.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    >>> coded, _ = CodecRoundTrip("WebP", 80).forward(noise)
    >>> coded.shape, bool((coded == noise).all())
    ((32, 32, 3), False)
    """

    codec: str
    quality: int
    options: tuple[tuple[str, int | str], ...] = ()

    def __str__(self) -> str:
        return f"{self.codec} {self.quality}"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, None]:
        file = io.BytesIO()
        options: dict[str, Any] = dict(self.options)
        Image.fromarray(pixels).save(file, self.codec, quality=self.quality, **options)
        with Image.open(file) as coded:
            return np.asarray(coded.convert("RGB")), None

    def vjp(self, gradient: np.ndarray, residuals: None, straight_through_exponent: float) -> np.ndarray:
        return gradient
