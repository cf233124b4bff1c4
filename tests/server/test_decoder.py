"""The conversation of a process that decodes: a frame each time that it is told to go on."""

import io
import json
import mmap
import os
import signal

import numpy as np
import pytest
from made_pictures import encoded
from PIL import Image

from nsfw_model.preprocess import prepare
from nsfw_server import decoder

SIZE = 8, 6
FRAME_BYTES = 4 * 3 * 8 * 6
GREYS = [Image.new("RGB", (40, 30), (grey, grey, grey)) for grey in (10, 100, 200)]
ANIMATION = encoded(GREYS[0], "GIF", save_all=True, append_images=GREYS[1:], duration=500)
STILL = encoded(GREYS[1], "PNG")


class Answers(io.BytesIO):
    """Answers, and the memory as it was when each was written."""

    def __init__(self, memory):
        super().__init__()
        self.memory, self.frames = memory, []

    def flush(self):
        self.frames.append(np.frombuffer(self.memory[:FRAME_BYTES], np.float32).reshape(3, 6, 8))


@pytest.fixture
def talk(monkeypatch):
    """Asks a question, and says what is answered, how long each step may take, and each frame."""

    def talk(data, *words, frames="max", **asked):
        allowed = []
        monkeypatch.setattr(decoder, "_allow", allowed.append)
        memory = mmap.mmap(-1, FRAME_BYTES + len(data) + 1)
        memory[FRAME_BYTES:-1] = data
        usual = {"bytes": len(data), "frames": frames, "every": None, "size": SIZE, "most": 9, "seconds": 2.0}
        question = json.dumps({**usual, **asked}).encode() + b"\n"
        answers = Answers(memory)
        decoder.serve(memory, io.BytesIO(question + b"".join(words)), answers)
        assert memory[-1] == decoder.BEGUN
        ready, *others = map(json.loads, answers.getvalue().splitlines())
        assert ready == {"ready": True}
        return others, allowed, answers.frames[1:]

    return talk


def test_a_photograph_is_one_frame_and_nothing_behind_it(talk):
    answers, allowed, [frame] = talk(STILL, frames="first", most=1)
    assert answers == [{"seconds": 0.0}] and allowed == [7.0, 0]
    np.testing.assert_array_equal(frame, prepare(STILL, SIZE))


def test_frames_come_one_by_one_and_then_the_end(talk):
    answers, allowed, frames = talk(ANIMATION, *3 * [decoder.NEXT])
    assert answers == [{"seconds": 0.0}, {"seconds": 0.5}, {"seconds": 1.0}, {"end": True}]
    assert allowed == [7.0, 0] * 4
    for frame, picture in zip(frames, GREYS):
        np.testing.assert_array_equal(frame, prepare(picture, SIZE))


def test_another_word_than_next_ends_it(talk):
    answers, _, _ = talk(ANIMATION, decoder.NEXT, b"stop\n")
    assert answers == [{"seconds": 0.0}, {"seconds": 0.5}]


def test_every_so_often_one_is_given(talk):
    answers, _, _ = talk(ANIMATION, *2 * [decoder.NEXT], every=1.0)
    assert answers == [{"seconds": 0.0}, {"seconds": 1.0}, {"end": True}]


@pytest.mark.parametrize("most", [2, 3])
def test_as_many_frames_as_there_may_be_are_given_and_then_a_problem(most, talk):
    answers, _, _ = talk(ANIMATION, *most * [decoder.NEXT], most=most)
    behind = {"end": True} if most == 3 else {"problem": "too_many_frames", "message": "expected at most 2 frames"}
    assert answers == [*({"seconds": second / 2} for second in range(most)), behind]


@pytest.mark.parametrize("frames", ["first", "max"])
@pytest.mark.parametrize("data, problem", [(b"%PDF-1.7", "not_a_picture"), (STILL[:60], "unreadable")])
def test_what_cannot_be_read_is_a_problem_without_a_name(frames, data, problem, talk):
    [answer], allowed, _ = talk(data, frames=frames)
    assert answer["problem"] == problem and not answer["message"].startswith("<")
    assert allowed == [7.0, 0]


def test_a_problem_does_not_end_the_process():
    memory = mmap.mmap(-1, FRAME_BYTES + len(STILL) + 1)
    memory[FRAME_BYTES:-1] = STILL
    asked = {"frames": "first", "every": None, "size": SIZE, "most": 1, "seconds": 9.0}
    questions = [json.dumps({**asked, "bytes": size}).encode() + b"\n" for size in (20, len(STILL))]
    answers = io.BytesIO()
    decoder.serve(memory, io.BytesIO(b"".join(questions)), answers)
    _, first, second = map(json.loads, answers.getvalue().splitlines())
    assert first["problem"] == "unreadable" and second == {"seconds": 0.0}


def test_the_kernel_ends_a_process_that_takes_longer_and_0_stands_for_any_time(monkeypatch):
    told = []
    monkeypatch.setattr(signal, "setitimer", lambda *arguments: told.append(arguments))
    decoder._allow(7.5)
    decoder._allow(0)
    assert told == [(signal.ITIMER_REAL, 7.5), (signal.ITIMER_REAL, 0)]


@pytest.mark.parametrize("hard, most", [(-1, 5 << 29), (3 << 29, 3 << 29), (9 << 29, 5 << 29)])
def test_it_begins_with_its_limits_of_pixels_and_memory(hard, most, monkeypatch):
    """-1 is the kernel's own infinity."""
    limited, blocks, served = [], [], []
    with open(os.devnull, "r+b") as streams:
        number = os.memfd_create("open_nsfw test")
        os.ftruncate(number, 5000)
        monkeypatch.setattr(decoder.sys, "argv", ["-c", str(number), "5000", "777", str(5 << 29)])
        monkeypatch.setattr(decoder.sys, "stdin", io.TextIOWrapper(streams))
        monkeypatch.setattr(decoder, "_silence_libraries", lambda: None)
        monkeypatch.setattr(decoder.signal, "signal", lambda *arguments: limited.append(arguments))
        monkeypatch.setattr(decoder.warnings, "simplefilter", lambda action: None)
        monkeypatch.setattr(decoder.resource, "getrlimit", lambda which: (0, hard))
        monkeypatch.setattr(decoder.resource, "setrlimit", lambda *arguments: limited.append(arguments))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        monkeypatch.setattr(Image.core, "set_block_size", blocks.append)
        monkeypatch.setattr(Image.core, "set_blocks_max", blocks.append)
        monkeypatch.setattr(decoder, "serve", lambda memory, *streams: served.append(len(memory)))
        decoder.main()
        assert Image.MAX_IMAGE_PIXELS == 777
        os.close(number)
    assert limited == [(signal.SIGINT, signal.SIG_IGN), (decoder.resource.RLIMIT_DATA, (most, most))]
    assert blocks == [decoder.BLOCK_BYTES, decoder.KEPT_BLOCKS] and served == [5000]
