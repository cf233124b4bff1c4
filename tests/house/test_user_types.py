"""What users get by ``pip install .``: all files, the version, and types that their checkers understand."""

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
import venv
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest

import open_nsfw

ROOT = Path(__file__).parents[2]
PACKAGES = [path for path in ROOT.iterdir() if (path / "__init__.py").exists()]
STUB = ROOT / "open_nsfw-stubs" / "__init__.pyi"

#: Strict checking takes a plain ndarray for unknown with NumPy 1, whose ndarray has no default for its type arguments.
MODE = "strict" if int(np.__version__.split(".")[0]) >= 2 else "standard"

RIGHT = f"""
    # pyright: {MODE}
    from pathlib import Path

    import numpy as np
    from typing_extensions import assert_type

    import open_nsfw
    from nsfw_model.preprocess import prepare
    from nsfw_model.scorer import Scorer
    from open_nsfw import (
        FrameScore, PictureError, frame_scores, get_scorer, nsfw_score, nsfw_score_fn, nsfw_scores
    )

    assert_type(open_nsfw.__version__, str)
    assert_type(nsfw_score("a.jpg"), float)
    assert_type(nsfw_score(Path("a.jpg"), precision="bfloat16"), float)
    for score in nsfw_scores(["a.jpg", b""], batch_size=4):
        assert_type(score, float)
    for score_or_error in nsfw_scores(["a.jpg"], on_error="return"):
        assert_type(score_or_error, float | PictureError)
    for score_or_error in nsfw_scores(["a.jpg"], 8, None, None, "return"):
        assert_type(score_or_error, float | PictureError)
    for number in nsfw_scores(["a.jpg"], on_error="nan", frames="max", workers=2):
        assert_type(number, float)
    for moments in nsfw_scores(["a.gif"], frames="all", every=0.5):
        assert_type(moments, list[FrameScore])
    for moments_or_error in nsfw_scores(["a.gif"], frames="all", on_error="return"):
        assert_type(moments_or_error, float | list[FrameScore] | PictureError)
    for second, score in frame_scores("a.gif", every=1):
        assert_type((second, score), tuple[float, float])
    assert_type(get_scorer(), Scorer)
    scores = get_scorer().scores(prepare("a.jpg")[np.newaxis])
    print(nsfw_score_fn(open_nsfw.crop(scores)), open_nsfw.nsfw_net["prob"])
"""

WRONG = """
    from open_nsfw import nsfw_score, nsfw_scor, nsfw_scores
    nsfw_score("a.jpg", precison="bfloat16")
    nsfw_score("a.jpg", precision="float16")
    nsfw_score(0.5)
    sum(nsfw_scores(["a.jpg"], on_error="return"))
    nsfw_scores(["a.jpg"], precison="bfloat16")
    nsfw_score("a.jpg").upper()
"""


def run(*command, folder):
    """Run a program as a user does, who has no checkout on the path; give its exit code and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    process = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=folder, env=environment, timeout=600
    )
    return process.returncode, process.stdout + process.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy: building leaves files in the checkout."""
    copy, made = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for path in [*PACKAGES, STUB.parent, *(ROOT / name for name in ("img", "notebooks", "third_party"))]:
        shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    for name in ("LICENSE", "README.md", "nsfw.pkl", "open_nsfw.py", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, copy)
    pip = sys.executable, "-m", "pip"
    code, printed = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", made, copy, folder=made)
    assert code == 0, printed
    [path] = made.iterdir()
    return path


@pytest.fixture(scope="module")
def user(wheel, tmp_path_factory):
    """The Python of an environment that the wheel is installed in; what it needs is found in that of the tests."""
    folder = tmp_path_factory.mktemp("user")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = sys.executable, "-m", "pip", "--python", python
    code, printed = run(*pip, "install", "--no-deps", "--no-index", wheel, folder=folder)
    assert code == 0, printed
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "of_the_tests.pth").write_text("".join(f"{path}\n" for path in sys.path if "site-packages" in path))
    return python


def with_mypy(user, script):
    mypy = sys.executable, "-m", "mypy", "--strict", "--cache-dir", user.parent / "mypy_cache"
    return run(*mypy, "--python-executable", user, script.name, folder=script.parent)


def with_pyright(user, script):
    return run(sys.executable, "-m", "pyright", "--pythonpath", user, script.name, folder=script.parent)


CHECKERS = pytest.mark.parametrize("check", [with_mypy, with_pyright])


@pytest.mark.slow
class TestTypesOfUsers:
    @CHECKERS
    def test_a_users_script_sees_the_types(self, check, user, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(RIGHT))
        code, printed = check(user, script)
        assert code == 0, printed

    @CHECKERS
    def test_every_wrong_line_of_a_users_script_is_flagged(self, check, user, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(WRONG).lstrip())
        code, printed = check(user, script)
        flagged = {int(line) for line in re.findall(r"script\.py:(\d+)(?::\d+)?(?: -|:) error", printed)}
        assert code == 1 and flagged == set(range(1, 8)), printed

    def test_the_stub_has_what_the_module_has(self, user):
        code, printed = run(user, "-m", "mypy.stubtest", "open_nsfw", folder=user.parent)
        assert code == 0, printed


def annotations(path):
    """The signatures of a file's public functions, as text; several where a function is overloaded."""
    functions = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    found = {}
    for function in functions:
        if not function.name.startswith("_"):
            signature = f"{ast.unparse(function.args)} -> {ast.unparse(function.returns)}"
            found.setdefault(function.name, []).append(signature)
    return found


def without_choices(signature):
    """A signature without what overloads narrow: the values of Literals, their defaults, and what is given."""
    return re.sub(r"Literal\[[^]]*\](=[^,]*)?", "Literal", signature.partition(" -> ")[0])


def test_the_stubs_annotations_are_the_modules():
    module, stub = annotations(ROOT / "open_nsfw.py"), annotations(STUB)
    assert module.keys() == stub.keys()
    *narrower, of_all = stub.pop("nsfw_scores")
    assert module.pop("nsfw_scores") == [of_all]
    assert {without_choices(signature) for signature in narrower} == {without_choices(of_all)}
    assert stub == module


@pytest.mark.slow
class TestWheel:
    def test_every_module_and_all_they_read_are_in_it(self, wheel):
        sources = {
            str(path.relative_to(ROOT))
            for package in [*PACKAGES, STUB.parent]
            for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("open_nsfw_theano-")}
        pictures = {f"pictures/{path.name}" for ending in ("jpg", "png") for path in (ROOT / "img").glob(f"*.{ending}")}
        playground = {f"nsfw_experiments/playground/{name}" for name in {"Playground.ipynb"} | pictures}
        assert names == sources | {"open_nsfw.py", "nsfw_model/nsfw.pkl"} | playground

    def test_every_package_is_marked_as_typed(self, wheel):
        marked = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("py.typed")}
        assert marked == {f"{package.name}/py.typed" for package in PACKAGES}

    def test_its_version_is_the_modules(self, user):
        [packages] = user.parent.parent.glob("lib/python*/site-packages")
        versions = [found.version for found in distributions(path=[str(packages)])]
        assert versions == [open_nsfw.__version__]
        assert run(user.parent / "open-nsfw", "--version", folder=user.parent) == (0, f"open-nsfw {versions[0]}\n")

    def test_it_scores_from_any_folder(self, user, tmp_path):
        code, printed = run(user, "-m", "open_nsfw", ROOT / "img" / "rocket.jpg", folder=tmp_path)
        assert (code, printed) == (0, f"0.000463  {ROOT}/img/rocket.jpg\n")
