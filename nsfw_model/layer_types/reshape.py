"""Reshape and Flatten: the same values in another shape. Caffe's reshape_layer.cpp and flatten_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import in_bounds, not_the_batch
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

RESHAPE = Settings(
    "reshape_param",
    133,
    """
message ReshapeParameter {
  optional BlobShape shape = 1;
  optional int32 axis = 2 [default = 0];
  optional int32 num_axes = 3 [default = -1];
}
""",
)
FLATTEN = Settings(
    "flatten_param",
    135,
    """
message FlattenParameter {
  optional int32 axis = 1 [default = 1];
  optional int32 end_axis = 2 [default = -1];
}
""",
)


def read_reshape(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Reshape: what takes the place of which axes.

    ``dims`` are sizes, 0 for the size that the input has on that axis, -1 (at most once) for whatever is left;
    ``axis`` is the first axis replaced and ``num_axes`` their number (-1 for all behind).
    """
    dims = tuple(message.shape.dim)
    for dim in dims:
        in_bounds(spec, "shape", dim, -1)
    if dims.count(-1) > 1:
        raise spec.error(f"shape: got {dims}, expected at most one -1")
    if message.num_axes < -1:
        raise spec.error(f"num_axes: got {message.num_axes}, expected -1 or more")
    return {"dims": dims, "axis": message.axis, "num_axes": message.num_axes}


def read_flatten(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Flatten: ``axis`` and ``end_axis``, the first and the last that become one."""
    why = "batches are not flattened"
    return {
        "axis": not_the_batch(spec, message.axis, why),
        "end_axis": not_the_batch(spec, message.end_axis, why, "end_axis"),
    }


TYPES = [
    LayerType("Reshape", read_reshape, RESHAPE),
    LayerType("Flatten", read_flatten, FLATTEN, v1=("FLATTEN", 8)),
]
