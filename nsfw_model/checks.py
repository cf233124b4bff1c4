"""Checks of numbers that users give, without heavy imports."""

from __future__ import annotations

from numbers import Integral


def check_whole(name: str, number: int, least: int) -> None:
    """Refuse what is no whole number, or too small a one.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    number : int
    least : int

    Raises
    ------
    ValueError
        If `number` is no whole number of at least `least`. Booleans are none.

    Examples
    --------
    >>> check_whole("seed", 3, least=0)
    >>> check_whole("seed", -1, least=0)
    Traceback (most recent call last):
    ValueError: seed: got -1, expected a whole number of at least 0
    """
    if not isinstance(number, Integral) or isinstance(number, bool) or number < least:
        raise ValueError(f"{name}: got {number!r}, expected a whole number of at least {least}")
