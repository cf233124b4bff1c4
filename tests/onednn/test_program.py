"""Operations that become one: the same numbers, whatever is between them and however many pictures there are."""

import pickle

import theano_cpu  # noqa: F401  # before theano

import joined
import numpy as np
import pytest
import theano
import theano.tensor as T
from theano.gof import Query
from theano.gof.vm import VM_Linker

from theano_cpu import onednn, ops
from theano_cpu.onednn.convolution import Convolution
from theano_cpu.onednn.pooling import GlobalPool, Pool
from theano_cpu.onednn.program import Program
from theano_cpu.onednn.rewrites import TAG

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")

#: The passes of `fast_compile`, and operations stay apart.
APART = theano.Mode(
    linker=VM_Linker(use_cloop=True),
    optimizer=Query(include=["merge1", TAG, "add_destroy_handler", "merge3"], exclude=["theano_cpu_join"]),
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def weights(filters, channels, side=1, seed=0):
    return random(filters, channels, side, side, seed=seed) / np.float32(side * channels**0.5)


def block(x, channels, seed):
    """A residual block, as a ResNet has."""
    inner = ops.conv2d(x, weights(channels // 2, channels, seed=seed), random(channels // 2), relu=True)
    inner = ops.conv2d(inner, weights(channels // 2, channels // 2, 3, seed=seed + 1), pad=1, relu=True)
    return ops.conv2d(inner, weights(channels, channels // 2, seed=seed + 2), residual=x, relu=True)


def network(x):
    """Wide at first, so that few pictures fit into the caches, and narrow at its end."""
    y = ops.conv2d(ops.to_nhwc(x), weights(32, 3, 3), random(32), pad=1, relu=True)
    y = ops.pool2d(block(block(y, 32, 1), 32, 4), 3, 2)
    y = block(block(ops.conv2d(y, weights(64, 32, seed=7), stride=(4, 4)), 64, 8), 64, 11)
    return ops.global_pool(y), y


def programs(function):
    return [node.op for node in function.maker.fgraph.toposort() if isinstance(node.op, Program)]


@pytest.fixture(scope="module")
def scoring():
    x = T.tensor4("x")
    return theano.function([x], list(network(x)), mode=ops.fast_compile())


@pytest.fixture(scope="module")
def apart():
    x = T.tensor4("x")
    return theano.function([x], list(network(x)), mode=APART)


def test_a_network_is_one_operation(scoring, apart):
    assert len(scoring.maker.fgraph.apply_nodes) == 1
    assert not programs(apart) and len(apart.maker.fgraph.apply_nodes) > 10
    kinds = {type(op) for op in joined.operations(scoring)}
    assert {Convolution, Pool, GlobalPool} <= kinds


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 21, 0])
def test_it_gives_what_its_operations_give_one_by_one(scoring, apart, count):
    x = random(count, 3, 112, 112, seed=count)
    for got, expected in zip(scoring(x), apart(x)):
        np.testing.assert_array_equal(got, expected)


def test_pictures_do_not_depend_on_their_company(scoring):
    x = random(9, 3, 112, 112)
    for together, alone in zip(scoring(x), zip(*(scoring(picture[None]) for picture in x))):
        np.testing.assert_array_equal(together, np.concatenate(alone))


def test_gradients_are_those_of_the_operations_one_by_one():
    x, g = T.tensor4("x"), T.matrix("g")
    means, _ = network(x)
    gradient = T.grad(None, x, known_grads={means: g})
    joined_up, apart = (theano.function([x, g], [means, gradient], mode=mode) for mode in (ops.fast_compile(), APART))
    assert len(joined_up.maker.fgraph.apply_nodes) == 1
    for count in (1, 3, 4):
        values = random(count, 3, 112, 112), random(count, 64)
        for got, expected in zip(joined_up(*values), apart(*values)):
            np.testing.assert_array_equal(got, expected)


def test_training_follows_its_shared_weights():
    x, w = T.tensor4("x"), theano.shared(weights(4, 3, 3))
    loss = (ops.global_pool(ops.conv2d(ops.to_nhwc(x), w, relu=True)) ** 2).sum()
    values = random(4, 3, 9, 9)  # as many pictures as filters
    losses = []
    for mode in (ops.fast_compile(), APART):
        w.set_value(weights(4, 3, 3))
        train = theano.function([x], loss, updates=[(w, w - 0.1 * T.grad(loss, w))], mode=mode)
        losses.append([float(train(values)) for _ in range(3)])
    assert losses[0] == losses[1] and losses[0][2] < losses[0][0]


def test_what_waits_for_other_operations_is_a_program_of_its_own():
    x = T.tensor4("x")
    first = ops.subsample(ops.to_nhwc(x), 2)
    between = T.tanh(first)
    y = ops.global_pool(ops.conv2d(between, weights(4, 3), residual=ops.conv2d(first, weights(4, 3))))
    f = theano.function([x], y, mode=ops.fast_compile())
    assert [len(program.steps) for program in programs(f)] == [3, 2]
    values = random(2, 3, 6, 6)
    np.testing.assert_allclose(f(values), theano.function([x], y, mode=APART)(values), rtol=1e-6)


def test_an_operation_alone_stays_as_it_is():
    x = T.tensor4("x")
    f = theano.function([x], ops.subsample(x, 2), mode=ops.fast_compile())
    assert not programs(f)


def test_a_value_that_is_asked_for_is_not_overwritten():
    x = T.tensor4("x")
    first = ops.conv2d(x, weights(8, 8), relu=True)
    y = ops.conv2d(first, weights(8, 8, 3, seed=1), residual=first, pad=1)
    f = theano.function([x], [first, y, ops.global_pool(y)], mode=ops.fast_compile())
    values = random(2, 5, 5, 8)
    for got, expected in zip(f(values), theano.function([x], [first, y, ops.global_pool(y)], mode=APART)(values)):
        np.testing.assert_array_equal(got, expected)


def test_results_of_earlier_calls_are_not_overwritten(scoring):
    x = random(2, 3, 112, 112)
    before = scoring(x)
    kept = [value.copy() for value in before]
    scoring(-x)
    for value, same in zip(before, kept):
        np.testing.assert_array_equal(value, same)


def test_a_compiled_function_survives_pickling():
    x = T.tensor4("x")
    f = theano.function([x], ops.global_pool(ops.conv2d(x, weights(4, 3), relu=True)), mode=ops.fast_compile())
    loaded, values = pickle.loads(pickle.dumps(f)), random(1, 5, 5, 3)
    assert programs(loaded) == programs(f) != []
    np.testing.assert_array_equal(loaded(values), f(values))


def test_another_number_of_threads_is_followed(scoring):
    x = random(3, 3, 112, 112)
    expected = scoring(x)
    try:
        for count in (1, 3, 2):
            onednn.set_num_threads(count)
            for got, value in zip(scoring(x), expected):
                np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-6)
    finally:
        onednn.set_num_threads(None)


def test_python_computes_the_same_as_the_virtual_machine():
    x = T.tensor4("x")
    y = ops.global_pool(ops.pool2d(ops.to_nhwc(x), 2))
    f = theano.function([x], y, mode=ops.fast_compile())
    (node,) = f.maker.fgraph.apply_nodes
    cells, values = [[None]], random(2, 3, 4, 6)
    node.op.perform(node, [values], cells)
    np.testing.assert_array_equal(cells[0][0], f(values))


def test_an_error_names_the_step():
    x = T.tensor4("x")
    f = theano.function([x], ops.global_pool(ops.conv2d(ops.to_nhwc(x), weights(4, 3, 3))), mode=ops.fast_compile())
    with pytest.raises(
        ValueError, match=r"Convolution\{.*input \(1, 2, 2, 3\) is smaller than the kernel.*input 1 shape"
    ):
        f(random(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"Convolution\{.*expected C = 3"):
        f(random(1, 5, 6, 6))
    assert f(random(1, 3, 6, 6)).shape == (1, 4)


STEP = ("global_pool", "mean", {"bfloat16": 0}, (0,))


def program(steps, results=(1,), inputs=1, constants=(), widths=(4,), out_widths=(4,)):
    cells = [[np.ones((1, 2, 2, 3), "float32")] for _ in range(inputs)]
    return onednn.native_module().make_program(
        "program", list(steps), results, list(constants), cells, [[None] for _ in results], widths, out_widths
    )


@pytest.mark.parametrize("arguments, message", [
    (([("global_pool", "mean", {"bfloat16": 0}, (1,))],), "mean reads a value that is not computed before it"),
    (([STEP], (0,)), "a result is what a step computes"),
    (([STEP], (2,)), "a result is what a step computes"),
    (([STEP], (1, 1), 1, (), (4,), (4, 4)), "each is another"),
    (([("global_pool", "mean", {"bfloat16": 0}, (0, 0))],), r"mean reads 1 input\(s\), got 2"),
    (([STEP, ("global_pool", "narrow", {"bfloat16": 1}, (0,))],), "narrow reads an input in another width"),
    (([STEP, ("bfloat16", "wide", {"narrow": 0}, (1,))],), "wide reads values of another width"),
    (([("no such", "x", {}, (0,))],), "no operation is called no such"),
    (([STEP], (2,), 2, (), (4,)), "one width for every cell"),
    (([STEP], (1,), 1, (), (4,), (2,)), "widths"),
    (([7],), "expected steps as tuples"),
])  # fmt: skip
def test_steps_that_do_not_fit_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        program(*arguments)


def test_a_step_with_a_constant_of_another_number_of_axes_is_refused():
    steps = [("gemm", "product", {"transpose_a": 0, "transpose_b": 0}, (0, 1))]
    cells = [[np.ones((2, 2), "float32")]]
    made = onednn.native_module().make_program("p", steps, (2,), [np.ones(3, "float32")], cells, [[None]], (4,), (4,))
    with pytest.raises(ValueError, match="product: an input has another number of axes than 2"):
        onednn.native_module().run_thunk(made)
