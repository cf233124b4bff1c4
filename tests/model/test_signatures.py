"""What is no picture, or no file of a model, is called what it is."""

import base64
import shutil
import time

import numpy as np
import pytest

from nsfw_model import ModelFileError
from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.preprocess import PictureError, read_picture
from nsfw_model.prototxt import PrototxtError, read_prototxt
from nsfw_model.weights import WeightsError, load_weights
from open_nsfw import nsfw_scores

ROCKET = "img/rocket.jpg"


def refuse(img, message):
    with pytest.raises(PictureError, match=message) as caught:
        read_picture(img)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"\n<!DOCTYPE html><html>...", "a web page"),
        (b"<html><body>404", "a web page"),
        (b'<?xml version="1.0"?><svg xmlns="...">', "an SVG"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "an HEIC picture"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "a film"),
        (b"RIFF\0\0\0\0AVI LIST", "a film"),
        (b"\x1a\x45\xdf\xa3\x01", "a film"),
        (b"PK\x03\x04...", "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:...", "a pointer of Git LFS"),
    ],
)
def test_other_files_are_called_what_they_are(data, kind):
    refuse(data, f"not a picture of a supported format .*: it looks like {kind}")


def test_texts_that_are_no_paths_are_called_what_they_are_and_not_repeated():
    with open(ROCKET, "rb") as file:
        encoded = base64.b64encode(file.read())
    refuse(encoded, "looks like base64; base64.b64decode gives the file")
    message = refuse(encoded.decode(), "looks like base64")
    assert len(message) < 300
    refuse("data:image/jpeg;base64," + encoded.decode(), "looks like a data URL")
    refuse("https://example.org/cat.jpg", "https://example.org/cat.jpg: no such file; it is an address: fetch what")
    refuse("", "the empty name: no such file")


def test_an_empty_file_and_one_of_floats_are_told(tmp_path):
    (tmp_path / "empty.jpg").touch()
    refuse(tmp_path / "empty.jpg", "empty.jpg: is empty")
    refuse(b"", "is empty")
    refuse(
        b"II*\0\x08\0\0\0\0\0\0\0\0\0", "a TIFF of a kind that Pillow does not read, such as samples of floating point"
    )


@pytest.mark.parametrize(
    "array, hint",
    [
        (np.zeros((3, 20, 30), np.uint8), "its channels come first"),
        (np.zeros((20, 30), np.uint8), "it is grey"),
        (np.zeros((20, 30, 1), np.uint8), "it is grey"),
        (np.zeros((20, 30, 4), np.uint8), "it has an alpha channel"),
        (np.zeros((2, 20, 30, 3), np.uint8), "it is a batch"),
        (np.zeros((20, 30, 3), np.float32), "its values are floats"),
        (np.zeros((3, 20, 30), np.float64), "its channels come first .* and its values are floats"),
        (np.zeros((20, 30, 3), np.int64), "its values are int64"),
    ],
)
def test_arrays_of_other_layouts_are_called_what_they_look_like(array, hint):
    refuse(array, f"expected an array of dtype uint8 and shape .*; it looks as if {hint}")


def test_the_type_of_an_array_is_not_repeated_at_length():
    fields = np.dtype([(f"field{i}", "u1") for i in range(20_000)])
    with pytest.raises(PictureError) as refused:
        read_picture(np.zeros((2, 2, 3), fields))
    assert len(str(refused.value)) < 300


def test_an_array_above_the_limit_is_refused_before_it_is_copied():
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (100_000, 10_000, 3))  # 3 GB, were it copied
    refuse(huge, "10000x100000 is 1000000000 pixels, more than PIL.Image.MAX_IMAGE_PIXELS")


def test_a_file_whose_read_is_to_be_awaited_is_told():
    class UploadFile:
        """As FastAPI's."""

        async def read(self, size=-1):
            return b""

    with pytest.raises(TypeError, match=r"got UploadFile, whose read\(\) has to be awaited; .* such as its .file"):
        read_picture(UploadFile())


def test_a_text_file_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with open(tmp_path / "a.txt") as file:
        refuse(file, r"its read\(\) gives str, expected bytes: open it as 'rb'")


def test_files_of_a_model_in_each_others_place_are_called_what_they_are(tmp_path):
    with pytest.raises(PrototxtError, match="nsfw.pkl: .*looks like a pickle, such as nsfw.pkl, the weights"):
        read_prototxt("nsfw.pkl")
    with pytest.raises(WeightsError, match="looks like a prototxt, the architecture"):
        load_weights("nsfw_model/deploy.prototxt")
    with pytest.raises(ModelFileError, match="looks like a pickle"):
        read_caffemodel("nsfw.pkl")
    with pytest.raises(WeightsError, match="looks like a picture"):
        load_weights(ROCKET)


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file"),
        (b"<!DOCTYPE html><title>Not found</title>", "a web page"),
    ],
)
def test_what_downloads_bring_instead_is_called_what_it_is(data, kind, tmp_path):
    path = tmp_path / "net"
    path.write_bytes(data)
    for read in load_weights, read_caffemodel, read_prototxt:
        with pytest.raises(ModelFileError, match=f"net(:1)?: .*looks like {kind}"):
            read(path)


def test_a_caffemodel_is_told_from_nothing_but_its_first_bytes(tmp_path, yahoo_files):
    shutil.copy(yahoo_files[1], tmp_path / "nsfw.pkl")
    with pytest.raises(WeightsError, match="looks like a caffemodel, which open-nsfw convert makes nsfw.pkl of"):
        load_weights(tmp_path / "nsfw.pkl")


def test_an_unterminated_string_takes_no_longer_than_any_other(tmp_path):
    """64 KB of escaped quotes took 37 s, by a search for the end from each of them."""
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'name: "' + b'\\"' * (1 << 20))
    began = time.process_time()
    with pytest.raises(PrototxtError):
        read_prototxt(path)
    assert time.process_time() - began < 20


class TestScoresBeforeAnError:
    """What was scored before an error is not lost with its batch."""

    def test_of_the_iterator(self):
        def pictures():
            yield ROCKET
            yield ROCKET
            raise OSError("the network is gone")

        scores = nsfw_scores(pictures(), batch_size=8)
        assert [round(next(scores), 6), round(next(scores), 6)] == [0.000463, 0.000463]
        with pytest.raises(OSError, match="the network is gone"):
            next(scores)

    @pytest.mark.parametrize("on_error", ["raise", "return"])
    def test_for_what_is_no_picture(self, on_error):
        scores = nsfw_scores([ROCKET, None, ROCKET], on_error=on_error)
        assert round(next(scores), 6) == 0.000463
        with pytest.raises(TypeError, match="got NoneType"):
            next(scores)
