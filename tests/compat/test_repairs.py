"""Repaired, Theano and Lasagne compute what they should, in float32, compared with NumPy."""

import hashlib
import multiprocessing
import warnings

import numpy as np
import pytest
from fresh_python import fresh_python

import theano_compat  # noqa: F401
import lasagne
import theano
import theano.tensor as T
import unoptimised

PYTHON_MODE = theano.Mode("py", None)
"""No C is compiled: for what is about graphs and dtypes, not about generated code."""


@pytest.fixture
def random():
    return np.random.default_rng(0)


def floats(random, *shape):
    return random.standard_normal(shape).astype("float32")


# Constants and dtypes


@pytest.mark.parametrize("constant", [1, 127, 128, 300, 32767, -129, -32768])
def test_an_integer_constant_leaves_float32_as_it_is(constant):
    x = T.fmatrix()
    for expression in (x + constant, x * constant, constant - x, x / constant):
        assert expression.dtype == "float32"
    assert theano.function([x], x + constant, mode=PYTHON_MODE)([[0.5]]) == np.float32(constant + 0.5)


def test_an_integer_constant_takes_the_smallest_dtype_that_holds_it():
    constants = {1: "int8", 127: "int8", 128: "int16", -128: "int8", 32768: "int32", 2**31: "int64"}
    assert {value: T.constant(value).dtype for value in constants} == constants
    assert all(T.constant(value).data == value for value in constants)


def test_integers_that_fit_nothing_are_an_error():
    with pytest.raises((OverflowError, TypeError, ValueError)):
        T.constant(2**70)


def test_python_floats_are_float32():
    assert (T.fvector() * 0.1).dtype == T.as_tensor_variable(0.1).dtype == "float32"


# Gradients that Theano cuts


@pytest.mark.filterwarnings("ignore:consider_constant.. is deprecated")
@pytest.mark.parametrize(
    "cut", [theano.gradient.zero_grad, theano.gradient.consider_constant, theano.gradient.disconnected_grad]
)
def test_cut_gradients(cut):
    x = T.fvector("x")
    expression = (cut(x) * x).sum()
    gradient = theano.function([x], T.grad(expression, x), mode=PYTHON_MODE)
    np.testing.assert_array_equal(gradient([1.0, -2.0]), np.float32([1.0, -2.0]))


@pytest.mark.parametrize(
    "function, derivative",
    [
        (T.arcsin, lambda x: 1 / np.sqrt(1 - x**2)),
        (T.arccos, lambda x: -1 / np.sqrt(1 - x**2)),
        (T.arctan, lambda x: 1 / (1 + x**2)),
        (T.arcsinh, lambda x: 1 / np.sqrt(x**2 + 1)),
        (lambda x: T.arccosh(x + 1), lambda x: 1 / np.sqrt((x + 1) ** 2 - 1)),
        (T.arctanh, lambda x: 1 / (1 - x**2)),
        (T.exp2, lambda x: np.log(2) * 2**x),
    ],
)
def test_gradients_of_functions_that_cast_to_a_theano_type(function, derivative):
    x = T.dscalar("x")
    gradient = theano.function([x], T.grad(function(x), x), mode=PYTHON_MODE)
    np.testing.assert_allclose(gradient(0.25), derivative(0.25), rtol=1e-12)


def test_a_variable_stands_for_its_dtype_in_a_ceiled_division():
    x = T.lscalar("x")
    assert theano.function([x], T.ceil_intdiv(x, 2), mode=PYTHON_MODE)(7) == 4


# Random numbers


def test_a_random_stream_without_updates_repeats_its_numbers():
    stream = T.shared_randomstreams.RandomStreams(3)
    draw = theano.function([], stream.uniform((4,)), no_default_updates=True, mode=PYTHON_MODE)
    np.testing.assert_array_equal(draw(), draw())


def test_mrg_draws_in_python_what_l_ecuyers_recurrence_gives():
    """L'Ecuyer, "Good parameters and implementations for combined multiple recursive random number generators",
    Operations Research 47(1), 1999: MRG31k3p, in whole numbers of Python."""
    from theano.sandbox.rng_mrg import MRG_RandomStreams

    modulus_1, modulus_2 = 2**31 - 1, 2**31 - 21069
    first, second, numbers = [12345] * 3, [12345] * 3, []
    for _ in range(5):
        first = [(2**22 * first[1] + (2**7 + 1) * first[2]) % modulus_1, *first[:2]]
        second = [(2**15 * second[0] + (2**15 + 1) * second[2]) % modulus_2, *second[:2]]
        numbers.append(((first[0] - second[0] - 1) % modulus_1 + 1) / 2**31)
    stream = MRG_RandomStreams(12345)
    draw = theano.function([], stream.uniform((1,), nstreams=1, dtype="float64"), mode=PYTHON_MODE)
    np.testing.assert_allclose([draw()[0] for _ in numbers], numbers, rtol=1e-9)


# Generated C


def test_a_network_and_its_gradients_agree_with_numpy(random):
    """Convolution, max pooling, matrix product, softmax; gradients against float64 differences."""
    x, w, v = floats(random, 2, 3, 6, 6), floats(random, 4, 3, 3, 3), floats(random, 16, 5)

    def in_numpy(x, w, v):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
        convolved = np.einsum("nchwij,ocij->nohw", windows, w)  # (2, 4, 3, 3)
        pooled = np.lib.stride_tricks.sliding_window_view(convolved, (2, 2), (2, 3)).max((4, 5))
        scores = np.exp(pooled.reshape(2, 16) @ v)
        return scores / scores.sum(1, keepdims=True)

    def in_theano(x, w, v):
        convolved = T.nnet.conv2d(x, w, border_mode=1, subsample=(2, 2), filter_flip=False)
        pooled = T.signal.pool.pool_2d(convolved, (2, 2), stride=(1, 1), ignore_border=True)
        return T.nnet.softmax(T.dot(pooled.flatten(2), v))

    variables = T.tensor4("x"), T.tensor4("w"), T.fmatrix("v")
    result = in_theano(*variables)
    loss = (result * np.float32([1, 2, 3, 4, 5])).sum()
    computed, *gradients = theano.function(variables, [result, *T.grad(loss, variables)])(x, w, v)

    assert computed.dtype == "float32"
    np.testing.assert_allclose(computed, in_numpy(x, w, v), rtol=1e-5)
    for index, gradient in enumerate(gradients):
        values = [array.astype("float64") for array in (x, w, v)]
        direction = random.standard_normal(values[index].shape)
        losses = []
        for step in (1e-6, -1e-6):
            moved = list(values)
            moved[index] = values[index] + step * direction
            losses.append((in_numpy(*moved) * [1, 2, 3, 4, 5]).sum())
        assert gradient.dtype == "float32"
        assert (gradient * direction).sum() == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-3, abs=1e-4)


def test_the_blas_of_the_wheel_multiplies(random):
    if not theano.config.blas.ldflags:
        pytest.skip("Theano runs without a BLAS here")
    x, y = T.fmatrices("xy")
    dot = theano.function([x, y], T.dot(x, y))
    assert "Dot22" in str(dot.maker.fgraph.toposort())
    a, b = floats(random, 30, 40), floats(random, 40, 50)
    np.testing.assert_allclose(dot(a, b), a @ b, rtol=1e-4, atol=1e-4)


def test_incrementing_the_same_row_twice_adds_twice(random):
    table, rows = theano.shared(floats(random, 5, 3)), T.lvector("rows")
    gradient = theano.function([rows], T.grad((table[rows] ** 2).sum(), table))
    expected = np.zeros((5, 3))
    indices = np.array([0, 2, 2, -1])
    np.add.at(expected, indices, 2 * table.get_value()[indices])
    np.testing.assert_allclose(gradient(indices), expected, rtol=1e-6)


@pytest.mark.parametrize("rows, columns", [(0, 1), (2, 1), (-3, -1)])
def test_diagonals_are_viewed_without_setting_strides(rows, columns):
    from theano.tensor.nnet.conv3d2d import get_diagonal_subtensor_view

    x = np.arange(5 * 3 * 4).reshape(5, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        view = get_diagonal_subtensor_view(x, rows, columns)
    matrices = np.moveaxis(x, (rows, columns), (0, 1))
    height, width = matrices.shape[:2]
    expected = [
        [matrices[row + width - 1 - column, column] for column in range(width)] for row in range(height - width + 1)
    ]
    np.testing.assert_array_equal(np.moveaxis(view, (rows, columns), (0, 1)), expected)
    view[:] = -1
    assert (x == -1).sum() == view.size  # it is x's own memory


def test_a_diagonal_view_needs_at_least_as_many_rows_as_columns():
    from theano.tensor.nnet.conv3d2d import get_diagonal_subtensor_view

    with pytest.raises(NotImplementedError):
        get_diagonal_subtensor_view(np.zeros((2, 3)), 0, 1)


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_fourier_transforms_are_of_all_axes_but_the_batch(random):
    import theano.tensor.fft

    x, padded = floats(random, 2, 3, 4, 5), np.zeros((2, 4, 6, 8))
    padded[:, :3, :4, :5] = x
    variable, shape = T.ftensor4(), T.lvector()
    transformed = theano.tensor.fft.rfft_op(variable, shape)
    run = theano.function(
        [variable, shape], [transformed, theano.tensor.fft.irfft_op(transformed, shape)], mode=PYTHON_MODE
    )
    frequencies, back = run(x, padded.shape[1:])
    expected = np.fft.rfftn(padded, axes=(1, 2, 3))
    np.testing.assert_allclose(frequencies, np.stack([expected.real, expected.imag], axis=-1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back, padded * (4 * 6 * 8), rtol=1e-4, atol=1e-3)


def test_arrays_are_digested_with_their_layout():
    x = np.arange(6, dtype="int64").reshape(2, 3)
    assert theano.printing.hex_digest(x).startswith(hashlib.sha256(x.tobytes()).hexdigest())
    assert theano.printing.hex_digest(x) != theano.printing.hex_digest(x.reshape(3, 2))


# Lasagne


def test_lasagne_pools_under_theanos_old_name(random):
    image = floats(random, 1, 1, 5, 5)
    layer = lasagne.layers.MaxPool2DLayer(lasagne.layers.InputLayer((1, 1, 5, 5)), 2, ignore_border=False)
    x = T.tensor4()
    pool = theano.function([x], lasagne.layers.get_output(layer, x))
    padded = np.pad(image[0, 0], ((0, 1), (0, 1)), constant_values=-np.inf)
    np.testing.assert_array_equal(pool(image)[0, 0], padded.reshape(3, 2, 3, 2).max((1, 3)))


def test_lasagne_learns(random):
    target = T.ivector("target")
    network = lasagne.layers.InputLayer((None, 4))
    network = lasagne.layers.DenseLayer(network, 3, W=lasagne.init.Constant(0.1))
    softmax = lasagne.nonlinearities.softmax  # behind weights that do not hang on what was drawn before
    network = lasagne.layers.DenseLayer(network, 2, W=floats(random, 3, 2), nonlinearity=softmax)
    images, labels = floats(random, 20, 4), (np.arange(20) % 2).astype("int32")
    images[:, 0] += 4 * labels
    output = lasagne.layers.get_output(network, T.constant(images))
    loss = lasagne.objectives.categorical_crossentropy(output, target).mean()
    updates = lasagne.updates.adam(loss, lasagne.layers.get_all_params(network, trainable=True), 0.1)
    learn = theano.function([target], loss, updates=updates, mode=PYTHON_MODE)
    losses = [float(learn(labels)) for _ in range(10)]
    assert losses[-1] < losses[0] / 1.5


@pytest.mark.skipif(lasagne.__version__.startswith("0.1"), reason="Lasagne 0.2 came with these layers")
def test_lasagne_0_2_normalises_batches(random):
    image = floats(random, 2, 3, 5, 5)
    network = lasagne.layers.InputLayer((None, 3, 5, 5))
    network = lasagne.layers.Conv2DLayer(network, 2, 3, pad="same", flip_filters=False, nonlinearity=None)
    network = lasagne.layers.BatchNormLayer(network)
    result = unoptimised.function([], lasagne.layers.get_output(network, T.constant(image)))()
    np.testing.assert_allclose(result.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std((0, 2, 3)), 1, atol=1e-2)


def test_the_old_convolution_compiles(random):
    """ConvOp, which theano.tensor.nnet.conv and theano.tensor.signal.conv make."""
    from theano.tensor.nnet import conv

    x, w = floats(random, 2, 3, 6, 5), floats(random, 4, 3, 3, 2)
    tx, tw = T.tensor4(), T.tensor4()
    operation = conv.ConvOp(x.shape[1:], w.shape[2:], 4, 2, 1, 1, output_mode="valid")
    result = unoptimised.function([tx, tw], operation(tx, tw))(x, w)
    expected = np.zeros((2, 4, 4, 4), "float32")
    for row in range(3):
        for column in range(2):
            seen = x[:, :, row : row + 4, column : column + 4]
            expected += np.einsum("nchw,oc->nohw", seen, w[:, :, 2 - row, 1 - column])
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_pickles_of_shared_variables_refer_to_files_beside_them(random, tmp_path):
    from theano.misc import pkl_utils

    values = floats(random, 3, 2)
    with open(tmp_path / "model.zip", "wb") as file:
        pkl_utils.dump((theano.shared(values, name="weights"), "text"), file)
    with open(tmp_path / "model.zip", "rb") as file:
        weights, text = pkl_utils.load(file)
    np.testing.assert_array_equal(weights.get_value(), values)
    assert text == "text" and list(np.load(tmp_path / "model.zip")) == ["weights", "pkl"]


# Other processes


def _double(x):
    y = T.fscalar("y")
    return float(theano.function([y], 2 * y, mode=PYTHON_MODE)(x))


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_processes_compute(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply_async(_double, [21]).get(timeout=120) == 42


def test_theano_works_without_descriptions():
    run = fresh_python(
        "import theano_compat, theano\n"
        "x = theano.tensor.fvector()\n"
        "print(theano.function([x], x + 1, mode='FAST_COMPILE')([1]))",
        "-OO",
        "-B",
    )
    assert run.stdout == "[2.]\n"
