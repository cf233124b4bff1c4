"""What happens between convolutions: the gradient through a ReLU, sums, and bfloat16 numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from theano.gradient import grad_undefined

from theano_compat.deprecation import deprecated_names
from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type, values_of

__getattr__ = deprecated_names(
    __name__,
    {
        "Mask": "theano_cpu.onednn.activation:ReluGradient",
        "mask": "theano_cpu.onednn.activation:relu_gradient",
    },
)


def relu_gradient(g: Any, y: Any, negative_slope: float = 0.0) -> Any:
    """Pass the gradient of a (leaky) ReLU's output on to its input.

    Parameters
    ----------
    g : float32 tensor4
        Gradient of the output.
    y : float32 tensor4, shape of g
        The output itself.
    negative_slope : float, optional
        Slope of the ReLU below zero, at least 0.

    Returns
    -------
    float32 tensor4, shape of g
        g where y > 0, elsewhere negative_slope * g. So the subgradient at zero is that of the negative side.

    References
    ----------
    .. [1] oneDNN, ``eltwise_relu_use_dst_for_bwd``, the same formula,
       https://uxlfoundation.github.io/oneDNN/dev_guide_eltwise.html
    .. [2] A. L. Maas, A. Y. Hannun, A. Y. Ng, "Rectifier nonlinearities improve neural network acoustic models",
       ICML 2013 (the leaky ReLU).

    Examples
    --------
    >>> import theano.tensor as T
    >>> relu_gradient(T.tensor4("g"), T.tensor4("y"), negative_slope=0.1).type
    TensorType(float32, 4D)
    """
    return ReluGradient(negative_slope)(g, y)


class ReluGradient(OneDnnOp):
    """The gradient of a ReLU, for inputs g and y, or a, b and y for g = a + b; see `relu_gradient`.

    y may be bfloat16 numbers kept as uint16.

    Parameters
    ----------
    negative_slope : float, optional
    inplace : bool, optional
        Whether the output takes the first input's memory.

    Examples
    --------
    >>> print(ReluGradient(0.25))
    ReluGradient{negative_slope=0.25, inplace=False}
    """

    native_name = "relu_gradient"
    __props__ = ("negative_slope", "inplace")

    def __init__(self, negative_slope: float = 0.0, inplace: bool = False):
        self.negative_slope, self.inplace = float(negative_slope), inplace
        if inplace:
            self.in_place = 0
            self.destroy_map = {0: [0]}

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope, "bfloat16": node.inputs[-1].dtype == "uint16"}

    def make_node(self, *inputs: Any) -> Any:
        *terms, y = inputs
        tensors = [as_tensor("ReLU's gradient", "a gradient", value, 4) for value in terms]
        tensors.append(as_tensor("ReLU's gradient", "an output", y, 4, values_of(y)))
        return self.apply(tensors, tensor_type(tensors[-1].broadcastable))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[-1]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        *terms, y = inputs
        g = relu_gradient(output_gradients[0], y, self.negative_slope)
        return [g] * len(terms) + [y.zeros_like()]


class Sum(OneDnnOp):
    """The sum of two or more pictures of one shape (float32 tensor4).

    Parameters
    ----------
    inplace : bool, optional
        Whether the output takes the first input's memory.

    Examples
    --------
    >>> import theano.tensor as T
    >>> Sum()(T.tensor4(), T.tensor4(), T.tensor4()).type
    TensorType(float32, 4D)
    """

    native_name = "sum"
    __props__ = ("inplace",)

    def __init__(self, inplace: bool = False):
        self.inplace = inplace
        if inplace:
            self.in_place = 0
            self.destroy_map = {0: [0]}

    def make_node(self, *inputs: Any) -> Any:
        tensors = [as_tensor("sum", "a term", value, 4) for value in inputs]
        return self.apply(tensors, tensor_type([all(axis) for axis in zip(*(x.broadcastable for x in tensors))]))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[0]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [output_gradients[0]] * len(inputs)


class Bfloat16(OneDnnOp):
    """float32 pictures to bfloat16, rounded to nearest even and kept as uint16; or back.

    Parameters
    ----------
    narrow : bool
        True: float32 tensor4 to uint16 tensor4; False: back.

    References
    ----------
    .. [1] oneDNN, "Data Types", https://uxlfoundation.github.io/oneDNN/dev_guide_data_types.html

    Examples
    --------
    >>> import theano.tensor as T
    >>> Bfloat16(narrow=True)(T.tensor4()).type
    TensorType(uint16, 4D)
    """

    native_name = "bfloat16"
    __props__ = ("narrow",)

    def __init__(self, narrow: bool):
        self.narrow = narrow

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"narrow": self.narrow}

    def make_node(self, x: Any) -> Any:
        before, after = ("float32", "uint16") if self.narrow else ("uint16", "float32")
        x = as_tensor("bfloat16", "x", x, 4, before)
        return self.apply([x], tensor_type(x.broadcastable, after))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return list(shapes)

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [grad_undefined(self, 0, inputs[0], "bfloat16 is for scoring only")]
