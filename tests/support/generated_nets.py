"""Small Caffe networks that exercise every supported layer type, and OpenCV's opinion of what they compute.

Weights are random and written as a caffemodel by our own schema. OpenCV's Caffe importer
(opencv-python-headless 4.x) shares no code with this project.
"""

import theano_cpu  # noqa: F401

import lasagne
import numpy as np
import unoptimised

from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.network import build_net
from nsfw_model.prototxt import read_prototxt
from nsfw_model.schema import NetParameter

INPUT = (2, 6, 11, 9)


def layer(name, type, bottoms, settings="", top=None):
    """One layer of a prototxt; `bottoms` is a text with spaces between the names."""
    lines = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{type}"{lines} top: "{top or name}" {settings} }}\n'


def conv(settings, *shapes):
    return layer("conv", "Convolution", "data", f"convolution_param {{ {settings} }}"), {"conv": shapes}


def pool(settings):
    return layer("pool", "Pooling", "data", f"pooling_param {{ {settings} }}"), {}


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
}


def write(name, folder):
    """Write one of `NETS` as net.prototxt and net.caffemodel and return both paths."""
    text, shapes = NETS[name]
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
    outputs = lasagne.layers.get_output(list(net.values()), deterministic=True)
    return dict(zip(net, compile_function([source], outputs)(x)))


def opencv_activations(prototxt, caffemodel, x):
    """What OpenCV's Caffe importer makes of the same files, each layer by itself."""
    import cv2

    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    net.enableFusion(False)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(x)
    names = list(net.getLayerNames())
    return dict(zip(names, (array.copy() for array in net.forward(names))))


def relative_difference(a, b):
    """Largest difference of two arrays, relative to the largest value."""
    return float(np.abs(a - b).max() / np.abs(b).max())
