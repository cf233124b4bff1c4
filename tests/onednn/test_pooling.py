"""Pooling, subsampling, layouts, matrices and softmax, against float64 NumPy and Theano's own operations."""

import itertools
import pickle

import theano_cpu  # noqa: F401
import numpy as np
import pytest
import theano
import theano.tensor as T
from hypothesis import given, settings
from hypothesis import strategies as st
from theano.gof.vm import VM_Linker
from theano.tensor.signal.pool import pool_2d

from theano_cpu import onednn, ops
from theano_cpu.onednn.activation import Bfloat16, ReluGradient, Sum
from theano_cpu.onednn.dense import SumRows
from theano_cpu.onednn.operation import OneDnnOp, pair
from theano_cpu.onednn.pooling import GlobalPool, Pool, Subsample

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def computed(outputs, inputs, values):
    return theano.function(inputs, outputs, mode=ops.fast_compile())(*values)


def with_gradient(operation, x, gy_seed=1):
    """The values of operation(x) and of its gradient for a random gradient gy of its output; and gy."""
    tx = T.TensorType("float32", (False,) * x.ndim)()
    y = operation(tx)
    tg = y.type()
    gy = random(*computed(y, [tx], [x]).shape, seed=gy_seed)
    return *computed([y, T.grad(None, tx, known_grads={y: tg})], [tx, tg], [x, gy]), gy


def gradient_of(operation):
    """An operation that gives the gradient of another, for that one's output as the gradient of itself."""

    def gradient(x):
        y = operation(x)
        return T.grad(None, x, known_grads={y: y})

    return gradient


def windows(side, size, stride, pad, ceil):
    """Caffe's pooling_layer.cpp: where windows begin and end along one side, in the padded picture."""
    room = side + 2 * pad - size
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil:
        count = max(count, 1)
        while count > 1 and (count - 1) * stride >= side + pad:
            count -= 1
    return [(i * stride - pad, min(i * stride - pad + size, side + pad)) for i in range(count)]


def reference(x, size, stride, pad, mode, ceil, gy=None):
    """Pooling in float64, and its gradient for the gradient gy of the output."""
    x = x.astype("float64")
    rows, columns = (windows(x.shape[1 + a], size[a], stride[a], pad[a], ceil) for a in (0, 1))
    y, gx = np.zeros((x.shape[0], len(rows), len(columns), x.shape[3])), np.zeros_like(x)
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(enumerate(rows), enumerate(columns)):
        inside = slice(max(top, 0), min(bottom, x.shape[1])), slice(max(left, 0), min(right, x.shape[2]))
        window = x[:, inside[0], inside[1]]
        if mode == "max":
            y[:, i, j] = window.max((1, 2))
            # Of equal maxima the first, row by row
            flat = window.reshape(len(x), -1, x.shape[3])
            share = (np.arange(flat.shape[1])[:, None] == flat.argmax(1)[:, None]).reshape(window.shape)
        else:
            cells = (bottom - top) * (right - left) if mode == "average_inc_pad" else window[0, ..., 0].size
            y[:, i, j] = window.sum((1, 2)) / cells
            share = np.full_like(window, 1 / cells)
        if gy is not None:
            gx[:, inside[0], inside[1]] += share * gy[:, i, j][:, None, None]
    return y if gy is None else (y, gx)


@settings(max_examples=60)
@given(data=st.data())
def test_pooling_and_its_gradient_equal_float64_loops(data):
    size = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = tuple(data.draw(st.integers(0, side - 1)) for side in size)
    stride = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    ceil = data.draw(st.booleans())
    least = [1 if ceil else max(1, side - 2 * border) for side, border in zip(size, pad)]
    sides = [low + data.draw(st.integers(0, 9)) for low in least]
    x = random(data.draw(st.integers(1, 2)), *sides, data.draw(st.sampled_from([1, 3, 8, 19])))
    x = np.maximum(x, data.draw(st.sampled_from([-9, 0.5])))  # the latter with many ties
    mode = data.draw(st.sampled_from(["max", "average_inc_pad", "average_exc_pad"]))
    y, gx, gy = with_gradient(lambda tx: ops.pool2d(tx, size, stride, pad, mode, ceil), x)
    expected, expected_gradient = reference(x, size, stride, pad, mode, ceil, gy)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gx, expected_gradient, rtol=1e-5, atol=1e-6)


def test_caffe_rounds_112_to_56():
    x = random(1, 112, 112, 64)
    y, _, _ = with_gradient(lambda tx: ops.pool2d(tx, 3, 2), x)
    assert y.shape == (1, 56, 56, 64)
    np.testing.assert_array_equal(y[0, 55, 55], x[0, 110:, 110:].max((0, 1)))


@pytest.mark.parametrize("mode", ["max", "average_inc_pad"])
def test_pooling_equals_theanos_own(mode):
    x = random(2, 9, 8, 5)
    tx, plain = T.tensor4(), theano.Mode(linker="cvm", optimizer=None)
    nchw = tx.dimshuffle(0, 3, 1, 2)
    for options in [
        dict(pad=(1, 1), stride=(2, 3), ignore_border=True),
        dict(stride=(2, 2), ignore_border=False),
    ]:
        theirs = pool_2d(nchw, (3, 3), mode=mode, **options).dimshuffle(0, 2, 3, 1)
        pad = options.get("pad", 0)
        ours = ops.pool2d(tx, 3, options["stride"], pad, mode, ceil=not options["ignore_border"])
        results = [
            theano.function([tx], [y, T.grad(None, tx, known_grads={y: y})], mode=plain)(x) for y in (ours, theirs)
        ]
        for got, expected in zip(*results):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_the_first_of_equal_maxima_receives_the_gradient():
    x = np.float32([[0, 5, 5, 1], [5, 5, 1, 1]]).reshape(1, 2, 4, 1)
    _, gx, gy = with_gradient(lambda tx: ops.pool2d(tx, 2), x)
    (left,), (right,) = gy[0, 0]
    np.testing.assert_array_equal(gx[0, ..., 0], [[0, left, right, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("mode", ["max", "average_inc_pad", "average_exc_pad"])
def test_threads_that_share_a_picture_compute_the_same_gradient(mode):
    x = np.maximum(random(2, 41, 37, 20), 0.5)  # large enough to be shared, with many ties
    results = []
    for threads in (1, 2, 3, 7):
        onednn.set_num_threads(threads)
        try:
            results.append(with_gradient(lambda tx: ops.pool2d(tx, (5, 4), (2, 3), 1, mode), x))
        finally:
            onednn.set_num_threads(None)
    expected = reference(x, (5, 4), (2, 3), (1, 1), mode, True, results[0][2])[1]
    np.testing.assert_allclose(results[0][1], expected, rtol=1e-5, atol=1e-6)
    for _, gx, _ in results[1:]:
        np.testing.assert_array_equal(gx, results[0][1])


def test_a_maximum_of_nan_is_nan():
    x = random(1, 4, 4, 8)
    x[0, 1, 1, 3] = np.nan
    y, _, _ = with_gradient(lambda tx: ops.pool2d(tx, 2), x)
    assert np.isnan(y[0, 0, 0, 3]) and np.isnan(y).sum() == 1


@pytest.mark.parametrize(
    "wrong, error, words",
    [
        (dict(size=0), ValueError, "size must be an integer or two, at least 1; got 0"),
        (dict(size=()), ValueError, r"size must be an integer or two, at least 1; got \(\)"),
        (dict(stride="no"), ValueError, "stride must be an integer or two, at least 1; got 'no'"),
        (dict(pad=3), ValueError, r"pad \(3, 3\) must be smaller than size \(3, 3\)"),
        (dict(pad=(3, 0)), ValueError, r"pad \(3, 0\) must be smaller than size \(3, 3\)"),
        (dict(pad=(0, 3)), ValueError, r"pad \(0, 3\) must be smaller than size \(3, 3\)"),
        (dict(pad=-1), ValueError, "pad must be an integer or two, at least 0; got -1"),
        (dict(size=(3, 1, 1)), ValueError, "size must be an integer or two, at least 1"),
        (
            dict(mode="sum"),
            ValueError,
            "mode must be one of max, average_inc_pad, average_exc_pad; got 'sum'",
        ),
        (dict(x=T.dtensor4()), TypeError, "pool2d: x is float64, expected float32"),
    ],
)
def test_wrong_arguments_of_pooling(wrong, error, words):
    with pytest.raises(error, match=words):
        ops.pool2d(**{"x": T.tensor4(), "size": 3, **wrong})


def test_padding_may_be_one_less_than_the_window():
    tx = T.tensor4()
    assert computed(ops.pool2d(tx, 3, 3, 2), [tx], [random(1, 4, 5, 1)]).shape == (1, 2, 3, 1)


def test_a_step_that_is_none_is_refused():
    for step in 0, (1, 0), 1.5:
        with pytest.raises(ValueError, match="subsample: step must be an integer or two, at least 1; got"):
            ops.subsample(T.tensor4(), step)


@pytest.mark.parametrize("value", [(2, 3), [2, 3], np.array([2, 3]), (2.0, np.int64(3))], ids=repr)
def test_two_numbers_are_taken_as_rows_and_columns(value):
    assert pair("pool2d", "size", value, 2) == (2, 3)


def test_axes_that_are_known_to_be_1_are_known_of_outputs_and_gradients():
    x = T.TensorType("float32", (True, False, False, True))("x")
    one_row = T.TensorType("float32", (False, True, False, False))("x")
    cases = [
        (x, lambda x: ops.pool2d(x, 2), (True, False, False, True)),
        (x, lambda x: ops.subsample(x, 2), (True, False, False, True)),
        (x, ops.global_pool, (True, True)),
        (x, ops.to_nchw, (True, True, False, False)),
        (one_row, lambda x: ops.subsample(x, 2), (False, True, False, False)),
        (one_row, lambda x: ops.pool2d(x, 2, pad=1), (False, False, False, False)),
        (one_row, ops.to_nhwc, (False, False, False, True)),
        (one_row, Bfloat16(True), (False, True, False, False)),
        (one_row, lambda x: Sum()(x, T.tensor4()), (False, False, False, False)),
        (T.row(), ops.softmax, (True, False)),
        (T.row(), lambda x: ops.inner_product(x, T.matrix()), (True, False)),
        (T.matrix(), lambda x: ops.inner_product(x, T.row()), (False, True)),
        (T.col(), SumRows(), (True,)),
    ]
    for source, operation, expected in cases:
        y = operation(source)
        assert y.broadcastable == expected
        if not isinstance(y.owner.op, (Bfloat16, Sum)):  # the one has no gradient, the other gives it back as it is
            assert T.grad(None, source, known_grads={y: y}).broadcastable == source.broadcastable


def test_bfloat16_numbers_keep_their_type_where_nothing_is_averaged():
    narrow = T.tensor4(dtype="uint16")
    for operation in Pool((2, 2), (2, 2), (0, 0), "max", True), Subsample((2, 2)):
        assert operation(narrow).dtype == "uint16" and operation(T.tensor4()).dtype == "float32"
    assert GlobalPool()(narrow).dtype == "float32" and Bfloat16(False)(narrow).dtype == "float32"
    with pytest.raises(TypeError, match="^pool2d: x is uint16, expected float32; cast it"):
        Pool((2, 2), (2, 2), (0, 0), "average_inc_pad", True)(narrow)
    with pytest.raises(TypeError, match="^bfloat16: x is float32, expected uint16$"):
        Bfloat16(False)(T.tensor4())


@pytest.mark.parametrize("operation", [
    lambda x, y: Sum()(x, y), lambda x, y: ReluGradient(0.5)(x, y),
])  # fmt: skip
def test_operations_of_several_pictures_refuse_other_types(operation):
    for wrong in T.dtensor4(), T.matrix():
        with pytest.raises(TypeError, match="expected"):
            operation(T.tensor4(), wrong)
        with pytest.raises(TypeError, match="expected"):
            operation(wrong, T.tensor4())


def test_operations_differ_by_each_setting():
    for kind, choices in [
        (Pool, [((2, 2), (2, 2), (0, 0), "max", True), ((2, 3), (2, 2), (0, 0), "max", True),
                ((2, 2), (2, 1), (0, 0), "max", True), ((2, 2), (2, 2), (0, 1), "max", True),
                ((2, 2), (2, 2), (0, 0), "average_inc_pad", True), ((2, 2), (2, 2), (0, 0), "max", False)]),
        (Subsample, [((1, 2),), ((2, 1),)]),
        (Bfloat16, [(True,), (False,)]),
        (Sum, [(), (True,)]),
        (ReluGradient, [(), (0.5,), (0.0, True)]),
    ]:  # fmt: skip
        assert len({kind(*each) for each in choices}) == len(choices) and kind(*choices[0]) == kind(*choices[0])


def test_only_what_is_computed_in_place_destroys_an_input():
    for kind in Sum, ReluGradient:
        assert kind(inplace=True).destroy_map == {0: [0]} and not hasattr(kind(), "destroy_map")


@pytest.mark.parametrize("lazy", [True, False])
def test_theanos_virtual_machine_in_python_computes_the_same(lazy):
    x = T.tensor4()
    y = ops.global_pool(T.nnet.relu(ops.subsample(x, 2)))
    mode = theano.Mode(linker=VM_Linker(use_cloop=False, lazy=lazy), optimizer=None)
    f, values = theano.function([x], y, mode=mode), random(2, 4, 6, 3)
    for _ in range(2):
        np.testing.assert_allclose(f(values), values[:, ::2, ::2].clip(0).mean((1, 2)), rtol=1e-5)


def test_a_window_larger_than_the_picture():
    tx = T.tensor4()
    assert computed(ops.pool2d(tx, 5), [tx], [random(1, 2, 3, 4)]).shape == (1, 1, 1, 4)
    with pytest.raises(ValueError, match="smaller than the window"):
        computed(ops.pool2d(tx, 5, ceil=False), [tx], [random(1, 2, 3, 4)])


@pytest.mark.parametrize("shape, step", [((2, 8, 9, 5), 2), ((1, 7, 7, 8), (3, 2)), ((1, 1, 4, 3), 5)])
def test_subsampling(shape, step):
    x = random(*shape)
    y, gx, gy = with_gradient(lambda tx: ops.subsample(tx, step), x)
    rows, columns = step if isinstance(step, tuple) else (step, step)
    np.testing.assert_array_equal(y, x[:, ::rows, ::columns])
    expected = np.zeros_like(x)
    expected[:, ::rows, ::columns] = gy
    np.testing.assert_array_equal(gx, expected)


def test_global_pooling():
    x = random(3, 5, 4, 7)
    y, gx, gy = with_gradient(ops.global_pool, x)
    np.testing.assert_allclose(y, x.mean((1, 2), dtype="float64"), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gx, np.broadcast_to(gy[:, None, None] / 20, x.shape), rtol=1e-6)


@settings(max_examples=20)
@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 9), st.integers(1, 9)))
def test_layout_conversions(shape):
    x = random(*shape)
    y, gx, gy = with_gradient(ops.to_nhwc, x)
    np.testing.assert_array_equal(y, x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(gx, gy.transpose(0, 3, 1, 2))
    assert y.flags.c_contiguous and gx.flags.c_contiguous
    np.testing.assert_array_equal(with_gradient(ops.to_nchw, y)[0], x)


@pytest.mark.parametrize("bias", [True, False])
def test_inner_product_and_all_gradients(bias):
    x, W, b, gy = random(3, 50), random(4, 50, seed=1), random(4, seed=2), random(3, 4, seed=3)
    inputs = [T.matrix(), T.matrix(), T.vector()][: 2 + bias]
    y, tg = ops.inner_product(*inputs), T.matrix()
    values = computed([y, *T.grad(None, inputs, known_grads={y: tg})], [*inputs, tg], [x, W, b][: 2 + bias] + [gy])
    x, W, b, gy = (value.astype("float64") for value in (x, W, b, gy))
    expected = [x @ W.T + b * bias, gy @ W, gy.T @ x, gy.sum(0)]
    for got, wanted in zip(values, expected):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_inner_product_refuses_what_does_not_fit():
    x, W = T.matrix(), T.matrix()
    with pytest.raises(ValueError, match=r"shapes \(3, 5\) and \(4, 6\) \(transposed\) cannot be multiplied"):
        computed(ops.inner_product(x, W), [x, W], [random(3, 5), random(4, 6)])
    with pytest.raises(TypeError, match="x is float64"):
        ops.inner_product(T.dmatrix(), W)


def test_softmax():
    x = random(5, 7) * 50
    y, gx, gy = with_gradient(ops.softmax, x)
    e = np.exp(x.astype("float64") - x.max(1, keepdims=True))
    expected = e / e.sum(1, keepdims=True)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-7)
    gradient = expected * (gy - (gy * expected).sum(1, keepdims=True))
    np.testing.assert_allclose(gx, gradient, rtol=1e-4, atol=1e-6)
    assert computed(ops.softmax(T.constant([[1e30, -1e30]], dtype="float32")), [], []).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    "operation, shape",
    [
        (lambda x: ops.pool2d(x, 3, 2, 1), (2, 7, 6, 5)),
        (lambda x: ops.pool2d(x, (5, 1), 3, ceil=False), (2, 7, 6, 5)),
        (lambda x: ops.pool2d(x, 2, 3), (1, 6, 7, 2)),
        (lambda x: ops.subsample(x, 2), (2, 7, 6, 5)),
        (ops.global_pool, (2, 7, 6, 5)),
        (ops.to_nhwc, (2, 7, 6, 5)),
        (ops.to_nchw, (2, 7, 6, 5)),
        (lambda x: ops.inner_product(x, random(3, 6)), (2, 6)),
        (ops.softmax, (2, 6)),
        (gradient_of(lambda x: ops.pool2d(x, 3, 2, 1)), (2, 7, 6, 5)),
        (gradient_of(lambda x: ops.subsample(x, 2)), (2, 7, 6, 5)),
        (gradient_of(ops.global_pool), (2, 7, 6, 5)),
        (gradient_of(ops.softmax), (2, 6)),
        (SumRows(), (2, 6)),
        (lambda x: Sum()(x, x), (2, 7, 6, 5)),
        (lambda x: ReluGradient(0.5)(x, x), (2, 7, 6, 5)),
        (Bfloat16(True), (2, 7, 6, 5)),
    ],
)
def test_shapes_are_inferred_and_functions_survive_pickling(operation, shape):
    x = random(*shape)
    tx = T.TensorType("float32", (False,) * len(shape))()
    y = operation(tx)
    f = pickle.loads(pickle.dumps(theano.function([tx], y, mode=ops.fast_compile())))
    inferred = theano.function([tx], y.shape, mode=theano.Mode(linker="py", optimizer="fast_run"))
    assert not any(isinstance(node.op, OneDnnOp) for node in inferred.maker.fgraph.apply_nodes)
    assert tuple(inferred(x)) == f(x).shape
    by_python = theano.function([tx], y, mode="FAST_COMPILE")
    np.testing.assert_array_equal(by_python(x), f(x))


def test_bfloat16_numbers_are_rounded_to_nearest_even():
    values = [
        1.0,
        1 + 2**-8,
        1 + 2**-8 + 2**-20,
        1 + 3 * 2**-8,
        -(2.0**-133),
        np.inf,
        -np.inf,
        3.4e38,
        np.nan,
    ]
    expected = [1.0, 1.0, 1 + 2**-7, 1 + 2**-6, -(2.0**-133), np.inf, -np.inf, np.inf, np.nan]
    tx = T.tensor4()
    got = computed(Bfloat16(False)(Bfloat16(True)(tx)), [tx], [np.float32(values).reshape(1, 1, 1, -1)])
    np.testing.assert_array_equal(got.ravel(), np.float32(expected))
