"""Hostile pickles, each against one guarantee of `nsfw_model.weights`.

Every function below makes the bytes of one. `python tests/attacks` gives each to the reader, in a process
whose memory is limited, and prints what became of it. None does harm here; those that run code would set the
environment variable `MARK`.
"""

import struct

MARK = "NSFW_PKL_RAN_CODE"
PROTO = b"\x80\x04"
STOP = b"."


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


def array(shape=(2,), values=ONE_AND_TWO, dtype=FLOAT32):
    """An array in the way NumPy pickles it."""
    data = b"B" + struct.pack("<I", len(values)) + values
    return EMPTY_ARRAY + tuple_of(b"K\x01", tuple_of(*map(whole, shape)), dtype, b"\x89", data) + b"b"


def weights(*blobs, name="conv"):
    """Weights of one layer: the frame around most attacks."""
    return PROTO + b"](" + text(name) + b"](" + b"".join(blobs) + b"e\x86e" + STOP


def call(module, name, *arguments):
    return f"c{module}\n{name}\n".encode() + tuple_of(*arguments) + b"R"


# Code that runs


def run_a_shell_command():
    return PROTO + call("posix", "putenv", text(MARK), text("1")) + STOP


def evaluate_python():
    return PROTO + call("builtins", "exec", text(f"import os; os.environ[{MARK!r}] = '1'")) + STOP


def evaluate_python_beside_honest_weights():
    code = call("builtins", "exec", text(f"import os; os.environ[{MARK!r}] = '1'"))
    return weights(code, array())


def name_from_the_stack():
    source = text(f"import os; os.environ[{MARK!r}] = '1'")
    return PROTO + text("builtins") + text("exec") + b"\x93" + tuple_of(source) + b"R" + STOP


def another_function_of_an_allowed_module():
    return weights(call("numpy.core.multiarray", "fromfile", text("/etc/passwd")))


def attribute_of_an_allowed_name():
    return weights(text("numpy") + text("ndarray.tofile") + b"\x93" + tuple_of(array()) + b"R")


def instance_by_the_old_opcode():
    return PROTO + b"(" + text("echo") + b"iposix\nsystem\n" + STOP


def object_by_the_old_opcode():
    return PROTO + b"(cposix\nsystem\n" + text("echo") + b"o" + STOP


def class_made_without_its_constructor():
    return PROTO + b"cnumpy\nndarray\n" + tuple_of(whole(1 << 60)) + b"\x81" + STOP


def extension_registry():
    return PROTO + b"\x82\x01" + STOP


def persistent_object():
    return PROTO + text("x") + b"Q" + STOP


def buffer_from_outside():
    return PROTO + b"\x97" + STOP


def state_set_on_a_function():
    return PROTO + b"cnumpy\nndarray\n" + tuple_of(text("x")) + b"b" + STOP


# Memory


def ndarray_called_with_a_huge_shape():
    return weights(call("numpy", "ndarray", tuple_of(whole(1 << 60))))


def reconstruct_called_with_a_huge_shape():
    shape = tuple_of(whole(1 << 60))
    return weights(b"cnumpy.core.multiarray\n_reconstruct\n" + tuple_of(b"cnumpy\nndarray\n", shape, b"C\x01b") + b"R")


def huge_shape_with_few_bytes():
    return weights(array(shape=(1 << 30, 1 << 30)))


def one_value_with_a_huge_shape_of_ones():
    return weights(array(shape=(1,) * 1000))


def negative_dimensions():
    return weights(array(shape=(-1, -2)))


def negative_zero_product():
    return weights(array(shape=(1 << 60, 0), values=b""))


def many_references_to_one_array():
    values = b"\0" * (1 << 16)
    first = text("0") + b"](" + array((1 << 14,), values) + b"\x94e\x86"
    others = (text(str(i)) + b"](h\x00e\x86" for i in range(1, 4000))
    return PROTO + b"](" + first + b"".join(others) + b"e" + STOP


def many_encodings_of_one_text():
    long_text = b"X" + struct.pack("<I", 1 << 16) + b"a" * (1 << 16) + b"\x94"
    again = b"c_codecs\nencode\n" + tuple_of(b"h\x00", text("latin1")) + b"R"
    return PROTO + b"](" + long_text + again * 4000 + b"e" + STOP


def memo_slot_of_four_billion():
    return PROTO + b"]r\xff\xff\xff\xff" + STOP


def lists_doubled_sixty_times():
    return PROTO + b"]\x94" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(60)) + STOP


def text_of_eight_exabytes():
    return PROTO + b"\x8d" + struct.pack("<Q", 1 << 63) + b"a" + STOP


def bytes_of_eight_exabytes():
    return PROTO + b"\x8e" + struct.pack("<Q", 1 << 63) + b"a" + STOP


def bytearray_of_eight_exabytes():
    return b"\x80\x05\x96" + struct.pack("<Q", 1 << 63) + b"a" + STOP


def string_of_negative_length():
    return PROTO + b"T" + struct.pack("<i", -1) + STOP


def whole_number_of_two_gigabytes():
    return PROTO + b"\x8b" + struct.pack("<i", 2**31 - 1) + STOP


def flood_of_lists():
    return PROTO + b"]" * (1 << 19) + STOP


# Time


def whole_number_of_a_million_digits():
    return PROTO + b"I" + b"9" * 1_000_000 + b"\n" + STOP


def tuples_nested_two_hundred_thousand_deep():
    return PROTO + b")" + b"\x85" * 200_000 + STOP


def nesting_inside_a_dtype():
    deep = b")" + b"\x85" * 20_000
    dtype = b"cnumpy\ndtype\n" + tuple_of(text("f4"), b"\x89\x88") + b"R"
    return weights(array(dtype=dtype + tuple_of(deep, deep, b"NNNNNN") + b"b"))


def list_inside_itself():
    return PROTO + b"]\x94h\x00a" + STOP


def frame_of_eight_exabytes_without_end():
    return PROTO + b"\x95" + struct.pack("<Q", 1 << 63)


# Arrays that are none


def objects_in_an_array():
    dtype = b"cnumpy\ndtype\n" + tuple_of(text("O8"), b"\x89\x88") + b"R"
    dtype += tuple_of(b"K\x03", text("|"), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x3f") + b"b"
    return weights(array(values=b"\x41" * 16, dtype=dtype))


def fields_in_a_dtype():
    state = tuple_of(b"K\x03", text("<"), b"N", tuple_of(text("x")), b"N", b"J\xff\xff\xff\xff" * 2, b"K\x00")
    return weights(array(dtype=b"cnumpy\ndtype\n" + tuple_of(text("f4"), b"\x89\x88") + b"R" + state + b"b"))


def double_precision():
    return weights(array(values=b"\0" * 16, dtype=FLOAT32.replace(b"f4", b"f8")))


def other_byte_order():
    return weights(array(dtype=FLOAT32.replace(b"<", b">")))


def dtype_instead_of_an_array():
    return weights(FLOAT32)


def array_without_values():
    return weights(EMPTY_ARRAY)


def array_filled_twice():
    state = tuple_of(b"K\x01", tuple_of(b"K\x01"), FLOAT32, b"\x89", b"C\x04\0\0\0\0") + b"b"
    return weights(EMPTY_ARRAY + state + state)


def values_that_are_text():
    state = tuple_of(b"K\x01", tuple_of(b"K\x01"), FLOAT32, b"\x89", text("aaaa")) + b"b"
    return weights(EMPTY_ARRAY + state)


def not_a_number():
    return weights(array(values=struct.pack("<2f", 1, float("nan"))))


def infinity():
    return weights(array(values=struct.pack("<2f", 1, float("inf"))))


# Weights that are none


def empty_file():
    return b""


def text_file():
    return b"layer { name: 'conv' }\n"


def cut_off():
    return weights(array())[:-20]


def something_behind_the_end():
    return weights(array()) + weights(array())


def two_layers_of_one_name():
    layer = text("conv") + b"]\x86"
    return PROTO + b"](" + layer * 2 + b"e" + STOP


def layer_without_a_name():
    return weights(array(), name="")


def more_blobs_than_any_layer_has():
    return weights(*[array()] * 17)


def more_layers_than_any_network_has():
    return PROTO + b"](" + b"".join(text(str(i)) + b"]\x86" for i in range(4097)) + b"e" + STOP


def number_instead_of_layers():
    return PROTO + b"K\x01" + STOP


def unknown_memo_slot():
    return PROTO + b"h\x05" + STOP


def empty_stack():
    return PROTO + b"a" + STOP


def mark_that_is_missing():
    return PROTO + b"]e" + STOP


def later_protocol():
    return b"\x80\x06]" + STOP


ATTACKS = [
    value
    for value in list(vars().values())
    if callable(value) and value not in (text, whole, tuple_of, array, weights, call)
]
HARMLESS = (memo_slot_of_four_billion,)  # read as what they are: an empty list
RUN_CODE = (evaluate_python, evaluate_python_beside_honest_weights, name_from_the_stack)
