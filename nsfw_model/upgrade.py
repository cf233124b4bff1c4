"""Older files, brought up to date while they are read, as Caffe itself does it.

Caffe's first public nets (AlexNet, GoogLeNet, VGG) were written as ``layers { type: CONVOLUTION ... }``, the V1
format, and declared their input at the top of the file. Source: Caffe's upgrade_proto.cpp
(https://github.com/BVLC/caffe, src/caffe/util/upgrade_proto.cpp), functions UpgradeV1Net,
UpgradeNetDataTransformation and UpgradeNetInput.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nsfw_model.layer_types import LAYER_TYPES
from nsfw_model.schema import LayerParameter, NetParameter, V1LayerParameter
from nsfw_model.spec import PrototxtError

__all__ = ["V0_REFUSED", "input_layers", "refuse_v0_layers", "upgrade_v1_layers", "v1_type_name"]

_V1_TYPES = {layer_type.v1[1]: name for name, layer_type in LAYER_TYPES.items() if layer_type.v1 is not None}

#: Repeated fields of a V1 layer that became fields of `param`: one ParamSpec for each blob.
_PARAM_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
#: What data sources had in their own settings, before `transform_param`.
_TRANSFORMATIONS = ("scale", "mean_file", "crop_size", "mirror")
_DATA_SOURCES = ("data_param", "image_data_param", "window_data_param")


def v1_type_name(layer: V1LayerParameter) -> str:
    """Give the layer type of a V1 layer as today's files spell it.

    Parameters
    ----------
    layer : V1LayerParameter

    Returns
    -------
    str
        "" if it has none.

    Examples
    --------
    >>> v1_type_name(V1LayerParameter(type="INNER_PRODUCT"))
    'InnerProduct'
    """
    return _V1_TYPES.get(layer.type, "")


def upgrade_v1_layers(net: NetParameter, path: str | Path) -> None:
    """Replace the V1 layers of a network by layers of today.

    Parameters
    ----------
    net : NetParameter
        Changed in place.
    path : str or Path
        For error messages.

    Raises
    ------
    PrototxtError
        If the network has layers of both formats, or of the format before V1.

    Examples
    --------
    >>> net = NetParameter()
    >>> net.layers.add(name="fc", type="INNER_PRODUCT").inner_product_param.num_output = 2
    >>> upgrade_v1_layers(net, "old.prototxt")
    >>> net.layer[0].type, net.layer[0].inner_product_param.num_output, len(net.layers)
    ('InnerProduct', 2, 0)
    """
    if net.layers and net.layer:
        raise PrototxtError(f"{path}: got both `layer` and `layers`, the older format; expected one of them")
    refuse_v0_layers(net, path)
    for old in net.layers:
        _upgrade(old, net.layer.add())
    net.ClearField("layers")


#: What is said of a file of the format before V1.
V0_REFUSED = (
    "got Caffe's V0 format (`layers { layer { ... } }`), expected `layer`; "
    "Caffe's tools upgrade_net_proto_text and upgrade_net_proto_binary convert such files"
)


def refuse_v0_layers(net: NetParameter, path: str | Path) -> None:
    """Refuse layers of the format before V1, of which only names and types are known.

    Parameters
    ----------
    net : NetParameter
    path : str or Path
        For error messages.

    Raises
    ------
    PrototxtError
        If the network has one.

    Examples
    --------
    >>> refuse_v0_layers(NetParameter(), "net.prototxt")
    """
    for old in net.layers:
        if old.HasField("layer"):
            raise PrototxtError(f"{path}: layer {old.layer.name!r}: {V0_REFUSED}")


def _upgrade(old: Any, layer: Any) -> None:
    for descriptor, value in old.ListFields():
        name = descriptor.name
        if name == "type":
            layer.type = v1_type_name(old)
        elif name in _PARAM_FIELDS:
            for index, each in enumerate(value):
                spec = layer.param[index] if index < len(layer.param) else layer.param.add()
                setattr(spec, _PARAM_FIELDS[name], each)
        elif name == "name":
            layer.name = value
        elif name.endswith("_param"):
            getattr(layer, name).CopyFrom(value)
        else:
            getattr(layer, name).extend(value)
    for source in _DATA_SOURCES:
        if layer.HasField(source):
            _move_transformations(getattr(layer, source), layer.transform_param)


def _move_transformations(source: Any, transform: Any) -> None:
    for name in _TRANSFORMATIONS:
        if source.HasField(name):
            setattr(transform, name, getattr(source, name))
            source.ClearField(name)


def input_layers(net: NetParameter, path: str | Path) -> list[LayerParameter]:
    """Make Input layers of the fields `input`, `input_shape` and `input_dim` of older files.

    Parameters
    ----------
    net : NetParameter
    path : str or Path
        For error messages.

    Returns
    -------
    list of LayerParameter
        One for each input, of its name.

    Raises
    ------
    PrototxtError
        If the sizes are not as many as the inputs need.

    Examples
    --------
    >>> net = NetParameter(input=["data"], input_dim=[1, 3, 224, 224])
    >>> [(layer.name, list(layer.input_param.shape[0].dim)) for layer in input_layers(net, "old.prototxt")]
    [('data', [1, 3, 224, 224])]
    """
    names, dims, shapes = list(net.input), list(net.input_dim), [list(shape.dim) for shape in net.input_shape]
    if dims and shapes:
        raise PrototxtError(f"{path}: got both input_dim and input_shape, expected one of them")
    got = f"{len(dims)} of input_dim" if dims else f"{len(shapes)} of input_shape"
    fitting = len(dims) == 4 * len(names) if dims else len(shapes) == len(names)
    if not fitting:
        raise PrototxtError(
            f"{path}: got {len(names)} of input and {got}, expected 4 of input_dim or 1 of input_shape each"
        )
    layers = []
    for name, shape in zip(names, shapes or [dims[at : at + 4] for at in range(0, len(dims), 4)]):
        layers.append(LayerParameter(name=name, type="Input", top=[name]))
        layers[-1].input_param.shape.add(dim=shape)
    return layers
