"""What decides a score on a machine: versions, the network's files, and what becomes of a picture that all know."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL
from PIL import features

from nsfw_model.preprocess import prepare

if TYPE_CHECKING:
    from nsfw_model.scorer import Scorer

#: By what versions, sums of files and scores are called, in the order in which they are compared.
Facts = dict[str, str | float]

#: How far scores of the known picture may be apart: other processors add in another order, and with shorter numbers
#: that shows earlier.
TOLERANCES = {"float32": 1e-5, "bfloat16": 2e-2}


def facts(version: str, files: Sequence[Path], scorer: Scorer, precision: str = "float32") -> Facts:
    """Gather what decides a score here.

    Parameters
    ----------
    version : str
        Of `open_nsfw`.
    files : sequence of Path
        Weights and architecture.
    scorer : nsfw_model.scorer.Scorer
        The network made of them.
    precision : {"float32", "bfloat16"}
        That of `scorer`.

    Returns
    -------
    dict of str to (str or float)

    Examples
    --------
    >>> from open_nsfw import __version__, get_scorer, model_files
    >>> here = facts(__version__, model_files(), get_scorer())
    >>> list(here)
    ['open_nsfw', 'Pillow', 'NumPy', 'engine', 'weights', 'architecture', 'pixels', 'float32 score']
    """
    weights, architecture = files
    prepared = prepare(known_picture(), scorer.input_size)
    return {
        "open_nsfw": version,
        "Pillow": f"{PIL.__version__} ({_libjpeg()})",
        "NumPy": np.__version__,
        "engine": _engine(),
        "weights": _sum_of(weights.read_bytes()),
        "architecture": _sum_of(architecture.read_bytes()),
        "pixels": _sum_of(prepared.tobytes()),
        f"{precision} score": float(scorer.scores(prepared[np.newaxis])[0]),
    }


def known_picture() -> np.ndarray:
    """Draw the picture whose pixels and score are compared: brown rings, by whole numbers only.

    Its score is near 0.5, where the least difference within the network shows most.

    Returns
    -------
    ndarray of uint8, shape (480, 640, 3)

    Examples
    --------
    >>> known_picture()[0, 0].tolist(), known_picture()[240, 320].tolist()
    ([244, 183, 122], [0, 0, 0])
    """
    y, x = np.mgrid[:480, :640]
    rings = ((x - 320) ** 2 + (y - 240) ** 2) // 320 % 256
    return np.stack([rings, rings * 3 // 4, rings // 2], axis=2).astype(np.uint8)


def difference(got: Facts, expected: Facts) -> str | None:
    """Say in what facts differ.

    Parameters
    ----------
    got, expected : dict of str to (str or float)
        As `facts` gives them.

    Returns
    -------
    str or None
        All that differs, or None.

    Examples
    --------
    >>> difference({"Pillow": "11.0", "float32 score": 0.25}, {"Pillow": "13.0", "float32 score": 0.2500001})
    'Pillow 11.0, expected 13.0'
    """
    differing = [
        f"{name} {got.get(name, 'unknown')}, expected {value}"
        for name, value in expected.items()
        if not _agree(name, got.get(name), value)
    ]
    return "; ".join(differing) or None


def _agree(name: str, got: str | float | None, expected: str | float) -> bool:
    if isinstance(got, float) and isinstance(expected, float):
        return abs(got - expected) <= TOLERANCES[name.removesuffix(" score")]
    return got == expected


def _libjpeg() -> str:
    turbo = features.version_feature("libjpeg_turbo")
    return f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version_codec('jpg')}"


def _engine() -> str:
    from theano_cpu.onednn import info

    facts = info()
    return f"oneDNN {facts['version']}" if facts["engine"] == "onednn" else str(facts["engine"])


def _sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
