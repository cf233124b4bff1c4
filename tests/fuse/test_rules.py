"""`theano_cpu.fuse.rules` on small graphs; what the rules do to networks is tested in test_fuse.py."""

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
