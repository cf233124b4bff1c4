"""The best colours of a painting's shapes, where it is to be like a picture: they are known without a search.

Shapes are painted one over the other, each letting through what its alpha leaves (the operator "over" of Porter and
Duff [1]_). So where places and alphas are given, a picture is linear in the colours, and those with the least squared
error follow from a linear system. Pillow rounds after each shape, which this leaves out.

References
----------
.. [1] Thomas Porter, Tom Duff, "Compositing digital images", SIGGRAPH 1984.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from nsfw_experiments.evolution.primitives import COLOUR_GENES, Primitive, Shape

#: Pixels in each direction that the colours are computed for as one.
BLOCK = 4
#: Draws the colour of a shape that is hardly seen to what it was.
RIDGE = 2.0
#: Shapes whose pixels are kept: 16 KB each on a canvas of 256x256.
KEPT = 4096


class LeastSquaresColours:
    """Gives the shapes of a painting the colours with which it is most like a picture.

    Parameters
    ----------
    primitive : Primitive
    target : PIL.Image.Image
        Of the canvas's size, mode RGB.

    Examples
    --------
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> colours = LeastSquaresColours(Circles((64, 64)), Image.new("RGB", (64, 64), (200, 100, 0)))
    >>> colours([(32, 32, 16, 0, 0, 0, 255)])
    [(32, 32, 16, 200, 100, 0, 255)]
    """

    def __init__(self, primitive: Primitive, target: Image.Image):
        self._primitive = primitive
        self._size = tuple(max(side // BLOCK, 1) for side in primitive.size)
        self._target = self._blocks(target).reshape(-1, 3)
        self._coverage = lru_cache(KEPT)(self._covered)

    def __call__(self, painting: Sequence[Shape]) -> list[Shape]:
        """Give the shapes in their best colours.

        Parameters
        ----------
        painting : sequence of tuple of int
            The lowest first.

        Returns
        -------
        list of tuple of int
        """
        genes = np.array([shape[-COLOUR_GENES:] for shape in painting], np.float64)
        old, alphas = genes[:, :3], genes[:, 3:] / 255
        shares = np.stack([self._coverage(shape[:-COLOUR_GENES]) for shape in painting]) * alphas.astype(np.float32)
        let_through = np.ones_like(shares[0])
        for share in shares[::-1]:
            below = let_through * (1 - share)
            share *= let_through
            let_through = below
        aim = self._target - let_through[:, np.newaxis] * np.float32(self._primitive.background)
        matrix = (shares @ shares.T).astype(np.float64) + RIDGE * np.eye(len(painting))
        colours = np.linalg.solve(matrix, shares @ aim + RIDGE * old)
        rounded = np.clip(np.rint(colours), 0, 255).astype(int).tolist()
        return [(*shape[:-COLOUR_GENES], *colour, shape[-1]) for shape, colour in zip(painting, rounded)]

    def _covered(self, geometry: Shape) -> np.ndarray:
        """How much of each block a shape covers: ndarray of float32, 0..1."""
        canvas = Image.new("RGB", self._primitive.size)
        self._primitive.paint(canvas, ImageDraw.Draw(canvas, "RGBA"), (*geometry, 255, 255, 255, 255))
        return self._blocks(canvas.getchannel("R")).ravel() / 255

    def _blocks(self, picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.resize(self._size, Image.Resampling.BOX), np.float32)
