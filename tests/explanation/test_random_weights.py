"""A map depends on what the network has learnt: with random weights it is another one.

Julius Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, arXiv:1810.03292: weights are randomised from
the network's end on, more and more of them. A method that shows the picture's edges whatever the network fails here.
"""

from math import inf

import numpy as np
import pytest
from explained import network_inputs
from random_weights import with_random_weights
from scipy.stats import spearmanr

from nsfw_experiments.explanation import METHODS
from nsfw_model.scorer import Scorer
from nsfw_model.weights import save_weights
from open_nsfw import get_scorer, model_files

#: Layers of the small network, from its end on.
CASCADE = [("fc",), ("fc", "conv3"), ("fc", "conv3", "conv2"), ("fc", "conv")]
SIZES = {"conv1": (8, 3, 5, 5), "conv2": (16, 8, 3, 3), "conv3": (32, 16, 3, 3), "fc": (2, 32)}
INPUT = 'input: "data" input_shape { dim: 1 dim: 3 dim: 64 dim: 64 }\n'
CONVOLUTION = """layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {filters} kernel_size: {side} stride: 2 pad: 1 bias_term: false }} }}
layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}
"""
END = """layer { name: "pool" type: "Pooling" bottom: "conv3" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 2 bias_term: false } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }"""


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    """Weights and architecture of a small network."""
    folder, rng = tmp_path_factory.mktemp("small"), np.random.default_rng(1)
    deviations = {name: np.sqrt(2 / np.prod(shape[1:])) for name, shape in SIZES.items()}
    blobs = [(name, [np.float32(rng.normal(0, deviations[name], shape))]) for name, shape in SIZES.items()]
    save_weights(folder / "small.pkl", blobs)
    layers = [
        CONVOLUTION.format(name=name, bottom=bottom, filters=SIZES[name][0], side=SIZES[name][2])
        for name, bottom in (("conv1", "data"), ("conv2", "conv1"), ("conv3", "conv2"))
    ]
    (folder / "small.prototxt").write_text(INPUT + "".join(layers) + END)
    return folder / "small.pkl", folder / "small.prototxt"


@pytest.fixture(scope="module")
def small_scorers(small_files):
    """The small network, and others with more and more random weights."""
    return [Scorer(*small_files), *(with_random_weights(*small_files, names) for names in CASCADE)]


def maps(method, scorers, xs):
    """Of each scorer, the maps of all network inputs, by parameters that are quick."""
    quick = {
        "occlusion": {"patch": xs[0].shape[1] // 4},
        "integrated-gradients": {"steps": 4, "tolerance": inf},
        "smooth-grad": {"samples": 4},
    }
    return [[METHODS[method](scorer, x, **quick.get(method, {})).cells.ravel() for x in xs] for scorer in scorers]


def rank_correlation(some, others):
    """The mean over pairs of maps of the same input."""
    return float(np.mean([spearmanr(*pair)[0] for pair in zip(some, others)]))


@pytest.mark.parametrize("method", METHODS)
def test_a_map_changes_with_each_layer_whose_weights_are_randomised(method, small_scorers):
    xs = [x[:, 80:144, 80:144].copy() for x in network_inputs()[:4]]
    found = maps(method, small_scorers, xs)
    assert max(rank_correlation(before, after) for before, after in zip(found, found[1:])) < 0.9
    assert abs(rank_correlation(found[0], found[-1])) < 0.5


@pytest.fixture(scope="module")
def yahoo_s_scorers():
    """Yahoo's network, one whose last layer is random, and one that is random as a whole."""
    return [get_scorer(), *(with_random_weights(*model_files(), names) for names in [("fc_nsfw",), ("",)])]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_map_of_yahoo_s_network_is_that_of_its_weights(method, yahoo_s_scorers):
    learnt, *others = maps(method, yahoo_s_scorers, network_inputs()[:2])
    for random in others:
        assert abs(rank_correlation(learnt, random)) < 0.5
