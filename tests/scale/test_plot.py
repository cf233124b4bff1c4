"""A plot of scores over time shows each score at its moment."""

import sys

import pytest

pytest.importorskip("matplotlib")

from nsfw_scale.frames import FrameScore
from nsfw_scale.plot import plot_scores

SCORES = [FrameScore(0.0, 0.1), FrameScore(30.0, 0.9), FrameScore(90.5, 0.8), FrameScore(120.0, 0.2)]


def labels(figure):
    figure.draw_without_rendering()
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_lines_are_the_scores():
    step, dots = plot_scores(SCORES).axes[0].lines
    assert list(zip(*step.get_data())) == list(zip(*dots.get_data())) == SCORES
    assert step.get_drawstyle() == "steps-post"


def test_what_reaches_the_threshold_is_marked():
    *_, line, marked = plot_scores(iter(SCORES), threshold=0.8).axes[0].lines
    assert set(line.get_ydata()) == {0.8}
    assert list(zip(*marked.get_data())) == SCORES[1:3]


def test_scales_do_not_depend_on_the_scores():
    assert plot_scores(SCORES[:1]).axes[0].get_ylim() == plot_scores(SCORES).axes[0].get_ylim() == (-0.02, 1.02)


def test_times_are_shown_as_by_players():
    assert "1:00" in labels(plot_scores(SCORES)) and "2:00" in labels(plot_scores(SCORES))
    axis = plot_scores([FrameScore(0, 0.5), FrameScore(7200, 0.5)]).axes[0].xaxis
    assert [axis.get_major_formatter()(seconds, 0) for seconds in (3661, 5.5, 59.98)] == ["1:01:01", "0:05.5", "1:00"]


@pytest.mark.parametrize(
    "scores, threshold, message",
    [([], None, "frame_scores: got none"), (SCORES, 1.5, "threshold: got 1.5, expected a number in 0..1")],
)
def test_what_cannot_be_plotted_is_refused(scores, threshold, message):
    with pytest.raises(ValueError, match=message):
        plot_scores(scores, threshold)


def test_without_matplotlib_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'open-nsfw-theano\[notebooks\]'"):
        plot_scores(SCORES)
