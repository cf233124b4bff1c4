"""Gradients of the gradients of oneDNN operations, against float64 NumPy; those of convolutions are in their file.

Each operation's gradient gx has the gradient gy of its output as an input, so it has gradients itself: with respect
to gy, and to x where it is not linear. Where there are none, Theano says so.
"""

from collections import OrderedDict

import theano_cpu  # noqa: F401
import numpy as np
import pytest
import theano
import theano.tensor as T
import unoptimised

from theano_cpu import ops
from theano_cpu.onednn.activation import Bfloat16, ReluGradient, Sum
from theano_cpu.onednn.dense import Gemm

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def variable_for(value):
    return T.TensorType("float32", (False,) * value.ndim)()


def gradients(operation, values, cotangent):
    """The gradients of sum(cotangent * operation(values)) with respect to the values."""
    inputs, tg = [variable_for(value) for value in values], variable_for(cotangent)
    outputs = T.grad(None, inputs, known_grads={operation(*inputs): tg}, disconnected_inputs="ignore")
    return unoptimised.function([*inputs, tg], outputs)(*values, cotangent)


def gradient_of(operation):
    """The operation that gives the gradient of another, of its input and the gradient of its output."""
    return lambda x, gy: T.grad(None, x, known_grads={operation(x): gy})


@pytest.mark.parametrize(
    "operation, computed",
    [
        (lambda x: ops.subsample(x, (3, 2)), lambda x: x[:, ::3, ::2]),
        (ops.global_pool, lambda x: x.mean((1, 2))),
        (ops.to_nhwc, lambda x: x.transpose(0, 2, 3, 1)),
        (ops.to_nchw, lambda x: x.transpose(0, 3, 1, 2)),
    ],
    ids=["subsample", "global pool", "to nhwc", "to nchw"],
)
def test_the_gradient_of_a_linear_operations_gradient_is_the_operation(operation, computed):
    x, direction = random(2, 7, 5, 3), random(2, 7, 5, 3, seed=1)
    expected = computed(direction.astype("float64"))
    gx, ggy = gradients(gradient_of(operation), [x, random(*expected.shape, seed=2)], direction)
    np.testing.assert_allclose(ggy, expected, rtol=1e-5, atol=1e-6)
    assert not gx.any()


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
def test_gradients_of_products_of_transposed_matrices(transpose_a, transpose_b):
    """Those of an inner product's gradients, which are such products."""
    a, b, gy = random(3, 5), random(5, 4, seed=1), random(3, 4, seed=2)
    ga, gb = gy @ b.T, a.T @ gy
    values = [np.ascontiguousarray(a.T) if transpose_a else a, np.ascontiguousarray(b.T) if transpose_b else b]
    got_a, got_b = gradients(Gemm(transpose_a, transpose_b), values, gy)
    np.testing.assert_allclose(got_a, ga.T if transpose_a else ga, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got_b, gb.T if transpose_b else gb, rtol=1e-5, atol=1e-5)


def test_gradients_of_an_inner_products_gradients():
    x, W, b, gy = random(3, 5), random(4, 5, seed=1), random(4, seed=2), random(3, 4, seed=3)
    of_x, of_W, of_b = random(3, 5, seed=4), random(4, 5, seed=5), random(4, seed=6)
    variables = tx, tW, tb, tg = T.matrix(), T.matrix(), T.vector(), T.matrix()
    known = T.grad(None, [tx, tW, tb], known_grads={ops.inner_product(tx, tW, tb): tg})
    second = T.grad(None, [tx, tW, tg], known_grads=OrderedDict(zip(known, map(T.constant, (of_x, of_W, of_b)))))
    got = unoptimised.function(variables, second)(x, W, b, gy)
    for value, expected in zip(got, [gy @ of_W, gy.T @ of_x, of_x @ W.T + x @ of_W.T + of_b]):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_softmaxs_gradient_are_its_derivatives():
    x, gy, direction = random(3, 6), random(3, 6, seed=1), random(3, 6, seed=2)

    def value(x, gy):
        """The sum of the gradient times the direction, in float64."""
        e = np.exp(x.astype("float64"))
        y = e / e.sum(1, keepdims=True)
        return (direction * y * (gy - (gy * y).sum(1, keepdims=True))).sum()

    of_x, of_gy = gradients(gradient_of(ops.softmax), [x, gy], direction)
    step = 1e-5 * random(3, 6, seed=3).astype("float64")
    assert (of_x * step).sum() == pytest.approx((value(x + step, gy) - value(x - step, gy)) / 2, rel=1e-4)
    assert (of_gy * step).sum() == pytest.approx((value(x, gy + step) - value(x, gy - step)) / 2, rel=1e-4)


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_gradients_of_relus_gradient(slope):
    """It multiplies each of its terms by a number that y decides, and that does not change with y."""
    a, b, y, g = (random(1, 4, 3, 2, seed=seed) for seed in range(4))
    passed = np.where(y > 0, g, np.float32(slope) * g)
    of_a, of_b, of_y = gradients(ReluGradient(slope), [a, b, y], g)
    np.testing.assert_array_equal([of_a, of_b], [passed, passed])
    assert not of_y.any()


def test_the_gradient_of_a_sum_is_that_of_each_term():
    terms, g = [random(1, 4, 3, 2, seed=seed) for seed in range(3)], random(1, 4, 3, 2, seed=3)
    np.testing.assert_array_equal(gradients(Sum(), terms, g), [g, g, g])


@pytest.mark.parametrize("mode", ["max", "average_inc_pad", "average_exc_pad"])
def test_pooling_has_no_second_derivatives(mode):
    x, gy = T.tensor4("x"), T.tensor4("gy")
    gx = gradient_of(lambda x: ops.pool2d(x, 2, mode=mode))(x, gy)
    for value in x, gy:
        with pytest.raises(theano.gradient.NullTypeGradError, match="second derivatives of pooling"):
            T.grad(gx.sum(), value)


def test_bfloat16_numbers_have_no_gradient():
    x = T.tensor4()
    with pytest.raises(theano.gradient.NullTypeGradError, match="bfloat16 is for scoring only"):
        T.grad(Bfloat16(False)(Bfloat16(True)(x)).sum(), x)
