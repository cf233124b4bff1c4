"""`theano_cpu.compile`: which graphs are compiled with few optimiser passes."""

import inspect

import theano_cpu

import joined
import lasagne
import numpy as np
import pytest
import theano
import theano.tensor as T
import unoptimised
from lasagne.layers import Conv2DLayer, DenseLayer, DimshuffleLayer, GlobalPoolLayer, InputLayer, get_output

from theano_cpu import ops
from theano_cpu.compile import compile_function, allows_fast_compile
from theano_cpu.fuse import accelerate, fuse


def network(middle=lambda layer: layer, nonlinearity=lasagne.nonlinearities.rectify):
    image = InputLayer((None, 3, 6, 5))
    layer = middle(Conv2DLayer(image, 4, 3, nonlinearity=nonlinearity))
    return image.input_var, DenseLayer(GlobalPoolLayer(layer), 2, nonlinearity=lasagne.nonlinearities.softmax)


def transposed(layer):
    return DimshuffleLayer(layer, (0, 1, 3, 2))


def test_a_fused_network_and_its_gradient_are_compiled_fast():
    x, layer = network()
    y = get_output(fuse(layer))
    assert allows_fast_compile(y)
    assert allows_fast_compile([y[:, 1], T.grad(y[:, 1].sum(), x)])
    assert allows_fast_compile({"score": y}) and allows_fast_compile(None, [(theano.shared(0.0), y.sum())])
    assert not allows_fast_compile()


@pytest.mark.parametrize(
    "function",
    [
        *(T.log, T.log2, T.log10, T.log1p, T.exp, T.exp2, T.expm1, T.erf, T.erfc),
        *(T.nnet.sigmoid, T.nnet.softplus, T.nnet.softmax),
    ],
)
def test_what_theano_keeps_finite_is_left_to_its_passes(function):
    _, layer = network()
    y = function(get_output(fuse(layer)))
    assert not allows_fast_compile(y) and not allows_fast_compile(theano.Out(y[:, 0]))


def test_a_cross_entropy_stays_finite():
    layer = DenseLayer(InputLayer((None, 1)), 1, W=np.full((1, 1), 120, "float32"), nonlinearity=None)
    x = lasagne.layers.get_all_layers(layer)[0].input_var
    loss = T.nnet.binary_crossentropy(T.nnet.sigmoid(get_output(accelerate(layer))), 0)
    assert compile_function([x], loss)([[1]]) == 120


def test_a_function_may_have_updates_alone():
    x, layer = network()
    total = theano.shared(np.float32(0))
    add = compile_function([x], updates=[(total, total + get_output(accelerate(layer)).sum())])
    assert add(np.ones((2, 3, 6, 5), "float32")) == []
    assert total.get_value() == pytest.approx(2)


def test_updates_may_be_plain_arrays():
    x, layer = network()
    count = theano.shared(np.float32(3))
    y = get_output(accelerate(layer))
    assert compile_function([x], y, updates=[(count, np.float32(0))])(np.ones((1, 3, 6, 5), "float32")).shape == (1, 2)
    assert count.get_value() == 0


def test_what_takes_a_variables_place_counts():
    x, layer = network()
    scale, logarithm = T.scalar(), T.log(T.scalar("z"))
    y = scale * get_output(fuse(layer))
    assert allows_fast_compile(y) and allows_fast_compile(y, givens=[(scale, np.float32(2))])
    assert not allows_fast_compile(y, givens={scale: logarithm})


def test_a_network_with_an_unknown_layer_gets_all_passes():
    _, layer = network(transposed)
    assert not allows_fast_compile(get_output(fuse(layer)))


def test_a_network_with_elementwise_work_on_pictures_gets_all_passes():
    _, layer = network(nonlinearity=lasagne.nonlinearities.tanh)
    assert not allows_fast_compile(get_output(fuse(layer)))


@pytest.mark.parametrize(
    "work, allowed",
    [
        (2 * T.matrix(), True),
        (2 * T.tensor3(), False),
        (T.matrix().sum(), True),
        (T.tensor4().sum(), False),
        (T.matrix().T, True),
        (T.matrix().dimshuffle(0, 1, "x", "x"), False),
        (T.tensor4() + T.tensor4(), True),  # oneDNN computes sums of pictures
        (T.sort(T.matrix()), False),
    ],
)
def test_simple_work_on_matrices_at_most_is_allowed(work, allowed):
    assert allows_fast_compile([ops.global_pool(T.tensor4()), work]) == allowed


def test_plain_theano_gets_all_passes():
    _, layer = network()
    assert not allows_fast_compile(get_output(layer))
    assert not allows_fast_compile(T.vector() + 1)


def test_updates_count():
    x, layer = network()
    params = lasagne.layers.get_all_params(layer)
    y = get_output(fuse(layer, trainable=True))
    assert not allows_fast_compile(y, lasagne.updates.sgd(y[:, 0].sum(), params, 0.1))


def test_without_onednn_the_layer_stays_and_bfloat16_is_refused(monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "theano")
    _, layer = network()
    assert accelerate(layer) is layer
    with pytest.raises(NotImplementedError, match="got 'bfloat16', expected 'float32'"):
        accelerate(layer, precision="bfloat16")


@pytest.mark.skipif(not theano_cpu.onednn_available(), reason="oneDNN is not the engine")
def test_with_onednn_the_layer_is_fused_and_compiled_fast():
    x, layer = network()
    function = compile_function([x], get_output(accelerate(layer)))
    assert len(function.maker.fgraph.apply_nodes) == 1
    names = {type(op).__name__ for op in joined.operations(function)}
    assert names == {"Layout", "Convolution", "GlobalPool", "Gemm", "Softmax"}
    np.testing.assert_allclose(function(np.ones((2, 3, 6, 5), "float32")).sum(axis=1), 1, rtol=1e-6)


def test_the_mode_follows_the_graph():
    x, layer = network()
    fused, plain = get_output(fuse(layer)), T.vector()
    assert compile_function([x], fused).maker.mode is ops.fast_compile()
    assert compile_function([plain], 2 * plain).maker.mode is theano.compile.mode.get_default_mode()


def test_a_given_mode_is_used_whatever_the_graph():
    x, layer = network()
    fused, plain = get_output(fuse(layer)), T.vector()
    for variable, output in (x, fused), (plain, 2 * plain):
        assert compile_function([variable], output, mode=unoptimised.PYTHON).maker.mode is unoptimised.PYTHON


def test_every_argument_is_taken_and_handed_on_as_theano_function_does(monkeypatch):
    def defaults(function):
        return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}

    assert defaults(compile_function) == defaults(theano.function)
    arguments = {name: object() for name in defaults(compile_function)}
    arguments |= {"outputs": [], "updates": [], "givens": []}  # the graph, which is looked at
    handed_on = inspect.signature(theano.function).bind
    monkeypatch.setattr(theano, "function", lambda *args, **kwargs: handed_on(*args, **kwargs).arguments)
    assert compile_function(**arguments) == arguments


@pytest.mark.skipif(not theano_cpu.onednn_available(), reason="oneDNN is not the engine")
def test_bfloat16_is_for_networks_that_are_not_trained(monkeypatch):
    monkeypatch.setattr(ops, "has_bfloat16", lambda: False)
    _, layer = network()
    with pytest.raises(NotImplementedError, match="bfloat16"):
        fuse(layer, precision="bfloat16")
    monkeypatch.setattr(ops, "has_bfloat16", lambda: True)
    with pytest.raises(ValueError, match="got trainable=True, expected False"):
        fuse(layer, trainable=True, precision="bfloat16")
    convolution = lasagne.layers.get_all_layers(fuse(layer, precision="bfloat16"))[2]
    assert convolution.precision == "bfloat16"


@pytest.mark.slow
def test_hundreds_of_elementwise_operations_are_compiled():
    x = y = T.tensor4("x")
    for _ in range(300):  # as many fused into one, each within the next, were a RecursionError
        y = T.nnet.relu(y)
    values = np.linspace(-1, 1, 24, dtype="float32").reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(compile_function([x], y)(values), values.clip(0))


@pytest.mark.parametrize("length, fused", [(50, True), (51, False)])
def test_long_chains_of_elementwise_operations_are_not_fused(length, fused, monkeypatch):
    x = y = T.matrix("x")
    for _ in range(length):
        y = T.tanh(y)
    modes = []
    monkeypatch.setattr(theano, "function", lambda *args, mode, **kwargs: modes.append(mode))
    compile_function([x], y)
    compile_function([x], y, mode=unoptimised.PYTHON)
    # None is Theano's own
    assert modes[1] is unoptimised.PYTHON
    assert modes[0] is None if fused else "fusion" in modes[0].provided_optimizer.exclude


def test_some_elementwise_operations_are_fused():
    x = y = T.matrix("x")
    for _ in range(5):
        y = T.tanh(y)
    nodes = compile_function([x], y).maker.fgraph.toposort()
    assert len(nodes) == 1 and isinstance(nodes[0].op.scalar_op, theano.scalar.Composite)
