"""Pictures scored by the workers of a Dask cluster: in parts, in order, and by none that would score otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, features
from PIL import __version__ as pillow_version

from nsfw_model.picture import MAX_FILE_BYTES, PictureError
from nsfw_model.preprocess import prepare
from nsfw_scale.addresses import Address, is_address

if TYPE_CHECKING:
    from nsfw_model.scorer import Scorer

#: Pictures of a part: some seconds of work, beside which the scheduler's millisecond is nothing.
PARTITION = 64
#: Parts for each worker that are handed over, one of which it works on.
AHEAD = 2
#: By how much scores may differ: other processors add in another order.
TOLERANCE = 1e-5
#: Seconds to find the scheduler, and to wait for a worker where none is left.
PATIENCE = 10.0, 300.0

Facts = dict[str, str | float]


class ClusterError(RuntimeError):
    """A cluster cannot be used: nobody answers, or a worker, which the message names, would score otherwise."""


@contextlib.contextmanager
def connect(address: str) -> Iterator[Any]:
    """Find the scheduler of a cluster.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.1:8786``.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If ``distributed`` is not installed, or nobody answers within `PATIENCE`.

    Examples
    --------
    >>> with connect("tcp://10.0.0.1:8786") as client:          # doctest: +SKIP
    ...     scores = list(nsfw_scores(files, client=client))
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("a cluster needs distributed: pip install 'open-nsfw-theano[cluster]'") from error
    try:
        client = Client(address, timeout=PATIENCE[0], set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"{address}: no scheduler of Dask answers: {error}") from error
    with client:
        yield client


def facts_of(scorer: Scorer, version: str, model_files: Iterable[Path]) -> Facts:
    """Collect what decides scores in this process.

    Parameters
    ----------
    scorer : nsfw_model.scorer.Scorer
    version : str
        Of open_nsfw.
    model_files : iterable of Path
        Weights and architecture.

    Returns
    -------
    dict of str to (str or float)
        Versions, checksums of the files and of a known picture's prepared pixels, and its score.

    Examples
    --------
    >>> from open_nsfw import get_scorer, model_files
    >>> facts = facts_of(get_scorer(), "2.0.0", model_files())
    >>> sorted(facts)[:4]
    ['JPEG library', 'Pillow', 'deploy.prototxt', 'nsfw.pkl']
    """
    x = prepare(known_picture(), scorer.input_size)
    found: Facts = {
        "open_nsfw": version,
        "Pillow": pillow_version,
        "JPEG library": str(features.version("libjpeg_turbo") or features.version("jpg")),
    }
    found |= {path.name: _checksum(path.read_bytes()) for path in model_files}
    return found | {_PIXELS: _checksum(x.tobytes()), _SCORE: float(scorer.scores(x[np.newaxis])[0])}


_PIXELS, _SCORE = "a known picture's prepared pixels", "a known picture's score"


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def known_picture() -> Image.Image:
    """Compute a picture that every step of the preprocessing changes.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB, 400 by 300 pixels.

    Examples
    --------
    >>> known_picture().size
    (400, 300)
    """
    y, x = np.mgrid[:300, :400]
    return Image.fromarray(np.stack([x * x // 64 + y, x + 2 * y, x * y // 32], axis=2).astype(np.uint8))


def distributed_scores(
    client: Any,
    images: Iterator[Any],
    score: Callable[[Iterable[Any]], Iterator[Any]],
    facts: Callable[[], Facts],
    partition: int = PARTITION,
) -> Generator[Any]:
    """Score pictures on a cluster, lazily and in order.

    They are handed over in parts. What a lost worker had not yet given back is done by another. Names of files must
    mean the same to workers as here; addresses are opened by the workers; open files are read here, and sent.

    Parameters
    ----------
    client : distributed.Client
    images : iterator
        Pictures as `open_nsfw.nsfw_score` takes them, and addresses.
    score : callable
        Gives a result for each picture of an iterable; called on the workers, by one thread of each at a time.
    facts : callable
        Gives what decides the results in the process that calls it, see `facts_of`. Both are pickled.
    partition : int, optional
        Pictures of a part.

    Yields
    ------
    object
        What `score` gives for the next picture.

    Raises
    ------
    ClusterError
        If there is no worker, or the facts of one differ from those here: before the first part, or when the worker
        joins; if a part ends all workers that try it, or no worker is left for `PATIENCE`.
    Exception
        What `images` and `score` raise, after all results before it.

    Examples
    --------
    >>> from distributed import Client
    >>> with Client(processes=False, dashboard_address=None) as client:
    ...     list(distributed_scores(client, iter(["a", "b"]), lambda part: iter(part), dict))
    ['a', 'b']
    """
    expected = facts()
    _check_workers(client, facts, expected)
    workers = _counter(client)
    parts: deque[tuple[list[Any], Any]] = deque()
    ended: Exception | None = None
    try:
        while True:
            while ended is None and len(parts) < AHEAD * workers():
                part, ended = _take(images, partition)
                if part:
                    sent = [_sendable(img) for img in part]
                    parts.append((part, client.submit(_score_part, sent, score, facts, expected, pure=False)))
            if not parts:
                break
            part, future = parts.popleft()
            results, error = _result(client, part, future)
            for img, result in zip(part, results):
                yield _named_as_given(img, result)
            if error is not None:
                raise error
    finally:
        client.cancel([future for _, future in parts])
    if ended is not None and not isinstance(ended, StopIteration):
        raise ended


def _take(images: Iterator[Any], count: int) -> tuple[list[Any], Exception | None]:
    """The next pictures, and why there are no more."""
    part: list[Any] = []
    try:
        part.extend(islice(images, count))  # keeps what came before an error
    except Exception as error:
        return part, error
    return part, None if len(part) == count else StopIteration()


def _sendable(img: Any) -> Any:
    if isinstance(img, (str, os.PathLike)) and not is_address(img):
        return os.path.abspath(img)  # a worker has another working directory
    if hasattr(img, "read") and not isinstance(img, Image.Image):
        if hasattr(img, "seek"):
            img.seek(0)
        return img.read(MAX_FILE_BYTES + 1)
    return img


def _named_as_given(img: Any, result: Any) -> Any:
    if isinstance(result, PictureError) and isinstance(img, (str, os.PathLike)) and not is_address(img):
        message = str(result)
        result.args = (message.replace(os.path.abspath(img), os.fspath(img), 1), *result.args[1:])
    return result


def _counter(client: Any) -> Callable[[], int]:
    """Count the workers, but not for every part: the question takes longer than handing one over."""
    counted, at = 0, 0.0

    def count() -> int:
        nonlocal counted, at
        if time.monotonic() >= at:
            counted, at = len(client.nthreads()), time.monotonic() + 1
        return counted

    return count


def _result(client: Any, part: list[Any], future: Any) -> tuple[list[Any], Exception | None]:
    """Wait for a part, as long as there are workers."""
    import distributed

    alone_since: float | None = None
    while not future.done():
        try:
            distributed.wait([future], timeout=1)
        except distributed.TimeoutError:
            alone_since = None if client.nthreads() else alone_since or time.monotonic()
            if alone_since is not None and time.monotonic() - alone_since > PATIENCE[1]:
                raise ClusterError(f"no worker is left, and none came for {PATIENCE[1]:g} s") from None
    try:
        return future.result()
    except distributed.KilledWorker as error:
        raise ClusterError(f"{part[0]} to {part[-1]}: every worker that scored this part died: {error}") from error


# --- on the workers

_turn = threading.Lock()  # the network takes all of a worker's threads
_checked: list[Facts] = []


def _score_part(
    part: list[Any], score: Callable[[Iterable[Any]], Iterator[Any]], facts: Callable[[], Facts], expected: Facts
) -> tuple[list[Any], Exception | None]:
    from distributed import get_worker

    results: list[Any] = []
    with _turn:
        if expected not in _checked:  # a worker may have joined since the start
            differing = _differences(facts(), expected)
            if differing:
                raise ClusterError(f"worker {get_worker().address}: {differing}")
            _checked.append(expected)
        try:
            results.extend(score([Address(img) if is_address(img) else img for img in part]))
        except Exception as error:
            return results, error
    return results, None


def _check_workers(client: Any, facts: Callable[[], Facts], expected: Facts) -> None:
    flaws = []
    answers = client.run(facts, on_error="return")
    for worker, found in answers.items():
        flaw = f"{type(found).__name__}: {found}" if isinstance(found, Exception) else _differences(found, expected)
        if flaw:
            flaws.append(f"worker {worker}: {flaw}")
    if flaws:
        raise ClusterError("; ".join(flaws))
    if not answers:
        raise ClusterError(f"{client.scheduler.address}: the cluster has no workers")


def _differences(found: Facts, expected: Facts) -> str:
    differing = [
        f"{name} is {found.get(name)}, expected {wanted}"
        for name, wanted in expected.items()
        if found.get(name) != wanted
        and not (name == _SCORE and abs(float(found.get(name, -1.0)) - float(wanted)) <= TOLERANCE)
    ]
    return ", ".join(differing)
