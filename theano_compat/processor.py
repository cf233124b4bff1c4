"""The processor of this machine: what it can execute, and what compiled code asks of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

CPUINFO = "/proc/cpuinfo"

# What GCC and Clang define __SSE4_1__ and the like for, and write instructions of into plain C++
_INSTRUCTION_SETS = re.compile(r"__((?:S?SSE|AVX|FMA|BMI|AMX)\w*?|LZCNT|POPCNT|MOVBE|F16C|XOP|TBM|GFNI)__")
# Linux has other names for these
_LINUX_NAMES = {"sse3": "pni", "lzcnt": "abm", "bmi": "bmi1"}


def flags() -> frozenset[str]:
    """Return what the processor can do, in the names of Linux.

    Returns
    -------
    frozenset of str
        ``flags`` (x86) or ``Features`` (Arm) of ``/proc/cpuinfo``; empty where there is no such file.

    Examples
    --------
    >>> "sse2" in flags() or "asimd" in flags() or not flags()
    True
    """
    return frozenset(_line("flags").split() or _line("Features").split())


def fingerprint() -> str:
    """Name what the compiler's ``-march=native`` looks at: family, model and flags.

    Returns
    -------
    str
        The same on processors for which it makes the same code.

    Examples
    --------
    >>> len(fingerprint())
    16
    """
    import hashlib

    facts = [_line(field) for field in ("cpu family", "model", "CPU implementer", "CPU part")]
    return hashlib.sha256("\n".join([*facts, *sorted(flags())]).encode()).hexdigest()[:16]


def needed_flags(macros: Iterable[str]) -> set[str]:
    """Return the flags that a processor must have for code that was compiled with the given macros.

    Parameters
    ----------
    macros : iterable of str
        Names that the compiler defines beforehand, such as ``"__AVX2__"``.

    Returns
    -------
    set of str
        In the names of Linux, without their underscores, since compilers and Linux set them differently.

    Examples
    --------
    >>> sorted(needed_flags(["__AVX512_VNNI__", "__SSE3__", "__SSE2_MATH__", "__linux__"]))
    ['avx512vnni', 'pni']
    """
    found = [match[1] for macro in macros if (match := _INSTRUCTION_SETS.fullmatch(macro))]
    names = {name.replace("_", "").lower() for name in found if not name.endswith("_MATH")}
    return {_LINUX_NAMES.get(name, name) for name in names}


def lacking(needed: Iterable[str]) -> list[str]:
    """Return which of the needed flags this processor has not.

    Parameters
    ----------
    needed : iterable of str
        As `needed_flags` gives them.

    Returns
    -------
    list of str
        Sorted; empty where nothing is known of the processor.

    Examples
    --------
    >>> lacking([])
    []
    """
    present = {flag.replace("_", "") for flag in flags()}
    return sorted(set(needed) - present) if present else []


def _line(field: str) -> str:
    """What stands in the first line of that name."""
    match = re.search(rf"^{field}\s*:\s*(.*)$", _cpuinfo(CPUINFO), re.MULTILINE)
    return match[1] if match else ""


@functools.cache
def _cpuinfo(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
