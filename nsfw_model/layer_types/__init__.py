"""Caffe's layer types, as its files know them: one record for each, in a module for each family.

A module of this package has a list ``TYPES`` of `record.LayerType`. Everything that reads Caffe's files is
derived from these records: the schema (`nsfw_model.schema`), the readers of both kinds of file
(`nsfw_model.prototxt`, `nsfw_model.caffemodel`) and the upgrade of older ones (`nsfw_model.upgrade`). What a
layer computes stands in `nsfw_model.layers`, in a module of the same name: reading needs no Theano, and stays
as fast as it is.

To add a layer type, write it here and there; no other file has to know.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from nsfw_model.layer_types.record import LayerType, Settings

__all__ = ["LAYER_TYPES", "LayerType", "Settings", "all_settings"]


def _found() -> dict[str, LayerType]:
    """All layer types by name, out of every module of this package."""
    found: dict[str, LayerType] = {}
    for module in pkgutil.iter_modules(__path__):
        for layer_type in getattr(import_module(f"{__name__}.{module.name}"), "TYPES", ()):
            if layer_type.name in found:
                raise ValueError(f"layer type {layer_type.name!r}: got two records, expected one")
            found[layer_type.name] = layer_type
    return found


#: All layer types that Caffe's files may name, by name.
LAYER_TYPES = _found()


def all_settings() -> list[Settings]:
    """Give the messages of settings of all layer types, each once.

    Returns
    -------
    list of Settings

    Examples
    --------
    >>> [settings.message for settings in all_settings() if settings.number == 121]
    ['PoolingParameter']
    """
    shared = [layer_type.settings for layer_type in LAYER_TYPES.values() if layer_type.settings is not None]
    return list(dict.fromkeys(shared))
