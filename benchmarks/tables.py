"""Tables of the benchmarks, as text or in Markdown."""

from __future__ import annotations


def write_row(cells, markdown: bool, header: bool = False, width: int = 12, first: int = 24) -> None:
    """Print a table row; as text, the first column is `first` characters wide and all others are `width`."""
    cells = [f"{cell:.5g}" if isinstance(cell, float) else str(cell) for cell in cells]
    if markdown:
        print("|", " | ".join(cells), "|")
        if header:
            print("|" + " --- |" * len(cells))
    else:
        print(f"{cells[0]:<{first}}" + "".join(f"{cell:>{width}}" for cell in cells[1:]), flush=True)
