"""What came of all files, in one line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from nsfw_command.row import UNSAFE, Row


class Tally:
    """Counts of what came of files, and how fast.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.add([Row("a.jpg", 0.9, None, "unsafe", 0.8)])
    >>> tally.add([Row("b.jpg", None, "is empty", "failed", 0.8)])
    >>> tally.pass_over("pdf")
    >>> tally.text(seconds=0.5)
    '1 scored (1 unsafe), 1 failed, 1 no picture: 1 pdf; 4.0 pictures/s'
    """

    def __init__(self) -> None:
        self.scored = self.failed = self.unsafe = self.before = 0
        self.kinds: Counter[str] = Counter()
        self._labels = False
        self._began = time.monotonic()

    def add(self, rows: Sequence[Row], before: bool = False) -> None:
        """Count a picture.

        Parameters
        ----------
        rows : sequence of Row
            All of its rows.
        before : bool
            Whether an earlier run has made them.
        """
        failed = rows[0].error is not None
        self.failed += failed
        self.scored += not failed
        self.unsafe += any(row.label == UNSAFE for row in rows)
        self.before += before
        self._labels |= rows[0].label is not None

    def pass_over(self, kind: str) -> None:
        """Count a file that is no picture.

        Parameters
        ----------
        kind : str
        """
        self.kinds[kind] += 1

    def text(self, seconds: float | None = None) -> str:
        """Say it all.

        Parameters
        ----------
        seconds : float, optional
            What it took; left out, the time since this was made.

        Returns
        -------
        str
        """
        seconds = time.monotonic() - self._began if seconds is None else seconds
        counts = [f"{self.scored} scored{f' ({self.unsafe} unsafe)' if self._labels else ''}"]
        if self.failed:
            counts.append(f"{self.failed} failed")
        if number := sum(self.kinds.values()):
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
            counts.append(f"{number} no picture{'' if number == 1 else 's'}: {kinds}")
        now = self.scored + self.failed - self.before
        ends = [f"{self.before} of them before"] if self.before else []
        ends += [f"{now / max(seconds, 1e-9):.1f} pictures/s"] if now else []
        return "; ".join([", ".join(counts), *ends])
