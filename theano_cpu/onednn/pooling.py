"""Pooling, subsampling and the mean of channels-last pictures (N, H, W, C), and their gradients."""

from __future__ import annotations

from theano.gradient import DisconnectedType, grad_not_implemented

from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type

MODES = ("max", "average_inc_pad", "average_exc_pad")


def window_count(side, size, stride, pad, ceil):
    """How many windows of `size`, `stride` apart, lie along a side of a picture.

    Parameters
    ----------
    side : int or Theano integer
    size, stride, pad : int
        With pad < size.
    ceil : bool
        False leaves out windows that reach over the padded picture's end. True keeps them, but, as Caffe,
        none that begins behind the picture and the padding in front of it.

    Returns
    -------
    int or Theano integer, as `side`

    Examples
    --------
    >>> [window_count(112, 3, 2, 0, ceil) for ceil in (False, True)]
    [55, 56]
    """
    room = side + 2 * pad - size
    if not ceil:
        return room // stride + 1
    # Products with comparisons and not min and max, for integers and Theano variables alike
    steps = (room + stride - 1) // stride
    steps = steps * (steps > 0)
    return steps + 1 - (steps * stride >= side + pad)


class _PoolOp(OneDnnOp):
    __props__ = ("size", "stride", "pad", "mode", "ceil")

    def __init__(self, size, stride, pad, mode, ceil):
        self.size, self.stride, self.pad, self.mode, self.ceil = size, stride, pad, mode, ceil

    def settings(self, node, frozen):
        return {
            "size": self.size,
            "stride": self.stride,
            "pad": self.pad,
            "ceil": self.ceil,
            "mode": MODES.index(self.mode),
        }


class Pool(_PoolOp):
    """Maximum or average over windows; see `theano_cpu.ops.pool2d`."""

    native_name = "pool"

    def make_node(self, x):
        x = as_tensor("pool2d", "x", x, 4)
        return self.apply([x], tensor_type((x.broadcastable[0], False, False, x.broadcastable[3])))

    def infer_shape(self, node, shapes):
        batch, *sides, channels = shapes[0]
        windows = zip(sides, self.size, self.stride, self.pad)
        return [(batch, *[window_count(*window, self.ceil) for window in windows], channels)]

    def grad(self, inputs, output_gradients):
        (x,) = inputs
        gradient = PoolGradient(self.size, self.stride, self.pad, self.mode, self.ceil)
        return [gradient(x, self(x), output_gradients[0])]


class PoolGradient(_PoolOp):
    """Inputs x, y = pool(x) and the gradient of y."""

    native_name = "pool_gradient"

    def make_node(self, x, y, gy):
        x, y, gy = (as_tensor("pool2d's gradient", name, value, 4) for name, value in (("x", x), ("y", y), ("gy", gy)))
        return self.apply([x, y, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def grad(self, inputs, output_gradients):
        return [grad_not_implemented(self, i, value, "second derivatives of pooling") for i, value in enumerate(inputs)]


class Subsample(OneDnnOp):
    """Every `step`-th row and column."""

    native_name = "subsample"
    __props__ = ("step",)

    def __init__(self, step):
        self.step = step

    def settings(self, node, frozen):
        return {"step": self.step, "bfloat16": node.inputs[0].dtype == "uint16"}

    def make_node(self, x):
        dtype = "uint16" if getattr(x, "dtype", None) == "uint16" else "float32"
        x = as_tensor("subsample", "x", x, 4, dtype)
        return self.apply([x], tensor_type(x.broadcastable, dtype))

    def infer_shape(self, node, shapes):
        batch, *sides, channels = shapes[0]
        return [(batch, *[(side + step - 1) // step for side, step in zip(sides, self.step)], channels)]

    def grad(self, inputs, output_gradients):
        return [SubsampleGradient(self.step)(inputs[0], output_gradients[0])]


class SubsampleGradient(OneDnnOp):
    """Inputs x, of which only the shape is used, and the gradient of its subsample."""

    native_name = "subsample_gradient"
    __props__ = ("step",)

    def __init__(self, step):
        self.step = step

    def settings(self, node, frozen):
        return {"step": self.step}

    def make_node(self, x, gy):
        x, gy = as_tensor("subsample's gradient", "x", x, 4), as_tensor("subsample's gradient", "gy", gy, 4)
        return self.apply([x, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def connection_pattern(self, node):
        return [[False], [True]]

    def grad(self, inputs, output_gradients):
        return [DisconnectedType()(), Subsample(self.step)(output_gradients[0])]


class GlobalPool(OneDnnOp):
    """The mean over rows and columns: (N, H, W, C) to (N, C)."""

    native_name = "global_pool"
    __props__ = ()

    def make_node(self, x):
        x = as_tensor("global_pool", "x", x, 4)
        return self.apply([x], tensor_type((x.broadcastable[0], x.broadcastable[3])))

    def infer_shape(self, node, shapes):
        return [(shapes[0][0], shapes[0][3])]

    def grad(self, inputs, output_gradients):
        return [GlobalPoolGradient()(inputs[0], output_gradients[0])]


class GlobalPoolGradient(OneDnnOp):
    """Inputs x, of which only the shape is used, and the gradient of its mean."""

    native_name = "global_pool_gradient"
    __props__ = ()

    def make_node(self, x, gy):
        x, gy = (
            as_tensor("global_pool's gradient", "x", x, 4),
            as_tensor("global_pool's gradient", "gy", gy, 2),
        )
        return self.apply([x, gy], tensor_type(x.broadcastable))

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def connection_pattern(self, node):
        return [[False], [True]]

    def grad(self, inputs, output_gradients):
        return [DisconnectedType()(), GlobalPool()(output_gradients[0])]
