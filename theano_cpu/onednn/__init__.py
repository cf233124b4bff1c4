"""oneDNN for Theano: the engine, and the operations that it computes.

>>> from theano_cpu import onednn
>>> onednn.info()["engine"] in ("onednn", "theano")
True

This face imports nothing until a name is asked for.
"""

from typing import TYPE_CHECKING

from theano_compat.deprecation import deprecated_names, lazy_dir, lazy_names

if TYPE_CHECKING:
    from theano_cpu.onednn.runtime import (
        OneDnnUnavailableError,
        UnknownEngineError,
        engine,
        find_onednn,
        forget_overflows,
        has_bfloat16,
        info,
        native_module,
        num_threads,
        onednn_available,
        overflowed,
        set_num_threads,
    )

_RUNTIME = "theano_cpu.onednn.runtime"

__all__ = [
    "OneDnnUnavailableError",
    "UnknownEngineError",
    "engine",
    "find_onednn",
    "forget_overflows",
    "has_bfloat16",
    "info",
    "native_module",
    "num_threads",
    "onednn_available",
    "overflowed",
    "set_num_threads",
]

__getattr__ = deprecated_names(
    __name__,
    {
        "OneDnnUnavailable": f"{_RUNTIME}:OneDnnUnavailableError",
        "UnknownEngine": f"{_RUNTIME}:UnknownEngineError",
        "helper": f"{_RUNTIME}:native_module",
    },
    otherwise=lazy_names(__name__, dict.fromkeys(__all__, _RUNTIME)),
)
__dir__ = lazy_dir(__name__)
