"""Where snapshots are, which of them are trusted, and when there is none: without a network."""

import os
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from nsfw_model import snapshot
from theano_compat import TheanoEnvironmentError
from theano_cpu.onednn.library import OneDnnUnavailableError


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A folder of compiled modules, and no other setting."""
    folder = tmp_path / "theano"
    folder.mkdir()
    monkeypatch.setenv("THEANO_FLAGS", f"base_compiledir={folder}")
    for name in "OPEN_NSFW_SNAPSHOT", "THEANO_CPU_ENGINE":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(snapshot, "_described", lambda *arguments: [str(argument) for argument in arguments])
    return folder


class TestFolder:
    @pytest.mark.parametrize(
        "flags, folder",
        [
            ("compiledir=/a", "/a"),
            ("base_compiledir=/b", "/b"),
            ("base_compiledir=/b,compiledir=/a", "/a"),
            (" floatX = float32 , compiledir = /a ", "/a"),
            ("compiledir=/a=b", "/a=b"),
            ("compiledir=/a,compiledir=/b", "/b"),
        ],
    )
    def test_is_the_one_that_theano_compiles_to(self, flags, folder, monkeypatch):
        monkeypatch.setenv("THEANO_FLAGS", flags)
        assert snapshot._theanos_folder() == folder

    @pytest.mark.parametrize("flags", [None, "", "floatX=float32"])
    def test_is_the_usual_one_if_none_is_named(self, flags, monkeypatch):
        monkeypatch.setattr(snapshot, "writable_base_compiledir", lambda: "/usual")
        monkeypatch.delenv("THEANO_FLAGS", raising=False)
        if flags is not None:
            monkeypatch.setenv("THEANO_FLAGS", flags)
        assert snapshot._theanos_folder() == "/usual"

    def test_of_snapshots_is_within_and_they_are_named_by_what_they_are_of(self, base):
        path = snapshot._path(Path("a"), Path("b"), "float32")
        assert path.parent == base / "open_nsfw_snapshots"
        assert path.suffix == ".program" and len(path.stem) == 40
        others = [("x", "b", "float32"), ("a", "x", "float32"), ("a", "b", "bfloat16")]
        paths = {snapshot._path(Path(weights), Path(prototxt), precision) for weights, prototxt, precision in others}
        assert len({path, *paths}) == 4

    @pytest.mark.parametrize(
        "name, value, there",
        [
            ("OPEN_NSFW_SNAPSHOT", "0", False),
            ("OPEN_NSFW_SNAPSHOT", " 0 ", False),
            ("OPEN_NSFW_SNAPSHOT", "1", True),
            ("OPEN_NSFW_SNAPSHOT", "", True),
            ("THEANO_CPU_ENGINE", "theano", False),
            ("THEANO_CPU_ENGINE", " oneDNN ", True),
            ("THEANO_CPU_ENGINE", " ", True),
        ],
    )
    def test_is_none_where_settings_say_so(self, name, value, there, base, monkeypatch):
        monkeypatch.setenv(name, value)
        assert (snapshot._path(Path("a"), Path("b"), "float32") is not None) is there

    def test_is_none_where_nothing_was_compiled(self, base):
        base.rmdir()
        assert snapshot._path(Path("a"), Path("b"), "float32") is None

    @pytest.mark.parametrize("error", [TheanoEnvironmentError("none"), OneDnnUnavailableError("none")])
    def test_is_none_without_theano_or_onednn(self, error, base, monkeypatch):
        def described(*arguments):
            raise error

        monkeypatch.setattr(snapshot, "_described", described)
        assert snapshot._path(Path("a"), Path("b"), "float32") is None


class TestTrust:
    @pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
    @pytest.mark.parametrize(
        "mode, trusted", [(0o600, True), (0o644, True), (0o755, True), (0o620, False), (0o602, False)]
    )
    def test_is_in_what_nobody_else_can_write(self, mode, trusted, tmp_path):
        path = tmp_path / "file"
        path.touch()
        path.chmod(mode)
        tmp_path.chmod(0o700)
        assert snapshot._is_trusted(path) is snapshot._is_trusted(tmp_path, path) is trusted

    @pytest.mark.parametrize("owner, user, trusted", [(5, 5, True), (0, 5, True), (5, 0, False), (6, 5, False)])
    def test_is_in_what_belongs_to_this_user_or_root(self, owner, user, trusted, monkeypatch):
        monkeypatch.setattr(os, "getuid", lambda: user, raising=False)
        mine = SimpleNamespace(stat=lambda: SimpleNamespace(st_uid=user, st_mode=stat.S_IFREG | 0o600))
        other = SimpleNamespace(stat=lambda: SimpleNamespace(st_uid=owner, st_mode=stat.S_IFREG | 0o600))
        assert snapshot._is_trusted(mine, other) is trusted

    def test_is_in_nothing_without_owners(self, tmp_path, monkeypatch):
        monkeypatch.delattr(os, "getuid")
        assert not snapshot._is_trusted(tmp_path)


class TestStamp:
    def test_changes_with_size_time_and_place(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"abc")
        os.utime(path, ns=(5, 7_000_000_001))
        before = snapshot.stamp(path)
        assert before == (3, 7_000_000_001, path.stat().st_ino)
        os.utime(path, ns=(5, 7_000_000_002))
        assert snapshot.stamp(path) != before
        os.utime(path, ns=(9, 7_000_000_001))
        assert snapshot.stamp(path) == before

    def test_of_a_package_is_that_of_its_file(self):
        origin, size, moment = snapshot._origin("theano")
        assert Path(origin).name == "__init__.py"
        assert (size, moment) == (Path(origin).stat().st_size, Path(origin).stat().st_mtime_ns)
        assert snapshot._origin("no_such_package") == [None]


class TestWriting:
    """Of files that `save_program` would not be given otherwise."""

    @pytest.fixture
    def files(self, base, tmp_path, monkeypatch):
        weights = tmp_path / "net.pkl"
        weights.write_bytes(b"weights")
        monkeypatch.setattr(snapshot.precompiled, "in_use", lambda: False)
        monkeypatch.setattr(
            snapshot, "save_program", lambda file, function, facts: file.write(repr(facts).encode()) > 0
        )
        return weights, tmp_path / "net.prototxt"

    def write(self, files, stamp=None):
        snapshot.write(*files, "float32", None, (3, 8, 8), stamp or snapshot.stamp(files[0]))
        folder = snapshot._path(*files, "float32").parent
        return sorted(folder.iterdir()) if folder.exists() else []

    def test_one_is_left_for_this_user_alone(self, files):
        (path,) = self.write(files)
        assert path == snapshot._path(*files, "float32")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert "(3, 8, 8)" in path.read_text() and snapshot._digest(files[0]) in path.read_text()

    def test_none_is_left_where_all_was_compiled_before(self, files, monkeypatch):
        monkeypatch.setattr(snapshot.precompiled, "in_use", lambda: True)
        assert self.write(files) == []

    def test_none_is_left_of_weights_that_changed_meanwhile(self, files):
        assert self.write(files, (1, 2, 3)) == []

    @pytest.mark.parametrize("more, count", [(0, 1), (-1, 0)])
    def test_none_is_left_of_weights_beyond_a_size(self, more, count, files, monkeypatch):
        assert snapshot._MOST_BYTES == 256 << 20
        monkeypatch.setattr(snapshot, "_MOST_BYTES", len(b"weights") + more)
        assert len(self.write(files)) == count

    def test_none_is_left_that_is_not_whole(self, files, monkeypatch):
        monkeypatch.setattr(snapshot, "save_program", lambda file, function, facts: False)
        assert self.write(files) == []

    def test_none_is_left_in_a_folder_that_others_can_write(self, files):
        folder = snapshot._path(*files, "float32").parent
        folder.mkdir()
        folder.chmod(0o777)
        assert self.write(files) == []

    def test_what_is_no_file_stays(self, files):
        path = snapshot._path(*files, "float32")
        path.mkdir(parents=True)
        path.parent.chmod(0o700)
        assert self.write(files) == [path] and path.is_dir()

    def test_an_error_of_the_system_is_none(self, files, monkeypatch):
        def save_program(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(snapshot, "save_program", save_program)
        assert self.write(files) == []

    def test_the_oldest_go(self, files):
        folder = snapshot._path(*files, "float32").parent
        folder.mkdir(mode=0o700)
        for age in range(8):
            old = folder / f"{age}.program"
            old.touch()
            os.utime(old, (1000 - age, 1000 - age))
        kept = {path.name for path in self.write(files)}
        assert kept == {snapshot._path(*files, "float32").name, *(f"{age}.program" for age in range(5))}


class TestFinding:
    @pytest.fixture
    def there(self, base, monkeypatch):
        monkeypatch.setattr(snapshot, "SavedProgram", lambda path: SimpleNamespace(path=path))
        monkeypatch.setattr(snapshot, "Snapshot", lambda program, weights: (program.path, weights))
        path = snapshot._path(Path("a"), Path("b"), "float32")
        path.parent.mkdir(mode=0o700)
        path.touch(mode=0o600)
        return path

    def test_one_that_is_there_is_found(self, there):
        assert snapshot.find(Path("a"), Path("b"), "float32") == (there, Path("a"))
        assert snapshot.find(Path("a"), Path("b"), "bfloat16") is None

    def test_one_that_others_can_write_is_not(self, there):
        there.chmod(0o666)
        assert snapshot.find(Path("a"), Path("b"), "float32") is None
        there.chmod(0o600)
        there.parent.chmod(0o777)
        assert snapshot.find(Path("a"), Path("b"), "float32") is None

    def test_what_is_no_file_is_none(self, there):
        there.unlink()
        assert snapshot.find(Path("a"), Path("b"), "float32") is None
        there.mkdir()
        assert snapshot.find(Path("a"), Path("b"), "float32") is None

    @pytest.mark.parametrize("error", [OSError(), snapshot.SavedProgramError("damaged"), KeyError("input_shape")])
    def test_one_that_is_damaged_is_none(self, there, error, monkeypatch):
        def read(path):
            raise error

        monkeypatch.setattr(snapshot, "SavedProgram", read)
        assert snapshot.find(Path("a"), Path("b"), "float32") is None


class TestVerdicts:
    def test_are_waited_for(self):
        def check():
            time.sleep(0.05)
            return True

        assert snapshot._in_background(check)() is True

    @pytest.mark.parametrize("outcome", [False, None, 0])
    def test_are_passed_only_by_what_is_true(self, outcome):
        assert snapshot._in_background(lambda: outcome)() is False

    @pytest.mark.parametrize("error", [OSError, ValueError])
    def test_are_not_passed_by_an_error(self, error):
        def check():
            raise error

        assert snapshot._in_background(check)() is False

    @pytest.mark.parametrize("of_weights, whole, loads, usable", [
        (True, True, True, True), (False, True, True, False), (True, False, True, False), (True, True, False, False),
    ])  # fmt: skip
    def test_are_all_needed(self, of_weights, whole, loads, usable, tmp_path):
        (tmp_path / "net.pkl").write_bytes(b"weights")
        digest = snapshot._digest(tmp_path / "net.pkl") if of_weights else "another"
        facts = {"input_shape": [3, 8, 9], "weights": digest}
        program = SimpleNamespace(facts=facts, is_whole=lambda: whole, load=lambda: loads)
        found = snapshot.Snapshot(program, tmp_path / "net.pkl")
        assert found.input_shape == (3, 8, 9) and found.is_of(tmp_path / "net.pkl") is of_weights
        assert found.function() is (program if usable else None)
