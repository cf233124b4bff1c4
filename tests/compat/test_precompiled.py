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


# What Theano is told where nothing can be compiled


@pytest.fixture
def in_use(monkeypatch):
    """A process that uses what was compiled elsewhere."""

    def used(**changes):
        warmed = precompiled.Warmed("/warmed", record(**changes))
        monkeypatch.setattr(precompiled, "_in_use", precompiled._Use(warmed, "g++ does not exist"))

    return used


def test_what_is_missing_is_said_with_the_reason_and_the_ways_out(in_use):
    in_use()
    expected = (
        "^a module is not among what was compiled in /warmed, .* since g.. does not exist: run 'open-nsfw warm-up'"
    )
    with pytest.raises(TheanoEnvironmentError, match=expected):
        precompiled.refuse("a module")


def test_the_record_answers_for_the_compiler(in_use):
    windows = types.SimpleNamespace()
    assert not precompiled.answer_for_the_compiler(windows) and not vars(windows)
    in_use(cxx_version="12.2")
    assert precompiled.answer_for_the_compiler(windows)
    assert windows.output_subprocess_Popen(["g++", "-dumpversion"]) == (b"12.2", b"", 0)
    assert windows.call_subprocess_Popen(["g++", "-v"], stdout=None) == 0
    for command in ["g++", "-march=native", "-E"], ["g++", "-dumpversion", "more"]:
        with pytest.raises(TheanoEnvironmentError, match="^what is to be compiled is not among"):
            windows.output_subprocess_Popen(command)


def test_a_folder_that_is_only_read_is_not_locked(in_use):
    told = []
    compilelock = types.SimpleNamespace(set_lock_status=told.append)
    assert not precompiled.lock_nothing(compilelock) and told == []
    in_use()
    assert precompiled.lock_nothing(compilelock) and told == [False]


@pytest.fixture
def cmodule():
    """Theano's module of that name, as far as it is used."""
    compiler = types.SimpleNamespace(march_flags=None)
    compiler.compile_args = lambda: ["-O3", *(compiler.march_flags or [])]
    return types.SimpleNamespace(
        GCC_compiler=compiler,
        gcc_llvm=types.SimpleNamespace(is_llvm=None),
        KeyData=types.SimpleNamespace(save_pkl=None),
        ModuleCache=types.SimpleNamespace(check_key=None, _on_atexit=None),
        dlimport_workdir=None,
        is_same_entry=None,
    )


def test_modules_are_found_by_the_records_arguments_and_stay_as_they_are(in_use, cmodule, tmp_path):
    assert not precompiled.load_only(cmodule) and cmodule.GCC_compiler.march_flags is None
    in_use(march_flags=["-march=znver3"], arguments=["-O3", "-march=znver3"], is_llvm=True)
    assert precompiled.load_only(cmodule)
    assert cmodule.GCC_compiler.march_flags == ["-march=znver3"] and cmodule.gcc_llvm.is_llvm is True
    assert cmodule.dlimport_workdir(str(tmp_path)) == str(tmp_path / "nothing")
    assert cmodule.is_same_entry("/one/tmp1/key.pkl", "/another/tmp1/key.pkl")
    assert not cmodule.is_same_entry("/one/tmp1/key.pkl", "/one/tmp2/key.pkl")
    assert cmodule.KeyData.save_pkl("data") is None
    assert cmodule.ModuleCache.check_key("cache", "key", "file") is None
    assert cmodule.ModuleCache._on_atexit("cache") is None


def test_other_arguments_than_those_of_the_record_are_named(in_use, cmodule):
    in_use(march_flags=[], arguments=["-O3", "-L/elsewhere"])
    precompiled_arguments = r"^what /warmed has was compiled with other arguments \(-L/elsewhere\), by packages"
    with pytest.raises(TheanoEnvironmentError, match=precompiled_arguments):
        precompiled.load_only(cmodule)


class Trial:
    """Theano's compiler, as far as it is used: it tries programs."""

    results = iter(())
    tried = ()

    @classmethod
    def _try_compile_tmp(cls, src_code, tmp_prefix="", flags=(), try_run=False, output=False):
        cls.tried = (*cls.tried, (src_code, tmp_prefix, tuple(flags), try_run))
        return next(cls.results)


@pytest.fixture
def trial(monkeypatch):
    tried = type("Tried", (Trial,), {"_try_compile_tmp": classmethod(Trial._try_compile_tmp.__func__)})
    monkeypatch.setattr(precompiled, "_trials", {})
    precompiled.remember_trials(types.SimpleNamespace(Compiler=tried))
    return tried


def test_how_programs_were_tried_is_remembered_and_answered(trial, in_use):
    trial.results = iter([True, (True, False), (True, "printed"), False])
    programs = [("int a;", "a_", ["-g"]), (b"int b;", "b_", []), ("int c;", "c_", []), ("int a;", "a_", [])]
    found = [trial._try_compile_tmp(code, prefix, flags, True) for code, prefix, flags in programs]
    assert found == [True, (True, False), (True, "printed"), False]
    assert trial.tried[0] == ("int a;", "a_", ("-g",), True)
    remembered = dict(precompiled._trials)
    assert list(remembered.values()) == [True, (True, False), False]  # what is printed is no answer
    in_use(trials=json.loads(json.dumps(remembered)))
    assert trial._try_compile_tmp("int a;", "a_", ["-g"]) is True
    assert trial._try_compile_tmp(b"int b;", "b_", []) == [True, False]
    assert trial._try_compile_tmp("int a;", "a_", []) is False
    with pytest.raises(TheanoEnvironmentError, match=r"^a program that asks what the compiler can do \(c\) is not"):
        trial._try_compile_tmp("int c;", "c_", [])
    assert len(trial.tried) == 4


def test_only_who_may_compile_leaves_a_record(in_use, monkeypatch):
    import theano

    monkeypatch.setattr(theano, "config", types.SimpleNamespace(cxx=""))
    with pytest.raises(TheanoEnvironmentError, match="need a C.. compiler here, and THEANO_FLAGS sets cxx to nothing:"):
        precompiled.check_compiling()
    monkeypatch.setattr(theano, "config", types.SimpleNamespace(cxx="g++"))
    precompiled.check_compiling()
    in_use()
    with pytest.raises(TheanoEnvironmentError, match="need a C.. compiler here, and g.. does not exist: install"):
        precompiled.check_compiling()


@pytest.mark.parametrize("march", [None, "x86-64-v3"])
def test_a_record_has_what_this_process_compiles_with(march, monkeypatch, tmp_path):
    import theano
    from theano.gof import cmodule

    cxxflags = f"-O2 -march={march}" if march else "-O2"
    monkeypatch.setattr(precompiled, "needed_flags", lambda cxx, march: {f"{cxx} for {march}", "a flag"})
    gcc = types.SimpleNamespace(cxxflags=cxxflags)
    monkeypatch.setattr(theano, "config", types.SimpleNamespace(cxx="g++", gcc=gcc, compiledir=str(tmp_path)))
    cmodule.GCC_compiler.compile_args()  # the first time in a process it tries programs, too
    monkeypatch.setattr(precompiled, "_trials", {"a digest": True})
    path = precompiled.write_record()
    assert path == str(tmp_path / precompiled.RECORD) and [file.name for file in tmp_path.iterdir()] == [
        precompiled.RECORD
    ]
    assert precompiled.read_record(str(tmp_path)) == record(
        cxx="g++",
        cxx_version=cmodule.gcc_version_str,
        is_llvm=cmodule.gcc_llvm(),
        cxxflags=cxxflags,
        march_flags=list(cmodule.GCC_compiler.march_flags or []),
        arguments=cmodule.GCC_compiler.compile_args(),
        trials={"a digest": True},
        needs=["a flag", f"g++ for {march}"],
    )


# The processor

CPUINFO = "processor : 0\ncpu family\t: 6\nmodel\t\t: 85\nflags\t\t: sse2 pni avx2 avx512_vnni bmi1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


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
    texts = [CPUINFO, CPUINFO.replace("85", "86"), CPUINFO.replace("avx2 ", ""), CPUINFO.replace(": 6", ": 7")]
    texts += [ARM, ARM.replace("0x41", "0x42"), ARM.replace("0xd40", "0xd41"), ARM.replace(" sve", "")]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_text(text)
        monkeypatch.setattr(processor, "CPUINFO", str(tmp_path / str(number)))
        found.add(processor.fingerprint())
        assert len(processor.fingerprint()) == 16
    assert len(found) == len(texts)


def test_the_order_of_flags_and_all_processors_but_the_first_are_nothing_to_a_fingerprint(tmp_path, monkeypatch):
    found = set()
    another = "\nprocessor : 1\ncpu family : 7\nmodel : 1\nflags : sse2\n"
    for number, text in enumerate([CPUINFO, CPUINFO.replace("sse2 pni", "pni sse2"), CPUINFO + another]):
        (tmp_path / str(number)).write_text(text)
        monkeypatch.setattr(processor, "CPUINFO", str(tmp_path / str(number)))
        found.add(processor.fingerprint())
    assert len(found) == 1


def test_an_arm_processor_has_features(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(ARM)
    monkeypatch.setattr(processor, "CPUINFO", str(tmp_path / "cpuinfo"))
    assert processor.flags() == {"fp", "asimd", "sve"}
    assert processor.lacking(["sve2", "sve", "bf16"]) == ["bf16", "sve2"]


def test_other_macros_than_those_of_instructions_ask_nothing_of_a_processor():
    macros = ["__GNUC__", "__SSE2_MATH__", "__AVX512F", "AVX2__", "__x86_64__", "__LZCNT__", "__F16C__", "__SSSE3__"]
    assert processor.needed_flags(macros) == {"abm", "f16c", "ssse3"}


@pytest.mark.parametrize("flags, march", [
    ("", None), ("-O2", None), ("-march=native", None), ("-march=x86-64-v3", "x86-64-v3"),
    ("-O2 -march=x86-64-v2 -g -march=x86-64-v4", "x86-64-v4"), ("-march=x86-64-v3 -march=native", None),
    ("-mtune=znver3", None),
])  # fmt: skip
def test_the_last_processor_that_flags_name_counts(flags, march):
    assert compiler.march_of(flags) == march


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
