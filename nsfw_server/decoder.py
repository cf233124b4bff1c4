"""The program of a process that decodes pictures of strangers, and computes nothing else.

It reads requests from standard input, each a line of JSON and a picture's bytes, and writes frames to standard output,
each a line of JSON and the network's input. Its parent may kill it at any time. It ends when its parent does.
"""

from __future__ import annotations

import json
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from nsfw_model.picture import NotAPictureError, PictureError, picture_name
from nsfw_model.preprocess import prepare
from nsfw_scale.frames import read_frames

#: Seconds that a picture may take longer than its parent allows, if the parent is no more.
GRACE = 5


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more.

    Parameters
    ----------
    requests, answers : binary file

    Examples
    --------
    >>> import io
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     data = file.read()
    >>> asked = {"bytes": len(data), "frames": "first", "every": None, "size": [224, 224], "most": 1, "seconds": 9}
    >>> answers = io.BytesIO()
    >>> serve(io.BytesIO(json.dumps(asked).encode() + b"\\n" + data), answers)
    >>> answers.getvalue()[:15], len(answers.getvalue())
    (b'{"seconds": 0.0', 602142)
    """
    while line := requests.readline():
        asked = json.loads(line)
        data = requests.read(asked["bytes"])
        for head, frame in _answers(data, asked):
            _allow(0)  # the parent may be slow to take it
            answers.write(json.dumps(head).encode() + b"\n")
            if frame is not None:
                answers.write(memoryview(frame).cast("B"))
            answers.flush()
            _allow(asked["seconds"] + GRACE)
        _allow(0)


def _allow(seconds: float) -> None:
    """Be ended by the kernel after so many seconds: what decodes in C heeds nothing else."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _answers(data: bytes, asked: dict[str, Any]) -> Iterator[tuple[dict[str, Any], np.ndarray | None]]:
    _allow(asked["seconds"] + GRACE)
    try:
        for count, (seconds, frame) in enumerate(_frames(data, asked)):
            if count == asked["most"]:
                yield {"problem": "too_many_frames", "message": f"expected at most {count} frames"}, None
                return
            yield {"seconds": seconds}, frame
    except NotAPictureError as error:
        yield {"problem": "not_a_picture", "message": _message(error, data)}, None
    except PictureError as error:
        yield {"problem": "unreadable", "message": _message(error, data)}, None
    else:
        yield {"end": True}, None


def _frames(data: bytes, asked: dict[str, Any]) -> Iterator[tuple[float, np.ndarray]]:
    size = tuple(asked["size"])
    if asked["frames"] == "first":
        yield 0.0, prepare(data, size)
    else:
        for seconds, picture in read_frames(data, asked["every"]):
            yield seconds, prepare(picture, size)


def _message(error: PictureError, data: bytes) -> str:
    return str(error).removeprefix(f"{picture_name(data)}: ")


def main() -> None:
    """Serve on the standard streams, with the limit of pixels that is the argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = int(sys.argv[1])
    serve(sys.stdin.buffer, sys.stdout.buffer)
