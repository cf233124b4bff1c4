"""One service for all tests that leave it as it was."""

import pytest


@pytest.fixture(scope="session")
def service():
    """A service with its own defaults."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    from running_service import running_service

    with running_service() as running:
        yield running
