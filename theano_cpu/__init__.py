"""Theano on today's machines: repairs for Python 3.10-3.13 and NumPy 1.26-2.x, and oneDNN operations.

``import theano_cpu`` is cheap: it imports neither NumPy nor Theano. It only installs an import hook, so that
Theano is repaired while it is being imported, by whomever and whenever that happens later:

>>> import theano_cpu
>>> import theano
>>> theano.config.floatX
'float32'

See `theano_cpu.repairs` for what is repaired and why; ``python -m theano_cpu`` lists what was needed here.
"""

from theano_cpu.repairs import EnvironmentProblem, applied_repairs, install

__all__ = ["EnvironmentProblem", "applied_repairs", "onednn_available"]

install()


def __getattr__(name):
    # The operations need Theano, which `import theano_cpu` alone must not load.
    if name == "onednn_available":
        from theano_cpu.ops import onednn_available

        return onednn_available
    raise AttributeError(f"module 'theano_cpu' has no attribute {name!r}")
