"""Networks whose weights were shuffled: they have learnt nothing, and are as large as before."""

import tempfile
from pathlib import Path

import numpy as np

from nsfw_model.scorer import Scorer
from nsfw_model.weights import load_weights, save_weights


def with_random_weights(weights, architecture, names):
    """A scorer of a network's files, with the weights of some layers in a random order.

    Layers are those that have one of `names` in their names. Statistics of normalisation stay with their channels.
    """
    rng = np.random.default_rng(0)
    blobs = [
        (layer, [rng.permuted(blob, axis=None) if _is_named(layer, names) else blob for blob in arrays])
        for layer, arrays in load_weights(weights)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random.pkl")
        save_weights(path, blobs)
        return Scorer(path, architecture)


def _is_named(layer, names):
    return not layer.startswith("bn_") and any(name in layer for name in names)
