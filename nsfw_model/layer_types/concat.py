"""Concat joins blobs along an axis, Slice cuts one, Split hands one on. Caffe's concat_layer.cpp and so on."""

from typing import Any

from nsfw_model.layer_types.reading import axis_or_alias
from nsfw_model.layer_types.record import ONE_OR_MORE, LayerType, Settings, no_settings
from nsfw_model.spec import LayerSpec

CONCAT = Settings(
    "concat_param",
    104,
    """
message ConcatParameter {
  optional int32 axis = 2 [default = 1];
  optional uint32 concat_dim = 1 [default = 1];
}
""",
    v1_number=9,
)
SLICE = Settings(
    "slice_param",
    126,
    """
message SliceParameter {
  optional int32 axis = 3 [default = 1];
  repeated uint32 slice_point = 2;
  optional uint32 slice_dim = 1 [default = 1];
}
""",
    v1_number=31,
)


def read_concat(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Concat: ``axis``."""
    return {"axis": axis_or_alias(spec, message, "concat_dim", "batches are not joined")}


def read_slice(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Slice: ``axis``, and ``points``, where each top but the first starts; empty for equal parts."""
    points = tuple(message.slice_point)
    if points and len(points) != len(spec.tops) - 1:
        raise spec.error(f"slice_point: got {len(points)}, expected {len(spec.tops) - 1}, one less than tops")
    if any(after <= before for before, after in zip((0, *points), points)):
        raise spec.error(f"slice_point: got {points}, expected numbers above 0 that rise")
    return {"axis": axis_or_alias(spec, message, "slice_dim", "batches are not cut"), "points": points}


TYPES = [
    LayerType("Concat", read_concat, CONCAT, v1=("CONCAT", 3), bottoms=ONE_OR_MORE),
    LayerType("Slice", read_slice, SLICE, v1=("SLICE", 33), tops=ONE_OR_MORE),
    LayerType("Split", no_settings, v1=("SPLIT", 22), tops=ONE_OR_MORE),
]
