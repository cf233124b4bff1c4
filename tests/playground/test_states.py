"""What each part of the page shows first, last, and where its bounds are."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.explanation import METHODS, explain
from nsfw_experiments.playground import painting as painting_module
from nsfw_experiments.playground import server
from nsfw_experiments.playground.encoding import exact, shown
from nsfw_experiments.playground.examples import EXAMPLES, example, thumbnails
from nsfw_experiments.playground.fragility import FragilityPanel
from nsfw_experiments.playground.inversion import InversionPanel
from nsfw_experiments.playground.pace import Pace
from nsfw_experiments.playground.painting import PaintingPanel
from nsfw_experiments.playground.scored import ScoredPanel
from open_nsfw import nsfw_score

IMG = Path(__file__).parents[2] / "img"
COFFEE = (IMG / "coffee.jpg").read_bytes()


def opened(data):
    return Image.open(io.BytesIO(data))


def nothing(state):
    """Show it to nobody."""


# --- what is there before anything is done


def test_the_picture_is_none_and_its_methods_are_all_there_are():
    assert ScoredPanel(nothing).state == {
        "error": "",
        "running": False,
        "methods": list(METHODS),
        "method": "",
        "wanted": "",
        "choices": 0,
    }


def test_the_change_is_none_and_aims_at_the_middle():
    states = []
    panel = InversionPanel(states.append)
    assert states == [{"error": "", "running": False, "done": False, "tolerance": 0.01}] == [panel.state]
    assert panel.target == 0.5 and panel.saved is None
    panel.stop()  # of nothing that runs
    assert len(states) == 1


def test_the_painting_is_none_of_two_shapes_with_two_aims():
    assert PaintingPanel(nothing).state == {
        "error": "",
        "running": False,
        "shapes": ["circles", "triangles"],
        "aims": ["score", "picture"],
    }


def test_there_are_no_reports_of_fragility_before_and_after_another_picture():
    states = []
    panel = FragilityPanel(states.append)
    for _ in panel.measure({"one": COFFEE}):
        pass
    running, found, ended = states[1:]
    assert running == {"error": "", "running": True, "reports": []}
    [report] = found["reports"]
    assert found["running"] and ended == {**found, "running": False}
    assert set(report) == {"label", "score", "number", "scores"} and len(report["scores"]) == 23
    panel.clear()
    assert states[-1] == states[0] == {"error": "", "running": False, "reports": []}


# --- pictures on the page


def test_a_shown_picture_is_as_good_as_quality_88():
    picture = opened(COFFEE).resize((300, 200))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    assert shown(picture) == file.getvalue()


def test_an_exact_picture_keeps_every_value_and_takes_options():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    found = opened(exact(Image.fromarray(pixels), dpi=(72, 72)))
    np.testing.assert_array_equal(found, pixels)
    assert found.format == "PNG" and found.info["dpi"] == pytest.approx((72, 72), abs=0.1)


def test_the_examples_are_the_projects_pictures_each_with_a_thumbnail_and_what_it_shows():
    found = list(thumbnails())
    assert [(each["name"], each["caption"]) for each in found] == list(EXAMPLES.items()) and len(found) == 8
    for each in found:
        assert example(each["name"]) == (IMG / each["name"]).read_bytes()
        assert set(each) == {"name", "caption", "image"} and max(opened(each["image"]).size) == 96


@pytest.mark.parametrize(("moments", "due"), [([0.0, 0.199, 0.2, 0.39, 0.41], [1, 0, 1, 0, 1])])
def test_something_is_shown_five_times_a_second_unless_told(moments, due):
    seconds = iter(moments)
    pace = Pace(clock=lambda: next(seconds))
    assert [pace.is_due() for _ in moments] == due


# --- while something runs


def test_an_explanation_shows_its_overlay_and_limit_and_a_choice_is_counted():
    states = []
    panel = ScoredPanel(states.append)
    panel.choose(COFFEE, "coffee.jpg")
    panel.explain("input-gradient")
    found = explain(COFFEE, "input-gradient")
    assert states[-1]["limit"] == found.limit and states[-1]["map"] == shown(found.overlay())
    assert states[-1]["wanted"] == states[-1]["method"] == "input-gradient"
    panel.choose(COFFEE, "again.jpg")
    assert (panel.state["choices"], panel.state["method"], panel.state["name"]) == (
        2,
        "class-activation-map",
        "again.jpg",
    )


def test_a_change_starts_over_in_what_is_shown_and_saved():
    states = []
    panel = InversionPanel(states.append)
    panel.target = nsfw_score(COFFEE)
    for _ in panel.slide(COFFEE):
        assert panel.saved is None and panel.state["running"] and not panel.state["done"]
    began = next(state for state in states if state["running"])
    assert began["target"] == panel.target and opened(began["before"]).size == (256, 256)
    last = states[-1]
    assert (last["largest"], last["psnr"], last["evaluations"], last["reached"]) == (0, None, 1, True)
    assert not last["running"] and last["done"] and last["rate"] > 0 and panel.saved is not None


def test_each_painting_has_fifty_shapes_and_the_next_seed(monkeypatch):
    for name in "compact_toolbox", "least_squares_toolbox":
        monkeypatch.setattr(painting_module, name, lambda *given, name=name: (name, *given))
    monkeypatch.setattr(painting_module, "Evolution", lambda toolbox: toolbox)
    panel = PaintingPanel(nothing)
    made = panel._begun("circles", "score", None), panel._begun("triangles", "picture", COFFEE)
    assert [(name, primitive.name, count, fitness.label, seed) for name, primitive, count, fitness, seed in made] == [
        ("compact_toolbox", "circles", 50, "NSFW score", 1),
        ("least_squares_toolbox", "triangles", 50, "PSNR", 2),
    ]


# --- the page's server


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_has_no_page(port, monkeypatch):
    monkeypatch.setattr(server, "_check_extra", lambda: None)
    with pytest.raises(server.ServerError, match=f"127.0.0.1:{port}: .*; --port takes another"):
        with server.serving("127.0.0.1", port):
            pass
