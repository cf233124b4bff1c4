"""The file of ``--out``: rows are kept from the moment that they are made, and a run goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from nsfw_command.formats import CsvFormat, JsonlFormat, RowFormat, read_blocks
from nsfw_command.found import Found
from nsfw_command.parquet import check_pyarrow, read_parquet, write_parquet
from nsfw_command.row import Row, check_attribute, labelled
from nsfw_model.outputs import OutputError, replacing
from open_nsfw import __version__
from theano_compat.damage import sync

#: Seconds after which what was written is brought to the disk, for power cuts; a killed process loses nothing anyway.
SYNCHRONISED_EVERY = 5.0
#: How the file beside the rows ends, which says how they were made and which files were no pictures.
RUN = ".run"
#: Extensions of files of rows. Parquet is written when all rows are there; until then they are in JSON lines beside it.
FORMATS: dict[str, RowFormat] = {".csv": CsvFormat(), ".jsonl": JsonlFormat(), ".parquet": JsonlFormat()}
#: Attributes of a row that tell its file from others.
_STAMP = "file", "size", "modified_ns"


class ResultsError(ValueError):
    """A file of rows that cannot be begun or gone on with. The message names it and says what to do."""


class _Span(NamedTuple):
    """Where the rows of a picture are, and whether they stand for it now."""

    start: int
    end: int
    valid: bool


class Results:
    """Rows in a file that they are appended to, and those that were there before.

    Parameters
    ----------
    path : str or Path
        Its extension is one of `FORMATS`.
    settings : mapping of str to object
        What rows depend on, such as the checksums of the model, as JSON has it.
    threshold : float, optional
        Rows of photographs get the label for it; animations of another one are to be scored again.
    resume : bool
        Go on with the rows that are there, if any.
    force : bool
        Replace them, as soon as there is a new one: what is refused or interrupted before leaves them whole.
    retry : bool
        Take what failed for not done.

    Raises
    ------
    ResultsError
        When it is entered: if the file exists and neither `resume` nor `force` is given, another process is writing
        to it, or it was made with other settings or by something else. Nothing is written then.
    OutputError
        If it cannot be written. Rows written before are kept.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "out.jsonl")
    >>> found = Found("a.jpg", True, 10, 0)
    >>> with Results(path, {"model": "a"}) as results:
    ...     results.add(found, [Row("a.jpg", 0.25, None)])
    >>> with Results(path, {"model": "a"}, resume=True) as results:
    ...     results.has(found), results.has(Found("a.jpg", True, 10, 99))
    (True, False)
    """

    def __init__(
        self,
        path: str | Path,
        settings: Mapping[str, Any],
        threshold: float | None = None,
        *,
        resume: bool = False,
        force: bool = False,
        retry: bool = False,
    ):
        self.path, self.settings, self.threshold = Path(path), dict(settings), threshold
        self.resume, self.force, self.retry = resume, force, retry
        suffix = self.path.suffix.lower()
        self._parquet = suffix == ".parquet"
        self._format = FORMATS[suffix]
        # What lies beside a link is not beside the rows, and would be another's for each of their names
        target = Path(os.path.realpath(path)) if self.path.is_symlink() else self.path
        #: Where rows are appended.
        self._rows_path = Path(f"{target}.jsonl") if self._parquet else target
        self._run_path = Path(f"{target}{RUN}")
        #: Whether there is something of this run, or of the one that it goes on with.
        self.begun = False
        self._spans: dict[tuple, _Span] = {}
        self._kinds: dict[tuple, str] = {}
        self._relabel = False

    def __enter__(self) -> Results:
        self._synchronised = time.monotonic()
        if self._parquet:
            check_pyarrow()
        with contextlib.ExitStack() as stack, self._explained():
            self._refuse_what_is_no_file()
            self._run = stack.enter_context(open(self._run_path, "a+b", buffering=0))
            _lock(self._run, self._run_path, self.path)
            stack.callback(self._remove_empty_run)
            self._refuse_to_overwrite()  # now that no other run can make what is not there yet
            if self.resume and self._read_run():
                self._bring_back()
                self._open(stack)
                self._load()
            else:
                self._refuse_rows_of_others()
            self._files = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with self._files:
            if self.begun:
                self._synchronise()

    @property
    def files(self) -> set[Path]:
        """The files that are written: they are not to be scored."""
        return {self.path, *self._beside}

    @property
    def _beside(self) -> list[Path]:
        """The files that nobody has named, or not by this name."""
        return [self._rows_path, self._run_path]

    def has(self, found: Found) -> bool:
        """Whether the rows of a file are there, and it has not changed since.

        Parameters
        ----------
        found : Found

        Returns
        -------
        bool
        """
        span = self._spans.get(_key(*found))
        return found.modified_ns is not None and (self.kind(found) is not None or (span is not None and span.valid))

    def kind(self, found: Found) -> str | None:
        """What a file is that is no picture.

        Parameters
        ----------
        found : Found

        Returns
        -------
        str or None
            None if it has rows, or is to have one since somebody named it.
        """
        return None if found.named else self._kinds.get(_key(*found))

    def rows(self, found: Found) -> list[Row]:
        """Read the rows of a file that is there.

        Parameters
        ----------
        found : Found

        Returns
        -------
        list of Row
        """
        rows = self._read(self._spans[_key(*found)])
        return [row._replace(file=found.file) for row in rows]

    def add(self, found: Found, rows: Sequence[Row]) -> None:
        """Append the rows of a file.

        Parameters
        ----------
        found : Found
        rows : sequence of Row
            All of them.
        """
        self._begin()
        stored = [row._replace(size=found.size, modified_ns=found.modified_ns) for row in rows]
        data = b"".join(map(self._format.encode, stored))
        self._append(self._rows, data)
        self._spans[_key(*found)] = _Span(self._end, self._end + len(data), True)
        self._end += len(data)
        self._synchronise_now_and_then()

    def pass_over(self, found: Found, kind: str) -> None:
        """Remember that a file is no picture.

        Parameters
        ----------
        found : Found
        kind : str
            What it is.
        """
        self._begin()
        line = json.dumps({"file": found.file, "size": found.size, "modified_ns": found.modified_ns, "kind": kind})
        self._append(self._run, f"{line}\n".encode())
        self._kinds[_key(*found)] = kind
        self._synchronise_now_and_then()

    def finish(self, listing: Iterable[Found]) -> None:
        """Leave one row for each file (or frame), in the order of a list; rows of files that it has not stay behind it.

        Parameters
        ----------
        listing : iterable of Found
        """
        self._begin()
        order = self._order(listing)
        header = len(self._format.header)
        ends = [header, *(span.end for span in order)]
        in_order = [span.start for span in order] == ends[:-1] and ends[-1] == self._end
        with self._explained():
            if self._parquet:
                self._write_parquet(order)
            elif self._relabel or not in_order:
                with replacing(self._rows_path) as file:
                    file.write(self._format.header)
                    for span in order:
                        file.writelines(map(self._format.encode, self._read(span)))

    def _order(self, listing: Iterable[Found]) -> list[_Span]:
        keys = dict.fromkeys(_key(*found) for found in listing)
        files = {file for file, *_ in keys}
        listed = [self._spans[key] for key in keys if key in self._spans]
        return [*listed, *sorted(span for key, span in self._spans.items() if key[0] not in files)]

    def _refuse_what_is_no_file(self) -> None:
        """A pipe would be waited for; a link in the place of a name that nobody gave leads to what nobody meant."""
        for path in [self.path, *self._beside]:
            if path.exists() and not path.is_file():
                raise ResultsError(f"{path}: is a pipe, a folder or a device, expected a file or nothing")
            if path != self.path and path.is_symlink():
                raise ResultsError(f"{path}: is a link, expected a file or nothing")

    def _refuse_to_overwrite(self) -> None:
        for path in {self.path, self._rows_path}:
            if os.path.lexists(path) and not (self.resume or self.force):
                raise ResultsError(f"{path}: exists; --resume goes on from there, --force replaces it")

    def _read_run(self) -> bool:
        """Read what the file beside the rows says; False if it says nothing, as after a kill while it was begun."""
        self._run.seek(0)
        *lines, torn = self._run.read().split(b"\n")
        if torn:
            self._run.truncate(self._run.tell() - len(torn))
        if not lines:
            return False
        try:
            first, *others = map(json.loads, lines)
            self._refuse_other_settings(first["settings"])
            self._kinds = dict(map(_kind_by_key, others))
        except ResultsError:
            raise
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ResultsError(f"{self._run_path}: is not of open-nsfw score: {error}") from error
        return True

    def _refuse_other_settings(self, saved: Any) -> None:
        if not isinstance(saved, dict):
            raise TypeError(f"settings: got {saved!r:.80}, expected an object")
        for name, value in self.settings.items():
            if saved.get(name) != value:
                raise ResultsError(
                    f"{self.path}: {name}: got {value}, its rows were made with {saved.get(name)}; "
                    "expected the same, or another --out"
                )

    def _refuse_rows_of_others(self) -> None:
        if not self.resume:
            return
        for path in {self.path, self._rows_path}:
            if path.exists() and path.stat().st_size:
                raise ResultsError(f"{path}: cannot be gone on with: {self._run_path} does not say how it was made")

    def _begin(self) -> None:
        """Empty the file of rows, then say how others will be made: the other way, old ones would be taken for them."""
        if self.begun:
            return
        with self._explained():
            self._open(self._files)
            self._rows.truncate(0)
            self._run.truncate(0)
            first = json.dumps({"version": __version__, "settings": self.settings})
            self._append(self._run, f"{first}\n".encode())
            self._load()

    def _open(self, stack: contextlib.ExitStack) -> None:
        self._rows = stack.enter_context(open(self._rows_path, "ab", buffering=0))
        _lock(self._rows, self._rows_path, self.path)  # its other names have other files beside them
        self._reader = stack.enter_context(open(self._rows_path, "rb"))
        with contextlib.suppress(OSError):  # not every system lets folders be opened
            sync(self._rows_path.parent)  # or the new names could be lost in a power cut
        self.begun = True

    def _remove_empty_run(self) -> None:
        """Leave nothing of a run that was refused."""
        if not os.fstat(self._run.fileno()).st_size:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                os.unlink(self._run_path)

    def _bring_back(self) -> None:
        """Give the rows of a finished Parquet file their old place."""
        if self._parquet and self.path.exists() and not self._rows_path.exists():
            with replacing(self._rows_path) as file:
                for row in self._rows_of_parquet():
                    file.write(self._format.encode(row))

    def _rows_of_parquet(self) -> Iterator[Row]:
        try:
            yield from read_parquet(self.path)
        except (ValueError, TypeError, OSError) as error:  # pyarrow's, too
            raise ResultsError(f"{self.path}: is not of open-nsfw score: {error}") from error

    def _load(self) -> None:
        """Find the rows that are whole, and drop what a kill has left of others."""
        header = self._format.header
        begun = self._reader.read(len(header))
        if begun != header and not header.startswith(begun):
            raise ResultsError(f"{self._rows_path}:1: got {begun[:80]!r}, expected {header!r}")
        self._end = len(header)
        if begun == header:
            try:
                for rows, start, end in read_blocks(self._format, self._reader):
                    self._remember(rows, start, end)
                    self._end = end
            except (ValueError, TypeError) as error:
                raise ResultsError(f"{self._rows_path}: what is behind byte {self._end} is no row: {error}") from error
            os.truncate(self._rows_path, self._end)
        else:
            os.truncate(self._rows_path, 0)
            self._append(self._rows, header)

    def _remember(self, rows: list[Row], start: int, end: int) -> None:
        row = rows[0]
        other = self.threshold not in (None, row.threshold)
        self._relabel |= other
        judged_anew = other and row.frames is not None and row.second is None
        valid = not judged_anew and not (self.retry and row.error is not None)
        self._spans[_key(row.file, True, row.size, row.modified_ns)] = _Span(start, end, valid)

    def _read(self, span: _Span) -> list[Row]:
        self._reader.seek(span.start)
        lines = self._reader.read(span.end - span.start).splitlines(keepends=True)
        rows = [row for row, _ in self._format.read(lines)]
        return [labelled(row, self.threshold) for row in rows] if span.valid else rows

    def _write_parquet(self, order: Sequence[_Span]) -> None:
        write_parquet(self.path, (row for span in order for row in self._read(span)))
        os.unlink(self._rows_path)

    def _append(self, file: Any, data: bytes) -> None:
        """Write without a buffer: a row that was reported is the system's, whatever becomes of this process."""
        with self._explained("; --resume goes on with the rows that are there"):
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]

    def _synchronise_now_and_then(self) -> None:
        if time.monotonic() - self._synchronised > SYNCHRONISED_EVERY:
            self._synchronise()

    def _synchronise(self) -> None:
        with self._explained():
            os.fsync(self._rows.fileno())
            os.fsync(self._run.fileno())
        self._synchronised = time.monotonic()

    @contextlib.contextmanager
    def _explained(self, hint: str = "") -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"{self.path}: cannot be written: {reason}{hint}") from error


def _key(file: str, named: bool, size: int | None, modified_ns: int | None) -> tuple:
    """What tells a file from others, and from what it was before."""
    return file, size, modified_ns


def _kind_by_key(values: Any) -> tuple[tuple, str]:
    """What a line says that `pass_over` has written."""
    stamp = [values[name] for name in _STAMP]
    for name, value in zip(_STAMP, stamp):
        check_attribute(name, value)
    kind = values["kind"]
    if not (kind and isinstance(kind, str)):
        raise ValueError(f"kind: got {kind!r:.80}, expected a text")
    file, size, modified_ns = stamp
    return _key(file, True, size, modified_ns), kind


def _lock(file: BinaryIO, path: Path, named: Path) -> None:
    """Be the only process that appends to a file; `named` is what an error calls it."""
    with contextlib.suppress(ImportError):  # no such locks on Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have removed or replaced it since it was opened
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return
        except (BlockingIOError, FileNotFoundError):
            pass
        raise ResultsError(f"{named}: another process is writing to it")
