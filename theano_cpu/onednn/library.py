"""oneDNN's library and headers: where they are looked for, and which of them can be used."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from theano_compat import TheanoEnvironmentError

_OLDEST, _TOO_NEW = (3, 2), (4,)
_SYSTEM_PREFIXES = ("/usr/local", "/usr")
# In Debian the library calls itself libdnnl.so.3.6, and libdnnl.so comes with the headers
_LIBRARIES = ("libdnnl.so.3", "libdnnl.so", "libdnnl.so.*")
_HEADER, _VERSION_HEADER, _CONFIG_HEADER = (
    Path(name) for name in ("dnnl.h", "oneapi/dnnl/dnnl_version.h", "oneapi/dnnl/dnnl_config.h")
)


class OneDnnUnavailableError(TheanoEnvironmentError):
    """Raised where oneDNN, or something needed to call it, is missing; the message says what, and what to do.

    Examples
    --------
    >>> issubclass(OneDnnUnavailableError, TheanoEnvironmentError)
    True
    """


class _Place(NamedTuple):
    """A library, and the folder of headers that belongs to it; None for what is not there."""

    library: Path | None
    include: Path | None


def find_onednn() -> tuple[Path, Path]:
    """Find oneDNN: that of the environment that Python runs in, or else the system's.

    The environment variable ``THEANO_CPU_ONEDNN`` names a folder with ``lib`` and ``include``, and no other is
    searched. Without it, these are, in this order: the environment (``sys.prefix``, conda's too), the wheels wherever
    they were installed, the environment that a virtual one was made from, ``/usr/local`` and ``/usr``. The first
    oneDNN that can be used is taken: version 3.2 or newer, below 4, with headers, and computing in OpenMP's threads.

    Returns
    -------
    library, include : pathlib.Path
        ``libdnnl.so.3``, or ``libdnnl.so`` in Debian, and the folder that holds ``dnnl.h``.

    Raises
    ------
    OneDnnUnavailableError
        If there is none; the message says what is wrong with those that were found.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> if onednn.onednn_available():
    ...     library, include = onednn.find_onednn()
    ...     assert library.name.startswith("libdnnl.so") and (include / "dnnl.h").exists()
    """
    if sys.platform != "linux":
        raise OneDnnUnavailableError(f"oneDNN is used on Linux only, and this is {sys.platform}")
    chosen = os.environ.get("THEANO_CPU_ONEDNN", "").strip()
    problems: list[str] = []
    for library, include in [_under(chosen)] if chosen else _usual_places():
        if library and include:
            problem = _problem_with(include)
            if problem is None:
                return library, include
            problems.append(problem)
        elif library:
            problems.append(f"oneDNN's library {library} is without its headers")
        elif include:
            problems.append(f"oneDNN's headers in {include} are without their library")
    if chosen and not problems:
        problems.append(f"THEANO_CPU_ONEDNN is {chosen!r}, expected a folder with lib/libdnnl.so and include/dnnl.h")
    what = ", and ".join(dict.fromkeys(problems)) or "oneDNN is not installed"
    raise OneDnnUnavailableError(f"{what}: {_advice()}")


def load_onednn(library: Path, include: Path) -> None:
    """Load oneDNN into this process, so that the native module finds it by its name and needs no search path.

    Parameters
    ----------
    library, include : pathlib.Path
        As `find_onednn` gives them.

    Raises
    ------
    OneDnnUnavailableError
        If it cannot be loaded, or is not of the version of the headers.

    Examples
    --------
    >>> from theano_cpu import onednn
    >>> if onednn.onednn_available():
    ...     load_onednn(*onednn.find_onednn())
    """
    try:
        loaded = ctypes.CDLL(str(library))
    except OSError as error:
        raise OneDnnUnavailableError(f"oneDNN's library {library} cannot be loaded: {error}") from error
    loaded.dnnl_version.restype = ctypes.POINTER(ctypes.c_int * 3)
    version, expected = tuple(loaded.dnnl_version().contents), _version_of(include)
    if version != expected:
        raise OneDnnUnavailableError(
            f"{library} is oneDNN {_text(version)} and the headers in {include} are of {_text(expected)}: "
            "install both of the same version"
        )


def _usual_places() -> Iterator[_Place]:
    environment = [prefix for prefix in (sys.prefix, site.USER_BASE) if prefix and prefix not in _SYSTEM_PREFIXES]
    for prefix in environment:
        yield _under(prefix)
    yield _Place(_file_of("onednn-cpu-gomp", "libdnnl.so.3"), _folder_of("onednn-devel-cpu-gomp", _HEADER))
    for prefix in dict.fromkeys((sys.base_prefix, *_SYSTEM_PREFIXES)):
        if prefix not in environment:
            yield _under(prefix)


def _under(prefix: str) -> _Place:
    """What the usual folders below a prefix hold."""
    folders = (f"lib/{platform.machine()}-linux-gnu", "lib", "lib64")  # Debian's, everybody's, Fedora's
    libraries = (
        path
        for folder in map(Path(prefix).joinpath, folders)
        for name in _LIBRARIES
        for path in sorted(folder.glob(name))
    )
    include = Path(prefix, "include")
    return _Place(next(libraries, None), include if (include / _HEADER).exists() else None)


def _file_of(distribution: str, name: str) -> Path | None:
    """The path of a file that a wheel installed, wherever that was."""
    import importlib.metadata  # takes longer than all the rest, and is seldom needed

    try:
        files = importlib.metadata.distribution(distribution).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())).resolve() for file in files if file.name == name]
    # The header is installed twice, the first time as include/dnnl.h
    return min((path for path in found if path.exists()), key=lambda path: len(path.parts), default=None)


def _folder_of(distribution: str, name: Path) -> Path | None:
    path = _file_of(distribution, name.name)
    return path and path.parent


def _problem_with(include: Path) -> str | None:
    """Why oneDNN with these headers cannot be used, or None."""
    version = _version_of(include)
    if not _OLDEST <= version < _TOO_NEW:
        return (
            f"oneDNN in {include} is version {_text(version)}, expected {_text(_OLDEST)} or newer, below {_TOO_NEW[0]}"
        )
    threads = _threads_of(include)
    if threads != "OMP":
        return f"oneDNN in {include} computes in threads of {threads}, expected OpenMP's (OMP)"
    return None


def _version_of(include: Path) -> tuple[int, ...]:
    text = _read(include / _VERSION_HEADER)
    found = [re.search(rf"#define DNNL_VERSION_{part}\s+(\d+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
    return tuple(int(number.group(1)) for number in found if number)


def _threads_of(include: Path) -> str:
    """OMP, TBB, SEQ, THREADPOOL or SYCL."""
    found = re.search(r"#define DNNL_CPU_RUNTIME\s+DNNL_RUNTIME_(\w+)", _read(include / _CONFIG_HEADER))
    return found.group(1) if found else "an unknown sort"


def _read(header: Path) -> str:
    """The header's text, or nothing where there is none."""
    try:
        return header.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "unknown"


def _advice() -> str:
    if platform.machine() == "x86_64":
        return "pip install onednn-cpu-gomp==2023.2.0 onednn-devel-cpu-gomp==2023.2.0"
    return "install version 3.2 or newer with its headers, such as Debian's libdnnl-dev or conda's onednn-cpu-omp"
