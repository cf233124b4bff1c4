"""Families of transformations: what is drawn from them, what they demand, and how the hardest are mined."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.inverse.families import FAMILIES, PLACES, Batches, draw, not_required, required
from nsfw_experiments.inverse.target import CLASSIC, can_be_computed, check_robust
from nsfw_experiments.inverse.target import FAMILIES as NAMES
from nsfw_experiments.inverse.wild import NEVER_DRAWN, compositions, wild_table
from nsfw_experiments.pillow.edits import Crop, Rescaling
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.preprocessing import HorizontalFlip, JpegRoundTrip


def random(seed=0):
    return np.random.default_rng(seed)


def test_each_name_that_may_be_asked_for_is_a_family():
    assert tuple(FAMILIES) == NAMES and {family.place for family in FAMILIES.values()} == set(PLACES)


def test_all_families_are_drawn_each_in_its_place_and_never_what_was_not_asked_for():
    generator, seen = random(), Counter()
    for _ in range(500):
        kinds = [type(step).__name__ for step in draw(NAMES, generator).steps]
        seen.update(kinds)
        order = ["Crop", "Rotation", "Tone", "GaussianBlur", "UnsharpMask", "Rescaling", "HorizontalFlip"]
        assert [kind for kind in order if kind in kinds] == kinds[:-1]
        assert kinds[-1] in ("JpegRoundTrip", "CodecRoundTrip")
    assert set(seen) == {*order, "JpegRoundTrip", "CodecRoundTrip"}
    assert min(seen.values()) > 50
    few = [step for _ in range(50) for step in draw(("crop", "mirror"), generator).steps]
    assert {type(step) for step in few} == {Crop, HorizontalFlip}


def test_classic_draws_are_those_that_earlier_releases_drew_for_a_seed():
    generator = random(7)

    def mirrored():
        return [HorizontalFlip()] if generator.integers(2) else []

    expected = [(Rescaling(0.75), *mirrored(), JpegRoundTrip(Jpeg(50)))]
    for _ in range(3):
        quality, scale = int(generator.integers(50, 96)), float(2 ** generator.uniform(-1, 1))
        expected.append((Rescaling(scale), *mirrored(), JpegRoundTrip(Jpeg(quality))))
    assert [composition.steps for composition in Batches(CLASSIC, 4, random(7)).draw()] == expected


def test_what_families_demand_is_theirs_and_the_rest_is_told_apart():
    assert not required(CLASSIC)
    demanded = required(("crop", "sharpen"))
    assert {type(step).__name__ for each in demanded for step in each.steps} == {"Crop", "UnsharpMask"}
    assert all(each.required for each in demanded)
    others = not_required(("crop", "sharpen"))
    assert len(demanded) + len(others) == len(required(NAMES)) and not any(each.required for each in others)
    tried = compositions(("crop",))
    assert tried[:3] == required(("crop",)) and tried[-len(NEVER_DRAWN) :] == NEVER_DRAWN
    assert len(set(tried)) == len(tried)  # each has a score of its own


def test_no_search_draws_what_is_said_to_be_never_drawn():
    """Its filters, sizes and second codecs: steps that no family has, or two in one place."""
    generator = random()
    drawn = {tuple(type(step) for step in draw(NAMES, generator).steps) for _ in range(500)}
    bilinear_or_lanczos = {"x0.5 lanczos"}
    for composition in NEVER_DRAWN:
        foreign = any("bicubic" in str(step) or "pixels" in str(step) for step in composition.steps)
        assert foreign or tuple(type(step) for step in composition.steps) not in drawn, str(composition)
        assert not {str(step) for step in composition.steps} & bilinear_or_lanczos


def test_what_is_hardest_comes_back_and_what_is_easy_now_and_then():
    batches, seen = Batches(NAMES, 4, random()), Counter()
    for _ in range(100):
        mined = batches.draw()[:2]
        seen.update(map(str, mined))
        worst = batches.note([0.0 if str(each) == "blur 1" else 3.0 for each in mined] + [-9.0, -9.0])
        assert worst == (0.0 if "blur 1" in map(str, mined) else 3.0), "what is drawn at random does not count"
    assert {str(each) for each in required(NAMES)} < set(seen) and "x0.75, mirrored, JPEG 50" in seen
    assert seen["blur 1"] > 60 and max(count for name, count in seen.items() if name != "blur 1") < 20


def test_where_nothing_is_mined_all_that_is_drawn_counts():
    batches = Batches(CLASSIC, 3, random())
    batches.draw()
    assert batches.note([2.0, -1.0, 3.0]) == -1.0


@pytest.mark.parametrize(
    "robust, families",
    [
        (True, tuple(name for name in NAMES if can_be_computed(name))),
        (False, ()),
        ("classic", ("jpeg", "scale", "mirror")),
        ("blur, classic", ("jpeg", "scale", "mirror", "blur")),
        (["tone", "crop", "tone"], ("crop", "tone")),
    ],
)
def test_families_are_asked_for_by_their_names(robust, families):
    assert check_robust(robust) == families


@pytest.mark.parametrize("robust", ["", "crops", "jpeg,", [], ["jpeg", "grain"], None, 7, [["jpeg"]], [7]])
def test_other_names_are_refused(robust):
    with pytest.raises(
        ValueError, match="^robust: got .*, expected classic or names of jpeg, scale, mirror, half, crop"
    ):
        check_robust(robust)


def test_without_avif_it_is_neither_drawn_nor_demanded_and_that_is_said(monkeypatch):
    monkeypatch.setattr(Image, "SAVE", {"WEBP": None})
    assert check_robust(True) == tuple(name for name in NAMES if name != "avif")
    with pytest.raises(ValueError, match="robust: got avif, which this Pillow cannot write, expected other families"):
        check_robust("crop,avif")
    tried = compositions(check_robust(True))
    assert "AVIF 60" not in map(str, tried) and "WebP 80" in map(str, tried)
    assert "AVIF 60" not in map(str, compositions(CLASSIC))
    table = wild_table(dict.fromkeys(tried, 0.9))
    assert table.endswith("this Pillow cannot write AVIF: neither drawn nor required")


def test_without_webp_nothing_is_tried_that_needs_it(monkeypatch):
    monkeypatch.setattr(Image, "SAVE", {"AVIF": None})
    assert not [name for name in map(str, compositions(check_robust(True))) if "WebP" in name]
