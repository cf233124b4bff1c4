"""Inverse scoring the original's way: a small network imitates JPEG and works against the picture.

Whoever takes JPEG for not differentiable can train a network to imitate it, and send the gradient through
that. The picture soon exploits where the imitation is wrong, so both are trained in turn:

- the imitation, to give what JPEG makes of the present picture (squared error) *and* to keep the picture from
  its goal (4*(1 - picture's loss));
- the picture, against the network's score of the imitation's output.

Both by ``lasagne.updates.adam`` with its default steps. Pixels are rounded here; the original truncated them, which
shifted its pictures by -0.42 grey levels. `nsfw_experiments.inverse` needs none of this; it is kept to compare
with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

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

FILTERS, FILTER_SIZE = 64, 5
ADVERSARY = 4.0


def build_mock_jpeg(input_var=None) -> lasagne.layers.Layer:
    """Build the imitation: three 5x5 convolutions whose output is added to the picture, cropped.

    The original convolves 256x256 pixels with zeros around and crops 224x224 afterwards. The zeros never
    reach the crop, so here only the 236x236 pixels that do are convolved, without padding: the same values,
    a fifth less work.

    Parameters
    ----------
    input_var : theano tensor4, optional
        Network input before cropping, shape (n, 3, 256, 256).

    Returns
    -------
    lasagne.layers.Layer
        Shape (n, 3, 224, 224).

    Examples
    --------
    >>> build_mock_jpeg().output_shape
    (None, 3, 224, 224)
    """
    picture = InputLayer((None, 3, *RESIZED[::-1]), input_var)
    layer = _cropped(picture, CROPPED[0] + 3 * (FILTER_SIZE - 1))
    layer = Conv2DLayer(layer, FILTERS, FILTER_SIZE, nonlinearity=rectify)
    layer = Conv2DLayer(layer, FILTERS, FILTER_SIZE, nonlinearity=rectify)
    layer = Conv2DLayer(layer, 3, FILTER_SIZE, nonlinearity=linear)
    return ElemwiseSumLayer([_cropped(picture, CROPPED[0]), layer])


def _cropped(layer, size):
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
        The score of the imitation's output, or 1 minus it; made small by the picture.
    mock_loss : float
        Squared error plus 4*(1 - `picture_loss`); made small by the imitation.
    max_norm, l2_norm : float
        Of the difference from the original, in grey levels.
    """

    iteration: int
    score: float
    picture_loss: float
    mock_loss: float
    max_norm: float
    l2_norm: float

    def __str__(self):
        return (
            f"i={self.iteration}, score={self.score:.5f}, _nsfw_loss={self.picture_loss:.5f},"
            f" jpg_loss={self.mock_loss:.5f}, max_norm={self.max_norm:f}, L2_norm={self.l2_norm:f}"
        )


class MockJpegInverse:
    """A picture and an imitation of JPEG that are trained in turn.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        See `open_nsfw.read_picture`.
    towards_nsfw : bool
        The direction: raise the score, or lower it.
    seed : int
        Of the imitation's first weights.

    Attributes
    ----------
    original : ndarray of float32, shape (1, 3, 256, 256)
        Network input before cropping.

    Examples
    --------
    >>> attack = MockJpegInverse("img/coffee.jpg")                                  # doctest: +SKIP
    >>> attack.pretrain(500)                                                        # doctest: +SKIP
    >>> attack.run(8000, report=print)                                              # doctest: +SKIP
    """

    def __init__(self, image: Picture, towards_nsfw: bool = True, seed: int = 0):
        self.original = process(resize_image(image))
        self._picture = theano.shared(self.original, "picture")
        self._decoded = T.tensor4("decoded")
        lasagne.random.set_rng(np.random.RandomState(seed))
        mock = accelerate(build_mock_jpeg(self._picture), trainable=True)
        imitated = lasagne.layers.get_output(mock)
        nsfw_net, _ = build_nsfw_net()
        probabilities = accelerated_output(nsfw_net, imitated)
        score = probabilities[0, 1]
        picture_loss = 1 - score if towards_nsfw else score
        error = lasagne.objectives.squared_error(imitated, self._decoded).mean()
        mock_loss = error + ADVERSARY * (1 - picture_loss)
        weights = lasagne.layers.get_all_params(mock, trainable=True)
        self._train_mock = compile_function(
            [self._decoded], [mock_loss, error], lasagne.updates.adam(mock_loss, weights)
        )
        self._train_picture = compile_function([], [picture_loss], lasagne.updates.adam(picture_loss, [self._picture]))

    @property
    def picture(self) -> Image.Image:
        """The picture as it is now, rounded to 8 bits."""
        return Image.fromarray(deprocess(self._picture.get_value()))

    def pretrain(self, iterations: int) -> list[float]:
        """Train the imitation alone, on the original; give its mean squared error after each step."""
        check_whole("iterations", iterations, least=0)
        decoded = crop(make_jpg(self.original))
        return [float(self._train_mock(decoded)[1]) for _ in range(iterations)]

    def step(self) -> tuple[float, float]:
        """Train the imitation on the present picture, then the picture; give the losses of both."""
        decoded = np.ascontiguousarray(crop(make_jpg(self._picture.get_value())))
        mock_loss, _ = self._train_mock(decoded)
        (picture_loss,) = self._train_picture()
        return float(picture_loss), float(mock_loss)

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
        reports = []
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

    def _report(self, iteration, picture, picture_loss, mock_loss):
        difference = picture - self.original
        score = float(get_scorer().scores(crop(make_jpg(picture)))[0])
        return Report(
            iteration,
            score,
            picture_loss,
            mock_loss,
            float(np.abs(difference).max()),
            float(np.linalg.norm(difference)),
        )
