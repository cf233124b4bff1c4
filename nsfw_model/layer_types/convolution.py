"""Convolution and Deconvolution. Caffe's base_conv_layer.cpp, conv_layer.cpp, deconv_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import axis_is_channels, in_bounds, pair
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

CONVOLUTION = Settings(
    "convolution_param",
    106,
    """
message ConvolutionParameter {
  optional uint32 num_output = 1;
  optional bool bias_term = 2 [default = true];
  repeated uint32 pad = 3;
  repeated uint32 kernel_size = 4;
  repeated uint32 stride = 6;
  repeated uint32 dilation = 18;
  optional uint32 pad_h = 9 [default = 0];
  optional uint32 pad_w = 10 [default = 0];
  optional uint32 kernel_h = 11;
  optional uint32 kernel_w = 12;
  optional uint32 stride_h = 13;
  optional uint32 stride_w = 14;
  optional uint32 group = 5 [default = 1];
  optional int32 axis = 16 [default = 1];
  // training only
  optional FillerParameter weight_filler = 7;
  optional FillerParameter bias_filler = 8;
  optional Engine engine = 15;
  optional bool force_nd_im2col = 17;
}
""",
    v1_number=10,
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of both types: num_output, kernel, stride, pad, dilation, group and bias (bool)."""
    axis_is_channels(spec, message.axis, ndim=4)
    settings = {
        "num_output": in_bounds(spec, "num_output", message.num_output, 1),
        "kernel": pair(spec, message, "kernel", least=1),
        "stride": pair(spec, message, "stride", default=1, least=1),
        "pad": pair(spec, message, "pad", default=0),
        "dilation": pair(spec, message, "dilation", default=1, least=1),
        "group": in_bounds(spec, "group", message.group, 1),
        "bias": message.bias_term,
    }
    if settings["num_output"] % settings["group"]:
        raise spec.error(f"num_output: got {settings['num_output']}, expected a multiple of group {settings['group']}")
    return settings


TYPES = [
    LayerType("Convolution", read, CONVOLUTION, v1=("CONVOLUTION", 4)),
    LayerType("Deconvolution", read, CONVOLUTION, v1=("DECONVOLUTION", 39)),
]
