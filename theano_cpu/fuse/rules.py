"""Rewriting rules of a network's graph: what each matches, and what it makes of that.

`RULES` is a list of pairs, a `Pattern` and a function, in the spirit of tinygrad's ``PatternMatcher`` [1]_. No rule
changes what the network computes. Each is applied wherever it matches, until none does.

References
----------
.. [1] tinygrad, ``tinygrad/uop/ops.py`` (``UPat`` and ``PatternMatcher``), https://github.com/tinygrad/tinygrad
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from theano_cpu import ir
from theano_cpu.fuse.graph import Graph, Node, Subsample


class Pattern:
    """What a node has to be for a rule to be applied.

    Parameters
    ----------
    kinds : class or tuple of classes
        Of its description.
    *conditions : callable
        ``condition(graph, node)`` must be true of it.
    source : Pattern, optional
        What one of its inputs has to be.

    Examples
    --------
    >>> image = Node(ir.Identity(), [], (None, 3, 8, 8))
    >>> relu = Node(ir.ReLU(), [image], (None, 3, 8, 8))
    >>> graph = Graph([relu])
    >>> Pattern(ir.ReLU, source=Pattern(ir.Identity)).match(graph, relu) == [relu, image]
    True
    >>> Pattern(ir.ReLU, source=Pattern(ir.Convolution)).match(graph, relu) is None
    True
    """

    def __init__(
        self,
        kinds: type | tuple[type, ...],
        *conditions: Callable[[Graph, Node], bool],
        source: Pattern | None = None,
    ):
        self.kinds, self.conditions, self.source = kinds, conditions, source

    def match(self, graph: Graph, node: Node) -> list[Node] | None:
        """Compare a node with the pattern.

        Parameters
        ----------
        graph : Graph
        node : Node

        Returns
        -------
        list of Node, or None where it does not match
            The node and, if the pattern has a `source`, the last input that matches it.
        """
        if not isinstance(node.description, self.kinds):
            return None
        if not all(condition(graph, node) for condition in self.conditions):
            return None
        if self.source is None:
            return [node]
        for source in reversed(node.inputs):
            matched = self.source.match(graph, source)
            if matched is not None:
                return [node, *matched]
        return None


def rewrite(graph: Graph) -> None:
    """Apply all rules, until none matches any more.

    Parameters
    ----------
    graph : Graph
        It is changed.

    Examples
    --------
    >>> image = Node(ir.Identity(), [], (None, 3, 8, 8))
    >>> flat = Node(ir.Flatten(), [image], (None, 192))
    >>> dense = Node(ir.InnerProduct(W=None), [flat], (None, 2), weights_shape=(2, 192))
    >>> rewrite(Graph([dense]))
    >>> dense.inputs == [image]
    True
    """
    changed = True
    while changed:
        changed = False
        for node in graph.nodes():
            for pattern, change in RULES:
                matched = pattern.match(graph, node)
                if matched is not None:
                    change(graph, *matched)
                    changed = True


# --- conditions


def _is_read_once(graph: Graph, node: Node) -> bool:
    """Whether only one node reads it, once, so that it may become another."""
    return len(graph.readers(node)) == 1


def _is_bare(graph: Graph, node: Node) -> bool:
    """Whether a convolution or inner product does nothing else yet: it has no residual and no rectifier."""
    return len(node.inputs) == 1 and node.slope is None


def _has_no_rectifier(graph: Graph, node: Node) -> bool:
    """Whether a convolution has none yet."""
    return node.slope is None


def _adds_several(graph: Graph, node: Node) -> bool:
    """Whether a sum is of several terms, as they are."""
    ones = all(isinstance(coeff, (int, float)) and coeff == 1 for coeff in node.description.coeffs)
    return ones and len(node.inputs) > 1


def _can_subsample(graph: Graph, node: Node) -> bool:
    """Whether every s-th row and column of a result can be computed alone."""
    # A pooling's window clipped at the border has another size
    return len(node.shape) == 4 and not getattr(node.description, "ceil", False)


def _is_subsampled(graph: Graph, node: Node) -> bool:
    """Whether nobody needs every row and column."""
    return required_step(graph, node) > 1


def _averages_everything(graph: Graph, node: Node) -> bool:
    """Whether a pooling is the average over its whole input."""
    pool = node.description
    whole = node.shape[2:] == (1, 1) and node.inputs[0].shape[2:] == pool.size
    return whole and pool.mode != "max" and pool.pad == (0, 0)


def _keeps_axes(graph: Graph, node: Node) -> bool:
    """Whether a global pooling gives pictures of one pixel."""
    return node.description.keepdims


# --- rewrites


def _fold_affine(graph: Graph, affine: Node, source: Node) -> None:
    """Give a convolution or inner product other weights: conv(x) * scale + shift is another convolution of x.

    Batch normalisation [1]_ with stored statistics is such a scale and shift.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
       Covariate Shift", ICML 2015, arXiv:1502.03167.
    """
    scale, shift, before = affine.description.scale, affine.description.shift, source.description
    source.description = dataclasses.replace(
        before,
        W=before.W * scale.reshape((-1,) + (1,) * (len(source.weights_shape) - 1)),
        b=shift if before.b is None else before.b * scale + shift,
    )
    source.layers = source.layers + affine.layers
    graph.replace(affine, source)


def _add_residual(graph: Graph, total: Node, convolution: Node) -> None:
    """Let a convolution add the other terms of a sum to its own result."""
    rest = [source for source in total.inputs if source is not convolution]
    if len(rest) > 1:
        rest = [graph.add(Node(ir.Sum((1,) * len(rest)), rest, total.shape, name=total.name))]
    graph.connect(convolution, convolution.inputs + rest)
    graph.replace(total, convolution)


def _add_rectifier(graph: Graph, rectifier: Node, convolution: Node) -> None:
    """Let a convolution rectify its own result."""
    convolution.slope = rectifier.description.slope
    graph.replace(rectifier, convolution)


def required_step(graph: Graph, node: Node) -> int:
    """Find the step at which all that read a node read its rows and columns.

    Parameters
    ----------
    graph : Graph
    node : Node

    Returns
    -------
    int
        s if every reader reads only every s-th row and column; 1 if one reads more than that, or readers disagree.

    Examples
    --------
    >>> image = Node(ir.Identity(), [], (None, 3, 8, 8))
    >>> strided = Node(ir.Pool(size=(1, 1), stride=(2, 2)), [image], (None, 3, 4, 4))
    >>> required_step(Graph([strided]), image), required_step(Graph([strided, image]), image)
    (2, 1)
    """
    steps = {_step_of(reader, node) for reader in graph.readers(node)}
    return steps.pop() if len(steps) == 1 else 1


def _step_of(reader: Node, node: Node) -> int:
    """s if `reader` reads only every s-th row and column of `node`, else 1."""
    description = reader.description
    if node in reader.inputs[1:]:  # a residual, or a term
        return 1
    if isinstance(description, Subsample):
        return description.step
    points = isinstance(description, ir.Convolution) and reader.weights_shape[2:] == (1, 1)
    points = points or (isinstance(description, ir.Pool) and description.size == (1, 1))
    if not points or description.pad != (0, 0) or description.stride[0] != description.stride[1]:
        return 1
    return description.stride[0]


def _hoist_stride(graph: Graph, node: Node) -> None:
    """Compute only every s-th row and column of what all readers read only every s-th row and column of.

    It changes no value: subsampling a convolution's result is a larger stride, and subsampling an
    element-wise result is subsampling the inputs. A residual block [1]_ before a block that starts with stride 2
    loses three quarters of the work of its last convolution in this way, and of the one before if the last
    is 1x1.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
       arXiv:1512.03385.
    """
    step = required_step(graph, node)
    for reader in dict.fromkeys(graph.readers(node)):
        if isinstance(reader.description, ir.Convolution):
            reader.description = dataclasses.replace(reader.description, stride=(1, 1))
        else:
            graph.replace(reader, node)
    if isinstance(node.description, (ir.Convolution, ir.Pool)):
        rows, columns = node.description.stride
        node.description = dataclasses.replace(node.description, stride=(rows * step, columns * step))
        whole, reduced = node.inputs[:1], node.inputs[1:]  # the window's input, the residual
    else:
        whole, reduced = [], node.inputs
    graph.connect(node, whole + [_subsampled(graph, source, step) for source in reduced])


def _subsampled(graph: Graph, node: Node, step: int) -> Node:
    for reader in graph.readers(node):
        if reader.description == Subsample(step):
            return reader
    return graph.add(Node(Subsample(step), [node], node.shape, name=node.name))


def _pool_globally(graph: Graph, pool: Node) -> None:
    """Make an average over the whole input a global pooling."""
    pool.description = ir.GlobalPool(keepdims=True)


def _skip_flatten(graph: Graph, node: Node, flatten: Node) -> None:
    """Read what a flatten layer reads: the reader flattens by itself."""
    graph.connect(node, flatten.inputs)


def _pool_to_matrix(graph: Graph, reader: Node, pool: Node) -> None:
    """Leave out axes of a global pooling that its only reader flattens."""
    pool.description = ir.GlobalPool(keepdims=False)
    pool.shape = pool.shape[:2]


def _drop_flatten(graph: Graph, flatten: Node, pool: Node) -> None:
    """Leave out the flattening of a global pooling's result."""
    _pool_to_matrix(graph, flatten, pool)
    graph.replace(flatten, pool)


_SUBSAMPLED = (ir.Convolution, ir.Pool, ir.ReLU, ir.Elementwise, ir.Affine, ir.Sum, ir.Concat)

#: A pattern, and what is called with the graph and the nodes that match it.
RULES: list[tuple[Pattern, Callable[..., None]]] = [
    (Pattern(ir.Affine, source=Pattern((ir.Convolution, ir.InnerProduct), _is_bare, _is_read_once)), _fold_affine),
    (Pattern(ir.Sum, _adds_several, source=Pattern(ir.Convolution, _is_bare, _is_read_once)), _add_residual),
    (Pattern(ir.ReLU, source=Pattern(ir.Convolution, _has_no_rectifier, _is_read_once)), _add_rectifier),
    (Pattern(_SUBSAMPLED, _can_subsample, _is_subsampled), _hoist_stride),
    (Pattern(ir.Pool, _averages_everything), _pool_globally),
    (Pattern((ir.Flatten, ir.InnerProduct), source=Pattern(ir.Flatten)), _skip_flatten),
    (Pattern(ir.Flatten, source=Pattern(ir.GlobalPool, _is_read_once)), _drop_flatten),
    (Pattern(ir.InnerProduct, source=Pattern(ir.GlobalPool, _keeps_axes, _is_read_once)), _pool_to_matrix),
]
