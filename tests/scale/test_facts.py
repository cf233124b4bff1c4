"""Facts: those of two processes agree, and whatever would move a score shows in them."""

import hashlib

import numpy as np
import PIL
import pytest

from nsfw_model.scorer import Scorer
from nsfw_scale import facts as facts_module
from nsfw_scale.facts import difference, facts, known_picture
from open_nsfw import get_scorer, model_files, nsfw_score


@pytest.fixture(scope="module")
def here():
    return facts("2.0.0", model_files(), get_scorer())


def facts_now():
    return facts("2.0.0", model_files(), get_scorer())


def test_a_process_agrees_with_itself(here):
    assert difference(facts_now(), here) is None


def test_the_known_picture_is_scored_in_the_middle_where_differences_show(here):
    assert 0.4 < here["float32 score"] < 0.6
    assert here["float32 score"] == pytest.approx(nsfw_score(known_picture()), abs=1e-6)


def test_another_pillow_is_named_with_its_libjpeg(here, monkeypatch):
    monkeypatch.setattr(PIL, "__version__", "11.0.0")
    monkeypatch.setattr("PIL.features.version_feature", lambda feature: "3.0.0")
    assert difference(facts_now(), here) == f"Pillow 11.0.0 (libjpeg-turbo 3.0.0), expected {here['Pillow']}"


def test_a_libjpeg_that_is_not_turbo_is_told(monkeypatch):
    monkeypatch.setattr("PIL.features.version_feature", lambda feature: None)
    monkeypatch.setattr("PIL.features.version_codec", lambda codec: "9.5")
    assert facts_now()["Pillow"] == f"{PIL.__version__} (libjpeg 9.5)"


def test_other_weights_are_named(here, tmp_path):
    weights, architecture = model_files()
    other = tmp_path / "nsfw.pkl"
    other.write_bytes(weights.read_bytes() + b"more")
    assert difference(facts("2.0.0", (other, architecture), get_scorer()), here).startswith("weights ")


def test_another_architecture_is_named(here, tmp_path):
    weights, architecture = model_files()
    other = tmp_path / "deploy.prototxt"
    other.write_bytes(architecture.read_bytes() + b"# a comment\n")
    assert difference(facts("2.0.0", (weights, other), get_scorer()), here).startswith("architecture ")


def test_a_pixel_that_is_prepared_in_another_way_shows(here, monkeypatch):
    prepare = facts_module.prepare

    def prepare_otherwise(*arguments):
        prepared = prepare(*arguments)
        prepared[0, 0, 0] += 1
        return prepared

    monkeypatch.setattr(facts_module, "prepare", prepare_otherwise)
    assert "pixels " in difference(facts_now(), here)


@pytest.mark.parametrize(("moved", "agrees"), [(9e-6, True), (-9e-6, True), (1.1e-5, False), (-1.1e-5, False)])
def test_scores_may_be_apart_as_other_processors_round(here, monkeypatch, moved, agrees):
    scores = Scorer.scores
    monkeypatch.setattr(Scorer, "scores", lambda self, x: scores(self, x).astype(np.float64) + moved)
    assert (difference(facts_now(), here) is None) == agrees


@pytest.mark.parametrize(
    ("precision", "moved", "agrees"),
    [("float32", 0.9e-5, True), ("float32", 1.1e-5, False), ("bfloat16", 0.0199, True), ("bfloat16", 0.0201, False)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_shorter_numbers_may_be_further_apart(precision, moved, agrees, sign):
    name = f"{precision} score"
    assert (difference({name: 0.5 + sign * moved}, {name: 0.5}) is None) == agrees


def test_versions_have_no_tolerance():
    assert difference({"NumPy": "2.0.0"}, {"NumPy": "2.0.1"}) == "NumPy 2.0.0, expected 2.0.1"
    assert difference({"NumPy": "2.0.0", "more": "a"}, {"NumPy": "2.0.0"}) is None


def test_the_facts_are_of_this_process(here):
    weights, architecture = model_files()
    assert list(here) == [
        "open_nsfw",
        "Pillow",
        "NumPy",
        "engine",
        "weights",
        "architecture",
        "pixels",
        "float32 score",
    ]
    assert (here["open_nsfw"], here["NumPy"]) == ("2.0.0", np.__version__)
    for name, path in ("weights", weights), ("architecture", architecture):
        assert here[name] == hashlib.sha256(path.read_bytes()).hexdigest()[:12]


class Halves:
    """A scorer of halves."""

    input_size = 224, 224

    def scores(self, x):
        assert x.shape == (1, 3, 224, 224)
        return np.array([0.5, 0.25], np.float32)


def test_a_score_is_told_with_its_precision():
    found = facts("1", model_files(), Halves(), "bfloat16")
    assert found["bfloat16 score"] == 0.5 and type(found["bfloat16 score"]) is float
    assert "float32 score" not in found


@pytest.mark.parametrize(
    ("info", "engine"),
    [({"engine": "onednn", "version": "3.5"}, "oneDNN 3.5"), ({"engine": "theano", "version": None}, "theano")],
)
def test_the_engine_is_told_with_its_version(info, engine, monkeypatch):
    monkeypatch.setattr("theano_cpu.onednn.info", lambda: info)
    assert facts("1", model_files(), Halves())["engine"] == engine


def test_the_known_picture_is_of_rings_by_whole_numbers_only():
    picture = known_picture()
    assert (picture.shape, picture.dtype) == ((480, 640, 3), np.uint8)
    for y, x in (0, 0), (479, 639), (240, 320), (240, 340), (100, 7), (333, 444):
        ring = ((x - 320) ** 2 + (y - 240) ** 2) // 320 % 256
        assert picture[y, x].tolist() == [ring, ring * 3 // 4, ring // 2]


def test_a_score_that_is_no_number_never_agrees():
    assert difference({"float32 score": float("nan")}, {"float32 score": 0.5}) == "float32 score nan, expected 0.5"


def test_scores_of_another_precision_are_not_compared():
    assert difference({"bfloat16 score": 0.5}, {"float32 score": 0.5}) == "float32 score unknown, expected 0.5"


def test_all_that_differs_is_said():
    assert difference({"NumPy": "1", "a": "b"}, {"NumPy": "2", "a": "b", "Pillow": "13"}) == (
        "NumPy 1, expected 2; Pillow unknown, expected 13"
    )
