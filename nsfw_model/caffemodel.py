"""Caffe's binary weights: reading a caffemodel, and its conversion to nsfw.pkl and deploy.prototxt.

A caffemodel stores a whole network with its weights as it was when training saved it: data sources, losses, and
copies of blobs that feed several layers (Split) are layers in it. `convert` leaves those out and keeps what computes
a score.
"""

from math import prod
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from nsfw_model.prototxt import MAX_LAYERS, PrototxtError, layer_specs
from nsfw_model.schema import NetParameter
from nsfw_model.weights import MAX_BLOBS, MAX_DIMENSIONS, MAX_FILE_BYTES, save_weights

__all__ = ["CaffemodelError", "convert", "inference_net", "read_caffemodel"]

#: Layers that only feed or judge a network in training: left out whole, with everything they hold.
TRAINING_TYPES = {
    "Accuracy", "AnnotatedData", "Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "Silence", "WindowData",
}  # fmt: skip


class CaffemodelError(ValueError):
    """A caffemodel is not understood."""


def read_caffemodel(path):
    """Read a caffemodel.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    net : NetParameter
        The whole message but the blobs' values.
    weights : list of (str, list of ndarray)
        Names and float32 blobs of the layers that have any, in file order.

    Raises
    ------
    CaffemodelError
        If a field, a dimension or a value is not understood.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> net, weights = read_caffemodel("resnet_50_1by2_nsfw.caffemodel")  # doctest: +SKIP
    >>> net.layer[1].name, weights[0][1][0].shape  # doctest: +SKIP
    ('conv_1', (64, 3, 7, 7))
    """
    path = Path(path)
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise CaffemodelError(f"{path}: got more than {MAX_FILE_BYTES} bytes")
    net = NetParameter()
    try:
        net.ParseFromString(data)
    except DecodeError as error:
        raise CaffemodelError(f"{path}: expected a binary NetParameter message: {error}") from error
    if net.layers:
        raise CaffemodelError(
            f"{path}: got layers of Caffe's V1 format (`layers`), expected `layer`; "
            "Caffe's tool upgrade_net_proto_binary converts such files"
        )
    if not 0 < len(net.layer) <= MAX_LAYERS:
        raise CaffemodelError(f"{path}: got {len(net.layer)} layers, expected 1 to {MAX_LAYERS}")
    weights = []
    for layer in net.layer:
        if layer.type in TRAINING_TYPES:
            layer.DiscardUnknownFields()
        if _has_unknown_fields(layer):
            raise CaffemodelError(f"{path}: layer {layer.name!r} ({layer.type}): got fields that are not understood")
        if layer.blobs:
            weights.append((layer.name, _arrays(layer, path)))
            layer.ClearField("blobs")
    if _has_unknown_fields(net):
        raise CaffemodelError(f"{path}: got fields of the network that are not understood")
    return net, weights


def _has_unknown_fields(message):
    before = message.ByteSize()
    message.DiscardUnknownFields()
    return message.ByteSize() != before


def _arrays(layer, path):
    if len(layer.blobs) > MAX_BLOBS:
        raise CaffemodelError(f"{path}: layer {layer.name!r}: got {len(layer.blobs)} blobs, expected at most {MAX_BLOBS}")
    arrays = []
    for index, blob in enumerate(layer.blobs):
        where = f"{path}: layer {layer.name!r}: blob {index}"
        if blob.double_data:
            raise CaffemodelError(f"{where}: got values of double precision, expected single precision")
        shape = _shape(blob, where)
        if len(blob.data) != prod(shape):
            raise CaffemodelError(f"{where}: got {len(blob.data)} values for shape {shape}, expected {prod(shape)}")
        array = np.array(blob.data, np.float32).reshape(shape)
        if not np.isfinite(array).all():
            raise CaffemodelError(f"{where}: got values that are not finite")
        arrays.append(array)
    return arrays


def _shape(blob, where):
    """Return the blob's shape, from `shape` or from the four numbers of older files."""
    legacy = [blob.HasField(name) for name in ("num", "channels", "height", "width")]
    if blob.HasField("shape") and any(legacy):
        raise CaffemodelError(f"{where}: got both a shape and num, channels, height, width")
    if not blob.HasField("shape") and not all(legacy):
        raise CaffemodelError(f"{where}: got neither a shape nor all of num, channels, height, width")
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    if len(shape) > MAX_DIMENSIONS or any(not 0 < size <= MAX_FILE_BYTES for size in shape):
        raise CaffemodelError(f"{where}: got shape {shape}, expected at most {MAX_DIMENSIONS} sizes, all above 0")
    return shape


def inference_net(net, weights, input_shape=None):
    """Reduce the network of a caffemodel to what computes its output.

    Data sources and measures go; a SoftmaxWithLoss becomes a Softmax called "prob"; what a Split copied is read from where
    the Split read it; fillers, learning rates and phases go. BatchNorm is told to use the stored statistics, since a
    caffemodel says how training was run. An Input layer takes the place of the data source.

    Parameters
    ----------
    net : NetParameter
    weights : list of (str, list of ndarray)
        As `read_caffemodel` returns both.
    input_shape : tuple of int, optional
        (1, channels, height, width). Left out, it is what the data source says.

    Returns
    -------
    NetParameter

    Raises
    ------
    CaffemodelError
        If the shape of the input is not known.
    """
    result = NetParameter(name=net.name, input=net.input, input_shape=net.input_shape, input_dim=net.input_dim)
    copied, sources, seen = {}, {}, set()
    for layer in net.layer:
        if layer.type in TRAINING_TYPES:
            if not layer.bottom and layer.top:
                sources[layer.top[0]] = layer
            continue
        if layer.type == "Split":
            copied.update((top, copied.get(layer.bottom[0], layer.bottom[0])) for top in layer.top)
            continue
        kept = result.layer.add()
        kept.CopyFrom(layer)
        kept.bottom[:] = [copied.get(bottom, bottom) for bottom in layer.bottom]
        if kept.type == "SoftmaxWithLoss":
            kept.type, kept.name = "Softmax", "prob"
            kept.bottom[:], kept.top[:] = kept.bottom[:1], ["prob"]
        _drop_training_only(kept)
        seen.update(kept.bottom)
    missing = [top for top in sources if top in seen]
    for top in missing:
        shape = input_shape or _source_shape(sources[top], result, dict(weights))
        source = NetParameter().layer.add(name=top, type="Input", top=[top])
        source.input_param.shape.add(dim=shape)
        result.layer.insert(0, source)
    return result


def _drop_training_only(layer):
    for name in ("param", "include", "exclude", "phase", "loss_weight", "propagate_down", "transform_param", "loss_param"):
        layer.ClearField(name)
    for descriptor, settings in layer.ListFields():
        if descriptor.message_type is not None and descriptor.name.endswith("_param"):
            for name in ("weight_filler", "bias_filler", "filler", "engine", "moving_average_fraction", "stable_prod_grad"):
                if name in settings.DESCRIPTOR.fields_by_name:
                    settings.ClearField(name)
    if layer.type == "BatchNorm":
        layer.batch_norm_param.use_global_stats = True


def _source_shape(source, net, blobs):
    """Shape of one picture as the data source says it: all of it, or a crop's size and the first filter's channels."""
    memory, crop = source.memory_data_param, source.transform_param.crop_size
    if memory.channels and memory.height and memory.width:
        return (1, memory.channels, memory.height, memory.width)
    readers = [layer for layer in net.layer if source.top[0] in layer.bottom and layer.type == "Convolution"]
    if not crop or not readers or not blobs.get(readers[0].name):
        raise CaffemodelError(
            f"layer {source.name!r} ({source.type}): does not say how large a picture is; expected an input shape to be given"
        )
    channels = blobs[readers[0].name][0].shape[1] * readers[0].convolution_param.group
    return (1, channels, crop, crop)


def convert(caffemodel_path, nsfw_pkl_path, prototxt_path=None, input_shape=None):
    """Convert a caffemodel to nsfw.pkl, and its network to a deploy.prototxt.

    Parameters
    ----------
    caffemodel_path : str or Path
    nsfw_pkl_path : str or Path
        Written: the weights, see `nsfw_model.weights`.
    prototxt_path : str or Path, optional
        Written: the network for inference, rendered from the caffemodel itself.
    input_shape : tuple of int, optional
        See `inference_net`.

    Returns
    -------
    weights : list of (str, list of ndarray)

    Raises
    ------
    CaffemodelError, PrototxtError
        If the caffemodel is not understood; nothing is written then.

    Examples
    --------
    >>> convert("resnet_50_1by2_nsfw.caffemodel", "nsfw.pkl", "deploy.prototxt")  # doctest: +SKIP
    """
    net, weights = read_caffemodel(caffemodel_path)
    if prototxt_path is not None:
        net = inference_net(net, weights, input_shape)
        specs = layer_specs(net, caffemodel_path)
        surplus = {name for name, _ in weights} - {spec.name for spec in specs}
        if surplus:
            raise PrototxtError(f"{caffemodel_path}: layer {min(surplus)!r} has blobs and no place in the network")
    save_weights(nsfw_pkl_path, weights)
    if prototxt_path is not None:
        header = f"# Rendered by `open-nsfw convert` from {Path(caffemodel_path).name}\n"
        Path(prototxt_path).write_text(header + text_format.MessageToString(net), encoding="utf-8")
    return weights
