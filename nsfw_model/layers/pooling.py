"""Pooling: the largest value or the average of windows. Caffe's pooling_layer.cpp."""

from __future__ import annotations

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer
from theano.tensor.signal.pool import pool_2d

from nsfw_model.layers.arguments import called, expect
from nsfw_model.layers.building import builds, image_shape, take
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule
from theano_cpu.shapes import pool_output_length

__all__ = ["PoolingLayer"]


class PoolingLayer(Layer):
    """Largest value or average of windows, with Caffe's rounding up of the output size. Caffe's pooling_layer.cpp.

    The output has ``ceil((size + 2 pad - kernel) / stride) + 1`` rows and columns, or with `round_mode` "floor"
    what is left when the last window that does not fit is dropped; with padding, a last window that would start
    in the padding behind the picture is dropped too. Windows are clipped at the border.
    An average divides by the window's area inside the padded picture, so padding counts as zeros and what
    lies beyond it does not count.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, C, H, W).
    mode : {"max", "ave"}
    kernel, stride, pad : (int, int)
        For height and width; pad is smaller than kernel.
    global_pooling : bool
        One window over the whole picture, whatever its size; kernel, stride, pad and round_mode are not used.
    round_mode : {"ceil", "floor"}

    Examples
    --------
    >>> PoolingLayer((None, 64, 112, 112), "max", kernel=(3, 3), stride=(2, 2)).output_shape
    (None, 64, 56, 56)
    """

    def __init__(
        self,
        incoming,
        mode,
        kernel=(1, 1),
        stride=(1, 1),
        pad=(0, 0),
        global_pooling=False,
        round_mode="ceil",
        **kwargs,
    ):
        super().__init__(incoming, **kwargs)
        if mode not in ("max", "ave"):
            raise ValueError(f"{called(self)}: mode: got {mode!r}, expected 'max' or 'ave'")
        if round_mode not in ("ceil", "floor"):
            raise ValueError(f"{called(self)}: round_mode: got {round_mode!r}, expected 'ceil' or 'floor'")
        if any(p >= k for p, k in zip(pad, kernel)):
            raise ValueError(f"{called(self)}: pad: got {tuple(pad)}, expected less than the kernel {tuple(kernel)}")
        expect(self, "input dimensions", len(self.input_shape), 4)
        self.mode, self.global_pooling, self.ceil = mode, global_pooling, round_mode == "ceil"
        self.kernel, self.stride, self.pad = tuple(kernel), tuple(stride), tuple(pad)

    def get_output_shape_for(self, input_shape):
        if self.global_pooling:
            return (*input_shape[:2], 1, 1)
        sizes = zip(input_shape[2:], self.kernel, self.stride, self.pad)
        return (*input_shape[:2], *(self._output_size(*each) for each in sizes))

    def _output_size(self, size, kernel, stride, pad):
        if size is None:
            return None
        if size + 2 * pad < kernel:
            raise ValueError(f"{called(self)}: padded input of {size + 2 * pad} is smaller than the kernel {kernel}")
        count = pool_output_length(size, kernel, stride, pad, self.ceil)
        # one was left out; Caffe keeps it here
        if self.ceil and not any(self.pad) and (count - 1) * stride + kernel < size:
            raise ValueError(
                f"{called(self)}: input size {size} with kernel {kernel} and stride {stride} has a last "
                "window without a pixel in it, whose value Caffe does not define"
            )
        return count

    def get_output_for(self, input, **kwargs):
        if self.global_pooling:
            reduce = T.max if self.mode == "max" else T.mean
            return reduce(input, axis=(2, 3), keepdims=True)
        if any(self.pad):
            return padded_pool(input, self.mode, self.kernel, self.stride, self.pad, self.ceil)
        mode = "max" if self.mode == "max" else "average_exc_pad"
        return pool_2d(input, self.kernel, ignore_border=not self.ceil, stride=self.stride, mode=mode)


def padded_pool(input, mode, kernel, stride, pad, ceil=True):
    """Pool with padding: Theano's own would round down, so the picture is laid out as Caffe sees it.

    Parameters
    ----------
    input : float32 tensor4, shape (n, channels, height, width)
    mode, kernel, stride, pad
        As `PoolingLayer` takes them.
    ceil : bool
        Whether the output's size is rounded up.

    Returns
    -------
    float32 tensor4
    """
    counts, extents = [], []
    for axis in (0, 1):
        size, k, s, p = input.shape[2 + axis], kernel[axis], stride[axis], pad[axis]
        count = pool_output_length(size, k, s, p, ceil)
        counts.append(count)
        extents.append(T.maximum((count - 1) * s + k, size + p))
    filling = np.float32(-np.inf if mode == "max" else 0)
    padded = T.alloc(filling, input.shape[0], input.shape[1], *extents)
    rows, columns = (slice(p, p + input.shape[2 + axis]) for axis, p in enumerate(pad))
    padded = T.set_subtensor(padded[:, :, rows, columns], input)
    pooled = pool_2d(padded, kernel, ignore_border=True, stride=stride, mode="max" if mode == "max" else "sum")
    if mode == "max":
        return pooled
    heights, widths = (
        T.minimum(T.arange(counts[axis]) * stride[axis] + kernel[axis], input.shape[2 + axis] + 2 * pad[axis])
        - T.arange(counts[axis]) * stride[axis]
        for axis in (0, 1)
    )
    area = heights.dimshuffle(0, "x") * widths.dimshuffle("x", 0)
    return pooled / T.cast(area, "float32").dimshuffle("x", "x", 0, 1)


@lowering_rule(PoolingLayer)
def _lower(layer, value):
    if layer.global_pooling:
        return [ir.GlobalPool(keepdims=True)] if layer.mode == "ave" else None
    mode = "max" if layer.mode == "max" else "average_inc_pad"
    return [ir.Pool(layer.kernel, layer.stride, layer.pad, mode, ceil=layer.ceil)]


@builds("Pooling", lowered=True)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    image_shape(spec, incomings[0])
    return PoolingLayer(incomings[0], **spec.settings, name=spec.name)
