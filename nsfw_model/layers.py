"""Caffe's layers as Lasagne layers, with Caffe's arithmetic.

All work on float32 arrays laid out (N, C, H, W), or (N, C) after an inner product. No layer relies on the
batch size or the picture size that a prototxt declares: the expressions use the sizes that arrive at run
time. Sources of the formulas: Caffe's layer implementations (https://github.com/BVLC/caffe,
src/caffe/layers/), which differ from Lasagne's own in places that change results: pooling rounds its output
size up, an average counts the padded area, an LRN divides alpha by its window, BatchNorm stores sums that a
third blob divides.
"""

from theano_cpu.onednn.pooling import window_count

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer, MergeLayer
from theano.compile import SharedVariable
from theano.tensor.signal.pool import pool_2d

__all__ = [
    "BatchNormLayer",
    "ConvolutionLayer",
    "EltwiseLayer",
    "InnerProductLayer",
    "LRNLayer",
    "PoolingLayer",
    "ScaleLayer",
    "SoftmaxLayer",
]


class ConvolutionLayer(Layer):
    """Cross-correlation of (N, C, H, W) with filters that are not flipped.

    The output has ``floor((size + 2 pad - dilation (kernel - 1) - 1) / stride) + 1`` rows and columns.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or its shape (N, C, H, W).
    W : float32 array or shared variable, shape (num_output, C / group, kernel height, kernel width)
    b : float32 array or shared variable, shape (num_output,), optional
    stride, pad, dilation : (int, int)
        For height and width.
    group : int
        Input and output channels are split into so many groups, each connected to its own only.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.ones((8, 3, 3, 3), "float32")
    >>> ConvolutionLayer((None, 3, 224, 224), W, stride=(2, 2), pad=(1, 1)).output_shape
    (None, 8, 112, 112)
    """

    def __init__(self, incoming, W, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1), group=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.stride, self.pad, self.dilation, self.group = tuple(stride), tuple(pad), tuple(dilation), group
        self.W = self.add_param(W, _shape(W), name="W")
        self.num_output, filter_channels, *kernel = _shape(W)
        self.kernel = tuple(kernel)
        _expect(self, "input dimensions", len(self.input_shape), 4)
        _expect(self, "input channels", self.input_shape[1], filter_channels * group)
        _expect(self, "outputs left over by the groups", self.num_output % group, 0)
        self.b = None if b is None else self.add_param(b, (self.num_output,), name="b", regularizable=False)

    def get_output_shape_for(self, input_shape):
        sizes = zip(input_shape[2:], self.kernel, self.stride, self.pad, self.dilation)
        return (input_shape[0], self.num_output, *(self._output_size(*each) for each in sizes))

    def _output_size(self, size, kernel, stride, pad, dilation):
        extent = dilation * (kernel - 1) + 1
        if size is None:
            return None
        if size + 2 * pad < extent:
            raise ValueError(f"{_called(self)}: padded input of {size + 2 * pad} is smaller than the kernel's {extent}")
        return (size + 2 * pad - extent) // stride + 1

    def get_output_for(self, input, **kwargs):
        output = T.nnet.conv2d(
            input,
            self.W,
            input_shape=(None, self.input_shape[1], None, None),
            filter_shape=(self.num_output, self.input_shape[1] // self.group, *self.kernel),
            border_mode=self.pad,
            subsample=self.stride,
            filter_flip=False,
            filter_dilation=self.dilation,
            num_groups=self.group,
        )
        return output if self.b is None else output + self.b.dimshuffle("x", 0, "x", "x")


class BatchNormLayer(Layer):
    """Normalisation of every channel by stored statistics, as Caffe's BatchNorm does in its TEST phase.

    Computes ``(x - mean / s) / sqrt(variance / s + eps)`` with ``s = scale_factor``; where s is 0, both
    statistics count as 0. The statistics are not trainable.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, C, ...).
    mean, variance : float32 array or shared variable, shape (C,)
        Caffe's blobs 0 and 1: sums of the statistics.
    scale_factor : float32 array or shared variable, shape (1,)
        Caffe's blob 2: what the sums are divided by.
    eps : float
        Keeps the root away from 0. Open NSFW has variances down to 2e-15, so its scores depend on it.

    Examples
    --------
    >>> import numpy as np
    >>> sums, count = np.ones(3, "float32"), np.ones(1, "float32")
    >>> BatchNormLayer((None, 3, 7, 7), sums, sums, count).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, mean, variance, scale_factor, eps=1e-5, **kwargs):
        super().__init__(incoming, **kwargs)
        self.eps = eps
        channels = (self.input_shape[1],)
        fixed = {"trainable": False, "regularizable": False}
        for what, value, shape in (
            ("mean", mean, channels),
            ("variance", variance, channels),
            ("scale_factor", scale_factor, (1,)),
        ):
            _expect(self, f"shape of {what}", _shape(value), shape)
            setattr(self, what, self.add_param(value, shape, name=what, **fixed))

    def get_output_for(self, input, **kwargs):
        total = self.scale_factor[0]
        scale = T.switch(T.eq(total, 0), np.float32(0), 1 / total)
        per_channel = ["x", 0] + ["x"] * (input.ndim - 2)
        mean = (self.mean * scale).dimshuffle(per_channel)
        deviation = T.sqrt(self.variance * scale + np.float32(self.eps)).dimshuffle(per_channel)
        return (input - mean) / deviation


class ScaleLayer(Layer):
    """Multiplication by a learned array along some axes, and addition of another.

    Parameters
    ----------
    incoming : Layer or tuple
    scale : float32 array or shared variable
        Its shape is that of the input's axes ``axis``, ``axis + 1``, ... that it covers; shape () scales all
        alike.
    bias : float32 array or shared variable, optional
        Shape of `scale`.
    axis : int
        The first axis covered, at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> ScaleLayer((None, 3, 7, 7), np.full(3, 2, "float32")).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, scale, bias=None, axis=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.axis = axis
        covered = self.input_shape[axis : axis + len(_shape(scale))]
        _expect(self, "shape of scale", _shape(scale), covered)
        self.scale = self.add_param(scale, covered, name="scale")
        if bias is not None:
            _expect(self, "shape of bias", _shape(bias), covered)
            bias = self.add_param(bias, covered, name="bias", regularizable=False)
        self.bias = bias

    def get_output_for(self, input, **kwargs):
        after = input.ndim - self.axis - self.scale.ndim
        pattern = ["x"] * self.axis + list(range(self.scale.ndim)) + ["x"] * after
        output = input * self.scale.dimshuffle(pattern)
        return output if self.bias is None else output + self.bias.dimshuffle(pattern)


class PoolingLayer(Layer):
    """Largest value or average of windows, with Caffe's rounding up of the output size.

    The output has ``ceil((size + 2 pad - kernel) / stride) + 1`` rows and columns; with padding, a last
    window that would start in the padding behind the picture is dropped. Windows are clipped at the border.
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
        One window over the whole picture, whatever its size; kernel, stride and pad are not used.

    Examples
    --------
    >>> PoolingLayer((None, 64, 112, 112), "max", kernel=(3, 3), stride=(2, 2)).output_shape
    (None, 64, 56, 56)
    """

    def __init__(self, incoming, mode, kernel=(1, 1), stride=(1, 1), pad=(0, 0), global_pooling=False, **kwargs):
        super().__init__(incoming, **kwargs)
        if mode not in ("max", "ave"):
            raise ValueError(f"{_called(self)}: mode: got {mode!r}, expected 'max' or 'ave'")
        if any(p >= k for p, k in zip(pad, kernel)):
            raise ValueError(f"{_called(self)}: pad: got {tuple(pad)}, expected less than the kernel {tuple(kernel)}")
        _expect(self, "input dimensions", len(self.input_shape), 4)
        self.mode, self.global_pooling = mode, global_pooling
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
            raise ValueError(f"{_called(self)}: padded input of {size + 2 * pad} is smaller than the kernel {kernel}")
        count = window_count(size, kernel, stride, pad, ceil=True)
        if not any(self.pad) and (count - 1) * stride + kernel < size:  # one was left out; Caffe keeps it here
            raise ValueError(
                f"{_called(self)}: input size {size} with kernel {kernel} and stride {stride} has a last "
                "window without a pixel in it, whose value Caffe does not define"
            )
        return count

    def get_output_for(self, input, **kwargs):
        if self.global_pooling:
            reduce = T.max if self.mode == "max" else T.mean
            return reduce(input, axis=(2, 3), keepdims=True)
        if any(self.pad):
            return _padded_pool(input, self.mode, self.kernel, self.stride, self.pad)
        mode = "max" if self.mode == "max" else "average_exc_pad"
        return pool_2d(input, self.kernel, ignore_border=False, stride=self.stride, mode=mode)


def _padded_pool(input, mode, kernel, stride, pad):
    """Pool with padding: Theano's own would round down, so the picture is laid out as Caffe sees it."""
    counts, extents = [], []
    for axis in (0, 1):
        size, k, s, p = input.shape[2 + axis], kernel[axis], stride[axis], pad[axis]
        count = window_count(size, k, s, p, ceil=True)
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


class EltwiseLayer(MergeLayer):
    """Sum, product or maximum of several inputs of one shape.

    Parameters
    ----------
    incomings : list of Layer or tuple
    operation : {"sum", "prod", "max"}
    coeff : sequence of float, optional
        One factor for each input of a sum; all 1 if left out.

    Examples
    --------
    >>> EltwiseLayer([(None, 8, 7, 7), (None, 8, 7, 7)], "sum", coeff=(1, -1)).output_shape
    (None, 8, 7, 7)
    """

    def __init__(self, incomings, operation="sum", coeff=None, **kwargs):
        super().__init__(incomings, **kwargs)
        if operation not in ("sum", "prod", "max"):
            raise ValueError(f"{_called(self)}: operation: got {operation!r}, expected 'sum', 'prod' or 'max'")
        if coeff is not None:
            _expect(self, "operation with coefficients", operation, "sum")
            _expect(self, "number of coefficients", len(coeff), len(incomings))
        self.operation = operation
        self.coeff = None if coeff is None else tuple(coeff)

    def get_output_shape_for(self, input_shapes):
        first = input_shapes[0]
        for shape in input_shapes[1:]:
            if len(shape) != len(first) or any(None not in (a, b) and a != b for a, b in zip(shape, first)):
                raise ValueError(f"{_called(self)}: inputs of one shape are expected, got {list(input_shapes)}")
        return first

    def get_output_for(self, inputs, **kwargs):
        if self.coeff is not None:
            inputs = [x if c == 1 else np.float32(c) * x for x, c in zip(inputs, self.coeff)]
        combine = {"sum": T.add, "prod": T.mul, "max": T.maximum}[self.operation]
        output = inputs[0]
        for other in inputs[1:]:
            output = combine(output, other)
        return output


class InnerProductLayer(Layer):
    """A matrix times each picture's values, flattened, as a fully connected layer does.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, ...) with K values for each picture.
    W : float32 array or shared variable, shape (num_output, K)
    b : float32 array or shared variable, shape (num_output,), optional

    Examples
    --------
    >>> import numpy as np
    >>> InnerProductLayer((None, 1024, 1, 1), np.ones((2, 1024), "float32")).output_shape
    (None, 2)
    """

    def __init__(self, incoming, W, b=None, **kwargs):
        super().__init__(incoming, **kwargs)
        self.num_output, inputs = _shape(W)
        if None not in self.input_shape[1:]:
            _expect(self, "inputs", int(np.prod(self.input_shape[1:])), inputs)
        self.W = self.add_param(W, _shape(W), name="W")
        self.b = None if b is None else self.add_param(b, (self.num_output,), name="b", regularizable=False)

    def get_output_shape_for(self, input_shape):
        return (input_shape[0], self.num_output)

    def get_output_for(self, input, **kwargs):
        output = T.dot(input.flatten(2), self.W.T)
        return output if self.b is None else output + self.b


class SoftmaxLayer(Layer):
    """Exponentials along an axis, divided by their sum.

    Parameters
    ----------
    incoming : Layer or tuple
    axis : int

    Examples
    --------
    >>> SoftmaxLayer((None, 2)).output_shape
    (None, 2)
    """

    def __init__(self, incoming, axis=1, **kwargs):
        super().__init__(incoming, **kwargs)
        self.axis = axis

    def get_output_for(self, input, **kwargs):
        if input.ndim == 2 and self.axis == 1:
            return T.nnet.softmax(input)
        exponentials = T.exp(input - input.max(axis=self.axis, keepdims=True))
        return exponentials / exponentials.sum(axis=self.axis, keepdims=True)


class LRNLayer(Layer):
    """Local response normalisation: each value divided by a power of its neighbours' squares.

    Across channels: ``x / (k + alpha / n * sum of squares over n channels) ** beta``. Within a channel:
    ``x / (1 + alpha / n**2 * sum of squares over n x n pixels) ** beta``, where Caffe does not use k.
    Neighbours outside of the array count as zeros.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, C, H, W).
    local_size : int
        n, odd.
    alpha, beta, k : float
    within_channel : bool

    Examples
    --------
    >>> LRNLayer((None, 96, 55, 55), local_size=5, alpha=1e-4).output_shape
    (None, 96, 55, 55)
    """

    def __init__(self, incoming, local_size=5, alpha=1.0, beta=0.75, k=1.0, within_channel=False, **kwargs):
        super().__init__(incoming, **kwargs)
        _expect(self, "input dimensions", len(self.input_shape), 4)
        if local_size % 2 == 0:
            raise ValueError(f"{_called(self)}: local_size: got {local_size}, expected an odd number")
        self.local_size, self.alpha, self.beta, self.k = local_size, alpha, beta, k
        self.within_channel = within_channel

    def get_output_for(self, input, **kwargs):
        n, half = self.local_size, self.local_size // 2
        squares = T.sqr(input)
        if self.within_channel:
            mean = _padded_pool(squares, "ave", (n, n), (1, 1), (half, half)) if n > 1 else squares
            return input * (np.float32(1) + np.float32(self.alpha) * mean) ** np.float32(-self.beta)
        channels = input.shape[1]
        padded = T.alloc(np.float32(0), input.shape[0], channels + 2 * half, input.shape[2], input.shape[3])
        padded = T.set_subtensor(padded[:, half : half + channels], squares)
        total = sum(padded[:, i : i + channels] for i in range(n))
        return input * (np.float32(self.k) + np.float32(self.alpha / n) * total) ** np.float32(-self.beta)


def _shape(value):
    """Shape of an array or of a shared variable's present value."""
    return tuple((value.get_value(borrow=True) if isinstance(value, SharedVariable) else value).shape)


def _called(layer):
    return f"layer {layer.name!r}" if layer.name else type(layer).__name__


def _expect(layer, what, got, expected):
    if got != expected:
        raise ValueError(f"{_called(layer)}: {what}: got {got}, expected {expected}")
