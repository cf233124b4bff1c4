"""A Lasagne network on oneDNN operations: `fuse(layer)` gives one that computes the same, faster.

The network becomes a small graph of descriptions (`theano_cpu.ir`), in which

- batch normalisation and scaling are folded into the weights before them,
- a rectifier, and a sum of two branches, become part of the convolution before them,
- a stride moves up to where it saves work, if nobody reads what it drops;

then the graph becomes layers again (`theano_cpu.fuse.layers`), in NHWC from the first known layer on. A
layer that is not known stays as it is, between two changes of layout.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
from typing import Any

from theano_cpu import ops
from theano_cpu.fuse import layers as fused_layers
from theano_cpu.ir import (
    Affine,
    Concat,
    Convolution,
    Elementwise,
    Flatten,
    GlobalPool,
    Identity,
    InnerProduct,
    Pool,
    ReLU,
    Softmax,
    Sum,
)
from theano_cpu.lowering import current_value, lower, parameter

import lasagne
import theano.tensor as T
from lasagne.layers import FlattenLayer, MergeLayer, get_all_layers


def fuse(layer, trainable=False, precision="float32"):
    """Build an equivalent network on oneDNN operations.

    Parameters
    ----------
    layer : lasagne.layers.Layer or list of them
        The output layer or layers of a float32 network. The network itself is not changed.
    trainable : bool
        False: the parameters' values of this moment become constants, folded in float64, and layers that
        behave differently in training (dropout, batch normalisation) do what they do with
        ``deterministic=True``. True: the network follows its shared variables and gradients reach them;
        those layers stay as they are.
    precision : {'float32', 'bfloat16'}
        'bfloat16' computes convolutions faster and with 8 significant bits; see `theano_cpu.ops.conv2d`.
        Such a network has no gradients.

    Returns
    -------
    lasagne.layers.Layer or list of them
        With the same output shapes, for `get_output` and the other functions of Lasagne. The input layers
        are the original ones. With `trainable`, `get_all_params` finds the original parameters, otherwise
        only those of layers that are not known to `theano_cpu.ir`.

    Raises
    ------
    ValueError
        If `trainable` is combined with 'bfloat16'.
    NotImplementedError
        If this CPU does not multiply bfloat16 numbers.

    Notes
    -----
    Sizes that an input layer declares are taken to be true, as elsewhere in Lasagne; declare None for what
    varies. Where a rectifier has no derivative (at exactly 0), the gradient is that of its negative side;
    Lasagne takes the mean of both.

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.fuse import fuse
    >>> image = lasagne.layers.InputLayer((None, 3, 8, 8))
    >>> layer = lasagne.layers.Conv2DLayer(image, num_filters=4, filter_size=3, pad='same')
    >>> layer = lasagne.layers.DenseLayer(layer, num_units=2, nonlinearity=lasagne.nonlinearities.softmax)
    >>> fuse(layer).output_shape
    (None, 2)
    """
    if precision == "bfloat16":
        ops.require_bfloat16()
        if trainable:
            raise ValueError("fuse: got trainable=True, expected False: bfloat16 has no gradients")
    layers = list(layer) if isinstance(layer, (list, tuple)) else [layer]
    graph = _read(layers, trainable)
    _rewrite(graph)
    fused = _Writer(trainable, precision).write(graph)
    return fused if isinstance(layer, (list, tuple)) else fused[0]


def accelerate(layer, trainable=False, precision="float32"):
    """Return ``fuse(layer, trainable, precision)`` where oneDNN is the engine, and `layer` itself elsewhere.

    The engine is oneDNN where it is installed, unless the environment variable ``THEANO_CPU_ENGINE`` is
    "theano".

    Raises
    ------
    NotImplementedError
        If `precision` is not 'float32' where Theano is the engine.

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.fuse import accelerate
    >>> accelerate(lasagne.layers.Pool2DLayer((None, 3, 8, 8), 2)).output_shape
    (None, 3, 4, 4)
    """
    if ops.onednn_available():
        return fuse(layer, trainable, precision)
    if precision != "float32":
        raise NotImplementedError(f"precision: got {precision!r}, expected 'float32' where oneDNN is missing")
    return layer


def accelerated_output(layer, inputs=None, trainable=False, precision="float32"):
    """Give the expression of a network's deterministic output, on oneDNN operations where they exist.

    Parameters
    ----------
    layer, trainable, precision
        As `accelerate` takes them.
    inputs : Theano expression, or dict of layers to expressions, optional
        As `lasagne.layers.get_output` takes them.

    Returns
    -------
    Theano expression, or list of them if `layer` is a list

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.fuse import accelerated_output
    >>> accelerated_output(lasagne.layers.GlobalPoolLayer((None, 3, 4, 5))).ndim
    2
    """
    network = accelerate(layer, trainable, precision)
    return lasagne.layers.get_output(network, inputs, deterministic=True)


# --- the graph


@dataclasses.dataclass(frozen=True)
class _Keep:
    """A layer left as it is."""

    layer: Any


@dataclasses.dataclass(frozen=True)
class _Subsample:
    """Every `step`-th row and column."""

    step: int


@dataclasses.dataclass(eq=False)
class _Node:
    does: Any
    inputs: list
    shape: tuple  # NCHW, in the original network
    layers: list = dataclasses.field(default_factory=list)  # whose parameters are in it
    weights_shape: tuple | None = None
    slope: float | None = None  # of the rectifier that a convolution applies last
    name: str | None = None

    @property
    def is_plain_convolution(self):
        """Whether it is a convolution that has no residual and no rectifier yet."""
        return isinstance(self.does, Convolution) and len(self.inputs) == 1 and self.slope is None


class _Graph:
    def __init__(self, outputs):
        self.outputs = outputs
        self._readers = collections.defaultdict(list)
        for node in self.nodes():
            self.add(node)
        for output in outputs:
            self._readers[output].append(None)

    def nodes(self):
        """All nodes, each after its inputs."""
        seen, order, stack = set(), [], [(node, False) for node in reversed(self.outputs)]
        while stack:
            node, inputs_done = stack.pop()
            if inputs_done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((source, False) for source in reversed(node.inputs))
        return order

    def readers(self, node):
        """The nodes that read `node`, once for each time they do; None stands for the network's reader."""
        return self._readers[node]

    def add(self, node):
        """Take in a node that reads others of the graph."""
        for source in node.inputs:
            self._readers[source].append(node)
        return node

    def connect(self, node, inputs):
        """Give `node` other inputs."""
        before, node.inputs = node.inputs, inputs
        self.add(node)
        for source in before:
            self._forget(source, node)

    def replace(self, old, new):
        """Let everybody who reads `old` read `new`."""
        readers = self._readers.pop(old)
        for reader in readers:
            if reader is not None:
                reader.inputs = [new if source is old else source for source in reader.inputs]
        self.outputs = [new if output is old else output for output in self.outputs]
        self._readers[new].extend(readers)
        for source in old.inputs:
            self._forget(source, old)

    def _forget(self, source, reader):
        """`reader` reads `source` no longer; what nobody reads any more, reads nothing."""
        self._readers[source].remove(reader)
        if not self._readers[source]:
            for before in source.inputs:
                self._forget(before, source)


# --- from layers to the graph


def _read(outputs, trainable):
    layers = get_all_layers(outputs)
    # An InverseLayer differentiates another layer's output with respect to its input, so that layer stays
    inverse = getattr(lasagne.layers, "InverseLayer", ())
    inverted = [layer.input_layers[1] for layer in layers if isinstance(layer, inverse)]
    nodes = {}
    for layer in layers:
        if isinstance(layer, MergeLayer):
            sources = layer.input_layers
        else:
            sources = [getattr(layer, "input_layer", None)]
        inputs = [nodes[source] for source in sources if source is not None]
        descriptions = None if layer in inverted or None in sources else _lowered(layer, trainable)
        nodes[layer] = _chain(layer, inputs, descriptions)
    return _Graph([nodes[layer] for layer in outputs])


def _lowered(layer, trainable):
    """Pairs of a description and the shape of its weights, or None for a layer to be left alone."""
    frozen = lower(layer, current_value)
    if frozen is None:
        return None
    shapes = [getattr(getattr(description, "W", None), "shape", None) for description in frozen]
    if not trainable:
        return list(zip(frozen, shapes))
    if any(getattr(description, "deterministic_only", False) for description in frozen):
        return None
    return list(zip(lower(layer, parameter), shapes))


def _chain(layer, inputs, descriptions):
    if descriptions is None:
        return _Node(_Keep(layer), inputs, layer.output_shape, name=layer.name)
    owners = [layer]
    for description, weights_shape in descriptions:
        if isinstance(description, Identity):
            continue
        node = _Node(description, inputs, layer.output_shape, owners, weights_shape, name=layer.name)
        inputs, owners = [node], []
    return inputs[0]


# --- rewriting


def _rewrite(graph):
    rules = [_fold_affine, _add_residual, _add_rectifier, _pull_stride, _pool_globally, _flatten_freely]
    changed = True
    while changed:
        # every rule sees every node before the next round, so no generator that stops at the first change
        changed = sum(rule(graph, node) for node in graph.nodes() for rule in rules)


def _only_reader(graph, node):
    return len(graph.readers(node)) == 1


def _fold_affine(graph, node):
    """conv(x) * scale + shift is a convolution with other weights. So is an inner product."""
    if not isinstance(node.does, Affine):
        return False
    [source] = node.inputs
    foldable = source.is_plain_convolution or isinstance(source.does, InnerProduct)
    if not foldable or not _only_reader(graph, source):
        return False
    scale, shift, before = node.does.scale, node.does.shift, source.does
    source.does = dataclasses.replace(
        before,
        W=before.W * scale.reshape((-1,) + (1,) * (len(source.weights_shape) - 1)),
        b=shift if before.b is None else before.b * scale + shift,
    )
    source.layers = source.layers + node.layers
    graph.replace(node, source)
    return True


def _add_residual(graph, node):
    """A sum is done by a convolution that is one of its terms and that nobody else reads."""
    if not isinstance(node.does, Sum) or not all(_is_one(coeff) for coeff in node.does.coeffs):
        return False
    able = [source for source in node.inputs if source.is_plain_convolution and _only_reader(graph, source)]
    if not able or len(node.inputs) < 2:
        return False
    convolution = able[-1]
    rest = [source for source in node.inputs if source is not convolution]
    if len(rest) > 1:
        rest = [graph.add(_Node(Sum((1,) * len(rest)), rest, node.shape, name=node.name))]
    graph.connect(convolution, convolution.inputs + rest)
    graph.replace(node, convolution)
    return True


def _is_one(coeff):
    return isinstance(coeff, (int, float)) and coeff == 1


def _add_rectifier(graph, node):
    """A rectifier is done by the convolution before it."""
    if not isinstance(node.does, ReLU):
        return False
    [source] = node.inputs
    able = isinstance(source.does, Convolution) and source.slope is None
    if not able or not _only_reader(graph, source):
        return False
    source.slope = node.does.slope
    graph.replace(node, source)
    return True


def _pull_stride(graph, node):
    """Compute only every s-th row and column of what all readers read only every s-th row and column of.

    It changes no value: subsampling a convolution's result is a larger stride, and subsampling an
    element-wise result is subsampling the inputs. A residual block before a block that starts with stride 2
    loses three quarters of the work of its last convolution in this way, and of the one before if the last
    is 1x1.
    """
    readers = graph.readers(node)
    steps = {None if reader is None else _step(reader, node) for reader in readers}
    if len(steps) != 1 or steps <= {None, 1} or not _can_subsample(node):
        return False
    [step] = steps
    for reader in set(readers):
        if isinstance(reader.does, Convolution):
            reader.does = dataclasses.replace(reader.does, stride=(1, 1))
        else:
            graph.replace(reader, node)
    if isinstance(node.does, (Convolution, Pool)):
        stride = tuple(before * step for before in node.does.stride)
        node.does = dataclasses.replace(node.does, stride=stride)
        whole, reduced = node.inputs[:1], node.inputs[1:]  # the window's input, the residual
    else:
        whole, reduced = [], node.inputs
    graph.connect(node, whole + [_subsampled(graph, source, step) for source in reduced])
    return True


def _step(reader, node):
    """s if a reader reads every s-th row and column of `node`, or None if it reads more than that."""
    if node in reader.inputs[1:]:
        return None
    if isinstance(reader.does, _Subsample):
        return reader.does.step
    points = isinstance(reader.does, Convolution) and tuple(reader.weights_shape[2:]) == (1, 1)
    points = points or (isinstance(reader.does, Pool) and reader.does.size == (1, 1))
    if not points or reader.does.pad != (0, 0) or reader.does.stride[0] != reader.does.stride[1]:
        return None
    return reader.does.stride[0]


def _can_subsample(node):
    if len(node.shape) != 4:
        return False
    if isinstance(node.does, Pool):
        return not node.does.ceil  # a window clipped at the border has another size
    return isinstance(node.does, (Convolution, ReLU, Elementwise, Affine, Sum, Concat))


def _subsampled(graph, node, step):
    for reader in graph.readers(node):
        if reader is not None and reader.does == _Subsample(step):
            return reader
    return graph.add(_Node(_Subsample(step), [node], node.shape, name=node.name))


def _pool_globally(graph, node):
    """An average over the whole input is a global pooling."""
    if not isinstance(node.does, Pool) or node.does.mode == "max" or node.does.pad != (0, 0):
        return False
    if node.shape[2:] != (1, 1) or node.inputs[0].shape[2:] != node.does.size:
        return False
    node.does = GlobalPool(keepdims=True)
    return True


def _flatten_freely(graph, node):
    """An inner product flattens by itself, and (N, C, 1, 1) need not be built to be flattened."""
    if not isinstance(node.does, (Flatten, InnerProduct)):
        return False
    [source] = node.inputs
    if isinstance(source.does, Flatten):
        graph.connect(node, source.inputs)
        return True
    if not isinstance(source.does, GlobalPool) or not _only_reader(graph, source):
        return False
    if source.does.keepdims:
        source.does = GlobalPool(keepdims=False)
        source.shape = source.shape[:2]
    elif isinstance(node.does, InnerProduct):
        return False
    if isinstance(node.does, Flatten):
        graph.replace(node, source)
    return True


# --- from the graph to layers


_CHANNEL_AXIS = {"NCHW": 1, "NHWC": 3}


class _Writer:
    """Writes the layers of a graph, and a door wherever a layout changes."""

    def __init__(self, trainable, precision):
        self.trainable, self.precision = trainable, precision
        self.nchw, self.nhwc = {}, {}  # the layers written for each node; at first only in one of the layouts

    def write(self, graph):
        for node in graph.nodes():
            layer, layout = self._layer(node.does, node)
            if self.trainable:
                for owner in node.layers:
                    layer.params.update(owner.params)
            if len(layer.output_shape) != 4 or layout == "NCHW":
                self.nchw[node] = layer
            if len(layer.output_shape) != 4 or layout == "NHWC":
                self.nhwc[node] = layer
        return [self._as_nchw(node) for node in graph.outputs]

    def _as_nchw(self, node):
        if node not in self.nchw:
            self.nchw[node] = fused_layers.ToNCHW(self.nhwc[node], name=node.name)
        return self.nchw[node]

    def _as_nhwc(self, node):
        if node not in self.nhwc:
            self.nhwc[node] = fused_layers.ToNHWC(self.nchw[node], name=node.name)
        return self.nhwc[node]

    def _in_any_layout(self, node):
        """The inputs of a node that does not mind, in NHWC if one of them is; and the layout."""
        if len(node.shape) == 4 and any(source in self.nhwc for source in node.inputs):
            return [self._as_nhwc(source) for source in node.inputs], "NHWC"
        return [self._as_nchw(source) for source in node.inputs], "NCHW"

    @functools.singledispatchmethod
    def _layer(self, does, node):
        """The layer that does what `does` says, and the layout of its output."""
        raise TypeError(f"layer {node.name!r}: got description {does!r}, expected one of theano_cpu.ir")

    @_layer.register
    def _(self, does: _Keep, node):
        layer = does.layer
        inputs = [self._as_nchw(source) for source in node.inputs]
        merges = isinstance(layer, MergeLayer)
        before = layer.input_layers if merges else [getattr(layer, "input_layer", None)]
        if inputs != [source for source in before if source is not None]:
            layer = copy.copy(layer)
            if merges:
                remaining = iter(inputs)
                layer.input_layers = [None if source is None else next(remaining) for source in before]
            else:
                [layer.input_layer] = inputs
        return layer, "NCHW"

    @_layer.register
    def _(self, does: Convolution, node):
        W = does.W[:, :, ::-1, ::-1] if does.flip else does.W
        inputs = [self._as_nhwc(source) for source in node.inputs]
        return fused_layers.ConvolutionLayer(
            inputs,
            W,
            does.b,
            does.stride,
            does.pad,
            does.dilation,
            does.groups,
            node.slope,
            node.weights_shape,
            self.precision,
            name=node.name,
        ), "NHWC"

    @_layer.register
    def _(self, does: Pool, node):
        incoming = self._as_nhwc(node.inputs[0])
        return fused_layers.PoolLayer(incoming, does, name=node.name), "NHWC"

    @_layer.register
    def _(self, does: _Subsample, node):
        incoming = self._as_nhwc(node.inputs[0])
        return fused_layers.SubsampleLayer(incoming, does.step, name=node.name), "NHWC"

    @_layer.register
    def _(self, does: GlobalPool, node):
        incoming = self._as_nhwc(node.inputs[0])
        return fused_layers.GlobalPoolLayer(incoming, does.keepdims, name=node.name), "NHWC"

    @_layer.register
    def _(self, does: InnerProduct, node):
        source, W, units = node.inputs[0], does.W, node.weights_shape[0]
        if len(source.shape) == 4 and source in self.nhwc:
            features, W = self._flattened_in_nhwc(source, W)
        else:
            features = self._as_nchw(source)
        if len(features.output_shape) > 2:
            features = FlattenLayer(features, name=node.name)
        return fused_layers.InnerProductLayer(features, W, does.b, units, name=node.name), "matrix"

    def _flattened_in_nhwc(self, source, W):
        """The features in NHWC and weights in that order; or both in NCHW, if weights are variables."""
        layer = self.nhwc[source]
        _, *sides, channels = layer.output_shape
        if sides == [1, 1]:
            return layer, W
        if self.trainable or None in sides:
            return self._as_nchw(source), W
        return layer, W.reshape(-1, channels, *sides).transpose(0, 2, 3, 1).reshape(W.shape)

    @_layer.register
    def _(self, does: Flatten, node):
        return FlattenLayer(self._as_nchw(node.inputs[0]), name=node.name), "matrix"

    @_layer.register
    def _(self, does: Softmax, node):
        return fused_layers.SoftmaxLayer(self._as_nchw(node.inputs[0]), self.trainable, name=node.name), "matrix"

    @_layer.register
    def _(self, does: Affine, node):
        [incoming], layout = self._in_any_layout(node)
        axis = _CHANNEL_AXIS[layout]
        return fused_layers.AffineLayer(incoming, does.scale, does.shift, axis, name=node.name), layout

    @_layer.register
    def _(self, does: Concat, node):
        inputs, layout = self._in_any_layout(node)
        return lasagne.layers.ConcatLayer(inputs, axis=_CHANNEL_AXIS[layout], name=node.name), layout

    @_layer.register
    def _(self, does: Sum, node):
        inputs, layout = self._in_any_layout(node)
        return lasagne.layers.ElemwiseSumLayer(inputs, coeffs=list(does.coeffs), name=node.name), layout

    @_layer.register
    def _(self, does: ReLU, node):
        return self._elementwise(functools.partial(T.nnet.relu, alpha=does.slope), node)

    @_layer.register
    def _(self, does: Elementwise, node):
        return self._elementwise(does.function, node)

    def _elementwise(self, function, node):
        inputs, layout = self._in_any_layout(node)
        return fused_layers.ElementwiseLayer(inputs, function, name=node.name), layout
