"""From a layer's spec and weights to a Lasagne layer: the builders of all layer types, and what they share.

A builder takes a `LayerSpec`, the Lasagne layers of its bottoms and the arrays of its weights, checks that they
fit, and gives a Lasagne layer; or, for a layer type of several tops, a list with one for each. Builders stand
beside the layers that they build, in the modules of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nsfw_model.spec import LayerSpec
from nsfw_model.weights import WeightsError

#: ``build(spec, incomings, blobs)``: a Lasagne layer, or a list of them.
Build = Callable[[LayerSpec, Sequence[Any], Sequence[np.ndarray]], Any]


@dataclass(frozen=True)
class Builder:
    """How to build the layers of one type.

    Attributes
    ----------
    build : callable
    lowered : bool
        Whether `theano_cpu` knows what such layers compute, at least for some settings. Others are left as they
        are when a network is fused: slower, never wrong.
    """

    build: Build
    lowered: bool


#: Builders by Caffe's layer type.
BUILDERS: dict[str, Builder] = {}


def builds(layer_type: str, lowered: bool) -> Callable[[Build], Build]:
    """Decorate a function as the builder of a layer type.

    Parameters
    ----------
    layer_type : str
        Caffe's name of it.
    lowered : bool
        See `Builder`.

    Returns
    -------
    callable
        A decorator that gives the function back.
    """

    def register(build: Build) -> Build:
        BUILDERS[layer_type] = Builder(build, lowered)
        return build

    return register


def take(spec: LayerSpec, blobs: Sequence[np.ndarray], **shapes: tuple[int, ...] | None) -> list[Any]:
    """Return a layer's arrays, checked against the shapes that it needs, in their order.

    Parameters
    ----------
    spec : LayerSpec
    blobs : sequence of ndarray
        In Caffe's order.
    **shapes : tuple of int, or None
        The shape of each array, by what it is called; None where this layer has no such array.

    Returns
    -------
    list of ndarray or None

    Raises
    ------
    WeightsError
        If there are more or fewer arrays, or one has another shape.
    """
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


def image_shape(spec: LayerSpec, incoming: Any) -> tuple[Any, ...]:
    """Return the shape of a layer's input, which must be (batch, channels, height, width).

    Parameters
    ----------
    spec : LayerSpec
    incoming : lasagne.layers.Layer

    Returns
    -------
    tuple of int or None

    Raises
    ------
    PrototxtError
        If it has another number of dimensions.
    """
    shape = incoming.output_shape
    if len(shape) != 4:
        raise spec.error(f"input shape: got {shape}, expected (batch, channels, height, width)")
    return shape


def axis_of(spec: LayerSpec, incoming: Any, what: str = "axis", may_end: bool = False) -> int:
    """Return the layer's axis counted from the front. It is never the batch.

    Parameters
    ----------
    spec : LayerSpec
    incoming : lasagne.layers.Layer
    what : str
        Of the settings.
    may_end : bool
        Whether the axis may also be the one behind the last, for a layer that covers no axis at all.

    Returns
    -------
    int

    Raises
    ------
    PrototxtError
        If the input has no such axis.
    """
    axis, ndim = spec.settings[what], len(incoming.output_shape)
    canonical = axis + ndim if axis < 0 else axis
    if not (0 if may_end else 1) <= canonical < ndim + may_end:
        raise spec.error(f"{what}: got {axis}, expected an axis of {incoming.output_shape} other than the batch")
    return canonical
