"""Theano's import is repaired whoever imports it and whenever, and nothing else is disturbed."""

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import theano_compat
from theano_compat import repairs

REPOSITORY = Path(__file__).resolve().parents[2]


def python(code, check=True, path=(), **environment):
    """Run code in a new Python that finds this theano_compat, and return the finished process."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*map(str, path), str(REPOSITORY)]),
        **environment,
    }
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    if check:
        assert run.returncode == 0, run.stderr
    return run


def theano_flags(**flags):
    """The settings of the running tests (their folder of compiled modules), and these."""
    given = [os.environ["THEANO_FLAGS"]] if os.environ.get("THEANO_FLAGS") else []
    return ",".join(given + [f"{name.replace('__', '.')}={value}" for name, value in flags.items()])


# Whoever imports Theano, and whenever


def test_importing_theano_compat_imports_neither_numpy_nor_theano():
    python("import theano_compat, sys; assert not {'numpy', 'theano', 'lasagne'} & set(sys.modules)")


@pytest.mark.parametrize(
    "imports",
    [
        "import theano_compat, theano",
        "import theano_compat, lasagne, theano",
        "import theano_compat; from theano.tensor.signal import downsample; import theano",
    ],
)
def test_theano_is_repaired_in_any_order_of_imports(imports):
    run = python(imports + "; print(theano.config.floatX, (theano.tensor.fmatrix() + 300).dtype)")
    assert run.stdout.split() == ["float32", "float32"]


def test_no_stand_in_is_left_for_other_importers():
    python(
        "import theano_compat, lasagne, sys\n"
        "left = [n for n, m in sys.modules.items() if (m.__doc__ or '').startswith('Stands in')]\n"
        "assert not left, left"
    )


def test_parts_of_scipy_that_theano_hardly_uses_are_loaded_only_when_they_are_used():
    python(
        "import theano_compat, theano, theano.tensor as T, sys\n"
        "assert 'scipy.signal' not in sys.modules and 'scipy.stats._stats_py' not in sys.modules\n"
        "x = T.scalar()\n"
        "chi2 = theano.function([x], T.chi2sf(x, 2.0), mode='FAST_COMPILE')\n"
        "assert abs(chi2(1.0) - 0.6065307) < 1e-6\n"  # exp(-1/2)
        "import scipy.stats, scipy.signal\n"
        "assert scipy.stats.norm.cdf(0) == 0.5 and list(scipy.signal.convolve([1, 2], [1, 1])) == [1, 3, 2]"
    )


def test_the_module_tells_what_was_repaired():
    run = python("import runpy; runpy.run_module('theano_compat', run_name='__main__')")
    assert "Theano 1.0.5" in run.stdout and "compiler: " in run.stdout
    assert "repaired: set_defaults (Theano would take float64" in run.stdout


def test_theano_imported_too_early_is_an_error_that_says_what_to_do():
    run = python("import sys, types; sys.modules['theano'] = types.ModuleType('theano'); import theano_compat", False)
    assert run.returncode == 1
    assert "TheanoEnvironmentError: theano was imported before theano_compat" in run.stderr


def test_applied_repairs_give_their_reasons():
    import lasagne  # noqa: F401

    applied = dict(theano_compat.applied_repairs())
    assert {"set_defaults", "add_compiler_arguments"} <= set(applied)
    assert all(len(reason) > 30 for reason in applied.values())
    assert ("wrap_integers" in applied) == (repairs._numpy_version() >= (2,))


# The user's own settings


def test_users_settings_win(tmp_path):
    (tmp_path / "theanorc").write_text("[global]\nfloatX = float64\n")
    run = python(
        "import theano_compat, theano\n"
        "from theano.gof.cmodule import GCC_compiler\n"
        "print(theano.config.floatX, '-DUSERS_OWN' in GCC_compiler.compile_args(False))",
        THEANORC=str(tmp_path / "theanorc"),
        THEANO_FLAGS=theano_flags(gcc__cxxflags="-DUSERS_OWN"),
    )
    assert run.stdout.split() == ["float64", "True"]


def test_the_users_blas_is_not_mixed_with_the_wheels():
    configparser = types.SimpleNamespace(THEANO_FLAGS_DICT={"blas.ldflags": "-lmine", "cxx": ""})
    configparser.fetch_val_for_key = configparser.THEANO_FLAGS_DICT.__getitem__
    repairs.set_defaults(configparser)
    assert configparser.THEANO_FLAGS_DICT["blas.ldflags"] == "-lmine"

    config = types.SimpleNamespace(blas=types.SimpleNamespace(ldflags="-lmine"))
    compiler = types.SimpleNamespace(compile_args=lambda march_flags=True: ["-O1"])
    repairs.add_compiler_arguments(types.SimpleNamespace(config=config, GCC_compiler=compiler))
    assert repairs.OPENBLAS_HEADER not in compiler.compile_args()
    config.blas.ldflags = repairs.OPENBLAS_FLAG
    assert compiler.compile_args()[0] == "-O1" and repairs.OPENBLAS_HEADER in compiler.compile_args()


def test_threads_wait_quietly_unless_the_user_says_how():
    show = "import theano_compat, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    unset = "import os; os.environ.pop('GOMP_SPINCOUNT', None); os.environ.pop('OMP_WAIT_POLICY', None); "
    assert python(unset + show).stdout.strip() == "5000"
    assert python(show, GOMP_SPINCOUNT="7").stdout.strip() == "7"
    assert python("import os; os.environ.pop('GOMP_SPINCOUNT', None); " + show, OMP_WAIT_POLICY="active").stdout == (
        "None\n"
    )


# Folders: spaces in paths, and a home that cannot be written


def test_spaces_in_every_path_and_no_home(tmp_path):
    spaced = tmp_path / "a folder with spaces"
    spaced.mkdir()
    packages = [REPOSITORY / "theano_compat"]
    spec = importlib.util.find_spec("scipy_openblas32")
    packages += [Path(folder) for folder in spec.submodule_search_locations] if spec else []
    for package in packages:
        (spaced / package.name).symlink_to(package)
    run = python(
        f"""
import sys
sys.path.remove({str(REPOSITORY)!r})
import theano_compat, theano, numpy as np
x, y = theano.tensor.fmatrices("xy")
dot = theano.function([x, y], theano.tensor.dot(x, y), mode=theano.Mode("cvm", "fast_compile"))
a = np.arange(6, dtype="float32").reshape(2, 3)
assert (dot(a, a.T) == a @ a.T).all()
print(theano_compat.repairs.NUMPY2_HEADER, theano.config.compiledir, theano.config.blas.ldflags, sep="\\n")
""",
        path=[spaced],
        HOME="/dev/null/nowhere",
        TMPDIR=str(spaced),
        THEANO_FLAGS="",
        THEANORC=str(tmp_path / "none"),
    )
    header, compiledir, ldflags = run.stdout.splitlines()
    assert Path(header).parent.parent == spaced
    assert spaced.resolve() in Path(compiledir).parents
    assert ldflags == (repairs.OPENBLAS_FLAG if spec else "")


def test_a_home_that_cannot_be_written_gives_a_private_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null/nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = Path(repairs.writable_base_compiledir())
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert repairs.writable_base_compiledir() == str(folder), "the next run finds its compiled modules again"


def test_a_writable_home_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert repairs.writable_base_compiledir() == str(tmp_path / ".theano")


@pytest.mark.parametrize("trap", ["open to others", "a link", "a file"])
def test_a_folder_that_others_may_have_prepared_is_not_used(trap, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    expected = tmp_path / f"theano-{os.getuid()}"
    if trap == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        expected.symlink_to(tmp_path / "elsewhere")
    elif trap == "a file":
        expected.write_text("")
        expected.chmod(0o600)
    else:
        expected.mkdir()
        expected.chmod(0o777)
    folder = Path(repairs.private_temporary_folder())
    assert folder != expected and folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700


# One clear message about what is missing


@pytest.mark.parametrize("module", ["theano", "lasagne"])
def test_a_missing_compiler_is_one_clear_message(module, tmp_path):
    run = python(f"import theano_compat, {module}", False, PATH=str(tmp_path))
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert "TheanoEnvironmentError: Theano needs a C++ compiler" in last and "apt-get install g++" in last


def test_a_user_who_wants_no_compiler_needs_none(tmp_path):
    run = python(
        "import theano_compat, theano; print(theano.config.linker)",
        PATH=str(tmp_path),
        THEANO_FLAGS=f"cxx=,base_compiledir={tmp_path}",
    )
    assert run.stdout.strip() == "vm"


def test_a_users_compiler_that_does_not_exist_is_named():
    with pytest.raises(theano_compat.TheanoEnvironmentError, match="'/opt/none/g[+][+]' was not found"):
        repairs.check_compiler("/opt/none/g++")


def test_missing_headers_of_python_are_one_clear_message(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(theano_compat.TheanoEnvironmentError, match="apt-get install python3-dev"):
        repairs.check_compiler(None)


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_an_untried_python_is_one_clear_message(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(theano_compat.TheanoEnvironmentError, match=r"on Python 3\.10 to 3\.13, and this is Python 3"):
        repairs.check_python()


@pytest.mark.parametrize("version", ["1.25.2", "3.0.0"])
def test_an_untried_numpy_is_one_clear_message(version, monkeypatch):
    monkeypatch.setattr("numpy.__version__", version)
    with pytest.raises(theano_compat.TheanoEnvironmentError, match=r"pip install 'numpy>=1\.26,<3'"):
        repairs.check_numpy()


# Silence


def test_theano_and_lasagne_are_silent_and_the_users_warnings_are_not(tmp_path):
    run = python(
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
