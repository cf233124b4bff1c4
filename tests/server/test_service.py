"""From an upload to its answer, with decoders and a network made up here: what is counted, and what waits for what."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from nsfw_model.preprocess import centre
from nsfw_server import service as service_module
from nsfw_server.limits import Limits
from nsfw_server.metrics import Metrics
from nsfw_server.problem import Problem
from nsfw_server.schemas import ScoreOptions
from nsfw_server.service import Service, seen_part
from nsfw_server.uploads import Upload


class Network:
    """Gives each frame's value as its score, and notes how many are on their way."""

    def __init__(self):
        self.coming, self.submitted = 0, []

    def expect(self, count):
        self.coming += count

    def submit(self, network, frame, *, came=0, first=False):
        self.coming -= came
        self.submitted.append((network, frame, first))
        result = Future()
        result.set_result(frame)
        return result


class Decoders:
    """Gives the frames that an upload lists; an error is raised in its place."""

    def __init__(self):
        self.asked, self.at_once, self.most_at_once = [], 0, 0

    async def frames(self, data, frames, every=None):
        self.asked.append((frames, every))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            for second, value in enumerate(data):
                await asyncio.sleep(0)
                if isinstance(value, Exception):
                    raise value
                yield float(second), value
        finally:
            self.at_once -= 1


@pytest.fixture
def service():
    service = Service(Limits(batch=2, queue=10, pending_bytes=100), Metrics())
    service._scorers = {"float32": None}
    service._batcher, service._decoders = Network(), Decoders()
    service._room = asyncio.Semaphore(3)
    service._known, service._known_score, service._is_ready = 0.25, 0.25, True
    return service


def scored(service, values, **options):
    return asyncio.run(service.score(Upload("a.gif", values), ScoreOptions(**options)))


def value_of(service, line):
    lines = service.metrics.text().decode().splitlines()
    return next((float(it.rpartition(" ")[2]) for it in lines if it.startswith(line)), None)


class TestScores:
    def test_a_photograph_has_a_score_and_a_label(self, service):
        found = scored(service, [0.25])
        assert (found.file, found.score, found.label, found.frames, found.worst_second) == (
            *("a.gif", 0.25, "safe"),
            *(None, None),
        )
        assert service._batcher.submitted == [("float32", 0.25, False)]

    @pytest.mark.parametrize("threshold, label", [(0.25, "unsafe"), (0.2500001, "safe"), (0, "unsafe"), (1, "safe")])
    def test_a_score_at_the_threshold_is_unsafe(self, threshold, label, service):
        assert scored(service, [0.25], threshold=threshold).label == label

    @pytest.mark.parametrize("frames, score", [("max", 0.75), ("mean", 0.5)])
    def test_several_frames_have_the_second_of_the_worst(self, frames, score, service):
        found = scored(service, [0.25, 0.75, 0.5, 0.75, 0.25], frames=frames, every=0.5)
        assert (found.score, found.frames, found.worst_second) == (score, 5, 1.0)
        assert service._decoders.asked == [(frames, 0.5)]

    def test_what_is_wrong_is_part_of_the_answer_and_counted(self, service):
        found = scored(service, [0.25, Problem("unreadable", "is damaged")], frames="max")
        assert (found.score, found.label, found.error.kind, found.error.message) == (
            *(None, "failed"),
            *("unreadable", "is damaged"),
        )
        assert value_of(service, 'open_nsfw_errors_total{kind="unreadable"}') == 1
        assert value_of(service, 'open_nsfw_pictures_total{label="failed"}') == 1
        assert value_of(service, "open_nsfw_picture_seconds_count") == 1

    def test_the_time_of_an_answer_is_that_which_is_counted(self, service, monkeypatch):
        moments = iter([10.0, 10.1234567])
        monkeypatch.setattr(service_module.time, "perf_counter", lambda: next(moments))
        assert scored(service, [0.25]).milliseconds == 123.46
        assert value_of(service, "open_nsfw_picture_seconds_sum") == pytest.approx(0.1234567)

    @pytest.mark.parametrize("frames", ["first", "max"])
    @pytest.mark.parametrize("values", [[0.5], [Problem("unreadable", "is damaged")], [ZeroDivisionError()]])
    def test_nobody_is_expected_any_more_when_a_picture_is_done(self, frames, values, service):
        try:
            scored(service, values, frames=frames)
        except ZeroDivisionError:
            pass
        assert service._batcher.coming == 0 and service._decoders.at_once == 0

    def test_one_picture_is_expected_while_it_is_decoded(self, service):
        seen = []

        async def frames(data, frames, every=None):
            seen.append(service._batcher.coming)
            yield 0.0, 0.5
            seen.append(service._batcher.coming)

        service._decoders.frames = frames
        scored(service, None, frames="first")
        scored(service, None, frames="max")
        assert seen == [1, 0, 1, 1]

    def test_scores_are_awaited_each_time_that_a_batch_is_full(self, service):
        """Or a long film's frames would all wait in memory."""
        given, awaited = [], []

        def submit(network, frame, *, came=0, first=False):
            result = Future()
            given.append(result)
            asyncio.get_running_loop().call_later(0.01, lambda: (awaited.append(len(given)), result.set_result(0.5)))
            return result

        service._batcher.submit = submit
        assert scored(service, [0.5] * 5, frames="max").frames == 5
        assert awaited == [2, 2, 4, 4, 5]

    def test_no_more_pictures_are_decoded_than_there_is_room_for(self, service):
        async def many():
            uploads = [Upload(None, [0.5] * 4)] * 9
            return await asyncio.gather(*(service.score(upload, ScoreOptions(frames="max")) for upload in uploads))

        assert len(asyncio.run(many())) == 9 and service._decoders.most_at_once == 3


class TestCounts:
    def test_as_many_pictures_are_accepted_as_the_queue_holds(self, service):
        with service.accepted(), service.accepted(3), service.accepted(6):
            assert value_of(service, "open_nsfw_queue") == 10
            with pytest.raises(Problem, match="^10 pictures are being scored, expected at most 10$") as caught:
                with service.accepted():
                    pass
            assert caught.value.kind == "busy"
        assert value_of(service, "open_nsfw_queue") == 0
        with pytest.raises(Problem), service.accepted(11):
            pass
        with pytest.raises(ZeroDivisionError), service.accepted(10):
            raise ZeroDivisionError
        with service.accepted(10):
            pass

    def test_as_many_bytes_are_held_as_the_limit_allows(self, service):
        with service.held_bytes() as admit, service.held_bytes() as another:
            admit(40)
            another(59)
            admit(1)
            with pytest.raises(Problem, match="^requests hold 100 bytes, expected 100 at most$") as caught:
                admit(1)
            assert caught.value.kind == "busy"
        with service.held_bytes() as admit:
            admit(100)
        with pytest.raises(Problem, match="^requests hold 0 bytes"), service.held_bytes() as admit:
            admit(101)

    def test_a_precision_that_there_is_not_is_refused(self, service):
        service.check_precision("float32")
        with pytest.raises(Problem, match="^precision: this processor, or the engine, has no bfloat16$") as caught:
            service.check_precision("bfloat16")
        assert caught.value.status == 501


class TestReadiness:
    @pytest.mark.parametrize("moved, ready", [(0.0, True), (0.9e-5, True), (-0.9e-5, True), (1.1e-5, False)])
    def test_the_known_picture_has_to_score_as_at_the_start(self, moved, ready, service):
        service._known = service._known_score + moved
        for sign in 1, -1:
            service._known = service._known_score + sign * moved
            if ready:
                asyncio.run(service.check())
            else:
                with pytest.raises(Problem, match="^the known picture scores 0.2.*, expected 0.25$") as caught:
                    asyncio.run(service.check())
                assert caught.value.kind == "not_ready"

    def test_it_passes_all_that_waits(self, service):
        asyncio.run(service.check())
        assert service._batcher.submitted == [("float32", 0.25, True)]

    def test_what_has_not_started_is_not_ready(self, service):
        assert service.is_ready is True
        service._is_ready = False
        assert service.is_ready is False
        with pytest.raises(Problem, match="^starting, or about to end$") as caught:
            asyncio.run(service.check())
        assert caught.value.kind == "not_ready" and service._batcher.submitted == []
        assert Service(Limits(), Metrics()).is_ready is False

    def test_at_the_end_it_is_not_ready_before_anything_else_ends(self, service):
        ended = []

        async def stop():
            ended.append(("decoders", service.is_ready))

        service._decoders.stop = stop
        service._batcher.stop = lambda: ended.append(("network", service.is_ready))
        asyncio.run(service.stop())
        assert ended == [("decoders", False), ("network", False)]


class TestExplanations:
    @pytest.fixture
    def explaining(self, service):
        service._can_explain, service.model, service.input_size = True, {"model": "abc"}, (224, 224)
        return service

    def test_an_explanation_is_that_of_the_first_frame(self, explaining):
        cells = (np.array([[1.0, 2.0]]), 0.0, -0.5)
        found = asyncio.run(explaining.explain(Upload(None, [cells])))
        assert found.model_dump() == dict(
            model="abc", score=0.5, logit=0.0, bias=-0.5, cells=[[1.0, 2.0]], seen=[0.0625, 0.0625, 0.9375, 0.9375]
        )
        assert explaining._decoders.asked == [("first", None)]
        assert explaining._batcher.submitted[0][0] == service_module.EXPLANATION

    def test_a_network_that_explains_nothing_is_told(self, explaining):
        explaining._can_explain = False
        with pytest.raises(Problem, match="^this network has no class activation map$") as caught:
            asyncio.run(explaining.explain(Upload(None, [])))
        assert caught.value.kind == "unsupported" and explaining._decoders.asked == []


@pytest.mark.parametrize("size", [(224, 224), (256, 256), (192, 224), (100, 50)])
def test_the_part_that_is_seen_is_the_one_that_is_cut_out(size):
    """Of the 256 by 256 pixels to which a picture is resized."""
    rows, columns = centre(size)
    left, top, right, bottom = seen_part(size)
    picture = np.arange(256 * 256).reshape(256, 256)
    seen = picture[round(top * 256) : round(bottom * 256), round(left * 256) : round(right * 256)]
    assert (seen == picture[rows, columns]).all() and seen.shape == size[::-1]


def test_precisions_that_the_processor_lacks_are_left_out(monkeypatch):
    import open_nsfw

    def get_scorer(precision):
        if precision == "float32":
            raise NotImplementedError("none here")
        return f"a scorer of {precision}"

    monkeypatch.setattr(open_nsfw, "get_scorer", get_scorer)
    assert service_module._scorers() == {"bfloat16": "a scorer of bfloat16"}


def test_a_network_without_a_linear_end_starts_and_does_not_explain(service):
    from nsfw_experiments.explanation.activation import NoLinearEndError

    service.input_size, submitted = (8, 6), []

    def submit(network, array):
        submitted.append((network, array.shape, array.dtype, array.any()))
        result = Future()
        if network == service_module.EXPLANATION:
            result.set_exception(NoLinearEndError("none"))
        else:
            result.set_result(0.5)
        return result

    service._batcher = SimpleNamespace(submit=submit)
    assert asyncio.run(service._warm_up()) is False
    assert submitted == [(name, (3, 6, 8), np.float32, False) for name in ("float32", service_module.EXPLANATION)]
    service._batcher = Network()
    assert asyncio.run(service._warm_up()) is True
