"""Network input in, scores and gradients out: the network's compiled functions."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Literal

from theano_compat.depth import with_room
from theano_compat.forks import ForkSafeLock
from theano_cpu.compile import compile_function
from theano_cpu.fuse import accelerated_output
from theano_cpu.onednn import overflowed

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
        self._every_layer = _Compiled(self._compile_every_layer, shape)
        self._forward = _Compiled(self._compile_forward, shape, self._check)
        self._backward = _Compiled(self._compile_backward, shape, self._check)

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
        logit_of_classes = np.tile(np.array([-1, 1], np.float32), (len(x), 1))
        classes, gradients = self._backward(x, logit_of_classes.reshape(-1, *self.output.output_shape[1:]))
        return _difference(classes), gradients

    # Slicing and subtracting are left to NumPy: in Theano's graph they would cost a C compilation each.

    def _compile_forward(self):
        return compile_function([self.input_var], self._prob_and_classes)

    def _compile_backward(self):
        _, classes = self._prob_and_classes
        direction = classes.type("direction")
        gradients = with_room(lambda: T.grad(None, self.input_var, known_grads={classes: direction}), [classes])
        return compile_function([self.input_var, direction], [classes, gradients])

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
            overflowed()  # by others before
            outputs = self._function(x, *others)
            overflow = overflowed()
        self._check(x, outputs, overflow)
        return outputs
