"""Fast operations for Theano on CPUs, computed by oneDNN (https://github.com/uxlfoundation/oneDNN).

Pictures are float32 tensor4, shape (n, height, width, channels), channels last, from the first operation to the last:
`to_nhwc` and `to_nchw` are the layout conversions from and to Theano's own. All operations have gradients:
`theano.grad` works as usual.

Examples
--------
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

from collections.abc import Sequence
from typing import Any, Literal

from theano_compat.deprecation import deprecated_names
from theano_cpu.onednn.convolution import Convolution, RoundedConvolution
from theano_cpu.onednn.dense import Gemm, Softmax
from theano_cpu.onednn.layout import Layout
from theano_cpu.onednn.operation import pair
from theano_cpu.onednn.pooling import MODES, GlobalPool, Pool, Subsample
from theano_cpu.onednn.rewrites import fast_compile
from theano_cpu.onednn.runtime import (
    OneDnnUnavailableError,
    engine,
    has_bfloat16,
    info,
    num_threads,
    onednn_available,
    set_num_threads,
)

__all__ = [
    "PRECISIONS",
    "OneDnnUnavailableError",
    "conv2d",
    "engine",
    "fast_compile",
    "global_pool",
    "has_bfloat16",
    "info",
    "inner_product",
    "num_threads",
    "onednn_available",
    "pool2d",
    "require_bfloat16",
    "set_num_threads",
    "softmax",
    "subsample",
    "to_nchw",
    "to_nhwc",
]

__getattr__ = deprecated_names(
    __name__,
    {
        "OneDnnUnavailable": "theano_cpu.onednn.runtime:OneDnnUnavailableError",
        "helper": "theano_cpu.onednn.runtime:native_module",
        "lean_mode": "theano_cpu.ops:fast_compile",
    },
)

PRECISIONS = ("float32", "bfloat16")


def conv2d(
    x: Any,
    w: Any,
    b: Any = None,
    residual: Any = None,
    stride: int | Sequence[int] = (1, 1),
    pad: int | Sequence[int] = (0, 0),
    dilation: int | Sequence[int] = (1, 1),
    groups: int = 1,
    relu: bool = False,
    negative_slope: float = 0.0,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Any:
    """Compute ``relu(convolution(x, w) + b + residual)``.

    Parameters
    ----------
    x : float32 tensor4, shape (n, height, width, channels)
    w : float32 tensor4, shape (filters, channels / groups, rows, columns)
        Applied as a cross-correlation. Constants are converted to oneDNN's layout once, shared variables at
        every call.
    b : float32 vector, shape (filters,), optional
    residual : float32 tensor4, shape of the output, optional
    stride, pad, dilation : int or (int, int), optional
        For rows and columns. `pad` zeros are added on both sides.
    groups : int, optional
    relu : bool, optional
        Whether negative results become 0, or `negative_slope` times themselves. Its subgradient at 0 is that
        of the negative side.
    negative_slope : float, optional
        At least 0.
    precision : {'float32', 'bfloat16'}, optional
        With 'bfloat16' inputs and weights are rounded to bfloat16 (8 significant bits) and sums are kept in
        float32; consecutive convolutions pass bfloat16 values on. The gradient is of x and the residual, not of
        weights. Only on CPUs that multiply bfloat16.

    Returns
    -------
    float32 tensor4, shape (n, height', width', filters)
        With height' and width' as `theano_cpu.shapes.conv_output_length` gives them.

    Raises
    ------
    TypeError
        If a tensor is not float32 or has the wrong number of dimensions.
    ValueError
        If a setting is out of range; when the function runs, if shapes do not fit together.
    NotImplementedError
        If bfloat16 is asked for on a CPU that lacks it.

    References
    ----------
    .. [1] oneDNN, "Convolution", https://uxlfoundation.github.io/oneDNN/dev_guide_convolution.html
    .. [2] F. Yu, V. Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", ICLR 2016, arXiv:1511.07122.
    .. [3] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
       arXiv:1512.03385 (the residual).

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> from theano_cpu.ops import conv2d
    >>> x = T.tensor4("x")
    >>> f = theano.function([x], conv2d(x, np.ones((2, 3, 3, 3), "float32"), pad=1))
    >>> f(np.ones((1, 4, 5, 3), "float32")).shape
    (1, 4, 5, 2)
    """
    geometry: dict[str, Any] = dict(
        stride=pair("conv2d", "stride", stride, 1),
        pad=pair("conv2d", "pad", pad, 0),
        dilation=pair("conv2d", "dilation", dilation, 1),
        groups=_positive("conv2d", "groups", groups),
    )
    if not negative_slope >= 0:
        raise ValueError(f"conv2d: negative_slope must be at least 0, got {negative_slope!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"conv2d: precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    others = [value for value in (b, residual) if value is not None]
    does: dict[str, Any] = dict(
        bias=b is not None,
        residual=residual is not None,
        relu=bool(relu),
        negative_slope=float(negative_slope) if relu else 0.0,
    )
    if precision == "bfloat16":
        require_bfloat16()
        return RoundedConvolution(**geometry, **does)(x, w, *others)
    return Convolution(**geometry, **does)(x, w, *others)


def require_bfloat16() -> None:
    """Refuse CPUs that do not multiply bfloat16 numbers.

    Raises
    ------
    NotImplementedError
        If this CPU is one.

    Examples
    --------
    >>> from theano_cpu.ops import has_bfloat16, require_bfloat16
    >>> if has_bfloat16():
    ...     require_bfloat16()
    """
    if not has_bfloat16():
        raise NotImplementedError(
            "precision='bfloat16' needs a CPU with AVX512_BF16 or AMX; this one has "
            f"{info()['instruction_set']}: use precision='float32'"
        )


def pool2d(
    x: Any,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    pad: int | Sequence[int] = (0, 0),
    mode: str = "max",
    ceil: bool = True,
) -> Any:
    """Compute the maximum or average over windows of `size`, `stride` apart.

    Parameters
    ----------
    x : float32 tensor4, shape (n, height, width, channels)
    size, stride, pad : int or (int, int)
        For rows and columns; `stride` defaults to `size`. `pad` must be smaller than `size`; padding never is
        a maximum.
    mode : {'max', 'average_inc_pad', 'average_exc_pad'}, optional
        Whether an average counts the cells of the padding (zeros), or not. What lies behind the padding never
        counts.
    ceil : bool, optional
        True rounds the number of windows up and clips the last ones, as Caffe does (a window that would begin
        behind the picture is left out); False rounds it down.

    Returns
    -------
    float32 tensor4, shape (n, height', width', channels)
        With height' and width' as `theano_cpu.shapes.pool_output_length` gives them. A maximum's gradient goes to the
        first position of its window that equals it, as in Caffe (in Theano: to all that do).

    Raises
    ------
    TypeError
        If x is not a float32 tensor4.
    ValueError
        If a setting is out of range; when the function runs, if the picture is smaller than a window.

    References
    ----------
    .. [1] Caffe, ``src/caffe/layers/pooling_layer.cpp``,
       https://github.com/BVLC/caffe/blob/master/src/caffe/layers/pooling_layer.cpp

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
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


def subsample(x: Any, step: int | Sequence[int]) -> Any:
    """Take every `step`-th row and column.

    Parameters
    ----------
    x : float32 tensor4, shape (n, height, width, channels)
    step : int or (int, int)
        For rows and columns, at least 1.

    Returns
    -------
    float32 tensor4, shape (n, ceil(height / step), ceil(width / step), channels)
        ``x[:, ::step, ::step, :]``, contiguous.

    Raises
    ------
    TypeError
        If x is not a float32 tensor4.
    ValueError
        If step is out of range.

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> from theano_cpu.ops import subsample
    >>> x = T.tensor4("x")
    >>> theano.function([x], subsample(x, 2))(np.ones((1, 5, 4, 3), "float32")).shape
    (1, 3, 2, 3)
    """
    return Subsample(pair("subsample", "step", step, 1))(x)


def global_pool(x: Any) -> Any:
    """Compute the mean over rows and columns.

    Parameters
    ----------
    x : float32 tensor4, shape (n, height, width, channels)

    Returns
    -------
    float32 matrix, shape (n, channels)

    Raises
    ------
    TypeError
        If x is not a float32 tensor4.

    References
    ----------
    .. [1] M. Lin, Q. Chen, S. Yan, "Network In Network", ICLR 2014, arXiv:1312.4400.

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> from theano_cpu.ops import global_pool
    >>> x = T.tensor4("x")
    >>> theano.function([x], global_pool(x))(np.ones((1, 5, 4, 3), "float32")).tolist()
    [[1.0, 1.0, 1.0]]
    """
    return GlobalPool()(x)


def inner_product(x: Any, W: Any, b: Any = None) -> Any:
    """Compute ``x.dot(W.T) + b``.

    Parameters
    ----------
    x : float32 matrix, shape (n, inputs)
    W : float32 matrix, shape (units, inputs)
    b : float32 vector, shape (units,), optional

    Returns
    -------
    float32 matrix, shape (n, units)

    Raises
    ------
    TypeError
        If a tensor is not float32 or has the wrong number of dimensions.
    ValueError
        When the function runs, if shapes do not fit together.

    References
    ----------
    .. [1] Caffe, ``src/caffe/layers/inner_product_layer.cpp``,
       https://github.com/BVLC/caffe/blob/master/src/caffe/layers/inner_product_layer.cpp

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> from theano_cpu.ops import inner_product
    >>> x = T.matrix("x")
    >>> theano.function([x], inner_product(x, np.float32([[1, 2], [3, 4]])))(np.float32([[1, 1]])).tolist()
    [[3.0, 7.0]]
    """
    return Gemm(False, True)(x, W, *([] if b is None else [b]))


def softmax(x: Any) -> Any:
    """Compute the softmax over the last axis of a matrix.

    Parameters
    ----------
    x : float32 matrix, shape (n, classes)

    Returns
    -------
    float32 matrix, shape (n, classes)

    Raises
    ------
    TypeError
        If x is not a float32 matrix.

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> from theano_cpu.ops import softmax
    >>> x = T.matrix("x")
    >>> theano.function([x], softmax(x))(np.float32([[5, 5]])).tolist()
    [[0.5, 0.5]]
    """
    return Softmax()(x)


def to_nhwc(x: Any) -> Any:
    """Convert pictures from Theano's layout to that of these operations.

    Parameters
    ----------
    x : float32 tensor4, shape (n, channels, height, width)

    Returns
    -------
    float32 tensor4, shape (n, height, width, channels)
        C-contiguous.

    Raises
    ------
    TypeError
        If x is not a float32 tensor4.

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> from theano_cpu.ops import to_nhwc
    >>> x = T.tensor4("x")
    >>> theano.function([x], to_nhwc(x))(np.ones((1, 3, 4, 5), "float32")).shape
    (1, 4, 5, 3)
    """
    return Layout(True)(x)


def to_nchw(x: Any) -> Any:
    """Convert pictures from the layout of these operations to Theano's.

    Parameters
    ----------
    x : float32 tensor4, shape (n, height, width, channels)

    Returns
    -------
    float32 tensor4, shape (n, channels, height, width)
        C-contiguous.

    Raises
    ------
    TypeError
        If x is not a float32 tensor4.

    Examples
    --------
    >>> import numpy as np, theano, theano.tensor as T
    >>> from theano_cpu.ops import to_nchw
    >>> x = T.tensor4("x")
    >>> theano.function([x], to_nchw(x))(np.ones((1, 4, 5, 3), "float32")).shape
    (1, 3, 4, 5)
    """
    return Layout(False)(x)


def _positive(operation: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{operation}: {name} must be an integer of at least 1, got {value!r}")
    return int(value)
