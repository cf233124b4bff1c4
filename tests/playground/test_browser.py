"""The playground in a real browser, as a page by Voila and as a notebook in JupyterLab.

Debian's Chromium is driven by Playwright. Where either is missing nothing of this runs, and the summary says so.
Pictures of the page are written to the folder OPEN_NSFW_SCREENSHOTS, if that is set.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium import CHROMIUM
from served_playground import jupyterlab, voila

from open_nsfw import nsfw_score

pytestmark = pytest.mark.slow

IMG = Path(__file__).parents[2] / "img"
#: Milliseconds for anything to happen; on a busy machine that may be long.
PATIENCE = 240_000
LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
SERVERS = {"voila": voila, "jupyterlab": jupyterlab}
#: Roles that people act upon: each needs a name that a screen reader can say.
CONTROLS = {"button", "combobox", "slider", "tab", "meter", "img", "link", "textbox", "checkbox"}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("NOT RUN: no Chromium; apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("NOT RUN: no Playwright; pip install playwright")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=SERVERS)
def served(request, tmp_path_factory):
    pytest.importorskip("voila", reason="NOT RUN: no Voila; pip install 'open-nsfw-theano[playground]'")
    pytest.importorskip("jupyterlab", reason="NOT RUN: no JupyterLab; pip install 'open-nsfw-theano[notebooks]'")
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as address:
        yield request.param, address


class Playground:
    """The page, by the names of its parts."""

    def __init__(self, page, screenshots):
        self.page, self.screenshots = page, screenshots
        self.requests: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))

    def part(self, name):
        return self.page.locator(f"[data-part={name}]")

    def until(self, condition, argument=None):
        self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE)

    def value(self, part, name):
        return float(self.part(part).get_attribute(f"data-{name}"))

    def upload(self, path):
        self.part("file").set_input_files(path)
        self.until("name => document.querySelector('[data-part=name]').textContent === name", Path(path).name)

    def until_changed(self):
        """Wait until a search has begun, and come to its end."""
        self.until("() => document.querySelector('[data-part=inversion-facts]').textContent.match(/there|stopped/)")

    def photograph(self, name):
        self.page.screenshot(path=self.screenshots / f"{name}.png")


def opened(browser, served, screenshots, viewport=LAPTOP, scheme="light"):
    """The page with its first picture, in a browser that has seen nothing before."""
    server, address = served
    page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
    page.set_default_timeout(PATIENCE)
    playground = Playground(page, screenshots)
    page.goto(address, wait_until="commit")
    if server == "jupyterlab":
        run_the_cell(page)
    playground.until("() => document.querySelector('.nsfw-playground[data-ready=true]')")
    return playground


def run_the_cell(page):
    page.get_by_text("| Idle").wait_for()  # the kernel, in the status bar
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-editor").first.click()
    page.keyboard.press("Control+Enter")


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    folder = Path(os.environ.get("OPEN_NSFW_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def playground(browser, served, screenshots):
    """One page for all tests, which are in the order in which somebody might play."""
    playground = opened(browser, served, screenshots)
    playground.photograph(f"{served[0]}-first")
    yield playground
    playground.page.context.close()


def test_a_chosen_file_is_shown_with_the_score_that_nsfw_score_gives(playground):
    playground.upload(IMG / "rocket.jpg")
    assert playground.value("score", "score") == nsfw_score(IMG / "rocket.jpg")
    assert playground.part("score").text_content() == f"{nsfw_score(IMG / 'rocket.jpg'):.6f}"


def test_a_text_file_renamed_to_jpg_is_an_error_beside_the_button(playground, tmp_path):
    diary = tmp_path / "diary.jpg"
    diary.write_text("Dear diary,\n")
    before = playground.part("name").text_content()
    playground.part("file").set_input_files(diary)
    playground.part("source-error").wait_for(state="visible")
    assert playground.part("source-error").text_content().startswith("diary.jpg: not a picture")
    assert playground.part("name").text_content() == before


def test_why_is_shown_on_demand(playground, served):
    playground.part("why").click()
    playground.until("() => getComputedStyle(document.querySelector('[data-part=map]')).opacity === '1'")
    playground.photograph(f"{served[0]}-why")
    playground.part("why").click()
    playground.page.mouse.move(1, 1)
    playground.until("() => getComputedStyle(document.querySelector('[data-part=map]')).opacity === '0'")


def test_a_slide_to_a_half_ends_there_and_is_saved_as_shown(playground, served, tmp_path):
    playground.upload(IMG / "coffee.jpg")
    playground.part("invert").click()
    playground.until_changed()
    score = playground.value("inversion-facts", "score")
    assert abs(score - 0.5) <= 0.01
    playground.photograph(f"{served[0]}-changed")
    with playground.page.expect_download() as download:
        playground.part("save-inversion").click()
    saved = tmp_path / "changed.png"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "changed.png"
    assert nsfw_score(saved) == score


def test_stop_ends_a_search_early(playground):
    playground.upload(IMG / "chelsea.png")
    playground.part("target").fill("0.99")
    playground.until("() => document.querySelector('[data-part=inversion-facts]').textContent.includes('evaluations')")
    playground.part("stop-inversion").click()
    playground.until_changed()
    assert "stopped short of the target" in playground.part("inversion-facts").text_content()


def test_a_painting_advances_until_it_is_stopped(playground, served):
    playground.page.get_by_role("tab", name="Paint").click()
    playground.part("aim").select_option("picture")
    playground.part("paint").click()
    generation = "() => Number(document.querySelector('[data-part=painting-facts]').dataset.generation)"
    playground.until(f"() => ({generation})() >= 1")
    first = playground.page.evaluate(generation)
    playground.until(f"first => ({generation})() > first", first)
    playground.part("stop-painting").click()
    playground.part("save-svg").click()
    playground.until("() => !document.querySelector('[data-part=paint]').disabled")
    playground.photograph(f"{served[0]}-painted")


def test_every_control_has_a_name_for_those_who_hear_the_page(playground):
    session = playground.page.context.new_cdp_session(playground.page)
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    page = session.send("DOM.querySelector", {"nodeId": root, "selector": ".nsfw-playground"})["nodeId"]
    unnamed, seen = [], set()
    for role in CONTROLS:
        nodes = session.send("Accessibility.queryAXTree", {"nodeId": page, "role": role})["nodes"]
        for node in nodes:
            seen.add(role)
            if not node["ignored"] and not node.get("name", {}).get("value"):
                unnamed.append((role, node.get("properties")))
    assert {"button", "slider", "tab", "meter"} <= seen
    # pictures in a button that has a name have none
    assert not unnamed


def test_the_tabs_are_reached_by_the_keyboard(playground):
    tabs = playground.part("tabs")  # JupyterLab has others
    tabs.get_by_role("tab", name="Paint").click()
    playground.page.keyboard.press("ArrowRight")
    assert tabs.get_by_role("tab", selected=True).text_content() == "Is it fragile?"
    focused = playground.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert focused == "solid"


def test_no_request_left_this_computer(playground):
    hosts = {urlsplit(url).hostname for url in playground.requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}


WIDER_THAN_ITS_PLACE = """
() => [...document.querySelectorAll('body, body *')]
    .filter(one => one.contains(document.querySelector('.nsfw-playground')) || one.closest('.nsfw-playground'))
    .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible'
        && one.clientWidth > 1 && one.tagName !== 'svg')
    .map(one => one.tagName + '.' + one.className)
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser, tmp_path_factory, screenshots, scheme):
    with voila(tmp_path_factory.mktemp(scheme)) as address:
        playground = opened(browser, ("voila", address), screenshots, PHONE, scheme)
        playground.photograph(f"phone-{scheme}")
        assert playground.page.evaluate(WIDER_THAN_ITS_PLACE) == []
        ground = playground.page.evaluate(
            "getComputedStyle(document.querySelector('.nsfw-playground')).backgroundColor"
        )
        assert (ground == "rgb(18, 20, 25)") == (scheme == "dark")
        playground.page.context.close()
