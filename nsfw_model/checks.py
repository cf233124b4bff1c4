"""Checks of numbers that users give, and of those that a network gives, without heavy imports."""

from __future__ import annotations

from contextlib import suppress
from math import inf, nan
from numbers import Integral
from typing import Any

import numpy as np

#: The most threads and processes that can be asked for: several times what the largest machines have cores.
MAX_THREADS, MAX_PROCESSES = 4096, 1024
#: The largest of other whole numbers, such as of pictures at once.
MAX_NUMBER = 2**31 - 1


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


def above_zero(name: str, number: Any, most: float = inf, what: str = "a number") -> float:
    """Give what stands for a number above 0 as a float, such as NumPy's numbers and fractions; no text does.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    number : object
    most : float
        Infinity is refused in any case.
    what : str
        Is expected, for the message.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is none, or more than `most`.

    Examples
    --------
    >>> above_zero("seconds", np.float32(0.5), most=60)
    0.5
    >>> above_zero("seconds", "8", most=60)
    Traceback (most recent call last):
    ValueError: seconds: got '8', expected a number above 0 and at most 60
    """
    value = nan
    with suppress(TypeError, ValueError, OverflowError):
        value = nan if isinstance(number, (str, bytes, bytearray)) else float(number)
    if not 0 < value <= most or value == inf:
        at_most = "" if most == inf else f" and at most {most:g}"
        raise ValueError(f"{name}: got {number!r:.100}, expected {what} above 0{at_most}")
    return value


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


def check_finite(name: str, values: np.ndarray) -> None:
    """Refuse values that are infinite or no numbers.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    values : ndarray of floats

    Raises
    ------
    ValueError
        If one is not finite. The message says which.

    Examples
    --------
    >>> check_finite("x", np.array([1.0, np.nan]))
    Traceback (most recent call last):
    ValueError: x: got nan at [1] (1 of 2 values are not finite), expected finite numbers
    """
    flaw = not_finite(values)
    if flaw:
        raise ValueError(f"{name}: got {flaw}, expected finite numbers")


def real_numbers(name: str, values: Any) -> np.ndarray:
    """Give an array of what NumPy would make numbers of, unless it were others than those that are there.

    Complex numbers would lose a part, moments and texts become numbers that nobody meant, and what is masked would be
    seen.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    values : ndarray, or nested sequences of numbers

    Returns
    -------
    ndarray
        Of whole numbers, floats or booleans; not a copy where it is an array already.

    Raises
    ------
    ValueError
        If these are no real numbers, or some of them are masked.

    Examples
    --------
    >>> real_numbers("x", [1, 2])
    array([1, 2])
    >>> real_numbers("x", np.array([1j]))
    Traceback (most recent call last):
    ValueError: x: got values of type complex128, expected real numbers
    """
    masked = int(np.ma.count_masked(values)) if np.ma.is_masked(values) else 0
    if masked:
        raise ValueError(f"{name}: got {masked} masked values, expected none; `filled` gives them a value")
    array = np.asarray(values)
    if not np.can_cast(array.dtype, np.float32, "same_kind"):
        raise ValueError(f"{name}: got values of type {array.dtype}, expected real numbers")
    return array
