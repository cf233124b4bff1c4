"""Tables of the benchmarks, as text or in Markdown."""

from __future__ import annotations


from collections.abc import Iterable


def write_row(cells: Iterable, markdown: bool, header: bool = False, width: int = 12, first: int = 24) -> None:
    """Print a table row.

    Parameters
    ----------
    cells : iterable
        Floats are written with five significant digits.
    markdown : bool
    header : bool, optional
        Whether, in Markdown, a line follows that makes it the header.
    width, first : int, optional
        Characters of a column, and of the first one, in text.

    Examples
    --------
    >>> write_row(["score", 1 / 3], markdown=True)
    | score | 0.33333 |
    """
    texts = [f"{cell:.5g}" if isinstance(cell, float) else str(cell) for cell in cells]
    if markdown:
        print("|", " | ".join(texts), "|")
        if header:
            print("|" + " --- |" * len(texts))
    else:
        print(f"{texts[0]:<{first}}" + "".join(f"{text:>{width}}" for text in texts[1:]), flush=True)
