"""From an upload to its score: the decoders, the network's thread, and how much they have accepted."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args

import numpy as np

from nsfw_model.logit import score_of
from nsfw_model.preprocess import RESIZED, centre, prepare
from nsfw_scale.facts import TOLERANCES, known_picture
from nsfw_scale.frames import FrameScore, summary
from nsfw_scale.pipeline import default_workers
from nsfw_server.batcher import Batcher
from nsfw_server.decoders import Decoders
from nsfw_server.limits import Limits
from nsfw_server.metrics import Metrics
from nsfw_server.problem import Problem
from nsfw_server.schemas import Error, Explanation, FileScore, Precision, ScoreOptions
from nsfw_server.uploads import Upload

#: How many batches of pictures are decoded, or being decoded, before the network.
AHEAD = 4
#: What `nsfw_scale.facts.known_picture` scores, by the hash of weights and architecture. With others it is what it
#: scores at the start.
KNOWN_SCORES = {"7f281a34583c": 0.49988}
#: What the batcher calls the network that explains.
EXPLANATION = "explanation"
UNSAFE, SAFE, FAILED = "unsafe", "safe", "failed"


class Service:
    """What scores pictures of many clients.

    Parameters
    ----------
    limits : Limits
    metrics : Metrics

    Attributes
    ----------
    limits : Limits
    metrics : Metrics
    """

    def __init__(self, limits: Limits, metrics: Metrics):
        self.limits, self.metrics = limits, metrics
        self._accepted = self._bytes = 0
        self._is_ready = False

    async def start(self) -> None:
        """Compile the networks, start threads and processes, and score the known picture.

        Raises
        ------
        FileNotFoundError, nsfw_model.ModelFileError
            As `open_nsfw.nsfw_score`.
        """
        self._scorers = await asyncio.to_thread(_scorers)
        float32 = self._scorers["float32"]
        self.input_size: tuple[int, int] = float32.input_size
        self._known = prepare(known_picture(), self.input_size)
        self._decoders = Decoders(
            self.limits.decoders or default_workers(), self.limits, self.input_size, self.metrics.slow.set
        )
        self._room = asyncio.Semaphore(AHEAD * self.limits.batch)
        networks: dict[str, Any] = {name: partial(_score_list, scorer) for name, scorer in self._scorers.items()}
        self._batcher = Batcher(
            {**networks, EXPLANATION: partial(_explain_list, float32)},
            self.limits.batch,
            self.limits.batch_milliseconds / 1e3,
            self.metrics.observe_batch,
        )
        self._batcher.start()
        self._can_explain = await self._warm_up()
        await self._decoders.start()
        self.model = await asyncio.to_thread(partial(_model, self.input_size, list(self._scorers)))
        self._known_score = KNOWN_SCORES.get(self.model["model"]) or await self._known_picture_score()
        self._is_ready = True

    async def _warm_up(self) -> bool:
        """Compile the networks, and say whether one explains.

        All on the batcher's thread: each thread that has run a network keeps OpenMP's threads for it, and where there
        are more of these than cores, libgomp lets none wait awake, which takes half as long again for each picture.
        """
        from nsfw_experiments.explanation.activation import NoLinearEndError

        blank = np.zeros((3, *self.input_size[::-1]), np.float32)
        for name in self._scorers:
            await asyncio.wrap_future(self._batcher.submit(name, blank))
        try:
            await asyncio.wrap_future(self._batcher.submit(EXPLANATION, blank))
        except NoLinearEndError:
            return False
        return True

    async def stop(self) -> None:
        """End threads and processes."""
        self._is_ready = False
        await self._decoders.stop()
        await asyncio.to_thread(self._batcher.stop)

    @property
    def is_ready(self) -> bool:
        """Whether it has started, and is not about to end."""
        return self._is_ready

    @contextmanager
    def accepted(self, pictures: int = 1) -> Iterator[None]:
        """Count pictures while they are worked on.

        Parameters
        ----------
        pictures : int

        Yields
        ------
        None

        Raises
        ------
        Problem
            If the queue is full.
        """
        if self._accepted + pictures > self.limits.queue:
            raise Problem("busy", f"{self._accepted} pictures are being scored, expected at most {self.limits.queue}")
        self._accepted += pictures
        self.metrics.queue.set(self._accepted)
        try:
            yield
        finally:
            self._accepted -= pictures
            self.metrics.queue.set(self._accepted)

    @contextmanager
    def held_bytes(self) -> Iterator[Any]:
        """Count the bytes of a request until it is answered.

        Yields
        ------
        callable
            To be told of more bytes; it raises Problem if they are too many in all.
        """
        held = 0

        def admit(size: int) -> None:
            nonlocal held
            if self._bytes + size > self.limits.pending_bytes:
                raise Problem(
                    "busy", f"requests hold {self._bytes} bytes, expected {self.limits.pending_bytes} at most"
                )
            self._bytes += size
            held += size

        try:
            yield admit
        finally:
            self._bytes -= held

    def check_precision(self, precision: str) -> None:
        """Check that the processor has it.

        Parameters
        ----------
        precision : str

        Raises
        ------
        Problem
        """
        if precision not in self._scorers:
            raise Problem("unsupported", f"precision: this processor, or the engine, has no {precision}")

    async def score(self, upload: Upload, options: ScoreOptions) -> FileScore:
        """Score a picture; what is wrong with it is part of the answer.

        Parameters
        ----------
        upload : Upload
        options : ScoreOptions

        Returns
        -------
        FileScore
        """
        began = time.perf_counter()
        try:
            scores = await self._frame_scores(upload.data, options)
            score = summary(scores, options.frames)
            label = UNSAFE if score >= options.threshold else SAFE
            several = dict(frames=len(scores), worst_second=max(scores, key=lambda frame: frame.score).seconds)
            found: dict[str, Any] = {"score": score, "label": label, **(several if len(scores) > 1 else {})}
        except Problem as problem:
            self.metrics.errors.labels(problem.kind).inc()
            found = {"score": None, "label": FAILED, "error": Error(kind=problem.kind, message=problem.message)}
        seconds = time.perf_counter() - began
        self.metrics.pictures.labels(found["label"]).inc()
        self.metrics.picture_seconds.observe(seconds)
        return FileScore(file=upload.name, milliseconds=round(1e3 * seconds, 2), **found)

    async def _frame_scores(self, data: bytes, options: ScoreOptions) -> list[FrameScore]:
        pending: list[tuple[float, asyncio.Future[float]]] = []
        scores: list[FrameScore] = []
        is_single = options.frames == "first"
        async with self._room:
            self._batcher.expect(1)
            coming = 1
            try:
                async for seconds, frame in self._decoders.frames(data, options.frames, options.every):
                    submitted = self._batcher.submit(options.precision, frame, came=int(is_single))
                    coming -= is_single
                    pending.append((seconds, asyncio.wrap_future(submitted)))
                    if len(pending) >= self.limits.batch:
                        scores += [FrameScore(second, await score) for second, score in pending]
                        pending = []
            finally:
                if coming:
                    self._batcher.expect(-1)
            return scores + [FrameScore(second, await score) for second, score in pending]

    async def explain(self, upload: Upload) -> Explanation:
        """Say where the score of a picture, or of its first frame, comes from.

        Parameters
        ----------
        upload : Upload

        Returns
        -------
        Explanation

        Raises
        ------
        Problem
            If it cannot be read, or the network has no class activation map.
        """
        if not self._can_explain:
            raise Problem("unsupported", "this network has no class activation map")
        async with self._room:
            async for _, frame in self._decoders.frames(upload.data, "first"):
                cells, logit, bias = await asyncio.wrap_future(self._batcher.submit(EXPLANATION, frame))
        return Explanation(
            model=self.model["model"],
            score=score_of(logit),
            logit=logit,
            bias=bias,
            cells=cells.tolist(),
            seen=list(seen_part(self.input_size)),
        )

    async def check(self) -> None:
        """Score the known picture, before all that waits.

        Raises
        ------
        Problem
            If it is not scored as it should be.
        """
        if not self._is_ready:
            raise Problem("not_ready", "starting, or about to end")
        score = await self._known_picture_score()
        if abs(score - self._known_score) > TOLERANCES["float32"]:
            raise Problem("not_ready", f"the known picture scores {score}, expected {self._known_score}")

    async def _known_picture_score(self) -> float:
        return await asyncio.wrap_future(self._batcher.submit("float32", self._known, first=True))


def _score_list(scorer: Any, x: np.ndarray) -> list[float]:
    return scorer.scores(x).tolist()


def _explain_list(scorer: Any, x: np.ndarray) -> list[Any]:
    from nsfw_experiments.explanation.activation import class_activation_map

    return [class_activation_map(scorer, each) for each in x]


def seen_part(input_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Say which part of a picture the network sees.

    Parameters
    ----------
    input_size : (int, int)
        Width and height of its input.

    Returns
    -------
    left, top, right, bottom : float
        In shares of the picture's width and height.

    Examples
    --------
    >>> seen_part((224, 224))
    (0.0625, 0.0625, 0.9375, 0.9375)
    """
    rows, columns = centre(input_size)
    return (
        columns.start / RESIZED[0],
        rows.start / RESIZED[1],
        columns.stop / RESIZED[0],
        rows.stop / RESIZED[1],
    )


def _scorers() -> dict[str, Any]:
    """The networks that this processor can run."""
    from open_nsfw import get_scorer

    scorers = {}
    for precision in get_args(Precision):
        try:
            scorers[precision] = get_scorer(precision=precision)
        except NotImplementedError:
            continue
    return scorers


def _model(input_size: tuple[int, int], precisions: list[str]) -> dict[str, Any]:
    """What `GET /v1/model` tells, but for the limits."""
    from nsfw_model.picture import FORMATS, PLUGINS
    from open_nsfw import __version__, model_files
    from theano_cpu.onednn import info

    weights, architecture = (hashlib.sha256(path.read_bytes()).hexdigest() for path in model_files())
    facts = info()
    return {
        "model": hashlib.sha256(f"{weights} {architecture}".encode()).hexdigest()[:12],
        "version": __version__,
        "weights": weights,
        "architecture": architecture,
        "input_size": input_size,
        "precisions": precisions,
        "engine": f"oneDNN {facts['version']}" if facts["engine"] == "onednn" else str(facts["engine"]),
        "formats": [*FORMATS, *(name for name, _ in PLUGINS.values())],
    }
