"""Scores from a cluster of Dask: parts of many pictures go to its workers, and come back in order.

A worker is asked first what decides a score there, see `nsfw_scale.facts`; one that would score otherwise gets no work.
Whatever a lost worker was doing is done by another, and what ends every worker that tries it is found and left out.

Dask [1]_ does what is hard about it: it knows which workers there are, and notices when one is lost.

References
----------
.. [1] M. Rocklin, Dask: Parallel computation with blocked algorithms and task scheduling, SciPy 2015;
   https://distributed.dask.org
"""

from __future__ import annotations

import os
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from operator import length_hint
from typing import Any

import numpy as np

from nsfw_model.checks import check_whole
from nsfw_model.picture import Picture, PictureError, picture_name
from nsfw_scale.addresses import fetched, is_address
from nsfw_scale.facts import Facts, difference

#: Pictures of a part, at most: some seconds of work, beside which Dask's millisecond is nothing.
PARTITION = 64
#: Bytes and arrays of a part, in bytes, at most, unless a single picture has more: they all pass through the scheduler.
MAX_PART_BYTES = 1 << 23
#: Parts that a worker has ahead: one that it computes, one that waits there, and one whose scores are on the way.
AHEAD = 3
#: Parts for each worker, at least, where it is known how many pictures there are: then all end at the same time.
PARTS_FOR_EACH = 8
#: Seconds between two looks at which workers there are.
LOOK = 1.0


class ClusterError(RuntimeError):
    """A cluster that cannot be had, whose workers would score otherwise, or that has no workers left."""


@dataclass(frozen=True)
class _Job:
    """What is the same for all parts of a call, and is known on each worker by its name."""

    name: str
    score_part: Callable[..., Iterable[Any]] = field(compare=False)
    facts: Callable[[], Facts] = field(compare=False)
    expected: Facts = field(compare=False)
    threads: int | None = field(compare=False)


@dataclass(frozen=True)
class _Part:
    """Some pictures, as they are sent, and what errors call each."""

    names: list[str]
    pictures: list[Any]


@dataclass(frozen=True)
class _Refusal:
    """A worker that would score otherwise, and why."""

    worker: str
    reason: str

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.reason}"


@dataclass
class _Sent:
    """A part that is on its way, and the only workers that it may go to; None for any."""

    part: _Part
    future: Any
    workers: list[str] | None


@contextmanager
def connect(address: str, seconds: float = 10) -> Iterator[Any]:
    """Connect to the scheduler of a cluster.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.1:8786``.
    seconds : float
        How long to wait for it.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If nobody answers, or Dask is not installed.

    Examples
    --------
    >>> with connect("tcp://10.0.0.1:8786") as client:                             # doctest: +SKIP
    ...     scores = list(nsfw_scores(files, client=client))
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("a cluster needs Dask: pip install 'open-nsfw-theano[cluster]'") from error
    try:
        client = Client(address, timeout=seconds)
    except Exception as error:  # what answers may be anything, such as the scheduler's own web server on port 8787
        raise ClusterError(f"{address}: no scheduler of a cluster answers: {_in_one_line(error)}") from error
    with client:
        yield client


def distributed_scores(
    client: Any,
    images: Iterable[Picture],
    score_part: Callable[..., Iterable[Any]],
    facts: Callable[[], Facts],
    *,
    partition: int | None = None,
    threads: int | None = None,
    patience: float = 60,
) -> Generator[Any]:
    """Score pictures on a cluster, lazily and in order.

    Some parts for each worker are on their way at a time, and no more pictures are taken than they need. A part whose
    worker is lost is done by another. One that has ended more workers than Dask allows, 3 unless its setting
    ``distributed.scheduler.allowed-failures`` says otherwise, is done picture by picture, and a picture that ends as
    many again is a `PictureError`.

    Parameters
    ----------
    client : distributed.Client
    images : iterable of str, Path, bytes or ndarray
        Names of files that the workers see under the same name, addresses, see `nsfw_scale.addresses`, a file's bytes,
        or pixels.
    score_part : callable
        Of an iterable of pictures and of ``workers``, how many of them to decode at once; gives a score, or a
        `PictureError`, for each in order. It is pickled, as is `facts`.
    facts : callable
        Gives what decides a score where it is called, as `nsfw_scale.facts.facts` does.
    partition : int, optional
        How many pictures are sent at once, at most; left out, `PARTITION`.
    threads : int, optional
        The ``workers`` of `score_part`; left out, its own choice.
    patience : float
        Seconds to wait for a worker when there is none.

    Yields
    ------
    object
        What `score_part` gives.

    Raises
    ------
    ClusterError
        Before the first picture is taken, if a worker's facts differ from those here, or there is no worker. Later, if
        all workers are lost for longer than `patience`, or the scheduler is. A worker that comes later and differs is
        warned of, and gets no work.
    TypeError
        If one of `images` is none of the above, after the scores of those before it.
    ImportError
        If a worker lacks what an address needs.

    Examples
    --------
    >>> from distributed import Client
    >>> def widths(images, workers):
    ...     return (img.shape[1] for img in images)
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     pictures = [np.zeros((1, width, 3), np.uint8) for width in (3, 1, 2)]
    ...     list(distributed_scores(client, pictures, widths, dict))
    [3, 1, 2]
    """
    partition = PARTITION if partition is None else partition
    check_whole("partition", partition, least=1)
    cluster = _Cluster(client, _Job(uuid.uuid4().hex, score_part, facts, facts(), threads), patience)
    cluster.check_workers()
    known = length_hint(images, -1)
    if known >= 0:
        partition = max(1, min(partition, known // (PARTS_FOR_EACH * len(cluster.workers()))))
    return cluster.results(_Partitions(images, partition))


class _Partitions:
    """Pictures in parts, taken as they are needed; what ends them early is kept, since the parts before it count."""

    def __init__(self, images: Iterable[Picture], size: int):
        self._images = iter(images)
        self._size = size
        self._ended = False
        self.error: Exception | None = None

    def take(self) -> _Part | None:
        """Give the next part, None when there are no more."""
        names: list[str] = []
        pictures: list[Any] = []
        room = MAX_PART_BYTES
        while len(pictures) < self._size and room > 0 and not self._ended:
            try:
                img = next(self._images)
                pictures.append(_sendable(img))
            except StopIteration:
                self._ended = True
            except Exception as error:  # of the iterator, or for what is no picture
                self._ended, self.error = True, error
            else:
                names.append(picture_name(img))
                room -= _size_in_bytes(img)
        return _Part(names, pictures) if pictures else None


def _sendable(img: Picture) -> str | bytes | np.ndarray:
    """A picture as workers can have it."""
    if is_address(img) or isinstance(img, (bytes, np.ndarray)):
        return img
    if isinstance(img, bytearray):
        return bytes(img)
    if isinstance(img, (str, os.PathLike)):
        # Workers have working directories of their own; and the empty name is that of no file, not of the directory
        return os.path.abspath(os.fspath(img)) if os.fspath(img) else ""
    raise TypeError(
        f"got {type(img).__name__}, which cannot be sent to a cluster; expected a path, an address, bytes, such as an "
        "open file's read(), or an array, such as numpy.asarray(picture.convert('RGB'))"
    )


def _size_in_bytes(img: Any) -> int:
    return img.nbytes if isinstance(img, np.ndarray) else len(img) if isinstance(img, (bytes, bytearray)) else 0


class _Cluster:
    """The workers that may score for a job."""

    def __init__(self, client: Any, job: _Job, patience: float):
        self._client = client
        self._job = job
        self._patience = patience
        self._refused: set[str] = set()
        self._there: list[str] = []
        self._looked = -LOOK
        self._seen = time.monotonic()  # when there was a worker that may

    def workers(self) -> list[str]:
        """The addresses of those that are there, and would score as this process does; waits until there is one."""
        while True:
            allowed = [address for address in self._present() if address not in self._refused]
            if allowed:
                self._seen = time.monotonic()
                return allowed
            if time.monotonic() - self._seen > self._patience:
                others = f", other than {len(self._there)} that would score otherwise" if self._there else ""
                raise ClusterError(
                    f"{_address(self._client)}: the cluster has had no worker for {self._patience:g} s{others}"
                )
            time.sleep(LOOK / 10)

    def _present(self) -> list[str]:
        """The addresses of all that are there; a list of thousands is not asked for with every part."""
        if not self._there or time.monotonic() - self._looked > LOOK:
            try:
                self._there = list(self._client.nthreads())
            except Exception as error:  # of sockets, of Dask's protocol, of a client that was closed
                raise self._lost() from error
            self._looked = time.monotonic()
        return self._there

    def check_workers(self) -> None:
        """Refuse the cluster if one of its workers would score otherwise."""
        checks = [self._send(_Part([], []), [address]) for address in self.workers()]
        refusals = [answer for check in checks if isinstance(answer := self._check(check), _Refusal)]
        if refusals:
            more = f"; and {len(refusals) - 3} more workers" if len(refusals) > 3 else ""
            raise ClusterError("; ".join(map(str, refusals[:3])) + more)

    def _check(self, check: _Sent) -> Any:
        """The answer of a worker to a part without pictures; None if it was lost meanwhile."""
        [address] = check.workers or []
        while not self._is_done(check.future):
            if address not in self._present():
                return None
        error = check.future.exception()  # whatever keeps it from answering, such as a module that it lacks
        return _Refusal(address, _in_one_line(error)) if error else check.future.result()

    def results(self, parts: _Partitions) -> Generator[Any]:
        """What becomes of each picture, in order."""
        sent: deque[_Sent] = deque()
        try:
            while True:
                ahead = AHEAD * len(self.workers())
                while len(sent) < ahead and (part := parts.take()) is not None:
                    sent.append(self._send(part))
                if not sent:
                    break
                yield from self._received(sent[0])
                sent.popleft()
        finally:
            for rest in sent:
                rest.future.release()  # who takes no more scores wants no more work
        if parts.error is not None:
            raise parts.error

    def _send(self, part: _Part, workers: list[str] | None = None) -> _Sent:
        if workers is None and self._refused:
            workers = self.workers()
        try:
            future = self._client.submit(_answer, self._job, part, workers=workers, pure=False)
        except Exception as error:
            if self._client.status in ("running", "connecting"):
                raise  # what cannot be pickled
            raise self._lost() from error
        return _Sent(part, future, workers)

    def _lost(self) -> ClusterError:
        return ClusterError(f"{_address(self._client)}: the scheduler of the cluster is lost")

    def _received(self, sent: _Sent) -> list[Any]:
        """The results of a part, which is sent again as long as it is answered by nobody."""
        from distributed import CancelledError, KilledWorker

        while True:
            try:
                answer = self._answered(sent)
            except KilledWorker as error:
                return self._one_by_one(sent.part, error)
            except CancelledError as error:
                raise self._lost() from error
            if not isinstance(answer, _Refusal):
                return answer
            if answer.worker not in self._refused:
                warnings.warn(f"{answer}: it gets no work", RuntimeWarning, stacklevel=2)
                self._refused.add(answer.worker)
            self._send_again(sent)

    def _answered(self, sent: _Sent) -> Any:
        while not self._is_done(sent.future):
            if sent.workers is not None and not set(sent.workers) & set(self.workers()):
                self._send_again(sent)
        return sent.future.result()

    def _send_again(self, sent: _Sent) -> None:
        again = self._send(sent.part)
        sent.future, sent.workers = again.future, again.workers

    def _is_done(self, future: Any) -> bool:
        """Whether there is an answer, after a while; not to be waited for where there is nobody to give it."""
        from distributed import TimeoutError, wait

        try:
            wait([future], timeout=LOOK)
        except TimeoutError:
            self.workers()
            return False
        return True

    def _one_by_one(self, part: _Part, error: Exception) -> list[Any]:
        """The results of a part that has ended several workers: one of its pictures did."""
        if len(part.pictures) == 1:
            lost = PictureError(f"{part.names[0]}: cannot be scored: each worker that tried was lost")
            lost.__cause__ = error
            return [lost]
        singles = (_Part([name], [img]) for name, img in zip(part.names, part.pictures))
        return [self._received(self._send(single))[0] for single in singles]


def _in_one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _address(client: Any) -> str:
    return client.scheduler.address if client.scheduler is not None else "a closed client"


# --- on a worker

#: The network takes all threads that this process may have.
_one_at_a_time = threading.Lock()


def _answer(job: _Job, part: _Part) -> list[Any] | _Refusal:
    """Score a part, if this worker scores as the one who asks."""
    from distributed import get_worker

    worker = get_worker()
    with _one_at_a_time:
        reason = _why_not(job)
        if reason is not None:
            return _Refusal(worker.address, reason)
        return _results(job, part)


@lru_cache(maxsize=8)
def _why_not(job: _Job) -> str | None:
    """Why this process would score otherwise; found out once for each job."""
    try:
        return difference(job.facts(), job.expected)
    except Exception as error:  # no such file of weights, no bfloat16, no compiler, ...
        return _in_one_line(error)


def _results(job: _Job, part: _Part) -> list[Any]:
    """What becomes of each picture of a part, where errors call it by the name it was given by."""
    failed: dict[int, PictureError] = {}
    names: list[tuple[str, str]] = []

    def readable() -> Iterator[Any]:
        for number, img in enumerate(fetched(part.pictures)):
            if isinstance(img, PictureError):
                failed[number] = img
            else:
                names.append((picture_name(img), part.names[number]))
                yield img

    scored = job.score_part(readable(), workers=job.threads)
    results = iter([_called(result, *names[place]) for place, result in enumerate(scored)])
    return [failed[number] if number in failed else next(results) for number in range(len(part.pictures))]


def _called(result: Any, name: str, given: str) -> Any:
    """A result whose message, if it is an error, begins with the name that was given."""
    if isinstance(result, PictureError) and str(result).startswith(name):
        result.args = (given + str(result).removeprefix(name), *result.args[1:])
    return result
