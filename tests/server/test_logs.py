"""A request is one line of the log, whatever it says."""

import json
import logging

import pytest

pytest.importorskip("prometheus_client")

from nsfw_server.logs import JsonFormatter, TextFormatter


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
