"""What the data source of a caffemodel says: how large a picture is, and what becomes of its values before a network.

Caffe's data_transformer.cpp takes a mean from each value of a picture, 0 to 255 in the order blue, green and red,
and multiplies the rest by a scale. A network without its data source is given pictures as
`nsfw_model.preprocess.prepare` makes them, less Yahoo's means. So two layers behind its input take the place of the
source: a Bias for the difference of the means, and a Power for the scale, each where there is something to do.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

import numpy as np

from nsfw_model import ModelFileError
from nsfw_model.preprocess import CHANNEL_MEANS
from nsfw_model.schema import LayerParameter, NetParameter
from nsfw_model.spec import MAX_SIZE
from nsfw_model.weights import Weights

__all__ = ["CaffemodelError", "free_name", "picture_shape", "value_layers"]


class CaffemodelError(ModelFileError):
    """A caffemodel is not understood."""


def picture_shape(source: LayerParameter, net: NetParameter, weights: Weights) -> tuple[int, ...]:
    """Give the shape of one picture, as its data source says it.

    Parameters
    ----------
    source : LayerParameter
    net : NetParameter
        The layers that read it: if the source says no more than the size of its crop, the filters of a convolution
        say how many channels it has.
    weights : list of (str, list of ndarray)

    Returns
    -------
    tuple of int
        Channels, height and width.

    Raises
    ------
    CaffemodelError
        If it does not say so.

    Examples
    --------
    >>> source = LayerParameter(name="data", type="MemoryData", top=["data"])
    >>> source.memory_data_param.channels, source.memory_data_param.height, source.memory_data_param.width = 3, 8, 9
    >>> picture_shape(source, NetParameter(), [])
    (3, 8, 9)
    """
    memory, dummy, image = source.memory_data_param, source.dummy_data_param, source.image_data_param
    crop = source.transform_param.crop_size
    if memory.channels and memory.height and memory.width:
        return memory.channels, memory.height, memory.width
    if dummy.shape and len(dummy.shape[0].dim) > 1:
        return tuple(dummy.shape[0].dim[1:])
    if dummy.channels and dummy.height and dummy.width:
        return dummy.channels[0], dummy.height[0], dummy.width[0]
    if source.type == "ImageData" and (crop or (image.new_height and image.new_width)):
        return 3 if image.is_color else 1, crop or image.new_height, crop or image.new_width
    filters = {name: blobs[0].shape for name, blobs in weights}
    for layer in net.layer:
        if source.top[0] in layer.bottom and layer.type == "Convolution" and crop:
            shape = filters.get(layer.name, ())
            if len(shape) == 4:
                return shape[1] * layer.convolution_param.group, crop, crop
    raise CaffemodelError(
        f"{_where(source)}: does not say how large a picture is; "
        "expected channels, height and width to be given as the input shape (--input-shape)"
    )


#: Data sources that read pictures, and transform them.
_OF_PICTURES = {"AnnotatedData", "Data", "ImageData", "WindowData"}
#: A program fills MemoryData, with pictures that it transforms, or with what the program has made of them.
_TRANSFORMING = _OF_PICTURES | {"MemoryData"}


def value_layers(
    source: LayerParameter, channels: int, means: Sequence[float] | None = None, taken: Collection[str] = ()
) -> list[LayerParameter]:
    """Make the layers that give a network what its data source gave it, of a picture as `prepare` makes it.

    Parameters
    ----------
    source : LayerParameter
    channels : int
        Of a picture. If they are not 3, no means are taken from it before: the layers are given values of 0 to 255.
    means : sequence of float, optional
        In place of those that the source says: one for all channels, or one for each.
    taken : collection of str
        Names that other layers have.

    Returns
    -------
    list of LayerParameter
        None, one or two, which work in place. A Bias has its blob.

    Raises
    ------
    CaffemodelError
        If the means are too many or too few, or not finite; if there are too many channels.

    Examples
    --------
    >>> source = LayerParameter(name="data", type="Data", top=["data"])
    >>> source.transform_param.scale = 0.017
    >>> source.transform_param.mean_value.extend([103.94, 116.78, 123.68])
    >>> [(layer.name, layer.type) for layer in value_layers(source, 3)]
    [('data_mean', 'Bias'), ('data_scale', 'Power')]
    """
    transform = source.transform_param if source.type in _TRANSFORMING else LayerParameter().transform_param
    said = transform.mean_value or transform.HasField("scale") or means is not None
    if source.type in _OF_PICTURES and means is None and (transform.mean_file or not said):
        _warn_of_means(source)
    if not said:
        return []
    if not 0 < channels <= MAX_SIZE:
        raise CaffemodelError(f"{_where(source)}: got {channels} channels, expected 1 to {MAX_SIZE}")
    shift = _means_taken_before(channels) - _means(source, transform, channels, means)
    top, layers = source.top[0], []
    if shift.any():
        layers.append(LayerParameter(name=free_name(f"{top}_mean", taken), type="Bias"))
        layers[-1].blobs.add(data=shift).shape.dim.append(channels)
    if transform.scale != 1:
        layers.append(LayerParameter(name=free_name(f"{top}_scale", taken), type="Power"))
        layers[-1].power_param.scale = transform.scale
    for layer in layers:
        layer.bottom.append(top)
        layer.top.append(top)
    return layers


def _where(source):
    return f"layer {source.name!r} ({source.type})"


def _means_taken_before(channels):
    return CHANNEL_MEANS.ravel() if channels == CHANNEL_MEANS.size else np.zeros(channels, np.float32)


def _warn_of_means(source):
    file = source.transform_param.mean_file
    said = f"has them in a file that is not in a caffemodel ({file!r:.200})" if file else "says nothing of them"
    warnings.warn(
        f"{_where(source)}: its means are taken to be Yahoo's, for it {said}; "
        "expected --means BLUE GREEN RED otherwise, which are 0 where it gave values of 0 to 255",
        stacklevel=3,
    )


def _means(source, transform, channels, given):
    """One mean for each channel."""
    where = _where(source)
    if given is None and transform.mean_file:
        return _means_taken_before(channels)
    means = np.array(given if given is not None else transform.mean_value or [0], np.float32)
    if len(means) not in (1, channels):
        raise CaffemodelError(f"{where}: got {len(means)} means, expected 1, or {channels}, one for each channel")
    if not np.isfinite(means).all():
        raise CaffemodelError(f"{where}: got means that are not finite")
    return np.broadcast_to(means, channels)


def free_name(name: str, taken: Collection[str]) -> str:
    """Give a name that no other layer has.

    Parameters
    ----------
    name : str
    taken : collection of str

    Returns
    -------
    str
        With as many underscores behind it as it needs.

    Examples
    --------
    >>> free_name("prob", {"prob", "prob_"})
    'prob__'
    """
    while name in taken:
        name += "_"
    return name
