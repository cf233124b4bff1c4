"""The hostile pickles of `pickles`, given to the reader of weights."""

import os
import re

import pickles
from attack import Attack

from nsfw_model.weights import load_weights


def _reading(make):
    def carry_out(folder):
        path = folder / "nsfw.pkl"
        path.write_bytes(make())
        try:
            return load_weights(path)
        finally:
            if pickles.MARK in os.environ:
                raise AssertionError("it ran")

    return carry_out


def _expected(make):
    return r"\[\]" if make in pickles.HARMLESS else f"WeightsError: .*{re.escape(pickles.REFUSALS[make])}"


ATTACKS = [
    Attack("pickles", make.__name__.replace("_", " "), _reading(make), _expected(make)) for make in pickles.ATTACKS
]
