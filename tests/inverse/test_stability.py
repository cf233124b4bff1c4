"""The fragility report: complete, repeatable, and inverted pictures stand out."""

import io

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.inverse.stability import _transformed, fragility
from nsfw_experiments.inverse import inverse
from open_nsfw import PictureError, nsfw_score, read_picture

CHELSEA = "img/chelsea.png"
QUIET_JPEGS = ["JPEG 95", "JPEG 90", "JPEG 85", "JPEG 80"]
SHIFTS = ["shift +1 +0", "shift -1 +0", "shift +0 +1", "shift +0 -1"]
SCALES = ["scale x0.5", "scale x0.75", "scale x0.9", "scale x1.1", "scale x1.5", "scale x2"]
NOISES = ["noise 1", "noise 2", "noise 3", "noise 4"]


@pytest.fixture(scope="module")
def report():
    return fragility(CHELSEA)


def test_it_covers_jpeg_shifts_scaling_mirroring_and_noise(report):
    loud_jpegs = ["JPEG 75", "JPEG 70", "JPEG 60", "JPEG 50"]
    assert list(report.scores) == [*QUIET_JPEGS, *loud_jpegs, *SHIFTS, *SCALES, "mirrored", *NOISES]
    assert report.score == pytest.approx(nsfw_score(CHELSEA), abs=1e-7)


def test_the_number_is_the_median_distance_of_the_logits_after_what_hardly_changes_a_pixel(report):
    def logit(score):
        return np.log(score / (1 - score))

    distances = [abs(logit(report.scores[name]) - logit(report.score)) for name in (*QUIET_JPEGS, *SHIFTS, *NOISES)]
    assert report.number == pytest.approx(np.median(distances), abs=1e-9)


def test_each_score_is_that_of_the_picture_really_changed(report):
    picture = read_picture(CHELSEA)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    assert report.scores["JPEG 60"] == pytest.approx(nsfw_score(file.getvalue()), abs=1e-6)
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert report.scores["mirrored"] == pytest.approx(nsfw_score(mirrored), abs=1e-6)
    width, height = picture.size
    for name, scale in (("scale x0.5", 0.5), ("scale x1.1", 1.1)):
        scaled = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
        assert report.scores[name] == pytest.approx(nsfw_score(scaled), abs=1e-6)


@pytest.mark.parametrize(
    "name, down, right", [(SHIFTS[0], 1, 0), (SHIFTS[1], -1, 0), (SHIFTS[2], 0, 1), (SHIFTS[3], 0, -1)]
)
def test_a_shift_moves_every_pixel_by_one_and_repeats_the_edge(report, name, down, right):
    pixels = np.asarray(read_picture(CHELSEA))
    rows, columns = (np.clip(np.arange(size) - step, 0, size - 1) for size, step in zip(pixels.shape, (down, right)))
    assert report.scores[name] == pytest.approx(nsfw_score(pixels[rows][:, columns]), abs=1e-6)


def test_noise_is_of_one_level_where_there_is_one():
    levels = np.repeat(np.arange(256, dtype=np.uint8), 3 * 64).reshape(128, 128, 3)
    changed = {name: picture for name, _, picture in _transformed(levels, np.random.default_rng(0))}
    for name in NOISES:
        difference = changed[name].astype(int) - levels
        assert set(np.unique(difference)) == {-1, 0, 1}
        assert difference[levels == 0].min() == difference[levels == 255].max() == 0


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
