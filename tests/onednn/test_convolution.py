"""conv2d and its gradients, against sums in float64 NumPy and against Theano's own convolution."""

import pickle
import sys
from types import SimpleNamespace

import theano_cpu  # noqa: F401
import numpy as np
import pytest
import theano
import theano.tensor as T
from hypothesis import given, settings
from hypothesis import strategies as st

from theano_cpu import ops
from theano_cpu.onednn.convolution import Convolution, InputGradient, RoundedConvolution, WeightGradient
from theano_cpu.onednn.operation import OneDnnOp

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")


def relative_error(got, expected):
    """Relative L2 distance."""
    assert got.shape == expected.shape
    return np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-30)


def reference(x, w, b, residual, stride, pad, dilation, groups, slope):
    """relu(conv + b + residual), and what its gradients need, in float64."""
    x, w = x.astype("float64"), w.astype("float64")
    padded = np.pad(x, ((0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0)))
    spans = [(size - 1) * step + 1 for size, step in zip(w.shape[2:], dilation)]
    sides = [(side - span) // step + 1 for side, span, step in zip(padded.shape[1:3], spans, stride)]
    y = np.zeros((x.shape[0], *sides, w.shape[0]))
    for rows, columns, row, column, into, out in taps(w, sides, stride, dilation, groups):
        y[..., out] += padded[:, rows, columns, into] @ w[out, :, row, column].T
    if b is not None:
        y += b
    if residual is not None:
        y += residual
    return y if slope is None else np.where(y > 0, y, slope * y)


def taps(w, sides, stride, dilation, groups):
    """For every place in the kernel: rows and columns of the padded input, the place, channels in and out."""
    inputs, outputs = w.shape[1], w.shape[0] // groups
    for row in range(w.shape[2]):
        for column in range(w.shape[3]):
            rows, columns = (
                slice(place * skip, place * skip + (side - 1) * step + 1, step)
                for place, skip, side, step in zip((row, column), dilation, sides, stride)
            )
            for group in range(groups):
                into = slice(group * inputs, (group + 1) * inputs)
                yield rows, columns, row, column, into, slice(group * outputs, (group + 1) * outputs)


def reference_gradients(x, w, gy, stride, pad, dilation, groups):
    """Gradients of sum(gy * conv(x, w)) with respect to x and w, in float64."""
    x, w, gy = (a.astype("float64") for a in (x, w, gy))
    padded = np.pad(x, ((0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0)))
    gradient, gw = np.zeros_like(padded), np.zeros_like(w)
    for rows, columns, row, column, into, out in taps(w, gy.shape[1:3], stride, dilation, groups):
        gradient[:, rows, columns, into] += gy[..., out] @ w[out, :, row, column]
        gw[out, :, row, column] = np.einsum("nhwo,nhwi->oi", gy[..., out], padded[:, rows, columns, into])
    return gradient[:, pad[0] : pad[0] + x.shape[1], pad[1] : pad[1] + x.shape[2]], gw


CASES = {
    "first layer, 7x7 stride 2": dict(x=(1, 32, 30, 3), w=(16, 3, 7, 7), stride=(2, 2), pad=(3, 3)),
    "first layer, odd size": dict(x=(2, 33, 31, 3), w=(16, 3, 7, 7), stride=(2, 2), pad=(3, 3)),
    "1x1": dict(x=(2, 9, 7, 24), w=(40, 24, 1, 1)),
    "1x1 stride 2": dict(x=(2, 9, 8, 24), w=(40, 24, 1, 1), stride=(2, 2)),
    "3x3": dict(x=(2, 9, 7, 16), w=(24, 16, 3, 3), pad=(1, 1)),
    "3x3 stride 2": dict(x=(2, 10, 7, 16), w=(24, 16, 3, 3), pad=(1, 1), stride=(2, 2)),
    "more padding than the kernel": dict(x=(1, 5, 6, 8), w=(8, 8, 2, 2), pad=(3, 4)),
    "dilated": dict(x=(2, 12, 11, 8), w=(8, 8, 3, 3), pad=(2, 2), dilation=(2, 2)),
    "rectangular in everything": dict(x=(2, 13, 9, 8), w=(5, 8, 3, 2), pad=(2, 1), stride=(2, 3), dilation=(1, 2)),
    "groups": dict(x=(2, 8, 9, 32), w=(48, 8, 3, 3), pad=(1, 1), groups=4),
    "odd groups and stride": dict(x=(1, 8, 9, 6), w=(9, 2, 3, 3), stride=(2, 1), groups=3),
    "depthwise": dict(x=(2, 8, 9, 16), w=(16, 1, 3, 3), pad=(1, 1), groups=16),
    "odd channels": dict(x=(3, 6, 5, 5), w=(7, 5, 3, 3)),
    "few channels, stride 3": dict(x=(1, 14, 13, 1), w=(4, 1, 5, 5), stride=(3, 3), pad=(1, 2)),
    "few 1x1 of 32 filters": dict(x=(1, 13, 7, 24), w=(32, 24, 1, 1)),
    "many 1x1 of 64 filters": dict(x=(3, 30, 10, 20), w=(64, 20, 1, 1)),
    "1x1 of more products than are multiplied at once": dict(x=(1, 5, 5, 300), w=(64, 300, 1, 1)),
    "3x3 of 64 filters": dict(x=(2, 9, 7, 16), w=(64, 16, 3, 3), pad=(1, 1)),
    "7x7 stride 2 of 64 filters": dict(x=(1, 47, 46, 3), w=(64, 3, 7, 7), stride=(2, 2), pad=(3, 3)),
    "rectangular, of 96 filters": dict(x=(2, 13, 9, 8), w=(96, 8, 3, 2), pad=(2, 1), stride=(2, 3)),
    "wide rows of 64 filters": dict(x=(1, 4, 250, 6), w=(64, 6, 1, 3)),
    "kernel smaller than stride": dict(x=(1, 11, 11, 2), w=(3, 2, 1, 1), stride=(2, 2)),
}
DEFAULTS = dict(stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1)


def random(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def arrays_of(case, seed=0):
    rng = np.random.default_rng(seed)
    geometry = {**DEFAULTS, **{name: case[name] for name in DEFAULTS if name in case}}
    x, w = random(rng, *case["x"]), random(rng, *case["w"])
    shape = reference(x, w, None, None, **geometry, slope=None).shape
    return geometry, x, w, random(rng, shape[-1]), random(rng, *shape), random(rng, *shape)


@pytest.mark.parametrize("constant", [True, False], ids=["constant weights", "variable weights"])
@pytest.mark.parametrize("name", CASES)
def test_forward_and_all_gradients_equal_float64_sums(name, constant):
    geometry, x, w, b, residual, gy = arrays_of(CASES[name])
    tx, tb, tr, tg = T.tensor4(), T.vector(), T.tensor4(), T.tensor4()
    tw = T.constant(w) if constant else T.tensor4()
    inputs = [tx, tb, tr, tg] + ([] if constant else [tw])
    values = [x, b, residual, gy] + ([] if constant else [w])
    y = ops.conv2d(tx, tw, tb, tr, **geometry)
    gradients = T.grad(None, [tx, tw, tb, tr], known_grads={y: tg})
    f = theano.function(inputs, [y, *gradients], mode=ops.fast_compile())
    gx, gw = reference_gradients(x, w, gy, **geometry)
    expected = [
        reference(x, w, b, residual, **geometry, slope=None),
        gx,
        gw,
        gy.sum((0, 1, 2), dtype="float64"),
        gy,
    ]
    for _ in range(2):  # the second call uses what the first one kept
        for got, wanted in zip(f(*values), expected):
            assert relative_error(got, wanted) <= 1e-5


@pytest.mark.parametrize("slope", [None, 0.0, 0.25])
@pytest.mark.parametrize("in_place", [True, False])
def test_bias_residual_and_rectifier_in_one_operation(slope, in_place):
    geometry, x, w, b, residual, _ = arrays_of(CASES["3x3"])
    tx, tr = T.tensor4(), T.tensor4()
    # A doubled residual is nobody's but the convolution's: that one may be overwritten
    tr2 = 2 * tr if in_place else tr
    y = ops.conv2d(tx, w, b, tr2, **geometry, relu=slope is not None, negative_slope=slope or 0.0)
    f = theano.function([tx, tr], y, mode=ops.fast_compile())
    assert in_place == any(getattr(node.op, "inplace", False) for node in f.maker.fgraph.apply_nodes)
    before = residual.copy()
    expected = reference(x, w, b, residual * (1 + in_place), **geometry, slope=slope)
    assert relative_error(f(x, residual), expected) <= 1e-6
    np.testing.assert_array_equal(residual, before)


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_gradient_through_the_rectifier(slope):
    geometry, x, w, b, residual, gy = arrays_of(CASES["3x3 stride 2"])
    tx, tg = T.tensor4(), T.tensor4()
    y = ops.conv2d(tx, w, b, residual, **geometry, relu=True, negative_slope=slope)
    f = theano.function([tx, tg], T.grad(None, tx, known_grads={y: tg}), mode=ops.fast_compile())
    masked = np.where(reference(x, w, b, residual, **geometry, slope=None) > 0, gy, slope * gy)
    assert relative_error(f(x, gy), reference_gradients(x, w, masked, **geometry)[0]) <= 1e-5


def test_subgradient_of_relu_at_zero_is_zero():
    x, w = T.tensor4(), np.zeros((2, 3, 1, 1), "float32")
    b = T.vector()
    y, gy = ops.conv2d(x, w, b, relu=True), T.tensor4()
    f = theano.function([x, b, gy], T.grad(None, b, known_grads={y: gy}), mode=ops.fast_compile())
    ones = np.ones((1, 2, 2, 3), "float32")
    assert f(ones, np.zeros(2, "float32"), ones[..., :2]).tolist() == [0, 0]
    assert f(ones, np.full(2, 0.5, "float32"), ones[..., :2]).tolist() == [4, 4]


@pytest.mark.parametrize("name", ["3x3", "1x1 stride 2", "groups"])
def test_gradients_of_gradients(name):
    geometry, x, w, _, _, gy = arrays_of(CASES[name])
    tx, tw, tg = T.tensor4(), T.tensor4(), T.tensor4()
    gx, gw = T.grad(None, [tx, tw], known_grads={ops.conv2d(tx, tw, **geometry): tg})
    # gx is linear in w and gy: the gradient of <gx, x> in w is the weights' gradient for input x; likewise gw
    second = T.grad(None, [tw, tg], known_grads={gx: tx}) + T.grad(None, [tx, tg], known_grads={gw: tw})
    f = theano.function([tx, tw, tg], second, mode=ops.fast_compile())
    y = reference(x, w, None, None, **geometry, slope=None)
    expected_gx, expected_gw = reference_gradients(x, w, gy, **geometry)
    for got, expected in zip(f(x, w, gy), [expected_gw, y, expected_gx, y]):
        assert relative_error(got, expected) <= 1e-5


def test_gradients_go_through_the_gradient_of_the_bias():
    """It is the sum of gy, so that each value of gy gets what its output got."""
    tx, tw, tb, tg = T.tensor4(), T.tensor4(), T.vector(), T.tensor4()
    rng = np.random.default_rng(0)
    x, w, b, g = random(rng, 2, 6, 5, 3), random(rng, 4, 3, 3, 3), random(rng, 4), random(rng, 2, 4, 3, 4)
    gw, gb = T.grad(None, [tw, tb], known_grads={ops.conv2d(tx, tw, tb): tg})
    direction = T.vector()
    alone = T.grad(None, tg, known_grads={gb: direction})
    f = theano.function([tx, tw, tb, tg, direction], alone, mode=ops.fast_compile(), on_unused_input="ignore")
    np.testing.assert_array_equal(f(x, w, b, g, b), np.broadcast_to(b, g.shape))
    both = T.grad((gw**2).sum() + (gb**2).sum(), [tx, tg])
    f = theano.function([tx, tw, tb, tg], both, mode=ops.fast_compile(), on_unused_input="ignore")
    value = theano.function(
        [tx, tw, tb, tg], (gw**2).sum() + (gb**2).sum(), mode=ops.fast_compile(), on_unused_input="ignore"
    )
    of_x, of_g = f(x, w, b, g)
    for gradient, changed in (of_x, (0.01 * of_x, 0)), (of_g, (0, 0.01 * of_g)):
        slope = value(x + changed[0], w, b, g + changed[1]) - value(x - changed[0], w, b, g - changed[1])
        np.testing.assert_allclose(slope / 0.02, (gradient**2).sum(), rtol=2e-2)


@settings(max_examples=25)
@given(data=st.data())
def test_any_geometry_equals_float64_sums(data):
    small = st.integers(1, 3)
    groups = data.draw(small)
    case = dict(
        w=(
            groups * data.draw(small),
            data.draw(small),
            data.draw(st.integers(1, 4)),
            data.draw(st.integers(1, 4)),
        ),
        stride=(data.draw(small), data.draw(small)),
        pad=(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))),
        dilation=(data.draw(small), data.draw(small)),
        groups=groups,
    )
    spans = [(size - 1) * skip + 1 - 2 * pad for size, skip, pad in zip(case["w"][2:], case["dilation"], case["pad"])]
    sides = [max(1, span) + data.draw(st.integers(0, 6)) for span in spans]
    case["x"] = (data.draw(small), *sides, groups * case["w"][1])
    geometry, x, w, _, _, gy = arrays_of(case)
    tx, tw, tg = T.tensor4(), T.tensor4(), T.tensor4()
    y = ops.conv2d(tx, tw, **geometry)
    f = theano.function([tx, tw, tg], [y, *T.grad(None, [tx, tw], known_grads={y: tg})], mode=ops.fast_compile())
    expected = [
        reference(x, w, None, None, **geometry, slope=None),
        *reference_gradients(x, w, gy, **geometry),
    ]
    for got, wanted in zip(f(x, w, gy), expected):
        assert relative_error(got, wanted) <= 1e-5


def test_theano_verifies_the_gradients():
    def network(x, w, b, v):
        hidden = ops.conv2d(ops.to_nhwc(x), w, b, stride=(2, 1), pad=(1, 2), dilation=(1, 2), groups=2)
        hidden = ops.conv2d(hidden, v, residual=ops.pool2d(hidden, 3, 1, 1, "average_inc_pad", ceil=False), pad=1)
        pooled = ops.pool2d(ops.subsample(hidden, (1, 2)), 2, mode="average_exc_pad")
        return ops.softmax(ops.inner_product(ops.global_pool(pooled), v[:, :, 0, 0]))

    rng = np.random.default_rng(0)
    points = [random(rng, *shape) for shape in ((2, 4, 9, 8), (4, 2, 3, 2), (4,), (4, 4, 3, 3))]
    # Without compiling what verify_grad adds
    plain = theano.Mode(linker="py", optimizer=None)
    theano.gradient.verify_grad(network, points, rng=np.random.RandomState(0), mode=plain)


def test_equals_theanos_own_convolution():
    x, w = random(np.random.default_rng(0), 2, 8, 9, 11), random(np.random.default_rng(1), 6, 4, 3, 2)
    tx, tw, tg = T.tensor4(), T.tensor4(), T.tensor4()
    theirs = T.nnet.conv2d(
        tx, tw, border_mode=(2, 1), subsample=(2, 1), filter_flip=False, filter_dilation=(1, 2), num_groups=2
    )
    ours = ops.to_nchw(ops.conv2d(ops.to_nhwc(tx), tw, pad=(2, 1), stride=(2, 1), dilation=(1, 2), groups=2))
    functions = [
        theano.function([tx, tw, tg], [y, *T.grad(None, [tx, tw], known_grads={y: tg})]) for y in (ours, theirs)
    ]
    gy = random(np.random.default_rng(2), 2, 6, 6, 11)
    results = [f(x, w, gy) for f in functions]
    for got, expected in zip(*results):
        assert relative_error(got, expected) <= 1e-5


def test_weights_that_change_are_never_served_from_the_first_call():
    w = theano.shared(np.ones((1, 1, 3, 3), "float32"))
    x = T.tensor4()
    y = ops.conv2d(x, w, pad=1)
    f = theano.function([x], [y, T.grad(None, x, known_grads={y: x})], mode=ops.fast_compile())
    ones = np.ones((1, 3, 3, 1), "float32")
    assert [value[0, 1, 1, 0] for value in f(ones)] == [9, 9]
    w.set_value(np.full((1, 1, 3, 3), 2, "float32"))
    assert [value[0, 1, 1, 0] for value in f(ones)] == [18, 18]
    array = w.get_value(borrow=True, return_internal_type=True)
    array[:] = 3
    assert [value[0, 1, 1, 0] for value in f(ones)] == [27, 27]


def test_one_function_serves_pictures_of_all_sizes():
    geometry, _, w, b, _, _ = arrays_of(CASES["3x3"])
    tx = T.tensor4()
    f = theano.function([tx], ops.conv2d(tx, w, b, **geometry), mode=ops.fast_compile())
    rng = np.random.default_rng(0)
    for size in [4, 9, 4, *range(3, 14)]:
        x = random(rng, 1 + size % 3, size, size + 1, 16)
        assert relative_error(f(x), reference(x, w, b, None, **geometry, slope=None)) <= 1e-6


def test_one_function_serves_weights_of_all_shapes():
    tx, tw, tg = T.tensor4(), T.tensor4(), T.tensor4()
    y = ops.conv2d(tx, tw)
    f = theano.function([tx, tw, tg], [y, *T.grad(None, [tx, tw], known_grads={y: tg})], mode=ops.fast_compile())
    for shape in [(8, 8, 3, 3), (16, 8, 3, 3), (8, 8, 3, 3), (8, 8, 1, 1), (16, 8, 3, 3)]:
        geometry, x, w, _, _, gy = arrays_of(dict(x=(1, 6, 6, 8), w=shape))
        expected = [reference(x, w, None, None, **geometry, slope=None), *reference_gradients(x, w, gy, **geometry)]
        for got, wanted in zip(f(x, w, gy), expected):
            assert relative_error(got, wanted) <= 1e-5


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.asfortranarray(x),
        lambda x: x.transpose(0, 3, 1, 2).copy().transpose(0, 2, 3, 1),
        lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
        lambda x: x[:, ::-1].copy()[:, ::-1],
    ],
)
def test_arrays_in_any_order_of_memory(change):
    geometry, x, w, b, residual, _ = arrays_of(CASES["3x3"])
    tx, tr = T.tensor4(), T.tensor4()
    f = theano.function([tx, tr], ops.conv2d(tx, w, b, tr, **geometry), mode=ops.fast_compile())
    expected = reference(x, w, b, residual, **geometry, slope=None)
    assert relative_error(f(change(x), change(residual)), expected) <= 1e-6


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "FAST_RUN", "DebugMode", "fast_compile"])
def test_every_mode_agrees(mode, monkeypatch):
    # DebugMode asks it for a type, and it does not load without a GPU's libraries
    monkeypatch.setitem(sys.modules, "theano.gpuarray", SimpleNamespace(GpuArrayType=type(None)))
    geometry, x, w, b, residual, gy = arrays_of(CASES["3x3"])
    tx, tr, tg = T.tensor4(), T.tensor4(), T.tensor4()
    y = ops.conv2d(ops.conv2d(tx, w, b, tr, **geometry, relu=True), w[:, :1], groups=len(b), pad=1)
    gradients = T.grad(None, [tx, tr], known_grads={y: tg})
    debug = theano.compile.debugmode.DebugMode(require_matching_strides=False)
    modes = {"fast_compile": ops.fast_compile(), "DebugMode": debug}
    f = theano.function([tx, tr, tg], [y, *gradients], mode=modes.get(mode, mode))
    hidden = reference(x, w, b, residual, **geometry, slope=0.0).astype("float32")
    depthwise = dict(stride=(1, 1), pad=(1, 1), dilation=(1, 1), groups=len(b))
    back = np.where(hidden > 0, reference_gradients(hidden, w[:, :1], gy, **depthwise)[0], 0)
    expected = [
        reference(hidden, w[:, :1], None, None, **depthwise, slope=None),
        reference_gradients(x, w, back, **geometry)[0],
        back,
    ]
    for got, wanted in zip(f(x, residual, gy), expected):
        assert relative_error(got, wanted) <= 1e-5


def test_in_bfloat16_pictures_have_a_gradient_in_bfloat16_and_weights_none():
    x, w = T.tensor4("x"), T.tensor4("w")
    y = ops.conv2d(x, w, precision="bfloat16")
    gradient = T.grad(None, x, known_grads={y: x})
    assert gradient.owner.op.bfloat16 and gradient.owner.inputs == [x, w, x]
    with pytest.raises(theano.gradient.NullTypeGradError, match="weights are not trained in bfloat16"):
        T.grad(y.sum(), w)
    narrow = y.owner.op._convolution(bfloat16=True)
    gradients = narrow.grad([T.tensor4(dtype="uint16"), w], [T.tensor4(dtype="uint16")])
    assert ["bfloat16 is for scoring only" in gradient.type.why_null for gradient in gradients] == [True, True]


def test_theano_infers_shapes_without_computing():
    geometry, x, w, *_ = arrays_of(CASES["rectangular in everything"])
    tx, tw, tb = T.tensor4(), T.tensor4(), T.vector()
    y = ops.conv2d(tx, tw, tb, **geometry)
    outputs = [y.shape, *(gradient.shape for gradient in T.grad(None, [tx, tw, tb], known_grads={y: y}))]
    mode = theano.Mode(linker="py", optimizer="fast_run")
    f = theano.function([tx, tw, tb], outputs, mode=mode, on_unused_input="ignore")
    assert not any(isinstance(node.op, OneDnnOp) for node in f.maker.fgraph.apply_nodes)
    expected = reference(x, w, None, None, **geometry, slope=None).shape
    found = f(x, w, np.zeros(len(w), "float32"))
    assert [tuple(shape) for shape in found] == [expected, x.shape, w.shape, (len(w),)]


def test_axes_that_are_known_to_be_1_are_known_of_outputs_and_gradients():
    one_picture = T.TensorType("float32", (True, False, False, False))("x")
    one_filter = T.TensorType("float32", (True, False, False, True))("w")
    for x, w in (one_picture, T.tensor4()), (T.tensor4(), one_filter):
        b = T.TensorType("float32", (w.broadcastable[0],))()
        y = ops.conv2d(x, w, b)
        assert y.broadcastable == (x.broadcastable[0], False, False, w.broadcastable[0])
        gradients = T.grad(None, [x, w, b], known_grads={y: y})
        assert [gradient.broadcastable for gradient in gradients] == [x.broadcastable, w.broadcastable, b.broadcastable]


def test_without_a_rectifier_its_slope_does_not_make_another_operation():
    x, w = T.tensor4(), T.tensor4()
    assert ops.conv2d(x, w, negative_slope=0.5).owner.op == ops.conv2d(x, w).owner.op
    leaky = ops.conv2d(x, w, relu=True, negative_slope=0.5).owner.op
    assert leaky.negative_slope == 0.5 and leaky != ops.conv2d(x, w, relu=True).owner.op


def test_operations_differ_by_each_setting():
    geometry = dict(stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1)
    changes = [dict(stride=(1, 2)), dict(pad=(1, 0)), dict(dilation=(2, 1)), dict(groups=2)]
    flags = dict(bias=False, residual=False, relu=False)
    narrow = dict(bfloat16=True)
    for kind, plain, own in [
        (Convolution, flags, [*({name: True} for name in flags), dict(negative_slope=0.1), narrow, dict(inplace=True)]),
        (RoundedConvolution, flags, [*({name: True} for name in flags), dict(negative_slope=0.1)]),
        (InputGradient, {}, [narrow]),
        (WeightGradient, dict(bias=False), [dict(bias=True)]),
    ]:
        made = [kind(**{**geometry, **plain, **change}) for change in [{}, *changes, *own]]
        assert len(set(made)) == len(made) and kind(**geometry, **plain) == made[0]
        assert not any(getattr(made[0], name, 0) for name in ("negative_slope", "bfloat16", "inplace"))


@pytest.mark.parametrize("operation", [
    InputGradient((1, 1), (0, 0), (1, 1), 1), WeightGradient((1, 1), (0, 0), (1, 1), 1, bias=True),
], ids=["input", "weights"])  # fmt: skip
@pytest.mark.parametrize("at, name", [(0, "x"), (1, "w"), (2, "gy")])
def test_a_gradient_of_something_else_than_pictures_is_refused(operation, at, name):
    for wrong, words in (T.dtensor4(), "float64, expected float32"), (T.matrix(), "2 dimensions, expected 4"):
        inputs = [T.tensor4(), T.tensor4(), T.tensor4()]
        inputs[at] = wrong
        with pytest.raises(TypeError, match=rf"^conv2d's gradient: {name} (is|has) {words}"):
            operation(*inputs)


def test_only_what_is_computed_in_place_destroys_an_input():
    settings = dict(stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1, residual=True, relu=False)
    for bias in False, True:
        # The residual comes after x, w and the bias, where there is one
        assert Convolution(**settings, bias=bias, inplace=True).destroy_map == {0: [2 + bias]}
        assert not hasattr(Convolution(**settings, bias=bias), "destroy_map")


def test_only_the_shape_of_the_input_counts_for_its_gradient_and_of_weights_for_theirs():
    x, w, gy = T.tensor4(), T.tensor4(), T.tensor4()
    geometry = dict(stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1)
    of_x = InputGradient(**geometry)(x, w, gy)
    of_w, of_b = WeightGradient(**geometry, bias=True)(x, w, gy)
    alone = WeightGradient(**geometry, bias=False)(x, w, gy)
    for gradient, connected in (of_x, [w, gy]), (of_w, [x, gy]), (of_b, [gy]), (alone, [x, gy]):
        for variable in x, w, gy:
            (found,) = T.grad(None, [variable], known_grads={gradient: gradient}, disconnected_inputs="ignore",
                              return_disconnected="None")  # fmt: skip
            assert (found is not None) == any(variable is one for one in connected)


def test_equal_operations_are_merged_and_survive_pickling():
    geometry, x, w, b, *_ = arrays_of(CASES["3x3"])
    tx = T.tensor4()
    y = ops.conv2d(tx, w, b, **geometry, relu=True)
    again = ops.conv2d(tx, w, b, **geometry, relu=True)
    f = theano.function([tx], [y, again], mode=ops.fast_compile())
    assert sum("Convolution" in str(node.op) for node in f.maker.fgraph.apply_nodes) == 1
    loaded = pickle.loads(pickle.dumps(f))
    for got, expected in zip(loaded(x), f(x)):
        np.testing.assert_array_equal(got, expected)
    copied = f.copy()
    np.testing.assert_array_equal(copied(x)[0], f(x)[0])


@pytest.mark.parametrize(
    "wrong, error, words",
    [
        (dict(x=T.dtensor4()), TypeError, "x is float64, expected float32"),
        (dict(x=T.matrix()), TypeError, "x has 2 dimensions, expected 4"),
        (dict(w=np.ones((2, 3, 3, 3))), TypeError, "w is float64, expected float32"),
        (dict(w=np.ones((2, 3), "float32")), TypeError, "w has 2 dimensions, expected 4"),
        (dict(b=np.ones(2)), TypeError, "b is float64"),
        (dict(residual=T.itensor4()), TypeError, "residual is int32"),
        (dict(stride=0), ValueError, "stride must be an integer or two, at least 1; got 0"),
        (dict(stride=1.5), ValueError, "stride"),
        (dict(pad=(1, 2, 3)), ValueError, "pad"),
        (dict(dilation="2"), ValueError, "dilation"),
        (dict(groups=0), ValueError, "groups must be an integer of at least 1, got 0"),
        (dict(groups=1.5), ValueError, "groups must be an integer of at least 1, got 1.5"),
        (dict(groups=True), ValueError, "groups must be an integer of at least 1, got True"),
        (dict(pad=-1), ValueError, "pad must be an integer or two, at least 0; got -1"),
        (dict(stride=(1, 0)), ValueError, r"stride must be an integer or two, at least 1; got \(1, 0\)"),
        (dict(dilation=(0, 1)), ValueError, r"dilation must be an integer or two, at least 1; got \(0, 1\)"),
        (dict(relu=True, negative_slope=-1.0), ValueError, "negative_slope must be at least 0, got -1.0"),
        (dict(relu=True, negative_slope=float("nan")), ValueError, "negative_slope must be at least 0, got nan"),
        (dict(precision="float16"), ValueError, "precision must be one of float32, bfloat16; got 'float16'"),
    ],
)
def test_wrong_arguments_are_refused_when_the_graph_is_built(wrong, error, words):
    right = dict(x=T.tensor4(), w=np.ones((2, 3, 3, 3), "float32"))
    with pytest.raises(error, match=words):
        ops.conv2d(**{**right, **wrong})


@pytest.mark.parametrize(
    "shapes, words",
    [
        (dict(x=(1, 5, 5, 4)), "expected C = 3"),
        (dict(x=(1, 2, 5, 3)), "smaller than the kernel"),
        (dict(b=(3,)), r"the bias has shape \(3,\), expected \(2,\)"),
        (dict(residual=(1, 3, 4, 2)), r"the residual has shape \(1, 3, 4, 2\), expected \(1, 3, 3, 2\)"),
    ],
)
@pytest.mark.parametrize("mode", ["FAST_COMPILE", "fast_compile"])
def test_wrong_shapes_are_refused_when_the_function_runs(shapes, words, mode):
    tx, tw, tb, tr = T.tensor4(), T.tensor4(), T.vector(), T.tensor4()
    y = ops.conv2d(tx, tw, tb, tr)
    f = theano.function([tx, tw, tb, tr], y, mode=ops.fast_compile() if mode == "fast_compile" else mode)
    right = dict(x=(1, 5, 5, 3), w=(2, 3, 3, 3), b=(2,), residual=(1, 3, 3, 2))
    arrays = {name: np.ones(shape, "float32") for name, shape in {**right, **shapes}.items()}
    with pytest.raises(ValueError, match=words) as caught:
        f(*arrays.values())
    assert "Convolution{" in str(caught.value) and "strides" in str(caught.value)
    good = f(*[np.ones(shape, "float32") for shape in right.values()])  # and the function lives on
    assert good.shape == (1, 3, 3, 2)


def test_an_input_too_few_or_too_many_is_refused():
    biased = Convolution((1, 1), (0, 0), (1, 1), 1, bias=True, residual=False, relu=False)
    x, w, b = T.tensor4(), T.tensor4(), T.vector()
    for others in (), (b, x):
        with pytest.raises(TypeError, match=f"conv2d: got {2 + len(others)} inputs, expected 3"):
            biased(x, w, *others)
