"""What families draw, how far and how often, and what else happens to pictures, setting by setting."""

from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.inverse import wild
from nsfw_experiments.inverse.families import FAMILIES, Batches, draw, required
from nsfw_experiments.inverse.target import FAMILIES as NAMES
from nsfw_experiments.inverse.wild import NEVER_DRAWN, compositions
from nsfw_experiments.pillow.edits import Crop

BILINEAR, LANCZOS = Image.Resampling.BILINEAR, Image.Resampling.LANCZOS
DRAWS = 10_000

#: What is drawn from each family, from where to where, as docs/inverse.md has it.
RANGES = {
    "jpeg": {"jpeg.quality": (50, 95)},
    "scale": {"scale": (0.5, 2.0)},
    "half": {"scale": (0.5, 0.5)},
    "crop": {"top": (0, 0.06), "bottom": (0, 0.06), "left": (0, 0.06), "right": (0, 0.06)},
    "rotate": {"degrees": (-1.5, 1.5)},
    "tone": {"gain": (0.87, 1.13), "gamma": (0.87, 1.13)},
    "blur": {"radius": (0.4, 1.2)},
    "sharpen": {"radius": (1, 3), "percent": (50, 200)},
    "webp": {"quality": (50, 95)},
    "avif": {"quality": (45, 80)},
}


def value(step, name):
    for part in name.split("."):
        step = getattr(step, part)
    return step


@pytest.mark.parametrize("family", RANGES)
def test_what_is_drawn_reaches_both_ends_of_its_range_and_never_passes_them(family):
    generator = np.random.default_rng(0)
    steps = [FAMILIES[family].draw(generator) for _ in range(DRAWS)]
    for name, (low, high) in RANGES[family].items():
        drawn = np.array([value(step, name) for step in steps])
        assert low <= drawn.min() <= low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) <= drawn.max() <= high
        if isinstance(value(steps[0], name), int) and low < high:
            assert set(drawn.tolist()) == set(range(low, high + 1))


def test_scales_are_drawn_as_often_above_the_size_as_below_it():
    generator = np.random.default_rng(0)
    scales = np.array([FAMILIES["scale"].draw(generator).scale for _ in range(DRAWS)])
    shares = [np.mean(scales < limit) for limit in (0.5**0.5, 1, 2**0.5)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75], atol=0.03)


def test_three_fifths_of_the_edges_are_cropped_each_for_itself():
    generator = np.random.default_rng(0)
    cut = np.array([list(vars(FAMILIES["crop"].draw(generator)).values()) for _ in range(DRAWS)]) > 0
    np.testing.assert_allclose(cut.mean(0), 0.6, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(cut.T), np.eye(4), atol=0.06)


def test_half_sizes_and_mirrors_are_drawn_both_ways_alike():
    generator = np.random.default_rng(0)
    halves = [FAMILIES["half"].draw(generator).resample for _ in range(DRAWS)]
    mirrored = [FAMILIES["mirror"].draw(generator) is None for _ in range(DRAWS)]
    assert set(halves) == {BILINEAR, LANCZOS}
    assert halves.count(LANCZOS) / DRAWS == pytest.approx(0.5, abs=0.03) == pytest.approx(np.mean(mirrored), abs=0.03)
    avif = FAMILIES["avif"].draw(generator)
    assert (avif.codec, avif.options) == ("AVIF", (("speed", 9),)) and FAMILIES["webp"].draw(generator).codec == "WebP"


@pytest.mark.parametrize(
    "family, share",
    [
        ("jpeg", 1),
        ("scale", 1),
        ("mirror", 0.5),
        ("half", 0.15),
        ("crop", 0.6),
        ("rotate", 0.15),
        ("tone", 0.3),
        ("blur", 0.25),
        ("sharpen", 0.15),
        ("webp", 0.15),
        ("avif", 0.06),
    ],
)
def test_a_family_is_drawn_as_often_as_it_says(family, share):
    generator = np.random.default_rng(0)
    drawn = [len(draw((family,), generator).steps) for _ in range(DRAWS)]
    assert set(drawn) <= {0, 1} and np.mean(drawn) == pytest.approx(share, abs=0.02)


def test_of_two_families_in_one_place_the_last_that_is_drawn_stays():
    generator, kinds = np.random.default_rng(0), defaultdict(int)
    for _ in range(DRAWS):
        for step in draw(("blur", "sharpen", "jpeg", "webp"), generator).steps:
            kinds[type(step).__name__] += 1
    assert kinds["UnsharpMask"] / DRAWS == pytest.approx(0.15, abs=0.02)
    assert kinds["GaussianBlur"] / DRAWS == pytest.approx(0.25 * 0.85, abs=0.02)
    assert kinds["CodecRoundTrip"] / DRAWS == pytest.approx(0.15, abs=0.02)
    assert kinds["JpegRoundTrip"] / DRAWS == pytest.approx(0.85, abs=0.02)


def test_what_each_family_demands_is_what_the_documentation_says():
    assert {name: [str(each) for each in required((name,))] for name in NAMES if required((name,))} == {
        "half": ["x0.5, JPEG 75", "x0.5 lanczos, JPEG 75"],
        "crop": ["crop 2 %", "crop 5 %", "corner crop 5 %"],
        "rotate": ["rotated 1°", "rotated -1°"],
        "tone": ["brightness +10 %", "brightness -10 %", "gamma 0.9", "gamma 1.1"],
        "blur": ["blur 1", "blur 1, JPEG 60"],
        "sharpen": ["unsharp mask 2, 150 %"],
        "webp": ["WebP 80", "WebP 50"],
        "avif": ["AVIF 60"],
    }
    crops = [each.steps[0] for each in required(("crop",))]
    assert crops == [Crop(0.01, 0.01, 0.01, 0.01), Crop(0.025, 0.025, 0.025, 0.025), Crop(0.05, 0, 0.05, 0)]


# Mining


def test_the_hardest_corner_of_the_grid_is_always_there_as_far_as_families_have_it():
    def corners(families, size=3):
        batches, seen = Batches(families, size, np.random.default_rng(0)), set()
        for _ in range(30):
            batch = batches.draw()
            seen.add(str(batch[0]))
            assert len(batch) == size
            batches.note([0.0] * size)
        return seen

    assert corners(("jpeg", "scale", "mirror")) == {"x0.75, JPEG 50", "x0.75, mirrored, JPEG 50"}
    assert corners(("jpeg", "mirror")) == {"JPEG 50", "mirrored, JPEG 50"}
    assert corners(("jpeg", "scale")) == {"x0.75, JPEG 50"}
    assert not Batches(("scale", "mirror"), 2, np.random.default_rng(0))._corners


def test_a_margin_counts_less_by_0_15_for_each_step_since_it_was_seen():
    batches = Batches(("tone", "sharpen"), 2, np.random.default_rng(0))
    margins = dict(zip(map(str, required(("tone", "sharpen"))), (1.0, 1.2, 1.4, 1.9, 5.0)))
    hardest = []
    for _ in range(12):
        first, *others = batches.draw()
        assert len(others) == 1
        hardest.append(str(first))
        assert batches.note([margins[hardest[-1]], -9.0]) == margins[hardest[-1]]
    seen, expected = dict.fromkeys(margins, 0.0), []
    for _ in range(12):
        expected.append(min(seen, key=seen.__getitem__))
        for name in seen:
            seen[name] -= 0.15
        seen[expected[-1]] = margins[expected[-1]]
    assert hardest == expected and len(set(hardest[5:])) > 1


# In the wild

SETTINGS = {
    "JPEG 70 twice": ["JPEG 70 4:2:0", "JPEG 70 4:2:0"],
    "WebP 80, then JPEG 75": ["WebP 80", "JPEG 75 4:2:0"],
    "screenshot at 1.25": ["x1.25 bicubic"],
    "screenshot at 1.25, JPEG 80": ["x1.25 bicubic", "JPEG 80 4:2:0"],
    "1080 wide, JPEG 85": ["1080 pixels lanczos", "JPEG 85 4:2:0"],
    "1080 wide, JPEG 85 4:4:4": ["1080 pixels lanczos", "JPEG 85 4:4:4"],
    "Signal": ["at most 1600 pixels", "JPEG 70 4:2:0"],
    "Telegram, Android": ["at most 1280 pixels", "JPEG 80 4:2:0"],
    "Telegram, desktop": ["at most 1280 pixels", "JPEG 87 4:2:0"],
    "WhatsApp": ["at most 1600 pixels", "JPEG 75 4:2:0"],
    "phone's screenshot by WhatsApp": ["1080 pixels bicubic", "JPEG 75 4:2:0"],
    "crop 5 %, x1.25, JPEG 70": [
        "crop top 2.5 %, bottom 2.5 %, left 2.5 %, right 2.5 %",
        "x1.25 bicubic",
        "JPEG 70 4:2:0",
    ],
    "rotated 1° bicubic": ["rotated 1° bicubic"],
    "x0.5 bicubic, JPEG 75": ["x0.5 bicubic", "JPEG 75 4:2:0"],
}


def test_what_is_never_drawn_has_the_sizes_and_qualities_that_it_is_named_after():
    said = {
        str(each): [" ".join([str(step), *dict(getattr(step, "options", ())).values()]) for step in each.steps]
        for each in NEVER_DRAWN
    }
    assert list(said.items()) == list(SETTINGS.items())
    assert not any(each.required for each in NEVER_DRAWN)


def test_by_default_a_picture_is_scored_after_all_that_this_pillow_can_do(monkeypatch):
    tried = []
    monkeypatch.setattr(wild, "scores_through", lambda pipelines, *_: (tried.append(each) or 0.5 for each in pipelines))

    class Scorer:
        input_size = 100, 120

    scores = wild.wild_scores(np.zeros((256, 256, 3), np.uint8), Scorer())
    assert tuple(scores) == compositions(NAMES) and set(scores.values()) == {0.5}
    assert {pipeline.cropped for pipeline in tried} == {(100, 120)} and len(tried) == len(scores)
    assert not wild.wild_scores(np.zeros((256, 256, 3), np.uint8), Scorer(), [])
