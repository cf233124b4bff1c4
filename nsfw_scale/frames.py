"""The frames of a picture: one of a photograph, many of an animation or a film."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, overload

import numpy as np
from PIL import Image, PngImagePlugin

from nsfw_model.animation import check_animation, check_frame_count
from nsfw_model.integrity import DamagedError
from nsfw_model.palettes import check_palettes
from nsfw_model.picture import (
    Picture,
    PictureError,
    check_kind,
    check_pixels,
    decoded,
    explained,
    open_picture,
    picture_name,
    read_file,
    to_rgb,
)
from nsfw_scale.film import is_film, read_film

#: Pixels of all frames of an animation together: each is drawn in full.
MAX_ANIMATION_PIXELS = 1 << 33


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

    Frames of a GIF, WebP, PNG or AVIF are as a viewer shows them, each drawn over those before it; alpha is dropped, as
    of all pictures. Each is shown for its duration, and one of at most 10 ms for 100 ms, as browsers do. Pages of a
    TIFF are shown for a second each. All else is one frame: an MPO or an HEIC file is judged by its first picture. For
    films see `nsfw_scale.film`.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        As `nsfw_model.picture.read_picture` takes it, or a film. A PIL image is left at its last frame.
    every : float, optional
        Seconds: of an animation only those frames are given that are shown at 0, `every`, 2 * `every` and so on, each
        once. Left out, all of an animation, and one a second of a film.

    Yields
    ------
    Frame
        The first has the pixels that `read_picture` gives, unless it is a film's.

    Raises
    ------
    PictureError
        As `nsfw_model.picture.read_picture`; if a frame is damaged or missing, or there are more than
        `nsfw_model.animation.MAX_FRAMES`, or they have more than `MAX_ANIMATION_PIXELS` pixels together.
    ValueError
        If `every` is no finite number above 0.
    TypeError
        As `nsfw_model.picture.read_picture`.

    Examples
    --------
    >>> [frame.seconds for frame in read_frames("img/coffee.jpg")]
    [0.0]
    >>> from io import BytesIO
    >>> pages = [Image.new("L", (20, 10), grey) for grey in (0, 128, 255)]
    >>> file = BytesIO()
    >>> pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    >>> [(frame.seconds, frame.picture.getpixel((0, 0))) for frame in read_frames(file, every=2)]
    [(0.0, (0, 0, 0)), (2.0, (255, 255, 255))]
    """
    if every is not None and not 0 < every < math.inf:
        raise ValueError(f"every: got {every!r:.100}, expected a finite number of seconds above 0")
    check_kind(img)
    return _explained_each(_frames(img, every), picture_name(img))


def _explained_each(frames: Iterator[Frame], name: str) -> Iterator[Frame]:
    while True:
        with explained(name):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _frames(img: Picture, every: float | None) -> Iterator[Frame]:
    if isinstance(img, (np.ndarray, Image.Image)):
        yield from _frames_of_picture(open_picture(img), img, every)
    elif is_film(img):
        yield from (Frame(*moment) for moment in read_film(img, every or 1.0))
    else:
        data = read_file(img)
        opened = decoded(data, img)
        if opened.format in _ANIMATED:
            check_animation(data)
        yield from _frames_of_picture(opened, img, every, check_palettes(data, opened))


#: Formats whose further pictures are frames, or pages.
_ANIMATED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")


def _frames_of_picture(
    opened: Image.Image, img: Picture, every: float | None, checks: Iterator[None] | None = None
) -> Iterator[Frame]:
    """Draw one frame after the other; `checks` checks the newest, each time that it is asked for its next value."""
    name = picture_name(img)
    count = getattr(opened, "n_frames", 1) if opened.format in _ANIMATED else 1
    if count == 1:
        picture = to_rgb(opened, name)
        yield Frame(0.0, picture.copy() if picture is img else picture)
        return
    check_frame_count(count)
    _check_total(opened.width * opened.height * (count if opened.format != "TIFF" else 1))
    every = every and max(every, _ROUNDING)  # quotients of less are infinite
    begin, wanted, pixels = 0.0, 0, 0
    for index in range(count):
        try:
            opened.seek(index)
            check_pixels(opened.width, opened.height, name)
            pixels += opened.width * opened.height
            _check_total(pixels)
            _load(opened)
            if checks is not None:
                next(checks)
            end = begin + _duration(opened)
            if every is None or wanted * every < end - _ROUNDING:
                picture = to_rgb(opened, name)
                yield Frame(begin, picture.copy() if picture is opened else picture)
                wanted = math.floor((end - _ROUNDING) / every) + 1 if every else 0
        except (PictureError, MemoryError):
            raise
        except Exception as error:  # decoders raise all sorts of things
            raise DamagedError(f"frame {index + 1} of {count}: {error or type(error).__name__}") from error
        begin = end


def _load(opened: Image.Image) -> None:
    """Draw a frame; what is to come back behind one of a PNG, Pillow 13 would draw it into."""
    comes_back = opened.format == "PNG" and opened.info.get("disposal") == PngImagePlugin.Disposal.OP_PREVIOUS
    before = getattr(opened, "_prev_im", None)
    kept = before.copy() if comes_back and before is not None else None
    opened.load()
    if kept is not None:
        opened._prev_im = kept  # type: ignore[attr-defined]


#: Seconds that sums of durations may be off.
_ROUNDING = 1e-6


def _check_total(pixels: int) -> None:
    if pixels > MAX_ANIMATION_PIXELS:
        raise DamagedError(
            f"got {pixels} pixels in all frames, more than nsfw_scale.frames.MAX_ANIMATION_PIXELS = "
            f"{MAX_ANIMATION_PIXELS}"
        )


def _duration(opened: Image.Image) -> float:
    """Seconds that a frame is shown."""
    if opened.format == "TIFF":
        return 1.0
    milliseconds = opened.info.get("duration", 0)
    return (milliseconds if milliseconds > 10 else 100) / 1e3


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

    Raises
    ------
    ValueError
        If one of them is no number in 0..1, over which a maximum would pass.

    Examples
    --------
    >>> scores = [FrameScore(0.0, 0.25), FrameScore(1.0, 0.75)]
    >>> summary(scores, "max"), summary(scores, "mean")
    (0.75, 0.5)
    """
    for seconds, score in scores:
        if not 0 <= score <= 1:
            raise ValueError(f"the frame at {seconds:g} s: got a score of {score}, expected a number in 0..1")
    if frames == "all":
        return list(scores)
    numbers = [score for _, score in scores]
    if frames == "mean":
        return sum(numbers) / len(numbers)
    return max(numbers) if frames == "max" else numbers[0]
