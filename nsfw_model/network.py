"""Layer specs and arrays in, a Lasagne network out."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


import numpy as np
from lasagne.layers import ConcatLayer, DropoutLayer, InputLayer, Layer, NonlinearityLayer
from lasagne.nonlinearities import LeakyRectify, rectify

import nsfw_model.lowering  # noqa: F401  # from now on, theano_cpu can fuse these networks
from nsfw_model.layers import (
    BatchNormLayer,
    ConvolutionLayer,
    EltwiseLayer,
    InnerProductLayer,
    LRNLayer,
    PoolingLayer,
    ScaleLayer,
    SoftmaxLayer,
)
from nsfw_model.prototxt import MAX_VALUES, LayerSpec, PrototxtError
from nsfw_model.weights import Weights, WeightsError

__all__ = ["build_net"]


def build_net(
    layer_specs: Sequence[LayerSpec],
    weights: Weights,
    input_var=None,
    input_shape: Sequence[int | None] | None = None,
) -> tuple[Layer, dict[str, Layer]]:
    """Build a network out of Lasagne layers.

    Parameters
    ----------
    layer_specs : list of LayerSpec
        From `nsfw_model.prototxt.read_prototxt`.
    weights : list of (str, list of float32 arrays)
        Layer names and their blobs in Caffe's order, from `nsfw_model.weights.load_weights`.
    input_var : Theano variable, optional
        The network's input, shape (N, C, H, W). Made if left out.
    input_shape : tuple, optional
        The shape that layers are checked with, instead of the one that the prototxt declares. Whatever is
        declared, the network runs on any batch size and picture size that its layers allow.

    Returns
    -------
    output_layer : lasagne.layers.Layer
    net : dict of str to lasagne.layers.Layer
        All layers by their Caffe names. In-place layers have entries of their own. Parameters are Theano
        shared variables, named ``<layer>.<parameter>``; all but BatchNorm's statistics carry Lasagne's tag
        "trainable".

    Raises
    ------
    WeightsError
        If a layer's blobs are missing, too many, or not of the shapes that it needs, or belong to no layer.
    PrototxtError
        If a layer does not fit the output of the one before it.

    Examples
    --------
    >>> from nsfw_model.prototxt import read_prototxt
    >>> from nsfw_model.weights import load_weights
    >>> output, net = build_net(read_prototxt("nsfw_model/deploy.prototxt"), load_weights("nsfw.pkl"))
    >>> net["pool"].output_shape, output.output_shape
    ((None, 1024, 1, 1), (None, 2))
    """
    blobs = _blobs_by_layer(layer_specs, weights)
    net: dict[str, Layer] = {}
    made: dict[str, Layer] = {}
    for spec in layer_specs:
        incomings = [made[bottom] for bottom in spec.bottoms]
        try:
            if spec.type == "Input":
                _take(spec, blobs[spec.name])
                shape = spec.settings["shape"] if input_shape is None else input_shape
                layer = InputLayer((None, *shape[1:]), input_var, name=spec.name)
            else:
                layer = _BUILDERS[spec.type](spec, incomings, blobs[spec.name])
            values = prod(size or 1 for size in layer.output_shape[1:])
        except (PrototxtError, WeightsError):
            raise
        except (ValueError, RuntimeError, IndexError) as error:
            raise spec.error(str(error).removeprefix(f"layer {spec.name!r}: ")) from error
        if values > MAX_VALUES:
            raise spec.error(f"output shape: got {layer.output_shape}, expected at most {MAX_VALUES} values")
        net[spec.name] = made[spec.tops[0]] = layer
    return layer, net


def _blobs_by_layer(specs, weights):
    blobs = dict(weights)
    if len(blobs) != len(weights):
        raise WeightsError("weights: got two entries for one layer")
    names = {spec.name for spec in specs}
    surplus = [name for name in blobs if name not in names]
    if surplus:
        raise WeightsError(f"weights: got blobs for layer {surplus[0]!r}, which the network does not have")
    return {name: blobs.get(name, []) for name in names}


def _take(spec, blobs, **shapes):
    """Return a layer's blobs, checked against the shapes that it needs; None where it has no such blob."""
    needed = {what: shape for what, shape in shapes.items() if shape is not None}
    if len(blobs) != len(needed):
        expected = f"{len(needed)} ({', '.join(needed)})" if needed else "none"
        raise spec.error(f"weights: got {len(blobs)} blobs, expected {expected}", WeightsError)
    fitting = {what: _fit(spec, what, blob, needed[what]) for what, blob in zip(needed, blobs)}
    return [fitting.get(what) for what in shapes]


def _fit(spec, what, blob, shape):
    """Return the blob in its layer's shape; as in Caffe, old files carry 4 dimensions with leading ones."""
    if blob.shape == shape:
        return blob
    if blob.ndim == 4 and blob.shape == (1,) * (4 - len(shape)) + shape:
        return blob.reshape(shape)
    raise spec.error(f"weights: {what}: got shape {blob.shape}, expected {shape}", WeightsError)


def _convolution(spec, incomings, blobs):
    s, (incoming,) = spec.settings, incomings
    channels = _image_shape(spec, incoming)[1]
    if channels % s["group"]:
        raise spec.error(f"group: got {s['group']}, expected a divisor of the {channels} input channels")
    shape = (s["num_output"], channels // s["group"], *s["kernel"])
    W, b = _take(spec, blobs, filters=shape, bias=(s["num_output"],) if s["bias"] else None)
    return ConvolutionLayer(incoming, W, b, s["stride"], s["pad"], s["dilation"], s["group"], name=spec.name)


def _batch_norm(spec, incomings, blobs):
    (incoming,) = incomings
    channels = (incoming.output_shape[1],)
    mean, variance, scale_factor = _take(spec, blobs, mean=channels, variance=channels, scale_factor=(1,))
    eps = spec.settings["eps"]
    if scale_factor[0] and (variance / scale_factor[0] + np.float32(eps)).min() <= 0:
        raise spec.error("weights: variance: got a negative value, expected 0 or more", WeightsError)
    return BatchNormLayer(incoming, mean, variance, scale_factor, eps, name=spec.name)


def _scale(spec, incomings, blobs):
    s, (incoming,) = spec.settings, incomings
    ndim = len(incoming.output_shape)
    axis = _axis(spec, incoming)
    end = ndim if s["num_axes"] == -1 else axis + s["num_axes"]
    if end > ndim or (axis == 0 and end > 0):
        raise spec.error(f"axis, num_axes: got {s['axis']}, {s['num_axes']}, expected axes 1 to {ndim - 1}")
    shape = incoming.output_shape[axis:end]
    scale, bias = _take(spec, blobs, scale=shape, bias=shape if s["bias"] else None)
    return ScaleLayer(incoming, scale, bias, axis, name=spec.name)


def _relu(spec, incomings, blobs):
    _take(spec, blobs)
    slope = spec.settings["negative_slope"]
    return NonlinearityLayer(incomings[0], LeakyRectify(slope) if slope else rectify, name=spec.name)


def _pooling(spec, incomings, blobs):
    _take(spec, blobs)
    _image_shape(spec, incomings[0])
    return PoolingLayer(incomings[0], **spec.settings, name=spec.name)


def _eltwise(spec, incomings, blobs):
    _take(spec, blobs)
    return EltwiseLayer(incomings, spec.settings["operation"], spec.settings["coeff"], name=spec.name)


def _inner_product(spec, incomings, blobs):
    s, (incoming,) = spec.settings, incomings
    inputs = prod(incoming.output_shape[1:])
    shape = (inputs, s["num_output"]) if s["transpose"] else (s["num_output"], inputs)
    W, b = _take(spec, blobs, matrix=shape, bias=(s["num_output"],) if s["bias"] else None)
    return InnerProductLayer(incoming, np.ascontiguousarray(W.T) if s["transpose"] else W, b, name=spec.name)


def _softmax(spec, incomings, blobs):
    _take(spec, blobs)
    return SoftmaxLayer(incomings[0], _axis(spec, incomings[0]), name=spec.name)


def _dropout(spec, incomings, blobs):
    _take(spec, blobs)
    return DropoutLayer(incomings[0], p=spec.settings["ratio"], name=spec.name)


def _concat(spec, incomings, blobs):
    _take(spec, blobs)
    axis = _axis(spec, incomings[0])
    shapes = [layer.output_shape for layer in incomings]
    others = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(others) != 1:
        raise spec.error(f"inputs that differ along axis {axis} only are expected, got {shapes}")
    return ConcatLayer(incomings, axis, name=spec.name)


def _lrn(spec, incomings, blobs):
    _take(spec, blobs)
    _image_shape(spec, incomings[0])
    return LRNLayer(incomings[0], **spec.settings, name=spec.name)


_BUILDERS = {
    "Convolution": _convolution,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "ReLU": _relu,
    "Pooling": _pooling,
    "Eltwise": _eltwise,
    "InnerProduct": _inner_product,
    "Softmax": _softmax,
    "Dropout": _dropout,
    "Concat": _concat,
    "LRN": _lrn,
}


def _image_shape(spec, incoming):
    shape = incoming.output_shape
    if len(shape) != 4:
        raise spec.error(f"input shape: got {shape}, expected (batch, channels, height, width)")
    return shape


def _axis(spec, incoming):
    """The layer's axis counted from the front. It is never the batch, except for Scale's scalar."""
    axis, ndim = spec.settings["axis"], len(incoming.output_shape)
    canonical = axis + ndim if axis < 0 else axis
    scalar = spec.type == "Scale" and spec.settings["num_axes"] == 0
    if not (0 if scalar else 1) <= canonical < ndim + scalar:
        raise spec.error(f"axis: got {axis}, expected an axis of {incoming.output_shape} other than the batch")
    return canonical
