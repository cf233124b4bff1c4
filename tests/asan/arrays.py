"""Arrays as callers may bring them: whole numbers, so that sums are exact, in all the ways memory can hold them."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)


def whole_numbers(rng: np.random.Generator, shape: Sequence[int], dtype: str = "float32") -> np.ndarray:
    """Draw numbers of which float32 knows every sum and product exactly, many of them equal."""
    return rng.integers(-3, 4, shape).astype(dtype)


def fenced(values: np.ndarray, before: bool = False) -> np.ndarray:
    """Copy an array to the end of a page behind which (or to the beginning of one before which) nothing can be read.

    oneDNN's code is made at run time and is not sanitized; this stops it.
    """
    page = mmap.PAGESIZE
    pages = -(-values.nbytes // page) + 1
    memory = mmap.mmap(-1, pages * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fence = start if before else start + (pages - 1) * page
    if _libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(page), _PROT_NONE):
        raise OSError(ctypes.get_errno(), "mprotect")
    offset = page if before else (pages - 1) * page - values.nbytes
    copy = np.frombuffer(memory, values.dtype, values.size, offset).reshape(values.shape)
    copy[...] = values
    return copy


def _misaligned(values: np.ndarray) -> np.ndarray:
    memory = np.zeros(values.nbytes + 1, "uint8")
    copy = memory[1:].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def _spread(values: np.ndarray) -> np.ndarray:
    """Every second value of a larger array, along each axis."""
    larger = np.full(
        [2 * length + 1 for length in values.shape], np.nan if values.dtype.kind == "f" else 9, values.dtype
    )
    copy = larger[tuple(slice(0, 2 * length, 2) for length in values.shape)]
    copy[...] = values
    return copy


def _backwards(values: np.ndarray) -> np.ndarray:
    return np.flip(np.ascontiguousarray(np.flip(values)))


def _transposed(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.swapaxes(values, 0, -1)).swapaxes(0, -1)


def _broadcast(values: np.ndarray) -> np.ndarray:
    """The same value along the first axis, which takes no memory."""
    return np.broadcast_to(values[:1], values.shape) if len(values) else values


def _read_only(values: np.ndarray) -> np.ndarray:
    copy = values.copy()
    copy.flags.writeable = False
    return copy


def _other_byte_order(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder())


KINDS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    np.array,
    fenced,
    lambda values: fenced(values, before=True),
    np.asfortranarray,
    _misaligned,
    _spread,
    _backwards,
    _transposed,
    _broadcast,
    _read_only,
    _other_byte_order,
)


def odd(rng: np.random.Generator, shape: Sequence[int], dtype: str = "float32") -> Any:
    """Draw whole numbers, and a way to hold them; half of them as they usually are."""
    values = whole_numbers(rng, shape, dtype)
    kind = KINDS[rng.integers(len(KINDS))] if rng.integers(2) else KINDS[rng.integers(3)]
    return kind(values)
