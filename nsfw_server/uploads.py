"""The pictures of a request: read as they stream in, held in memory, and refused as soon as they are too many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from nsfw_server.limits import Limits
from nsfw_server.problem import Problem

#: Headers of a part of a multipart body, and the bytes of each.
MAX_HEADERS, MAX_HEADER_BYTES = 16, 4096
#: How much of a file's name is kept, in characters.
MAX_NAME = 255
#: Bytes of the boundary (RFC 2046).
MAX_BOUNDARY = 70


class Upload(NamedTuple):
    """A picture of a request.

    Attributes
    ----------
    name : str or None
        What its sender calls it.
    data : bytes
    """

    name: str | None
    data: bytes


async def read_uploads(
    content_type: str,
    stream: AsyncIterator[bytes],
    limits: Limits,
    admit: Callable[[int], None] = lambda size: None,
) -> list[Upload]:
    """Read the pictures of a request's body.

    Parameters
    ----------
    content_type : str
        ``multipart/form-data`` with a boundary, where each part that has a file's name is a picture; with any other the
        body is a picture, whatever the type says.
    stream : asynchronous iterator of bytes
        The body.
    limits : Limits
    admit : callable, optional
        Told how many bytes there are more, before they are kept; it may raise.

    Returns
    -------
    list of Upload
        At least one.

    Raises
    ------
    Problem
        If the body is none, or too large.

    Examples
    --------
    >>> import asyncio
    >>> async def stream():
    ...     yield b"GIF"
    ...     yield b"89a"
    >>> asyncio.run(read_uploads("image/gif", stream(), Limits()))
    [Upload(name=None, data=b'GIF89a')]
    """
    kind, options = parse_options_header(content_type)
    reader: _Form | _Raw = _Form(_boundary(options), limits) if kind == b"multipart/form-data" else _Raw(limits)
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limits.body_bytes:
            raise Problem("too_large", f"the body has more than {limits.body_bytes} bytes")
        admit(len(chunk))
        reader.feed(chunk)
    return reader.finish()


def _boundary(options: dict[bytes, bytes]) -> bytes:
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise Problem("bad_request", "multipart/form-data: got no boundary of 1 to 70 characters")
    return boundary


def _too_large(limits: Limits) -> Problem:
    return Problem("too_large", f"a picture has more than {limits.picture_bytes} bytes")


class _Raw:
    """A body that is a picture."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > self._limits.picture_bytes:
            raise _too_large(self._limits)

    def finish(self) -> list[Upload]:
        if not self._data:
            raise Problem("bad_request", "the body is empty, expected a picture, or multipart/form-data with pictures")
        return [Upload(None, bytes(self._data))]


class _Form:
    """A body of several parts. Those without a file's name are skipped."""

    def __init__(self, boundary: bytes, limits: Limits):
        self._limits = limits
        self._uploads: list[Upload] = []
        self._parts = 0
        self._is_whole = False
        self._name: str | None = None
        self._data = bytearray()
        self._is_file = False
        self._header_name, self._header_value = bytearray(), bytearray()
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end,
                "on_end": self._end_all,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def feed(self, chunk: bytes) -> None:
        if self._is_whole:
            return  # an epilogue, which nobody reads
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Problem("bad_request", f"multipart/form-data: {error}") from error

    def finish(self) -> list[Upload]:
        if not self._is_whole:
            raise Problem("bad_request", "multipart/form-data: ends before its last boundary")
        if not self._uploads:
            raise Problem("bad_request", "multipart/form-data: got no part with a file's name, expected a picture")
        return self._uploads

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > 2 * self._limits.files:
            raise Problem("too_large", f"multipart/form-data: more than {2 * self._limits.files} parts")
        self._disposition, self._data = b"", bytearray()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = b"filename" in options
        self._name = options.get(b"filename", b"").decode("utf-8", "replace")[:MAX_NAME]
        if self._is_file and len(self._uploads) >= self._limits.files:
            raise Problem("too_large", f"more than {self._limits.files} pictures")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            return
        self._data += data[start:end]
        if len(self._data) > self._limits.picture_bytes:
            raise _too_large(self._limits)

    def _end(self) -> None:
        if self._is_file:
            self._uploads.append(Upload(self._name, bytes(self._data)))
        self._data = bytearray()

    def _end_all(self) -> None:
        self._is_whole = True
