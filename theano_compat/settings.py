"""Theano's settings, only where the user has set nothing in ``THEANO_FLAGS`` or ``.theanorc``."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from theano_compat import precompiled, processor
from theano_compat.compiler import OPENBLAS_FLAG, march_of, openblas_folder
from theano_compat.import_hook import after, before, during
from theano_compat.requirements import TheanoEnvironmentError, check_compiler, missing_for_compiling

CHOOSE_A_FOLDER = "set THEANO_FLAGS=base_compiledir=/path/to/a/folder"


@after("theano.configparser")
def set_defaults(configparser: Any) -> bool:
    """Theano would take float64, a BLAS named by numpy.distutils (gone), a home that may be read-only"""
    users_choice = partial(_users_choice, configparser)
    defaults = {
        "floatX": "float32",
        "blas.ldflags": OPENBLAS_FLAG if openblas_folder() else "",
        # The compiled modules of one NumPy cannot be loaded by another
        "compiledir_format": "compiledir_%(short_platform)s-%(processor)s-%(python_version)s-"
        "%(python_bitwidth)s-numpy-%(numpy_version)s",
    }
    march = march_of(users_choice("gcc.cxxflags") or "")
    if march:
        # Not all names of modules tell for which processor they are
        defaults["compiledir_format"] += f"-{march}"
    for key, value in {**defaults, **_folder_settings(users_choice, defaults["compiledir_format"])}.items():
        # Where nothing is compiled, cxx only names modules; the user's would find none of them
        if users_choice(key) is None or key == "cxx":
            configparser.THEANO_FLAGS_DICT[key] = value
    return True


def _folder_settings(users_choice: Callable[[str], str | None], compiledir_format: str) -> dict[str, str]:
    """The settings that follow from the folder of compiled modules, and from whether anything can be compiled."""
    settings = {}
    folder = users_choice("compiledir") or users_choice("base_compiledir")
    if folder is None:
        folder = settings["base_compiledir"] = writable_base_compiledir()
    folder = expanded(folder)
    cxx = users_choice("cxx")
    if cxx == "":
        return settings
    missing = missing_for_compiling(cxx)
    if missing is None and is_writable(folder):
        try:
            precompiled.find(folder)
        except TheanoEnvironmentError:
            # Modules of a larger processor, or of another Python: they stay apart from those that are compiled now
            settings["compiledir_format"] = f"{compiledir_format}-{processor.fingerprint()}"
        return settings
    check_executable(folder)
    reason = f"{missing} does not exist" if missing else f"{folder} cannot be written"
    warmed = precompiled.find(folder)
    if warmed is not None:
        return {**settings, **precompiled.use(warmed, reason)}
    check_compiler(cxx)
    raise TheanoEnvironmentError(
        f"Theano's folder for compiled modules, {folder}, cannot be written, and nothing was compiled there before by "
        f"'open-nsfw warm-up': {CHOOSE_A_FOLDER}."
    )


def expanded(folder: str) -> str:
    """Give the path of a folder for compiled modules that a setting names; ``~`` is a home.

    Parameters
    ----------
    folder : str

    Returns
    -------
    str

    Raises
    ------
    TheanoEnvironmentError
        It is empty, or in a home that is not known: both would be the working directory.

    Examples
    --------
    >>> expanded("/opt/compiled")
    '/opt/compiled'
    """
    path = os.path.expanduser(folder)
    if not path or (folder.startswith("~") and not os.path.isabs(path)):
        reason = "whose home is not known" if folder else "which is no name"
        raise TheanoEnvironmentError(
            f"Theano's folder for compiled modules is to be {folder[:300]!r}, {reason}: {CHOOSE_A_FOLDER}."
        )
    return path


def settings_files() -> list[str]:
    """List the files of Theano's settings, without those in a home that is not known.

    Returns
    -------
    list of str
        Those of ``THEANORC``, or ``~/.theanorc``; they need not exist.

    Examples
    --------
    >>> all(not path.startswith("~") for path in settings_files())
    True
    """
    paths = [(name, os.path.expanduser(name)) for name in _named_settings_files()]
    return [path for name, path in paths if not name.startswith("~") or os.path.isabs(path)]


def _named_settings_files() -> list[str]:
    return os.environ.get("THEANORC", "~/.theanorc").split(os.pathsep)


@during("theano.configparser")
def name_settings_files() -> Iterator[None]:
    """Where no home is known, Theano reads ~/.theanorc in the working directory, which strangers may have filled"""
    known = settings_files()
    with _environment(**{} if len(known) == len(_named_settings_files()) else {"THEANORC": os.pathsep.join(known)}):
        yield


@during("theano.configdefaults")
def name_a_home() -> Iterator[None]:
    """Theano asks for a home in any case, and cannot be imported where there is none"""
    with _environment(HOME=os.environ.get("HOME", _home())):
        yield


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def is_writable(folder: str) -> bool:
    """Say whether a folder can be made, or written if it exists.

    Parameters
    ----------
    folder : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_writable("/dev/null/folder")
    False
    """
    found = _existing_parent(folder)
    return os.path.isdir(found) and os.access(found, os.R_OK | os.W_OK | os.X_OK)


def is_noexec(folder: str) -> bool:
    """Say whether a folder is, or would be made, on a file system from which nothing may be executed.

    Parameters
    ----------
    folder : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_noexec(os.path.dirname(os.__file__))
    False
    """
    return bool(os.statvfs(_existing_parent(folder)).f_flag & getattr(os, "ST_NOEXEC", 0))


def check_executable(folder: str) -> None:
    """Check that compiled modules can be loaded from a folder.

    Parameters
    ----------
    folder : str

    Raises
    ------
    TheanoEnvironmentError
        It is on a file system that was mounted with ``noexec``.

    Examples
    --------
    >>> check_executable(os.path.dirname(os.__file__))
    """
    if is_noexec(folder):
        raise TheanoEnvironmentError(
            f"no compiled module can be loaded from {folder}, which is on a file system that is mounted noexec: "
            f"{CHOOSE_A_FOLDER} on another one."
        )


def _existing_parent(folder: str) -> str:
    folder = os.path.abspath(folder)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return folder


def writable_base_compiledir() -> str:
    """Choose the folder that Theano keeps its compiled modules in.

    Theano loads and runs what it finds in this folder, so one that another user could have prepared is not
    taken.

    Returns
    -------
    str
        ``~/.theano``, or a private folder among the temporary files when that cannot be written, can be written by
        others, or is mounted ``noexec``. A home that cannot be written is taken all the same if ``open-nsfw warm-up``
        has been there.

    Raises
    ------
    TheanoEnvironmentError
        Neither can be used.
    """
    folder = os.path.join(_home(), ".theano")
    if os.path.isabs(folder):
        with contextlib.suppress(OSError):
            if not is_noexec(folder):
                if _is_warmed(folder):
                    return folder
                _make_folder(folder)
                if os.access(folder, os.R_OK | os.W_OK | os.X_OK) and _is_private(folder):
                    return folder
    try:
        temporary = private_temporary_folder()
    except OSError as error:
        raise TheanoEnvironmentError(
            f"Theano needs a folder for its compiled modules, and neither {folder} nor the temporary files can be "
            f"written ({error}): {CHOOSE_A_FOLDER}."
        ) from error
    if is_noexec(temporary):
        raise TheanoEnvironmentError(
            f"Theano needs a folder for its compiled modules, {folder} cannot be written or is mounted noexec, and so "
            f"are the temporary files ({temporary}): {CHOOSE_A_FOLDER} on another file system."
        )
    return temporary


def _home() -> str:
    """The user's home, also where HOME is set to nothing, which would make it the root of all files."""
    if os.environ.get("HOME") == "" and hasattr(os, "getuid"):
        import pwd

        with contextlib.suppress(KeyError):
            return pwd.getpwuid(os.getuid()).pw_dir
    return os.path.expanduser("~")


def _is_private(folder: str) -> bool:
    """Whether nobody but this user or root can have put anything there that would be loaded and run.

    A group's right to write, which Theano's own folders have where the umask is 002, is taken away where the group is
    the user's own.
    """
    if not hasattr(os, "getuid"):
        return True
    writable_by_group = []
    for path, found in _within_reach(folder):
        if found.st_uid not in (os.getuid(), 0) or found.st_mode & 0o002:
            return False
        if found.st_mode & 0o020:
            if found.st_uid != os.getuid() or not _is_own_group(found.st_gid):
                return False
            writable_by_group.append((path, stat.S_IMODE(found.st_mode) & ~0o022))
    for path, mode in writable_by_group:
        os.chmod(path, mode)
    return True


def _within_reach(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """A folder and all in it that others than its owner can get at. What other processes remove meanwhile is gone."""
    paths, seen = [folder], set()
    while paths:
        path = paths.pop()
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(path)
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            if stat.S_ISDIR(found.st_mode) and found.st_mode & 0o011:
                paths += [entry.path for entry in os.scandir(path)]
            yield path, found


def _is_own_group(group: int) -> bool:
    """Whether it is this user's primary group, of which nobody else is a member."""
    import grp
    import pwd

    if group != os.getgid():
        return False
    try:
        user, found = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == user and set(found.gr_mem) <= {user}


def _is_warmed(folder: str) -> bool:
    """Whether root or this user, and nobody else, has compiled there what can be used here."""
    if not os.path.isdir(folder) or not _is_private(folder):
        return False
    with contextlib.suppress(TheanoEnvironmentError):
        return precompiled.find(folder) is not None
    return False


@during("theano.configparser")
def explain_settings_files() -> Iterator[None]:
    """What Theano says of a file that it cannot read as settings quotes it, and its warnings repeat every character"""
    import configparser

    flags = os.environ.get("THEANO_FLAGS", "")
    if re.search(r"[\0-\x08\x0e-\x1f\x7f-\x9f]", flags):
        raise TheanoEnvironmentError(f"THEANO_FLAGS is {ascii(flags)[:300]}, expected no control characters")
    try:
        yield
    except (configparser.Error, UnicodeDecodeError) as error:
        where = getattr(error, "source", None) or os.pathsep.join(settings_files())
        line = getattr(error, "lineno", None)
        raise TheanoEnvironmentError(
            f"{where[:300]}{f', line {line}' if line else ''}: cannot be read as Theano's settings: expected sections "
            "such as [global] with lines such as 'floatX = float32'. THEANORC names other files."
        ) from None


@after("theano.configparser")
def explain_settings(configparser: Any) -> bool:
    """Theano's own messages about settings say neither where they come from nor, some of them, which is meant"""
    plain = configparser.AddConfigVar

    def AddConfigVar(name: str, *args: Any, **kwargs: Any) -> Any:
        chosen = _users_choice(configparser, name)
        try:
            return plain(name, *args, **kwargs)
        except ValueError as error:
            if chosen is None:
                raise
            raise TheanoEnvironmentError(
                f"Theano's setting {name}, in THEANO_FLAGS or .theanorc, is {chosen!r:.100}, which it cannot be."
            ) from error

    configparser.AddConfigVar = AddConfigVar
    return False


def _users_choice(configparser: Any, name: str) -> str | None:
    try:
        value: str = configparser.fetch_val_for_key(name)
    except KeyError:
        return None
    return value


@after("theano.configparser")
def check_compiledir(configparser: Any) -> bool:
    """Theano's own message about its folder names no setting, and it wants to write where it only reads"""
    plain = configparser.AddConfigVar

    def AddConfigVar(name: str, doc: str, configparam: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "compiledir":
            configparam.filter = _checked_compiledir(configparam.filter)
        return plain(name, doc, configparam, *args, **kwargs)

    configparser.AddConfigVar = AddConfigVar
    return False


def _checked_compiledir(plain: Callable[[str], str]) -> Callable[[str], str]:
    def filter_compiledir(path: str) -> str:
        if precompiled.in_use():
            return os.path.realpath(path)
        folder = expanded(path)
        check_executable(folder)
        try:
            _make_folder(folder)
            return plain(folder)
        except (ValueError, OSError) as error:
            raise TheanoEnvironmentError(
                f"Theano's folder for compiled modules, {path}, cannot be made or written "
                f"({error.__context__ or error}): {CHOOSE_A_FOLDER}."
            ) from error

    return filter_compiledir


def _make_folder(folder: str) -> None:
    """Make a folder that only this user can open, in folders that others can read at most, whatever the umask."""
    missing = []
    while not os.path.exists(folder):
        missing.append(folder)
        folder = os.path.dirname(os.path.abspath(folder))
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process has begun too
            os.mkdir(path, 0o700 if path == missing[0] else 0o755)


def private_temporary_folder() -> str:
    """Make a temporary folder that only this user can open.

    Returns
    -------
    str
        The same folder each time, ``theano-`` and the user's number, unless that is somebody else's or open to
        others: then a new one.
    """
    import tempfile

    uid = os.getuid() if hasattr(os, "getuid") else 0
    folder = os.path.join(tempfile.gettempdir(), f"theano-{uid}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077:
        return folder
    return tempfile.mkdtemp(prefix="theano-")


def quiet_spinning() -> None:
    """Let libgomp's idle threads sleep soon.

    By default they spin for long: 10-40 times slower when other processes want the cores.

    Examples
    --------
    >>> quiet_spinning()
    >>> "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ
    True
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "5000"


@before("theano.configdefaults")
def check_openmp_threads(configdefaults: Any) -> bool:
    """Theano takes OMP_NUM_THREADS for one number, where OpenMP allows a list of them, one for each level"""
    value = os.environ.get("OMP_NUM_THREADS", "")
    if not value.strip():
        return False
    counts = [count.strip() for count in value.split(",")]
    if not all(re.fullmatch(r"0*[1-9]\d{0,9}", count) for count in counts):
        raise TheanoEnvironmentError(
            f"OMP_NUM_THREADS is {value[:100]!r}, expected a whole number of at least 1, or several with commas between"
        )
    os.environ["OMP_NUM_THREADS"] = counts[0]
    _openmp_threads.append(value)
    return len(counts) > 1


_openmp_threads: list[str] = []


@after("theano.configdefaults")
def give_openmp_threads_back(configdefaults: Any) -> bool:
    """Others may read OMP_NUM_THREADS later, as it was set"""
    if _openmp_threads:
        os.environ["OMP_NUM_THREADS"] = _openmp_threads.pop()
    return False
