"""conv2d and its gradients, against sums written down in float64 NumPy and against Theano's own convolution."""
import pickle

import theano_cpu  # noqa: F401
import numpy as np
import pytest
import theano
import theano.tensor as T
from hypothesis import given, settings
from hypothesis import strategies as st

ops = pytest.importorskip("theano_cpu.ops")
pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")


def relative_error(got, expected):
    """Relative L2 distance."""
    assert got.shape == expected.shape
    return np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-30)


def reference(x, w, b, residual, stride, pad, dilation, groups, slope):
    """relu(conv + b + residual), and what its gradients need, in float64."""
    x, w = x.astype("float64"), w.astype("float64")
    padded = np.pad(x, ((0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0)))
    sides = [(padded.shape[a] - (w.shape[1 + a] - 1) * dilation[a - 1] - 1) // stride[a - 1] + 1 for a in (1, 2)]
    y = np.zeros((x.shape[0], *sides, w.shape[0]))
    for view, tap, group_in, group_out in taps(padded, w, sides, stride, dilation, groups):
        y[..., group_out] += view[..., group_in] @ tap.T
    if b is not None:
        y += b
    if residual is not None:
        y += residual
    return y if slope is None else np.where(y > 0, y, slope * y)


def taps(padded, w, sides, stride, dilation, groups):
    inputs, outputs = w.shape[1], w.shape[0] // groups
    for row in range(w.shape[2]):
        for column in range(w.shape[3]):
            top, left = row * dilation[0], column * dilation[1]
            view = padded[:, top: top + sides[0] * stride[0]: stride[0], left: left + sides[1] * stride[1]: stride[1]]
            for group in range(groups):
                group_out = slice(group * outputs, (group + 1) * outputs)
                yield view, w[group_out, :, row, column], slice(group * inputs, (group + 1) * inputs), group_out


def reference_gradients(x, w, gy, stride, pad, dilation, groups):
    """Gradients of sum(gy * conv(x, w)) with respect to x and w, in float64."""
    x, w, gy = (a.astype("float64") for a in (x, w, gy))
    padding = ((0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0))
    padded = np.pad(x, padding)
    gradient, gw = np.zeros_like(padded), np.zeros_like(w)
    sides, inputs, outputs = gy.shape[1:3], w.shape[1], w.shape[0] // groups
    for row in range(w.shape[2]):
        for column in range(w.shape[3]):
            rows = slice(row * dilation[0], row * dilation[0] + sides[0] * stride[0], stride[0])
            columns = slice(column * dilation[1], column * dilation[1] + sides[1] * stride[1], stride[1])
            for group in range(groups):
                into, out = slice(group * inputs, (group + 1) * inputs), slice(group * outputs, (group + 1) * outputs)
                gradient[:, rows, columns, into][:, :sides[0], :sides[1]] += gy[..., out] @ w[out, :, row, column]
                gw[out, :, row, column] = np.einsum("nhwo,nhwi->oi", gy[..., out],
                                                    padded[:, rows, columns, into][:, :sides[0], :sides[1]])
    return gradient[:, pad[0]: pad[0] + x.shape[1], pad[1]: pad[1] + x.shape[2]], gw


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
    tx, tw, tb, tr, tg = T.tensor4(), T.constant(w) if constant else T.tensor4(), T.vector(), T.tensor4(), T.tensor4()
    inputs = [tx, tb, tr, tg] + ([] if constant else [tw])
    values = [x, b, residual, gy] + ([] if constant else [w])
    y = ops.conv2d(tx, tw, tb, tr, **geometry)
    gradients = T.grad(None, [tx, tw, tb, tr], known_grads={y: tg})
    f = theano.function(inputs, [y, *gradients], mode=ops.lean_mode())
    gx, gw = reference_gradients(x, w, gy, **geometry)
    expected = [reference(x, w, b, residual, **geometry, slope=None), gx, gw, gy.sum((0, 1, 2), dtype="float64"), gy]
    for _ in range(2):  # the second call uses what the first one kept
        for got, wanted in zip(f(*values), expected):
            assert relative_error(got, wanted) <= 1e-5
