"""Connections: how many, how slow a client may be, and what a request may have beside its body."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from nsfw_server.limits import Limits
from nsfw_server.problem import Problem

#: Bytes of a request's head, and of whatever else comes without an end and is no body.
MAX_HEAD_BYTES = 1 << 16
#: Headers of a request, those behind its body included.
MAX_HEADERS = 256
#: Requests that a client may send before an earlier one is answered.
MAX_PIPELINED = 64
#: Bytes of an answer that a client has to read in the time in which a connection may be idle.
LEAST_READ = 1 << 14
#: Beyond so many times the limit of connections not even an error is answered.
REFUSED_TIMES = 2


class LimitedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, with limits for clients that are slow to send or to read, and for what its parser collects.

    Its limits are those of the environment: uvicorn's workers know nothing else of one another. What follows
    `data_received` is told by httptools, which has no limits; h11 tells nothing of it, and has.
    """

    _arrival: asyncio.TimerHandle | None = None
    _departure: asyncio.TimerHandle | None = None
    _is_told = False
    _bytes_untold: int | None = None  # since something was told; None where nothing ever is
    _headers = 0

    def connection_made(self, transport: Any) -> None:
        """Count the connection, and refuse it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > REFUSED_TIMES * _limits().connections:
            transport.abort()
            return
        if len(self.connections) > _limits().connections:
            self.app = _answer_busy
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_arrival()
        self._forget_departure()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        self._is_told = False
        super().data_received(data)
        if self._is_told:
            self._bytes_untold = 0
        elif self._bytes_untold is not None:
            self._bytes_untold += len(data)
            if self._bytes_untold > MAX_HEAD_BYTES:
                self.transport.abort()
        self._watch_arrival()
        self._watch_departure()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._is_told, self._headers = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or one behind the body, unless there are too many."""
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise ValueError("too many headers")  # to the parser, which gives up then
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head, unless too many requests wait for their answers."""
        self._is_told = True
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._is_told = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._is_told = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End an answer."""
        super().on_response_complete()
        self._watch_departure()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._watch_departure()

    def resume_writing(self) -> None:
        """Go on, for the client has read."""
        self._forget_departure()
        super().resume_writing()
        self._watch_departure()

    def _watch_arrival(self) -> None:
        """Set the timer while bytes come that belong to no request that is being served."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_arrival()
        elif self._arrival is None:
            self._arrival = self.loop.call_later(_limits().head_seconds, self.transport.abort)

    def _watch_departure(self) -> None:
        """Set the timer while an answer waits to be read."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self._forget_departure()
        elif self._departure is None:
            self._departure = self.loop.call_later(_limits().idle_seconds, self._end_unless_read, waiting)

    def _end_unless_read(self, waiting: int) -> None:
        self._departure = None
        if self.transport.get_write_buffer_size() > waiting - LEAST_READ:
            self.transport.abort()
        else:
            self._watch_departure()

    def _forget_arrival(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _forget_departure(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None


@cache
def _limits() -> Limits:
    return Limits.from_environment()


async def _answer_busy(scope: Any, receive: Any, send: Any) -> None:
    problem = Problem("busy", "too many connections are open")
    headers = {"content-type": "application/json", "connection": "close", **problem.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": json.dumps(problem.as_json()).encode()})
