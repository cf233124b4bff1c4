"""What becomes of requests between the connection and the service, which is made up here."""

import asyncio
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from starlette.requests import ClientDisconnect

from nsfw_server import app as app_module
from nsfw_server.limits import Limits
from nsfw_server.metrics import CONTENT_TYPE
from nsfw_server.problem import Problem
from nsfw_server.schemas import Error, Explanation, FileScore


class Service:
    """Scores a picture by its number of bytes; one of a letter has a problem of that name."""

    def __init__(self, limits, metrics):
        self.limits, self.metrics, self.is_ready = limits, metrics, True
        self.model = dict(
            model="abc",
            version="1",
            weights="w",
            architecture="a",
            input_size=(8, 6),
            precisions=["float32"],
            engine="none",
            formats=["PNG"],
        )
        self.steps, self.accepted_now, self.held, self.options = [], 0, 0, None

    async def start(self):
        self.steps.append("start")

    async def stop(self):
        self.steps.append("stop")

    @contextmanager
    def accepted(self, pictures=1):
        self.accepted_now += pictures
        try:
            yield
        finally:
            self.accepted_now -= pictures

    @contextmanager
    def held_bytes(self):
        def admit(size):
            self.held += size

        yield admit
        self.steps.append(self.held)
        self.held = 0

    def check_precision(self, precision):
        if precision != "float32":
            raise Problem("unsupported", f"no {precision}")

    async def score(self, upload, options):
        self.options = options
        self.steps.append(self.accepted_now)
        await asyncio.sleep(0)
        common = {"file": upload.name, "milliseconds": 1.0}
        problem = {b"p": "not_a_picture", b"u": "unreadable", b"o": "overtime"}.get(upload.data)
        if problem:
            return FileScore(**common, score=None, label="failed", error=Error(kind=problem, message="of the picture"))
        if upload.data == b"fault":
            raise ZeroDivisionError("a secret")
        return FileScore(**common, score=len(upload.data) / 100, label="safe")

    async def explain(self, upload):
        return Explanation(
            model="abc", score=0.5, logit=0.0, bias=0.0, cells=[[float(len(upload.data))]], seen=[0, 0, 1, 1]
        )

    async def check(self):
        if not self.is_ready:
            raise Problem("not_ready", "of the service")


@pytest.fixture
def service(monkeypatch):
    """The service of the application that `ask` asks."""
    monkeypatch.setattr(app_module, "Service", Service)
    app = app_module.create_app(Limits(body_bytes=100, picture_bytes=50, body_seconds=0.2))
    app.state.service.app = app
    return app.state.service


def ask(service, method, path, **content):
    async def asked():
        transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **content)

    return asyncio.run(asked())


def error(kind, message):
    return {"error": {"kind": kind, "message": message}}


def form(*contents):
    return [("file", (f"{number}.png", content)) for number, content in enumerate(contents)]


class TestScores:
    def test_an_answer_has_the_model_the_precision_and_the_threshold(self, service):
        answer = ask(service, "POST", "/v1/score?threshold=0.25", content=b"12345")
        assert answer.status_code == 200
        assert answer.json() == {
            "model": "abc",
            "precision": "float32",
            "threshold": 0.25,
            "results": [
                {
                    "file": None,
                    "score": 0.05,
                    "label": "safe",
                    "milliseconds": 1.0,
                    "frames": None,
                    "worst_second": None,
                    "error": None,
                }
            ],
        }
        assert answer.headers["cache-control"] == "no-store"

    def test_all_pictures_of_a_request_are_accepted_and_all_its_bytes_held_until_it_is_answered(self, service):
        assert ask(service, "POST", "/v1/score", content=b"123").status_code == 200
        assert service.steps == [1, 3]  # pictures while it is scored, and bytes at the end
        service.steps.clear()
        service.limits = Limits(body_bytes=1000)
        answer = ask(service, "POST", "/v1/score", files=form(b"1", b"p", b"22"))
        assert answer.status_code == 200 and service.steps[:3] == [3, 3, 3]
        assert service.steps[3] == int(answer.request.headers["content-length"])
        assert [(it["file"], it["score"]) for it in answer.json()["results"]] == [
            ("0.png", 0.01),
            ("1.png", None),
            ("2.png", 0.02),
        ]
        assert (service.accepted_now, service.held) == (0, 0)

    def test_an_option_is_passed_on(self, service):
        ask(service, "POST", "/v1/score?frames=mean&every=2&threshold=0.5", content=b"1")
        assert (service.options.frames, service.options.every, service.options.threshold) == ("mean", 2, 0.5)

    @pytest.mark.parametrize(
        "letter, kind, status", [(b"p", "not_a_picture", 415), (b"u", "unreadable", 422), (b"o", "overtime", 422)]
    )
    def test_a_picture_that_fails_alone_is_the_status(self, letter, kind, status, service):
        answer = ask(service, "POST", "/v1/score", content=letter)
        assert answer.status_code == status
        body = answer.json()
        assert body["error"] == {"kind": kind, "message": "of the picture"} == body["results"][0]["error"]
        assert (body["model"], body["results"][0]["label"]) == ("abc", "failed")

    def test_a_precision_that_there_is_not_is_told_before_the_body_is_read(self, service):
        answer = ask(service, "POST", "/v1/score?precision=bfloat16", content=b"1")
        assert (answer.status_code, answer.json()) == (501, error("unsupported", "no bfloat16"))
        assert service.steps == []

    def test_before_it_is_ready_nothing_is_scored(self, service):
        service.is_ready = False
        for path in "/v1/score", "/v1/explain":
            answer = ask(service, "POST", path, content=b"1")
            assert (answer.status_code, answer.json()) == (503, error("not_ready", "starting, or about to end"))
            assert answer.headers["retry-after"] == "1"
        assert service.steps == []


class TestBodies:
    @pytest.mark.parametrize("told, status", [("50", 200), ("100", 200), ("101", 413), ("many", 200), ("", 200)])
    def test_a_length_that_is_told_is_refused_at_once_if_it_is_too_large(self, told, status, service):
        headers = {"content-length": told} if told else {}
        answer = ask(service, "POST", "/v1/score", content=b"12345", headers=headers)
        assert answer.status_code == status
        if status == 413:
            assert answer.json() == error("too_large", "the body has 101 bytes, expected at most 100")

    def test_a_body_that_does_not_arrive_is_given_up(self, service):
        async def slow():
            yield b"1"
            await asyncio.sleep(30)

        answer = ask(service, "POST", "/v1/score", content=slow())
        assert (answer.status_code, answer.json()) == (
            408,
            error("too_slow", "the body did not arrive within 0.2 s"),
        )

    def test_an_explanation_is_of_one_picture(self, service):
        answer = ask(service, "POST", "/v1/explain", content=b"12345")
        assert (answer.status_code, answer.json()["cells"], service.steps) == (200, [[5.0]], [5])
        service.limits = Limits(body_bytes=1000)
        answer = ask(service, "POST", "/v1/explain", files=form(b"1", b"2", b"3"))
        assert (answer.status_code, answer.json()) == (400, error("bad_request", "got 3 pictures, expected one"))


class TestErrors:
    def test_a_fault_is_told_without_what_it_was(self, service):
        answer = ask(service, "POST", "/v1/score", content=b"fault")
        assert (answer.status_code, answer.json()) == (
            500,
            error("internal", "a fault of the service; its log tells more"),
        )

    def test_an_option_is_named_with_what_was_expected(self, service):
        answer = ask(service, "POST", "/v1/score?threshold=7", content=b"1")
        assert answer.status_code == 400
        told = answer.json()["error"]
        assert told["kind"] == "bad_request" and told["message"].startswith("threshold: Input should be less than")

    @pytest.mark.parametrize(
        "method, path, status, kind, message",
        [
            ("GET", "/nowhere", 404, "not_found", "Not Found"),
            ("GET", "/v1/score", 405, "method_not_allowed", "Method Not Allowed"),
        ],
    )
    def test_what_is_not_there_is_told(self, method, path, status, kind, message, service):
        answer = ask(service, method, path)
        assert (answer.status_code, answer.json()) == (status, error(kind, message))
        assert ("allow" in answer.headers) == (status == 405)


class TestOperation:
    def test_it_lives_whether_it_is_ready_or_not(self, service):
        for is_ready, answers in (True, (200, 200)), (False, (200, 503)):
            service.is_ready = is_ready
            assert tuple(ask(service, "GET", path).status_code for path in ("/healthz", "/readyz")) == answers
        assert ask(service, "GET", "/healthz").json() == {"status": "ok"}
        assert ask(service, "GET", "/readyz").json() == error("not_ready", "of the service")

    def test_the_model_is_told_with_the_limits(self, service):
        told = ask(service, "GET", "/v1/model").json()
        assert told["model"] == "abc" and told["limits"]["body_bytes"] == 100

    def test_counts_are_in_prometheus_s_format(self, service):
        answer = ask(service, "GET", "/metrics")
        assert answer.headers["content-type"] == CONTENT_TYPE
        assert "open_nsfw_queue 0.0" in answer.text.splitlines()

    def test_the_service_starts_and_ends_with_the_application(self, service):
        async def live():
            async with service.app.router.lifespan_context(service.app):
                service.steps.append("live")

        asyncio.run(live())
        assert service.steps == ["start", "live", "stop"]

    def test_it_ends_after_a_fault_too(self, service):
        async def live():
            async with service.app.router.lifespan_context(service.app):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            asyncio.run(live())
        assert service.steps == ["start", "stop"]


class TestClientsThatGo:
    class Request:
        """One whose client goes after so many seconds."""

        def __init__(self, seconds):
            self.seconds = seconds

        async def receive(self):
            await asyncio.sleep(self.seconds)
            return {"type": "http.disconnect"}

    def test_what_is_computed_for_one_ends(self):
        ended = []

        async def work():
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                ended.append(True)
                raise

        async def run():
            with pytest.raises(ClientDisconnect):
                await app_module._unless_gone(self.Request(0.01), work())
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(run())
        assert ended == [True]

    @pytest.mark.parametrize("result", [5, ZeroDivisionError()])
    def test_one_that_stays_has_the_result_and_nothing_waits_any_more(self, result):
        async def work():
            if isinstance(result, Exception):
                raise result
            return result

        async def run():
            try:
                return await app_module._unless_gone(self.Request(30), work())
            finally:
                await asyncio.sleep(0)
                assert len(asyncio.all_tasks()) == 1

        if isinstance(result, Exception):
            with pytest.raises(ZeroDivisionError):
                asyncio.run(run())
        else:
            assert asyncio.run(run()) == 5
