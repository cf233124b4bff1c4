"""Where the native module is compiled with sanitizers, and what a Python that loads it needs.

References
----------
.. [1] K. Serebryany et al., "AddressSanitizer: A Fast Address Sanity Checker", USENIX ATC 2012.
.. [2] GCC, "Program Instrumentation Options", https://gcc.gnu.org/onlinedocs/gcc/Instrumentation-Options.html
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: -O1 compiles in half the time of -O3, and what each line of the source reads and writes is the same. With
#: -fexpensive-optimizations a product and its sum are one instruction, as they are in -O2.
FLAGS = (
    "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1 "
    "-fexpensive-optimizations"
)
#: The compiler that Theano is told to use. Only the native module is sanitized: what Theano generates is not ours. The
#: sanitizer that is loaded for Python's sake would slow the compiler down.
COMPILER = f"""#!/bin/sh
unset LD_PRELOAD
case "$*" in
*theano_cpu_onednn*) exec g++ "$@" {FLAGS} ;;
esac
exec g++ "$@"
"""
#: Larger than any array of a valid case; beyond it memory is "exhausted".
MOST_MEGABYTES = 1024


def problem() -> str | None:
    """Say why nothing can be sanitized here, or None."""
    if not shutil.which("g++"):
        return "g++ is not installed"
    missing = [name for name in ("libasan.so", "libubsan.so") if not _library(name)]
    return f"g++ has no {missing[0]}" if missing else None


def environment(folder: Path) -> dict[str, str]:
    """Give the variables for a sanitized Python, whose compiled modules are kept in `folder`."""
    compiler = folder / "g++"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    addresses = {
        # Python itself keeps memory until its end. What the native module leaks is counted, see leaks.py
        "detect_leaks": 0,
        "allocator_may_return_null": 1,
        "max_allocation_size_mb": MOST_MEGABYTES,
    }
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        # Python is not sanitized, and the sanitizer must come first. It looks for the C++ library's throw at its start
        "LD_PRELOAD": f"{_library('libasan.so')} {_library('libstdc++.so')}",
        "ASAN_OPTIONS": ":".join(f"{name}={value}" for name, value in addresses.items()),
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        # A folder of its own: no other program is to find a sanitized module
        "THEANO_FLAGS": f"base_compiledir={folder / 'compiled'},cxx={compiler}",
        # Each object is one of malloc's, so that one that is used after its end is found
        "PYTHONMALLOC": "malloc",
        "THEANO_CPU_ENGINE": "onednn",
    }


def _library(name: str) -> str | None:
    """The path of one of g++'s libraries, or None; g++ repeats the name of one that it has not."""
    told = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
    return told if os.path.isabs(told) else None
