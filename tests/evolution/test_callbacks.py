"""Callbacks of a run: PNGs, animations, a progress bar, and a live figure in notebooks."""

import base64
import io
import re
import sys

import numpy as np
import pytest
from IPython.core import display_functions
from PIL import Image, ImageSequence

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import Psnr, NsfwScore
from nsfw_experiments.evolution.painting import render
from nsfw_experiments.evolution.primitives import Circles
from nsfw_experiments.evolution.strategies import climbing_toolbox
from nsfw_experiments.evolution.callbacks import (
    Animation,
    LiveEvolution,
    ProgressBar,
    Snapshots,
    draw_progress,
    save_animation,
)

SIZE = (24, 16)


@pytest.fixture
def evolution():
    target = Psnr(Image.new("RGB", SIZE, "orange"), SIZE)
    return Evolution(climbing_toolbox(Circles(SIZE), 5, target, population=4))


def test_snapshots_show_the_best_painting_every_n_generations(evolution, tmp_path):
    snapshots = Snapshots(tmp_path / "new", every=4)
    expected = {}
    evolution.run(
        9, callbacks=[snapshots, lambda run: expected.update({run.generation: render(run.best, Circles(SIZE))})]
    )
    assert [path.name for path in snapshots.paths()] == ["000000.png", "000004.png", "000008.png"]
    for path in snapshots.paths():
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(expected[int(path.stem)]))


def test_snapshots_less_often_than_never_are_refused(tmp_path):
    with pytest.raises(ValueError, match="every: got 0, expected a whole number of at least 1"):
        Snapshots(tmp_path, every=0)


@pytest.mark.parametrize("name", ["run.gif", "run.webp"])
def test_an_animation_shows_every_picture_and_rests_on_the_last(tmp_path, name):
    pictures = [Image.new("RGB", SIZE, colour) for colour in ("red", "green", "blue")]
    pictures[1].save(tmp_path / "second.png")
    save_animation([pictures[0], tmp_path / "second.png", pictures[2]], tmp_path / name, milliseconds=50)
    frames = [frame.copy() for frame in ImageSequence.Iterator(Image.open(tmp_path / name))]
    assert len(frames) == 3
    for frame, picture in zip(frames, pictures):
        assert frame.info["duration"] == (2000 if picture is pictures[2] else 50)
        np.testing.assert_allclose(np.asarray(frame.convert("RGB")), np.asarray(picture), atol=6)


@pytest.mark.parametrize("count, shown", [(2, 4000), (9, 500), (44, 100), (51, 80), (200, 80)])
def test_an_animation_of_few_pictures_moves_for_four_seconds(tmp_path, count, shown):
    pictures = [Image.new("RGB", SIZE, (index, 255 - index, 0)) for index in range(count)]
    save_animation(pictures, tmp_path / "run.gif")
    durations = [frame.info["duration"] for frame in ImageSequence.Iterator(Image.open(tmp_path / "run.gif"))]
    assert durations == [shown] * (count - 1) + [2000]
    assert sum(durations[:-1]) >= 4000


def test_one_picture_is_an_animation_too(tmp_path):
    save_animation([Image.new("RGB", SIZE)], tmp_path / "run.gif")
    assert Image.open(tmp_path / "run.gif").n_frames == 1


def shown_gif(animation):
    return Image.open(io.BytesIO(data_of(animation._repr_html_(), "image/gif")))


def data_of(html, mimetype):
    [data] = re.findall(f'<img src="data:{re.escape(mimetype)};base64,([^"]+)"', html)
    return base64.b64decode(data)


def test_an_animation_shows_every_nth_generation_and_the_end(evolution):
    animation, expected = Animation(every=4), {}
    evolution.run(
        9, callbacks=[animation, lambda run: expected.update({run.generation: render(run.best, Circles(SIZE))})]
    )
    frames = animation.frames()
    assert len(frames) == 4 and len({frame.size for frame in frames}) == 1
    for frame, generation in zip(frames, (0, 4, 8, 9)):
        np.testing.assert_array_equal(np.asarray(frame)[:16, :24], np.asarray(expected[generation]))
        assert np.asarray(frame)[16:].min() < 100  # there is a caption
    assert f"up to generation 9, {evolution.evaluations} evaluations" in animation._repr_html_()
    png = Image.open(io.BytesIO(animation._repr_png_()))
    np.testing.assert_array_equal(np.asarray(png), np.asarray(frames[-1]))


def test_the_shown_animation_moves_for_four_seconds_and_rests(evolution):
    animation = Animation(every=1)
    evolution.run(8, callbacks=[animation])
    gif = shown_gif(animation)
    durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert sum(durations[:-1]) >= 4000 and durations[-1] == 2000 and gif.info["loop"] == 0


def test_an_animation_goes_on_with_its_run(evolution):
    animation = Animation(every=4)
    for generations in (6, 8, 9):
        evolution.run(generations, callbacks=[animation])
    assert len(animation.frames()) == 4  # of generations 0, 4, 8 and 9


def test_an_animation_without_a_picture_says_so():
    animation = Animation()
    assert "before its first picture" in animation._repr_html_()
    assert animation._repr_png_() is None and animation.frames() == []


def test_an_animation_of_less_than_every_generation_is_refused():
    with pytest.raises(ValueError, match="every: got 0, expected a whole number of at least 1"):
        Animation(every=0)


def test_the_progress_bar_tells_the_best_in_a_terminal(evolution, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressBar(5) as progress_bar:
        evolution.run(5, callbacks=[progress_bar])
    last = terminal.getvalue().split("\r")[-1]
    assert "5/5" in last and f"PSNR {evolution.best_display_value:.6g}" in last


def test_the_progress_bar_is_silent_elsewhere(evolution, capsys):
    with ProgressBar(5) as progress_bar:
        evolution.run(5, callbacks=[progress_bar])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("evaluations", [900, 8000, 16_000, 20_000, 1_000_000])
def test_numbers_below_the_curve_do_not_run_into_each_other(evolution, evaluations):
    evolution.run(1)
    evolution.logbook.record(evaluations=evaluations, max=evolution.best.fitness.values[0])
    figure = draw_progress(evolution)
    figure.canvas.draw()
    labels = [label.get_window_extent() for label in figure.axes[1].get_xticklabels() if label.get_text()]
    assert len(labels) > 2
    assert all(right.x0 - left.x1 > left.width / 8 for left, right in zip(labels, labels[1:]))


def test_the_progress_figure_has_the_picture_and_the_curve(evolution):
    evolution.run(5)
    picture, curve = draw_progress(evolution).axes
    np.testing.assert_array_equal(picture.images[0].get_array(), np.asarray(render(evolution.best, Circles(SIZE))))
    x, y = curve.lines[0].get_data()
    assert list(x) == evolution.logbook.select("evaluations") and list(y) == evolution.logbook.select("max")


def test_the_live_figure_renews_one_display_and_ends_with_the_last_state(evolution, monkeypatch):
    drawn, shown = [], []

    def draw(run):
        drawn.append(run.generation)
        return draw_progress(run)

    def display(picture, display_id=None, update=False, **options):
        shown.append((picture.data[:4], update))
        return display_functions.DisplayHandle("the display")

    monkeypatch.setattr("nsfw_experiments.evolution.callbacks.draw_progress", draw)
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(display_functions, "display", display)
    evolution.run(0)
    with LiveEvolution(seconds=0) as view:
        evolution.run(3, callbacks=[view])
    assert shown == [(b"\x89PNG", False)] + [(b"\x89PNG", True)] * 3
    assert drawn == [1, 2, 3, 3]


def test_the_live_figure_shows_the_start_from_the_first_evaluation_on(evolution, monkeypatch):
    shown = []

    def show(view):
        picture, curve = view.figure().axes
        shown.append((picture.get_title(), picture.images[0].get_array(), curve.lines[0].get_ydata()))

    monkeypatch.setattr(LiveEvolution, "show", show)
    view = LiveEvolution(seconds=0)
    evolution.run(1, callbacks=[view])
    count = evolution.logbook[0]["nevals"]
    assert len(shown) == count + 2  # and nothing of later generations but their end
    titles = [title.partition(", ")[2] for title, _, _ in shown]
    assert titles[:2] == ["1 first paintings", "2 first paintings"]
    assert titles[count - 1 :] == [f"{count} first paintings", "generation 0", "generation 1"]
    for _, _, values in shown[:count]:
        assert list(values) == sorted(values)
    assert shown[count - 1][2][-1] == evolution.logbook[0]["max"]
    np.testing.assert_array_equal(shown[count - 1][1], shown[count][1])


@pytest.mark.parametrize("drawing, pause", [(0.0, 2.0), (0.1, 2.0), (0.5, 10.0)])
def test_a_figure_that_takes_long_to_draw_is_renewed_less_often(evolution, monkeypatch, drawing, pause):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock, shown = Clock(), []

    def show(view):
        shown.append(clock.now)
        clock.now += drawing

    monkeypatch.setattr("nsfw_experiments.live_figure.time", clock)
    monkeypatch.setattr(LiveEvolution, "show", show)
    evolution.run(0)
    view = LiveEvolution(seconds=2)
    while len(shown) < 3:
        view(evolution)
        clock.now += 0.25
    assert np.diff(shown) == pytest.approx([drawing + pause] * 2, abs=0.25)


def test_an_interrupted_start_is_shown_anew(evolution, monkeypatch):
    def show(view):
        drawn.append(len(view._first))
        if len(drawn) == 3:
            raise KeyboardInterrupt

    drawn = []
    monkeypatch.setattr(LiveEvolution, "show", show)
    view = LiveEvolution(seconds=0)
    evolution.run(0, callbacks=[view])
    assert evolution.interrupted and evolution.generation == -1 and drawn == [1, 2, 3]
    evolution.run(0, callbacks=[view])
    assert not evolution.interrupted and drawn[3:6] == [1, 2, 3]


def test_a_score_is_drawn_on_a_logit_scale(evolution):
    evolution.run(1)
    evolution.toolbox.fitness = NsfwScore()
    for record in evolution.logbook:
        record["max"] = 0.99
    assert draw_progress(evolution).axes[1].get_yscale() == "logit"


class AtGeneration:
    """As much of an evolution as a callback asks for, at any generation."""

    def __init__(self, evolution):
        self.toolbox, self.best, self.best_display_value = evolution.toolbox, evolution.best, 1.5
        self.generation, self.evaluations = 0, 7


def test_pictures_are_of_every_tenth_generation_unless_others_are_asked_for(evolution, tmp_path):
    evolution.run(0)
    at, snapshots, animation = AtGeneration(evolution), Snapshots(tmp_path), Animation()
    for at.generation in range(22):
        snapshots(at)
        animation(at)
    assert [path.name for path in snapshots.paths()] == ["000000.png", "000010.png", "000020.png"]
    assert len(animation.frames()) == 4  # and of the last, 21
    at.generation = 30
    animation(at)
    assert len(animation.frames()) == 4
    assert "every 10 generations, up to generation 30, 7 evaluations" in animation._repr_html_()


def test_snapshots_are_listed_from_the_first_to_the_last_and_nothing_else_is(evolution, tmp_path):
    evolution.run(0)
    at, snapshots = AtGeneration(evolution), Snapshots(tmp_path, every=1)
    for at.generation in (1_000_000, 999_999, 5):
        snapshots(at)
    for name in ("best.png", "12345.png", "000007.jpg", "x000008.png", "000009x.png"):
        (tmp_path / name).touch()
    assert [path.name for path in snapshots.paths()] == ["000005.png", "999999.png", "1000000.png"]
    snapshots(at)  # into a folder that is there, over a picture that is there
    assert len(snapshots.paths()) == 3


def test_every_one_is_the_least_that_can_be_asked_for(tmp_path):
    assert Snapshots(tmp_path, every=1).every == Animation(every=1).every == 1
    for make in (lambda every: Snapshots(tmp_path, every), Animation):
        for every in (-1, 0, 1.5, True):
            with pytest.raises(ValueError, match="every: got .*, expected a whole number of at least 1"):
                make(every)


def test_the_progress_bar_follows_the_run_from_wherever_it_is(evolution, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    evolution.run(4)
    with ProgressBar(9) as progress_bar:
        evolution.run(6, callbacks=[progress_bar])
        assert (progress_bar.n, progress_bar.total, progress_bar.unit) == (6, 9, "generation")
        best = f"PSNR {evolution.best_display_value:.6g}"
        assert progress_bar.postfix == f"{best}, {evolution.evaluations} evaluations"


def test_animations_are_shown_for_ever_with_the_times_that_are_asked_for(tmp_path):
    pictures = [Image.new("RGB", SIZE, colour) for colour in ("red", "blue", "green")]
    save_animation(pictures, tmp_path / "run.gif", milliseconds=120)
    with Image.open(tmp_path / "run.gif") as gif:
        assert gif.info["loop"] == 0 and gif.n_frames == 3
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(gif)] == [120, 120, 2000]


def test_pictures_of_an_animation_are_as_large_as_the_largest_with_white_around(evolution):
    evolution.run(0)
    at, animation = AtGeneration(evolution), Animation(every=1)
    animation(at)
    at.generation, at.best_display_value = 1, 1234.5
    animation(at)
    at.generation = 123_456_789
    frames = animation.frames()
    assert len(frames) == 3 and len({frame.size for frame in frames}) == 1
    assert (np.asarray(frames[0])[-1, -1] == 255).all() and (np.asarray(frames[0])[:16, 24:] == 255).all()


@pytest.mark.parametrize("values, marker", [([1.0], "."), ([1.0, 2.0], "")])
def test_a_curve_of_one_point_is_a_point(evolution, values, marker):
    evolution.run(len(values) - 1)
    picture, curve = draw_progress(evolution).axes
    [line] = curve.lines
    assert line.get_marker() in ((marker,) if marker else ("", "None"))
    assert curve.get_xlabel() == "evaluations" and curve.get_ylabel() == "PSNR" and curve.get_yscale() == "linear"
    assert picture.get_title() == f"PSNR {evolution.best_display_value:.6g}, generation {evolution.generation}"
    assert not picture.axison
