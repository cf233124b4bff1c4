"""What an attack is, and how one is carried out so that it can neither do harm nor go on for ever."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: What an attack may take beyond what its process has already: bytes, and seconds of the processor.
MEMORY, SECONDS = 1 << 30, 20
#: Seconds of waiting for one, beside those of the processor: others may use it too.
PATIENCE = 120


class Attack(NamedTuple):
    """An attempt to break a guarantee, and what has to come of it.

    Parameters
    ----------
    guarantee : str
        One of `guarantees.GUARANTEES`.
    name : str
    carry_out : callable
        Takes a folder, empty and its own, in which it runs too. It returns what came of it, or raises.
    expected : str
        A regular expression for the beginning of what has to come of it: ``PictureError: .*truncated`` for an error,
        or the text of what is returned.
    memory : int or None
        Bytes; None for what starts other processes or compiles, whose address space is large.
    """

    guarantee: str
    name: str
    carry_out: Callable[[Path], object]
    expected: str
    memory: int | None = MEMORY

    def held(self, outcome: str) -> bool:
        """Whether the guarantee withstood, by what came of the attack."""
        return re.match(self.expected, outcome, re.DOTALL) is not None


def outcome_of(attack: Attack) -> str:
    """Carry out an attack in a process of its own, of which nothing is left afterwards.

    Parameters
    ----------
    attack : Attack

    Returns
    -------
    str
        The type and message of the exception that it met, what it returned, or how it was ended.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            _be_the_attack(attack, Path(folder), writable)
        os.close(writable)
        try:
            return _awaited(child, readable)
        finally:
            os.close(readable)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # with all that it has started


def _be_the_attack(attack: Attack, folder: Path, writable: int) -> None:
    """Never returns: whatever happens, the process ends here."""
    try:
        os.setsid()
        os.chdir(folder)
        sys.dont_write_bytecode = True  # a full disk would leave half of a module's
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):  # decoders complain by themselves
            os.dup2(silence, descriptor)
        if attack.memory is not None:
            limit(resource.RLIMIT_AS, _address_space() + attack.memory)
        limit(resource.RLIMIT_CPU, SECONDS + int(time.process_time()))
        limit(resource.RLIMIT_CORE, 0)
        try:
            outcome = str(attack.carry_out(folder))
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(writable, outcome.encode("utf-8", "backslashreplace")[:4000])
    finally:
        os._exit(0)


def limit(what: int, value: int) -> None:
    """Limit this process for good.

    Parameters
    ----------
    what : int
        One of the constants of `resource`.
    value : int
    """
    resource.setrlimit(what, (value, value))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _awaited(child: int, readable: int) -> str:
    """What a child wrote, or how it ended."""
    parts, ends = [], time.monotonic() + PATIENCE
    while select.select([readable], [], [], max(ends - time.monotonic(), 0))[0]:
        part = os.read(readable, 4096)
        if not part:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return b"".join(parts).decode() or ("took too long" if code == -signal.SIGXCPU else f"ended by code {code}")
        parts.append(part)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"took more than {PATIENCE} s"


class Attacks(list[Attack]):
    """A module's attacks on one guarantee or several, in the order in which they are written.

    Examples
    --------
    >>> ATTACKS = Attacks()
    >>> @ATTACKS.on("cost", "ValueError: .* expected at most")
    ... def a_million_of_them(folder):
    ...     read(10**6)
    """

    def on(self, guarantee: str, expected: str, **limits: int | None) -> Callable:
        """Make a function an attack, whose name is the function's.

        Parameters
        ----------
        guarantee, expected, **limits
            As for `Attack`.
        """

        def add(function: Callable[[Path], object]) -> Callable[[Path], object]:
            name = function.__name__.strip("_").replace("_", " ")
            self.append(Attack(guarantee, name, function, expected, **limits))
            return function

        return add
