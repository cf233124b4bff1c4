"""Compiling that fails for want of something outside the code: one sentence that names the folder or the setting."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from theano_compat import precompiled, settings
from theano_compat.import_hook import after, before
from theano_compat.requirements import TheanoEnvironmentError, python_header

_last: TheanoEnvironmentError | None = None


@after("theano.gof.cmodule")
def explain_failures(cmodule: Any) -> bool:
    """A full disk or a compiler that does not work are not the fault of the code that Theano prints"""
    plain = cmodule.GCC_compiler.compile_str

    def compile_str(module_name: str, *args: Any, **kwargs: Any) -> Any:
        global _last
        try:
            if precompiled.in_use():
                precompiled.refuse(f"a module that Theano needs ({module_name[:12]})")
            return _compile(cmodule, plain, module_name, *args, **kwargs)
        except TheanoEnvironmentError as error:
            _last = error
            raise

    cmodule.GCC_compiler.compile_str = staticmethod(compile_str)
    return False


def _compile(cmodule: Any, plain: Any, *args: Any, **kwargs: Any) -> Any:
    import io

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            return plain(*args, **kwargs)
    except Exception as error:
        config = cmodule.config
        problem = explain(error, config.cxx, config.compiledir, config.gcc.cxxflags)
        if problem is not None:
            printed = io.StringIO()
            raise TheanoEnvironmentError(problem) from error
        raise
    finally:
        print(printed.getvalue(), end="")


def explain(error: Exception, cxx: str, folder: str, cxxflags: str = "") -> str | None:
    """Say why a module could not be compiled, if that is not for its code.

    Parameters
    ----------
    error : Exception
        What Theano raised.
    cxx, folder, cxxflags : str
        Theano's settings ``cxx``, ``compiledir`` and ``gcc.cxxflags``.

    Returns
    -------
    str or None
        One sentence, or None where the compiler works and had room.

    Examples
    --------
    >>> explain(OSError(28, "No space left on device"), "g++", "/tmp/folder")
    'Theano cannot write to /tmp/folder, its folder for compiled modules, or to the temporary files...
    """
    if isinstance(error, OSError) or "No space left on device" in str(error):
        reason = error.strerror if isinstance(error, OSError) else "No space left on device"
        return (
            f"Theano cannot write to {folder}, its folder for compiled modules, or to the temporary files in "
            f"{_temporary_files()} ({reason}): make room there, or {settings.CHOOSE_A_FOLDER}, or TMPDIR."
        )
    problem = _trial(cxx)
    if problem is not None:
        return (
            f"the C++ compiler {cxx!r} fails on a program of one line ({problem}): set THEANO_FLAGS=cxx=/path/to/g++."
        )
    problem = _trial(cxx, *cxxflags.split())
    if problem is not None:
        return f"the C++ compiler {cxx!r} refuses the flags of THEANO_FLAGS=gcc.cxxflags={cxxflags} ({problem})."
    return None


def _trial(cxx: str, *flags: str) -> str | None:
    """What keeps the compiler from reading Python's headers, or None."""
    import subprocess

    command = [cxx, *flags, "-x", "c++", "-fsyntax-only", "-I", os.path.dirname(python_header()), "-"]
    try:
        run = subprocess.run(command, input="#include <Python.h>\n", capture_output=True, text=True, errors="replace")
    except OSError as error:
        return error.strerror
    if run.returncode == 0:
        return None
    said = run.stderr.strip().splitlines()
    return f"exit code {run.returncode}" + (f", {said[0]}" if said else "")


def _temporary_files() -> str:
    import tempfile

    try:
        return tempfile.gettempdir()
    except OSError:
        return "TMPDIR"


@after("theano.gof.compilelock")
def check_room_before_locking(compilelock: Any) -> bool:
    """Where its folder cannot be written, Theano tries for a minute to lock it, and warns each time"""
    plain = compilelock.lock

    def lock(tmp_dir: str, *args: Any, **kwargs: Any) -> Any:
        check_room(os.path.dirname(tmp_dir))
        return plain(tmp_dir, *args, **kwargs)

    compilelock.lock = lock
    return False


@before("theano.gof.lazylinker_c")
def check_room_for_the_linker(lazylinker_c: Any) -> bool:
    """The first that Theano compiles is part of its import"""
    import theano

    if precompiled.in_use() is None:
        folder = theano.config.compiledir
        if not os.path.exists(os.path.join(folder, "lazylinker_ext", "lazylinker_ext.so")):
            check_room(folder)
    return False


def check_room(folder: str) -> None:
    """Check that something can be written to the folder of compiled modules.

    Parameters
    ----------
    folder : str

    Raises
    ------
    TheanoEnvironmentError
        It cannot.

    Examples
    --------
    >>> import tempfile
    >>> check_room(tempfile.gettempdir())
    """
    import tempfile

    global _last
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(65536))
    except OSError as error:
        _last = TheanoEnvironmentError(explain(error, "", folder))
        raise _last from error


@after("theano.gof.vm")
def raise_what_kept_the_linker_away(vm: Any) -> bool:
    """Theano goes on without its C virtual machine where that fails to compile, and stumbles over it later"""
    import theano

    if theano.config.cxx and not hasattr(vm, "CVM"):
        if _last is not None:
            raise _last
        try:
            importlib.import_module("theano.gof.lazylinker_c")
        except TheanoEnvironmentError:
            raise
        except ImportError as error:
            raise TheanoEnvironmentError(
                f"Theano's C virtual machine, {theano.config.compiledir}/lazylinker_ext, cannot be loaded ({error}): "
                "install what is missing, or remove that folder and compile again."
            ) from error
    return False


@after("theano.gof.opt")
def optimise_no_further(opt: Any) -> bool:
    """Theano's optimiser goes on after errors, and prints each; where nothing can be compiled, they are all the same"""

    def raising(plain: Callable[..., Any]) -> Any:
        def warn(exc: Exception, *args: Any) -> Any:
            if isinstance(exc, TheanoEnvironmentError):
                raise exc
            return plain(exc, *args)

        return staticmethod(warn)

    opt.NavigatorOptimizer.warn = raising(opt.NavigatorOptimizer.warn)
    opt.SeqOptimizer.warn = raising(opt.SeqOptimizer.warn)
    return False


@after("theano.gof.cmodule")
def try_programs_where_they_can_run(cmodule: Any) -> bool:
    """Theano runs small programs among the temporary files; where these are noexec, it would compile slow code"""
    if precompiled.in_use() or not settings.is_noexec(_temporary_files()):
        return False
    plain = cmodule.Compiler._try_compile_tmp.__func__

    def _try_compile_tmp(cls: Any, *args: Any, **kwargs: Any) -> Any:
        with _temporary_files_in(cmodule.config.compiledir):
            return plain(cls, *args, **kwargs)

    cmodule.Compiler._try_compile_tmp = classmethod(_try_compile_tmp)
    return True


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    import tempfile

    usual, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = usual
