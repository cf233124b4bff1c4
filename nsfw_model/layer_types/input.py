"""Input: where pictures come in. Caffe's input_layer.cpp."""

import math
from typing import Any

from nsfw_model.layer_types.reading import check_shape
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import MAX_VALUES, LayerSpec

INPUT = Settings(
    "input_param",
    143,
    """
message InputParameter {
  repeated BlobShape shape = 1;
}
""",
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of an Input layer: ``shape``, tuple of int."""
    if len(message.shape) != 1:
        raise spec.error(f"got {len(message.shape)} shapes, expected 1")
    shape = tuple(message.shape[0].dim)
    if len(shape) not in (2, 4):
        raise spec.error(f"shape: got {shape}, expected (batch, channels, height, width) or (batch, values)")
    check_shape(spec, "shape", shape)
    if math.prod(shape) > MAX_VALUES:
        raise spec.error(f"shape: got {shape}, expected at most {MAX_VALUES} values")
    return {"shape": shape}


TYPES = [LayerType("Input", read, INPUT, bottoms=(0, 0))]
