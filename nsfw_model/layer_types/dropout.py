"""Dropout: in inference, its input. Caffe's dropout_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import finite
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

DROPOUT = Settings(
    "dropout_param",
    108,
    """
message DropoutParameter {
  optional float dropout_ratio = 1 [default = 0.5];
}
""",
    v1_number=12,
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: ``ratio``, the part of the values that training drops."""
    ratio = finite(spec, "dropout_ratio", message.dropout_ratio)
    if not 0 <= ratio < 1:
        raise spec.error(f"dropout_ratio: got {ratio}, expected a number from 0 to below 1")
    return {"ratio": ratio}


TYPES = [LayerType("Dropout", read, DROPOUT, v1=("DROPOUT", 6), in_place=True)]
