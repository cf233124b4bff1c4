"""What all oneDNN operations have in common: from a Theano node to a thunk of the native module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import theano.tensor as T
from theano.gof import Apply, Op, Variable

from theano_cpu.onednn.runtime import native_module

WIDTHS = {"float32": 4, "uint16": 2}


def as_tensor(operation: str, name: str, value: Any, ndim: int, dtype: str = "float32") -> Any:
    """Return `value` as a Theano variable, refusing what the C++ code could not read.

    Parameters
    ----------
    operation, name : str
        For the message: whose parameter it is.
    value : Theano variable or array_like
    ndim : int
    dtype : str, optional

    Returns
    -------
    Theano variable of `dtype` with `ndim` dimensions

    Raises
    ------
    TypeError
        If its dtype is not `dtype` or it has not `ndim` dimensions.

    Examples
    --------
    >>> import theano.tensor as T
    >>> as_tensor("conv2d", "x", T.tensor4(), 4).type
    TensorType(float32, 4D)
    >>> as_tensor("conv2d", "x", T.dtensor4(), 4)
    Traceback (most recent call last):
    TypeError: conv2d: x is float64, expected float32; cast it with .astype('float32')
    """
    variable = value if isinstance(value, Variable) else T.as_tensor_variable(value)
    got = getattr(variable, "dtype", variable.type)
    if got != dtype:
        advice = f"; cast it with .astype('{dtype}')" if dtype == "float32" else ""
        raise TypeError(f"{operation}: {name} is {got}, expected {dtype}{advice}")
    if variable.ndim != ndim:
        raise TypeError(f"{operation}: {name} has {variable.ndim} dimensions, expected {ndim}")
    return variable


def pair(operation: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """Return an int or a sequence of two as (rows, columns).

    Parameters
    ----------
    operation, name : str
        For the message: whose parameter it is.
    value : int or sequence of two ints
    least : int
        The smallest allowed.

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        If it is neither, or smaller than `least`.

    Examples
    --------
    >>> pair("pool2d", "size", 3, least=1)
    (3, 3)
    >>> pair("pool2d", "size", (3, 0), least=1)
    Traceback (most recent call last):
    ValueError: pool2d: size must be an integer or two, at least 1; got (3, 0)
    """
    values = (value, value) if not hasattr(value, "__len__") else tuple(value)
    try:
        integers = tuple(int(number) for number in values)
    except (TypeError, ValueError):
        integers = ()
    if len(integers) != 2 or integers != values or min(integers) < least:
        raise ValueError(f"{operation}: {name} must be an integer or two, at least {least}; got {value!r}")
    return integers[0], integers[1]


def values_of(x: Any) -> str:
    """Give the type of what is computed of a variable, where bfloat16 numbers will do.

    Parameters
    ----------
    x : Theano variable, array or number

    Returns
    -------
    {'float32', 'uint16'}
        uint16 stands for bfloat16.

    Examples
    --------
    >>> import theano.tensor as T
    >>> values_of(T.tensor4()), values_of(T.tensor4(dtype="uint16"))
    ('float32', 'uint16')
    """
    return "uint16" if getattr(x, "dtype", None) == "uint16" else "float32"


def tensor_type(broadcastable: Iterable[bool], dtype: str = "float32") -> Any:
    """Make a fresh variable.

    Parameters
    ----------
    broadcastable : iterable of bool
        For each axis, whether its length is known to be 1.
    dtype : str, optional

    Returns
    -------
    Theano variable

    Examples
    --------
    >>> tensor_type((False, False)).type
    TensorType(float32, matrix)
    """
    return T.TensorType(dtype, tuple(broadcastable))()


class OneDnnOp(Op):
    """An operation that the native module computes.

    Subclasses give `native_name`, the operation's name there, `settings`, and what Theano asks of any
    operation (``make_node``, ``infer_shape``, ``grad``). Theano's C virtual machine calls the thunk without any
    Python in between; other linkers use `perform`.

    Attributes
    ----------
    native_name : str
        The operation's name, in ``native/values.cpp`` or ``native/convolution.cpp``.
    in_place : int
        The input whose memory the first output takes, or -1.

    References
    ----------
    .. [1] oneDNN, https://github.com/uxlfoundation/oneDNN
    .. [2] Theano 1.0.5, ``theano/gof/op.py`` (thunks) and ``theano/gof/lazylinker_c.c`` (who calls them)

    Examples
    --------
    >>> import theano.tensor as T
    >>> class Total(OneDnnOp):
    ...     native_name, __props__ = "sum", ()
    ...
    ...     def make_node(self, x, y):
    ...         return self.apply([x, y], x.type())
    >>> Total()(T.tensor4(), T.tensor4()).type
    TensorType(float32, 4D)
    """

    native_name: str
    in_place = -1
    __props__: tuple[str, ...]

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        """Give the settings that the native module reads.

        Parameters
        ----------
        node : theano.gof.Apply
        frozen : callable
            ``frozen(i)`` tells whether input `i` never changes, so that the native module may keep it converted.

        Returns
        -------
        dict of str to number or tuple of numbers
        """
        return {}

    def _thunk(self, node: Any, input_cells: list, output_cells: list, frozen: Callable[[int], bool]) -> Any:
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

    def make_c_thunk(self, node: Any, storage_map: Any, compute_map: Any, no_recycling: Any) -> Any:
        """Make a thunk like that of a compiled operation (theano/gof/op.py); called by ``Op.make_thunk``."""
        inputs = [storage_map[variable] for variable in node.inputs]
        outputs = [storage_map[variable] for variable in node.outputs]
        cthunk = self._thunk(node, inputs, outputs, lambda i: isinstance(node.inputs[i], T.Constant))
        computed = [compute_map[variable] for variable in node.outputs]
        run = native_module().run_thunk

        def thunk() -> None:
            run(cthunk)
            for cell in computed:
                cell[0] = True

        made: Any = thunk  # Theano reads these attributes
        made.cthunk, made.inputs, made.outputs, made.lazy = cthunk, inputs, outputs, False
        return made

    def perform(self, node: Any, inputs: Sequence[Any], output_storage: Any, params: Any = None) -> None:
        """Compute one node, for linkers that know no thunks."""
        cells = [[value] for value in inputs]
        native_module().run_thunk(self._thunk(node, cells, output_storage, lambda i: False))

    def apply(self, inputs: Sequence[Any], *outputs: Any) -> Any:
        """Make the node of this operation (``theano.gof.Apply``) with fresh output variables."""
        return Apply(self, list(inputs), list(outputs))
