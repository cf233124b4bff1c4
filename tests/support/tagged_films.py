"""Films of each container with so many tags, each of another name; and a Matroska with so many chapters."""

import struct

from hostile_films import box
from made_films import film

GREYS = [40, 80, 120]


def name_of(number):
    return b"%06x" % number


def element(identifier, *contents):
    """An element of a Matroska."""
    content = b"".join(contents)
    return identifier + (len(content) | 1 << 56).to_bytes(8, "big") + content


def in_segment(*elements):
    """A Matroska that begins with these elements."""
    head, rest = film(GREYS, container="matroska").split(b"\x18\x53\x80\x67", 1)
    return head + element(b"\x18\x53\x80\x67", *elements, rest[8:])


def tags_of_matroska(count):
    tags = (element(b"\x67\xc8", element(b"\x45\xa3", name_of(number)), b"\x44\x87\x81a") for number in range(count))
    return element(b"\x12\x54\xc3\x67", element(b"\x73\x73", *tags))


def chapters_of_matroska(count):
    """Each later, and with a smaller number, than the last one."""
    chapters = (
        element(b"\xb6", b"\x73\xc4\x84", struct.pack(">I", count - number), b"\x91\x84", struct.pack(">I", number))
        for number in range(count)
    )
    return element(b"\x10\x43\xa7\x70", element(b"\x45\xb9", *chapters))


def page(flags, serial, number, packet):
    """A page of an Ogg, and more if the packet goes on."""
    pieces = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = b"OggS\0" + bytes([flags]) + struct.pack("<qII4xB", 0, serial, number, min(len(pieces), 255))
    data = head + pieces[:255] + packet[: sum(pieces[:255])]
    data = data[:22] + struct.pack("<I", checksum(data)) + data[26:]
    rest = packet[sum(pieces[:255]) :]
    return data + (page(flags | 1, serial, number, rest) if len(pieces) > 255 else b"")


def checksum(data):
    """RFC 3533, 6, field 7."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _REMAINDERS[value >> 24 ^ byte]
    return value


def _remainder(value):
    for _ in range(8):
        value = value << 1 ^ (0x104C11DB7 if value >> 31 else 0)
    return value


_REMAINDERS = [_remainder(byte << 24) for byte in range(256)]


def comments(count):
    texts = (name_of(number) + b"=a" for number in range(count))
    return (
        struct.pack("<I", 0)
        + struct.pack("<I", count)
        + b"".join(struct.pack("<I", len(text)) + text for text in texts)
    )


def ogg(count):
    """VP8, whose second packet has comments."""
    data = film(GREYS, container="ogg", codec="libvpx")
    first = data.index(b"OggS", 1)
    second = data.index(b"OggS", first + 1)
    (serial,) = struct.unpack_from("<I", data, 14)
    return data[:first] + page(0, serial, 1, b"OVP80\2 " + comments(count)) + data[second:]


def mp4(count):
    data = film(GREYS)
    names = (struct.pack(">I4s", 14, b"mdta") + name_of(number) for number in range(count))
    keys = box(b"keys", struct.pack(">II", 0, count), *names)
    value = struct.pack(">I4sII", 17, b"data", 1, 0) + b"a"
    values = box(b"ilst", *(struct.pack(">II", 8 + len(value), number + 1) + value for number in range(count)))
    handler = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    at = data.index(b"moov") - 4
    return data[:at] + box(b"moov", data[at + 8 :], box(b"meta", handler, keys, values))


def flv(count):
    data = film(GREYS, container="flv", codec="flv")
    values = b"".join(b"\0\6" + name_of(number) + b"\1\1" for number in range(count))  # all true
    script = b"\2\0\x0aonMetaData\x08" + struct.pack(">I", count) + values + b"\0\0\x09"
    tag = b"\x12" + len(script).to_bytes(3, "big") + bytes(7) + script
    return data[:13] + tag + struct.pack(">I", len(tag)) + data[13:]


def avi(count):
    data = film(GREYS, container="avi")
    names = (b"%04x" % number for number in range(count))
    titles = b"INFO" + b"".join(name[:4] + struct.pack("<I", 2) + b"a\0" for name in names)
    chunk = b"LIST" + struct.pack("<I", len(titles)) + titles
    (size,), (headers,) = struct.unpack_from("<I", data, 4), struct.unpack_from("<I", data, 16)
    behind = 20 + headers
    return data[:4] + struct.pack("<I", size + len(chunk)) + data[8:behind] + chunk + data[behind:]


def wmv(count):
    data = film(GREYS, container="asf", codec="wmv2")
    objects = b""
    for begin in range(0, count, 60_000):
        numbers = range(begin, min(begin + 60_000, count))
        entries = (
            struct.pack("<H", 14)
            + name_of(number).decode().encode("utf-16-le")
            + struct.pack("<HHHH", 0, 0, 4, 97)
            + b"\0\0"
            for number in numbers
        )
        content = struct.pack("<H", len(numbers)) + b"".join(entries)
        objects += bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850") + struct.pack("<Q", 24 + len(content)) + content
    size, number = struct.unpack_from("<QI", data, 16)
    return data[:16] + struct.pack("<QI", size + len(objects), number + 1) + data[28:30] + objects + data[30:]


#: Films of so many tags.
TAGGED = {
    "AVI": avi,
    "FLV": flv,
    "Matroska": lambda count: in_segment(tags_of_matroska(count)),
    "Matroska's chapters": lambda count: in_segment(chapters_of_matroska(count)),
    "MP4": mp4,
    "Ogg": ogg,
    "WMV": wmv,
}
