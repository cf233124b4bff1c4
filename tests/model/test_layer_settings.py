"""Settings of each layer type: Caffe's defaults, the bounds of each number, and what is said of those beyond.

The defaults are those of src/caffe/proto/caffe.proto in https://github.com/BVLC/caffe at 9b89154.
"""

import re

import pytest
from google.protobuf import text_format

from nsfw_model import prototxt
from nsfw_model.prototxt import PrototxtError
from nsfw_model.schema import LayerParameter


def spec_of(type, text="", bottoms=1, tops=1):
    names = [f"bottom: '{index}'" for index in range(bottoms)] + [f"top: 't{index}'" for index in range(tops)]
    message = text_format.Parse(f"name: 'it' type: '{type}' {' '.join(names)} {text}", LayerParameter())
    return prototxt._layer_spec(message, "net:5")


def refuse(type, text, message, **counts):
    whole = f"net:5: layer 'it' ({type}): {message}"
    with pytest.raises(PrototxtError, match=f"^{re.escape(whole)}$"):
        spec_of(type, text, **counts)


CONVOLUTION = {
    "num_output": 4,
    "kernel": (3, 3),
    "stride": (1, 1),
    "pad": (0, 0),
    "dilation": (1, 1),
    "group": 1,
    "bias": True,
}
POOLING = {
    "mode": "max",
    "kernel": (2, 2),
    "stride": (1, 1),
    "pad": (0, 0),
    "round_mode": "ceil",
    "global_pooling": False,
}

DEFAULTS = {
    "BatchNorm": ("", {"eps": pytest.approx(1e-5)}),
    "Bias": ("", {"axis": 1, "num_axes": 1}),
    "Clip": ("clip_param { min: -1 max: -1 }", {"low": -1.0, "high": -1.0}),
    "Concat": ("", {"axis": 1}),
    "Convolution": ("convolution_param { num_output: 4 kernel_size: 3 }", CONVOLUTION),
    "Deconvolution": ("convolution_param { num_output: 4 kernel_size: 3 }", CONVOLUTION),
    "Dropout": ("", {"ratio": 0.5}),
    "ELU": ("", {"alpha": 1.0}),
    "Exp": ("", {"base": -1.0, "scale": 1.0, "shift": 0.0}),
    "Flatten": ("", {"axis": 1, "end_axis": -1}),
    "InnerProduct": (
        "inner_product_param { num_output: 4 }",
        {"num_output": 4, "axis": 1, "bias": True, "transpose": False},
    ),
    "LRN": ("", {"local_size": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0, "within_channel": False}),
    "Log": ("", {"base": -1.0, "scale": 1.0, "shift": 0.0}),
    "MVN": ("", {"normalize_variance": True, "across_channels": False, "eps": pytest.approx(1e-9)}),
    "PReLU": ("", {"channel_shared": False}),
    "Pooling": ("pooling_param { kernel_size: 2 }", POOLING),
    "Power": ("", {"power": 1.0, "scale": 1.0, "shift": 0.0}),
    "ReLU": ("", {"negative_slope": 0.0}),
    "Reshape": ("", {"dims": (), "axis": 0, "num_axes": -1}),
    "Scale": ("", {"axis": 1, "num_axes": 1, "bias": False}),
    "Slice": ("", {"axis": 1, "points": ()}),
    "Softmax": ("", {"axis": 1}),
    "Swish": ("", {"beta": 1.0}),
    "Threshold": ("", {"threshold": 0.0}),
    "AbsVal": ("", {}),
    "BNLL": ("", {}),
    "Sigmoid": ("", {}),
    "Split": ("", {}),
    "TanH": ("", {}),
}


@pytest.mark.parametrize("type", DEFAULTS)
def test_defaults_are_caffes(type):
    text, settings = DEFAULTS[type]
    assert spec_of(type, text).settings == settings


OTHERS = [
    ("BatchNorm", "batch_norm_param { eps: 0.5 use_global_stats: true }", {"eps": 0.5}),
    ("Bias", "bias_param { axis: 0 num_axes: 0 }", {"axis": 0, "num_axes": 0}),
    ("Bias", "bias_param { axis: -2 num_axes: -1 }", {"axis": -2, "num_axes": -1}),
    ("Clip", "clip_param { min: -1 max: 2 }", {"low": -1.0, "high": 2.0}),
    ("Concat", "concat_param { concat_dim: 3 }", {"axis": 3}),
    ("Concat", "concat_param { axis: -1 }", {"axis": -1}),
    ("Dropout", "dropout_param { dropout_ratio: 0 }", {"ratio": 0.0}),
    ("Exp", "exp_param { base: 2 scale: 3 shift: 4 }", {"base": 2.0, "scale": 3.0, "shift": 4.0}),
    ("Exp", "exp_param { base: 1 }", {"base": 1.0, "scale": 1.0, "shift": 0.0}),
    ("Log", "log_param { base: 2 scale: 3 shift: 4 }", {"base": 2.0, "scale": 3.0, "shift": 4.0}),
    ("Flatten", "flatten_param { axis: 2 end_axis: 3 }", {"axis": 2, "end_axis": 3}),
    (
        "InnerProduct",
        "inner_product_param { num_output: 65536 axis: -1 bias_term: false transpose: true }",
        {"num_output": 65536, "axis": -1, "bias": False, "transpose": True},
    ),
    (
        "LRN",
        "lrn_param { local_size: 1 alpha: 2 beta: 3 k: 4 norm_region: WITHIN_CHANNEL }",
        {"local_size": 1, "alpha": 2.0, "beta": 3.0, "k": 4.0, "within_channel": True},
    ),
    (
        "MVN",
        "mvn_param { normalize_variance: false across_channels: true eps: 0.5 }",
        {"normalize_variance": False, "across_channels": True, "eps": 0.5},
    ),
    ("PReLU", "prelu_param { channel_shared: true }", {"channel_shared": True}),
    ("Power", "power_param { power: 2 scale: 3 shift: 4 }", {"power": 2.0, "scale": 3.0, "shift": 4.0}),
    (
        "Reshape",
        "reshape_param { shape { dim: 0 dim: -1 dim: 65536 } axis: 1 num_axes: 2 }",
        {"dims": (0, -1, 65536), "axis": 1, "num_axes": 2},
    ),
    ("Scale", "scale_param { axis: 2 num_axes: 3 bias_term: true }", {"axis": 2, "num_axes": 3, "bias": True}),
    ("Softmax", "softmax_param { axis: -1 }", {"axis": -1}),
    ("Pooling", "pooling_param { global_pooling: true }", {"mode": "max", "global_pooling": True}),
    (
        "Pooling",
        "pooling_param { pool: AVE kernel_h: 3 kernel_w: 4 stride: 5 pad_h: 2 pad_w: 3 round_mode: FLOOR }",
        {**POOLING, "mode": "ave", "kernel": (3, 4), "stride": (5, 5), "pad": (2, 3), "round_mode": "floor"},
    ),
    ("Pooling", "pooling_param { kernel_size: 2 round_mode: CEIL }", POOLING),
    ("Pooling", "pooling_param { kernel_size: 2 ceil_mode: true }", POOLING),
    ("Pooling", "pooling_param { kernel_size: 2 ceil_mode: false }", {**POOLING, "round_mode": "floor"}),
    (
        "Convolution",
        "convolution_param { num_output: 6 kernel_size: [3, 4] stride_h: 5 stride_w: 6 pad_w: 7 dilation: [8, 9] "
        "group: 3 bias_term: false axis: -3 }",
        {
            "num_output": 6,
            "kernel": (3, 4),
            "stride": (5, 6),
            "pad": (0, 7),
            "dilation": (8, 9),
            "group": 3,
            "bias": False,
        },
    ),
    (
        "Convolution",
        "convolution_param { num_output: 65536 kernel_size: 65536 pad: 65536 stride: 65536 group: 65536 }",
        {
            **CONVOLUTION,
            "num_output": 65536,
            "kernel": (65536,) * 2,
            "stride": (65536,) * 2,
            "pad": (65536,) * 2,
            "group": 65536,
        },
    ),
]


@pytest.mark.parametrize("type, text, settings", OTHERS)
def test_each_setting_is_read(type, text, settings):
    assert spec_of(type, text).settings == settings


@pytest.mark.parametrize(
    "text, settings",
    [
        ("operation: SUM", ("sum", None)),
        ("", ("sum", None)),
        ("operation: PROD", ("prod", None)),
        ("operation: MAX", ("max", None)),
        ("coeff: 1 coeff: 1", ("sum", None)),
        ("coeff: 1 coeff: 2", ("sum", (1.0, 2.0))),
        ("coeff: -1 coeff: 1", ("sum", (-1.0, 1.0))),
        ("operation: MAX coeff: 1 coeff: 2", ("max", None)),
    ],
)
def test_coefficients_of_a_sum_are_those_that_are_not_one(text, settings):
    read = spec_of("Eltwise", f"eltwise_param {{ {text} }}", bottoms=2).settings
    assert (read["operation"], read["coeff"]) == settings


@pytest.mark.parametrize("points, tops", [((1,), 2), ((1, 2), 3), ((5, 7, 9), 4)])
def test_a_slice_begins_where_its_points_are(points, tops):
    text = "slice_param { " + " ".join(f"slice_point: {point}" for point in points) + " slice_dim: 2 }"
    assert spec_of("Slice", text, tops=tops).settings == {"axis": 2, "points": points}


@pytest.mark.parametrize("offsets", [(), (0,), (65536, 2)])
def test_a_crop_has_offsets(offsets):
    text = "crop_param { " + " ".join(f"offset: {offset}" for offset in offsets) + " }"
    assert spec_of("Crop", text, bottoms=2).settings == {"axis": 2, "offset": offsets}


@pytest.mark.parametrize("shape", [(1, 3, 8, 9), (5, 7), (1, 1, 1, 65536), (1 << 16, 1 << 12)])
def test_an_input_has_two_or_four_sizes(shape):
    text = "input_param { shape { " + " ".join(f"dim: {size}" for size in shape) + " } }"
    assert spec_of("Input", text, bottoms=0).settings == {"shape": shape}


WRONG = [
    ("BatchNorm", "batch_norm_param { eps: 0 }", "eps: got 0.0, expected a number above 0"),
    ("BatchNorm", "batch_norm_param { eps: inf }", "eps: got inf, expected a finite number"),
    ("Clip", "clip_param { max: 0 }", "clip_param: expected both min and max"),
    ("Clip", "clip_param { min: nan max: 0 }", "min: got nan, expected a finite number"),
    ("Clip", "clip_param { min: 0 max: inf }", "max: got inf, expected a finite number"),
    ("Concat", "concat_param { concat_dim: 0 }", "axis: got 0, expected another: batches are not joined"),
    ("Concat", "concat_param { axis: 1 concat_dim: 1 }", "got both axis and concat_dim, expected one of them"),
    (
        "Convolution",
        "convolution_param { num_output: 65537 kernel_size: 1 }",
        "num_output: got 65537, expected 1 to 65536",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 1 axis: 0 }",
        "axis: got 0, expected 1, the channels",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 1 dilation: 0 }",
        "dilation: got 0, expected 1 to 65536",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 1 pad: [1, 2, 3] }",
        "pad: got 3 values, expected 1, or 2 for height and width",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 1 stride: 1 stride_w: 2 }",
        "stride: got both one field for height and width and stride_h or stride_w",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 1 stride_w: 2 }",
        "stride: got one of stride_h and stride_w, expected both",
    ),
    ("Dropout", "dropout_param { dropout_ratio: 1 }", "dropout_ratio: got 1.0, expected a number from 0 to below 1"),
    ("Exp", "exp_param { base: -2 }", "base: got -2.0, expected a number above 0, or -1 for e"),
    ("Flatten", "flatten_param { end_axis: 0 }", "end_axis: got 0, expected another: batches are not flattened"),
    ("InnerProduct", "inner_product_param { num_output: 1 axis: 0 }", "axis: got 0, expected 1, the channels"),
    ("LRN", "lrn_param { local_size: 2 }", "local_size: got 2, expected an odd number"),
    ("MVN", "mvn_param { eps: -1 }", "eps: got -1.0, expected a number above 0"),
    (
        "Pooling",
        "pooling_param { kernel_h: 3 kernel_w: 2 pad: 2 }",
        "pad: got (2, 2), expected less than the kernel (3, 2)",
    ),
    (
        "Pooling",
        "pooling_param { global_pooling: true stride: 2 }",
        "got global_pooling with stride (2, 2) and pad (0, 0), expected stride 1 and pad 0",
    ),
    (
        "Pooling",
        "pooling_param { global_pooling: true kernel_w: 2 }",
        "got global_pooling and a kernel size, expected one of them",
    ),
    (
        "Pooling",
        "pooling_param { global_pooling: true kernel_h: 2 }",
        "got global_pooling and a kernel size, expected one of them",
    ),
    ("Pooling", "pooling_param { kernel_size: 2 stride: 0 }", "stride: got 0, expected 1 to 65536"),
    ("Reshape", "reshape_param { shape { dim: 65537 } }", "shape: got 65537, expected -1 to 65536"),
    ("Scale", "scale_param { num_axes: -2 }", "num_axes: got -2, expected -1 or more"),
    (
        "Scale",
        "scale_param { axis: 0 num_axes: -1 }",
        "axis: got 0, expected at least 1: a factor for each picture of a batch cannot be learned",
    ),
    (
        "Slice",
        "slice_param { slice_point: 0 slice_point: 1 }",
        "slice_point: got (0, 1), expected numbers above 0 that rise",
    ),
    (
        "Slice",
        "slice_param { slice_point: 2 slice_point: 2 }",
        "slice_point: got (2, 2), expected numbers above 0 that rise",
    ),
]


@pytest.mark.parametrize("type, text, message", WRONG)
def test_what_is_out_of_bounds_is_told(type, text, message):
    refuse(type, text, message, tops=3 if type == "Slice" else 1)


@pytest.mark.parametrize("shape, message", [
    ((1, 2, 3), "shape: got (1, 2, 3), expected (batch, channels, height, width) or (batch, values)"),
    ((1,), "shape: got (1,), expected (batch, channels, height, width) or (batch, values)"),
    ((1, 0), "shape: got 0, expected 1 to 65536"),
    ((1, 65537), "shape: got 65537, expected 1 to 65536"),
    ((65536, 4097), "shape: got (65536, 4097), expected at most 268435456 values"),
])  # fmt: skip
def test_an_input_of_another_shape_is_refused(shape, message):
    refuse("Input", "input_param { shape { " + " ".join(f"dim: {size}" for size in shape) + " } }", message, bottoms=0)
