"""Theano functions of fused networks, built no slower than they need to be."""

from __future__ import annotations

from typing import Any

import theano
import theano.tensor as T
from theano.gof.graph import ancestors

from theano_compat.deprecation import deprecated_names
from theano_compat.depth import depth, with_room
from theano_cpu.onednn.operation import OneDnnOp
from theano_cpu.ops import fast_compile

__getattr__ = deprecated_names(__name__, {"is_lean": "theano_cpu.compile:allows_fast_compile"})

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

# Elementwise operations after one another. Theano fuses them to one that holds the one before, and so on: beyond some
# hundreds neither pickle nor the compiler follow.
_LONG_CHAIN = 50


def compile_function(
    inputs: Any,
    outputs: Any = None,
    updates: Any = None,
    *,
    mode: Any = None,
    givens: Any = None,
    no_default_updates: bool | list[Any] = False,
    accept_inplace: bool = False,
    name: str | None = None,
    rebuild_strict: bool = True,
    allow_input_downcast: bool | None = None,
    profile: Any = None,
    on_unused_input: str | None = None,
) -> Any:
    """Compile as ``theano.function`` does, with few optimiser passes for graphs that need no more.

    A deep graph, of hundreds of operations after one another, has the room on the stack that Theano's walks need.
    A graph whose work on pictures is all done by oneDNN operations, as in a fused network without unknown
    layers, is compiled in `theano_cpu.ops.fast_compile`; any other graph in Theano's default mode. So is one with
    a logarithm, an exponential or Theano's sigmoid or softmax, as losses have: Theano's passes keep them finite.

    Parameters
    ----------
    inputs : list of Theano variables
    outputs : Theano variable, list or dict of them, optional
    updates : dict of shared variables to Theano variables, or iterable of pairs, optional
    mode : theano.compile.mode.Mode or str, optional
        Used as it is. None leaves the choice to this function.
    givens : dict of Theano variables to Theano variables, or iterable of pairs, optional
    no_default_updates : bool or list of shared variables, optional
    accept_inplace : bool, optional
    name : str, optional
    rebuild_strict : bool, optional
    allow_input_downcast : bool, optional
    profile : bool or theano.compile.profiling.ProfileStats, optional
    on_unused_input : {'raise', 'warn', 'ignore'}, optional
        This one and those without a description are as ``theano.function`` takes them.

    Returns
    -------
    theano.compile.function_module.Function

    Raises
    ------
    TypeError, ValueError, theano.compile.UnusedInputError
        As ``theano.function`` does.

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
    computed = _computed(outputs, updates, givens)
    if mode is None and allows_fast_compile(outputs, updates, givens):
        mode = fast_compile()
    elif mode is None and depth(computed, _is_elementwise) > _LONG_CHAIN:
        mode = theano.compile.mode.get_default_mode().excluding("fusion")

    def compiled() -> Any:
        return theano.function(
            inputs,
            outputs,
            mode=mode,
            updates=updates,
            givens=givens,
            no_default_updates=no_default_updates,
            accept_inplace=accept_inplace,
            name=name,
            rebuild_strict=rebuild_strict,
            allow_input_downcast=allow_input_downcast,
            profile=profile,
            on_unused_input=on_unused_input,
        )

    return with_room(compiled, computed)


def allows_fast_compile(outputs: Any = None, updates: Any = None, givens: Any = None) -> bool:
    """Say whether oneDNN operations do all of a graph's work that could be slow, and the rest is safe as written.

    Parameters
    ----------
    outputs : Theano variable, list or dict of them, optional
    updates, givens : dict of Theano variables, or iterable of pairs, optional

    Returns
    -------
    bool
        True if there are oneDNN operations, and all others are simple, work on matrices at most (except for
        sums of pictures, which gradients bring, and oneDNN computes) and do not overflow where Theano's
        optimiser would have prevented it.

    Examples
    --------
    >>> import theano.tensor as T
    >>> from theano_cpu import ops
    >>> logits = ops.global_pool(T.tensor4("x"))
    >>> allows_fast_compile(logits), allows_fast_compile(T.log(logits))
    (True, False)
    """
    nodes = {x.owner for x in ancestors(_computed(outputs, updates, givens)) if x.owner is not None}
    ours = {node for node in nodes if isinstance(node.op, OneDnnOp)}
    return bool(ours) and all(_is_simple(node) for node in nodes - ours)


def _computed(outputs: Any, updates: Any, givens: Any) -> list[Any]:
    """All variables that a function computes, or replaces others by."""
    replacements = [*dict(updates or {}).values(), *dict(givens or {}).values()]
    return [value for value in [*_variables(outputs), *replacements] if isinstance(value, theano.gof.Variable)]


def _variables(outputs: Any) -> list[Any]:
    """The variables in what `theano.function` takes as outputs."""
    if outputs is None:
        return []
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [output.variable if isinstance(output, theano.Out) else output for output in outputs]


def _is_elementwise(node: Any) -> bool:
    return isinstance(node.op, T.Elemwise)


def _is_simple(node: Any) -> bool:
    scalar = node.op.scalar_op if isinstance(node.op, T.Elemwise) else None
    if isinstance(scalar, theano.scalar.Add):
        return True
    if isinstance(scalar, _UNSTABLE):
        return False
    small = all(getattr(variable, "ndim", 0) <= 2 for variable in [*node.inputs, *node.outputs])
    return isinstance(node.op, _SIMPLE) and small
