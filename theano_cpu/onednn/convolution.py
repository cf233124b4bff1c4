"""Convolution of channels-last pictures, and its gradients, as Theano operations.

Pictures are float32 tensor4, shape (n, height, width, channels); weights are float32 tensor4, shape
(filters, channels / groups, rows, columns). Weights are applied as they are, as in Caffe (cross-correlation), not
flipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import theano.tensor as T
from theano.gof.graph import io_toposort
from theano.gradient import DisconnectedType, grad_not_implemented

from theano_cpu.onednn.activation import Bfloat16, relu_gradient
from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type, values_of
from theano_cpu.onednn.program import Program
from theano_cpu.shapes import conv_output_length

_GEOMETRY = ("stride", "pad", "dilation", "groups")


class _ConvolutionOp(OneDnnOp):
    __props__: tuple[str, ...] = _GEOMETRY

    def __init__(self, stride: tuple[int, int], pad: tuple[int, int], dilation: tuple[int, int], groups: int):
        self.stride, self.pad, self.dilation, self.groups = stride, pad, dilation, groups

    def geometry(self) -> dict[str, Any]:
        """Stride, pad, dilation and groups by their names."""
        return {name: getattr(self, name) for name in _GEOMETRY}

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {**self.geometry(), "frozen_weights": frozen(1)}

    def output_shape(self, x: Sequence[Any], w: Sequence[Any]) -> tuple[Any, ...]:
        """Shape of the output, symbolic or not, for shapes of input and weights."""
        sides = zip(x[1:3], w[2:4], self.stride, self.pad, self.dilation)
        return (x[0], *(conv_output_length(*side) for side in sides), w[0])


class _RectifiedOp(_ConvolutionOp):
    """A convolution with what follows it: a bias, a residual, a (leaky) ReLU."""

    __props__: tuple[str, ...] = (*_GEOMETRY, "bias", "residual", "relu", "negative_slope")

    def __init__(
        self,
        stride: tuple[int, int],
        pad: tuple[int, int],
        dilation: tuple[int, int],
        groups: int,
        bias: bool,
        residual: bool,
        relu: bool,
        negative_slope: float = 0.0,
    ):
        super().__init__(stride, pad, dilation, groups)
        self.bias, self.residual, self.relu, self.negative_slope = bias, residual, relu, negative_slope

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [self.output_shape(*shapes[:2])]

    def before_relu(self, inputs: Sequence[Any], gy: Any) -> Any:
        """The gradient of what the ReLU is given, for that of the output."""
        return relu_gradient(gy, self(*inputs), self.negative_slope) if self.relu else gy


class Convolution(_RectifiedOp):
    """relu(convolution(x, w) + b + residual); see `theano_cpu.ops.conv2d`.

    Its inputs are x, w, then the bias and the residual where there are.

    Parameters
    ----------
    stride, pad, dilation : (int, int)
        For rows and columns.
    groups : int
    bias, residual, relu : bool
        What the operation does besides.
    negative_slope : float, optional
        Slope of the ReLU below zero.
    bfloat16 : bool, optional
        Whether x, residual and output are bfloat16 numbers kept as uint16; w and b stay float32.
    inplace : bool, optional
        Whether the output takes the residual's memory.

    References
    ----------
    .. [1] oneDNN, "Convolution" and its post-ops (sum, binary, eltwise),
       https://uxlfoundation.github.io/oneDNN/dev_guide_convolution.html

    Examples
    --------
    >>> import theano.tensor as T
    >>> op = Convolution((1, 1), (0, 0), (1, 1), 1, bias=True, residual=False, relu=True)
    >>> op(T.tensor4("x"), T.tensor4("w"), T.vector("b")).type
    TensorType(float32, 4D)
    """

    native_name = "convolution"
    __props__ = (*_RectifiedOp.__props__, "bfloat16", "inplace")

    def __init__(
        self,
        stride: tuple[int, int],
        pad: tuple[int, int],
        dilation: tuple[int, int],
        groups: int,
        bias: bool,
        residual: bool,
        relu: bool,
        negative_slope: float = 0.0,
        bfloat16: bool = False,
        inplace: bool = False,
    ):
        super().__init__(stride, pad, dilation, groups, bias, residual, relu, negative_slope)
        self.bfloat16, self.inplace = bfloat16, inplace
        if inplace:
            self.in_place = 2 + bias
            self.destroy_map = {0: [self.in_place]}

    def make_node(self, x: Any, w: Any, *others: Any) -> Any:
        values = "uint16" if self.bfloat16 else "float32"
        inputs = [as_tensor("conv2d", "x", x, 4, values), as_tensor("conv2d", "w", w, 4)]
        if len(others) != self.bias + self.residual:
            raise TypeError(f"conv2d: got {2 + len(others)} inputs, expected {2 + self.bias + self.residual}")
        if self.bias:
            inputs.append(as_tensor("conv2d", "b", others[0], 1))
        if self.residual:
            inputs.append(as_tensor("conv2d", "residual", others[-1], 4, values))
        batch, filters = inputs[0].broadcastable[0], inputs[1].broadcastable[0]
        return self.apply(inputs, tensor_type((batch, False, False, filters), values))

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("bias", "residual", "relu", "negative_slope", "bfloat16")}
        return {**super().settings(node, frozen), **own}

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        if self.bfloat16:
            return [
                grad_not_implemented(self, i, value, "bfloat16 is for scoring only") for i, value in enumerate(inputs)
            ]
        x, w, *_ = inputs
        gy = self.before_relu(inputs, output_gradients[0])
        geometry = self.geometry()
        weights = WeightGradient(**geometry, bias=self.bias)(x, w, gy)
        weights = list(weights) if self.bias else [weights]
        return [InputGradient(**geometry)(x, w, gy), *weights] + [gy] * self.residual


class RoundedConvolution(_RectifiedOp):
    """A convolution of float32 pictures that are to be rounded to bfloat16 for it, and its result too.

    Unlike bfloat16 numbers, which Theano takes for whole ones, it has a gradient. `Convolution` with ``bfloat16``
    between conversions takes its place when a function is compiled.

    Parameters
    ----------
    stride, pad, dilation : (int, int)
        For rows and columns.
    groups : int
    bias, residual, relu : bool
    negative_slope : float, optional
        All as those of `Convolution`.

    Examples
    --------
    >>> import theano.tensor as T
    >>> op = RoundedConvolution((1, 1), (0, 0), (1, 1), 1, bias=False, residual=False, relu=True)
    >>> op(T.tensor4("x"), T.tensor4("w")).type
    TensorType(float32, 4D)
    """

    def make_node(self, *inputs: Any) -> Any:
        node = self._convolution(bfloat16=False).make_node(*inputs)
        return self.apply(node.inputs, node.outputs[0].type())

    def _convolution(self, bfloat16: bool) -> Convolution:
        return Convolution(**{name: getattr(self, name) for name in self.__props__}, bfloat16=bfloat16)

    def narrow(self, x: Any, w: Any, *others: Any) -> Any:
        """Give what it computes by operations on bfloat16 numbers.

        Parameters
        ----------
        x, w : float32 tensor4
        others : float32 tensors
            The bias and the residual, where there are.

        Returns
        -------
        float32 tensor4
        """
        bias, residual = others[: self.bias], others[self.bias :]
        narrowed = (Bfloat16(True)(value) for value in residual)
        return Bfloat16(False)(self._convolution(bfloat16=True)(Bfloat16(True)(x), w, *bias, *narrowed))

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        x, w, *_ = inputs
        gy = self.before_relu(inputs, output_gradients[0])
        weights = [
            grad_not_implemented(self, i, inputs[i], "weights are not trained in bfloat16")
            for i in range(1, 2 + self.bias)
        ]
        return [InputGradient(**self.geometry(), bfloat16=True)(x, w, gy), *weights] + [gy] * self.residual

    def _thunk(self, node: Any, input_cells: list, output_cells: list, frozen: Callable[[int], bool]) -> Any:
        """Where the function was compiled without the pass that replaces it."""
        nodes = io_toposort(node.inputs, [self.narrow(*node.inputs)])
        program = Program.of(nodes, node.inputs, nodes[-1].outputs)
        return program._thunk(program.make_node(*node.inputs), input_cells, output_cells, frozen)


class InputGradient(_ConvolutionOp):
    """The gradient of a convolution with respect to its input.

    Its inputs are x, of which only the shape is used, w, and the gradient gy of the output.

    Parameters
    ----------
    stride, pad, dilation : (int, int)
        For rows and columns.
    groups : int
    bfloat16 : bool, optional
        Whether w and gy are rounded to bfloat16 numbers before they are multiplied.

    References
    ----------
    .. [1] oneDNN, "Convolution", backward by data,
       https://uxlfoundation.github.io/oneDNN/dev_guide_convolution.html
    .. [2] W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
       Convolutional Neural Network", CVPR 2016, arXiv:1609.05158. A strided convolution of few channels is undone
       in this way: one convolution computes all phases of the stride as channels, which are interleaved then.

    Examples
    --------
    >>> import theano.tensor as T
    >>> op = InputGradient(stride=(2, 2), pad=(3, 3), dilation=(1, 1), groups=1)
    >>> op(T.tensor4("x"), T.tensor4("w"), T.tensor4("gy")).type
    TensorType(float32, 4D)
    """

    native_name = "input_gradient"
    __props__ = (*_GEOMETRY, "bfloat16")

    def __init__(
        self,
        stride: tuple[int, int],
        pad: tuple[int, int],
        dilation: tuple[int, int],
        groups: int,
        bfloat16: bool = False,
    ):
        super().__init__(stride, pad, dilation, groups)
        self.bfloat16 = bfloat16

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        own = {"bfloat16": self.bfloat16, "narrow_x": node.inputs[0].dtype == "uint16"}
        return {**super().settings(node, frozen), **own}

    def make_node(self, x: Any, w: Any, gy: Any) -> Any:
        x = as_tensor("conv2d's gradient", "x", x, 4, values_of(x))
        w, gy = (as_tensor("conv2d's gradient", name, value, 4) for name, value in (("w", w), ("gy", gy)))
        return self.apply([x, w, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[0]]

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        return [[False], [True], [True]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        _, w, gy = inputs
        (g,) = output_gradients
        forward = Convolution(**self.geometry(), bias=False, residual=False, relu=False)
        return [DisconnectedType()(), WeightGradient(**self.geometry(), bias=False)(g, w, gy), forward(g, w)]


class WeightGradient(_ConvolutionOp):
    """The gradients of a convolution with respect to its weights and, where asked for, its bias.

    Its inputs are x, w, of which only the shape is used, and the gradient gy of the output.

    Parameters
    ----------
    stride, pad, dilation : (int, int)
        For rows and columns.
    groups : int
    bias : bool
        Whether the bias's gradient is a second output.

    References
    ----------
    .. [1] oneDNN, "Convolution", backward by weights,
       https://uxlfoundation.github.io/oneDNN/dev_guide_convolution.html

    Examples
    --------
    >>> import theano.tensor as T
    >>> op = WeightGradient((1, 1), (0, 0), (1, 1), 1, bias=True)
    >>> [gradient.type for gradient in op(T.tensor4("x"), T.tensor4("w"), T.tensor4("gy"))]
    [TensorType(float32, 4D), TensorType(float32, vector)]
    """

    native_name = "weight_gradient"
    __props__ = (*_GEOMETRY, "bias")

    def __init__(
        self, stride: tuple[int, int], pad: tuple[int, int], dilation: tuple[int, int], groups: int, bias: bool
    ):
        super().__init__(stride, pad, dilation, groups)
        self.bias = bias

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {**self.geometry(), "bias": self.bias}

    def make_node(self, x: Any, w: Any, gy: Any) -> Any:
        x, w, gy = (as_tensor("conv2d's gradient", name, value, 4) for name, value in (("x", x), ("w", w), ("gy", gy)))
        outputs = [tensor_type(w.broadcastable)] + [tensor_type((w.broadcastable[0],))] * self.bias
        return self.apply([x, w, gy], *outputs)

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [shapes[1]] + [(shapes[1][0],)] * self.bias

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        bias = [True] * self.bias
        return [[True, *([False] * self.bias)], [False, *([False] * self.bias)], [True, *bias]]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        x, w, gy = inputs
        disconnected, of_gy = DisconnectedType()(), []
        of_x = disconnected
        if not isinstance(output_gradients[0].type, DisconnectedType):
            g = output_gradients[0]
            of_x = InputGradient(**self.geometry())(x, g, gy)
            of_gy.append(Convolution(**self.geometry(), bias=False, residual=False, relu=False)(x, g))
        if self.bias and not isinstance(output_gradients[1].type, DisconnectedType):
            # The bias's gradient is the sum of gy over pictures, rows and columns
            of_gy.append(T.zeros_like(gy) + output_gradients[1].dimshuffle("x", "x", "x", 0))
        return [of_x, disconnected, sum(of_gy[1:], of_gy[0])]
