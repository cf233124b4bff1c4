"""A Lasagne network on oneDNN operations: `fuse(layer)` gives one that computes the same, faster.

The network becomes a small graph of descriptions (`theano_cpu.fuse.graph`), in which rules (`theano_cpu.fuse.rules`)

- fold batch normalisation and scaling into the weights before them,
- make a rectifier, and a sum of two branches, part of the convolution before them,
- hoist a stride to where it saves work, if nobody reads what it drops;

then the graph becomes layers again (`theano_cpu.fuse.writer`, of `theano_cpu.fuse.layers`), in
(n, height, width, channels) from the first known layer on. A layer that is not known stays as it is, between two layout
conversions.
"""

from __future__ import annotations

from typing import Any, Literal

import lasagne

from theano_cpu import ops
from theano_cpu.fuse.graph import read_graph
from theano_cpu.fuse.rules import rewrite
from theano_cpu.fuse.writer import write_layers

__all__ = ["accelerate", "accelerated_output", "fuse"]


def fuse(layer: Any, trainable: bool = False, precision: Literal["float32", "bfloat16"] = "float32") -> Any:
    """Build an equivalent network on oneDNN operations.

    Parameters
    ----------
    layer : lasagne.layers.Layer or list of them
        The output layer or layers of a float32 network. The network itself is not changed.
    trainable : bool, optional
        False: the parameters' values of this moment become constants, folded in float64, and layers that
        behave differently in training (dropout, batch normalisation) do what they do with
        ``deterministic=True``. True: the network follows its shared variables and gradients reach them;
        those layers stay as they are.
    precision : {'float32', 'bfloat16'}, optional
        'bfloat16' computes convolutions faster and with 8 significant bits; see `theano_cpu.ops.conv2d`.
        Such a network has a gradient with respect to its input, and none of weights.

    Returns
    -------
    lasagne.layers.Layer or list of them
        With the same output shapes, for `get_output` and the other functions of Lasagne. The input layers
        are the original ones. With `trainable`, `get_all_params` finds the original parameters, otherwise
        only those of layers that are not known to `theano_cpu.lowering`.

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
            raise ValueError("fuse: got trainable=True, expected False: weights are not trained in bfloat16")
    outputs = list(layer) if isinstance(layer, (list, tuple)) else [layer]
    graph = read_graph(outputs, trainable)
    rewrite(graph)
    fused = write_layers(graph, trainable, precision)
    return fused if isinstance(layer, (list, tuple)) else fused[0]


def accelerate(layer: Any, trainable: bool = False, precision: Literal["float32", "bfloat16"] = "float32") -> Any:
    """Fuse a network where oneDNN is the engine, and leave it as it is elsewhere.

    The engine is oneDNN where it is installed, unless the environment variable ``THEANO_CPU_ENGINE`` is
    "theano".

    Parameters
    ----------
    layer : lasagne.layers.Layer or list of them
    trainable : bool, optional
    precision : {'float32', 'bfloat16'}, optional
        All as `fuse` takes them.

    Returns
    -------
    lasagne.layers.Layer or list of them
        ``fuse(layer, trainable, precision)``, or `layer` itself.

    Raises
    ------
    NotImplementedError
        If `precision` is not 'float32' where Theano is the engine; and as `fuse` does.
    ValueError
        As `fuse` does.

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


def accelerated_output(
    layer: Any,
    inputs: Any = None,
    trainable: bool = False,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Any:
    """Give the expression of a network's deterministic output, on oneDNN operations where they exist.

    Parameters
    ----------
    layer : lasagne.layers.Layer or list of them
    inputs : Theano expression, or dict of layers to expressions, optional
        As `lasagne.layers.get_output` takes them.
    trainable : bool, optional
    precision : {'float32', 'bfloat16'}, optional
        As `accelerate` takes them.

    Returns
    -------
    Theano expression, or list of them if `layer` is a list

    Raises
    ------
    ValueError, NotImplementedError
        As `accelerate` does.

    Examples
    --------
    >>> import lasagne
    >>> from theano_cpu.fuse import accelerated_output
    >>> image = lasagne.layers.InputLayer((None, 3, 4, 5))
    >>> accelerated_output(lasagne.layers.GlobalPoolLayer(image)).type
    TensorType(float32, matrix)
    """
    network = accelerate(layer, trainable, precision)
    return lasagne.layers.get_output(network, inputs, deterministic=True)
