"""Convolution of channels-last pictures, and its gradients, as Theano operations.

Pictures are (N, H, W, C) float32, weights (O, C/groups, rows, columns) float32. Weights are applied as they
are, as in Caffe (cross-correlation), not flipped.
"""

from __future__ import annotations

from theano.gradient import DisconnectedType, grad_not_implemented

from theano_cpu.onednn.activation import mask
from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type

_GEOMETRY = ("stride", "pad", "dilation", "groups")


class _ConvolutionOp(OneDnnOp):
    __props__ = _GEOMETRY

    def __init__(self, stride, pad, dilation, groups):
        self.stride, self.pad, self.dilation, self.groups = stride, pad, dilation, groups

    def geometry(self):
        return {name: getattr(self, name) for name in _GEOMETRY}

    def settings(self, node, frozen):
        return {**self.geometry(), "frozen_weights": frozen(1)}

    def output_shape(self, x, w):
        """Shape of the output, symbolic or not, for shapes of input and weights."""
        sides = [
            (side + 2 * pad - (kernel - 1) * dilation - 1) // stride + 1
            for side, kernel, stride, pad, dilation in zip(x[1:3], w[2:4], self.stride, self.pad, self.dilation)
        ]
        return (x[0], *sides, w[0])


class Convolution(_ConvolutionOp):
    """relu(convolution(x, w) + b + residual); see `theano_cpu.ops.conv2d`.

    Inputs are x, w, then the bias and the residual where there are. With `inplace` the output takes the
    residual's memory. With `bfloat16` x, residual and output are bfloat16 numbers kept as uint16; w and b
    stay float32.
    """

    native_name = "convolution"
    __props__ = (*_GEOMETRY, "bias", "residual", "relu", "negative_slope", "bfloat16", "inplace")

    def __init__(
        self,
        stride,
        pad,
        dilation,
        groups,
        bias,
        residual,
        relu,
        negative_slope=0.0,
        bfloat16=False,
        inplace=False,
    ):
        super().__init__(stride, pad, dilation, groups)
        self.bias, self.residual, self.relu, self.negative_slope = bias, residual, relu, negative_slope
        self.bfloat16, self.inplace = bfloat16, inplace
        if inplace:
            self.in_place = 2 + bias
            self.destroy_map = {0: [self.in_place]}

    def make_node(self, x, w, *others):
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

    def settings(self, node, frozen):
        own = {name: getattr(self, name) for name in ("bias", "residual", "relu", "negative_slope", "bfloat16")}
        return {**super().settings(node, frozen), **own}

    def infer_shape(self, node, shapes):
        return [self.output_shape(*shapes[:2])]

    def grad(self, inputs, output_gradients):
        if self.bfloat16:
            return [
                grad_not_implemented(self, i, value, "bfloat16 is for scoring only") for i, value in enumerate(inputs)
            ]
        x, w, *_ = inputs
        (gy,) = output_gradients
        if self.relu:
            gy = mask(gy, self(*inputs), self.negative_slope)
        geometry = self.geometry()
        weights = WeightGradient(**geometry, bias=self.bias)(x, w, gy)
        weights = list(weights) if self.bias else [weights]
        return [InputGradient(**geometry)(x, w, gy), *weights] + [gy] * self.residual


class InputGradient(_ConvolutionOp):
    """Gradient of a convolution with respect to its input. Of x only the shape is used."""

    native_name = "input_gradient"

    def make_node(self, x, w, gy):
        x, w, gy = (as_tensor("conv2d's gradient", name, value, 4) for name, value in (("x", x), ("w", w), ("gy", gy)))
        return self.apply([x, w, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def connection_pattern(self, node):
        return [[False], [True], [True]]

    def grad(self, inputs, output_gradients):
        _, w, gy = inputs
        (g,) = output_gradients
        forward = Convolution(**self.geometry(), bias=False, residual=False, relu=False)
        return [DisconnectedType()(), WeightGradient(**self.geometry(), bias=False)(g, w, gy), forward(g, w)]


class WeightGradient(_ConvolutionOp):
    """Gradients of a convolution with respect to its weights and, with `bias`, its bias.

    Of w only the shape is used.
    """

    native_name = "weight_gradient"
    __props__ = (*_GEOMETRY, "bias")

    def __init__(self, stride, pad, dilation, groups, bias):
        super().__init__(stride, pad, dilation, groups)
        self.bias = bias

    def settings(self, node, frozen):
        return {**self.geometry(), "bias": self.bias}

    def make_node(self, x, w, gy):
        x, w, gy = (as_tensor("conv2d's gradient", name, value, 4) for name, value in (("x", x), ("w", w), ("gy", gy)))
        outputs = [tensor_type(w.broadcastable)] + [tensor_type((w.broadcastable[0],))] * self.bias
        return self.apply([x, w, gy], *outputs)

    def infer_shape(self, node, shapes):
        return [shapes[1]] + [(shapes[1][0],)] * self.bias

    def connection_pattern(self, node):
        bias = [True] * self.bias
        return [[True, *([False] * self.bias)], [False, *([False] * self.bias)], [True, *bias]]

    def grad(self, inputs, output_gradients):
        x, w, gy = inputs
        g = output_gradients[0]
        if self.bias and not isinstance(output_gradients[1].type, DisconnectedType):
            return [
                grad_not_implemented(self, i, value, "second derivatives of the bias's gradient")
                if i != 1
                else DisconnectedType()()
                for i, value in enumerate(inputs)
            ]
        forward = Convolution(**self.geometry(), bias=False, residual=False, relu=False)
        return [InputGradient(**self.geometry())(x, g, gy), DisconnectedType()(), forward(x, g)]
