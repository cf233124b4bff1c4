"""Layer specs and arrays in, a Lasagne network out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from lasagne.layers import Layer

import nsfw_model.layers  # noqa: F401  # all builders
from nsfw_model.layers.building import BUILDERS
from nsfw_model.prototxt import MAX_VALUES, LayerSpec, PrototxtError
from nsfw_model.weights import Weights, WeightsError

__all__ = ["build_net"]


def build_net(
    layer_specs: Sequence[LayerSpec],
    weights: Weights,
    input_var: Any = None,
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
        All layers by their Caffe names. In-place layers have entries of their own. A layer of several tops
        (Slice, Split) has an entry for each, ``<layer>:<top>``. Parameters are Theano shared variables, named
        ``<layer>.<parameter>``; all but BatchNorm's statistics carry Lasagne's tag "trainable".

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
        if spec.type == "Input":
            asked = {"input_var": input_var} if input_shape is None else {"input_var": input_var, "shape": input_shape}
            spec = dataclasses.replace(spec, settings={**spec.settings, **asked})
        for top, layer in zip(spec.tops, _build(spec, made, blobs[spec.name])):
            values = prod(size or 1 for size in layer.output_shape[1:])
            if values > MAX_VALUES:
                raise spec.error(f"output shape: got {layer.output_shape}, expected at most {MAX_VALUES} values")
            made[top] = net[spec.name if len(spec.tops) == 1 else f"{spec.name}:{top}"] = layer
    return layer, net


def _build(spec: LayerSpec, made: dict[str, Layer], blobs: list[np.ndarray]) -> list[Layer]:
    """The Lasagne layers of a layer's tops."""
    if spec.type not in BUILDERS:
        raise spec.error("got a layer type that has no builder in nsfw_model.layers")
    try:
        built = BUILDERS[spec.type].build(spec, [made[bottom] for bottom in spec.bottoms], blobs)
        layers = built if isinstance(built, list) else [built]
        for layer in layers:
            layer.output_shape  # noqa: B018  # where Lasagne finds that a layer does not fit
        return layers
    except (PrototxtError, WeightsError):
        raise
    except (ValueError, RuntimeError, IndexError) as error:
        raise spec.error(str(error).removeprefix(f"layer {spec.name!r}: ")) from error


def _blobs_by_layer(specs, weights):
    blobs = dict(weights)
    if len(blobs) != len(weights):
        raise WeightsError("weights: got two entries for one layer")
    names = {spec.name for spec in specs}
    surplus = [name for name in blobs if name not in names]
    if surplus:
        raise WeightsError(
            f"weights: got blobs for layer {surplus[0]!r}, which the network does not have "
            "(`open-nsfw convert --deploy` leaves such out)"
        )
    return {name: blobs.get(name, []) for name in names}
