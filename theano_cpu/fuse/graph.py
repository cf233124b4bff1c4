"""A network as a small graph of descriptions (`theano_cpu.ir`), read from Lasagne's layers."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import lasagne
from lasagne.layers import MergeLayer, get_all_layers

from theano_cpu import ir
from theano_cpu.lowering import current_value, lower, parameter


@dataclasses.dataclass(frozen=True)
class Keep:
    """A layer left as it is: the description of one that has no lowering rule.

    Parameters
    ----------
    layer : lasagne.layers.Layer

    Examples
    --------
    >>> import lasagne
    >>> Keep(lasagne.layers.InputLayer((None, 3, 8, 8))).layer.output_shape
    (None, 3, 8, 8)
    """

    layer: Any


@dataclasses.dataclass(frozen=True)
class Subsample:
    """Every `step`-th row and column; stride hoisting alone makes these.

    Parameters
    ----------
    step : int

    Examples
    --------
    >>> Subsample(2)
    Subsample(step=2)
    """

    step: int


@dataclasses.dataclass(eq=False)
class Node:
    """One step of a network.

    Parameters
    ----------
    description : object of `theano_cpu.ir`, Keep or Subsample
        What it computes.
    inputs : list of Node
    shape : tuple
        Of the output, as Lasagne gives it, (n, channels, height, width); None for what varies.
    layers : list of lasagne.layers.Layer, optional
        Those whose parameters are in it.
    weights_shape : tuple of int, optional
    slope : float, optional
        Of the rectifier that a convolution applies last.
    name : str, optional
        Of the layer that it came from.

    Examples
    --------
    >>> image = Node(ir.Identity(), [], (None, 3, 8, 8))
    >>> Node(ir.Concat(), [image, image], (None, 6, 8, 8)).inputs == [image, image]
    True
    """

    description: Any
    inputs: list[Node]
    shape: tuple[int | None, ...]
    layers: list[Any] = dataclasses.field(default_factory=list)
    weights_shape: tuple[int, ...] = ()
    slope: float | None = None
    name: str | None = None


#: Stands for whoever reads the network's outputs.
OUTSIDE = Node(None, [], ())


class Graph:
    """Nodes, and who reads whom.

    Parameters
    ----------
    outputs : list of Node

    Attributes
    ----------
    outputs : list of Node

    Examples
    --------
    >>> image = Node(ir.Identity(), [], (None, 3, 8, 8))
    >>> pool = Node(ir.GlobalPool(), [image], (None, 3))
    >>> graph = Graph([pool])
    >>> graph.nodes() == [image, pool], graph.readers(image) == [pool], graph.readers(pool) == [OUTSIDE]
    (True, True, True)
    """

    def __init__(self, outputs: Sequence[Node]):
        self.outputs = list(outputs)
        self._readers: dict[Node, list[Node]] = collections.defaultdict(list)
        for node in self.nodes():
            self.add(node)
        for output in self.outputs:
            self._readers[output].append(OUTSIDE)

    def nodes(self) -> list[Node]:
        """List all nodes, each after its inputs.

        Returns
        -------
        list of Node
        """
        seen: set[Node] = set()
        order: list[Node] = []
        stack = [(node, False) for node in reversed(self.outputs)]
        while stack:
            node, inputs_done = stack.pop()
            if inputs_done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((source, False) for source in reversed(node.inputs))
        return order

    def readers(self, node: Node) -> list[Node]:
        """List the nodes that read `node`.

        Parameters
        ----------
        node : Node

        Returns
        -------
        list of Node
            Each as often as it reads `node`; `OUTSIDE` once for each time that `node` is an output.
        """
        return self._readers[node]

    def add(self, node: Node) -> Node:
        """Take in a node that reads others of the graph.

        Parameters
        ----------
        node : Node

        Returns
        -------
        Node
            The same.
        """
        for source in node.inputs:
            self._readers[source].append(node)
        return node

    def connect(self, node: Node, inputs: Iterable[Node]) -> None:
        """Give `node` other inputs.

        Parameters
        ----------
        node : Node
        inputs : iterable of Node
        """
        before, node.inputs = node.inputs, list(inputs)
        self.add(node)
        for source in before:
            self._forget(source, node)

    def replace(self, old: Node, new: Node) -> None:
        """Let all that read `old` read `new`.

        Parameters
        ----------
        old, new : Node
        """
        readers = self._readers.pop(old)
        for reader in readers:
            reader.inputs = [new if source is old else source for source in reader.inputs]
        self.outputs = [new if output is old else output for output in self.outputs]
        self._readers[new].extend(readers)
        for source in old.inputs:
            self._forget(source, old)

    def _forget(self, source: Node, reader: Node) -> None:
        """`reader` reads `source` no longer; what nobody reads any more, reads nothing."""
        self._readers[source].remove(reader)
        if not self._readers[source]:
            for before in source.inputs:
                self._forget(before, source)


def read_graph(outputs: Sequence[Any], trainable: bool) -> Graph:
    """Lower a network to a graph.

    Parameters
    ----------
    outputs : sequence of lasagne.layers.Layer
    trainable : bool
        As `theano_cpu.fuse.fuse` takes it.

    Returns
    -------
    Graph
        With one output for each of `outputs`.

    Examples
    --------
    >>> import lasagne
    >>> image = lasagne.layers.InputLayer((None, 3, 8, 8))
    >>> graph = read_graph([lasagne.layers.GlobalPoolLayer(image)], trainable=False)
    >>> [type(node.description).__name__ for node in graph.nodes()]
    ['Keep', 'GlobalPool']
    """
    layers = get_all_layers(outputs)
    # An InverseLayer differentiates another layer's output with respect to its input, so that layer stays
    inverse = getattr(lasagne.layers, "InverseLayer", ())
    inverted = [layer.input_layers[1] for layer in layers if isinstance(layer, inverse)]
    nodes: dict[Any, Node] = {}
    for layer in layers:
        sources = input_layers(layer)
        inputs = [nodes[source] for source in sources if source is not None]
        descriptions = None if layer in inverted or None in sources else _lowered(layer, trainable)
        nodes[layer] = _chain(layer, inputs, descriptions)
    return Graph([nodes[layer] for layer in outputs])


def input_layers(layer: Any) -> list[Any]:
    """List what a layer reads.

    Parameters
    ----------
    layer : lasagne.layers.Layer

    Returns
    -------
    list of lasagne.layers.Layer or None
        None stands for a shape given in place of a layer, and for an input layer's input.

    Examples
    --------
    >>> import lasagne
    >>> input_layers(lasagne.layers.GlobalPoolLayer((None, 3, 8, 8)))
    [None]
    """
    return list(layer.input_layers) if isinstance(layer, MergeLayer) else [getattr(layer, "input_layer", None)]


def _lowered(layer: Any, trainable: bool) -> list[tuple[Any, Any]] | None:
    """Pairs of a description and the shape of its weights, or None for a layer to be left alone."""
    frozen = lower(layer, current_value)
    if frozen is None:
        return None
    shapes = [getattr(getattr(description, "W", None), "shape", ()) for description in frozen]
    if not trainable:
        return list(zip(frozen, shapes))
    if any(getattr(description, "deterministic_only", False) for description in frozen):
        return None
    following = lower(layer, parameter)
    return None if following is None else list(zip(following, shapes))


def _chain(layer: Any, inputs: list[Node], descriptions: list[tuple[Any, Any]] | None) -> Node:
    """The last of the nodes that a layer becomes, one after the other."""
    if descriptions is None:
        return Node(Keep(layer), inputs, layer.output_shape, name=layer.name)
    owners = [layer]
    for description, weights_shape in descriptions:
        if isinstance(description, ir.Identity):
            continue
        node = Node(description, inputs, layer.output_shape, owners, weights_shape, name=layer.name)
        inputs, owners = [node], []
    return inputs[0]
