"""Softmax. Caffe's softmax_layer.cpp; its loss, softmax_loss_layer.cpp, is what training has in its place."""

from typing import Any

from nsfw_model.layer_types.reading import not_the_batch
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

SOFTMAX = Settings(
    "softmax_param",
    125,
    """
message SoftmaxParameter {
  optional int32 axis = 2 [default = 1];
  // training only
  optional Engine engine = 1;
}
""",
    v1_number=39,
)


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: ``axis``, along which exponentials are summed."""
    return {"axis": not_the_batch(spec, message.axis, "the batch is not normalised over")}


TYPES = [
    LayerType("Softmax", read, SOFTMAX, v1=("SOFTMAX", 20), in_place=True),
    LayerType(
        "SoftmaxWithLoss",
        settings=SOFTMAX,
        v1=("SOFTMAX_LOSS", 21),
        refused="it is a loss; in inference, a Softmax takes its place",
    ),
]
