"""What the parts of the page show, without a page: their states while something runs and after it."""

import io
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.playground.encoding import shown
from nsfw_experiments.playground.fragility import FragilityPanel
from nsfw_experiments.playground.inversion import TOLERANCE, InversionPanel
from nsfw_experiments.playground.painting import PaintingPanel
from nsfw_experiments.playground.panel import Panel
from nsfw_experiments.playground.scored import ScoredPanel
from open_nsfw import nsfw_score

IMG = Path(__file__).parents[2] / "img"
COFFEE = (IMG / "coffee.jpg").read_bytes()
ROCKET = (IMG / "rocket.jpg").read_bytes()


def opened(data):
    return Image.open(io.BytesIO(data))


@pytest.fixture
def states():
    return []


# --- the picture


@pytest.fixture
def scored(states):
    panel = ScoredPanel(states.append)
    panel.choose(COFFEE, "coffee.jpg")
    return panel


def test_the_score_shown_is_that_of_the_file(scored, states):
    assert states[-1]["score"] == nsfw_score(COFFEE)
    assert (states[-1]["name"], states[-1]["width"], states[-1]["height"]) == ("coffee.jpg", 600, 400)


def test_nothing_runs_before_something_is_chosen(states):
    panel = ScoredPanel(states.append)
    assert not panel.state["running"] and panel.source is None


def test_picture_and_map_lie_on_each_other(scored, states):
    assert opened(states[-1]["image"]).size == opened(states[-1]["map"]).size == (600, 400)


def test_a_file_that_is_no_picture_is_said_in_words_and_the_picture_before_stays(scored, states):
    scored.choose(b"Dear diary,\n", "diary.jpg")
    assert states[-1]["error"].startswith("diary.jpg: not a picture") and states[-1]["name"] == "coffee.jpg"
    assert scored.source == COFFEE


def test_the_same_file_chosen_again_is_told_again(scored, states):
    scored.choose(b"", "empty.jpg")
    scored.choose(b"", "empty.jpg")
    assert states[-1]["error"] == states[-2]["error"] and states[-1] != states[-2]


def test_the_next_picture_takes_the_error_away(scored, states):
    scored.choose(b"", "empty.jpg")
    scored.choose(ROCKET, "rocket.jpg")
    assert states[-1]["error"] == "" and states[-1]["score"] == nsfw_score(ROCKET)


def test_another_method_gives_another_map_of_the_same_picture(scored, states):
    first = states[-1]
    scored.explain("input-gradient")
    assert states[-2]["running"] and states[-2]["wanted"] == "input-gradient"
    assert not states[-1]["running"] and states[-1]["method"] == "input-gradient"
    assert states[-1]["map"] != first["map"] and states[-1]["image"] == first["image"]


def test_before_the_first_picture_there_is_nothing_to_be_explained(states):
    ScoredPanel(states.append).explain("occlusion")
    assert states == []


def test_a_phones_photograph_is_shown_upright_with_its_map(states):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    opened(COFFEE).save(file, "JPEG", exif=exif)
    ScoredPanel(states.append).choose(file.getvalue(), "phone.jpg")
    orientations = [opened(states[-1][part]).getexif().get(0x0112) for part in ("image", "map")]
    assert orientations == [6, 6]


# --- the change


@pytest.fixture
def inversion(states):
    return InversionPanel(states.append)


def slid(panel, target, source=COFFEE):
    panel.target = target
    for _ in panel.slide(source):
        pass
    return panel.state


@pytest.fixture(scope="module")
def half():
    """A change to 0.5, which takes seconds: its panel, what it showed, its last state and its file."""
    states = []
    panel = InversionPanel(states.append)
    state = slid(panel, 0.5)
    return SimpleNamespace(panel=panel, states=list(states), state=state, saved=panel.saved)


def test_what_is_saved_has_the_score_that_is_shown_and_was_asked_for(half):
    assert half.state["done"] and half.state["reached"] and not half.state["running"]
    assert abs(half.state["score"] - 0.5) <= TOLERANCE
    assert nsfw_score(half.saved) == half.state["score"]
    assert opened(half.saved).size == (256, 256) and opened(half.saved).format == "PNG"


def test_the_change_is_shown_with_its_factor_and_psnr(half):
    original, changed = (
        np.asarray(picture.convert("RGB"), int)
        for picture in (opened(COFFEE).resize((256, 256), Image.Resampling.BILINEAR), opened(half.saved))
    )
    assert half.state["largest"] == np.abs(changed - original).max()
    assert half.state["factor"] == 127 / half.state["largest"]
    assert math.isclose(half.state["psnr"], 10 * math.log10(255**2 / np.mean((changed - original) ** 2)))


def test_progress_is_shown_before_the_end(half):
    live = [state for state in half.states if state["running"] and "score" in state]
    assert live and all(opened(state["after"]).size == (256, 256) for state in live)
    assert len(live) <= half.state["evaluations"]


def test_the_next_position_goes_on_from_the_present_result(half):
    state = slid(half.panel, 0.55)
    assert state["reached"] and state["evaluations"] < half.state["evaluations"] / 2


def test_back_at_the_pictures_own_score_nothing_is_changed(inversion):
    state = slid(inversion, nsfw_score(COFFEE))
    assert state["reached"] and state["psnr"] is None and state["largest"] == 0
    assert inversion._latest is None  # there is nothing with which to begin the next one


def test_stop_ends_the_search_with_the_best_so_far(inversion):
    inversion.target = 0.999
    for number, _ in enumerate(inversion.slide(COFFEE)):
        if number == 2:
            inversion.stop()
    assert inversion.state["evaluations"] == 3 and inversion.state["done"] and not inversion.state["reached"]
    assert nsfw_score(inversion.saved) == inversion.state["score"]


def test_a_search_that_makes_room_for_other_work_has_a_result(inversion):
    inversion.target = 0.999
    steps = inversion.slide(COFFEE)
    for _ in range(3):
        next(steps)
    steps.close()
    assert inversion.state["done"] and nsfw_score(inversion.saved) == inversion.state["score"]


def test_a_search_that_makes_room_for_another_target_has_none(inversion):
    inversion.target = 0.999
    steps = inversion.slide(COFFEE)
    for _ in range(3):
        next(steps)
    inversion.target = 0.4
    steps.close()
    assert inversion.saved is None and inversion.state["running"]


def test_another_picture_begins_anew(inversion):
    slid(inversion, 0.1)
    state = slid(inversion, nsfw_score(ROCKET), ROCKET)
    assert state["psnr"] is None


# --- the painting


@pytest.fixture
def painting(states):
    return PaintingPanel(states.append)


def painted(panel, generations, aim="picture", shapes="circles"):
    steps = panel.paint(shapes, aim, COFFEE)
    for _ in range(generations):
        next(steps)
    steps.close()
    return panel.state


def test_a_painting_advances_and_goes_on_where_it_was_stopped(painting):
    first = painted(painting, 20)
    second = painted(painting, 20)
    assert (first["generation"], second["generation"]) == (19, 39)
    assert second["value"] > first["value"] and not second["running"]


@pytest.mark.parametrize("changed", [dict(aim="score"), dict(shapes="triangles")])
def test_another_aim_or_shape_is_another_painting(painting, changed):
    painted(painting, 3)
    assert painted(painting, 1, **changed)["generation"] == 0


def test_one_that_was_discarded_begins_anew_with_other_random_numbers(painting):
    first = painted(painting, 1)["image"]
    painting.discard()
    second = painted(painting, 1)
    assert second["generation"] == 0 and second["image"] != first
    assert len(painting._evolution.best) == 50
    assert (second["aim"], second["shape"], second["label"]) == ("picture", "circles", "PSNR")
    assert second["evaluations"] == painting._evolution.evaluations
    assert (second["shapes"], second["aims"]) == (["circles", "triangles"], ["score", "picture"])


def test_stop_ends_a_painting(painting):
    for number, _ in enumerate(painting.paint("circles", "picture", COFFEE)):
        if number == 3:
            painting.stop()
    assert painting.state["generation"] == 3 and not painting.state["running"]


def test_the_files_are_the_painting_that_is_shown(painting):
    state = painted(painting, 2, aim="score")
    assert painting.file("png") == state["image"]
    assert math.isclose(nsfw_score(painting.file("png")), state["value"], rel_tol=1e-4)
    assert painting.file("svg").count(b"<circle") == 50


def test_nothing_is_saved_before_anything_is_painted(painting):
    assert painting.file("png") is None and painting.file("svg") is None


def test_to_be_like_a_picture_takes_a_picture(painting):
    with pytest.raises(ValueError, match="Choose a picture first"):
        next(painting.paint("circles", "picture", None))


@pytest.mark.parametrize(
    "value, label, generations", [(0.9998, "NSFW", 5), (0.9999, "NSFW", 1), (1.0, "NSFW", 1), (99.0, "PSNR", 5)]
)
def test_a_painting_is_done_where_it_can_hardly_get_better(painting, monkeypatch, value, label, generations):
    fitness = SimpleNamespace(label=label)
    evolution = SimpleNamespace(
        hall_of_fame=[], best_display_value=value, toolbox=SimpleNamespace(fitness=fitness), steps=0
    )

    def step():
        evolution.hall_of_fame = ["the best"]
        evolution.steps += 1
        if evolution.steps == 5:
            painting.stop()

    evolution.step = step
    monkeypatch.setattr(painting, "_begun", lambda *about: evolution)
    monkeypatch.setattr(painting, "_show_best", lambda evolution: None)
    assert len(list(painting.paint("circles", "score", None))) == generations == evolution.steps
    assert not painting.state["running"]
    painting.stop()  # which is of no account for the next
    evolution.best_display_value, evolution.steps = 0.5, 0
    assert len(list(painting.paint("circles", "score", None))) == 5


# --- what all parts share


def test_what_went_wrong_is_said_and_nothing_runs_any_more(states):
    panel = Panel(states.append)
    panel.update(running=True, more=1)
    panel.fail(ValueError("no such thing"))
    assert states == [
        {"error": "", "running": True, "more": 1}, {"error": "no such thing", "running": False, "more": 1}
    ]  # fmt: skip


def test_a_large_picture_is_shown_smaller_and_a_small_one_as_it_is():
    for size, expected in (
        ((1537, 768), (768, 384)),
        ((768, 500), (768, 500)),
        ((3, 2), (3, 2)),
        ((400, 1536), (200, 768)),
    ):
        image = opened(shown(Image.new("L", size)))
        assert (image.size, image.format, image.mode) == (expected, "JPEG", "RGB")
    for size, expected in ((400, 300), (96, 72)), ((200, 100), (96, 48)), ((5, 5), (5, 5)):
        assert opened(shown(Image.new("RGBA", size), 96)).size == expected


# --- how fragile scores are


def test_the_reports_have_each_pictures_own_score_and_its_transformations(states):
    panel = FragilityPanel(states.append)
    for _ in panel.measure({"one": COFFEE, "other": ROCKET}):
        pass
    one, other = panel.state["reports"]
    assert (one["label"], other["label"]) == ("one", "other")
    assert one["score"] == pytest.approx(nsfw_score(COFFEE), rel=1e-5) and one["number"] < 1
    assert {score["name"] for score in one["scores"]} >= {"JPEG 95", "mirrored", "noise 1"}
    assert any(state["running"] for state in states) and not panel.state["running"]
