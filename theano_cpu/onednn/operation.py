"""What all oneDNN operations have in common: from a Theano node to a thunk of the native module."""

from __future__ import annotations

import theano.tensor as T
from theano.gof import Apply, Op, Variable

from theano_cpu.onednn.runtime import native_module

WIDTHS = {"float32": 4, "uint16": 2}


def as_tensor(operation, name, value, ndim, dtype="float32"):
    """Return `value` as a Theano variable, refusing what the C++ code could not read.

    Raises
    ------
    TypeError
        If its dtype is not `dtype` or it has not `ndim` dimensions.
    """
    variable = value if isinstance(value, Variable) else T.as_tensor_variable(value)
    got = getattr(variable, "dtype", variable.type)
    if got != dtype:
        advice = f"; cast it with .astype('{dtype}')" if dtype == "float32" else ""
        raise TypeError(f"{operation}: {name} is {got}, expected {dtype}{advice}")
    if variable.ndim != ndim:
        raise TypeError(f"{operation}: {name} has {variable.ndim} dimensions, expected {ndim}")
    return variable


def pair(operation, name, value, least):
    """Return an int or a sequence of two as (rows, columns).

    Raises
    ------
    ValueError
        If it is neither, or smaller than `least`.
    """
    values = (value, value) if not hasattr(value, "__len__") else tuple(value)
    try:
        integers = tuple(int(number) for number in values)
    except (TypeError, ValueError):
        integers = ()
    if len(integers) != 2 or integers != values or min(integers) < least:
        raise ValueError(f"{operation}: {name} must be an integer or two, at least {least}; got {value!r}")
    return integers


def tensor_type(broadcastable, dtype="float32"):
    """A fresh variable."""
    return T.TensorType(dtype, tuple(broadcastable))()


class OneDnnOp(Op):
    """An operation that the native module computes.

    Subclasses give `native_name`, the operation's name there, `settings`, and what Theano asks of any
    operation. Theano's C virtual machine calls the thunk without any Python in between; other linkers use
    `perform`.
    """

    native_name = None
    in_place = -1

    def settings(self, node, frozen):
        """Numbers, or tuples of numbers, by the names that the native module reads.

        Parameters
        ----------
        node : theano.gof.Apply
        frozen : callable
            ``frozen(i)`` tells whether input `i` never changes, so that the native module may keep it converted.
        """
        return {}

    def _thunk(self, node, input_cells, output_cells, frozen):
        return native_module().make_thunk(
            self.native_name,
            str(self),
            self.settings(node, frozen),
            input_cells,
            output_cells,
            tuple(WIDTHS[variable.dtype] for variable in node.inputs),
            tuple(WIDTHS[variable.dtype] for variable in node.outputs),
            self.in_place,
        )

    def make_c_thunk(self, node, storage_map, compute_map, no_recycling):
        """Called by Op.make_thunk; the thunk is like that of a compiled operation (theano/gof/op.py)."""
        inputs = [storage_map[variable] for variable in node.inputs]
        outputs = [storage_map[variable] for variable in node.outputs]
        cthunk = self._thunk(node, inputs, outputs, lambda i: isinstance(node.inputs[i], T.Constant))
        computed = [compute_map[variable] for variable in node.outputs]
        run = native_module().run_thunk

        def thunk():
            run(cthunk)
            for cell in computed:
                cell[0] = True

        thunk.cthunk, thunk.inputs, thunk.outputs, thunk.lazy = cthunk, inputs, outputs, False
        return thunk

    def perform(self, node, inputs, output_storage, params=None):
        cells = [[value] for value in inputs]
        native_module().run_thunk(self._thunk(node, cells, output_storage, lambda i: False))

    def apply(self, inputs, *outputs):
        return Apply(self, list(inputs), list(outputs))
