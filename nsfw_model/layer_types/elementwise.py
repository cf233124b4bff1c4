"""Functions of one value, applied to each. Caffe's absval_layer.cpp, power_layer.cpp and so on, one for each."""

from typing import Any

from nsfw_model.layer_types.reading import finite, numbers
from nsfw_model.layer_types.record import LayerType, Settings, no_settings
from nsfw_model.spec import LayerSpec

CLIP = Settings(
    "clip_param",
    148,
    """
message ClipParameter {
  optional float min = 1;
  optional float max = 2;
}
""",
)
ELU = Settings(
    "elu_param",
    140,
    """
message ELUParameter {
  optional float alpha = 1 [default = 1];
}
""",
)
EXP = Settings(
    "exp_param",
    111,
    """
message ExpParameter {
  optional float base = 1 [default = -1];
  optional float scale = 2 [default = 1];
  optional float shift = 3 [default = 0];
}
""",
    v1_number=41,
)
LOG = Settings(
    "log_param",
    134,
    """
message LogParameter {
  optional float base = 1 [default = -1];
  optional float scale = 2 [default = 1];
  optional float shift = 3 [default = 0];
}
""",
)
POWER = Settings(
    "power_param",
    122,
    """
message PowerParameter {
  optional float power = 1 [default = 1];
  optional float scale = 2 [default = 1];
  optional float shift = 3 [default = 0];
}
""",
    v1_number=21,
)
SIGMOID = Settings(
    "sigmoid_param",
    124,
    """
message SigmoidParameter {
  // training only
  optional Engine engine = 1;
}
""",
    v1_number=38,
)
SWISH = Settings(
    "swish_param",
    147,
    """
message SwishParameter {
  optional float beta = 1 [default = 1];
}
""",
)
TANH = Settings(
    "tanh_param",
    127,
    """
message TanHParameter {
  // training only
  optional Engine engine = 1;
}
""",
    v1_number=37,
)
THRESHOLD = Settings(
    "threshold_param",
    128,
    """
message ThresholdParameter {
  optional float threshold = 1 [default = 0];
}
""",
    v1_number=25,
)


def read_clip(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Clip: ``low`` and ``high``."""
    if not message.HasField("min") or not message.HasField("max"):
        raise spec.error("clip_param: expected both min and max")
    low, high = finite(spec, "min", message.min), finite(spec, "max", message.max)
    if low > high:
        raise spec.error(f"min, max: got {low}, {high}, expected a min of at most max")
    return {"low": low, "high": high}


def read_elu(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of an ELU: ``alpha``, minus the limit at minus infinity."""
    return numbers(spec, message, "alpha")


def read_exp(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of an Exp: ``base`` (-1 stands for e), ``scale`` and ``shift``."""
    settings = numbers(spec, message, "base scale shift")
    if settings["base"] != -1 and settings["base"] <= 0:
        raise spec.error(f"base: got {settings['base']}, expected a number above 0, or -1 for e")
    return settings


def read_log(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Log: those of an Exp."""
    settings = read_exp(message, spec)
    if settings["base"] == 1:
        raise spec.error("base: got 1.0, which has no logarithms")
    return settings


def read_power(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Power: ``power``, ``scale`` and ``shift``."""
    return numbers(spec, message, "power scale shift")


def read_swish(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Swish: ``beta``."""
    return numbers(spec, message, "beta")


def read_threshold(message: Any, spec: LayerSpec) -> dict[str, Any]:
    """Settings of a Threshold: ``threshold``."""
    return numbers(spec, message, "threshold")


TYPES = [
    LayerType("AbsVal", no_settings, v1=("ABSVAL", 35)),
    LayerType("BNLL", no_settings, v1=("BNLL", 2), in_place=True),
    LayerType("Clip", read_clip, CLIP, in_place=True),
    LayerType("ELU", read_elu, ELU, in_place=True),
    LayerType("Exp", read_exp, EXP, v1=("EXP", 38), in_place=True),
    LayerType("Log", read_log, LOG, in_place=True),
    LayerType("Power", read_power, POWER, v1=("POWER", 26), in_place=True),
    LayerType("Sigmoid", no_settings, SIGMOID, v1=("SIGMOID", 19), in_place=True),
    LayerType("Swish", read_swish, SWISH, in_place=True),
    LayerType("TanH", no_settings, TANH, v1=("TANH", 23), in_place=True),
    LayerType("Threshold", read_threshold, THRESHOLD, v1=("THRESHOLD", 31), in_place=True),
]
