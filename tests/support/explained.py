"""What both our methods and Captum explain, see benchmarks/captum_reference.py."""

from pathlib import Path

import numpy as np
from PIL import Image

from nsfw_model.preprocess import process

#: Parameters that both are given.
LAYER, SAMPLES, NOISE, STEPS = "relu_stage2_block1", 2, 20.0, 2
#: Rows and columns of astronaut.png where the inputs begin.
CORNERS = [(row, column) for row in (20, 130, 240) for column in (60, 250)]


def network_inputs():
    """Parts of astronaut.png, neither resized nor compressed: the same whatever Pillow's version."""
    with Image.open(Path(__file__).parents[2] / "img/astronaut.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return [process(pixels[row : row + 224, column : column + 224])[0] for row, column in CORNERS]


def sampled(attributions):
    """A few values of a map, (rows, columns) or (channels, rows, columns): of 7x7 parts the sums, and single ones."""
    values = np.asarray(attributions, np.float64)
    values = values.sum(0) if values.ndim == 3 else values
    size = values.shape[0] // 7
    sums = values.reshape(7, size, 7, size).sum((1, 3))
    return np.stack([sums, values[size // 2 :: size, size // 2 :: size]]).astype(np.float32)
