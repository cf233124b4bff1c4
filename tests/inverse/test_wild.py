"""Scores in the wild are those of pictures that really went through it."""

import io

import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.inverse import Inversion, inverse
from nsfw_experiments.inverse.composition import Composition
from nsfw_experiments.inverse.families import required
from nsfw_experiments.inverse.wild import NEVER_DRAWN, wild_scores, wild_table
from open_nsfw import nsfw_score, resize_image

CHELSEA = "img/chelsea.png"


def saved(picture, **options):
    file = io.BytesIO()
    picture.save(file, **options)
    return Image.open(file)


def named(name):
    [composition] = [each for each in (*NEVER_DRAWN, *required(("crop", "webp"))) if str(each) == name]
    return composition


def test_a_score_in_the_wild_is_that_of_the_file_that_comes_out_of_it():
    pixels = resize_image(CHELSEA)
    picture = Image.fromarray(pixels)
    twice = saved(saved(picture, format="JPEG", quality=70), format="JPEG", quality=70)
    cropped = picture.crop((6, 6, 250, 250)).resize((305, 305), Image.Resampling.BICUBIC)
    expected = {
        named("JPEG 70 twice"): twice,
        named("crop 5 %, x1.25, JPEG 70"): saved(cropped, format="JPEG", quality=70),
        named("1080 wide, JPEG 85 4:4:4"): saved(
            picture.resize((1080, 1080), Image.Resampling.LANCZOS), format="JPEG", quality=85, subsampling="4:4:4"
        ),
    }
    scores = wild_scores(pixels, tried=list(expected))
    assert scores == pytest.approx({each: nsfw_score(file) for each, file in expected.items()}, abs=1e-6)


def test_the_table_has_what_is_required_and_what_was_never_drawn_apart():
    crop = named("crop 5 %")
    lines = wild_table({crop: 0.97, NEVER_DRAWN[0]: 0.95, NEVER_DRAWN[1]: 0.4}).splitlines()
    assert [line.strip() for line in lines if not line.startswith("  ")][:2] == [
        "required",
        "not required, never drawn",
    ]
    assert lines[1].split() == ["crop", "5", "%", "0.9700"] and lines[3].split() == ["JPEG", "70", "twice", "0.9500"]
    assert "lowest 0.9700 of those required, 0.4000 of the others" in lines


def test_a_result_has_reached_its_target_only_if_it_did_after_all_that_its_families_demand(scorer_giving):
    _, record = inverse(CHELSEA, 0.8, iterations=6, robust="crop", scorer=scorer_giving(0.3))
    assert record.reached and record.robustness_grid == {}
    assert [str(each) for each in record.wild if each.required] == ["crop 2 %", "crop 5 %", "corner crop 5 %"]
    assert min(score for each, score in record.wild.items() if each.required) >= 0.8
    record.wild[named("crop 5 %")] = 0.7
    assert not record.reached
    record.wild[named("crop 5 %")] = 0.9
    record.wild[NEVER_DRAWN[0]] = 0.1
    assert record.reached


def test_the_attack_is_verified_on_all_that_its_families_demand(scorer_giving):
    """A scorer that sees red falls short where edges are cut off, if what is red are the edges."""
    inversion = Inversion(CHELSEA, 0.8, iterations=6, robust="crop,blur", scorer=scorer_giving(0.3))
    inversion.run()
    assert inversion.best.verified and inversion.robust and inversion.families == ("crop", "blur")
    worst = min(score for each, score in inversion.result()[1].wild.items() if each.required)
    assert inversion.best.score == pytest.approx(worst, abs=1e-6)


def test_plain_mode_knows_nothing_of_the_wild(raised):
    assert raised[1].wild is None


def test_a_change_that_is_made_for_one_family_is_drawn_from_it(scorer_giving):
    pictures = [
        np.asarray(inverse(CHELSEA, 0.8, iterations=4, robust=families, seed=seed, scorer=scorer_giving(0.3))[0])
        for families, seed in ((("crop", "tone"), 1), ("crop,tone", 1), ("crop,tone", 2))
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[1] != pictures[2]).any()


def test_a_composition_without_steps_is_the_picture_as_it_is(scorer_giving):
    as_it_is = Composition(())
    scores = wild_scores(resize_image(CHELSEA), scorer_giving(0.3), [as_it_is])
    assert str(as_it_is) == "as it is" and scores[as_it_is] == pytest.approx(0.3, abs=1e-4)
