"""Yahoo's Open NSFW in Theano and Lasagne: how unsafe for work is a picture?

>>> from open_nsfw import nsfw_score
>>> round(nsfw_score("img/coffee.jpg"), 2)
0.01

``python -m open_nsfw PICTURE...`` does the same from a shell.

The way from a picture to its score, as in Yahoo's ``classify_nsfw.py`` [1]_::

    picture --prepare--> array (3, 224, 224) --Scorer--> score in 0..1

`nsfw_model.preprocess` has the first arrow, `nsfw_model.scorer` the second; the network is built
from two files, ``nsfw.pkl`` (weights) and ``deploy.prototxt`` (architecture).

All names of the original module [2]_ are here with their meanings, and importing this module imports neither
Theano nor Lasagne: `nsfw_score_fn` is compiled at its first call, and the first use of `nsfw_input_var`,
`nsfw_model`, `nsfw_net` or `nsfw_output` builds the network, without compiling it. ``from open_nsfw import *`` is
such a use, and takes about a second for it. It binds the Softmax layer to the name ``nsfw_model``; ``from
nsfw_model.scorer import Scorer`` still finds the package of that name.

References
----------
.. [1] Yahoo, Open NSFW, https://github.com/yahoo/open_nsfw
.. [2] tjwei, play_nsfw: ``open_nsfw.py``, https://github.com/tjwei/play_nsfw
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from math import nan
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from nsfw_model.checks import MAX_NUMBER, MAX_THREADS, above_zero, check_whole
from nsfw_model.picture import picture_name
from nsfw_model.preprocess import CHANNEL_MEANS as cmean
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
from nsfw_model.views import prepare_views, resisting_scores
from nsfw_scale.frames import Frame, FrameScore, read_frames, summary
from nsfw_scale.pipeline import Prepared, default_workers, score_frames
from theano_compat.forks import ForkSafeLock

if TYPE_CHECKING:
    from nsfw_model.scorer import Scorer

__version__ = "2.0.0"

__all__ = [
    "FrameScore",
    "PictureError",
    "SinglePictureError",
    "build_nsfw_net",
    "cmean",
    "crop",
    "deprocess",
    "frame_scores",
    "get_scorer",
    "make_jpg",
    "model_files",
    "nsfw_input_var",
    "nsfw_model",
    "nsfw_net",
    "nsfw_output",
    "nsfw_score",
    "nsfw_score_fn",
    "nsfw_scores",
    "prepare",
    "process",
    "read_picture",
    "resize_image",
]


class SinglePictureError(TypeError):
    """`nsfw_scores` was given one picture, where it expects several."""


def nsfw_score(
    img: Picture,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    frames: Literal["first", "max", "mean"] = "first",
    resist: bool = False,
) -> float:
    """Score a picture; an animation is judged by its first frame, as in Yahoo's code, unless `frames` says more.

    Parameters
    ----------
    img : str, Path, bytes, binary file, PIL.Image.Image, or ndarray of uint8, shape (height, width, 3)
        The picture; see `read_picture`.
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        Weights and architecture, as `model_files` finds them.
    precision : {"float32", "bfloat16"}
        Of the convolutions, see `get_scorer`.
    frames : {"first", "max", "mean"}
        Which frames of an animation or a film count: the first (no film is opened for it), the worst, or all.
    resist : bool
        Take the median over five views of the picture, at five times the network's work: most changes that were made to
        mislead the network do not survive that, see `nsfw_model.views`. It is not Yahoo's number.

    Returns
    -------
    float
        The score in 0..1: above 0.8 the picture is probably not safe for work, below 0.2 it
        probably is safe.

    Raises
    ------
    PictureError
        If the picture cannot be scored. Never is a number returned for such a picture.
    FileNotFoundError, nsfw_model.ModelFileError
        If the weights or the architecture do not exist, or cannot be used.
    NotImplementedError
        If the processor or the engine lacks `precision`.

    Examples
    --------
    >>> from PIL import Image
    >>> nsfw_score(Image.new("RGB", (300, 200), "white")) < 0.2
    True
    """
    if frames not in ("first", "max", "mean"):
        raise ValueError(f"frames: got {frames!r:.100}, expected 'first', 'max' or 'mean'")
    if frames != "first":
        scores = frame_scores(img, None, nsfw_pkl_path, deploy_prototxt_path, precision=precision, resist=resist)
        return summary(list(scores), frames)
    way = _way_of(get_scorer(nsfw_pkl_path, deploy_prototxt_path, precision), resist)
    return float(way.scores(way.prepare(img)[np.newaxis])[0])


class _Way(NamedTuple):
    """From a picture to what the network is given, and from several of these to scores."""

    prepare: Callable[[Picture], np.ndarray]
    scores: Callable[[np.ndarray], np.ndarray]


def _way_of(scorer: Scorer, resist: bool) -> _Way:
    if resist:
        return _Way(partial(prepare_views, size=scorer.input_size), partial(resisting_scores, scorer))
    return _Way(partial(prepare, size=scorer.input_size), scorer.scores)


def frame_scores(
    img: Picture,
    every: float | None = None,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    *,
    batch_size: int = 8,
    precision: Literal["float32", "bfloat16"] = "float32",
    resist: bool = False,
) -> Iterator[FrameScore]:
    """Score the frames of an animation or a film, lazily and in order.

    Parameters
    ----------
    img : str, Path, bytes, binary file, PIL.Image.Image, or ndarray of uint8, shape (height, width, 3)
        The film, or any picture that `nsfw_score` takes.
    every : float, optional
        Seconds from one frame to the next. Left out, all frames of an animation count, and one a second of a film.
    nsfw_pkl_path, deploy_prototxt_path, precision, resist
        As for `nsfw_score`.
    batch_size : int
        How many frames go through the network at once, at least 1.

    Yields
    ------
    FrameScore
        ``(seconds, score)``: seconds since the beginning, and the score in 0..1.

    Raises
    ------
    PictureError
        If there is no such film, or at the place where it is damaged.
    ValueError
        If `every` or `batch_size` is no such number.
    FileNotFoundError, nsfw_model.ModelFileError, NotImplementedError
        As `nsfw_score`.

    Examples
    --------
    >>> [(seconds, round(score, 2)) for seconds, score in frame_scores("img/coffee.jpg")]
    [(0.0, 0.01)]
    """
    check_whole("batch_size", batch_size, least=1, most=MAX_NUMBER)
    every = _checked_every(every)
    way = _way_of(get_scorer(nsfw_pkl_path, deploy_prototxt_path, precision), resist)
    return _frame_scores(read_frames(img, every), way, batch_size)


def _frame_scores(frames: Iterator[Frame], way: _Way, batch_size: int) -> Iterator[FrameScore]:
    def prepared(frame: Frame) -> Iterator[Prepared]:
        yield frame.seconds, way.prepare(frame.picture)

    results = score_frames(frames, prepared, way.scores, batch_size=batch_size, workers=default_workers())
    for result in results:
        if isinstance(result, PictureError):
            raise result
        yield from result


def nsfw_scores(
    images: Iterable[Picture],
    batch_size: int = 8,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    on_error: Literal["raise", "return", "nan"] = "raise",
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    seconds: float | None = None,
    workers: int | None = None,
    frames: Literal["first", "max", "mean", "all"] = "first",
    every: float | None = None,
    client: Any = None,
    resist: bool = False,
) -> Iterator[float | list[FrameScore] | PictureError]:
    """Score many pictures, lazily and in order.

    Parameters
    ----------
    images : iterable
        Pictures as `nsfw_score` takes them. They are taken as they are needed, four batches ahead of the scores at
        most; of pictures in memory no more are held than twice as many as there are workers.
    batch_size : int
        How many pictures go through the network at once, at least 1.
    nsfw_pkl_path, deploy_prototxt_path, precision, resist
        As for `nsfw_score`.
    on_error : {"raise", "return", "nan"}
        What becomes of a picture that cannot be scored: its `PictureError` is raised, after the
        scores of all pictures before it, or it takes the place of its score, or a NaN does.
    seconds : float, optional
        Time for each picture to be read and decoded; one that takes longer cannot be scored. Left out, there is
        no limit.
    workers : int, optional
        How many pictures are decoded at once, on threads; left out, as many as the network has threads: the cores of
        this process, or ``OMP_NUM_THREADS``. They do not run while the network does. No score depends on them.
    frames : {"first", "max", "mean", "all"}
        As for `nsfw_score`. With "all" the scores of all frames are given, as a list for each picture.
    every : float, optional
        Seconds from one frame to the next, as for `frame_scores`.
    client : distributed.Client, optional
        A cluster of Dask, on whose workers the pictures are scored, see `nsfw_scale.cluster`.

    Yields
    ------
    float, or list of FrameScore
        The score of the next picture, in 0..1, or those of its frames.

    Raises
    ------
    PictureError
        If a picture cannot be scored, unless `on_error` is "return".
    SinglePictureError
        If `images` is one picture.
    ValueError
        If `batch_size`, `on_error` or `seconds` is none of the above.
    FileNotFoundError, nsfw_model.ModelFileError, NotImplementedError
        As `nsfw_score`, all of them before the first picture is taken.
    nsfw_scale.cluster.ClusterError
        If a worker of `client` would score otherwise than this process, or all of them are lost.

    Examples
    --------
    >>> [score < 0.2 for score in nsfw_scores(["img/coffee.jpg", "img/rocket.jpg"])]
    [True, True]
    """
    if _is_single_picture(images):
        raise SinglePictureError(
            f"images: got a single picture ({type(images).__name__}), expected several: "
            "put it into a list, or call nsfw_score"
        )
    check_whole("batch_size", batch_size, least=1, most=MAX_NUMBER)
    if on_error not in ("raise", "return", "nan"):
        raise ValueError(f"on_error: got {on_error!r:.100}, expected 'raise', 'return' or 'nan'")
    if frames not in ("first", "max", "mean", "all"):
        raise ValueError(f"frames: got {frames!r:.100}, expected 'first', 'max', 'mean' or 'all'")
    if workers is not None:
        check_whole("workers", workers, least=1, most=MAX_THREADS)
    every = _checked_every(every)
    if seconds is not None:
        seconds = above_zero("seconds", seconds, most=TIMEOUT_MAX)
    files = nsfw_pkl_path, deploy_prototxt_path, precision
    if client is not None:
        ways = dict(batch_size=batch_size, seconds=seconds, frames=frames, every=every, resist=resist)
        return _with_errors(_cluster_scores(client, images, workers, files, ways), on_error)
    way = _way_of(get_scorer(*files), resist)
    results = score_frames(
        iter(images),
        partial(_prepared_frames, prepare=way.prepare, frames=frames, every=every),
        way.scores,
        batch_size=batch_size,
        workers=default_workers() if workers is None else workers,
        seconds=seconds,
    )
    return _with_errors(_summaries(results, frames), on_error)


def _checked_every(every: float | None) -> float | None:
    return None if every is None else above_zero("every", every, what="seconds,")


def _is_single_picture(images: object) -> bool:
    """Whether this is a picture: many kinds of them can be iterated over, by letter, row or line."""
    if isinstance(images, np.ndarray):
        return images.ndim == 3
    return isinstance(images, (str, bytes, bytearray, os.PathLike, Image.Image)) or hasattr(images, "read")


def _prepared_frames(
    img: Picture, prepare: Callable[[Picture], np.ndarray], frames: str, every: float | None
) -> Iterator[Prepared]:
    if frames == "first":
        yield 0.0, prepare(img)
    else:
        for seconds, picture in read_frames(img, every):
            yield seconds, prepare(picture)


def _summaries(
    results: Generator[list[FrameScore] | PictureError], frames: str
) -> Generator[float | list[FrameScore] | PictureError]:
    with closing(results):
        for result in results:
            yield result if isinstance(result, PictureError) else summary(result, frames)


def _with_errors(
    results: Generator[float | list[FrameScore] | PictureError], on_error: str
) -> Iterator[float | list[FrameScore] | PictureError]:
    """Put in the place of an error what is wanted there."""
    with closing(results):
        for result in results:
            if isinstance(result, PictureError) and on_error == "raise":
                raise result
            yield nan if isinstance(result, PictureError) and on_error == "nan" else result


def _cluster_scores(
    client: Any, images: Iterable[Picture], workers: int | None, files: tuple[Any, Any, Any], ways: dict[str, Any]
) -> Generator[float | list[FrameScore] | PictureError]:
    from nsfw_scale.cluster import distributed_scores

    named = dict(zip(("nsfw_pkl_path", "deploy_prototxt_path", "precision"), files))
    score_part = partial(nsfw_scores, on_error="return", **named, **ways)
    return distributed_scores(client, images, score_part, partial(_facts, **named), threads=workers)


def _facts(nsfw_pkl_path: Any, deploy_prototxt_path: Any, precision: Any) -> dict[str, str | float]:
    """What decides a score here, by which the workers of a cluster are compared with this process."""
    from nsfw_scale.facts import facts

    files = model_files(nsfw_pkl_path, deploy_prototxt_path)
    return facts(__version__, files, get_scorer(*files, precision), precision)


def build_nsfw_net(
    input_var: Any = None, nsfw_pkl_path: str | Path | None = None, deploy_prototxt_path: str | Path | None = None
) -> tuple[Any, dict[str, Any]]:
    """Build the network out of Lasagne layers.

    Parameters
    ----------
    input_var : float32 tensor4, shape (n, 3, height, width), optional
        The network's input.
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        As for `nsfw_score`.

    Returns
    -------
    output : lasagne.layers.Layer
        The last layer, a Softmax: column 1 of its output is the score.
    net : dict of str to lasagne.layers.Layer
        Every layer by its Caffe name. Weights are Theano shared variables.

    Raises
    ------
    FileNotFoundError, nsfw_model.ModelFileError
        As `nsfw_score`.

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
_scorers_lock = ForkSafeLock()


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
    FileNotFoundError, nsfw_model.ModelFileError, NotImplementedError
        As `nsfw_score`.

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
    """Find the files of weights and architecture.

    Parameters
    ----------
    nsfw_pkl_path, deploy_prototxt_path : str or Path, optional
        Left out, the installed files. The environment variable ``OPEN_NSFW_FOLDER`` names a folder whose
        ``nsfw.pkl`` is taken instead, and whose ``nsfw_model/deploy.prototxt`` where it has one; with ``.`` that is
        the working directory, as in the original. Without it nothing is taken from there: whoever scores files in
        a folder of strangers' would let them choose the network.

    Returns
    -------
    nsfw_pkl_path, deploy_prototxt_path : pathlib.Path
        Absolute paths of existing files.

    Raises
    ------
    FileNotFoundError
        If one of the files does not exist, such as ``nsfw.pkl`` in ``OPEN_NSFW_FOLDER``.

    Examples
    --------
    >>> [path.name for path in model_files()]
    ['nsfw.pkl', 'deploy.prototxt']
    """
    here, folder = Path(__file__).parent, os.environ.get("OPEN_NSFW_FOLDER")
    weights: list[Any] = [here / "nsfw.pkl", here / "nsfw_model" / "nsfw.pkl"]  # of a checkout, and installed
    architecture: list[Any] = [here / "nsfw_model" / "deploy.prototxt"]
    if folder:
        weights = [Path(folder, "nsfw.pkl")]
        architecture.insert(0, Path(folder, "nsfw_model", "deploy.prototxt"))
    return (
        _first_file(weights if nsfw_pkl_path is None else [nsfw_pkl_path]),
        _first_file(architecture if deploy_prototxt_path is None else [deploy_prototxt_path]),
    )


def _first_file(candidates: list[Any]) -> Path:
    for candidate in map(Path, candidates):
        with suppress(OSError):  # of a name that is too long, or in a folder that may not be looked into
            if candidate.is_file():
                return candidate.resolve()
    raise FileNotFoundError(f"no such file: {' or '.join(map(picture_name, candidates))}")


def nsfw_score_fn(img: np.ndarray) -> np.ndarray:
    """Score network input, as the original's compiled function of this name.

    Parameters
    ----------
    img : ndarray of float32, shape (n, 3, 224, 224)
        Network input, such as ``crop(make_jpg(picture))``.

    Returns
    -------
    ndarray of float32, shape ()
        The score of the first picture, in 0..1.

    Raises
    ------
    ValueError
        If `img` is of another shape, of no pictures, or holds a value that is masked, not finite or no real number.
    FileNotFoundError, nsfw_model.ModelFileError
        As `nsfw_score`.

    Examples
    --------
    >>> picture = resize_image("img/coffee.jpg", convert_to_array=False)
    >>> print(f"{nsfw_score_fn(crop(make_jpg(picture))):.4f}")
    0.0129
    """
    if np.shape(img)[:1] == (0,):
        raise ValueError("img: got no picture, expected at least one")
    return get_scorer().scores(img)[0, ...]


# The original's network, built by `__getattr__`.
nsfw_input_var: Any
nsfw_model: Any
nsfw_net: dict[str, Any]
nsfw_output: Any

_network_lock = ForkSafeLock()


def _build_original_network() -> dict[str, Any]:
    import lasagne
    import theano.tensor as T

    input_var = T.tensor4("nsfw_input_var")
    model, net = build_nsfw_net(input_var)
    output = lasagne.layers.get_output(model, deterministic=True)
    return {"nsfw_input_var": input_var, "nsfw_model": model, "nsfw_net": net, "nsfw_output": output}


def __getattr__(name: str) -> Any:
    if name not in ("nsfw_input_var", "nsfw_model", "nsfw_net", "nsfw_output"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _network_lock:
        if name not in globals():
            globals().update(_build_original_network())
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if __name__ == "__main__":
    from nsfw_command.__main__ import open_standard_streams
    from nsfw_command.main import main

    open_standard_streams()
    sys.exit(main(["score", *sys.argv[1:]]))
