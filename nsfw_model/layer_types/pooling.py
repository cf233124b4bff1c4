"""Pooling: the largest value or the average of windows. Caffe's pooling_layer.cpp."""

from typing import Any

from nsfw_model.layer_types.reading import pair
from nsfw_model.layer_types.record import LayerType, Settings
from nsfw_model.spec import LayerSpec

POOLING = Settings(
    "pooling_param",
    121,
    """
message PoolingParameter {
  enum PoolMethod {
    MAX = 0;
    AVE = 1;
    STOCHASTIC = 2;
  }
  enum RoundMode {
    CEIL = 0;
    FLOOR = 1;
  }
  optional PoolMethod pool = 1 [default = MAX];
  optional uint32 pad = 4 [default = 0];
  optional uint32 pad_h = 9 [default = 0];
  optional uint32 pad_w = 10 [default = 0];
  optional uint32 kernel_size = 2;
  optional uint32 kernel_h = 5;
  optional uint32 kernel_w = 6;
  optional uint32 stride = 3 [default = 1];
  optional uint32 stride_h = 7;
  optional uint32 stride_w = 8;
  optional bool global_pooling = 12 [default = false];
  optional RoundMode round_mode = 13 [default = CEIL];
  // Older forks call round_mode so, and give it the number 13 too: a caffemodel of theirs means FLOOR by 0. Of
  // the two, Caffe's own reading of 13 holds; by its name, in a prototxt, there is no doubt.
  optional bool ceil_mode = 1013 [default = true];
  // training only
  optional Engine engine = 11;
}
""",
    v1_number=19,
)

MODES = {0: "max", 1: "ave"}


def read(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings: mode ("max" or "ave"), global_pooling, and without that kernel, stride, pad, round_mode."""
    if message.pool not in MODES:
        raise spec.error("pool: got STOCHASTIC, expected MAX or AVE")
    mode = MODES[message.pool]
    stride = pair(spec, message, "stride", default=1, least=1)
    pad = pair(spec, message, "pad", default=0)
    round_mode = _round_mode(message, spec)
    if message.global_pooling:
        if message.HasField("kernel_size") or message.HasField("kernel_h") or message.HasField("kernel_w"):
            raise spec.error("got global_pooling and a kernel size, expected one of them")
        if stride != (1, 1) or pad != (0, 0):
            raise spec.error(f"got global_pooling with stride {stride} and pad {pad}, expected stride 1 and pad 0")
        return {"mode": mode, "global_pooling": True}
    kernel = pair(spec, message, "kernel", least=1)
    if any(p >= k for p, k in zip(pad, kernel)):
        raise spec.error(f"pad: got {pad}, expected less than the kernel {kernel}")
    return {
        "mode": mode,
        "kernel": kernel,
        "stride": stride,
        "pad": pad,
        "round_mode": round_mode,
        "global_pooling": False,
    }


def _round_mode(message: Any, spec: LayerSpec) -> str:
    if message.HasField("ceil_mode"):
        if message.HasField("round_mode"):
            raise spec.error("got both round_mode and ceil_mode, expected one of them")
        return "ceil" if message.ceil_mode else "floor"
    return "floor" if message.round_mode == 1 else "ceil"


TYPES = [LayerType("Pooling", read, POOLING, v1=("POOLING", 17))]
