"""``benchmarks/soak.py`` says by its exit code whether memory grew."""

import argparse
import runpy
from pathlib import Path

import pytest

SOAK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "soak.py"))


def test_memory_may_settle_in_the_first_tenth_and_grow_a_little_afterwards():
    SOAK["judge"]([100.0, 300.0, *[302.0] * 8, 304.9])


def test_memory_that_grows_is_a_failure():
    with pytest.raises(SystemExit, match="memory grew by 6.0 MB after the first tenth, expected at most 5 MB"):
        SOAK["judge"]([100.0, 300.0, *[302.0] * 8, 306.0])


@pytest.mark.parametrize("text", ["0", "9", "-10", "many"])
def test_fewer_scores_than_tenths_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number of at least 10"):
        SOAK["ten_or_more"](text)
