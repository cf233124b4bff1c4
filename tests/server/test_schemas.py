"""The bounds of what is asked and answered: the last value within them is taken, the first beyond is not."""

import math

import pytest
from pydantic import ValidationError

from nsfw_server.schemas import Explanation, FileScore, Health, Model, ScoreOptions

VALID = {
    ScoreOptions: {},
    FileScore: {"file": "coffee.jpg", "score": 0.0129, "label": "safe", "milliseconds": 21.4},
    Explanation: {
        "model": "7f281a34583c",
        "score": 0.1,
        "logit": -2.2,
        "bias": 0.0,
        "cells": [[0.0]],
        "seen": [0.0] * 4,
    },
    Model: {
        "model": "7f281a34583c",
        "version": "2.0.0",
        "weights": "",
        "architecture": "",
        "input_size": [224, 224],
        "precisions": ["float32"],
        "engine": "onednn",
        "formats": ["JPEG"],
        "limits": {"queue": 128},
    },
    Health: {"status": "ok"},
}
BOUNDS = [
    (ScoreOptions, "frames", ["first", "max", "mean"], ["all", "", None]),
    (ScoreOptions, "every", [None, 1e-9, 1e6], [0, -1, 1e6 + 1, math.nan]),
    (ScoreOptions, "precision", ["float32", "bfloat16"], ["float64"]),
    (ScoreOptions, "threshold", [0, 1], [-1e-9, 1 + 1e-9, math.nan]),
    (FileScore, "file", [None, ""], [1]),
    (FileScore, "score", [None, 0, 1], [-1e-9, 1 + 1e-9]),
    (FileScore, "label", ["unsafe", "safe", "failed"], ["none"]),
    (FileScore, "milliseconds", [0], [-1e-9]),
    (Explanation, "score", [0, 1], [-1e-9, 1 + 1e-9]),
    (Explanation, "seen", [[0.0] * 4], [[0.0] * 3, [0.0] * 5]),
    (Model, "input_size", [[1, 1]], [[1], [1, 1, 1]]),
    (Model, "precisions", [[], ["float32", "bfloat16"]], [["float64"]]),
    (Health, "status", ["ok"], ["none"]),
]


@pytest.mark.parametrize(
    ("schema", "field", "value"), [(of, name, value) for of, name, good, _ in BOUNDS for value in good]
)
def test_what_is_within_its_bounds_is_taken(schema, field, value):
    assert getattr(schema(**{**VALID[schema], field: value}), field) == value


@pytest.mark.parametrize(
    ("schema", "field", "value"), [(of, name, value) for of, name, _, bad in BOUNDS for value in bad]
)
def test_what_is_beyond_its_bounds_is_refused(schema, field, value):
    with pytest.raises(ValidationError, match=field):
        schema(**{**VALID[schema], field: value})


def test_an_option_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match="treshold"):
        ScoreOptions(treshold=0.5)


def test_options_that_are_not_given_score_the_first_frame():
    assert ScoreOptions().model_dump() == {"frames": "first", "every": None, "precision": "float32", "threshold": 0.8}
