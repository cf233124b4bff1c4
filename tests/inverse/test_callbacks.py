"""The callbacks of inverse scoring: a progress bar, a live view, and what they draw."""

import io

import numpy as np

from nsfw_experiments.inverse.callbacks import LiveInverse, ProgressBar, amplified_difference, closest, draw_history


def test_a_search_can_be_drawn(raised):
    figure = draw_history(raised[1].history)
    titles = [axes.get_title().split(",")[0] for axes in figure.axes[:3]]
    assert titles == ["original", "changed", "difference"]
    history = raised[1].history
    evaluations = [step.evaluation for step in history]
    scores, best = figure.axes[3].lines
    assert list(scores.get_xdata()) == evaluations and list(scores.get_ydata()) == [step.score for step in history]
    assert (best.get_xdata(), best.get_ydata()) == (closest(history).evaluation, closest(history).score)
    [decibels] = figure.axes[4].lines
    assert list(decibels.get_xdata()) == evaluations
    np.testing.assert_array_equal(decibels.get_ydata(), np.array([step.best_psnr for step in history], float))


def test_a_live_view_is_renewed_in_place(raised, monkeypatch):
    shown = []

    class Handle:
        update = shown.append

    monkeypatch.setattr("IPython.display.display", lambda picture, display_id: shown.append(picture) or Handle)
    with LiveInverse(seconds=0) as view:
        for step in raised[2][:3]:
            view(step)
    assert len(shown) == 4  # the end is drawn once more
    assert all(picture.data.startswith(b"\x89PNG") for picture in shown)


def test_a_live_view_keeps_the_pixels_of_original_best_and_latest_only(raised, monkeypatch):
    monkeypatch.setattr(LiveInverse, "show", lambda self: None)
    seen, view = raised[2], LiveInverse()
    for step in seen:
        view(step)
        kept = [step for step in view._history if step.pixels is not None]
        assert kept[0].pixels is seen[0].pixels and kept[-1].pixels is step.pixels
        assert len(kept) <= 3
        assert closest(view._history) == [earlier for earlier in seen[: step.evaluation] if earlier.best][-1]
    assert view._history == seen


def test_the_progress_bar_tells_score_and_psnr(raised, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with ProgressBar(24) as bar:
        for step in raised[2]:
            bar(step)
    assert bar.n == len(raised[2])
    assert f"score {raised[2][-1].score:.4f}" in terminal.getvalue() and "best" in terminal.getvalue()


def test_the_progress_bar_is_silent_elsewhere(raised, capsys):
    with ProgressBar(24) as bar:
        for step in raised[2]:
            bar(step)
    assert capsys.readouterr().err == ""


def test_differences_are_amplified_around_grey():
    original = np.full((4, 4, 3), 100, np.uint8)
    changed = original.copy()
    changed[0, 0] = 101, 99, 102
    assert amplified_difference(original, changed)[0, 0].tolist() == [192, 64, 255]
    assert amplified_difference(original, original)[1, 1].tolist() == [128, 128, 128]
