"""Modules that are gone have what Theano and Lasagne ask them for, and only where they are asked."""

import importlib.metadata
import importlib.util
import shutil
import sys
import sysconfig
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import theano_compat  # noqa: F401
from theano_compat import import_hook, stand_ins


def contents(modules):
    return {module.__name__: module for module in modules}


def test_distutils_gives_the_paths_of_sysconfig():
    made = contents(stand_ins.distutils_stand_in())
    found = made["distutils.sysconfig"]
    paths = sysconfig.get_paths()
    assert (found.get_python_inc(), found.get_python_inc(True)) == (paths["include"], paths["platinclude"])
    assert (found.get_python_lib(), found.get_python_lib(True)) == (paths["purelib"], paths["platlib"])
    assert found.get_python_lib(standard_lib=True) == paths["stdlib"]
    assert found.get_python_lib(True, True) == paths["platstdlib"]
    assert found.get_python_lib(plat_specific=True) == paths["platlib"]
    assert found.get_config_var("SOABI") == sysconfig.get_config_var("SOABI")
    assert found.get_python_version() == "{}.{}".format(*sys.version_info)
    assert found.get_config_h_filename() == sysconfig.get_config_h_filename()
    assert made["distutils.spawn"].find_executable is shutil.which


def test_what_include_and_library_paths_of_a_platform_are_told_apart(monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: name)
    found = contents(stand_ins.distutils_stand_in())["distutils.sysconfig"]
    assert (found.get_python_inc(), found.get_python_inc(True)) == ("include", "platinclude")
    kinds = [found.get_python_lib(plat, standard) for plat in (False, True) for standard in (False, True)]
    assert kinds == ["purelib", "stdlib", "platlib", "platstdlib"]


def test_numpys_distutils_gives_its_headers_and_no_blas():
    made = contents(stand_ins.numpy_distutils_stand_in())
    assert made["numpy.distutils.misc_util"].get_numpy_include_dirs() == [np.get_include()]
    assert made["numpy.distutils.__config__"].blas_opt_info == {}


def test_others_give_pythons_and_numpys_own():
    [packages] = stand_ins.pkg_resources_stand_in()
    assert packages.get_distribution("numpy").version == importlib.metadata.version("numpy")
    assert packages.DistributionNotFound is importlib.metadata.PackageNotFoundError
    [imp] = stand_ins.imp_stand_in()
    assert imp.find_module is importlib.util.find_spec
    [linalg] = stand_ins.numpy_linalg_stand_in()
    assert linalg.LinAlgError is np.linalg.LinAlgError


def test_the_old_pooling_hands_its_arguments_on_under_their_new_names(monkeypatch):
    import theano.tensor.signal.pool

    monkeypatch.setattr(theano.tensor.signal.pool, "pool_2d", lambda *args, **kwargs: (args, kwargs))
    downsample = SimpleNamespace()
    assert stand_ins.downsample_stand_in(downsample)
    assert downsample.max_pool_2d("x", (2, 3)) == (
        ("x",), dict(ws=(2, 3), ignore_border=None, stride=None, pad=(0, 0), mode="max")
    )  # fmt: skip
    assert downsample.max_pool_2d("x", (2, 3), True, (1, 2), (0, 1), "sum") == (
        ("x",), dict(ws=(2, 3), ignore_border=True, stride=(1, 2), pad=(0, 1), mode="sum")
    )  # fmt: skip


# Who is served


def stand_in():
    "A reason"
    return [ModuleType("gone_family"), ModuleType("gone_family.part")]


@pytest.fixture
def applied(monkeypatch):
    monkeypatch.setattr(import_hook, "_applied", {})
    return import_hook._applied


def test_a_family_of_stand_ins_is_served_for_the_time_of_an_import(applied):
    with import_hook._standing_in(stand_in):
        import gone_family.part

        assert gone_family.part is sys.modules["gone_family.part"]
    assert not [name for name in sys.modules if name.startswith("gone_family")]
    assert applied == {"stand_in": "A reason"}


def test_a_stand_in_is_taken_away_after_an_error_and_where_somebody_removed_it(applied):
    with pytest.raises(ZeroDivisionError), import_hook._standing_in(stand_in):
        del sys.modules["gone_family.part"]
        raise ZeroDivisionError
    assert "gone_family" not in sys.modules


def test_the_real_one_is_left_where_it_was_imported_already(applied, monkeypatch):
    real = ModuleType("gone_family")
    monkeypatch.setitem(sys.modules, "gone_family", real)
    with import_hook._standing_in(stand_in):
        assert sys.modules["gone_family"] is real and "gone_family.part" not in sys.modules
    assert sys.modules["gone_family"] is real and applied == {}


@pytest.mark.parametrize("instead", [None, ModuleType("slow_family.part")], ids=["nothing", "another"])
def test_a_slow_module_is_left_out_for_the_time_of_an_import(instead, applied, monkeypatch):
    parent = ModuleType("slow_family")
    parent.__path__ = []
    monkeypatch.setitem(sys.modules, "slow_family", parent)
    with pytest.raises(ZeroDivisionError), import_hook._skipping("slow_family.part", instead):
        assert sys.modules["slow_family.part"] is instead and getattr(parent, "part", None) is instead
        if instead is None:
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module("slow_family.part")
        raise ZeroDivisionError
    assert "slow_family.part" not in sys.modules and not hasattr(parent, "part")
    assert list(applied) == ["skip_slow_family_part"]


def test_a_slow_module_without_its_family_is_left_out_too(applied):
    with import_hook._skipping("slow_module", ModuleType("slow_module")):
        assert "slow_module" in sys.modules
    assert "slow_module" not in sys.modules


def test_a_slow_module_is_used_where_it_was_imported_already(applied, monkeypatch):
    real = ModuleType("slow_module")
    monkeypatch.setitem(sys.modules, "slow_module", real)
    with import_hook._skipping("slow_module", None):
        assert sys.modules["slow_module"] is real
    assert sys.modules["slow_module"] is real and applied == {}


# The finder


def test_only_modules_of_theano_and_lasagne_are_found_by_it(monkeypatch):
    spec = SimpleNamespace(name="theano.built_in", has_location=False, loader=None)
    elsewhere = SimpleNamespace(find_spec=lambda name, path, target: spec if name == spec.name else None)
    monkeypatch.setattr(sys, "meta_path", [import_hook.RepairingFinder, SimpleNamespace(), elsewhere])
    find = import_hook.RepairingFinder.find_spec
    assert find("theano.built_in") is spec
    assert find("theano.none") is None and find("theanos") is None and find("numpy") is None
    monkeypatch.setitem(import_hook._provided, "theano.none", lambda module: False)
    assert find("theano.none").loader is import_hook._ProvidingLoader


def test_the_finder_is_installed_once_and_first(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", ["another"])
    assert not import_hook.is_installed()
    for _ in range(2):
        import_hook.install()
    assert sys.meta_path == [import_hook.RepairingFinder, "another"] and import_hook.is_installed()


def test_a_repair_that_had_nothing_to_do_is_not_among_the_applied_ones(applied):
    def needed(module):
        """A reason

        and more.
        """
        return True

    def not_needed(module):
        return False

    def without_words(module):
        return True

    import_hook._apply([needed, not_needed, without_words], ModuleType("theano.part"))
    assert import_hook.applied_repairs() == [("needed", "A reason"), ("without_words", "")]
