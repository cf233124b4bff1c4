"""The record of a layer type: everything that reading Caffe's files needs to know of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nsfw_model.spec import LayerSpec

#: How many bottoms or tops a layer has: the least and the most, None for any number.
Count = tuple[int, int | None]

ONE: Count = (1, 1)
ONE_OR_MORE: Count = (1, None)


@dataclass(frozen=True, eq=False)
class Settings:
    """A message with a layer's settings, such as ``pooling_param { kernel_size: 3 }``.

    Attributes
    ----------
    field : str
        Of `LayerParameter`: "pooling_param".
    number : int
        Of that field; the numbers are the file format.
    text : str
        The message, in the syntax of a .proto file. Fields below a line ``// training only`` have no effect on
        inference.
    v1_number : int, optional
        Of the same field in `V1LayerParameter`, where it has one.
    """

    field: str
    number: int
    text: str
    v1_number: int | None = None

    @property
    def message(self) -> str:
        """Name of the message."""
        names = re.findall(r"^message (\w+) \{", self.text, re.MULTILINE)
        if len(names) != 1:
            raise ValueError(f"{self.field}: got {len(names)} messages, expected 1")
        return names[0]


def no_settings(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Read the settings of a layer type that has none."""
    return {}


@dataclass(frozen=True, eq=False)
class LayerType:
    """One of Caffe's layer types.

    What a layer of this type computes is in the module of `nsfw_model.layers` that has the same name as the
    record's module.

    Attributes
    ----------
    name : str
        Caffe's, as in ``type: "Pooling"``.
    read : callable, optional
        ``read(message, spec)`` checks the settings of a layer and gives them as a dict, defaults filled in; None
        for a layer type that has no part in inference.
    settings : Settings, optional
        Several types may share one.
    v1 : (str, int), optional
        Name and number in V1LayerParameter's enumeration of layer types.
    bottoms, tops : (int, int or None)
    in_place : bool
        Whether the top may be the bottom.
    training : bool
        Whether it only feeds or judges a network, so that conversion leaves it out.
    refused : str
        Why there is no such layer here.
    """

    name: str
    read: Callable[[Any, LayerSpec], dict[str, Any]] | None = None
    settings: Settings | None = None
    v1: tuple[str, int] | None = None
    bottoms: Count = ONE
    tops: Count = ONE
    in_place: bool = False
    training: bool = False
    refused: str = ""
