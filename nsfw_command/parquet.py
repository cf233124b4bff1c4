"""Rows in Parquet, which is written as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from nsfw_command.layouts import row_of_lists
from nsfw_command.names import escaped, unescaped
from nsfw_command.row import Row
from nsfw_model.outputs import replacing

#: Rows of a group, as many as are held in memory.
_GROUP = 8192


def check_pyarrow() -> Any:
    """Import what reads and writes Parquet.

    Returns
    -------
    module
        pyarrow.parquet

    Raises
    ------
    ImportError
        If it is missing, or does not go with what else is installed, such as NumPy 1.26 with pyarrow 26. The message
        says how to get it.

    Examples
    --------
    >>> check_pyarrow().__name__
    'pyarrow.parquet'
    """
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Parquet needs {error.name}: pip install 'open-nsfw-theano[parquet]', or give --out a .csv or .jsonl"
        ) from error
    except ImportError as error:
        raise ImportError(f"Parquet: {error}; install such a one, or give --out a .csv or .jsonl") from error
    return pyarrow.parquet


def write_parquet(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows; the file takes its place when it is whole.

    Parameters
    ----------
    path : str or Path
    rows : iterable of Row

    Raises
    ------
    ImportError
        As `check_pyarrow`.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "out.parquet")
    >>> write_parquet(path, [Row("a.gif", 0.75, None, segments=((1.5, 2.0),))])
    >>> [(row.file, row.score, row.segments) for row in read_parquet(path)]
    [('a.gif', 0.75, ((1.5, 2.0),))]
    """
    import pyarrow

    parquet, schema, rows = check_pyarrow(), _schema(), iter(rows)
    with replacing(path) as file, parquet.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _GROUP)):
            columns = {name: [_storable(row[at]) for row in group] for at, name in enumerate(Row._fields)}
            writer.write_table(pyarrow.table(columns, schema=schema))


def read_parquet(path: str | Path) -> Iterator[Row]:
    """Read rows that `write_parquet` has written.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Row

    Raises
    ------
    ImportError
        As `check_pyarrow`.
    OSError, ValueError
        If it is none of its files.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "out.parquet")
    >>> write_parquet(path, [Row("a.jpg", 0.25, None)])
    >>> [row.file for row in read_parquet(path)]
    ['a.jpg']
    """
    with check_pyarrow().ParquetFile(path) as file:
        names = file.schema_arrow.names
        if sorted(names) != sorted(Row._fields):
            raise ValueError(f"got the columns {', '.join(names):.200}, expected {', '.join(Row._fields)}")
        for batch in file.iter_batches(_GROUP):
            for values in batch.to_pylist():
                texts = {name: unescaped(value) for name, value in values.items() if isinstance(value, str)}
                yield row_of_lists({**values, **texts})


def _schema() -> Any:
    import pyarrow as pa

    types = {
        **dict.fromkeys(("file", "error", "label", "inspection"), pa.string()),
        **dict.fromkeys(("frames", "size", "modified_ns"), pa.int64()),
        "segments": pa.list_(pa.list_(pa.float64())),
    }
    return pa.schema([(name, types.get(name, pa.float64())) for name in Row._fields])


def _storable(value: Any) -> Any:
    """Texts as UTF-8 can hold them: names of files may be anything."""
    return escaped(value) if isinstance(value, str) else value
