"""Pillow's JPEG and resize as Theano expressions with gradients.

With these the whole way from a picture's pixels to its score is one Theano expression:

>>> import theano
>>> from nsfw_model.preprocess import CHANNEL_MEANS
>>> from open_nsfw import prepare
>>> pictures = T.tensor4("pictures")                         # shape (n, height, width, 3), RGB, 0..255
>>> blue_first = jpeg(resize(pictures, (480, 640), (256, 256)))[:, 16:240, 16:240, ::-1]
>>> x = blue_first.dimshuffle(0, 3, 1, 2) - CHANNEL_MEANS
>>> read = theano.function([pictures], x)
>>> noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
>>> bool((read(noise[None].astype("float32"))[0] == prepare(noise)).all())
True

and ``T.grad`` goes all the way back. Forwards every value is Pillow's; backwards the roundings are passed
straight through, or weighted, as `nsfw_experiments.pillow.jpeg.Jpeg.vjp` documents.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import theano.tensor as T
from theano.gof import Apply, Op

from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.resize import BilinearResize
from nsfw_model.checks import check_finite
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(__name__, {"JpegCoding": f"{__name__}:JpegOp"})


def jpeg(
    pictures: Any,
    quality: int = 75,
    subsampling: str = "4:2:0",
    straight_through_exponent: float = 0.0,
    *,
    weighting: float | None = None,
) -> Any:
    """Save as JPEG and open again, as Pillow does.

    Parameters
    ----------
    pictures : float tensor4, shape (n, height, width, 3)
        RGB, 0..255; values between whole numbers are rounded first, those outside are clipped. One that is not finite
        is a ValueError when it is computed.
    quality : int
        1..95.
    subsampling : {"4:2:0", "4:2:2", "4:4:4"}
    straight_through_exponent : float
        Of the gradient, see `Jpeg.vjp`: 0 passes the quantiser's rounding straight through, more counts
        coefficients by how near they are to a rounding edge.
    weighting : float, optional
        Deprecated: the old name of `straight_through_exponent`.

    Returns
    -------
    float32 tensor4, shape (n, height, width, 3)
        Whole numbers, 0..255.

    Raises
    ------
    TypeError
        If `pictures` is no such tensor.
    ValueError
        For any other quality or subsampling.

    Examples
    --------
    >>> grey = np.full((1, 16, 16, 3), 99.6, "float32")
    >>> float(jpeg(T.constant(grey)).eval().max())
    100.0
    """
    if weighting is not None:
        warnings.warn("jpeg: weighting is now straight_through_exponent", DeprecationWarning, stacklevel=2)
        straight_through_exponent = weighting
    return JpegOp(Jpeg(quality, subsampling), straight_through_exponent)(pictures)


def resize(pictures: Any, source: tuple[int, int], target: tuple[int, int]) -> Any:
    """Resize with Pillow's BILINEAR filter.

    Parameters
    ----------
    pictures : float tensor4, shape (n, height, width, 3)
        RGB, 0..255; rounded and clipped first, as `jpeg` does. Height and width are `source`.
    source, target : (int, int)
        Heights and widths.

    Returns
    -------
    float32 tensor4, shape (n, target height, target width, 3)
        Whole numbers, 0..255.

    Raises
    ------
    TypeError
        If `pictures` is no such tensor.
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> grey = np.full((1, 16, 16, 3), 99.6, "float32")
    >>> resize(T.constant(grey), (16, 16), (8, 10)).eval().shape
    (1, 8, 10, 3)
    """
    return ResizeOp(source, target)(pictures)


def _checked(pictures: Any) -> Any:
    pictures = T.as_tensor_variable(pictures)
    if pictures.ndim != 4 or not pictures.dtype.startswith("float"):
        raise TypeError(f"pictures: got {pictures.dtype} of {pictures.ndim} axes, expected a float tensor of 4 axes")
    return T.cast(pictures, "float32")


def _bytes(pictures: np.ndarray) -> np.ndarray:
    check_finite("pictures", pictures)
    return np.clip(np.floor(pictures + 0.5), 0, 255).astype(np.uint8)


class JpegOp(Op):
    """The operation that `jpeg` applies.

    Parameters
    ----------
    jpeg : Jpeg
    straight_through_exponent : float
        See `jpeg`.
    """

    __props__ = ("jpeg", "straight_through_exponent")

    def __init__(self, jpeg: Jpeg, straight_through_exponent: float):
        self.jpeg, self.straight_through_exponent = jpeg, float(straight_through_exponent)

    def make_node(self, pictures):
        return Apply(self, [_checked(pictures)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        outputs[0][0] = np.stack([self.jpeg(picture) for picture in _bytes(inputs[0])]).astype(np.float32)

    def infer_shape(self, node, shapes):
        return shapes

    def grad(self, inputs, gradients):
        return [JpegGradient(self.jpeg, self.straight_through_exponent)(inputs[0], gradients[0])]


class JpegGradient(Op):
    """Gradient with respect to what goes into `JpegOp`.

    Parameters
    ----------
    jpeg : Jpeg
    straight_through_exponent : float
        See `jpeg`.
    """

    __props__ = ("jpeg", "straight_through_exponent")

    def __init__(self, jpeg: Jpeg, straight_through_exponent: float):
        self.jpeg, self.straight_through_exponent = jpeg, straight_through_exponent

    def make_node(self, pictures, gradient):
        return Apply(self, [_checked(pictures), _checked(gradient)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        exponent = self.straight_through_exponent
        gradients = []
        for picture, gradient in zip(_bytes(inputs[0]), inputs[1]):
            coefficients = self.jpeg.unrounded_coefficients(picture) if exponent else None
            gradients.append(self.jpeg.vjp(gradient, coefficients, exponent))
        outputs[0][0] = np.stack(gradients)

    def infer_shape(self, node, shapes):
        return shapes[:1]


class ResizeOp(Op):
    """The operation that `resize` applies.

    Parameters
    ----------
    source, target : (int, int)
        Heights and widths.
    """

    __props__ = ("source", "target")

    def __init__(self, source: tuple[int, int], target: tuple[int, int]):
        self._resize = BilinearResize(source, target)
        self.source, self.target = self._resize.source, self._resize.target

    def make_node(self, pictures):
        return Apply(self, [_checked(pictures)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        outputs[0][0] = np.stack([self._resize(picture) for picture in _bytes(inputs[0])]).astype(np.float32)

    def infer_shape(self, node, shapes):
        return [(shapes[0][0], *self.target, shapes[0][3])]

    def grad(self, inputs, gradients):
        return [ResizeGradient(self.source, self.target)(gradients[0])]


class ResizeGradient(Op):
    """The adjoint of `ResizeOp`.

    Parameters
    ----------
    source, target : (int, int)
        Heights and widths.
    """

    __props__ = ("source", "target")

    def __init__(self, source: tuple[int, int], target: tuple[int, int]):
        self._resize = BilinearResize(source, target)
        self.source, self.target = self._resize.source, self._resize.target

    def make_node(self, gradient):
        return Apply(self, [_checked(gradient)], [T.tensor4(dtype="float32")])

    def perform(self, node, inputs, outputs, *args):
        outputs[0][0] = np.stack([self._resize.adjoint(gradient) for gradient in inputs[0]])

    def infer_shape(self, node, shapes):
        return [(shapes[0][0], *self.source, shapes[0][3])]
