"""Snapshots: a score without Theano, and never one of another network, another processor or another version."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import theano_cpu
import numpy as np
import pytest

from nsfw_model import ModelFileError, snapshot
from nsfw_model.scorer import Scorer
from nsfw_model.weights import load_weights
from theano_cpu import onednn

ROOT = Path(theano_cpu.__file__).parents[1]
FILES = ROOT / "nsfw.pkl", ROOT / "nsfw_model/deploy.prototxt"

pytestmark = pytest.mark.skipif(not onednn.onednn_available(), reason="oneDNN is not the engine here")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder of compiled modules of its own, with a native module in it already."""
    import theano

    folder = tmp_path_factory.mktemp("theano")
    native = Path(onednn.native_module().__file__)
    there = folder / Path(theano.config.compiledir).name / native.parent.name
    there.mkdir(parents=True)
    shutil.copy(native, there)
    return folder


@pytest.fixture
def pictures():
    return np.random.default_rng(0).normal(size=(3, 3, 224, 224)).astype("float32") * 50


@pytest.fixture
def here(base, monkeypatch):
    """Where snapshots are: beside the modules of `base`."""
    monkeypatch.setenv("THEANO_FLAGS", f"base_compiledir={base}")
    monkeypatch.delenv("OPEN_NSFW_SNAPSHOT", raising=False)
    monkeypatch.delenv("THEANO_CPU_ENGINE", raising=False)
    folder = base / "open_nsfw_snapshots"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


@pytest.fixture
def kept(here, pictures):
    """The one snapshot there, of Yahoo's network."""
    Scorer(*FILES).scores(pictures)
    (path,) = here.iterdir()
    return path


def found(files=FILES, precision="float32"):
    there = snapshot.find(*files, precision)
    return there is not None and there.function() is not None


SCORE = """
import json, sys
from open_nsfw import nsfw_score
print(json.dumps([nsfw_score("img/coffee.jpg"), "theano" in sys.modules, "lasagne" in sys.modules]))
"""


@pytest.mark.slow
def test_the_second_process_scores_without_theano(here, base):
    def score():
        ran = subprocess.run([sys.executable, "-c", SCORE], cwd=ROOT, capture_output=True, text=True, check=True)
        return json.loads(ran.stdout)

    (first, *modules), (second, *none) = score(), score()
    assert first == second and modules == [True, True] and none == [False, False]
    for native in base.glob("*/theano_cpu_onednn/*.so"):
        native.rename(native.with_suffix(".gone"))
    try:
        assert score() == [first, True, True]  # what the snapshot calls is gone
    finally:
        for native in base.glob("*/theano_cpu_onednn/*.gone"):
            native.rename(native.with_suffix(".so"))


def test_scores_and_gradients_are_those_without_it(kept, pictures, monkeypatch):
    fast = Scorer(*FILES)
    assert fast._built is None and fast.input_size == (224, 224)
    scores, logits = fast.scores(pictures), fast.logits(pictures)
    assert fast._built is None
    monkeypatch.setenv("OPEN_NSFW_SNAPSHOT", "0")
    slow = Scorer(*FILES)
    assert slow._built is not None
    np.testing.assert_array_equal(scores, slow.scores(pictures))
    np.testing.assert_array_equal(logits, slow.logits(pictures))
    for got, expected in zip(fast.logits_and_gradients(pictures[:1]), slow.logits_and_gradients(pictures[:1])):
        np.testing.assert_array_equal(got, expected)
    assert list(fast.net) == list(slow.net)


def test_there_is_one_for_each_precision(kept, here):
    assert found() and not found(precision="bfloat16")


@pytest.mark.parametrize("name, value", [
    ("THEANO_CPU_ENGINE", "theano"),
    ("OPEN_NSFW_SNAPSHOT", "0"),
    ("THEANORC", __file__),
], ids=["engine", "switch", "settings"])  # fmt: skip
def test_settings_that_it_was_not_made_with_leave_it_alone(kept, monkeypatch, name, value):
    assert found()
    monkeypatch.setenv(name, value)
    assert not found()


@pytest.mark.parametrize("name, value", [
    ("processor.fingerprint", lambda: "another"),
    ("_digest_of_sources", lambda: "changed"),
    ("np.__version__", "1.0"),
    ("_origin", lambda name: ["another", 1, 2]),
])  # fmt: skip
def test_another_processor_source_or_version_leaves_it_alone(kept, monkeypatch, name, value):
    assert found()
    owner, _, attribute = name.rpartition(".")
    monkeypatch.setattr(getattr(snapshot, owner) if owner else snapshot, attribute, value)
    assert not found()


def test_sources_are_all_that_is_computed_by_wherever_they_are():
    package = ROOT / "theano_cpu"
    found = {str(Path(path).relative_to(package)) for path in snapshot._files(str(package))}
    assert {"lowering.py", "onednn/program.py", "onednn/native/program.hpp", "onednn/native/module.cpp"} <= found
    assert not any("__pycache__" in path for path in found)


@pytest.fixture
def own_files(tmp_path):
    return tuple(Path(shutil.copy(path, tmp_path)) for path in FILES)


def changed_weights(path):
    """The same file with one number changed, and the same size and time."""
    weights, status = load_weights(path), path.stat()
    blob = next(blobs[1] for name, blobs in weights if name == "fc_nsfw")
    blob[:] = blob[::-1]
    with path.open("r+b") as file:
        pickle.dump(weights, file, protocol=2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_other_weights_of_the_same_size_and_time_are_noticed(here, own_files, pictures):
    changed_weights(own_files[0])  # as this program writes them
    before = Scorer(*own_files).scores(pictures)
    assert found(own_files)
    changed_weights(own_files[0])
    assert snapshot.find(*own_files, "float32") is not None and not found(own_files)
    after = Scorer(*own_files).scores(pictures)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, Scorer(*FILES).scores(pictures))  # changed twice


def test_another_architecture_is_noticed(here, own_files, pictures):
    Scorer(*own_files).scores(pictures)
    assert found(own_files)
    text = own_files[1].read_text()
    own_files[1].write_text(text.replace('name: "ResNet', 'name: "Another'))
    assert own_files[1].read_text() != text and not found(own_files)


def test_gradients_of_other_weights_than_the_scores_are_refused(here, own_files, pictures):
    changed_weights(own_files[0])
    Scorer(*own_files).scores(pictures)
    scorer = Scorer(*own_files)
    scorer.scores(pictures)
    changed_weights(own_files[0])
    with pytest.raises(ModelFileError, match="nsfw.pkl: changed since this Scorer was made"):
        scorer.logits_and_gradients(pictures[:1])


@pytest.mark.parametrize("damage", [
    lambda data: data[: len(data) // 2],
    lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    lambda data: b"",
    lambda data: data.replace(b"224", b"227", 1),
], ids=["cut", "a bit", "empty", "its header"])  # fmt: skip
def test_a_damaged_one_is_made_anew(kept, pictures, damage):
    expected, whole = Scorer(*FILES).scores(pictures), kept.read_bytes()
    kept.unlink()
    kept.write_bytes(damage(whole))
    kept.chmod(0o600)
    np.testing.assert_array_equal(Scorer(*FILES).scores(pictures), expected)
    assert kept.read_bytes() == whole


def test_one_that_others_can_write_is_not_read(kept):
    kept.chmod(0o666)
    assert not found()
    kept.chmod(0o600)
    assert found()
    kept.parent.chmod(0o777)
    assert not found()


def test_one_that_is_left_with_any_umask_is_read(here, pictures):
    before = os.umask(0o002)
    try:
        Scorer(*FILES).scores(pictures)
    finally:
        os.umask(before)
    assert found()


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_none_is_left_where_others_can_write(here, pictures, mode):
    here.mkdir()
    here.chmod(mode)
    assert Scorer(*FILES).scores(pictures).shape == (3,)
    assert list(here.iterdir()) == []


def test_a_pipe_in_its_place_is_not_waited_for(kept, pictures):
    kept.unlink()
    os.mkfifo(kept, 0o600)
    assert not found()
    assert Scorer(*FILES).scores(pictures).shape == (3,)
    assert kept.is_fifo()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(
    "owner, user, read", [(0, 12345, True), (12345, 12345, True), (12345, 0, False), (1, 2, False)]
)
def test_one_of_this_user_or_of_root_is_read_and_no_other(kept, monkeypatch, owner, user, read):
    os.chown(kept, owner, owner)
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert found() is read


def test_none_is_left_where_all_was_compiled_before(here, pictures, monkeypatch):
    monkeypatch.setattr(snapshot.precompiled, "in_use", lambda: "a folder that is not to be written")
    assert Scorer(*FILES).scores(pictures).shape == (3,)
    assert not here.exists()


def test_the_oldest_go(here):
    here.mkdir()
    for age in range(10):
        path = here / f"{age}.program"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    snapshot._forget_oldest(here)
    assert sorted(path.name for path in here.iterdir()) == [f"{age}.program" for age in range(6)]


def test_a_folder_that_cannot_be_written_is_no_error(base, pictures, monkeypatch):
    monkeypatch.setenv("THEANO_FLAGS", "base_compiledir=/dev/null/folder")
    assert Scorer(*FILES).scores(pictures).shape == (3,)
