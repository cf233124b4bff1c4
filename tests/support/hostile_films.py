"""MP4s of a few kilobytes that promise millions of samples; and whole ones that look a little like them."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
from made_films import film

GREYS = [5 * number for number in range(30)]
MANY = 50_000_000
_PARENTS = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf"}


def box(kind, *contents):
    """A box of an MP4."""
    return struct.pack(">I4s", 8 + sum(map(len, contents)), kind) + b"".join(contents)


def table(kind, *numbers, version=0):
    """A box that has a version and numbers of 32 bits."""
    return box(kind, struct.pack(f">B3x{len(numbers)}I", version, *numbers))


def replaced(data, kind, new):
    """An MP4 with another box in the place of the first of a kind."""
    if data[4:8] == kind:
        (size,) = struct.unpack_from(">I", data)
        return new + data[size:]
    (size,) = struct.unpack_from(">I", data)
    first, rest = data[:size], data[size:]
    if kind not in first or data[4:8] not in _PARENTS:
        return first + replaced(rest, kind, new)
    return box(data[4:8], replaced(first[8:], kind, new)) + rest


def of_one_size(count, size=1):
    """A film of so many samples of one size, whose bytes are there."""
    data = replaced(film(GREYS), b"stsz", table(b"stsz", size, count))
    data = replaced(data, b"stts", table(b"stts", 1, count, 1))
    data = replaced(data, b"stsc", table(b"stsc", 1, 1, count, 1))
    return data + box(b"free", bytes(count * size))


def of_sound(*runs, chunks):
    """A film that says of its pictures that they are sound, in chunks of so many samples."""
    data = film(GREYS).replace(b"vide", b"soun", 1)
    data = replaced(data, b"stts", table(b"stts", 1, 1, 1))
    data = replaced(data, b"stsz", table(b"stsz", 1, 1))
    data = replaced(data, b"stsc", table(b"stsc", len(runs), *[number for run in runs for number in run]))
    return replaced(data, b"stco", table(b"stco", chunks, *[40] * chunks))


def in_fragments(count=None):
    """A film in pieces, of which the first promises so many samples."""
    data = film(GREYS, movflags="frag_keyframe+empty_moov+default_base_moof")
    return data if count is None else replaced(data, b"trun", table(b"trun", count))


def with_edits(count, data=None):
    """A film that is to be shown so many times."""
    return replaced(data or film(GREYS), b"elst", table(b"elst", count, *[2**31 - 1, 0, 1 << 16] * count))


def with_uncompressed_sound():
    """A second of pictures, and of sound each number of which is a sample."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as output:
        pictures, sound = output.add_stream("mpeg4", rate=10), output.add_stream("pcm_s16le", rate=48000, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(pictures.encode(frame))
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
            heard.rate, heard.pts = 48000, 4800 * number
            output.mux(sound.encode(heard))
        output.mux([*pictures.encode(None), *sound.encode(None)])
    return buffer.getvalue()


def with_chapters(count):
    """A film whose sound has become the names of so many chapters, each of two bytes."""
    data = with_uncompressed_sound()
    at = data.index(b"moov") - 4
    header, pictures, sound = data[at + 8 :].split(b"trak")
    names = box(b"trak", sound.replace(b"soun", b"text", 1))
    for kind, numbers in (
        (b"stsz", (2, count)),
        (b"stts", (1, count, 2)),
        (b"stsc", (1, 1, count, 1)),
        (b"stco", (1, len(data))),
    ):
        names = replaced(names, kind, table(kind, *numbers))
    refers = box(b"tref", box(b"chap", struct.pack(">I", 2)))
    moov = box(b"moov", header[:-4], box(b"trak", pictures[:-4], refers), names)  # without sizes of what follows
    return data[:at] + moov + box(b"free", bytes(2 * count + 4096))


def after_type(*boxes):
    """A film with boxes between its type and the rest, where items of a still picture would be."""
    data = film(GREYS)
    (size,) = struct.unpack_from(">I", data)
    return data[:size] + box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"pict", bytes(13)), *boxes) + data[size:]


#: Each with what has to be said of it.
HOSTILE = {
    "samples of 242 bytes": (
        lambda: replaced(film(GREYS), b"stsz", table(b"stsz", 242, MANY)),
        f"truncated: got [0-9]+ bytes, expected {242 * MANY}",
    ),
    "samples whose sizes are missing": (
        lambda: replaced(film(GREYS), b"stsz", table(b"stsz", 0, MANY)),
        f"truncated: got [0-9]+ bytes, expected {4 * MANY}",
    ),
    "a fragment of samples without sizes": (
        lambda: in_fragments(MANY),
        f"truncated: got [0-9]+ bytes, expected {MANY}",
    ),
    "compact sizes of samples": (
        lambda: replaced(film(GREYS), b"stsz", table(b"stz2", 4, MANY)),
        f"truncated: got [0-9]+ bytes, expected {MANY // 2}",
    ),
    "samples of a byte": (lambda: of_one_size((1 << 25) + 1), "got 33554433 samples, .* expected at most 33554432"),
    "thousands of edits": (lambda: with_edits(20_000), "got 600000 samples, with those of each edit"),
    "edits times samples": (
        lambda: with_edits(2000, of_one_size(10_000)),
        "got 20000000 samples, .* expected at most 65536",
    ),
    "more edits than are counted": (
        lambda: replaced(of_one_size(10_000), b"elst", table(b"elst", 1, *[2**31 - 1, 0, 1 << 16] * 2000)),
        "got 20000000 samples, .* expected at most 65536",
    ),
    "chunks of sound": (
        lambda: of_sound((1, 2**31 - 1024, 1), chunks=40),
        "got 536870[0-9]{3} samples, .* expected at most 65536",
    ),
    "fragments of many tracks": (
        lambda: film(GREYS) + box(b"moov", box(b"trak") * 50) + box(b"moof") * 20_000,
        "got 1020030 samples, with those of each edit and fragment",
    ),
    "encryption of samples": (
        lambda: replaced(film(GREYS), b"stss", box(b"schm", bytes(4), b"cenc", bytes(4)) + table(b"senc", MANY)),
        f"truncated: got [0-9]+ bytes, expected {MANY}",
    ),
    "composition times": (
        lambda: replaced(film(GREYS), b"stss", table(b"ctts", 1, MANY, 0)),
        f"truncated: got [0-9]+ bytes, expected {MANY}",
    ),
    "items of a still picture": (
        lambda: after_type(table(b"iinf", MANY, version=1)),
        f"truncated: got [0-9]+ bytes, expected {MANY}",
    ),
    "places of items": (
        lambda: after_type(box(b"iloc", b"\2\0\0\0\x44\x40", struct.pack(">I", MANY))),
        f"truncated: got [0-9]+ bytes, expected {MANY}",
    ),
    "groups of samples": (
        lambda: replaced(
            film(GREYS), b"stss", box(b"sgpd", b"\1\0\0\0sync", struct.pack(">2I", 1, MANY)) + table(b"stss", 1, 1)
        ),
        f"truncated: got [0-9]+ bytes, expected {MANY}",
    ),
    "a compressed table": (
        lambda: replaced(film(GREYS), b"moov", box(b"moov", box(b"cmov", bytes(8)))),
        r"got a compressed header \(cmov\), which is not read",
    ),
}
