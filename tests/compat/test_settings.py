"""Theano's settings are the user's where he has any; its compiled modules go where nobody else can write."""

import importlib.util
import os
import re
import types
from pathlib import Path

import pytest
from fresh_python import REPOSITORY, fresh_python

import theano_compat
from theano_compat import TheanoEnvironmentError, compiler, settings


def theano_flags(**flags):
    """The settings of the running tests (their folder of compiled modules), and these."""
    given = [os.environ["THEANO_FLAGS"]] if os.environ.get("THEANO_FLAGS") else []
    return ",".join(given + [f"{name.replace('__', '.')}={value}" for name, value in flags.items()])


def test_users_settings_win(tmp_path):
    (tmp_path / "theanorc").write_text("[global]\nfloatX = float64\n")
    run = fresh_python(
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
    settings.set_defaults(configparser)
    assert configparser.THEANO_FLAGS_DICT["blas.ldflags"] == "-lmine"

    config = types.SimpleNamespace(blas=types.SimpleNamespace(ldflags="-lmine"))
    gcc = types.SimpleNamespace(compile_args=lambda march_flags=True: ["-O1"])
    compiler.add_compiler_arguments(types.SimpleNamespace(config=config, GCC_compiler=gcc))
    assert compiler.OPENBLAS_HEADER not in gcc.compile_args()
    config.blas.ldflags = compiler.OPENBLAS_FLAG
    assert gcc.compile_args()[0] == "-O1" and compiler.OPENBLAS_HEADER in gcc.compile_args()


def test_threads_wait_quietly_unless_the_user_says_how():
    show = "import theano_compat, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    unset = "import os; os.environ.pop('GOMP_SPINCOUNT', None); os.environ.pop('OMP_WAIT_POLICY', None); "
    assert fresh_python(unset + show).stdout.strip() == "5000"
    assert fresh_python(show, GOMP_SPINCOUNT="7").stdout.strip() == "7"
    active = fresh_python("import os; os.environ.pop('GOMP_SPINCOUNT', None); " + show, OMP_WAIT_POLICY="active")
    assert active.stdout.strip() == "None"


@pytest.mark.parametrize("flag", ["openmp=garbage", "allow_gc=maybe", "blas.ldflags_=1,device=tpu", "floatX=float8"])
def test_a_setting_that_cannot_be_is_one_message_that_names_it(flag, tmp_path):
    run = fresh_python("import theano_compat, theano", check=False, THEANO_FLAGS=theano_flags() + "," + flag)
    name, value = flag.rpartition(",")[2].split("=")
    expected = f"TheanoEnvironmentError: Theano's setting {name}, in THEANO_FLAGS or .theanorc, is '{value}', which"
    assert expected in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "content", [b"secret\n", b"[global]\nsecret\n", b"[global]\na = 1\na = secret\n", b"\xffsecret"]
)
def test_a_file_that_holds_no_settings_is_named_and_not_quoted(content, tmp_path):
    (tmp_path / "plain.txt").write_bytes(content)
    run = fresh_python("import theano_compat, theano", check=False, THEANORC=str(tmp_path / "plain.txt"))
    assert re.search("TheanoEnvironmentError: .*plain.txt.*: cannot be read as Theano's settings", run.stderr)
    assert "secret" not in run.stderr


def test_flags_that_a_terminal_would_obey_are_refused():
    run = fresh_python("import theano_compat, theano", check=False, THEANO_FLAGS="\x1b[31m=3,\x1b[0m")
    assert "TheanoEnvironmentError: THEANO_FLAGS is '\\x1b[31m=3,\\x1b[0m', expected no control" in run.stderr
    assert "\x1b" not in run.stderr


@pytest.mark.parametrize("count", ["9" * 5000, "0", "4,", "-1", "4.5"])
def test_a_number_of_threads_that_cannot_be_is_refused(count):
    run = fresh_python("import theano_compat, theano", check=False, OMP_NUM_THREADS=count)
    assert "TheanoEnvironmentError: OMP_NUM_THREADS is '" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("given, first", [("2, 1", "2"), ("03", "03"), (" 2 ", "2"), (" ", " "), ("9999999999", None)])
def test_of_several_numbers_of_threads_theano_sees_the_first_and_others_all(given, first, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert settings.check_openmp_threads(None) is ("," in given)
    assert os.environ["OMP_NUM_THREADS"] == (first or given)
    settings.give_openmp_threads_back(None)
    assert os.environ["OMP_NUM_THREADS"] == given
    settings.give_openmp_threads_back(None)
    assert os.environ["OMP_NUM_THREADS"] == given


# Folders: spaces in paths, and a home that cannot be written


def test_spaces_in_every_path_and_no_home(tmp_path):
    spaced = tmp_path / "a folder with spaces"
    spaced.mkdir()
    packages = [Path(theano_compat.__file__).parent]
    spec = importlib.util.find_spec("scipy_openblas32")
    packages += [Path(folder) for folder in spec.submodule_search_locations] if spec else []
    for package in packages:
        (spaced / package.name).symlink_to(package)
    run = fresh_python(
        f"""
import sys
sys.path.remove({str(REPOSITORY)!r})
import theano_compat, theano, numpy as np
x, y = theano.tensor.fmatrices("xy")
dot = theano.function([x, y], theano.tensor.dot(x, y), mode=theano.Mode("cvm", "fast_compile"))
a = np.arange(6, dtype="float32").reshape(2, 3)
assert (dot(a, a.T) == a @ a.T).all()
print(theano_compat.compiler.NUMPY2_HEADER, theano.config.compiledir, theano.config.blas.ldflags, sep="\\n")
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
    assert ldflags == (compiler.OPENBLAS_FLAG if spec else "")


def test_a_home_that_cannot_be_written_gives_a_private_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null/nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = Path(settings.writable_base_compiledir())
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert settings.writable_base_compiledir() == str(folder), "the next run finds its compiled modules again"


def test_a_writable_home_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.writable_base_compiledir() == str(tmp_path / ".theano")


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
    folder = Path(settings.private_temporary_folder())
    assert folder != expected and folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o701, 0o702, 0o704, 0o710, 0o720, 0o740])
def test_a_temporary_folder_that_others_can_open_in_any_way_is_not_used(mode, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"theano-{os.getuid()}").mkdir(mode=0o700)
    assert settings.private_temporary_folder() == str(tmp_path / f"theano-{os.getuid()}")
    (tmp_path / f"theano-{os.getuid()}").chmod(mode)
    assert settings.private_temporary_folder() != str(tmp_path / f"theano-{os.getuid()}")


@pytest.mark.parametrize("granted", range(8))
def test_a_folder_can_be_used_where_it_can_be_read_written_and_searched(granted, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, wanted: granted & wanted == wanted)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert settings.is_writable(str(tmp_path / "new" / "folder")) is (granted == 7)
    assert (settings.writable_base_compiledir() == str(tmp_path / "home" / ".theano")) is (granted == 7)


def test_a_folder_cannot_be_made_in_a_file(tmp_path):
    (tmp_path / "file").touch()
    assert not settings.is_writable(str(tmp_path / "file")) and not settings.is_writable(str(tmp_path / "file" / "new"))
    assert settings.is_writable(str(tmp_path))


@pytest.mark.parametrize("mode, user, private", [
    (0o755, "root", True), (0o775, "root", False), (0o757, "root", False),
    (0o755, "me", True), (0o755, "another", False),
])  # fmt: skip
def test_what_root_alone_can_write_is_private_too(mode, user, private, tmp_path, monkeypatch):
    numbers = {"root": 0, "me": 1000, "another": 1001}
    found = types.SimpleNamespace(st_mode=0o040000 | mode, st_uid=numbers[user], st_gid=1000)
    monkeypatch.setattr("os.getuid", lambda: numbers["me"])
    monkeypatch.setattr(settings, "_is_own_group", lambda group: True)
    monkeypatch.setattr(settings, "_within_reach", lambda folder: iter([(folder, found)]))
    assert settings._is_private(str(tmp_path)) is private


def test_links_that_lead_nowhere_or_round_do_not_matter(tmp_path, monkeypatch):
    top = tmp_path / ".theano"
    (top / "inner").mkdir(parents=True, mode=0o755)
    (top / "gone").symlink_to(tmp_path / "none")
    (top / "inner" / "round").symlink_to(top)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.writable_base_compiledir() == str(top)
    assert sorted(path for path, _ in settings._within_reach(str(top))) == [str(top), str(top / "inner")]


@pytest.mark.parametrize("mode", [0o777, 0o707])
def test_a_home_folder_that_anybody_may_write_to_is_not_used(mode, tmp_path, monkeypatch):
    (tmp_path / ".theano").mkdir()
    (tmp_path / ".theano").chmod(mode)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not Path(settings.writable_base_compiledir()).is_relative_to(tmp_path / ".theano")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_home_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    (tmp_path / ".theano").mkdir()
    os.chown(tmp_path / ".theano", 12345, 12345)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not Path(settings.writable_base_compiledir()).is_relative_to(tmp_path / ".theano")


def test_the_folder_is_this_users_alone_whatever_the_umask(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0o002)
    try:
        folder = Path(settings.writable_base_compiledir())
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o775)  # as Theano itself made it
    assert settings.writable_base_compiledir() == str(folder)
    assert folder.stat().st_mode & 0o022 == 0


@pytest.mark.parametrize(("mode", "inner"), [(0o755, 0o777), (0o711, 0o707), (0o750, 0o773)])
@pytest.mark.parametrize("what", ["a folder", "a file", "what a link leads to"])
def test_a_home_folder_in_which_anybody_may_write_is_not_used(what, mode, inner, tmp_path, monkeypatch):
    top = tmp_path / ".theano"
    below = top / "compiledir_1" / "deeper"
    below.mkdir(parents=True)
    (below / "module.so").touch()
    if what == "a file":
        (below / "module.so").chmod(inner)
    elif what == "a folder":
        below.chmod(inner)
    else:
        below.rename(tmp_path / "elsewhere")
        below.symlink_to(tmp_path / "elsewhere")
        below.chmod(inner)
    top.chmod(mode)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not Path(settings.writable_base_compiledir()).is_relative_to(top)


def test_what_others_cannot_get_at_does_not_matter(tmp_path, monkeypatch):
    (tmp_path / ".theano" / "open").mkdir(parents=True)
    (tmp_path / ".theano" / "open").chmod(0o777)
    (tmp_path / ".theano").chmod(0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.writable_base_compiledir() == str(tmp_path / ".theano")


@pytest.mark.parametrize("own", [True, False])
def test_a_group_loses_its_right_to_write_everywhere_if_it_is_the_users_own(own, tmp_path, monkeypatch):
    inner = tmp_path / ".theano" / "compiledir_1" / "theano_cpu_onednn"
    inner.mkdir(parents=True)
    (inner / "module.so").touch()
    for path in tmp_path / ".theano", inner.parent, inner, inner / "module.so":
        path.chmod(0o775)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(settings, "_is_own_group", lambda group: own and group == inner.stat().st_gid)
    assert (settings.writable_base_compiledir() == str(tmp_path / ".theano")) is own
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / ".theano").rglob("*")}
    assert modes == {0o755 if own else 0o775}


def test_a_group_with_other_members_is_not_the_users_own(monkeypatch):
    import grp
    import pwd

    group, me = os.getgid(), types.SimpleNamespace(pw_name="me")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: me)
    for name, members, is_own in ("me", [], True), ("me", ["me"], True), ("me", ["you"], False), ("us", [], False):
        found = types.SimpleNamespace(gr_name=name, gr_mem=members)
        monkeypatch.setattr(grp, "getgrgid", lambda gid, found=found: found)
        assert settings._is_own_group(group) is is_own
        assert not settings._is_own_group(group + 1)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert not settings._is_own_group(group)


def test_a_new_folder_that_the_user_names_is_closed_to_others_whatever_the_umask(tmp_path):
    run = fresh_python(
        "import os; os.umask(0)\nimport theano_compat, theano\nprint(theano.config.compiledir)",
        THEANO_FLAGS=f"base_compiledir={tmp_path / 'new' / 'folder'}",
    )
    made = Path(run.stdout.strip())
    assert made.parents[1] == tmp_path / "new"
    assert [path.stat().st_mode & 0o777 for path in (made, *made.parents[:2])] == [0o700, 0o755, 0o755]


# A working directory that strangers have filled, and no home

NOWHERE = (
    "import os; os.chdir(r'{folder}'); os.environ.pop('HOME', None)\nimport pwd; pwd.getpwuid = {{}}.__getitem__\n"
)


@pytest.mark.parametrize("name", ["~", "~nobody-at-all"])
def test_without_a_home_no_settings_are_read_in_the_working_directory(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / ".theanorc").write_text("[global]\nfloatX = float64\n")
    run = fresh_python(
        "import pwd; pwd.getpwnam = {}.__getitem__\n" + NOWHERE.format(folder=tmp_path) + "import tempfile\n"
        "tempfile.tempdir = os.getcwd()\n"
        "os.environ.pop('THEANORC', None)\n"
        f"{name!r} == '~' or os.environ.update(THEANORC={name!r} + '/.theanorc')\n"
        "before = dict(os.environ)\n"
        "import theano_compat, theano\n"
        "print(theano.config.floatX, theano.config.compiledir)\n"
        "os.environ.pop('GOMP_SPINCOUNT', None), before.pop('GOMP_SPINCOUNT', None)\n"
        "assert dict(os.environ) == before\n",
        THEANO_FLAGS="",
    )
    float_type, compiledir = run.stdout.split()
    assert float_type == "float32"
    assert Path(compiledir).parent == tmp_path / f"theano-{os.getuid()}"


def test_settings_files_that_the_user_names_are_read_wherever_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("THEANORC", os.pathsep.join(["here", "~/.theanorc", "~nobody-at-all/.theanorc"]))
    assert settings.settings_files() == ["here", str(tmp_path / ".theanorc")]
    monkeypatch.setenv("HOME", "relative")
    assert settings.settings_files() == ["here"]


@pytest.mark.parametrize("name", ["", "~nobody-at-all/compiled"])
@pytest.mark.parametrize("setting", ["compiledir", "base_compiledir"])
def test_a_folder_that_would_be_in_the_working_directory_is_refused(setting, name, tmp_path):
    run = fresh_python(
        f"import os; os.chdir({str(tmp_path)!r})\nimport theano_compat, theano",
        check=False,
        THEANO_FLAGS=f"{setting}={name}",
        THEANORC=str(tmp_path / "none"),
    )
    assert f"Theano's folder for compiled modules is to be {name!r}, " in run.stderr.splitlines()[-1]


def test_an_empty_home_is_not_the_root_of_all_files(monkeypatch):
    monkeypatch.setenv("HOME", "")
    assert settings.writable_base_compiledir() != "/.theano"


def test_where_no_folder_can_be_written_the_message_names_the_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null/nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(TheanoEnvironmentError, match="neither /dev/null/nowhere/.theano nor .* THEANO_FLAGS=base_comp"):
        settings.writable_base_compiledir()
