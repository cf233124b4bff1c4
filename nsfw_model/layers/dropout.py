"""Dropout: in inference, its input; in training, Lasagne's own layer. Caffe's dropout_layer.cpp."""

from __future__ import annotations

from lasagne.layers import DropoutLayer

from nsfw_model.layers.building import builds, take


@builds("Dropout", lowered=True)
def _build(spec, incomings, blobs):
    take(spec, blobs)
    return DropoutLayer(incomings[0], p=spec.settings["ratio"], name=spec.name)
