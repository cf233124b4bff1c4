"""Network input in, scores and gradients out: the network's compiled functions."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

from theano_cpu.compile import compile_function
from theano_cpu.fuse import accelerated_output

import lasagne
import numpy as np
import theano.tensor as T

from nsfw_model import ModelFileError
from nsfw_model.layers import SoftmaxLayer
from nsfw_model.network import build_net
from nsfw_model.prototxt import read_prototxt
from nsfw_model.weights import load_weights


class Scorer:
    """A network built from two files, and the functions that are compiled from it when first needed.

    All methods may be called from many threads at once; calls of the same function take turns,
    since a Theano function is not thread-safe (each already uses every core).

    Parameters
    ----------
    nsfw_pkl_path : str or Path
        Weights, see `nsfw_model.weights`.
    deploy_prototxt_path : str or Path
        Architecture, see `nsfw_model.prototxt`. Its last layer is a Softmax over two classes:
        safe for work, not safe for work.
    precision : {"float32", "bfloat16"}
        Of the convolutions; "bfloat16" is about twice as fast on processors that have it, and moves scores.

    Raises
    ------
    ModelFileError
        If the network is no classifier of two classes.
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
        if not isinstance(self.output, SoftmaxLayer) or self.output.output_shape != (None, 2):
            raise ModelFileError(
                f"{deploy_prototxt_path}: last layer: got {type(self.output).__name__} of shape "
                f"{self.output.output_shape}, expected a Softmax over two classes, shape (None, 2)"
            )
        self._prob_and_classes = accelerated_output([self.output, self.output.input_layer], precision=precision)
        shape = lasagne.layers.get_all_layers(self.output)[0].shape[1:]
        self._forward = _Compiled(self._compile_forward, shape)
        self._backward = _Compiled(self._compile_backward, shape)

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
        """
        prob, _ = self._forward(x)
        return prob[:, 1]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Give the scores of a batch as logits: log(score / (1 - score)), without loss of precision near 0 and 1.

        Parameters
        ----------
        x : ndarray of float32, shape (n, 3, 224, 224)

        Returns
        -------
        ndarray of float32, shape (n,)
        """
        _, classes = self._forward(x)
        return classes[:, 1] - classes[:, 0]

    def logits_and_gradients(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give logits and how they change with each value of the network input.

        Parameters
        ----------
        x : ndarray of float32, shape (n, 3, 224, 224)

        Returns
        -------
        logits : ndarray of float32, shape (n,)
        gradients : ndarray of float32, shape (n, 3, 224, 224)
        """
        logit_of_classes = np.tile(np.array([-1, 1], np.float32), (len(x), 1))
        classes, gradients = self._backward(x, logit_of_classes)
        return classes[:, 1] - classes[:, 0], gradients

    # Slicing and subtracting are left to NumPy: in Theano's graph they would cost a C compilation each.

    def _compile_forward(self):
        return compile_function([self.input_var], self._prob_and_classes)

    def _compile_backward(self):
        _, classes = self._prob_and_classes
        direction = T.matrix("direction")
        gradients = T.grad(None, self.input_var, known_grads={classes: direction})
        return compile_function([self.input_var, direction], [classes, gradients])


class _Compiled:
    """A Theano function of a batch that is compiled at its first call; calls take turns."""

    def __init__(self, compile_function, shape):
        self._compile = compile_function
        self._shape = shape
        self._function = None
        self._lock = threading.Lock()

    def __call__(self, x, *others):
        # The fused network would pool over whatever it is given
        if np.shape(x)[1:] != self._shape or np.ndim(x) != 4:
            raise ValueError(f"expected shape (n, {', '.join(map(str, self._shape))}), got {np.shape(x)}")
        with self._lock:
            if self._function is None:
                self._function = self._compile()
            return self._function(np.ascontiguousarray(x, dtype=np.float32), *others)
