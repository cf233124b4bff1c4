"""Theano and Lasagne come with theano_compat, unchanged, and step back where others are installed."""

import csv
import hashlib
import shutil
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import pytest
from fresh_python import REPOSITORY, fresh_python

from theano_compat import TheanoEnvironmentError, bundle
from third_party import unpack

#: As https://pypi.org/project/Theano/1.0.5/#files and https://pypi.org/project/Lasagne/0.1/#files give them.
SHA256_OF_PYPI = {
    "Theano-1.0.5.tar.gz": "6e9439dd53ba995fcae27bf20626074bfc2fff446899dc5c53cb28c1f9202e89",
    "Lasagne-0.1.tar.gz": "3c634ecab67e43e4f18520932bfd88bd3c678ec723c48177f18799dab2411233",
}

#: Only what is bundled can be imported: the environment's own packages are searched for anything else.
WITHOUT_INSTALLED = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is None and name in ("theano", "lasagne"):
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import theano_compat, theano_compat.bundle as bundle
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "bundled"
    unpack.unpack(folder)
    return folder


@pytest.fixture
def copy(unpacked, tmp_path, monkeypatch):
    """A bundle of its own for tests that break it."""
    folder = tmp_path / "bundled"
    shutil.copytree(unpacked, folder)
    monkeypatch.setattr(bundle, "BUNDLED", str(folder))
    return folder


class TestReleases:
    def test_are_those_of_the_registry(self):
        assert unpack.checksums() == SHA256_OF_PYPI
        for name, digest in SHA256_OF_PYPI.items():
            assert hashlib.sha256((REPOSITORY / "third_party" / name).read_bytes()).hexdigest() == digest

    @pytest.mark.parametrize("release, name", [("Theano-1.0.5", "LICENSE.txt"), ("Lasagne-0.1", "LICENSE")])
    def test_travel_with_their_licences(self, release, name, unpacked):
        with tarfile.open(REPOSITORY / "third_party" / f"{release}.tar.gz") as tar:
            licence = tar.extractfile(f"{release}/{name}").read()
        assert (unpacked / f"{release}.dist-info" / "licenses" / name).read_bytes() == licence
        shown = REPOSITORY / "third_party" / f"{release.partition('-')[0]}-LICENSE.txt"
        assert shown.read_bytes() == licence

    @pytest.mark.parametrize("release", ["Theano-1.0.5", "Lasagne-0.1"])
    def test_are_unpacked_unchanged(self, release, unpacked):
        with tarfile.open(REPOSITORY / "third_party" / f"{release}.tar.gz") as tar:
            package = release.partition("-")[0].lower()
            for path in (unpacked / package).rglob("*"):
                if path.is_file():
                    name = f"{release}/{path.relative_to(unpacked).as_posix()}"
                    assert path.read_bytes() == tar.extractfile(name).read(), name

    def test_leave_nothing_out_but_tests(self, unpacked):
        for release in "Theano-1.0.5", "Lasagne-0.1":
            package = release.partition("-")[0].lower()
            with tarfile.open(REPOSITORY / "third_party" / f"{release}.tar.gz") as tar:
                names = [member.name.removeprefix(release + "/") for member in tar if member.isfile()]
            left_out = [name for name in names if name.startswith(package + "/") and not (unpacked / name).exists()]
            assert left_out
            assert all("/tests/" in name for name in left_out)


class TestUnpacking:
    @pytest.fixture
    def releases(self, tmp_path):
        folder = tmp_path / "third_party"
        shutil.copytree(REPOSITORY / "third_party", folder, ignore=shutil.ignore_patterns("__pycache__"))
        return folder

    def test_refuses_a_changed_release_and_leaves_nothing(self, releases, tmp_path):
        archive = releases / "Lasagne-0.1.tar.gz"
        archive.write_bytes(archive.read_bytes() + b"\0")
        with pytest.raises(unpack.ChangedArchiveError, match=r"Lasagne-0.1.tar.gz is not the release that PyPI has"):
            unpack.unpack(tmp_path / "made" / "bundled", releases)
        assert list((tmp_path / "made").iterdir()) == []

    def test_refuses_where_a_release_is_missing(self, releases, tmp_path):
        (releases / "Theano-1.0.5.tar.gz").unlink()
        with pytest.raises(unpack.ChangedArchiveError, match=r"Theano-1.0.5.tar.gz is missing"):
            unpack.unpack(tmp_path / "bundled", releases)

    def test_leaves_a_complete_folder_alone_and_mends_any_other(self, copy):
        kept = copy / "kept"
        kept.touch()
        unpack.unpack(copy)
        assert kept.exists()
        (copy / "theano" / "gradient.py").unlink()
        unpack.unpack(copy)
        assert (copy / "theano" / "gradient.py").exists() and not kept.exists()


class TestImport:
    def test_theano_and_lasagne_need_not_be_installed(self, unpacked):
        run = fresh_python(
            f"{WITHOUT_INSTALLED}\n"
            f"bundle.BUNDLED = {str(unpacked)!r}\n"
            "import theano, lasagne, importlib.metadata\n"
            "print(theano.__file__, theano.__version__, lasagne.__version__)\n"
            "print(importlib.metadata.version('Theano'), importlib.metadata.version('lasagne'))\n"
            "print([d.name for d in importlib.metadata.distributions() if d.name in ('Theano', 'Lasagne')])\n"
            "print(float(theano.function([], theano.tensor.constant(20) + 1)()))"
        )
        assert run.stdout.splitlines() == [
            f"{unpacked / 'theano' / '__init__.py'} 1.0.5 0.1",
            "1.0.5 0.1",
            "['Theano', 'Lasagne']",
            "21.0",
        ]

    def test_every_module_that_computes_can_be_imported(self, unpacked):
        """None needs what is left out."""
        fresh_python(
            f"{WITHOUT_INSTALLED}\n"
            f"bundle.BUNDLED = {str(unpacked)!r}\n"
            "import importlib, pathlib, theano\n"
            "root = pathlib.Path(bundle.BUNDLED)\n"
            "for part in 'compile gof scalar scan_module sparse tensor tensor/nnet tensor/signal typed_list'.split():\n"
            "    for path in (root / 'theano' / part).glob('*.py'):\n"
            "        if path.stem != 'scan_perform_ext':\n"  # refuses where its C code cannot be compiled
            "            importlib.import_module('.'.join(path.relative_to(root).with_suffix('').parts))"
        )

    def test_installed_ones_come_first(self, unpacked, tmp_path):
        for package in "theano", "lasagne":
            (tmp_path / package).mkdir()
            (tmp_path / package / "__init__.py").write_text("__version__ = 'own'")
        (tmp_path / "theano" / "gof").mkdir()
        run = fresh_python(
            "import theano_compat, theano_compat.bundle as bundle\n"
            f"bundle.BUNDLED = {str(unpacked)!r}\n"
            "import theano, lasagne\n"
            "print(theano.__version__, lasagne.__version__, bundle.is_bundled(theano))",
            path=[tmp_path],
        )
        assert run.stdout.split() == ["own", "own", "False"]

    def test_metadata_of_installed_ones_comes_first(self, unpacked, tmp_path):
        (tmp_path / "theano").mkdir()
        (tmp_path / "theano" / "__init__.py").touch()
        (tmp_path / "Theano-1.0.4.dist-info").mkdir()
        (tmp_path / "Theano-1.0.4.dist-info" / "METADATA").write_text("Name: Theano\nVersion: 1.0.4\n")
        run = fresh_python(
            "import theano_compat, theano_compat.bundle as bundle\n"
            f"bundle.BUNDLED = {str(unpacked)!r}\n"
            "import importlib.metadata\n"
            "found = importlib.metadata.distributions()\n"
            "print(importlib.metadata.version('Theano'), 'bundled' in str([d._path for d in found]))",
            path=[tmp_path],
        )
        assert run.stdout.split()[0] == "1.0.4"

    def test_another_theano_is_one_clear_message(self, tmp_path):
        """Theano-PyMC 1.1 has theano.graph where Theano has theano.gof."""
        (tmp_path / "theano" / "graph").mkdir(parents=True)
        (tmp_path / "theano" / "__init__.py").write_text("raise SystemError('it ran')")
        run = fresh_python("import theano_compat, theano", path=[tmp_path], check=False)
        assert "TheanoEnvironmentError: theano_compat keeps Theano 1.0.5 working, and" in run.stderr
        assert "is another Theano" in run.stderr and "it ran" not in run.stderr


class TestDamage:
    def test_a_bundle_that_was_never_unpacked_is_one_clear_message(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bundle, "BUNDLED", str(tmp_path / "none"))
        with pytest.raises(
            TheanoEnvironmentError, match=r"^neither an installed Theano nor the bundled Theano-1\.0\.5"
        ):
            bundle.BundleFinder.find_spec("theano")

    def test_a_missing_file_is_one_clear_message(self, copy):
        (copy / "theano" / "gof" / "op.py").unlink()
        with pytest.raises(TheanoEnvironmentError, match=r"gof/op\.py of the bundled Theano-1\.0\.5 is missing"):
            bundle.BundleFinder.find_spec("theano")

    def test_a_file_of_another_size_is_one_clear_message(self, copy):
        path = copy / "lasagne" / "init.py"
        path.write_bytes(path.read_bytes() + b"\n")
        with pytest.raises(TheanoEnvironmentError, match=r"init\.py of the bundled Lasagne-0\.1 was changed: it has"):
            bundle.BundleFinder.find_spec("lasagne")

    def test_a_changed_file_of_the_same_size_is_told_by_its_checksum(self, copy):
        path = copy / "lasagne" / "init.py"
        path.write_bytes(path.read_bytes()[::-1])
        assert bundle.changed_files("Lasagne-0.1") == [str(path)]
        assert bundle.changed_files("Theano-1.0.5") == []

    def test_records_are_as_the_packaging_standard_has_them(self, unpacked):
        """pip's own reader of RECORD finds each file, with its size."""
        from importlib.metadata import PathDistribution

        files = PathDistribution(unpacked / "Lasagne-0.1.dist-info").files
        assert len(files) == len(list(csv.reader(open(unpacked / "Lasagne-0.1.dist-info" / "RECORD"))))
        assert all(file.locate().stat().st_size == file.size for file in files)


def test_the_finder_has_the_metadata_of_the_bundled_folders(unpacked, monkeypatch):
    from importlib.metadata import DistributionFinder

    monkeypatch.setattr(bundle, "BUNDLED", str(unpacked))
    monkeypatch.setattr(bundle, "PathFinder", SimpleNamespace(find_spec=lambda name: None))  # none is installed
    for name, version in ("theano", "1.0.5"), ("Lasagne", "0.1"):
        (found,) = bundle.BundleFinder.find_distributions(DistributionFinder.Context(name=name))
        assert (found.metadata["Name"].lower(), found.version) == (name.lower(), version)


def test_the_finder_is_asked_for_metadata_only_of_what_is_not_installed(unpacked, monkeypatch):
    from importlib.metadata import DistributionFinder

    monkeypatch.setattr(bundle, "BUNDLED", str(unpacked))
    installed = {"theano"}
    monkeypatch.setattr(
        bundle, "PathFinder", SimpleNamespace(find_spec=lambda name: "found" if name in installed else None)
    )

    def found(**context):
        distributions = bundle.BundleFinder.find_distributions(DistributionFinder.Context(**context))
        return [distribution.metadata["Name"].lower() for distribution in distributions]

    assert found() == ["lasagne"] and found(name="theano") == [] and found(name="numpy") == []
    assert found(name="lasagne", path=[str(unpacked)]) == []  # somebody looks into certain folders
    installed.clear()
    assert found() == ["theano", "lasagne"]


def test_only_the_bundled_packages_are_found_by_it_and_it_is_installed_once_and_last(monkeypatch):
    assert bundle.BundleFinder.find_spec("numpy") is None and bundle.BundleFinder.find_spec("theano.gof") is None
    monkeypatch.setattr(sys, "meta_path", ["another"])
    for _ in range(2):
        bundle.install()
    assert sys.meta_path == ["another", bundle.BundleFinder]


def test_the_report_tells_where_theano_is_from():
    command = [sys.executable, "-m", "theano_compat"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert any(line.startswith("theano: ") for line in run.stdout.splitlines())
    assert not any(": changed" in line for line in run.stdout.splitlines())
