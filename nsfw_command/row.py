"""What is told of a picture: its score, its label, and where in an animation or a film the worst is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

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
