"""From a graph back to Lasagne layers, with layout conversions where they are needed."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import lasagne
import theano.tensor as T
from lasagne.layers import FlattenLayer, MergeLayer

from theano_cpu import ir
from theano_cpu.fuse import layers
from theano_cpu.fuse.graph import Graph, Keep, Node, Subsample, input_layers

_CHANNEL_AXIS = {"NCHW": 1, "NHWC": 3}


def write_layers(graph: Graph, trainable: bool, precision: str) -> list[Any]:
    """Write the layers of a graph.

    Parameters
    ----------
    graph : Graph
    trainable : bool
    precision : {'float32', 'bfloat16'}
        As `theano_cpu.fuse.fuse` takes them.

    Returns
    -------
    list of lasagne.layers.Layer
        One for each of the graph's outputs, in Lasagne's layout.

    Raises
    ------
    TypeError
        If the graph has a description that is not of `theano_cpu.ir`.

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.fuse.graph import read_graph
    >>> image = lasagne.layers.InputLayer((None, 3, 8, 8))
    >>> [pool] = write_layers(read_graph([lasagne.layers.Pool2DLayer(image, 2)], False), False, "float32")
    >>> [type(layer).__name__ for layer in lasagne.layers.get_all_layers(pool)]
    ['InputLayer', 'ToNHWC', 'FusedPoolLayer', 'ToNCHW']
    """
    return _Writer(trainable, precision).write(graph)


class _Writer:
    """Writes each node once; a node that is read in both layouts is converted once."""

    def __init__(self, trainable: bool, precision: str):
        self.trainable, self.precision = trainable, precision
        # The layers written for each node; at first only in one of the layouts
        self.nchw: dict[Node, Any] = {}
        self.nhwc: dict[Node, Any] = {}

    def write(self, graph: Graph) -> list[Any]:
        for node in graph.nodes():
            layer, layout = self._layer(node.description, node)
            if self.trainable:
                for owner in node.layers:
                    layer.params.update(owner.params)
            if len(layer.output_shape) != 4 or layout == "NCHW":
                self.nchw[node] = layer
            if len(layer.output_shape) != 4 or layout == "NHWC":
                self.nhwc[node] = layer
        return [self._as_nchw(node) for node in graph.outputs]

    def _as_nchw(self, node: Node) -> Any:
        if node not in self.nchw:
            self.nchw[node] = layers.ToNCHW(self.nhwc[node], name=node.name)
        return self.nchw[node]

    def _as_nhwc(self, node: Node) -> Any:
        if node not in self.nhwc:
            self.nhwc[node] = layers.ToNHWC(self.nchw[node], name=node.name)
        return self.nhwc[node]

    def _in_any_layout(self, node: Node) -> tuple[list[Any], str]:
        """The inputs of a node that does not mind, in NHWC if one of them is; and the layout."""
        if len(node.shape) == 4 and any(source in self.nhwc for source in node.inputs):
            return [self._as_nhwc(source) for source in node.inputs], "NHWC"
        return [self._as_nchw(source) for source in node.inputs], "NCHW"

    @functools.singledispatchmethod
    def _layer(self, description: Any, node: Node) -> tuple[Any, str]:
        """The layer that does what `description` says, and the layout of its output."""
        raise TypeError(f"layer {node.name!r}: got description {description!r}, expected one of theano_cpu.ir")

    @_layer.register(Keep)
    def _(self, description: Keep, node: Node) -> tuple[Any, str]:
        layer = description.layer
        inputs = [self._as_nchw(source) for source in node.inputs]
        before = input_layers(layer)
        if inputs != [source for source in before if source is not None]:
            layer = copy.copy(layer)
            if isinstance(layer, MergeLayer):
                remaining = iter(inputs)
                layer.input_layers = [None if source is None else next(remaining) for source in before]
            else:
                [layer.input_layer] = inputs
        return layer, "NCHW"

    @_layer.register(ir.Convolution)
    def _(self, description: ir.Convolution, node: Node) -> tuple[Any, str]:
        W = description.W[:, :, ::-1, ::-1] if description.flip else description.W
        return layers.FusedConvolutionLayer(
            [self._as_nhwc(source) for source in node.inputs],
            W,
            description.b,
            description.stride,
            description.pad,
            description.dilation,
            description.groups,
            node.slope,
            node.weights_shape,
            self.precision,
            name=node.name,
        ), "NHWC"

    @_layer.register(ir.Pool)
    def _(self, description: ir.Pool, node: Node) -> tuple[Any, str]:
        incoming = self._as_nhwc(node.inputs[0])
        return layers.FusedPoolLayer(incoming, description, name=node.name), "NHWC"

    @_layer.register(Subsample)
    def _(self, description: Subsample, node: Node) -> tuple[Any, str]:
        incoming = self._as_nhwc(node.inputs[0])
        return layers.FusedSubsampleLayer(incoming, description.step, name=node.name), "NHWC"

    @_layer.register(ir.GlobalPool)
    def _(self, description: ir.GlobalPool, node: Node) -> tuple[Any, str]:
        incoming = self._as_nhwc(node.inputs[0])
        return layers.FusedGlobalPoolLayer(incoming, description.keepdims, name=node.name), "NHWC"

    @_layer.register(ir.InnerProduct)
    def _(self, description: ir.InnerProduct, node: Node) -> tuple[Any, str]:
        source, W, units = node.inputs[0], description.W, node.weights_shape[0]
        if len(source.shape) == 4 and source in self.nhwc:
            features, W = self._flattened_in_nhwc(source, W)
        else:
            features = self._as_nchw(source)
        if len(features.output_shape) > 2:
            features = FlattenLayer(features, name=node.name)
        return layers.FusedInnerProductLayer(features, W, description.b, units, name=node.name), "matrix"

    def _flattened_in_nhwc(self, source: Node, W: Any) -> tuple[Any, Any]:
        """The features in NHWC and weights in that order; or both in NCHW, if weights are variables."""
        layer = self.nhwc[source]
        _, *sides, channels = layer.output_shape
        if sides == [1, 1]:
            return layer, W
        if self.trainable or None in sides:
            return self._as_nchw(source), W
        return layer, W.reshape(-1, channels, *sides).transpose(0, 2, 3, 1).reshape(W.shape)

    @_layer.register(ir.Flatten)
    def _(self, description: ir.Flatten, node: Node) -> tuple[Any, str]:
        return FlattenLayer(self._as_nchw(node.inputs[0]), name=node.name), "matrix"

    @_layer.register(ir.Softmax)
    def _(self, description: ir.Softmax, node: Node) -> tuple[Any, str]:
        return layers.FusedSoftmaxLayer(self._as_nchw(node.inputs[0]), self.trainable, name=node.name), "matrix"

    @_layer.register(ir.Affine)
    def _(self, description: ir.Affine, node: Node) -> tuple[Any, str]:
        [incoming], layout = self._in_any_layout(node)
        scale, shift, axis = description.scale, description.shift, _CHANNEL_AXIS[layout]
        return layers.FusedAffineLayer(incoming, scale, shift, axis, name=node.name), layout

    @_layer.register(ir.Concat)
    def _(self, description: ir.Concat, node: Node) -> tuple[Any, str]:
        inputs, layout = self._in_any_layout(node)
        return lasagne.layers.ConcatLayer(inputs, axis=_CHANNEL_AXIS[layout], name=node.name), layout

    @_layer.register(ir.Sum)
    def _(self, description: ir.Sum, node: Node) -> tuple[Any, str]:
        inputs, layout = self._in_any_layout(node)
        return lasagne.layers.ElemwiseSumLayer(inputs, coeffs=list(description.coeffs), name=node.name), layout

    @_layer.register(ir.ReLU)
    def _(self, description: ir.ReLU, node: Node) -> tuple[Any, str]:
        return self._elementwise(functools.partial(T.nnet.relu, alpha=description.slope), node)

    @_layer.register(ir.Elementwise)
    def _(self, description: ir.Elementwise, node: Node) -> tuple[Any, str]:
        return self._elementwise(description.function, node)

    def _elementwise(self, function: Callable[..., Any], node: Node) -> tuple[Any, str]:
        inputs, layout = self._in_any_layout(node)
        return layers.FusedElementwiseLayer(inputs, function, name=node.name), layout
