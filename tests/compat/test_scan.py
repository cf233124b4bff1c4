"""theano.scan computes and has gradients, and Lasagne's recurrent layers learn."""

import functools

import numpy as np
import pytest

import theano_compat
import lasagne
import theano
import theano.tensor as T

PYTHON_MODE = theano.Mode("py", None)
"""No C is compiled: for what is about values. What is compiled is compared with it by the first tests and the last."""


@pytest.fixture
def random():
    return np.random.default_rng(0)


def floats(random, *shape):
    return random.standard_normal(shape).astype("float32")


# theano.scan, compiled as users compile it


def test_sums_and_their_gradient():
    x = T.fmatrix("x")
    sums, updates = theano.scan(lambda row, total: row + total, sequences=[x], outputs_info=[T.zeros_like(x[0])])
    run = theano.function([x], [sums, T.grad((sums**2).sum(), x)])
    assert not updates
    computed, gradient = run([[1, 2], [3, 4]])
    np.testing.assert_array_equal(computed, [[1, 2], [4, 6]])
    np.testing.assert_array_equal(gradient, [[10, 16], [8, 12]])
    assert computed.dtype == gradient.dtype == "float32"


def test_scan_is_among_the_applied_repairs_where_its_c_code_is_too_old():
    import sys

    too_old = sys.version_info >= (3, 11) or np.lib.NumpyVersion(np.__version__) >= "2.0.0"
    assert ("scan_in_python" in dict(theano_compat.applied_repairs())) == too_old


@pytest.mark.slow
def test_a_gradient_through_steps_is_that_of_numpy(random):
    """x(t) = tanh(x(t-1) W), against differences in float64."""
    start, weights, direction = floats(random, 2, 3), floats(random, 3, 3), random.standard_normal((3, 3))

    def in_numpy(weights):
        state, total = start.astype("float64"), 0.0
        for _ in range(7):
            state = np.tanh(state @ weights)
            total += (state**2).sum()
        return total

    w = T.fmatrix("w")
    states, _ = theano.scan(lambda state: T.tanh(T.dot(state, w)), outputs_info=[T.constant(start)], n_steps=7)
    loss = (states**2).sum()
    value, gradient = theano.function([w], [loss, T.grad(loss, w)])(weights)
    step = 1e-6 * direction
    difference = (in_numpy(weights + step) - in_numpy(weights - step)) / 2e-6
    assert value == pytest.approx(in_numpy(weights.astype("float64")), rel=1e-5)
    assert (gradient * direction).sum() == pytest.approx(difference, rel=1e-4)


# Its other faces


def compute(inputs, outputs, *values, updates=None):
    return theano.function(inputs, outputs, updates=updates, mode=PYTHON_MODE)(*values)


def test_map_reduce_and_folds():
    x = T.fvector("x")
    one = T.constant(np.float32(1))
    results = [
        theano.map(lambda number: number**2, [x])[0],
        theano.reduce(lambda number, total: number + total, [x], T.zeros_like(x[0]))[0],
        theano.foldl(lambda number, result: result / number, [x], one)[0],
        theano.foldr(lambda number, result: number - result, [x], one)[0],
    ]
    squares, total, left, right = compute([x], results, [1, 2, 4])
    np.testing.assert_array_equal(squares, [1, 4, 16])
    assert (total, left, right) == (7, 1 / 1 / 2 / 4, 1 - (2 - (4 - 1)))


def test_a_step_may_look_back_further_than_one():
    numbers, _ = theano.scan(
        lambda before, last: before + last,
        outputs_info=[dict(initial=T.constant([1, 1]), taps=[-2, -1])],
        n_steps=8,
    )
    np.testing.assert_array_equal(compute([], numbers), [2, 3, 5, 8, 13, 21, 34, 55])


def test_steps_end_when_a_condition_is_met():
    powers, _ = theano.scan(
        lambda power: (2 * power, theano.scan_module.until(power > 20)), outputs_info=[T.constant(1)], n_steps=100
    )
    np.testing.assert_array_equal(compute([], powers), [2, 4, 8, 16, 32, 64])


@pytest.mark.slow
def test_a_scan_within_a_scan_and_its_gradient():
    """Row sums of cubes, each sum a scan of its own."""
    x = T.fmatrix("x")

    def sum_of_cubes(row):
        return theano.scan(lambda number, total: total + number**3, [row], T.zeros_like(row[0]))[0][-1]

    sums = theano.map(sum_of_cubes, [x])[0]
    computed, gradient = compute([x], [sums, T.grad(sums.sum(), x)], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(computed, [1 + 8, 27 + 64])
    np.testing.assert_array_equal(gradient, [[3, 12], [27, 48]])


def test_a_step_may_update_shared_variables():
    counter = theano.shared(np.int64(10))
    counts, updates = theano.scan(lambda: (counter, {counter: counter + 3}), n_steps=4)
    np.testing.assert_array_equal(compute([], counts, updates=updates), [10, 13, 16, 19])
    assert counter.get_value() == 22


def test_random_streams_go_on_from_step_to_step():
    stream = T.shared_randomstreams.RandomStreams(5)
    numbers, updates = theano.scan(lambda: stream.uniform((2,)), n_steps=3)
    drawn = compute([], numbers, updates=updates)
    assert np.unique(drawn).size == 6


def test_a_jacobian():
    x = T.fvector("x")
    np.testing.assert_array_equal(compute([x], theano.gradient.jacobian(x**2 * x[0], x), [1, 3]), [[3, 0], [9, 6]])


def test_too_short_a_sequence_is_an_error():
    x = T.fvector("x")
    doubled, _ = theano.scan(lambda number: 2 * number, sequences=[x], n_steps=5)
    with pytest.raises(ValueError, match="Sequence is shorter then the required number of steps"):
        compute([x], doubled, [1, 2, 3])


# Lasagne's recurrent layers learn the adding problem of Hochreiter and Schmidhuber, "Long Short-Term Memory",
# Neural Computation 9(8), 1997: each step has a number and a mark; the sum of the two marked numbers is asked for.

LENGTH, UNITS, SEQUENCES = 4, 10, 100


def adding_problem(random):
    numbers = random.uniform(0, 1, (SEQUENCES, LENGTH))
    marks = np.zeros((SEQUENCES, LENGTH))
    for row in marks:
        row[random.choice(LENGTH, 2, replace=False)] = 1
    return np.stack([numbers, marks], 2).astype("float32"), (numbers * marks).sum(1).astype("float32")


def custom_recurrent_layer(incoming, units):
    layers = lasagne.layers
    step_input = layers.DenseLayer(layers.InputLayer((None, 2)), units, nonlinearity=None)
    state = layers.DenseLayer(layers.InputLayer((None, units)), units, nonlinearity=None, b=None)
    return layers.CustomRecurrentLayer(incoming, step_input, state)


def trained(layer, random, mode):
    """Mean squared errors on other sequences, after training, and of the best constant guess."""
    lasagne.random.set_rng(np.random.RandomState(0))
    x, target = T.ftensor3("x"), T.fvector("target")
    network = layer(lasagne.layers.InputLayer((None, LENGTH, 2)), UNITS)
    network = lasagne.layers.DenseLayer(lasagne.layers.SliceLayer(network, -1, 1), 1, nonlinearity=None)
    output = lasagne.layers.get_output(network, x)[:, 0]
    loss = lasagne.objectives.squared_error(output, target).mean()
    updates = lasagne.updates.adam(loss, lasagne.layers.get_all_params(network, trainable=True), 0.03)
    learn = theano.function([x, target], loss, updates=updates, mode=mode)
    sequences, sums = adding_problem(random)
    for _ in range(120):
        learn(sequences, sums)
    sequences, sums = adding_problem(random)
    predict = theano.function([x], output, mode=mode)
    return ((predict(sequences) - sums) ** 2).mean(), sums.var()


RECURRENT_LAYERS = {
    "RecurrentLayer": functools.partial(
        lasagne.layers.RecurrentLayer,
        W_in_to_hid=lasagne.init.GlorotUniform(),
        W_hid_to_hid=lasagne.init.GlorotUniform(),
    ),
    "CustomRecurrentLayer": custom_recurrent_layer,
    "LSTMLayer": lasagne.layers.LSTMLayer,
    "GRULayer": lasagne.layers.GRULayer,
}


@pytest.mark.parametrize(
    "name",
    [name if name == "RecurrentLayer" else pytest.param(name, marks=pytest.mark.slow) for name in RECURRENT_LAYERS],
)
def test_recurrent_layers_learn_to_add(name, random):
    error, error_of_a_constant = trained(RECURRENT_LAYERS[name], random, PYTHON_MODE)
    assert error < error_of_a_constant / 4


@pytest.mark.slow
def test_an_lstm_learns_to_add_compiled(random):
    error, error_of_a_constant = trained(lasagne.layers.LSTMLayer, random, None)
    assert error < error_of_a_constant / 4
