"""Pictures in, network input out: the preprocessing that Yahoo's Open NSFW was published with.

A score is only comparable when every step is the same, in the same order. The source is classify_nsfw.py of
Yahoo's repository (https://github.com/yahoo/open_nsfw), functions resize_image and
caffe_preprocess_and_compute::

    any picture -> RGB -> 256x256, bilinear -> JPEG and back -> channels to BGR, minus the colour
    means, axes to (1, 3, 256, 256) -> centre crop 224x224

The JPEG step matters: leaving it out moves scores of photographs by up to 0.04 and those of drawn
shapes by up to 0.8.
"""

from __future__ import annotations

import io
from typing import Literal, overload

import numpy as np
from PIL import Image

from nsfw_model.checks import check_finite, real_numbers
from nsfw_model.picture import Picture, PictureError, open_picture, read_picture

__all__ = [
    "CENTRE",
    "CHANNEL_MEANS",
    "CROPPED",
    "RESIZED",
    "Picture",
    "PictureError",
    "centre",
    "compress",
    "crop",
    "deprocess",
    "make_jpg",
    "prepare",
    "process",
    "read_picture",
    "resize_image",
]

#: Width and height, in pixels, at which a picture is JPEG-compressed.
RESIZED = (256, 256)
#: Width and height, in pixels, that the network is given.
CROPPED = (224, 224)
#: Means of blue, green and red over the training pictures, on the scale 0..255.
CHANNEL_MEANS = np.array([104, 117, 123], dtype=np.float32).reshape(3, 1, 1)


def centre(size: tuple[int, int]) -> tuple[slice, slice]:
    """Say which rows and columns of a resized picture are cut out.

    Parameters
    ----------
    size : (int, int)
        Width and height of the centre.

    Returns
    -------
    rows, columns : slice
        Of an odd rest the smaller half comes first, as in Yahoo's code.

    Examples
    --------
    >>> centre((224, 227))
    (slice(14, 241, None), slice(16, 240, None))
    """
    left, top = ((big - small) // 2 for big, small in zip(RESIZED, size))
    return slice(top, top + size[1]), slice(left, left + size[0])


#: Rows and columns of the centre that Yahoo's network is given.
CENTRE = centre(CROPPED)


@overload
def resize_image(img: Picture, sz: tuple[int, int] = RESIZED, convert_to_array: Literal[True] = True) -> np.ndarray: ...
@overload
def resize_image(img: Picture, sz: tuple[int, int] = RESIZED, *, convert_to_array: Literal[False]) -> Image.Image: ...
@overload
def resize_image(img: Picture, sz: tuple[int, int], convert_to_array: Literal[False]) -> Image.Image: ...
def resize_image(
    img: Picture, sz: tuple[int, int] = RESIZED, convert_to_array: bool = True
) -> np.ndarray | Image.Image:
    """Read a picture and resize it, bilinear, without keeping its aspect ratio.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        Whatever `read_picture` takes.
    sz : (int, int)
        Width and height in pixels.
    convert_to_array : bool
        Return an array instead of a PIL image.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3), or PIL.Image.Image

    Raises
    ------
    PictureError
        As `read_picture`.

    Examples
    --------
    >>> resize_image(np.zeros((10, 20, 3), np.uint8)).shape
    (256, 256, 3)
    """
    resized = read_picture(img).resize(sz, resample=Image.Resampling.BILINEAR)
    return np.asarray(resized) if convert_to_array else resized


def process(img: np.ndarray) -> np.ndarray:
    """Turn RGB pixels into the network's format.

    Parameters
    ----------
    img : ndarray, shape (height, width, 3)
        RGB values in 0..255.

    Returns
    -------
    ndarray of float32, shape (1, 3, height, width)
        BGR values minus `CHANNEL_MEANS`.

    Raises
    ------
    ValueError
        If `img` has another shape, or holds a value that is masked or no real number.

    Examples
    --------
    >>> process(np.full((2, 2, 3), 128))[0, :, 0, 0].tolist()
    [24.0, 11.0, 5.0]
    """
    img = real_numbers("pixels", img)
    if img.ndim != 3 or img.shape[2] != 3:
        raise ValueError(f"expected shape (height, width, 3), got {img.shape}")
    processed = np.empty((1, 3, *img.shape[:2]), np.float32)
    for channel, mean in enumerate(CHANNEL_MEANS):
        np.subtract(img[:, :, 2 - channel], mean, out=processed[0, channel], dtype=np.float32)
    return processed


def deprocess(img: np.ndarray) -> np.ndarray:
    """Turn network input back into RGB pixels: the inverse of `process`, rounded to the nearest integer.

    Parameters
    ----------
    img : ndarray, shape (1, 3, height, width)
        Network input.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    ValueError
        If `img` has another shape, or holds a value that is masked, not finite or no real number.

    Examples
    --------
    >>> deprocess(process(np.full((2, 2, 3), 128)) + 0.4)[0, 0].tolist()
    [128, 128, 128]
    """
    img = real_numbers("network input", img)
    if img.ndim != 4 or img.shape[:2] != (1, 3):
        raise ValueError(f"expected shape (1, 3, height, width), got {img.shape}")
    check_finite("network input", img)
    bgr = np.rint((img[0] + CHANNEL_MEANS).clip(0, 255)).astype(np.uint8)
    return np.ascontiguousarray(bgr[::-1].transpose(1, 2, 0))


def crop(img: np.ndarray) -> np.ndarray:
    """Cut the 224x224 centre out of 256x256 network input, as Yahoo's code does.

    Parameters
    ----------
    img : ndarray, shape (n, channels, 256, 256)

    Returns
    -------
    ndarray, shape (n, channels, 224, 224)
        A view.

    Raises
    ------
    ValueError
        If `img` has another shape, or holds a value that is masked or no real number.

    Examples
    --------
    >>> crop(np.zeros((1, 3, 256, 256))).shape
    (1, 3, 224, 224)
    """
    img = real_numbers("network input", img)
    if img.ndim != 4 or img.shape[2:] != RESIZED[::-1]:
        raise ValueError(f"expected shape (n, channels, {RESIZED[1]}, {RESIZED[0]}), got {img.shape}")
    rows, columns = CENTRE
    return img[:, :, rows, columns]


def compress(img: Image.Image, quality: int = 75) -> Image.Image:
    """Compress a picture with Pillow's JPEG defaults (quality 75, 4:2:0) and decompress it.

    Parameters
    ----------
    img : PIL.Image.Image
        Of mode RGB.
    quality : int
        Of the JPEG, 1..95.

    Returns
    -------
    PIL.Image.Image
        Of the same size, decompressed when its pixels are first used.

    Examples
    --------
    >>> compress(Image.new("RGB", (256, 256))).size
    (256, 256)
    """
    buffer = io.BytesIO()
    bare = img.copy()
    bare.info = {}  # a comment in it would be written into the JPEG, and Pillow refuses long ones
    bare.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer, formats=("JPEG",))


def make_jpg(img: np.ndarray | Image.Image) -> np.ndarray:
    """Compress a picture with Pillow's JPEG defaults and give the result as network input.

    Parameters
    ----------
    img : PIL.Image.Image, or ndarray of shape (1, 3, height, width)
        An RGB picture, or network input.

    Returns
    -------
    ndarray of float32, shape (1, 3, height, width)

    Raises
    ------
    ValueError
        If `img` is network input that `deprocess` refuses.

    Examples
    --------
    >>> make_jpg(Image.new("RGB", (256, 256))).shape
    (1, 3, 256, 256)
    """
    if not isinstance(img, Image.Image):
        img = Image.fromarray(deprocess(img))
    return process(np.asarray(compress(img)))


def prepare(img: Picture, size: tuple[int, int] = CROPPED) -> np.ndarray:
    """Do all of Yahoo's preprocessing.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        Whatever `read_picture` takes.
    size : (int, int)
        Width and height of the centre that is cut out, at most 256 and 256: what the network takes, see
        `nsfw_model.scorer.Scorer.input_size`.

    Returns
    -------
    ndarray of float32, shape (3, 224, 224) or (3, height, width)
        BGR values minus `CHANNEL_MEANS`: what the network is given.

    Raises
    ------
    PictureError
        As `read_picture`.
    ValueError
        If `size` is larger than what it is cut out of.

    Examples
    --------
    >>> prepare(np.zeros((10, 20, 3), np.uint8)).shape
    (3, 224, 224)
    """
    if not all(0 < wanted <= there for wanted, there in zip(size, RESIZED)):
        raise ValueError(f"size: got {size}, expected 1 to {RESIZED[0]} times 1 to {RESIZED[1]} pixels")
    jpeg = compress(_rgb(img).resize(RESIZED, resample=Image.Resampling.BILINEAR))
    return process(np.asarray(jpeg)[centre(size)])[0]


def _rgb(img: Picture) -> Image.Image:
    """As `read_picture`, but without a copy of what is RGB already: it is only looked at."""
    return open_picture(img) if isinstance(img, Image.Image) and img.mode == "RGB" else read_picture(img)
