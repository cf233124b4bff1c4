"""``open-nsfw score PATH...``: a score and a file per line."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from argparse import Namespace, _SubParsersAction
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from nsfw_command.arguments import positive, seconds
from nsfw_command.terminal import complain, encodable, printable
from open_nsfw import PictureError, model_files, nsfw_scores


class Row(NamedTuple):
    """What is written of a picture.

    Attributes
    ----------
    file : str
    score : float or None
        In 0..1; None if the picture could not be scored.
    error : str or None
        What was wrong with it.
    """

    file: str
    score: float | None
    error: str | None


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        What `argparse.ArgumentParser.add_subparsers` gives.
    """
    parser = subparsers.add_parser(
        "score",
        help="score pictures",
        description="Score pictures from 0 (safe for work) to 1 (not safe for work).",
        epilog="exit code: 0 all were scored, 1 something could not be scored, 2 wrong arguments",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a picture, or a folder, searched recursively")
    layout = parser.add_mutually_exclusive_group()
    layout.add_argument("--json", dest="lines", action="store_const", const=json_lines, help="write a JSON array")
    layout.add_argument("--csv", dest="lines", action="store_const", const=csv_lines, help="write CSV with a header")
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="pictures at once (default: 8)")
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=60,
        metavar="S",
        help="time for a picture to be read and decoded; what takes longer is an error (default: 60; inf: no limit)",
    )
    parser.add_argument("--nsfw-pkl", metavar="FILE", help="weights (default: those installed; see open-nsfw info)")
    parser.add_argument("--prototxt", metavar="FILE", help="architecture (default: that installed)")
    parser.add_argument("-v", "--verbose", action="store_true", help="say on standard error which files are used")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of the convolutions (default: float32)"
    )
    parser.set_defaults(run=run, lines=table_lines)


def run(args: Namespace) -> int:
    """Score ``args.paths`` and write a row for each; a bad file is its own row and does not stop the others.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    FileNotFoundError, nsfw_model.ModelFileError, NotImplementedError
        As `open_nsfw.nsfw_scores`.
    """
    from tqdm import tqdm

    if args.verbose:
        weights, architecture = model_files(args.nsfw_pkl, args.prototxt)
        complain(f"weights: {weights}")
        complain(f"architecture: {architecture}")
    paths = list(find_pictures(args.paths))
    failed = []

    def watched_rows() -> Iterator[Row]:
        for row in tqdm(_score_rows(paths, args), total=len(paths), unit="picture", delay=2, disable=None):
            if row.error is not None:
                failed.append(row.file)
            yield row

    for line in args.lines(watched_rows()):
        # CSV keeps names as they are for programs, not for terminals
        shown = printable(line) if sys.stdout.isatty() else encodable(line)
        tqdm.write(shown)  # a print that does not cut through the progress bar
        sys.stdout.flush()
    return 1 if failed else 0


def find_pictures(paths: Iterable[str]) -> Iterator[str]:
    """List the files to score: those named, and in folders all with a picture's file name extension, sorted.

    Parameters
    ----------
    paths : iterable of str

    Yields
    ------
    str
        Named as it was given, ``./a.jpg`` as that. A folder that has no pictures or cannot be read stands for itself:
        scoring it gives an error. Links to folders inside a folder are not followed.

    Examples
    --------
    >>> "img/rocket.jpg" in find_pictures(["img"]), "./img/rocket.jpg" in find_pictures(["./img/"])
    (True, True)
    >>> list(find_pictures(["./README.md", ""]))
    ['./README.md', '']
    """
    extensions = picture_extensions()
    for path in paths:
        if not os.path.isdir(path):  # which never raises, unlike Path.is_dir
            yield path
            continue
        unreadable: list[OSError] = []
        found: list[str] = []
        for folder, _, names in os.walk(path, onerror=unreadable.append):
            files = (os.path.join(folder, name) for name in names)
            found += [file for file in files if Path(file).suffix.lower() in extensions and may_be_read(file)]
        yield from sorted([*found, *(str(error.filename) for error in unreadable)], key=Path) or [path]


def may_be_read(path: str) -> bool:
    """Whether a path is a file, or leads nowhere, which is for the reader to say; reading a pipe could take forever.

    Parameters
    ----------
    path : str

    Returns
    -------
    bool

    Examples
    --------
    >>> may_be_read("img/rocket.jpg"), may_be_read("img")
    (True, False)
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


def picture_extensions() -> set[str]:
    """List the file name extensions of the formats that can be read.

    Returns
    -------
    set of str

    Examples
    --------
    >>> ".png" in picture_extensions(), ".txt" in picture_extensions()
    (True, False)
    """
    from PIL import Image

    from nsfw_model.picture import FORMATS

    return {extension for extension, name in Image.registered_extensions().items() if name in FORMATS}


def _score_rows(paths: list[str], args: Namespace) -> Iterator[Row]:
    """Score the pictures, batch by batch.

    Parameters
    ----------
    paths : list of str
    args : argparse.Namespace
        Its `batch_size`, `nsfw_pkl`, `prototxt`, `precision` and `seconds` are used.

    Yields
    ------
    Row
    """
    files = args.nsfw_pkl, args.prototxt
    scores = nsfw_scores(
        paths, args.batch_size, *files, on_error="return", precision=args.precision, seconds=args.seconds
    )
    for path, score in zip(paths, scores):
        if isinstance(score, PictureError):
            yield Row(path, None, str(score).removeprefix(f"{path}: "))
        elif isinstance(score, float):
            yield Row(path, score, None)


def table_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lay out a line per row: the score, or ERROR, and the file.

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
    """
    for row in rows:
        name = printable(row.file)
        yield f"{row.score:.6f}  {name}" if row.error is None else f"   ERROR  {name}: {printable(row.error)}"


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lay out an array of objects with file, score (or null) and error (or null).

    Parameters
    ----------
    rows : iterable of Row

    Yields
    ------
    str

    Examples
    --------
    >>> list(json_lines([Row("a.jpg", 0.25, None)]))
    ['[', '  {"file": "a.jpg", "score": 0.25, "error": null}', ']']
    """
    previous = "["
    for row in rows:
        yield previous
        previous = f"  {json.dumps(row._asdict(), allow_nan=False)},"
    yield previous.removesuffix(",")
    yield "]"


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lay out columns file, score and error.

    Parameters
    ----------
    rows : iterable of Row

    Yields
    ------
    str

    Examples
    --------
    >>> list(csv_lines([Row("a.jpg", 0.25, None)]))
    ['file,score,error', 'a.jpg,0.25,']
    """
    for row in chain([Row._fields], rows):
        text = io.StringIO()
        # It puts names in quotes that have one of these two, which readers take for the end of a row
        csv.writer(text, lineterminator="\r\n").writerow(row)
        yield text.getvalue().removesuffix("\r\n")
