"""What Theano computes by its Python code: `theano.scan`, and without a C++ compiler pooling and convolution."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from theano_compat.import_hook import after
from theano_compat.requirements import numpy_version


@after("theano.scan_module.scan_op")
def scan_in_python(scan_op: Any) -> bool:
    """The C code of theano.scan is of Cython 0.28, too old for this Python or NumPy: Scan runs its Python code"""
    if sys.version_info < (3, 11) and numpy_version() < (2,):
        return False
    make_thunk = scan_op.Scan.make_thunk

    def make_python_thunk(
        self: Any, node: Any, storage_map: Any, compute_map: Any, no_recycling: Any, impl: str | None = None
    ) -> Any:
        return make_thunk(self, node, storage_map, compute_map, no_recycling, "py")

    scan_op.Scan.make_thunk = make_python_thunk
    return True


@after("theano.tensor.signal.pool")
def pool_by_tuples(pool: Any) -> bool:
    """NumPy 1.23 dropped lists of slices as indices, by which pooling without a compiler takes its windows"""
    import numpy as np

    class ListIndexed(np.ndarray):
        def __getitem__(self, index: Any) -> Any:
            return super().__getitem__(tuple(index) if isinstance(index, list) else index)

        def __setitem__(self, index: Any, value: Any) -> None:
            super().__setitem__(tuple(index) if isinstance(index, list) else index, value)

    def with_list_indexed_arrays(perform: Callable[..., None]) -> Callable[..., None]:
        def perform_with_them(self: Any, node: Any, inputs: Any, outputs: Any, *params: Any) -> None:
            if isinstance(self, pool.AveragePoolGrad) and self.mode == "average_exc_pad" and inputs[-1].any():
                # Theano's C says the first half, its Python code nothing
                raise ValueError("padding must be zero for average_exc_pad, where a gradient is asked for")
            perform(self, node, [array.view(ListIndexed) for array in inputs], outputs, *params)
            for storage in outputs:
                storage[0] = np.asarray(storage[0])

        return perform_with_them

    # The padded arrays are made by the module's np.zeros
    pool.np = ModuleType("numpy")
    vars(pool.np).update(
        zeros=lambda *arguments, **named: np.zeros(*arguments, **named).view(ListIndexed),
        __getattr__=functools.partial(getattr, np),
    )
    for name in ("Pool", "MaxPoolGrad", "AveragePoolGrad", "DownsampleFactorMaxGradGrad", "MaxPoolRop"):
        operation = getattr(pool, name)
        operation.perform = with_list_indexed_arrays(operation.perform)
    return True


@after("theano.tensor.nnet.abstract_conv", "theano.tensor.nnet.conv")
def convolve_by_scipy(conv: Any) -> bool:
    """Convolution without a compiler calls private functions that SciPy has dropped: it gets the public ones"""

    def convolve2d(image: Any, kernel: Any, flip: int, mode: str, boundary: str, fill: int) -> Any:
        from scipy.signal import convolve2d

        return convolve2d(image, kernel, mode, boundary, fill)

    def convolve(image: Any, kernel: Any, mode: str) -> Any:
        from scipy.signal import convolve

        return convolve(image, kernel, mode, "direct")

    # Its numbers for modes and boundaries are names in the public functions
    conv._valfrommode = conv._bvalfromboundary = lambda name: name
    conv._convolve2d, conv.convolve = convolve2d, convolve
    conv.imported_scipy_signal = True
    return True


@after("theano.tensor.nnet.abstract_conv")
def convolve_by_products(abstract_conv: Any) -> bool:
    """Convolution without a compiler takes one channel with another at a time: here all in a product of matrices"""
    one_by_one = abstract_conv.BaseAbstractConv.conv

    def conv(
        self: Any,
        img: Any,
        kern: Any,
        mode: str = "valid",
        dilation: Any = 1,
        num_groups: int = 1,
        *others: Any,
        **named: Any,
    ) -> Any:
        steps = (dilation,) * self.convdim if isinstance(dilation, int) else tuple(dilation)
        fits = kern.shape[0] % num_groups == 0 and img.shape[1] == kern.shape[1] * num_groups
        if others or any(named.values()) or mode not in ("valid", "full") or not fits or not len(img):
            return one_by_one(self, img, kern, mode, dilation, num_groups, *others, **named)
        return _convolved(img, kern, mode, steps, num_groups)

    abstract_conv.BaseAbstractConv.conv = conv
    return True


def _convolved(images: Any, filters: Any, mode: str, dilation: tuple[int, ...], groups: int) -> Any:
    """Convolve all channels of a picture at once; images (n, c, ...), filters (k, c / groups, ...)."""
    import numpy as np

    windows_of: Any = np.lib.stride_tricks.sliding_window_view
    rank = len(dilation)
    size = tuple((length - 1) * step + 1 for length, step in zip(filters.shape[2:], dilation))
    if mode == "full":
        images = np.pad(images, [(0, 0), (0, 0), *((length - 1, length - 1) for length in size)])
    if any(length > room for length, room in zip(size, images.shape[2:])):
        return np.zeros((len(images), len(filters), *(0 for _ in size)), images.dtype)
    # convolution turns its filters, correlation does not
    backwards: Any = (..., *[slice(None, None, -1)] * rank)
    dilated: Any = (..., *(slice(None, None, step) for step in dilation))
    of_groups = np.split(filters[backwards], groups)
    of_filter, of_window = [1, *range(2, 2 + rank)], [0, *range(1 + rank, 1 + 2 * rank)]
    results = []
    for image in images:
        windows = windows_of(image, size, tuple(range(1, 1 + rank)))[dilated]
        channels = np.split(windows, groups)
        maps = [np.tensordot(some, seen, (of_filter, of_window)) for some, seen in zip(of_groups, channels)]
        results.append(np.concatenate(maps))
    return np.array(results, images.dtype)


@after("theano.tensor.opt")
def leave_arrays_to_numpy(opt: Any) -> bool:
    """Without a compiler a fused elementwise operation calls Python for each number, and NumPy does not"""
    if opt.config.cxx:
        return False
    opt.compile.optdb.remove_tags("elemwise_fusion", "fast_run")
    return True


@after("theano.tensor.nnet.opt")
def convolve_in_python(opt: Any) -> bool:
    """Without a compiler Theano refuses most convolutions, though it has Python code for them"""
    if opt.theano.config.cxx:
        return False
    opt.optdb.remove_tags("AbstractConvCheck", "fast_compile", "fast_run")
    return True
