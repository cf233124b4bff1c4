"""Run Theano's own tests on the Python at hand, and count by folder what passes.

    python benchmarks/theano_suite.py [--folders theano/scalar ...] [--limit 5 | --all] [--save FILE.json] [--markdown]
    python benchmarks/theano_suite.py --compare OLD.json NEW.json ... [--markdown]

The tests come from Theano's source release; what they test is the Theano that is installed, after ``import
theano_compat``. It needs ``pip install pytest parameterized`` beside it. Tests of the GPU back end are left out.

Theano's whole suite takes many hours. So a sample is run: of each file the same ``--limit`` tests everywhere, chosen
by the hash of their names, and of a test that yields its checks, as nose had them, those numbered 1, 2, 4, 8 and so
on. Each file has a process of its own. A test that ends it, or takes more than ``--seconds`` of the processor, is "not
finished", and the others of its file are run in a new process. A file that cannot be imported is one failed test.

``--compare`` prints the same table of several runs side by side, then each test that did not end alike in all, then
what those said that failed in all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tables import write_row

ROOT = Path(__file__).resolve().parent.parent
SDIST = ROOT / "third_party" / "Theano-1.0.5.tar.gz"

OUTCOMES = "passed", "failed", "skipped", "not finished"
SELECTED, STARTED, ENDED = "selected", "started", "ended"

CONFIGURATION = """
[pytest]
python_classes = Test test
"""

#: Theano's own default, which its tests were written for.
FLOAT_X = "float64"


def main() -> None:
    """Run or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdist", type=Path, default=SDIST, help="Theano's source release")
    parser.add_argument("--folders", nargs="+", metavar="FOLDER", help="such as theano/scalar; the default is all")
    parser.add_argument("--limit", type=at_least_one, default=5, help="tests of each file (default: 5)")
    parser.add_argument("--all", action="store_true", help="run all tests of each file; takes many hours")
    parser.add_argument("--seconds", type=at_least_one, default=60, help="of the processor for one test (default: 60)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--compare", nargs="+", type=Path, metavar="FILE", help="files that --save has written")
    parser.add_argument("--markdown", action="store_true", help="write tables in Markdown")
    arguments = parser.parse_args()
    if arguments.compare:
        compare([json.loads(file.read_text(encoding="utf-8")) for file in arguments.compare], arguments.markdown)
        return
    with tempfile.TemporaryDirectory() as scratch:
        run = Suite(Path(scratch), arguments).run()
    write_counts([run], arguments.markdown)


def at_least_one(text: str) -> int:
    """Parse --limit and --seconds."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


class Suite:
    """Theano's tests in a temporary folder, and the processes that run them."""

    def __init__(self, scratch: Path, arguments: argparse.Namespace):
        self.arguments = arguments
        self.tests = scratch / "tests"
        self.results = scratch / "results"
        self.work = scratch / "work"  # some tests leave files where they are run
        self.work.mkdir()
        self.results.mkdir()
        extract_tests(arguments.sdist, self.tests)
        (self.tests / "pytest.ini").write_text(CONFIGURATION)
        flags = [f"floatX={FLOAT_X}", f"base_compiledir={scratch / 'compiled'}", os.environ.get("THEANO_FLAGS", "")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]),
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            # of two settings of one flag Theano takes the later
            "THEANO_FLAGS": ",".join(filter(None, flags)),
        }

    def run(self) -> dict:
        """Run the tests of all files, one file after the other.

        Returns
        -------
        dict
            "versions" of what they were run with, the number of tests that each of the "files" has, and of the "tests"
            that were run the outcome and what was said.
        """
        self.check_imports()
        files = sorted(self.tests.glob("theano/**/tests/test_*.py"))
        names = {file: file.relative_to(self.tests).as_posix() for file in files}
        known = sorted({folder_of(name) for name in names.values()})
        for folder in self.arguments.folders or ():
            if folder not in known:
                raise SystemExit(f"--folders: got {folder}, expected some of {', '.join(known)}")
        run: dict = {"versions": {}, "files": {}, "tests": {}}
        for file, name in names.items():
            if folder_of(name) in (self.arguments.folders or known):
                print(name, end=" ", file=sys.stderr, flush=True)
                counts = self.add(run, name, self.run_file(file, name))
                print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()), file=sys.stderr)
                if self.arguments.save:  # after each file: what an interrupted run has is worth having
                    self.arguments.save.write_text(json.dumps(run, indent=1), encoding="utf-8")
        return run

    def check_imports(self) -> None:
        """End the program with one sentence where no test could run."""
        command = [sys.executable, "-c", "import pytest, parameterized, theano_compat, theano"]
        done = subprocess.run(command, env=self.environment, cwd=self.work, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(
                f"{sys.executable}: got {done.stderr.strip().splitlines()[-1]!r} from importing pytest, parameterized, "
                "theano_compat and theano; install what is missing by pip"
            )

    def run_file(self, file: Path, name: str) -> list[list]:
        """Return the events of a file's tests. Each process begins after the test that ended the one before."""
        results = self.results / (name.replace("/", ".") + "l")
        command = [sys.executable, "-m", "pytest", "-p", "theano_suite_plugin", "-p", "no:cacheprovider"]
        command += ["-p", "no:warnings", "-p", "no:faulthandler", "--assert=plain", "--import-mode=append", "-q"]
        command += ["-c", str(self.tests / "pytest.ini"), "--rootdir", str(self.tests), str(file)]
        command += ["--suite-tests", str(self.tests), "--suite-results", str(results)]
        command += ["--suite-limit", "0" if self.arguments.all else str(self.arguments.limit)]
        command += ["--suite-seconds", str(self.arguments.seconds)]
        while True:
            process = subprocess.run(command, env=self.environment, cwd=self.work, capture_output=True)
            events = read_events(results)
            if events and events[-1][0] == ENDED:
                return events
            started = [event[1] for event in events if event[0] == STARTED]
            finished = {event[1] for event in events if event[0] in OUTCOMES}
            unfinished = [test for test in started if test not in finished]
            died = ["not finished", *(unfinished or [name]), f"exit code {process.returncode}"]
            if not unfinished:
                return [*events, died]
            write_event(results, *died)

    def add(self, run: dict, name: str, events: list[list]) -> Counter:
        """Add the events of a file to the results, and return the number of each outcome."""
        run["files"][name] = 1
        counts: Counter = Counter()
        for kind, *content in events:
            if kind == SELECTED:
                count, run["versions"] = content
                run["files"][name] = max(count, 1)
            elif kind in OUTCOMES:
                test, said = content
                run["tests"][test] = [kind, said]
                counts[kind] += 1
        return counts


def extract_tests(sdist: Path, folder: Path) -> None:
    """Write the test packages of Theano's source release to a folder, those of the GPU back end left out."""
    if not sdist.is_file():
        raise SystemExit(
            f"--sdist: got {sdist}, which is no file, expected Theano-1.0.5.tar.gz; "
            "pip download --no-deps --no-binary :all: Theano==1.0.5 gets it on Python 3.11"
        )
    with tarfile.open(sdist) as archive:
        for member in archive:
            parts = PurePosixPath(member.name).parts[1:]
            if "tests" in parts[:-1] and not {"gpuarray", ".."} & set(parts) and member.isfile():
                file = folder.joinpath(*parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                contents = archive.extractfile(member)
                assert contents is not None
                file.write_bytes(contents.read())
    for package in [folder / "theano", *(folder / "theano").rglob("*")]:
        if package.is_dir():
            (package / "__init__.py").touch()  # by these pytest finds the full name of a module


def folder_of(test: str) -> str:
    """Return the folder of Theano that a test belongs to."""
    return test.partition("/tests/")[0]


def write_event(file: Path, *event: object) -> None:
    """Append an event to a file of results, as a line of JSON."""
    with open(file, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(event) + "\n")


def read_events(file: Path) -> list[list]:
    """Read the events of a file of results."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write_counts(runs: list[dict], markdown: bool) -> None:
    """Print the numbers of each outcome, by folder, of the runs side by side."""
    for run in runs:
        print(", ".join(f"{name} {version}" for name, version in run["versions"].items()), end="\n\n")
    names = [short_name(run) for run in runs]
    header = ["folder", "tests", *OUTCOMES] if len(runs) == 1 else ["folder", "tests", *names]
    width = 14 if len(runs) == 1 else 28
    write_row(header, markdown, header=True, width=width)
    folders = sorted({folder_of(file) for run in runs for file in run["files"]})
    for folder in [*folders, "all"]:
        cells = [outcomes(run["tests"], folder) for run in runs]
        existing = max(sum(n for file, n in run["files"].items() if is_in(file, folder)) for run in runs)
        flat = cells[0] if len(runs) == 1 else [", ".join(map(str, cell)) for cell in cells]
        write_row([folder, existing, *flat], markdown, width=width)
    if len(runs) > 1:
        print(f"\n({', '.join(OUTCOMES)})")


def short_name(run: dict) -> str:
    """Name a run by its Python and NumPy."""
    versions = run["versions"]
    return f"{versions.get('Python')}, NumPy {versions.get('NumPy')}"


def is_in(test: str, folder: str) -> bool:
    """Return whether a test or file is one of a folder's; the folder may be "all"."""
    return folder in ("all", folder_of(test))


def outcomes(tests: dict[str, list[str]], folder: str) -> list[int]:
    """Count the outcomes of a folder's tests."""
    counts = Counter(outcome for test, (outcome, _) in tests.items() if is_in(test, folder))
    return [counts[outcome] for outcome in OUTCOMES]


def compare(runs: list[dict], markdown: bool) -> None:
    """Print the table of several runs, where they differ, and what failed in all of them."""
    write_counts(runs, markdown)
    names = [short_name(run) for run in runs]
    tests = sorted({test for run in runs for test in run["tests"]})
    ends = {test: [run["tests"].get(test, ["not there", ""]) for run in runs] for test in tests}
    differing = {test: found for test, found in ends.items() if len({outcome for outcome, _ in found}) > 1}
    print(f"\n{len(differing)} of {len(tests)} tests did not end alike:\n")
    for test, found in differing.items():
        print(f"- {test}")
        for name, (outcome, said) in zip(names, found):
            print(f"  - {name}: {outcome}{': ' * bool(said)}{said}")
    failing = [found[0][1] for found in ends.values() if all(outcome == "failed" for outcome, _ in found)]
    print(f"\n{len(failing)} failed in all:\n")
    write_kinds(failing)


def write_kinds(reasons: Iterable[str]) -> None:
    """Print how often each reason was given, the most frequent first."""
    for said, count in Counter(reasons).most_common():
        print(f"- {count}: {said}")


if __name__ == "__main__":
    main()
