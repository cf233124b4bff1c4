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


class Transport:
    """A connection without a network: what waits to be read, and whether it was ended."""

    def __init__(self):
        self.waiting, self.is_aborted, self.written = 0, False, b""

    def get_extra_info(self, name, default=None):
        return default

    def get_write_buffer_size(self):
        return self.waiting

    def abort(self):
        self.is_aborted = True

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.is_aborted

    def pause_reading(self):
        """What follows comes all the same, as what was on its way."""

    def close(self):
        self.is_aborted = True


class Timers:
    """An event loop's timers, which never ring by themselves."""

    def __init__(self, loop):
        self._loop, self.set = loop, []

    def __getattr__(self, name):
        return getattr(self._loop, name)

    def call_later(self, seconds, do, *arguments):
        timer = Timer(seconds, lambda: do(*arguments))
        self.set.append(timer)
        return timer

    @property
    def seconds(self):
        return [timer.seconds for timer in self.set if not timer.is_cancelled]


class Timer:
    def __init__(self, seconds, ring):
        self.seconds, self.ring, self.is_cancelled = seconds, ring, False

    def cancel(self):
        self.is_cancelled = True


@pytest.fixture
def connect(monkeypatch):
    """Plays with connections of one server, made up by `connect()`."""
    pytest.importorskip("httptools")

    def connect(play, **limits):
        monkeypatch.setattr(protocol, "_limits", lambda: Limits(**limits))

        async def app(scope, receive, send):
            await asyncio.sleep(3600)

        async def run():
            config = uvicorn.Config(app, http=protocol.LimitedProtocol, ws="none", log_level="critical")
            config.load()
            state = uvicorn.server.ServerState()

            def made():
                connection = protocol.LimitedProtocol(config=config, server_state=state, app_state={})
                connection.loop = Timers(connection.loop)
                connection.connection_made(Transport())
                return connection

            play(made)
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(run())

    return connect


def test_so_many_connections_are_served_as_many_told_that_they_are_too_many_and_the_rest_ended(connect):
    def play(made):
        connections = [made() for _ in range(5)]
        assert [it.app is protocol._answer_busy for it in connections] == [False, False, True, True, False]
        assert [it.transport.is_aborted for it in connections] == [False] * 4 + [True]

    connect(play, connections=2)


def test_who_is_one_too_many_is_told_so():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(protocol._answer_busy({}, None, send))
    start, body = sent
    assert (start["type"], start["status"]) == ("http.response.start", 503)
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"connection": b"close",
        b"retry-after": b"1",
    }
    assert body["body"] == b'{"error": {"kind": "busy", "message": "too many connections are open"}}'


@pytest.mark.parametrize("more, is_aborted", [(1000, False), (1001, True)])
def test_a_head_has_so_many_bytes(more, is_aborted, connect, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_HEAD_BYTES", 1000)

    def play(made):
        connection = made()
        connection.data_received(b"POST / HTTP/1.1\r\nX: ")
        connection.data_received(b"x" * 600)
        connection.data_received(b"x" * (more - 600))
        assert connection.transport.is_aborted is is_aborted

    connect(play)


def test_bytes_are_counted_anew_from_each_part_of_a_request_that_is_told(connect, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_HEAD_BYTES", 100)

    def play(made):
        connection = made()
        connection.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: ")
        connection.data_received(b"x" * 90)
        connection.data_received(b"\r\n\r\n")
        for _ in range(3):
            connection.data_received(b"1;" + b"x" * 88)
            connection.data_received(b"\r\na\r\n")
        assert connection.transport.is_aborted is False

    connect(play)


@pytest.mark.parametrize("count, is_refused", [(4, False), (5, True)])
def test_so_many_requests_wait_behind_the_one_that_is_served(count, is_refused, connect, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_PIPELINED", 3)

    def play(made):
        connection = made()
        for _ in range(count):
            connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.transport.written.startswith(b"HTTP/1.1 400") is is_refused

    connect(play)


def test_a_head_has_its_time_until_the_request_is_served(connect):
    def play(made):
        connection = made()
        assert connection.loop.seconds == [7.0]
        connection.data_received(b"GET / HTTP/1.1\r\n")
        assert connection.loop.seconds == [7.0], "which does not begin anew"
        connection.data_received(b"Host: a\r\n\r\n")
        assert 7.0 not in connection.loop.seconds
        late = made()
        late.loop.set[0].ring()
        assert late.transport.is_aborted

    connect(play, head_seconds=7.0)


def test_an_answer_has_its_time_to_be_read(connect):
    def play(made):
        connection = made()
        transport, timers = connection.transport, connection.loop
        connection._watch_departure()
        assert 9 not in timers.seconds
        transport.waiting = 100_000
        connection.pause_writing()
        assert timers.seconds.count(9) == 1
        connection._watch_departure()
        assert timers.seconds.count(9) == 1, "which does not begin anew"
        transport.waiting = 0
        connection.resume_writing()
        assert 9 not in timers.seconds

    connect(play, idle_seconds=9)


@pytest.mark.parametrize("read, is_aborted", [((1 << 14) - 1, True), (1 << 14, False), (50_000, False)])
def test_so_many_bytes_have_to_be_read_in_that_time(read, is_aborted, connect):
    def play(made):
        connection = made()
        connection.transport.waiting = 100_000
        connection._watch_departure()
        [timer] = [it for it in connection.loop.set if it.seconds == 9]
        connection.transport.waiting -= read
        timer.is_cancelled = True  # as one that has rung
        timer.ring()
        assert connection.transport.is_aborted is is_aborted
        assert connection.loop.seconds.count(9) == (not is_aborted)

    connect(play, idle_seconds=9)


def test_a_connection_that_is_lost_has_no_timers(connect):
    def play(made):
        connection = made()
        connection.transport.waiting = 5
        connection._watch_departure()
        assert len(connection.loop.seconds) == 2
        connection.connection_lost(None)
        assert connection.loop.seconds == [] and connection not in connection.connections

    connect(play)
