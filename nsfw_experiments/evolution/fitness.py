"""What a picture is worth: its NSFW score, its likeness to another picture, or any number you can compute.

A fitness is a callable from a list of PIL pictures to a list of as many numbers, higher for better ones; it
is given whole batches. Its `shown` turns such a number into the one that people want to read, its `label`
names that one, and its `identity` tells saved runs of different fitnesses apart. One that takes pictures of one
size only says so by its `size` (width, height).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from math import log10

import numpy as np
from PIL import Image, ImageChops

from nsfw_model.logit import score_of
from open_nsfw import Picture, get_scorer, prepare, read_picture

#: Squares of the differences 0..255, once for each colour.
SQUARES = np.tile(np.arange(256) ** 2, 3)


class NsfwLogit:
    """The network's logit, ``log(score / (1 - score))``, after the whole preprocessing.

    It orders pictures as the score does, and still tells them apart where float32 scores are all 1.0.

    Parameters
    ----------
    **model
        Which network: see `open_nsfw.get_scorer`.

    Examples
    --------
    >>> fitness = NsfwLogit()
    >>> [logit] = fitness([Image.new("RGB", (256, 256))])
    >>> fitness.shown(logit) < 0.2
    True
    """

    label = "NSFW score"

    def __init__(self, **model):
        self.model = model

    @property
    def identity(self) -> str:
        options = [f"{name}={value}" for name, value in sorted(self.model.items())]
        return " ".join([type(self).__name__, *options])

    def __call__(self, pictures: Sequence[Image.Image]) -> list[float]:
        return get_scorer(**self.model).logits(np.stack([prepare(picture) for picture in pictures])).tolist()

    @staticmethod
    def shown(logit: float) -> float:
        """Give the score in 0..1 of a logit."""
        return score_of(logit)


class NsfwScore(NsfwLogit):
    """The NSFW score itself, in 0..1, as the original experiment used it."""

    def __call__(self, pictures: Sequence[Image.Image]) -> list[float]:
        return [NsfwLogit.shown(logit) for logit in super().__call__(pictures)]

    @staticmethod
    def shown(score: float) -> float:
        return score


class Likeness:
    """Likeness to a target picture: the peak signal-to-noise ratio in dB over the three colours.

    Parameters
    ----------
    target : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        The picture to be like; it is resized to the canvas.
    size : (int, int)
        Width and height of the canvas.

    Attributes
    ----------
    target : PIL.Image.Image
        The target at the canvas's size, mode RGB.

    Raises
    ------
    open_nsfw.PictureError
        If the target is not a picture that can be read.
    ValueError
        When called with a picture of another size.

    Examples
    --------
    >>> white = Image.new("RGB", (64, 64), "white")
    >>> Likeness(white, (64, 64))([Image.new("RGB", (64, 64), "black")])
    [0.0]
    """

    label = "PSNR"

    #: Pictures that are equal are given this many dB, instead of infinity.
    EQUAL = 100.0

    def __init__(self, target: Picture, size: tuple[int, int] = (256, 256)):
        self.target = read_picture(target).resize(size, Image.Resampling.LANCZOS)

    def __call__(self, pictures: Sequence[Image.Image]) -> list[float]:
        return [self._psnr(picture) for picture in pictures]

    @property
    def identity(self) -> str:
        return f"Likeness {sha256(self.target.tobytes()).hexdigest()[:16]}"

    @property
    def size(self) -> tuple[int, int]:
        return self.target.size

    def _psnr(self, picture: Image.Image) -> float:
        if picture.size != self.size:  # Pillow would compare the corner that both have
            raise ValueError(f"likeness: got a picture of size {picture.size}, expected {self.size}")
        histogram = ImageChops.difference(picture, self.target).histogram()  # of red, then green, then blue
        mean_square = int(SQUARES @ histogram) / sum(histogram)
        return 10 * log10(255**2 / mean_square) if mean_square else self.EQUAL

    @staticmethod
    def shown(psnr: float) -> float:
        return psnr

    def flat(self) -> float:
        """Give the PSNR of the best picture of one colour: the target's mean."""
        mean = np.rint(np.asarray(self.target).mean(axis=(0, 1))).astype(int)
        return self._psnr(Image.new("RGB", self.target.size, tuple(mean.tolist())))


class PerPicture:
    """Any function of one picture as a fitness.

    Parameters
    ----------
    function : callable
        Takes a PIL picture, gives a number, higher for better ones. For a process pool or a cluster it
        must be one that can be pickled.

    Examples
    --------
    >>> redness = PerPicture(lambda picture: picture.resize((1, 1)).getpixel((0, 0))[0])
    >>> redness([Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")])
    [255, 0]
    """

    label = "fitness"

    def __init__(self, function: Callable[[Image.Image], float]):
        self.function = function

    @property
    def identity(self) -> str:
        return f"PerPicture {getattr(self.function, '__qualname__', type(self.function).__qualname__)}"

    def __call__(self, pictures: Sequence[Image.Image]) -> list[float]:
        return [self.function(picture) for picture in pictures]

    @staticmethod
    def shown(value: float) -> float:
        return value
