"""Processes that decode: what is slow or hostile holds nobody up."""

import asyncio
import io
import json
import mmap
import os
import signal
from pathlib import Path

import pytest
from made_pictures import encoded
from PIL import Image

from nsfw_server import decoder
from nsfw_server.decoders import Decoders
from nsfw_server.limits import Limits
from nsfw_server.problem import Problem

SMALL = encoded(Image.new("RGB", (40, 30), "red"), "JPEG")


@pytest.fixture(scope="module")
def slow():
    """A picture that takes a second and more."""
    return encoded(Image.new("RGB", (9400, 9400)), "PNG")


#: How many pictures stood aside, each time that this changed.
seen_slow = []


def run(work, count=1, **limits):
    """What comes of `work` with a pool of its own; none of its processes is left."""

    async def in_a_pool():
        decoders = Decoders(count, Limits(**limits), (224, 224), seen_slow.append)
        await decoders.start()
        try:
            return await work(decoders)
        finally:
            await decoders.stop()

    seen_slow.clear()
    before = children()
    result = asyncio.run(in_a_pool())
    assert children() <= before
    return result


def children():
    """Those that decode: other tests have services that run."""
    return {int(number) for number in os.listdir("/proc") if number.isdigit() and is_child(number)}


def kill_all():
    for number in children():
        os.kill(number, signal.SIGKILL)


def seconds_used():
    """What all of them have computed."""
    states = [Path("/proc", str(number), "stat").read_text().rpartition(")")[2].split() for number in children()]
    return sum(int(state[11]) + int(state[12]) for state in states) / os.sysconf("SC_CLK_TCK")


def is_child(number):
    process = Path("/proc", number)
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == os.getpid() and b"nsfw_server.decoder" in (process / "cmdline").read_bytes()
    except OSError:
        return False


async def decode(decoders, data, frames="first"):
    return [seconds async for seconds, _ in decoders.frames(data, frames)]


def test_a_picture_that_takes_too_long_is_given_up_and_its_process_replaced(slow):
    async def work(decoders):
        with pytest.raises(Problem) as caught:
            await decode(decoders, slow)
        return caught.value.kind, await decode(decoders, SMALL)

    assert run(work, seconds=0.25, slow_pictures=0, quick_seconds=60.0) == ("overtime", [0.0])


@pytest.mark.parametrize(
    "size, seconds_of_the_network, kind, message",
    [
        ((2400, 1800), 0.0, "overtime", "not all frames were decoded within 0.5 s"),
        ((40, 30), 0.05, "busy", "the network did not take all frames within 0.5 s"),
    ],
)
def test_all_frames_together_have_a_limit_of_time_too(size, seconds_of_the_network, kind, message):
    pages = [Image.new("RGB", size, (shade, 0, 0)) for shade in range(50)]
    animation = encoded(pages[0], "GIF", save_all=True, append_images=pages[1:])

    async def work(decoders):
        seen = []
        with pytest.raises(Problem) as caught:
            async for seconds, _ in decoders.frames(animation, "max"):
                seen.append(seconds)
                await asyncio.sleep(seconds_of_the_network)
        assert len(seen) < 50
        assert await decode(decoders, SMALL) == [0.0]
        return caught.value.kind, caught.value.message

    assert run(work, frames_seconds=0.5, quick_seconds=60.0, seconds=60.0) == (kind, message)


@pytest.mark.parametrize(
    "mode, format, options, message",
    [
        ("RGBA", "PNG", {"compress_level": 1}, "there is not enough memory for it"),
        ("RGB", "JPEG", {"progressive": True}, ""),  # libjpeg says something else
    ],
)
def test_a_picture_that_needs_too_much_memory_is_refused_and_its_process_goes_on(mode, format, options, message):
    large = encoded(Image.new(mode, (9400, 9400)), format, **options)

    async def work(decoders):
        before = children()
        with pytest.raises(Problem) as caught:
            await decode(decoders, large)
        assert await decode(decoders, SMALL) == [0.0]
        return caught.value, children() == before

    problem, is_the_same = run(work, decoder_bytes=512 << 20, quick_seconds=60.0, seconds=60.0)
    assert problem.kind == "unreadable" and is_the_same
    assert problem.message.startswith(f"cannot be read as a picture: {message}")


def test_others_pass_a_slow_picture(slow):
    async def work(decoders):
        late = asyncio.ensure_future(decode(decoders, slow))
        while not decoders.slow:
            await asyncio.sleep(0.01)
        await asyncio.gather(*(decode(decoders, SMALL) for _ in range(5)))
        assert not late.done()
        return await late, decoders.slow

    assert run(work, seconds=100.0, quick_seconds=0.2, slow_pictures=3) == ([0.0], 0)
    assert seen_slow == [1, 0]


def test_beyond_so_many_slow_pictures_the_next_are_given_up(slow):
    async def work(decoders):
        found = await asyncio.gather(*(decode(decoders, slow) for _ in range(3)), return_exceptions=True)
        kinds = sorted(getattr(result, "kind", "scored") for result in found)
        return kinds, await decode(decoders, SMALL)

    assert run(work, 3, seconds=100.0, quick_seconds=0.2, slow_pictures=1) == (["busy", "busy", "scored"], [0.0])


def test_a_process_that_dies_is_replaced_and_only_its_picture_is_lost(slow):
    async def work(decoders):
        idle = seconds_used()
        lost = asyncio.ensure_future(decode(decoders, slow))
        while seconds_used() < idle + 0.05:
            await asyncio.sleep(0.01)
        kill_all()
        with pytest.raises(Problem, match="crashed"):
            await lost
        return await asyncio.gather(*(decode(decoders, SMALL) for _ in range(3)))

    assert run(work, quick_seconds=60.0, seconds=100.0) == [[0.0]] * 3


def test_a_process_that_dies_while_it_waits_costs_no_picture():
    async def work(decoders):
        kill_all()
        return await asyncio.gather(*(decode(decoders, SMALL, frames) for frames in ("first", "max", "mean")))

    assert run(work, quick_seconds=60.0, seconds=100.0) == [[0.0]] * 3


def test_a_client_that_goes_costs_no_process(slow):
    async def work(decoders):
        before = children()
        gone = asyncio.ensure_future(decode(decoders, slow))
        await asyncio.sleep(0.1)
        gone.cancel()
        assert await decode(decoders, SMALL) == [0.0]
        return children() == before

    assert run(work, quick_seconds=60.0, seconds=100.0)


def test_a_client_that_goes_amid_an_animation_costs_no_process():
    pages = [Image.new("RGB", (40, 30), (shade, 0, 0)) for shade in range(50)]
    animation = encoded(pages[0], "GIF", save_all=True, append_images=pages[1:])

    async def work(decoders):
        before = children()
        frames = decoders.frames(animation, "max")
        assert (await frames.__anext__())[0] == 0.0
        await frames.aclose()
        assert len(await decode(decoders, animation, "max")) == 50
        return children() == before

    assert run(work, quick_seconds=60.0, seconds=100.0)


def test_frames_have_the_shape_of_the_networks_input():
    async def shapes():
        decoders = Decoders(1, Limits(), (32, 24))
        await decoders.start()
        try:
            return [frame.shape async for _, frame in decoders.frames(SMALL, "max")]
        finally:
            await decoders.stop()

    assert asyncio.run(shapes()) == [(3, 24, 32)]


def test_memory_shared_with_a_process_is_open_once_and_closed_with_it():
    def is_shared(descriptor):
        try:
            return "memfd:open_nsfw picture" in os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            return False

    def count():
        return sum(map(is_shared, os.listdir("/proc/self/fd")))

    before = count()

    async def work(decoders):
        for _ in range(3):
            kill_all()
            await decode(decoders, SMALL)
        return count() - before <= len(children())

    assert run(work, quick_seconds=60.0, seconds=100.0) and count() == before


@pytest.mark.parametrize("place, damage", [
    (slice(8, 28), bytes(20)),  # of which libtiff complains
    (b"\x15\x01\x03\x00\x01\x00\x00\x00\x03", b"\x15\x01\x03\x00\x01\x00\x00\x00\xff"),  # of which Pillow does
], ids=["codes", "samples"])  # fmt: skip
def test_what_libraries_say_of_a_picture_is_no_line_of_the_log(capfd, place, damage):
    damaged = bytearray(encoded(Image.new("RGB", (40, 30), "red"), "TIFF", compression="tiff_lzw"))
    if isinstance(place, bytes):
        place = slice(damaged.index(place), damaged.index(place) + len(place))
    damaged[place] = damage

    async def work(decoders):
        with pytest.raises(Problem):
            await decode(decoders, bytes(damaged))

    run(work, quick_seconds=60.0, seconds=100.0)
    assert capfd.readouterr() == ("", "")


def test_each_frame_has_its_time_and_waiting_has_none(monkeypatch):
    pages = [Image.new("RGB", (40, 30), (shade, 0, 0)) for shade in range(3)]
    animation = encoded(pages[0], "GIF", save_all=True, append_images=pages[1:])
    allowed = []
    monkeypatch.setattr(decoder, "_allow", allowed.append)
    size = 4 * 3 * 8 * 8
    memory = mmap.mmap(-1, size + len(animation) + 1)
    memory[size:-1] = animation
    asked = {"bytes": len(animation), "frames": "max", "every": None, "size": [8, 8], "most": 9, "seconds": 1.0}
    answers = io.BytesIO()
    decoder.serve(memory, io.BytesIO(json.dumps(asked).encode() + b"\n" + 3 * decoder.NEXT), answers)
    assert answers.getvalue().count(b"seconds") == 3
    assert allowed == 4 * [1.0 + decoder.GRACE, 0]


def test_ends_at_once_while_pictures_are_decoded(slow):
    async def work(decoders):
        asyncio.ensure_future(decode(decoders, slow)).add_done_callback(lambda task: task.exception())
        await asyncio.sleep(0.1)

    run(work, quick_seconds=60.0, seconds=100.0)
