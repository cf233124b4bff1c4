"""The fitness of a picture: its NSFW score, its likeness to another picture, or any number you can compute.

What a fitness function has is written down in `FitnessFunction`. It is given whole batches.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import log10
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image, ImageChops

from nsfw_model.logit import score_of
from open_nsfw import Picture, get_scorer, prepare, read_picture
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(__name__, {"Likeness": "nsfw_experiments.evolution.fitness:Psnr"})

#: Squares of the differences 0..255, once for each colour.
SQUARES = np.tile(np.arange(256) ** 2, 3)


class FitnessFunction(Protocol):
    """What a fitness function has. One that takes pictures of one size only also has this ``size``.

    Attributes
    ----------
    label : str
        Names the number that people read.
    identity : str
        Tells saved runs of different fitness functions apart.
    promising : float, optional
        What a run should have reached after some hundred evaluations; the strategy "compact" starts anew otherwise.
    target : PIL.Image.Image, optional
        The picture that is to be painted, of the canvas's size; the strategy "least-squares" asks for it.

    Examples
    --------
    >>> class Width:
    ...     label = identity = "width"
    ...     def __call__(self, pictures):
    ...         return [picture.width for picture in pictures]
    ...     def display_value(self, fitness):
    ...         return fitness
    >>> function: FitnessFunction = Width()
    >>> function([Image.new("RGB", (8, 4))])
    [8]
    """

    label: str

    @property
    def identity(self) -> str: ...

    def __call__(self, pictures: Sequence[Image.Image], /) -> Sequence[float]:
        """Give a number for each picture, the higher the better."""

    def display_value(self, fitness: float, /) -> float:
        """Turn such a number into the one that people want to read.

        Parameters
        ----------
        fitness : float

        Returns
        -------
        float
        """


def display_value(function: FitnessFunction, fitness: float) -> float:
    """Turn a fitness into the number that people want to read: score, dB, ...

    Parameters
    ----------
    function : FitnessFunction
        It may have the method under its old name, ``shown``, which is deprecated.
    fitness : float
        Given by `function`.

    Returns
    -------
    float

    Examples
    --------
    >>> display_value(NsfwLogit(), 0.0)
    0.5
    """
    shown = getattr(function, "shown", None)
    if shown is None or hasattr(function, "display_value"):
        return function.display_value(fitness)
    warnings.warn(f"{type(function).__name__}.shown is now display_value", DeprecationWarning, stacklevel=2)
    return shown(fitness)


class _Displayed:
    """Fitness functions whose number is the one that people read; understands the method's old name."""

    def __init_subclass__(cls) -> None:
        if "shown" in vars(cls):
            warnings.warn(f"{cls.__name__}.shown is now display_value", DeprecationWarning, stacklevel=2)
            cls.display_value = vars(cls)["shown"]  # type: ignore[method-assign]

    @staticmethod
    def display_value(fitness: float) -> float:
        """Give the fitness as it is."""
        return fitness

    @classmethod
    def shown(cls, fitness: float) -> float:
        """Old name of `display_value`."""
        warnings.warn(f"{cls.__name__}.shown is now display_value", DeprecationWarning, stacklevel=2)
        return cls.display_value(fitness)


class NsfwLogit(_Displayed):
    """The network's logit, ``log(score / (1 - score))``, after the whole preprocessing.

    It orders pictures as the score does, and still tells them apart where float32 scores are all 1.0.

    Parameters
    ----------
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        Files of the network, as for `open_nsfw.nsfw_score`.
    precision : {"float32", "bfloat16"}, optional
        Of the convolutions, as for `open_nsfw.get_scorer`.

    Examples
    --------
    >>> fitness = NsfwLogit()
    >>> [logit] = fitness([Image.new("RGB", (256, 256))])
    >>> fitness.display_value(logit) < 0.2
    True
    """

    label = "NSFW score"
    promising = 1.2

    def __init__(
        self,
        *,
        nsfw_pkl_path: str | Path | None = None,
        deploy_prototxt_path: str | Path | None = None,
        precision: Literal["float32", "bfloat16"] | None = None,
    ):
        model = dict(nsfw_pkl_path=nsfw_pkl_path, deploy_prototxt_path=deploy_prototxt_path, precision=precision)
        self.model: dict[str, Any] = {name: value for name, value in model.items() if value is not None}

    @property
    def identity(self) -> str:
        options = [f"{name}={value}" for name, value in sorted(self.model.items())]
        return " ".join([type(self).__name__, *options])

    def __call__(self, pictures: Sequence[Image.Image]) -> list[float]:
        """Give the logit of each picture."""
        scorer = get_scorer(**self.model)
        return scorer.logits(np.stack([prepare(picture, scorer.input_size) for picture in pictures])).tolist()

    @staticmethod
    def display_value(logit: float) -> float:
        """Give the score of a logit.

        Parameters
        ----------
        logit : float

        Returns
        -------
        float
            In 0..1.
        """
        return score_of(logit)


class NsfwScore(NsfwLogit):
    """The NSFW score itself, in 0..1, as the original experiment used it.

    The original is https://github.com/tjwei/play_nsfw.

    Parameters
    ----------
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        Files of the network, as for `open_nsfw.nsfw_score`.
    precision : {"float32", "bfloat16"}, optional
        Of the convolutions, as for `open_nsfw.get_scorer`.

    Examples
    --------
    >>> [score] = NsfwScore()([Image.new("RGB", (256, 256))])
    >>> 0 < score < 0.2
    True
    """

    promising = score_of(NsfwLogit.promising)

    def __call__(self, pictures: Sequence[Image.Image]) -> list[float]:
        """Give the score of each picture."""
        return [NsfwLogit.display_value(logit) for logit in super().__call__(pictures)]

    @staticmethod
    def display_value(score: float) -> float:
        """Give the score as it is."""
        return score


class Psnr(_Displayed):
    """Likeness to a target picture: the peak signal-to-noise ratio over the three colours, in dB.

    It is ``10 * log10(255**2 / mean squared error)`` [1]_.

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

    References
    ----------
    .. [1] Q. Huynh-Thu, M. Ghanbari, "Scope of validity of PSNR in image/video quality assessment",
       Electronics Letters 44(13), 2008.

    Examples
    --------
    >>> white = Image.new("RGB", (64, 64), "white")
    >>> Psnr(white, (64, 64))([Image.new("RGB", (64, 64), "black")])
    [0.0]
    """

    label = "PSNR"

    #: Pictures that are equal are given this many dB, instead of infinity.
    EQUAL = 100.0

    def __init__(self, target: Picture, size: tuple[int, int] = (256, 256)):
        self.target = read_picture(target).resize(size, Image.Resampling.LANCZOS)

    def __call__(self, pictures: Sequence[Image.Image]) -> list[float]:
        """Give the PSNR of each picture."""
        return [self._psnr(picture) for picture in pictures]

    @property
    def identity(self) -> str:
        # "Likeness" was this class's name when checkpoints got their form, and has to stay for them.
        return f"Likeness {sha256(self.target.tobytes()).hexdigest()[:16]}"

    @property
    def size(self) -> tuple[int, int]:
        return self.target.size

    def _psnr(self, picture: Image.Image) -> float:
        if picture.size != self.size:  # Pillow would compare the corner that both have
            raise ValueError(f"PSNR: got a picture of size {picture.size}, expected {self.size}")
        histogram = ImageChops.difference(picture, self.target).histogram()  # of red, then green, then blue
        mean_square = int(SQUARES @ histogram) / sum(histogram)
        return 10 * log10(255**2 / mean_square) if mean_square else self.EQUAL

    def mean_colour_baseline(self) -> float:
        """Give the PSNR of the best picture of one colour: the target's mean.

        Returns
        -------
        float
            In dB.
        """
        mean = np.rint(np.asarray(self.target).mean(axis=(0, 1))).astype(int)
        return self._psnr(Image.new("RGB", self.target.size, tuple(mean.tolist())))

    def flat(self) -> float:
        """Old name of `mean_colour_baseline`."""
        warnings.warn("Psnr.flat is now mean_colour_baseline", DeprecationWarning, stacklevel=2)
        return self.mean_colour_baseline()


class PerPicture(_Displayed):
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
        """Give the function's value of each picture."""
        return [self.function(picture) for picture in pictures]
