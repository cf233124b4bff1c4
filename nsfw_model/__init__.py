"""Caffe files in, Lasagne network out: one module for each noun.

Its files::

    spec          what the files say of one layer
    layer_types   Caffe's layer types, as its files know them: one record for each
    schema        Caffe's protobuf messages
    upgrade       files of older formats
    prototxt      architecture: text file -> layer specs
    caffemodel    Caffe's binary weights, and their conversion to nsfw.pkl
    weights       nsfw.pkl: arrays by layer, read safely
    layers        what Caffe's layer types compute, as Lasagne layers
    network       layer specs and arrays -> Lasagne network
    lowering      what the layers compute, told to theano_cpu
    picture       a picture of any kind -> RGB
    headers       whether what precedes a picture's pixels can be read in time
    integrity     what a picture's file promises, and whether it is there
    codestream    what the headers of a JPEG 2000 promise
    signatures    what a file is by its first bytes
    preprocess    picture -> network input
    outputs       files that are written whole or not at all
    regular_file  files that end, however strange they are
    checks        what numbers users may give
    scorer        network input -> score
    functions     the network's functions, compiled by Theano
    snapshot      what scoring computes, kept for processes that need no more
    logit         scores and their logits

Importing this package imports none of them, but lets Theano be repaired when it is imported.
"""

from theano_compat.deprecation import move_modules

#: Of an error about a file of a model, in characters.
LONGEST_MESSAGE = 2000


class ModelFileError(ValueError):
    """A file of a model, weights or architecture, that cannot be used; each reader raises a kind of its own.

    Parameters
    ----------
    message : str
        Cut after `LONGEST_MESSAGE` characters: it may quote the file, a line of which may have megabytes.

    Examples
    --------
    >>> str(ModelFileError("net.prototxt:1: got " + 5000 * "x"))[-22:]
    '... (5020 characters)'
    """

    def __init__(self, message: str = ""):
        super().__init__(
            message
            if len(message) <= LONGEST_MESSAGE
            else f"{message[:LONGEST_MESSAGE]}... ({len(message)} characters)"
        )


move_modules({"nsfw_model.fusing": "nsfw_model.lowering"})
