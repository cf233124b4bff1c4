"""`theano_cpu.fuse.rules` on small graphs; what the rules do to networks is tested in test_fuse.py."""

import numpy as np
import pytest

import theano_compat  # noqa: F401

from theano_cpu import ir
from theano_cpu.fuse.graph import OUTSIDE, Graph, Node, Subsample
from theano_cpu.fuse.rules import RULES, Pattern, required_step, rewrite

SHAPE = (None, 4, 8, 8)


def node(description, *inputs, **settings):
    return Node(description, list(inputs), settings.pop("shape", SHAPE), **settings)


def image():
    return node(ir.Identity())


def point_convolution(source, stride=1, **settings):
    return node(ir.Convolution(W=None, stride=(stride, stride)), source, weights_shape=(4, 4, 1, 1), **settings)


# --- patterns


def test_a_pattern_matches_a_description_of_one_of_its_classes():
    relu = node(ir.ReLU(), image())
    graph = Graph([relu])
    assert Pattern((ir.Affine, ir.ReLU)).match(graph, relu) == [relu]
    assert Pattern(ir.Affine).match(graph, relu) is None


def test_all_conditions_of_a_pattern_must_hold():
    relu = node(ir.ReLU(0.1), image())
    graph = Graph([relu])

    def is_leaky(graph, node):
        return node.description.slope > 0

    def is_steep(graph, node):
        return node.description.slope > 0.5

    assert Pattern(ir.ReLU, is_leaky).match(graph, relu) == [relu]
    assert Pattern(ir.ReLU, is_leaky, is_steep).match(graph, relu) is None


def test_a_pattern_gives_the_last_input_that_matches_its_source():
    first, second, third = point_convolution(image()), point_convolution(image()), node(ir.ReLU(), image())
    total = node(ir.Sum((1, 1, 1)), first, second, third)
    assert Pattern(ir.Sum, source=Pattern(ir.Convolution)).match(Graph([total]), total) == [total, second]
    assert Pattern(ir.Sum, source=Pattern(ir.Pool)).match(Graph([total]), total) is None


def test_sources_of_sources_are_matched_too():
    x = image()
    relu = node(ir.ReLU(), point_convolution(x))
    pattern = Pattern(ir.ReLU, source=Pattern(ir.Convolution, source=Pattern(ir.Identity)))
    assert pattern.match(Graph([relu]), relu) == [relu, *relu.inputs, x]


def test_no_rule_matches_a_graph_that_is_rewritten():
    x = point_convolution(image())
    branch = node(ir.ReLU(), node(ir.Sum((1, 1)), x, point_convolution(x)))
    graph = Graph([point_convolution(branch, stride=2), point_convolution(branch, stride=2)])
    rewrite(graph)
    assert not [1 for pattern, _ in RULES for each in graph.nodes() if pattern.match(graph, each) is not None]


# --- strides


def test_readers_that_agree_require_their_step():
    x = image()
    readers = [point_convolution(x, stride=3), node(ir.Pool((1, 1), (3, 3)), x), node(Subsample(3), x)]
    assert required_step(Graph(readers), x) == 3


@pytest.mark.parametrize("reader", [
    lambda x: node(ir.ReLU(), x),
    lambda x: node(ir.Convolution(W=None, stride=(3, 3)), x, weights_shape=(4, 4, 3, 3)),
    lambda x: node(ir.Convolution(W=None, stride=(3, 3), pad=(1, 1)), x, weights_shape=(4, 4, 1, 1)),
    lambda x: node(ir.Convolution(W=None, stride=(3, 1)), x, weights_shape=(4, 4, 1, 1)),
    lambda x: node(ir.Pool((2, 2), (3, 3)), x),
    lambda x: node(Subsample(2), x),
    lambda x: node(ir.Convolution(W=None, stride=(3, 3)), image(), x, weights_shape=(4, 4, 1, 1)),
])  # fmt: skip
def test_a_reader_of_more_requires_every_row_and_column(reader):
    x = image()
    assert required_step(Graph([node(Subsample(3), x), reader(x)]), x) == 1


def test_an_output_is_required_whole():
    x = image()
    assert required_step(Graph([x, node(Subsample(3), x)]), x) == 1


def test_a_hoisted_stride_leaves_its_readers_without_one():
    x = image()
    source = node(ir.Convolution(W=None, stride=(2, 2)), x, weights_shape=(4, 4, 3, 3))
    readers = [point_convolution(source, stride=3), point_convolution(source, stride=3)]
    graph = Graph(readers)
    rewrite(graph)
    assert source.description.stride == (6, 6) and graph.outputs == readers
    assert [reader.description.stride for reader in readers] == [(1, 1), (1, 1)]


# --- scales and shifts


@pytest.mark.parametrize("b", [None, np.array([5.0, 6.0])], ids=["without a bias", "with a bias"])
@pytest.mark.parametrize("kind, shape", [(ir.Convolution, (2, 3, 2, 1)), (ir.InnerProduct, (2, 3))])
def test_a_scale_and_a_shift_become_part_of_weights_and_bias(kind, shape, b):
    W, scale, shift = np.arange(np.prod(shape)).reshape(shape), np.array([2.0, -3.0]), np.array([0.5, 0.25])
    source = node(kind(W, b), image(), weights_shape=shape, layers=["weights"])
    graph = Graph([node(ir.Affine(scale, shift), source, layers=["scale"])])
    rewrite(graph)
    assert graph.outputs == [source] and source.layers == ["weights", "scale"]
    for channel in 0, 1:
        np.testing.assert_array_equal(source.description.W[channel], W[channel] * scale[channel])
    np.testing.assert_array_equal(source.description.b, shift if b is None else b * scale + shift)


# --- poolings and flattening


def average(size=(8, 8), stride=None, pad=(0, 0), mode="average_inc_pad", shape=(None, 4, 1, 1)):
    return lambda x: node(ir.Pool(size, stride or size, pad, mode), x, shape=shape)


@pytest.mark.parametrize("make, is_global", [
    (average(), True),
    (average(mode="average_exc_pad"), True),
    (average(mode="max"), False),
    (average(pad=(1, 0)), False),
    (average(size=(4, 8), shape=(None, 4, 2, 1)), False),
    (average(size=(7, 8)), False),  # a row is left out
    (average(size=(8, 7)), False),
    (average(shape=(None, 4, 1, 2)), False),
])  # fmt: skip
def test_only_an_average_over_everything_is_a_global_pooling(make, is_global):
    pool = make(image())
    rewrite(Graph([pool]))
    assert pool.description == ir.GlobalPool(keepdims=True) if is_global else isinstance(pool.description, ir.Pool)


def flat(source):
    return node(ir.Flatten(), source, shape=(None, 256))


def product(source):
    return node(ir.InnerProduct(W=None), source, shape=(None, 2), weights_shape=(2, 256))


def test_a_product_flattens_by_itself_and_flattening_twice_is_flattening_once():
    x = image()
    end = product(flat(flat(x)))
    rewrite(Graph([end]))
    assert end.inputs == [x]
    once = flat(flat(x))
    rewrite(Graph([once]))
    assert once.inputs == [x]


def test_a_global_pooling_leaves_axes_out_where_its_only_reader_flattens_them():
    for reader in flat, product:
        pool = node(ir.GlobalPool(keepdims=True), image(), shape=(None, 4, 1, 1))
        end = reader(pool)
        graph = Graph([end])
        rewrite(graph)
        assert pool.description == ir.GlobalPool(keepdims=False) and pool.shape == (None, 4)
        assert graph.outputs == ([pool] if reader is flat else [end])


@pytest.mark.parametrize("reader", [flat, product])
def test_a_global_pooling_that_others_read_keeps_its_axes(reader):
    pool = node(ir.GlobalPool(keepdims=True), image(), shape=(None, 4, 1, 1))
    graph = Graph([reader(pool), pool])
    rewrite(graph)
    assert pool.description == ir.GlobalPool(keepdims=True) and pool.shape == (None, 4, 1, 1)


# --- sums


@pytest.mark.parametrize("coeffs, absorbed", [
    ((1, 1), True), ((1.0, 1), True), ((1, 2), False), ((0.5, 1), False), (("one", 1), False),
])  # fmt: skip
def test_only_a_sum_of_terms_as_they_are_is_done_by_a_convolution(coeffs, absorbed):
    filtered = point_convolution(image())
    total = node(ir.Sum(coeffs), image(), filtered)
    graph = Graph([total])
    rewrite(graph)
    assert graph.outputs == [filtered if absorbed else total]


def test_a_sum_of_one_term_stays():
    total = node(ir.Sum((1,)), point_convolution(image()))
    graph = Graph([total])
    rewrite(graph)
    assert graph.outputs == [total]


def test_the_other_terms_of_a_sum_are_summed_first():
    first, second = node(ir.Elementwise(None), image()), node(ir.Elementwise(None), image())
    filtered = point_convolution(image())
    total = node(ir.Sum((1, 1, 1)), first, second, filtered, name="total")
    graph = Graph([total])
    rewrite(graph)
    assert graph.outputs == [filtered]
    rest = filtered.inputs[1]
    assert (rest.description, rest.inputs, rest.shape, rest.name) == (ir.Sum((1, 1)), [first, second], SHAPE, "total")


def test_a_convolution_has_one_rectifier_and_one_residual():
    filtered = point_convolution(image())
    graph = Graph([node(ir.ReLU(0.1), node(ir.ReLU(0.2), filtered))])
    rewrite(graph)
    assert filtered.slope == 0.2 and [n.description for n in graph.nodes()][-1] == ir.ReLU(0.1)
    filtered = point_convolution(image())
    graph = Graph([node(ir.Sum((1, 1)), node(ir.Sum((1, 1)), filtered, image()), image())])
    rewrite(graph)
    assert len(filtered.inputs) == 2 and type(graph.outputs[0].description) is ir.Sum


# --- more of strides


def test_a_subsample_of_what_cannot_take_it_stays():
    for source in (
        node(ir.Pool((3, 3), (2, 2), ceil=True), image()),
        node(ir.ReLU(), node(ir.Identity(), shape=(None, 4)), shape=(None, 4)),
        node(ir.GlobalPool(keepdims=True), image()),
    ):
        graph = Graph([node(Subsample(2), source)])
        rewrite(graph)
        assert type(graph.outputs[0].description) is Subsample


def test_a_residual_is_subsampled_once_for_all_that_read_it():
    x = image()
    one, other = (node(ir.Elementwise(None), x, x) for _ in range(2))
    graph = Graph([node(Subsample(2), one), node(Subsample(2), other)])
    rewrite(graph)
    assert graph.outputs == [one, other]
    [subsampled] = {source for reader in (one, other) for source in reader.inputs}
    assert subsampled.description == Subsample(2) and subsampled.inputs == [x]


# --- the graph


def test_a_replaced_node_reads_nothing_any_more():
    x = image()
    relu = node(ir.ReLU(), x)
    total = node(ir.Sum((1, 1)), relu, relu)
    graph = Graph([total])
    assert graph.readers(relu) == [total, total]
    graph.replace(relu, x)
    assert total.inputs == [x, x] and graph.readers(x) == [total, total] and graph.readers(total) == [OUTSIDE]


def test_what_nobody_reads_any_more_is_no_reader():
    x = image()
    chain = node(ir.ReLU(), node(ir.ReLU(), x))
    end = node(ir.Concat(), chain, x)
    graph = Graph([end])
    graph.connect(end, [x])
    assert graph.readers(x) == [end] and graph.nodes() == [x, end]
