"""LRN: local response normalisation. Caffe's lrn_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import in_bounds, numbers
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

LRN = Settings(
    "lrn_param",
    118,
    """
message LRNParameter {
  enum NormRegion {
    ACROSS_CHANNELS = 0;
    WITHIN_CHANNEL = 1;
  }
  optional uint32 local_size = 1 [default = 5];
  optional float alpha = 2 [default = 1];
  optional float beta = 3 [default = 0.75];
  optional NormRegion norm_region = 4 [default = ACROSS_CHANNELS];
  optional float k = 5 [default = 1];
  // training only
  optional Engine engine = 6;
}
""",
    v1_number=18,
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: local_size (odd), alpha, beta, k, and within_channel (bool)."""
    local_size = in_bounds(spec, "local_size", message.local_size, 1)
    if local_size % 2 == 0:
        raise spec.error(f"local_size: got {local_size}, expected an odd number")
    within_channel = message.norm_region == 1
    return {"local_size": local_size, **numbers(spec, message, "alpha beta k"), "within_channel": within_channel}


TYPES = [LayerType("LRN", read, LRN, v1=("LRN", 15))]
