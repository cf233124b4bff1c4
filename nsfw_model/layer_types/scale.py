"""Scale and Bias: multiplication by a learned array, and addition of one. Caffe's scale_layer.cpp, bias_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

SCALE = Settings(
    "scale_param",
    142,
    """
message ScaleParameter {
  optional int32 axis = 1 [default = 1];
  optional int32 num_axes = 2 [default = 1];
  optional bool bias_term = 4 [default = false];
  // training only
  optional FillerParameter filler = 3;
  optional FillerParameter bias_filler = 5;
}
""",
)
BIAS = Settings(
    "bias_param",
    141,
    """
message BiasParameter {
  optional int32 axis = 1 [default = 1];
  optional int32 num_axes = 2 [default = 1];
  // training only
  optional FillerParameter filler = 3;
}
""",
)


def read_covered_axes(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Bias: the first axis that the array covers, and how many (-1 for all behind it)."""
    if message.axis == 0 and message.num_axes != 0:
        raise spec.error("axis: got 0, expected at least 1: a factor for each picture of a batch cannot be learned")
    if message.num_axes < -1:
        raise spec.error(f"num_axes: got {message.num_axes}, expected -1 or more")
    return {"axis": message.axis, "num_axes": message.num_axes}


def read_scale(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Scale: those of a Bias, and whether it has one (bool)."""
    return {**read_covered_axes(message, spec), "bias": message.bias_term}


TYPES = [
    LayerType("Scale", read_scale, SCALE, in_place=True),
    LayerType("Bias", read_covered_axes, BIAS, in_place=True),
]
