"""How the phases of an attack follow each other: what each is given, when it ends, and what the next begins with."""

import math
from itertools import count

import numpy as np
import pytest

from nsfw_experiments.inverse import Inversion, attack, surrogate
from nsfw_experiments.inverse.surrogate import Report, SurrogateAttack, build_surrogate
from nsfw_model.preprocess import crop, make_jpg, process
from open_nsfw import resize_image

CHELSEA = "img/chelsea.png"
ORIGINAL = resize_image(CHELSEA)


def moved(levels):
    """The original, one row of it raised by some levels."""
    pixels = ORIGINAL.copy()
    pixels[100] = np.clip(pixels[100].astype(int) + levels, 0, 255)
    return pixels


@pytest.fixture
def phases(monkeypatch, scorer_giving):
    """Makes searches from 0.3 to 0.5 that cross the goal at once; the offsets of what follows are given."""

    def make(boundary, greedy, iterations=60, tolerance=0.001, **options):
        log = []

        def search(scorer, original, goal, gradient, evaluations):
            log.append(("search", evaluations))
            scorer.evaluations += 1
            yield moved(9), goal.logit + 1

        def boundary_search(scorer, original, original_logit, pixels, logit, gradient, goal, evaluations):
            log.append(("boundary", evaluations))
            for offset, levels in zip(boundary[:evaluations], count(20)):
                scorer.evaluations += 1
                yield moved(levels), goal.logit + goal.middle + offset

        def greedy_correction(scorer, original, pixels, goal, evaluations):
            log.append(("greedy", evaluations, int(pixels[100, 0, 0]) - int(ORIGINAL[100, 0, 0])))
            for offset, levels in zip(greedy, count(40)):
                scorer.evaluations += 1
                yield moved(levels), goal.logit + goal.middle + offset

        for phase in (search, boundary_search, greedy_correction):
            monkeypatch.setattr(attack, phase.__name__, phase)
        monkeypatch.setattr(attack, "prune", lambda original, pixels: pixels)
        inversion = Inversion(
            CHELSEA, 0.5, iterations=iterations, tolerance=tolerance, scorer=scorer_giving(0.3), **options
        )
        inversion.run()
        raised = [int(round(norm)) for norm in map(height, inversion.history)]
        return log, raised, inversion

    return make


def height(step):
    """By how much the row was raised, from the PSNR."""
    return 0 if step.psnr == math.inf else 255 * 10 ** (-step.psnr / 20) * 16


def test_six_steps_of_the_boundary_search_come_before_the_greedy_correction_and_the_rest_behind(phases):
    log, raised, inversion = phases(boundary=[0.5] * 40, greedy=[0.5] * 40)
    assert log == [("search", 60 - 16 - 1), ("boundary", 15), ("greedy", 9, 20)]
    # The first of the greedy ones is closer than none; six more are not
    boundary, greedy = [20, 21, 22, 23, 24, 25], [40, 41, 42, 43, 44, 45, 46]
    assert raised == pytest.approx([0, 9, 9, *boundary, *greedy, 26, 27], abs=1)
    assert inversion.evaluations == 3 + 6 + 7 + 2


def test_the_greedy_correction_starts_from_the_best_and_goes_on_while_it_comes_closer(phases):
    log, raised, _ = phases(
        boundary=[1.0, 0.5, -0.4, 0.7, 0.8, 0.9, 3.0], greedy=[1.0, 2.0, 2.0, 0.5, 2.0, 0.49, 2.0, -0.3, 0.2]
    )
    assert log[-1] == ("greedy", 9, 22)
    assert raised[-9:] == pytest.approx([40, 41, 42, 43, 44, 45, 46, 47, 48], abs=1)


def test_what_is_within_tolerance_after_the_boundary_search_is_not_corrected(phases):
    log, raised, _ = phases(boundary=[1.0, 0.0, 5.0], greedy=[1.0])
    assert [phase for phase, *_ in log] == ["search", "boundary"] and len(raised) == 3 + 3


def test_what_is_within_tolerance_after_the_correction_is_not_searched_for(phases):
    _, raised, inversion = phases(boundary=[1.0] * 40, greedy=[1.0, 0.0])
    assert len(raised) == 3 + 6 + 2 and inversion.best is not None
    assert abs(inversion.best.score - 0.5) < 0.001


@pytest.mark.parametrize("iterations, searched, reserved", [(60, 43, 16), (30, 19, 10), (7, 4, 2)])
def test_a_third_of_the_evaluations_at_most_is_kept(phases, iterations, searched, reserved):
    log, _, _ = phases(boundary=[0.5] * 40, greedy=[], iterations=iterations)
    assert log[:2] == [("search", searched), ("boundary", reserved - 1)]
    assert log[2] == ("greedy", max(reserved - 7, 0), 20)


def test_pictures_of_their_own_size_are_not_corrected(phases, monkeypatch):
    monkeypatch.setattr(attack, "_is_resized", lambda pixels: False)
    log, raised, _ = phases(boundary=[1.0] * 15, greedy=[1.0])
    assert [phase for phase, *_ in log] == ["search", "boundary"] and len(raised) == 3 + 15


# Started from an earlier result


def test_a_start_that_meets_the_goal_is_hit_with_all_that_is_left(phases, monkeypatch):
    monkeypatch.setattr(attack, "advance", lambda *_: pytest.fail("nothing is left to cross"))
    log, raised, _ = phases(boundary=[], greedy=[], start_from=np.clip(ORIGINAL, 0, 250) + np.uint8(3), iterations=30)
    assert log[0] == ("boundary", 30 - 2 - 1) and len(raised) == 3


def test_a_start_that_is_within_tolerance_short_of_the_goal_is_left_as_it_is(phases, monkeypatch):
    monkeypatch.setattr(attack, "advance", lambda *_: pytest.fail("nothing is left to cross"))
    start = ORIGINAL.copy()
    start[16:184] += np.uint8(1) * (start[16:184] < 255)
    log, raised, inversion = phases(boundary=[], greedy=[], start_from=start, tolerance=0.045)
    assert not log and len(raised) == 2 and 0.455 < inversion.best.score < 0.5


def test_a_start_is_not_looked_at_where_nothing_is_left_for_it(phases):
    _, raised, inversion = phases(boundary=[], greedy=[], start_from=ORIGINAL // 2, iterations=1)
    assert len(raised) == inversion.evaluations == 1


def test_a_start_short_of_the_goal_is_advanced_until_it_is_met(phases, monkeypatch):
    given = []

    def advance(scorer, start, goal, gradient, evaluations):
        given.append(evaluations)
        for levels, margin in ((50, -0.1), (51, 0.0), (52, 1.0)):
            scorer.evaluations += 1
            yield moved(levels), goal.logit + margin

    monkeypatch.setattr(attack, "advance", advance)
    start = ORIGINAL.copy()
    start[:128] += np.uint8(1) * (start[:128] < 255)
    log, raised, _ = phases(boundary=[], greedy=[], start_from=start, iterations=30, tolerance=0.002)
    assert given == [30 - 10 - 2] and log[0] == ("boundary", 30 - 4 - 1)
    assert raised[2:4] == pytest.approx([50, 51], abs=1) and len(raised) == 5


def test_a_start_that_never_crosses_the_goal_gives_way_to_the_original(phases, monkeypatch):
    monkeypatch.setattr(attack, "advance", lambda *_: iter([(moved(50), -1.0)]))
    start = ORIGINAL.copy()
    start[:128] += np.uint8(1) * (start[:128] < 255)
    log, _, _ = phases(boundary=[], greedy=[], start_from=start, iterations=30)
    assert log[0] == ("search", 30 - 10 - 2)


# The original's way


def test_the_surrogate_is_three_convolutions_of_what_reaches_the_crop():
    total = build_surrogate()
    picture, last = total.input_layers
    shapes, layer = [], last
    while hasattr(layer, "input_layer"):
        shapes.append(layer.output_shape[1:])
        layer = layer.input_layer
    assert shapes == [(3, 224, 224), (64, 228, 228), (64, 232, 232), (3, 236, 236), (3, 236, 256)]
    assert picture.output_shape == (None, 3, 224, 224) and (picture.slice, picture.axis) == (slice(16, 240), 3)
    assert last.nonlinearity(-1.0) == -1.0


@pytest.fixture
def attacked(monkeypatch):
    """A surrogate attack whose training is noted only, and moves the picture by half a grey level."""

    class Shared:
        def get_value(self):
            return self.value

    class Scorer:
        def scores(self, x):
            return x.mean(axis=(1, 2, 3)) / 1000

    monkeypatch.setattr(surrogate, "get_scorer", Scorer)
    one = object.__new__(SurrogateAttack)
    one.original, one._picture, one.trained = process(ORIGINAL), Shared(), []
    one._picture.value = one.original

    def train_surrogate(decoded):
        np.testing.assert_array_equal(decoded, crop(make_jpg(one._picture.value)))
        one.trained.append("surrogate")
        return np.float32(5.0), np.float32(len(one.trained))

    def train_picture():
        one.trained.append("picture")
        one._picture.value = one._picture.value + np.float32(0.5)
        return (np.float32(0.25),)

    one._train_surrogate, one._train_picture = train_surrogate, train_picture
    return one


def test_picture_and_surrogate_are_trained_in_turn_and_every_so_often_reported(attacked):
    seen = []
    picture, reports = attacked.run(5, every=2, report=seen.append)
    assert attacked.trained == ["surrogate", "picture"] * 6 and seen == reports
    values = math.prod(attacked.original.shape)
    for report, iteration in zip(reports, (0, 2, 4), strict=True):
        assert (report.iteration, report.picture_loss, report.surrogate_loss) == (iteration, 0.25, 5.0)
        assert report.max_norm == pytest.approx(iteration / 2)
        assert report.l2_norm == pytest.approx(iteration / 2 * math.sqrt(values), rel=1e-4)
    assert reports[0].score == pytest.approx(crop(make_jpg(attacked.original)).mean() / 1000, rel=1e-5)
    np.testing.assert_array_equal(np.asarray(picture), np.clip(ORIGINAL.astype(int) + 3, 0, 255))


def test_only_the_surrogate_is_pretrained(attacked):
    assert attacked.pretrain(3) == [1.0, 2.0, 3.0] and attacked.trained == ["surrogate"] * 3
    assert attacked.pretrain(0) == []
    picture, reports = attacked.run(0)
    assert len(reports) == 1 and surrogate.ADVERSARIAL_WEIGHT == 4


def test_a_report_reads_as_the_original_s():
    report = Report(3, 0.123456, 0.2, 1.5, 2.0, 30.25)
    assert str(report) == (
        "i=3, score=0.12346, _nsfw_loss=0.20000, jpg_loss=1.50000, max_norm=2.000000, L2_norm=30.250000"
    )


def test_a_notebook_shows_the_score_before_and_that_of_the_best(phases):
    _, _, inversion = phases([0.0], [])
    html = inversion._repr_html_()
    assert inversion.history[0].score == pytest.approx(0.3) != pytest.approx(inversion.history[1].score)
    assert "original, score 0.300000" in html and f"changed, score {inversion.best.score:.6f}" in html
