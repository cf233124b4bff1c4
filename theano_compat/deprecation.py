"""Names that have moved, which still work with a `DeprecationWarning`, and names that are imported lazily.

The warnings point at the line that uses the old name, as ``python -W default`` shows them:
``warnings.warn(stacklevel=2)`` skips the frames of the import machinery.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

MOVED_MODULES: dict[str, str] = {}
"""Old full names of modules, and present ones; `move_modules` adds to it."""


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


def lazy_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package face: names that are imported from its modules when first asked for.

    Parameters
    ----------
    module : str
        The package's ``__name__``.
    homes : mapping of str to str
        Names, and the module that each is imported from.

    Returns
    -------
    callable
        It gives the object of a name, or raises AttributeError.

    Examples
    --------
    In a package's ``__init__.py``, where only type checkers import at once::

        if TYPE_CHECKING:
            from package.attack import inverse

        __all__ = ["inverse"]
        __getattr__ = lazy_names(__name__, {"inverse": "package.attack"})
        __dir__ = lazy_dir(__name__)

    >>> lazy_names("face", {"sqrt": "math"})("sqrt")(9.0)
    3.0
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return find


def lazy_dir(module: str) -> Callable[[], list[str]]:
    """Make the ``__dir__`` of a package face, so that ``dir()`` and the Tab key show its lazy names too.

    Parameters
    ----------
    module : str
        The package's ``__name__``; it has an ``__all__``.

    Returns
    -------
    callable
        It gives the module's present names and those in ``__all__``, sorted.

    Examples
    --------
    >>> "applied_repairs" in lazy_dir("theano_compat")()
    True
    """

    def names() -> list[str]:
        face = sys.modules[module]
        return sorted({*vars(face), *face.__all__})

    return names


def move_modules(moved: Mapping[str, str]) -> None:
    """Let modules be imported by their old names for as long as the process lives.

    The import of an old name warns and gives the module of today, the same object.

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
    MOVED_MODULES.update(moved)
    if _MovedModulesFinder not in sys.meta_path:
        sys.meta_path.append(_MovedModulesFinder)


class _MovedModulesFinder:
    """Finds modules under their old names, and loads those of today instead."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        # importlib.abc, whose Loader the type checker wants, takes longer to import than this package
        return ModuleSpec(name, _MovedModulesFinder) if name in MOVED_MODULES else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType | None:
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        old = module.__name__
        new = MOVED_MODULES[old]
        warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=2)
        # The import statement takes what stands here at the end
        sys.modules[old] = importlib.import_module(new)
