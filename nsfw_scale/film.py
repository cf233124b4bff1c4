"""The pictures of a film, read by PyAV (FFmpeg): one every so many seconds, and cheap ones of long films.

Decoding a film of 1080p takes about a tenth of the time that it lasts, so of long films only **key frames** are
decoded, which need no others. Encoders place one wherever a scene begins, and every few seconds besides:

- A film that says that it lasts at most `WHOLE_SECONDS` is decoded as a whole: at 0, `every`, 2 * `every` and so on the
  frame is taken that is shown first from then on. So is any film if `every` is less than a second.
- Of a longer one the first key frame is taken of each `every` seconds that have one. Where the next key frame is more
  than `KEY_FRAME_SECONDS` away, all between is decoded as in a short film.

Each frame comes once, with its own time since the first, so films of a variable rate are no special case, and a length
that is not true only chooses between these two. Like a picture's, a film's orientation is not applied.

A film cannot make FFmpeg read anything but itself: the container's format is known by its first bytes, none is guessed,
playlists are none of them, and nothing else is opened.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from PIL import Image

from nsfw_model.integrity import DamagedError, check_before_decoding, check_png_rows
from nsfw_model.picture import File, NotAPictureError, PictureError, check_pixels, opened_file, picture_name
from nsfw_model.signatures import BEGINNING, FileKind, kind_of
from nsfw_scale.container import check_length
from nsfw_scale.tags import check_tags

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: FFmpeg's names of the containers that are opened, by the nouns of `nsfw_model.signatures`.
CONTAINERS = {
    "avi": "avi",
    "flv": "flv",
    "mkv": "matroska",
    "mp4": "mov",
    "mpeg": "mpeg",
    "mpv": "mpegvideo",
    "ogg": "ogg",
    "ts": "mpegts",
    "wmv": "asf",
}
#: FFmpeg's names of the codecs that are decoded: those of films that people have, and not all that it ever knew.
CODECS = frozenset(
    "av1 cinepak dnxhd dvvideo ffv1 flv1 h263 h264 hevc mjpeg mpeg1video mpeg2video mpeg4 msmpeg4v1 msmpeg4v2 "
    "msmpeg4v3 png prores qtrle rawvideo svq1 svq3 theora vc1 vp3 vp6 vp6a vp6f vp8 vp9 wmv1 wmv2 wmv3".split()
)
#: Names under which FFmpeg has decoders of these codecs, besides.
_DECODERS = CODECS | {"flv", "libdav1d", "msmpeg4"}
#: Pixels of a film's frame, of which a codec may keep sixteen: the most that level 6.2 of H.264 and HEVC allows.
MAX_FILM_PIXELS = 35_651_584
#: Threads that decode a film, each of which may keep a frame.
MAX_FILM_THREADS = 4
#: Seconds of a film that is decoded as a whole.
WHOLE_SECONDS = 60.0
#: Seconds between key frames of which nothing is decoded: the 250 frames that x264 leaves between them last 10.4.
KEY_FRAME_SECONDS = 12.0
#: Seconds that a film lasts, frames that are given of it, and its packets.
MAX_SECONDS, MAX_FILM_FRAMES, MAX_PACKETS = 86_400.0, 1 << 17, 1 << 24
#: Seconds by which its times go back, from one frame to the next.
MAX_BACK = 1.0
#: Seconds of the processor to open a film and to take it apart, and those that each packet may take besides.
MAX_DEMUX_SECONDS, SECONDS_OF_A_PACKET = 3.0, 0.001
#: Streams of a film: pictures, sounds, subtitles.
MAX_STREAMS = 64
#: Bytes of a film that wait until it is known whether they are decoded.
MAX_WAITING_BYTES = 1 << 27
#: Seconds that times may be off.
_ROUNDING = 1e-6


def is_film(img: File) -> bool:
    """Say whether a file is a film.

    Parameters
    ----------
    img : str, Path, bytes or binary file
        One that cannot seek is no film.

    Returns
    -------
    bool
        Whether it begins like one; a sound may begin so too.

    Raises
    ------
    PictureError, OSError
        As `nsfw_model.picture.opened_file`.

    Examples
    --------
    >>> is_film("img/coffee.jpg"), is_film(b"\\0\\0\\0 ftypisom")
    (False, True)
    """
    kind = _kind(img)
    return kind is not None and kind.role == "film"


def _kind(img: File) -> FileKind | None:
    if hasattr(img, "read") and not hasattr(img, "seek"):
        return None
    with opened_file(img) as file:
        beginning = file.read(BEGINNING)
    return kind_of(beginning) if isinstance(beginning, bytes) else None


def read_film(img: File, every: float = 1.0) -> Iterator[tuple[float, Image.Image]]:
    """Read a film's pictures, lazily and in order.

    Parameters
    ----------
    img : str, Path, bytes or binary file
        A film that `is_film` recognises. It is never in memory as a whole.
    every : float
        Seconds from one picture to the next.

    Yields
    ------
    seconds : float
        Since the first frame.
    picture : PIL.Image.Image
        The frame at full size, of mode RGB.

    Raises
    ------
    NotAPictureError
        If there is nothing in it but sound, or PyAV is missing.
    PictureError
        If it is damaged, which names the second; if it has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``, or breaks
        another limit of this module.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> list(read_film(b"\\0\\0\\0 ftypisom"))
    Traceback (most recent call last):
    nsfw_model.integrity.DamagedError: truncated: got 12 bytes, expected 32
    """
    name, kind = picture_name(img), _kind(img)
    if kind is None or kind.noun not in CONTAINERS:
        raise NotAPictureError(f"{name}: not a film", kind.noun if kind else "unknown")
    try:
        import av
    except ImportError as error:
        raise NotAPictureError(
            f"{name}: {kind.name}, which PyAV reads: pip install 'open-nsfw-theano[video]'", kind.noun
        ) from error
    reader: _Film | None = None
    with opened_file(img) as file:
        check_length(file, kind.noun)
        check_tags(file, kind.noun)
        watched = _Watched(file)
        try:
            # FFmpeg decodes a little of each stream before it tells what streams there are
            options = {"codec_whitelist": ",".join(sorted(_DECODERS)), "max_pixels": str(_max_pixels())}
            if kind.noun == "mp4":
                options["ignore_chapters"] = "1"  # each has two bytes in a file, and takes 340
            with watched.taken_apart():
                opened = av.open(watched, "r", CONTAINERS[kind.noun], options, io_open=_refuse_to_open)
            with opened as container:
                reader = _Film(container, watched, name, every)
                yield from reader.moments()
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            watched.check()
            what = "is damaged"
            if reader and not reader.has_size:
                what += f", or has more than {_max_pixels()} pixels,"
            where = f" at {reader.seconds:.1f} s" if reader else ""
            raise DamagedError(f"{kind.name} that {what}{where}: {error.strerror}") from error


def _refuse_to_open(url: str, *arguments: Any) -> NoReturn:
    raise PermissionError(f"got a film that refers to another file, {url!r}, expected none")


class _Watched:
    """A film's file, and for how long FFmpeg computes to take it apart: it compares each tag with all others."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._seconds, self._began, self._steps = 0.0, 0.0, 0

    @contextlib.contextmanager
    def taken_apart(self) -> Iterator[None]:
        """Watch a step: to open it, or to make a packet."""
        self._began, self._steps = time.thread_time(), self._steps + 1
        try:
            yield
        finally:
            self._seconds, self._began = self._seconds_so_far(), 0.0
        self.check()

    def check(self) -> None:
        """Check that it has not ended only because it took too long."""
        if self._is_late():
            raise DamagedError(
                f"took {self._seconds:.1f} s of the processor to be taken apart into {self._steps - 1} packets, "
                f"more than nsfw_scale.film.MAX_DEMUX_SECONDS = {MAX_DEMUX_SECONDS:g} and a little for each"
            )

    def read(self, size: int) -> bytes:
        return b"" if self._is_late() else self._file.read(size)  # FFmpeg makes an end of what has one

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _is_late(self) -> bool:
        return self._seconds_so_far() > MAX_DEMUX_SECONDS + SECONDS_OF_A_PACKET * self._steps

    def _seconds_so_far(self) -> float:
        return self._seconds + (time.thread_time() - self._began if self._began else 0.0)


class _Film:
    """A film that is being read."""

    def __init__(self, container: InputContainer, file: _Watched, name: str, every: float):
        self._container, self._file, self._name, self._every = container, file, name, max(every, _ROUNDING)
        self._stream = _stream_of_pictures(container, name)
        self._decoder: CodecContext = self._stream.codec_context
        self._first: int | None = None
        #: Where it is, for messages.
        self.seconds = 0.0

    @property
    def has_size(self) -> bool:
        """Whether FFmpeg knows one that it takes."""
        return bool(self._stream.codec_context.width)

    def moments(self) -> Iterator[tuple[float, Image.Image]]:
        """The times and pictures that are wanted."""
        wanted = given = 0
        for frame in self._frames():
            self.seconds = seconds = self._time_of(frame)
            if seconds < wanted * self._every - _ROUNDING:
                continue
            if frame.is_corrupt:
                raise DamagedError(f"at {seconds:.1f} s: the film is damaged")
            wanted = math.floor((seconds + _ROUNDING) / self._every) + 1
            given += 1
            if given > MAX_FILM_FRAMES:
                raise DamagedError(f"got more than nsfw_scale.film.MAX_FILM_FRAMES = {MAX_FILM_FRAMES} frames")
            yield seconds, _picture(frame, self._name)
        if not given:
            raise DamagedError("truncated: got no frame")

    def _time_of(self, frame: VideoFrame) -> float:
        pts = frame.dts if frame.pts is None else frame.pts
        if pts is None or not self._stream.time_base:
            raise DamagedError(f"at {self.seconds:.1f} s: got a frame without a time")
        self._first = pts if self._first is None else self._first
        seconds = float((pts - self._first) * self._stream.time_base)
        if seconds < self.seconds - MAX_BACK:
            raise DamagedError(f"at {self.seconds:.1f} s: its times go back, to {seconds:.1f} s")
        if seconds > MAX_SECONDS:
            raise DamagedError(f"got a frame at {seconds:.1f} s, more than nsfw_scale.film.MAX_SECONDS = {MAX_SECONDS}")
        return max(seconds, 0.0)

    def _frames(self) -> Iterator[VideoFrame]:
        packets = self._packets()
        if self._every < 1 or self._lasts_at_most(WHOLE_SECONDS):
            yield from self._decoded(packets)
            return
        for run in _runs(packets, self._every):
            yield from self._decoded(run)

    def _lasts_at_most(self, seconds: float) -> bool:
        """Whether it says so: a hint."""
        length = self._container.duration
        return length is not None and 0 < length <= seconds * 1e6

    def _packets(self) -> Iterator[Packet]:
        """The packets from the first key frame on."""
        begun = False
        packets = iter(self._container.demux(self._stream))
        for number in count():
            with self._file.taken_apart():
                packet = next(packets, None)
            if packet is None:
                return
            if number >= MAX_PACKETS:
                raise DamagedError(f"got more than nsfw_scale.film.MAX_PACKETS = {MAX_PACKETS} packets")
            if packet.is_corrupt:
                raise DamagedError(f"at {self.seconds:.1f} s: truncated, or damaged")
            begun = begun or packet.is_keyframe
            if begun and packet.size:
                yield packet

    def _decoded(self, packets: Iterable[Packet]) -> Iterator[VideoFrame]:
        """All frames of packets of which the first is a key frame."""
        for packet in packets:
            self._check(packet)
            yield from self._decoder.decode(packet)  # type: ignore[attr-defined]
        yield from self._decoder.decode(None)  # type: ignore[attr-defined]
        self._decoder.flush_buffers()

    def _check(self, packet: Packet) -> None:
        check = _PACKET_CHECKS.get(self._decoder.codec.canonical_name)
        try:
            if check:
                check(self._decoder, bytes(packet))
        except DamagedError as error:
            raise DamagedError(f"at {self.seconds:.1f} s: {error}") from error


def _stream_of_pictures(container: InputContainer, name: str) -> VideoStream:
    """The stream of pictures that a player would show, of a size and codec that are decoded."""
    import av

    if len(container.streams) > MAX_STREAMS:
        raise DamagedError(
            f"got {len(container.streams)} streams, more than nsfw_scale.film.MAX_STREAMS = {MAX_STREAMS}"
        )
    films = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not container.streams:
        raise DamagedError("truncated: got neither pictures nor sound")
    if not films:
        raise NotAPictureError(f"{name}: has no pictures, only sound", "sound")
    stream = films[0]
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    if codec not in CODECS:
        raise PictureError(f"{name}: a film whose codec is {codec}, expected one of {', '.join(sorted(CODECS))}")
    if stream.codec_context.width:  # or a frame says it
        _check_size(stream.codec_context.width, stream.codec_context.height, name)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(os.cpu_count() or 1, MAX_FILM_THREADS)
    # Or what is damaged would be guessed
    stream.codec_context.options = {
        "err_detect": "crccheck+bitstream+buffer+explode",
        "max_pixels": str(_max_pixels()),
    }
    return stream


def _check_hevc(decoder: CodecContext, data: bytes) -> None:
    """Check that a packet has all its units: FFmpeg decodes one that ends early to grey.

    Each has its length in front of it, if the container has a header of ISO/IEC 14496-15, 8.3.3.1.
    """
    header = decoder.extradata or b""
    if len(header) < 23 or header[0] != 1:
        return
    width, at = (header[21] & 3) + 1, 0
    while at + width <= len(data):
        at += width + int.from_bytes(data[at : at + width], "big")
        if at > len(data):
            raise DamagedError(f"got a frame of {len(data)} bytes, expected {at} at least")


def _check_jpeg(decoder: CodecContext, data: bytes) -> None:
    """Check that a picture has all its scans."""
    check_before_decoding(data)


def _check_png(decoder: CodecContext, data: bytes) -> None:
    """Check that a picture has its palette, and all its rows."""
    check_before_decoding(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") and len(data) >= 29:  # with its header
        width, height = struct.unpack_from(">II", data, 16)
        if width * height <= _max_pixels():  # or FFmpeg refuses it
            check_png_rows(data)


#: What FFmpeg does not look for, by the codecs' names.
_PACKET_CHECKS: dict[str, Callable[[CodecContext, bytes], None]] = {
    "hevc": _check_hevc,
    "mjpeg": _check_jpeg,
    "png": _check_png,
}


def _max_pixels() -> int:
    return min(MAX_FILM_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_FILM_PIXELS)


def _check_size(width: int, height: int, name: str) -> None:
    check_pixels(width, height, name)
    if width * height > MAX_FILM_PIXELS:
        raise PictureError(
            f"{name}: {width}x{height} is {width * height} pixels, "
            f"more than nsfw_scale.film.MAX_FILM_PIXELS = {MAX_FILM_PIXELS}"
        )


def _picture(frame: VideoFrame, name: str) -> Image.Image:
    _check_size(frame.width, frame.height, name)
    return Image.fromarray(frame.to_ndarray(format="rgb24"))  # to_image() takes five times as long


def _runs(packets: Iterable[Packet], every: float) -> Iterator[Iterable[Packet]]:
    """Choose what is decoded of a long film: key frames by themselves, or all from one to the next.

    Each run has to be taken as a whole before the next one.
    """
    rest = iter(packets)
    packet = next(rest, None)
    first, wanted = (_seconds(packet) if packet else 0.0), 0.0

    def until_key() -> Iterator[Packet]:
        nonlocal packet
        while packet is not None and not packet.is_keyframe:
            yield packet
            packet = next(rest, None)

    while packet is not None:
        begin, waiting, size = _seconds(packet), [packet], packet.size
        if begin - first >= wanted - _ROUNDING:
            yield [packet]
            wanted = every * (math.floor((begin - first + _ROUNDING) / every) + 1)
        packet = next(rest, None)
        for later in until_key():
            if _seconds(later) - begin > KEY_FRAME_SECONDS or size > MAX_WAITING_BYTES:
                yield chain(waiting, until_key())
                break
            waiting.append(later)
            size += later.size


def _seconds(packet: Packet) -> float:
    time = packet.dts if packet.pts is None else packet.pts
    return float((time or 0) * packet.time_base)
