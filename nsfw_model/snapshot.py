"""A snapshot: what scoring computes, on disk, so that the next process need not import Theano for its scores.

The network, folded and fused, is one program of oneDNN's (`theano_cpu.onednn.saved`). It is kept beside Theano's
compiled modules, and taken only where everything that it came from is the same: the contents of both model files, the
sources of this project, Python, NumPy, oneDNN, the processor and the settings. Whatever is in doubt, the network is
built as if there were no snapshot.

The environment variable ``OPEN_NSFW_SNAPSHOT=0`` switches snapshots off.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import stat
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nsfw_model.outputs import OutputError, replacing
from nsfw_model.regular_file import read_regular
from theano_compat import TheanoEnvironmentError, precompiled, processor
from theano_compat.settings import expanded, settings_files, writable_base_compiledir
from theano_cpu.onednn.library import OneDnnUnavailableError, find_onednn
from theano_cpu.onednn.saved import SavedProgram, SavedProgramError, save_program

_SWITCH = "OPEN_NSFW_SNAPSHOT"
_FOLDER = "open_nsfw_snapshots"
_SUFFIX = ".program"
#: Beyond these the oldest go: each has the size of its network's weights.
_MOST_SNAPSHOTS = 6
_MOST_BYTES = 1 << 28
_PACKAGES = ("nsfw_model", "theano_cpu", "theano_compat")
_SOURCES = (".py", ".cpp", ".hpp")
_ENVIRONMENT = ("THEANO_FLAGS", "THEANORC", "THEANO_CPU_ENGINE", "THEANO_CPU_ONEDNN", "HOME")


class Snapshot:
    """What scoring computes, by files that seem to be those that it was made of; `function` makes sure.

    Parameters
    ----------
    program : theano_cpu.onednn.saved.SavedProgram
    weights_path : Path

    Attributes
    ----------
    input_shape : tuple of int
        Of one picture: (3, 224, 224) for Yahoo's network.

    Examples
    --------
    >>> snapshot = find(Path("nsfw.pkl"), Path("nsfw_model/deploy.prototxt"), "float32")
    >>> snapshot is None or snapshot.input_shape == (3, 224, 224)
    True
    """

    def __init__(self, program: SavedProgram, weights_path: Path):
        self.input_shape = tuple(program.facts["input_shape"])
        self._digest: str = program.facts["weights"]
        self._program = program
        # What is to be read is read on threads, while the picture is prepared
        self._verdicts = [
            _in_background(lambda: self.is_of(weights_path)),
            _in_background(program.is_whole),
        ]

    def is_of(self, weights_path: Path) -> bool:
        """Say whether it was made of what a file of weights holds.

        Parameters
        ----------
        weights_path : Path

        Returns
        -------
        bool
        """
        return _digest(weights_path) == self._digest

    def function(self) -> Callable[[np.ndarray], list[np.ndarray]] | None:
        """Give the function that computes scores and classes, as the compiled one does.

        Returns
        -------
        callable or None
            None where the snapshot is damaged, or of other weights, or what it calls is gone.
        """
        loaded = self._program.load()
        return self._program if loaded and all(verdict() for verdict in self._verdicts) else None


def find(weights_path: Path, prototxt_path: Path, precision: str) -> Snapshot | None:
    """Find the snapshot of a network.

    Parameters
    ----------
    weights_path, prototxt_path : Path
    precision : {"float32", "bfloat16"}

    Returns
    -------
    Snapshot or None
        None where there is none, or it is not to be used.

    Examples
    --------
    >>> find(Path("nsfw.pkl"), Path("no such file"), "float32") is None
    True
    """
    try:
        path = _path(weights_path, prototxt_path, precision)
        if path is None or not path.is_file() or not _is_trusted(path, path.parent):
            return None
        return Snapshot(SavedProgram(path), weights_path)
    except (OSError, SavedProgramError, KeyError):
        return None


def write(
    weights_path: Path, prototxt_path: Path, precision: str, function: Any, input_shape: tuple[int, ...],
    weights_stamp: tuple[int, ...],
) -> None:  # fmt: skip
    """Leave a snapshot for the next process, if that is possible: what cannot be written is no error.

    Parameters
    ----------
    weights_path, prototxt_path : Path
    precision : {"float32", "bfloat16"}
    function : theano.compile.function_module.Function
        Compiled from these files.
    input_shape : tuple of int
        Of one picture.
    weights_stamp : tuple of int
        Of the weights, by `stamp`, before they were read.

    Examples
    --------
    >>> import theano
    >>> import theano.tensor as T
    >>> files = Path("nsfw.pkl"), Path("nsfw_model/deploy.prototxt")
    >>> write(*files, "float32", theano.function([], T.constant(1)), (3, 224, 224), ())  # another stamp: nothing
    """
    with contextlib.suppress(OSError, OutputError):
        if precompiled.in_use():  # then nothing is written at all
            return
        path = _path(weights_path, prototxt_path, precision)
        if path is None or weights_path.stat().st_size > _MOST_BYTES:
            return
        facts = {"input_shape": input_shape, "weights": _digest(weights_path)}
        if stamp(weights_path) != weights_stamp:
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not _is_trusted(path.parent) or (path.exists() and not path.is_file()):
            return
        with replacing(path) as file:
            saved = save_program(file, function, facts)
        path.chmod(0o600)  # whatever the umask: what a group can write is not read
        if not saved:
            path.unlink()
        _forget_oldest(path.parent)


def stamp(path: Path) -> tuple[int, ...]:
    """Give what changes when a file is written.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> stamp(Path("nsfw.pkl")) == stamp(Path("nsfw.pkl"))
    True
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _path(weights: Path, prototxt: Path, precision: str) -> Path | None:
    """Where the snapshot is that is made of these files, here and now; None where there is to be none."""
    if os.environ.get(_SWITCH, "").strip() == "0":
        return None
    if os.environ.get("THEANO_CPU_ENGINE", "").strip().lower() not in ("", "onednn"):
        return None
    try:
        folder = Path(_theanos_folder())
        if not folder.is_dir():
            return None
        described = json.dumps(_described(weights, prototxt, precision))
    except (TheanoEnvironmentError, OneDnnUnavailableError):
        return None
    return folder / _FOLDER / (hashlib.sha256(described.encode()).hexdigest()[:40] + _SUFFIX)


def _described(weights: Path, prototxt: Path, precision: str) -> list[Any]:
    library, include = find_onednn()
    return [
        [str(weights.resolve()), *stamp(weights)],  # its contents are looked at later
        _digest(prototxt),
        precision,
        _digest_of_sources(),
        [sysconfig.get_config_var("SOABI"), sys.version, np.__version__, sys.prefix],
        [str(library), library.stat().st_size, library.stat().st_mtime_ns, str(include)],
        processor.fingerprint(),
        [os.environ.get(name) for name in _ENVIRONMENT],
        [_digest(Path(path)) for path in settings_files() if os.path.exists(path)],
        [_origin(name) for name in ("theano", "lasagne")],
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(read_regular(path, _MOST_BYTES)).hexdigest()


def _digest_of_sources() -> str:
    """Of all that decides what is computed: a change of it makes other snapshots."""
    found = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for package in _PACKAGES:
        for path in sorted(_files(os.path.join(root, package))):
            found.update(path.encode() + b"\0" + Path(path).read_bytes())
    return found.hexdigest()


def _files(folder: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir() and entry.name not in ("__pycache__", "bundled"):
            yield from _files(entry.path)
        elif entry.name.endswith(_SOURCES):
            yield entry.path


def _origin(name: str) -> list[Any]:
    """Which package of that name would be imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not os.path.exists(spec.origin):
        return [None]
    status = os.stat(spec.origin)
    return [spec.origin, status.st_size, status.st_mtime_ns]


def _theanos_folder() -> str:
    """The folder for compiled modules that the environment names, or else the usual one."""
    settings = [setting.partition("=") for setting in os.environ.get("THEANO_FLAGS", "").split(",")]
    named = {key.strip(): value.strip() for key, _, value in settings}
    folder = named.get("compiledir") or named.get("base_compiledir")
    return writable_base_compiledir() if folder is None else expanded(folder)


def _is_trusted(*paths: Path) -> bool:
    """Whether nobody but this user or root can have put them there: a snapshot names a library that is loaded."""
    if not hasattr(os, "getuid"):
        return False
    for found in (path.stat() for path in paths):
        if found.st_uid not in (os.getuid(), 0) or stat.S_IMODE(found.st_mode) & 0o022:
            return False
    return True


def _forget_oldest(folder: Path) -> None:
    snapshots = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: -path.stat().st_mtime)
    for path in snapshots[_MOST_SNAPSHOTS:]:
        path.unlink()


def _in_background(check: Callable[[], bool]) -> Callable[[], bool]:
    """Begin a check, and give what waits for it: whether it was passed, and without an error."""
    passed: list[bool] = []

    def run() -> None:
        with contextlib.suppress(OSError, ValueError):
            passed.append(check())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def verdict() -> bool:
        thread.join()
        return passed == [True]

    return verdict
