"""The formats of files of rows: they can be appended to, and read back as far as they are whole."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from nsfw_command.layouts import csv_text, json_text, row_of_csv, row_of_json
from nsfw_command.names import unescaped
from nsfw_command.row import Row

#: The longest text in CSV that is read, such as of a film's segments; Python's own limit is 131,072.
_LONGEST = 1 << 30


class RowFormat(ABC):
    """How rows are written to a file and read back.

    Attributes
    ----------
    header : bytes
        What the file begins with.
    """

    header = b""

    @abstractmethod
    def encode(self, row: Row) -> bytes:
        """Write a row.

        Parameters
        ----------
        row : Row

        Returns
        -------
        bytes
            With its end.
        """

    @abstractmethod
    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[Row, int]]:
        """Read the rows of a file that are whole.

        Parameters
        ----------
        lines : iterable of bytes
            Those behind the header, with their ends.

        Yields
        ------
        row : Row
        length : int
            Its bytes.

        Raises
        ------
        ValueError
            If one is whole and no row.
        """


class CsvFormat(RowFormat):
    """CSV with a header, as RFC 4180 has it; names that are not UTF-8 have backslash escapes.

    Examples
    --------
    >>> format = CsvFormat()
    >>> line = format.encode(Row("a.jpg", 0.25, None))
    >>> line
    b'a.jpg,0.25,,,,,,,,,,,,\\r\\n'
    >>> [(row.file, length) for row, length in format.read([line, b"b.jpg,0.2"])]
    [('a.jpg', 24)]
    """

    header = ",".join(Row._fields).encode() + b"\r\n"

    def encode(self, row: Row) -> bytes:
        """Write a row, see `RowFormat`."""
        return f"{csv_text(row)}\r\n".encode()

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[Row, int]]:
        """Read whole rows, see `RowFormat`."""
        lines, taken = iter(lines), list[bytes]()

        def texts() -> Iterator[str]:
            for line in lines:
                taken.append(line)
                yield unescaped(line.decode("utf-8", "surrogateescape"))

        csv.field_size_limit(_LONGEST)
        reader = csv.reader(texts(), strict=True)
        while True:
            try:
                columns = next(reader, None)
            except csv.Error as error:
                if next(lines, None) is None:  # it ends within quotes
                    return
                raise ValueError(str(error)) from error
            if columns is None or not taken[-1].endswith(b"\r\n"):
                return
            yield row_of_csv(columns), sum(map(len, taken))
            taken.clear()


class JsonlFormat(RowFormat):
    """An object per line.

    Examples
    --------
    >>> format = JsonlFormat()
    >>> line = format.encode(Row("a.jpg", 0.25, None))
    >>> line
    b'{"file": "a.jpg", "score": 0.25, "error": null}\\n'
    >>> [(row.file, length) for row, length in format.read([line, b'{"file": "b.'])]
    [('a.jpg', 48)]
    """

    def encode(self, row: Row) -> bytes:
        """Write a row, see `RowFormat`."""
        return f"{json_text(row)}\n".encode()

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[Row, int]]:
        """Read whole rows, see `RowFormat`."""
        for line in lines:
            if not line.endswith(b"\n"):
                return
            yield row_of_json(line.decode()), len(line)


def read_blocks(format: RowFormat, file: BinaryIO) -> Iterator[tuple[list[Row], int, int]]:
    """Read the rows of each picture, from a file that may end anywhere.

    Parameters
    ----------
    format : RowFormat
    file : binary file
        Behind its header.

    Yields
    ------
    rows : list of Row
        One, or one for each frame.
    start, end : int
        Where they are in the file.

    Raises
    ------
    ValueError
        If what is there are no rows.

    Examples
    --------
    >>> import io
    >>> frames = [Row("a.gif", 0.5, None, frames=2, second=second) for second in (0.0, 0.1)]
    >>> whole = b"".join(map(JsonlFormat().encode, frames))
    >>> [(len(rows), start) for rows, start, _ in read_blocks(JsonlFormat(), io.BytesIO(whole * 2))]
    [(2, 0), (2, 150)]
    >>> list(read_blocks(JsonlFormat(), io.BytesIO(whole[:-1])))
    []
    """
    end = start = file.tell()
    rows: list[Row] = []
    for row, length in format.read(file):
        if rows and rows[0].file != row.file:  # its last frames were lost
            rows, start = [], end
        rows.append(row)
        end += length
        if row.second is None or len(rows) == row.frames:
            yield rows, start, end
            rows, start = [], end
