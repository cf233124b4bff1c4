"""The weights, nsfw.pkl: a pickle of ``[(layer name, [float32 arrays]), ...]``, read without running it.

A pickle is a program: Python's own `pickle.load` does what the file says. The reader below is a small machine
of its own that shares no code with it and can make nothing but whole numbers, texts, bytes, tuples, lists and
float32 arrays. What it guarantees, each proved by files in tests/attacks:

- Nothing outside of this module is imported or called. Seven names of NumPy's and Python's are understood,
  exactly as spelled in `_GLOBALS`, and stand for checked steps of this machine; any other name is an error.
- Memory stays within a small multiple of the file's size, which is limited too. An array is made only after
  its shape was found to fit the bytes that are there, and all arrays together hold no more bytes than the
  file.
- Time grows with the file's size and no faster. The number of steps is limited; nothing recurses.
- A file that is refused is refused as a whole, with a `WeightsError`. There is no other, laxer reader.
- All values are finite: a NaN would pass through the network into every score.

Pickles of protocols 0 to 5 are read, as written by Python 2 (pycaffe) and 3 with NumPy 1 and 2.
"""

from __future__ import annotations

import codecs
import struct
from enum import Enum
from math import prod
from pathlib import Path

import numpy as np

from nsfw_model import ModelFileError
from nsfw_model.outputs import replacing
from nsfw_model.regular_file import read_regular
from nsfw_model.signatures import mistaken_for

__all__ = ["Weights", "WeightsError", "load_weights", "save_weights"]

#: Layer names and their blobs in Caffe's order.
Weights = list[tuple[str, list[np.ndarray]]]

MAX_FILE_BYTES = 1 << 30
MAX_STEPS = 1 << 18  # some 30 for each array
MAX_LAYERS = 4096
MAX_BLOBS = 16  # of one layer
MAX_DIMENSIONS = 8
MAX_NAME = 1024  # characters


class WeightsError(ModelFileError):
    """A file of weights is not understood, not safe, or does not fit the network."""


def load_weights(path: str | Path) -> Weights:
    """Read the weights of a network from a pickle, safely.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of (str, list of ndarray)
        Layer names and their blobs in Caffe's order: float32, C-contiguous, writable, finite.

    Raises
    ------
    WeightsError
        If the file is anything else than such a list. Nothing in the file is run.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> name, blobs = load_weights("nsfw.pkl")[0]
    >>> name, [blob.shape for blob in blobs]
    ('conv_1', [(64, 3, 7, 7), (64,)])
    """
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise WeightsError(f"{path}: got {size} bytes, expected at most {MAX_FILE_BYTES}")
    data = read_regular(path, size)
    try:
        return _checked(_Machine(data).run(), size)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}{mistaken_for(path, 'pickle')}") from None


def save_weights(path: str | Path, layers: Weights) -> None:
    """Write the weights of a network as a pickle.

    The bytes depend on the values alone, not on the releases of NumPy and Python. `pickle.load` of Python 3
    with NumPy 1 or 2 reads them too.

    Parameters
    ----------
    path : str or Path
    layers : list of (str, list of ndarray)
        As `load_weights` returns them; all values are finite and of type float32.

    Raises
    ------
    WeightsError
        If `load_weights` would refuse them, see `pickled`; nothing is written then.
    nsfw_model.outputs.OutputError
        If the file cannot be written; what was there before is unchanged.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "net.pkl")
    >>> save_weights(path, [("fc", [np.ones((2, 3), "float32")])])
    >>> load_weights(path)
    [('fc', [array([[1., 1., 1.],
           [1., 1., 1.]], dtype=float32)])]
    """
    data = pickled(layers)
    with replacing(path) as file:
        file.write(data)


def pickled(layers: Weights) -> bytes:
    """Give the bytes that `save_weights` writes.

    Parameters
    ----------
    layers : list of (str, list of ndarray)

    Returns
    -------
    bytes
        What `load_weights` reads.

    Raises
    ------
    WeightsError
        If it would refuse them: an array is of another type or not finite, a name empty, too long or there twice,
        or there are too many layers, arrays or dimensions.

    Examples
    --------
    >>> pickled([])
    b'\\x80\\x03](e.'
    """
    # Opcodes by hand, since NumPy 2's own pickles name modules that NumPy 1 does not have.
    # PROTO 3; then for lists: EMPTY_LIST MARK items APPENDS
    data = b"".join([b"\x80\x03](", *(part for name, blobs in layers for part in _layer_pickle(name, blobs)), b"e."])
    if len(data) > MAX_FILE_BYTES:
        raise WeightsError(f"got weights of {len(data)} bytes, expected at most {MAX_FILE_BYTES}")
    _checked(_Machine(data).run(), len(data))
    return data


def _layer_pickle(name, blobs):
    encoded = name.encode("utf-8")
    yield b"X" + struct.pack("<I", len(encoded)) + encoded + b"]("
    for blob in blobs:
        if blob.dtype != np.float32 or not np.isfinite(blob).all():
            raise WeightsError(f"layer {name!r}: expected finite float32 values, got {blob.dtype}")
        values = np.ascontiguousarray(blob, "<f4").tobytes()
        shape = b"(" + b"".join(b"J" + struct.pack("<i", size) for size in blob.shape) + b"t"
        yield (
            b"cnumpy.core.multiarray\n_reconstruct\n"
            b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R"  # (ndarray, (0,), b"b")
            b"(K\x01" + shape + b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R"  # ("f4", False, True)
            b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"  # little-endian
            b"\x89B" + struct.pack("<I", len(values))
        )
        yield values
        yield b"tb"
    yield b"e\x86"


def _checked(layers, available):
    """Check that the machine's result is a list of (name, arrays) and take the arrays out of it."""
    if type(layers) is not list or len(layers) > MAX_LAYERS:
        raise WeightsError(f"got {_kind(layers)}, expected a list of at most {MAX_LAYERS} layers")
    result: Weights = []
    taken = 0
    for layer in layers:
        if type(layer) not in (tuple, list) or len(layer) != 2:
            raise WeightsError(f"layer {len(result)}: got {_kind(layer)}, expected (name, arrays)")
        name, blobs = _text(layer[0]), layer[1]
        if not 0 < len(name) <= MAX_NAME:
            raise WeightsError(f"layer {len(result)}: got a name of {len(name)} characters, expected 1 to {MAX_NAME}")
        if type(blobs) not in (tuple, list) or len(blobs) > MAX_BLOBS:
            raise WeightsError(f"layer {name!r}: got {_kind(blobs)}, expected a list of at most {MAX_BLOBS} arrays")
        for blob in blobs:
            if type(blob) is not _Array or blob.values is None:
                raise WeightsError(f"layer {name!r}: got {_kind(blob)}, expected an array with values")
            taken += 4 * prod(blob.shape)
        if taken > available:
            raise WeightsError(f"layer {name!r}: got more array values than the file has bytes for")
        result.append((name, [blob.to_numpy() for blob in blobs]))
        for index, array in enumerate(result[-1][1]):
            if not np.isfinite(array).all():
                raise WeightsError(f"layer {name!r}: array {index}: got values that are not finite")
    names = [name for name, _ in result]
    if len(set(names)) != len(names):
        raise WeightsError("got two layers of one name")
    return result


class _Global(Enum):
    RECONSTRUCT = "numpy.core.multiarray._reconstruct"
    FROM_BUFFER = "numpy.core.numeric._frombuffer"
    NDARRAY = "numpy.ndarray"
    DTYPE = "numpy.dtype"
    ENCODE = "_codecs.encode"


_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Global.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Global.RECONSTRUCT,  # NumPy 2's name
    ("numpy.core.numeric", "_frombuffer"): _Global.FROM_BUFFER,  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): _Global.FROM_BUFFER,
    ("numpy", "ndarray"): _Global.NDARRAY,
    ("numpy", "dtype"): _Global.DTYPE,
    ("_codecs", "encode"): _Global.ENCODE,  # how protocols 0 to 2 of Python 3 write bytes
}


class _Array:
    """An array of a pickle: at first without contents, as NumPy's `_reconstruct` makes it."""

    def __init__(self):
        self.shape: tuple[int, ...] = ()
        self.values: bytes | None = None
        self.fortran = False

    def set_state(self, state):
        if self.values is not None or type(state) is not tuple or len(state) != 5 or state[0] != 1:
            raise WeightsError(f"got {_kind(state)} as the state of an array")
        self.fill(*state[1:])

    def fill(self, shape, dtype, fortran, values):
        if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
            raise WeightsError(f"got {_kind(shape)} as a shape, expected a tuple of at most {MAX_DIMENSIONS} sizes")
        if any(type(size) is not int or not 0 < size <= MAX_FILE_BYTES for size in shape):
            raise WeightsError("got a shape with a size that is no number from 1 up to the largest file")
        if type(dtype) is not _Dtype or not dtype.is_float32:
            raise WeightsError("got an array of another type, expected float32, little-endian")
        if type(fortran) not in (bool, int):
            raise WeightsError(f"got {_kind(fortran)} as the order of an array")
        if type(values) is not bytes or len(values) != 4 * prod(shape):
            size = f"{len(values)} bytes" if type(values) is bytes else _kind(values)
            raise WeightsError(
                f"got {size} as the values of an array of shape {shape}, expected {4 * prod(shape)} bytes"
            )
        self.shape, self.values, self.fortran = shape, values, bool(fortran)

    def to_numpy(self) -> np.ndarray:
        assert self.values is not None  # checked by `_checked`
        view = np.frombuffer(self.values, "<f4").reshape(self.shape, order="F" if self.fortran else "C")
        return np.array(view, np.float32, order="C")


class _Dtype:
    """A dtype of a pickle: its code first, its byte order as the state set afterwards."""

    def __init__(self, code):
        self.code, self.order = code, None

    @property
    def is_float32(self):
        return (self.code, self.order) == ("f4", "<")

    def set_state(self, state):
        if self.order is not None or type(state) is not tuple or len(state) != 8 or state[2:5] != (None, None, None):
            raise WeightsError("got a dtype of another kind, expected float32, little-endian")
        self.order = _text(state[1])


class _Machine:
    """The steps of a pickle that weights need, on a stack of its own."""

    def __init__(self, data):
        self.data, self.at = data, 0
        self.stack, self.marks, self.memo = [], [], {}
        self.encoded = 0  # bytes made by _codecs.encode

    def run(self):
        for _ in range(MAX_STEPS):
            at = self.at
            opcode = self.read(1)
            if opcode == b".":
                if self.at != len(self.data):
                    raise WeightsError(f"got {len(self.data) - self.at} bytes behind the pickle's end")
                return self.pop()
            step = _STEPS.get(opcode)
            if step is None:
                raise WeightsError(f"byte {at}: got the pickle opcode {opcode!r}, which weights do not need")
            try:
                step(self)
            except WeightsError as error:
                raise WeightsError(f"byte {at}: {error}") from None
        raise WeightsError(f"got more than {MAX_STEPS} pickle opcodes")

    def read(self, count):
        if count < 0 or count > len(self.data) - self.at:
            raise WeightsError("got the end of the file in the middle of the pickle")
        self.at += count
        return self.data[self.at - count : self.at]

    def line(self, longest):
        end = self.data.find(b"\n", self.at, self.at + longest + 1)
        if end < 0:
            raise WeightsError(f"got no end of a line within {longest} bytes")
        line = self.read(end - self.at)
        self.at += 1
        return line

    def number(self, layout):
        return struct.unpack(layout, self.read(struct.calcsize(layout)))[0]

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise WeightsError("got a pickle that takes from an empty stack")
        return self.stack.pop()

    def pop_to_mark(self):
        if not self.marks:
            raise WeightsError("got a pickle without the mark that it needs")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_tuple(self, count):
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def append(self, items):
        target = self.pop()
        if type(target) is not list:
            raise WeightsError(f"got {_kind(target)} to append to, expected a list")
        target.extend(items)
        self.push(target)

    def remember(self, key):
        self.memo[key] = self.stack[-1] if self.stack else self.pop()

    def recall(self, key):
        if key not in self.memo:
            raise WeightsError(f"got number {key} of the memo, which was never set")
        self.push(self.memo[key])

    def look_up(self, module, name):
        if (module, name) not in _GLOBALS:
            raise WeightsError(f"got the name {module!r:.80} {name!r:.80}, which weights do not need")
        self.push(_GLOBALS[module, name])

    def reduce(self):
        arguments, function = self.pop(), self.pop()
        if type(function) is not _Global or type(arguments) is not tuple:
            raise WeightsError(f"got a call of {_kind(function)}")
        self.push(self.call(function, arguments))

    def call(self, function, arguments):
        kinds = [type(argument) for argument in arguments]
        if function is _Global.RECONSTRUCT and len(kinds) == 3 and arguments[0] is _Global.NDARRAY:
            return _Array()
        if function is _Global.DTYPE and len(kinds) == 3 and kinds[0] in (str, bytes):
            return _Dtype(_text(arguments[0]))
        if function is _Global.ENCODE and kinds == [str, str] and arguments[1] == "latin1":
            self.encoded += len(arguments[0])
            if self.encoded > len(self.data):
                raise WeightsError("got more encoded bytes than the file has")
            try:
                return arguments[0].encode("latin1")
            except UnicodeEncodeError:
                raise WeightsError("got text that is not bytes in latin1") from None
        if function is _Global.FROM_BUFFER and len(kinds) == 4 and arguments[3] in ("C", "F"):
            values, dtype, shape, order = arguments
            array = _Array()
            array.fill(shape, dtype, order == "F", values)
            return array
        raise WeightsError(f"got a call of {function.value} with other arguments than weights need")

    def build(self):
        state, target = self.pop(), self.pop()
        if type(target) not in (_Array, _Dtype):
            raise WeightsError(f"got a state for {_kind(target)}")
        target.set_state(state)
        self.push(target)

    def text(self, count):
        try:
            self.push(self.read(count).decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise WeightsError("got text that is not UTF-8") from None

    def escaped_text(self):
        try:
            self.push(self.line(MAX_FILE_BYTES).decode("raw-unicode-escape"))
        except UnicodeDecodeError:
            raise WeightsError("got text with a broken escape") from None

    def escaped_bytes(self):
        line = self.line(MAX_FILE_BYTES)
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
            raise WeightsError("got a string without quotes")
        try:
            self.push(codecs.escape_decode(line[1:-1])[0])
        except ValueError:
            raise WeightsError("got a string with a broken escape") from None

    def decimal(self):
        line = self.line(24)
        if line in (b"00", b"01"):
            self.push(line == b"01")
            return
        try:
            self.push(int(line.removesuffix(b"L")))
        except ValueError:
            raise WeightsError("got a number that is none") from None

    def key(self):
        line = self.line(10)
        if not line.isdigit():
            raise WeightsError("got a number of the memo that is none")
        return int(line)

    def long(self):
        count = self.number("<B")
        if count > 8:
            raise WeightsError(f"got a whole number of {count} bytes, expected at most 8")
        self.push(int.from_bytes(self.read(count), "little", signed=True))

    def protocol(self):
        number = self.number("<B")
        if number > 5:
            raise WeightsError(f"got pickle protocol {number}, expected 0 to 5")

    def global_by_line(self):
        module, name = self.line(256), self.line(256)
        self.look_up(module.decode("latin1"), name.decode("latin1"))

    def global_by_stack(self):
        name, module = self.pop(), self.pop()
        self.look_up(_text(module), _text(name))


_STEPS = {
    b"\x80": _Machine.protocol,
    b"\x95": lambda m: m.number("<Q"),  # a frame's length: only for reading ahead
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _Machine.decimal,
    b"L": _Machine.decimal,
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"J": lambda m: m.push(m.number("<i")),
    b"\x8a": _Machine.long,
    b"S": _Machine.escaped_bytes,  # Python 2's str: bytes here, and text where a name is expected
    b"T": lambda m: m.push(m.read(m.number("<i"))),
    b"U": lambda m: m.push(m.read(m.number("<B"))),
    b"B": lambda m: m.push(m.read(m.number("<I"))),
    b"C": lambda m: m.push(m.read(m.number("<B"))),
    b"\x8e": lambda m: m.push(m.read(m.number("<Q"))),
    b"\x96": lambda m: m.push(m.read(m.number("<Q"))),
    b"V": _Machine.escaped_text,
    b"X": lambda m: m.text(m.number("<I")),
    b"\x8c": lambda m: m.text(m.number("<B")),
    b"\x8d": lambda m: m.text(m.number("<Q")),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.pop_to_mark()),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m.pop_to_mark()),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),
    b"\x85": lambda m: m.pop_tuple(1),
    b"\x86": lambda m: m.pop_tuple(2),
    b"\x87": lambda m: m.pop_tuple(3),
    b"p": lambda m: m.remember(m.key()),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.recall(m.key()),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"c": _Machine.global_by_line,
    b"\x93": _Machine.global_by_stack,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}


def _text(value):
    """Text, also where Python 2 wrote its byte strings."""
    if type(value) is bytes:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise WeightsError("got a name that is not text") from None
    if type(value) is not str:
        raise WeightsError(f"got {_kind(value)} where a name is expected")
    return value


def _kind(value):
    """What a value is, for messages: never its contents, which can be endless."""
    if isinstance(value, _Global):
        return value.value
    size = f" of {len(value)}" if type(value) in (tuple, list, str, bytes) else ""
    return {_Array: "array", _Dtype: "dtype"}.get(type(value), type(value).__name__) + size
