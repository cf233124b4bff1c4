"""Complex numbers in generated C are those of NumPy, on NumPy 1.26 and 2."""

import numpy as np
import pytest

import theano_compat  # noqa: F401
import theano
import theano.tensor as T

DTYPES = "complex64", "complex128"


@pytest.fixture
def random():
    return np.random.default_rng(0)


def numbers(random, dtype, *shape):
    return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(dtype)


def assert_equal_values(computed, expected):
    for one, other in zip(computed, expected, strict=True):
        other = np.asarray(other)
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=2e-5 if one.dtype.char in "fF" else 1e-12, atol=1e-6)


def matrices(dtype):
    return (T.matrix(name, dtype) for name in "xy")


def test_arithmetic_with_real_and_imaginary_parts(random):
    x, y = matrices("complex64")
    a, b = numbers(random, "complex64", 2, 3), numbers(random, "complex64", 2, 3)
    run = theano.function([x, y], [x * y + x, T.real(x), T.imag(x)])
    assert any(hasattr(thunk, "cthunk") for thunk in run.fn.thunks), "nothing ran as C"
    assert_equal_values(run(a, b), [a * b + a, a.real, a.imag])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
class TestAll:
    def test_arithmetic(self, dtype, random):
        x, y = matrices(dtype)
        a, b = numbers(random, dtype, 2, 3), numbers(random, dtype, 2, 3)
        run = theano.function([x, y], [x + y, x - y, x * y, x / y, -x, T.eq(x, y), T.eq(x, x), T.neq(x, y)])
        assert_equal_values(run(a, b), [a + b, a - b, a * b, a / b, -a, a == b, a == a, a != b])

    def test_parts(self, dtype, random):
        x, _ = matrices(dtype)
        a = numbers(random, dtype, 2, 3)
        run = theano.function([x], [abs(x), T.conj(x), T.real(x), T.imag(x), x.T])
        assert_equal_values(run(a), [abs(a), a.conj(), a.real, a.imag, a.T])

    def test_functions(self, dtype, random):
        x, _ = matrices(dtype)
        a = numbers(random, dtype, 2, 3)
        run = theano.function([x], [T.exp(x), T.log(x), T.sqrt(x), T.sin(x), T.cos(x), T.sqr(x), x**3, 1 / x])
        expected = [np.exp(a), np.log(a), np.sqrt(a), np.sin(a), np.cos(a), a**2, a**3, 1 / a]
        assert_equal_values(run(a), [value.astype(dtype) for value in expected])

    @pytest.mark.parametrize("real", ["int8", "int64", "float32"])
    def test_arithmetic_with_reals(self, real, dtype, random):
        x, _ = matrices(dtype)
        r = T.matrix("r", real)
        a, b = numbers(random, dtype, 2, 3), np.arange(1, 7).reshape(2, 3).astype(real)
        wide = np.result_type(a, b)
        run = theano.function([x, r], [x + r, x - r, r - x, x * r])
        assert_equal_values(run(a, b), [value.astype(wide) for value in (a + b, a - b, b - a, a * b)])

    def test_casts(self, dtype, random):
        x, _ = matrices(dtype)
        r = T.matrix("r", "float64")
        a, b = numbers(random, dtype, 2, 3), random.standard_normal((2, 3))
        run = theano.function([x, r], [T.cast(x, "complex64"), T.cast(x, "complex128"), T.cast(r, dtype)])
        assert_equal_values(run(a, b), [a.astype("complex64"), a.astype("complex128"), b.astype(dtype)])

    def test_reductions(self, dtype, random):
        x, _ = matrices(dtype)
        a = numbers(random, dtype, 4, 3)
        run = theano.function([x], [x.sum(), x.sum(0), T.prod(x, 1), x.mean()])
        assert_equal_values(run(a), [a.sum(), a.sum(0), a.prod(1), a.mean()])

    def test_subtensors(self, dtype, random):
        x, y = matrices(dtype)
        a, b = numbers(random, dtype, 4, 3), numbers(random, dtype, 4, 3)
        run = theano.function([x, y], [x[1:, 0], T.set_subtensor(x[0], y[1]), T.inc_subtensor(x[[0, 0]], y[:2])])
        changed, increased = a.copy(), a.copy()
        changed[0] = b[1]
        increased[0] += b[0] + b[1]
        assert_equal_values(run(a, b), [a[1:, 0], changed, increased])

    def test_a_fourier_transform_by_a_matrix_product(self, dtype, random):
        x, _ = matrices(dtype)
        signals = numbers(random, dtype, 3, 8)
        steps = np.arange(8)
        waves = T.constant(np.exp(-2j * np.pi * steps[:, None] * steps / 8).astype(dtype))
        run = theano.function([x], T.dot(x, waves))
        assert_equal_values([run(signals)], [np.fft.fft(signals).astype(dtype)])
