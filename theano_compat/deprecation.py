"""Names that have moved, under which they can still be imported, with a `DeprecationWarning`."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def deprecated_names(
    module: str, moved: Mapping[str, str], otherwise: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """Make a module's ``__getattr__`` (PEP 562) that still finds names which have moved.

    Parameters
    ----------
    module : str
        The module's ``__name__``.
    moved : mapping of str to str
        Old names, and where each is now, as ``"package.module:name"``.
    otherwise : callable, optional
        Another ``__getattr__``, asked for names that have not moved.

    Returns
    -------
    callable
        It gives the object of an old name and warns, or raises AttributeError.

    Examples
    --------
    >>> find = deprecated_names("old", {"squareroot": "math:sqrt"})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     find("squareroot")(9.0)
    3.0
    >>> print(caught[0].message)
    old.squareroot is now math.sqrt
    """

    def find(name: str) -> Any:
        if name in moved:
            new_module, _, new_name = moved[name].partition(":")
            message = f"{module}.{name} is now {new_module}.{new_name}"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return getattr(importlib.import_module(new_module), new_name)
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


def lazy_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package face: names that are imported from its modules when first asked for.

    Parameters
    ----------
    module : str
        The package's ``__name__``.
    homes : mapping of str to str
        Names, and the module that each is imported from.

    Examples
    --------
    >>> lazy_names("face", {"sqrt": "math"})("sqrt")(9.0)
    3.0
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return find


class _MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules under their old names: the import of one warns and gives the module of today."""

    def __init__(self, moved: Mapping[str, str]):
        self._moved = moved

    def find_spec(self, name: str, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in self._moved else None

    def create_module(self, spec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        new = self._moved[module.__name__]
        warnings.warn(f"{module.__name__} is now {new}", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def move_modules(moved: Mapping[str, str]) -> None:
    """Let modules be imported by their old names for as long as the process lives.

    Parameters
    ----------
    moved : mapping of str to str
        Old full names and present ones.

    Examples
    --------
    >>> move_modules({"squareroots": "math"})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     import squareroots
    >>> squareroots.sqrt(9.0)
    3.0
    """
    sys.meta_path.append(_MovedModules(moved))
