"""Caffe's binary weights: reading a caffemodel, and its conversion to nsfw.pkl and deploy.prototxt.

A caffemodel stores a whole network with its weights as it was when training saved it: data sources, losses,
and copies of blobs that feed several layers (Split) are layers in it. `convert` leaves those out and keeps
what computes a score. Which layers only feed or judge a network is said by their records
(`nsfw_model.layer_types`), which fields have no effect on inference by the schema.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from nsfw_model.data_source import CaffemodelError, free_name, picture_shape, value_layers
from nsfw_model.layer_types import LAYER_TYPES
from nsfw_model.prototxt import MAX_LAYERS, PrototxtError, layer_specs, read_prototxt, runs_in_test
from nsfw_model.schema import TRAINING_FIELDS, LayerParameter, NetParameter
from nsfw_model.signatures import mistaken_for
from nsfw_model.upgrade import refuse_v0_layers, upgrade_v1_layers, v1_type_name
from nsfw_model.outputs import replacing
from nsfw_model.regular_file import read_regular
from nsfw_model.weights import MAX_BLOBS, MAX_DIMENSIONS, MAX_FILE_BYTES, Weights, WeightsError, pickled
from nsfw_model.wire import check_field_count

__all__ = ["CaffemodelError", "convert", "inference_net", "read_caffemodel"]

#: Fields of all messages, values of blobs left out; some 30 for each layer. A message of two bytes takes a kilobyte.
MAX_FIELDS = 1 << 18


def read_caffemodel(path: str | Path) -> tuple[NetParameter, Weights]:
    """Read a caffemodel.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    net : NetParameter
        The network as Caffe's message, without the blobs.
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
    >>> weights[0][0], weights[0][1][0].shape  # doctest: +SKIP
    ('conv_1', (64, 3, 7, 7))
    """
    net = _parsed(Path(path))
    _of_known_format(refuse_v0_layers, net, path)  # before its fields are called unknown
    weights = []
    for layer in [*net.layer, *net.layers]:
        layer_type = v1_type_name(layer) if isinstance(layer.type, int) else layer.type
        where = f"{path}: layer {layer.name!r} ({layer_type})"
        if _is_training(layer_type):
            layer.DiscardUnknownFields()
        arrays = _arrays(layer.blobs, where)
        for blob in layer.blobs:
            blob.ClearField("data")
            blob.ClearField("diff")
        if _has_unknown_fields(layer):
            unknown_type = layer_type and layer_type not in LAYER_TYPES
            got = "an unknown layer type" if unknown_type else "fields that are not understood"
            raise CaffemodelError(f"{where}: got {got}")
        layer.ClearField("blobs")
        if arrays:
            weights.append((layer.name, arrays))
    if _has_unknown_fields(net):
        raise CaffemodelError(f"{path}: got fields of the network that are not understood")
    _of_known_format(upgrade_v1_layers, net, path)
    return net, weights


def _of_known_format(check, net, path):
    try:
        check(net, path)
    except PrototxtError as error:
        raise CaffemodelError(str(error)) from None


def _parsed(path: Path) -> NetParameter:
    """The message of a file, whose texts are text and whose size and numbers of fields and layers are within bounds."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise CaffemodelError(f"{path}: got {size} bytes, expected at most {MAX_FILE_BYTES}")
    net = NetParameter()
    try:
        data = read_regular(path, MAX_FILE_BYTES)
        check_field_count(data, NetParameter.DESCRIPTOR, MAX_FIELDS)
        net.ParseFromString(data)
        layers = [*net.layer, *net.layers]
        texts = [net.name, *(text for layer in layers for text in (layer.name, *layer.bottom, *layer.top))]
        texts += [layer.type for layer in net.layer]
    except (DecodeError, UnicodeDecodeError) as error:
        raise CaffemodelError(
            f"{path}: expected a binary NetParameter message: {error}{mistaken_for(path, 'caffemodel')}"
        ) from error
    if not all(isinstance(text, str) for text in texts):  # some releases of protobuf give bytes
        raise CaffemodelError(f"{path}: expected a binary NetParameter message, got names that are not text")
    if not 0 < len(layers) <= MAX_LAYERS:
        raise CaffemodelError(
            f"{path}: got {len(layers)} layers, expected 1 to {MAX_LAYERS}{mistaken_for(path, 'caffemodel')}"
        )
    return net


def _is_training(layer_type: str) -> bool:
    return layer_type in LAYER_TYPES and LAYER_TYPES[layer_type].training


def _has_unknown_fields(message: Any) -> bool:
    """Discard the fields that the schema does not have, and say whether there were any."""
    before = len(message.SerializeToString())  # ByteSize() is not renewed by protobuf's Python implementation
    message.DiscardUnknownFields()
    return len(message.SerializeToString()) != before


def _arrays(blobs, layer):
    if len(blobs) > MAX_BLOBS:
        raise CaffemodelError(f"{layer}: got {len(blobs)} blobs, expected at most {MAX_BLOBS}")
    arrays = []
    for index, blob in enumerate(blobs):
        where = f"{layer}: blob {index}"
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
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim)
    elif all(legacy):
        shape = (blob.num, blob.channels, blob.height, blob.width)
    else:
        raise CaffemodelError(f"{where}: got neither a shape nor all of num, channels, height, width")
    if len(shape) > MAX_DIMENSIONS or any(not 0 < size <= MAX_FILE_BYTES for size in shape):
        raise CaffemodelError(f"{where}: got shape {shape}, expected at most {MAX_DIMENSIONS} sizes, all above 0")
    return shape


def inference_net(
    net: NetParameter,
    weights: Weights,
    input_shape: Sequence[int] | None = None,
    means: Sequence[float] | None = None,
) -> NetParameter:
    """Reduce the network of a caffemodel to what computes its output.

    Data sources and measures go; a SoftmaxWithLoss becomes a Softmax called "prob"; what a Split copied is
    read from where the Split read it, unless one of them is changed in place; fillers, learning rates and
    phases go. BatchNorm is told to use the stored statistics, since a caffemodel says how training was run. An
    Input layer takes the place of the data source; behind it come a Bias and a Power, if the source made other
    values of a picture than `nsfw_model.preprocess.prepare` makes.

    Parameters
    ----------
    net : NetParameter
    weights : list of (str, list of ndarray)
        As `read_caffemodel` returns both.
    input_shape : sequence of int, optional
        Channels, height and width of a picture. Left out, it is what the data source says.
    means : sequence of float, optional
        What the data source took from the values of a picture, 0 to 255: one number, or one for each channel (blue,
        green, red). Left out, it is what the data source says.

    Returns
    -------
    NetParameter
        Of its layers a Bias behind the input has its blob, and no other.

    Raises
    ------
    CaffemodelError
        If the shape of the input is not known, or there are several losses.
    PrototxtError
        If it cannot be decided whether a layer belongs to inference.

    Examples
    --------
    >>> net = NetParameter()
    >>> data = net.layer.add(name="data", type="Data", top=["data", "label"])
    >>> loss = net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["data", "label"])
    >>> [layer.type for layer in inference_net(net, [], input_shape=(2,)).layer]
    ['Input', 'Softmax']
    """
    result = NetParameter(name=net.name)
    result.input.extend(net.input)
    result.input_dim.extend(net.input_dim)
    result.input_shape.extend(net.input_shape)
    sources: dict[str, LayerParameter] = {}
    if not net.input_dim and not net.input_shape:  # some old caffemodels name their inputs only
        result.ClearField("input")
        sources.update((name, LayerParameter(name=name, type="Input", top=[name])) for name in net.input)
    running = []
    for layer in net.layer:
        if not _is_training(layer.type):
            running += [layer] if runs_in_test(layer) else []
        elif not layer.bottom:
            sources.update((top, layer) for top in layer.top[:1])
    _check_losses(running)
    copied = _copies(running)
    used = {bottom for layer in running for bottom in layer.bottom}
    for layer in running:
        if layer.type != "Split":
            _add_for_inference(result, layer, copied)
        elif tops := [top for top in layer.top if top in used and top not in copied]:
            _add_for_inference(result, layer, copied, tops)
    _make_softmax(result)
    read = {bottom for layer in result.layer for bottom in layer.bottom} & sources.keys()
    if means is not None and not read:
        raise CaffemodelError("got means of the channels, but no data source to which they belong")
    taken = {layer.name for layer in result.layer} | read
    for top in sorted(read):
        shape = input_shape or picture_shape(sources[top], result, weights)
        source = LayerParameter(name=top, type="Input", top=[top])
        source.input_param.shape.add(dim=[1, *shape])
        for layer in reversed([source, *value_layers(sources[top], shape[0], means, taken)]):
            result.layer.insert(0, layer)
    return result


def _check_losses(layers):
    """Refuse a network that judges several outputs in training, such as GoogLeNet, since inference has one."""
    losses = [layer.name for layer in layers if layer.type == "SoftmaxWithLoss"]
    if len(losses) > 1:
        raise CaffemodelError(
            f"got {len(losses)} losses ({', '.join(map(repr, losses))}), and so as many outputs, expected 1; "
            "with a prototxt of what computes one of them (--deploy), its weights can be converted"
        )


def _copies(layers):
    """Where to read what Splits copied, by the name of the copy; none of a Split that inference has to keep.

    That is one of whose blobs a layer changes in place: the others have what was there before.
    """
    makers: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for top in layer.top:
            makers.setdefault(top, []).append(index)
    copied: dict[str, str] = {}
    for index, layer in enumerate(layers):
        if layer.type != "Split" or len(layer.bottom) != 1:
            continue
        original = layer.bottom[0]
        made = makers.get(original, [])  # by none, if it is a data source
        if all(makers[top] == [index] for top in layer.top) and all(maker < index for maker in made):
            copied.update((top, copied.get(original, original)) for top in layer.top)
    return copied


def _add_for_inference(net, layer, copied, tops=None):
    """Append a copy of the layer to `net`, without what only training uses, and with some of its tops if given."""
    kept = net.layer.add()
    kept.CopyFrom(layer)
    kept.top[:] = layer.top if tops is None else tops
    kept.bottom[:] = [copied.get(bottom, bottom) for bottom in layer.bottom]
    for name in ("include", "exclude", "phase", *TRAINING_FIELDS["LayerParameter"]):
        kept.ClearField(name)
    for descriptor, value in kept.ListFields():
        if descriptor.name.endswith("_param"):
            for name in TRAINING_FIELDS[value.DESCRIPTOR.name]:
                value.ClearField(name)
    if kept.type == "BatchNorm":
        kept.batch_norm_param.use_global_stats = True


def _make_softmax(net):
    """Put the Softmax that a loss contains in the place of the loss."""
    taken = {name for layer in net.layer if layer.type != "SoftmaxWithLoss" for name in (layer.name, *layer.top)}
    for layer in net.layer:
        if layer.type == "SoftmaxWithLoss":
            layer.type, layer.name = "Softmax", free_name("prob", taken)
            layer.bottom[:], layer.top[:] = layer.bottom[:1], [layer.name]


def _take_blobs(net):
    """The weights of layers that are not the caffemodel's own, taken out of the network."""
    weights = []
    for layer in net.layer:
        if layer.blobs:
            weights.append((layer.name, _arrays(layer.blobs, f"layer {layer.name!r} ({layer.type})")))
            layer.ClearField("blobs")
    return weights


def _placed(weights, specs, without_place):
    """The weights of layers that a network has; as in Caffe, others are left out, and here a warning names them."""
    names = {spec.name for spec in specs}
    surplus = [repr(name) for name, _ in weights if name not in names]
    if surplus:
        warnings.warn(f"left out the blobs of {without_place}: {', '.join(surplus)}", stacklevel=3)
    return [(name, blobs) for name, blobs in weights if name in names]


def convert(
    caffemodel_path: str | Path,
    nsfw_pkl_path: str | Path,
    prototxt_path: str | Path | None = None,
    input_shape: Sequence[int] | None = None,
    means: Sequence[float] | None = None,
    deploy_path: str | Path | None = None,
) -> Weights:
    """Convert a caffemodel to nsfw.pkl, and its network to a deploy.prototxt.

    Parameters
    ----------
    caffemodel_path : str or Path
    nsfw_pkl_path : str or Path
        Written: the weights, see `nsfw_model.weights`.
    prototxt_path : str or Path, optional
        Written: the network for inference, rendered from the caffemodel itself.
    input_shape, means : sequence of numbers, optional
        Of the data source, for `prototxt_path`; see `inference_net`.
    deploy_path : str or Path, optional
        Read: the network for inference, where there is a file of it already, instead of `prototxt_path`.

    Returns
    -------
    list of (str, list of ndarray)
        The weights. Those of layers that the network for inference does not have are left out.

    Raises
    ------
    CaffemodelError, PrototxtError
        If the caffemodel is not understood, or `load_weights` would refuse its weights; nothing is written then.
    ValueError
        If both a `prototxt_path` and a `deploy_path` are given.
    nsfw_model.outputs.OutputError
        If a file cannot be written; what was there before is unchanged.

    Warns
    -----
    UserWarning
        If weights are left out, whose layers it names, or means that the data source does not tell are taken to be
        Yahoo's.

    Examples
    --------
    >>> weights = convert("my.caffemodel", "nsfw.pkl", "deploy.prototxt")  # doctest: +SKIP
    """
    if prototxt_path is not None and deploy_path is not None:
        raise ValueError("got a prototxt to be written and one that is there already, expected one of them")
    net, weights = read_caffemodel(caffemodel_path)
    if prototxt_path is not None:
        try:
            net = inference_net(net, weights, input_shape, means)
        except (CaffemodelError, PrototxtError) as error:
            raise type(error)(f"{caffemodel_path}: {error}") from None
        weights = [*_take_blobs(net), *weights]
        weights = _placed(weights, layer_specs(net, caffemodel_path), "layers without a part in inference")
    elif deploy_path is not None:
        weights = _placed(weights, read_prototxt(deploy_path), f"layers that {deploy_path} does not have")
    try:
        data = pickled(weights)
    except WeightsError as error:
        raise CaffemodelError(f"{caffemodel_path}: {error}") from None
    with ExitStack() as written:  # both or none: each takes its place at the end
        written.enter_context(replacing(nsfw_pkl_path)).write(data)
        if prototxt_path is not None:
            # A newline in the name would make text of its rest
            header = f"# Rendered by `open-nsfw convert` from {ascii(Path(caffemodel_path).name)[1:-1]}\n"
            text = header + text_format.MessageToString(net)
            written.enter_context(replacing(prototxt_path)).write(text.encode("utf-8"))
    return weights
