"""Matrix products and softmax as Theano operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from theano_compat.deprecation import deprecated_names
from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type

__getattr__ = deprecated_names(__name__, {"Product": "theano_cpu.onednn.dense:Gemm"})


class Gemm(OneDnnOp):
    """The product of two matrices (BLAS's general matrix multiplication), plus a bias where there is one.

    Its inputs are float32 matrices a and b, and optionally a float32 vector that is added to every row.

    Parameters
    ----------
    transpose_a, transpose_b : bool
        Whether a and b are transposed first.

    References
    ----------
    .. [1] oneDNN, ``dnnl_sgemm``, https://uxlfoundation.github.io/oneDNN/dev_guide_matmul.html

    Examples
    --------
    >>> import theano.tensor as T
    >>> Gemm(transpose_a=False, transpose_b=True)(T.matrix(), T.matrix(), T.vector()).type
    TensorType(float32, matrix)
    """

    native_name = "gemm"
    __props__ = ("transpose_a", "transpose_b")

    def __init__(self, transpose_a: bool, transpose_b: bool):
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"transpose_a": self.transpose_a, "transpose_b": self.transpose_b}

    def make_node(self, a: Any, b: Any, *bias: Any) -> Any:
        inputs = [as_tensor("inner_product", "x", a, 2), as_tensor("inner_product", "W", b, 2)]
        inputs += [as_tensor("inner_product", "b", value, 1) for value in bias]
        a, b = inputs[:2]
        pattern = a.broadcastable[self.transpose_a], b.broadcastable[not self.transpose_b]
        return self.apply(inputs, tensor_type(pattern))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [(shapes[0][int(self.transpose_a)], shapes[1][int(not self.transpose_b)])]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        a, b, *bias = inputs
        (g,) = output_gradients
        ga = Gemm(self.transpose_b, True)(b, g) if self.transpose_a else Gemm(False, not self.transpose_b)(g, b)
        gb = Gemm(True, self.transpose_a)(g, a) if self.transpose_b else Gemm(not self.transpose_a, False)(a, g)
        return [ga, gb] + [SumRows()(g) for _ in bias]


class SumRows(OneDnnOp):
    """The sum of a float32 matrix's rows, a vector.

    Examples
    --------
    >>> import theano.tensor as T
    >>> SumRows()(T.matrix()).type
    TensorType(float32, vector)
    """

    native_name = "sum_rows"
    __props__ = ()

    def make_node(self, x: Any) -> Any:
        x = as_tensor("sum of rows", "x", x, 2)
        return self.apply([x], tensor_type((x.broadcastable[1],)))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [(shapes[0][1],)]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [inputs[0].zeros_like() + output_gradients[0].dimshuffle("x", 0)]


class Softmax(OneDnnOp):
    """exp(x) / sum(exp(x)) of every row of a float32 matrix.

    Examples
    --------
    >>> import theano.tensor as T
    >>> Softmax()(T.matrix()).type
    TensorType(float32, matrix)
    """

    native_name = "softmax"
    __props__ = ()

    def make_node(self, x: Any) -> Any:
        x = as_tensor("softmax", "x", x, 2)
        return self.apply([x], tensor_type(x.broadcastable))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return list(shapes)

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [SoftmaxGradient()(self(*inputs), output_gradients[0])]


class SoftmaxGradient(OneDnnOp):
    """The gradient of `Softmax`, for its output y and the gradient gy of that: y * (gy - sum(gy * y)).

    Examples
    --------
    >>> import theano.tensor as T
    >>> SoftmaxGradient()(T.matrix("y"), T.matrix("gy")).type
    TensorType(float32, matrix)
    """

    native_name = "softmax_gradient"
    __props__ = ()

    def make_node(self, y: Any, gy: Any) -> Any:
        y, gy = as_tensor("softmax's gradient", "y", y, 2), as_tensor("softmax's gradient", "gy", gy, 2)
        return self.apply([y, gy], tensor_type(y.broadcastable))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[0]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        y, gy = inputs
        (g,) = output_gradients
        dot = (gy * y).sum(axis=1, keepdims=True)
        return [g * (gy - dot) - gy * (g * y).sum(axis=1, keepdims=True), SoftmaxGradient()(y, g)]
