"""Pictures in, scores out: decoded on every core, scored in batches, in order.

Decoding and the network take turns, each on all cores. Pillow decodes a picture on one core without Python's lock, so
several threads do it side by side; oneDNN computes a batch on all cores by itself. Both at once would be twice as many
threads as cores, and OpenMP's spin while they wait for one another. A network for each core instead would take the
memory of one more, and the cores' caches are too small for two (74 pictures a second on two cores of an AMD EPYC, where
one network on both gives 80). What the wait for the last picture of a turn costs is spread over a few batches.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from nsfw_model.picture import PictureError, picture_name
from nsfw_scale.frames import FrameScore
from theano_compat.forks import ForkSafeLock

Item = TypeVar("Item")
#: What a picture's prepared frames are: seconds since its beginning, and network input.
Prepared = tuple[float, np.ndarray]

#: Batches of the first turn, and of later ones. The first scores should not be long in coming.
FIRST_TURN, LATER_TURNS = 1, 4
#: How many pictures may be done and wait for one before them, such as a long film, in batches.
MAX_AHEAD = 64
#: Bytes of the blocks in which Pillow allocates, and how many it keeps for the next picture, for each worker: 12
#: megapixels fit. In its own blocks of 16 MB the memory of small pictures, cut out of large blocks, adds up.
BLOCK_BYTES, KEPT_BLOCKS = 1 << 22, 12


def default_workers() -> int:
    """Say how many threads decode pictures if nobody says: as many as compute the network.

    Returns
    -------
    int
        The cores of this process, or ``OMP_NUM_THREADS``.

    Examples
    --------
    >>> default_workers() >= 1
    True
    """
    from theano_cpu import onednn

    if onednn.onednn_available():
        return onednn.num_threads()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def score_frames(
    images: Iterator[Item],
    prepare_frames: Callable[[Item], Iterator[Prepared]],
    score_batch: Callable[[np.ndarray], np.ndarray],
    *,
    batch_size: int,
    workers: int,
    seconds: float | None = None,
) -> Generator[list[FrameScore] | PictureError]:
    """Score the frames of many pictures, lazily and in order.

    Photographs go through the network in batches of `batch_size` that follow one another in `images`, whatever the
    number of workers: their scores are the same to the last bit. Frames of an animation are batches of their own.

    Parameters
    ----------
    images : iterator
        Pictures, taken in the calling thread, a few more than there are workers at a time.
    prepare_frames : callable
        Gives the prepared frames of a picture, at least one. It is called, and iterated, on other threads.
    score_batch : callable
        Gives the scores of network input of shape (n, 3, height, width). It is called in the calling thread, while no
        other thread prepares anything.
    batch_size : int
        At least 1.
    workers : int
        Threads that prepare pictures, at least 1.
    seconds : float, optional
        Time for each picture, or for each `batch_size` frames of it, to be prepared.

    Yields
    ------
    list of FrameScore, or PictureError
        In the place of what cannot be scored, the error that says why.

    Raises
    ------
    Exception
        What `images` raises, and what `prepare_frames` raises other than PictureError, after all results before it.

    Examples
    --------
    >>> def prepare_frames(img):
    ...     yield 0.0, np.full((3, 2, 2), img, np.float32)
    >>> results = score_frames(iter([0.25, 0.5]), prepare_frames, lambda x: x[:, 0, 0, 0], batch_size=8, workers=2)
    >>> [result[0].score for result in results]
    [0.25, 0.5]
    """
    pipeline = _Pipeline(images, prepare_frames, score_batch, batch_size, workers, seconds)
    with _kept_blocks(KEPT_BLOCKS * workers):
        try:
            yield from pipeline.results()
        finally:
            pipeline.close()


class _Task:
    """A picture on its way."""

    def __init__(self, img: Any, number: int):
        self.img = img
        self.number = number
        self.frames: Iterator[Prepared] | None = None
        self.batches: list[list[Prepared]] = []  # prepared, and not scored yet
        self.scores: list[FrameScore] = []
        self.error: BaseException | None = None
        self.exhausted = False

    @property
    def is_finished(self) -> bool:
        return self.error is not None or (self.exhausted and not self.batches)

    @property
    def is_photograph(self) -> bool:
        return self.exhausted and not self.scores and len(self.batches) == 1 and len(self.batches[0]) == 1


class _Step:
    """The work of one thread: the next frames of a picture."""

    def __init__(self, task: _Task):
        self.task = task
        self.started: float | None = None
        self.seconds = 0.0  # that it took
        self.is_left_behind = False
        self.prepared: list[Prepared] = []
        self.error: BaseException | None = None


class _Workers:
    """Threads that do steps; one that is late is left behind, and another takes its place.

    What decodes a picture in C, or waits for a disk, heeds no signal: such a thread ends with its step, or the process.
    """

    def __init__(self, count: int, work: Callable[[_Step], None], seconds: float | None):
        self._count = count
        self._work = work
        self._seconds = seconds
        self._todo: SimpleQueue[_Step | None] = SimpleQueue()
        self._done: SimpleQueue[_Step] = SimpleQueue()
        self._pending: list[_Step] = []
        self._process: int | None = None

    @property
    def pending(self) -> int:
        return len(self._pending)

    def submit(self, step: _Step) -> None:
        if self._process is None:
            self._process = os.getpid()
            for _ in range(self._count):
                self._start()
        self._pending.append(step)
        self._todo.put(step)

    def wait(self) -> _Step:
        """Return a step that is done, or left behind."""
        if self._process != os.getpid():
            raise RuntimeError("this process was forked from one that was scoring: its threads are not here")
        step = self._done.get() if self._seconds is None else self._next_in_time(self._seconds)
        self._pending.remove(step)
        return step

    def close(self) -> None:
        if self._process is not None:
            for _ in range(self._count):
                self._todo.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._run, name="open_nsfw worker", daemon=True).start()

    def _run(self) -> None:
        while (step := self._todo.get()) is not None:
            step.started = time.monotonic()
            self._work(step)
            step.seconds = time.monotonic() - step.started
            if step.is_left_behind:
                return
            self._done.put(step)

    def _next_in_time(self, seconds: float) -> _Step:
        while True:
            wait = min((self._left(step, seconds) for step in self._pending), default=seconds)
            try:
                step = self._done.get(timeout=max(0.0, wait))
            except Empty:
                late = [step for step in self._pending if self._left(step, seconds) <= 0]
                if late:
                    return self._leave_behind(late[0], seconds)
                continue
            if not step.is_left_behind:
                if step.seconds > seconds:  # done before anybody looked at the clock
                    step.prepared, step.error = [], _late(step, seconds)
                return step
            self._todo.put(None)  # it was done in the very moment in which another thread took its place

    @staticmethod
    def _left(step: _Step, seconds: float) -> float:
        return seconds if step.started is None else step.started + seconds - time.monotonic()

    def _leave_behind(self, step: _Step, seconds: float) -> _Step:
        step.is_left_behind = True
        self._start()
        late = _Step(step.task)
        self._pending[self._pending.index(step)] = late
        late.error = _late(step, seconds)
        return late


def _late(step: _Step, seconds: float) -> PictureError:
    return PictureError(f"{picture_name(step.task.img)}: not done within {seconds:g} s")


class _Pipeline:
    """Turns of preparing and scoring, see `score_frames`."""

    def __init__(
        self,
        images: Iterator[Any],
        prepare_frames: Callable[[Any], Iterator[Prepared]],
        score_batch: Callable[[np.ndarray], np.ndarray],
        batch_size: int,
        workers: int,
        seconds: float | None,
    ):
        self._images = images
        self._prepare_frames = prepare_frames
        self._score_batch = score_batch
        self._batch_size = batch_size
        self._most_pending = 2 * workers  # a worker that is done with a picture has its next one at once
        self._workers = _Workers(workers, self._prepare_some, seconds)
        self._tasks: deque[_Task] = deque()  # taken, and not given back yet
        self._to_go_on: deque[_Task] = deque()  # animations that have more frames
        self._taken = 0
        self._has_ended = False
        self._end_error: Exception | None = None

    def results(self) -> Iterator[list[FrameScore] | PictureError]:
        turn = FIRST_TURN
        while self._tasks or not self._has_ended:
            self._prepare_turn(turn * self._batch_size)
            self._score_turn()
            while self._tasks and self._tasks[0].is_finished:
                yield _result(self._tasks.popleft())
            turn = min(2 * turn, LATER_TURNS)
        if self._end_error is not None:
            raise self._end_error

    def close(self) -> None:
        self._workers.close()

    # --- preparing

    def _prepare_turn(self, room: int) -> None:
        """Have so many frames prepared, or all that are left. Afterwards the workers rest."""
        while True:
            while self._workers.pending < min(self._most_pending, room):
                task = self._next_task()
                if task is None:
                    break
                self._workers.submit(_Step(task))
            if not self._workers.pending:
                return
            room -= self._collect(self._workers.wait())

    def _next_task(self) -> _Task | None:
        if self._to_go_on:
            return self._to_go_on.popleft()
        if self._has_ended or len(self._tasks) >= MAX_AHEAD * self._batch_size:
            return None
        try:
            img = next(self._images)
        except StopIteration:
            self._has_ended = True
            return None
        except Exception as error:  # the scores of the pictures before it come first
            self._has_ended, self._end_error = True, error
            return None
        task = _Task(img, self._taken)
        self._taken += 1
        self._tasks.append(task)
        return task

    @property
    def _frames_of_a_step(self) -> int:
        return max(2, self._batch_size)  # a photograph is known by having no second one

    def _prepare_some(self, step: _Step) -> None:
        """Prepare the next frames of a picture, on a worker's thread."""
        task = step.task
        try:
            if task.frames is None:
                task.frames = self._prepare_frames(task.img)
            step.prepared = list(islice(task.frames, self._frames_of_a_step))
        except BaseException as error:
            step.error = error

    def _collect(self, step: _Step) -> int:
        """Take over what a step has prepared, and return how much room that takes."""
        task, task.error = step.task, step.error
        task.exhausted = len(step.prepared) < self._frames_of_a_step
        if step.error is None and step.prepared:
            task.batches.append(step.prepared)
        if task.is_finished or task.exhausted:
            task.img = task.frames = None  # which may be large
        else:
            self._to_go_on.append(task)
        return max(1, len(step.prepared))

    # --- scoring

    def _score_turn(self) -> None:
        """Score what is prepared, except for photographs whose batch is not complete."""
        for number, group in groupby(self._tasks, lambda task: task.number // self._batch_size):
            if self._has_ended or self._taken >= (number + 1) * self._batch_size:
                self._score([task for task in group if task.is_photograph])
        for task in self._tasks:
            while task.error is None and task.batches and not task.is_photograph:
                self._score([task] * len(task.batches[0]))

    def _score(self, tasks: list[_Task]) -> None:
        """Score a batch: each of these photographs, or the next frames of one animation."""
        prepared = [frame for task in dict.fromkeys(tasks) for frame in task.batches.pop(0)]
        if not prepared:
            return
        scores = self._score_batch(np.stack([array for _, array in prepared])).tolist()
        for task, (seconds, _), score in zip(tasks, prepared, scores):
            task.scores.append(FrameScore(seconds, score))


def _result(task: _Task) -> list[FrameScore] | PictureError:
    if task.error is None:
        return task.scores
    if isinstance(task.error, PictureError):
        return task.error
    raise task.error


# --- Pillow's memory

_blocks_lock = ForkSafeLock()
_wanted_blocks: list[int] = []  # by each run; the first is what was set before
_block_bytes_before = 0


@contextmanager
def _kept_blocks(count: int) -> Iterator[None]:
    """Let Pillow keep a picture's memory for the next one: fresh memory takes a quarter of the time of decoding."""
    global _block_bytes_before
    with _blocks_lock:
        if not _wanted_blocks:
            _wanted_blocks.append(Image.core.get_blocks_max())
            _block_bytes_before = Image.core.get_block_size()
            Image.core.set_block_size(BLOCK_BYTES)
        _wanted_blocks.append(count)
    try:
        with _blocks_lock:
            Image.core.set_blocks_max(max(_wanted_blocks))
        yield
    finally:
        with _blocks_lock:
            _wanted_blocks.remove(count)
            Image.core.set_blocks_max(max(_wanted_blocks))
            if len(_wanted_blocks) == 1:
                Image.core.set_block_size(_block_bytes_before)
                _wanted_blocks.clear()
