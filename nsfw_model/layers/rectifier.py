"""ReLU and PReLU: the positive part, and a part of the negative one. Caffe's relu_layer.cpp, prelu_layer.cpp."""

from __future__ import annotations

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer, NonlinearityLayer
from lasagne.nonlinearities import LeakyRectify, rectify

from nsfw_model.layers.arguments import expect, shape_of
from nsfw_model.layers.building import builds, take

__all__ = ["PReLULayer"]


@builds("ReLU", lowered=True)
def _build_relu(spec, incomings, blobs):
    take(spec, blobs)
    slope = spec.settings["negative_slope"]
    return NonlinearityLayer(incomings[0], LeakyRectify(slope) if slope else rectify, name=spec.name)


class PReLULayer(Layer):
    """``max(x, 0) + alpha min(x, 0)`` with a learned `alpha` [1]_. Caffe's prelu_layer.cpp.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, C, ...).
    alpha : float32 array or shared variable, shape (C,) or ()
        The slope of each channel, or of all.

    References
    ----------
    .. [1] Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun (2015): Delving Deep into Rectifiers: Surpassing
           Human-Level Performance on ImageNet Classification. ICCV. https://arxiv.org/abs/1502.01852

    Examples
    --------
    >>> import numpy as np
    >>> PReLULayer((None, 3, 7, 7), np.full(3, 0.25, "float32")).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, alpha, **kwargs):
        super().__init__(incoming, **kwargs)
        if shape_of(alpha):
            expect(self, "shape of alpha", shape_of(alpha), (self.input_shape[1],))
        self.alpha = self.add_param(alpha, shape_of(alpha), name="alpha", regularizable=False)

    def get_output_for(self, input, **kwargs):
        channels = [0] if self.alpha.ndim else ["x"]
        alpha = self.alpha.dimshuffle(["x", *channels] + ["x"] * (input.ndim - 2))
        zero = np.float32(0)
        return T.maximum(input, zero) + alpha * T.minimum(input, zero)


@builds("PReLU", lowered=False)
def _build_prelu(spec, incomings, blobs):
    shape = () if spec.settings["channel_shared"] else (incomings[0].output_shape[1],)
    (alpha,) = take(spec, blobs, alpha=shape)
    return PReLULayer(incomings[0], alpha, name=spec.name)
