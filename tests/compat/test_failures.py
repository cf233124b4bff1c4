"""What keeps Theano from compiling is said once, in one sentence, and errors of the code stay Theano's own."""

import io
import os
import sys
import tempfile
from types import SimpleNamespace

import pytest

from theano_compat import TheanoEnvironmentError, failures, precompiled, settings
from theano_compat.requirements import python_header


@pytest.fixture(autouse=True)
def nothing_failed(monkeypatch):
    monkeypatch.setattr(failures, "_last", None)


@pytest.fixture
def compiled_elsewhere(monkeypatch):
    """A process that may not compile."""
    warmed = SimpleNamespace(folder="/warmed", record=None)
    monkeypatch.setattr(precompiled, "_in_use", precompiled._Use(warmed, "g++ does not exist"))


def cmodule(compile_str):
    """Theano's module of that name, as far as it is used, with a compiler that does this."""
    settings_of_gcc = SimpleNamespace(cxxflags="-O9")
    config = SimpleNamespace(cxx="a compiler", compiledir="/a folder", gcc=settings_of_gcc)
    module = SimpleNamespace(config=config, GCC_compiler=SimpleNamespace(compile_str=compile_str))
    assert not failures.explain_failures(module)
    return module.GCC_compiler


def test_what_is_compiled_and_what_theano_prints_of_it_pass_through(capsys):
    def compile_str(name, code, *, location):
        print("compiling", name)
        return name, code, location

    assert cmodule(compile_str).compile_str("m1", "int x;", location="here") == ("m1", "int x;", "here")
    assert capsys.readouterr().out == "compiling m1\n"


def test_a_failure_for_want_of_something_outside_is_one_sentence_without_the_code(capsys, monkeypatch):
    asked = []

    def compile_str(name):
        print("int main() { all of the code }")
        raise Exception("Compilation failed")

    monkeypatch.setattr(failures, "explain", lambda *facts: asked.append(facts) or "the disk is full")
    with pytest.raises(TheanoEnvironmentError, match="^the disk is full$") as caught:
        cmodule(compile_str).compile_str("m1")
    assert capsys.readouterr().out == "" and failures._last is caught.value
    assert asked == [(caught.value.__cause__, "a compiler", "/a folder", "-O9")]


def test_a_failure_of_the_code_is_theanos_own_with_all_that_it_prints(capsys, monkeypatch):
    def compile_str(name):
        print("int main() { all of the code }")
        raise ZeroDivisionError("Compilation failed")

    monkeypatch.setattr(failures, "explain", lambda *facts: None)
    with pytest.raises(ZeroDivisionError, match="Compilation failed"):
        cmodule(compile_str).compile_str("m1")
    assert capsys.readouterr().out == "int main() { all of the code }\n" and failures._last is None


def test_where_modules_were_compiled_elsewhere_a_missing_one_is_refused(compiled_elsewhere):
    refused = cmodule(lambda name: pytest.fail("it was compiled"))
    with pytest.raises(TheanoEnvironmentError, match=r"^a module that Theano needs \(m0123456789a\) is not among"):
        refused.compile_str("m0123456789abcdef")


# explain


def test_an_error_of_the_system_is_quoted_and_names_both_folders(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/temporary")
    said = failures.explain(PermissionError(13, "Permission denied"), "g++", "/compiled")
    assert said.startswith("Theano cannot write to /compiled, its folder for compiled modules, or to the temporary")
    assert "/temporary (Permission denied): make room there" in said

    def none_is_usable():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none_is_usable)
    assert "files in TMPDIR (Permission denied)" in failures.explain(PermissionError(13, "Permission denied"), "", "/")


@pytest.mark.parametrize("code, said", [
    ("import sys; sys.exit(0)", None),
    ("import sys; sys.exit(3)", "exit code 3"),
    ("import sys; sys.exit('\\nfirst\\nsecond')", "exit code 1, first"),
    # It is asked to read Python's headers, and writes nothing
    ("import sys; sys.exit(' '.join(sys.argv[1:]) + '|' + sys.stdin.read().strip())",
     f"exit code 1, -g -x c++ -fsyntax-only -I {os.path.dirname(python_header())} -|#include <Python.h>"),
])  # fmt: skip
def test_a_compiler_is_tried_on_pythons_headers(code, said, tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!{sys.executable}\n{code}\n")
    compiler.chmod(0o755)
    assert failures._trial(str(compiler), "-g") == said


def test_a_compiler_that_cannot_be_started_is_said_in_the_systems_words(tmp_path):
    assert failures._trial(str(tmp_path / "none")) == "No such file or directory"


def test_the_flags_are_to_blame_where_the_compiler_works_without_them(monkeypatch):
    tried = []

    def trial(cxx, *flags):
        tried.append((cxx, flags))
        return "exit code 1" if flags else None

    monkeypatch.setattr(failures, "_trial", trial)
    said = failures.explain(Exception(), "g++", "/compiled", "-O9 -march=new")
    assert said == "the C++ compiler 'g++' refuses the flags of THEANO_FLAGS=gcc.cxxflags=-O9 -march=new (exit code 1)."
    assert tried == [("g++", ()), ("g++", ("-O9", "-march=new"))]


# Room


def test_a_folder_is_tried_before_it_is_locked(tmp_path, monkeypatch):
    locked = []
    compilelock = SimpleNamespace(lock=lambda *args, **kwargs: locked.append((args, kwargs)) or "locked")
    assert not failures.check_room_before_locking(compilelock)
    assert compilelock.lock(str(tmp_path / "lock_dir"), 7, min_wait=1) == "locked"
    assert locked == [((str(tmp_path / "lock_dir"), 7), {"min_wait": 1})]
    with pytest.raises(TheanoEnvironmentError, match=f"cannot write to {tmp_path / 'none'}, ") as caught:
        compilelock.lock(str(tmp_path / "none" / "lock_dir"))
    assert len(locked) == 1 and failures._last is caught.value
    assert list(tmp_path.iterdir()) == []


def test_room_is_asked_for_before_theanos_own_extension_is_compiled(tmp_path, monkeypatch):
    import theano

    asked = []
    monkeypatch.setattr(failures, "check_room", asked.append)
    monkeypatch.setattr(theano, "config", SimpleNamespace(compiledir=str(tmp_path)))
    assert not failures.check_room_for_the_linker(None)
    (tmp_path / "lazylinker_ext").mkdir()
    (tmp_path / "lazylinker_ext" / "lazylinker_ext.so").touch()
    assert not failures.check_room_for_the_linker(None)
    assert asked == [str(tmp_path)]


def test_room_is_not_asked_for_where_nothing_is_compiled(monkeypatch, compiled_elsewhere):
    monkeypatch.setattr(failures, "check_room", lambda folder: pytest.fail("it was"))
    failures.check_room_for_the_linker(None)


# Theano's virtual machine, and its optimiser


def test_what_kept_theanos_virtual_machine_from_being_compiled_is_raised(monkeypatch):
    import theano

    def loaded(name):
        raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(theano, "config", SimpleNamespace(cxx="g++", compiledir="/compiled"))
    monkeypatch.setattr(failures, "importlib", SimpleNamespace(import_module=loaded))
    assert not failures.raise_what_kept_the_linker_away(SimpleNamespace(CVM=object))
    with pytest.raises(TheanoEnvironmentError, match=r"^Theano's C virtual machine, /compiled/lazy.*\(libgomp"):
        failures.raise_what_kept_the_linker_away(SimpleNamespace())
    monkeypatch.setattr(failures, "_last", TheanoEnvironmentError("the disk is full"))
    with pytest.raises(TheanoEnvironmentError, match="^the disk is full$"):
        failures.raise_what_kept_the_linker_away(SimpleNamespace())
    monkeypatch.setattr(theano.config, "cxx", "")  # without a compiler there is to be none
    assert not failures.raise_what_kept_the_linker_away(SimpleNamespace())


def test_an_error_of_the_surroundings_ends_the_optimiser_and_others_are_printed():
    def warner(name):
        return SimpleNamespace(warn=lambda error, *others: (name, error, others))

    opt = SimpleNamespace(NavigatorOptimizer=warner("navigator"), SeqOptimizer=warner("sequence"))
    failures.optimise_no_further(opt)
    error = ValueError("of the code")
    for name, kind in ("navigator", opt.NavigatorOptimizer), ("sequence", opt.SeqOptimizer):
        assert kind.warn.__func__(error, 1, 2) == (name, error, (1, 2))
        with pytest.raises(TheanoEnvironmentError, match="the disk is full"):
            kind.warn.__func__(TheanoEnvironmentError("the disk is full"), 1)


# Temporary files from which nothing may be run


class Compiler:
    """Theano's, as far as it is used: it says where it would try a program."""

    @classmethod
    def _try_compile_tmp(cls, *args, **kwargs):
        return tempfile.gettempdir(), args, kwargs


@pytest.mark.parametrize("noexec", [True, False])
def test_programs_are_tried_in_theanos_folder_where_temporary_files_may_not_be_run(noexec, monkeypatch, tmp_path):
    tried = type("Tried", (Compiler,), {"_try_compile_tmp": classmethod(Compiler._try_compile_tmp.__func__)})
    monkeypatch.setattr(tempfile, "tempdir", "/temporary")
    monkeypatch.setattr(settings, "is_noexec", lambda folder: noexec and folder == "/temporary")
    made = failures.try_programs_where_they_can_run(
        SimpleNamespace(Compiler=tried, config=SimpleNamespace(compiledir=str(tmp_path)))
    )
    assert made is noexec
    assert tried._try_compile_tmp("code", flags=()) == (
        str(tmp_path) if noexec else "/temporary",
        ("code",),
        {"flags": ()},
    )
    assert tempfile.tempdir == "/temporary"


def test_no_programs_are_tried_where_modules_were_compiled_elsewhere(monkeypatch, compiled_elsewhere):
    monkeypatch.setattr(settings, "is_noexec", lambda folder: True)
    assert not failures.try_programs_where_they_can_run(SimpleNamespace())


def test_printing_is_given_back_after_a_failure(monkeypatch):
    def compile_str(name):
        raise Exception("Compilation failed")

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(failures, "explain", lambda *facts: None)
    before = sys.stdout
    with pytest.raises(Exception, match="Compilation failed"):
        cmodule(compile_str).compile_str("m1")
    assert sys.stdout is before
