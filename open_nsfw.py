"""Yahoo's Open NSFW in Theano and Lasagne: how unsafe for work is a picture?

>>> from open_nsfw import nsfw_score
>>> round(nsfw_score("img/coffee.jpg"), 2)
0.01

The way from a picture to its score::

    picture --prepare--> array (3, 224, 224) --Scorer--> score in 0..1

`nsfw_model.preprocess` has the first arrow, `nsfw_model.scorer` the second; the network is built
from two files, ``nsfw.pkl`` (weights) and ``deploy.prototxt`` (architecture).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from nsfw_model.preprocess import (
    Picture,
    PictureError,
    crop,
    deprocess,
    make_jpg,
    prepare,
    process,
    read_picture,
    resize_image,
)

if TYPE_CHECKING:
    from nsfw_model.scorer import Scorer

__all__ = [
    "PictureError",
    "build_nsfw_net",
    "crop",
    "deprocess",
    "get_scorer",
    "make_jpg",
    "model_files",
    "nsfw_score",
    "nsfw_scores",
    "prepare",
    "process",
    "read_picture",
    "resize_image",
]


def nsfw_score(
    img: Picture, nsfw_pkl_path: str | Path | None = None, deploy_prototxt_path: str | Path | None = None, **options
) -> float:
    """Score a picture.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray of uint8 (height, width, 3), or PIL.Image.Image
        The picture; see `read_picture`.
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        Weights and architecture. Left out, ``nsfw.pkl`` and ``nsfw_model/deploy.prototxt`` are
        looked for in the working directory, then among the installed files.
    **options
        See `get_scorer`.

    Returns
    -------
    float
        The score in 0..1: above 0.8 the picture is probably not safe for work, below 0.2 it
        probably is safe.

    Raises
    ------
    PictureError
        If the picture cannot be scored. Never is a number returned for such a picture.

    Examples
    --------
    >>> from PIL import Image
    >>> nsfw_score(Image.new("RGB", (300, 200), "white")) < 0.2
    True
    """
    return float(get_scorer(nsfw_pkl_path, deploy_prototxt_path, **options).scores(prepare(img)[np.newaxis])[0])


def nsfw_scores(
    images: Iterable[Picture],
    batch_size: int = 8,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    on_error: Literal["raise", "return"] = "raise",
    **options,
) -> Iterator[float | PictureError]:
    """Score many pictures, lazily and in order.

    Parameters
    ----------
    images : iterable
        Pictures as `nsfw_score` takes them. No more than `batch_size` are held at a time.
    batch_size : int
        How many pictures go through the network at once, at least 1.
    nsfw_pkl_path, deploy_prototxt_path, **options
        As for `nsfw_score`.
    on_error : {"raise", "return"}
        What becomes of a picture that cannot be scored: its `PictureError` is raised, after the
        scores of all pictures before it, or takes the place of its score.

    Yields
    ------
    float
        The score of the next picture, in 0..1.

    Examples
    --------
    >>> [score < 0.2 for score in nsfw_scores(["img/coffee.jpg", "img/rocket.jpg"])]
    [True, True]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error: expected 'raise' or 'return', got {on_error!r}")
    return _scores(iter(images), batch_size, get_scorer(nsfw_pkl_path, deploy_prototxt_path, **options), on_error)


def _scores(images: Iterator[Picture], batch_size: int, scorer: Scorer, on_error: str):
    while prepared := [_try_prepare(img) for img in islice(images, batch_size)]:
        arrays = [item for item in prepared if not isinstance(item, PictureError)]
        scores = iter(scorer.scores(np.stack(arrays)).tolist() if arrays else [])
        for item in prepared:
            if not isinstance(item, PictureError):
                yield next(scores)
            elif on_error == "return":
                yield item
            else:
                raise item


def _try_prepare(img: Picture) -> np.ndarray | PictureError:
    try:
        return prepare(img)
    except PictureError as error:
        return error


def build_nsfw_net(
    input_var=None, nsfw_pkl_path: str | Path | None = None, deploy_prototxt_path: str | Path | None = None
):
    """Build the network out of Lasagne layers.

    Parameters
    ----------
    input_var : theano tensor4, optional
        The network's input, shape (n, 3, height, width).
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        As for `nsfw_score`.

    Returns
    -------
    output : lasagne.layers.Layer
        The last layer, a Softmax: column 1 of its output is the score.
    net : dict of str to lasagne.layers.Layer
        Every layer by its Caffe name. Weights are Theano shared variables.

    Examples
    --------
    >>> import lasagne
    >>> output, net = build_nsfw_net()
    >>> lasagne.layers.get_output_shape(output, {net["data"]: (5, 3, 224, 224)})
    (5, 2)
    """
    from nsfw_model.network import build_net
    from nsfw_model.prototxt import read_prototxt
    from nsfw_model.weights import load_weights

    weights_path, prototxt_path = model_files(nsfw_pkl_path, deploy_prototxt_path)
    return build_net(read_prototxt(prototxt_path), load_weights(weights_path), input_var)


_scorers: dict[tuple, tuple[tuple, Scorer]] = {}
_scorers_lock = threading.Lock()


def get_scorer(
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Scorer:
    """Give the compiled functions of a network: scores, logits and gradients of whole batches.

    They are kept for each pair of files, and made anew when one of the files has changed.

    Parameters
    ----------
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        As for `nsfw_score`.
    precision : {"float32", "bfloat16"}
        Of the convolutions. "bfloat16" is about twice as fast, on processors that have it, and moves scores.

    Returns
    -------
    nsfw_model.scorer.Scorer

    Raises
    ------
    FileNotFoundError
        If one of the files does not exist.
    NotImplementedError
        If the processor or the engine lacks `precision`.

    Examples
    --------
    >>> get_scorer() is get_scorer()
    True
    """
    from nsfw_model.scorer import Scorer

    paths = model_files(nsfw_pkl_path, deploy_prototxt_path)
    stamp = tuple((status.st_mtime_ns, status.st_size) for status in (path.stat() for path in paths))
    with _scorers_lock:
        kept_stamp, scorer = _scorers.get((*paths, precision), (None, None))
        if scorer is None or kept_stamp != stamp:
            scorer = Scorer(*paths, precision)
            _scorers[(*paths, precision)] = stamp, scorer
        return scorer


def model_files(
    nsfw_pkl_path: str | Path | None = None, deploy_prototxt_path: str | Path | None = None
) -> tuple[Path, Path]:
    """Find the files of weights and architecture: those given, else in the working directory, else the installed ones.

    Raises
    ------
    FileNotFoundError
        If one of the files does not exist.
    """
    here = Path(__file__).parent
    weights = [nsfw_pkl_path] if nsfw_pkl_path else ["nsfw.pkl", here / "nsfw.pkl", here / "nsfw_model/nsfw.pkl"]
    prototxt = "nsfw_model/deploy.prototxt"
    architecture = [deploy_prototxt_path] if deploy_prototxt_path else [prototxt, here / prototxt]
    return _first_file(weights), _first_file(architecture)


def _first_file(candidates) -> Path:
    for candidate in map(Path, candidates):
        if candidate.is_file():
            return candidate.resolve()
    raise FileNotFoundError(f"no such file: {' or '.join(map(str, candidates))}")


# The names of the original module that need the network are made when they are first asked for.
_original_names_lock = threading.RLock()


def _make_original_names() -> dict:
    from theano_cpu.compile import compile_function
    from theano_cpu.fuse import accelerated_output

    import lasagne
    import theano.tensor as T

    input_var = T.tensor4("nsfw_input_var")
    model, net = build_nsfw_net(input_var)
    output = lasagne.layers.get_output(model, deterministic=True)
    return {
        "nsfw_input_var": input_var,
        "nsfw_model": model,
        "nsfw_net": net,
        "nsfw_output": output,
        "nsfw_score_fn": compile_function([input_var], accelerated_output(model)[0, 1]),
    }


def __getattr__(name: str):
    if name in ("nsfw_input_var", "nsfw_model", "nsfw_net", "nsfw_output", "nsfw_score_fn"):
        with _original_names_lock:
            if name not in globals():
                globals().update(_make_original_names())
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
