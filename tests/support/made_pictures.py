"""Pictures' files that are made byte by byte, or encoded by Pillow."""

import io
import struct
import zlib


def encoded(picture, format, **options):
    """A picture's file, as Pillow writes it."""
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def chunk(name, contents):
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(contents)) + name + contents + struct.pack(">I", zlib.crc32(name + contents))


def png(rows, width, height, interlaced=0, cut=None):
    """A PNG whose header promises `width` times `height` pixels, of the given bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)[:cut]),
            chunk(b"IEND", b""),
        ]
    )


def with_chunks(data, name, *chunks):
    """The same PNG with other chunks, or none, in the place of its first of that name."""
    at = data.index(name) - 4
    (length,) = struct.unpack_from(">I", data, at)
    return data[:at] + b"".join(chunks) + data[at + 12 + length :]


def bmp(codes, size=(64, 64), compression=1, bits=8):
    """A BMP with run-length codes and all greys."""
    palette = b"".join(bytes([value, value, value, 0]) for value in range(2**bits))
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, compression, len(codes), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(codes), 0, 0, start) + header + palette + codes


def tiff_entries(data):
    """Where each entry of a little-endian TIFF's directory lies, by its tag."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    return {struct.unpack_from("<H", data, place)[0]: place for place in range(at + 2, at + 2 + 12 * count, 12)}


def with_strip(data, strip):
    """The same little-endian TIFF of one strip with another one."""
    changed, places = bytearray(data + strip), tiff_entries(data)
    struct.pack_into("<HII", changed, places[273] + 2, 4, 1, len(data))
    struct.pack_into("<HII", changed, places[279] + 2, 4, 1, len(strip))
    return bytes(changed)


def icon(*pictures, size=0):
    """An ICO of pictures in their order, each given as its bytes; of 256x256 pixels unless another `size` is given."""
    directory, at = struct.pack("<HHH", 0, 1, len(pictures)), 6 + 16 * len(pictures)
    for inside in pictures:
        directory += struct.pack("<BBBBHHII", size, size, 0, 0, 1, 32, len(inside), at)
        at += len(inside)
    return directory + b"".join(pictures)
