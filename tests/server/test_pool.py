"""The pool of processes that decode, with processes made up here: who has a place, stands aside, or is replaced."""

import asyncio
import json
import mmap
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nsfw_server import decoders as decoders_module
from nsfw_server.decoder import BEGUN, NEXT
from nsfw_server.decoders import Decoders
from nsfw_server.limits import Limits
from nsfw_server.problem import Problem

SIZE = 8, 6
FRAME_BYTES = 4 * 3 * 8 * 6


class Process:
    """Answers with what is in `plan`: frames, None behind them, or an error."""

    plan: list = [(0.0, "frame"), None]
    made: list = []
    seconds_decoding = 0.0

    @classmethod
    async def start(cls, limits, size):
        if cls.failures:
            raise cls.failures.pop()
        cls.made.append(cls())
        return cls.made[-1]

    def __init__(self):
        self.is_running, self.is_busy, self.is_aside, self.is_ended = True, False, False, False
        self.asked, self.given_up, self.rest = [], None, iter(())
        self.when_done = lambda: None

    def ask(self, data, question, has_several):
        self.asked.append((data, json.loads(question), has_several))
        self.is_busy, self.rest = True, iter(self.plan)
        self.has_several = has_several

    async def answer(self):
        await asyncio.sleep(0)
        answer = next(self.rest)
        self.is_busy = answer is not None and self.has_several and not isinstance(answer, Exception)
        if isinstance(answer, Exception):
            self.is_running = not isinstance(answer, decoders_module._NeverBegun)
            raise answer
        return answer

    def stop(self):
        self.rest = iter([None])

    def stand_aside(self):
        self.is_aside = True

    def give_up(self, kind, message):
        self.given_up = kind, message

    def kill(self):
        self.is_running = False

    async def end(self):
        self.is_ended = True


@pytest.fixture
def processes(monkeypatch):
    made = type("Made", (Process,), {"made": [], "failures": []})
    monkeypatch.setattr(decoders_module, "_Process", made)
    monkeypatch.setattr(decoders_module, "RETRY_SECONDS", 0.0)
    return made


def run(work, count=1, **limits):
    async def in_a_pool():
        slow = []
        pool = Decoders(count, Limits(**limits), SIZE, slow.append)
        pool.observed = slow
        await pool.start()
        try:
            return await work(pool)
        finally:
            await pool.stop()

    return asyncio.run(in_a_pool())


async def all_frames(pool, frames="max", every=None):
    return [answer async for answer in pool.frames(b"data", frames, every)]


class TestPool:
    def test_some_processes_stand_by_for_those_that_are_slow(self, processes):
        async def work(pool):
            return len(processes.made)

        assert run(work, count=3, slow_pictures=2) == 5
        assert all(process.is_ended and not process.is_running for process in processes.made)

    @pytest.mark.parametrize("frames, most", [("first", 1), ("max", 77), ("mean", 77)])
    def test_a_question_says_all_that_a_process_has_to_know(self, frames, most, processes):
        async def work(pool):
            return await all_frames(pool, frames, 2.5)

        assert run(work, frames=77, seconds=4.5, slow_pictures=0) == [(0.0, "frame")]
        question = dict(bytes=4, frames=frames, every=2.5, size=[8, 6], most=most, seconds=4.5)
        assert processes.made[0].asked == [(b"data", question, frames != "first")]

    def test_no_more_decode_at_once_than_there_are_places(self, processes):
        now, most = set(), []

        async def answer(process):
            now.add(process)
            most.append(len(now))
            await asyncio.sleep(0.001)
            now.discard(process)
            process.is_busy = False
            return 0.0, "frame"

        processes.answer = answer

        async def work(pool):
            return await asyncio.gather(*(all_frames(pool, "first") for _ in range(12)))

        assert len(run(work, count=3, slow_pictures=2)) == 12 and max(most) == 3

    def test_a_process_has_the_next_picture_when_it_is_done(self, processes):
        async def work(pool):
            for _ in range(4):
                await all_frames(pool)

        run(work, slow_pictures=0)
        assert len(processes.made) == 1 and len(processes.made[0].asked) == 4

    def test_a_problem_is_that_of_its_picture_and_costs_no_process(self, processes):
        processes.plan = [(0.0, "frame"), Problem("unreadable", "is damaged")]

        async def work(pool):
            for _ in range(3):
                with pytest.raises(Problem, match="is damaged"):
                    await all_frames(pool)

        run(work, slow_pictures=0)
        assert len(processes.made) == 1

    def test_who_takes_no_more_frames_leaves_a_process_that_is_ready(self, processes):
        processes.plan = [(float(second), "frame") for second in range(100)]

        async def work(pool):
            for _ in range(3):
                frames = pool.frames(b"data", "max")
                assert await frames.__anext__() == (0.0, "frame")
                await frames.aclose()

        run(work, slow_pictures=0)
        assert len(processes.made) == 1 and len(processes.made[0].asked) == 3

    def test_one_that_was_killed_while_it_waited_is_replaced(self, processes):
        async def work(pool):
            processes.made[0].is_running = False
            return await all_frames(pool)

        assert run(work, slow_pictures=0) == [(0.0, "frame")]
        assert [len(process.asked) for process in processes.made] == [0, 1] and processes.made[0].is_ended

    def test_a_picture_that_was_never_begun_is_asked_of_each_process_once(self, processes):
        processes.plan = [decoders_module._NeverBegun("unreadable", "it has crashed")]

        async def work(pool):
            with pytest.raises(Problem, match="it has crashed"):
                await all_frames(pool)

        run(work, count=2, slow_pictures=1)
        assert sum(len(process.asked) for process in processes.made) == 3

    @pytest.mark.parametrize("seconds, kind", [(4.9, "busy"), (5.0, "overtime"), (10.0, "overtime")])
    def test_frames_that_take_too_long_are_its_own_fault_if_half_the_time_was(
        self, seconds, kind, processes, monkeypatch
    ):
        told = []

        async def work(pool):
            process = Process()
            process.seconds_decoding = seconds
            at_once = SimpleNamespace(call_later=lambda after, do: (told.append(after), do()))
            with monkeypatch.context() as patched:
                patched.setattr(asyncio, "get_running_loop", lambda: at_once)
                pool._end_of_frames(process)
            return process.given_up

        messages = {
            "busy": "the network did not take all frames within 10 s",
            "overtime": "not all frames were decoded within 10 s",
        }
        assert run(work, frames_seconds=10.0) == (kind, messages[kind]) and told == [10.0]


class TestSlowPictures:
    def test_one_stands_aside_and_another_has_its_place(self, processes):
        async def work(pool):
            slow = await pool._taken()
            pool._let_others_pass(slow)
            assert (pool.slow, pool.observed, slow.is_aside, slow.given_up) == (1, [1], True, None)
            assert await all_frames(pool) == [(0.0, "frame")]
            pool._done(slow)
            assert (pool.slow, pool.observed) == (0, [1, 0])
            await asyncio.sleep(0.01)
            assert slow.is_ended and len(processes.made) == 3, "it is politer than others for ever"
            first, second = await pool._taken(), asyncio.ensure_future(pool._taken())
            await asyncio.sleep(0.01)
            assert not second.done(), "its place was given back once"
            pool._done(first)
            pool._done(await second)

        run(work, count=1, slow_pictures=1)

    @pytest.mark.parametrize("most", [0, 1, 2])
    def test_so_many_stand_aside_and_the_next_is_given_up(self, most, processes):
        async def work(pool):
            taken = [Process() for _ in range(most + 1)]
            for process in taken:
                pool._let_others_pass(process)
            return [process.given_up for process in taken], pool.slow

        given_up, slow = run(work, slow_pictures=most)
        busy = "busy", "too many pictures that take long are being decoded"
        assert given_up == [*[None] * most, busy] and slow == most


class TestStarting:
    def test_a_service_does_not_start_without_its_processes(self, processes):
        processes.failures.append(OSError("no memory"))
        with pytest.raises(OSError, match="no memory"):
            run(None)

    def test_one_that_is_replaced_is_tried_again_until_it_starts(self, processes):
        async def work(pool):
            processes.failures += [OSError("no memory")] * 3
            processes.made[0].is_running = False
            return await all_frames(pool)

        assert run(work, slow_pictures=0) == [(0.0, "frame")] and processes.failures == []

    def test_what_starts_at_the_end_is_ended(self, processes):
        async def work(pool):
            pool._replace(await pool._taken())

        run(work, slow_pictures=0)
        assert len(processes.made) == 2 and all(it.is_ended and not it.is_running for it in processes.made)

    def test_processes_compute_with_one_thread_and_find_this_package(self, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "9")
        root = str(Path(decoders_module.__file__).parents[1])
        for path, expected in (None, root), ("/elsewhere", f"{root}{os.pathsep}/elsewhere"):
            monkeypatch.delenv("PYTHONPATH", raising=False)
            if path:
                monkeypatch.setenv("PYTHONPATH", path)
            made = decoders_module._environment()
            assert (made["OMP_NUM_THREADS"], made["OPENBLAS_NUM_THREADS"]) == ("1", "1")
            assert (made["PYTHONPATH"], made["PYTHONSAFEPATH"], made["PATH"]) == (expected, "1", os.environ["PATH"])


class TestProcess:
    """The other side of the conversation."""

    def talk(self, work, *lines, seconds=30.0, length=100, is_begun=True):
        """What comes of `work` with a process that says these lines, and what is written to it."""

        async def run():
            reader, written = asyncio.StreamReader(), []
            for line in lines:
                reader.feed_data(json.dumps(line).encode() + b"\n") if line != "end" else reader.feed_eof()
            memory = mmap.mmap(-1, FRAME_BYTES + length + 1)
            killed = []

            def kill():
                killed.append(True)
                reader.feed_eof()

            child = SimpleNamespace(stdout=reader, stdin=SimpleNamespace(write=written.append), kill=kill, pid=1)
            process = decoders_module._Process(child, memory, SIZE, seconds)
            process.ask(b"12345", b"question\n", True)
            assert memory[FRAME_BYTES : FRAME_BYTES + 5] == b"12345" and memory[-1] == 0
            memory[-1] = BEGUN if is_begun else 0
            memory[:FRAME_BYTES] = np.arange(FRAME_BYTES // 4, dtype=np.float32).tobytes()
            return await work(process), written, killed

        return asyncio.run(run())

    def test_frames_come_as_they_are_asked_for(self):
        async def work(process):
            first = await process.answer()
            assert process.is_busy and process.is_running
            return first, await process.answer(), await process.answer(), process.is_busy

        (first, second, last, is_busy), written, killed = self.talk(
            work, {"seconds": 0.0}, {"seconds": 0.5}, {"end": True}
        )
        assert (first[0], second[0], last, is_busy, killed) == (0.0, 0.5, None, False, [])
        np.testing.assert_array_equal(first[1], np.arange(3 * 6 * 8, dtype=np.float32).reshape(3, 6, 8))
        assert written == [b"question\n", NEXT, NEXT]

    def test_one_that_is_stopped_is_told_so_and_is_free(self):
        async def work(process):
            await process.answer()
            process.stop()
            return await process.answer(), process.is_busy

        assert self.talk(work, {"seconds": 0.0})[:2] == ((None, False), [b"question\n", b"stop\n"])

    def test_a_photograph_is_one_answer(self):
        async def work(process):
            process.ask(b"12345", b"again\n", False)
            return (await process.answer())[0], process.is_busy

        assert self.talk(work, {"seconds": 0.0})[:2] == ((0.0, False), [b"question\n", b"again\n"])

    def test_a_problem_is_raised_and_the_process_is_free(self):
        async def work(process):
            with pytest.raises(Problem, match="is damaged") as caught:
                await process.answer()
            return caught.value.kind, process.is_busy, process.is_running

        found, *_ = self.talk(work, {"problem": "unreadable", "message": "is damaged"})
        assert found == ("unreadable", False, True)

    @pytest.mark.parametrize("is_begun", [True, False])
    def test_one_that_crashes_tells_whether_it_was_this_picture(self, is_begun):
        async def work(process):
            with pytest.raises(Problem, match="^the process that decoded it has crashed$") as caught:
                await process.answer()
            return type(caught.value), caught.value.kind, process.is_busy, process.is_running

        kind = Problem if is_begun else decoders_module._NeverBegun
        assert self.talk(work, "end", is_begun=is_begun)[0] == (kind, "unreadable", False, False)

    def test_one_that_takes_too_long_is_killed(self):
        async def work(process):
            with pytest.raises(Problem) as caught:
                await process.answer()
            return caught.value.kind, caught.value.message, process.is_running

        found, _, killed = self.talk(work, seconds=0.05)
        assert found == ("overtime", "not decoded within 0.05 s", False) and killed == [True]

    def test_only_time_in_which_it_is_waited_for_is_its_own(self, monkeypatch):
        now = [10.0]
        monkeypatch.setattr(decoders_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

        async def work(process):
            seen = [process.seconds_decoding]
            waiting = asyncio.ensure_future(process.answer())
            await asyncio.sleep(0)
            now[0] += 2
            seen.append(process.seconds_decoding)
            process._process.stdout.feed_data(b'{"seconds": 0.0}\n')
            await waiting
            now[0] += 100
            seen.append(process.seconds_decoding)
            waiting = asyncio.ensure_future(process.answer())
            await asyncio.sleep(0)
            now[0] += 3
            seen.append(process.seconds_decoding)
            process._process.stdout.feed_data(b'{"end": true}\n')
            await waiting
            process.ask(b"12345", b"again\n", True)
            return [*seen, process.seconds_decoding]

        assert self.talk(work)[0] == [0, 2, 2, 5, 0]

    @pytest.mark.skipif(not hasattr(mmap, "MADV_REMOVE"), reason="a kernel that takes memory back")
    @pytest.mark.parametrize("size, kept", [(1 << 20, True), ((1 << 20) + 1, False)])
    def test_memory_of_a_large_picture_is_given_back(self, size, kept):
        async def work(process):
            process.ask(b"x" * size, b"again\n", False)
            process._memory[FRAME_BYTES + 4096 : FRAME_BYTES + 4100] = b"left"
            await process.answer()
            return process._memory[FRAME_BYTES + 4096 : FRAME_BYTES + 4100] == b"left"

        assert self.talk(work, {"seconds": 0.0}, length=2 << 20)[0] is kept

    def test_one_that_stands_aside_is_politer_if_it_may(self, monkeypatch):
        told = []
        monkeypatch.setattr(
            os, "setpriority", lambda *arguments: told.append(arguments) or (_ for _ in ()).throw(OSError)
        )

        async def work(process):
            process.stand_aside()
            return process.is_aside

        assert self.talk(work)[0] is True and told == [(os.PRIO_PROCESS, 1, 10)]

    def test_it_is_started_with_the_limits(self, monkeypatch):
        told = []

        async def start(*command, **options):
            told.append((command, options))
            size = os.fstat(options["pass_fds"][0]).st_size
            reader = asyncio.StreamReader()
            reader.feed_data(b'{"ready": true}\n')
            told.append(size)
            return SimpleNamespace(stdout=reader)

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        limits = Limits(picture_bytes=1000, pixels=1 << 17, decoder_bytes=1 << 30, seconds=4.0)
        process = asyncio.run(decoders_module._Process.start(limits, SIZE))
        [(command, options), size] = told
        length = FRAME_BYTES + 1000 + 1
        [number] = options["pass_fds"]
        assert command[:2] == (sys.executable, "-c") and size == length == len(process._memory)
        assert command[3:] == (str(number), str(length), str(1 << 17), str(1 << 30))
        assert (
            options["stdin"] == options["stdout"] == asyncio.subprocess.PIPE and options["env"]["PYTHONSAFEPATH"] == "1"
        )
        with pytest.raises(OSError):
            os.fstat(number)
