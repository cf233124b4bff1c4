"""Theano functions of fused networks, built no slower than they need to be."""

from __future__ import annotations

from theano_cpu.onednn.operation import OneDnnOp
from theano_cpu.ops import fast_compile

import theano
import theano.tensor as T
from theano.gof.graph import ancestors

# What losses, scores and their gradients are made of: as good as it is written, if arrays are small.
_SIMPLE = (
    T.Elemwise, T.DimShuffle, T.elemwise.CAReduce, T.Subtensor, T.IncSubtensor, T.Reshape, T.Alloc,
    T.Rebroadcast, T.opt.MakeVector, T.TensorFromScalar, T.ScalarFromTensor, theano.compile.ops.Shape,
    theano.compile.ops.Shape_i,
)  # fmt: skip


# What Theano's stabilising passes rewrite, such as log(sigmoid(x)) and log(1 + exp(x)): as written, it overflows.
_UNSTABLE = tuple(
    getattr(theano.scalar, name) for name in ("Log", "Log2", "Log10", "Log1p", "Exp", "Exp2", "Expm1", "Erf", "Erfc")
) + (T.nnet.sigm.ScalarSigmoid, T.nnet.sigm.ScalarSoftplus)


def compile_function(inputs, outputs=None, updates=None, **kwargs):
    """``theano.function``, with few optimiser passes for graphs that need no more.

    A graph whose work on pictures is all done by oneDNN operations, as in a fused network without unknown
    layers, is compiled in `theano_cpu.ops.fast_compile`; any other graph in Theano's default mode. So is one with
    a logarithm, an exponential or Theano's sigmoid or softmax, as losses have: Theano's passes keep them finite.

    Parameters
    ----------
    inputs, outputs, updates, **kwargs
        As `theano.function` takes them. A `mode` given here is used as it is.

    Returns
    -------
    theano.compile.function_module.Function

    Examples
    --------
    >>> import lasagne
    >>> import numpy as np
    >>> from theano_cpu.compile import compile_function
    >>> from theano_cpu.fuse import accelerate
    >>> image = lasagne.layers.InputLayer((None, 3, 4, 5))
    >>> layer = accelerate(lasagne.layers.GlobalPoolLayer(image))
    >>> f = compile_function([image.input_var], lasagne.layers.get_output(layer))
    >>> f(np.ones((1, 3, 4, 5), "float32")).tolist()
    [[1.0, 1.0, 1.0]]
    """
    if "mode" not in kwargs and allows_fast_compile(outputs, updates):
        kwargs["mode"] = fast_compile()
    return theano.function(inputs, outputs, updates=updates, **kwargs)


def allows_fast_compile(outputs=None, updates=None):
    """Whether oneDNN operations do all of a graph's work that could be slow, and the rest is safe as written.

    Parameters
    ----------
    outputs : Theano variable, list or dict of them, optional
    updates : dict of Theano variables, or list of pairs, optional

    Returns
    -------
    bool
        True if there are oneDNN operations, and all others are simple, work on matrices at most (except for
        sums of pictures, which gradients bring, and oneDNN computes) and do not overflow where Theano's
        optimiser would have prevented it.
    """
    results = [*_variables(outputs), *dict(updates or {}).values()]
    nodes = {variable.owner for variable in ancestors(results) if variable.owner is not None}
    ours = {node for node in nodes if isinstance(node.op, OneDnnOp)}
    return bool(ours) and all(_is_simple(node) for node in nodes - ours)


def _variables(outputs):
    """The variables in what `theano.function` takes as outputs."""
    if outputs is None:
        return []
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [output.variable if isinstance(output, theano.Out) else output for output in outputs]


def _is_simple(node):
    scalar = node.op.scalar_op if isinstance(node.op, T.Elemwise) else None
    if isinstance(scalar, theano.scalar.Add):
        return True
    if isinstance(scalar, _UNSTABLE):
        return False
    small = all(getattr(variable, "ndim", 0) <= 2 for variable in [*node.inputs, *node.outputs])
    return isinstance(node.op, _SIMPLE) and small
