"""The import hook: it sees modules of Theano and Lasagne being imported, and makes the repairs registered for them.

`install` puts one finder in front of ``sys.meta_path``. A repair is a function with one of the decorators below;
each is called once, when its module is imported, so the order of imports in a program does not matter. The first
line of its docstring is its reason, which `applied_repairs` lists.

This module knows no repair. To add one, write it beside those of its subject and decorate it::

    before, after    called around the code of a module, with the module
    during           a context in which the code of a module runs
    provide          fills a module that has gone from Theano
    stand_in         makes modules that only the module being imported gets to see
    skip_import      (a plain call) keeps a module of others from being imported where Theano can do without it

and import its file in ``theano_compat/__init__.py``, if that is a new one.

One thing concerns every module alike: where Python's compiler warns of a source text, it is given the text that
`theano_compat.sources` makes of it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

REPAIRED_PACKAGES = "theano", "lasagne"

Repair = Callable[[ModuleType], bool]
"""It is given the module, and returns whether there was anything to do."""

_before: dict[str, list[Repair]] = {}
_after: dict[str, list[Repair]] = {}
_provided: dict[str, Repair] = {}
_during: dict[str, list[Callable[[], contextlib.AbstractContextManager[None]]]] = {}
_applied: dict[str, str] = {}


def before(*modules: str) -> Callable[[Repair], Repair]:
    """Register a repair that is called before the code of each of the modules runs.

    Parameters
    ----------
    *modules : str
        Full names.

    Returns
    -------
    callable
        A decorator that gives the function back.

    Examples
    --------
    >>> @before("theano.part")
    ... def restore_name(part):
    ...     "Python 3.20 has lost a name that theano.part imports"
    ...     return False  # nothing was to be done on this Python
    """
    return _registering_in(_before, modules)


def after(*modules: str) -> Callable[[Repair], Repair]:
    """Register a repair that is called after the code of each of the modules has run.

    Parameters
    ----------
    *modules : str
        Full names.

    Returns
    -------
    callable
        A decorator that gives the function back.

    Examples
    --------
    >>> @after("theano.part")
    ... def widen_range(part):
    ...     "NumPy 2.20 refuses numbers that theano.part tries"
    ...     part.largest = 2**31
    ...     return True
    """
    return _registering_in(_after, modules)


def _registering_in(registry: dict[str, list[Repair]], modules: Iterable[str]) -> Callable[[Repair], Repair]:
    def register(repair: Repair) -> Repair:
        for name in modules:
            registry.setdefault(name, []).append(repair)
        return repair

    return register


def during(*modules: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    """Register a context in which the code of each of the modules runs.

    Parameters
    ----------
    *modules : str
        Full names.

    Returns
    -------
    callable
        A decorator of a generator as `contextlib.contextmanager` takes it, that gives the function back.

    Examples
    --------
    >>> @during("theano.part")
    ... def explain_errors():
    ...     "The errors of theano.part do not say which setting is meant"
    ...     try:
    ...         yield
    ...     except KeyError as error:
    ...         raise ValueError("the setting 'part' is missing") from error
    """

    def register(context: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        for name in modules:
            _during.setdefault(name, []).append(contextlib.contextmanager(context))
        return context

    return register


def provide(module: str) -> Callable[[Repair], Repair]:
    """Register a repair that fills an empty module, for one of Theano's or Lasagne's that nobody else finds.

    Parameters
    ----------
    module : str
        Its full name.

    Returns
    -------
    callable
        A decorator that gives the function back.

    Examples
    --------
    >>> @provide("theano.old_name")
    ... def fill_old_name(old_name):
    ...     "Lasagne imports theano.new_name by its old name"
    ...     old_name.function = abs
    ...     return True
    """

    def register(repair: Repair) -> Repair:
        _provided[module] = repair
        return repair

    return register


def stand_in(*importers: str) -> Callable[[Callable[[], list[ModuleType]]], Callable[[], list[ModuleType]]]:
    """Register a maker of modules that can be imported only while one of the importers is imported.

    Others must not mistake them for the real ones. Where the real ones have been imported already, those are used.

    Parameters
    ----------
    *importers : str
        Full names of modules of Theano or Lasagne.

    Returns
    -------
    callable
        A decorator that gives the function back.

    Examples
    --------
    >>> @stand_in("theano.part")
    ... def asyncore_stand_in():
    ...     "asyncore left Python 3.12; theano.part asks it for nothing"
    ...     return [ModuleType("asyncore")]
    """

    def register(make: Callable[[], list[ModuleType]]) -> Callable[[], list[ModuleType]]:
        for name in importers:
            _during.setdefault(name, []).append(functools.partial(_standing_in, make))
        return make

    return register


def skip_import(module: str, importers: Iterable[str], instead: ModuleType | None = None) -> None:
    """Keep a module that takes long to import from being imported by some that can do without it.

    Parameters
    ----------
    module : str
        Full name of the slow module. Where it has been imported already, it is used.
    importers : iterable of str
        Full names of modules of Theano or Lasagne.
    instead : module, optional
        What they get. Without it their import statement raises ModuleNotFoundError.

    Examples
    --------
    >>> skip_import("scipy.ndimage", ["theano.part"])
    """
    for name in importers:
        _during.setdefault(name, []).append(functools.partial(_skipping, module, instead))


def applied_repairs() -> list[tuple[str, str]]:
    """Return the repairs that were needed so far.

    Returns
    -------
    list of (str, str)
        Name and reason of each, in the order of their use; empty until Theano is imported.

    Examples
    --------
    >>> import theano_compat, theano
    >>> theano_compat.applied_repairs()[-1]
    ('...', '...')
    """
    return list(_applied.items())


def install() -> None:
    """Put the finder in front of ``sys.meta_path``, unless it is installed already."""
    if not is_installed():
        sys.meta_path.insert(0, RepairingFinder)


def is_installed() -> bool:
    """Return whether the finder is installed.

    Returns
    -------
    bool

    Examples
    --------
    >>> import theano_compat
    >>> is_installed()
    True
    """
    return RepairingFinder in sys.meta_path


class RepairingFinder:
    """Finds what the other finders find, and wraps the loading of Theano's and Lasagne's modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a module of Theano or Lasagne, None for all others: they are left to the next finder."""
        if name.partition(".")[0] not in REPAIRED_PACKAGES:
            return None
        spec = _find_elsewhere(name, path, target)
        if spec is None:
            # importlib.abc, whose Loader the type checker wants, takes longer to import than this package
            return ModuleSpec(name, _ProvidingLoader) if name in _provided else None  # type: ignore[arg-type]
        if spec.has_location:
            _wrap(spec)
        return spec


class _ProvidingLoader:
    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType | None:
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        _apply([_provided[module.__name__]], module)


def _find_elsewhere(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if finder is not RepairingFinder and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


def _wrap(spec: ModuleSpec) -> None:
    """Let the module's loader make the repairs. It stays the loader that it is: tools ask it for sources."""
    loader = spec.loader
    assert loader is not None
    if hasattr(loader, "source_to_code"):
        loader.source_to_code = functools.partial(_compile_corrected, spec.name, loader.source_to_code)
    exec_module = loader.exec_module

    def exec_repaired(module: ModuleType) -> None:
        _apply(_before.get(spec.name, ()), module)
        with contextlib.ExitStack() as stack:
            for context in _during.get(spec.name, ()):
                stack.enter_context(context())
            exec_module(module)
        _apply(_after.get(spec.name, ()), module)

    loader.exec_module = exec_repaired  # type: ignore[method-assign]


def _compile_corrected(
    name: str, compile_source: Callable[..., CodeType], source: bytes, path: str, *arguments: Any, **options: Any
) -> CodeType:
    """Compile a module as its loader does, and a corrected text of it if the compiler warns."""
    import re
    import warnings

    with warnings.catch_warnings():
        # The compiler names the file in place of the module, or both; other threads may warn of other modules
        module = rf"{re.escape(name)}$|{re.escape(path.removesuffix('.py'))}"
        for category in SyntaxWarning, DeprecationWarning:  # invalid escapes were the latter before Python 3.12
            warnings.filterwarnings("error", category=category, module=module)
        with contextlib.suppress(SyntaxError):
            return compile_source(source, path, *arguments, **options)
    from importlib.util import decode_source

    from theano_compat.sources import correct

    text, corrections = correct(decode_source(source))
    _applied.update((correction.__name__, _reason(correction)) for correction in corrections)
    return compile_source(text, path, *arguments, **options)


def _apply(repairs: Iterable[Repair], module: ModuleType) -> None:
    for repair in repairs:
        if repair(module):
            _applied[repair.__name__] = _reason(repair)


def _reason(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


@contextlib.contextmanager
def _standing_in(make: Callable[[], list[ModuleType]]) -> Iterator[None]:
    """Serve stand-in modules, parents first."""
    modules = make()
    if modules[0].__name__ in sys.modules:
        yield
        return
    _applied[make.__name__] = _reason(make)
    try:
        for module in modules:
            sys.modules[module.__name__] = module
            parent, _, leaf = module.__name__.rpartition(".")
            if parent:
                setattr(sys.modules[parent], leaf, module)
        yield
    finally:
        for module in modules:
            sys.modules.pop(module.__name__, None)


@contextlib.contextmanager
def _skipping(name: str, instead: ModuleType | None) -> Iterator[None]:
    if name in sys.modules:
        yield
        return
    _applied["skip_" + name.replace(".", "_")] = f"{name} takes long to import, and Theano can do without it"
    sys.modules[name] = instead  # type: ignore[assignment]  # None makes the import fail at once
    package, _, leaf = name.rpartition(".")
    parent = sys.modules.get(package)
    if parent is not None and instead is not None:
        setattr(parent, leaf, instead)  # a package that imports its modules lazily asks for the attribute
    try:
        yield
    finally:
        del sys.modules[name]
        if parent is not None and instead is not None:
            delattr(parent, leaf)
