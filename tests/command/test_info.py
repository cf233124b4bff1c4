"""``open-nsfw info`` says what computes the scores."""

import json

import open_nsfw
from nsfw_command import info
from nsfw_command.main import main
from theano_cpu import onednn


def test_the_projects_own_version_comes_first(capsys):
    assert main(["info"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["open-nsfw", open_nsfw.__version__]


def test_the_engine_its_version_and_threads_are_said(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["engine"] == onednn.engine()
    assert facts["theano"] == "1.0.5"
    if facts["engine"] == "onednn":
        assert facts["threads"] >= 1 and facts["onednn"].startswith("3.")
    assert "version" not in facts  # of what?
    assert facts["weights"].endswith("nsfw.pkl") and facts["architecture"].endswith("deploy.prototxt")


def test_plain_theano_is_said_too(capsys, monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "theano")
    assert main(["info"]) == 0
    assert "engine              theano\n" in capsys.readouterr().out


def test_an_unknown_engine_is_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "caffe")
    assert main(["info"]) == 2
    captured = capsys.readouterr()
    message = "open-nsfw: error: THEANO_CPU_ENGINE is 'caffe', expected one of onednn, theano\n"
    assert captured.out == "" and captured.err == message


def test_facts_stand_below_one_another_and_what_is_missing_is_a_dash(capsys, monkeypatch):
    monkeypatch.setattr(info, "gather", lambda: {"a": 1, "longest": None, "on": True, "off": False, "zero": 0})
    assert main(["info"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a        1",
        "longest  -",
        "on       True",
        "off      False",
        "zero     0",
    ]


def test_a_package_that_is_not_installed_has_no_version():
    assert info.installed_version("Lasagne") and info.installed_version("no-such-package-of-ours") is None


def test_json_is_read_by_people_too(capsys, monkeypatch):
    monkeypatch.setattr(info, "gather", lambda: {"a": 1, "b": None})
    assert main(["info", "--json"]) == 0
    assert capsys.readouterr().out == '{\n  "a": 1,\n  "b": null\n}\n'
