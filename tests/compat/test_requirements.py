"""What Theano needs and lacks on a machine is one clear message, which says what to install."""

import sys

import pytest
from fresh_python import fresh_python

from theano_compat import TheanoEnvironmentError, requirements


@pytest.mark.parametrize("module", ["theano", "lasagne"])
def test_a_missing_compiler_is_one_clear_message(module, tmp_path):
    run = fresh_python(f"import theano_compat, {module}", check=False, PATH=str(tmp_path))
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert "TheanoEnvironmentError: Theano needs a C++ compiler" in last and "apt-get install g++" in last


def test_a_user_who_wants_no_compiler_needs_none(tmp_path):
    run = fresh_python(
        "import theano_compat, theano; print(theano.config.linker)",
        PATH=str(tmp_path),
        THEANO_FLAGS=f"cxx=,base_compiledir={tmp_path}",
    )
    assert run.stdout.strip() == "vm"


def test_a_users_compiler_that_does_not_exist_is_named():
    with pytest.raises(TheanoEnvironmentError, match="'/opt/none/g[+][+]' was not found"):
        requirements.check_compiler("/opt/none/g++")


@pytest.mark.parametrize("name, given", [("g++", "{} -m32"), ("a compiler", "{}"), ("g++", "{}")])
def test_a_compiler_may_have_arguments_or_a_blank_in_its_path(name, given, tmp_path):
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert requirements.missing_for_compiling(given.format(program)) is None
    program.chmod(0o644)
    if sys.platform != "win32":
        assert requirements.missing_for_compiling(given.format(program)) == given.format(program)


@pytest.mark.parametrize("platform, name", [("linux", "g++"), ("darwin", "clang++")])
def test_theano_looks_for_the_systems_compiler(platform, name, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert requirements.default_compiler() == name == requirements.missing_for_compiling(None)
    assert requirements.missing_for_compiling("") is None


def test_missing_headers_of_python_are_one_clear_message(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(TheanoEnvironmentError, match="apt-get install python3-dev"):
        requirements.check_compiler(None)


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 16, 0)])
def test_an_untried_python_is_one_clear_message(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(TheanoEnvironmentError, match=r"on Python 3\.10 to 3\.15, and this is Python 3"):
        requirements.check_python()


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 15, 9)])
def test_the_oldest_and_the_newest_python_are_taken(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    requirements.check_python()


@pytest.mark.parametrize("version", ["1.25.2", "3.0.0"])
def test_an_untried_numpy_is_one_clear_message(version, monkeypatch):
    monkeypatch.setattr("numpy.__version__", version)
    with pytest.raises(TheanoEnvironmentError, match=r"pip install 'numpy>=1\.26,<3'"):
        requirements.check_numpy()


@pytest.mark.parametrize("version", ["1.26.0", "2.99.1"])
def test_the_oldest_and_the_newest_numpy_are_taken(version, monkeypatch):
    monkeypatch.setattr("numpy.__version__", version)
    requirements.check_numpy()


def test_a_missing_numpy_is_one_clear_message(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(TheanoEnvironmentError, match=r"cannot be imported here .*: pip install 'numpy>=1\.26,<3'"):
        requirements.check_numpy()


def test_the_command_says_what_is_missing_in_one_line(tmp_path):
    run = fresh_python(
        "import runpy; runpy.run_module('theano_compat', run_name='__main__')", check=False, PATH=str(tmp_path)
    )
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.startswith("Theano needs a C++ compiler") and run.stderr.count("\n") == 1
