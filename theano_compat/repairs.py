"""Let Theano 1.0.5 and Lasagne, unchanged, run on CPython 3.10 to 3.13 and NumPy 1.26 to 2.x.

Theano's last release is of 2020. What Python and NumPy have removed since is put back here, and only where
it is missing. `install` puts one finder in front of ``sys.meta_path``; while it sees a module of Theano or of
Lasagne being imported, it calls the repairs that are registered below for that module, just before or just
after the module's own code runs. So the order of imports in a program does not matter, and each repair
happens exactly once.

A repair is a function with a decorator, ``@before("module")`` or ``@after("module")``. The first line of its
docstring is its reason; it returns whether there was anything to do. `applied_repairs` lists what was done.

What the user has set in ``THEANO_FLAGS`` or ``.theanorc`` always wins over the defaults set here.
"""

import contextlib
import importlib.util
import os
import sys
import types
import warnings

PYTHON_VERSIONS = (3, 10), (3, 13)
NUMPY_VERSIONS = (1, 26), (2,)
HERE = os.path.dirname(os.path.abspath(__file__))
NUMPY2_HEADER = os.path.join(HERE, "numpy2.h")
OPENBLAS_HEADER = os.path.join(HERE, "scipy_openblas.h")
OPENBLAS_FLAG = "-lscipy_openblas"


class TheanoEnvironmentError(ImportError):
    """Theano cannot work on this machine as it is; the message says what to install or change."""


_before: "dict[str, list]" = {}
_after: "dict[str, list]" = {}
_applied: "dict[str, str]" = {}


def before(module_name):
    """Register a repair ``() -> bool`` to be called before the code of ``module_name`` runs."""
    return lambda repair: _before.setdefault(module_name, []).append(repair) or repair


def after(module_name):
    """Register a repair ``(module) -> bool`` to be called after the code of ``module_name`` has run."""
    return lambda repair: _after.setdefault(module_name, []).append(repair) or repair


def applied_repairs():
    """Return the repairs that were needed so far.

    Returns
    -------
    list of (str, str)
        Name and reason of each, in the order of their use; empty until Theano is imported.

    Example
    -------
    >>> import theano_compat, theano
    >>> theano_compat.applied_repairs()[-1]
    ('...', '...')
    """
    return list(_applied.items())


def _apply(repairs, *args):
    for repair in repairs:
        if repair(*args):
            _applied[repair.__name__] = repair.__doc__.splitlines()[0]


# The import hook


class RepairingFinder:
    """Finds what the other finders find, and wraps the loading of Theano's and Lasagne's modules."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in ("theano", "lasagne"):
            return None
        spec = _find_elsewhere(name, path, target)
        if spec is None:
            return importlib.util.spec_from_loader(name, DownsampleLoader) if name == DOWNSAMPLE else None
        concerned = _before, _after, _stand_ins, _slow_imports
        if spec.has_location and any(name in modules for modules in concerned):
            _wrap(spec)
        return spec


def _find_elsewhere(name, path, target):
    for finder in sys.meta_path:
        if finder is not RepairingFinder and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


def _wrap(spec):
    exec_module = spec.loader.exec_module

    def exec_repaired(module):
        if spec.name in ("theano", "lasagne"):
            hide_deprecations(spec)
        _apply(_before.get(spec.name, ()))
        with contextlib.ExitStack() as stack:
            stack.enter_context(_standing_in(_stand_ins.get(spec.name, ())))
            if spec.name in _slow_imports:
                stack.enter_context(_skipping(*_slow_imports[spec.name]))
            exec_module(module)
        _apply(_after.get(spec.name, ()), module)

    spec.loader.exec_module = exec_repaired


def install():
    """Install the import hook; called once, by ``import theano_compat``.

    Raises
    ------
    TheanoEnvironmentError
        On a Python that Theano cannot run on, and when Theano is there already, unrepaired.
    """
    if RepairingFinder in sys.meta_path:
        return
    check_python()
    if "theano" in sys.modules:
        raise TheanoEnvironmentError(
            "theano was imported before theano_compat, too late to repair it: import theano_compat (or the "
            "package that uses it, such as open_nsfw) before theano and lasagne."
        )
    _quiet_spinning()
    sys.meta_path.insert(0, RepairingFinder)


# What must be there


def check_python():
    oldest, newest = PYTHON_VERSIONS
    if not oldest <= sys.version_info[:2] <= newest:
        raise TheanoEnvironmentError(
            "Theano 1.0.5 is kept working on Python {}.{} to {}.{}, and this is Python {}.{} ({}): "
            "make a virtual environment with one of those.".format(
                *(oldest + newest + tuple(sys.version_info[:2]) + (sys.executable,))
            )
        )


def _numpy_version():
    import numpy

    return tuple(int(part) for part in numpy.__version__.split(".")[:2])


@before("theano")
def check_numpy():
    """Theano needs a NumPy from 1.26 to 2.x"""
    try:
        version = _numpy_version()
    except ImportError as error:
        raise TheanoEnvironmentError(
            f"Theano needs NumPy, and it cannot be imported here ({error}): pip install 'numpy>=1.26,<3'"
        ) from error
    oldest, newest = NUMPY_VERSIONS
    if version < oldest or version[:1] > newest:
        raise TheanoEnvironmentError(
            "Theano 1.0.5 is kept working on NumPy 1.26 to 2.x, and this is NumPy {}.{}: "
            "pip install 'numpy>=1.26,<3'".format(*version)
        )
    return False


def check_compiler(cxx):
    """Raise `TheanoEnvironmentError` where Theano's generated C++ cannot be compiled.

    Parameters
    ----------
    cxx : str or None
        The compiler that the user has chosen, ``""`` for none (Theano then runs in Python, very slowly), or
        None for Theano's own choice.
    """
    import shutil
    import sysconfig

    if cxx == "":
        return
    compiler = cxx or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler.split()[0]) is None and shutil.which(compiler) is None:
        raise TheanoEnvironmentError(
            f"Theano needs a C++ compiler, and {compiler!r} was not found on PATH. Install one: "
            "'apt-get install g++' (Debian, Ubuntu), 'dnf install gcc-c++' (Fedora), "
            "'xcode-select --install' (macOS), 'conda install gxx' (conda). "
            "To name another one set THEANO_FLAGS=cxx=/path/to/it."
        )
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    if not os.path.exists(header):
        raise TheanoEnvironmentError(
            f"Theano compiles C++ code against Python's headers, and {header} does not exist. Install them: "
            "'apt-get install python3-dev' (Debian, Ubuntu), 'dnf install python3-devel' (Fedora)."
        )


# Theano's settings


@after("theano.configparser")
def set_defaults(configparser):
    """Theano would take float64, a BLAS named by numpy.distutils (gone), a home that may be read-only"""

    def users_choice(key):
        try:
            return configparser.fetch_val_for_key(key)
        except KeyError:
            return None

    check_compiler(users_choice("cxx"))
    defaults = {
        "floatX": "float32",
        "blas.ldflags": OPENBLAS_FLAG if _openblas_folder() else "",
        # The compiled modules of one NumPy cannot be loaded by another
        "compiledir_format": "compiledir_%(short_platform)s-%(processor)s-%(python_version)s-"
        "%(python_bitwidth)s-numpy-%(numpy_version)s",
    }
    if users_choice("base_compiledir") is None and users_choice("compiledir") is None:
        defaults["base_compiledir"] = writable_base_compiledir()
    for key, value in defaults.items():
        if users_choice(key) is None:
            configparser.THEANO_FLAGS_DICT[key] = value
    return True


def writable_base_compiledir():
    """Return ``~/.theano``, or a private folder among the temporary files when that cannot be written.

    Theano loads and runs what it finds in this folder, so one that another user could have prepared is not
    taken.
    """
    folder = os.path.join(os.path.expanduser("~"), ".theano")
    if os.path.isabs(folder):
        with contextlib.suppress(OSError):
            os.makedirs(folder, mode=0o770, exist_ok=True)
            if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                return folder
    return private_temporary_folder()


def private_temporary_folder():
    """Return a temporary folder for this user only, the same one each time if that is safe."""
    import stat
    import tempfile

    uid = os.getuid() if hasattr(os, "getuid") else 0
    folder = os.path.join(tempfile.gettempdir(), f"theano-{uid}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077:
        return folder
    return tempfile.mkdtemp(prefix="theano-")


def _quiet_spinning():
    # libgomp's idle threads spin for long by default: 10-40 times slower when other processes want the cores
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "5000"


# The C++ compiler's arguments


def _openblas_folder():
    """Return the folder of the wheel scipy-openblas32's library, or None."""
    spec = importlib.util.find_spec("scipy_openblas32")
    for package_folder in spec.submodule_search_locations if spec else ():
        folder = os.path.join(package_folder, "lib")
        for suffix in ("so", "dylib"):
            if os.path.exists(os.path.join(folder, "libscipy_openblas." + suffix)):
                return folder
    return None


@after("theano.gof.cmodule")
def add_compiler_arguments(cmodule):
    """Generated C needs NumPy 1's names on NumPy 2, and the way to the BLAS of the wheel"""
    # As list items, not through gcc.cxxflags: that splits paths at spaces, and it is the user's
    plain_compile_args = cmodule.GCC_compiler.compile_args
    numpy2 = ["-include", NUMPY2_HEADER] if _numpy_version() >= (2,) else []
    folder = _openblas_folder()

    def compile_args(march_flags=True):
        arguments = plain_compile_args(march_flags) + numpy2
        if folder and OPENBLAS_FLAG in cmodule.config.blas.ldflags.split():
            arguments += ["-include", OPENBLAS_HEADER, "-L" + folder]
            arguments += ["-Xlinker", "-rpath", "-Xlinker", folder]
        return arguments

    cmodule.GCC_compiler.compile_args = staticmethod(compile_args)
    return True


# Names and modules that are gone


@before("theano")
def put_back_numpy_names():
    """NumPy 1.24 and 2.0 removed names that Theano still uses"""
    import numpy as np

    class Cast:
        def __getitem__(self, dtype):
            return lambda x: np.asarray(x).astype(dtype)

    names = {
        "bool": bool,
        "complex": complex,
        "product": np.prod,
        "cast": Cast(),
        "sctype2char": lambda dtype: np.dtype(dtype).char,
        "MAXDIMS": np.iinfo("int32").min,  # NumPy 2's NPY_RAVEL_AXIS: Theano only means "no axis" by it
    }
    missing = {name: value for name, value in names.items() if name not in vars(np)}
    for name, value in missing.items():
        setattr(np, name, value)
    return bool(missing)


def _module(name, **contents):
    module = types.ModuleType(name, f"Stands in for {name} while Theano or Lasagne import it.")
    vars(module).update(contents)
    return module


def distutils_stand_in():
    """distutils left Python 3.12; before, setuptools provides it, slowly; Theano asks it for paths only"""
    import shutil
    import sysconfig

    def get_python_inc(plat_specific=False):
        return sysconfig.get_path("platinclude" if plat_specific else "include")

    def get_python_lib(plat_specific=False, standard_lib=False):
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


def numpy_distutils_stand_in():
    """numpy.distutils is gone on Python 3.12, and slow and noisy before; Theano only asks it for a folder"""
    import numpy as np

    return [
        _module("numpy.distutils"),
        _module("numpy.distutils.__config__", blas_opt_info={}),
        _module("numpy.distutils.misc_util", get_numpy_include_dirs=lambda: [np.get_include()]),
    ]


def pkg_resources_stand_in():
    """setuptools 82 dropped pkg_resources; Lasagne only asks it for its own version"""
    import importlib.metadata

    return [
        _module(
            "pkg_resources",
            get_distribution=importlib.metadata.distribution,
            DistributionNotFound=importlib.metadata.PackageNotFoundError,
        )
    ]


_stand_ins = {
    "theano.configdefaults": (distutils_stand_in,),
    "theano.gof.cmodule": (distutils_stand_in, numpy_distutils_stand_in),
    "theano.tensor.blas": (numpy_distutils_stand_in,),
    "lasagne": (pkg_resources_stand_in,),
}


@contextlib.contextmanager
def _standing_in(makers):
    """Serve stand-in modules to one importing module only: others must not mistake them for the real ones."""
    served = []
    for maker in makers:
        modules = maker()
        if modules[0].__name__ in sys.modules:
            continue  # the real one is there already
        _applied[maker.__name__] = maker.__doc__
        for module in modules:
            served.append(module.__name__)
            sys.modules[module.__name__] = module
            parent, _, leaf = module.__name__.rpartition(".")
            if parent:
                setattr(sys.modules[parent], leaf, module)
    try:
        yield
    finally:
        for name in served:
            del sys.modules[name]


# Parts of SciPy that take two thirds of Theano's import, by the modules that import them. All of them look in
# scipy.signal for private functions that SciPy has dropped, and do without: None makes that fail at once. One
# function uses scipy.stats, as an attribute of scipy, which SciPy imports when it is first asked for.
_slow_imports = {
    "theano.scalar.basic_scipy": ("scipy.stats", types.ModuleType("scipy.stats")),
    "theano.tensor.nnet.abstract_conv": ("scipy.signal", None),
    "theano.tensor.nnet.conv": ("scipy.signal", None),
}


@contextlib.contextmanager
def _skipping(name, stand_in):
    """Keep a module from being imported."""
    if name in sys.modules:
        yield
        return
    _applied["skip_" + name.replace(".", "_")] = f"{name} takes long to import, and Theano can do without it"
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]


DOWNSAMPLE = "theano.tensor.signal.downsample"


class DownsampleLoader:
    """Makes ``theano.tensor.signal.downsample``, the name under which Lasagne 0.1 knows ``pool``."""

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        from theano.tensor.signal.pool import pool_2d

        def max_pool_2d(input, ds, ignore_border=None, st=None, padding=(0, 0), mode="max"):
            return pool_2d(input, ws=ds, ignore_border=ignore_border, stride=st, pad=padding, mode=mode)

        module.max_pool_2d = max_pool_2d
        _applied["downsample_stand_in"] = "Lasagne 0.1 imports theano.tensor.signal.pool by its old name"


@before("lasagne")
def import_theano_first():
    """Lasagne turns every ImportError of Theano into advice to install another Theano"""
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("theano")
    return False


# What behaves differently on NumPy 2


@after("theano.misc.safe_asarray")
def wrap_integers(safe_asarray):
    """NumPy 2 refuses integers that do not fit: Theano finds a constant's smallest dtype by trying"""
    if _numpy_version() < (2,):
        return False
    import numpy as np

    strict_asarray = safe_asarray._asarray

    def _asarray(a, dtype, order=None):
        # Theano's gradients pass a Variable where its dtype is meant; NumPy 1 read the attribute
        dtype = dtype.dtype if hasattr(dtype, "owner") else dtype
        try:
            return strict_asarray(a, dtype, order)
        except OverflowError:
            return strict_asarray(np.asarray(a), dtype, order)

    safe_asarray._asarray = _asarray
    return True


@after("theano.tensor.subtensor")
def increment_in_python(subtensor):
    """NumPy 2 took PyArray_MapIter out of its C API: AdvancedIncSubtensor1 runs its Python code instead"""
    if _numpy_version() < (2,):
        return False
    del subtensor.AdvancedIncSubtensor1.c_code
    return True


# Noise

OWN_WARNINGS = DeprecationWarning, PendingDeprecationWarning, FutureWarning, SyntaxWarning, ResourceWarning


def hide_deprecations(spec):
    """Ignore deprecation warnings about the code of Theano and Lasagne; those about the user's code stay."""
    import re

    # Warnings at run time carry the module's name, those of Python's compiler the file's
    module = rf"{spec.name}(\.|$)|{re.escape(os.path.dirname(spec.origin) + os.sep)}"
    for category in OWN_WARNINGS:
        warnings.filterwarnings("ignore", category=category, module=module)
    # Theano tells Lasagne 0.1 of its renamed arguments by plain UserWarnings
    warnings.filterwarnings("ignore", message="(?s).*deprecated", category=UserWarning, module=module)
