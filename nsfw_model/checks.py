"""Checks of numbers that users give, and of those that a network gives, without heavy imports."""

from __future__ import annotations

from numbers import Integral

import numpy as np


def check_whole(name: str, number: int, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number, or too small or large a one.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    number : int
    least : int
    most : int, optional

    Raises
    ------
    ValueError
        If `number` is no whole number of at least `least` and at most `most`. Booleans are none.

    Examples
    --------
    >>> check_whole("seed", 3, least=0)
    >>> check_whole("seed", -1, least=0)
    Traceback (most recent call last):
    ValueError: seed: got -1, expected a whole number of at least 0
    """
    whole = isinstance(number, Integral) and not isinstance(number, bool)
    if not whole or number < least or (most is not None and number > most):
        above = "" if most is None else f" and at most {most}"
        raise ValueError(f"{name}: got {number!r:.100}, expected a whole number of at least {least}{above}")


def not_finite(values: np.ndarray) -> str | None:
    """Name the first value that is infinite or no number.

    Parameters
    ----------
    values : ndarray of floats

    Returns
    -------
    str or None
        The value and its place; None where all are finite.

    Examples
    --------
    >>> not_finite(np.array([[0, 1], [np.nan, np.inf]]))
    'nan at [1, 0] (2 of 4 values are not finite)'
    >>> not_finite(np.zeros(3)) is None
    True
    """
    finite = np.isfinite(values)
    if finite.all():
        return None
    place = np.argwhere(~finite)[0].tolist()
    count = int(finite.size - np.count_nonzero(finite))
    return f"{values[tuple(place)]} at {place} ({count} of {finite.size} values are not finite)"
