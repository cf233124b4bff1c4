"""What happens between convolutions: the gradient through a ReLU, sums, and bfloat16 numbers."""

from __future__ import annotations

from theano.gradient import grad_undefined

from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type


def mask(g, y, negative_slope=0.0):
    """The gradient `g` of a (leaky) ReLU's output `y`, passed on to its input.

    It is g where y > 0, else negative_slope * g.

    At zero the subgradient is that of the negative side: 0 for the plain ReLU.
    """
    return Mask(negative_slope)(g, y)


class Mask(OneDnnOp):
    """Inputs g and y, or a, b and y for g = a + b; see `mask`.

    With `inplace` the output takes the first input's memory.
    """

    native_name = "mask"
    __props__ = ("negative_slope", "inplace")

    def __init__(self, negative_slope=0.0, inplace=False):
        self.negative_slope, self.inplace = float(negative_slope), inplace
        if inplace:
            self.in_place = 0
            self.destroy_map = {0: [0]}

    def settings(self, node, frozen):
        return {"negative_slope": self.negative_slope}

    def make_node(self, *inputs):
        inputs = [as_tensor("ReLU's gradient", "a gradient or output", value, 4) for value in inputs]
        return self.apply(inputs, tensor_type(inputs[-1].broadcastable))

    def infer_shape(self, node, shapes):
        return [shapes[-1]]

    def grad(self, inputs, output_gradients):
        *terms, y = inputs
        g = mask(output_gradients[0], y, self.negative_slope)
        return [g] * len(terms) + [y.zeros_like()]


class Sum(OneDnnOp):
    """The sum of pictures of one shape. With `inplace` the output takes the first input's memory."""

    native_name = "sum"
    __props__ = ("inplace",)

    def __init__(self, inplace=False):
        self.inplace = inplace
        if inplace:
            self.in_place = 0
            self.destroy_map = {0: [0]}

    def make_node(self, *inputs):
        inputs = [as_tensor("sum", "a term", value, 4) for value in inputs]
        return self.apply(inputs, tensor_type([all(axis) for axis in zip(*(i.broadcastable for i in inputs))]))

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def grad(self, inputs, output_gradients):
        return [output_gradients[0]] * len(inputs)


class Bfloat16(OneDnnOp):
    """float32 pictures to bfloat16 (rounded to nearest even), kept as uint16; back with ``narrow=False``."""

    native_name = "bfloat16"
    __props__ = ("narrow",)

    def __init__(self, narrow):
        self.narrow = narrow

    def settings(self, node, frozen):
        return {"narrow": self.narrow}

    def make_node(self, x):
        before, after = ("float32", "uint16") if self.narrow else ("uint16", "float32")
        x = as_tensor("bfloat16", "x", x, 4, before)
        return self.apply([x], tensor_type(x.broadcastable, after))

    def infer_shape(self, node, shapes):
        return shapes

    def grad(self, inputs, output_gradients):
        return [grad_undefined(self, 0, inputs[0], "bfloat16 is for scoring only")]
