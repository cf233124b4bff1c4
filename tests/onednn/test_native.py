"""What the native module is handed is looked at before it is read: numbers, kinds, axes, settings, sizes of outputs."""

import threading

import theano_cpu  # noqa: F401
import numpy as np
import pytest
import theano
import theano.tensor as T

from theano_cpu import onednn, ops
from theano_cpu.onednn.activation import Sum
from theano_cpu.onednn.pooling import Pool, Subsample

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")

PICTURE, WEIGHTS = np.ones((1, 5, 6, 3), "float32"), np.ones((2, 3, 3, 3), "float32")
GEOMETRY = {"stride": (1, 1), "pad": (0, 0), "dilation": (1, 1), "groups": 1}
POOLING = {"size": (2, 2), "stride": (2, 2), "pad": (0, 0), "ceil": 1, "mode": 0, "bfloat16": 0}
MEAN = {"bfloat16": 0}
INPUT_GRADIENT = {**GEOMETRY, "frozen_weights": 0, "bfloat16": 0, "narrow_x": 0}


def thunk(operation, settings, inputs, outputs=1, widths=None, out_widths=None, in_place=-1):
    """Make a thunk of the native module, as `OneDnnOp` does."""
    return onednn.native_module().make_thunk(
        operation,
        operation,
        settings,
        [[value] for value in inputs],
        [[None] for _ in range(outputs)],
        widths or (4,) * len(inputs),
        out_widths or (4,) * outputs,
        in_place,
    )


@pytest.mark.parametrize("operation, settings, inputs, at, expected", [
    ("pool", POOLING, [PICTURE[0]], 0, "3 axes, expected 4"),
    ("global_pool", MEAN, [PICTURE[0, 0]], 0, "2 axes, expected 4"),
    ("weight_gradient", {**GEOMETRY, "bias": 0}, [PICTURE, WEIGHTS[0], PICTURE], 1, "3 axes, expected 4"),
    ("gemm", {"transpose_a": 0, "transpose_b": 0}, [np.ones((2, 2), "float32"), np.ones(2, "float32")], 1, "1 axes"),
    ("sum_rows", {}, [np.ones((), "float32")], 0, "0 axes, expected 2"),
    ("softmax", {}, [np.ones(3, "float32")], 0, "1 axes, expected 2"),
])  # fmt: skip
def test_an_array_with_more_or_fewer_axes_is_refused(operation, settings, inputs, at, expected):
    with pytest.raises(TypeError, match=f"{operation}: input {at} has {expected}"):
        onednn.native_module().run_thunk(thunk(operation, settings, inputs))


@pytest.mark.parametrize("arguments, message", [
    (("sum", {}, [PICTURE]), r"got 1 input\(s\), expected 2"),
    (("global_pool", MEAN, []), r"got 0 input\(s\), expected 1"),
    (("global_pool", MEAN, [PICTURE] * 2), r"got 2 input\(s\), expected 1"),
    (("global_pool", MEAN, [PICTURE], 0), r"got 0 output\(s\), expected 1"),
    (("weight_gradient", {**GEOMETRY, "bias": 1}, [PICTURE, WEIGHTS, PICTURE], 1), r"got 1 output\(s\), expected 2"),
    (("global_pool", MEAN, [PICTURE], 1, (2,)), "widths"),
    (("bfloat16", {"narrow": 1}, [PICTURE], 1, (4,), (4,)), "widths"),
    (("sum", {}, [PICTURE] * 2, 1, None, None, 2), "no input 2 to be overwritten"),
    (("sum", {}, [PICTURE] * 2, 1, None, None, -2), "no input -2 to be overwritten"),
])  # fmt: skip
def test_cells_that_are_not_those_of_the_operation_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        thunk(*arguments)


@pytest.mark.parametrize("operation, settings, name, value", [
    *(("pool", POOLING, name, (0, 1)) for name in ("size", "stride")),
    ("pool", POOLING, "pad", (-1, 0)),
    ("pool", POOLING, "mode", 2.5),
    *(("input_gradient", INPUT_GRADIENT, name, (1, 0)) for name in ("stride", "dilation")),
    ("input_gradient", INPUT_GRADIENT, "groups", 0),
    ("input_gradient", INPUT_GRADIENT, "pad", (0, float("nan"))),
    ("subsample", {"step": (1, 1), "bfloat16": 0}, "step", (1, 1 << 31)),
])  # fmt: skip
def test_settings_out_of_range_are_refused(operation, settings, name, value):
    inputs = [PICTURE] * (3 if operation == "input_gradient" else 1)
    thunk(operation, settings, inputs)
    with pytest.raises(ValueError, match=f"setting '{name}' is .*, expected a whole number from [01] to 2147483647"):
        thunk(operation, {**settings, name: value}, inputs)


@pytest.mark.parametrize("change, message", [
    ({"pad": (2, 0)}, "as large as the window"),
    ({"mode": 3}, "no such mode"),
    ({"mode": 1, "bfloat16": 1}, "an average of bfloat16"),
])  # fmt: skip
def test_poolings_that_there_are_not_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        thunk("pool", {**POOLING, **change}, [PICTURE])


def test_operations_made_without_the_public_functions_are_looked_at_too():
    x = T.tensor4()
    for y in Sum()(x), Pool((2, 2), (0, 1), (0, 0), "max", True)(x), Subsample((1, 0))(x):
        with pytest.raises(ValueError, match="expected"):
            theano.function([x], y, mode=ops.fast_compile())


def test_a_length_that_would_overflow_is_refused():
    x = T.tensor4()
    with pytest.raises(ValueError, match="setting 'pad' is 4611686018427387904"):
        theano.function([x], ops.conv2d(x, WEIGHTS, pad=1 << 62), mode=ops.fast_compile())


def test_an_output_of_more_bytes_than_can_be_counted_is_out_of_memory():
    x = T.tensor4()
    f = theano.function([x], ops.conv2d(x, WEIGHTS[:1], pad=1 << 30), mode=ops.fast_compile())
    with pytest.raises(MemoryError, match="out of memory"):
        f(np.ones((1, 2, 2, 3), "float32"))  # 2 ** 31 rows and columns: 2 ** 64 bytes


@pytest.mark.parametrize("shape", [(0, 3, 3, 3), (2, 0, 3, 3), (2, 3, 0, 3), (2, 3, 3, 0)])
def test_weights_with_an_axis_of_length_0_are_refused(shape):
    """The weights' gradient divided by the length: the process was ended by SIGFPE."""
    x, w = T.tensor4(), T.tensor4()
    y = ops.conv2d(x, w)
    gy = T.tensor4()
    gradients = T.grad(None, [x, w], known_grads={y: gy}, disconnected_inputs="ignore")
    channels, filters = shape[1], shape[0]
    sides = [length + 1 - kernel for length, kernel in zip((5, 6), shape[2:])]
    values = (
        np.ones((1, 5, 6, channels), "float32"),
        np.ones(shape, "float32"),
        np.ones((1, *sides, filters), "float32"),
    )
    for output in y, *gradients:
        f = theano.function([x, w, gy], output, mode=ops.fast_compile(), on_unused_input="ignore")
        with pytest.raises(ValueError, match=r"weights .* have an axis of length 0"):
            f(*values)


def test_numbers_in_the_other_byte_order_are_read_in_theirs():
    node, outputs = Subsample((2, 2))(T.tensor4()).owner, [[None]]
    values = np.arange(90, dtype="float32").reshape(1, 5, 6, 3)
    node.op.perform(node, [values.astype(values.dtype.newbyteorder())], outputs)
    np.testing.assert_array_equal(outputs[0][0], values[:, ::2, ::2])


@pytest.mark.parametrize("x, y, expected", [(1e38, 2, False), (3e38, 3e38, True), (np.inf, -np.inf, True)])
def test_overflows_are_noticed_once(x, y, expected):
    onednn.overflowed()
    arrays = [np.full((1, 64, 64, 8), value, np.float32) for value in (x, y)]
    onednn.native_module().run_thunk(thunk("sum", {}, arrays))
    assert [onednn.overflowed(), onednn.overflowed()] == [expected, False]


@pytest.mark.parametrize("forgotten", [True, False])
def test_what_others_left_behind_in_the_thread_is_forgotten_where_it_is_asked_for(forgotten):
    onednn.overflowed()
    with np.errstate(all="ignore"):
        np.full(4, 3e38, np.float32) * np.full(4, 10, np.float32)
    if forgotten:
        onednn.forget_overflows()
    assert onednn.overflowed() is not forgotten


def test_a_function_that_two_threads_call_at_once_refuses_one_of_them():
    """What is prepared for one picture's size once computed another thread's picture, and read beyond its end."""
    x, w = T.tensor4(), T.constant(np.ones((16, 8, 3, 3), "float32"))
    function = theano.function([x], ops.conv2d(x, w), mode=ops.fast_compile())
    errors = []

    def call(size):
        for _ in range(5000):
            if errors:
                return
            try:
                function(np.ones((1, size, size, 8), "float32"))
            except RuntimeError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=call, args=(size,)) for size in (8, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors and all("a compiled function is for one thread at a time" in error for error in errors)
    assert function(np.ones((1, 5, 5, 8), "float32")).shape == (1, 3, 3, 16)
