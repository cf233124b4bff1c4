"""The frames of a picture: one of a photograph, many of an animation or a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, overload

from PIL import Image, ImageSequence

from nsfw_model.picture import Picture, open_picture, read_picture


class Frame(NamedTuple):
    """What is seen at a moment.

    Attributes
    ----------
    seconds : float
        Since the beginning; 0.0 for a photograph.
    picture : PIL.Image.Image
        Of mode RGB.
    """

    seconds: float
    picture: Image.Image


class FrameScore(NamedTuple):
    """The score of a moment.

    Attributes
    ----------
    seconds : float
        Since the beginning; 0.0 for a photograph.
    score : float
        In 0..1.
    """

    seconds: float
    score: float


def read_frames(img: Picture, every: float | None = None) -> Iterator[Frame]:
    """Read the frames of a picture of any kind, lazily and in order.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        As `nsfw_model.picture.read_picture` takes it.
    every : float, optional
        Seconds from one frame to the next; left out, all of an animation, and one a second of a film.

    Yields
    ------
    Frame

    Raises
    ------
    PictureError, TypeError
        As `nsfw_model.picture.read_picture`, at the frame that cannot be read.

    Examples
    --------
    >>> [frame.seconds for frame in read_frames("img/coffee.jpg")]
    [0.0]
    """
    opened = open_picture(img)
    if getattr(opened, "n_frames", 1) == 1:
        yield Frame(0.0, read_picture(opened))
        return
    seconds = 0.0
    for frame in ImageSequence.Iterator(opened):
        yield Frame(seconds, read_picture(frame.copy()))
        seconds += frame.info.get("duration", 100) / 1e3


@overload
def summary(scores: Sequence[FrameScore], frames: Literal["first", "max", "mean"]) -> float: ...
@overload
def summary(scores: Sequence[FrameScore], frames: str) -> float | list[FrameScore]: ...
def summary(scores: Sequence[FrameScore], frames: str) -> float | list[FrameScore]:
    """Make one score of those of a picture's frames, or leave them all.

    Parameters
    ----------
    scores : sequence of FrameScore
        At least one.
    frames : {"first", "max", "mean", "all"}

    Returns
    -------
    float, or list of FrameScore for "all"

    Examples
    --------
    >>> scores = [FrameScore(0.0, 0.25), FrameScore(1.0, 0.75)]
    >>> summary(scores, "max"), summary(scores, "mean")
    (0.75, 0.5)
    """
    if frames == "all":
        return list(scores)
    numbers = [score for _, score in scores]
    if frames == "mean":
        return sum(numbers) / len(numbers)
    return max(numbers) if frames == "max" else numbers[0]
