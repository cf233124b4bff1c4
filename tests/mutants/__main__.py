"""Change the code at random places, one at a time, and print which changes no test notices.

    pip install -e '.[test]'
    python tests/mutants [--mutants 300] [--seed 0] [--jobs 2] [FILE ...]

The tests run once to learn which of them reach which line; then each mutant is given to those that reach its line, the
fast ones first. What survives is printed as a diff, for a person to judge: a mutant may be equivalent to the code,
or change only words, speed or tuning. All happens in copies of the repository, with compiled modules of their own.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from mutations import Mutation, is_another_program, mutations, runs_on_import  # noqa: E402

PACKAGES = (
    "nsfw_model",
    "nsfw_scale",
    "nsfw_experiments",
    "nsfw_server",
    "nsfw_command",
    "theano_compat",
    "theano_cpu",
)
#: Seconds of tests for one mutant; and how much longer than that it may run before it counts as hung.
SECONDS_OF_TESTS, PATIENCE = 300, 3


@dataclass(frozen=True)
class Mutant:
    """A mutation of a file of the repository."""

    file: Path
    mutation: Mutation

    def __str__(self) -> str:
        before, after = self.file_before_and_after()
        lines = difflib.unified_diff(before, after, str(self.file), str(self.file), n=1)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    def file_before_and_after(self) -> tuple[list[str], list[str]]:
        source = (ROOT / self.file).read_bytes()
        return tuple(text.decode().splitlines(keepends=True) for text in (source, self.mutation.applied(source)))


def main() -> int:
    """Make the mutants, run the tests on each, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: all modules of the project")
    parser.add_argument("--mutants", type=int, default=300, help="default: 300")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of mutants (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at once (default: one for each core)")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="where the tests are (default: tests)")
    arguments = parser.parse_args()
    files = [file.resolve().relative_to(ROOT) for file in arguments.files] or modules()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        reached = Reached(Path(folder), arguments.tests)
        lines = sum(map(len, reached.lines.values()))
        told = f"{reached.failed} failed and {reached.renamed} have another name elsewhere"
        print(f"{len(reached.seconds)} tests passed, {told}: those are not asked", flush=True)
        print(f"{len(reached.tests())} of them reach {lines} lines of the project", flush=True)
        alive = judge(drawn(files, arguments.mutants, arguments.seed), reached, arguments.jobs, Path(folder))
    killed = arguments.mutants - len(alive)
    print("\n".join(map(str, alive)))
    print(f"{killed} of {arguments.mutants} mutants killed ({killed / arguments.mutants:.1%}), {len(alive)} alive")
    return 0


def modules() -> list[Path]:
    """Return the project's Python files, without tests and what is bundled."""
    command = ["git", "ls-files", "open_nsfw.py", *(f"{package}/*.py" for package in PACKAGES)]
    return [Path(name) for name in subprocess.check_output(command, cwd=ROOT, text=True).splitlines()]


def drawn(files: list[Path], count: int, seed: int) -> list[Mutant]:
    """Return random mutants, each place of each file as likely as any other."""
    sources = {file: (ROOT / file).read_bytes() for file in files}
    all_of_them = [Mutant(file, mutation) for file, source in sources.items() for mutation in mutations(source)]
    random.Random(seed).shuffle(all_of_them)
    programs = (mutant for mutant in all_of_them if is_another_program(sources[mutant.file], mutant.mutation))
    return [mutant for mutant, _ in zip(programs, range(count))]


def copy_of_the_repository(folder: Path) -> None:
    """Copy what git knows, and the bundled packages."""
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")[:-1]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "theano_compat" / "bundled", folder / "theano_compat" / "bundled")


def environment_of(repository: Path, compiled: Path) -> dict[str, str]:
    """Return variables by which tests use a copy, and compile into a folder of their own."""
    flags = ",".join(filter(None, [os.environ.get("THEANO_FLAGS"), f"base_compiledir={compiled}"]))
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    variables["OPEN_NSFW_SNAPSHOT"] = "0"  # each mutant would leave one
    return {**variables, "PYTHONPATH": str(repository), "THEANO_FLAGS": flags, "PYTHONDONTWRITEBYTECODE": "1"}


_MEASURED = """
import os
if "PYTEST_CURRENT_TEST" in os.environ:
    os.environ["COVERAGE_PROCESS_START"] = {settings!r}
    try:
        import coverage
        coverage.process_startup()
    except Exception:  # too little memory
        pass
    del os.environ["COVERAGE_PROCESS_START"]  # which others would heed, too
"""


class Reached:
    """Which tests reach which line, and how long each takes.

    Attributes
    ----------
    lines : dict of (pathlib.Path, dict of (int, set of str))
        The tests that reach each line of each file; no tests at a line that runs when the module is imported.
    seconds : dict of (str, float)
        Of all tests that pass while they are measured.
    failed : int
        How many do not.
    renamed : int
        How many pass, and have another name in another folder.
    compiled : pathlib.Path
        The folder of compiled modules, which this run has filled.
    """

    def __init__(self, folder: Path, tests: list[str]):
        repository, self.compiled = folder / "reached", folder / "compiled"
        copy_of_the_repository(repository)
        self.compiled.mkdir(mode=0o700)
        settings, junit = folder / "coverage.ini", folder / "junit.xml"
        settings.write_text(
            f"[run]\nsource = {repository}\nomit = {repository}/tests/*,{repository}/theano_compat/bundled/*\n"
            f"context = ${{PYTEST_CURRENT_TEST-}}\nparallel = true\nsigterm = true\ndata_file = {folder}/coverage\n"
        )
        # Programs that tests run are measured too, each under the name of its test
        (repository / "sitecustomize.py").write_text(_MEASURED.format(settings=str(settings)))
        command = [sys.executable, "-m", "pytest", "-q", *tests, "--cov", f"--cov-config={settings}"]
        command += ["--cov-context=test", "--cov-report=", f"--junitxml={junit}", "-o", "junit_family=xunit1"]
        environment = environment_of(repository, self.compiled)
        ran = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
        if ran.returncode not in (0, 1):
            raise SystemExit(f"the tests cannot be run:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}")
        self.lines = dict(_lines(folder / "coverage", repository))
        self.seconds, self.failed = _seconds(junit)
        # Asked by a name that is none elsewhere, such as one with this copy's path, pytest would fail on any mutant
        names = _names(folder / "elsewhere", tests, self.compiled)
        self.renamed = len(self.seconds.keys() - names)
        self.seconds = {name: seconds for name, seconds in self.seconds.items() if name in names}

    def tests(self) -> set[str]:
        """Return those of which it is known that they reach something: most do, or measuring has gone wrong."""
        return self.seconds.keys() & set().union(*(names for of in self.lines.values() for names in of.values()))

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that a mutant is given to, those that take least time first.

        A line that runs when its module is imported, for most before any test, is given to those that reach the module,
        or else its package.
        """
        lines = self.lines.get(mutant.file, {})
        line = mutant.mutation.line
        names = set() if runs_on_import((ROOT / mutant.file).read_bytes(), line) else lines.get(line, set())
        names = names or set().union(*lines.values())
        if not names:
            package = (of for file, of in self.lines.items() if file.parent == mutant.file.parent)
            names = set().union(*(of_line for of in package for of_line in of.values()))
        chosen, seconds = [], 0.0
        for name in sorted(names & self.seconds.keys(), key=lambda name: (self.seconds[name], name)):
            seconds += self.seconds[name]
            if seconds > SECONDS_OF_TESTS and chosen:
                break
            chosen.append(name)
        return chosen


def _names(repository: Path, tests: list[str], compiled: Path) -> set[str]:
    """Return the names that tests have in another copy of the repository."""
    copy_of_the_repository(repository)
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *tests]
    environment = environment_of(repository, compiled)
    ran = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"the tests cannot be collected:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}")
    shutil.rmtree(repository)
    return set(ran.stdout.splitlines())


def _lines(data_file: Path, repository: Path) -> Iterator[tuple[Path, dict[int, set[str]]]]:
    import coverage

    combined = coverage.Coverage(data_file=data_file)
    combined.load()
    combined.combine([str(data_file.parent)])  # what programs wrote that outlived their test
    data = combined.get_data()
    for name in data.measured_files():
        contexts = data.contexts_by_lineno(name)
        yield (
            Path(name).relative_to(repository),
            {line: set(filter(None, map(_test_of, of_line))) for line, of_line in contexts.items()},
        )


def _test_of(context: str) -> str:
    """Return the test's name of coverage's context ("name|run") or of pytest's variable ("name (call)")."""
    name, _, _ = context.rpartition("|") if "|" in context else context.rpartition(" (")
    return name


def _seconds(junit: Path) -> tuple[dict[str, float], int]:
    """Return the seconds of each test that passed, and how many failed."""
    seconds, failed = {}, 0
    for case in ElementTree.parse(junit).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            continue
        # "tests.model.test_scorer" or, in a class, "tests.model.test_scorer.TestScores"
        classes = case.get("classname").split(".")[len(Path(case.get("file")).parts) :]
        seconds["::".join([case.get("file"), *classes, case.get("name")])] = float(case.get("time"))
    return seconds, failed


def judge(mutants: list[Mutant], reached: Reached, jobs: int, folder: Path) -> list[Mutant]:
    """Give each mutant to its tests, print a row for each, and return those alive."""
    repositories: SimpleQueue[Path] = SimpleQueue()
    for number in range(jobs):
        copy_of_the_repository(folder / f"copy-{number}")
        repositories.put(folder / f"copy-{number}")

    def one(mutant: Mutant) -> str:
        repository = repositories.get()
        try:
            return outcome(mutant, reached, repository)
        finally:
            repositories.put(repository)

    alive = []
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, came in zip(mutants, pool.map(one, mutants)):
            print(f"{mutant.file}:{mutant.mutation.line}: {came}", flush=True)
            if came.startswith("alive"):
                alive.append(mutant)
    return alive


def outcome(mutant: Mutant, reached: Reached, repository: Path) -> str:
    """Run the tests of one mutant; return "killed by" a test, "hung" or "alive", and after what time."""
    tests = reached.tests_of(mutant)
    if not tests:
        return "alive: no test reaches it"
    source = (ROOT / mutant.file).read_bytes()
    compiled = repository.with_name(f"{repository.name}-compiled")
    # Its own, for a mutant of what writes C might leave wrong modules under right names
    shutil.copytree(reached.compiled, compiled, copy_function=os.link)
    (repository / mutant.file).write_bytes(mutant.mutation.applied(source))
    started = time.monotonic()
    try:
        word = run_tests(tests, reached, repository, compiled)
    finally:
        (repository / mutant.file).write_bytes(source)
        shutil.rmtree(compiled)
    return f"{word} ({time.monotonic() - started:.0f} s)"


def run_tests(tests: list[str], reached: Reached, repository: Path, compiled: Path) -> str:
    """Run tests until one fails, and say which, or that they did not end in time."""
    names, output = (repository.with_name(f"{repository.name}-{what}") for what in ("tests", "output"))
    names.write_text("\n".join(tests))
    limit = 60 + PATIENCE * sum(reached.seconds[test] for test in tests)
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"@{names}"],
            cwd=repository,
            env=environment_of(repository, compiled),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"hung in {len(tests)} tests"
        finally:
            _kill_all_of(process)
    if code == 0:
        return f"alive after {len(tests)} tests"
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", output.read_text(errors="replace"), re.MULTILINE)
    return f"killed by {failed[0] if failed else 'the start of pytest'}"


def _kill_all_of(process: subprocess.Popen[bytes]) -> None:
    """End what a process has started, and itself."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
