"""Input: where pictures come in, as Lasagne's own layer. Caffe's input_layer.cpp."""

from __future__ import annotations

from lasagne.layers import InputLayer

from nsfw_model.layers.building import builds, take


@builds("Input", lowered=False)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    shape = (None, *spec.settings["shape"][1:])  # any number of pictures
    return InputLayer(shape, spec.settings.get("input_var"), name=spec.name)
