"""A service in this process: its loop runs on a thread, and tests ask as they would ask over HTTP."""

import asyncio
import threading
from contextlib import contextmanager

import pytest


class Client:
    """Asks an application, without a network between."""

    def __init__(self, app, loop):
        self.app, self._loop = app, loop

    def run(self, work):
        """What a coroutine gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    async def ask(self, method, path, **content):
        """The answer, awaited."""
        import httpx

        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=120) as client:
            return await client.request(method, path, **content)

    def get(self, path):
        return self.run(self.ask("GET", path))

    def post(self, path="/v1/score", **content):
        return self.run(self.ask("POST", path, **content))


@contextmanager
def serving(**limits):
    """A client of an application with these limits."""
    from nsfw_server.app import create_app
    from nsfw_server.limits import Limits

    app = create_app(Limits(**limits))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    client = Client(app, loop)
    lifespan = app.router.lifespan_context(app)
    client.run(lifespan.__aenter__())
    try:
        yield client
    finally:
        client.run(lifespan.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def client():
    """With patience for slow machines."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    with serving(quick_seconds=60.0, seconds=120.0) as client:
        yield client


@pytest.fixture(scope="session")
def serve():
    """For limits of a test's own."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    return serving


@pytest.fixture(scope="session")
def service():
    """``open-nsfw serve`` as it is started, for tests that leave it as it was."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    from running_service import running_service

    with running_service("--quick-seconds", "60", "--seconds", "120") as running:
        yield running
