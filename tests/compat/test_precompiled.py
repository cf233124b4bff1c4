"""Compiled modules of another machine are used where nothing can be compiled, or one sentence says why not."""

import errno
import json
import os
import subprocess
import sys
import types
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest
from fresh_python import REPOSITORY, fresh_python

from theano_compat import TheanoEnvironmentError, compiler, failures, precompiled, processor, settings


def record(**changes):
    """What `write_record` would write here, if nothing had been compiled, with changes."""
    return precompiled.Record(
        **{
            "python": precompiled._soabi(),
            "numpy": np.__version__,
            "cxx": "/usr/bin/g++",
            "cxx_version": "12",
            "is_llvm": False,
            "cxxflags": "",
            "march_flags": ["-march=znver3"],
            "arguments": [],
            "trials": {},
            "fingerprint": processor.fingerprint(),
            "needs": [],
            **changes,
        }
    )


def write(folder, **changes):
    """Leave a record in a folder, as warm-up does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / precompiled.RECORD).write_text(json.dumps(record(**changes)._asdict()))
    return folder


@pytest.fixture
def settings_of():
    """The settings that Theano gets, where the user has set these."""

    def made(**users):
        configparser = types.SimpleNamespace(THEANO_FLAGS_DICT=dict(users))
        configparser.fetch_val_for_key = configparser.THEANO_FLAGS_DICT.__getitem__
        settings.set_defaults(configparser)
        return configparser.THEANO_FLAGS_DICT

    yield made
    precompiled._in_use = None


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))


# Which record


def test_a_record_is_read_as_it_was_written(tmp_path):
    assert precompiled.read_record(str(write(tmp_path, trials={"a": [True, False]}))) == record(
        trials={"a": [True, False]}
    )


def test_a_folder_without_a_record_has_none(tmp_path):
    assert precompiled.read_record(str(tmp_path)) is None and precompiled.find(str(tmp_path)) is None


def test_the_record_that_was_made_last_is_taken_of_those_that_fit(tmp_path):
    for time, (name, changes) in enumerate(
        {"a": {"cxx_version": "11"}, "b": {}, "c": {"numpy": "0.9"}, "d": {"needs": ["avx9000"]}}.items()
    ):
        folder = write(tmp_path / f"compiledir_{name}", **changes)
        os.utime(folder / precompiled.RECORD, (time, time))
    assert precompiled.find(str(tmp_path)) == (str(tmp_path / "compiledir_b"), record())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"python": "cpython-27-vax"}, r"for cpython-27-vax with NumPy .*, and this is .*'open-nsfw warm-up'"),
        ({"numpy": "0.9"}, r"with NumPy 0\.9, and this is .*'open-nsfw warm-up'"),
    ],
)
def test_a_record_of_other_programs_is_refused_in_one_sentence(changes, message, tmp_path):
    write(tmp_path / "compiledir_a", **changes)
    with pytest.raises(TheanoEnvironmentError, match=message):
        precompiled.find(str(tmp_path))


@pytest.mark.skipif(not processor.flags(), reason="nothing is known of this processor")
def test_code_of_a_larger_processor_is_refused_and_never_run(tmp_path):
    write(tmp_path / "compiledir_a", needs=["sse2", "avx9000"])
    with pytest.raises(TheanoEnvironmentError, match=r"that has avx9000, and this one has not.*--march x86"):
        precompiled.find(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 100_000, "{}", "null", '{"python": 3}', "\x00\x01"],
    ids=["empty", "cut", "a list", "brackets", "no facts", "null", "one fact", "bytes"],
)
def test_a_damaged_record_is_one_sentence(text, tmp_path):
    (tmp_path / precompiled.RECORD).write_text(text)
    with pytest.raises(TheanoEnvironmentError, match=r"precompiled\.json.* is damaged .*warm-up"):
        precompiled.find(str(tmp_path))


@pytest.mark.parametrize("changes", [{"needs": "avx"}, {"needs": [1]}, {"is_llvm": 0}, {"trials": []}, {"cxx": None}])
def test_a_fact_of_another_type_is_damage(changes, tmp_path):
    with pytest.raises(TheanoEnvironmentError, match=f"damaged .{next(iter(changes))} is .*, expected"):
        precompiled.read_record(str(write(tmp_path, **changes)))


# Who uses it


def test_where_there_is_no_compiler_the_record_says_what_it_was(tmp_path, settings_of, no_compiler):
    folder = write(tmp_path / "compiledir_a", cxxflags="-march=x86-64-v3")
    made = settings_of(base_compiledir=str(tmp_path))
    assert (made["cxx"], made["gcc.cxxflags"], made["compiledir"]) == ("/usr/bin/g++", "-march=x86-64-v3", str(folder))
    assert precompiled.in_use() == (str(folder), record(cxxflags="-march=x86-64-v3"))


def test_the_users_compiler_that_does_not_exist_gives_way_to_the_records(tmp_path, settings_of):
    write(tmp_path)
    assert settings_of(compiledir=str(tmp_path), cxx="/none/g++")["cxx"] == "/usr/bin/g++"


def test_modules_do_not_become_too_old_in_a_folder_that_notes_no_reading(tmp_path, settings_of, no_compiler):
    write(tmp_path)
    assert int(settings_of(base_compiledir=str(tmp_path))["cmodule.age_thresh_use"]) > 1000 * 365 * 86400


def test_a_user_who_wants_no_compiler_gets_no_compiled_modules(tmp_path, settings_of):
    write(tmp_path)
    assert settings_of(base_compiledir=str(tmp_path), cxx="")["cxx"] == "" and precompiled.in_use() is None


def test_where_there_is_a_compiler_the_record_is_not_used(tmp_path, settings_of):
    write(tmp_path)
    assert "compiledir" not in settings_of(base_compiledir=str(tmp_path)) and precompiled.in_use() is None


@pytest.mark.parametrize("changes", [{"needs": ["avx9000"]}, {"python": "cpython-27-vax"}])
def test_a_compiler_puts_its_modules_beside_those_of_another_machine(changes, tmp_path, settings_of):
    plain = settings_of(base_compiledir=str(tmp_path))["compiledir_format"]
    write(tmp_path / "compiledir_a", **changes)
    apart = settings_of(base_compiledir=str(tmp_path))["compiledir_format"]
    if changes.get("needs") and not processor.flags():
        pytest.skip("nothing is known of this processor")
    assert apart == f"{plain}-{processor.fingerprint()}"


def test_modules_for_a_named_processor_have_their_own_folder(tmp_path, settings_of):
    made = settings_of(base_compiledir=str(tmp_path), **{"gcc.cxxflags": "-O2 -march=x86-64-v2"})
    assert made["compiledir_format"].endswith("-x86-64-v2")


def test_a_missing_compiler_names_both_ways_out(tmp_path, settings_of, no_compiler):
    with pytest.raises(TheanoEnvironmentError, match=r"apt-get install g\+\+.*'open-nsfw warm-up --to FOLDER'"):
        settings_of(base_compiledir=str(tmp_path))


def test_missing_headers_are_made_up_for_as_well(tmp_path, settings_of, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/none")
    settings_of(base_compiledir=str(tmp_path))
    assert precompiled.in_use() is not None


def test_a_folder_that_cannot_be_written_is_read_if_it_has_a_record(tmp_path, settings_of, monkeypatch):
    monkeypatch.setattr(settings, "is_writable", lambda folder: False)
    with pytest.raises(TheanoEnvironmentError, match=f"{tmp_path}, cannot be written, .*THEANO_FLAGS=base_compiledir"):
        settings_of(base_compiledir=str(tmp_path))
    write(tmp_path / "compiledir_a")
    assert settings_of(base_compiledir=str(tmp_path))["compiledir"] == str(tmp_path / "compiledir_a")


def test_a_home_that_was_warmed_up_is_used_though_it_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.access", lambda *args: False)
    write(tmp_path / ".theano" / "compiledir_a")
    assert settings.writable_base_compiledir() == str(tmp_path / ".theano")


def test_a_home_that_everybody_can_write_is_not_trusted_for_its_record(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.access", lambda *args: False)
    write(tmp_path / ".theano" / "compiledir_a")
    (tmp_path / ".theano").chmod(0o777)
    assert Path(settings.writable_base_compiledir()).name.startswith("theano-")


@pytest.mark.skipif(sys.platform != "linux", reason="about Linux")
def test_modules_do_not_ask_for_pythons_library():
    # Debian has libpython3.x.so in a package that only the headers bring along
    assert fresh_python(f"{IMPORT}; print(theano.gof.cmodule.std_libs())").stdout.strip() == "[]"


def test_the_version_of_an_operations_code_is_the_same_in_each_process():
    code = (
        "import theano_compat, theano.tensor as T; print(T.DimShuffle((), ['x']).c_code_cache_version())\n"
        "print(T.ScalarFromTensor().c_code_cache_version())"
    )
    one, other = (fresh_python(code, PYTHONHASHSEED=seed).stdout for seed in "12")
    assert one == other and "(" in one


def test_the_version_of_an_operations_code_has_that_of_its_parameters():
    code = f"""
{IMPORT}
from types import SimpleNamespace
class Operation(theano.gof.op.COp):
    func_codes = ["code"]
    params_type = SimpleNamespace(c_code_cache_version=lambda: "parameters")
    def __init__(self): pass
print(Operation().c_code_cache_version()[1:])
"""
    assert fresh_python(code).stdout == "('parameters',)\n"


def test_where_modules_are_compiled_their_folder_is_locked():
    code = f"{IMPORT}; print(getattr(theano.gof.compilelock.get_lock, 'lock_is_enabled', True))"
    assert fresh_python(code).stdout == "True\n"


def test_operations_without_properties_are_compiled_once(tmp_path):
    code = f"""
{IMPORT}, theano.tensor as T
theano.function([], T.ScalarFromTensor()(T.constant(7)), mode=theano.Mode("cvm", None))()
print(theano.gof.cc.get_module_cache().stats)
"""
    loaded = [fresh_python(code, THEANO_FLAGS=f"base_compiledir={tmp_path}").stdout.split()[-1] for _ in range(2)]
    assert loaded == ["1]", "0]"], "compiled by the first process, and not by the second"


# The processor

CPUINFO = "processor : 0\ncpu family\t: 6\nmodel\t\t: 85\nflags\t\t: sse2 pni avx2 avx512_vnni bmi1\n"


def test_what_code_needs_is_compared_in_one_spelling(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    monkeypatch.setattr(processor, "CPUINFO", str(tmp_path / "cpuinfo"))
    needs = processor.needed_flags(["__SSE2__", "__SSE3__", "__AVX512VNNI__", "__BMI__", "__AVX512F__", "__SSE_MATH__"])
    assert needs == {"sse2", "pni", "avx512vnni", "bmi1", "avx512f"}
    assert processor.lacking(needs) == ["avx512f"]


def test_of_an_unknown_processor_nothing_is_said_to_lack(monkeypatch):
    monkeypatch.setattr(processor, "CPUINFO", "/none")
    assert processor.lacking(["avx9000"]) == []


def test_each_processor_has_its_own_fingerprint(tmp_path, monkeypatch):
    found = set()
    for number, text in enumerate([CPUINFO, CPUINFO.replace("85", "86"), CPUINFO.replace("avx2 ", "")]):
        (tmp_path / str(number)).write_text(text)
        monkeypatch.setattr(processor, "CPUINFO", str(tmp_path / str(number)))
        found.add(processor.fingerprint())
    assert len(found) == 3


@pytest.mark.skipif(not any("x86_64" in suffix for suffix in EXTENSION_SUFFIXES), reason="needs an x86-64 compiler")
def test_the_compiler_says_what_a_named_processor_must_have():
    # https://gitlab.com/x86-psABIs/x86-64-ABI, low-level-sys-info.tex, table "Micro-Architecture Levels"
    v3 = compiler.needed_flags("g++", "x86-64-v3")
    assert v3 >= {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "popcnt", "ssse3"}
    assert "avx512f" not in v3
    assert compiler.needed_flags("g++", "x86-64-v4") - v3 == {"avx512" + part for part in ("f", "bw", "cd", "dq", "vl")}


def test_a_processor_that_the_compiler_does_not_know_is_one_sentence():
    with pytest.raises(TheanoEnvironmentError, match="makes no code for the processor 'pentium9'"):
        compiler.needed_flags("g++", "pentium9")


# noexec, full disks, compilers that do not work


class _Statvfs:
    """`os.statvfs` where these folders are mounted noexec."""

    def __init__(self, *folders):
        self.folders = tuple(map(str, folders))

    def __call__(self, path):
        return types.SimpleNamespace(f_flag=os.ST_NOEXEC if path.startswith(self.folders) else 0)


def test_a_noexec_home_gives_a_private_folder(tmp_path, monkeypatch):
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir(), temporary.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr("os.statvfs", _Statvfs(home))
    assert Path(settings.writable_base_compiledir()).parent == temporary


def test_noexec_everywhere_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.statvfs", _Statvfs(tmp_path))
    with pytest.raises(TheanoEnvironmentError, match=rf"{tmp_path}.*noexec.*THEANO_FLAGS=base_compiledir"):
        settings.writable_base_compiledir()


def test_a_noexec_folder_that_the_user_chose_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.statvfs", _Statvfs(tmp_path))
    with pytest.raises(TheanoEnvironmentError, match=rf"{tmp_path}/none, .*noexec: set THEANO_FLAGS=base_compiledir"):
        settings.check_executable(str(tmp_path / "none"))


def last_line(code, **environment):
    run = fresh_python(code, check=False, THEANORC="/none", **environment)
    assert run.returncode == 1
    return run.stderr.strip().splitlines()[-1]


IMPORT = "import theano_compat, theano"


def test_a_disk_without_room_is_one_sentence_that_names_the_folder(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    message = last_line(limit + IMPORT, THEANO_FLAGS=f"base_compiledir={tmp_path}", PYTHONDONTWRITEBYTECODE="1")
    assert f"TheanoEnvironmentError: Theano cannot write to {tmp_path}" in message and "make room" in message


def test_a_compiler_that_fails_is_one_sentence_that_names_it(tmp_path):
    message = last_line(IMPORT, THEANO_FLAGS=f"base_compiledir={tmp_path},cxx=/bin/false")
    assert "TheanoEnvironmentError: the C++ compiler '/bin/false' fails on a program of one line" in message
    assert "set THEANO_FLAGS=cxx=" in message


def test_flags_that_the_compiler_does_not_know_are_named(tmp_path):
    message = last_line(IMPORT, THEANO_FLAGS=f"base_compiledir={tmp_path},gcc.cxxflags=-march=pentium9")
    assert "refuses the flags of THEANO_FLAGS=gcc.cxxflags=-march=pentium9 (exit code 1, " in message


def test_a_folder_that_cannot_be_made_is_one_sentence_that_names_it():
    message = last_line(IMPORT, THEANO_FLAGS="base_compiledir=/dev/null/folder")
    assert "/dev/null/folder, cannot be written" in message and "set THEANO_FLAGS=base_compiledir" in message


def test_a_compile_disk_without_room_is_recognised_in_the_compilers_words(tmp_path):
    said = Exception("Compilation failed (return status=1): /tmp/a.s: Assembler messages: No space left on device")
    assert "make room" in failures.explain(said, "g++", str(tmp_path))
    assert "make room" in failures.explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "g++", str(tmp_path))


def test_code_that_does_not_compile_stays_theanos_own_error():
    assert failures.explain(Exception("Compilation failed: expected ';'"), "g++", "/tmp") is None


# The same on real mounts


@pytest.fixture
def mounted(tmp_path):
    """Run Python where a folder is a file system of its own, mounted with the given options."""
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("NOT TESTED: noexec and full disks; that needs root, and a root that may mount")
    folder = tmp_path / "mounted"
    folder.mkdir()

    def run(code, options, **environment):
        script = f'mount -t tmpfs -o {options} tmpfs "{folder}" && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code]
        environment = {name: value.replace("MOUNTED", str(folder)) for name, value in environment.items()}
        environment = {**os.environ, "THEANO_FLAGS": "", "PYTHONPATH": str(REPOSITORY), **environment}
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")

    return run


@pytest.mark.slow
def test_a_real_noexec_home_and_real_noexec_temporary_files(mounted, tmp_path):
    show = f"{IMPORT}; print(theano.config.compiledir)"
    assert f"{tmp_path}/theano-0" in mounted(show, "noexec", HOME="MOUNTED", TMPDIR=str(tmp_path)).stdout
    assert "are the temporary files" in mounted(show, "noexec", HOME="MOUNTED", TMPDIR="MOUNTED").stderr
    flags = f"base_compiledir={tmp_path}"
    march = f"{IMPORT}; from theano.gof.cmodule import GCC_compiler; print(GCC_compiler.march_flags)"
    assert "-march=" in mounted(march, "noexec", TMPDIR="MOUNTED", THEANO_FLAGS=flags).stdout


@pytest.mark.slow
@pytest.mark.parametrize("size", ["40k", "80k"])
def test_a_real_full_disk(size, mounted):
    message = mounted(IMPORT, f"size={size}", THEANO_FLAGS="base_compiledir=MOUNTED").stderr.splitlines()[-1]
    assert "TheanoEnvironmentError: Theano cannot write to" in message and "(No space left on device)" in message
