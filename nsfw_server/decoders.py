"""Processes that decode pictures side by side: one that takes too long is killed, and others pass one that is slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from nsfw_server.limits import Limits
from nsfw_server.problem import Problem

_PROGRAM = "from nsfw_server.decoder import main; main()"
#: How much politer than others a process is whose picture stands aside.
SLOW_NICENESS = 10
#: Bytes of a pipe's buffer, where the system allows them.
PIPE_BYTES = 1 << 20


class Decoders:
    """A pool of processes.

    Parameters
    ----------
    count : int
    limits : Limits
    input_size : (int, int)
        Width and height of the network's input.

    Examples
    --------
    >>> async def first_frame(data):
    ...     decoders = Decoders(1, Limits(), (224, 224))
    ...     await decoders.start()
    ...     async for seconds, frame in decoders.frames(data, "first"):
    ...         await decoders.stop()
    ...         return frame.shape
    >>> with open("img/coffee.jpg", "rb") as file:
    ...     asyncio.run(first_frame(file.read()))
    (3, 224, 224)
    """

    def __init__(self, count: int, limits: Limits, input_size: tuple[int, int]):
        self._count, self._limits, self._input_size = count, limits, input_size
        self._free: asyncio.LifoQueue[_Process] = asyncio.LifoQueue()
        self._all: set[_Process] = set()
        self._slow = 0
        self._starting: set[asyncio.Task] = set()

    async def start(self) -> None:
        """Start all processes."""
        await asyncio.gather(*(self._add() for _ in range(self._count)))

    async def stop(self) -> None:
        """End all processes, whatever they are doing."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for process in list(self._all):
            await process.end()
        self._all.clear()

    @property
    def slow(self) -> int:
        """How many pictures stand aside."""
        return self._slow

    async def frames(
        self, data: bytes, frames: str, every: float | None = None
    ) -> AsyncIterator[tuple[float, np.ndarray]]:
        """Decode and prepare the frames of a picture.

        Parameters
        ----------
        data : bytes
        frames : {"first", "max", "mean"}
        every : float, optional

        Yields
        ------
        seconds : float
        frame : ndarray of float32, shape (3, height, width)

        Raises
        ------
        Problem
            If it is no picture, or takes too long.
        """
        process = await self._free.get()
        timer = asyncio.get_running_loop().call_later(self._limits.quick_seconds, self._let_others_pass, process)
        whole = False
        try:
            await process.ask(data, self._question(len(data), frames, every))
            while (answer := await process.answer(self._limits.seconds, self._input_size)) is not None:
                yield answer
            whole = True
        except Problem as problem:
            whole = problem.kind not in ("overtime", "busy", "internal")
            raise
        finally:
            timer.cancel()
            self._take_back(process, whole)

    def _question(self, size: int, frames: str, every: float | None) -> bytes:
        most = 1 if frames == "first" else self._limits.frames
        asked = dict(bytes=size, frames=frames, every=every, size=self._input_size, most=most)
        return json.dumps({**asked, "seconds": self._limits.seconds}).encode() + b"\n"

    def _let_others_pass(self, process: _Process) -> None:
        if self._slow >= self._limits.slow_pictures:
            process.give_up("busy", "too many pictures that take long are being decoded")
            return
        self._slow += 1
        process.stand_aside()
        self._replace()

    def _take_back(self, process: _Process, whole: bool) -> None:
        if process.is_aside:
            self._slow -= 1
        if whole and not process.is_aside and process.is_running:
            self._free.put_nowait(process)
            return
        process.kill()
        self._all.discard(process)
        if not process.is_aside:
            self._replace()

    def _replace(self) -> None:
        task = asyncio.ensure_future(self._add())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _add(self) -> None:
        process = await _Process.start(self._limits.pixels)
        self._all.add(process)
        self._free.put_nowait(process)


class _Process:
    """One of the processes."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self._why: Problem | None = None
        self.is_aside = False

    @classmethod
    async def start(cls, pixels: int) -> _Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PROGRAM,
            str(pixels),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
            limit=PIPE_BYTES,
        )
        for stream in (process.stdin, process.stdout):
            _widen(stream)
        return cls(process)

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def ask(self, data: bytes, question: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(question)
        self._process.stdin.write(data)
        with contextlib.suppress(ConnectionError):  # it has ended, which the answer tells
            await self._process.stdin.drain()

    async def answer(self, seconds: float, size: tuple[int, int]) -> tuple[float, np.ndarray] | None:
        """The next frame; None behind the last."""
        timer = asyncio.get_running_loop().call_later(
            seconds, self.give_up, "overtime", f"not decoded within {seconds:g} s"
        )
        output = self._process.stdout
        assert output is not None
        try:
            head = json.loads(await output.readuntil(b"\n"))
            if "problem" in head:
                raise Problem(head["problem"], head["message"])
            if "seconds" not in head:
                return None
            frame = np.frombuffer(await output.readexactly(4 * 3 * size[0] * size[1]), np.float32)
            return head["seconds"], frame.reshape(3, size[1], size[0])
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise self._why or Problem("unreadable", "the process that decoded it has crashed") from error
        finally:
            timer.cancel()

    def stand_aside(self) -> None:
        self.is_aside = True
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, SLOW_NICENESS)

    def give_up(self, kind: str, message: str) -> None:
        self._why = Problem(kind, message)
        self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        self.kill()
        await self._process.wait()


def _environment() -> dict[str, str]:
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}


def _widen(stream: asyncio.StreamWriter | asyncio.StreamReader | None) -> None:
    """Give a pipe room for a whole picture, so that both sides need not take turns."""
    transport = getattr(stream, "_transport", None)
    pipe = transport.get_extra_info("pipe") if transport else None
    if pipe is None or not hasattr(os, "set_blocking"):
        return
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
