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


def tiff(entries, body):
    """A little-endian TIFF of entries, each a tag, a type and numbers, whose `body` begins at byte 8."""
    data, directory = b"II*\0" + bytes(4) + body, struct.pack("<H", len(entries))
    for tag, kind, numbers in entries:
        values = struct.pack(f"<{len(numbers)}{_LAYOUTS[kind]}", *numbers)
        place = values.ljust(4, b"\0") if len(values) <= 4 else struct.pack("<I", len(data))
        data += values if len(values) > 4 else b""
        directory += struct.pack("<HHI", tag, kind, len(numbers)) + place
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory + bytes(4)


_LAYOUTS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}  # of TIFF's types


def grey_tiff(size, compression, strips, rows, body, *more):
    """A little-endian TIFF of greys; strips are (offset, size), and rows those of each, or a whole entry."""
    offsets, sizes = zip(*strips)
    entries = [(256, 4, [size[0]]), (257, 4, [size[1]]), (258, 3, [8]), (259, 3, [compression]), (262, 3, [1])]
    entries += [(273, 4, offsets), (277, 3, [1]), rows if isinstance(rows, tuple) else (278, 4, [rows]), *more]
    return tiff([*entries, (279, 4, sizes)], body)


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
