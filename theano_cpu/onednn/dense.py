"""Matrix products and softmax as Theano operations."""

from __future__ import annotations


from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type


class Product(OneDnnOp):
    """a or its transpose times b or its transpose, plus a third input, if any, that is added to every row."""

    native_name = "product"
    __props__ = ("transpose_a", "transpose_b")

    def __init__(self, transpose_a, transpose_b):
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def settings(self, node, frozen):
        return {"transpose_a": self.transpose_a, "transpose_b": self.transpose_b}

    def make_node(self, a, b, *bias):
        inputs = [as_tensor("inner_product", "x", a, 2), as_tensor("inner_product", "W", b, 2)]
        inputs += [as_tensor("inner_product", "b", value, 1) for value in bias]
        a, b = inputs[:2]
        pattern = a.broadcastable[self.transpose_a], b.broadcastable[not self.transpose_b]
        return self.apply(inputs, tensor_type(pattern))

    def infer_shape(self, node, shapes):
        return [(shapes[0][int(self.transpose_a)], shapes[1][int(not self.transpose_b)])]

    def grad(self, inputs, output_gradients):
        a, b, *bias = inputs
        (g,) = output_gradients
        ga = Product(self.transpose_b, True)(b, g) if self.transpose_a else Product(False, not self.transpose_b)(g, b)
        gb = Product(True, self.transpose_a)(g, a) if self.transpose_b else Product(not self.transpose_a, False)(a, g)
        return [ga, gb] + [SumRows()(g) for _ in bias]


class SumRows(OneDnnOp):
    """The sum of a matrix's rows."""

    native_name = "sum_rows"
    __props__ = ()

    def make_node(self, x):
        x = as_tensor("sum of rows", "x", x, 2)
        return self.apply([x], tensor_type((x.broadcastable[1],)))

    def infer_shape(self, node, shapes):
        return [(shapes[0][1],)]

    def grad(self, inputs, output_gradients):
        return [inputs[0].zeros_like() + output_gradients[0].dimshuffle("x", 0)]


class Softmax(OneDnnOp):
    """exp(x) / sum(exp(x)) of every row of a matrix."""

    native_name = "softmax"
    __props__ = ()

    def make_node(self, x):
        x = as_tensor("softmax", "x", x, 2)
        return self.apply([x], tensor_type(x.broadcastable))

    def infer_shape(self, node, shapes):
        return shapes

    def grad(self, inputs, output_gradients):
        return [SoftmaxGradient()(self(*inputs), output_gradients[0])]


class SoftmaxGradient(OneDnnOp):
    """Inputs y = softmax(x) and its gradient."""

    native_name = "softmax_gradient"
    __props__ = ()

    def make_node(self, y, gy):
        y, gy = as_tensor("softmax's gradient", "y", y, 2), as_tensor("softmax's gradient", "gy", gy, 2)
        return self.apply([y, gy], tensor_type(y.broadcastable))

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def grad(self, inputs, output_gradients):
        y, gy = inputs
        (g,) = output_gradients
        dot = (gy * y).sum(axis=1, keepdims=True)
        return [g * (gy - dot) - gy * (g * y).sum(axis=1, keepdims=True), SoftmaxGradient()(y, g)]
