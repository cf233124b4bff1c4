"""Processes that decode pictures side by side: one that takes too long is killed, and others pass one that is slow.

A thread that decodes a picture in C cannot be ended, and many strangers could leave many behind. A process can; it has
no lock in common with the network; and what makes a decoder crash ends nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import mmap
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np

from nsfw_server.decoder import BEGUN, NEXT
from nsfw_server.limits import Limits
from nsfw_server.problem import Problem

_PROGRAM = "from nsfw_server.decoder import main; main()"
#: How much politer than others a process is whose picture stands aside.
SLOW_NICENESS = 10
#: Seconds until it is tried again to start one.
RETRY_SECONDS = 1.0
#: Bytes of a picture that a process may keep until the next one.
KEPT_BYTES = 1 << 20


class Decoders:
    """A pool of processes.

    Parameters
    ----------
    count : int
        How many decode at once, besides those whose pictures stand aside.
    limits : Limits
    input_size : (int, int)
        Width and height of the network's input.
    observe : callable, optional
        Told how many pictures stand aside, whenever that changes.

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

    def __init__(
        self,
        count: int,
        limits: Limits,
        input_size: tuple[int, int],
        observe: Callable[[int], None] = lambda slow: None,
    ):
        self._limits, self._input_size, self._observe = limits, input_size, observe
        self._places = asyncio.Semaphore(count)
        self._count = count + limits.slow_pictures
        self._free: asyncio.LifoQueue[_Process] = asyncio.LifoQueue()
        self._all: set[_Process] = set()
        self._slow = 0
        self._background: set[asyncio.Task[None]] = set()
        self._ends = False

    async def start(self) -> None:
        """Start all processes; some of them stand by, for the places of those that are slow.

        Raises
        ------
        OSError
            If one cannot be started.
        """
        await asyncio.gather(*(self._add(patience=0) for _ in range(self._count)))

    async def stop(self) -> None:
        """End all processes, whatever they are doing."""
        self._ends = True
        for process in self._all:
            process.kill()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(process.end() for process in self._all))
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
            Seconds from one frame to the next.

        Yields
        ------
        seconds : float
        frame : ndarray of float32, shape (3, height, width)

        Raises
        ------
        Problem
            If it is no picture, or takes too long.
        """
        question = self._question(len(data), frames, every)
        for attempts_left in reversed(range(self._count)):
            try:
                async with contextlib.aclosing(self._answers(data, question, frames != "first")) as answers:
                    async for answer in answers:
                        yield answer
                return
            except _NeverBegun:  # the process was killed, and not by this picture
                if not attempts_left:
                    raise

    async def _answers(
        self, data: bytes, question: bytes, has_several: bool
    ) -> AsyncGenerator[tuple[float, np.ndarray], None]:
        process = await self._taken()
        process.ask(data, question, has_several)
        timer = asyncio.get_running_loop().call_later(self._limits.quick_seconds, self._let_others_pass, process)
        process.when_done = timer.cancel
        if not has_several:
            try:
                answer = await process.answer()
            finally:  # another picture may have it, whatever becomes of this one
                self._take_back(process)
            assert answer is not None  # or there would be a Problem
            yield answer
            return
        end = self._end_of_frames(process)
        try:
            while (answer := await process.answer()) is not None:
                yield answer
        finally:
            end.cancel()
            self._take_back(process)

    def _end_of_frames(self, process: _Process) -> asyncio.TimerHandle:
        seconds = self._limits.frames_seconds

        def give_up() -> None:
            if process.seconds_decoding >= seconds / 2:
                process.give_up("overtime", f"not all frames were decoded within {seconds:g} s")
            else:  # no fault of the picture's
                process.give_up("busy", f"the network did not take all frames within {seconds:g} s")

        return asyncio.get_running_loop().call_later(seconds, give_up)

    async def _taken(self) -> _Process:
        await self._places.acquire()
        try:
            while not (process := await self._free.get()).is_running:  # somebody else has killed it
                self._replace(process)
        except BaseException:
            self._places.release()
            raise
        return process

    def _question(self, size: int, frames: str, every: float | None) -> bytes:
        most = 1 if frames == "first" else self._limits.frames
        asked = dict(bytes=size, frames=frames, every=every, size=self._input_size, most=most)
        return json.dumps({**asked, "seconds": self._limits.seconds}).encode() + b"\n"

    def _let_others_pass(self, process: _Process) -> None:
        if self._slow >= self._limits.slow_pictures:
            process.give_up("busy", "too many pictures that take long are being decoded")
            return
        self._count_slow(1)
        process.stand_aside()
        self._places.release()

    def _count_slow(self, more: int) -> None:
        self._slow += more
        self._observe(self._slow)

    def _take_back(self, process: _Process) -> None:
        """Let a process decode the next picture as soon as it is done with this one."""
        if process.is_busy:
            self._in_background(self._finish(process))
        else:
            self._done(process)

    async def _finish(self, process: _Process) -> None:
        """Wait for the end of what nobody waits for any more: a new process would cost more than most pictures."""
        process.stop()
        with contextlib.suppress(Problem):
            while process.is_busy:
                await process.answer()
        self._done(process)

    def _done(self, process: _Process) -> None:
        process.when_done()
        if process.is_aside:
            self._count_slow(-1)
        else:
            self._places.release()
        if process.is_running and not process.is_aside:
            self._free.put_nowait(process)
        else:
            self._replace(process)

    def _replace(self, process: _Process) -> None:
        process.kill()
        self._all.discard(process)
        self._in_background(process.end())
        if not self._ends:
            self._in_background(self._add())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _add(self, patience: float = math.inf) -> None:
        began = time.monotonic()
        while True:
            try:
                process = await _Process.start(self._limits, self._input_size)
                break
            except OSError:  # no memory for it, or no more processes
                if time.monotonic() - began >= patience or self._ends:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
        self._all.add(process)
        if self._ends:
            process.kill()
        self._free.put_nowait(process)


class _NeverBegun(Problem):
    """The process died before it read the question: another may answer it."""


class _Process:
    """One of the processes, and the memory that it shares with this one."""

    def __init__(self, process: asyncio.subprocess.Process, memory: mmap.mmap, size: tuple[int, int], seconds: float):
        self._process, self._memory, self._seconds = process, memory, seconds
        self._shape = 3, size[1], size[0]
        self._frame_bytes = 4 * 3 * size[0] * size[1]
        self._why: Problem | None = None
        self._has_several = self._is_stopped = self._awaits_word = False
        self._asked_at: float | None = None
        self._seconds_decoding = 0.0
        self.is_aside = self.is_busy = False
        self.when_done: Callable[[], None] = lambda: None

    @classmethod
    async def start(cls, limits: Limits, size: tuple[int, int]) -> _Process:
        number = os.memfd_create("open_nsfw picture")
        try:
            length = 4 * 3 * size[0] * size[1] + limits.picture_bytes + 1
            os.ftruncate(number, length)  # takes no memory before it is written to
            memory = mmap.mmap(number, length)
            arguments = map(str, (number, length, limits.pixels, limits.decoder_bytes))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PROGRAM, *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(number,),
                env=_environment(),
            )
        finally:
            os.close(number)
        started = cls(process, memory, size, limits.seconds)
        assert process.stdout is not None
        if not await process.stdout.readline():  # what it imports takes no time of a picture's
            await started.end()
            raise ChildProcessError(f"a process that decodes ended with code {process.returncode} before it began")
        return started

    @property
    def is_running(self) -> bool:
        assert self._process.stdout is not None
        return self._why is None and not self._process.stdout.at_eof()

    @property
    def seconds_decoding(self) -> float:
        """For how long this picture's frames were waited for: the rest of the time they waited for the network."""
        return self._seconds_decoding + (time.monotonic() - self._asked_at if self._asked_at is not None else 0.0)

    def ask(self, data: bytes, question: bytes, has_several: bool) -> None:
        self._memory[self._frame_bytes : self._frame_bytes + len(data)] = data
        self._memory[-1] = 0
        self._has_several, self._is_stopped, self._awaits_word, self.is_busy = has_several, False, False, True
        self._write(question)
        self._seconds_decoding = 0.0
        self._picture_bytes = len(data)

    async def answer(self) -> tuple[float, np.ndarray] | None:
        """The next frame; None behind the last."""
        if self._awaits_word:
            self._awaits_word = False
            self._write(NEXT if not self._is_stopped else b"stop\n")
            if self._is_stopped:
                self._done()
                return None
        timer = asyncio.get_running_loop().call_later(
            self._seconds, self.give_up, "overtime", f"not decoded within {self._seconds:g} s"
        )
        assert self._process.stdout is not None
        self._asked_at = time.monotonic()
        try:
            head = json.loads(await self._process.stdout.readuntil(b"\n"))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self._why = self._why or self._crash()
            self._done()
            raise self._why from error
        finally:
            timer.cancel()
            self._seconds_decoding, self._asked_at = self.seconds_decoding, None
        if "problem" in head:
            self._done()
            raise Problem(head["problem"], head["message"])
        self._awaits_word = self._has_several and "seconds" in head
        if not self._awaits_word:
            self._done()
        if "seconds" not in head:
            return None
        return head["seconds"], self._frame()

    def _crash(self) -> Problem:
        kind = Problem if self._memory[-1] == BEGUN else _NeverBegun
        return kind("unreadable", "the process that decoded it has crashed")

    def _frame(self) -> np.ndarray:
        return np.frombuffer(self._memory[: self._frame_bytes], np.float32).reshape(self._shape)

    def _done(self) -> None:
        self.is_busy = False
        if self._picture_bytes > KEPT_BYTES and hasattr(mmap, "MADV_REMOVE"):
            self._memory.madvise(mmap.MADV_REMOVE)

    def stop(self) -> None:
        self._is_stopped = True

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
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        self._memory.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)


def _environment() -> dict[str, str]:
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}
