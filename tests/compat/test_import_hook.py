"""Theano's import is repaired whoever imports it and whenever, and nothing else is disturbed."""

import pytest
from fresh_python import fresh_python

import theano_compat
from theano_compat.requirements import numpy_version


def test_importing_theano_compat_imports_neither_numpy_nor_theano():
    fresh_python("import theano_compat, sys; assert not {'numpy', 'theano', 'lasagne'} & set(sys.modules)")


@pytest.mark.parametrize(
    "imports",
    [
        "import theano_compat, theano",
        "import theano_compat, lasagne, theano",
        "import theano_compat; from theano.tensor.signal import downsample; import theano",
    ],
)
def test_theano_is_repaired_in_any_order_of_imports(imports):
    run = fresh_python(imports + "; print(theano.config.floatX, (theano.tensor.fmatrix() + 300).dtype)")
    assert run.stdout.split() == ["float32", "float32"]


def test_no_stand_in_is_left_for_other_importers():
    fresh_python(
        "import theano_compat, lasagne, sys\n"
        "left = [n for n, m in sys.modules.items() if (m.__doc__ or '').startswith('Stands in')]\n"
        "assert not left, left"
    )


@pytest.mark.skipif(numpy_version() < (2,), reason="NumPy 1 has numpy.core, and uses it")
def test_theano_compiles_without_the_old_name_of_numpys_core():
    run = fresh_python(
        "import numpy, sys\n"
        "sys.modules['numpy.core'] = None\n"  # what NumPy 2 has under this name warns that it is to go
        "import theano_compat, theano\n"
        "x = theano.tensor.fvector()\n"
        "print(theano.function([x], x + 1)([1, 2]))"
    )
    assert run.stdout.splitlines() == ["[2. 3.]"]


def test_numpys_fortran_compiler_is_loaded_only_when_it_is_used():
    fresh_python(
        "import theano_compat, theano, sys\n"
        "assert not [name for name in sys.modules if name.startswith('numpy.f2py')]\n"
        "import numpy.f2py\n"
        "assert numpy.f2py.crackfortran.crackline and numpy.f2py is sys.modules['numpy.f2py']"
    )


def test_parts_of_scipy_that_theano_hardly_uses_are_loaded_only_when_they_are_used():
    fresh_python(
        "import theano_compat, theano, theano.tensor as T, sys\n"
        "assert 'scipy.signal' not in sys.modules and 'scipy.stats._stats_py' not in sys.modules\n"
        "assert theano.scalar.basic_scipy.imported_scipy_special\n"
        "x = T.scalar()\n"
        "chi2 = theano.function([x], T.chi2sf(x, 2.0), mode='FAST_COMPILE')\n"
        "assert abs(chi2(1.0) - 0.6065307) < 1e-6\n"  # exp(-1/2)
        "import scipy.stats, scipy.signal\n"
        "assert scipy.stats.norm.cdf(0) == 0.5 and list(scipy.signal.convolve([1, 2], [1, 1])) == [1, 3, 2]"
    )


HOOKED = """
import theano_compat
from theano_compat import import_hook
from types import ModuleType

order = []

@import_hook.before("theano.part")
def at_first(part):
    "It comes first"
    order.append(sorted(name for name in vars(part) if not name.startswith("__")))
    return True

@import_hook.after("theano.part")
def at_last(part):
    "It comes last"
    order.append(sorted(name for name in vars(part) if not name.startswith("__")))
    return True

@import_hook.after("theano.part")
def for_others(part):
    "It is for other machines"
    return False

@import_hook.stand_in("theano.part")
def gone_stand_in():
    "Python has lost it"
    gone = ModuleType("gone")
    gone.value = 1
    return [gone]

@import_hook.provide("theano.missing")
def missing_stand_in(missing):
    "Theano has lost it"
    missing.value = 2
    return True

import_hook.skip_import("colorsys", ["theano.part"])

from theano.missing import value
from theano import part
assert (part.one, value) == (1, 2), (part.one, value)
assert order == [[], ["colorsys", "one"]], order
assert part.colorsys is None
import colorsys
try:
    import gone
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("a stand-in is left")
print(*[f"{name}: {reason}" for name, reason in theano_compat.applied_repairs()[-5:]], sep="\\n")
"""


def test_repairs_of_each_kind_are_made_when_their_module_is_imported(tmp_path):
    package = tmp_path / "theano"
    (package / "gof").mkdir(parents=True)  # by which Theano 1.0.5 is known
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(
        "from gone import value as one\ntry:\n    import colorsys\nexcept ImportError:\n    colorsys = None\n"
    )
    assert fresh_python(HOOKED, path=[tmp_path]).stdout.splitlines()[-5:] == [
        "missing_stand_in: Theano has lost it",
        "at_first: It comes first",
        "gone_stand_in: Python has lost it",
        "skip_colorsys: colorsys takes long to import, and Theano can do without it",
        "at_last: It comes last",
    ]


def test_the_module_tells_what_was_repaired():
    run = fresh_python("import runpy; runpy.run_module('theano_compat', run_name='__main__')")
    assert "Theano 1.0.5" in run.stdout and "compiler: " in run.stdout
    assert "repaired: set_defaults (Theano would take float64" in run.stdout


def test_theano_imported_too_early_is_an_error_that_says_what_to_do():
    run = fresh_python(
        "import sys, types; sys.modules['theano'] = types.ModuleType('theano'); import theano_compat", check=False
    )
    assert run.returncode == 1
    assert "TheanoEnvironmentError: theano was imported before theano_compat" in run.stderr


def test_applied_repairs_give_their_reasons():
    import lasagne  # noqa: F401

    applied = dict(theano_compat.applied_repairs())
    assert {"set_defaults", "add_compiler_arguments"} <= set(applied)
    assert all(len(reason) > 30 for reason in applied.values())
    assert ("wrap_integers" in applied) == (numpy_version() >= (2,))


def test_theano_and_lasagne_are_silent_and_the_users_warnings_are_not(tmp_path):
    run = fresh_python(
        """
import theano_compat, warnings
warnings.simplefilter("default")
import lasagne, theano
network = lasagne.layers.InputLayer((None, 3, 8, 8))
network = lasagne.layers.Conv2DLayer(network, 2, 3, W=lasagne.init.Constant(1))
network = lasagne.layers.MaxPool2DLayer(network, 2)
lasagne.layers.get_output(network)
warnings.warn("mine", DeprecationWarning)
""",
        PYTHONPYCACHEPREFIX=str(tmp_path),  # all of Theano is compiled again, with its SyntaxWarnings
    )
    assert [line for line in run.stderr.splitlines() if "Warning: " in line] == ["<string>:9: DeprecationWarning: mine"]
    assert "WARNING" not in run.stderr
