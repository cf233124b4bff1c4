"""`theano_cpu.fuse.writer`: the layers that a graph becomes, their names, layouts and parameters."""

import theano_cpu  # noqa: F401  # before theano

import lasagne
import numpy as np
import pytest
import theano.tensor as T
import unoptimised
from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    ElemwiseMergeLayer,
    ElemwiseSumLayer,
    FlattenLayer,
    GlobalPoolLayer,
    InputLayer,
    MergeLayer,
    NonlinearityLayer,
    Pool2DLayer,
    get_all_layers,
)
from lasagne.nonlinearities import softmax, tanh

from theano_cpu import ir
from theano_cpu.fuse import layers
from theano_cpu.fuse.graph import Graph, Keep, Node, Subsample, read_graph
from theano_cpu.fuse.writer import write_layers

SHAPE = (None, 4, 6, 5)


def image(channels=4):
    return InputLayer((None, channels, 6, 5), name="image")


def kept(layer=None):
    layer = image() if layer is None else layer
    return Node(Keep(layer), [], layer.output_shape, name=layer.name)


def written(*nodes, trainable=False, precision="float32"):
    return write_layers(Graph(list(nodes)), trainable, precision)


def kinds(*outputs):
    return [type(layer).__name__ for layer in get_all_layers(list(outputs)) if not isinstance(layer, InputLayer)]


@pytest.mark.parametrize("build", [
    lambda: Conv2DLayer(image(), 3, 1, name="n"),
    lambda: Pool2DLayer(image(), 2, name="n"),
    lambda: GlobalPoolLayer(image(), name="n"),
    lambda: FlattenLayer(image(), name="n"),
    lambda: DenseLayer(image(), 3, nonlinearity=softmax, name="n"),
    lambda: NonlinearityLayer(image(), tanh, name="n"),
    lambda: NonlinearityLayer(image(), name="n"),
    lambda: ElemwiseSumLayer([image(), image()], name="n"),
    lambda: ElemwiseMergeLayer([image(), image()], T.mul, name="n"),
    lambda: ConcatLayer([image(), image()], name="n"),
])  # fmt: skip
def test_every_layer_has_the_name_of_the_one_that_it_came_from(build):
    graph = read_graph([build()], False)
    [output] = write_layers(graph, False, "float32")
    made = [layer for layer in get_all_layers(output) if not isinstance(layer, (InputLayer, layers.ToNHWC))]
    assert made and {layer.name for layer in made} == {"n"}
    # A conversion is of what is converted
    assert {layer.name for layer in get_all_layers(output) if isinstance(layer, layers.ToNHWC)} <= {"image"}


def test_names_of_what_rules_make():
    source = kept()
    pool = Node(ir.GlobalPool(keepdims=True), [source], (None, 4, 1, 1), name="n")
    affine = Node(ir.Affine(np.ones(4), np.zeros(4)), [source], SHAPE, name="n")
    for node in pool, affine, Node(Subsample(2), [source], SHAPE, name="n"):
        assert written(node)[0].name == "n"


def test_a_description_that_is_none_is_named():
    with pytest.raises(TypeError, match="^layer 'odd': got description 'what', expected one of theano_cpu.ir$"):
        written(Node("what", [kept()], SHAPE, name="odd"))


def test_what_does_not_mind_the_layout_takes_that_of_one_of_its_inputs():
    def total(*inputs):
        return Node(ir.Sum((1,) * len(inputs)), list(inputs), SHAPE)

    def pooled(source):
        return Node(ir.Pool((1, 1), (1, 1)), [source], SHAPE)

    assert kinds(*written(total(kept(), kept()))) == ["ElemwiseSumLayer"]
    both = [total(pooled(kept()), kept()), total(kept(), pooled(kept()))]
    for node in both:
        assert sorted(kinds(*written(node))) == ["ElemwiseSumLayer", "FusedPoolLayer", "ToNCHW", "ToNHWC", "ToNHWC"]


@pytest.mark.parametrize("layout, axis", [("NCHW", 1), ("NHWC", 3)])
def test_channels_are_on_the_axis_of_the_layout(layout, axis):
    source = kept()
    if layout == "NHWC":
        source = Node(ir.Pool((1, 1), (1, 1)), [source], SHAPE)
    scale, shift = np.arange(4.0), np.ones(4)
    nodes = Node(ir.Affine(scale, shift), [source], SHAPE), Node(ir.Concat(), [source, source], (None, 8, 6, 5))
    for node in nodes:
        [output] = written(node)
        [layer] = [each for each in get_all_layers(output) if hasattr(each, "axis")]
        assert layer.axis == axis and output.output_shape == node.shape


def test_filters_are_flipped_where_the_layer_flips_them():
    W = np.arange(12.0).reshape(1, 2, 2, 3)
    for flip, expected in (True, W[:, :, ::-1, ::-1]), (False, W):
        shape = (None, 1, 5, 3)
        node = Node(ir.Convolution(W, flip=flip), [kept(image(2))], shape, weights_shape=W.shape)
        [output] = written(node)
        np.testing.assert_array_equal(output.input_layer.W.data, expected)
        assert output.output_shape == shape


def test_a_convolution_has_all_settings_of_its_description():
    description = ir.Convolution(np.ones((6, 2, 3, 2)), np.arange(6.0), (2, 1), (1, 3), (1, 2), groups=2)
    node = Node(description, [kept(), kept(image(6))], (None, 6, 3, 9), weights_shape=(6, 2, 3, 2), slope=0.25)
    [output] = written(node, precision="bfloat16")
    layer = output.input_layer
    assert (layer.stride, layer.pad, layer.dilation, layer.groups) == ((2, 1), (1, 3), (1, 2), 2)
    assert (layer.slope, layer.precision, layer.filter_shape) == (0.25, "bfloat16", (6, 2, 3, 2))
    assert layer.b.data.tolist() == list(range(6)) and len(layer.input_layers) == 2
    assert output.output_shape == (None, 6, 3, 9)


@pytest.mark.parametrize("trainable", [True, False])
def test_parameters_are_the_layers_own_where_they_are_trained_and_none_elsewhere(trainable):
    layer = Conv2DLayer(image(), 6, 1, nonlinearity=None)
    [output] = write_layers(read_graph([layer], trainable), trainable, "float32")
    assert dict(output.input_layer.params) == (dict(layer.params) if trainable else {})


def test_a_softmax_is_theanos_where_its_logarithm_is_trained():
    node = Node(ir.Softmax(), [kept(InputLayer((None, 3)))], (None, 3))
    for trainable in True, False:
        assert written(node, trainable=trainable)[0].trainable is trainable


@pytest.mark.parametrize("shape, trainable, conversions", [
    ((None, 4, 1, 1), False, 0), ((None, 4, 1, 1), True, 0), ((None, 4, 3, 2), False, 0), ((None, 4, 3, 2), True, 1),
])  # fmt: skip
def test_a_product_of_pictures_orders_constant_weights_and_converts_for_variable_ones(shape, trainable, conversions):
    _, channels, height, width = shape
    source = Node(ir.Pool((1, 1), (1, 1)), [kept(InputLayer(shape))], shape)
    W = np.random.default_rng(0).normal(size=(2, channels * height * width)).astype("float32")
    node = Node(ir.InnerProduct(W), [source], (None, 2), weights_shape=W.shape)
    [output] = written(node, trainable=trainable)
    assert kinds(output).count("ToNCHW") == conversions and output.output_shape == (None, 2)
    x = np.random.default_rng(1).normal(size=(3, *shape[1:])).astype("float32")
    got = unoptimised.function([], lasagne.layers.get_output(output, T.constant(x)))()
    np.testing.assert_allclose(got, x.reshape(3, -1) @ W.T, rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_kept_is_copied_only_where_its_input_is_another():
    class Mystery(lasagne.layers.Layer):
        pass

    class Both(MergeLayer):
        def get_output_shape_for(self, input_shapes):
            return input_shapes[0]

    pooled = Pool2DLayer(image(), 1)
    for layer in Mystery(image()), Both([image(), (None, 4, 6, 5)]):
        assert write_layers(read_graph([layer], False), False, "float32") == [layer]
    for layer in Mystery(pooled), Both([pooled, (None, 4, 6, 5)]):
        [output] = write_layers(read_graph([layer], False), False, "float32")
        assert output is not layer and type(output) is type(layer)
        before = output.input_layers if isinstance(output, MergeLayer) else [output.input_layer]
        assert [type(each).__name__ for each in before] == ["ToNCHW", "NoneType"][: len(before)]
        assert pooled in (layer.input_layers if isinstance(layer, MergeLayer) else [layer.input_layer])
