"""Robust mode on a tiny budget, and the survival table."""
import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments import robust
from nsfw_experiments.inverse import inverse
from nsfw_experiments.robust import GRID, Transformation, survival, survival_table
from nsfw_experiments.search import Goal
from open_nsfw import nsfw_score, resize_image

CHELSEA = "img/chelsea.png"
FEW = (Transformation(50, 0.75), Transformation(60, 1.5, True), Transformation(90, 1.0))


@pytest.mark.parametrize("transformation", [Transformation(50, 0.75, True), Transformation(80, 2.0)])
def test_survival_scores_are_those_of_a_picture_really_transformed(transformation):
    pixels = resize_image(CHELSEA)
    side = round(256 * transformation.scale)
    picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    if transformation.mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=transformation.quality)
    scores = survival(pixels, grid=[transformation])
    assert scores[transformation] == pytest.approx(nsfw_score(file.getvalue()), abs=1e-6)


def test_the_grid_is_qualities_50_to_95_at_three_quarters_to_double_size_and_mirrored():
    assert len(GRID) == 48
    assert {t.quality for t in GRID} >= {50, 95} and {t.scale for t in GRID} >= {0.75, 2.0}
    assert {t.mirrored for t in GRID} == {False, True}


def test_a_robust_change_survives(monkeypatch):
    monkeypatch.setattr(robust, "GRID", FEW)
    monkeypatch.setattr(robust, "BATCH", 2)
    on_few = partial(survival, grid=FEW)
    monkeypatch.setattr("nsfw_experiments.inverse.survival", on_few)
    picture, record = inverse(CHELSEA, 0.8, iterations=16, robust=True)
    scores = survival(np.asarray(picture), grid=FEW)
    assert record.survival == scores and min(scores.values()) >= 0.8
    assert record.reached and record.psnr > 37
    again, _ = inverse(CHELSEA, 0.8, iterations=16, robust=True)
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(again))


def test_ctrl_c_returns_the_best_of_the_pictures_tried_so_far(monkeypatch):
    monkeypatch.setattr("nsfw_experiments.inverse.survival", partial(survival, grid=FEW[:1]))

    def stop(step):
        if len(scores) == 4:
            raise KeyboardInterrupt
        scores.append(step.score)

    scores = []
    picture, record = inverse(CHELSEA, 0.8, iterations=50, robust=True, watch=stop)
    assert record.first_reached is None and len(record.history) == 5
    assert record.psnr < 60 and not np.array_equal(np.asarray(picture), resize_image(CHELSEA))


def test_an_ordinary_change_does_not():
    picture, record = inverse(CHELSEA, 0.9, iterations=16)
    assert record.reached
    assert min(survival(np.asarray(picture), grid=FEW).values()) < 0.5


def test_the_smallest_candidate_that_passes_the_whole_grid_is_found(monkeypatch):
    """Candidates of 40 to 45 dB, of which those of at most 42 pass."""
    class Counting:
        evaluations, scorer = 0, None

    candidates = [(float(db), 1.0, np.full((1, 1, 3), db, np.uint8)) for db in range(40, 46)]
    monkeypatch.setattr(robust, "survival", lambda pixels, _: {FEW[0]: 0.9 if pixels.max() <= 42 else 0.1})
    tried = list(robust._smallest_survivors(Counting, candidates, Goal(1.0, 1, 1.0)))
    assert {int(pixels.max()): logit > 1 for pixels, logit, _ in tried}[42]
    assert not any(logit > 1 for pixels, logit, _ in tried if pixels.max() > 42)
    assert len(tried) <= 3


def test_the_survival_table_shows_the_worse_of_mirrored_and_not():
    table = survival_table({Transformation(50, 1.0): 0.9, Transformation(50, 1.0, True): 0.8,
                            Transformation(90, 2.0): 0.95, Transformation(90, 1.0): 0.99})
    assert table.splitlines()[0].split() == ["quality", "x1", "x2"]
    assert table.splitlines()[1].split() == ["50", "0.8000"]
    assert table.splitlines()[2].split() == ["90", "0.9900", "0.9500"]
    assert "lowest 0.8000, highest 0.9900" in table
    assert str(Transformation(50, 0.75, True)) == "q50 x0.75 mirrored"
