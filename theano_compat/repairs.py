"""Repairs of Theano's own code: names that NumPy has dropped, what NumPy 2 does differently, and noise.

Others stand beside this file: `theano_compat.python_code` (where Theano's C code is not used),
`theano_compat.stand_ins` (modules that are gone), `theano_compat.settings` and `theano_compat.compiler`. How a repair
is written is told in `theano_compat.import_hook`.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from theano_compat.deprecation import deprecated_names
from theano_compat.import_hook import after, before
from theano_compat.requirements import numpy_version


@before("theano")
def put_back_numpy_names(theano: ModuleType) -> bool:
    """NumPy 1.24 and 2.0 removed names that Theano still uses"""
    import numpy as np

    class Cast:
        def __getitem__(self, dtype: Any) -> Any:
            # the gradients of arctan and its like name a Theano type, whose attribute NumPy 1 read
            dtype = dtype.dtype if hasattr(dtype, "dtype_specs") else dtype
            return lambda x: np.asarray(x).astype(dtype)

    names = {
        "bool": bool,
        "complex": complex,
        "product": np.prod,
        "cast": Cast(),
        "sctype2char": lambda dtype: np.dtype(dtype).char,
        "ComplexWarning": np.exceptions.ComplexWarning,
        "MAXDIMS": np.iinfo("int32").min,  # NumPy 2's NPY_RAVEL_AXIS: Theano only means "no axis" by it
    }
    missing = {name: value for name, value in names.items() if name not in vars(np)}
    for name, value in missing.items():
        setattr(np, name, value)
    return bool(missing)


@after("theano.printing")
def digest_arrays(printing: Any) -> bool:
    """NumPy 2.3 removed ndarray.tostring, of which Theano's records of computations take digests"""
    import numpy as np

    if hasattr(np.ndarray, "tostring"):
        return False

    class Array(np.ndarray):
        tostring = np.ndarray.tobytes

    hex_digest = printing.hex_digest
    printing.hex_digest = lambda x: hex_digest(x.view(Array))
    return True


@after("theano.tensor.nnet.conv3d2d")
def view_diagonals(conv3d2d: Any) -> bool:
    """NumPy 2.4 warns of setting an array's strides, as Theano's diagonal views for conv3d do, and is to refuse it"""
    if numpy_version() < (2, 4):
        return False
    import numpy as np

    get_diagonal_subtensor_view = conv3d2d.get_diagonal_subtensor_view

    def view(x: Any, i0: Any, i1: Any) -> Any:
        if not isinstance(x, np.ndarray):  # on a GPU
            return get_diagonal_subtensor_view(x, i0, i1)
        rows, columns = int(i0), int(i1)
        if x.shape[rows] < x.shape[columns]:
            raise NotImplementedError(f"the first axis of a diagonal view is shorter than the other: {x.shape}")
        index = [slice(None)] * x.ndim
        index[rows] = slice(x.shape[columns] - 1, None)
        diagonals = x[tuple(index)]
        strides = list(diagonals.strides)
        if x.shape[columns] != 1:
            strides[columns] -= strides[rows]
        return np.lib.stride_tricks.as_strided(diagonals, strides=strides)

    conv3d2d.get_diagonal_subtensor_view = view
    return True


@after("theano.misc.pkl_utils")
def let_pickles_refer(pkl_utils: Any) -> bool:
    """Python 3.13 lets nobody set persistent_id and persistent_load of its own picklers, only of their subclasses"""
    if sys.version_info < (3, 13):
        return False
    import pickle

    own = ModuleType("pickle")
    vars(own).update(vars(pickle))
    for name in "Pickler", "Unpickler":
        setattr(own, name, type(name, (getattr(pickle, name),), {}))
    pkl_utils.pickle = own
    return True


@after("theano.tensor.nnet.conv")
def name_without_prefix(conv: Any) -> bool:
    """NumPy 2 lost noprefix.h, and with it the short name of the integers that the old ConvOp's C code uses"""
    if numpy_version() < (2,):
        return False
    plain_headers, plain_support = conv.ConvOp.c_headers, conv.ConvOp.c_support_code

    def c_headers(self: Any) -> list[str]:
        return [header for header in plain_headers(self) if "noprefix" not in header]

    def c_support_code(self: Any) -> str:
        return "typedef npy_intp intp;\n" + str(plain_support(self))

    conv.ConvOp.c_headers, conv.ConvOp.c_support_code = c_headers, c_support_code
    return True


@after("theano.tensor.fft")
def name_transformed_axes(fft: Any) -> bool:
    """NumPy 2 warns of Fourier transforms with lengths and without axes, and is to refuse them: the last are meant"""
    if numpy_version() < (2,):
        return False
    import numpy as np

    def of_last_axes(transform: Callable[..., Any]) -> Callable[..., Any]:
        return lambda a, s: transform(a, s=s, axes=range(-len(s), 0))

    fft.np = ModuleType("numpy")
    transforms = SimpleNamespace(rfftn=of_last_axes(np.fft.rfftn), irfftn=of_last_axes(np.fft.irfftn))
    vars(fft.np).update(vars(np), fft=transforms)
    return True


@after("theano.misc.safe_asarray")
def wrap_integers(safe_asarray: Any) -> bool:
    """NumPy 2 refuses integers that do not fit: Theano finds a constant's smallest dtype by trying"""
    if numpy_version() < (2,):
        return False
    import numpy as np

    strict_asarray = safe_asarray._asarray

    def _asarray(a: Any, dtype: Any, order: str | None = None) -> Any:
        # Theano's gradients pass a Variable where its dtype is meant; NumPy 1 read the attribute
        dtype = dtype.dtype if hasattr(dtype, "owner") else dtype
        try:
            return strict_asarray(a, dtype, order)
        except OverflowError:
            return strict_asarray(np.asarray(a), dtype, order)

    safe_asarray._asarray = _asarray
    return True


@after("theano.scalar.basic")
def upcast_variables(basic: Any) -> bool:
    """NumPy 2 does not take a Theano variable for its dtype, as theano.tensor.ceil_intdiv does"""
    if numpy_version() < (2,):
        return False
    upcast = basic.upcast
    basic.upcast = lambda *dtypes: upcast(*(dtype.dtype if hasattr(dtype, "owner") else dtype for dtype in dtypes))
    return True


@after("theano.tensor.raw_random")
def copy_random_states(raw_random: Any) -> bool:
    """Copies of a RandomState share their generator on NumPy 2: Theano's functions would change states not theirs"""
    if numpy_version() < (2,):
        return False
    raw_random.copy = copy.deepcopy
    return True


@after("theano.sandbox.rng_mrg")
def widen_mask(rng_mrg: Any) -> bool:
    """NumPy 2 refuses the mask of 32 bits that MRG_RandomStreams applies to int32, where no compiler is"""
    if numpy_version() < (2,):
        return False
    import numpy as np

    next_value = rng_mrg.mrg_next_value

    def mrg_next_value(rstate: Any, new_rstate: Any, NORM: Any, mask: int, offset: int) -> Any:
        return next_value(rstate, new_rstate, NORM, np.int64(mask), offset)

    rng_mrg.mrg_next_value = mrg_next_value
    return True


@after("theano.tensor.subtensor")
def increment_in_python(subtensor: Any) -> bool:
    """NumPy 2 took PyArray_MapIter out of its C API: AdvancedIncSubtensor1 runs its Python code instead"""
    if numpy_version() < (2,):
        return False
    del subtensor.AdvancedIncSubtensor1.c_code
    return True


@after("theano.gof.opt")
def describe_patterns(opt: Any) -> bool:
    """Python run with -OO keeps no descriptions, to which Theano's patterns add their own"""
    if opt.PatternSub.__doc__ is not None:
        return False
    opt.PatternSub.__doc__ = ""
    return True


@before("lasagne")
def import_theano_first(lasagne: ModuleType) -> bool:
    """Lasagne turns every ImportError of Theano into advice to install another Theano"""
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("theano")
    return False


_OWN_WARNINGS = DeprecationWarning, PendingDeprecationWarning, FutureWarning, SyntaxWarning, ResourceWarning


@before("theano", "lasagne")
def hide_deprecations(package: ModuleType) -> bool:
    """Deprecation warnings about the code of Theano and Lasagne help nobody; those about the user's code stay"""
    import re

    # Warnings at run time carry the module's name, those of Python's compiler the file's
    folder = os.path.dirname(package.__file__ or "")
    module = rf"{package.__name__}(\.|$)|{re.escape(folder + os.sep)}"
    for category in _OWN_WARNINGS:
        warnings.filterwarnings("ignore", category=category, module=module)
    # Theano tells Lasagne 0.1 of its renamed arguments by plain UserWarnings
    warnings.filterwarnings("ignore", message="(?s).*deprecated", category=UserWarning, module=module)
    return False


# What stood here when this was the only file, by where it is now
_MOVED = {
    "import_hook": ("RepairingFinder", "after", "applied_repairs", "before", "install"),
    "requirements": ("NUMPY_VERSIONS", "PYTHON_VERSIONS", "check_compiler", "check_numpy", "check_python"),
    "settings": ("private_temporary_folder", "set_defaults", "writable_base_compiledir"),
    "compiler": ("NUMPY2_HEADER", "OPENBLAS_FLAG", "OPENBLAS_HEADER", "add_compiler_arguments"),
    "stand_ins": ("distutils_stand_in", "numpy_distutils_stand_in", "pkg_resources_stand_in"),
}

__getattr__ = deprecated_names(
    __name__,
    {
        **{name: f"theano_compat.{file}:{name}" for file, names in _MOVED.items() for name in names},
        "TheanoEnvironmentError": "theano_compat:TheanoEnvironmentError",
        "EnvironmentProblem": "theano_compat:TheanoEnvironmentError",
    },
)
