"""A network's functions, compiled by Theano: built from two files, fused where oneDNN is."""

from __future__ import annotations

import copy
from difflib import get_close_matches
from math import prod
from pathlib import Path
from typing import Any

from theano_compat.depth import with_room
from theano_compat.requirements import TheanoEnvironmentError
from theano_cpu.compile import compile_function
from theano_cpu.fuse import accelerated_output

import lasagne
import theano
import theano.tensor as T

from nsfw_model import ModelFileError
from nsfw_model.layers import SoftmaxLayer
from nsfw_model.network import build_net
from nsfw_model.preprocess import RESIZED
from nsfw_model.prototxt import read_prototxt
from nsfw_model.weights import load_weights


#: What these settings of Theano's have to be; what others there are changes speed and messages.
_SETTINGS = {"floatX": ("float32",), "compute_test_value": ("off", "ignore", "warn")}


def _check_settings() -> None:
    for name, values in _SETTINGS.items():
        value = getattr(theano.config, name)
        if value not in values:
            raise TheanoEnvironmentError(
                f"Theano's setting {name} is {value!r}, but a network is scored with {' or '.join(map(repr, values))}."
            )


class Functions:
    """A classifier of pictures of two classes, and what can be compiled of it.

    Parameters
    ----------
    nsfw_pkl_path, deploy_prototxt_path : str or Path
        Weights and architecture, as `nsfw_model.scorer.Scorer` takes them.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Raises
    ------
    ModelFileError
        If the network is no classifier of pictures of two classes.
    NotImplementedError
        If the processor or the engine lacks `precision`.
    TheanoEnvironmentError
        If a setting of Theano's is one with which no network can be scored.

    Attributes
    ----------
    input_var : theano tensor4
        Network input, shape (n, 3, height, width).
    output : lasagne.layers.Layer
        The Softmax layer.
    net : dict of str to lasagne.layers.Layer
        All layers by their Caffe names.
    input_shape : tuple of int
        Of one picture: (3, 224, 224) for Yahoo's network.

    Examples
    --------
    >>> import numpy as np
    >>> functions = Functions("nsfw.pkl", "nsfw_model/deploy.prototxt", "float32")
    >>> [array.shape for array in functions.forward()(np.zeros((2, 3, 224, 224), np.float32))]
    [(2, 2), (2, 2)]
    """

    def __init__(self, nsfw_pkl_path: str | Path, deploy_prototxt_path: str | Path, precision: Any):
        _check_settings()
        self.input_var = T.tensor4("data")
        self.output, self.net = build_net(
            read_prototxt(deploy_prototxt_path), load_weights(nsfw_pkl_path), self.input_var
        )
        self.input_shape = self._checked_input_shape(deploy_prototxt_path)
        self._precision = precision
        self._prob_and_classes = accelerated_output([self.output, self.output.input_layer], precision=precision)

    def _checked_input_shape(self, deploy_prototxt_path: str | Path) -> tuple[int, ...]:
        """Channels, height and width of the input of what is a classifier of pictures."""
        got = self.output.output_shape
        # A network that ends in a convolution has the same two numbers, in more dimensions
        if not isinstance(self.output, SoftmaxLayer) or self.output.axis != 1 or prod(got[1:]) != 2 or got[1] != 2:
            raise ModelFileError(
                f"{deploy_prototxt_path}: last layer: got {type(self.output).__name__} of shape {got}, "
                "expected a Softmax over two classes, shape (None, 2)"
            )
        layers = lasagne.layers.get_all_layers(self.output)
        shapes = [layer.shape[1:] for layer in layers if isinstance(layer, lasagne.layers.InputLayer)]
        fits = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 3
        if not fits or shapes[0][1] > RESIZED[1] or shapes[0][2] > RESIZED[0]:
            raise ModelFileError(
                f"{deploy_prototxt_path}: input: got {' and '.join(map(str, shapes))}, "
                f"expected one picture, at most (3, {RESIZED[1]}, {RESIZED[0]})"
            )
        return shapes[0]

    def check_layer(self, name: str) -> None:
        """Check that the network has a layer of that name.

        Parameters
        ----------
        name : str

        Raises
        ------
        ValueError
            If it has not.
        """
        if name not in self.net:
            near = ", ".join(map(repr, get_close_matches(name, self.net, n=3))) or f"{list(self.net)[0]!r}"
            raise ValueError(f"layer: got {name!r}, expected one of the network's {len(self.net)}, such as {near}")

    # Slicing and subtracting are left to NumPy: in Theano's graph they would cost a C compilation each.

    def forward(self) -> Any:
        """Compile what gives scores of both classes, and the classes' values before the Softmax."""
        return compile_function([self.input_var], self._prob_and_classes)

    def backward(self) -> Any:
        """Compile what gives the classes, and the input's gradient in a direction of them that is given too."""
        _, classes = self._prob_and_classes
        return self._gradients(classes, self.input_var, [classes])

    def values(self, name: str) -> Any:
        """Compile what gives the classes and a layer's values."""
        layers = [self.output.input_layer, self.net[name]]
        return compile_function([self.input_var], accelerated_output(layers, precision=self._precision))

    def layer_gradients(self, name: str) -> Any:
        """Compile what gives the classes, a layer's values and their gradient, as `backward`."""
        # The network in two parts, each fused, so that what is between is a variable whatever fusing merges
        layer, classes_layer = self.net[name], self.output.input_layer
        if layer not in lasagne.layers.get_all_layers(classes_layer):
            raise ValueError(f"layer: got {name!r}, expected one on which the logits depend")
        values = accelerated_output(layer, precision=self._precision)
        cut = lasagne.layers.InputLayer(layer.output_shape, values)
        classes = accelerated_output(_continued(classes_layer, layer, cut), precision=self._precision)
        return self._gradients(classes, values, [classes, values])

    def _gradients(self, classes: Any, variable: Any, outputs: list[Any]) -> Any:
        direction = classes.type("direction")
        gradients = with_room(lambda: T.grad(None, variable, known_grads={classes: direction}), [classes])
        return compile_function([self.input_var, direction], [*outputs, gradients])

    def every_layer(self) -> Any:
        """Compile what gives the values of all layers, unfused."""
        values = lasagne.layers.get_output(list(self.net.values()), deterministic=True)
        return compile_function([self.input_var], values)


def _continued(output: Any, layer: Any, cut: Any) -> Any:
    """A copy of a network's layers that reads `cut` where the network reads `layer`; parameters are shared."""
    copies = {layer: cut}
    for original in lasagne.layers.get_all_layers(output, treat_as_input=[layer]):
        if original in copies or isinstance(original, lasagne.layers.InputLayer):
            continue
        copied = copies[original] = copy.copy(original)
        if isinstance(copied, lasagne.layers.MergeLayer):
            copied.input_layers = [copies.get(source, source) for source in original.input_layers]
        else:
            copied.input_layer = copies.get(original.input_layer, original.input_layer)
    return copies[output]
