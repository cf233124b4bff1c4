"""Orthogonal matching pursuit: shapes and colours that follow from a picture which is known, without a search.

Shapes are painted one over the other, each letting through what its alpha leaves (the operator "over" [1]_). So where
places and alphas are given, a picture is linear in the colours, and those with the least squared error follow from a
linear system. A new shape is chosen as in matching pursuit [2]_: of some random ones the one that takes away most of
what is missing; afterwards all colours are fitted anew, as in its orthogonal form [3]_.

Blocks of pixels are computed as one, and Pillow rounds after each shape, which this leaves out.

References
----------
.. [1] T. Porter, T. Duff, "Compositing digital images", SIGGRAPH 1984.
.. [2] S. G. Mallat, Z. Zhang, "Matching pursuits with time-frequency dictionaries", IEEE Transactions on Signal
   Processing 41(12), 1993.
.. [3] Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit", Asilomar Conference 1993.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from nsfw_experiments.evolution.primitives import COLOUR_GENES, Primitive, Shape

#: Pixels in each direction that are computed as one.
BLOCK = 4
#: Draws the colour of a shape that is hardly seen to what it was.
RIDGE = 0.1
#: Shapes whose blocks are kept: 16 KB each on a canvas of 256x256.
KEPT = 1024
#: Random shapes of which a new one is chosen.
CANDIDATES = 30


class Pursuit:
    """The pursuit of a picture.

    Parameters
    ----------
    primitive : Primitive
    target : PIL.Image.Image
        Of the canvas's size, mode RGB.

    Examples
    --------
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> pursuit = Pursuit(Circles((64, 64)), Image.new("RGB", (64, 64), (200, 100, 0)))
    >>> pursuit.best_colours([(32, 32, 16, 0, 0, 0, 255)])
    [(32, 32, 16, 200, 100, 0, 255)]
    >>> pursuit.new_shape([], random.Random(0))[-4:-1]
    (200, 100, 0)
    """

    def __init__(self, primitive: Primitive, target: Image.Image):
        self._primitive = primitive
        width, height = (max(side // BLOCK, 1) for side in primitive.size)
        resizable: Any = primitive  # every primitive is a dataclass with a size
        self._small: Primitive = replace(resizable, size=(width, height))
        self._target = self._blocks(target).reshape(-1, 3)
        self._coverage = lru_cache(KEPT)(self._covered)

    def best_colours(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Give shapes the colours with the least squared error.

        Parameters
        ----------
        shapes : sequence of tuple of int
            The lowest first, at least one.

        Returns
        -------
        list of tuple of int
        """
        old = np.array([shape[-COLOUR_GENES:-1] for shape in shapes], np.float64)
        shares = np.stack([self._share(shape) for shape in shapes])
        let_through = np.ones_like(shares[0])
        for share in shares[::-1]:
            below = let_through * (1 - share)
            share *= let_through
            let_through = below
        aim = self._target - let_through[:, np.newaxis] * np.array(self._primitive.background, np.float32)
        matrix = (shares @ shares.T).astype(np.float64) + RIDGE * np.eye(len(shapes))
        colours = np.linalg.solve(matrix, shares @ aim + RIDGE * old)
        rounded = np.clip(np.rint(colours), 0, 255).astype(int).tolist()
        return [(*shape[:-COLOUR_GENES], *colour, shape[-1]) for shape, colour in zip(shapes, rounded)]

    def new_shape(self, below: Sequence[Shape], rng: random.Random) -> Shape:
        """Choose, of some random shapes, the one that brings a painting nearest to the target.

        Parameters
        ----------
        below : sequence of tuple of int
            What is painted already.
        rng : random.Random

        Returns
        -------
        tuple of int
            In its best colour.
        """
        return self._best_candidate(self._painted(below), rng)

    def painting(self, count: int, rng: random.Random) -> list[Shape]:
        """Choose shape after shape, and then the colours of all.

        Parameters
        ----------
        count : int
            Shapes, at least 1.
        rng : random.Random

        Returns
        -------
        list of tuple of int
        """
        canvas, shapes = self._painted([]), []
        for _ in range(count):
            shapes.append(self._best_candidate(canvas, rng))
            canvas = self._over(canvas, shapes[-1])
        return self.best_colours(shapes)

    def _best_candidate(self, canvas: np.ndarray, rng: random.Random) -> Shape:
        errors = np.cumsum(((self._target - canvas) ** 2).sum(1))
        drawn = (self._where_error_is(errors, self._primitive.compact_shape(rng), rng) for _ in range(CANDIDATES))
        return max((self._coloured(canvas, shape) for shape in drawn), key=lambda gained: gained[0])[1]

    def _where_error_is(self, errors: np.ndarray, shape: Shape, rng: random.Random) -> Shape:
        """The shape about a block that is drawn with the probability of its error; `errors` are cumulative."""
        block = min(int(np.searchsorted(errors, rng.random() * errors[-1], side="right")), len(errors) - 1)
        row, column = divmod(block, self._small.size[0])
        return self._primitive.centred(shape, *((2 * place + 1) * BLOCK // 2 for place in (column, row)))

    def _coloured(self, canvas: np.ndarray, shape: Shape) -> tuple[float, Shape]:
        """How much squared error a shape takes away in its best colour, and the shape in it."""
        small = [gene // BLOCK for gene in shape[:-COLOUR_GENES]]
        mask = Image.new("RGB", self._small.size)
        self._small.paint(mask, ImageDraw.Draw(mask, "RGBA"), (*small, 255, 255, 255, 255))
        inside = np.flatnonzero(np.asarray(mask.getchannel("R")))
        if not len(inside):
            return 0.0, shape
        alpha = max(shape[-1], 1) / 255
        missing, kept = self._target[inside] - canvas[inside], self._target[inside] - (1 - alpha) * canvas[inside]
        colour = np.clip(np.rint(kept.mean(0) / alpha), 0, 255)
        gained = float((missing**2).sum() - ((kept - alpha * colour) ** 2).sum())
        return gained, (*shape[:-COLOUR_GENES], *colour.astype(int).tolist(), shape[-1])

    def _painted(self, shapes: Sequence[Shape]) -> np.ndarray:
        """The blocks of a painting: ndarray of float32, shape (blocks, 3), 0..255."""
        canvas = np.broadcast_to(np.array(self._primitive.background, np.float32), self._target.shape)
        for shape in shapes:
            canvas = self._over(canvas, shape)
        return canvas

    def _over(self, canvas: np.ndarray, shape: Shape) -> np.ndarray:
        return canvas + self._share(shape)[:, np.newaxis] * (np.array(shape[-COLOUR_GENES:-1], np.float32) - canvas)

    def _share(self, shape: Shape) -> np.ndarray:
        """How much of each block has a shape's colour: ndarray of float32, 0..1."""
        return self._coverage(shape[:-COLOUR_GENES]) * np.float32(shape[-1] / 255)

    def _covered(self, geometry: Shape) -> np.ndarray:
        canvas = Image.new("RGB", self._primitive.size)
        self._primitive.paint(canvas, ImageDraw.Draw(canvas, "RGBA"), (*geometry, 255, 255, 255, 255))
        return self._blocks(canvas.getchannel("R")).ravel() / np.float32(255)

    def _blocks(self, picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.resize(self._small.size, Image.Resampling.BOX), np.float32)
