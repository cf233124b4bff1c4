"""What happens to a picture before the network sees it: forwards exactly, backwards as a gradient.

A step's ``forward(pixels)`` gives the pixels it makes and its residuals, whatever of them its
``vjp(gradient, residuals, straight_through_exponent)`` needs (the vector-Jacobian product; the exponent is that of
`Jpeg.vjp`). `Pipeline` strings steps together and ends where the scorer's own preprocessing ends, at the network's
input; `preprocessing` is that preprocessing.

Where the forward way rounds, the backward way differentiates what comes closest to it, as BPDA [1]_ does.

References
----------
.. [1] Anish Athalye, Nicholas Carlini, David Wagner, "Obfuscated gradients give a false sense of security:
   circumventing defenses to adversarial examples", ICML 2018, arXiv:1802.00420.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nsfw_experiments.pillow.jpeg import Coefficients, Jpeg
from nsfw_experiments.pillow.resize import BilinearResize
from nsfw_model.preprocess import CROPPED, RESIZED, centre, process
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(
    __name__, {"Coding": f"{__name__}:JpegRoundTrip", "Mirroring": f"{__name__}:HorizontalFlip"}
)


class Transform(Protocol):
    """A step of a `Pipeline`: pixels are arrays of uint8, gradients of float32, both of shape (height, width, 3)."""

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, Any]:
        """Give the pixels that the step makes, and its residuals."""

    def vjp(self, gradient: np.ndarray, residuals: Any, straight_through_exponent: float) -> np.ndarray:
        """Give the gradient with respect to what went in, from one with respect to what came out."""


@dataclass(frozen=True)
class JpegRoundTrip:
    """Saving as JPEG and opening again.

    Attributes
    ----------
    jpeg : Jpeg
        The coder; Pillow's defaults if left out.
    """

    jpeg: Jpeg = Jpeg()

    def __str__(self) -> str:
        return f"JPEG {self.jpeg.quality}{'' if self.jpeg.subsampling == '4:2:0' else f' {self.jpeg.subsampling}'}"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, Coefficients]:
        coefficients = self.jpeg.unrounded_coefficients(pixels)
        return self.jpeg.decode(coefficients, pixels.shape[:2]), coefficients

    def vjp(self, gradient: np.ndarray, residuals: Coefficients, straight_through_exponent: float) -> np.ndarray:
        return self.jpeg.vjp(gradient, residuals, straight_through_exponent)


class Resizing:
    """Pillow's bilinear resize, see `BilinearResize`; the roundings are passed straight through.

    Parameters
    ----------
    source, target : (int, int)
        Heights and widths.

    Examples
    --------
    >>> smaller, _ = Resizing((8, 6), (4, 3)).forward(np.zeros((8, 6, 3), np.uint8))
    >>> smaller.shape
    (4, 3, 3)
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...]):
        self._resize = BilinearResize(source, target)

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, None]:
        return self._resize(pixels), None

    def vjp(self, gradient: np.ndarray, residuals: None, straight_through_exponent: float) -> np.ndarray:
        return self._resize.adjoint(gradient)


@dataclass(frozen=True)
class HorizontalFlip:
    """Left and right exchanged.

    Examples
    --------
    >>> flipped, _ = HorizontalFlip().forward(np.array([[[1, 1, 1], [2, 2, 2]]], np.uint8))
    >>> flipped[0, :, 0].tolist()
    [2, 1]
    """

    def __str__(self) -> str:
        return "mirrored"

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, None]:
        return np.ascontiguousarray(pixels[:, ::-1]), None

    def vjp(self, gradient: np.ndarray, residuals: None, straight_through_exponent: float) -> np.ndarray:
        return gradient[:, ::-1]


class Pipeline:
    """A sequence of steps that ends at 256x256, and the scorer's crop, channel order and means after it.

    Parameters
    ----------
    steps : sequence of Transform
        The first takes the picture, the last gives an array of shape (256, 256, 3).
    cropped : (int, int)
        Width and height of what the network takes, see `nsfw_model.scorer.Scorer.input_size`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    >>> pipeline = Pipeline([HorizontalFlip(), JpegRoundTrip(Jpeg(quality=90))])
    >>> x, residuals = pipeline.forward(noise)
    >>> x.shape, pipeline.vjp(x, residuals).shape
    ((3, 224, 224), (256, 256, 3))
    """

    def __init__(self, steps: Sequence[Transform], cropped: tuple[int, int] = CROPPED):
        self.steps = tuple(steps)
        self.cropped = cropped

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, list]:
        """Give the network input and what `vjp` needs.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
            RGB.

        Returns
        -------
        x : ndarray of float32, shape (3, 224, 224)
            After the scorer's own steps, exactly what `open_nsfw.prepare` gives for the same picture.
        residuals : list
        """
        residuals = []
        for step in self.steps:
            pixels, residual = step.forward(pixels)
            residuals.append(residual)
        return process(pixels[centre(self.cropped)])[0], residuals

    def vjp(self, gradient: np.ndarray, residuals: list, straight_through_exponent: float = 0.0) -> np.ndarray:
        """Give the gradient with respect to the picture, from one with respect to the network input.

        Parameters
        ----------
        gradient : ndarray of float32, shape (3, 224, 224)
        residuals : list
            From `forward`.
        straight_through_exponent : float
            See `Jpeg.vjp`.

        Returns
        -------
        ndarray of float32, shape (height, width, 3)
        """
        gradient = network_input_vjp(gradient)
        for step, residual in zip(reversed(self.steps), reversed(residuals)):
            gradient = step.vjp(gradient, residual, straight_through_exponent)
        return gradient

    def pull_back(self, gradient: np.ndarray, memories: list, weighting: float = 0.0) -> np.ndarray:
        """Deprecated: `vjp`."""
        warnings.warn("Pipeline.pull_back is now Pipeline.vjp", DeprecationWarning, stacklevel=2)
        return self.vjp(gradient, memories, weighting)


def network_input_vjp(gradient: np.ndarray) -> np.ndarray:
    """Give the gradient with respect to 256x256 pixels, from one with respect to the network input they become.

    Parameters
    ----------
    gradient : ndarray of float32, shape (3, height, width)
        In the order blue, green, red; 224x224 for Yahoo's network.

    Returns
    -------
    ndarray of float32, shape (256, 256, 3)
        In the order red, green, blue; 0 outside the centre.

    Examples
    --------
    >>> int(network_input_vjp(np.ones((3, 224, 224), np.float32)).sum()) == 3 * 224 * 224
    True
    """
    whole = np.zeros((*RESIZED[::-1], 3), np.float32)
    height, width = gradient.shape[1:]
    whole[centre((width, height))] = gradient.transpose(1, 2, 0)[:, :, ::-1]
    return whole


def preprocessing(size: tuple[int, ...], cropped: tuple[int, int] = CROPPED) -> Pipeline:
    """Make Yahoo's preprocessing for pictures of one size.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    cropped : (int, int)
        As for `Pipeline`.

    Returns
    -------
    Pipeline

    Examples
    --------
    >>> from open_nsfw import prepare
    >>> noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    >>> x, _ = preprocessing((300, 400)).forward(noise)
    >>> bool((x == prepare(noise)).all())
    True
    """
    return Pipeline([*resizing(size, RESIZED[::-1]), JpegRoundTrip()], cropped)


def resizing(source: tuple[int, ...], target: tuple[int, ...]) -> list[Resizing]:
    """Make a resize step, or none where the size is right already (as Pillow does).

    Parameters
    ----------
    source, target : (int, int)
        Heights and widths.

    Returns
    -------
    list of Resizing

    Examples
    --------
    >>> resizing((256, 256), (256, 256))
    []
    """
    return [] if tuple(source) == tuple(target) else [Resizing(source, target)]
