"""Theano 1.0.5 and Lasagne, unchanged, on CPython 3.10 to 3.15 and NumPy 1.26 to 2.x.

Theano's last release is of 2020. What Python and NumPy have removed since is put back here, and only where it is
missing. ``import theano_compat`` is cheap: it imports neither NumPy nor Theano. It only installs an import hook, so
that Theano is repaired while it is being imported, by whomever and whenever that happens later:

>>> import theano_compat
>>> import theano
>>> theano.config.floatX
'float32'

Its files::

    bundle          Theano and Lasagne themselves, for where they are not installed
    import_hook     how repairs are made while a module is being imported, and how one is added
    requirements    what must be there: Python, NumPy, a compiler
    settings        Theano's defaults and its folder of compiled modules
    compiler        what the C++ compiler is told
    failures        what is said where it fails for want of something outside the code
    module_versions how compiled modules are found again by the next process
    precompiled     compiled modules for machines without a compiler
    processor       what the processor can execute
    stand_ins       modules that are gone
    python_code     what runs in Python: theano.scan; pooling and convolution without a compiler
    repairs         NumPy's names and manners that are gone, and noise
    sources         what Python's compiler warns of in their source texts
    deprecation     old names of ours

What the user has set in ``THEANO_FLAGS`` or ``.theanorc`` always wins over the settings made here.
``python -m theano_compat`` lists what was needed on this machine, and why.
"""

# Importing them registers their repairs
from theano_compat import (  # noqa: F401
    bundle,
    compiler,
    damage,
    failures,
    module_versions,
    precompiled,
    python_code,
    repairs,
    settings,
    stand_ins,
)
from theano_compat.deprecation import deprecated_names
from theano_compat.import_hook import applied_repairs, install
from theano_compat.requirements import TheanoEnvironmentError, check_not_imported_before, check_python

__all__ = ["TheanoEnvironmentError", "applied_repairs"]

__getattr__ = deprecated_names(__name__, {"EnvironmentProblem": "theano_compat:TheanoEnvironmentError"})

check_python()
check_not_imported_before()
settings.quiet_spinning()
install()
bundle.install()
