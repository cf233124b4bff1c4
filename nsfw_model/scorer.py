"""Network input in, scores and gradients out: the network's compiled functions."""

from __future__ import annotations

import copy
from difflib import get_close_matches
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

from theano_compat.depth import with_room
from theano_compat.forks import ForkSafeLock
from theano_cpu.compile import compile_function
from theano_cpu.fuse import accelerated_output
from theano_cpu.onednn import forget_overflows, overflowed

import lasagne
import numpy as np
import theano.tensor as T

from nsfw_model import ModelFileError
from nsfw_model.checks import not_finite
from nsfw_model.layers import SoftmaxLayer
from nsfw_model.network import build_net
from nsfw_model.preprocess import RESIZED
from nsfw_model.prototxt import read_prototxt
from nsfw_model.weights import load_weights


class Scorer:
    """A network built from two files, and the functions that are compiled from it when first needed.

    All methods may be called from many threads at once; calls of the same function take turns,
    since a Theano function is not thread-safe (each already uses every core). They work in forked children too,
    whatever the parent's threads were doing.

    No method returns a number for input that is not finite, nor one that is not finite itself. Theano's and oneDNN's
    operations do not promise that: a ReLU may make 0 of a NaN, and a plausible score comes out.

    Parameters
    ----------
    nsfw_pkl_path : str or Path
        Weights, see `nsfw_model.weights`.
    deploy_prototxt_path : str or Path
        Architecture, see `nsfw_model.prototxt`. Its input is one picture of three channels and at most 256x256
        pixels; its last layer is a Softmax over two classes: safe for work, not safe for work.
    precision : {"float32", "bfloat16"}
        Of the convolutions; "bfloat16" is about twice as fast on processors that have it, and moves scores.

    Raises
    ------
    ModelFileError
        If the network is no classifier of pictures of two classes.
    NotImplementedError
        If the processor or the engine lacks `precision`.

    Attributes
    ----------
    input_var : theano tensor4
        Network input, shape (n, 3, height, width).
    output : lasagne.layers.Layer
        The Softmax layer.
    net : dict of str to lasagne.layers.Layer
        All layers by their Caffe names.
    input_size : (int, int)
        Width and height, in pixels, of the pictures that it takes: 224 and 224 for Yahoo's.

    Examples
    --------
    >>> scorer = Scorer("nsfw.pkl", "nsfw_model/deploy.prototxt")
    >>> scorer.scores(np.zeros((2, 3, 224, 224), np.float32)).shape
    (2,)
    """

    def __init__(
        self,
        nsfw_pkl_path: str | Path,
        deploy_prototxt_path: str | Path,
        precision: Literal["float32", "bfloat16"] = "float32",
    ):
        self.input_var = T.tensor4("data")
        self.output, self.net = build_net(
            read_prototxt(deploy_prototxt_path), load_weights(nsfw_pkl_path), self.input_var
        )
        shape = self._checked_input_shape(deploy_prototxt_path)
        self.input_size: tuple[int, int] = (shape[2], shape[1])
        self._prob_and_classes = accelerated_output([self.output, self.output.input_layer], precision=precision)
        self._weights_name = str(nsfw_pkl_path)
        self._precision = precision
        self._shape = shape
        self._every_layer = _Compiled(self._compile_every_layer, shape)
        self._forward = _Compiled(self._compile_forward, shape, self._check)
        self._backward = _Compiled(self._compile_backward, shape, self._check)
        self._of_layers: dict[tuple[str, str], _Compiled] = {}

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

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Score a batch.

        Parameters
        ----------
        x : ndarray of float32, shape (n, 3, 224, 224)
            Prepared pictures, see `nsfw_model.preprocess.prepare`.

        Returns
        -------
        ndarray of float32, shape (n,)
            Scores in 0..1.

        Raises
        ------
        ValueError
            If `x` is of another shape, or holds a value that is not finite.
        ModelFileError
            If the network makes something else than finite numbers of it.
        """
        prob, _ = self._forward(x)
        return prob.reshape(-1, 2)[:, 1]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Give the scores of a batch as logits: log(score / (1 - score)), without loss of precision near 0 and 1.

        Parameters
        ----------
        x : ndarray of float32, shape (n, 3, 224, 224)

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        ValueError, ModelFileError
            As `scores`.
        """
        _, classes = self._forward(x)
        return _difference(classes)

    def logits_and_gradients(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give logits and how they change with each value of the network input.

        Parameters
        ----------
        x : ndarray of float32, shape (n, 3, 224, 224)

        Returns
        -------
        logits : ndarray of float32, shape (n,)
        gradients : ndarray of float32, shape (n, 3, 224, 224)

        Raises
        ------
        ValueError, ModelFileError
            As `scores`.
        """
        classes, gradients = self._backward(x, self._logit_direction(len(x)))
        return _difference(classes), gradients

    def logits_and_values(self, x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Give logits and the values of a layer between, in one pass.

        Each layer has a function of its own, compiled when it is first asked for. It costs about as much as the
        scores: the fused network ends the merging of operations at this layer, and goes on from its values.

        Parameters
        ----------
        x : ndarray of float32, shape (n, 3, 224, 224)
        name : str
            One of `net`.

        Returns
        -------
        logits : ndarray of float32, shape (n,)
        values : ndarray of float32, shape (n, ...)

        Raises
        ------
        ValueError
            If the network has no such layer; and as `scores`.
        ModelFileError
            As `scores`.

        Examples
        --------
        >>> scorer = Scorer("nsfw.pkl", "nsfw_model/deploy.prototxt")
        >>> scorer.logits_and_values(np.zeros((2, 3, 224, 224), np.float32), "relu_stage3_block2")[1].shape
        (2, 1024, 7, 7)
        """
        classes, values = self._of_layer(name, self._compile_values)(x)
        return _difference(classes), values

    def logits_and_layer_gradients(self, x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give logits, the values of a layer between, and how the logits change with each of these values.

        Parameters
        ----------
        x : ndarray of float32, shape (n, 3, 224, 224)
        name : str
            One of `net` on which the logits depend.

        Returns
        -------
        logits : ndarray of float32, shape (n,)
        values, gradients : ndarray of float32, shape (n, ...)

        Raises
        ------
        ValueError
            If the network has no such layer, or the logits do not depend on it, as on the scores; and as `scores`.
        ModelFileError
            As `scores`.

        Examples
        --------
        >>> scorer = Scorer("nsfw.pkl", "nsfw_model/deploy.prototxt")
        >>> _, values, gradients = scorer.logits_and_layer_gradients(np.zeros((2, 3, 224, 224), np.float32), "pool")
        >>> values.shape == gradients.shape == (2, 1024, 1, 1)
        True
        """
        function = self._of_layer(name, self._compile_layer_gradients)
        classes, values, gradients = function(x, self._logit_direction(len(x)))
        return _difference(classes), values, gradients

    def _of_layer(self, name: str, compile_function) -> _Compiled:
        """The function that is compiled for a layer: the same at each call."""
        if name not in self.net:
            near = ", ".join(map(repr, get_close_matches(name, self.net, n=3))) or f"{list(self.net)[0]!r}"
            raise ValueError(f"layer: got {name!r}, expected one of the network's {len(self.net)}, such as {near}")
        made = _Compiled(partial(compile_function, name), self._shape, self._check)
        return self._of_layers.setdefault((name, compile_function.__name__), made)

    def _logit_direction(self, count: int) -> np.ndarray:
        """What the logits of a batch are of its classes: one minus the other."""
        direction = np.tile(np.array([-1, 1], np.float32), (count, 1))
        return direction.reshape(-1, *self.output.output_shape[1:])

    # Slicing and subtracting are left to NumPy: in Theano's graph they would cost a C compilation each.

    def _compile_forward(self):
        return compile_function([self.input_var], self._prob_and_classes)

    def _compile_backward(self):
        _, classes = self._prob_and_classes
        return self._compile_gradients(classes, self.input_var, [classes])

    def _compile_values(self, name):
        layers = [self.output.input_layer, self.net[name]]
        return compile_function([self.input_var], accelerated_output(layers, precision=self._precision))

    def _compile_layer_gradients(self, name):
        """The network in two parts, each fused, so that what is between is a variable whatever fusing merges."""
        layer, classes_layer = self.net[name], self.output.input_layer
        if layer not in lasagne.layers.get_all_layers(classes_layer):
            raise ValueError(f"layer: got {name!r}, expected one on which the logits depend")
        values = accelerated_output(layer, precision=self._precision)
        cut = lasagne.layers.InputLayer(layer.output_shape, values)
        classes = accelerated_output(_continued(classes_layer, layer, cut), precision=self._precision)
        return self._compile_gradients(classes, values, [classes, values])

    def _compile_gradients(self, classes, variable, outputs):
        direction = classes.type("direction")
        gradients = with_room(lambda: T.grad(None, variable, known_grads={classes: direction}), [classes])
        return compile_function([self.input_var, direction], [*outputs, gradients])

    def _compile_every_layer(self):
        values = lasagne.layers.get_output(list(self.net.values()), deterministic=True)
        return compile_function([self.input_var], values)

    def _check(self, x: np.ndarray, outputs: list[np.ndarray], overflow: bool) -> None:
        """Refuse outputs that are not finite, or that come of a layer whose values are not."""
        for output in outputs:
            self._check_values("the network", output)
        if overflow:  # a ReLU or a pooling may have dropped what is no number
            for name, values in zip(self.net, self._every_layer(x)):
                self._check_values(f"layer {name!r}", values)

    def _check_values(self, whose: str, values: np.ndarray) -> None:
        flaw = not_finite(values)
        if flaw:
            raise ModelFileError(
                f"{self._weights_name}: {whose} gives {flaw} for finite input: its weights are too large, "
                "or what computes it is broken here (THEANO_CPU_ENGINE chooses another engine)"
            )


def _difference(classes: np.ndarray) -> np.ndarray:
    safe, unsafe = classes.reshape(-1, 2).T
    return unsafe - safe


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


class _Compiled:
    """A Theano function of a batch that is compiled at its first call; calls take turns, numbers are finite."""

    def __init__(self, compile_function, shape, check=lambda x, outputs, overflow: None):
        self._compile = compile_function
        self._shape = shape
        self._check = check
        self._function = None
        self._lock = ForkSafeLock()

    def __call__(self, x, *others):
        # The fused network would pool over whatever it is given
        if np.shape(x)[1:] != self._shape or np.ndim(x) != 4:
            raise ValueError(f"expected shape (n, {', '.join(map(str, self._shape))}), got {np.shape(x)}")
        with np.errstate(over="ignore"):  # what is too large for float32 is said below
            x = np.ascontiguousarray(x, dtype=np.float32)
        flaw = not_finite(x)
        if flaw:
            raise ValueError(f"network input: got {flaw}, expected finite numbers")
        with self._lock:
            if self._lock.interrupted:  # a thread of the parent is in the midst of it for ever
                self._function, self._lock.interrupted = None, False
            if self._function is None:
                self._function = self._compile()
            forget_overflows()  # by others before
            outputs = self._function(x, *others)
            overflow = overflowed()
        self._check(x, outputs, overflow)
        return outputs
