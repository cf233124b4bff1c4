"""The median over views: near Yahoo's score for ordinary pictures, and not to be led astray by an invisible change."""

import json
from functools import cache

import numpy as np
import pytest
from PIL import Image

from nsfw_command.main import main
from nsfw_experiments.inverse import inverse
from nsfw_model.preprocess import prepare
from nsfw_model.views import VIEWS, prepare_views
from open_nsfw import frame_scores, get_scorer, nsfw_score, nsfw_scores

PICTURES = ["img/astronaut.png", "img/chelsea.png", "img/coffee.jpg", "img/rocket.jpg", "img/starry_swirls.png"]


@cache
def inverted():
    picture, record = inverse("img/coffee.jpg", 0.98, iterations=40)
    assert record.reached
    return picture


def test_the_first_view_is_what_the_network_is_given_otherwise():
    views = prepare_views("img/coffee.jpg")
    assert views.shape == (len(VIEWS), 3, 224, 224) and len(VIEWS) % 2 == 1
    np.testing.assert_array_equal(views[0], prepare("img/coffee.jpg"))
    assert len(np.unique(views.reshape(len(VIEWS), -1), axis=0)) == len(VIEWS)


def test_it_is_the_median_of_the_scores_of_the_views():
    scores = get_scorer().scores(prepare_views("img/chelsea.png"))
    assert nsfw_score("img/chelsea.png", resist=True) == pytest.approx(float(np.median(scores)), rel=1e-5)


@pytest.mark.parametrize("picture", PICTURES)
def test_ordinary_pictures_stay_where_they_are(picture):
    assert nsfw_score(picture, resist=True) == pytest.approx(nsfw_score(picture), abs=0.02)


def test_an_inverted_picture_scores_about_what_it_did_before():
    assert nsfw_score(inverted()) >= 0.98
    assert nsfw_score(inverted(), resist=True) < 0.2


def test_scores_without_it_are_yahoo_s():
    assert nsfw_score("img/coffee.jpg") == nsfw_score("img/coffee.jpg", resist=False)
    assert list(nsfw_scores(PICTURES)) == list(nsfw_scores(PICTURES, resist=False))


def test_every_way_to_score_gives_the_same():
    expected = pytest.approx([nsfw_score(picture, resist=True) for picture in PICTURES], rel=1e-5)
    assert list(nsfw_scores(PICTURES, resist=True)) == expected
    assert [score for [(_, score)] in nsfw_scores(PICTURES, resist=True, frames="all")] == expected
    assert [score for [(_, score)] in (frame_scores(picture, resist=True) for picture in PICTURES)] == expected


def test_of_an_animation_each_frame_is_seen_in_its_views(tmp_path):
    frames = [inverted(), Image.open("img/rocket.jpg").resize((256, 256))]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert nsfw_score(tmp_path / "a.webp", frames="max") > 0.9
    assert nsfw_score(tmp_path / "a.webp", frames="max", resist=True) < 0.2


def test_the_command_says_how_it_scored(tmp_path, capsys):
    inverted().save(tmp_path / "a.png")
    assert main(["score", "--json", "--resist", str(tmp_path / "a.png")]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["score"] == pytest.approx(nsfw_score(inverted(), resist=True), abs=1e-6)


def test_a_file_of_other_scores_is_not_gone_on_with(tmp_path, capsys):
    inverted().save(tmp_path / "a.png")
    out = str(tmp_path / "scores.csv")
    assert main(["score", "--out", out, str(tmp_path / "a.png")]) == 0
    assert main(["score", "--out", out, "--resume", "--resist", str(tmp_path / "a.png")]) == 2
    assert "--resist: got True, its rows were made with None" in capsys.readouterr().err


def test_a_long_comment_is_no_matter():
    picture = Image.open("img/coffee.jpg").convert("RGB")
    expected = nsfw_score(picture, resist=True)
    picture.info["comment"] = b"a" * 70_000
    assert nsfw_score(picture, resist=True) == expected
