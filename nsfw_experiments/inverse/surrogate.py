"""Inverse scoring the original's way: a learned surrogate of JPEG, which works against the picture.

Whoever takes JPEG for not differentiable can train a network to imitate it, and send the gradient through that: a
backward pass by differentiable approximation (BPDA [1]_) whose approximation is learned. The picture soon exploits
where the surrogate is wrong, so the original [2]_ trains both in turn:

- the surrogate, to give what JPEG makes of the present picture (squared error) *and* to keep the picture from
  its goal (4*(1 - picture's loss));
- the picture, against the network's score of the surrogate's output.

Both by Adam [3]_ (``lasagne.updates.adam``) with its default steps. Pixels are rounded here; the original truncated
them, which shifted its pictures by -0.42 grey levels. `nsfw_experiments.inverse.inverse` needs none of this; it is kept
to compare with.

References
----------
.. [1] Anish Athalye, Nicholas Carlini, David Wagner, "Obfuscated gradients give a false sense of security:
   circumventing defenses to adversarial examples", ICML 2018, arXiv:1802.00420.
.. [2] tjwei/play_nsfw, https://github.com/tjwei/play_nsfw
.. [3] Diederik P. Kingma, Jimmy Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from theano_compat.deprecation import deprecated_names
from theano_cpu.compile import compile_function
from theano_cpu.fuse import accelerate, accelerated_output

import lasagne
import theano
import theano.tensor as T
from lasagne.layers import Conv2DLayer, ElemwiseSumLayer, InputLayer, SliceLayer
from lasagne.nonlinearities import linear, rectify

import nsfw_model.lowering  # noqa: F401  # lets `accelerate` know Caffe's layers
from nsfw_model.checks import check_whole
from nsfw_model.preprocess import CROPPED, RESIZED, Picture, crop, deprocess, make_jpg, process, resize_image
from open_nsfw import build_nsfw_net, get_scorer

__getattr__ = deprecated_names(
    __name__,
    {
        "build_mock_jpeg": f"{__name__}:build_surrogate",
        "MockJpegInverse": f"{__name__}:SurrogateAttack",
        "ADVERSARY": f"{__name__}:ADVERSARIAL_WEIGHT",
    },
)

FILTERS, FILTER_SIZE = 64, 5
#: Of keeping the picture from its goal, in the surrogate's loss.
ADVERSARIAL_WEIGHT = 4.0


def build_surrogate(input_var: Any = None) -> lasagne.layers.Layer:
    """Build the surrogate of JPEG: three 5x5 convolutions whose output is added to the picture, cropped.

    The original convolves 256x256 pixels with zeros around and crops 224x224 afterwards. The zeros never
    reach the crop, so here only the 236x236 pixels that do are convolved, without padding: the same values,
    a fifth less work.

    Parameters
    ----------
    input_var : float32 tensor4, shape (n, 3, 256, 256), optional
        Network input before cropping.

    Returns
    -------
    lasagne.layers.Layer
        Its output is a float32 tensor4, shape (n, 3, 224, 224).

    Examples
    --------
    >>> build_surrogate().output_shape
    (None, 3, 224, 224)
    """
    picture = InputLayer((None, 3, *RESIZED[::-1]), input_var)
    layer = _cropped(picture, CROPPED[0] + 3 * (FILTER_SIZE - 1))
    layer = Conv2DLayer(layer, FILTERS, FILTER_SIZE, nonlinearity=rectify)
    layer = Conv2DLayer(layer, FILTERS, FILTER_SIZE, nonlinearity=rectify)
    layer = Conv2DLayer(layer, 3, FILTER_SIZE, nonlinearity=linear)
    return ElemwiseSumLayer([_cropped(picture, CROPPED[0]), layer])


def _cropped(layer: lasagne.layers.Layer, size: int) -> lasagne.layers.Layer:
    margin = (RESIZED[0] - size) // 2
    for axis in (2, 3):
        layer = SliceLayer(layer, slice(margin, margin + size), axis)
    return layer


@dataclass(frozen=True)
class Report:
    """What the original prints every 100 iterations.

    Attributes
    ----------
    iteration : int
    score : float
        Of the picture, through the real preprocessing.
    picture_loss : float
        The score of the surrogate's output, or 1 minus it; made small by the picture.
    surrogate_loss : float
        Squared error plus 4*(1 - `picture_loss`); made small by the surrogate.
    max_norm, l2_norm : float
        Of the difference from the original, in grey levels.
    """

    iteration: int
    score: float
    picture_loss: float
    surrogate_loss: float
    max_norm: float
    l2_norm: float

    @property
    def mock_loss(self) -> float:
        """Deprecated: `surrogate_loss`."""
        warnings.warn("Report.mock_loss is now Report.surrogate_loss", DeprecationWarning, stacklevel=2)
        return self.surrogate_loss

    def __str__(self) -> str:
        return (
            f"i={self.iteration}, score={self.score:.5f}, _nsfw_loss={self.picture_loss:.5f},"
            f" jpg_loss={self.surrogate_loss:.5f}, max_norm={self.max_norm:f}, L2_norm={self.l2_norm:f}"
        )


class SurrogateAttack:
    """A picture and a surrogate of JPEG that are trained in turn.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        See `open_nsfw.read_picture`.
    towards_nsfw : bool
        The direction: raise the score, or lower it.
    seed : int
        Of the surrogate's first weights.

    Attributes
    ----------
    original : ndarray of float32, shape (1, 3, 256, 256)
        Network input before cropping.

    Examples
    --------
    >>> attack = SurrogateAttack("img/coffee.jpg")                                  # doctest: +SKIP
    >>> attack.pretrain(500)                                                        # doctest: +SKIP
    >>> attack.run(8000, report=print)                                              # doctest: +SKIP
    """

    def __init__(self, image: Picture, towards_nsfw: bool = True, seed: int = 0):
        self.original = process(resize_image(image))
        self._picture = theano.shared(self.original, "picture")
        self._decoded = T.tensor4("decoded")
        lasagne.random.set_rng(np.random.RandomState(seed))
        surrogate = accelerate(build_surrogate(self._picture), trainable=True)
        imitated = lasagne.layers.get_output(surrogate)
        nsfw_net, _ = build_nsfw_net()
        probabilities = accelerated_output(nsfw_net, imitated)
        score = probabilities[0, 1]
        picture_loss = 1 - score if towards_nsfw else score
        error = lasagne.objectives.squared_error(imitated, self._decoded).mean()
        surrogate_loss = error + ADVERSARIAL_WEIGHT * (1 - picture_loss)
        weights = lasagne.layers.get_all_params(surrogate, trainable=True)
        self._train_surrogate = compile_function(
            [self._decoded], [surrogate_loss, error], lasagne.updates.adam(surrogate_loss, weights)
        )
        self._train_picture = compile_function([], [picture_loss], lasagne.updates.adam(picture_loss, [self._picture]))

    @property
    def picture(self) -> Image.Image:
        """The picture as it is now, rounded to 8 bits."""
        return Image.fromarray(deprocess(self._picture.get_value()))

    def pretrain(self, iterations: int) -> list[float]:
        """Train the surrogate alone, on the original.

        Parameters
        ----------
        iterations : int

        Returns
        -------
        list of float
            The mean squared error at each step.

        Raises
        ------
        ValueError
            If the number makes no sense.
        """
        check_whole("iterations", iterations, least=0)
        decoded = crop(make_jpg(self.original))
        return [float(self._train_surrogate(decoded)[1]) for _ in range(iterations)]

    def step(self) -> tuple[float, float]:
        """Train the surrogate on the present picture, then the picture.

        Returns
        -------
        picture_loss, surrogate_loss : float
            See `Report`.
        """
        decoded = np.ascontiguousarray(crop(make_jpg(self._picture.get_value())))
        surrogate_loss, _ = self._train_surrogate(decoded)
        (picture_loss,) = self._train_picture()
        return float(picture_loss), float(surrogate_loss)

    def run(
        self, iterations: int, every: int = 100, report: Callable[[Report], None] | None = None
    ) -> tuple[Image.Image, list[Report]]:
        """Train in turn; Ctrl-C (KeyboardInterrupt) ends it early.

        Parameters
        ----------
        iterations : int
        every : int
            Iterations from one report to the next; the first is of iteration 0.
        report : callable, optional
            Called with each `Report`, for example ``print``.

        Returns
        -------
        picture : PIL.Image.Image
            256x256.
        reports : list of Report

        Raises
        ------
        ValueError
            If a number makes no sense.
        """
        check_whole("iterations", iterations, least=0)
        check_whole("every", every, least=1)
        reports: list[Report] = []
        try:
            for iteration in tqdm(range(iterations + 1), unit="iteration", disable=None):
                before = self._picture.get_value()
                losses = self.step()
                if iteration % every == 0:
                    reports.append(self._report(iteration, before, *losses))
                    if report:
                        report(reports[-1])
        except KeyboardInterrupt:
            pass
        return self.picture, reports

    def _report(self, iteration: int, picture: np.ndarray, picture_loss: float, surrogate_loss: float) -> Report:
        difference = picture - self.original
        score = float(get_scorer().scores(crop(make_jpg(picture)))[0])
        return Report(
            iteration,
            score,
            picture_loss,
            surrogate_loss,
            float(np.abs(difference).max()),
            float(np.linalg.norm(difference)),
        )
