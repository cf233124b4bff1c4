"""Pictures and animations go through the pipeline in order, lazily, and none holds up the others for ever."""

import os
import threading
import time
from decimal import Decimal
from fractions import Fraction
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nsfw_command.main import main
from nsfw_scale import pipeline
from nsfw_scale.frames import FrameScore
from nsfw_scale.pipeline import score_frames
from open_nsfw import PictureError, frame_scores, nsfw_score, nsfw_scores

ROCKET = "img/rocket.jpg"


def prepare_frames(img):
    """A number is a photograph, a list an animation, an exception what comes of a picture that has a fault."""
    for second, value in enumerate(img if isinstance(img, list) else [img]):
        if isinstance(value, Exception):
            raise value
        yield float(second), np.full((3, 2, 2), value, np.float32)


def score_batch(batch):
    return batch[:, 0, 0, 0]


def results_of(images, batch_size=3, workers=2, prepare_frames=prepare_frames, score_batch=score_batch, seconds=None):
    return score_frames(
        iter(images), prepare_frames, score_batch, batch_size=batch_size, workers=workers, seconds=seconds
    )


def numbers(result):
    return result if isinstance(result, PictureError) else [score for _, score in result]


BROKEN = PictureError("broken")
PHOTOGRAPHS = st.integers(0, 1000)
ANIMATIONS = st.lists(PHOTOGRAPHS, min_size=1, max_size=40)
BAD = st.just(BROKEN) | ANIMATIONS.map(lambda frames: [*frames, BROKEN])


class TestOrder:
    @settings(max_examples=100)
    @given(st.lists(PHOTOGRAPHS | ANIMATIONS | BAD, max_size=60), st.integers(1, 9), st.integers(1, 4))
    def test_every_picture_has_its_result_in_its_place(self, images, batch_size, workers):
        expected = []
        for img in images:
            frames = img if isinstance(img, list) else [img]
            expected.append(BROKEN if BROKEN in frames else frames)
        assert [numbers(result) for result in results_of(images, batch_size, workers)] == expected

    def test_turns_double_up_to_a_limit(self, monkeypatch):
        monkeypatch.setattr(pipeline, "FIRST_TURN", 1)
        monkeypatch.setattr(pipeline, "LATER_TURNS", 4)
        turns, taken = [], []

        def prepare(img):
            taken.append(img)
            yield from prepare_frames(img)

        def score(batch):
            turns.append(len(taken))
            return score_batch(batch)

        assert (
            len(list(results_of(range(24), batch_size=2, workers=1, prepare_frames=prepare, score_batch=score))) == 24
        )
        assert turns == [2, 6, 6, *[14] * 4, *[22] * 4, 24]

    @pytest.mark.parametrize("count, sizes", [(1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])])
    def test_frames_of_an_animation_are_scored_by_batches(self, count, sizes):
        seen = []

        def score(batch):
            seen.append(len(batch))
            return score_batch(batch)

        [result] = results_of([list(range(count))], batch_size=2, score_batch=score)
        assert numbers(result) == list(range(count)) and seen == sizes

    def test_frames_have_their_times(self):
        assert list(results_of([[7, 9]])) == [[FrameScore(0.0, 7.0), FrameScore(1.0, 9.0)]]

    def test_batches_are_of_photographs_that_follow_one_another_and_of_frames_of_one_animation(self):
        batches = []

        def noted(batch):
            batches.append(batch[:, 0, 0, 0].tolist())
            return score_batch(batch)

        for workers in 1, 2, 4:
            batches.clear()
            images = [1, 2, BROKEN, 4, [10, 11, 12, 13], 5, 6, 7]
            assert len(list(results_of(images, workers=workers, score_batch=noted))) == len(images)
            assert sorted(batches) == [[1, 2], [4, 5], [6, 7], [10, 11, 12], [13]]

    def test_a_fault_of_the_program_comes_after_the_results_before_it(self):
        results = results_of([1, TypeError("no picture"), 3])
        assert numbers(next(results)) == [1]
        with pytest.raises(TypeError, match="no picture"):
            next(results)

    def test_a_fault_of_the_iterator_too(self):
        def images():
            yield from (1, 2)
            raise ZeroDivisionError

        results = results_of(images(), batch_size=8)
        assert [numbers(next(results)) for _ in range(2)] == [[1], [2]]
        with pytest.raises(ZeroDivisionError):
            next(results)


class TestLaziness:
    def test_pictures_in_memory_are_few(self):
        alive, most = set(), 0

        class Picture:
            def __init__(self, number):
                nonlocal most
                alive.add(number)
                most = max(most, len(alive))
                self.number = number

            def __del__(self):
                alive.discard(self.number)

        def prepare(img):
            yield 0.0, np.zeros((3, 2, 2), np.float32)

        results = results_of(map(Picture, range(200)), batch_size=8, workers=2, prepare_frames=prepare)
        assert len(list(results)) == 200
        assert most <= 2 * 2 + 2, "the pending ones, and those that two threads just let go"

    def test_frames_of_an_animation_without_end_are_taken_a_turn_at_a_time(self):
        taken = []

        def endless(img):
            for number in count():
                taken.append(number)
                yield float(number), np.zeros((3, 2, 2), np.float32)

        def stop(batch):
            raise StopAsyncIteration  # a score_batch that ends the test: nothing is ever finished

        with pytest.raises(StopAsyncIteration):
            next(results_of([0], prepare_frames=endless, score_batch=stop))
        assert len(taken) <= 2 * 3

    def test_while_a_long_animation_is_scored_the_pictures_behind_it_are_bounded(self):
        taken = []

        def images():
            yield list(range(10_000))
            for number in range(1000):
                taken.append(number)
                yield number

        results = results_of(images(), batch_size=2)
        assert len(next(results)) == 10_000
        assert len(taken) < pipeline.MAX_AHEAD * 2 < 1000
        assert [numbers(result) for result in results] == [[number] for number in range(1000)]

    def test_nothing_is_taken_before_the_first_result_is_asked_for(self):
        results_of(pytest.fail(number) for number in range(1))


class TestThreads:
    def test_they_are_as_many_as_asked_for_and_end_with_the_results(self):
        seen = set()

        def prepare(img):
            seen.add(threading.current_thread())
            time.sleep(0.001)
            yield from prepare_frames(img)

        results = results_of(range(40), workers=3, prepare_frames=prepare)
        assert sum(1 for _ in results) == 40
        assert len(seen) == 3 and threading.current_thread() not in seen
        assert all(thread.daemon for thread in seen), "one that waits for a disk does not keep the process"
        for thread in seen:
            thread.join(10)
            assert not thread.is_alive()

    def test_they_end_where_nobody_wants_the_rest(self):
        before = set(threading.enumerate())
        results = results_of(count())
        next(results)
        (*mine,) = set(threading.enumerate()) - before
        assert mine
        results.close()
        for thread in mine:
            thread.join(10)
            assert not thread.is_alive()

    def test_none_prepares_while_the_network_computes(self):
        preparing, both = set(), []

        def prepare(img):
            preparing.add(img)
            time.sleep(0.001)
            yield from prepare_frames(img)
            preparing.discard(img)

        def score(batch):
            time.sleep(0.002)
            both.extend(preparing)
            return score_batch(batch)

        assert len(list(results_of(range(50), workers=4, prepare_frames=prepare, score_batch=score))) == 50
        assert both == []

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_fork_of_a_process_that_scores_is_told_so(self):
        results = results_of(range(100))
        next(results)
        child = os.fork()
        if not child:
            try:
                list(results)
            except RuntimeError as error:
                os._exit("forked" in str(error))
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1

    def test_memory_that_pillow_cannot_keep_is_an_error_once(self):
        before = Image.core.get_blocks_max(), Image.core.get_block_size()
        with pytest.raises(OverflowError):
            list(results_of(range(9), workers=10**30))
        assert (Image.core.get_blocks_max(), Image.core.get_block_size()) == before
        assert len(list(results_of(range(9)))) == 9

    @pytest.mark.parametrize(("name", "most"), [("workers", 4096), ("batch_size", 2**31 - 1)])
    def test_more_than_can_be_meant_is_refused(self, name, most):
        with pytest.raises(
            ValueError, match=f"{name}: got 1.*, expected a whole number of at least 1 and at most {most}"
        ):
            nsfw_scores([ROCKET], **{name: 10**30})

    def test_pillows_memory_is_kept_meanwhile_and_then_as_before(self):
        before = Image.core.get_blocks_max(), Image.core.get_block_size()
        one, other = results_of(range(9), workers=1), results_of(range(9), workers=3)
        next(one), next(other)
        assert Image.core.get_blocks_max() == max(before[0], 3 * pipeline.KEPT_BLOCKS)
        other.close()
        assert Image.core.get_blocks_max() == max(before[0], pipeline.KEPT_BLOCKS)
        assert Image.core.get_block_size() == pipeline.BLOCK_BYTES
        one.close()
        assert (Image.core.get_blocks_max(), Image.core.get_block_size()) == before


class TestLateSteps:
    """Who is late, by a clock and threads that are made up."""

    @pytest.fixture
    def workers(self, monkeypatch):
        workers = pipeline._Workers(2, lambda step: None, 5.0)
        workers.started, workers.now = [], 100.0
        monkeypatch.setattr(workers, "_start", lambda: workers.started.append(1))
        monkeypatch.setattr(pipeline.time, "monotonic", lambda: workers.now)
        return workers

    def begun(self, workers, ago, name="a.jpg"):
        """A step that a thread has begun so long ago; None for one that waits for a thread."""
        step = pipeline._Step(pipeline._Task(SimpleNamespace(name=name, read=None), 0))
        workers.submit(step)
        step.started = None if ago is None else workers.now - ago
        return step

    def done(self, workers, step, seconds):
        step.seconds, step.prepared = seconds, ["prepared"]
        workers._done.put(step)

    def test_threads_are_started_with_the_first_step(self, workers):
        assert workers.started == [] and workers.pending == 0
        self.begun(workers, None), self.begun(workers, None)
        assert workers.started == [1, 1] and workers.pending == 2

    @pytest.mark.parametrize("ago", [5.0, 6.0])
    def test_one_that_takes_longer_is_left_behind_and_another_thread_takes_its_place(self, ago, workers):
        step = self.begun(workers, ago)
        late = workers.wait()
        assert late is not step and late.task is step.task and step.is_left_behind and not late.is_left_behind
        assert str(late.error) == "a.jpg: not done within 5 s" and late.prepared == []
        assert workers.started == [1, 1, 1] and workers.pending == 0

    def test_the_first_of_several_is(self, workers):
        self.begun(workers, None, "a.jpg"), self.begun(workers, 1.0, "b.jpg")
        self.begun(workers, 6.0, "c.jpg"), self.begun(workers, 7.0, "d.jpg")
        assert str(workers.wait().error).startswith("c.jpg: ") and workers.pending == 3

    @pytest.mark.parametrize("seconds, is_late", [(0.1, False), (5.0, False), (5.001, True)])
    def test_one_that_is_done_has_to_be_done_in_time(self, seconds, is_late, workers):
        step = self.begun(workers, 1.0)
        self.done(workers, step, seconds)
        assert workers.wait() is step and not step.is_left_behind
        assert step.prepared == ([] if is_late else ["prepared"]) and (step.error is not None) is is_late
        assert workers.started == [1, 1]

    def test_one_that_is_done_when_it_was_left_behind_ends_a_thread_and_is_nobodys_result(self, workers):
        step, other = self.begun(workers, 6.0), self.begun(workers, 1.0, "b.jpg")
        assert workers.wait().task is step.task
        while not workers._todo.empty():
            workers._todo.get()
        self.done(workers, step, 6.0)
        self.done(workers, other, 1.0)
        assert workers.wait() is other and other.error is None
        assert workers._todo.get_nowait() is None and workers._todo.empty()

    @pytest.mark.parametrize("started, left", [(None, 5.0), (100.0, 5.0), (98.0, 3.0), (94.0, -1.0)])
    def test_time_is_counted_from_when_a_thread_begins(self, started, left, workers):
        step = self.begun(workers, None)
        step.started = started
        assert workers._left(step, 5.0) == left

    def test_a_thread_tells_how_long_a_step_took_unless_it_was_left_behind(self, workers):
        def work(step):
            workers.now += 2.5
            step.is_left_behind = step.task.number == 1

        workers._work = work
        first, second = (pipeline._Step(pipeline._Task(None, number)) for number in (0, 1))
        for step in first, second, None:
            workers._todo.put(step)
        workers._run()
        assert workers._done.get_nowait() is first and workers._done.empty()
        assert (first.started, first.seconds, second.started) == (100.0, 2.5, 102.5)
        assert workers._todo.get_nowait() is None, "which ends the thread that took its place"


class TestWorkers:
    """How many there are if nobody says."""

    def test_they_are_as_many_as_compute_the_network(self, monkeypatch):
        monkeypatch.setattr("theano_cpu.onednn.onednn_available", lambda: True)
        monkeypatch.setattr("theano_cpu.onednn.num_threads", lambda: 7)
        assert pipeline.default_workers() == 7

    def test_without_onednn_they_are_the_cores_of_this_process(self, monkeypatch):
        monkeypatch.setattr("theano_cpu.onednn.onednn_available", lambda: False)
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda process: {0, 3, 5} if process == 0 else set(), raising=False
        )
        assert pipeline.default_workers() == 3

    @pytest.mark.parametrize("cores, workers", [(5, 5), (None, 1)])
    def test_where_no_system_tells_they_are_all_cores(self, cores, workers, monkeypatch):
        monkeypatch.setattr("theano_cpu.onednn.onednn_available", lambda: False)
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        assert pipeline.default_workers() == workers


class Stuck:
    """A file that cannot be read until somebody lets it go."""

    name = "stuck.jpg"

    def __init__(self):
        self.go = threading.Event()

    def read(self, size=-1):
        self.go.wait(60)
        return b""

    def seek(self, position, whence=0):
        return 0


@pytest.fixture
def stuck():
    file = Stuck()
    yield file
    file.go.set()


class TestTimeLimit:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_the_late_are_left_behind_and_the_others_have_their_results(self, workers):
        go = threading.Event()

        def prepare(img):
            if img < 0:
                go.wait(60)
            yield from prepare_frames(img)

        results = list(results_of([1, -1, -2, -3, 2, 3], workers=workers, prepare_frames=prepare, seconds=0.1))
        go.set()
        assert [numbers(result) for result in (results[0], *results[4:])] == [[1], [2], [3]]
        assert [str(result) for result in results[1:4]] == ["<int>: not done within 0.1 s"] * 3

    def test_what_took_too_long_is_late_though_it_may_be_done_before_anybody_looks(self):
        (result,) = results_of(
            [1], prepare_frames=lambda img: (time.sleep(0.001), prepare_frames(img))[1], seconds=1e-9
        )
        assert str(result) == "<int>: not done within 1e-09 s"

    def test_a_long_animation_is_not_late_while_it_goes_on(self):
        def slow(img):
            for frame in prepare_frames(img):
                time.sleep(0.02)
                yield frame

        (result,) = results_of([list(range(20))], batch_size=2, prepare_frames=slow, seconds=0.3)
        assert len(result) == 20

    @pytest.mark.parametrize("batch_size", [1, 8])
    def test_a_picture_that_cannot_be_read_in_time_takes_its_place_among_the_scores(self, stuck, batch_size):
        first, late, last = nsfw_scores([ROCKET, stuck, ROCKET], batch_size, on_error="return", seconds=5)
        assert isinstance(late, PictureError) and str(late) == "stuck.jpg: not done within 5 s"
        assert first == last == pytest.approx(nsfw_score(ROCKET), abs=1e-6)

    def test_or_is_raised_after_the_scores_before_it(self, stuck):
        scores = nsfw_scores([ROCKET, stuck, ROCKET], seconds=5)
        assert next(scores) == pytest.approx(nsfw_score(ROCKET), abs=1e-6)
        with pytest.raises(PictureError, match="stuck.jpg: not done within"):
            next(scores)

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
    def test_a_limit_is_a_time(self, seconds):
        with pytest.raises(ValueError, match=f"seconds: got {seconds}, expected a number above 0"):
            nsfw_scores([ROCKET], seconds=seconds)

    @pytest.mark.parametrize("seconds", ["8", b"8", int, 10**400])
    def test_what_is_no_number_is_no_time(self, seconds):
        for name in {"seconds", "every"}:
            with pytest.raises(ValueError, match=f"^{name}: got .{{1,100}}, expected .* above 0"):
                nsfw_scores([ROCKET], **{name: seconds})

    @pytest.mark.parametrize("kind", [np.float32, np.int64, Fraction, Decimal])
    def test_every_kind_of_number_is_a_time(self, kind):
        expected = list(nsfw_scores([ROCKET]))
        assert list(nsfw_scores([ROCKET], seconds=kind(60), every=kind(1))) == expected

    def test_the_command_has_one_too(self, capsys):
        assert main(["score", "--seconds", "1e-9", ROCKET]) == 1
        assert capsys.readouterr().out == "   ERROR  img/rocket.jpg: not done within 1e-09 s\n"
        assert main(["score", "--seconds", "inf", ROCKET]) == 0

    @pytest.mark.parametrize("text", ["0", "-3", "nan", "soon"])
    def test_what_is_no_time_is_a_wrong_argument(self, text, capsys):
        with pytest.raises(SystemExit):
            main(["score", "--seconds", text, ROCKET])
        assert "--seconds: expected a number" in capsys.readouterr().err


class TestFrames:
    def test_the_frames_of_an_animation_are_scored_as_pictures(self, tmp_path):
        frames = [Image.open(f"img/{name}.png").convert("RGB").resize((300, 200)) for name in ("astronaut", "camera")]
        path = tmp_path / "two.webp"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=500, lossless=True)
        expected = [nsfw_score(frame) for frame in frames]
        assert [seconds for seconds, _ in frame_scores(path)] == [0.0, 0.5]
        assert [score for _, score in frame_scores(path)] == pytest.approx(expected, abs=1e-6)
        assert list(nsfw_scores([path], frames="all")) == [list(frame_scores(path))]
        assert nsfw_score(path) == pytest.approx(expected[0], abs=1e-6)
        assert nsfw_score(path, frames="max") == pytest.approx(max(expected), abs=1e-6)
        assert next(nsfw_scores([path], frames="mean")) == pytest.approx(sum(expected) / 2, abs=1e-6)

    def test_wrong_arguments_are_named(self):
        with pytest.raises(ValueError, match="frames: got 'last', expected 'first', 'max' or 'mean'"):
            nsfw_score(ROCKET, frames="last")
        with pytest.raises(ValueError, match="every: got -1, expected seconds, above 0"):
            frame_scores(ROCKET, every=-1)
