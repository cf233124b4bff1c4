"""A search that is stepped, stopped, interrupted, gone on with and started from an earlier result."""

import numpy as np
import pytest

from nsfw_experiments.inverse import Inversion, inverse
from nsfw_experiments.inverse.callbacks import LiveInverse
from open_nsfw import nsfw_score, resize_image

CHELSEA, COFFEE = "img/chelsea.png", "img/coffee.jpg"
TARGET, TOLERANCE = 0.6, 0.01


@pytest.fixture(scope="module")
def stepped():
    """A search that passes its target by far before it hits it, and what was the best after each of its steps."""
    inversion = Inversion(COFFEE, TARGET, iterations=24)
    return inversion, [(step, inversion.best) for step in inversion.steps()]


def test_at_every_moment_the_best_is_the_closest_to_the_target_or_the_smallest_within_tolerance(stepped):
    seen, within = [], 0
    for step, best in stepped[1]:
        seen.append(step)
        tolerated = [step.psnr for step in seen if abs(step.score - TARGET) <= TOLERANCE]
        within += bool(tolerated)
        if tolerated:
            assert best.psnr == max(tolerated) and abs(best.score - TARGET) <= TOLERANCE
        else:
            assert abs(best.score - TARGET) == min(abs(step.score - TARGET) for step in seen)
    assert 0 < within < len(seen)
    assert max(step.score for step in seen) > 0.9  # the far side


def test_its_steps_are_the_network_s_evaluations_and_its_result_that_of_inverse(stepped):
    inversion, steps = stepped
    assert [step.evaluation for step, _ in steps] == list(range(1, inversion.evaluations + 1))
    assert inversion.step() is None
    picture, record = inversion.result()
    expected, expected_record = inverse(COFFEE, TARGET, iterations=24)
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))
    assert record == expected_record and record.reached and not record.interrupted


def test_a_record_tells_passing_from_meeting(stepped):
    record = stepped[0].result()[1]
    assert f"first passed at evaluation {record.first_reached}" in str(record)
    assert not record.meets(record.history[record.first_reached - 1].score)
    _, kept = inverse(CHELSEA, "sfw")
    assert "first met at evaluation 1)" in str(kept)


def test_what_comes_back_after_ctrl_c_is_the_closest_to_the_target():
    def stop(step):
        if step.score > 0.8:
            raise KeyboardInterrupt

    picture, record = inverse(COFFEE, TARGET, iterations=24, callback=stop)
    closest = min(record.history, key=lambda step: abs(step.score - TARGET))
    assert record.interrupted and record.history[-1].score > 0.8 > closest.score
    assert nsfw_score(picture) == record.final_score == pytest.approx(closest.score, abs=1e-4)


def test_a_slider_does_not_begin_anew(stepped):
    earlier, _ = stepped
    later = Inversion(COFFEE, 0.62, iterations=24, start_from=earlier)
    later.run()
    picture, record = later.result()
    assert record.reached and record.evaluations <= 10 < earlier.evaluations
    assert record.start_score == earlier.result()[1].start_score  # measured against the original
    assert record.psnr > 60
    _, back = inverse(COFFEE, 0.58, iterations=24, start_from=picture)
    assert back.reached and back.evaluations <= 10


# With a scorer that takes no time, and steps before the first pruning, which does


@pytest.fixture
def make(scorer_giving):
    """Makes searches from 0.1 to 0.5, which is 12 evaluations away."""
    return lambda **arguments: Inversion(CHELSEA, 0.5, scorer=scorer_giving(0.1), **arguments)


def scores(inversion):
    return [step.score for step in inversion.history]


def test_a_stopped_search_goes_on_as_if_it_had_never_been_stopped(make):
    whole, stopped = make(iterations=9), make(iterations=9)
    whole.run()
    stopped.run(lambda step: step.evaluation == 4 and stopped.stop())
    assert stopped.interrupted and stopped.evaluations == 4
    stopped.run()
    assert not stopped.interrupted and stopped.history == whole.history


def test_a_live_view_of_a_search_that_goes_on_shows_its_original_and_all_of_its_steps(make, monkeypatch):
    monkeypatch.setattr(LiveInverse, "show", lambda self: None)
    inversion = make(iterations=9)
    inversion.run(lambda step: step.evaluation == 4 and inversion.stop())
    view = LiveInverse()
    inversion.run(view)
    assert [step.evaluation for step in view._history] == [*range(1, inversion.evaluations + 1)]
    np.testing.assert_array_equal(view._history[0].pixels, inversion.original)
    assert len(view.figure().axes[3].lines[0].get_xdata()) == inversion.evaluations
    with pytest.raises(ValueError, match=r"step: got evaluation \d as the first, expected that of the original"):
        LiveInverse()(inversion.history[-1])


def interrupt_once(function, call):
    """The function, whose so many-th call is interrupted by Ctrl-C."""
    calls = []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return interrupted


@pytest.mark.parametrize("call", [1, 2, 5])
def test_an_interrupted_evaluation_is_done_again_and_the_search_goes_on_from_it(make, call):
    whole, interrupted = make(iterations=7), make(iterations=7)
    whole.run()
    scorer = interrupted._scorer.scorer
    scorer.logits_and_gradients = interrupt_once(scorer.logits_and_gradients, call)
    interrupted.run()
    assert interrupted.interrupted and interrupted.evaluations == call
    interrupted.run()
    assert not interrupted.interrupted and scores(interrupted) == scores(whole)


def test_a_search_that_is_interrupted_between_evaluations_goes_on_from_the_best_so_far(make, monkeypatch):
    inversion = make(iterations=12)
    measured = interrupt_once(inversion._progress.note, 5)
    monkeypatch.setattr(inversion._progress, "note", measured)
    inversion.run()
    best = inversion.best
    assert inversion.interrupted and len(inversion.history) == 4 and best.score == max(scores(inversion))
    inversion.run()
    assert not inversion.interrupted and inversion.evaluations <= 12
    assert inversion.history[4].psnr == best.psnr and inversion.best.score > best.score


def test_before_its_first_step_there_is_no_best_and_the_result_is_the_original(make):
    inversion = make()
    assert inversion.best is None
    picture, record = inversion.result()
    np.testing.assert_array_equal(np.asarray(picture), resize_image(CHELSEA))
    assert record.evaluations == 0 and record.psnr == np.inf


def test_ctrl_c_while_the_record_is_made_loses_nothing(scorer_giving, monkeypatch):
    monkeypatch.setattr("nsfw_experiments.inverse.attack.ssim", interrupt_once(lambda original, pixels: 0.75, call=1))
    _, record = inverse(CHELSEA, 0.5, iterations=3, scorer=scorer_giving(0.1))
    assert record.ssim == 0.75 and record.final_score > 0.1


def test_a_start_that_is_farther_from_the_target_than_the_original_is_not_used(make):
    start = resize_image(CHELSEA)
    start = start - np.minimum(start, 9)
    inversion, anew = make(iterations=8, start_from=start), make(iterations=8)
    inversion.run()
    anew.run()
    assert inversion.history[1].score < 0.1
    assert inversion.history[2].psnr == anew.history[1].psnr


@pytest.mark.parametrize("start", [np.zeros((256, 255, 3), np.uint8), np.zeros((300, 400, 3), np.uint8)])
def test_a_start_of_another_size_is_refused(make, start):
    height, width, _ = start.shape
    with pytest.raises(ValueError, match=f"start_from: got {width}x{height} pixels, expected 256x256"):
        make(start_from=start)


def test_a_search_without_a_step_is_no_start(make):
    first, second = make(iterations=3), make(iterations=3, start_from=make())
    first.run()
    second.run()
    assert second.history == first.history
