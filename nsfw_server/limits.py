"""How much a service takes before it says no."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

#: What environment variables begin with, before the name of a limit in capitals.
PREFIX = "OPEN_NSFW_"


def _limit(default: Any, what: str) -> Any:
    return field(default=default, metadata={"what": what})


@dataclass(frozen=True)
class Limits:
    """What a process of the service takes. Whatever is beyond is answered by an error, never by waiting.

    Attributes
    ----------
    body_bytes, picture_bytes : int
        Of a request's body, and of each picture in it.
    files : int
        Pictures in a request.
    pixels : int
        Of a picture, or of each frame; at least 65,536.
    frames : int
        Of an animation or a film whose frames are all scored.
    seconds, quick_seconds : float
        For a picture, or its next frame, to be decoded; those that take longer than `quick_seconds` stand aside, so
        that others pass them.
    frames_seconds : float
        For all frames of an animation or a film to be decoded, waiting for the network between them included.
    slow_pictures : int
        How many may stand aside. Beyond that a picture that is not decoded in `quick_seconds` is given up.
    queue : int
        Pictures that are accepted and not answered.
    pending_bytes : int
        Of the bodies of all requests that are not answered.
    connections : int
        That are open.
    head_seconds, body_seconds : float
    idle_seconds : int
        In which a client has to send the head of a request, and its body; how long a connection may be idle, and an
        answer unread.
    shutdown_seconds : int
        For what is accepted to be answered when the service is told to end.
    batch : int
        Pictures that go through the network at once.
    batch_milliseconds : float
        How long a picture waits for others that are being decoded.
    decoders : int
        Processes that decode; 0 stands for the cores of this process.
    decoder_bytes : int
        Of the memory of each of them, shared memory apart; at least 512 MiB.

    Raises
    ------
    ValueError
        If one is no number above 0, or no whole number where one is expected.

    Examples
    --------
    >>> Limits(queue=16).queue
    16
    """

    body_bytes: int = _limit(64 << 20, "bytes of a request's body")
    picture_bytes: int = _limit(32 << 20, "bytes of a picture")
    files: int = _limit(32, "pictures in a request")
    pixels: int = _limit(89_478_485, "pixels of a picture, or of each frame")
    frames: int = _limit(512, "frames of an animation or a film, where all are scored")
    seconds: float = _limit(10.0, "seconds for a picture, or its next frame, to be decoded")
    frames_seconds: float = _limit(50.0, "seconds for all frames of an animation or a film")
    quick_seconds: float = _limit(1.0, "seconds after which a picture stands aside, and others pass it")
    slow_pictures: int = _limit(2, "pictures that may stand aside; beyond that they are given up")
    queue: int = _limit(128, "pictures that are accepted and not answered")
    pending_bytes: int = _limit(512 << 20, "bytes of all requests that are not answered")
    connections: int = _limit(512, "open connections")
    head_seconds: float = _limit(10.0, "seconds for the head of a request to arrive")
    body_seconds: float = _limit(30.0, "seconds for the body of a request to arrive")
    idle_seconds: int = _limit(30, "seconds that a connection may be idle, or an answer unread")
    shutdown_seconds: int = _limit(30, "seconds for accepted requests to be answered when the service ends")
    batch: int = _limit(8, "pictures that go through the network at once")
    batch_milliseconds: float = _limit(3.0, "milliseconds that a picture waits for others that are being decoded")
    decoders: int = _limit(0, "processes that decode; 0: as many as there are cores")
    decoder_bytes: int = _limit(5 << 29, "bytes of memory for each process that decodes")

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), _LEAST.get(each.name, 1)
            if each.type == "int" and (type(value) is not int or value < least):
                raise ValueError(f"{each.name}: got {value!r}, expected a whole number of at least {least}")
            if each.type == "float" and not 0 < value < math.inf:
                raise ValueError(f"{each.name}: got {value!r}, expected a number above 0")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **others: float) -> Limits:
        """Read what environment variables say, such as ``OPEN_NSFW_QUEUE=64``.

        Parameters
        ----------
        environment : mapping of str to str
        **others : float
            Limits that are set whatever the environment says.

        Returns
        -------
        Limits

        Raises
        ------
        ValueError
            If one is none.

        Examples
        --------
        >>> Limits.from_environment({"OPEN_NSFW_QUEUE": "64", "OPEN_NSFW_FILES": "4"}, files=2).queue
        64
        >>> Limits.from_environment({"OPEN_NSFW_QUEUE": "many"})
        Traceback (most recent call last):
        ValueError: OPEN_NSFW_QUEUE: got 'many', expected a number
        """
        told: dict[str, Any] = {}
        for each in fields(cls):
            text = environment.get(variable(each.name))
            if text is None or each.name in others:
                continue
            try:
                told[each.name] = int(text) if each.type == "int" else float(text)
            except ValueError as error:
                raise ValueError(f"{variable(each.name)}: got {text!r}, expected a number") from error
        return cls(**{**told, **others})


#: Yahoo's preprocessing has a picture of 256x256 pixels between, whatever is sent; libraries take memory, too.
_LEAST = {"decoders": 0, "slow_pictures": 0, "pixels": 1 << 16, "decoder_bytes": 512 << 20}


def variable(name: str) -> str:
    """Give the environment variable of a limit.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> variable("queue")
    'OPEN_NSFW_QUEUE'
    """
    return PREFIX + name.upper()
