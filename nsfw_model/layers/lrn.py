"""LRN: local response normalisation. Caffe's lrn_layer.cpp."""

from __future__ import annotations

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer

from nsfw_model.layers.arguments import called, expect
from nsfw_model.layers.building import builds, image_shape, take
from nsfw_model.layers.pooling import padded_pool

__all__ = ["LRNLayer"]


class LRNLayer(Layer):
    """Local response normalisation [1]_: each value divided by a power of its neighbours' squares.

    Across channels: ``x / (k + alpha / n * sum of squares over n channels) ** beta``. Within a channel:
    ``x / (1 + alpha / n**2 * sum of squares over n x n pixels) ** beta``, where Caffe does not use k.
    Neighbours outside of the array count as zeros. Source: Caffe's lrn_layer.cpp.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, C, H, W).
    local_size : int
        n, odd.
    alpha, beta, k : float
    within_channel : bool

    References
    ----------
    .. [1] Alex Krizhevsky, Ilya Sutskever, Geoffrey E. Hinton (2012): ImageNet Classification with Deep
           Convolutional Neural Networks. NIPS.

    Examples
    --------
    >>> LRNLayer((None, 96, 55, 55), local_size=5, alpha=1e-4).output_shape
    (None, 96, 55, 55)
    """

    def __init__(self, incoming, local_size=5, alpha=1.0, beta=0.75, k=1.0, within_channel=False, **kwargs):
        super().__init__(incoming, **kwargs)
        expect(self, "input dimensions", len(self.input_shape), 4)
        if local_size % 2 == 0:
            raise ValueError(f"{called(self)}: local_size: got {local_size}, expected an odd number")
        self.local_size, self.alpha, self.beta, self.k = local_size, alpha, beta, k
        self.within_channel = within_channel

    def get_output_for(self, input, **kwargs):
        n, half = self.local_size, self.local_size // 2
        squares = T.sqr(input)
        if self.within_channel:
            mean = padded_pool(squares, "ave", (n, n), (1, 1), (half, half)) if n > 1 else squares
            return input * (np.float32(1) + np.float32(self.alpha) * mean) ** np.float32(-self.beta)
        channels = input.shape[1]
        padded = T.alloc(np.float32(0), input.shape[0], channels + 2 * half, input.shape[2], input.shape[3])
        padded = T.set_subtensor(padded[:, half : half + channels], squares)
        total = sum(padded[:, i : i + channels] for i in range(n))
        return input * (np.float32(self.k) + np.float32(self.alpha / n) * total) ** np.float32(-self.beta)


@builds("LRN", lowered=False)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    image_shape(spec, incomings[0])
    return LRNLayer(incomings[0], **spec.settings, name=spec.name)
