"""What may be asked of an inverse search; without heavy imports, for the command line's parser."""

from __future__ import annotations

import math

#: What a target may be called.
NAMED_TARGETS = {"sfw": 0.0, "nsfw": 1.0}


def check_target(target: float | str) -> float:
    """Give the target as a number in 0..1.

    Parameters
    ----------
    target : float or str
        A number, also as text, or a name of `NAMED_TARGETS`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> check_target("nsfw"), check_target("0.37"), check_target(0)
    (1.0, 0.37, 0.0)
    """
    number = NAMED_TARGETS[target] if isinstance(target, str) and target in NAMED_TARGETS else _number(target)
    if not 0 <= number <= 1:  # NaN too
        raise ValueError(f'target: got {target!r}, expected a number from 0 to 1, "sfw" or "nsfw"')
    return number


def check_tolerance(tolerance: float | str) -> float:
    """Give the tolerance as a number.

    Parameters
    ----------
    tolerance : float or str

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is not between 0 and 0.5.

    Examples
    --------
    >>> check_tolerance("0.01")
    0.01
    """
    number = _number(tolerance)
    if not 0 < number < 0.5:
        raise ValueError(f"tolerance: got {tolerance!r}, expected more than 0 and less than 0.5")
    return number


def _number(value: float | str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
