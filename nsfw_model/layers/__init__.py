"""Caffe's layers as Lasagne layers, with Caffe's arithmetic: a module for each family, as in `nsfw_model.layer_types`.

Each module has the layers themselves, what `theano_cpu.fuse` is told of them (lowering rules), and the builders,
which make them of a layer's spec and weights. Layer types that Lasagne has with the same arithmetic are built of
Lasagne's own layers.

All work on float32 arrays laid out (N, C, H, W), or (N, C) after an inner product. No layer relies on the
batch size or the picture size that a prototxt declares: the expressions use the sizes that arrive at run
time. Sources of the formulas: Caffe's layer implementations (https://github.com/BVLC/caffe,
src/caffe/layers/), which differ from Lasagne's own in places that change results: pooling rounds its output
size up, an average counts the padded area, an LRN divides alpha by its window, BatchNorm stores sums that a
third blob divides.
"""

import pkgutil
from importlib import import_module

from nsfw_model.layers.batch_norm import BatchNormLayer
from nsfw_model.layers.convolution import ConvolutionLayer, DeconvolutionLayer
from nsfw_model.layers.crop import CropLayer
from nsfw_model.layers.elementwise import ElementwiseLayer
from nsfw_model.layers.eltwise import EltwiseLayer
from nsfw_model.layers.inner_product import InnerProductLayer
from nsfw_model.layers.lrn import LRNLayer
from nsfw_model.layers.mvn import MVNLayer
from nsfw_model.layers.pooling import PoolingLayer
from nsfw_model.layers.rectifier import PReLULayer
from nsfw_model.layers.scale import BiasLayer, ScaleLayer
from nsfw_model.layers.softmax import SoftmaxLayer

__all__ = [
    "BatchNormLayer",
    "BiasLayer",
    "ConvolutionLayer",
    "CropLayer",
    "DeconvolutionLayer",
    "ElementwiseLayer",
    "EltwiseLayer",
    "InnerProductLayer",
    "LRNLayer",
    "MVNLayer",
    "PReLULayer",
    "PoolingLayer",
    "ScaleLayer",
    "SoftmaxLayer",
]

for _module in pkgutil.iter_modules(__path__):  # those too that only have builders
    import_module(f"{__name__}.{_module.name}")
