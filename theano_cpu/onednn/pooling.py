"""Pooling, subsampling and the mean of channels-last pictures, and their gradients.

Pictures are float32 tensor4, shape (n, height, width, channels); or, of what has no gradient, bfloat16 numbers kept as
uint16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from theano.gradient import DisconnectedType, grad_not_implemented

from theano_compat.deprecation import deprecated_names
from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type, values_of
from theano_cpu.shapes import conv_output_length, pool_output_length

__getattr__ = deprecated_names(__name__, {"window_count": "theano_cpu.shapes:pool_output_length"})

MODES = ("max", "average_inc_pad", "average_exc_pad")


class _PoolOp(OneDnnOp):
    __props__ = ("size", "stride", "pad", "mode", "ceil")

    def __init__(self, size: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], mode: str, ceil: bool):
        self.size, self.stride, self.pad, self.mode, self.ceil = size, stride, pad, mode, ceil

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {
            "size": self.size,
            "stride": self.stride,
            "pad": self.pad,
            "ceil": self.ceil,
            "mode": MODES.index(self.mode),
        }


class Pool(_PoolOp):
    """The maximum or average over windows, the maximum of bfloat16 numbers too; see `theano_cpu.ops.pool2d`.

    Parameters
    ----------
    size, stride, pad : (int, int)
        For rows and columns.
    mode : {'max', 'average_inc_pad', 'average_exc_pad'}
    ceil : bool
        See `theano_cpu.shapes.pool_output_length`.

    References
    ----------
    .. [1] Caffe, ``src/caffe/layers/pooling_layer.cpp``, whose windows, averages and gradients these are,
       https://github.com/BVLC/caffe/blob/master/src/caffe/layers/pooling_layer.cpp

    Examples
    --------
    >>> import theano.tensor as T
    >>> Pool((3, 3), (2, 2), (0, 0), "max", ceil=True)(T.tensor4()).type
    TensorType(float32, 4D)
    """

    native_name = "pool"

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {**super().settings(node, frozen), "bfloat16": node.inputs[0].dtype == "uint16"}

    def make_node(self, x: Any) -> Any:
        dtype = values_of(x) if self.mode == "max" else "float32"
        x = as_tensor("pool2d", "x", x, 4, dtype)
        return self.apply([x], tensor_type((x.broadcastable[0], False, False, x.broadcastable[3]), dtype))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        batch, *sides, channels = shapes[0]
        windows = zip(sides, self.size, self.stride, self.pad)
        return [(batch, *(pool_output_length(*window, self.ceil) for window in windows), channels)]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        (x,) = inputs
        gradient = PoolGradient(self.size, self.stride, self.pad, self.mode, self.ceil)
        return [gradient(x, self(x), output_gradients[0])]


class PoolGradient(_PoolOp):
    """The gradient of `Pool`, for inputs x, y = pool(x) and the gradient gy of y.

    Of equal maxima in a window the first, row by row, receives the gradient, as in Caffe.

    Parameters
    ----------
    size, stride, pad : (int, int)
    mode : {'max', 'average_inc_pad', 'average_exc_pad'}
    ceil : bool
        All those of the `Pool`.

    Examples
    --------
    >>> import theano.tensor as T
    >>> op = PoolGradient((3, 3), (2, 2), (0, 0), "max", ceil=True)
    >>> op(T.tensor4("x"), T.tensor4("y"), T.tensor4("gy")).type
    TensorType(float32, 4D)
    """

    native_name = "pool_gradient"

    def make_node(self, x: Any, y: Any, gy: Any) -> Any:
        x, y, gy = (as_tensor("pool2d's gradient", name, value, 4) for name, value in (("x", x), ("y", y), ("gy", gy)))
        return self.apply([x, y, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[0]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [grad_not_implemented(self, i, value, "second derivatives of pooling") for i, value in enumerate(inputs)]


class Subsample(OneDnnOp):
    """Every step-th row and column of pictures, float32 or bfloat16 numbers kept as uint16.

    Parameters
    ----------
    step : (int, int)
        For rows and columns.

    Examples
    --------
    >>> import theano.tensor as T
    >>> Subsample((2, 2))(T.tensor4()).type
    TensorType(float32, 4D)
    """

    native_name = "subsample"
    __props__ = ("step",)

    def __init__(self, step: tuple[int, int]):
        self.step = step

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"step": self.step, "bfloat16": node.inputs[0].dtype == "uint16"}

    def make_node(self, x: Any) -> Any:
        dtype = values_of(x)
        x = as_tensor("subsample", "x", x, 4, dtype)
        return self.apply([x], tensor_type(x.broadcastable, dtype))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        batch, *sides, channels = shapes[0]
        return [(batch, *(conv_output_length(side, 1, step) for side, step in zip(sides, self.step)), channels)]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [SubsampleGradient(self.step)(inputs[0], output_gradients[0])]


class SubsampleGradient(OneDnnOp):
    """The gradient of `Subsample`, for inputs x, of which only the shape is used, and the gradient gy of the output.

    Parameters
    ----------
    step : (int, int)
        For rows and columns.

    Examples
    --------
    >>> import theano.tensor as T
    >>> SubsampleGradient((2, 2))(T.tensor4("x"), T.tensor4("gy")).type
    TensorType(float32, 4D)
    """

    native_name = "subsample_gradient"
    __props__ = ("step",)

    def __init__(self, step: tuple[int, int]):
        self.step = step

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"step": self.step, "narrow_x": node.inputs[0].dtype == "uint16"}

    def make_node(self, x: Any, gy: Any) -> Any:
        x = as_tensor("subsample's gradient", "x", x, 4, values_of(x))
        gy = as_tensor("subsample's gradient", "gy", gy, 4)
        return self.apply([x, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[0]]

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        return [[False], [True]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [DisconnectedType()(), Subsample(self.step)(output_gradients[0])]


class GlobalPool(OneDnnOp):
    """The mean over rows and columns: (n, height, width, channels) to (n, channels), float32 for bfloat16 numbers too.

    References
    ----------
    .. [1] M. Lin, Q. Chen, S. Yan, "Network In Network", ICLR 2014, arXiv:1312.4400 (global average pooling).

    Examples
    --------
    >>> import theano.tensor as T
    >>> GlobalPool()(T.tensor4()).type
    TensorType(float32, matrix)
    """

    native_name = "global_pool"
    __props__ = ()

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"bfloat16": node.inputs[0].dtype == "uint16"}

    def make_node(self, x: Any) -> Any:
        x = as_tensor("global_pool", "x", x, 4, values_of(x))
        return self.apply([x], tensor_type((x.broadcastable[0], x.broadcastable[3])))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [(shapes[0][0], shapes[0][3])]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [GlobalPoolGradient()(inputs[0], output_gradients[0])]


class GlobalPoolGradient(OneDnnOp):
    """The gradient of `GlobalPool`, for inputs x, of which only the shape is used, and the gradient gy of the mean.

    Examples
    --------
    >>> import theano.tensor as T
    >>> GlobalPoolGradient()(T.tensor4("x"), T.matrix("gy")).type
    TensorType(float32, 4D)
    """

    native_name = "global_pool_gradient"
    __props__ = ()

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"narrow_x": node.inputs[0].dtype == "uint16"}

    def make_node(self, x: Any, gy: Any) -> Any:
        x = as_tensor("global_pool's gradient", "x", x, 4, values_of(x))
        gy = as_tensor("global_pool's gradient", "gy", gy, 2)
        return self.apply([x, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[0]]

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        return [[False], [True]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [DisconnectedType()(), GlobalPool()(output_gradients[0])]
