"""Mutants are other programs, the same for the same seed, and found alive or killed as the tests deserve."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def mutants():
    """The program's own modules, which are not on pytest's path."""
    sys.path.insert(0, str(HERE))
    try:
        import mutations
    finally:
        sys.path.remove(str(HERE))
    return mutations


def mutated(mutants, source):
    return [mutation.applied(source.encode()).decode() for mutation in mutants.mutations(source.encode())]


@pytest.mark.parametrize(
    "source, expected",
    [
        ("x = a + b", ["x = a - b"]),
        ("x = not a", ["x = (a)"]),
        ("x = a and b and c", ["x = a or b and c"]),
        ("x = f(a, b)", ["x = f(b, a)"]),
        ("x = f(a, key=b)", ["x = f(a)"]),
        ("x = f(key=b, more=c)", ["x = f(more=c)", "x = f(key=b)"]),
        ("x = min(a, b)", ["x = max(a, b)"]),
        ("x -= a", ["x += a"]),
        ("f()", ["pass"]),
        ("x = True", ["x = False"]),
        ("if a:\n    b", ["if (not (a)):\n    b", "if False:\n    b"]),
    ],
)
def test_each_kind_of_slip(mutants, source, expected):
    assert sorted(mutated(mutants, source)) == sorted(expected)


@pytest.mark.parametrize(
    "source",
    [
        'x = "words" + a',
        'raise ValueError(f"got {1 + 1}")',
        "x: list[1] = a",
        "if TYPE_CHECKING:\n    import a",
        'x = warnings.warn("words", stacklevel=2)',
    ],
)
def test_words_and_types_are_left_alone(mutants, source):
    assert mutated(mutants, source) == []


def test_text_before_a_place_may_be_longer_in_bytes_than_in_letters(mutants):
    assert mutated(mutants, "é = a < b  # ü")[0] == "é = a <= b  # ü"


def test_every_mutant_of_a_module_of_the_project_changes_the_program(mutants):
    source = (ROOT / "nsfw_model" / "logit.py").read_bytes()
    programs = [m.applied(source) for m in mutants.mutations(source) if mutants.is_another_program(source, m)]
    assert len(programs) > 10
    assert ast.dump(ast.parse(source)) not in {ast.dump(ast.parse(program)) for program in programs}


def test_lines_that_run_on_import_are_those_outside_of_functions(mutants):
    lines = """A = 1

@decorated(A)
def f(a=1):
    return a

class C:
    b = 2

    def g(self):
        return 3""".splitlines()
    source = "\n".join(lines)
    run = [line for number, line in enumerate(lines, 1) if mutants.runs_on_import(source.encode(), number) and line]
    assert run == ["A = 1", "@decorated(A)", "def f(a=1):", "class C:", "    b = 2", "    def g(self):"]


@pytest.mark.slow
def test_the_program_tells_the_dead_from_those_alive():
    pytest.importorskip("pytest_cov")
    command = [sys.executable, str(HERE), "--mutants", "6", "--jobs", "1", "--tests", "tests/model/test_signatures.py"]
    command += ["--", str(ROOT / "nsfw_model" / "signatures.py"), str(ROOT / "nsfw_command" / "found.py")]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows = ran.stdout.splitlines()[2:8]
    assert any("signatures.py" in row and "killed by tests/model/test_signatures.py" in row for row in rows)
    # no test that was given reaches the other folder
    assert all(("no test reaches it" in row) == row.startswith("nsfw_command/found.py") for row in rows)
    alive = sum("alive" in row for row in rows)
    assert ran.stdout.endswith(" alive\n") and f"{6 - alive} of 6 mutants killed" in ran.stdout
    assert ran.stdout.count("--- nsfw_") == alive


@pytest.mark.slow
def test_a_test_that_has_another_name_elsewhere_kills_nothing(tmp_path):
    pytest.importorskip("pytest_cov")
    shutil.copytree(HERE, tmp_path / "tests" / "mutants")
    (tmp_path / "theano_compat" / "bundled").mkdir(parents=True)
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "__init__.py").touch()
    (tmp_path / "made_up" / "a.py").write_text("def increased(a):\n    return a + 1\n")
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\n\nfrom made_up.a import increased\n\n\n"
        "@pytest.mark.parametrize('path', [__file__])\ndef test_by_its_path(path):\n    increased(1)\n\n\n"
        "def test_nothing():\n    increased(1)\n"
    )
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    command = [sys.executable, "tests/mutants", "--mutants", "3", "--jobs", "1", "--tests", "tests/test_a.py"]
    ran = subprocess.run([*command, "--", "made_up/a.py"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "1 tests passed, 0 failed and 1 have another name elsewhere" in ran.stdout
    assert "1 of them reach" in ran.stdout
    assert "0 of 3 mutants killed" in ran.stdout and "killed by" not in ran.stdout
