"""What readers of settings share: sizes in bounds, finite numbers, pairs for height and width, axes."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from nsfw_model.spec import MAX_SIZE, LayerSpec


def in_bounds(spec: LayerSpec, what: str, value: int, least: int) -> int:
    """Return `value`, or raise the layer's error if it is below `least` or above `MAX_SIZE`."""
    if not least <= value <= MAX_SIZE:
        raise spec.error(f"{what}: got {value}, expected {least} to {MAX_SIZE}")
    return value


def finite(spec: LayerSpec, what: str, value: float) -> float:
    """Return the float32 nearest to `value`, or raise the layer's error if it is not finite.

    Protobuf's releases differ in what they return for a float field's default, in the digits beyond float32.
    """
    if not math.isfinite(value):
        raise spec.error(f"{what}: got {value}, expected a finite number")
    return struct.unpack("<f", struct.pack("<f", value))[0]


def numbers(spec: LayerSpec, message: Any, names: str) -> dict[str, float]:
    """Return fields that hold finite numbers, by name; `names` is a text with spaces between them."""
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
    """Return ``axis`` or the field that older files have for it; see `not_the_batch`."""
    if message.HasField("axis") and message.HasField(alias):
        raise spec.error(f"got both axis and {alias}, expected one of them")
    return not_the_batch(spec, getattr(message, alias) if message.HasField(alias) else message.axis, why)


def not_the_batch(spec: LayerSpec, axis: int, why: str, what: str = "axis") -> int:
    """Return `axis`, or raise the layer's error if it is 0, since pictures of a batch do not mix; `why` says how."""
    if axis == 0:
        raise spec.error(f"{what}: got 0, expected another: {why}")
    return axis


def axis_is_channels(spec: LayerSpec, axis: int) -> None:
    """Raise the layer's error if `axis` is not 1."""
    if axis != 1:
        raise spec.error(f"axis: got {axis}, expected 1, the channels")


def check_shape(spec: LayerSpec, what: str, sizes: Sequence[int]) -> None:
    """Raise the layer's error if a size is not one."""
    for size in sizes:
        in_bounds(spec, what, size, 1)
