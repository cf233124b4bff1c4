"""What happens to a picture before the network sees it: forwards exactly, backwards as a gradient.

A step's ``forward(pixels)`` gives the pixels it makes and whatever of them its ``pull_back(gradient, memory,
weighting)`` needs; the weighting is that of `Jpeg.pull_back`. `Pipeline` strings steps together and ends
where the scorer's own preprocessing ends, at the network's input; `preprocessing` is that preprocessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.resize import BilinearResize
from nsfw_model.preprocess import CENTRE, CHANNEL_MEANS, RESIZED


@dataclass(frozen=True)
class Coding:
    """Saving as JPEG and opening again, see `Jpeg`."""

    jpeg: Jpeg = Jpeg()

    def forward(self, pixels):
        ratios = self.jpeg.ratios(pixels)
        return self.jpeg.decode(ratios, pixels.shape[:2]), ratios

    def pull_back(self, gradient, ratios, weighting):
        return self.jpeg.pull_back(gradient, ratios, weighting)


class Resizing:
    """Pillow's bilinear resize, see `BilinearResize`; the roundings are passed straight through."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]):
        self._resize = BilinearResize(source, target)

    def forward(self, pixels):
        return self._resize(pixels), None

    def pull_back(self, gradient, _, weighting):
        return self._resize.adjoint(gradient)


class Mirroring:
    """Left and right exchanged."""

    def forward(self, pixels):
        return np.ascontiguousarray(pixels[:, ::-1]), None

    def pull_back(self, gradient, _, weighting):
        return gradient[:, ::-1]


class Pipeline:
    """A sequence of steps that ends at 256x256, and the scorer's crop, channel order and means after it.

    Parameters
    ----------
    steps : sequence of steps
        The first takes the picture, the last gives an array of shape (256, 256, 3).
    """

    def __init__(self, steps: Sequence):
        self.steps = tuple(steps)

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, list]:
        """Give the network input and what `pull_back` needs.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
            RGB.

        Returns
        -------
        x : ndarray of float32, shape (3, 224, 224)
            Exactly what `open_nsfw.prepare` gives for the same picture.
        memories : list
        """
        memories = []
        for step in self.steps:
            pixels, memory = step.forward(pixels)
            memories.append(memory)
        blue_first = pixels[CENTRE][:, :, ::-1].transpose(2, 0, 1)
        return blue_first.astype(np.float32) - CHANNEL_MEANS, memories

    def pull_back(self, gradient: np.ndarray, memories: list, weighting: float = 0.0) -> np.ndarray:
        """Give the gradient with respect to the picture from one with respect to the network input.

        Parameters
        ----------
        gradient : ndarray of float32, shape (3, 224, 224)
        memories : list
            From `forward`.
        weighting : float
            See `Jpeg.pull_back`.

        Returns
        -------
        ndarray of float32, shape (height, width, 3)
        """
        pulled = uncropped(gradient)
        for step, memory in zip(reversed(self.steps), reversed(memories)):
            pulled = step.pull_back(pulled, memory, weighting)
        return pulled


def uncropped(gradient: np.ndarray) -> np.ndarray:
    """Gradient with respect to the 256x256 RGB pixels, from one with respect to the network input."""
    pulled = np.zeros((*RESIZED[::-1], 3), np.float32)
    pulled[CENTRE] = gradient.transpose(1, 2, 0)[:, :, ::-1]
    return pulled


def preprocessing(size: tuple[int, int]) -> Pipeline:
    """Yahoo's preprocessing of pictures of one size (height, width).

    Examples
    --------
    >>> from open_nsfw import prepare
    >>> noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    >>> x, _ = preprocessing((300, 400)).forward(noise)
    >>> bool((x == prepare(noise)).all())
    True
    """
    return Pipeline([*resizing(size, RESIZED[::-1]), Coding()])


def resizing(source: tuple[int, int], target: tuple[int, int]) -> list[Resizing]:
    """A resize step, or none where the size is right already (as Pillow does)."""
    return [] if tuple(source) == tuple(target) else [Resizing(source, target)]
