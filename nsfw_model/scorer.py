"""Network input in, scores and gradients out: the network's compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nsfw_model import ModelFileError, snapshot
from nsfw_model.checks import check_finite, not_finite, real_numbers
from theano_compat.forks import ForkSafeLock
from theano_cpu.onednn import forget_overflows, overflowed

if TYPE_CHECKING:
    from nsfw_model.functions import Functions


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
        self._files = Path(nsfw_pkl_path), Path(deploy_prototxt_path)
        self._precision = precision
        self._building = ForkSafeLock()
        self._built: Functions | None = None
        self._snapshot = snapshot.find(*self._files, precision)
        self._shape = (self._snapshot or self._functions()).input_shape
        self.input_size: tuple[int, int] = (self._shape[2], self._shape[1])
        self._every_layer = _Compiled(lambda: self._functions().every_layer(), self._shape)
        self._forward = _Compiled(self._forward_function, self._shape, self._check)
        self._backward = _Compiled(lambda: self._functions().backward(), self._shape, self._check)
        self._of_layers: dict[tuple[str, str], _Compiled] = {}

    @property
    def input_var(self) -> Any:
        return self._functions().input_var

    @property
    def output(self) -> Any:
        return self._functions().output

    @property
    def net(self) -> dict[str, Any]:
        return self._functions().net

    def _functions(self) -> Functions:
        """The network in Theano, built when it is first needed: scores may come of a snapshot."""
        with self._building:
            if self._built is None:
                from nsfw_model.functions import Functions

                if self._snapshot and not self._snapshot.is_of(self._files[0]):
                    raise ModelFileError(f"{self._files[0]}: changed since this Scorer was made: make another one")
                self._stamp = snapshot.stamp(self._files[0])
                self._built = Functions(*self._files, self._precision)
            return self._built

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
            If `x` is of another shape, or holds a value that is masked, not finite or no real number.
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
        classes, values = self._of_layer(name, "values")(x)
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
        function = self._of_layer(name, "layer_gradients")
        classes, values, gradients = function(x, self._logit_direction(len(x)))
        return _difference(classes), values, gradients

    def _of_layer(self, name: str, kind: str) -> _Compiled:
        """The function that is compiled for a layer: the same at each call."""
        functions = self._functions()
        functions.check_layer(name)
        made = _Compiled(partial(getattr(functions, kind), name), self._shape, self._check)
        return self._of_layers.setdefault((name, kind), made)

    def _forward_function(self) -> Callable[..., list[np.ndarray]]:
        """Of the snapshot, or else compiled, and left as a snapshot."""
        function = self._snapshot.function() if self._snapshot else None
        if function is None:
            self._snapshot = None
            function = self._functions().forward()
            snapshot.write(*self._files, self._precision, function, self._shape, self._stamp)
        return function

    def _logit_direction(self, count: int) -> np.ndarray:
        """What the logits of a batch are of its classes: one minus the other."""
        direction = np.tile(np.array([-1, 1], np.float32), (count, 1))
        return direction.reshape(-1, *self.output.output_shape[1:])

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
                f"{self._files[0]}: {whose} gives {flaw} for finite input: its weights are too large, "
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
            x = np.ascontiguousarray(real_numbers("network input", x), dtype=np.float32)
        check_finite("network input", x)
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
