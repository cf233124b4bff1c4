"""Connections: how many, and how slow a client may be before a request has begun."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from nsfw_server.limits import Limits
from nsfw_server.problem import Problem

#: Bytes of a request's head.
MAX_HEAD_BYTES = 1 << 16
#: Beyond so many times the limit of connections not even an error is answered.
REFUSED_TIMES = 2


class LimitedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, which has no limit for the time in which the head of a request arrives.

    Its limits are those of the environment: uvicorn's workers know nothing else of one another.
    """

    _timer: asyncio.TimerHandle | None = None
    _head_bytes: int | None = None  # of a head that is not whole; only httptools tells

    def connection_made(self, transport: Any) -> None:
        """Count the connection, and refuse it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > REFUSED_TIMES * _limits().connections:
            transport.abort()
            return
        if len(self.connections) > _limits().connections:
            self.app = _answer_busy
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()
        self._watch()

    def on_message_begin(self) -> None:
        """Count the bytes of a request's head: httptools has no limit for them, and h11 has."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End counting."""
        self._head_bytes = None
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._unset()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Set the timer while bytes come that belong to no request that is being served."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._unset()
        elif self._timer is None:
            self._timer = self.loop.call_later(_limits().head_seconds, self.transport.abort)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@cache
def _limits() -> Limits:
    return Limits.from_environment()


async def _answer_busy(scope: Any, receive: Any, send: Any) -> None:
    problem = Problem("busy", "too many connections are open")
    headers = {"content-type": "application/json", "connection": "close", **problem.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": json.dumps(problem.as_json()).encode()})
