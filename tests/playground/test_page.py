"""The widget without a browser: what it is told by messages, and what it then shows."""

import importlib
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("anywidget")

from nsfw_experiments.playground import Page, playground
from nsfw_experiments.playground import page as page_module
from nsfw_experiments.playground.examples import example
from open_nsfw import nsfw_score

IMG = Path(__file__).parents[2] / "img"
SECONDS = 300


@pytest.fixture(scope="module")
def ready_page():
    page = Page()
    assert page.worker.wait(SECONDS) and page.network == {"error": "", "ready": True}
    return page


@pytest.fixture
def sent(ready_page, monkeypatch):
    messages = []
    monkeypatch.setattr(ready_page, "send", lambda content, buffers=(): messages.append((content, list(buffers))))
    return messages


@pytest.fixture
def page(ready_page, sent):
    def tell(do, buffers=(), **arguments):
        ready_page._handle_custom_msg({"do": do, "number": 7, **arguments}, list(buffers))
        assert ready_page.worker.wait(SECONDS)

    ready_page.tell = tell
    return ready_page


def test_it_begins_with_a_picture_and_others_to_choose(ready_page):
    names = [example["name"] for example in ready_page.examples]
    assert names[0] == "coffee.jpg" and len(names) == 8 and all(example["image"] for example in ready_page.examples)
    assert ready_page.scored["score"] == nsfw_score(IMG / "coffee.jpg")


@pytest.mark.parametrize("name", ["../LICENSE", "/etc/passwd", "coffee", ""])
def test_no_other_file_is_an_example(name):
    with pytest.raises(ValueError, match=f"example: got '{name}', expected one of coffee.jpg, "):
        example(name)


def test_every_message_is_answered_by_its_number(page, sent):
    page.tell("hello")
    page.tell("no such thing")
    assert [content for content, _ in sent] == [{"heard": 7}, {"heard": 7}]


def test_a_file_comes_in_parts(page):
    rocket = (IMG / "rocket.jpg").read_bytes()
    half = len(rocket) // 2
    page.tell("upload", [memoryview(rocket[:half])], name="rocket.jpg", first=True, last=False)
    assert page.scored["name"] != "rocket.jpg"
    page.tell("upload", [memoryview(rocket[half:])], name="rocket.jpg", first=False, last=True)
    assert page.scored["score"] == nsfw_score(rocket)


def test_an_upload_that_was_broken_off_is_not_in_the_next(page):
    coffee = (IMG / "coffee.jpg").read_bytes()
    page.tell("upload", [b"broken"], name="broken.jpg", first=True, last=False)
    page.tell("upload", [coffee], name="coffee.jpg", first=True, last=True)
    assert page.scored["error"] == "" and page.scored["score"] == nsfw_score(coffee)


def test_another_picture_takes_away_the_changed_copy_of_the_former(page, sent):
    page.tell("choose", name="coffee.jpg")
    page.tell("slide", target=page.scored["score"])
    assert page.inversion["done"]
    page.tell("choose", name="rocket.jpg")
    assert not page.inversion["done"] and "after" not in page.inversion
    page.tell("save", what="inversion")
    assert not [content for content, _ in sent if "file" in content]


def test_a_file_that_is_no_picture_leaves_all_as_it_was(page):
    page.tell("choose", name="coffee.jpg")
    page.tell("slide", target=page.scored["score"])
    page.tell("upload", [b"Dear diary"], name="diary.jpg", first=True, last=True)
    assert page.scored["error"].startswith("diary.jpg: ") and page.inversion["done"]


def test_a_painting_like_no_picture_is_an_error_of_the_painting(page, monkeypatch):
    monkeypatch.setattr(page._panels["scored"], "source", None)
    page.tell("paint", shapes="circles", aim="picture", anew=True)
    assert page.painting["error"].startswith("Choose a picture first") and not page.painting["running"]


def test_what_is_saved_is_sent_with_a_name(page, sent):
    page.tell("choose", name="coffee.jpg")
    page.tell("slide", target=page.scored["score"])
    page.tell("save", what="inversion")
    [(content, [file])] = [(content, buffers) for content, buffers in sent if buffers]
    assert content == {"file": "changed.png"} and nsfw_score(file) == page.inversion["score"]


def test_a_painting_is_saved_as_pixels_and_as_shapes(page, sent):
    painted = threading.Event()
    page.observe(lambda change: painted.set() if "image" in change["new"] else None, "painting")
    page._handle_custom_msg({"do": "paint", "shapes": "circles", "aim": "picture", "anew": True, "number": 7}, [])
    assert painted.wait(SECONDS)
    page.tell("stop")
    page.tell("save", what="png")
    page.tell("save", what="svg")
    files = [(content["file"], buffers[0][:5]) for content, buffers in sent if buffers]
    assert files == [("painting.png", b"\x89PNG\r"), ("painting.svg", b"<svg ")]


def test_a_changed_copy_is_measured_beside_its_picture(page):
    for name in "rocket.jpg", "coffee.jpg":  # the former takes away what there was of the latter
        page.tell("choose", name=name)
    page.tell("measure")
    assert [report["label"] for report in page.fragility["reports"]] == ["the picture"]
    page.tell("slide", target=page.scored["score"])
    page.tell("measure")
    assert [report["label"] for report in page.fragility["reports"]] == ["the picture", "its changed copy"]
    page.tell("choose", name="rocket.jpg")
    assert page.fragility["reports"] == []


def test_an_explanation_that_fails_is_said_beside_the_picture(page):
    page.tell("explain", method="no such method")
    assert page.scored["error"].startswith("method: got 'no such method'") and not page.scored["running"]
    page.tell("choose", name="coffee.jpg")
    assert page.scored["error"] == ""


def test_an_example_that_there_is_not_is_said_beside_the_picture(page):
    page.tell("choose", name="none.jpg")
    assert page.scored["error"].startswith("example: got 'none.jpg'")


def test_before_the_first_picture_there_is_nothing_to_change_or_measure(page, monkeypatch):
    monkeypatch.setattr(page._panels["scored"], "source", None)
    before = page.inversion, page.fragility
    page.tell("slide", target=0.5)
    page.tell("measure")
    assert (page.inversion, page.fragility) == before


def test_without_a_kernel_there_is_a_picture_of_it(page):
    data, _ = page._repr_mimebundle_()
    assert data["image/jpeg"].startswith(b"\xff\xd8") and "application/vnd.jupyter.widget-view+json" in data


def test_a_network_that_cannot_be_loaded_is_said_above_all(monkeypatch):
    monkeypatch.setenv("OPEN_NSFW_FOLDER", "/nowhere")
    page = playground()
    assert page.worker.wait(SECONDS)
    assert not page.network["ready"] and "/nowhere" in page.network["error"]


class Recorded:
    """A worker that does nothing, and panels that only tell what is asked of them."""

    def __init__(self, asked, **attributes):
        self._asked = asked
        vars(self).update(attributes)

    def __getattr__(self, name):
        return lambda *arguments: self._asked.append((name, *arguments))


@pytest.fixture
def idle(monkeypatch):
    """A page whose worker does nothing by itself; what was asked of it and of its panels."""
    asked = []
    monkeypatch.setattr(page_module, "Worker", lambda on_error: Recorded(asked))
    page = Page()
    monkeypatch.setattr(page, "send", lambda content, buffers=(): asked.append(("send", content, list(buffers))))
    page._panels = {
        "scored": Recorded(asked, source=b"picture"),
        "inversion": Recorded(asked, saved=None, target=None),
        "painting": Recorded(asked),
        "fragility": Recorded(asked),
    }
    asked.clear()
    return page, asked


def job_of(asked):
    """Do the job that was given to the worker last, and say its name."""
    [(_, name, job)] = [each for each in asked if each[0] == "do"]
    asked.clear()
    job()
    return name


def test_a_slider_sets_the_target_at_once_and_searches_when_its_turn_comes(idle):
    page, asked = idle
    page._do_slide(0.7)
    assert page._panels["inversion"].target == 0.7
    assert job_of(asked) == "inversion" and asked == [("slide", b"picture")]


def test_without_a_picture_nothing_is_searched_or_measured(idle):
    page, asked = idle
    page._panels["scored"].source = None
    page._do_slide(0.7)
    page._do_measure()
    page._panels = {}
    page._do_slide(0.7)
    page._do_measure()
    assert asked == []


@pytest.mark.parametrize("saved", [None, b"changed"])
def test_the_changed_copy_is_measured_where_there_is_one(idle, saved):
    page, asked = idle
    page._panels["inversion"].saved = saved
    page._do_measure()
    files = {"the picture": b"picture", **({"its changed copy": saved} if saved else {})}
    assert job_of(asked) == "fragility" and asked == [("measure", files)]


@pytest.mark.parametrize("anew", [True, False])
def test_a_painting_goes_on_unless_another_is_wanted(idle, anew):
    page, asked = idle
    page._do_paint("circles", "picture", anew)
    assert job_of(asked) == "painting"
    assert asked == [("discard",)] * anew + [("paint", "circles", "picture", b"picture")]


def test_stop_drops_what_waits_and_ends_what_runs(idle):
    page, asked = idle
    page._do_stop()
    assert asked == [("drop", "inversion", "painting", "fragility"), ("stop",), ("stop",)]
    asked.clear()
    page._panels = {}
    page._do_stop()
    assert asked == [("drop", "inversion", "painting", "fragility")]


def test_another_picture_ends_what_was_done_with_the_former(idle):
    page, asked = idle
    page._do_choose("coffee.jpg")
    assert asked[:4] == [
        ("drop", "inversion", "painting", "fragility"), ("stop",), ("stop",), ("drop", "explanation")
    ]  # fmt: skip
    assert job_of(asked) == "scored"
    assert asked == [("choose", example("coffee.jpg"), "coffee.jpg")]  # which is not the one before: see below


def test_results_are_forgotten_only_where_there_is_another_picture(idle):
    page, asked = idle
    page._choose_now(b"picture", "again")
    assert [name for name, *_ in asked] == ["choose"]
    asked.clear()
    page._panels["scored"].choose = lambda source, name: setattr(page._panels["scored"], "source", source)
    page._choose_now(b"another", "another")
    assert asked == [("clear",), ("clear",)]


def test_a_method_is_asked_of_the_picture(idle):
    page, asked = idle
    page._do_explain("occlusion")
    assert job_of(asked) == "explanation" and asked == [("explain", "occlusion")]


@pytest.mark.parametrize("what, name", [("inversion", "changed.png"), ("png", "painting.png"), ("svg", "painting.svg")])
def test_a_file_is_sent_by_its_name_where_there_is_one(idle, what, name):
    page, asked = idle
    page._panels["painting"].file = lambda form: None
    page._do_save(what)
    assert asked == []
    page._panels["inversion"].saved = b"file"
    page._panels["painting"].file = lambda form: b"file" if form == what else None
    page._do_save(what)
    assert asked == [("send", {"file": name}, [b"file"])]


def test_an_error_is_shown_where_it_was_asked_for(idle):
    page, asked = idle
    error = ValueError("no such thing")
    for name in "explanation", "inversion", "painting":
        page._fail(name, error)
    assert asked == [("fail", error)] * 3 and page.network == {"error": "", "ready": False}
    page._fail("network", error)
    assert page.network == {"error": "no such thing", "ready": False}
    page._panels = {}
    page._fail("scored", MemoryError())
    assert page.network == {"error": "MemoryError", "ready": False}


def test_the_page_tells_the_browser_what_it_takes(idle):
    page, _ = idle
    assert page.largest_file == 64 * 2**20 and page.markup.lstrip().startswith("<")
    assert "function" in page._esm and "{" in page._css
    assert page.network == {"error": "", "ready": False}


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "nsfw_experiments.playground.page")
    with pytest.raises(ModuleNotFoundError, match=r"needs anywidget: pip install 'open-nsfw-theano\[playground\]'"):
        importlib.import_module("nsfw_experiments.playground.page")
