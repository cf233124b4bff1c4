"""The page of ``--report``: all in one file, nothing that strangers name is obeyed, and browsers show it."""

import base64
import hashlib
import io
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chromium import CHROMIUM
from PIL import Image

from nsfw_command import report as report_module
from nsfw_command.main import main
from nsfw_command.report import Report, histogram, thumbnail
from nsfw_command.row import Row, labelled, rows_of_frames
from nsfw_model.outputs import OutputError
from nsfw_scale.frames import Frame, FrameScore

IMG = Path(__file__).resolve().parents[2] / "img"


class Page(HTMLParser):
    """The elements of a page, as a browser finds them: (name, attributes), and all text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def cards(self):
        return [it for it in self.named("li") if "card" in it.get("class", "")]


def page_of(rows, tmp_path, threshold=0.8):
    report = Report(threshold)
    for row in rows:
        report.add(row if isinstance(row, list) else [labelled(row, threshold)])
    report.write(tmp_path / "report.html", "a summary")
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def scored(*numbers):
    return [Row(f"{number}.jpg", number, None) for number in numbers]


def test_the_command_makes_a_page_of_what_it_scores(tmp_path, capsys):
    path = tmp_path / "report.html"
    (tmp_path / "broken.jpg").write_bytes((IMG / "rocket.jpg").read_bytes()[:5000])
    names = [str(IMG / "rocket.jpg"), str(IMG / "evolved_circles.png"), str(tmp_path / "broken.jpg")]
    assert main(["score", *names, "--report", str(path)]) == 1
    page = Page(path.read_text(encoding="utf-8"))
    assert [(card["class"], Path(card["data-name"]).name) for card in page.cards] == [
        ("card unsafe", "evolved_circles.png"),
        ("card safe", "rocket.jpg"),
    ]
    assert "1 of 2 pictures at 0.8 or above" in page.text and "2 scored (1 unsafe), 1 failed" in page.text
    assert "broken.jpg" in page.text and "image file is truncated" in page.text
    pictures = [Image.open(io.BytesIO(base64.b64decode(it["src"].partition(",")[2]))) for it in page.named("img")]
    assert [picture.format for picture in pictures] == ["JPEG", "JPEG"] and max(pictures[1].size) == 240


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    page = page_of([Row(str(IMG / "rocket.jpg"), 0.1, None)], tmp_path)
    links = [it[name] for _, it in page.elements for name in ("src", "href", "action", "data") if name in it]
    assert links and all(link.startswith(("data:image/jpeg;base64,", "#")) for link in links)
    assert "url(" not in (tmp_path / "report.html").read_text() and "@import" not in page.text


def test_only_the_style_and_the_script_of_the_page_may_run(tmp_path):
    text = page_of(scored(0.1), tmp_path) and (tmp_path / "report.html").read_text(encoding="utf-8")
    (policy,) = (it["content"] for it in Page(text).named("meta") if it.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; ") and "unsafe-inline" not in policy
    for tag in "style", "script":
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.jpg",
        '"><img src=x onerror=alert(1)>.jpg',
        "'\"&amp;.jpg",
        "</li></ul></main><h1>.jpg",
        "\0$cards${style}.jpg",
        "a\u202egpj.\n\r\x1b[2J.jpg",
        os.fsdecode(b"caf\xe9\xff.jpg"),
    ],
)
def test_names_and_messages_are_text_and_nothing_else(name, tmp_path):
    name = f"folder/{name}"
    harmless = page_of([Row("folder/a.jpg", 0.9, None), Row("b.jpg", None, "is damaged")], tmp_path).elements
    page = page_of([Row(name, 0.9, None), Row(name, None, f"is {name}")], tmp_path)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless]
    assert [set(it) for _, it in page.elements] == [set(it) for _, it in harmless]
    shown = page.cards[0]["data-name"]
    assert shown == "".join(it if it.isprintable() else ascii(it)[1:-1] for it in name)
    assert page.text.count(f"is {shown}") == 1


def test_the_worst_are_first_and_what_is_left_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "MAX_PICTURES", 3)
    monkeypatch.setattr(report_module, "MAX_FAILURES", 2)
    failures = [Row(f"{number}.jpg", None, "is damaged") for number in range(5)]
    page = page_of([*scored(0.1, 0.5, 0.3, 0.9, 0.2), *failures], tmp_path, threshold=0.5)
    assert [card["data-score"] for card in page.cards] == ["0.9", "0.5", "0.3"]
    assert "The 3 of the highest scores are shown; 2 below are left out." in page.text
    assert "2 of 5 pictures at 0.5 or above" in page.text
    assert "5 could not be scored" in page.text and "3 more are left out." in page.text
    assert page.text.count("is damaged") == 2


def test_of_equal_scores_the_first_are_shown_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "MAX_PICTURES", 2)
    page = page_of([Row(name, 0.5, None) for name in "cab"], tmp_path)
    assert [card["data-name"] for card in page.cards] == ["c", "a"]


def test_a_film_tells_where_its_worst_is(tmp_path):
    scores = [FrameScore(float(second), 0.9 if second % 2 else 0.1) for second in range(12)]
    (text,) = (page_of([rows_of_frames("a.mp4", scores, frames, 0.8)], tmp_path).text for frames in ["max"])
    assert "12 frames · worst at 1 s · 50% above · 1–2 s, 3–4 s, 5–6 s, 7–8 s and 2 more" in text
    every = page_of([rows_of_frames("a.mp4", scores, "all", 0.8)], tmp_path)
    assert len(every.cards) == 1 and "12 frames · worst at 1 s" in every.text


def test_the_thumbnail_of_an_animation_is_its_worst_frame(tmp_path):
    colours = ["red", "lime", "blue"]
    red, *others = (Image.new("RGB", (40, 20), colour) for colour in colours)
    red.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=500)
    for second, colour in zip((0.0, 0.5, 1.0), ((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        row = Row(str(tmp_path / "a.gif"), 0.9, None, frames=3, worst_second=second)
        pixel = Image.open(io.BytesIO(thumbnail(row))).getpixel((20, 10))
        assert max(abs(a - b) for a, b in zip(pixel, colour)) < 12


def test_the_thumbnail_of_a_film_is_a_frame_even_if_the_first_is_the_worst(monkeypatch):
    """What reads pictures does not read films."""
    frames = [Frame(0.0, Image.new("RGB", (40, 20), "red")), Frame(1.0, Image.new("RGB", (40, 20)))]
    monkeypatch.setattr(report_module, "read_frames", lambda file, every: iter(frames))
    picture = Image.open(io.BytesIO(thumbnail(Row("film.mp4", 0.9, None, frames=2, worst_second=0.0))))
    assert picture.getpixel((20, 10))[0] > 240


def test_thumbnails_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (90, 30)).save(tmp_path / "a.jpg", exif=exif)
    assert Image.open(io.BytesIO(thumbnail(Row(str(tmp_path / "a.jpg"), 0.1, None)))).size == (30, 90)


def test_a_thumbnail_that_cannot_be_made_is_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes((IMG / "camera.png").read_bytes()[:999])
    (tmp_path / "b.jpg").write_bytes((IMG / "rocket.jpg").read_bytes()[:999])
    rows = [Row(str(tmp_path / name), 0.5, None) for name in ("a.png", "b.jpg", "gone.jpg")]
    page = page_of([*rows, Row("-", 0.5, None), Row("a\0b", 0.5, None)], tmp_path)
    assert len(page.cards) == 5 and page.named("img") == [] and page.text.count("no thumbnail") == 5


def test_standard_input_has_no_thumbnail_whatever_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("-", "PNG")
    assert thumbnail(Row("-", 0.5, None)) is None and thumbnail(Row("./-", 0.5, None)) is not None


def test_the_histogram_has_a_bar_for_each_range_that_has_pictures():
    text = histogram([4, 0, 0, 1, 1], 0.6)
    assert re.findall(r"<title>(.*?)</title>", text) == ["0.00 to 0.20: 4", "0.60 to 0.80: 1", "0.80 to 1.00: 1"]
    heights = [float(height) for height in re.findall(r'height="([\d.]+)" rx', text)]
    assert heights[0] == 2 * heights[1] and text.count('class="unsafe"') == 2


def test_the_edges_of_scores_are_in_the_histogram(tmp_path):
    text = page_of(scored(0.0, 1.0), tmp_path).text
    assert "0.00 to 0.05: 1" in text and "0.95 to 1.00: 1" in text


@pytest.mark.parametrize("scores, bars", [
    ([0.0499], {"0.00 to 0.05: 1"}),
    ([0.05], {"0.05 to 0.10: 1"}),
    ([0.9499, 0.95], {"0.90 to 0.95: 1", "0.95 to 1.00: 1"}),
])  # fmt: skip
def test_a_bar_has_the_scores_from_its_beginning_to_below_its_end(scores, bars, tmp_path):
    page_of(scored(*scores), tmp_path)
    assert set(re.findall(r"<title>(\d\.\d\d to .*?)</title>", (tmp_path / "report.html").read_text())) == bars


def test_bars_have_the_colour_of_what_is_in_them(tmp_path):
    """One that the threshold cuts has safe pictures."""
    assert histogram([1] * 4, 0.5).count('class="unsafe"') == 2
    assert histogram([1] * 4, 0.51).count('class="unsafe"') == 1


def test_bars_stand_beside_one_another_on_the_line():
    text = histogram([1, 0, 4, 1], 0.25)
    bars = re.findall(r'<rect[^>]*? x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', text)
    assert bars == [
        ("1.0", "48.0", "113.0", "48.0"),
        ("231.0", "0.0", "113.0", "96.0"),
        ("346.0", "48.0", "113.0", "48.0"),
    ]
    assert '<line class="threshold" x1="115.0" x2="115.0"' in text and ">unsafe from 0.25</text>" in text


def test_a_bar_of_few_is_seen_beside_one_of_many():
    assert 'height="2.0" rx' in histogram([1_000_000, 1], 0.5)


def test_a_card_tells_the_score_and_how_far_its_bar_reaches():
    text = report_module.card(Row("folder/a.jpg", 0.12345, None, "safe", 0.8), b"JPEG")
    assert '<p class="score">0.1235 <span class="badge">safe</span></p>' in text
    assert '<rect width="12.3" height="4"/>' in text and 'data-score="0.12345" data-name="folder/a.jpg"' in text
    assert '<span class="folder">folder/</span><wbr>a.jpg</p>' in text and "about" not in text
    assert f'src="data:image/jpeg;base64,{base64.b64encode(b"JPEG").decode()}"' in text and "no thumbnail" not in text
    assert '<p class="name">a.jpg</p>' in report_module.card(Row("a.jpg", 0.5, None, "safe", 0.8), None)


def test_the_first_card_is_the_one_that_tab_reaches(tmp_path):
    page = page_of(scored(0.1, 0.9, 0.5), tmp_path)
    assert [(card["data-score"], card["tabindex"]) for card in page.cards] == [
        ("0.9", "0"),
        ("0.5", "-1"),
        ("0.1", "-1"),
    ]


@pytest.mark.parametrize("count, end", [(4, "3–3 s"), (5, "3–3 s and 1 more")])
def test_four_segments_are_listed(count, end):
    row = Row("a.mp4", 0.9, None, "unsafe", 0.8, frames=9, worst_second=0.0, share_above=0.444)
    row = row._replace(segments=tuple((float(at), float(at)) for at in range(count)))
    assert f'<p class="about">9 frames · worst at 0 s · 44% above · 0–0 s, 1–1 s, 2–2 s, {end}</p>' in (
        report_module.card(row, None)
    )


def test_what_an_animation_has_none_of_is_not_told():
    row = Row("a.gif", 0.1, None, "safe", 0.8, frames=2, worst_second=0.5, share_above=0.0)
    assert '<p class="about">2 frames · worst at 0.5 s</p>' in report_module.card(row, None)


def test_the_frame_of_a_row_of_its_own_is_the_one_that_is_told_and_shown(tmp_path):
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=500)
    row = Row(str(tmp_path / "a.gif"), 0.9, None, "unsafe", 0.8, frames=2, second=0.5)
    assert "worst at 0.5 s" in report_module.card(row, None)
    assert Image.open(io.BytesIO(thumbnail(row))).getpixel((20, 10))[2] > 240


@pytest.mark.parametrize("seconds, found", [(1.0, True), (0.9991, True), (0.9989, False), (1.4, True)])
def test_the_frame_of_a_moment_is_found_whose_thousandths_are_rounded(seconds, found, monkeypatch):
    frames = [Frame(0.0, Image.new("RGB", (4, 4), "red")), Frame(seconds, Image.new("RGB", (4, 4), "blue"))]
    asked = []
    monkeypatch.setattr(report_module, "read_frames", lambda file, every: asked.append(every) or iter(frames))
    picture = thumbnail(Row("film.mp4", 0.9, None, frames=2, worst_second=1.0))
    assert (picture is not None) is found and asked == [1.0005]
    assert not found or Image.open(io.BytesIO(picture)).getpixel((2, 2))[2] > 240


def test_a_summary_leads_to_what_failed_if_something_did(tmp_path):
    for failures, links in ([], 0), ([Row("a.jpg", None, "is damaged")], 1):
        page = page_of([*scored(0.5), *failures], tmp_path)
        assert [it["href"] for it in page.named("a") if it.get("href") == "#failed"] == ["#failed"] * links
        assert "a summary" in page.text and ("could not be scored" in page.text) == bool(failures)


def test_as_many_as_there_may_be_leave_nothing_out(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "MAX_PICTURES", 2)
    monkeypatch.setattr(report_module, "MAX_FAILURES", 2)
    page = page_of([*scored(0.1, 0.2), *[Row("a.jpg", None, "is damaged")] * 2], tmp_path)
    assert len(page.cards) == 2 and page.text.count("is damaged") == 2 and "left out" not in page.text


def test_a_picture_at_the_threshold_is_unsafe_and_one_alone_is_no_pictures(tmp_path):
    assert "1 of 2 pictures at 0.8 or above" in page_of(scored(0.8, 0.7999), tmp_path).text
    assert "1 of 1 picture at 0.8 or above" in page_of(scored(0.8), tmp_path).text


def test_a_page_is_known_by_its_beginning_only(tmp_path):
    page_of(scored(0.5), tmp_path)
    page = tmp_path / "report.html"
    assert report_module.is_page(page) is True and report_module.is_page(tmp_path / "none.html") is False
    page.write_bytes(b" " * 1024 + page.read_bytes())
    assert report_module.is_page(page) is False


def test_a_page_is_replaced_unless_told_otherwise(tmp_path):
    page_of(scored(0.5), tmp_path)
    Report(0.5).write(tmp_path / "report.html", "another summary")
    assert "another summary" in (tmp_path / "report.html").read_text(encoding="utf-8")
    with pytest.raises(OutputError):
        Report(0.5).write(tmp_path / "report.html", "a third", overwrite=False)


def test_an_empty_page_is_one_too(tmp_path):
    page = page_of([], tmp_path)
    assert page.cards == [] and "0 of 0 pictures" in page.text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_runs_its_script_and_none_of_a_stranger(tmp_path):
    """The script fills in how many are shown. What Chromium's console says of the policy goes to standard error."""
    name = tmp_path / '"><img src=x onerror="document.title=1">.jpg'
    page_of([*scored(0.9, 0.2), Row(str(name), 0.5, None), Row(str(IMG / "rocket.jpg"), 0.1, None)], tmp_path)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    process = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert '<output id="shown" for="find label">4 of 4 pictures</output>' in process.stdout
    assert "<title>1 of 4 pictures at 0.8 or above</title>" in process.stdout
    assert "CONSOLE" not in process.stderr and "Content Security Policy" not in process.stderr
