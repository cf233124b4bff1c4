"""The machine that reads pickles makes of each step what Python makes of it, and stops at bounds that it names."""

import pickle
import re
import struct

import numpy as np
import pickles
import pytest

from nsfw_model import weights
from nsfw_model.weights import WeightsError, _Array, _checked, _Dtype, _Machine


NO_BYTES = "got 0 bytes as the values of an array of shape (1073741824,), expected 4294967296 bytes"
NO_SIZE = "got a shape with a size that is no number from 1 up to the largest file"


def run(data):
    return _Machine(data).run()


def refuse(data, message):
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        run(data)


@pytest.mark.parametrize(
    "steps",
    [
        b"N",
        b"\x88",
        b"\x89",
        b"I01\n",
        b"I00\n",
        b"I0\n",
        b"I1\n",
        b"I-123\n",
        b"L123L\n",
        b"L-5L\n",
        b"I12345678901234567890123\n",
        b"K\0",
        b"K\xff",
        b"M\x01\xff",
        b"J\x01\0\0\x80",
        b"J\xff\xff\xff\x7f",
        b"\x8a\0",
        b"\x8a\x01\x80",
        b"\x8a\x02\xff\0",
        b"\x8a\x08\x01\2\3\4\5\6\7\x88",
        b"S'a\\x62\\n'\n",
        b'S"it\'s"\n',
        b"S''\n",
        b"T\2\0\0\0a\xff",
        b"U\2a\xff",
        b"U\xff" + bytes(range(255)),
        b"B\2\0\0\0a\xff",
        b"C\2a\xff",
        b"\x8e\2\0\0\0\0\0\0\0a\xff",
        b"V\\u20aca\n",
        b"Va\xe9\n",
        b"X\2\0\0\0\xc3\xa9",
        b"\x8c\3\xed\xa0\x80",  # half of a surrogate pair, which Python writes so
        b"\x8d\2\0\0\0\0\0\0\0\xc3\xa9",
        b"]",
        b"(l",
        b"(K\1K\2l",
        b"]K\1a",
        b"](K\1K\2e",
        b"](e",
        b")",
        b"(t",
        b"(K\1K\2t",
        b"K\1\x85",
        b"K\1K\2\x86",
        b"K\1K\2K\3\x87",
        b"(K\1(K\2lK\3t",
        b"(K\1p7\nK\2g7\nt",
        b"(K\1p0000000123\nK\2g0000000123\nt",
        b"(K\1q\xffK\2h\xfft",
        b"(K\1r\0\1\0\0K\2j\0\1\0\0t",
        b"(K\1\x94K\2\x94h\0h\1t",
        b"(K\1q\0K\2q\0h\0t",
        b"(]q\0K\1ah\0t",
        b"\x80\0N",
        b"\x80\5N",
        b"\x80\4\x95\2\0\0\0\0\0\0\0N",
    ],
)
def test_each_step_makes_what_it_makes_in_python(steps):
    expected = pickle.loads(steps + b".", encoding="bytes")
    got = run(steps + b".")
    assert got == expected and type(got) is type(expected)


def test_bytes_that_could_be_changed_are_bytes():
    assert run(b"\x96\2\0\0\0\0\0\0\0a\xff.") == b"a\xff"


@pytest.mark.parametrize(
    "steps, message",
    [
        (b"(K\1](ea.", "byte 6: got int to append to, expected a list"),
        (b"K\1(a.", "byte 3: got a pickle that takes from an empty stack"),
        (b"K\1(K\2\x86.", "byte 5: got a pickle that takes from an empty stack"),
        (b"K\1K\2(tt.", "byte 6: got a pickle without the mark that it needs"),
        (b"q\0.", "byte 0: got a pickle that takes from an empty stack"),
        (b"\x94.", "byte 0: got a pickle that takes from an empty stack"),
        (b"NK", "byte 1: got the end of the file in the middle of the pickle"),
        (b"C\3ab", "byte 0: got the end of the file in the middle of the pickle"),
        (b"J\1\2\3", "byte 0: got the end of the file in the middle of the pickle"),
        (b"N.N", "got 1 bytes behind the pickle's end"),
        (b"N?.", "byte 1: got the pickle opcode b'?', which weights do not need"),
        (b"I1234567890123456789012345\n.", "byte 0: got no end of a line within 24 bytes"),
        (b"Np12345678901\n.", "byte 1: got no end of a line within 10 bytes"),
        (b"Np-1\n.", "byte 1: got a number of the memo that is none"),
        (b"Np\n.", "byte 1: got a number of the memo that is none"),
        (b"g1\n.", "byte 0: got number 1 of the memo, which was never set"),
        (b"j\1\0\0\0.", "byte 0: got number 1 of the memo, which was never set"),
        (b"c" + b"m" * 257 + b"\nn\n.", "byte 0: got no end of a line within 256 bytes"),
        (b"cm\n" + b"n" * 257 + b"\n.", "byte 0: got no end of a line within 256 bytes"),
        (b"cm\nn\n.", "byte 0: got the name 'm' 'n', which weights do not need"),
        (b"S'a\n.", "byte 0: got a string without quotes"),
        (b"NN\x93.", "byte 2: got NoneType where a name is expected"),
        (b"Nb.", "byte 1: got a pickle that takes from an empty stack"),
        (b"NR.", "byte 1: got a pickle that takes from an empty stack"),
        (b"NNb.", "byte 2: got a state for NoneType"),
        (b"(K\1K\2lNb.", "byte 7: got a state for list of 2"),
        (b"N)R.", "byte 2: got a call of NoneType"),
        (b"cnumpy\ndtype\n]R.", "byte 14: got a call of numpy.dtype"),
    ],
)
def test_what_is_wrong_is_told_by_where_it_is(steps, message):
    refuse(steps, message)


def test_a_long_name_is_shortened():
    name = "n" * 256
    refuse(
        f"c{name}\n{name}\n.".encode(),
        f"byte 0: got the name {repr(name)[:80]} {repr(name)[:80]}, which weights do not need",
    )


def test_steps_are_limited(monkeypatch):
    monkeypatch.setattr(weights, "MAX_STEPS", 3)
    assert run(b"]N.") is None
    refuse(b"]NN.", "got more than 3 pickle opcodes")


@pytest.mark.parametrize("text", ["a" * 10, "\xff"])
def test_bytes_made_of_text_are_limited_by_the_file(text):
    """As protocols 0 to 2 of Python 3 write bytes."""
    data = pickle.dumps(text.encode("latin1"), 2)
    assert run(data) == text.encode("latin1")
    machine = _Machine(b"." * 10)
    machine.stack = [weights._Global.ENCODE, (text, "latin1")]
    machine.reduce()
    machine.encoded = 11 - len(text)
    machine.stack = [weights._Global.ENCODE, (text, "latin1")]
    with pytest.raises(WeightsError, match="^got more encoded bytes than the file has$"):
        machine.reduce()


@pytest.mark.parametrize(
    "module, name",
    [
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    ],
)
def test_seven_names_are_understood_in_either_spelling(module, name):
    by_line = run(f"c{module}\n{name}\n.".encode())
    assert by_line is run(pickles.text(module) + pickles.text(name) + b"\x93.")
    assert by_line.value == f"{module}.{name}".replace("_core", "core")
    with pytest.raises(WeightsError, match="which weights do not need"):
        run(f"c{module}\n{name} \n.".encode())


class TestArrays:
    FLOAT32 = run(pickles.FLOAT32 + b".")

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_have_their_values_in_either_order(self, protocol, order):
        values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).copy(order)
        array = run(pickle.dumps(values, protocol))
        assert (array.shape, array.fortran) == ((2, 3, 4), order == "F")
        read = array.to_numpy()
        np.testing.assert_array_equal(read, values)
        assert read.flags.c_contiguous and read.flags.writeable and read.dtype == np.float32

    def test_a_dtype_has_its_order_once(self):
        assert self.FLOAT32.is_float32 and not _Dtype("f4").is_float32
        for code, order in ("f4", ">"), ("f8", "<"), ("i4", "<"):
            dtype = _Dtype(code)
            dtype.set_state((3, order, None, None, None, -1, -1, 0))
            assert not dtype.is_float32

    @pytest.mark.parametrize(
        "state",
        [
            (3, "<", None, None, None, -1, -1),
            (3, "<", None, None, None, -1, -1, 0, 0),
            (3, "<", 0, None, None, -1, -1, 0),
            (3, "<", None, 0, None, -1, -1, 0),
            (3, "<", None, None, 0, -1, -1, 0),
            [3, "<", None, None, None, -1, -1, 0],
        ],
    )
    def test_a_dtype_of_another_kind_is_refused(self, state):
        with pytest.raises(WeightsError, match="^got a dtype of another kind, expected float32, little-endian$"):
            _Dtype("f4").set_state(state)

    @pytest.mark.parametrize(
        "shape, dtype, fortran, values, message",
        [
            ([2], FLOAT32, False, bytes(8), "got list of 1 as a shape, expected a tuple of at most 8 sizes"),
            ((1,) * 9, FLOAT32, False, bytes(4), "got tuple of 9 as a shape, expected a tuple of at most 8 sizes"),
            ((0,), FLOAT32, False, b"", NO_SIZE),
            ((True,), FLOAT32, False, bytes(4), NO_SIZE),
            ((1 << 31,), FLOAT32, False, b"", NO_SIZE),
            ((1 << 30,), FLOAT32, False, b"", NO_BYTES),
            ((2,), "f4", False, bytes(8), "got an array of another type, expected float32, little-endian"),
            ((2,), FLOAT32, None, bytes(8), "got NoneType as the order of an array"),
            ((2,), FLOAT32, False, bytes(7), "got 7 bytes as the values of an array of shape (2,), expected 8 bytes"),
            ((2,), FLOAT32, False, bytes(9), "got 9 bytes as the values of an array of shape (2,), expected 8 bytes"),
            ((2,), FLOAT32, False, None, "got NoneType as the values of an array of shape (2,), expected 8 bytes"),
        ],
    )  # fmt: skip
    def test_that_contradict_themselves_are_refused(self, shape, dtype, fortran, values, message):
        with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
            _Array().fill(shape, dtype, fortran, values)

    @pytest.mark.parametrize("fortran", [False, True, 0, 1])
    def test_of_one_number_and_of_eight_dimensions_are_read(self, fortran):
        for shape in (), (1,), (1,) * 8:
            array = _Array()
            array.fill(shape, self.FLOAT32, fortran, struct.pack("<f", 2.5))
            assert array.to_numpy().shape == shape and array.to_numpy().item() == 2.5
            assert type(array.fortran) is bool

    def test_are_counted_by_the_bytes_of_the_file(self):
        array = _Array()
        array.fill((5,), self.FLOAT32, False, bytes(20))
        assert len(_checked([("a", [array, array]), ("b", [array])], 60)) == 2
        with pytest.raises(WeightsError, match="^layer 'b': got more array values than the file has bytes for$"):
            _checked([("a", [array, array]), ("b", [array])], 59)

    def test_of_layers_are_in_pairs_with_their_names(self):
        for layer in ("a",), ("a", [], []), "ab", {"a": 1, "b": 2}:
            with pytest.raises(WeightsError, match=r"^layer 1: got .*, expected \(name, arrays\)$"):
                _checked([("first", []), layer], 100)
        for blobs in "ab", None, {}:
            with pytest.raises(WeightsError, match="^layer 'a': got .*, expected a list of at most 16 arrays$"):
                _checked([("a", blobs)], 100)

    def test_that_are_not_finite_are_told_by_their_place(self):
        whole, broken = _Array(), _Array()
        whole.fill((1,), self.FLOAT32, False, bytes(4))
        broken.fill((3,), self.FLOAT32, False, struct.pack("<3f", 1, float("-inf"), 1))
        with pytest.raises(WeightsError, match="^layer 'a': array 1: got values that are not finite$"):
            _checked([("a", [whole, broken])], 100)


class TestWriting:
    def test_the_bytes_are_those_of_protocol_3(self):
        """For Python 3 with any NumPy: `pickle.load` gives the same, and the format does not change."""
        data = weights.pickled([("fc", [np.float32([[1, 2, 3]])]), ("é", [])])
        assert data[:2] == b"\x80\x03"
        assert data == (
            b"\x80\x03](X\x02\0\0\0fc](cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R"
            b"(K\x01(J\x01\0\0\0J\x03\0\0\0tcnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xff"
            b"J\xff\xff\xff\xffK\0tb\x89B\x0c\0\0\0"
            + struct.pack("<3f", 1, 2, 3)
            + b"tbe\x86X\x02\0\0\0\xc3\xa9](e\x86e."
        )

    def test_an_array_of_another_order_is_written_in_its_own(self):
        values = np.arange(6, dtype=np.float32).reshape(2, 3)
        assert weights.pickled([("a", [np.asfortranarray(values)])]) == weights.pickled([("a", [values])])

    @pytest.mark.parametrize("array", [np.ones(2, ">f4"), np.ones(2, np.int32), np.ones(2, np.float16)])
    def test_other_types_are_refused(self, array):
        with pytest.raises(WeightsError, match=f"^layer 'a': expected finite float32 values, got {array.dtype}$"):
            weights.pickled([("a", [array])])
