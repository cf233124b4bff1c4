"""Hostile pickles, each against one guarantee of `nsfw_model.weights`.

Every function that is `refused` or `harmless` makes the bytes of one. `python tests/attacks` gives each to the
reader, in a process whose memory is limited, and prints what became of it. None does harm here; those that run
code would set the environment variable `MARK`.
"""

import struct
from collections.abc import Callable

MARK = "NSFW_PKL_RAN_CODE"
PROTO = b"\x80\x04"
STOP = b"."

Attack = Callable[[], bytes]
#: What the refusal of each attack says: refused for any other reason, it has not shown that its guarantee holds.
REFUSALS: dict[Attack, str] = {}
#: Attacks that are read as what they are, an empty list, and cost nothing.
HARMLESS: list[Attack] = []


def refused(saying: str) -> Callable[[Attack], Attack]:
    """Register an attack by a part of the message that refuses it."""

    def register(attack: Attack) -> Attack:
        REFUSALS[attack] = saying
        return attack

    return register


def harmless(attack: Attack) -> Attack:
    """Register an attack that is read as an empty list."""
    HARMLESS.append(attack)
    return attack


def text(value):
    """SHORT_BINUNICODE."""
    encoded = value.encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded


def whole(number):
    """LONG1 with eight bytes."""
    return b"\x8a\x08" + number.to_bytes(8, "little", signed=True)


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


FLOAT32 = (
    b"cnumpy\ndtype\n"
    + tuple_of(text("f4"), b"\x89\x88")
    + b"R"
    + tuple_of(b"K\x03", text("<"), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x00")
    + b"b"
)
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n" + tuple_of(b"cnumpy\nndarray\n", b"K\x00\x85", b"C\x01b") + b"R"


ONE_AND_TWO = struct.pack("<2f", 1, 2)


def array(shape=(2,), values=ONE_AND_TWO, dtype=FLOAT32, order=b"\x89", version=b"K\x01"):
    """An array in the way NumPy pickles it."""
    data = b"B" + struct.pack("<I", len(values)) + values
    return EMPTY_ARRAY + tuple_of(version, tuple_of(*map(whole, shape)), dtype, order, data) + b"b"


def weights(*blobs, name="conv"):
    """Weights of one layer: the frame around most attacks."""
    return PROTO + b"](" + text(name) + b"](" + b"".join(blobs) + b"e\x86e" + STOP


def call(module, name, *arguments):
    return f"c{module}\n{name}\n".encode() + tuple_of(*arguments) + b"R"


# Code that runs


@refused("got the name 'posix' 'putenv', which weights do not need")
def run_a_shell_command():
    return PROTO + call("posix", "putenv", text(MARK), text("1")) + STOP


@refused("got the name 'builtins' 'exec', which weights do not need")
def evaluate_python():
    return PROTO + call("builtins", "exec", text(f"import os; os.environ[{MARK!r}] = '1'")) + STOP


@refused("got the name 'builtins' 'exec', which weights do not need")
def evaluate_python_beside_honest_weights():
    code = call("builtins", "exec", text(f"import os; os.environ[{MARK!r}] = '1'"))
    return weights(code, array())


@refused("got the name 'builtins' 'exec', which weights do not need")
def name_from_the_stack():
    source = text(f"import os; os.environ[{MARK!r}] = '1'")
    return PROTO + text("builtins") + text("exec") + b"\x93" + tuple_of(source) + b"R" + STOP


@refused("got the name 'numpy.core.multiarray' 'fromfile', which weights do not need")
def another_function_of_an_allowed_module():
    return weights(call("numpy.core.multiarray", "fromfile", text("/etc/passwd")))


@refused("got the name 'numpy' 'ndarray.tofile', which weights do not need")
def attribute_of_an_allowed_name():
    return weights(text("numpy") + text("ndarray.tofile") + b"\x93" + tuple_of(array()) + b"R")


@refused("got the pickle opcode b'i', which weights do not need")
def instance_by_the_old_opcode():
    return PROTO + b"(" + text("echo") + b"iposix\nsystem\n" + STOP


@refused("got the pickle opcode b'o', which weights do not need")
def object_by_the_old_opcode():
    return PROTO + b"(cnumpy\nndarray\n" + text("echo") + b"o" + STOP


@refused("got the pickle opcode b'\\x81', which weights do not need")
def class_made_without_its_constructor():
    return PROTO + b"cnumpy\nndarray\n" + tuple_of(whole(1 << 60)) + b"\x81" + STOP


@refused("got the pickle opcode b'\\x82', which weights do not need")
def extension_registry():
    return PROTO + b"\x82\x01" + STOP


@refused("got the pickle opcode b'Q', which weights do not need")
def persistent_object():
    return PROTO + text("x") + b"Q" + STOP


@refused("got the pickle opcode b'\\x97', which weights do not need")
def buffer_from_outside():
    return PROTO + b"\x97" + STOP


@refused("got a call of NoneType")
def call_of_what_is_no_function():
    return PROTO + b"N)R" + STOP


@refused("got a call of numpy.ndarray")
def call_without_arguments():
    return PROTO + b"cnumpy\nndarray\nNR" + STOP


@refused("got a state for numpy.ndarray")
def state_set_on_a_function():
    return PROTO + b"cnumpy\nndarray\n" + tuple_of(text("x")) + b"b" + STOP


# Memory


@refused("got a call of numpy.ndarray with other arguments than weights need")
def ndarray_called_with_a_huge_shape():
    return weights(call("numpy", "ndarray", tuple_of(whole(1 << 60))))


@refused("layer 'conv': got array, expected an array with values")
def reconstruct_called_with_a_huge_shape():
    shape = tuple_of(whole(1 << 60))
    return weights(b"cnumpy.core.multiarray\n_reconstruct\n" + tuple_of(b"cnumpy\nndarray\n", shape, b"C\x01b") + b"R")


@refused("got 8 bytes as the values of an array of shape (1073741824, 1073741824)")
def huge_shape_with_few_bytes():
    return weights(array(shape=(1 << 30, 1 << 30)))


@refused("got tuple of 1000 as a shape, expected a tuple of at most 8 sizes")
def one_value_with_a_huge_shape_of_ones():
    return weights(array(shape=(1,) * 1000))


@refused("got a shape with a size that is no number from 1")
def negative_dimensions():
    return weights(array(shape=(-1, -2)))


@refused("got a shape with a size that is no number from 1")
def negative_zero_product():
    return weights(array(shape=(1 << 60, 0), values=b""))


@refused("layer '1': got more array values than the file has bytes for")
def many_references_to_one_array():
    values = b"\0" * (1 << 16)
    first = text("0") + b"](" + array((1 << 14,), values) + b"\x94e\x86"
    others = (text(str(i)) + b"](h\x00e\x86" for i in range(1, 4000))
    return PROTO + b"](" + first + b"".join(others) + b"e" + STOP


@refused("got more encoded bytes than the file has")
def many_encodings_of_one_text():
    long_text = b"X" + struct.pack("<I", 1 << 16) + b"a" * (1 << 16) + b"\x94"
    again = b"c_codecs\nencode\n" + tuple_of(b"h\x00", text("latin1")) + b"R"
    return PROTO + b"](" + long_text + again * 40_000 + b"e" + STOP


@harmless
def memo_slot_of_four_billion():
    return PROTO + b"]r\xff\xff\xff\xff" + STOP


@refused("got list of 2 where a name is expected")
def lists_doubled_sixty_times():
    return PROTO + b"]\x94" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(60)) + STOP


@refused("byte 2: got the end of the file in the middle of the pickle")
def text_of_eight_exabytes():
    return PROTO + b"\x8d" + struct.pack("<Q", 1 << 63) + b"a" + STOP


@refused("byte 2: got the end of the file in the middle of the pickle")
def bytes_of_eight_exabytes():
    return PROTO + b"\x8e" + struct.pack("<Q", 1 << 63) + b"a" + STOP


@refused("byte 2: got the end of the file in the middle of the pickle")
def bytearray_of_eight_exabytes():
    return b"\x80\x05\x96" + struct.pack("<Q", 1 << 63) + b"a" + STOP


@refused("byte 2: got the end of the file in the middle of the pickle")
def string_of_negative_length():
    return PROTO + b"T" + struct.pack("<i", -1) + STOP


@refused("got the pickle opcode b'\\x8b', which weights do not need")
def whole_number_of_two_gigabytes():
    return PROTO + b"\x8b" + struct.pack("<i", 2**31 - 1) + STOP


@refused("got more than 262144 pickle opcodes")
def flood_of_lists():
    return PROTO + b"]" * (1 << 19) + STOP


# Time


@refused("got no end of a line within 24 bytes")
def whole_number_of_a_million_digits():
    return PROTO + b"I" + b"9" * 1_000_000 + b"\n" + STOP


@refused("got tuple of 1, expected a list of at most 4096 layers")
def tuples_nested_two_hundred_thousand_deep():
    return PROTO + b")" + b"\x85" * 200_000 + STOP


@refused("got tuple of 1 where a name is expected")
def nesting_inside_a_dtype():
    deep = b")" + b"\x85" * 20_000
    dtype = b"cnumpy\ndtype\n" + tuple_of(text("f4"), b"\x89\x88") + b"R"
    return weights(array(dtype=dtype + tuple_of(deep, deep, b"NNNNNN") + b"b"))


@refused("layer 0: got list of 1, expected (name, arrays)")
def list_inside_itself():
    return PROTO + b"]\x94h\x00a" + STOP


@refused("got the end of the file in the middle of the pickle")
def frame_of_eight_exabytes_without_end():
    return PROTO + b"\x95" + struct.pack("<Q", 1 << 63)


# Arrays that are none


@refused("got tuple of 9 as a shape, expected a tuple of at most 8 sizes")
def array_of_nine_dimensions():
    return weights(array(shape=(1,) * 8 + (2,)))


@refused("got tuple of 4 as the state of an array")
def state_without_the_values():
    return weights(EMPTY_ARRAY + tuple_of(b"K\x01", tuple_of(b"K\x02"), FLOAT32, b"\x89") + b"b")


@refused("got tuple of 5 as the state of an array")
def state_of_a_later_version():
    return weights(array(version=b"K\x02"))


@refused("got list of 5 as the state of an array")
def state_that_is_a_list():
    state = b"(K\x01" + tuple_of(b"K\x01") + FLOAT32 + b"\x89C\x04\0\0\0\0l"
    return weights(EMPTY_ARRAY + state + b"b")


@refused("got str of 1 as the order of an array")
def order_that_is_text():
    return weights(array(order=text("F")))


@refused("got a call of numpy.core.multiarray._reconstruct with other arguments than weights need")
def array_of_another_class():
    arguments = tuple_of(b"cnumpy\ndtype\n", b"K\x00\x85", b"C\x01b")
    return weights(b"cnumpy.core.multiarray\n_reconstruct\n" + arguments + b"R")


@refused("got a call of numpy.core.numeric._frombuffer with other arguments than weights need")
def buffer_of_an_unknown_order():
    values = b"C\x08" + ONE_AND_TWO
    return weights(call("numpy.core.numeric", "_frombuffer", values, FLOAT32, b"K\x02\x85", text("A")))


@refused("got a call of numpy.dtype with other arguments than weights need")
def dtype_without_a_code():
    return weights(array(dtype=call("numpy", "dtype", b"N\x89\x88")))


@refused("got a dtype of another kind, expected float32, little-endian")
def dtype_with_a_number_as_its_state():
    return weights(array(dtype=call("numpy", "dtype", text("f4"), b"\x89\x88") + b"K\x03b"))


@refused("got a dtype of another kind, expected float32, little-endian")
def dtype_filled_twice():
    state = tuple_of(b"K\x03", text("<"), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x00")
    return weights(array(dtype=FLOAT32 + state + b"b"))


@refused("got a dtype of another kind, expected float32, little-endian")
def dtype_with_more_of_a_state_than_float32_has():
    state = tuple_of(b"K\x03", text("<"), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x00", b"N")
    return weights(array(dtype=b"cnumpy\ndtype\n" + tuple_of(text("f4"), b"\x89\x88") + b"R" + state + b"b"))


@refused("got an array of another type, expected float32, little-endian")
def objects_in_an_array():
    dtype = b"cnumpy\ndtype\n" + tuple_of(text("O8"), b"\x89\x88") + b"R"
    dtype += tuple_of(b"K\x03", text("|"), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x3f") + b"b"
    return weights(array(values=b"\x41" * 16, dtype=dtype))


@refused("got a dtype of another kind, expected float32, little-endian")
def fields_in_a_dtype():
    state = tuple_of(b"K\x03", text("<"), b"N", tuple_of(text("x")), b"N", b"J\xff\xff\xff\xff" * 2, b"K\x00")
    return weights(array(dtype=b"cnumpy\ndtype\n" + tuple_of(text("f4"), b"\x89\x88") + b"R" + state + b"b"))


@refused("got an array of another type, expected float32, little-endian")
def double_precision():
    return weights(array(values=b"\0" * 16, dtype=FLOAT32.replace(b"f4", b"f8")))


@refused("got an array of another type, expected float32, little-endian")
def other_byte_order():
    return weights(array(dtype=FLOAT32.replace(b"<", b">")))


@refused("layer 'conv': got dtype, expected an array with values")
def dtype_instead_of_an_array():
    return weights(FLOAT32)


@refused("layer 'conv': got array, expected an array with values")
def array_without_values():
    return weights(EMPTY_ARRAY)


@refused("got tuple of 5 as the state of an array")
def array_filled_twice():
    state = tuple_of(b"K\x01", tuple_of(b"K\x01"), FLOAT32, b"\x89", b"C\x04\0\0\0\0") + b"b"
    return weights(EMPTY_ARRAY + state + state)


@refused("got str of 4 as the values of an array of shape (1,), expected 4 bytes")
def values_that_are_text():
    state = tuple_of(b"K\x01", tuple_of(b"K\x01"), FLOAT32, b"\x89", text("aaaa")) + b"b"
    return weights(EMPTY_ARRAY + state)


@refused("layer 'conv': array 0: got values that are not finite")
def not_a_number():
    return weights(array(values=struct.pack("<2f", 1, float("nan"))))


@refused("layer 'conv': array 0: got values that are not finite")
def infinity():
    return weights(array(values=struct.pack("<2f", 1, float("inf"))))


# Weights that are none


@refused("got the end of the file in the middle of the pickle")
def empty_file():
    return b""


@refused("got a pickle without the mark that it needs; it looks like a prototxt")
def text_file():
    return b"layer { name: 'conv' }\n"


@refused("got the end of the file in the middle of the pickle")
def cut_off():
    return weights(array())[:-20]


@refused("got 152 bytes behind the pickle's end")
def something_behind_the_end():
    return weights(array()) + weights(array())


@refused("got two layers of one name")
def two_layers_of_one_name():
    layer = text("conv") + b"]\x86"
    return PROTO + b"](" + layer * 2 + b"e" + STOP


@refused("layer 0: got a name of 0 characters, expected 1 to 1024")
def layer_without_a_name():
    return weights(array(), name="")


@refused("layer 0: got a name of 1025 characters, expected 1 to 1024")
def layer_with_an_endless_name():
    return PROTO + b"](X" + struct.pack("<I", 1025) + b"a" * 1025 + b"]\x86e" + STOP


@refused("got a name that is not text")
def layer_with_a_name_that_is_not_text():
    return PROTO + b"](C\x01\xff]\x86e" + STOP


@refused("layer 'conv': got list of 17, expected a list of at most 16 arrays")
def more_blobs_than_any_layer_has():
    return weights(*[array()] * 17)


@refused("got list of 4097, expected a list of at most 4096 layers")
def more_layers_than_any_network_has():
    return PROTO + b"](" + b"".join(text(str(i)) + b"]\x86" for i in range(4097)) + b"e" + STOP


@refused("got int, expected a list of at most 4096 layers")
def number_instead_of_layers():
    return PROTO + b"K\x01" + STOP


@refused("got number 5 of the memo, which was never set")
def unknown_memo_slot():
    return PROTO + b"h\x05" + STOP


@refused("got a pickle that takes from an empty stack")
def empty_stack():
    return PROTO + b"a" + STOP


@refused("got a pickle without the mark that it needs")
def mark_that_is_missing():
    return PROTO + b"]e" + STOP


@refused("got NoneType to append to, expected a list")
def append_to_what_is_no_list():
    return PROTO + b"NNa" + STOP


@refused("got text that is not UTF-8")
def text_that_is_not_utf_8():
    return PROTO + b"\x8c\x01\xff" + STOP


@refused("got text that is not bytes in latin1")
def encoded_text_that_is_not_bytes():
    return PROTO + call("_codecs", "encode", text("\u20ac"), text("latin1")) + STOP


@refused("got a call of _codecs.encode with other arguments than weights need")
def encoding_that_makes_more_of_a_text():
    return PROTO + call("_codecs", "encode", text("a"), text("utf_32")) + STOP


@refused("got text with a broken escape")
def text_with_a_broken_escape():
    return PROTO + b"V\\u12\n" + STOP


@refused("got a string with a broken escape")
def string_with_a_broken_escape():
    return PROTO + b"S'\\x1'\n" + STOP


@refused("got a string without quotes")
def string_without_quotes():
    return PROTO + b"Saa\n" + STOP


@refused("got a string without quotes")
def string_of_one_quote():
    return PROTO + b"S'\n" + STOP


@refused("got a string without quotes")
def string_with_two_kinds_of_quotes():
    return PROTO + b"S'\"\n" + STOP


@refused("got a number that is none")
def number_of_letters():
    return PROTO + b"Ione\n" + STOP


@refused("got a number of the memo that is none")
def memo_slot_of_letters():
    return PROTO + b"]pone\n" + STOP


@refused("got a whole number of 9 bytes, expected at most 8")
def whole_number_of_nine_bytes():
    return PROTO + b"\x8a\x09" + b"\0" * 9 + STOP


@refused("got pickle protocol 6, expected 0 to 5")
def later_protocol():
    return b"\x80\x06]" + STOP


ATTACKS = [*REFUSALS, *HARMLESS]
RUN_CODE = (evaluate_python, evaluate_python_beside_honest_weights, name_from_the_stack)
