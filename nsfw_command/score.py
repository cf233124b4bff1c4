"""``open-nsfw score PATH...``: a score and a file per line."""

from __future__ import annotations

import hashlib
import os
import sys
from argparse import Namespace, _SubParsersAction
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

from nsfw_command.arguments import (
    NOT_WRITTEN,
    also_read,
    file_path,
    nonempty,
    positive,
    probability,
    seconds,
    threads,
    unwritable,
)
from nsfw_command.found import STANDARD_INPUT, Found, find_files, read_names
from nsfw_command.layouts import csv_lines, json_lines, jsonl_lines, table_lines
from nsfw_command.report import Report, is_page
from nsfw_command.results import FORMATS, Results, ResultsError
from nsfw_command.row import LABELS, Row, failed_row, labelled, rows_of_frames
from nsfw_command.tally import Tally
from nsfw_command.terminal import complain, encodable, printable
from nsfw_model.picture import MAX_FILE_BYTES, NotAPictureError
from nsfw_model.signatures import is_called_a_picture
from nsfw_scale.cluster import ClusterError, connect
from open_nsfw import PictureError, model_files, nsfw_scores

FAILURES, REFUSED, FINDINGS = 1, 2, 3
#: In the column of --inspect.
NOT_INSPECTED = "not inspected"
#: The threshold where one is needed and none is given.
THRESHOLD = 0.8


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
        description="Score pictures from 0 (safe for work) to 1 (not safe for work). In folders every file is looked "
        "at; what is no picture there is counted, and all else is a row.",
        epilog=f"exit code: 0 all were scored, {FAILURES} something could not be scored, {REFUSED} wrong arguments, "
        f"{FINDINGS} something is unsafe (with --exit-code, whatever else could not be scored), {NOT_WRITTEN} a file "
        "could not be written",
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="a picture, or a folder, searched recursively; - is a picture on stdin"
    )
    parser.add_argument(
        "--files-from",
        type=nonempty,
        metavar="FILE",
        help="also those in this list, one a line or zero bytes between them; - is stdin",
    )
    _add_layouts(parser.add_argument_group("what is printed"))
    _add_outputs(parser.add_argument_group("what is kept"))
    _add_scoring(parser.add_argument_group("how it is scored"))
    parser.set_defaults(run=run, lines=None, refuse=parser.error)


def _add_layouts(group: Any) -> None:
    layout = group.add_mutually_exclusive_group()
    for name, lines, what in (
        ("json", json_lines, "write a JSON array, whole when the run ends; --jsonl is for what may be cut short"),
        ("jsonl", jsonl_lines, "write a JSON object per line"),
        ("csv", csv_lines, "write CSV with a header"),
    ):
        layout.add_argument(f"--{name}", dest="lines", action="store_const", const=lines, help=what)
    group.add_argument(
        "--threshold",
        type=probability,
        metavar="X",
        help=f"label each row: unsafe from this score on, or safe, or failed (default where needed: {THRESHOLD})",
    )
    group.add_argument("--only", choices=LABELS, help="rows with this label only")
    group.add_argument("--sort", choices=("score", "name"), help="the highest score first, or by name")
    group.add_argument("--top", type=positive, metavar="N", help="the first N rows only, of --sort score unless told")
    group.add_argument("--exit-code", action="store_true", help=f"exit with {FINDINGS} if something is unsafe")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress, no counts at the end")
    group.add_argument("-v", "--verbose", action="store_true", help="say on standard error which files are used")


def _add_outputs(group: Any) -> None:
    group.add_argument(
        "--out",
        metavar="FILE",
        type=file_path,
        help=f"keep all rows in a file ({', '.join(FORMATS)}), as they are made; nothing is printed then unless a "
        "layout, --only, --sort or --top is given",
    )
    beginning = group.add_mutually_exclusive_group()
    beginning.add_argument("--resume", action="store_true", help="go on with --out: only what is new or has changed")
    beginning.add_argument("--force", action="store_true", help="replace --out and --report")
    group.add_argument("--retry", action="store_true", help="with --resume, score again what failed")
    group.add_argument(
        "--report", metavar="FILE.html", type=file_path, help="make a page with thumbnails to look through"
    )


def _add_scoring(group: Any) -> None:
    group.add_argument(
        "--frames",
        choices=("first", "max", "mean", "all"),
        default="max",
        help="of animations and films: the first counts, the worst, the mean, or each is a row (default: max)",
    )
    group.add_argument("--every", type=seconds, metavar="S", help="seconds from one frame to the next")
    group.add_argument("--batch-size", type=positive, default=8, metavar="N", help="pictures at once (default: 8)")
    group.add_argument("--workers", type=threads, metavar="N", help="pictures decoded at once (default: all cores)")
    group.add_argument("--cluster", type=nonempty, metavar="ADDRESS", help="score on a Dask cluster: its scheduler")
    group.add_argument(
        "--seconds",
        type=seconds,
        default=60,
        metavar="S",
        help="time for a picture to be read and decoded; what takes longer is an error (default: 60; inf: no limit)",
    )
    group.add_argument(
        "--nsfw-pkl", type=nonempty, metavar="FILE", help="weights (default: those installed; see open-nsfw info)"
    )
    group.add_argument("--prototxt", type=nonempty, metavar="FILE", help="architecture (default: that installed)")
    group.add_argument(
        "--inspect",
        action="store_true",
        help="also look for signs that a score was put there by a change too small to see: a column with inverted, "
        "robustly inverted, nothing found, or not inspected (films; of animations the first frame is). Seven more "
        "evaluations a picture; thresholds are those of the published network",
    )
    group.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of the convolutions (default: float32)"
    )
    group.add_argument(
        "--resist",
        action="store_true",
        help="the median score of five views of each picture, which most changes made to mislead the network do not "
        "survive, at five times its work; no longer Yahoo's number",
    )


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
    nsfw_model.outputs.OutputError
        If a file cannot be written.
    """
    _check(args)
    try:
        results = _results(args) if args.out else None
        listing = _listing(args, results)
        with results or nullcontext():
            return _run(args, listing, results)
    except (ResultsError, ClusterError, ImportError) as error:
        complain(f"error: {error}")
        return REFUSED


def _check(args: Namespace) -> None:
    """Refuse what cannot be meant, and set the threshold that is needed."""
    if not args.paths and args.files_from is None:
        args.refuse("PATH: got none, expected a picture, a folder, or --files-from")
    if args.files_from == STANDARD_INPUT and STANDARD_INPUT in args.paths:
        args.refuse("--files-from -: got a picture on standard input, too")
    if args.out and args.out.suffix.lower() not in FORMATS:
        args.refuse(f"--out: got {args.out}, expected a name that ends in {', '.join(FORMATS)}")
    if args.report:
        _check_report(args)
    if (args.resume or args.retry) and not args.out:
        args.refuse("--resume, --retry: got no --out, whose file they are about")
    if args.force and not (args.out or args.report):
        args.refuse("--force: got no --out and no --report, whose files it replaces")
    if args.inspect:
        _check_inspection(args)
    if args.threshold is None and (args.only or args.exit_code or args.report):
        args.threshold = THRESHOLD


def _check_report(args: Namespace) -> None:
    """Refuse a page that could not be written, and set whether it may replace a file: a page is made anew."""
    if args.report.suffix.lower() not in (".html", ".htm"):
        args.refuse(f"--report: got {args.report}, expected a name that ends in .html")
    args.replace_report = args.force or is_page(args.report)
    problem = unwritable(args.report, args.replace_report)
    if problem:
        args.refuse(f"--report: {problem}")


def _check_inspection(args: Namespace) -> None:
    """Refuse what an inspection cannot be asked together with."""
    if STANDARD_INPUT in args.paths:
        args.refuse("--inspect: got a picture on standard input, which is read only once; expected files")
    if args.frames == "all":
        args.refuse("--inspect: got --frames all, of whose rows only the first would be inspected")
    if args.cluster:
        args.refuse("--inspect: got --cluster, whose workers score only")
    if args.nsfw_pkl or args.prototxt:
        args.refuse(
            "--inspect: got --nsfw-pkl or --prototxt, expected the installed network that its thresholds are for"
        )


def _listing(args: Namespace, results: Results | None) -> list[Found]:
    """The files to score, without those that are written; each once, if it is to be found again in a file of rows."""
    try:
        listed = read_names(args.files_from) if args.files_from is not None else []
    except OSError as error:
        raise ResultsError(str(error)) from error
    outputs = (results.files if results else set()).union(filter(None, [args.report]))
    is_output, is_own = _among(outputs), _among(outputs if args.resume else ())  # which a shell's * may name
    found = [it for it in find_files([*args.paths, *listed]) if not (is_own if it.named else is_output)(it)]
    sources = [args.files_from, args.nsfw_pkl, args.prototxt, *(it.file for it in found if it.named)]
    problem = also_read(outputs, (source for source in sources if source != STANDARD_INPUT))
    if problem:
        raise ResultsError(problem)
    return _each_once(found) if results else found


def _among(paths: Iterable[Path]) -> Callable[[Found], bool]:
    """Whether a file is one of a few; not many have their names, and have to be looked at more closely."""
    places = {os.path.abspath(path) for path in paths}
    names = {os.path.basename(place) for place in places}
    return lambda found: os.path.basename(found.file) in names and os.path.abspath(found.file) in places


def _each_once(found: Iterable[Found]) -> list[Found]:
    """Each file in its first place, and as named if it is so in any: a folder may hold what is named beside it."""
    once: dict[str, Found] = {}
    for it in found:
        if it.named or it.file not in once:
            once[it.file] = it
    return list(once.values())


def _results(args: Namespace) -> Results:
    weights, architecture = model_files(args.nsfw_pkl, args.prototxt)
    settings = {
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "architecture": hashlib.sha256(architecture.read_bytes()).hexdigest(),
        "--precision": args.precision,
        "--frames": args.frames,
        "--every": args.every,
        # None as runs have it that knew of no such thing
        "--resist": args.resist or None,
        "--inspect": args.inspect or None,
    }
    return Results(args.out, settings, args.threshold, resume=args.resume, force=args.force, retry=args.retry)


def _run(args: Namespace, listing: list[Found], results: Results | None) -> int:
    from tqdm import tqdm

    if args.verbose:
        weights, architecture = model_files(args.nsfw_pkl, args.prototxt)
        complain(f"weights: {weights}")
        complain(f"architecture: {architecture}")
    tally = Tally()
    report = Report(args.threshold) if args.report else None
    outcomes = _outcomes(listing, results, args)
    disable = True if args.quiet else None
    bar = tqdm(outcomes, total=len(listing), unit="picture", delay=2, disable=disable)
    try:
        _print(_rows(bar, tally, report), args)
        if results is not None:
            results.finish(listing)
        counts = tally.text()  # before thumbnails take their time
        if report is not None:
            report.write(args.report, counts, overwrite=args.replace_report)
    except KeyboardInterrupt:
        if results is not None and results.begun:
            complain(f"interrupted; {args.out} has the rows until then, and --resume goes on")
        raise
    finally:
        bar.close()
    of_many = args.out or args.report or args.files_from is not None or not all(found.named for found in listing)
    if of_many and not args.quiet:
        complain(counts)
    if args.exit_code and tally.unsafe:
        return FINDINGS
    return FAILURES if tally.failed else 0


def _rows(outcomes: Iterable[tuple[list[Row] | str, bool]], tally: Tally, report: Report | None) -> Iterator[Row]:
    """The rows of all that has some, counted."""
    for outcome, before in outcomes:
        if isinstance(outcome, str):
            tally.pass_over(outcome)
            continue
        tally.add(outcome, before)
        if report is not None:
            report.add(outcome)
        yield from outcome


def _print(rows: Iterator[Row], args: Namespace) -> None:
    """Print the rows that are asked for; all of them are made."""
    from tqdm import tqdm

    chosen = args.only or args.sort or args.top
    lines = args.lines or (table_lines if chosen or not args.out else None)
    if lines is not None:
        for line in lines(_chosen(rows, args)):
            # CSV keeps names as they are for programs, not for terminals
            shown = printable(line) if sys.stdout.isatty() else encodable(line)
            tqdm.write(shown)  # a print that does not cut through the progress bar
            sys.stdout.flush()
    deque(rows, maxlen=0)


def _chosen(rows: Iterable[Row], args: Namespace) -> Iterable[Row]:
    """The rows of one label, sorted, and only the first."""
    if args.only:
        rows = (row for row in rows if row.label == args.only)
    if args.sort == "name":
        rows = sorted(rows, key=lambda row: row.file)
    elif args.sort or args.top:
        rows = sorted(rows, key=lambda row: -1.0 if row.score is None else row.score, reverse=True)
    return rows if args.top is None else list(rows)[: args.top]


def _outcomes(listing: list[Found], results: Results | None, args: Namespace) -> Iterator[tuple[list[Row] | str, bool]]:
    """What comes of each file, and whether an earlier run has found it: its rows, or what it is if no picture."""
    before = [results is not None and results.has(found) for found in listing]
    with closing(_score([found for found, had in zip(listing, before) if not had], args)) as new:
        for found, had in zip(listing, before):
            if had and results is not None:
                yield results.kind(found) or results.rows(found), True
                continue
            outcome = next(new)
            if results is not None:
                if isinstance(outcome, str):
                    results.pass_over(found, outcome)
                else:
                    results.add(found, outcome)
            yield outcome, False


def _score(files: list[Found], args: Namespace) -> Generator[list[Row] | str, None, None]:
    """Score files, batch by batch; what is no picture is a failure only if somebody named it, or calls it one."""
    if not files:
        return  # nothing has to be loaded
    with ExitStack() as stack:
        scores = nsfw_scores(
            map(_picture, files),
            args.batch_size,
            args.nsfw_pkl,
            args.prototxt,
            on_error="return",
            precision=args.precision,
            resist=args.resist,
            seconds=args.seconds,
            workers=args.workers,
            frames="first" if args.frames == "first" else "all",
            every=args.every,
            client=stack.enter_context(connect(args.cluster)) if args.cluster else None,
        )
        for (file, named, *_), score in zip(files, scores):
            if isinstance(score, NotAPictureError) and not named and not is_called_a_picture(file):
                yield score.kind
            elif isinstance(score, PictureError):
                yield [failed_row(file, _reason(file, score), args.threshold)]
            else:
                rows = (
                    [labelled(Row(file, score, None), args.threshold)]
                    if isinstance(score, float)
                    else rows_of_frames(file, score, args.frames, args.threshold)
                )
                yield [row._replace(inspection=_inspection(file)) for row in rows] if args.inspect else rows


def _picture(found: Found) -> Any:
    """What is to be scored: the file of a name, or what standard input has."""
    return sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if found.file == STANDARD_INPUT else found.file


def _inspection(file: str) -> str:
    """What an inspection finds in a picture or the first frame of an animation; films have no such frame."""
    if file == STANDARD_INPUT:  # which a list may name; it is read only once
        return NOT_INSPECTED
    from nsfw_experiments.inverse import inspect

    try:
        return inspect(file).verdict
    except PictureError:
        return NOT_INSPECTED


def _reason(file: str, error: PictureError) -> str:
    """What is wrong with a picture, without its name; that of bytes is how many they are."""
    if file == STANDARD_INPUT:
        return str(error).partition(": ")[2]
    return str(error).removeprefix(f"{file}: ")
