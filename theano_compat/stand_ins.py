"""Modules that Theano and Lasagne import, and that are gone, or slow to import for the little that is used of them."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from theano_compat.import_hook import after, provide, skip_import, stand_in
from theano_compat.requirements import numpy_version


def _module(name: str, **contents: object) -> ModuleType:
    module = ModuleType(name, f"Stands in for {name} while Theano or Lasagne import it.")
    vars(module).update(contents)
    return module


@stand_in("theano.configdefaults", "theano.gof.cmodule")
def distutils_stand_in() -> list[ModuleType]:
    """distutils left Python 3.12; before, setuptools provides it, slowly; Theano asks it for paths only"""
    import shutil
    import sysconfig

    def get_python_inc(plat_specific: bool = False) -> str:
        return sysconfig.get_path("platinclude" if plat_specific else "include")

    def get_python_lib(plat_specific: bool = False, standard_lib: bool = False) -> str:
        kind = "stdlib" if standard_lib else "lib" if plat_specific else "purelib"
        return sysconfig.get_path("plat" + kind if plat_specific else kind)

    return [
        _module("distutils"),
        _module("distutils.spawn", find_executable=shutil.which),
        _module(
            "distutils.sysconfig",
            get_config_var=sysconfig.get_config_var,
            get_config_h_filename=sysconfig.get_config_h_filename,
            get_python_version=sysconfig.get_python_version,
            get_python_inc=get_python_inc,
            get_python_lib=get_python_lib,
        ),
    ]


@stand_in("theano.gof.cmodule", "theano.tensor.blas")
def numpy_distutils_stand_in() -> list[ModuleType]:
    """numpy.distutils is gone on Python 3.12, and slow and noisy before; Theano only asks it for a folder"""
    import numpy as np

    return [
        _module("numpy.distutils"),
        _module("numpy.distutils.__config__", blas_opt_info={}),
        _module("numpy.distutils.misc_util", get_numpy_include_dirs=lambda: [np.get_include()]),
    ]


@after("theano.gof.cc")
def numpy_core_stand_in(cc: Any) -> bool:
    """NumPy 2 renamed numpy.core and is to drop the old name; Theano asks it for the C API's version to compile code"""
    if numpy_version() < (2,):
        return False
    import numpy as np
    from numpy import _core

    cc.np = _module("numpy", core=_core, __getattr__=functools.partial(getattr, np))
    return True


@stand_in("lasagne")
def pkg_resources_stand_in() -> list[ModuleType]:
    """setuptools 82 dropped pkg_resources; Lasagne only asks it for its own version"""
    import importlib.metadata

    return [
        _module(
            "pkg_resources",
            get_distribution=importlib.metadata.distribution,
            DistributionNotFound=importlib.metadata.PackageNotFoundError,
        )
    ]


@provide("theano.tensor.signal.downsample")
def downsample_stand_in(downsample: Any) -> bool:
    """Lasagne 0.1 imports theano.tensor.signal.pool by its old name"""
    from theano.tensor.signal.pool import pool_2d

    def max_pool_2d(
        input: Any, ds: Any, ignore_border: Any = None, st: Any = None, padding: Any = (0, 0), mode: str = "max"
    ) -> Any:
        return pool_2d(input, ws=ds, ignore_border=ignore_border, stride=st, pad=padding, mode=mode)

    downsample.max_pool_2d = max_pool_2d
    return True


# Two thirds of Theano's import. All of the importers look in scipy.signal for private functions that SciPy has
# dropped, and do without. One function uses scipy.stats, as an attribute of scipy, which SciPy imports when it is
# first asked for.
skip_import("scipy.signal", ["theano.tensor.nnet.abstract_conv", "theano.tensor.nnet.conv"])
skip_import("scipy.stats", ["theano.scalar.basic_scipy"], instead=ModuleType("scipy.stats"))
# SciPy itself has no use for it: it takes all names of NumPy there are
skip_import("numpy.f2py", ["theano.scalar.basic_scipy"], instead=ModuleType("numpy.f2py"))
