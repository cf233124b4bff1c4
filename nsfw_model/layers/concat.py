"""Concat joins inputs along an axis, Slice cuts one, Split hands one on. Caffe's concat_layer.cpp and so on."""

from __future__ import annotations

from itertools import pairwise

from lasagne.layers import ConcatLayer, SliceLayer

from nsfw_model.layers.building import axis_of, builds, take


@builds("Concat", lowered=True)
def _build_concat(spec, incomings, blobs):
    take(spec, blobs)
    axis = axis_of(spec, incomings[0])
    shapes = [layer.output_shape for layer in incomings]
    others = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(others) != 1:
        raise spec.error(f"inputs that differ along axis {axis} only are expected, got {shapes}")
    return ConcatLayer(incomings, axis, name=spec.name)


@builds("Slice", lowered=False)
def _build_slice(spec, incomings, blobs):
    take(spec, blobs)
    (incoming,), axis, tops = incomings, axis_of(spec, incomings[0]), len(spec.tops)
    size, points = incoming.output_shape[axis], spec.settings["points"]
    if size is None:
        raise spec.error(f"input shape: got {incoming.output_shape}, expected to know the size of axis {axis}")
    if not points and size % tops:
        raise spec.error(f"got {tops} tops, expected a divisor of the size {size} of axis {axis}")
    if points and points[-1] >= size:
        raise spec.error(f"slice_point: got {points}, expected numbers below the size {size} of axis {axis}")
    ends = [0, *points, size] if points or tops == 1 else [size // tops * index for index in range(tops + 1)]
    return [SliceLayer(incoming, slice(*each), axis, name=spec.name) for each in pairwise(ends)]


@builds("Split", lowered=False)
def _build_split(spec, incomings, blobs):
    take(spec, blobs)
    return list(incomings) * len(spec.tops)
