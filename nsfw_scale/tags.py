"""How many tags and chapters a film has, of which FFmpeg compares each with all others: a megabyte took minutes.

A Matroska [1]_ and an Ogg [2]_ have theirs in pieces that FFmpeg reads before it begins to compare. How long it may
take over other containers, of which it reads a little at a time, `nsfw_scale.film` watches.

References
----------
.. [1] IETF, RFC 9559, "Matroska Media Container Format", 5.1.7 and 5.1.8
.. [2] IETF, RFC 3533, "The Ogg Encapsulation Format", 6; and Xiph.Org, "Ogg Vorbis I format specification: comment
   field and header specification", https://xiph.org/vorbis/doc/v-comment.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from nsfw_model.integrity import DamagedError

#: Tags and chapters of a film, together.
MAX_TAGS = 1 << 13
#: Elements of a Matroska that are passed to find them.
MAX_TAG_ELEMENTS = 1 << 18
#: Pages of an Ogg behind which there is no other, or within which one begins.
MAX_DAMAGED_PAGES = 1 << 10


def check_tags(file: BinaryIO, noun: str) -> None:
    """Check that a film has not too many tags and chapters, and go back to its beginning.

    Parameters
    ----------
    file : binary file
    noun : str
        Of `nsfw_model.signatures`; containers other than "mkv" and "ogg" are not looked at.

    Raises
    ------
    DamagedError
        If there are more than `MAX_TAGS`, or another limit of this module is exceeded.

    Examples
    --------
    >>> import io
    >>> tag = b"\\x67\\xc8\\x80"
    >>> check_tags(io.BytesIO(b"\\x12\\x54\\xc3\\x67\\x20\\x75\\x30" + 10_000 * tag), "mkv")
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: got more than nsfw_scale.tags.MAX_TAGS = 8192 tags and chapters
    """
    number = 0
    for more in _COUNTS[noun](file) if noun in _COUNTS else ():
        number += more
        if number > MAX_TAGS:
            raise DamagedError(f"got more than nsfw_scale.tags.MAX_TAGS = {MAX_TAGS} tags and chapters")
    file.seek(0)


_CHUNK = 1 << 20
_TAGS, _CHAPTERS = b"\x12\x54\xc3\x67", b"\x10\x43\xa7\x70"
_TAG, _SIMPLE_TAG, _EDITION, _CHAPTER = b"\x73\x73", b"\x67\xc8", b"\x45\xb9", b"\xb6"


def _in_elements(file: BinaryIO) -> Iterator[int]:
    """Wherever in the file: FFmpeg looks for the next known identifier where something is damaged."""
    passed = 0
    for begin in (place for identifier in (_TAGS, _CHAPTERS) for place in _places(file, identifier)):
        for identifier in _elements(file, begin):
            passed += 1
            if passed > MAX_TAG_ELEMENTS:
                raise DamagedError(
                    f"got more than nsfw_scale.tags.MAX_TAG_ELEMENTS = {MAX_TAG_ELEMENTS} elements of tags and chapters"
                )
            yield identifier in (_SIMPLE_TAG, _CHAPTER)


def _places(file: BinaryIO, what: bytes, begin: int = 0) -> Iterator[int]:
    """Where these bytes are."""
    at, data = begin, b""
    while more := _read(file, at + len(data), _CHUNK):
        data += more
        found = data.find(what)
        while found >= 0:
            yield at + found
            found = data.find(what, found + 1)
        kept = min(len(data), len(what) - 1)
        at, data = at + len(data) - kept, data[len(data) - kept :]


def _elements(file: BinaryIO, begin: int) -> Iterator[bytes]:
    """The identifiers of an element, and of those in it that are or contain tags or chapters."""
    at, end = begin, None
    while end is None or at < end:
        head = _read(file, at, 12)
        identifier, content = head[: _width(head)], head[_width(head) :]
        width = _width(content)
        size = int.from_bytes(content[:width], "big") & ((1 << 7 * width) - 1)
        if not identifier or not width:
            return
        yield identifier
        at += len(identifier) + width
        end = at + size if end is None else end
        if identifier not in (_TAGS, _CHAPTERS, _TAG, _SIMPLE_TAG, _EDITION, _CHAPTER):
            at += size


def _width(number: bytes) -> int:
    """Of one whose first bit that is set says how many bytes it has (RFC 8794, 4)."""
    return 9 - number[0].bit_length() if number and number[0] else 0


def _in_packets(file: BinaryIO) -> Iterator[int]:
    """Equal signs in headers: each comment has one."""
    streams: dict[bytes, _Stream] = {}
    damaged = 0
    at = next(_places(file, b"OggS"), None)
    while at is not None:
        head = _read(file, at, 27).ljust(27, b"\0")
        lengths = _read(file, at + 27, head[26])
        body = _read(file, at + 27 + len(lengths), sum(lengths))
        flags, serial = head[5], head[14:18]
        if flags & _BEGINS or serial not in streams:
            streams[serial] = _Stream()
        yield streams[serial].comments_in(lengths, body)
        page = head + lengths + body
        within = page.find(b"OggS", 4)  # where FFmpeg goes on if this one is damaged
        at += within if within >= 0 else len(page)
        if within < 0 and _read(file, at, 4) == b"OggS":
            continue
        damaged += 1
        if damaged > MAX_DAMAGED_PAGES:
            raise DamagedError(f"got more than nsfw_scale.tags.MAX_DAMAGED_PAGES = {MAX_DAMAGED_PAGES} damaged pages")
        at = next(_places(file, b"OggS", at), None)


class _Stream:
    """One of the streams of an Ogg: packets, which go on from page to page in pieces of 255 bytes."""

    def __init__(self) -> None:
        self._number = 0
        self._begins, self._is_header = True, False
        self._codec = b""

    def comments_in(self, lengths: bytes, body: bytes) -> int:
        """Count those of a page."""
        number = at = 0
        for length in lengths:
            if self._begins:
                self._is_header = self._is_header_that_begins(body[at : at + 8])
                self._number += 1
            if self._is_header:
                number += body.count(b"=", at, at + length)
            self._begins = length < 255
            at += length
        return number

    def _is_header_that_begins(self, beginning: bytes) -> bool:
        """Whether it may have comments, in the way in which FFmpeg tells headers from data."""
        if not self._number:
            self._codec = beginning
        first = beginning[0] if beginning else 0
        if self._codec.startswith(b"\x80"):  # Theora
            return first >= 0x80
        if self._codec.startswith(b"\x01"):  # Vorbis, and OGM
            return first % 2 == 1
        if self._codec.startswith(b"\x7fFLAC"):
            return first & 0x7F == 4
        if self._codec.startswith((b"Speex", b"CELT")):
            return self._number == 1
        return beginning.startswith((b"OpusTags", b"OVP80\x02"))


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


_BEGINS = 2
_COUNTS: dict[str, Callable[[BinaryIO], Iterator[int]]] = {"mkv": _in_elements, "ogg": _in_packets}
