"""What is told of a picture: its score, its label, and where in an animation or a film the worst is."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from nsfw_scale.frames import FrameScore, summary

UNSAFE, SAFE, FAILED = "unsafe", "safe", "failed"
LABELS = UNSAFE, SAFE, FAILED


class Row(NamedTuple):
    """What is written of a picture, or of one of its frames.

    Attributes
    ----------
    file : str
    score : float or None
        In 0..1; None if the picture could not be scored.
    error : str or None
        What was wrong with it.
    label : {"unsafe", "safe", "failed"} or None
        None where there is no threshold.
    threshold : float or None
        From which score on it is unsafe.
    frames : int or None
        How many were scored; None for a photograph.
    second : float or None
        Of the frame, where it has a row of its own.
    worst_second : float or None
        Where the frame of the highest score is.
    mean : float or None
        Of the scores of all frames.
    share_above : float or None
        Of the frames, those of at least the threshold, in 0..1.
    segments : tuple of (float, float), or None
        From which to which second they are; None where there are none.
    inspection : str or None
        What an inspection of the picture, or of its first frame, finds; None where none was asked for.
    size, modified_ns : int or None
        Of the file as it was scored, where the row is stored.
    """

    file: str
    score: float | None
    error: str | None
    label: str | None = None
    threshold: float | None = None
    frames: int | None = None
    second: float | None = None
    worst_second: float | None = None
    mean: float | None = None
    share_above: float | None = None
    segments: tuple[tuple[float, float], ...] | None = None
    inspection: str | None = None
    size: int | None = None
    modified_ns: int | None = None


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and _is_number(value, least, _MOST_WHOLE)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_share(value: Any) -> bool:
    return _is_number(value, 0, 1)


def _is_second(value: Any) -> bool:
    return _is_number(value, 0, sys.float_info.max)


def _are_segments(value: Any) -> bool:
    pairs = isinstance(value, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
    return pairs and all(_is_second(second) for pair in value for second in pair)


#: The largest whole number of 64 bits, which is what Parquet holds.
_MOST_WHOLE = 2**63 - 1
_TEXT = _is_text, "a text"
_SHARE = _is_share, "a number in 0..1"
_SECOND = _is_second, "a finite number of seconds"
#: What an attribute of a row is where it is something, and how an error says so.
_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "file": _TEXT,
    "score": _SHARE,
    "error": _TEXT,
    "label": (LABELS.__contains__, f"one of {', '.join(LABELS)}"),
    "threshold": _SHARE,
    "frames": (partial(_is_whole, least=1), "a whole number of at least 1"),
    "second": _SECOND,
    "worst_second": _SECOND,
    "mean": _SHARE,
    "share_above": _SHARE,
    "segments": (_are_segments, "pairs of finite numbers of seconds"),
    "inspection": _TEXT,
    "size": (partial(_is_whole, least=0), "a whole number of bytes"),
    "modified_ns": (partial(_is_whole, least=-_MOST_WHOLE - 1), "a whole number of 64 bits"),
}


def check_attribute(name: str, value: object) -> None:
    """Refuse what no row has.

    Parameters
    ----------
    name : str
        An attribute of `Row`.
    value : object
        As it was read.

    Raises
    ------
    ValueError
        If it is of another type, or out of its bounds. Only `file` may not be None.

    Examples
    --------
    >>> check_attribute("score", 7.5)
    Traceback (most recent call last):
    ValueError: score: got 7.5, expected a number in 0..1
    """
    fits, expected = _EXPECTED[name]
    if not (fits(value) if value is not None else name != "file"):
        raise ValueError(f"{name}: got {value!r:.80}, expected {expected}")


def check_row(row: Row) -> Row:
    """Refuse a row that no picture has, such as one that was changed in a file.

    Parameters
    ----------
    row : Row
        Of values of any types.

    Returns
    -------
    Row
        The same.

    Raises
    ------
    ValueError
        If an attribute is not what `Row` says, or some of them contradict each other.

    Examples
    --------
    >>> check_row(Row("a.jpg", 0.25, "is damaged"))
    Traceback (most recent call last):
    ValueError: score: got 0.25 and the error 'is damaged', expected one of them
    """
    for name, value in row._asdict().items():
        check_attribute(name, value)
    if (row.score is None) == (row.error is None):
        raise ValueError(f"score: got {row.score} and the error {row.error!r:.80}, expected one of them")
    if (row.label is None) != (row.threshold is None):
        raise ValueError(f"label: got {row.label} and the threshold {row.threshold}, expected both or none")
    if row.label is not None and (row.label == FAILED) != (row.score is None):
        raise ValueError(f"label: got {row.label} and the score {row.score}, expected {FAILED} where there is none")
    if row.second is not None and row.frames is None:
        raise ValueError(f"second: got {row.second} and no number of frames, expected one")
    return row


def failed_row(file: str, error: str, threshold: float | None = None) -> Row:
    """Make the row of a picture that could not be scored.

    Parameters
    ----------
    file, error : str
    threshold : float, optional

    Returns
    -------
    Row

    Examples
    --------
    >>> failed_row("a.jpg", "no such file", 0.8).label
    'failed'
    """
    return labelled(Row(file, None, error), threshold)


def rows_of_frames(file: str, scores: Sequence[FrameScore], frames: str, threshold: float | None = None) -> list[Row]:
    """Make the row of a picture whose frames were scored, or one for each frame.

    Parameters
    ----------
    file : str
    scores : sequence of FrameScore
        At least one; a photograph has one.
    frames : {"max", "mean", "all"}
        What the score is: that of the worst frame, or the mean; with "all" each frame of an animation is a row.
    threshold : float, optional

    Returns
    -------
    list of Row

    Examples
    --------
    >>> scores = [FrameScore(0.0, 0.25), FrameScore(1.5, 0.75)]
    >>> (row,) = rows_of_frames("a.gif", scores, "max", threshold=0.5)
    >>> row.score, row.label, row.frames, row.worst_second, row.share_above, row.segments
    (0.75, 'unsafe', 2, 1.5, 0.5, ((1.5, 1.5),))
    >>> [(row.second, row.score) for row in rows_of_frames("a.gif", scores, "all")]
    [(0.0, 0.25), (1.5, 0.75)]
    """
    if len(scores) == 1:
        return [labelled(Row(file, scores[0].score, None), threshold)]
    count = len(scores)
    if frames == "all":
        each = [Row(file, score, None, frames=count, second=_rounded(second)) for second, score in scores]
        return [labelled(row, threshold) for row in each]
    score, mean = summary(scores, frames), summary(scores, "mean")
    assert isinstance(score, float) and isinstance(mean, float)
    worst = max(scores, key=lambda frame: frame.score)
    row = Row(file, score, None, frames=count, worst_second=_rounded(worst.seconds), mean=mean)
    if threshold is not None:
        above = sum(frame.score >= threshold for frame in scores)
        row = row._replace(share_above=round(above / count, 4), segments=segments_above(scores, threshold) or None)
    return [labelled(row, threshold)]


def labelled(row: Row, threshold: float | None) -> Row:
    """Say which side of the threshold a row is on.

    Parameters
    ----------
    row : Row
    threshold : float or None
        None leaves the row as it is.

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        If score or threshold are no numbers, on either side of which everything is.

    Examples
    --------
    >>> labelled(Row("a.jpg", 0.8, None), 0.8).label, labelled(Row("a.jpg", 0.79, None), 0.8).label
    ('unsafe', 'safe')
    """
    if threshold is None:
        return row
    if math.isnan(threshold) or (row.score is not None and math.isnan(row.score)):
        raise ValueError(f"{row.file}: got a score of {row.score} and a threshold of {threshold}, expected numbers")
    label = FAILED if row.score is None else UNSAFE if row.score >= threshold else SAFE
    return row._replace(label=label, threshold=threshold)


def segments_above(scores: Sequence[FrameScore], threshold: float) -> tuple[tuple[float, float], ...]:
    """Find where frames are that reach the threshold.

    Parameters
    ----------
    scores : sequence of FrameScore
    threshold : float

    Returns
    -------
    tuple of (float, float)
        Seconds: each begins with its first frame and ends where the next frame below begins, or at the last frame.

    Examples
    --------
    >>> scores = [FrameScore(0.0, 0.9), FrameScore(1.0, 0.9), FrameScore(2.0, 0.1), FrameScore(3.0, 0.8)]
    >>> segments_above(scores, 0.8)
    ((0.0, 2.0), (3.0, 3.0))
    """
    segments = []
    for above, places in groupby(range(len(scores)), key=lambda place: scores[place].score >= threshold):
        if above:
            run = list(places)
            end = min(run[-1] + 1, len(scores) - 1)
            segments.append((_rounded(scores[run[0]].seconds), _rounded(scores[end].seconds)))
    return tuple(segments)


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
