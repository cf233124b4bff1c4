"""Connections of clients that send what never ends, or read nothing: none of it is kept, and none keeps its place."""

import asyncio
import contextlib
import socket

import pytest

uvicorn = pytest.importorskip("uvicorn")

from nsfw_server import protocol  # noqa: E402
from nsfw_server.limits import Limits  # noqa: E402

POST = b"POST / HTTP/1.1\r\nHost: here\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
#: More than any kernel holds for a connection.
ENDLESS = 1 << 26


class Served:
    """A protocol's server, with small buffers of the kernel."""

    def __init__(self, port, state):
        self.port, self._state = port, state

    async def client(self):
        """A connection that reads nothing by itself."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        return client

    async def connections(self, count):
        """Wait until there are so many."""
        async with asyncio.timeout(20):
            while len(self._state.connections) != count:
                await asyncio.sleep(0.01)


@pytest.fixture
def serve(monkeypatch):
    """Serve an application while a scenario is played."""

    def serve(app, scenario, **limits):
        monkeypatch.setattr(protocol, "_limits", lambda: Limits(**limits))

        async def run():
            config = uvicorn.Config(app, http=protocol.LimitedProtocol, ws="none", log_level="critical")
            config.load()
            state = uvicorn.server.ServerState()
            server = await asyncio.get_running_loop().create_server(
                lambda: protocol.LimitedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
            )
            server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            try:
                await scenario(Served(server.sockets[0].getsockname()[1], state))
            finally:
                server.close()

        asyncio.run(run())

    return serve


def answering(body):
    """An application that reads each request to its end, and answers it; and the bodies that it has got."""
    got = []

    async def app(scope, receive, send):
        data, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            data, more = data + message.get("body", b""), message.get("more_body", False)
        got.append(data)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app, got


async def send(client, data):
    await asyncio.get_running_loop().sock_sendall(client, data)


async def received(client):
    """All that comes until the connection ends."""
    data = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            while part := await asyncio.get_running_loop().sock_recv(client, 65536):
                data += part
    return data


@pytest.mark.parametrize("begin, more", [
    (POST + b"X: ", b"x" * 4096),
    (POST, b"X: y\r\n" * 1000),
    (CHUNKED + b"0\r\nX: ", b"x" * 4096),
    (CHUNKED + b"0\r\n", b"X: y\r\n" * 1000),
    (CHUNKED + b"3;", b"x" * 4096),
], ids=["a header", "headers", "a header behind the body", "headers behind the body", "what a chunk says"])  # fmt: skip
def test_what_is_no_body_and_does_not_end_is_cut_off(serve, begin, more):
    app, got = answering(b"")

    async def scenario(served):
        client = await served.client()
        with contextlib.suppress(ConnectionError):
            await send(client, begin)
            async with asyncio.timeout(20):
                for _ in range(ENDLESS // len(more)):
                    await send(client, more)
            raise AssertionError("all of it was taken")
        await served.connections(0)

    serve(app, scenario)
    assert got == []


@pytest.mark.parametrize("count, status", [(254, b"200"), (255, b"400")])
def test_so_many_headers_are_taken_and_no_more(serve, count, status):
    pytest.importorskip("httptools")  # h11 counts bytes only
    app, _ = answering(b"")

    async def scenario(served):
        client = await served.client()
        await send(client, POST + b"Connection: close\r\n" + b"X: y\r\n" * count + b"\r\n")
        assert (await received(client)).split()[1] == status

    serve(app, scenario)


def test_a_body_is_taken_however_it_is_cut(serve):
    app, got = answering(b"")

    async def scenario(served):
        client = await served.client()
        await send(client, POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for _ in range(100):
            await send(client, b"1;of=one\r\nx\r\n" * 1000 + b"2000\r\n" + bytes(8192) + b"\r\n")
        await send(client, b"0\r\nChecksum: none\r\n\r\n")
        assert (await received(client)).startswith(b"HTTP/1.1 200")

    serve(app, scenario)
    assert got == [(b"x" * 1000 + bytes(8192)) * 100]


def test_a_large_body_is_no_head(serve):
    app, got = answering(b"")

    async def scenario(served):
        client = await served.client()
        await send(client, POST + b"Connection: close\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
        assert (await received(client)).startswith(b"HTTP/1.1 200")

    serve(app, scenario)
    assert got == [bytes(1_000_000)]


def test_requests_behind_one_another_are_answered_unless_they_are_far_too_many(serve):
    pytest.importorskip("httptools")  # h11 reads no further than the request that is served
    begun, told = [], asyncio.Event()

    async def app(scope, receive, send):
        begun.append(scope["path"])
        await told.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def scenario(served):
        client = await served.client()
        await send(client, b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(50)))
        told.set()
        async with asyncio.timeout(20):
            while len(begun) < 50:
                await asyncio.sleep(0.01)
        told.clear()
        many = await served.client()
        await send(many, b"GET /many HTTP/1.1\r\n\r\n" * 1000)
        assert b"HTTP/1.1 400" in await received(many)

    serve(app, scenario)
    assert begun[:50] == [f"/{number}" for number in range(50)] and len(begun) <= 51


def test_a_client_that_reads_at_times_gets_all_of_a_long_answer(serve):
    """Each time the same number of bytes is left unread: they are others, so the time begins anew."""
    piece, count = 200_000, 4

    async def app(scope, receive, send):
        headers = [(b"content-length", str(piece * count).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(count):
            await send({"type": "http.response.body", "body": bytes(piece), "more_body": number < count - 1})

    async def scenario(served):
        client = await served.client()
        await send(client, b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        data = b""
        for number in range(1, count):
            await asyncio.sleep(1.2)
            while len(data) < piece * number:
                part = await asyncio.get_running_loop().sock_recv(client, 65536)
                assert part, f"the connection was ended after {len(data)} bytes"
                data += part
        assert len(data + await received(client)) > piece * count

    serve(app, scenario, idle_seconds=2)


@pytest.mark.parametrize("size", [1 << 23, 50_000], ids=["more than is buffered", "less"])
def test_an_answer_that_nobody_reads_keeps_no_connection(serve, size):
    app, _ = answering(bytes(size))

    async def scenario(served):
        client = await served.client()
        await send(client, POST + b"Connection: close\r\n\r\n")
        await served.connections(1)
        await served.connections(0)
        assert len(await received(client)) < size

    serve(app, scenario, idle_seconds=1)


def test_a_client_that_reads_slowly_gets_all_of_its_answer(serve):
    app, _ = answering(bytes(400_000))

    async def scenario(served):
        client = await served.client()
        await send(client, POST + b"Connection: close\r\n\r\n")
        data = b""
        while part := await asyncio.get_running_loop().sock_recv(client, 4096):
            data += part
            await asyncio.sleep(0.02)
        assert len(data) > 400_000

    serve(app, scenario, idle_seconds=1)


@pytest.mark.parametrize(
    "begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: here\r\n\r\nGET / HT"], ids=["none", "one", "the second"]
)
def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(serve, begin):
    app, got = answering(b"")

    async def scenario(served):
        client = await served.client()
        await send(client, begin)
        await received(client)
        await served.connections(0)

    serve(app, scenario, head_seconds=0.2)
    assert len(got) == begin.count(b"\r\n\r\n")


def test_an_answer_that_takes_long_is_waited_for(serve):
    async def app(scope, receive, send):
        await asyncio.sleep(0.5)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def scenario(served):
        client = await served.client()
        await send(client, b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        assert (await received(client)).startswith(b"HTTP/1.1 200")

    serve(app, scenario, head_seconds=0.2)


def test_headers_are_handed_on_in_their_order(serve):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def scenario(served):
        client = await served.client()
        await send(client, b"GET / HTTP/1.1\r\nHost: here\r\nA: 1\r\nConnection: close\r\nB: 2\r\n\r\n")
        await received(client)

    serve(app, scenario)
    assert seen == [[(b"host", b"here"), (b"a", b"1"), (b"connection", b"close"), (b"b", b"2")]]
