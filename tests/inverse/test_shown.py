"""What searches, reports and inspections show of themselves, to the line and the letter."""

import io
import math
import re

import numpy as np
import pytest
from PIL import Image
from skimage.restoration import denoise_tv_chambolle

from nsfw_experiments.inverse import Inspection, inspect
from nsfw_experiments.inverse.appearance import Appearance
from nsfw_experiments.inverse.callbacks import LiveInverse, ProgressBar, closest, draw_history
from nsfw_experiments.inverse.inspection import denoised, looks
from nsfw_experiments.inverse.record import Step
from nsfw_experiments.inverse.stability import Fragility, _shifted, _transformed, fragility
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_model.logit import score_of

GREY = np.full((8, 8, 3), 100, np.uint8)


def step(number, score, decibels, best_decibels=None, pixels=None, best=False):
    return Step(number, score, decibels, best_decibels, pixels, best=best)


HISTORY = [
    step(1, 0.1, math.inf, None, GREY, best=True),
    step(2, 0.7, 40.0, 40.0, None, best=True),
    step(3, 0.55, 48.0, 48.0, GREY + np.uint8([0, 1, 2]), best=True),
    step(4, 0.5, 49.0, 48.0, None),
]


# Callbacks


def test_a_drawn_search_has_its_pictures_titles_axes_and_colours():
    figure = draw_history(HISTORY)
    assert figure.get_size_inches().tolist() == [13, 3.4]
    *pictures, curve, decibels = figure.axes
    assert [axes.get_title() for axes in pictures] == [
        "original, 0.1000",
        "changed, 0.5500",
        "difference, ×63.5, 48.00 dB",
    ]
    expected = (GREY, GREY + np.uint8([0, 1, 2]), np.full((8, 8, 3), [128, 192, 255]))
    for axes, pixels in zip(pictures, expected):
        [picture] = axes.images
        np.testing.assert_array_equal(picture.get_array(), pixels)
        assert picture.get_interpolation() == "nearest" and not axes.axison
    scores, best = curve.lines
    assert scores.get_xydata().tolist() == [[1, 0.1], [2, 0.7], [3, 0.55], [4, 0.5]]
    assert (scores.get_marker(), scores.get_linestyle(), scores.get_color()) == (".", "-", "tab:red")
    assert np.ravel(best.get_xydata()).tolist() == [3, 0.55]
    assert (best.get_marker(), best.get_color()) == ("o", "tab:red")
    assert (curve.get_xlabel(), curve.get_ylabel(), curve.get_ylim()) == ("evaluation", "score", (-0.02, 1.02))
    assert curve.yaxis.label.get_color() == "tab:red"
    [line] = decibels.lines
    np.testing.assert_array_equal(line.get_ydata(), [math.nan, 40.0, 48.0, 48.0])
    assert line.get_xdata().tolist() == [1, 2, 3, 4] and line.get_marker() == "."
    assert (decibels.get_ylabel(), decibels.yaxis.label.get_color()) == ("PSNR of the best, dB", "tab:blue")
    widths = [axes.get_gridspec().get_width_ratios() for axes in figure.axes[:1]]
    assert widths == [[1, 1, 1, 1.4]]


@pytest.mark.parametrize("without", [0, 2])
def test_a_search_whose_pictures_are_gone_is_not_drawn(without):
    history = [*HISTORY[:without], step(without + 1, 0.5, 40.0, best=True), *HISTORY[without + 1 :]]
    with pytest.raises(ValueError, match="history: got a first step without pixels, expected the original's"):
        draw_history(history)


def test_the_closest_step_is_the_last_that_was_the_best():
    assert closest(HISTORY) is HISTORY[2] and closest(HISTORY[:2]) is HISTORY[1] and closest(HISTORY[:1]) is HISTORY[0]


def test_a_live_view_takes_steps_from_the_original_on_or_from_where_a_search_is(monkeypatch):
    monkeypatch.setattr(LiveInverse, "show", lambda self: None)
    view = LiveInverse()
    with pytest.raises(ValueError, match="got evaluation 2 as the first, expected that of the original; call begin"):
        view(HISTORY[1])
    assert view.seconds == 2.0 and LiveInverse(seconds=5).seconds == 5

    class Search:
        history = HISTORY[:2]

    view.begin(Search())
    view(HISTORY[2])
    assert view._history == HISTORY[:3] and Search.history == HISTORY[:2]
    assert view.figure().axes[1].get_title() == "changed, 0.5500"
    view(step(4, 0.5, 49.0, 48.0, GREY))
    view(step(5, 0.5, 49.0, 48.0, GREY))
    assert [one.pixels is not None for one in view._history] == [True, False, True, False, True]


def test_the_progress_bar_says_what_a_step_has_come_to(monkeypatch):
    said, terminal = [], io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(ProgressBar, "set_postfix_str", lambda self, text, refresh: said.append((text, refresh)))
    with ProgressBar(7) as bar:
        for each in HISTORY:
            bar(each)
        assert (bar.total, bar.n, bar.unit) == (7, 4, "iteration")
    assert said == [
        ("score 0.1000 at inf dB", False),
        ("score 0.7000 at 40.00 dB, best 40.00 dB", False),
        ("score 0.5500 at 48.00 dB, best 48.00 dB", False),
        ("score 0.5000 at 49.00 dB, best 48.00 dB", False),
    ]


# Stability

REPORT = Fragility(0.25, {"JPEG 95": 0.2, "a < b": 0.75}, 1.23456)


def test_a_fragility_report_reads_as_a_table_of_scores_and_how_far_they_moved():
    assert str(REPORT).splitlines() == [
        "as it is         0.250000",
        "JPEG 95          0.200000  -0.050000",
        "a < b            0.750000  +0.500000",
        "fragility 1.235",
    ]


def test_a_fragility_report_in_a_notebook_is_a_table_with_bars():
    html = REPORT._repr_html_()
    assert "<caption>fragility 1.235</caption><tr><th></th><th>score</th><th>change</th><th></th></tr>" in html
    rows = re.findall(r'<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>.*?div style="width:(\d+)px', html)
    assert rows == [
        ("as it is", "0.250000", "+0.000000", "25"),
        ("JPEG 95", "0.200000", "-0.050000", "20"),
        ("a &lt; b", "0.750000", "+0.500000", "75"),
    ]
    assert html.startswith("<table>") and html.endswith("</table>")


def test_a_drawn_fragility_report_has_a_point_for_each_transformation_and_a_line_for_the_picture(monkeypatch):
    from matplotlib.figure import Figure

    drawn, save = [], Figure.savefig

    def saved(figure, *arguments, **options):
        drawn.append((figure, options))
        return save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    assert REPORT._repr_png_().startswith(b"\x89PNG")
    [(figure, options)] = drawn
    [axes] = figure.axes
    points, line = axes.lines
    assert points.get_xdata().tolist() == [0.2, 0.75] and list(points.get_ydata()) == ["JPEG 95", "a < b"]
    assert (points.get_marker(), points.get_linestyle()) == ("o", "None")
    assert list(line.get_xdata()) == [0.25, 0.25] and line.get_color() == "tab:red"
    assert (axes.get_xlabel(), axes.get_title(), axes.get_xlim()) == ("score", "fragility 1.235", (-0.02, 1.02))
    assert axes.yaxis_inverted() and options == {"format": "png", "dpi": 80}
    np.testing.assert_allclose(figure.get_size_inches(), [6, 1.44])


def test_what_is_tried_for_fragility_is_what_it_is_named_after():
    pixels = np.random.default_rng(1).integers(0, 256, (10, 14, 3), dtype=np.uint8)
    tried = {name: (small, changed) for name, small, changed in _transformed(pixels, np.random.default_rng(3))}
    assert [name for name, (small, _) in tried.items() if small] == [
        *(f"JPEG {quality}" for quality in (95, 90, 85, 80)),
        *("shift +1 +0", "shift -1 +0", "shift +0 +1", "shift +0 -1"),
        *(f"noise {number}" for number in (1, 2, 3, 4)),
    ]
    assert len(tried) == 23
    for quality in (95, 50):
        np.testing.assert_array_equal(tried[f"JPEG {quality}"][1], Jpeg(quality)(pixels))
    scaled = {name: changed.shape for name, (_, changed) in tried.items() if name.startswith("scale")}
    assert scaled == {
        "scale x0.5": (5, 7, 3),
        "scale x0.75": (8, 10, 3),
        "scale x0.9": (9, 13, 3),
        "scale x1.1": (11, 15, 3),
        "scale x1.5": (15, 21, 3),
        "scale x2": (20, 28, 3),
    }
    np.testing.assert_array_equal(tried["mirrored"][1], pixels[:, ::-1])
    generator = np.random.default_rng(3)
    for number in (1, 2, 3, 4):
        noisy = np.clip(pixels + generator.integers(-1, 2, pixels.shape), 0, 255)
        np.testing.assert_array_equal(tried[f"noise {number}"][1], noisy)


@pytest.mark.parametrize("down, right", [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_a_shifted_picture_has_its_edge_twice(down, right):
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    expected = [
        [pixels[min(max(row - down, 0), 4), min(max(column - right, 0), 3)] for column in range(4)] for row in range(5)
    ]
    np.testing.assert_array_equal(_shifted(pixels, down, right), expected)


class Green:
    """A scorer whose logit is the mean of green."""

    input_size = 224, 224

    def logits(self, x):
        return x[:, 1].mean(axis=(1, 2))


def test_fragility_is_the_median_of_what_is_small(monkeypatch):
    """Of distances 1, 2, 6 after small transformations; what is not small is told, and does not count."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    changes = [("a", True, 1), ("b", False, 50), ("c", True, 6), ("d", True, -2)]
    monkeypatch.setattr("nsfw_experiments.inverse.stability._transformed", lambda *_: changes)
    monkeypatch.setattr(
        "nsfw_experiments.inverse.stability._logit",
        lambda given, scorer: 0.5 + (given if isinstance(given, int) else 0),
    )
    found = fragility(pixels)
    assert found.number == 2 and found.score == score_of(0.5)
    assert found.scores == {"a": score_of(1.5), "b": score_of(50.5), "c": score_of(6.5), "d": score_of(-1.5)}


# Inspection


@pytest.mark.parametrize(
    "found, said",
    [
        (
            Inspection(0.5, 0.9, 3.5),
            "inverted: the logit, clipped to those of 0.01 and 0.99, moves by 0.90 under noise of one grey level"
            " (threshold 0.8)",
        ),
        (
            Inspection(0.5, 0.7, 3.25, "small"),
            "robustly inverted: the logit, clipped to those of 0.01 and 0.99, moves by 0.70 under noise of one grey"
            " level (threshold 0.8), by 3.25 under smoothing (threshold 3); small",
        ),
        (
            Inspection(0.5, 0.9, 3.25, "tiny", too_small=True),
            "nothing found: the logit, clipped to those of 0.01 and 0.99, moves by 0.90 under noise of one grey level"
            " (threshold 0.8), by 3.25 under smoothing (threshold 3); tiny",
        ),
    ],
)
def test_an_inspection_says_what_it_rests_on(found, said):
    assert str(found) == said


def test_an_inspection_in_a_notebook_is_a_table():
    html = Inspection(0.5, 0.7, 3.25, "1 < 2")._repr_html_()
    assert re.findall(r"<td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", html) == [
        ("score", "0.5000", ""),
        ("moved by noise", "0.7000", "0.8"),
        ("moved by smoothing", "3.2500", "3"),
    ]
    assert html.startswith("<table><caption>robustly inverted</caption><tr><th></th><th></th><th>threshold</th></tr>")
    assert html.endswith("</table><p>1 &lt; 2</p>") and "<p>" not in Inspection(0.5, 0.7, 3.25)._repr_html_()


def test_what_is_inspected_is_noise_twice_on_both_sizes_and_two_ways_of_smoothing():
    pixels = np.random.default_rng(2).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    given = looks(pixels, seed=4)
    small = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR))
    generator, noisy = np.random.default_rng(4), []
    for picture in (pixels, pixels, small, small):
        noisy.append(np.clip(picture + generator.integers(-1, 2, picture.shape), 0, 255))
    smooth = denoise_tv_chambolle(small / 255, weight=0.2, max_num_iter=40, channel_axis=-1)
    coarse = Image.fromarray(small).resize((64, 64), Image.Resampling.BILINEAR)
    expected = [pixels, *noisy, np.floor(255 * smooth + 0.5), coarse.resize((256, 256), Image.Resampling.BILINEAR)]
    assert len(given) == len(expected) == 7
    for look, picture in zip(given, expected):
        np.testing.assert_array_equal(look, np.asarray(picture))
    assert denoised(np.full((4, 4, 3), 255, np.uint8)).max() == 255


@pytest.mark.parametrize(
    "size, remark",
    [
        ((64, 64), ""),
        ((63, 64), "63x64 pixels are too few to hide a change (64 a side at least)"),
        ((64, 63), "64x63 pixels are too few to hide a change (64 a side at least)"),
    ],
)
def test_pictures_of_fewer_pixels_than_a_search_takes_are_too_small(size, remark):
    found = inspect(Image.new("RGB", size), scorer=Green())
    assert (found.remark, found.too_small) == (remark, bool(remark))


def test_an_animation_is_inspected_at_the_frame_that_it_is_at():
    file = io.BytesIO()
    frames = [Image.new("RGB", (64, 63), (0, green, 0)) for green in (10, 200, 90)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    found = inspect(file.getvalue(), scorer=Green())
    assert found.remark.endswith("(64 a side at least); the first of several frames")
    opened = Image.open(file)
    opened.seek(2)
    assert inspect(opened, scorer=Green()).remark.endswith("; frame 3 of several")


# Appearance


@pytest.mark.parametrize(
    "appearance, flaws",
    [
        (Appearance(1, None, None), {}),
        (
            Appearance(6, None, None),
            {".bmp": "orientation", ".ppm": "orientation", ".tif": "turned", ".tiff": "turned"},
        ),
        (
            Appearance(1, None, np.zeros((1, 1), np.uint8)),
            dict.fromkeys((".bmp", ".ppm", ".jpg", ".jpeg"), "transparency"),
        ),
        (Appearance(1, b"profile", None), dict.fromkeys((".bmp", ".ppm"), "profile")),
    ],
)
def test_each_format_holds_what_it_holds(appearance, flaws):
    for extension in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".ppm"):
        flaw = appearance.flaw_in(extension)
        assert (flaw is None) if extension not in flaws else flaws[extension] in flaw, extension


def test_transparency_is_put_on_a_picture_of_another_size_and_shown_on_black():
    alpha = np.array([[0, 255]], np.uint8)
    appearance = Appearance(6, b"profile", alpha)
    picture = Image.new("RGB", (4, 2), (100, 100, 100))
    result = appearance.put_on(picture)
    expected = np.asarray(Image.fromarray(alpha).resize((4, 2), Image.Resampling.BILINEAR))
    assert result.mode == "RGBA" and picture.mode == "RGB" and not picture.info
    np.testing.assert_array_equal(np.asarray(result)[..., 3], expected)
    assert result.info["icc_profile"] == b"profile"
    exif = Image.Exif()
    exif.load(result.info["exif"])
    assert exif[0x0112] == 6 and set(appearance.saving()) == {"exif", "icc_profile"}
    shown = appearance.shown(np.asarray(picture))
    np.testing.assert_allclose(shown[..., 1], 100 * (expected / 255.0), rtol=1e-6)
    assert Appearance(1, None, None).put_on(picture).mode == "RGB"
