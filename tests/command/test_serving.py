"""``open-nsfw serve``: what the service is started with, and how its end becomes an exit code."""

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

from nsfw_command.main import main
from nsfw_server import workers
from nsfw_server.limits import Limits


@pytest.fixture
def started(monkeypatch):
    """What the service is started with; it ends at once, as it is told."""
    started = []
    monkeypatch.setattr(workers, "run", lambda *arguments: started.append(arguments))
    return started


def test_what_is_not_given_has_its_default(started):
    assert main(["serve"]) == 0
    assert started == [("127.0.0.1", 8000, 1, Limits.from_environment(), False, "info")]


def test_what_is_given_is_passed_on(started):
    given = ["--host", "0.0.0.0", "--port", "81", "--workers", "3", "--json-logs", "--log-level", "error"]
    assert main(["serve", *given, "--queue", "7", "--seconds", "2.5"]) == 0
    limits = Limits.from_environment(queue=7, seconds=2.5)
    assert started == [("0.0.0.0", 81, 3, limits, True, "error")]


@pytest.mark.parametrize(
    "end, code",
    [(SystemExit(0), 0), (SystemExit(None), 0), (SystemExit(1), 2), (SystemExit(3), 2), (KeyboardInterrupt(), 0)],
)
def test_its_end_is_an_exit_code(end, code, monkeypatch):
    def run(*arguments):
        raise end

    monkeypatch.setattr(workers, "run", run)
    assert main(["serve"]) == code


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--host", ""], "--host: got nothing, expected an address"),
        (["--host", " \t"], "--host: got nothing, expected an address"),
        (["--host", "a..b"], "--host: got 'a..b', expected an address: "),
        (["--queue", "0"], "queue: got 0, expected a whole number of at least 1"),
        (["--seconds", "0"], "seconds: got 0.0, expected a number above 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message, started, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", *arguments])
    assert message in capsys.readouterr().err and started == []
