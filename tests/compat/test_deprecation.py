"""Names and modules that have moved are found under their old names, by imports and by pickles, with one warning."""

import importlib
import pickle
import re
import subprocess
import sys
import warnings

import pytest
from fresh_python import REPOSITORY, fresh_python

import nsfw_experiments
import nsfw_model
import theano_compat
import theano_cpu
from theano_compat import deprecation, import_hook, repairs
from theano_compat.deprecation import MOVED_MODULES, deprecated_names, lazy_dir, lazy_names, renamed_arguments

PACKAGES = nsfw_experiments, nsfw_model, theano_cpu
MOVED = sorted(old for old in MOVED_MODULES if old.startswith(tuple(package.__name__ for package in PACKAGES)))


def public_names(module):
    """The public classes and functions that a module defines."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


# Every module that has moved


@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_path_gives_the_module_of_today_and_warns_where_it_is_used(old, monkeypatch):
    new = MOVED_MODULES[old]
    module = importlib.import_module(new)
    monkeypatch.delitem(sys.modules, old, raising=False)
    names = public_names(module)
    statement = f"from {old} import {', '.join(names)}" if names else f"import {old}"
    script = compile(statement, "users_script.py", "exec")
    imported = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(script, imported)
    assert [(str(warning.message), warning.category, warning.filename) for warning in caught] == [
        (f"{old} is now {new}", DeprecationWarning, "users_script.py")
    ]
    assert all(imported[name] is getattr(module, name) for name in names)
    assert importlib.import_module(old) is sys.modules[old] is module


@pytest.mark.parametrize("old", MOVED)
@pytest.mark.filterwarnings("ignore:.* is now :DeprecationWarning")
def test_a_pickle_that_names_an_old_module_path_loads(old, monkeypatch):
    module = importlib.import_module(MOVED_MODULES[old])
    monkeypatch.delitem(sys.modules, old, raising=False)
    for name in public_names(module):
        by_name = f"c{old}\n{name}\n.".encode()  # the opcode GLOBAL
        assert pickle.loads(by_name) is getattr(module, name)


# pickle.dumps(painting, protocol=4) in version 1.0.0, where Painting stood in nsfw_experiments.individual
PAINTING_OF_VERSION_1 = (
    b"\x80\x04\x95\x93\x00\x00\x00\x00\x00\x00\x00\x8c\x1bnsfw_experiments.individual\x94\x8c\x08Painting\x94\x93\x94)"
    b"\x81\x94((K\nK\x14K\x05K\xffK\x00K\x00K\x80t\x94(K\x1eK(K\x07K\x00K\xffK\x00K<t\x94e}\x94\x8c\x07fitness\x94h\x00"
    b"\x8c\x0fPaintingFitness\x94\x93\x94)\x81\x94}\x94\x8c\x07wvalues\x94G?\xf8\x00\x00\x00\x00\x00\x00\x85\x94sbsb."
)


@pytest.mark.filterwarnings("ignore:.* is now :DeprecationWarning")
def test_a_painting_pickled_by_version_1_is_a_painting_of_today():
    from nsfw_experiments.evolution.individual import Painting

    painting = pickle.loads(PAINTING_OF_VERSION_1)
    assert type(painting) is Painting
    assert painting == [(10, 20, 5, 255, 0, 0, 128), (30, 40, 7, 0, 255, 0, 60)]
    assert painting.fitness.values == (1.5,)


# What the README, the pages and the notebooks of version 1.0.0 imported
IMPORTS_OF_VERSION_1 = """
from nsfw_experiments.evolution import Evolution
from nsfw_experiments.expressions import jpeg
from nsfw_experiments.fitness import Likeness, NsfwLogit, NsfwScore
from nsfw_experiments.fragility import fragility
from nsfw_experiments.inverse import inverse
from nsfw_experiments.inverse_view import LiveView, amplified_difference
from nsfw_experiments.jpeg import Jpeg
from nsfw_experiments.mock_jpeg import MockJpegInverse
from nsfw_experiments.mutations import change_one_gene, change_some_shapes
from nsfw_experiments.painting import Circles, Polygons, kind_named, render, to_svg
from nsfw_experiments.robust import survival, survival_table
from nsfw_experiments.similarity import psnr
from nsfw_experiments.strategies import climb, climbing_toolbox, original_toolbox, select_cross_and_mutate
from nsfw_experiments.watching import LiveView, Snapshots, save_animation
from nsfw_model.layers import BatchNormLayer
from nsfw_model.preprocess import CHANNEL_MEANS, compress
from nsfw_model.prototxt import read_prototxt
from nsfw_model.weights import load_weights
from theano_cpu import EnvironmentProblem, applied_repairs, onednn_available
from theano_cpu.compile import compile_function
from theano_cpu.describe import Affine, describe, describes
from theano_cpu.fuse import accelerate, fuse
from theano_cpu.repairs import EnvironmentProblem
"""


@pytest.mark.parametrize("statement", IMPORTS_OF_VERSION_1.split("\n")[1:-1])
@pytest.mark.filterwarnings("ignore:.* is now :DeprecationWarning")
def test_what_version_1_showed_can_still_be_imported(statement):
    exec(statement, {})


def test_importing_our_packages_uses_no_old_name():
    fresh_python(
        "import open_nsfw, nsfw_model.scorer, theano_cpu.ops\n"
        "from nsfw_experiments.evolution import Evolution, callbacks, checkpoint, parallel\n"
        "from nsfw_experiments.inverse import callbacks, inverse, stability, surrogate\n"
        "from nsfw_command import main",
        *("-W", "error:nsfw_:DeprecationWarning", "-W", "error:theano_:DeprecationWarning"),
    )


# The line that a warning points at


def test_each_warning_points_at_the_users_line(tmp_path):
    """As Python shows deprecations by default: once for a line, and only for those of the script itself."""
    script = tmp_path / "users_script.py"
    uses = {
        "import theano_cpu.repairs": "theano_cpu.repairs is now theano_compat.repairs",
        "from nsfw_experiments import logit": "nsfw_experiments.logit is now nsfw_model.logit",
        "from nsfw_experiments.similarity import psnr": (
            "nsfw_experiments.similarity is now nsfw_experiments.image_metrics"
        ),
        "from theano_cpu import EnvironmentProblem": (
            "theano_cpu.EnvironmentProblem is now theano_compat.TheanoEnvironmentError"
        ),
        "theano_cpu.EnvironmentProblem": "theano_cpu.EnvironmentProblem is now theano_compat.TheanoEnvironmentError",
        "theano_cpu.repairs.check_python()": (
            "theano_compat.repairs.check_python is now theano_compat.requirements.check_python"
        ),
        "__import__('nsfw_experiments.live_view')": "nsfw_experiments.live_view is now nsfw_experiments.live_figure",
        "import pickle; pickle.loads(b'cnsfw_experiments.record\\nRecord\\n.')": (
            "nsfw_experiments.record is now nsfw_experiments.inverse.record"
        ),
    }
    script.write_text("\n".join(["import theano_cpu", *uses]) + "\n")
    command = [sys.executable, str(script)]
    run = subprocess.run(command, env={"PYTHONPATH": str(REPOSITORY)}, cwd="/", capture_output=True, text=True)
    shown = re.findall(r"^(.*?):(\d+): DeprecationWarning: (.*)$", run.stderr, re.MULTILINE)
    expected = [(str(script), str(line), message) for line, message in enumerate(uses.values(), 2)]
    assert shown == expected, run.stderr


def test_deprecation_as_an_error_is_raised_at_the_import(monkeypatch):
    monkeypatch.delitem(sys.modules, "nsfw_experiments.logit", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match=r"nsfw_experiments\.logit is now nsfw_model\.logit"):
            exec("import nsfw_experiments.logit", {})
    assert "nsfw_experiments.logit" not in sys.modules


# Names of a module


@pytest.mark.filterwarnings("ignore:.* is now :DeprecationWarning")
def test_the_old_names_of_repairs_are_todays_objects():
    assert theano_compat.EnvironmentProblem is theano_compat.TheanoEnvironmentError
    assert repairs.EnvironmentProblem is theano_compat.TheanoEnvironmentError
    assert repairs.applied_repairs is import_hook.applied_repairs
    for file, names in repairs._MOVED.items():
        module = importlib.import_module(f"theano_compat.{file}")
        assert all(getattr(repairs, name) is getattr(module, name) for name in names)


def test_a_name_that_never_was_is_an_attribute_error_without_a_warning():
    find = deprecated_names("package.module", {"Old": "math:sqrt"})
    for ask in (find, lazy_names("package.module", {"Lazy": "math"})):
        with pytest.raises(AttributeError, match=r"^module 'package\.module' has no attribute 'Other'$"):
            ask("Other")


def test_names_that_have_not_moved_are_asked_of_the_next_getattr():
    find = deprecated_names(
        "package.module", {"Old": "math:sqrt"}, otherwise=lazy_names("package.module", {"pi": "math"})
    )
    assert find("pi") == pytest.approx(3.14159, abs=1e-5)
    with pytest.warns(DeprecationWarning, match=r"^package\.module\.Old is now math\.sqrt$"):
        assert find("Old")(9.0) == 3.0


@renamed_arguments(base="exponent", value="number")
def power(number, exponent=2):
    """A power."""
    return number**exponent


def test_an_argument_by_its_old_name_warns_and_is_taken():
    with pytest.warns(DeprecationWarning, match="^power: the argument base is now exponent$") as caught:
        assert power(3, base=4) == 81
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(DeprecationWarning) as caught:
        assert power(value=3, base=1) == 3
    assert len(caught) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert power(3, exponent=1) == 3 and power(number=5) == 25 and power(2, 5) == 32
    assert (power.__name__, power.__doc__) == ("power", "A power.")


def test_an_argument_by_both_of_its_names_is_refused():
    with pytest.raises(TypeError, match="^power: the argument base is now exponent; got both$"):
        power(3, exponent=2, base=4)


def test_dir_of_a_face_lists_lazy_names_and_imports_none():
    run = fresh_python(
        "import sys, nsfw_experiments.inverse as face\n"
        "from theano_compat.deprecation import lazy_dir\n"
        "face.__dir__ = lazy_dir(face.__name__)\n"
        "assert {'inverse', 'read_pixels', '__name__'} <= set(dir(face)), dir(face)\n"
        "assert 'numpy' not in sys.modules"
    )
    assert not run.stderr
    assert lazy_dir("theano_compat")() == sorted(vars(theano_compat))


def test_moving_modules_twice_installs_one_finder():
    before = list(sys.meta_path)
    deprecation.move_modules({"a_module_of_yesterday": "math"})
    assert sys.meta_path == before
