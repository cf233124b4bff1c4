"""Pillow's JPEG and resize as Theano expressions with gradients.

With these the whole way from a picture's pixels to its score is one Theano expression:

>>> import theano
>>> from open_nsfw import prepare
>>> pictures = T.tensor4("pictures")                         # (n, height, width, 3), RGB, 0..255
>>> blue_first = jpeg(resize(pictures, (480, 640), (256, 256)))[:, 16:240, 16:240, ::-1]
>>> x = blue_first.dimshuffle(0, 3, 1, 2) - CHANNEL_MEANS
>>> read = theano.function([pictures], x)
>>> noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
>>> bool((read(noise[None].astype("float32"))[0] == prepare(noise)).all())
True

and ``T.grad`` goes all the way back. Forwards every value is Pillow's; backwards the roundings are passed
straight through, or weighted, as `nsfw_experiments.pillow.jpeg.Jpeg.pull_back` documents.
"""

from __future__ import annotations

import numpy as np


import theano.tensor as T
from theano.gof import Apply, Op

from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.resize import BilinearResize
from nsfw_model.preprocess import CHANNEL_MEANS  # noqa: F401  # of the example above


def jpeg(pictures, quality: int = 75, subsampling: str = "4:2:0", weighting: float = 0.0):
    """Save as JPEG and open again, as Pillow does.

    Parameters
    ----------
    pictures : theano expression, shape (n, height, width, 3)
        RGB, 0..255; values between whole numbers are rounded first, those outside are clipped.
    quality : int
        1..95.
    subsampling : {"4:2:0", "4:2:2", "4:4:4"}
    weighting : float
        Of the gradient, see `Jpeg.pull_back`: 0 passes the quantiser's rounding straight through, more counts
        coefficients by how near they are to a rounding edge.

    Returns
    -------
    theano expression, shape (n, height, width, 3), float32
        Whole numbers, 0..255.

    Examples
    --------
    >>> grey = np.full((1, 16, 16, 3), 99.6, "float32")
    >>> float(jpeg(T.constant(grey)).eval().max())
    100.0
    """
    return JpegCoding(Jpeg(quality, subsampling), weighting)(pictures)


def resize(pictures, source: tuple[int, int], target: tuple[int, int]):
    """Resize with Pillow's BILINEAR filter.

    Parameters
    ----------
    pictures : theano expression, shape (n, *source, 3)
        RGB, 0..255; rounded and clipped first.
    source, target : (int, int)
        Heights and widths.

    Returns
    -------
    theano expression, shape (n, *target, 3), float32
    """
    return ResizeOp(tuple(source), tuple(target))(pictures)


def _checked(pictures):
    pictures = T.as_tensor_variable(pictures)
    if pictures.ndim != 4 or not pictures.dtype.startswith("float"):
        got = f"{pictures.dtype} of {pictures.ndim}"
        raise TypeError(f"expected pictures as a float tensor of 4 axes, got {got}")
    return T.cast(pictures, "float32")


def _bytes(pictures):
    return np.clip(np.floor(pictures + 0.5), 0, 255).astype(np.uint8)


class JpegCoding(Op):
    """See `jpeg`."""

    __props__ = ("jpeg", "weighting")

    def __init__(self, jpeg: Jpeg, weighting: float):
        self.jpeg, self.weighting = jpeg, float(weighting)

    def make_node(self, pictures):
        return Apply(self, [_checked(pictures)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        outputs[0][0] = np.stack([self.jpeg(picture) for picture in _bytes(inputs[0])]).astype(np.float32)

    def infer_shape(self, node, shapes):
        return shapes

    def grad(self, inputs, gradients):
        return [JpegGradient(self.jpeg, self.weighting)(inputs[0], gradients[0])]


class JpegGradient(Op):
    """Gradient with respect to what goes into `JpegCoding`."""

    __props__ = ("jpeg", "weighting")

    def __init__(self, jpeg: Jpeg, weighting: float):
        self.jpeg, self.weighting = jpeg, weighting

    def make_node(self, pictures, gradient):
        return Apply(self, [_checked(pictures), _checked(gradient)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        pulled = []
        for picture, gradient in zip(_bytes(inputs[0]), inputs[1]):
            ratios = self.jpeg.ratios(picture) if self.weighting else None
            pulled.append(self.jpeg.pull_back(gradient, ratios, self.weighting))
        outputs[0][0] = np.stack(pulled)

    def infer_shape(self, node, shapes):
        return shapes[:1]


class ResizeOp(Op):
    """See `resize`."""

    __props__ = ("source", "target")

    def __init__(self, source, target):
        self.source, self.target = source, target
        self._resize = BilinearResize(source, target)

    def make_node(self, pictures):
        return Apply(self, [_checked(pictures)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        outputs[0][0] = np.stack([self._resize(picture) for picture in _bytes(inputs[0])]).astype(np.float32)

    def infer_shape(self, node, shapes):
        return [(shapes[0][0], *self.target, shapes[0][3])]

    def grad(self, inputs, gradients):
        return [ResizeGradient(self.source, self.target)(gradients[0])]


class ResizeGradient(Op):
    """The adjoint of `ResizeOp`."""

    __props__ = ("source", "target")

    def __init__(self, source, target):
        self.source, self.target = source, target
        self._resize = BilinearResize(source, target)

    def make_node(self, gradient):
        return Apply(self, [_checked(gradient)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        outputs[0][0] = np.stack([self._resize.adjoint(gradient) for gradient in inputs[0]])

    def infer_shape(self, node, shapes):
        return [(shapes[0][0], *self.source, shapes[0][3])]
