"""MVN: mean-variance normalisation of each picture by itself. Caffe's mvn_layer.cpp."""

from __future__ import annotations

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer

from nsfw_model.layers.arguments import expect
from nsfw_model.layers.building import builds, image_shape, take

__all__ = ["MVNLayer"]


class MVNLayer(Layer):
    """Each channel of each picture minus its mean, over its deviation plus `eps`. Caffe's mvn_layer.cpp.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, C, H, W).
    normalize_variance : bool
        Without it, only the mean is subtracted.
    across_channels : bool
        One mean and one deviation for all channels of a picture.
    eps : float
        Added to the deviation (the root of the variance), and not, as in BatchNorm, to the variance.

    Examples
    --------
    >>> MVNLayer((None, 3, 7, 7)).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, normalize_variance=True, across_channels=False, eps=1e-9, **kwargs):
        super().__init__(incoming, **kwargs)
        expect(self, "input dimensions", len(self.input_shape), 4)
        self.normalize_variance, self.eps = normalize_variance, eps
        self.axes = (1, 2, 3) if across_channels else (2, 3)

    def get_output_for(self, input, **kwargs):
        centred = input - input.mean(axis=self.axes, keepdims=True)
        if not self.normalize_variance:
            return centred
        deviation = T.sqrt(T.sqr(centred).mean(axis=self.axes, keepdims=True))
        return centred / (deviation + np.float32(self.eps))


@builds("MVN", lowered=False)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    image_shape(spec, incomings[0])
    return MVNLayer(incomings[0], **spec.settings, name=spec.name)
