"""Fast operations for Theano on CPUs, and Lasagne networks fused onto them.

``import theano_cpu`` is cheap: it imports neither NumPy nor Theano, and lets `theano_compat` repair Theano while it
is imported later on.

>>> import theano_cpu
>>> theano_cpu.onednn_available() in (True, False)
True

`theano_cpu.ops` has the operations, `theano_cpu.fuse` builds networks of them, and `theano_cpu.compile` compiles such
networks fast. `theano_cpu.lowering` says what Lasagne's layers compute, in the descriptions of `theano_cpu.ir`, and
lets other packages say it of theirs. `theano_cpu.onednn` is the engine below, and `theano_cpu.shapes` has the lengths
of outputs.
"""

from typing import TYPE_CHECKING

from theano_compat import TheanoEnvironmentError, applied_repairs
from theano_compat.deprecation import deprecated_names, lazy_dir, lazy_names, move_modules

if TYPE_CHECKING:
    from theano_cpu.onednn.runtime import onednn_available

__all__ = ["TheanoEnvironmentError", "applied_repairs", "onednn_available"]

# The operations need Theano, which `import theano_cpu` alone must not load.
__getattr__ = deprecated_names(
    __name__,
    {"EnvironmentProblem": "theano_compat:TheanoEnvironmentError"},
    otherwise=lazy_names(__name__, {"onednn_available": "theano_cpu.onednn.runtime"}),
)
__dir__ = lazy_dir(__name__)

move_modules(
    {
        "theano_cpu.repairs": "theano_compat.repairs",
        "theano_cpu.fused_layers": "theano_cpu.fuse.layers",
        "theano_cpu.describe": "theano_cpu.lowering",
        **{
            f"theano_cpu.{name}": f"theano_cpu.onednn.{name}"
            for name in ("activation", "convolution", "dense", "layout", "operation", "pooling", "rewrites")
        },
    }
)
