"""ReLU and PReLU: the positive part, and a part of the negative one. Caffe's relu_layer.cpp, prelu_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import numbers
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

RELU = Settings(
    "relu_param",
    123,
    """
message ReLUParameter {
  optional float negative_slope = 1 [default = 0];
  // training only
  optional Engine engine = 2;
}
""",
    v1_number=30,
)
PRELU = Settings(
    "prelu_param",
    131,
    """
message PReLUParameter {
  optional bool channel_shared = 2 [default = false];
  // training only
  optional FillerParameter filler = 1;
}
""",
)


def read_relu(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a ReLU: ``negative_slope``."""
    return numbers(spec, message, "negative_slope")


def read_prelu(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a PReLU: ``channel_shared``, whether one slope serves all channels."""
    return {"channel_shared": message.channel_shared}


TYPES = [
    LayerType("ReLU", read_relu, RELU, v1=("RELU", 18), in_place=True),
    LayerType("PReLU", read_prelu, PRELU, in_place=True),
]
