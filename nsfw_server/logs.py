"""A line for each request."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from nsfw_server.metrics import Metrics

#: Gets a record for each request, with `facts`.
requests = logging.getLogger("open_nsfw.requests")
#: nginx's number of a client that went before its answer.
GONE = 499


class RequestLog:
    """ASGI middleware that counts each request, and logs it.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    """

    def __init__(self, app: Any, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), GONE

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"cache-control", b"no-store")]}
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            seconds = time.perf_counter() - began
            route = scope.get("route")
            endpoint = getattr(route, "path", "other")
            self._metrics.requests.labels(endpoint, str(status)).inc()
            self._metrics.request_seconds.labels(endpoint).observe(seconds)
            if requests.isEnabledFor(logging.INFO):
                facts = dict(method=scope["method"], path=scope["path"], status=status, ms=round(1e3 * seconds, 1))
                requests.info("request", extra={"facts": {**facts, "client": (scope.get("client") or ["-"])[0]}})


class JsonFormatter(logging.Formatter):
    """Makes an object of each record.

    Examples
    --------
    >>> record = logging.LogRecord("open_nsfw", logging.INFO, "", 0, "ready", (), None)
    >>> json.loads(JsonFormatter().format(record))["message"]
    'ready'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record.

        Parameters
        ----------
        record : logging.LogRecord

        Returns
        -------
        str
        """
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """Makes a line of words of each record.

    Examples
    --------
    >>> record = logging.LogRecord("open_nsfw", logging.INFO, "", 0, "ready", (), None)
    >>> TextFormatter().format(record)[-10:]
    'info ready'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record.

        Parameters
        ----------
        record : logging.LogRecord

        Returns
        -------
        str
        """
        facts = "".join(f" {name}={_one_line(value)}" for name, value in getattr(record, "facts", {}).items())
        begin = f"{_moment(record)} {record.levelname.lower()} {record.getMessage()}{facts}"
        return begin + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def _one_line(value: object) -> str:
    """What a client has sent forges no line nor a fact of one, and commands no terminal."""
    return str(value).encode("unicode_escape").decode().replace(" ", r"\x20")


def _moment(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
