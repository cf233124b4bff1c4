"""What the headers of a JPEG 2000 promise: its tiles, their parts, and what these are cut into.

Only headers are read [1]_, as OpenJPEG reads them: a codestream elsewhere than where it looks is none.

References
----------
.. [1] ITU-T T.800 (JPEG 2000), annexes A (codestream), B (partitions of a tile) and I (boxes)
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from math import ceil
from typing import NamedTuple

#: The first markers of a codestream: SOC and SIZ.
BEGINNING = b"\xff\x4f\xff\x51"


class Grid(NamedTuple):
    """The size of a picture and of its tiles, and how many of its pixels each sample of a component stands for."""

    left: int
    top: int
    right: int
    bottom: int
    tile_left: int
    tile_top: int
    tile_width: int
    tile_height: int
    steps: tuple[tuple[int, int], ...]

    @property
    def columns(self) -> int:
        """How many tiles there are side by side."""
        return ceil((self.right - self.tile_left) / self.tile_width)

    @property
    def rows(self) -> int:
        """How many tiles there are on top of each other."""
        return ceil((self.bottom - self.tile_top) / self.tile_height)


class Style(NamedTuple):
    """How the samples of a component are coded: sizes are powers of two, given by their exponents."""

    layers: int
    block: tuple[int, int]
    precincts: tuple[tuple[int, int], ...]  # of each resolution, the lowest first


class Headers(NamedTuple):
    """What the segments of a codestream say, up to the first that is not there."""

    segments: int
    styles: tuple[Style, ...]
    styles_of_tiles: dict[int, tuple[Style, ...]]
    parts: dict[int, int]
    promised_parts: dict[int, int]


def codestream_start(data: bytes) -> int | None:
    """Find the codestream of a JPEG 2000, which may lie in a box among others.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    int or None
        Where it begins, if there is one.

    Examples
    --------
    >>> codestream_start(b"\\0\\0\\0\\x0cfree\\xff\\x4f\\xff\\x51\\0\\0\\0\\0jp2c\\xff\\x4f\\xff\\x51" + bytes(50))
    20
    """
    if data.startswith(BEGINNING):
        return 0
    at = 0
    while at + 16 <= len(data):
        size, kind, large = struct.unpack_from(">I4sQ", data, at)
        head, size = (16, large) if size == 1 else (8, size)
        if kind == b"jp2c":
            return at + head
        if size < head:
            return None
        at += size
    return None


def read_grid(data: bytes, start: int) -> Grid | None:
    """Read the size of a picture and of its tiles.

    Parameters
    ----------
    data : bytes
        The file.
    start : int
        Where its codestream begins.

    Returns
    -------
    Grid or None
        Nothing if it ends early, or makes no sense, which OpenJPEG tells.

    Examples
    --------
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     read_grid(file.read(), 0)
    """
    try:
        right, bottom, left, top, *tile, count = struct.unpack_from(">8IH", data, start + 8)
        width, height, tile_left, tile_top = tile
        steps = tuple(struct.unpack_from("xBB", data, start + 42 + 3 * number) for number in range(count))
    except struct.error:
        return None
    if data[start : start + 4] != BEGINNING or not width or not height or 0 in sum(steps, ()):
        return None
    if not tile_left <= left < right or not tile_top <= top < bottom:
        return None
    return Grid(left, top, right, bottom, tile_left, tile_top, width, height, steps)


_COD, _COC, _SOT, _SOD, _EOC = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
#: All markers that OpenJPEG knows; it looks for the next one behind any other.
_KNOWN = {*range(0xFF50, 0xFF54), *range(0xFF55, 0xFF5A), *range(0xFF5C, 0xFF62), 0xFF63, 0xFF64}
_KNOWN |= {*range(0xFF74, 0xFF79), _SOT, 0xFF91}


def read_headers(data: bytes, start: int, components: int, most: int) -> Headers:
    """Read how the components of a picture are coded, and which parts of its tiles are there.

    Parameters
    ----------
    data : bytes
        The file.
    start : int
        Where its codestream begins.
    components : int
        Of the picture.
    most : int
        After how many segments, and one more, to stop.

    Returns
    -------
    Headers

    Examples
    --------
    >>> read_headers(b"\\xff\\x4f\\xff\\x64\\0\\2\\xff\\xd9", 0, 1, 10).segments
    1
    """
    styles: tuple[Style, ...] = ()
    styles_of_tiles: dict[int, tuple[Style, ...]] = {}
    parts: Counter[int] = Counter()
    promised_parts: dict[int, int] = {}
    segments = 0
    for tile, marker, contents in islice(_segments(data, start + 2), most + 1):
        segments += 1
        if marker == _SOT and tile is not None:
            parts[tile] += 1
            promised_parts[tile] = max(contents[7], promised_parts.get(tile, 1))
        elif marker in (_COD, _COC):
            before = styles if tile is None else styles_of_tiles.get(tile, styles)
            after = _restyled(before, marker, contents, components)
            if tile is None:
                styles = after
            else:
                styles_of_tiles[tile] = after
    return Headers(segments, styles, styles_of_tiles, parts, promised_parts)


def _segments(data: bytes, at: int) -> Iterator[tuple[int | None, int, bytes]]:
    """Give the tile, if it belongs to one, the marker and the contents of each segment of the headers."""
    tile, end = None, len(data)  # of the tile part that is read
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _EOC:
            return
        if marker == _SOD and tile is not None:
            tile, at = None, end
            continue
        if marker not in _KNOWN and tile is None:
            yield None, marker, b""
            at += 2
            continue
        contents = data[at + 4 : at + 2 + max(length, 2)]
        if marker == _SOT:
            if len(contents) < 8:
                return
            tile, size = struct.unpack_from(">HI", contents)
            yield tile, marker, contents
            end = at + size if size >= 14 else len(data)  # 0: up to the end
        else:
            yield tile, marker, contents
        at += 2 + max(length, 2)


def _restyled(styles: tuple[Style, ...], marker: int, contents: bytes, components: int) -> tuple[Style, ...]:
    """The styles of all components after a segment for all of them (COD), or for one (COC)."""
    try:
        if marker == _COD:
            has_precincts, layers = struct.unpack_from(">BxH", contents)
            return components * (_style(layers, has_precincts, contents[5:]),)
        index, has_precincts = contents[:2]  # of two bytes only where there are more than Pillow reads
        new = _style(styles[index].layers, has_precincts, contents[2:])
        return (*styles[:index], new, *styles[index + 1 :])
    except (struct.error, IndexError, ValueError):
        return styles  # damaged in a way that OpenJPEG tells


def _style(layers: int, has_precincts: int, contents: bytes) -> Style:
    levels, width, height = contents[:3]
    sizes = contents[5 : 6 + levels] if has_precincts & 1 else (levels + 1) * b"\xff"
    if len(sizes) <= levels:
        raise ValueError
    return Style(layers, (width + 2, height + 2), tuple((size & 15, size >> 4) for size in sizes))


def parts_of_tiles(grid: Grid, headers: Headers) -> tuple[int, int]:
    """Count what a picture is cut into, for each of which a decoder has something to remember.

    Parameters
    ----------
    grid : Grid
    headers : Headers

    Returns
    -------
    blocks : int
        Code blocks, and the precincts of all bands.
    packets : int
        Layers of precincts.

    Examples
    --------
    >>> grid = Grid(0, 0, 128, 128, 0, 0, 128, 128, ((1, 1),))
    >>> parts_of_tiles(grid, Headers(0, (Style(5, (4, 4), ((15, 15),)),), {}, {}, {}))
    (65, 5)
    """
    columns = _spans(grid.left, grid.right, grid.tile_left, grid.tile_width, range(grid.columns))
    rows = _spans(grid.top, grid.bottom, grid.tile_top, grid.tile_height, range(grid.rows))
    counts = Counter(zip(headers.styles, grid.steps))
    in_all = [(times, _count(style, step, columns, rows)) for (style, step), times in counts.items()]
    for tile, styles in headers.styles_of_tiles.items():
        row, column = divmod(tile, grid.columns)
        if row < grid.rows:
            there = columns[column : column + 1], rows[row : row + 1]
            in_all += [(1, _count(style, step, *there)) for style, step in zip(styles, grid.steps)]
    return sum(times * blocks for times, (blocks, _) in in_all), sum(times * packets for times, (_, packets) in in_all)


Spans = Sequence[tuple[int, int]]


def _spans(first: int, end: int, origin: int, size: int, numbers: Sequence[int]) -> Spans:
    """Where each column or row of tiles begins and ends within the picture."""
    return [(max(origin + size * number, first), min(origin + size * (number + 1), end)) for number in numbers]


def _count(style: Style, step: tuple[int, int], columns: Spans, rows: Spans) -> tuple[int, int]:
    """The code blocks and precincts of a component in these columns and rows of tiles, and its packets."""
    blocks = packets = 0
    for resolution, precinct in enumerate(style.precincts):
        shift = len(style.precincts) - 1 - resolution
        bands, halved = (3, 1) if resolution else (1, 0)  # whose samples lie twice as far from each other
        block = [min(size + halved, most) for size, most in zip(style.block, precinct)]
        precincts = _cells(columns, step[0], shift, precinct[0]) * _cells(rows, step[1], shift, precinct[1])
        blocks += bands * precincts
        blocks += bands * _cells(columns, step[0], shift, block[0]) * _cells(rows, step[1], shift, block[1])
        packets += style.layers * precincts
    return blocks, packets


def _cells(spans: Spans, step: int, shift: int, exponent: int) -> int:
    """How many cells of a grid, ``2 ** exponent`` samples wide, samples in these spans lie in."""
    cells = 0
    for start, end in spans:
        first, last = (-((place // -step) >> shift) for place in (start, end))  # rounded up
        if last > first:
            cells += -(-last >> exponent) - (first >> exponent)
    return cells
