"""Crop: as much of a blob as another one is large. Caffe's crop_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import in_bounds, not_the_batch
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

CROP = Settings(
    "crop_param",
    144,
    """
message CropParameter {
  optional int32 axis = 1 [default = 2];
  repeated uint32 offset = 2;
}
""",
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: ``axis``, the first that is cropped, and ``offset``: none, one for all axes, or one for each."""
    offset = tuple(in_bounds(spec, "offset", value, 0) for value in message.offset)
    return {"axis": not_the_batch(spec, message.axis, "batches are not cut"), "offset": offset}


TYPES = [LayerType("Crop", read, CROP, bottoms=(2, 2))]
