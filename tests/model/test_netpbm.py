"""Samples of PPM and PGM files are scaled as Pillow scales them, and fast."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from nsfw_model.netpbm import scaled
from nsfw_model.picture import PictureError, read_picture, to_rgb


def made(kind, most, rng, size=(23, 17)):
    """A file of all numbers up to the largest, by chance."""
    channels = {b"P5": 1, b"P6": 3, b"PyRGBA": 4, b"PyCMYK": 4}[kind]
    samples = rng.integers(0, most + 1, size[0] * size[1] * channels).astype(">u2" if most > 255 else "u1")
    return kind + b"\n# a comment\n%d %d\n%d\n" % (*size, most) + samples.tobytes()


@pytest.mark.parametrize("kind", [b"P5", b"P6", b"PyRGBA", b"PyCMYK"])
@pytest.mark.parametrize("most", [1, 2, 3, 7, 100, 254, 255, 256, 1000, 4095, 65534, 65535])
def test_numbers_are_those_of_pillow(kind, most):
    data = made(kind, most, np.random.default_rng(most))
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        expected = to_rgb(opened, "").tobytes()
    assert read_picture(data).tobytes() == expected


@pytest.mark.parametrize("most", [100, 4095])
def test_pieces_are_put_together(most, monkeypatch):
    monkeypatch.setattr("nsfw_model.netpbm._PIECE", 7)
    data = made(b"P6", most, np.random.default_rng(0))
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        assert read_picture(data).tobytes() == opened.tobytes()


@pytest.mark.parametrize("data", [b"P5 2 1 255 ab", b"P2 2 1 100 1 2", b"P4 2 1 a"])
def test_files_that_pillow_reads_at_once_are_left_to_it(data):
    with Image.open(io.BytesIO(data)) as opened:
        assert scaled(data, opened) is opened


@pytest.mark.parametrize(
    "data, got", [(b"P5 2 1 100 \x64\x65", 101), (b"P6 1 1 256 \0\0\1\0\1\1", 257), (b"P5 1 1 1 \xff", 255)]
)
def test_samples_beyond_the_largest_are_refused(data, got):
    """Pillow takes them for white."""
    with pytest.raises(PictureError, match=f"got a sample of {got}, expected at most"):
        read_picture(data)


def test_a_file_that_ends_early_is_refused():
    with pytest.raises(PictureError, match="truncated: got 5 samples, expected 6"):
        read_picture(b"P6 2 1 100 abcde")
    with pytest.raises(PictureError, match="truncated: got 5 samples, expected 6"):
        read_picture(b"P6 2 1 1000 " + bytes(11))


def test_megapixels_do_not_take_seconds():
    """Of a maximum of 254, Pillow took 0.35 s for a megabyte."""
    data = b"P6 3000 2000 254\n" + bytes(3 * 3000 * 2000)
    began = time.process_time()
    assert read_picture(data).size == (3000, 2000)
    assert time.process_time() - began < 2
