"""What readers of settings share: sizes in bounds, finite numbers, pairs for height and width, axes."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from nsfw_model.spec import MAX_SIZE, LayerSpec


def in_bounds(spec: LayerSpec, what: str, value: int, least: int) -> int:
    """Return a size if it is in bounds.

    Parameters
    ----------
    spec : LayerSpec
        Of the layer, for the error.
    what : str
        Name of the setting.
    value, least : int
        Allowed are `least` to `MAX_SIZE`.

    Returns
    -------
    int

    Raises
    ------
    PrototxtError
        If it is not.
    """
    if not least <= value <= MAX_SIZE:
        raise spec.error(f"{what}: got {value}, expected {least} to {MAX_SIZE}")
    return value


def finite(spec: LayerSpec, what: str, value: float) -> float:
    """Return the float32 nearest to `value`, or raise the layer's error if it is not finite.

    Protobuf's releases differ in what they return for a float field's default, in the digits beyond float32.

    Parameters
    ----------
    spec : LayerSpec
        Of the layer, for the error.
    what : str
        Name of the setting.
    value : float

    Returns
    -------
    float
    """
    if not math.isfinite(value):
        raise spec.error(f"{what}: got {value}, expected a finite number")
    return struct.unpack("<f", struct.pack("<f", value))[0]


def numbers(spec: LayerSpec, message: Any, names: str) -> dict[str, float]:
    """Return fields that hold finite numbers, by name.

    Parameters
    ----------
    spec : LayerSpec
        Of the layer, for the error.
    message : protobuf message
        The layer's settings.
    names : str
        Of the fields, with spaces between them.

    Returns
    -------
    dict of str to float
    """
    return {name: finite(spec, name, getattr(message, name)) for name in names.split()}


def pair(spec: LayerSpec, message: Any, what: str, default: int | None = None, least: int = 0) -> tuple[int, int]:
    """Return a setting for height and width.

    Caffe has three ways to say it: one number for both, a list of two (convolutions only), or a field each.

    Parameters
    ----------
    spec : LayerSpec
    message : protobuf message
        The layer's settings.
    what : str
        "kernel", "stride", "pad" or "dilation". The fields are `what` (for the kernel, ``kernel_size``), and
        `what` with ``_h`` and ``_w``, where the message has them.
    default : int, optional
        If nothing is set; without a default it has to be.
    least : int

    Returns
    -------
    height, width : int

    Raises
    ------
    PrototxtError
        If it is said in two ways, by half, or out of bounds.
    """
    values = _set_values(message, "kernel_size" if what == "kernel" else what)
    by_side = {side: _set_values(message, f"{what}_{side}") for side in "hw"}
    if any(by_side.values()):
        if values:
            raise spec.error(f"{what}: got both one field for height and width and {what}_h or {what}_w")
        if default != 0 and not all(by_side.values()):
            raise spec.error(f"{what}: got one of {what}_h and {what}_w, expected both")
        values = [*(by_side["h"] or [0]), *(by_side["w"] or [0])]
    if not values:
        if default is None:
            raise spec.error(f"{what}: got none")
        values = [default]
    if len(values) > 2:
        raise spec.error(f"{what}: got {len(values)} values, expected 1, or 2 for height and width")
    height, width = (in_bounds(spec, what, value, least) for value in (values[0], values[-1]))
    return height, width


def _set_values(message, field) -> list[int]:
    """The values that a field was given: none, one, or several if it is repeated."""
    if field not in message.DESCRIPTOR.fields_by_name:
        return []
    if isinstance(getattr(message, field), int):
        return [getattr(message, field)] if message.HasField(field) else []
    return list(getattr(message, field))


def axis_or_alias(spec: LayerSpec, message: Any, alias: str, why: str) -> int:
    """Return ``axis`` or the field that older files have for it; never the batch's.

    Parameters
    ----------
    spec : LayerSpec
        Of the layer, for the error.
    message : protobuf message
        The layer's settings.
    alias, why : str
        The older field; how the pictures of a batch would mix.

    Returns
    -------
    int

    Raises
    ------
    PrototxtError
        If both are set, or the axis is 0.
    """
    if message.HasField("axis") and message.HasField(alias):
        raise spec.error(f"got both axis and {alias}, expected one of them")
    return not_the_batch(spec, getattr(message, alias) if message.HasField(alias) else message.axis, why)


def not_the_batch(spec: LayerSpec, axis: int, why: str, what: str = "axis") -> int:
    """Return an axis if it is not the batch's, since pictures of a batch do not mix.

    Parameters
    ----------
    spec : LayerSpec
        Of the layer, for the error.
    axis : int
    why, what : str
        How they would mix; name of the setting.

    Returns
    -------
    int

    Raises
    ------
    PrototxtError
        If the axis is 0.
    """
    if axis == 0:
        raise spec.error(f"{what}: got 0, expected another: {why}")
    return axis


def axis_is_channels(spec: LayerSpec, axis: int, ndim: int) -> None:
    """Refuse another axis than that of the channels.

    Parameters
    ----------
    spec : LayerSpec
        Of the layer, for the error.
    axis : int
        From the end, if it is negative.
    ndim : int
        How many axes the layer's input has.

    Raises
    ------
    PrototxtError
        If it is another.
    """
    if axis not in (1, 1 - ndim):
        raise spec.error(f"axis: got {axis}, expected 1, the channels")


def check_shape(spec: LayerSpec, what: str, sizes: Sequence[int]) -> None:
    """Refuse a shape with a size that is out of bounds.

    Parameters
    ----------
    spec : LayerSpec
        Of the layer, for the error.
    what : str
        Name of the setting.
    sizes : sequence of int
        Allowed are 1 to `MAX_SIZE`.

    Raises
    ------
    PrototxtError
        If one is not.
    """
    for size in sizes:
        in_bounds(spec, what, size, 1)
