"""The doors between Theano's layout of pictures, (N, C, H, W), and the one used here, (N, H, W, C)."""

from __future__ import annotations


from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type


class Layout(OneDnnOp):
    """(N, C, H, W) to (N, H, W, C) with `channels_last`, else back; C-contiguous, unlike a dimshuffle."""

    native_name = "layout"
    __props__ = ("channels_last",)

    def __init__(self, channels_last):
        self.channels_last = channels_last
        self.order = (0, 2, 3, 1) if channels_last else (0, 3, 1, 2)

    def settings(self, node, frozen):
        return {"channels_last": self.channels_last}

    def make_node(self, x):
        x = as_tensor("to_nhwc" if self.channels_last else "to_nchw", "x", x, 4)
        return self.apply([x], tensor_type([x.broadcastable[axis] for axis in self.order]))

    def infer_shape(self, node, shapes):
        return [tuple(shapes[0][axis] for axis in self.order)]

    def grad(self, inputs, output_gradients):
        return [Layout(not self.channels_last)(output_gradients[0])]
