"""Small Caffe networks that exercise every supported layer type, and OpenCV's opinion of what they compute.

Weights are random and written as a caffemodel by our own schema. OpenCV's Caffe importer
(opencv-python-headless 4.x) shares no code with this project.
"""

import lasagne
import numpy as np
import unoptimised

from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.network import build_net
from nsfw_model.prototxt import read_prototxt
from nsfw_model.schema import NetParameter

INPUT = (2, 6, 11, 9)


def layer(name, type, bottoms, settings="", top=None):
    """One layer of a prototxt; `bottoms` and `top` are texts with spaces between the names."""
    lines = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    lines += "".join(f' top: "{each}"' for each in (top or name).split() or [""])
    return f'layer {{ name: "{name}" type: "{type}"{lines} {settings} }}\n'


def conv(settings, *shapes):
    return layer("conv", "Convolution", "data", f"convolution_param {{ {settings} }}"), {"conv": shapes}


def deconv(settings, *shapes):
    return layer("deconv", "Deconvolution", "data", f"convolution_param {{ {settings} }}"), {"deconv": shapes}


def pool(settings):
    return layer("pool", "Pooling", "data", f"pooling_param {{ {settings} }}"), {}


def alone(type, settings=""):
    """One layer without weights, on the input."""
    return layer("it", type, "data", settings), {}


def sliced(settings, tops, after):
    """A Slice, and a layer that reads its tops."""
    return layer("slice", "Slice", "data", f"slice_param {{ {settings} }}", top=tops) + after, {}


def two_branches(name, type, settings=""):
    """A layer that joins the input with two convolutions of it."""
    convs = layer("a", "Convolution", "data", "convolution_param { num_output: 6 kernel_size: 1 }") + layer(
        "b", "Convolution", "data", "convolution_param { num_output: 6 kernel_size: 3 pad: 1 }"
    )
    blobs = {"a": [(6, 6, 1, 1), (6,)], "b": [(6, 6, 3, 3), (6,)]}
    return convs + layer(name, type, "data a b", settings), blobs


NETS = {
    "convolution": conv("num_output: 4 kernel_size: 3", (4, 6, 3, 3), (4,)),
    "convolution without bias": conv("num_output: 4 kernel_size: 3 bias_term: false", (4, 6, 3, 3)),
    "convolution, strided and padded": conv("num_output: 4 kernel_size: 5 stride: 2 pad: 2", (4, 6, 5, 5), (4,)),
    "convolution in groups": conv("num_output: 4 kernel_size: 3 group: 2", (4, 3, 3, 3), (4,)),
    "convolution for each channel": conv("num_output: 6 kernel_size: 3 group: 6 pad: 1", (6, 1, 3, 3), (6,)),
    "convolution, dilated": conv("num_output: 4 kernel_size: 3 dilation: 2 pad: 2", (4, 6, 3, 3), (4,)),
    "convolution, rectangular": conv(
        "num_output: 4 kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 2", (4, 6, 3, 5), (4,)
    ),
    "batch norm": (layer("bn", "BatchNorm", "data"), {"bn": [(6,), (6,), (1,)]}),
    "batch norm and scale, in place": (
        layer("conv", "Convolution", "data", "convolution_param { num_output: 4 kernel_size: 1 }")
        + layer("bn", "BatchNorm", "conv", "batch_norm_param { eps: 0.01 }", top="conv")
        + layer("scale", "Scale", "conv", "scale_param { bias_term: true }", top="conv")
        + layer("relu", "ReLU", "conv", top="conv"),
        {"conv": [(4, 6, 1, 1), (4,)], "bn": [(4,), (4,), (1,)], "scale": [(4,), (4,)]},
    ),
    "scale": (layer("scale", "Scale", "data"), {"scale": [(6,)]}),
    "scale with bias": (
        layer("scale", "Scale", "data", "scale_param { bias_term: true }"),
        {"scale": [(6,)] * 2},
    ),
    "relu": (layer("relu", "ReLU", "data"), {}),
    "leaky relu": (layer("relu", "ReLU", "data", "relu_param { negative_slope: 0.2 }"), {}),
    "max pooling, rounded up": pool("kernel_size: 3 stride: 2"),
    "max pooling, rounded up, with gaps": pool("kernel_size: 3 stride: 4"),
    "max pooling, padded": pool("kernel_size: 3 stride: 2 pad: 1"),
    "max pooling, padded, last window dropped": pool("kernel_size: 2 stride: 2 pad: 1"),
    "max pooling, rectangular": pool("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0"),
    "average pooling, rounded up": pool("pool: AVE kernel_size: 4 stride: 3"),
    "average pooling, padded": pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"),
    "average pooling, padded, last window clipped": pool("pool: AVE kernel_size: 4 stride: 3 pad: 1"),
    "average pooling, rectangular": pool("pool: AVE kernel_h: 4 kernel_w: 3 stride: 2 pad_h: 2 pad_w: 1"),
    "average pooling, global": pool("pool: AVE global_pooling: true"),
    "eltwise sum": two_branches("sum", "Eltwise"),
    "eltwise sum with coefficients": two_branches("sum", "Eltwise", "eltwise_param { coeff: 0.5 coeff: -2 coeff: 1 }"),
    "eltwise product": two_branches("prod", "Eltwise", "eltwise_param { operation: PROD }"),
    "eltwise maximum": two_branches("max", "Eltwise", "eltwise_param { operation: MAX }"),
    "concat": two_branches("concat", "Concat"),
    "concat of rows": two_branches("concat", "Concat", "concat_param { axis: 2 }"),
    "inner product": (
        layer("fc", "InnerProduct", "data", "inner_product_param { num_output: 5 }"),
        {"fc": [(5, 594), (5,)]},
    ),
    "inner product without bias": (
        layer("fc", "InnerProduct", "data", "inner_product_param { num_output: 5 bias_term: false }"),
        {"fc": [(5, 594)]},
    ),
    "softmax over channels": (layer("prob", "Softmax", "data"), {}),
    "classifier": (
        layer("fc", "InnerProduct", "data", "inner_product_param { num_output: 5 }")
        + layer("drop", "Dropout", "fc", "dropout_param { dropout_ratio: 0.4 }", top="fc")
        + layer("prob", "Softmax", "fc"),
        {"fc": [(5, 594), (5,)]},
    ),
    "lrn across channels": (
        layer("lrn", "LRN", "data", "lrn_param { local_size: 3 alpha: 2 beta: 0.6 }"),
        {},
    ),
    "lrn within channels": (
        layer("lrn", "LRN", "data", "lrn_param { local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL }"),
        {},
    ),
    "max pooling, rounded down": pool("kernel_size: 3 stride: 3 ceil_mode: false"),
    "average pooling, rounded down, padded": pool("pool: AVE kernel_size: 4 stride: 3 pad: 1 ceil_mode: false"),
    "lrn of one pixel": (
        layer("lrn", "LRN", "data", "lrn_param { local_size: 1 alpha: 2 }"),
        {},
    ),
    "deconvolution": deconv("num_output: 4 kernel_size: 3", (6, 4, 3, 3), (4,)),
    "deconvolution, strided and padded": deconv("num_output: 4 kernel_size: 4 stride: 2 pad: 1", (6, 4, 4, 4), (4,)),
    "deconvolution in groups": deconv("num_output: 4 kernel_size: 3 group: 2 stride: 2", (6, 2, 3, 3), (4,)),
    "deconvolution for each channel, without bias": deconv(
        "num_output: 6 kernel_size: 4 group: 6 stride: 2 pad: 1 bias_term: false", (6, 1, 4, 4)
    ),
    "deconvolution, rectangular": deconv(
        "num_output: 4 kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 2", (6, 4, 3, 5), (4,)
    ),
    "absolute value": alone("AbsVal"),
    "bnll": alone("BNLL"),
    "elu": alone("ELU"),
    "elu with alpha": alone("ELU", "elu_param { alpha: 0.3 }"),
    "exp": alone("Exp"),
    "exp to a base": alone("Exp", "exp_param { base: 2 scale: 0.5 shift: 1.5 }"),
    "log": (layer("abs", "AbsVal", "data") + layer("it", "Log", "abs", ""), {}),
    "power": alone("Power", "power_param { power: 2 scale: -0.5 shift: 1 }"),
    "power of one": alone("Power", "power_param { scale: 3 shift: -1 }"),
    "root": (
        layer("abs", "AbsVal", "data") + layer("it", "Power", "abs", "power_param { power: 0.5 shift: 0.1 }"),
        {},
    ),
    "sigmoid": alone("Sigmoid"),
    "swish": alone("Swish"),
    "tanh": alone("TanH"),
    "prelu": (layer("prelu", "PReLU", "data"), {"prelu": [(6,)]}),
    "mvn": alone("MVN"),
    "mvn across channels": alone("MVN", "mvn_param { across_channels: true }"),
    "mvn of the mean": alone("MVN", "mvn_param { normalize_variance: false }"),
    "flatten": alone("Flatten"),
    "flatten of the last axes": alone("Flatten", "flatten_param { axis: 2 }"),
    "flatten of the middle axes": alone("Flatten", "flatten_param { axis: 1 end_axis: 2 }"),
    "reshape": alone("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 9 dim: 2 } }"),
    "reshape to a matrix": alone("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"),
    "reshape of some axes": alone("Reshape", "reshape_param { shape { dim: 3 dim: 2 } axis: 1 num_axes: 1 }"),
    "slice in equal parts": sliced("axis: 1", "a b c", layer("sum", "Eltwise", "a b c")),
    "slice at points": sliced("slice_point: 1 slice_point: 4", "a b c", layer("cat", "Concat", "c a b")),
    "slice of rows": sliced("axis: 2 slice_point: 4", "a b", layer("cat", "Concat", "b a", "concat_param { axis: 2 }")),
    "split": (
        layer("split", "Split", "data", top="a b") + layer("relu", "ReLU", "a") + layer("sum", "Eltwise", "relu b"),
        {},
    ),
    "crop": (
        layer("conv", "Convolution", "data", "convolution_param { num_output: 6 kernel_size: 3 }")
        + layer("crop", "Crop", "data conv", "crop_param { offset: 2 offset: 1 }")
        + layer("sum", "Eltwise", "crop conv"),
        {"conv": [(6, 6, 3, 3), (6,)]},
    ),
    "crop by one offset": (
        layer("conv", "Convolution", "data", "convolution_param { num_output: 6 kernel_size: 3 }")
        + layer("crop", "Crop", "data conv", "crop_param { axis: 2 offset: 1 }")
        + layer("sum", "Eltwise", "crop conv"),
        {"conv": [(6, 6, 3, 3), (6,)]},
    ),
}


# What OpenCV's importer lacks or does otherwise than Caffe, with Caffe's formula in NumPy: a function of the input
# and of the layer's weights. OpenCV 4.14 has no Clip, Threshold and Bias, refuses the slope without axes of a shared
# PReLU, leaves out what a Log is given and the beta of a Swish, and adds MVN's eps to the variance.
FORMULAS = {
    # clip_layer.cpp
    "clip": (*alone("Clip", "clip_param { min: -0.5 max: 1.5 }"), lambda x: np.maximum(-0.5, np.minimum(x, 1.5))),
    # threshold_layer.cpp
    "threshold": (*alone("Threshold", "threshold_param { threshold: 0.25 }"), lambda x: 1.0 * (x > 0.25)),
    # log_layer.cpp
    "log to a base": (
        *alone("Log", "log_param { base: 2 scale: 0.1 shift: 1.5 }"),
        lambda x: np.log(0.1 * x + 1.5) / np.log(2),
    ),
    # power_layer.cpp, where the input does not matter
    "power of zero": (*alone("Power", "power_param { power: 0 shift: 3 }"), np.ones_like),
    # swish_layer.cpp
    "swish with beta": (*alone("Swish", "swish_param { beta: 1.5 }"), lambda x: x / (1 + np.exp(-1.5 * x))),
    # prelu_layer.cpp, channel_shared
    "prelu, one slope": (
        layer("it", "PReLU", "data", "prelu_param { channel_shared: true }"),
        {"it": [()]},
        lambda x, slope: np.maximum(x, 0) + slope * np.minimum(x, 0),
    ),
    # bias_layer.cpp
    "bias": (
        layer("it", "Bias", "data"),
        {"it": [(6,)]},
        lambda x, bias: x + bias[:, np.newaxis, np.newaxis],
    ),
    "bias of rows": (
        layer("it", "Bias", "data", "bias_param { axis: 2 num_axes: -1 }"),
        {"it": [(11, 9)]},
        lambda x, bias: x + bias,
    ),
    "bias by a number": (
        layer("it", "Bias", "data", "bias_param { num_axes: 0 }"),
        {"it": [()]},
        lambda x, bias: x + bias,
    ),
    # mvn_layer.cpp
    "mvn with eps": (
        *alone("MVN", "mvn_param { eps: 0.5 }"),
        lambda x: (x - x.mean((2, 3), keepdims=True)) / (x.std((2, 3), keepdims=True) + 0.5),
    ),
    # deconv_layer.cpp: every value adds its multiple of the filters, dilated
    "deconvolution, dilated": (
        layer(
            "it", "Deconvolution", "data", "convolution_param { num_output: 4 kernel_size: 3 dilation: 2 stride: 2 }"
        ),
        {"it": [(6, 4, 3, 3), (4,)]},
        lambda x, W, b: _deconvolved(x, W, stride=2, dilation=2) + b[:, np.newaxis, np.newaxis],
    ),
    # pooling_layer.cpp, RoundMode FLOOR, which OpenCV knows as ceil_mode only
    "max pooling, round_mode": (
        *alone("Pooling", "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }"),
        lambda x: x[:, :, :10, :8].reshape(2, 6, 5, 2, 4, 2).max((3, 5)),
    ),
    # reshape_layer.cpp: an axis of size 1 is put in
    "reshape that inserts an axis": (
        layer("fc", "InnerProduct", "data", "inner_product_param { num_output: 5 bias_term: false }")
        + layer("it", "Reshape", "fc", "reshape_param { shape { dim: 1 } axis: 1 num_axes: 0 }"),
        {"fc": [(5, 594)]},
        lambda x, W: (x.reshape(2, -1) @ W.T)[:, np.newaxis],
    ),
}


def _deconvolved(x, W, stride, dilation):
    n, _, height, width = x.shape
    sides = [stride * (side - 1) + dilation * (k - 1) + 1 for side, k in zip((height, width), W.shape[2:])]
    y = np.zeros((n, W.shape[1], *sides))
    for i, j in np.ndindex(*W.shape[2:]):
        rows, columns = (
            slice(at * dilation, at * dilation + stride * (side - 1) + 1, stride)
            for at, side in ((i, height), (j, width))
        )
        y[:, :, rows, columns] += np.einsum("nchw,co->nohw", x, W[:, :, i, j])
    return y


def write(name, folder):
    """Write one of `NETS` or `FORMULAS` as net.prototxt and net.caffemodel and return both paths."""
    text, shapes, *_ = {**NETS, **FORMULAS}[name]
    dims = " ".join(f"dim: {size}" for size in INPUT)
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(layer("data", "Input", "", f"input_param {{ shape {{ {dims} }} }}") + text)
    random = np.random.default_rng(0)
    net = NetParameter()
    for spec in read_prototxt(prototxt):
        message = net.layer.add(name=spec.name, type=spec.type, bottom=spec.bottoms, top=spec.tops)
        for shape in shapes.get(spec.name, []):
            values = random.normal(0, 0.5, shape)
            # a BatchNorm's blobs: sums of means and of variances, and how many
            values = np.abs(values) + 0.5 if spec.type == "BatchNorm" else values
            message.blobs.add(data=values.ravel()).shape.dim.extend(shape)
    caffemodel.write_bytes(net.SerializeToString())
    return prototxt, caffemodel


def picture(shape=INPUT):
    """A network input."""
    return np.random.default_rng(1).normal(0, 1, shape).astype("float32")


def our_activations(prototxt, caffemodel, x, compile_function=unoptimised.function):
    """Outputs of all layers, by Caffe name, in Caffe's order."""
    output, net = build_net(read_prototxt(prototxt), read_caffemodel(caffemodel)[1])
    source = lasagne.layers.get_all_layers(output)[0].input_var
    outputs = compile_function([source], lasagne.layers.get_output(list(net.values()), deterministic=True))(x)
    by_name = dict(zip(net, outputs))
    # OpenCV gives the first top of a layer that has several
    for name in net:
        by_name.setdefault(name.partition(":")[0], by_name[name])
    return by_name


def opencv_activations(prototxt, caffemodel, x):
    """What OpenCV's Caffe importer makes of the same files, each layer by itself."""
    import cv2

    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    net.enableFusion(False)
    net.enableWinograd(False)  # which costs digits
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(x)
    names = list(net.getLayerNames())
    return dict(zip(names, (array.copy() for array in net.forward(names))))


def relative_difference(a, b):
    """Largest difference of two arrays, relative to the largest value."""
    return float(np.abs(a - b).max() / np.abs(b).max())
