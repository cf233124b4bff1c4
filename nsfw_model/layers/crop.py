"""Crop: as much of one input as another is large. Caffe's crop_layer.cpp."""

from __future__ import annotations

from lasagne.layers import MergeLayer

from nsfw_model.layers.arguments import called, expect
from nsfw_model.layers.building import axis_of, builds, take

__all__ = ["CropLayer"]


class CropLayer(MergeLayer):
    """The part of the first input that has the size of the second, from `axis` on. Caffe's crop_layer.cpp.

    Parameters
    ----------
    incomings : list of two Layers or tuples
        What is cropped, and what says how large the result is; the values of the second are not used.
    axis : int
        The first axis that is cropped, at least 1.
    offset : sequence of int
        Where the part starts on each of the cropped axes; all start at 0 if left out.

    Examples
    --------
    >>> CropLayer([(None, 8, 16, 16), (None, 3, 10, 12)], offset=(2, 4)).output_shape
    (None, 8, 10, 12)
    """

    def __init__(self, incomings, axis=2, offset=(), **kwargs):
        super().__init__(incomings, **kwargs)
        whole, size = self.input_shapes
        expect(self, "dimensions of the second input", len(size), len(whole))
        self.axis, self.offset = axis, tuple(offset) or (0,) * (len(whole) - axis)
        expect(self, "number of offsets", len(self.offset), len(whole) - axis)

    def get_output_shape_for(self, input_shapes):
        whole, size = (shape[self.axis :] for shape in input_shapes)
        for start, kept, there in zip(self.offset, size, whole):
            if None not in (kept, there) and start + kept > there:
                raise ValueError(
                    f"{called(self)}: offset: got {self.offset}, which with size {size} reaches out of {whole}"
                )
        return (*input_shapes[0][: self.axis], *size)

    def get_output_for(self, inputs, **kwargs):
        whole, size = inputs
        sides = range(self.axis, whole.ndim)
        parts = [slice(start, start + size.shape[axis]) for axis, start in zip(sides, self.offset)]
        return whole[(slice(None),) * self.axis + tuple(parts)]


@builds("Crop", lowered=False)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    axis, offset = axis_of(spec, incomings[0]), spec.settings["offset"]
    if len(offset) == 1:
        offset *= len(incomings[0].output_shape) - axis
    return CropLayer(incomings, axis, offset, name=spec.name)
