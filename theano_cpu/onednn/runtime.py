"""The native module that calls oneDNN: building it once, loading it, and what it says of itself.

oneDNN (https://github.com/uxlfoundation/oneDNN) is found by `theano_cpu.onednn.library`. The native module, in the
folder ``native`` beside this file, is compiled on first use with Theano's C++ compiler into Theano's compile folder,
under a name that holds everything its binary depends on; later processes load it in a few milliseconds.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from theano_compat import TheanoEnvironmentError, precompiled, processor
from theano_compat.compiler import march_of
from theano_compat.damage import is_whole, sync
from theano_compat.deprecation import deprecated_names
from theano_compat.forks import ForkSafeLock
from theano_cpu.onednn.library import OneDnnUnavailableError, find_onednn, load_onednn

__getattr__ = deprecated_names(
    __name__,
    {
        "OneDnnUnavailable": "theano_cpu.onednn.runtime:OneDnnUnavailableError",
        "UnknownEngine": "theano_cpu.onednn.runtime:UnknownEngineError",
        "helper": "theano_cpu.onednn.runtime:native_module",
    },
)

ENGINES = ("onednn", "theano")
_SOURCES = Path(__file__).resolve().parent / "native"
_MODULE = "theano_cpu_onednn"
_WORK = "build-"
# Without -fno-trapping-math a comparison in a loop keeps GCC from using vector instructions. A product and its sum are
# rounded once, as in oneDNN: otherwise a score would depend on which of the two computes it
_FLAGS = [
    "-std=c++17",
    "-ffp-contract=fast",
    "-fno-trapping-math",
    "-fopenmp",
    "-fPIC",
    "-fvisibility=hidden",
]
# Nothing is computed in what Python calls, and it takes the compiler longest
_OPTIMISED = {"module.cpp": "-O1", "values.cpp": "-O3", "convolution.cpp": "-O2"}
if platform.machine() == "x86_64":
    _FLAGS.append("-mprefer-vector-width=512")  # as oneDNN's own code does, where the processor has them
_loading = ForkSafeLock()

# dnnl_cpu_isa_t, the most capable first
_INSTRUCTION_SETS = {
    0x22FFF: "AVX10.2 with AMX 2",
    0x201FF: "AVX10.2",
    0x1FEF: "AVX-512 with AMX float16",
    0xFEF: "AVX-512 with AMX",
    0x1EF: "AVX-512 with float16",
    0xE7: "AVX-512 with bfloat16",
    0x67: "AVX-512 with VNNI",
    0x27: "AVX-512",
    0x1F: "AVX2 with VNNI 2",
    0xF: "AVX2 with VNNI",
    0x7: "AVX2",
    0x3: "AVX",
    0x1: "SSE4.1",
}
# The same numbers mean something else on Arm (src/cpu/aarch64/cpu_isa_traits.hpp in oneDNN)
_ARM_INSTRUCTION_SETS = {0x27: "SVE, 512 bits", 0x7: "SVE, 256 bits", 0x3: "SVE, 128 bits", 0x1: "Advanced SIMD"}


class UnknownEngineError(TheanoEnvironmentError, ValueError):
    """Raised where ``THEANO_CPU_ENGINE`` names no engine.

    Examples
    --------
    >>> issubclass(UnknownEngineError, ValueError)
    True
    """


def engine() -> str:
    """Return the engine for new functions.

    The environment variable ``THEANO_CPU_ENGINE`` chooses; without it, oneDNN is used wherever it can be.

    Returns
    -------
    {'onednn', 'theano'}

    Raises
    ------
    UnknownEngineError
        If the variable names no engine.
    OneDnnUnavailableError
        If it asks for oneDNN and that cannot be used.

    Examples
    --------
    >>> from theano_cpu.onednn import engine
    >>> engine() in ("onednn", "theano")
    True
    """
    wanted = os.environ.get("THEANO_CPU_ENGINE", "").strip().lower()
    if wanted not in ("", *ENGINES):
        raise UnknownEngineError(f"THEANO_CPU_ENGINE is {wanted!r}, expected one of {', '.join(ENGINES)}")
    if wanted == "onednn":
        native_module()
    return wanted or ("theano" if _problem() else "onednn")


def onednn_available() -> bool:
    """Return whether oneDNN is the engine: usable, and not switched off by ``THEANO_CPU_ENGINE=theano``.

    The first call on a machine compiles the native module, which takes some seconds.

    Returns
    -------
    bool

    Raises
    ------
    UnknownEngineError, OneDnnUnavailableError
        As `engine` does.

    Examples
    --------
    >>> from theano_cpu.onednn import onednn_available
    >>> onednn_available() in (True, False)
    True
    """
    return engine() == "onednn"


class _Facts(dict[str, Any]):
    """A dictionary that is still read under a key's old name."""

    def __missing__(self, key: str) -> Any:
        if key == "helper" and "native" in self:
            warnings.warn('info()["helper"] is now info()["native"]', DeprecationWarning, stacklevel=2)
            return self["native"]
        raise KeyError(key)


def info() -> dict[str, Any]:
    """Say what computes here.

    Returns
    -------
    dict
        ``engine``; ``problem``, why oneDNN cannot be used, or None; and where it can be: ``version`` of
        oneDNN, ``instruction_set``, ``bfloat16`` (bool), ``threads`` (int), ``library`` and ``native`` (paths of
        oneDNN and of the native module, str).

    Raises
    ------
    UnknownEngineError, OneDnnUnavailableError
        As `engine` does.

    Examples
    --------
    >>> from theano_cpu.onednn import info
    >>> info()["engine"] in ("onednn", "theano")
    True
    """
    problem = _problem()
    facts = _Facts(engine=engine(), problem=problem)
    if problem is None:
        loaded = native_module().versions()
        facts.update(
            version=".".join(map(str, loaded["loaded"])),
            instruction_set=_instruction_set(loaded["isa"]),
            bfloat16=has_bfloat16(),
            threads=num_threads(),
            library=str(find_onednn()[0]),
            native=native_module().__file__,
        )
    return facts


def _instruction_set(isa: int) -> str:
    names = _ARM_INSTRUCTION_SETS if platform.machine() == "aarch64" else _INSTRUCTION_SETS
    return names.get(isa, hex(isa))


def set_num_threads(count: int | None) -> None:
    """Use `count` threads for every operation from now on, whichever thread calls it.

    Parameters
    ----------
    count : int, at least 1, or None
        None is OpenMP's choice: ``OMP_NUM_THREADS``, or the number of cores.

    Raises
    ------
    TypeError, ValueError
        If `count` is no whole number, or less than 1.
    OneDnnUnavailableError
        As `native_module` does.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> if onednn.onednn_available():
    ...     onednn.set_num_threads(1)
    ...     assert onednn.num_threads() == 1
    ...     onednn.set_num_threads(None)
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, (int, np.integer))):
        raise TypeError(f"the number of threads must be an int or None, got {count!r}")
    if count is not None and count < 1:
        raise ValueError(f"the number of threads must be at least 1, got {count}")
    native_module().set_num_threads(0 if count is None else int(count))


def num_threads() -> int:
    """Return the number of threads that an operation uses.

    Returns
    -------
    int

    Raises
    ------
    OneDnnUnavailableError
        As `native_module` does.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> not onednn.onednn_available() or onednn.num_threads() >= 1
    True
    """
    return native_module().get_num_threads()


def has_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 numbers itself; elsewhere oneDNN emulates or refuses it.

    Returns
    -------
    bool

    Raises
    ------
    OneDnnUnavailableError
        As `native_module` does.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> not onednn.onednn_available() or onednn.has_bfloat16() in (True, False)
    True
    """
    return native_module().versions()["isa"] & 0xE7 == 0xE7


def forget_overflows() -> None:
    """Let `overflowed` tell of nothing that the calling thread has computed itself so far.

    What other libraries leave behind in it is no concern of a network. Flags that their own threads have set remain.

    Raises
    ------
    UnknownEngineError, OneDnnUnavailableError
        As `engine` does.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> onednn.forget_overflows()
    """
    if engine() == "onednn":
        native_module().forget_overflows()


def overflowed() -> bool:
    """Tell whether oneDNN came upon a value that is too large for float32, or no number, since the last call.

    A ReLU makes 0 of what is no number, so a network may give a number like any other then. What the processor
    notes of itself is read: it costs microseconds.

    Returns
    -------
    bool
        True if the calling thread's computations, on all of their threads, had an overflow or an invalid operation.
        False where plain Theano computes.

    Raises
    ------
    UnknownEngineError, OneDnnUnavailableError
        As `engine` does.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> onednn.overflowed() in (True, False), onednn.overflowed()
    (True, False)
    """
    return engine() == "onednn" and native_module().overflowed()


def native_module() -> Any:
    """Return the native module, compiled if need be.

    Returns
    -------
    module
        See ``methods`` in ``native/module.cpp`` for its functions.

    Raises
    ------
    OneDnnUnavailableError
        If oneDNN, a compiler, or the right to write to Theano's compile folder is missing.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> if onednn.onednn_available():
    ...     assert onednn.native_module().versions()["loaded"][0] == 3
    """
    with _loading:
        return _native_module()


_loaded: Any = None


def _native_module() -> Any:
    global _loaded
    if _loaded is None:
        _loaded = _built_module()
    return _loaded


def load_built(path: str) -> Any | None:
    """Load the native module that another process has built, without Theano, if there is none yet.

    Parameters
    ----------
    path : str
        Its file.

    Returns
    -------
    module or None
        None if there is no such file, or not all of it.

    Raises
    ------
    OneDnnUnavailableError
        As `native_module` does.

    Examples
    --------
    >>> from theano_cpu.onednn.runtime import load_built
    >>> load_built("/no such file") is None or load_built("/no such file") is native_module()
    True
    """
    global _loaded
    with _loading:
        if _loaded is None and os.path.exists(path) and is_whole(path):
            library, include = find_onednn()
            load_onednn(library, include)
            _loaded = _load(Path(path), library)
        return _loaded


def _built_module() -> Any:
    import theano

    library, include = find_onednn()
    load_onednn(library, include)
    path = Path(theano.config.compiledir) / _MODULE / (_key(library, include) + ".so")
    if not _is_built(path):
        _build(path, library, include)
    return _load(path, library)


def _load(path: Path, library: Path) -> Any:
    loader = importlib.machinery.ExtensionFileLoader(_MODULE, str(path))
    spec: Any = importlib.util.spec_from_loader(_MODULE, loader)
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except ImportError as error:
        raise OneDnnUnavailableError(f"the oneDNN native module {path} cannot be loaded: {error}") from error
    _check(module, library)
    atexit.register(module.close)
    return module


def _check(module: Any, library: Path) -> None:
    """Raise an error where the native module would be of no use."""
    versions = module.versions()
    if versions["compiled"] != versions["loaded"]:
        raise OneDnnUnavailableError(
            f"the native module was compiled for oneDNN {versions['compiled']}, but {versions['loaded']} "
            "is loaded, which another package has brought along: call theano_cpu.onednn_available() before importing it"
        )
    if not module.is_fast():
        raise OneDnnUnavailableError(
            f"{library} has no convolutions made for this processor ({_instruction_set(versions['isa'])}), "
            "only slow ones for any: plain Theano computes"
        )


@functools.cache
def _problem() -> str | None:
    """Why oneDNN cannot be used, or None."""
    try:
        native_module()
    except OneDnnUnavailableError as error:
        if _is_warmed():
            raise  # Theano's own operations, which would be taken instead, cannot be compiled
        return str(error)
    return None


def _is_warmed() -> bool:
    """Whether oneDNN is what was compiled beforehand, on a machine without a compiler."""
    warmed = precompiled.in_use()
    return warmed is not None and any(Path(warmed.folder, _MODULE).glob("*.so"))


def _key(library: Path, include: Path) -> str:
    """A name for everything that the native module's binary depends on."""
    import theano

    depends = hashlib.sha256()
    for source in sorted(_SOURCES.iterdir()):
        depends.update(source.name.encode() + b"\0" + source.read_bytes())
    version = (include / "oneapi" / "dnnl" / "dnnl_version.h").read_bytes()
    # Two builds of one version call themselves by different names (soname); their paths may change
    build = library.stat().st_size
    python = sysconfig.get_config_var("SOABI") or sys.version
    warmed = precompiled.in_use()
    # Compile folders may be shared by different machines
    machine = warmed.record.fingerprint if warmed else processor.fingerprint()
    march = march_of(theano.config.gcc.cxxflags) or machine
    flags = (*_FLAGS, *_OPTIMISED.values())
    for part in (version, build, python, np.__version__, theano.config.cxx, *flags, march):
        depends.update(part if isinstance(part, bytes) else str(part).encode())
    return depends.hexdigest()[:32]


def _is_built(path: Path) -> bool:
    """Whether the native module is there, and all of it; what was compiled beforehand is for the loader to judge."""
    return path.exists() and (precompiled.in_use() is not None or is_whole(path))


def _build(path: Path, library: Path, include: Path) -> None:
    """Compile the native module to `path`; when several processes do, one works and the others wait for it."""
    if precompiled.in_use():
        precompiled.refuse(f"the oneDNN native module {path.name}")
    import theano

    if not theano.config.cxx:
        raise OneDnnUnavailableError("a C++ compiler is needed once, to build the oneDNN native module: install g++")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name("build.lock")):
            if _is_built(path):
                return
            for left in path.parent.glob(f"{_WORK}*"):  # by builds that were killed
                shutil.rmtree(left, ignore_errors=True)
            work = Path(tempfile.mkdtemp(prefix=_WORK, dir=path.parent))
            try:
                _compile(work / path.name, library, include)
                sync(work / path.name)  # or a power cut could leave the name without the content
                os.replace(work / path.name, path)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise OneDnnUnavailableError(f"the oneDNN native module cannot be written to {path.parent}: {error}") from error


def _compile(target: Path, library: Path, include: Path) -> None:
    import theano

    includes = ["-I" + str(folder) for folder in (include, sysconfig.get_path("include"), np.get_include())]
    sources = sorted(_SOURCES.glob("*.cpp"))
    compiler = [theano.config.cxx, *_FLAGS, f"-march={march_of(theano.config.gcc.cxxflags) or 'native'}"]
    objects = [str(target.with_name(source.stem + ".o")) for source in sources]
    # At the same time: most of a first start is spent here
    _run_all(
        [*compiler, _OPTIMISED[source.name], *includes, "-c", str(source), "-o", made]
        for source, made in zip(sources, objects)
    )
    _run_all([[*compiler, "-shared", *objects, "-o", str(target), str(library)]])


def _run_all(commands: Iterable[list[str]]) -> None:
    started = [
        (command, subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace"))
        for command in commands
    ]
    finished = [(command, process.communicate()[1], process.returncode) for command, process in started]
    for command, errors, code in finished:
        if code:
            raise OneDnnUnavailableError(
                f"compiling the oneDNN native module failed:\n{' '.join(command)}\n{errors[-4000:]}"
            )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes. Where there is none to be had, the atomic renaming alone must do."""
    with open(path, "w") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
