"""A request is one line of the log, whatever it says."""

import asyncio
import json
import logging
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("prometheus_client")

from nsfw_server import logs
from nsfw_server.logs import JsonFormatter, RequestLog, TextFormatter
from nsfw_server.metrics import Metrics


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_path_neither_forges_a_line_nor_commands_a_terminal(formatter):
    record = logging.LogRecord("open_nsfw.requests", logging.INFO, "", 0, "request", (), None)
    record.facts = {"path": "/a\n2026-01-01 forged\r\x1b[2J\x85\u2028\u202e", "status": 404}
    line = formatter.format(record)
    assert line.isprintable() and line.isascii() and "forged" in line and "404" in line


def test_a_path_forges_no_fact_in_a_line_of_words():
    record = logging.LogRecord("open_nsfw.requests", logging.INFO, "", 0, "request", (), None)
    record.facts = {"path": "/a status=200 client=10.0.0.1", "status": 404}
    words = TextFormatter().format(record).split()
    assert [word for word in words if word.startswith(("status=", "client="))] == ["status=404"]


def test_a_line_of_json_has_the_path_as_it_was():
    record = logging.LogRecord("open_nsfw.requests", logging.INFO, "", 0, "request", (), None)
    record.facts = {"path": "/a\nb"}
    assert json.loads(JsonFormatter().format(record))["path"] == "/a\nb"


def record(facts=None, error=None):
    made = logging.LogRecord("open_nsfw.requests", logging.WARNING, "", 0, "got %s", ("it",), error)
    made.created, made.msecs = 1_700_000_000.007, 7.9
    if facts:
        made.facts = facts
    return made


def test_a_line_of_json_has_its_moment_level_logger_message_and_facts():
    """1,700,000,000 seconds after the epoch: `date --utc --date=@1700000000`."""
    assert json.loads(JsonFormatter().format(record({"status": 404}))) == {
        "time": "2023-11-14T22:13:20.007Z",
        "level": "warning",
        "logger": "open_nsfw.requests",
        "message": "got it",
        "status": 404,
    }


def test_a_line_of_words_has_the_same():
    assert TextFormatter().format(record({"status": 404, "ms": 1.5})) == (
        "2023-11-14T22:13:20.007Z warning got it status=404 ms=1.5"
    )
    assert TextFormatter().format(record()) == "2023-11-14T22:13:20.007Z warning got it"


def test_an_error_is_told_with_its_traceback():
    try:
        raise ZeroDivisionError("of the program")
    except ZeroDivisionError:
        made = record(error=sys.exc_info())
    assert json.loads(JsonFormatter().format(made))["exception"].endswith("ZeroDivisionError: of the program")
    first, *_, last = TextFormatter().format(made).splitlines()
    assert first == "2023-11-14T22:13:20.007Z warning got it" and last == "ZeroDivisionError: of the program"
    assert "exception" not in json.loads(JsonFormatter().format(record()))


class TestRequests:
    SCOPE = {"type": "http", "method": "POST", "path": "/v1/score/é", "client": ("10.0.0.1", 5)}

    @pytest.fixture
    def metrics(self):
        return Metrics()

    def ask(self, metrics, app, monkeypatch, scope=SCOPE):
        """What is sent, for an answer that takes 0.1234 seconds."""
        moments, sent = iter([10.0, 10.1234]), []
        monkeypatch.setattr(logs.time, "perf_counter", lambda: next(moments))

        async def send(message):
            sent.append(message)

        asyncio.run(RequestLog(app, metrics)({**scope}, "receive", send))
        return sent

    async def app(self, scope, receive, send):
        assert receive == "receive"
        scope["route"] = SimpleNamespace(path="/v1/score/{name}")
        await send({"type": "http.response.start", "status": 418, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"c"})

    def test_a_request_is_counted_logged_and_answered(self, metrics, monkeypatch, caplog):
        caplog.set_level(logging.INFO, "open_nsfw.requests")
        assert self.ask(metrics, self.app, monkeypatch) == [
            {"type": "http.response.start", "status": 418, "headers": [(b"a", b"b"), (b"cache-control", b"no-store")]},
            {"type": "http.response.body", "body": b"c"},
        ]
        [made] = caplog.records
        assert (made.name, made.levelname, made.getMessage()) == ("open_nsfw.requests", "INFO", "request")
        assert made.facts == dict(method="POST", path="/v1/score/é", status=418, ms=123.4, client="10.0.0.1")
        text = metrics.text().decode()
        assert 'open_nsfw_requests_total{endpoint="/v1/score/{name}",status="418"} 1.0' in text
        assert 'open_nsfw_request_seconds_bucket{endpoint="/v1/score/{name}",le="0.1"} 0.0' in text
        assert 'open_nsfw_request_seconds_bucket{endpoint="/v1/score/{name}",le="0.15"} 1.0' in text

    def test_one_that_nobody_answers_has_nginxs_number(self, metrics, monkeypatch, caplog):
        """499, client closed request: https://github.com/nginx/nginx, src/http/ngx_http_request.h"""
        caplog.set_level(logging.INFO, "open_nsfw.requests")

        async def app(scope, receive, send):
            raise ConnectionError

        with pytest.raises(ConnectionError):
            self.ask(metrics, app, monkeypatch, {**self.SCOPE, "client": None})
        assert (caplog.records[0].facts["status"], caplog.records[0].facts["client"]) == (499, "-")
        assert 'open_nsfw_requests_total{endpoint="other",status="499"} 1.0' in metrics.text().decode()

    def test_where_nobody_reads_it_is_counted_only(self, metrics, monkeypatch, caplog):
        caplog.set_level(logging.WARNING, "open_nsfw.requests")
        self.ask(metrics, self.app, monkeypatch)
        assert caplog.records == [] and 'status="418"} 1.0' in metrics.text().decode()

    def test_what_is_no_request_is_passed_on(self, metrics, monkeypatch):
        async def app(scope, receive, send):
            await send(scope["type"])

        assert self.ask(metrics, app, monkeypatch, {"type": "lifespan"}) == ["lifespan"]
        assert "open_nsfw_requests_total{" not in metrics.text().decode()
