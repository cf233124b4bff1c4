"""Caffe files in, Lasagne network out: one module for each noun.

    schema        the part of Caffe's protobuf messages that is used
    prototxt      architecture: text file -> layer specs
    caffemodel    Caffe's binary weights, and their conversion to nsfw.pkl
    weights       nsfw.pkl: arrays by layer, read safely
    layers        Caffe's layer types as Lasagne layers
    network       layer specs and arrays -> Lasagne network
    lowering      what the layers compute, told to theano_cpu
    preprocess    picture -> network input
    checks        what numbers users may give
    scorer        network input -> score
    logit         scores and their logits

Importing this package imports none of them, but lets Theano be repaired when it is imported.
"""

import theano_compat  # noqa: F401


class ModelFileError(ValueError):
    """A file of a model, weights or architecture, that cannot be used; each reader raises a kind of its own."""
