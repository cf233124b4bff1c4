"""Theano 1.0.5 and Lasagne, unchanged, on the Pythons and NumPys of today.

``import theano_compat`` is cheap: it imports neither NumPy nor Theano. It only installs an import hook, so that
Theano is repaired while it is being imported, by whomever and whenever that happens later:

>>> import theano_compat
>>> import theano
>>> theano.config.floatX
'float32'

See `theano_compat.repairs` for what is repaired and why; ``python -m theano_compat`` lists what was needed here.
"""

from theano_compat.deprecation import deprecated_names
from theano_compat.repairs import TheanoEnvironmentError, applied_repairs, install

__all__ = ["TheanoEnvironmentError", "applied_repairs"]

install()

__getattr__ = deprecated_names(__name__, {"EnvironmentProblem": "theano_compat:TheanoEnvironmentError"})
