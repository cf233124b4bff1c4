"""Explanations by the values of a layer: the class activation map, and Grad-CAM."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import lasagne
import numpy as np

from nsfw_experiments.explanation.attribution import Attribution
from nsfw_model.layers import InnerProductLayer, PoolingLayer
from nsfw_model.scorer import Scorer

#: Layers that do nothing in inference, or only arrange values anew.
_PASSING = (lasagne.layers.DropoutLayer, lasagne.layers.FlattenLayer, lasagne.layers.ReshapeLayer)


class NoLinearEndError(ValueError):
    """A network whose logit is no average of its last features, times weights: it has no class activation map."""


class LinearEnd(NamedTuple):
    """How a network makes its logit of features: their average, times weights, plus a bias.

    Attributes
    ----------
    name : str
        Of the layer that gives the features.
    weights : ndarray of float32, shape (channels,)
    bias : float
    """

    name: str
    weights: np.ndarray
    bias: float


def class_activation_map(scorer: Scorer, x: np.ndarray) -> Attribution:
    """Give what each place of the last features adds to the logit: exact, in one pass.

    The logit is a linear function of an average over places. So each place has its share, and the mean of the shares
    plus the bias is the logit [1]_.

    Parameters
    ----------
    scorer : Scorer
    x : ndarray of float32, shape (3, height, width)
        Network input.

    Returns
    -------
    Attribution
        Its `baseline_logit` is the bias: the logit of features that are 0.

    Raises
    ------
    NoLinearEndError
        As `linear_end`.

    References
    ----------
    .. [1] Bolei Zhou, Aditya Khosla, Agata Lapedriza, Aude Oliva, Antonio Torralba, "Learning deep features for
       discriminative localization", CVPR 2016, arXiv:1512.04150.

    Examples
    --------
    >>> from open_nsfw import get_scorer, prepare
    >>> cells, logit, bias = class_activation_map(get_scorer(), prepare("img/coffee.jpg"))
    >>> cells.shape, bool(abs(cells.mean() + bias - logit) < 1e-4)
    ((7, 7), True)
    """
    end = linear_end(scorer)
    logits, values = scorer.logits_and_values(x[np.newaxis], end.name)
    return Attribution(np.tensordot(end.weights, values[0], 1), float(logits[0]), end.bias)


def linear_end(scorer: Scorer) -> LinearEnd:
    """Find the last features of a network, and how its logit is made of them.

    Parameters
    ----------
    scorer : Scorer

    Returns
    -------
    LinearEnd

    Raises
    ------
    NoLinearEndError
        If it is not made by an average and at most one inner product.

    Examples
    --------
    >>> from open_nsfw import get_scorer
    >>> linear_end(get_scorer()).name
    'relu_stage3_block2'
    """
    layer = _passed(scorer.output.input_layer)
    weights, bias = np.array([-1, 1], np.float32), 0.0
    if isinstance(layer, InnerProductLayer):
        safe, unsafe = layer.W.get_value()
        weights = unsafe - safe
        if layer.b is not None:
            bias = float(np.subtract(*layer.b.get_value()[::-1]))
        layer = _passed(layer.input_layer)
    if not _averages_everything(layer):
        raise NoLinearEndError(
            f"the network has no linear end: got {type(layer).__name__} {layer.name!r} where a class activation map "
            "expects the average over all places, and after it at most one InnerProduct"
        )
    return LinearEnd(_name_of(scorer, layer.input_layer), weights, bias)


def grad_cam(scorer: Scorer, x: np.ndarray, layer: str | None = None) -> Attribution:
    """Weigh a layer's channels by the logit's gradient, averaged over all places [1]_, and keep the sign.

    Parameters
    ----------
    scorer : Scorer
    x : ndarray of float32, shape (3, height, width)
        Network input.
    layer : str, optional
        Name of a layer with rows and columns; left out, the last one.

    Returns
    -------
    Attribution
        In logits: rows times columns as large as in the paper. Of features that a network with a linear end averages,
        it is the class activation map, and `baseline_logit` the bias; of others it has no sum rule.

    Raises
    ------
    ValueError
        If the network has no such layer, or it has no rows and columns, or the logit does not depend on it.

    Notes
    -----
    The paper drops negative values, which would hide whatever makes a picture safe.

    References
    ----------
    .. [1] Ramprasaath R. Selvaraju, Michael Cogswell, Abhishek Das, Ramakrishna Vedantam, Devi Parikh, Dhruv Batra,
       "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV 2017,
       arXiv:1610.02391.

    Examples
    --------
    >>> from open_nsfw import get_scorer, prepare
    >>> grad_cam(get_scorer(), prepare("img/coffee.jpg"), layer="relu_stage2_block5").cells.shape
    (14, 14)
    """
    if not isinstance(layer, (str, type(None))):
        raise ValueError(f"layer: got {layer!r:.100}, expected the name of one of the network's layers")
    name = _last_with_places(scorer) if layer is None else layer
    if name in scorer.net and not _has_places(scorer.net[name]):
        shape = scorer.net[name].output_shape
        raise ValueError(f"layer: got {name!r} of shape {shape}, expected one with several rows or columns")
    logits, values, gradients = scorer.logits_and_layer_gradients(x[np.newaxis], name)
    cells = np.tensordot(gradients[0].sum((1, 2)), values[0], 1)
    return Attribution(cells, float(logits[0]), _bias_after(scorer, name))


def _bias_after(scorer: Scorer, name: str) -> float | None:
    """The bias, if the layer gives the features of a linear end."""
    try:
        end = linear_end(scorer)
    except NoLinearEndError:
        return None
    return end.bias if end.name == name else None


def _last_with_places(scorer: Scorer) -> str:
    """The name of the last layer before the logits that has several rows or columns."""
    layers = lasagne.layers.get_all_layers(scorer.output.input_layer)
    return next(_name_of(scorer, layer) for layer in reversed(layers) if _has_places(layer))


def _has_places(layer: Any) -> bool:
    shape = layer.output_shape
    return len(shape) == 4 and prod(shape[2:]) > 1


def _averages_everything(layer: Any) -> bool:
    if not isinstance(layer, PoolingLayer) or layer.mode != "ave":
        return False
    one_window = layer.kernel == layer.input_shape[2:] and layer.pad == (0, 0)
    return layer.global_pooling or one_window


def _passed(layer: Any) -> Any:
    """The layer whose values these are, before those that only pass them on."""
    while isinstance(layer, _PASSING):
        layer = layer.input_layer
    return layer


def _name_of(scorer: Scorer, layer: Any) -> str:
    return next(name for name, other in scorer.net.items() if other is layer)
