"""BatchNorm: normalisation by stored statistics. Caffe's batch_norm_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import finite
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

BATCH_NORM = Settings(
    "batch_norm_param",
    139,
    """
message BatchNormParameter {
  optional bool use_global_stats = 1;
  optional float eps = 3 [default = 1e-5];
  // training only
  optional float moving_average_fraction = 2;
}
""",
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: ``eps``, what keeps the root of a variance away from 0."""
    if message.HasField("use_global_stats") and not message.use_global_stats:
        raise spec.error(
            "use_global_stats: got false, expected true: statistics of the batch would make "
            "the result for one picture depend on the others"
        )
    eps = finite(spec, "eps", message.eps)
    if eps <= 0:
        raise spec.error(f"eps: got {eps}, expected a number above 0")
    return {"eps": eps}


TYPES = [LayerType("BatchNorm", read, BATCH_NORM, in_place=True)]
