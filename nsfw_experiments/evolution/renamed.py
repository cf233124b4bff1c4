"""Parameters that were renamed, and can still be given under their old names."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed_arguments(**new_names: str) -> Callable[[Function], Function]:
    """Let a function take keyword arguments under their old names too, with a `DeprecationWarning`.

    Parameters
    ----------
    **new_names : str
        Present names by old ones.

    Returns
    -------
    callable
        A decorator.

    Examples
    --------
    >>> @renamed_arguments(base="exponent")
    ... def square(number, exponent=2):
    ...     return number**exponent
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     square(3, base=4)
    81
    >>> print(caught[0].message)
    square: the argument base is now exponent
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def renaming(*args: Any, **kwargs: Any) -> Any:
            for old in new_names.keys() & kwargs.keys():
                new = new_names[old]
                message = f"{function.__name__}: the argument {old} is now {new}"
                if new in kwargs:
                    raise TypeError(f"{message}; got both")
                warnings.warn(message, DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast(Function, renaming)

    return decorate
