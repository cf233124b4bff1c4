"""Layout conversions between Theano's pictures, (n, channels, height, width), and (n, height, width, channels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from theano.gradient import grad_not_implemented

from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type


class Layout(OneDnnOp):
    """The conversion of a float32 tensor4; C-contiguous, unlike a dimshuffle.

    Parameters
    ----------
    channels_last : bool
        True: (n, channels, height, width) to (n, height, width, channels); False: back.
    bfloat16 : bool, optional
        Whether what is channels-last then is rounded to bfloat16 numbers, kept as uint16.

    References
    ----------
    .. [1] oneDNN, "Understanding memory formats" (nchw and nhwc),
       https://uxlfoundation.github.io/oneDNN/dev_guide_understanding_memory_formats.html

    Examples
    --------
    >>> import theano.tensor as T
    >>> Layout(channels_last=True)(T.tensor4()).type
    TensorType(float32, 4D)
    """

    native_name = "layout"
    __props__ = ("channels_last", "bfloat16")

    def __init__(self, channels_last: bool, bfloat16: bool = False):
        self.channels_last, self.bfloat16 = channels_last, bfloat16
        self.order = (0, 2, 3, 1) if channels_last else (0, 3, 1, 2)

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"channels_last": self.channels_last, "bfloat16": self.bfloat16}

    def make_node(self, x: Any) -> Any:
        x = as_tensor("to_nhwc" if self.channels_last else "to_nchw", "x", x, 4)
        dtype = "uint16" if self.bfloat16 else "float32"
        return self.apply([x], tensor_type([x.broadcastable[axis] for axis in self.order], dtype))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [tuple(shapes[0][axis] for axis in self.order)]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        if self.bfloat16:
            return [grad_not_implemented(self, 0, inputs[0], "bfloat16 is for scoring only")]
        return [Layout(not self.channels_last)(output_gradients[0])]
