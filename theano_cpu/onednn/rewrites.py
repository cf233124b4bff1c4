"""Rewrites of graphs of oneDNN operations, and a mode that applies hardly anything else.

A graph that consists of these operations needs little of Theano's optimiser: `fast_compile` merges equal
nodes, applies the rewrites below and nothing more, so that a function is built in a fraction of a second. In
Theano's default mode they are applied too, among all others.
"""

from __future__ import annotations

import functools
from typing import Any

import theano.tensor as T
from theano.compile import optdb
from theano.compile.mode import Mode
from theano.gof import Query
from theano.gof.opt import Optimizer, in2out, local_optimizer
from theano.gof.vm import VM_Linker
from theano.scalar import Add

from theano_compat.deprecation import deprecated_names
from theano_cpu.onednn.activation import Bfloat16, ReluGradient, Sum
from theano_cpu.onednn.convolution import Convolution, InputGradient, RoundedConvolution
from theano_cpu.onednn.layout import Layout
from theano_cpu.onednn.operation import OneDnnOp
from theano_cpu.onednn.pooling import (
    GlobalPool,
    GlobalPoolGradient,
    Pool,
    PoolGradient,
    Subsample,
    SubsampleGradient,
)
from theano_cpu.onednn.program import join

__getattr__ = deprecated_names(__name__, {"lean_mode": "theano_cpu.onednn.rewrites:fast_compile"})

TAG = "theano_cpu"


def _computed_by(variable: Any, kind: type) -> bool:
    return variable.owner is not None and isinstance(variable.owner.op, kind)


@local_optimizer([T.Elemwise])
def local_sum(node: Any) -> Any:
    """Compute the sums that theano.grad makes where a picture was used twice."""
    if not isinstance(node.op, T.Elemwise) or not isinstance(node.op.scalar_op, Add) or len(node.inputs) < 2:
        return False
    alike = all(value.type == node.outputs[0].type for value in node.inputs)
    pictures = node.outputs[0].ndim == 4 and node.outputs[0].dtype == "float32"
    if alike and pictures and any(_computed_by(value, OneDnnOp) for value in node.inputs):
        return [Sum()(*node.inputs)]
    return False


@local_optimizer([ReluGradient])
def local_relu_gradient_of_sum(node: Any) -> Any:
    """Compute relu_gradient(a + b, y) in one pass."""
    if not isinstance(node.op, ReluGradient) or len(node.inputs) != 2:
        return False
    g, y = node.inputs
    if _computed_by(g, Sum) and len(g.owner.inputs) == 2 and len(g.clients) == 1:
        return [ReluGradient(node.op.negative_slope)(*g.owner.inputs, y)]
    return False


@local_optimizer([ReluGradient])
def local_relu_gradient_before_pooling(node: Any) -> Any:
    """Turn relu_gradient(pool's gradient(x, y, g), x) into pool's gradient(x, y, relu_gradient(g, y)): fewer values.

    A gradient goes where x equals y, so it does not matter at which of the two the ReLU's gradient looks.
    """
    if not isinstance(node.op, ReluGradient) or len(node.inputs) != 2:
        return False
    g, activation = node.inputs
    if not _computed_by(g, PoolGradient) or g.owner.op.mode != "max" or len(g.clients) > 1:
        return False
    x, y, gy = g.owner.inputs
    return [g.owner.op(x, y, node.op(gy, y))] if x is activation else False


@local_optimizer([RoundedConvolution])
def local_round(node: Any) -> Any:
    """Compute a convolution in bfloat16 numbers between two conversions."""
    return [node.op.narrow(*node.inputs)] if isinstance(node.op, RoundedConvolution) else False


@local_optimizer([Bfloat16, GlobalPool, Pool, Subsample])
def local_stay_bfloat16(node: Any) -> Any:
    """Leave values bfloat16 between operations that know it, instead of to float32 and back."""
    (x,) = node.inputs
    if isinstance(node.op, Bfloat16) and node.op.narrow:
        if _computed_by(x, Bfloat16):
            return [x.owner.inputs[0]]
        if _computed_by(x, Subsample):
            return [x.owner.op(node.op(x.owner.inputs[0]))]
        if _computed_by(x, Layout) and x.owner.op.channels_last:
            return [Layout(True, bfloat16=True)(x.owner.inputs[0])]
    if not _computed_by(x, Bfloat16) or x.owner.op.narrow:
        return False
    (narrow,) = x.owner.inputs
    if isinstance(node.op, GlobalPool):
        return [node.op(narrow)]
    if isinstance(node.op, Subsample) or isinstance(node.op, Pool) and node.op.mode == "max":
        return [Bfloat16(False)(node.op(narrow))]
    return False


@local_optimizer([ReluGradient])
def local_relu_gradient_of_bfloat16(node: Any) -> Any:
    """Look at a ReLU's output where it is bfloat16, instead of at float32 made of it."""
    if not isinstance(node.op, ReluGradient) or not _computed_by(node.inputs[-1], Bfloat16):
        return False
    *terms, y = node.inputs
    return False if y.owner.op.narrow else [node.op(*terms, y.owner.inputs[0])]


@local_optimizer([InputGradient, SubsampleGradient, GlobalPoolGradient])
def local_shape_of_either(node: Any) -> Any:
    """Take the shape of what is converted, so that nothing is converted for its shape."""
    x, *others = node.inputs
    return [node.op(x.owner.inputs[0], *others)] if _computed_by(x, Bfloat16) else False


@local_optimizer([Convolution], inplace=True)
def local_residual_in_place(node: Any) -> Any:
    """Let a convolution add to its residual where it lies, if nobody else needs that."""
    op = node.op
    if not isinstance(op, Convolution) or not op.residual or op.inplace:
        return False
    settings = {name: getattr(op, name) for name in op.__props__}
    return [Convolution(**{**settings, "inplace": True})(*node.inputs)]


@local_optimizer([ReluGradient, Sum], inplace=True)
def local_gradient_in_place(node: Any) -> Any:
    """Let sums and ReLU's gradients replace their first input, if nobody else needs that."""
    op = node.op
    if not isinstance(op, (ReluGradient, Sum)) or op.inplace:
        return False
    settings = {name: getattr(op, name) for name in op.__props__}
    return [type(op)(**{**settings, "inplace": True})(*node.inputs)]


class _Join(Optimizer):
    def apply(self, fgraph: Any) -> None:
        join(fgraph)


# Places in the order of Theano's passes: after canonicalisation (1), before and after the handler of in-place
# operations (49.5). Passes of the same tag are what `fast_compile` takes.
optdb.register(
    "theano_cpu_sums",
    in2out(local_sum, local_relu_gradient_before_pooling, local_round, local_stay_bfloat16, name="theano_cpu_sums"),
    2.4,
    "fast_run",
    TAG,
)
optdb.register(
    "theano_cpu_relu_gradients",
    in2out(
        local_relu_gradient_of_sum,
        local_relu_gradient_of_bfloat16,
        local_shape_of_either,
        name="theano_cpu_relu_gradients",
    ),
    2.5,
    "fast_run",
    TAG,
)
optdb.register("theano_cpu_join", _Join(), 49.4, "fast_run", TAG)
optdb.register(
    "theano_cpu_in_place",
    in2out(local_residual_in_place, local_gradient_in_place, ignore_newtrees=True, name="theano_cpu_in_place"),
    75,
    "fast_run",
    "inplace",
    TAG,
)


@functools.cache
def fast_compile() -> Any:
    """Give a mode for functions of these operations: built fast, run by Theano's C virtual machine.

    Other operations work in it too, but stay as they are: no algebra, no fusion, no shape arithmetic.

    Returns
    -------
    theano.compile.mode.Mode

    Examples
    --------
    >>> import theano, theano.tensor as T
    >>> from theano_cpu import ops
    >>> x = T.tensor4("x")
    >>> f = theano.function([x], ops.subsample(ops.to_nhwc(x), 2), mode=ops.fast_compile())
    """
    passes = Query(include=["merge1", TAG, "add_destroy_handler", "merge3"])
    return Mode(linker=VM_Linker(use_cloop=True, allow_gc=True), optimizer=passes)
