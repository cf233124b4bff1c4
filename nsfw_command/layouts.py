"""How rows are laid out: a table for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nsfw_command.names import escaped
from nsfw_command.row import Row, check_row
from nsfw_command.terminal import printable


def table_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lay out a line per row: the score, or ERROR, the label and the inspection where there are some, and the file.

    Parameters
    ----------
    rows : iterable of Row

    Yields
    ------
    str

    Examples
    --------
    >>> list(table_lines([Row("a.jpg", 0.25, None), Row("b.jpg", None, "no such file")]))
    ['0.250000  a.jpg', '   ERROR  b.jpg: no such file']
    >>> list(table_lines([Row("a.gif", 0.93, None, "unsafe", 0.8, frames=24, worst_second=1.2)]))
    ['0.930000  unsafe  a.gif (24 frames, worst at 1.2 s)']
    >>> list(table_lines([Row("a.jpg", 0.98, None, inspection="inverted")]))
    ['0.980000  inverted           a.jpg']
    """
    for row in rows:
        number = "   ERROR" if row.score is None else f"{row.score:.6f}"
        label = f"  {row.label:<6}" if row.label else ""
        error = "" if row.error is None else f": {printable(row.error)}"
        inspection = f"  {printable(row.inspection):<17}" if row.inspection else ""
        yield f"{number}{label}{inspection}  {printable(row.file)}{error}{_of_frames(row)}"


def _of_frames(row: Row) -> str:
    if row.second is not None:
        return f" ({row.second:g} s)"
    return "" if row.frames is None else f" ({row.frames} frames, worst at {row.worst_second:g} s)"


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lay out an array of objects, which is closed even if the rows are cut short by an error or Ctrl-C.

    Parameters
    ----------
    rows : iterable of Row

    Yields
    ------
    str

    Raises
    ------
    BaseException
        What the rows raise, after the last line.

    Examples
    --------
    >>> list(json_lines([Row("a.jpg", 0.25, None)]))
    ['[', '  {"file": "a.jpg", "score": 0.25, "error": null}', ']']
    """
    previous, cut = "[", None
    try:
        for row in rows:
            yield previous
            previous = f"  {json_text(row)},"
    except GeneratorExit:
        raise
    except BaseException as error:
        cut = error
    yield previous.removesuffix(",")
    yield "]"
    if cut is not None:
        raise cut


def jsonl_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lay out an object per line.

    Parameters
    ----------
    rows : iterable of Row

    Yields
    ------
    str

    Examples
    --------
    >>> list(jsonl_lines([Row("a.jpg", 0.25, None, "safe", 0.8)]))
    ['{"file": "a.jpg", "score": 0.25, "error": null, "label": "safe", "threshold": 0.8}']
    """
    return map(json_text, rows)


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lay out a column for each attribute of `Row`, empty where it does not apply.

    Parameters
    ----------
    rows : iterable of Row

    Yields
    ------
    str

    Examples
    --------
    >>> header, row = csv_lines([Row("a.gif", 0.25, None, segments=((0.0, 1.5), (3.0, 4.0)))])
    >>> header
    'file,score,error,label,threshold,frames,second,worst_second,mean,share_above,segments,inspection,size,modified_ns'
    >>> row
    'a.gif,0.25,,,,,,,,,0.0-1.5 3.0-4.0,,,'
    """
    yield ",".join(Row._fields)
    yield from map(csv_text, rows)


def csv_text(row: Row) -> str:
    """Lay out a row of CSV, without its end.

    Parameters
    ----------
    row : Row

    Returns
    -------
    str
        `escaped`, so that UTF-8 can hold it.

    Examples
    --------
    >>> csv_text(Row("a,b.jpg", 0.25, None))
    '"a,b.jpg",0.25,,,,,,,,,,,,'
    """
    segments = row.segments and " ".join(f"{begin}-{end}" for begin, end in row.segments)
    text = io.StringIO()
    # It puts names in quotes that have one of these two, which readers take for the end of a row
    csv.writer(text, lineterminator="\r\n").writerow(row._replace(segments=segments))  # type: ignore[arg-type]
    return escaped(text.getvalue().removesuffix("\r\n"))


def json_text(row: Row) -> str:
    """Lay out a row as an object: file, score and error always, and what else applies.

    Parameters
    ----------
    row : Row

    Returns
    -------
    str

    Examples
    --------
    >>> json_text(Row("a.gif", 0.25, None, frames=24))
    '{"file": "a.gif", "score": 0.25, "error": null, "frames": 24}'
    """
    always = Row._fields[:3]
    values = {key: value for key, value in row._asdict().items() if key in always or value is not None}
    return json.dumps(values, allow_nan=False)


def row_of_csv(texts: list[str]) -> Row:
    """Read a row of CSV back.

    Parameters
    ----------
    texts : list of str
        As `csv.reader` gives them.

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> row_of_csv("a.gif,0.25,,,,2,,1.5,,,0.0-1.5 3.0-4.0,,,".split(",")).segments
    ((0.0, 1.5), (3.0, 4.0))
    """
    if len(texts) != len(Row._fields):
        raise ValueError(f"got {len(texts)} columns, expected {len(Row._fields)}")
    given = {name: text for name, text in zip(Row._fields, texts) if text or name == "file"}
    values: dict[str, Any] = {name: _READ.get(name, str)(text) for name, text in given.items()}
    return check_row(Row(**{"score": None, "error": None, **values}))


def _segments(text: str) -> tuple[tuple[float, float], ...]:
    pairs = (segment.split("-") for segment in text.split())
    return tuple((float(begin), float(end)) for begin, end in pairs)


_READ: dict[str, Any] = {
    **dict.fromkeys(("score", "threshold", "second", "worst_second", "mean", "share_above"), float),
    **dict.fromkeys(("frames", "size", "modified_ns"), int),
    "segments": _segments,
}


def row_of_json(text: str) -> Row:
    """Read a row of JSON back.

    Parameters
    ----------
    text : str

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> row_of_json('{"file": "a.gif", "score": 0.25, "error": null, "frames": 24}').frames
    24
    """
    try:
        values = json.loads(text)
        if isinstance(values, dict) and set(Row._fields[:3]) <= set(values) <= set(Row._fields):
            return row_of_lists(values)
    except RecursionError:  # brackets within brackets
        pass
    raise ValueError(f"got {text[:80]!r}, expected an object with the keys {', '.join(Row._fields)}")


def row_of_lists(values: Mapping[str, Any]) -> Row:
    """Make a row of its attributes, where lists stand for tuples.

    Parameters
    ----------
    values : mapping of str to object
        At least file, score and error.

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> row_of_lists({"file": "a.gif", "score": 0.75, "error": None, "segments": [[1.5, 2.0]]}).segments
    ((1.5, 2.0),)
    """
    segments = values.get("segments")
    if isinstance(segments, list):
        segments = tuple(tuple(pair) if isinstance(pair, list) else pair for pair in segments)
    return check_row(Row(**{**values, "segments": segments}))
