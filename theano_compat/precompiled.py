"""Compiled modules for machines without a compiler.

``open-nsfw warm-up`` compiles everything on a machine that has a compiler, and `write_record` leaves a small record
beside the modules. Theano looks its modules up by keys that hold the compiler's name, version and arguments. Where
there is no compiler (or no ``Python.h``, or the folder cannot be written), `use` lets Theano take these from the
record: it finds the same keys, runs the same compiled code, and writes nothing. What is missing from the folder is
refused in one `TheanoEnvironmentError`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn, get_type_hints

from theano_compat import processor
from theano_compat.compiler import march_of, needed_flags
from theano_compat.import_hook import after
from theano_compat.requirements import TheanoEnvironmentError

RECORD = "precompiled.json"
HOW_TO_WARM_UP = "run 'open-nsfw warm-up' on a machine with a compiler and bring its folder here"


class Record(NamedTuple):
    """What must be the same, or taken for the same, where compiled modules are used.

    Attributes
    ----------
    python, numpy : str
        The interpreter's SOABI, and NumPy's version.
    cxx, cxx_version : str
        The compiler's path and version.
    is_llvm : bool
        Whether it says so of itself.
    cxxflags : str
        Theano's setting ``gcc.cxxflags``.
    march_flags, arguments : list of str
        What stands for ``-march=native``, and all arguments that are the same for each module.
    trials : dict of str to (bool or list of bool)
        How trial compilations ended, by a digest of what was tried.
    fingerprint : str
        `processor.fingerprint` of the machine that compiled.
    needs : list of str
        The flags that a processor must have.
    """

    python: str
    numpy: str
    cxx: str
    cxx_version: str
    is_llvm: bool
    cxxflags: str
    march_flags: list
    arguments: list
    trials: dict
    fingerprint: str
    needs: list


class Warmed(NamedTuple):
    """A folder of compiled modules that has a record.

    Attributes
    ----------
    folder : str
    record : Record
    """

    folder: str
    record: Record


class _Use(NamedTuple):
    warmed: Warmed
    reason: str


_in_use: _Use | None = None
_trials: dict[str, Any] = {}


# --- the record


def read_record(folder: str) -> Record | None:
    """Read the record of a folder of compiled modules.

    Parameters
    ----------
    folder : str

    Returns
    -------
    Record or None
        None where there is none.

    Raises
    ------
    TheanoEnvironmentError
        It is damaged, or cannot be read.

    Examples
    --------
    >>> read_record("/tmp/none") is None
    True
    """
    import json

    path = os.path.join(folder, RECORD)
    try:
        with open(path, encoding="utf-8") as file:
            record = Record(**json.load(file))
        _check_types(record)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise TheanoEnvironmentError(
            f"{path}, the record of what was compiled there, is damaged ({error}): {HOW_TO_WARM_UP} again, or install "
            "a C++ compiler."
        ) from error
    return record


def _check_types(record: Record) -> None:
    for name, expected in get_type_hints(Record).items():
        value = getattr(record, name)
        if type(value) is not expected or (expected is list and not all(isinstance(item, str) for item in value)):
            raise ValueError(f"{name} is {value!r}, expected {'words' if expected is list else expected.__name__}")


def check_compiling() -> None:
    """Check that this process may compile, so that there is something to leave a record of.

    Raises
    ------
    TheanoEnvironmentError
        There is no compiler here.

    Examples
    --------
    >>> check_compiling()
    """
    import theano

    if _in_use is not None or not theano.config.cxx:
        raise TheanoEnvironmentError(
            "compiled modules for another machine need a C++ compiler here, and "
            + (_in_use.reason if _in_use else "THEANO_FLAGS sets cxx to nothing")
            + ": install g++ ('apt-get install g++ python3-dev')."
        )


def write_record() -> str:
    """Leave the record in Theano's compile folder, for machines that cannot compile; call it after compiling.

    Returns
    -------
    str
        Its path.

    Raises
    ------
    TheanoEnvironmentError
        There is no compiler here.
    """
    import json

    import numpy
    import theano
    from theano.gof import cmodule

    check_compiling()
    arguments = cmodule.GCC_compiler.compile_args()
    cxxflags = theano.config.gcc.cxxflags
    record = Record(
        python=_soabi(),
        numpy=numpy.__version__,
        cxx=theano.config.cxx,
        cxx_version=cmodule.gcc_version_str,
        is_llvm=cmodule.gcc_llvm(),
        cxxflags=cxxflags,
        march_flags=list(cmodule.GCC_compiler.march_flags or []),
        arguments=arguments,
        trials=dict(_trials),
        fingerprint=processor.fingerprint(),
        needs=sorted(needed_flags(theano.config.cxx, march_of(cxxflags))),
    )
    path = os.path.join(theano.config.compiledir, RECORD)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(record._asdict(), file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)
    return path


def _soabi() -> str:
    import sysconfig

    return str(sysconfig.get_config_var("SOABI") or sys.version)


# --- finding it


def find(base: str) -> Warmed | None:
    """Find compiled modules with a record that this Python, NumPy and processor can use.

    Parameters
    ----------
    base : str
        A folder of compiled modules, or one that holds such folders (Theano's ``base_compiledir``).

    Returns
    -------
    Warmed or None
        The one that was made last, or None where there is no record.

    Raises
    ------
    TheanoEnvironmentError
        There are records, and none of them is for this machine; or damaged ones.

    Examples
    --------
    >>> find("/tmp/none") is None
    True
    """
    problems = []
    for folder in sorted(_recorded(base), key=_age):
        try:
            record = read_record(folder)
        except TheanoEnvironmentError as error:
            problems.append(str(error))
            continue
        if record is not None:
            problem = _problem(base, record)
            if problem is None:
                return Warmed(folder, record)
            problems.append(problem)
    if problems:
        raise TheanoEnvironmentError(problems[0])
    return None


def _recorded(base: str) -> Iterator[str]:
    try:
        folders = [base, *(entry.path for entry in os.scandir(base) if entry.name.startswith("compiledir"))]
    except OSError:
        return
    yield from (folder for folder in folders if os.path.exists(os.path.join(folder, RECORD)))


def _age(folder: str) -> float:
    return -os.stat(os.path.join(folder, RECORD)).st_mtime


def _problem(base: str, record: Record) -> str | None:
    """Why this machine cannot use what was compiled, or None."""
    import numpy

    here = f"{_soabi()} with NumPy {numpy.__version__}"
    there = f"{record.python} with NumPy {record.numpy}"
    if here != there:
        return (
            f"what {base} has was compiled for {there}, and this is {here}: {HOW_TO_WARM_UP}, with this Python and "
            "NumPy, or install a C++ compiler."
        )
    lacking = processor.lacking(record.needs)
    if lacking:
        return (
            f"what {base} has was compiled for a processor that has {', '.join(lacking)}, and this one has not: "
            "compile for an older one, such as 'open-nsfw warm-up --march x86-64-v2' or x86-64-v3."
        )
    return None


# --- using it


def in_use() -> Warmed | None:
    """Return the compiled modules that stand for a compiler in this process, None where it may compile.

    Returns
    -------
    Warmed or None

    Examples
    --------
    >>> in_use() is None or os.path.isdir(in_use().folder)
    True
    """
    return _in_use.warmed if _in_use else None


def use(warmed: Warmed, reason: str) -> dict[str, str]:
    """Let Theano, which is about to be imported, run what was compiled and compile nothing.

    Parameters
    ----------
    warmed : Warmed
    reason : str
        Why nothing can be compiled here, for messages.

    Returns
    -------
    dict of str to str
        Settings that Theano must have.
    """
    global _in_use
    _in_use = _Use(warmed, reason)
    return {
        "cxx": warmed.record.cxx,
        "gcc.cxxflags": warmed.record.cxxflags,
        # The folder's name has the kernel's version in it, and an image runs on other kernels
        "compiledir": warmed.folder,
        # Theano leaves modules alone that were not read for 24 days, which a read-only folder does not record
        "cmodule.age_thresh_use": str(2**40),
    }


def refuse(what: str) -> NoReturn:
    """Say that something would have to be compiled, where it cannot be.

    Parameters
    ----------
    what : str
        The beginning of the message.

    Raises
    ------
    TheanoEnvironmentError
        Always.
    """
    assert _in_use is not None
    raise TheanoEnvironmentError(
        f"{what} is not among what was compiled in {_in_use.warmed.folder}, and cannot be compiled here, since "
        f"{_in_use.reason}: {HOW_TO_WARM_UP} (what else than scoring is to run, such as inverse, is named by its "
        "--also), or install a C++ compiler and Python's headers."
    )


@after("theano.misc.windows")
def answer_for_the_compiler(windows: Any) -> bool:
    """Where modules were compiled elsewhere, their record says what the compiler would have said of itself"""
    if _in_use is None:
        return False
    version = _in_use.warmed.record.cxx_version.encode()

    def output_subprocess_Popen(command: list[str], **params: Any) -> tuple[bytes, bytes, int]:
        if command[1:] != ["-dumpversion"]:
            refuse("what is to be compiled")
        return version, b"", 0

    windows.output_subprocess_Popen = output_subprocess_Popen
    windows.call_subprocess_Popen = lambda command, **params: 0  # g++ -v: there is one
    return True


@after("theano.gof.compilelock")
def lock_nothing(compilelock: Any) -> bool:
    """Theano locks the folder of compiled modules by writing into it, which is of no use where nothing is compiled"""
    if _in_use is None:
        return False
    compilelock.set_lock_status(False)
    return True


@after("theano.gof.cmodule")
def load_only(cmodule: Any) -> bool:
    """Where modules were compiled elsewhere, they are found by the same keys and stay as they are"""
    if _in_use is None:
        return False
    record = _in_use.warmed.record
    compiler, cache = cmodule.GCC_compiler, cmodule.ModuleCache
    compiler.march_flags = list(record.march_flags)
    cmodule.gcc_llvm.is_llvm = record.is_llvm
    arguments = compiler.compile_args()
    if arguments != record.arguments:
        differing = sorted(set(arguments) ^ set(record.arguments))
        raise TheanoEnvironmentError(
            f"what {_in_use.warmed.folder} has was compiled with other arguments ({' '.join(differing)}), by packages "
            f"in another place or with other settings: {HOW_TO_WARM_UP}, with its packages where they are here."
        )
    # A path that does not exist, where Theano would make a folder to compile in
    cmodule.dlimport_workdir = lambda basedir: os.path.join(basedir, "nothing")
    # The folder may have been moved: Theano would delete a module that notes another place
    cmodule.is_same_entry = lambda one, other: one.split(os.sep)[-2:] == other.split(os.sep)[-2:]
    cmodule.KeyData.save_pkl = lambda key_data: None
    cache.check_key = lambda cache, key, key_pkl: None
    cache._on_atexit = lambda cache: None
    return True


@after("theano.gof.cmodule")
def remember_trials(cmodule: Any) -> bool:
    """Theano compiles small programs to see what the compiler can do; the record of compiled modules has the answers"""
    import hashlib

    plain = cmodule.Compiler._try_compile_tmp.__func__

    def _try_compile_tmp(cls: Any, src_code: Any, tmp_prefix: str = "", flags: Any = (), *args: Any, **kw: Any) -> Any:
        text = src_code if isinstance(src_code, bytes) else src_code.encode()
        trial = hashlib.sha256(b"\0".join([text, *(flag.encode() for flag in flags)])).hexdigest()
        if _in_use is None:
            result = plain(cls, src_code, tmp_prefix, flags, *args, **kw)
            if all(isinstance(part, bool) for part in (result if isinstance(result, tuple) else [result])):
                _trials[trial] = result
            return result
        answers = _in_use.warmed.record.trials
        if trial not in answers:
            refuse(f"a program that asks what the compiler can do ({tmp_prefix.rstrip('_')})")
        return answers[trial]

    cmodule.Compiler._try_compile_tmp = classmethod(_try_compile_tmp)
    return False


@after("theano.gof.op")
def version_code_by_its_text(op: Any) -> bool:
    """Python hashes text differently in each process: operations in C files would be compiled anew by each"""
    import hashlib

    plain = op.COp.c_code_cache_version

    def c_code_cache_version(self: Any) -> tuple[Any, ...]:
        digest = hashlib.sha256("\0".join(self.func_codes).encode()).digest()
        return (int.from_bytes(digest[:7], "big"), *plain(self)[1:])

    op.COp.c_code_cache_version = c_code_cache_version
    return True
