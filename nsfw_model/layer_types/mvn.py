"""MVN: mean-variance normalisation of each picture by itself. Caffe's mvn_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import finite
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

MVN = Settings(
    "mvn_param",
    120,
    """
message MVNParameter {
  optional bool normalize_variance = 1 [default = true];
  optional bool across_channels = 2 [default = false];
  optional float eps = 3 [default = 1e-9];
}
""",
    v1_number=34,
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: normalize_variance, across_channels (bool), and eps, which is added to a deviation."""
    eps = finite(spec, "eps", message.eps)
    if eps <= 0:
        raise spec.error(f"eps: got {eps}, expected a number above 0")
    return {
        "normalize_variance": message.normalize_variance,
        "across_channels": message.across_channels,
        "eps": eps,
    }


TYPES = [LayerType("MVN", read, MVN, v1=("MVN", 34))]
