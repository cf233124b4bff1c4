"""Eltwise: the sum, product or maximum of several blobs. Caffe's eltwise_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import finite
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

ELTWISE = Settings(
    "eltwise_param",
    110,
    """
message EltwiseParameter {
  enum EltwiseOp {
    PROD = 0;
    SUM = 1;
    MAX = 2;
  }
  optional EltwiseOp operation = 1 [default = SUM];
  repeated float coeff = 2;
  // training only
  optional bool stable_prod_grad = 3;
}
""",
    v1_number=24,
)

OPERATIONS = {0: "prod", 1: "sum", 2: "max"}


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: operation ("sum", "prod" or "max"), and a sum's coefficients, None if all are 1."""
    operation = OPERATIONS[message.operation]
    coeff = tuple(finite(spec, "coeff", value) for value in message.coeff)
    if coeff and operation == "prod":
        raise spec.error("coeff: got coefficients for PROD, expected them for SUM only")
    if coeff and len(coeff) != len(spec.bottoms):
        raise spec.error(f"coeff: got {len(coeff)}, expected {len(spec.bottoms)}, one for each bottom")
    without_effect = operation == "max" or all(value == 1 for value in coeff)
    return {"operation": operation, "coeff": None if without_effect else coeff}


TYPES = [LayerType("Eltwise", read, ELTWISE, v1=("ELTWISE", 25), bottoms=(2, None), in_place=True)]
