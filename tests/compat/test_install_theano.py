"""install_theano.py asks pip for the releases on PyPI, with configparser's lost names put back while they are built."""

import configparser
import os
import sys
from pathlib import Path

import install_theano
import pytest


def test_an_untried_python_is_one_clear_message(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"^Python 3\.10 to 3\.13 is needed, and .* run this with one of those"):
        install_theano.main()


def test_the_releases_are_built_where_pythons_start_reads_the_names(monkeypatch):
    commands = []

    def run(command, check, env):
        customization = Path(env["PYTHONPATH"], "sitecustomize.py") if "--no-build-isolation" in command else None
        commands.append((command, customization and customization.read_text()))

    monkeypatch.setattr(install_theano.subprocess, "run", run)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    install_theano.main()
    (tools, _), (releases, customization) = commands
    assert tools[:4] == releases[:4] == [sys.executable, "-m", "pip", "install"]
    assert releases[-2:] == ["Theano==1.0.5", "Lasagne==0.1"]
    assert customization == install_theano.CONFIGPARSER_OF_PYTHON_3_11
    assert "PYTHONPATH" not in os.environ


def test_the_names_that_python_3_12_dropped_read_a_setup_cfg(monkeypatch, tmp_path):
    """What Theano's versioneer does: SafeConfigParser().readfp(file)."""
    for owner, name in (configparser, "SafeConfigParser"), (configparser.RawConfigParser, "readfp"):
        monkeypatch.setattr(owner, name, None, raising=False)  # so that it is restored, or removed, afterwards
        delattr(owner, name)
    exec(install_theano.CONFIGPARSER_OF_PYTHON_3_11, {})
    (tmp_path / "setup.cfg").write_text("[versioneer]\nVCS = git\n")
    parser = configparser.SafeConfigParser()
    with open(tmp_path / "setup.cfg") as file:
        parser.readfp(file)
    assert parser.get("versioneer", "VCS") == "git"
