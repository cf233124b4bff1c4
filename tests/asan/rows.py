"""What the sanitized module is put through besides valid calls, each row by a function of the number of cases."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cases import OPERATIONS, Case, Thunk, check

from theano_cpu.onednn.runtime import set_num_threads

REFUSALS = (TypeError, ValueError, MemoryError, RuntimeError)
#: Operations on values, for which arrays of any number of axes will do.
_OF_ANY_RANK = ("sum", "relu_gradient", "bfloat16")
_AT_LEAST_1 = ("stride", "dilation", "groups", "size", "step")
_HUGE = 1 << 20
_REPETITIONS = 50
#: Bytes; the smallest object takes 16 each time.
_ENOUGH = 16 * _REPETITIONS

Attempt = Callable[[], Any]
#: Called before each case with its number and itself.
Watch = Callable[[int, Any], None]


def valid_calls(operation: str) -> Callable[[int, int, Watch], int]:
    """Give the row of one operation: its results are right, whatever it is given."""
    draw, _ = OPERATIONS[operation]

    def run(count: int, seed: int, watch: Watch) -> int:
        for number in range(count):
            rng = np.random.default_rng((seed, number))
            case = draw(rng)
            watch(number, case)
            check(case, rng)
        return count

    return run


# ---- what must be refused --------------------------------------------------------------------------------------------


def _drawn(rng: np.random.Generator) -> Case:
    names = list(OPERATIONS)
    return OPERATIONS[names[rng.integers(len(names))]][0](rng)


def _with_input(case: Case, rng: np.random.Generator, change: Callable[[Any], Any]) -> list[Any]:
    """The inputs of a case, one of them changed."""
    changed = list(case.calls[0][0])
    at = int(rng.integers(len(changed)))
    changed[at] = change(changed[at])
    return changed


def wrong_rank(case: Case, rng: np.random.Generator) -> Attempt | None:
    """One axis more, or one less."""
    if case.operation in _OF_ANY_RANK:
        return None
    changed = _with_input(case, rng, lambda x: x[None] if rng.integers(2) or not len(x) else x[0])
    return lambda: Thunk(case)(changed)


def wrong_dtype(case: Case, rng: np.random.Generator) -> Attempt:
    """Numbers that are wider, narrower, or no numbers."""
    dtype = str(rng.choice(["float64", "float16", "int32", "uint8", "complex64", "object"]))
    changed = _with_input(case, rng, lambda x: x.astype(dtype))
    return lambda: Thunk(case)(changed)


def no_array(case: Case, rng: np.random.Generator) -> Attempt:
    """Something else in the cell."""
    thing = (None, 1.0, [1.0], "x", object())[rng.integers(5)]
    changed = _with_input(case, rng, lambda x: thing)
    return lambda: Thunk(case)(changed)


def wrong_number(case: Case, rng: np.random.Generator) -> Attempt:
    """Inputs or outputs too many or too few."""
    inputs, expected = case.calls[0]
    fewer = inputs[: min(len(inputs) - 1, 1)]
    possible = [(fewer, expected), (inputs, []), (inputs, expected * 2)]
    if case.operation != "sum":  # which takes any number from two on
        possible.append((inputs * 2, expected))
    call = possible[rng.integers(len(possible))]
    return lambda: Thunk(dataclasses.replace(case, calls=[call]))


def wrong_widths(case: Case, rng: np.random.Generator) -> Attempt:
    """Two bytes said of four, or four of two."""
    inputs, expected = ([value.dtype.itemsize for value in values] for values in case.calls[0])
    changed = (inputs, expected)[rng.integers(2)]
    at = rng.integers(len(changed))
    changed[at] = 6 - changed[at]
    return lambda: Thunk(case, inputs, expected)


def no_such_input(case: Case, rng: np.random.Generator) -> Attempt:
    """In place of an input that there is not."""
    in_place = int(rng.choice((-2, -(1 << 31), len(case.calls[0][0]), 100)))
    return lambda: Thunk(dataclasses.replace(case, in_place=in_place))


def wrong_setting(case: Case, rng: np.random.Generator) -> Attempt | None:
    """One that is missing, no number, or out of range."""
    if not case.settings:
        return None
    settings: dict[str, Any] = dict(case.settings)
    name = list(settings)[rng.integers(len(settings))]
    wrong: list[Any] = ["text", ()]
    if name != "negative_slope":  # which may be any number
        wrong += [-1, 1.5, 1 << 31, float("nan"), (-1, 1)]
    if name in _AT_LEAST_1:
        wrong += [0, (0, 1)]
    settings[name] = wrong[rng.integers(len(wrong))]
    if rng.integers(8) == 0:
        del settings[name]
    return lambda: Thunk(dataclasses.replace(case, settings=settings))


def no_memory(case: Case, rng: np.random.Generator) -> Attempt | None:
    """An output of terabytes."""
    inputs, expected = case.calls[0]
    if case.operation != "convolution" or not len(inputs[0]):
        return None
    settings = {**case.settings, "pad": (_HUGE, _HUGE), "residual": False}
    inputs = inputs[: 2 + case.settings["bias"]]
    return lambda: Thunk(Case("convolution", settings, [(inputs, expected)]))(inputs)


REFUSED = (wrong_rank, wrong_dtype, no_array, wrong_number, wrong_widths, no_such_input, wrong_setting, no_memory)


def wrong_size(case: Case, rng: np.random.Generator) -> None:
    """One axis shorter or longer: some sizes fit together nevertheless."""

    def change(x: np.ndarray) -> np.ndarray:
        axis = int(rng.integers(x.ndim))
        if rng.integers(2):
            return np.delete(x, slice(0, 1), axis)
        return np.repeat(x, 2, axis)

    changed = _with_input(case, rng, change)
    with contextlib.suppress(*REFUSALS):
        Thunk(case)(changed)


def wrong_arguments(count: int, seed: int, watch: Watch) -> int:
    """Give what must be refused; what comes after is computed as ever."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        case, kind = _drawn(rng), int(rng.integers(len(REFUSED) + 2))
        if kind >= len(REFUSED):
            watch(number, f"wrong_size of {case}")
            wrong_size(case, rng)
        else:
            watch(number, f"{REFUSED[kind].__name__} of {case}")
            _refuse(REFUSED[kind], case, rng)
        if rng.integers(4) == 0:
            check(case, rng)
    return count


def _refuse(spoil: Callable[[Case, np.random.Generator], Attempt | None], case: Case, rng: np.random.Generator) -> None:
    attempt = spoil(case, rng)
    if attempt is None:
        return
    try:
        attempt()
    except REFUSALS:
        return
    raise AssertionError("it was not refused")


# ---- threads and processes -------------------------------------------------------------------------------------------


def threads(count: int, seed: int, watch: Watch) -> int:
    """Compute in several threads, each of which changes the number of threads of all."""
    wrong: list[BaseException] = []
    at_once = 4

    def work(first: int) -> None:
        try:
            for number in range(first, count, at_once):
                rng = np.random.default_rng((seed, number))
                check(_drawn(rng), rng)
        except BaseException as error:
            wrong.append(error)

    watch(0, f"{at_once} threads")
    started = [threading.Thread(target=work, args=(first,)) for first in range(at_once)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if wrong:
        raise wrong[0]
    return count


def forks(count: int, seed: int, watch: Watch) -> int:
    """Compute in a child whose parent computes on another thread, but for the moment of the fork.

    Within it the child might wait for ever, for a lock of the sanitizer's own allocator that the thread held.
    """
    done, resting = threading.Event(), threading.Lock()

    def compute() -> None:
        for number in _until(done):
            rng = np.random.default_rng((seed, number))
            with resting:
                check(OPERATIONS["convolution"][0](rng), rng)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for number in range(count):
            watch(number, "a fork")
            with resting:
                child = os.fork()
            if child == 0:
                os._exit(_in_child((seed, number)))
            assert os.waitpid(child, 0)[1] == 0, "the child failed"
    finally:
        done.set()
        thread.join()
    return count


def _until(done: threading.Event) -> Iterator[int]:
    number = 0
    while not done.is_set():
        yield number
        number += 1


def _in_child(seed: tuple[int, int]) -> int:
    rng = np.random.default_rng(seed)
    try:
        for _ in range(3):
            check(_drawn(rng), rng)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        return 1
    return 0


ENDING = """
import sys, threading
sys.path.insert(0, {folder!r})
import numpy as np
import theano_cpu
from cases import OPERATIONS, check
def compute(seed):
    rng = np.random.default_rng(seed)
    while True:
        check(OPERATIONS["convolution"][0](rng), rng)
for seed in range({first}, {first} + 3):
    threading.Thread(target=compute, args=(seed,), daemon=True).start()
threading.Event().wait({seconds})
"""


def ends(count: int, seed: int, watch: Watch) -> int:
    """End interpreters while daemon threads compute."""
    for number in range(count):
        watch(number, "the end of an interpreter")
        code = ENDING.format(folder=str(Path(__file__).parent), first=seed + 3 * number, seconds=0.2 + 0.1 * number)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
        assert ran.returncode == 0, f"exit code {ran.returncode}\n{ran.stderr[-3000:]}"
    return count


# ---- leaks -----------------------------------------------------------------------------------------------------------


def leaks(count: int, seed: int, watch: Watch) -> int:
    """Compute and refuse the same again and again, until no more memory is in use than before."""
    in_use = ctypes.CDLL(None).__sanitizer_get_current_allocated_bytes
    in_use.restype = ctypes.c_size_t
    set_num_threads(2)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        case = list(OPERATIONS.values())[number % len(OPERATIONS)][0](rng)
        watch(number, case)
        before, grown = _in_use_after(case, in_use), _ENOUGH
        for _ in range(20):  # what is kept once, such as oneDNN's primitives, comes soon
            if grown < _ENOUGH:
                break
            now = _in_use_after(case, in_use)
            before, grown = now, now - before
        assert grown < _ENOUGH, f"{grown:,} bytes more after each {_REPETITIONS} repetitions"
    return count


def _in_use_after(case: Case, in_use: Callable[[], int]) -> int:
    inputs, _ = case.calls[0]
    for _ in range(_REPETITIONS):
        thunk = Thunk(case)
        thunk(inputs)
        with contextlib.suppress(TypeError):
            thunk([*inputs[:-1], None])
    return in_use()


#: All rows: the function, and the number of cases for a given number of units.
ROWS: dict[str, tuple[Callable[[int, int, Watch], int], Callable[[int], int]]] = {
    **{name: (valid_calls(name), share.__mul__) for name, (_, share) in OPERATIONS.items()},
    "wrong arguments": (wrong_arguments, lambda units: 8 * units),
    "threads": (threads, lambda units: 2 * units),
    "forks": (forks, lambda units: 2 + units // 20),
    "ends": (ends, lambda units: 1 + units // 60),
    "leaks": (leaks, lambda units: len(OPERATIONS) * (1 + units // 200)),
}
#: Units that there are in a case of all.
SHARES = sum(share for _, share in OPERATIONS.values()) + 10
