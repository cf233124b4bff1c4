"""``open-nsfw playground``: a page is opened, and its end is told."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from nsfw_command.main import main


@pytest.fixture
def played(monkeypatch):
    """What is asked of the page and the browser; the page's process ends by itself."""
    pytest.importorskip("voila")
    from nsfw_experiments.playground import server

    played = []

    @contextmanager
    def serving(host, port):
        played.append((host, port))
        if port == 1:
            raise server.ServerError("port 1: is in use")
        yield "http://address", SimpleNamespace(wait=lambda: played.append("waited"), returncode=7)
        played.append("ended")

    monkeypatch.setattr(server, "serving", serving)
    monkeypatch.setattr("webbrowser.open", played.append)
    return played


@pytest.mark.parametrize("option, opened", [([], ["http://address"]), (["--no-browser"], [])])
def test_a_page_is_opened_in_the_browser_unless_told(option, opened, played, capsys):
    assert main(["playground", *option]) == 1
    assert played == [("127.0.0.1", 8866), *opened, "waited", "ended"]
    captured = capsys.readouterr()
    assert captured.out == "http://address  Ctrl-C ends it\n"
    assert captured.err == "open-nsfw playground: Voila ended with exit code 7\n"


def test_where_there_is_no_page_it_is_told(played, capsys):
    assert main(["playground", "--host", "0.0.0.0", "--port", "1"]) == 1
    assert played == [("0.0.0.0", 1)]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "open-nsfw playground: port 1: is in use\n")


def test_ctrl_c_ends_it(played, monkeypatch):
    def interrupt(address):
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", interrupt)
    assert main(["playground"]) == 130
