"""What ``open-nsfw warm-up`` compiled runs where nothing can be compiled and nothing can be written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_python import fresh_python

import theano_cpu
from nsfw_command.main import main
from theano_compat import precompiled, processor

import theano

ROOT = Path(__file__).parents[2]
ROCKET, COFFEE = str(ROOT / "img" / "rocket.jpg"), str(ROOT / "img" / "coffee.jpg")
SCORE = f"from nsfw_command.main import main; raise SystemExit(main(['score', {ROCKET!r}, {COFFEE!r}]))"
#: What Theano and theano_cpu compile for the network; the running tests have it already.
NEEDED = "cutils_ext", "lazylinker_ext", "theano_cpu_onednn"

pytestmark = pytest.mark.skipif(
    not theano_cpu.onednn_available(), reason="without oneDNN, what warm-up compiles takes minutes"
)


@pytest.fixture(scope="module")
def warmed(tmp_path_factory):
    """A folder that is warmed up, and what was printed."""
    top = tmp_path_factory.mktemp("warmed")
    compiledir = Path(theano.config.compiledir)
    for name in NEEDED:
        if (compiledir / name).exists():
            shutil.copytree(compiledir / name, top / compiledir.name / name)
    command = [sys.executable, "-m", "nsfw_command.main", "warm-up", "--to", str(top), "--also", "inverse", "evolve"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert run.returncode == 0, run.stderr
    return top, run.stdout


def without_compiler(code, folder, tmp_path, check=True, **environment):
    """Run code where there is no program at all, and Theano's folder is this one."""
    environment = {"PATH": str(tmp_path / "no programs"), "THEANO_FLAGS": f"base_compiledir={folder}", **environment}
    return fresh_python(code, check=check, PYTHONDONTWRITEBYTECODE="1", **environment)


def contents(folder):
    """Every file, its size and the time of its last change."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def scores():
    """What this machine prints with its compiler."""
    return fresh_python(SCORE).stdout


def test_it_prints_what_was_compiled_where_how_large_and_the_line_that_sets_it(warmed):
    folder, printed = warmed
    lines = printed.splitlines()
    assert lines[0] == "compiled:" and "checked without a compiler:" in lines
    assert [line.split()[:2] for line in lines[1:3]] == [["score", "float32"], ["score", "bfloat16"]]
    assert all(line.endswith(" s") for line in lines if line.startswith("  "))
    assert f"in {folder}/compiledir_" in lines[-2] and " MB, for processors that can do what this one can" in lines[-2]
    assert lines[-1] == f"export THEANO_FLAGS=base_compiledir={folder}"


def test_the_check_computes_the_same(warmed):
    _, printed = warmed
    compiled, checked = printed.split("checked without a compiler:")
    results = [
        [line.split()[:-2] for line in part.splitlines() if line.startswith("  ")] for part in (compiled, checked)
    ]
    assert results[0] == results[1] and len(results[0]) == 4


def test_without_a_compiler_pictures_are_scored_and_nothing_is_written(warmed, scores, tmp_path):
    folder, _ = warmed
    before = contents(folder)
    assert without_compiler(SCORE, folder, tmp_path).stdout == scores
    assert contents(folder) == before


def test_without_pythons_headers_pictures_are_scored(warmed, scores):
    folder, _ = warmed
    no_headers = "import sysconfig; sysconfig.get_path = lambda name, *rest: '/none'; "
    run = fresh_python(no_headers + SCORE, THEANO_FLAGS=f"base_compiledir={folder}", PYTHONDONTWRITEBYTECODE="1")
    assert run.stdout == scores


def test_a_read_only_folder_is_enough_with_a_compiler_and_without(warmed, scores, tmp_path):
    folder, _ = warmed
    for path in os.environ["PATH"], "":
        run = _read_only(folder, tmp_path, [sys.executable, "-c", SCORE], path)
        assert run.stdout == scores, run.stderr


def _read_only(folder, tmp_path, command, path):
    """Run a command for which the folder is read-only; root, whom permissions do not stop, gets a mount."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "THEANO_FLAGS": f"base_compiledir={folder}", "PATH": path}
    if os.getuid() != 0:
        copy = shutil.copytree(folder, tmp_path / "copy")
        for item in [copy, *copy.rglob("*")]:
            item.chmod(item.stat().st_mode & 0o555)
        environment["THEANO_FLAGS"] = f"base_compiledir={copy}"
    else:
        mount, unshare, sh = (shutil.which(name) for name in ("mount", "unshare", "sh"))
        script = f"{mount} --bind '{folder}' '{folder}' && {mount} -o remount,bind,ro '{folder}' && exec \"$@\""
        command = [unshare, "--mount", sh, "-c", script, "sh", *command]
        if subprocess.run([unshare, "--mount", "true"], capture_output=True).returncode:
            pytest.skip("NOT TESTED: a read-only folder; this root may not mount")
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=300)


def test_the_folder_can_be_moved(warmed, scores, tmp_path):
    folder, _ = warmed
    shutil.copytree(folder, tmp_path / "moved")
    assert without_compiler(SCORE, tmp_path / "moved", tmp_path).stdout == scores


def test_other_users_can_read_it(warmed):
    folder, _ = warmed
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in [folder, *folder.rglob("*")])


def test_what_was_not_compiled_is_refused_in_one_sentence(warmed, tmp_path):
    folder, _ = warmed
    code = (
        "import theano_compat, theano, theano.tensor as T; x = T.fvector(); theano.function([x], T.arcsinh(x) * 3 + x)"
    )
    run = without_compiler(code, folder, tmp_path, check=False)
    assert run.stderr.count("is not among what was compiled in") == 1
    last = [line for line in run.stderr.splitlines() if "TheanoEnvironmentError" in line][-1]
    assert "is not among what was compiled in" in last and "open-nsfw warm-up" in last and "g++ does not exist" in last


def test_a_native_module_that_was_not_compiled_is_not_replaced_by_slow_code(warmed, tmp_path):
    folder = shutil.copytree(warmed[0], tmp_path / "folder")
    for path in folder.glob("*/theano_cpu_onednn/*"):
        path.unlink()
    run = without_compiler(SCORE, folder, tmp_path, check=False)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("open-nsfw: error: the oneDNN native module") and run.stderr.count("\n") == 1


def test_a_folder_without_theanos_own_module_is_one_sentence(warmed, tmp_path):
    folder = shutil.copytree(warmed[0], tmp_path / "folder")
    shutil.rmtree(next(folder.glob("*/lazylinker_ext")))
    (next(folder.glob("compiledir*")) / "lazylinker_ext").mkdir()
    run = without_compiler(SCORE, folder, tmp_path, check=False)
    assert run.returncode == 2 and "a module that Theano needs (lazylinker_e) is not among" in run.stderr


def test_a_library_that_is_missing_is_named(warmed, tmp_path):
    folder = shutil.copytree(warmed[0], tmp_path / "folder")
    for path in folder.glob("*/theano_cpu_onednn/*.so"):
        path.write_bytes(b"no library")
    run = without_compiler(SCORE, folder, tmp_path, check=False)
    assert run.returncode == 2 and "the oneDNN native module" in run.stderr and "cannot be loaded" in run.stderr


def test_packages_in_another_place_are_refused(warmed, tmp_path):
    folder = shutil.copytree(warmed[0], tmp_path / "folder")
    path = next(folder.glob(f"*/{precompiled.RECORD}"))
    record = json.loads(path.read_text())
    record["arguments"].append("-L/elsewhere")
    path.write_text(json.dumps(record))
    run = without_compiler(SCORE, folder, tmp_path, check=False)
    assert run.returncode == 2 and "compiled with other arguments (-L/elsewhere)" in run.stderr


# What cannot be compiled


def test_warming_up_needs_a_compiler(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["warm-up", "--to", str(tmp_path / "folder")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("open-nsfw: error: Theano needs a C++ compiler") and error.count("\n") == 1


def test_what_is_warm_cannot_be_warmed_up_again_without_a_compiler(warmed, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["warm-up", "--to", str(warmed[0])]) == 2
    assert "compiled modules for another machine need a C++ compiler here" in capsys.readouterr().err


def test_an_unknown_processor_is_refused(tmp_path, capsys):
    assert main(["warm-up", "--to", str(tmp_path), "--march", "pentium9"]) == 2
    assert "makes no code for the processor 'pentium9'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif("avx2" not in processor.flags() or "avx512f" in processor.flags(), reason="asks for AVX-512")
def test_a_processor_larger_than_this_one_is_refused_before_anything_is_run(tmp_path, capsys):
    assert main(["warm-up", "--to", str(tmp_path), "--march", "x86-64-v4"]) == 2
    assert "--march x86-64-v4 is for processors that have avx512bw" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--to", "a,b"], ["--to", ""], ["--march", "x86 -O0"], ["--also", "train"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["warm-up", *arguments])
    assert caught.value.code == 2 and arguments[0] in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif("avx2" not in processor.flags(), reason="asks for AVX2")
def test_a_named_processor_is_compiled_for_and_recorded(tmp_path, scores):
    folder = tmp_path / "folder"
    assert main(["warm-up", "--to", str(folder), "--march", "x86-64-v2"]) == 0
    record = precompiled.find(str(folder)).record
    assert record.cxxflags == "-march=x86-64-v2" and record.march_flags == []
    assert "sse42" in record.needs and not {"avx", "avx2", "fma"} & set(record.needs)
    assert without_compiler(SCORE, folder, tmp_path).stdout == scores
    if shutil.which("objdump"):
        modules = folder.rglob("*.so")
        code = "".join(subprocess.run(["objdump", "-d", so], capture_output=True, text=True).stdout for so in modules)
        assert "%xmm" in code and "%ymm" not in code
