"""Old names of inverse scoring and of Pillow's steps still work, and warn of the new ones."""

import importlib
import sys

import numpy as np
import pytest

from nsfw_experiments.inverse import inverse
from nsfw_experiments.inverse.eot import Transformation
from nsfw_experiments.inverse.record import Record
from nsfw_experiments.inverse.surrogate import Report
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.preprocessing import preprocessing

NAMES = [
    ("inverse.callbacks", "LiveView", "LiveInverse"),
    ("inverse.eot", "robust_search", "eot_attack"),
    ("inverse.eot", "survival", "robustness_grid"),
    ("inverse.eot", "survival_table", "robustness_table"),
    ("inverse.prune", "Tiles", "McuGrid"),
    ("inverse.prune", "spare", "prune"),
    ("inverse.search", "Network", "PixelScorer"),
    ("inverse.search", "adjust", "greedy_correction"),
    ("inverse.search", "settle", "boundary_search"),
    ("inverse.surrogate", "ADVERSARY", "ADVERSARIAL_WEIGHT"),
    ("inverse.surrogate", "MockJpegInverse", "SurrogateAttack"),
    ("inverse.surrogate", "build_mock_jpeg", "build_surrogate"),
    ("pillow.preprocessing", "Coding", "JpegRoundTrip"),
    ("pillow.preprocessing", "Mirroring", "HorizontalFlip"),
    ("pillow.theano_ops", "JpegCoding", "JpegOp"),
]


@pytest.mark.parametrize("module, old, new", NAMES, ids=[old for _, old, _ in NAMES])
def test_an_old_name_gives_the_new_thing_and_warns(module, old, new):
    module = importlib.import_module(f"nsfw_experiments.{module}")
    with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}"):
        assert getattr(module, old) is getattr(module, new)


@pytest.mark.parametrize(
    "module, name",
    [
        ("fragility", "fragility"),
        ("inverse_view", "LiveView"),
        ("mock_jpeg", "MockJpegInverse"),
        ("robust", "survival"),
        ("thrift", "spare"),
        ("expressions", "jpeg"),
        ("pipeline", "Coding"),
        ("similarity", "psnr"),
    ],
)
def test_modules_are_found_where_they_once_stood_and_warn(module, name, monkeypatch):
    monkeypatch.delitem(sys.modules, f"nsfw_experiments.{module}", raising=False)
    with pytest.warns(DeprecationWarning, match=" is now ") as warned:
        assert getattr(importlib.import_module(f"nsfw_experiments.{module}"), name)
    assert f"nsfw_experiments.{module} is now nsfw_experiments." in str(warned[0].message)


def report():
    return Report(0, 0.5, 0.5, 7.0, 0.0, 0.0)


def record():
    fields = dict.fromkeys(Record.__dataclass_fields__, 0)
    return Record(**{**fields, "robustness_grid": {Transformation(50): 0.5}})


PIXELS = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
GRADIENT = np.random.default_rng(1).normal(size=(256, 256, 3)).astype(np.float32)
INPUT_GRADIENT = np.ones((3, 224, 224), np.float32)


@pytest.mark.parametrize(
    "old, new",
    [
        (lambda: report().mock_loss, lambda: report().surrogate_loss),
        (lambda: record().survival, lambda: record().robustness_grid),
        (lambda: Transformation(50).demanded, lambda: Transformation(50).required),
        (lambda: Jpeg().ratios(PIXELS)[0], lambda: Jpeg().unrounded_coefficients(PIXELS)[0]),
        (
            lambda: Jpeg().pull_back(GRADIENT, ratios=Jpeg().unrounded_coefficients(PIXELS), weighting=2.0),
            lambda: Jpeg().vjp(GRADIENT, Jpeg().unrounded_coefficients(PIXELS), straight_through_exponent=2.0),
        ),
        (lambda: Jpeg().pull_back(GRADIENT), lambda: Jpeg().vjp(GRADIENT, straight_through_exponent=0.0)),
        (lambda: Jpeg().pull_back_decoding(GRADIENT)[0], lambda: Jpeg().decoding_vjp(GRADIENT)[0]),
        (
            lambda: Jpeg().pull_back_encoding(Jpeg().decoding_vjp(GRADIENT), (256, 256)),
            lambda: Jpeg().encoding_vjp(Jpeg().decoding_vjp(GRADIENT), (256, 256)),
        ),
        (
            lambda: preprocessing((256, 256)).pull_back(INPUT_GRADIENT, [None]),
            lambda: preprocessing((256, 256)).vjp(INPUT_GRADIENT, [None], straight_through_exponent=0.0),
        ),
    ],
    ids=["mock_loss", "survival", "demanded", "ratios", "pull_back", "straight", "decoding", "encoding", "pipeline"],
)
def test_an_old_method_or_attribute_gives_what_the_new_one_does_and_warns(old, new):
    with pytest.warns(DeprecationWarning, match="is now"):
        given = old()
    np.testing.assert_equal(given, new())


def test_the_jpeg_operation_still_takes_weighting():
    import theano.tensor as T

    from nsfw_experiments.pillow.theano_ops import jpeg

    with pytest.warns(DeprecationWarning, match="weighting is now straight_through_exponent"):
        old = jpeg(T.tensor4(), weighting=6.0)
    assert old.owner.op == jpeg(T.tensor4(), straight_through_exponent=6.0).owner.op != jpeg(T.tensor4()).owner.op


def test_inverse_still_takes_watch():
    seen = []
    with pytest.warns(DeprecationWarning, match="watch is now callback"):
        _, record = inverse("img/chelsea.png", "sfw", watch=seen.append)
    assert seen == record.history


@pytest.mark.parametrize("name", ["LARGEST_AREA", "LARGEST_ROBUST_AREA", "SMALLEST_SIDE"])
def test_limits_are_found_in_the_package_that_once_was_a_module(name):
    import nsfw_experiments.inverse as once_a_module
    from nsfw_experiments.inverse import attack

    with pytest.warns(DeprecationWarning, match=f"{name} is now nsfw_experiments.inverse.attack.{name}"):
        assert getattr(once_a_module, name) is getattr(attack, name)
