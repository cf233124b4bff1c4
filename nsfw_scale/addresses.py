"""Pictures at addresses, ``s3://bucket/a.jpg``: what the workers of a cluster, which share no disk, are given.

Nothing else opens addresses. `open_nsfw.nsfw_score` refuses them: a service that hands it a stranger's text would fetch
for that stranger what only the service can reach.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeGuard

from nsfw_model import picture
from nsfw_model.picture import Picture, PictureError, picture_name

#: How many files are fetched at once, and held before they are asked for: the first byte takes longer than the rest.
AHEAD = 8


def is_address(img: object) -> TypeGuard[str]:
    """Whether this is a text that names a file by a protocol, as fsspec writes it.

    Parameters
    ----------
    img : object

    Returns
    -------
    bool

    Examples
    --------
    >>> is_address("s3://bucket/a.jpg"), is_address("zip://a.jpg::https://example.org/all.zip"), is_address("C:/a.jpg")
    (True, True, False)
    """
    return isinstance(img, str) and re.match(r"(?:\w+::)*[a-zA-Z][a-zA-Z0-9+.-]+://", img) is not None


def fetch(address: str) -> bytes:
    """Read the file at an address, with fsspec: what it knows, and how it is told of accounts, is in its documentation.

    Parameters
    ----------
    address : str

    Returns
    -------
    bytes

    Raises
    ------
    PictureError
        If there is no such file, it cannot be fetched, or it is larger than `nsfw_model.picture.MAX_FILE_BYTES`.
    ImportError
        If fsspec is not installed, or what it needs for the protocol, such as s3fs.

    Examples
    --------
    >>> import fsspec
    >>> with fsspec.open("memory://pictures/a.jpg", "wb") as file:
    ...     _ = file.write(b"its bytes")
    >>> fetch("memory://pictures/a.jpg")
    b'its bytes'
    """
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(
            f"{picture_name(address)}: an address needs fsspec: pip install 'open-nsfw-theano[cluster]'"
        ) from error
    try:
        with fsspec.open(address, "rb") as file:
            data = file.read(picture.MAX_FILE_BYTES + 1)
    except ImportError as error:
        raise ImportError(f"{picture_name(address)}: {error}") from error
    except FileNotFoundError as error:
        raise PictureError(f"{picture_name(address)}: no such file") from error
    except Exception as error:  # each protocol has errors of its own
        reason = " ".join(str(error).split())[: picture.SHOWN_NAME] or type(error).__name__
        raise PictureError(f"{picture_name(address)}: cannot be fetched: {reason}") from error
    if len(data) > picture.MAX_FILE_BYTES:
        raise PictureError(f"{picture_name(address)}: is larger than {picture.MAX_FILE_BYTES} bytes")
    return data


def fetched(images: Iterable[Picture], ahead: int = AHEAD) -> Iterator[Picture | PictureError]:
    """Put the files' bytes, or why they cannot be had, in the places of addresses, lazily and in order.

    Parameters
    ----------
    images : iterable of pictures
        What is no address stays as it is.
    ahead : int
        How many are fetched at once, and held before they are asked for.

    Yields
    ------
    picture, or PictureError

    Raises
    ------
    ImportError
        As `fetch`.

    Examples
    --------
    >>> list(fetched(["img/rocket.jpg", "memory://none.jpg"]))
    ['img/rocket.jpg', PictureError('memory://none.jpg: no such file')]
    """
    waiting: deque[Any] = deque()
    coming = iter(images)
    with ThreadPoolExecutor(ahead) as pool:
        while True:
            for img in islice(coming, ahead - len(waiting)):
                waiting.append(pool.submit(_try_fetch, img) if is_address(img) else img)
            if not waiting:
                return
            img = waiting.popleft()
            yield img.result() if isinstance(img, Future) else img


def _try_fetch(address: str) -> bytes | PictureError:
    try:
        return fetch(address)
    except PictureError as error:
        return error
