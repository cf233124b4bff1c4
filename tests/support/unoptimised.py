"""Theano networks evaluated in Python alone.

Nothing is optimised and no C is compiled, so nothing can share a fault with what is tested against it, and
nothing takes long.
"""

import contextlib
from unittest import mock

import theano_cpu  # noqa: F401

import lasagne
import numpy as np
import theano
import theano.tensor as T
from theano.configparser import change_flags
from theano.tensor.nnet import abstract_conv
from theano.tensor.signal import pool

PYTHON = theano.compile.mode.Mode(theano.gof.vm.VM_Linker(use_cloop=False, c_thunks=False), optimizer=None)


def in_float64(build):
    """The network that `build()` builds, and the same one with all its values and calculations in float64."""
    network = build()
    with change_flags(floatX="float64"):
        double = build()
    values = [value.astype("float64") for value in lasagne.layers.get_all_param_values(network)]
    lasagne.layers.set_all_param_values(double, values)
    return network, double


def function(inputs, outputs, updates=None):
    """`theano.function` without optimisation and C; the NumPy code below does convolutions and poolings."""
    with contextlib.ExitStack() as stack:
        for op, perform in (
            (abstract_conv.AbstractConv2d, _correlate),
            (abstract_conv.AbstractConv2d_gradInputs, _correlate_to_inputs),
            (abstract_conv.AbstractConv2d_gradWeights, _correlate_to_weights),
            (pool.Pool, _pool),
            (pool.MaxPoolGrad, _max_pool_to_inputs),
            (pool.AveragePoolGrad, _average_pool_to_inputs),
        ):
            stack.enter_context(mock.patch.object(op, "perform", perform))
        return theano.function(inputs, outputs, updates=updates, mode=PYTHON, on_unused_input="ignore")


def value_and_gradient(output, x, **kwargs):
    """A layer's output for the input `x`, and the gradient to `x` of a fixed combination of its values."""
    dtype = str(x.dtype)
    x_var = T.TensorType(dtype, (False,) * x.ndim)("x")
    with change_flags(floatX=dtype):  # which Lasagne makes intermediate arrays of
        y = lasagne.layers.get_output(output, x_var, **kwargs)
    combination = T.cos(T.arange(y.size).reshape(y.shape)).astype(dtype)
    gradient = T.grad((y * combination).sum(), x_var, disconnected_inputs="ignore")
    return function([x_var], [y, gradient])(x)


def _geometry(op, kernel):
    """Padding, stride and dilation of an abstract convolution."""
    extents = [dilation * (size - 1) + 1 for dilation, size in zip(op.filter_dilation, kernel)]
    named = {"valid": (0, 0), "full": [e - 1 for e in extents], "half": [e // 2 for e in extents]}
    return named.get(op.border_mode, op.border_mode), op.subsample, op.filter_dilation


def _windows(image, op, kernel, out_shape):
    """For each position in the kernel, the slice of the padded image that it meets."""
    _, stride, dilation = _geometry(op, kernel)
    for i, j in np.ndindex(*kernel):
        rows, columns = (
            slice(at * d, at * d + (count - 1) * s + 1, s)
            for at, d, s, count in zip((i, j), dilation, stride, out_shape)
        )
        yield (i, j), image[:, :, rows, columns]


def _padded(x, op, kernel):
    (vertical, horizontal), _, _ = _geometry(op, kernel)
    return np.pad(x, [(0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)])


def _groups(op, *arrays_and_axes):
    pieces = [np.split(array, op.num_groups, axis) for array, axis in arrays_and_axes]
    return zip(*pieces)


def _flipped(w, op):
    return w[:, :, ::-1, ::-1] if op.filter_flip else w


def _correlate(op, node, inputs, outputs):
    x, w = inputs
    kernel, image = w.shape[2:], _padded(x, op, w.shape[2:])
    _, stride, dilation = _geometry(op, kernel)
    sides = zip(image.shape[2:], dilation, kernel, stride)
    shape = [(side - d * (k - 1) - 1) // s + 1 for side, d, k, s in sides]
    results = []
    for part, filters in _groups(op, (image, 1), (_flipped(w, op), 0)):
        y = np.zeros((len(x), len(filters), *shape), x.dtype)
        for (i, j), window in _windows(part, op, kernel, shape):
            y += np.einsum("nchw,oc->nohw", window, filters[:, :, i, j], optimize=True)
        results.append(y)
    outputs[0][0] = np.concatenate(results, 1)


def _correlate_to_inputs(op, node, inputs, outputs):
    w, g, sides = inputs
    kernel = w.shape[2:]
    (vertical, horizontal), _, _ = _geometry(op, kernel)
    results = []
    for filters, part in _groups(op, (_flipped(w, op), 0), (g, 1)):
        image = np.zeros((len(g), w.shape[1], sides[0] + 2 * vertical, sides[1] + 2 * horizontal), g.dtype)
        for (i, j), window in _windows(image, op, kernel, g.shape[2:]):
            window += np.einsum("nohw,oc->nchw", part, filters[:, :, i, j], optimize=True)
        results.append(image[:, :, vertical : vertical + sides[0], horizontal : horizontal + sides[1]])
    outputs[0][0] = np.concatenate(results, 1)


def _correlate_to_weights(op, node, inputs, outputs):
    x, g, kernel = inputs
    results = []
    for image, part in _groups(op, (_padded(x, op, kernel), 1), (g, 1)):
        filters = np.zeros((part.shape[1], image.shape[1], *kernel), g.dtype)
        for (i, j), window in _windows(image, op, tuple(kernel), g.shape[2:]):
            filters[:, :, i, j] = np.einsum("nchw,nohw->oc", window, part, optimize=True)
        results.append(_flipped(filters, op))
    outputs[0][0] = np.concatenate(results, 0)


def _pool_windows(x, op, size, stride, pad):
    """Yield each window's position, its slices of `x` (without padding), and its sides with padding."""
    counts = pool.Pool.out_shape(x.shape, size, op.ignore_border, stride, pad, op.ndim)[2:]
    for position in np.ndindex(*map(int, counts)):
        edges = [(at * s - p, at * s - p + k) for at, s, p, k in zip(position, stride, pad, size)]
        window = tuple(slice(max(start, 0), end) for start, end in edges)
        padded_sides = [side + 2 * p for side, p in zip(x.shape[2:], pad)]
        whole = [min(end + p, side) - (start + p) for (start, end), p, side in zip(edges, pad, padded_sides)]
        yield (..., *position), (..., *window), whole


def _divisor(op, window, whole):
    if op.mode == "sum":
        return 1
    return np.prod(whole) if op.mode == "average_inc_pad" else window.shape[-2] * window.shape[-1]


def _pool(op, node, inputs, outputs, params=None):
    x, size, stride, pad = inputs
    y = np.zeros(pool.Pool.out_shape(x.shape, size, op.ignore_border, stride, pad, op.ndim), x.dtype)
    for at, window, whole in _pool_windows(x, op, size, stride, pad):
        if op.mode == "max":
            y[at] = x[window].max(axis=(-2, -1))
        else:
            y[at] = x[window].sum(axis=(-2, -1)) / _divisor(op, x[window], whole)
    outputs[0][0] = y


def _max_pool_to_inputs(op, node, inputs, outputs, params=None):
    x, maxima, g, size, stride, pad = inputs
    result = np.zeros_like(x)
    for at, window, _ in _pool_windows(x, op, size, stride, pad):
        equal = x[window] == maxima[at][..., None, None]
        before = np.cumsum(equal.reshape(*equal.shape[:2], -1), axis=-1).reshape(equal.shape)
        result[window] += g[at][..., None, None] * (equal & (before == 1))  # the first, as Caffe's and ours
    outputs[0][0] = result


def _average_pool_to_inputs(op, node, inputs, outputs, params=None):
    x, g, size, stride, pad = inputs
    result = np.zeros_like(x)
    for at, window, whole in _pool_windows(x, op, size, stride, pad):
        result[window] += (g[at] / _divisor(op, x[window], whole))[..., None, None]
    outputs[0][0] = result
