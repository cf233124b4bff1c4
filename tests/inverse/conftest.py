"""A search that several tests look at, and a scorer that can be foreseen."""

import numpy as np
import pytest

from nsfw_experiments.inverse import inverse
from nsfw_model.logit import logit_of, score_of
from open_nsfw import prepare

CHELSEA = "img/chelsea.png"


@pytest.fixture(scope="session")
def raised():
    """A picture raised to 0.98 within 24 evaluations, with what a callback saw."""
    seen = []
    picture, record = inverse(CHELSEA, 0.98, iterations=24, callback=seen.append)
    return picture, record, seen


class RedLogit:
    """A scorer whose logit is the mean of red, and `offset` more: so quick and simple that all can be foreseen."""

    input_size = 224, 224

    def __init__(self, offset):
        self.offset = offset

    def logits(self, x):
        return x[:, 2].mean(axis=(1, 2)) + self.offset

    def scores(self, x):
        return np.array([score_of(float(logit)) for logit in self.logits(x)])

    def logits_and_gradients(self, x):
        gradients = np.zeros_like(x)
        gradients[:, 2] = 1 / 224**2
        return self.logits(x), gradients


@pytest.fixture
def scorer_giving():
    """Makes such a scorer that gives chelsea.png a score."""

    def scorer(score):
        return RedLogit(logit_of(score) - float(RedLogit(0).logits(prepare(CHELSEA)[None])[0]))

    return scorer
