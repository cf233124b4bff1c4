"""The fragility report: complete, repeatable, and inverted pictures stand out."""

import io

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.inverse.stability import fragility
from nsfw_experiments.inverse import inverse
from open_nsfw import PictureError, nsfw_score, read_picture

CHELSEA = "img/chelsea.png"


@pytest.fixture(scope="module")
def report():
    return fragility(CHELSEA)


def test_it_covers_jpeg_shifts_scaling_mirroring_and_noise(report):
    names = list(report.scores)
    for kind, count in (("JPEG", 8), ("shift", 4), ("scale", 6), ("mirrored", 1), ("noise", 4)):
        assert sum(name.startswith(kind) for name in names) == count
    assert report.score == pytest.approx(nsfw_score(CHELSEA), abs=1e-7)


def test_each_score_is_that_of_the_picture_really_changed(report):
    picture = read_picture(CHELSEA)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    assert report.scores["JPEG 60"] == pytest.approx(nsfw_score(file.getvalue()), abs=1e-6)
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert report.scores["mirrored"] == pytest.approx(nsfw_score(mirrored), abs=1e-6)
    pixels = np.asarray(picture)
    lower = np.vstack([pixels[:1], pixels[:-1]])
    assert report.scores["shift +1 +0"] == pytest.approx(nsfw_score(lower), abs=1e-6)


def test_it_is_repeatable_and_only_the_noise_depends_on_the_seed(report):
    assert fragility(CHELSEA) == report
    other = fragility(CHELSEA, seed=1)
    differing = {name for name, score in report.scores.items() if score != other.scores[name]}
    assert differing and all(name.startswith("noise") for name in differing)


def test_an_inverted_picture_stands_out(report):
    picture, record = inverse(CHELSEA, 0.98, iterations=16)
    assert record.reached
    assert fragility(picture).number > 5 * report.number


def test_it_reads_as_a_table(report):
    lines = str(report).splitlines()
    assert lines[0].startswith("as it is") and lines[-1] == f"fragility {report.number:.3f}"
    assert len(lines) == len(report.scores) + 2


def test_pictures_of_one_pixel_can_be_reported_and_bad_files_cannot():
    assert len(fragility(np.zeros((1, 1, 3), np.uint8)).scores) == 23
    with pytest.raises(PictureError, match="no such file"):
        fragility("img/nothing.png")
