"""InnerProduct: a fully connected layer. Caffe's inner_product_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import axis_is_channels, in_bounds
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

INNER_PRODUCT = Settings(
    "inner_product_param",
    117,
    """
message InnerProductParameter {
  optional uint32 num_output = 1;
  optional bool bias_term = 2 [default = true];
  optional int32 axis = 5 [default = 1];
  optional bool transpose = 6 [default = false];
  // training only
  optional FillerParameter weight_filler = 3;
  optional FillerParameter bias_filler = 4;
}
""",
    v1_number=17,
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: num_output, axis, bias (bool), and whether the matrix is stored transposed (bool)."""
    if message.axis >= 0:  # from the end it depends on the input, and is checked with it
        axis_is_channels(spec, message.axis, ndim=4)
    num_output = in_bounds(spec, "num_output", message.num_output, 1)
    return {
        "num_output": num_output,
        "axis": message.axis,
        "bias": message.bias_term,
        "transpose": message.transpose,
    }


TYPES = [LayerType("InnerProduct", read, INNER_PRODUCT, v1=("INNER_PRODUCT", 14))]
