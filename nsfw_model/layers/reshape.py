"""Reshape and Flatten, as Lasagne's own layers. Caffe's reshape_layer.cpp and flatten_layer.cpp."""

from __future__ import annotations

from math import prod

from lasagne.layers import FlattenLayer, ReshapeLayer

from nsfw_model.layers.building import axis_of, builds, take


@builds("Reshape", lowered=True)
def _build_reshape(spec, incomings, blobs):
    take(spec, blobs)
    return _reshaped(spec, incomings[0], _keep_batch(spec, incomings[0], _target(spec, incomings[0])))


@builds("Flatten", lowered=True)
def _build_flatten(spec, incomings, blobs):
    take(spec, blobs)
    start, end = axis_of(spec, incomings[0]), axis_of(spec, incomings[0], "end_axis")
    if end < start:
        raise spec.error(f"axis, end_axis: got {start}, {end}, expected an end_axis of at least axis")
    ndim = len(incomings[0].output_shape)
    return _reshaped(spec, incomings[0], [*_copies(0, start), -1, *_copies(end + 1, ndim)])


# A target is a list of sizes, with -1 for whatever is left and, as in Lasagne, [i] for the size of the input's axis i.


def _copies(start, end):
    return [[axis] for axis in range(start, end)]


def _target(spec, incoming):
    """What a Reshape makes of all axes of its input."""
    dims, axis, num_axes = (spec.settings[name] for name in ("dims", "axis", "num_axes"))
    ndim = len(incoming.output_shape)
    start = axis + ndim + 1 if axis < 0 else axis
    end = ndim if num_axes == -1 else start + num_axes
    if not 0 <= start <= end <= ndim:
        raise spec.error(f"axis, num_axes: got {axis}, {num_axes}, expected axes of {incoming.output_shape}")
    if any(dim == 0 and start + index >= ndim for index, dim in enumerate(dims)):
        raise spec.error(f"shape: got {dims}, whose 0 has no axis of {incoming.output_shape} to copy")
    replacing = [[start + index] if dim == 0 else dim for index, dim in enumerate(dims)]
    return [*_copies(0, start), *replacing, *_copies(end, ndim)]


def _keep_batch(spec, incoming, target):
    """The target with the batch as its first axis, however it was written; or an error if pictures would mix."""
    rest = [incoming.output_shape[size[0]] if isinstance(size, list) else size for size in target[1:]]
    values = incoming.output_shape[1:]
    known = None not in values and None not in rest
    fits = known and -1 not in rest and prod(rest) == prod(values)
    if not target or (target[0] != [0] and not fits):
        raise spec.error(
            f"shape: got {spec.settings['dims']} for an input {incoming.output_shape}, expected a shape that "
            "keeps the batch as the first axis"
        )
    if known and (prod(values) % -prod(rest) if -1 in rest else not fits):
        raise spec.error(f"shape: got {tuple(rest)} for the {prod(values)} values of a picture {values}")
    return [[0], *target[1:]]


def _reshaped(spec, incoming, target):
    """A FlattenLayer where it does the same, since `theano_cpu` knows it."""
    flat = len(target) == 2 and target[0] == [0] and not isinstance(target[1], list)
    if flat and None not in incoming.output_shape[1:]:
        return FlattenLayer(incoming, name=spec.name)
    return ReshapeLayer(incoming, tuple(target), name=spec.name)
