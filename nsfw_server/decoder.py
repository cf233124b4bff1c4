"""The program of a process that decodes pictures of strangers, and computes nothing else.

Its parent puts a picture's bytes into memory that both share, and writes a line of JSON to its standard input. For each
frame it puts the network's input into that memory and writes a line to its standard output; it goes on when it is told
to. The parent may kill it at any time, and it ends when its parent does.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import resource
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
from nsfw_scale.pipeline import BLOCK_BYTES, KEPT_BLOCKS

#: Seconds that a picture may take longer than its parent allows, if the parent is no more.
GRACE = 5.0
#: What the parent writes to have the next frame.
NEXT = b"next\n"
#: The memory's last byte once a question is read; its parent puts 0 there.
BEGUN = 1


def serve(memory: mmap.mmap, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more.

    Parameters
    ----------
    memory : mmap.mmap
        Shared with who asks: first the network's input, then a picture's bytes, last whether it is begun.
    requests, answers : binary file

    Examples
    --------
    >>> import io
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     data = file.read()
    >>> frame_bytes = 4 * 3 * 224 * 224
    >>> memory = mmap.mmap(-1, frame_bytes + len(data) + 1)
    >>> memory[frame_bytes:-1] = data
    >>> asked = {"bytes": len(data), "frames": "first", "every": None, "size": [224, 224], "most": 1, "seconds": 9}
    >>> answers = io.BytesIO()
    >>> serve(memory, io.BytesIO(json.dumps(asked).encode() + b"\\n"), answers)
    >>> answers.getvalue()
    b'{"ready": true}\\n{"seconds": 0.0}\\n'
    """
    _write(answers, {"ready": True})
    while line := requests.readline():
        memory[-1] = BEGUN
        asked = json.loads(line)
        frame_bytes = 4 * 3 * asked["size"][0] * asked["size"][1]
        data = memory[frame_bytes : frame_bytes + asked["bytes"]]
        for head, frame in _answers(data, asked):
            _allow(0)
            if frame is not None:
                memory[:frame_bytes] = frame.tobytes()
            _write(answers, head)
            if frame is None or asked["frames"] == "first" or requests.readline() != NEXT:
                break
            _allow(asked["seconds"] + GRACE)


def _write(answers: BinaryIO, head: dict[str, Any]) -> None:
    answers.write(json.dumps(head).encode() + b"\n")
    answers.flush()


def _allow(seconds: float) -> None:
    """Be ended by the kernel after so many seconds: what decodes in C heeds nothing else. 0 stands for any time."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _answers(data: bytes, asked: dict[str, Any]) -> Iterator[tuple[dict[str, Any], np.ndarray | None]]:
    _allow(asked["seconds"] + GRACE)
    try:
        for count, (seconds, frame) in enumerate(_frames(data, asked)):
            if count == asked["most"]:
                yield {"problem": "too_many_frames", "message": f"expected at most {count} frames"}, None
            yield {"seconds": seconds}, frame
    except NotAPictureError as error:
        yield {"problem": "not_a_picture", "message": _message(error, data)}, None
    except PictureError as error:
        yield {"problem": "unreadable", "message": _message(error, data)}, None
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


def _silence_libraries() -> None:
    """Let only this program complain: what libraries say of a stranger's picture is no line of the service's log."""
    logging.disable()
    sys.stderr = os.fdopen(os.dup(2), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.close(silence)


def main() -> None:
    """Serve on the standard streams.

    Arguments: number of the shared memory's file, its bytes; how many pixels a picture may have, and how many bytes of
    memory this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    warnings.simplefilter("ignore")
    _silence_libraries()
    number, size, Image.MAX_IMAGE_PIXELS, most = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    Image.core.set_block_size(BLOCK_BYTES)
    Image.core.set_blocks_max(KEPT_BLOCKS)
    serve(mmap.mmap(number, size), sys.stdin.buffer, sys.stdout.buffer)
