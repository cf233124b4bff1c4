"""Layout conversions between Theano's pictures, (n, channels, height, width), and (n, height, width, channels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from theano_cpu.onednn.operation import OneDnnOp, as_tensor, tensor_type


class Layout(OneDnnOp):
    """The conversion of a float32 tensor4; C-contiguous, unlike a dimshuffle.

    Parameters
    ----------
    channels_last : bool
        True: (n, channels, height, width) to (n, height, width, channels); False: back.

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
    __props__ = ("channels_last",)

    def __init__(self, channels_last: bool):
        self.channels_last = channels_last
        self.order = (0, 2, 3, 1) if channels_last else (0, 3, 1, 2)

    def settings(self, node: Any, frozen: Callable[[int], bool]) -> dict[str, Any]:
        return {"channels_last": self.channels_last}

    def make_node(self, x: Any) -> Any:
        x = as_tensor("to_nhwc" if self.channels_last else "to_nchw", "x", x, 4)
        return self.apply([x], tensor_type([x.broadcastable[axis] for axis in self.order]))

    def infer_shape(self, node: Any, shapes: Sequence[Any]) -> list[Any]:
        return [tuple(shapes[0][axis] for axis in self.order)]

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> list[Any]:
        return [Layout(not self.channels_last)(output_gradients[0])]
