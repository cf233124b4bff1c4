"""Fast operations for Theano on CPUs, computed by oneDNN.

Pictures are (N, H, W, C) float32, channels last, from the first operation to the last: `to_nhwc` and
`to_nchw` are the doors to Theano's own layout. All operations have gradients: `theano.grad` works as usual.

Example
-------
>>> import theano_cpu
>>> import numpy as np, theano, theano.tensor as T
>>> from theano_cpu import ops
>>> x, w = T.tensor4("x"), T.tensor4("w")
>>> y = ops.to_nchw(ops.conv2d(ops.to_nhwc(x), w, stride=2, pad=1, relu=True))
>>> function = theano.function([x, w], [y, theano.grad(y.sum(), w)])
>>> y, gw = function(np.ones((1, 3, 8, 8), "float32"), np.ones((4, 3, 3, 3), "float32"))
>>> y.shape, gw.shape, float(y[0, 0, 0, 0]), float(y[0, 0, 1, 1])
((1, 4, 4, 4), (4, 3, 3, 3), 12.0, 27.0)
"""

from __future__ import annotations


from theano_cpu.onednn.activation import Bfloat16
from theano_cpu.onednn.convolution import Convolution
from theano_cpu.onednn.dense import Product, Softmax
from theano_cpu.onednn.layout import Layout
from theano_cpu.onednn.runtime import (  # noqa: F401  (part of this module's interface)
    OneDnnUnavailableError,
    engine,
    has_bfloat16,
    info,
    num_threads,
    onednn_available,
    set_num_threads,
)
from theano_cpu.onednn.operation import pair
from theano_cpu.onednn.pooling import MODES, GlobalPool, Pool, Subsample
from theano_cpu.onednn.rewrites import fast_compile  # noqa: F401  (part of this module's interface)

PRECISIONS = ("float32", "bfloat16")


def conv2d(
    x,
    w,
    b=None,
    residual=None,
    stride=(1, 1),
    pad=(0, 0),
    dilation=(1, 1),
    groups=1,
    relu=False,
    negative_slope=0.0,
    precision="float32",
):
    """``relu(convolution(x, w) + b + residual)``.

    Parameters
    ----------
    x : float32 tensor, (N, H, W, C)
    w : float32 tensor, (O, C/groups, kh, kw)
        Applied as a cross-correlation. Constants are converted to oneDNN's layout once, shared variables at
        every call.
    b : float32 vector, (O,), optional
    residual : float32 tensor of the output's shape, optional
    stride, pad, dilation : int or (int, int)
        For rows and columns. `pad` zeros are added on both sides.
    groups : int
    relu : bool
        Whether negative results become 0, or `negative_slope` times themselves. Its subgradient at 0 is that
        of the negative side.
    negative_slope : float >= 0
    precision : 'float32' or 'bfloat16'
        With 'bfloat16' inputs and weights are rounded to bfloat16 (8 significant bits) and sums are kept in
        float32; consecutive convolutions pass bfloat16 values on. Without gradient. Only on CPUs that
        multiply bfloat16.

    Returns
    -------
    float32 tensor, (N, H', W', O), with H' = (H + 2 * pad - dilation * (kh - 1) - 1) // stride + 1

    Raises
    ------
    TypeError
        If a tensor is not float32 or has the wrong number of dimensions.
    ValueError
        If a setting is out of range; when the function runs, if shapes do not fit together.
    NotImplementedError
        If bfloat16 is asked for on a CPU that lacks it.

    Example
    -------
    >>> import numpy as np, theano_cpu, theano, theano.tensor as T
    >>> from theano_cpu.ops import conv2d
    >>> x = T.tensor4("x")
    >>> f = theano.function([x], conv2d(x, np.ones((2, 3, 3, 3), "float32"), pad=1))
    >>> f(np.ones((1, 4, 5, 3), "float32")).shape
    (1, 4, 5, 2)
    """
    geometry = dict(
        stride=pair("conv2d", "stride", stride, 1),
        pad=pair("conv2d", "pad", pad, 0),
        dilation=pair("conv2d", "dilation", dilation, 1),
        groups=_positive("conv2d", "groups", groups),
    )
    if not negative_slope >= 0:
        raise ValueError(f"conv2d: negative_slope must be at least 0, got {negative_slope!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"conv2d: precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    narrow = precision == "bfloat16"
    if narrow:
        require_bfloat16()
        x = Bfloat16(True)(x)
        residual = None if residual is None else Bfloat16(True)(residual)
    others = [value for value in (b, residual) if value is not None]
    y = Convolution(
        **geometry,
        bias=b is not None,
        residual=residual is not None,
        relu=bool(relu),
        negative_slope=float(negative_slope) if relu else 0.0,
        bfloat16=narrow,
    )(x, w, *others)
    return Bfloat16(False)(y) if narrow else y


def require_bfloat16():
    """Raise NotImplementedError where the CPU does not multiply bfloat16 numbers."""
    if not has_bfloat16():
        raise NotImplementedError(
            "precision='bfloat16' needs a CPU with AVX512_BF16 or AMX; this one has "
            f"{info()['instruction_set']}: use precision='float32'"
        )


def pool2d(x, size, stride=None, pad=(0, 0), mode="max", ceil=True):
    """The maximum or average over windows of `size`, `stride` apart.

    Parameters
    ----------
    x : float32 tensor, (N, H, W, C)
    size, stride, pad : int or (int, int)
        For rows and columns; `stride` defaults to `size`. `pad` must be smaller than `size`; padding never is
        a maximum.
    mode : 'max', 'average_inc_pad' or 'average_exc_pad'
        Whether an average counts the cells of the padding (zeros), or not. What lies behind the padding never
        counts.
    ceil : bool
        True rounds the number of windows up and clips the last ones, as Caffe does (a window that would begin
        behind the picture is left out); False rounds it down.

    Returns
    -------
    float32 tensor, (N, H', W', C)
        A maximum's gradient goes to the first position of its window that equals it, as in Caffe (in Theano: to
        all that do).

    Example
    -------
    >>> import numpy as np, theano_cpu, theano, theano.tensor as T
    >>> from theano_cpu.ops import pool2d
    >>> x = T.tensor4("x")
    >>> theano.function([x], pool2d(x, 3, 2))(np.ones((1, 112, 112, 8), "float32")).shape
    (1, 56, 56, 8)
    """
    size = pair("pool2d", "size", size, 1)
    stride = size if stride is None else pair("pool2d", "stride", stride, 1)
    pad = pair("pool2d", "pad", pad, 0)
    if pad[0] >= size[0] or pad[1] >= size[1]:
        raise ValueError(f"pool2d: pad {pad} must be smaller than size {size}")
    if mode not in MODES:
        raise ValueError(f"pool2d: mode must be one of {', '.join(MODES)}; got {mode!r}")
    return Pool(size, stride, pad, mode, bool(ceil))(x)


def subsample(x, step):
    """Every `step`-th row and column: ``x[:, ::step, ::step, :]``, contiguous.

    Parameters
    ----------
    x : float32 tensor, (N, H, W, C)
    step : int or (int, int)
    """
    return Subsample(pair("subsample", "step", step, 1))(x)


def global_pool(x):
    """The mean over rows and columns: float32 (N, H, W, C) to (N, C)."""
    return GlobalPool()(x)


def inner_product(x, W, b=None):
    """``x.dot(W.T) + b`` for float32 matrices x (N, K) and W (O, K) and a vector b (O,): (N, O)."""
    return Product(False, True)(x, W, *([] if b is None else [b]))


def softmax(x):
    """Softmax over the last axis of a float32 matrix."""
    return Softmax()(x)


def to_nhwc(x):
    """Theano's pictures (N, C, H, W) in the layout of these operations, (N, H, W, C); C-contiguous."""
    return Layout(True)(x)


def to_nchw(x):
    """Pictures of these operations, (N, H, W, C), in Theano's layout, (N, C, H, W); C-contiguous."""
    return Layout(False)(x)


def _positive(operation, name, value):
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{operation}: {name} must be an integer of at least 1, got {value!r}")
    return int(value)
