"""The page of ``--report``: everything in one file, to look through what was scored."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from itertools import count
from pathlib import Path
from string import Template

from PIL import Image, ImageOps, UnidentifiedImageError

from nsfw_command.found import STANDARD_INPUT
from nsfw_command.row import Row
from nsfw_command.terminal import visible
from nsfw_model.outputs import replacing
from nsfw_model.picture import read_picture
from nsfw_scale.frames import read_frames
from open_nsfw import PictureError, __version__

#: How many pictures are shown, those of the highest scores, and how many failures.
MAX_PICTURES = MAX_FAILURES = 2000
#: Pixels of a thumbnail's longer side.
SIDE = 240
#: Columns of the histogram.
BINS = 20
#: How many segments of a film are listed.
_SEGMENTS = 4


class Report:
    """A page about all pictures: the worst with their thumbnails, what failed, and how many there are of each score.

    Parameters
    ----------
    threshold : float
        From which score on a picture is unsafe, and blurred.

    Examples
    --------
    >>> import tempfile
    >>> report = Report(0.8)
    >>> report.add([Row("img/rocket.jpg", 0.0005, None, "safe", 0.8)])
    >>> path = Path(tempfile.mkdtemp(), "report.html")
    >>> report.write(path, "1 scored")
    >>> "rocket.jpg" in path.read_text(encoding="utf-8")
    True
    """

    def __init__(self, threshold: float):
        self.threshold = threshold
        self._bins = [0] * BINS
        self._worst: list[tuple[float, int, Row]] = []  # a heap
        self._failures: list[Row] = []
        self._failed = self._unsafe = 0
        self._numbers = count(0, -1)

    def add(self, rows: Sequence[Row]) -> None:
        """Take a picture in.

        Parameters
        ----------
        rows : sequence of Row
            Its row, or those of its frames, of which the worst is shown.
        """
        if rows[0].score is None:
            self._failed += 1
            if len(self._failures) < MAX_FAILURES:
                self._failures.append(rows[0])
            return
        row = max(rows, key=lambda row: row.score or 0.0)
        assert row.score is not None
        self._unsafe += row.score >= self.threshold
        self._bins[min(int(row.score * BINS), BINS - 1)] += 1
        # Of equal scores the earlier are kept
        entry = row.score, next(self._numbers), row
        if len(self._worst) < MAX_PICTURES:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)

    def write(self, path: str | Path, summary: str, *, overwrite: bool = True) -> None:
        """Write the page; thumbnails are made now, and one that cannot be made is left out.

        Parameters
        ----------
        path : str or Path
        summary : str
            The line below its title.
        overwrite : bool
            Whether a file that is there may be replaced.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        scored = sum(self._bins)
        title = f"{self._unsafe:,} of {scored:,} picture{'' if scored == 1 else 's'} at {self.threshold:g} or above"
        style, script = _part("report.css"), _part("report.js")
        page = Template(_part("report.html")).substitute(
            policy=f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
            "base-uri 'none'; form-action 'none'",
            title=title,
            style=style,
            script=script,
            summary=f'<a href="#failed">{escape(summary)}</a>' if self._failed else escape(summary),
            version=escape(__version__),
            date=time.strftime("%Y-%m-%d at %H:%M"),
            histogram=histogram(self._bins, self.threshold),
            left_out=_left_out(len(self._worst), scored),
            failures=_failures(self._failures, self._failed),
            cards="\0",
        )
        head, tail = page.split("\0")
        with replacing(path, overwrite=overwrite) as file:
            file.write(head.encode())
            for card in self._cards():
                file.write(card.encode())
            file.write(tail.encode())

    def _cards(self) -> Iterator[str]:
        rows = [row for *_, row in sorted(self._worst, reverse=True)]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for number, (row, picture) in enumerate(zip(rows, threads.map(thumbnail, rows))):
                yield card(row, picture, first=number == 0)


def is_page(path: str | Path) -> bool:
    """Whether a file is a page that was made here, which may be made anew.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    bool

    Examples
    --------
    >>> is_page("README.md")
    False
    """
    try:
        with open(path, "rb") as file:
            return b'<meta name="generator" content="open-nsfw ' in file.read(1024)
    except OSError:
        return False


def thumbnail(row: Row) -> bytes | None:
    """Make a small JPEG of a picture, or of its worst frame.

    Parameters
    ----------
    row : Row

    Returns
    -------
    bytes or None
        None if that is not possible any more.

    Examples
    --------
    >>> Image.open(io.BytesIO(thumbnail(Row("img/rocket.jpg", 0.0005, None)))).size
    (240, 160)
    >>> thumbnail(Row("gone.jpg", 0.0005, None)) is None
    True
    """
    if row.file == STANDARD_INPUT:
        return None
    second = row.worst_second if row.second is None else row.second
    try:
        return _thumbnail(row.file, second)
    except (PictureError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _thumbnail(file: str, second: float | None) -> bytes:
    picture = _small(file) if second is None else _frame_at(file, second)
    picture.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=65, optimize=True)
    return encoded.getvalue()


def _frame_at(file: str, second: float) -> Image.Image:
    """The frame that is seen at a moment, of which rows have milliseconds; what is before it is passed over."""
    moment = second + 0.0005
    for frame in read_frames(file, every=moment if second else None):
        if frame.seconds >= second - 0.001:
            return frame.picture
    raise PictureError(f"{file}: has no frame at {second:g} s")


def _small(file: str) -> Image.Image:
    """A picture upright, and a JPEG no larger than needed, which takes a fraction of the time."""
    try:
        with Image.open(file, formats=["JPEG"]) as opened:
            opened.draft("RGB", (SIDE, SIDE))
            return ImageOps.exif_transpose(opened).convert("RGB")
    except UnidentifiedImageError:
        return read_picture(file)


def card(row: Row, picture: bytes | None, first: bool = False) -> str:
    """Lay out a picture with its score.

    Parameters
    ----------
    row : Row
    picture : bytes or None
        Its thumbnail, a JPEG.
    first : bool
        Whether it is the one that Tab reaches; the others are reached from there by the arrows.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> "&lt;script&gt;.jpg" in card(Row("<script>.jpg", 0.9, None, "unsafe", 0.8), None)
    True
    """
    name = escape(visible(row.file))
    folder, _, base = name.rpartition("/")
    shown = f'<span class="folder">{folder}/</span><wbr>{base}' if folder else name
    source = base64.b64encode(picture).decode() if picture else ""
    inside = f'<img src="data:image/jpeg;base64,{source}" alt="" decoding="async">' if picture else ""
    about = f'<p class="about">{escape(_about(row))}</p>' if row.frames or row.inspection else ""
    return (
        f'<li class="card {row.label}" tabindex="{0 if first else -1}" data-score="{row.score}" data-name="{name}">\n'
        f'<div class="thumb">{inside or "<span>no thumbnail</span>"}</div>\n'
        f'<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * (row.score or 0):.1f}" height="4"/></svg>\n'
        f'<div class="text"><p class="score">{row.score:.4f} <span class="badge">{row.label}</span></p>'
        f'<p class="name">{shown}</p>{about}</div></li>\n'
    )


def _about(row: Row) -> str:
    """What there is to say of an animation or a film, and of an inspection."""
    parts = [row.inspection] if row.inspection else []
    if row.frames:
        second = row.worst_second if row.second is None else row.second
        parts += [f"{row.frames} frames", f"worst at {second:g} s"]
    if row.share_above:
        parts.append(f"{row.share_above:.0%} above")
    if row.segments:
        listed = ", ".join(f"{begin:g}–{end:g} s" for begin, end in row.segments[:_SEGMENTS])
        more = len(row.segments) - _SEGMENTS
        parts.append(f"{listed} and {more} more" if more > 0 else listed)
    return " · ".join(parts)


def histogram(bins: Sequence[int], threshold: float) -> str:
    """Draw how many pictures there are of each score.

    Parameters
    ----------
    bins : sequence of int
        From 0 to 1.
    threshold : float

    Returns
    -------
    str
        SVG.

    Examples
    --------
    >>> histogram([3, 0, 1, 0], 0.5).count("<rect")
    2
    """
    width, height = 460, 96
    step, largest = width / len(bins), max(bins) or 1
    parts = []
    for at, number in enumerate(bins):
        if not number:
            continue
        tall = max((number / largest) ** 0.5 * height, 2)
        low, high = at / len(bins), (at + 1) / len(bins)
        kind = ' class="unsafe"' if low >= threshold - 1e-9 else ""
        parts.append(
            f'<rect{kind} x="{at * step + 1:.1f}" y="{height - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}"'
            f' rx="2"><title>{low:.2f} to {high:.2f}: {number:,}</title></rect>'
        )
    place = threshold * width
    ends = "".join(
        f'<text x="{x}" y="{height + 14}" text-anchor="{anchor}">{text}</text>'
        for x, anchor, text in ((0, "start", "0"), (width, "end", "1"))
    )
    return (
        f'<svg viewBox="0 -14 {width} {height + 32}" role="img" aria-label="Histogram of the scores">{"".join(parts)}'
        f'<line x1="0" x2="{width}" y1="{height}" y2="{height}"/>{ends}'
        f'<line class="threshold" x1="{place:.1f}" x2="{place:.1f}" y1="-2" y2="{height}"/>'
        f'<text x="{place:.1f}" y="-5" text-anchor="middle">unsafe from {threshold:g}</text></svg>'
    )


def _left_out(shown: int, scored: int) -> str:
    if shown == scored:
        return ""
    return f'<p class="note">The {shown:,} of the highest scores are shown; {scored - shown:,} below are left out.</p>'


def _failures(rows: Iterable[Row], number: int) -> str:
    if not number:
        return ""
    lines = "".join(
        f"<tr><td>{escape(visible(row.file))}</td><td>{escape(visible(row.error or ''))}</td></tr>\n" for row in rows
    )
    more = number - MAX_FAILURES
    left_out = f'<p class="note">{more:,} more are left out.</p>' if more > 0 else ""
    return (
        f'<h2 id="failed">{number:,} could not be scored</h2>\n<div class="failures"><table>'
        f"<thead><tr><th>File</th><th>Reason</th></tr></thead>\n<tbody>{lines}</tbody></table></div>{left_out}"
    )


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a Content Security Policy names the one style or script that it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
