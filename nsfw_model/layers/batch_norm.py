"""BatchNorm: normalisation by stored statistics. Caffe's batch_norm_layer.cpp."""

from __future__ import annotations

import numpy as np
import theano.tensor as T
from lasagne.layers import Layer

from nsfw_model.layers.arguments import expect, shape_of
from nsfw_model.layers.building import builds, take
from nsfw_model.weights import WeightsError
from theano_cpu import ir
from theano_cpu.lowering import lowering_rule

__all__ = ["BatchNormLayer"]


class BatchNormLayer(Layer):
    """Normalisation of every channel by stored statistics [1]_, as Caffe's batch_norm_layer.cpp does in its TEST phase.

    Computes ``(x - mean / s) / sqrt(variance / s + eps)`` with ``s = scale_factor``; where s is 0, both
    statistics count as 0. The statistics are not trainable.

    Parameters
    ----------
    incoming : Layer or tuple
        Shape (N, C, ...).
    mean, variance : float32 array or shared variable, shape (C,)
        Caffe's blobs 0 and 1: sums of the statistics.
    scale_factor : float32 array or shared variable, shape (1,)
        Caffe's blob 2: what the sums are divided by.
    eps : float
        Keeps the root away from 0. Open NSFW has variances down to 2e-15, so its scores depend on it.

    References
    ----------
    .. [1] Sergey Ioffe and Christian Szegedy (2015): Batch Normalization: Accelerating Deep Network Training by
           Reducing Internal Covariate Shift. ICML. https://arxiv.org/abs/1502.03167

    Examples
    --------
    >>> import numpy as np
    >>> sums, count = np.ones(3, "float32"), np.ones(1, "float32")
    >>> BatchNormLayer((None, 3, 7, 7), sums, sums, count).output_shape
    (None, 3, 7, 7)
    """

    def __init__(self, incoming, mean, variance, scale_factor, eps=1e-5, **kwargs):
        super().__init__(incoming, **kwargs)
        self.eps = eps
        channels = (self.input_shape[1],)
        fixed = {"trainable": False, "regularizable": False}
        for what, value, shape in (
            ("mean", mean, channels),
            ("variance", variance, channels),
            ("scale_factor", scale_factor, (1,)),
        ):
            expect(self, f"shape of {what}", shape_of(value), shape)
            setattr(self, what, self.add_param(value, shape, name=what, **fixed))

    def get_output_for(self, input, **kwargs):
        total = self.scale_factor[0]
        scale = T.switch(T.eq(total, 0), np.float32(0), 1 / total)
        per_channel = ["x", 0] + ["x"] * (input.ndim - 2)
        mean = (self.mean * scale).dimshuffle(per_channel)
        deviation = T.sqrt(self.variance * scale + np.float32(self.eps)).dimshuffle(per_channel)
        return (input - mean) / deviation


@lowering_rule(BatchNormLayer)
def _lower(layer, value):
    scale = _reciprocal_or_zero(value(layer.scale_factor)[0])
    inverse_deviation = (value(layer.variance) * scale + layer.eps) ** -0.5
    return [ir.Affine(inverse_deviation, -value(layer.mean) * scale * inverse_deviation)]


def _reciprocal_or_zero(total):
    if isinstance(total, np.floating):
        return 1 / total if total else 0.0
    return T.switch(T.eq(total, 0), np.float32(0), 1 / total)


@builds("BatchNorm", lowered=True)
def _build(spec, incomings, blobs):
    (incoming,) = incomings
    channels = (incoming.output_shape[1],)
    mean, variance, scale_factor = take(spec, blobs, mean=channels, variance=channels, scale_factor=(1,))
    eps = spec.settings["eps"]
    if scale_factor[0] and (variance / scale_factor[0] + np.float32(eps)).min() <= 0:
        raise spec.error("weights: variance: got a negative value, expected 0 or more", WeightsError)
    return BatchNormLayer(incoming, mean, variance, scale_factor, eps, name=spec.name)
