"""Each method gives what Captum 0.9.0 gives on a PyTorch 2.13.0 copy of the network.

The values of data/captum.npz are Captum's (CPU, float64, Python 3.11), made by benchmarks/captum_reference.py. Captum's
gradients are of single values; ours are as large as their mean is to be, see
`nsfw_experiments.explanation.attribution`.
"""

from math import inf
from pathlib import Path

import numpy as np
import pytest
from explained import LAYER, NOISE, SAMPLES, STEPS, network_inputs, sampled
from float64_scorer import Float64Scorer

from nsfw_experiments.explanation import METHODS
from open_nsfw import get_scorer

#: Of our method, its parameters, and how many times as large as Captum's its cells are.
COMPARED = {
    "class-activation-map": ("class-activation-map", {}, 7 * 7),
    "grad-cam": ("grad-cam", {"layer": LAYER}, 14 * 14),
    "input-gradient": ("input-gradient", {}, 224 * 224),
    "smooth-grad": ("smooth-grad", {"samples": SAMPLES, "noise": NOISE, "seed": 0}, 224 * 224),
    "integrated-gradients": ("integrated-gradients", {"steps": STEPS, "tolerance": inf}, 224 * 224),
    "occlusion": ("occlusion", {"patch": 32}, 1),
    "occlusion, overlapping": ("occlusion", {"patch": 64, "stride": 48}, 1),
}


@pytest.fixture(scope="module")
def captums():
    with np.load(Path(__file__).parent / "data/captum.npz") as file:
        return dict(file)


def test_every_method_is_compared():
    assert {method for method, _, _ in COMPARED.values()} == set(METHODS)


def difference(scorer, name, x, captum_s):
    """The largest one of sums over parts, or of single values, relative to the largest of Captum's."""
    method, parameters, times = COMPARED[name]
    found = sampled(METHODS[method](scorer, x, **parameters).cells / times)
    return max(float(np.abs(ours - theirs).max() / np.abs(theirs).max()) for ours, theirs in zip(found, captum_s))


@pytest.mark.parametrize("name", ["class-activation-map", "occlusion", "occlusion, overlapping"])
def test_a_method_without_gradients_gives_what_captum_gives(name, captums):
    for x, captum_s in zip(network_inputs(), captums[name]):
        assert difference(get_scorer(), name, x, captum_s) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, allowed", [("grad-cam", 1e-4), ("input-gradient", 1e-4), ("integrated-gradients", 1e-6)]
)
def test_in_float64_a_method_with_gradients_gives_what_captum_gives(name, allowed, captums):
    # The copy's BatchNorm is folded in float32: a rectifier's value that is almost 0 may still be on the other side
    x = np.float64(network_inputs()[0])
    assert difference(Float64Scorer(get_scorer()), name, x, captums[name][0]) < allowed


@pytest.mark.parametrize(
    "name, allowed",
    [("grad-cam", 1e-4), ("input-gradient", 1e-4), ("smooth-grad", 1e-4), ("integrated-gradients", 1e-3)],
)
def test_a_method_with_gradients_gives_what_captum_gives_where_no_rectifier_rounds_to_the_other_side(
    name, allowed, captums
):
    # A few of four million values are so close to 0 that float32 may have them on either side of a rectifier, which
    # moves gradients by some thousandths, PyTorch's as well. For some inputs it is none of those that count; of
    # integrated gradients, near the blurred picture, it always is: PyTorch's float32 is 1e-3 from its float64 there.
    found = [difference(get_scorer(), name, x, captum_s) for x, captum_s in zip(network_inputs(), captums[name])]
    assert len(found) == 6 and min(found) < allowed and np.median(found) < 2e-2, found
