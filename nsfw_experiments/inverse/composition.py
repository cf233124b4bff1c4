"""Transformations one after the other, and the scorer's preprocessing behind them."""

from __future__ import annotations

from dataclasses import dataclass

from nsfw_experiments.pillow.edits import ResizedTo
from nsfw_experiments.pillow.preprocessing import JpegRoundTrip, Pipeline, Transform
from nsfw_model.preprocess import CROPPED, RESIZED


@dataclass(frozen=True)
class Composition:
    """What may happen to a picture on its way: steps one after the other.

    Attributes
    ----------
    steps : tuple of Transform
        See `nsfw_experiments.pillow.edits` and `nsfw_experiments.pillow.preprocessing`.
    name : str
        If it has one of its own.
    required : bool
        Whether a result of the robust mode has to survive this.

    Examples
    --------
    >>> from nsfw_experiments.pillow.edits import Crop, GaussianBlur
    >>> print(Composition((Crop(top=0.05), GaussianBlur(1), JpegRoundTrip())))
    crop top 5 %, blur 1, JPEG 75
    >>> print(Composition((JpegRoundTrip(), JpegRoundTrip()), "saved twice"))
    saved twice
    """

    steps: tuple[Transform, ...]
    name: str = ""
    required: bool = False

    def __str__(self) -> str:
        return self.name or ", ".join(map(str, self.steps)) or "as it is"

    def pipeline(self, cropped: tuple[int, int] = CROPPED) -> Pipeline:
        """Give the way of a picture through the steps and the scorer's preprocessing.

        Parameters
        ----------
        cropped : (int, int)
            As for `Pipeline`.

        Returns
        -------
        Pipeline
        """
        return Pipeline([*self.steps, ResizedTo(*RESIZED[::-1]), JpegRoundTrip()], cropped)
