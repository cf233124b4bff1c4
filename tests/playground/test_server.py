"""`open-nsfw playground` refuses in one line, and leaves no process behind."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest
from fresh_python import REPOSITORY
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


def test_an_address_that_is_none_is_one_line(capsys, with_the_extra):
    assert refused(capsys, "--host", "no.such.host.invalid").endswith("; --port takes another")


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


def test_voila_is_given_the_notebook_the_address_and_the_template(monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "/mine")
    command = server._command("::1", 8866)
    assert command[:2] == [sys.executable, "-c"] and command[3].endswith("Playground.ipynb")
    assert command[2] == server._PROGRAM
    address = ["--Voila.ip=::1", "--port=8866", "--Voila.port_retries=0"]
    assert command[4:] == [*address, "--no-browser", "--template=playground"]
    # Where the package has its template, and then where the user has others
    folder = os.path.dirname(server.__file__)
    assert os.path.isdir(os.path.join(folder, "voila", "templates", "playground"))
    assert server._environment() == {**os.environ, "JUPYTER_PATH": os.pathsep.join([folder, "/mine"])}
    monkeypatch.delenv("JUPYTER_PATH")
    assert server._environment()["JUPYTER_PATH"] == folder


@pytest.mark.parametrize("missing", ["voila", "anywidget"])
def test_each_package_of_the_extra_is_asked_for(missing, monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None if name == missing else "found")
    with pytest.raises(ModuleNotFoundError, match=f"the playground needs {missing}: pip install") as caught:
        server._check_extra()
    assert caught.value.name == missing


def test_an_address_of_ip_version_6_has_brackets_on_the_page(monkeypatch, with_the_extra):
    run_instead_of_voila(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(server, "_check_free", lambda host, port: None)
    monkeypatch.setattr(server, "_wait_for_answer", lambda *arguments: None)
    with server.serving("::1", 8866) as (address, process):
        assert address == "http://[::1]:8866/"
    assert process.poll() is not None


def test_what_ends_without_a_word_is_said_too(monkeypatch, with_the_extra):
    run_instead_of_voila(monkeypatch, "print(' '); raise SystemExit(3)")
    with pytest.raises(server.ServerError, match="Voila ended with exit code 3: it said nothing"):
        with server.serving("127.0.0.1", free_port()):
            pass


def test_what_does_not_answer_in_time_is_ended(monkeypatch, with_the_extra):
    monkeypatch.setattr(server, "START", 0.0)
    run_instead_of_voila(monkeypatch, "import time; time.sleep(600)")
    started = []
    run = subprocess.Popen
    monkeypatch.setattr(
        server.subprocess, "Popen", lambda *args, **options: started.append(run(*args, **options)) or started[0]
    )
    with pytest.raises(server.ServerError, match="Voila did not answer within 0 s"):
        with server.serving("127.0.0.1", free_port()):
            pass
    assert started[0].poll() is not None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_what_does_not_end_when_it_is_asked_to_is_killed(monkeypatch):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "deaf\n"
    monkeypatch.setattr(server, "END", 0.2)
    server._end(process)
    assert process.returncode == -signal.SIGKILL
    server._end(process)  # one that has ended is left alone


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
        assert os.getsid(process.pid) == process.pid  # a terminal's Ctrl-C is for the command, which ends it in order
        socket.create_connection(("127.0.0.1", port)).close()
    assert process.poll() is not None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_the_server_ends_with_a_command_that_is_killed(tmp_path):
    port = free_port()
    voila = f"import os, pathlib; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
    (tmp_path / "voila.py").write_text(f"{voila}import sys; sys.argv[1:] = ['127.0.0.1', '{port}']\n{LISTENS}\n")
    (tmp_path / "anywidget.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + (
        "from nsfw_experiments.playground.server import serving\n"
        f"with serving('127.0.0.1', {port}):\n"
        "    print('serving', flush=True)\n"
        "    import time; time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert command.stdout.readline() == "serving\n"
    started = psutil.Process(int((tmp_path / "pid").read_text()))
    try:
        command.kill()
        command.communicate()
        _, alive = psutil.wait_procs([started], timeout=20)
        assert not alive
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            started.kill()


def test_ctrl_c_ends_the_server_too(monkeypatch, with_the_extra):
    run_instead_of_voila(monkeypatch, LISTENS)
    with pytest.raises(KeyboardInterrupt), server.serving("127.0.0.1", free_port()) as (_, process):
        raise KeyboardInterrupt
    assert process.poll() is not None
