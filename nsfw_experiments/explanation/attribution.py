"""What a method finds: a grid of numbers over the network's input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

#: Inputs that go through the network at once.
BATCH = 8
#: The largest standard deviations of a blur, in pixels, and of a noise, in grey levels: beyond them nothing is left.
MOST_BLUR, MOST_NOISE = 1024, 1024


class Attribution(NamedTuple):
    """Where in the network's input a logit comes from.

    Attributes
    ----------
    cells : ndarray of float32, shape (rows, columns)
        Equal parts of the input, in logits: how far it would be from `baseline_logit`, were all parts like this one.
    logit : float
        Of the input.
    baseline_logit : float or None
        Where the method has a sum rule: the logit of what has nothing to be explained. ``cells.mean() +
        baseline_logit`` is `logit`. None where it has no such rule.
    """

    cells: np.ndarray
    logit: float
    baseline_logit: float | None


def batches(count: int) -> Iterator[range]:
    """Split numbers into batches.

    Parameters
    ----------
    count : int

    Yields
    ------
    range
        Of at most `BATCH` numbers.

    Examples
    --------
    >>> list(batches(10))
    [range(0, 8), range(8, 10)]
    """
    for start in range(0, count, BATCH):
        yield range(start, min(start + BATCH, count))


def blurred(x: np.ndarray, blur: float) -> np.ndarray:
    """Blur network input: what is small in it is gone, and its colours stay.

    Parameters
    ----------
    x : ndarray of float32, shape (3, height, width)
    blur : float
        Standard deviation of the Gaussian, in pixels.

    Returns
    -------
    ndarray of float32, shape (3, height, width)

    Raises
    ------
    ValueError
        If `blur` is no number above 0 and at most `MOST_BLUR`.

    Examples
    --------
    >>> blurred(np.ones((3, 4, 4), np.float32), 2).tolist() == np.ones((3, 4, 4)).tolist()
    True
    """
    check_above_zero("blur", blur, MOST_BLUR)
    return gaussian_filter(x, (0, blur, blur), mode="nearest")


def check_above_zero(name: str, number: float, most: float) -> None:
    """Refuse what is no number above 0, or too large a one.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    number : float
    most : float
        Infinity allows that, too.

    Raises
    ------
    ValueError
        If `number` is no number above 0 and at most `most`. Booleans are none.

    Examples
    --------
    >>> check_above_zero("blur", 12, most=1024)
    >>> check_above_zero("blur", -1, most=1024)
    Traceback (most recent call last):
    ValueError: blur: got -1, expected a number above 0 and at most 1024
    """
    is_number = isinstance(number, (int, float, np.number)) and not isinstance(number, bool)
    if not is_number or not 0 < number <= most:
        up_to = "or infinity" if most == np.inf else f"and at most {most}"
        raise ValueError(f"{name}: got {number!r:.100}, expected a number above 0 {up_to}")
