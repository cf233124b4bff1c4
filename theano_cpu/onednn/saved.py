"""Programs on disk: what a compiled function computes, for a process that runs it without Theano.

A compiled function whose graph is one `Program` consists of oneDNN's calls and of constants. Both are written to a
file, and the next process hands them to the native module: neither Theano is imported, nor a graph built or optimised.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from theano_cpu.onednn.library import OneDnnUnavailableError
from theano_cpu.onednn.runtime import load_built, native_module

_MAGIC = b"theano_cpu program 1\n"
_PREFIX = struct.Struct("<QI")  # the header's length and checksum
_ALIGNMENT = 64


class SavedProgramError(ValueError):
    """A file is no program, or not all of one.

    Examples
    --------
    >>> issubclass(SavedProgramError, ValueError)
    True
    """


def save_program(file: BinaryIO, function: Any, facts: dict[str, Any]) -> bool:
    """Write what a function computes, if it is one program of one input.

    Parameters
    ----------
    file : binary file
    function : theano.compile.function_module.Function
    facts : dict
        Of JSON's kinds; `SavedProgram` has them as its attribute.

    Returns
    -------
    bool
        False, and nothing is written, where the function is more than one program.

    Examples
    --------
    >>> import io
    >>> import theano
    >>> import theano.tensor as T
    >>> save_program(io.BytesIO(), theano.function([], T.constant(1)), {})
    False
    """
    from theano_cpu.onednn.program import Program

    graph = function.maker.fgraph
    nodes = list(graph.apply_nodes)
    if len(nodes) != 1 or not isinstance(nodes[0].op, Program) or len(graph.inputs) != 1:
        return False
    described = nodes[0].op.described(nodes[0])
    if described.given != list(graph.inputs) or any(output.owner is not nodes[0] for output in graph.outputs):
        return False
    constants = [np.ascontiguousarray(constant.data) for constant in described.kept]
    header = {
        "facts": facts,
        "native": native_module().__file__,
        "steps": described.steps,
        "results": described.results,
        "input_widths": described.input_widths,
        "output_widths": described.output_widths,
        "outputs": [nodes[0].outputs.index(output) for output in graph.outputs],
        "constants": [array.shape for array in constants],
        "checksum": _checksum(constants),
    }
    text = json.dumps(header).encode()
    file.write(_MAGIC + _PREFIX.pack(len(text), zlib.crc32(text)) + text)
    file.write(bytes(-file.tell() % _ALIGNMENT))
    for array in constants:
        file.write(array.data)
    return True


class SavedProgram:
    """A function of one float32 array, read from a file.

    Calling it gives a list of arrays, as the function that was saved does. It is for one thread at a time.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    SavedProgramError
        If the file is no such program; it may still turn out to be damaged, see `is_whole`.
    OSError
        If it cannot be read.

    Attributes
    ----------
    facts : dict
        What was said when it was saved.
    """

    def __init__(self, path: str | Path):
        with open(path, "rb") as file:
            try:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:  # it is empty
                raise SavedProgramError(f"{path}: {error}") from error
        try:
            self._header, begin = self._read_header()
            self._constants = self._arrays(begin)
        except (ValueError, struct.error) as error:
            raise SavedProgramError(f"{path}: {error}") from error
        self.facts: dict[str, Any] = self._header["facts"]
        self._thunk: Any = None
        self._input: list[Any] = [None]
        self._outputs: list[Any] = [[None] for _ in self._header["results"]]

    def is_whole(self) -> bool:
        """Say whether the constants are those that were saved.

        Returns
        -------
        bool
        """
        return bool(_checksum(self._constants) == self._header["checksum"])

    def load(self) -> bool:
        """Make ready to compute.

        Returns
        -------
        bool
            False where the native module that it was made for is gone, or cannot be used any more.
        """
        header = self._header
        try:
            native = load_built(header["native"])
        except OneDnnUnavailableError:
            return False
        if native is None:
            return False
        settings = [
            (name, label, {key: _hashable(value) for key, value in given.items()}, tuple(inputs))
            for name, label, given, inputs in header["steps"]
        ]
        widths = tuple(header["input_widths"]), tuple(header["output_widths"])
        arguments = settings, tuple(header["results"]), self._constants, [self._input], self._outputs, *widths
        self._thunk = native.make_program("saved program", *arguments)
        return True

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        if self._thunk is None and not self.load():
            raise OneDnnUnavailableError(f"the oneDNN native module {self._header['native']} is gone")
        self._input[0] = x
        try:
            native_module().run_thunk(self._thunk)
            return [self._outputs[index][0] for index in self._header["outputs"]]
        finally:  # whoever was given the outputs has them alone
            self._input[0] = None
            for cell in self._outputs:
                cell[0] = None

    def _read_header(self) -> tuple[dict[str, Any], int]:
        if self._data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin as a program does")
        length, checksum = _PREFIX.unpack_from(self._data, len(_MAGIC))
        begin = len(_MAGIC) + _PREFIX.size
        text = self._data[begin : begin + length]
        if zlib.crc32(text) != checksum:
            raise ValueError("its header is damaged")
        end = begin + length
        return json.loads(text), end + -end % _ALIGNMENT

    def _arrays(self, begin: int) -> list[np.ndarray]:
        arrays = []
        for shape in self._header["constants"]:
            count = math.prod(shape)
            arrays.append(np.frombuffer(self._data, np.float32, count, begin).reshape(shape))
            begin += arrays[-1].nbytes
        if begin != len(self._data):
            raise ValueError(f"it has {len(self._data)} bytes, expected {begin}")
        return arrays


def _checksum(arrays: Sequence[np.ndarray]) -> int:
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(array.data.cast("B") if array.size else b"", checksum)
    return checksum


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
