"""Pictures that viewers show otherwise than their pixels are stored, each made of the same 64x64 pixels."""

import io
import struct
import zlib

import numpy as np
from made_pictures import chunk
from PIL import Image, ImageCms

SIDE = 64
P3, PHOTOSHOP_WIDE = (12, 13), (31270, 32900, 73500, 26500, 11500, 82600, 15700, 1800)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels():
    ramp = np.arange(SIDE, dtype=np.uint8) * 4
    return Image.fromarray(
        np.dstack([np.tile(ramp, (SIDE, 1)), np.tile(ramp[:, None], SIDE), np.full((SIDE, SIDE), 99)]).astype(np.uint8)
    )


def saved(form, picture=None, **options):
    file = io.BytesIO()
    (picture or pixels()).save(file, form, **options)
    return file.getvalue()


def png_with(*chunks, late=(), picture=None, **options):
    data = saved("PNG", picture, **options)
    return data[:33] + b"".join(chunks) + data[33:-12] + b"".join(late) + data[-12:]


def gamma(exponent):
    return chunk(b"gAMA", struct.pack(">I", round(100000 / exponent)))


def chromaticities(*numbers):
    return chunk(b"cHRM", struct.pack(">8I", *numbers))


def code_points(primaries, transfer, matrix=0, full=1):
    return chunk(b"cICP", bytes([primaries, transfer, matrix, full]))


def avif(primaries, transfer):
    data = bytearray(saved("AVIF", quality=95))
    struct.pack_into(">HH", data, data.index(b"nclx") + 4, primaries, transfer)
    return bytes(data)


def bmp_with(profile):
    """A BMP of the fifth version, its profile behind the pixels."""
    rows = np.asarray(pixels())[::-1, :, ::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(16) + b"DEBM" + bytes(48)
    header += struct.pack("<4I", 4, 124 + len(rows), len(profile), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(rows) + len(profile), 0, 0, 138) + header + rows + profile


def exif(orientation, kind=3):
    """EXIF of an orientation, as a SHORT, or a LONG (4)."""
    value = struct.pack(">HH" if kind == 3 else ">I", *((orientation, 0) if kind == 3 else (orientation,)))
    return b"MM\0*" + struct.pack(">IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)


def xmp(orientation):
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF>'
        b"</x:xmpmeta>" % orientation
    )


def profile(space, tags, connection=b"XYZ "):
    """An ICC profile."""
    text = b"text" + bytes(4) + b"x\0"
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78), b"cprt": text, **tags}
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4x4s4s4s4s12x4s28x", start + len(body), b"\2\x40\0\0", b"mntr", space, connection, b"acsp")
    return (header + white).ljust(128, b"\0") + table + body


def grey_profile(exponent, connection=b"XYZ "):
    curve = b"curv" + bytes(4) + struct.pack(">IH2x", 1, round(exponent * 256))
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    return profile(b"GRAY", {b"wtpt": white, b"kTRC": curve}, connection)


def swapped():
    """SRGB with red and green exchanged: nobody can overlook it."""
    return SRGB.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


def cmyk_profile():
    inks = [[(node >> bit) & 1 for bit in (3, 2, 1, 0)] for node in range(16)]
    lab = b"".join(bytes([round(255 * (1 - k) * (1 - (c + m + y) / 3)), 128, 200]) for c, m, y, k in inks)
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + bytes(range(256)) * 4 + lab + bytes(range(256)) * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ")


def keyed_png(depth, colours, key):
    """A PNG of grey (1) or RGB (3), whose left half is of the transparent colour `key`, and the rest nearly so."""
    values = np.empty((SIDE, SIDE, colours), int)
    values[:] = key
    values[:, SIDE // 2 :, -1] ^= 1
    if depth < 8:
        per_byte = 8 // depth
        shifts = 8 - depth * (1 + np.arange(per_byte))
        rows = (values.reshape(SIDE, -1, per_byte) << shifts).sum(axis=2).astype(np.uint8)
    else:
        rows = values.astype(">u2" if depth == 16 else np.uint8)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, 0 if colours == 1 else 2, 0, 0, 0)
    transparent = struct.pack(f">{colours}H", *np.broadcast_to(key, colours))
    parts = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, contents) for name, contents in parts)
