"""A pipe or a device in the place of a file is an error at once, and no wait for ever."""

import os
import sys
from pathlib import Path

import pytest

from nsfw_experiments.evolution.checkpoint import Checkpoint, CheckpointError
from nsfw_model import snapshot
from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.picture import PictureError, read_picture
from nsfw_model.prototxt import read_prototxt
from nsfw_model.regular_file import NotRegularError, read_regular
from nsfw_model.scorer import Scorer
from nsfw_model.weights import load_weights

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices have names elsewhere only")


@pytest.fixture(params=["a pipe", "a device"])
def endless(request, tmp_path):
    path = tmp_path / "endless"
    if request.param == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("read, error", [
    (load_weights, NotRegularError),
    (read_prototxt, NotRegularError),
    (read_caffemodel, NotRegularError),
    (lambda path: Scorer(ROOT / "nsfw.pkl", path), NotRegularError),
    (lambda path: Checkpoint(path).read(), CheckpointError),
    (read_picture, PictureError),
])  # fmt: skip
def test_it_is_refused_by_its_name(endless, read, error):
    with pytest.raises(error, match=r"endless: (.*: )?is a pipe or a device, not a file$"):
        read(endless)


def test_a_folder_is_none(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 10)


def test_no_more_is_read_than_is_asked_for(tmp_path):
    (tmp_path / "file").write_bytes(b"abcdef")
    assert read_regular(tmp_path / "file", 4) == b"abcd"


def test_an_architecture_beyond_the_limit_is_not_read_for_the_name_of_its_snapshot(tmp_path):
    large = tmp_path / "deploy.prototxt"
    with large.open("wb") as file:
        file.truncate(1 << 40)  # none of it on the disk
    assert snapshot.find(ROOT / "nsfw.pkl", large, "float32") is None


def test_no_more_memory_is_asked_for_than_the_file_has_bytes(tmp_path):
    (tmp_path / "short").write_bytes(b"12345")
    assert read_regular(tmp_path / "short", 1 << 50) == b"12345"
