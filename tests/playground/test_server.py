"""`open-nsfw playground` refuses in one line, and leaves no process behind."""

import importlib.util
import socket
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from ports import free_port

from nsfw_command.main import main
from nsfw_experiments.playground import server


def refused(capsys, *arguments):
    assert main(["playground", "--no-browser", *arguments]) == 1
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def with_the_extra(monkeypatch):
    """What is refused before Voila would be started is refused without it, too."""
    monkeypatch.setattr(server, "find_spec", lambda name: importlib.util.find_spec("sys"))


def test_a_port_in_use_is_one_line(capsys, with_the_extra):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(capsys, "--port", str(port))
    assert line == f"open-nsfw playground: 127.0.0.1:{port}: Address already in use; --port takes another"


@pytest.mark.parametrize("arguments", [("--port", "65536"), ("--host", "no.such.host.invalid")])
def test_an_address_that_is_none_is_one_line(capsys, with_the_extra, arguments):
    assert refused(capsys, *arguments).endswith("; --port takes another")


@pytest.mark.parametrize("arguments, opened", [((), ["http://here:1"]), (("--no-browser",), [])])
def test_a_browser_is_opened_unless_it_is_not_wanted(arguments, opened, monkeypatch, capsys):
    seen = []

    @contextmanager
    def serving(host, port):
        yield "http://here:1", SimpleNamespace(wait=lambda: None, returncode=3)

    monkeypatch.setattr(server, "serving", serving)
    monkeypatch.setattr("webbrowser.open", seen.append)
    assert main(["playground", *arguments]) == 1
    assert seen == opened
    assert capsys.readouterr() == (
        "http://here:1  Ctrl-C ends it\n",
        "open-nsfw playground: Voila ended with exit code 3\n",
    )


def test_a_missing_extra_is_one_line_that_names_it(capsys, monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert refused(capsys).endswith("the playground needs voila: pip install 'open-nsfw-theano[playground]'")


def run_instead_of_voila(monkeypatch, code):
    monkeypatch.setattr(server, "_command", lambda host, port: [sys.executable, "-c", code, host, str(port)])


LISTENS = "import socket, sys, time; kept = socket.create_server((sys.argv[1], int(sys.argv[2]))); time.sleep(600)"


def test_what_ends_voila_at_once_is_one_line(capsys, monkeypatch, with_the_extra):
    run_instead_of_voila(monkeypatch, "raise SystemExit('no template of that name')")
    port = free_port()
    line = refused(capsys, "--port", str(port))
    assert line.endswith(f"127.0.0.1:{port}: Voila ended with exit code 1: no template of that name")


def test_the_address_is_that_of_the_page_and_the_server_ends_with_the_block(monkeypatch, with_the_extra):
    run_instead_of_voila(monkeypatch, LISTENS)
    port = free_port()
    with server.serving("127.0.0.1", port) as (address, process):
        assert address == f"http://127.0.0.1:{port}/"
        socket.create_connection(("127.0.0.1", port)).close()
    assert process.poll() is not None


def test_ctrl_c_ends_the_server_too(monkeypatch, with_the_extra):
    run_instead_of_voila(monkeypatch, LISTENS)
    with pytest.raises(KeyboardInterrupt), server.serving("127.0.0.1", free_port()) as (_, process):
        raise KeyboardInterrupt
    assert process.poll() is not None
