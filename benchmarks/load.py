"""Put a load on an HTTP service, from a process of its own, and print as JSON what came of it.

    python benchmarks/load.py PORT PATH TYPE FOLDER [--clients 32] [--count 600 | --rate 900 --seconds 60]

Each file of the folder is the body of a request. Clients are raw sockets that stay open, so that most of the processor
is left to the service. With `--count` each client asks as soon as it is answered. With `--rate` requests begin at that
rate, however the service fares, as long as a client is free; behind the last, one client asks again and again until
it is answered as soon as `--usual` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

#: Seconds until a request counts as not answered.
PATIENCE = 60
#: Counted in the place of a status where there is no answer.
NONE = "none"


class Client(asyncio.Protocol):
    """A client that asks one thing after the other over a connection, which it opens again when it is closed."""

    def __init__(self, port: int):
        self._port = port
        self._transport: Any = None
        self._received = b""
        self._answer: asyncio.Future[str] | None = None

    async def ask(self, request: bytes) -> str:
        """Send a request, and give the status of its answer."""
        loop = asyncio.get_running_loop()
        try:
            if self._transport is None or self._transport.is_closing():
                self._received = b""
                await loop.create_connection(lambda: self, "127.0.0.1", self._port)
            self._answer = loop.create_future()
            self._transport.write(request)
            return await asyncio.wait_for(self._answer, PATIENCE)
        except (OSError, asyncio.TimeoutError):
            self.close()
            return NONE

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        """Keep the connection."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that there is no answer."""
        self._transport = None
        self._tell(NONE)

    def data_received(self, data: bytes) -> None:
        """Read an answer, whose length its head says."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not end or len(body) < int(length[1] if length else 0):
            return
        self._received = b""
        if re.search(rb"(?i)\r\nconnection: *close", head):
            self.close()
        self._tell(head[9:12].decode())

    def _tell(self, status: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


def requests_of(path: str, media_type: str, folder: Path) -> list[bytes]:
    """The requests, one for each file of a folder."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: "
    bodies = [file.read_bytes() for file in sorted(folder.iterdir())]
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


async def one_after_the_other(port: int, requests: list[bytes], clients: int, count: int) -> dict[str, Any]:
    """Let each client ask as soon as it is answered."""
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    turns = iter(range(count))

    async def ask() -> None:
        client = Client(port)
        for turn in turns:
            began = time.perf_counter()
            statuses[await client.ask(requests[turn % len(requests)])] += 1
            latencies.append(time.perf_counter() - began)
        client.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    return {"wall": time.perf_counter() - began, "statuses": statuses, "latencies": latencies}


async def at_a_rate(
    port: int, requests: list[bytes], clients: int, rate: float, seconds: float, usual: float
) -> dict[str, Any]:
    """Begin requests at a rate, then see how long it takes until one client is answered as usual."""
    statuses: Counter[str] = Counter()
    free = [Client(port) for _ in range(clients)]
    asking: set[asyncio.Task[None]] = set()

    async def ask(client: Client, request: bytes) -> None:
        statuses[await client.ask(request)] += 1
        free.append(client)

    began = time.perf_counter()
    without_client = 0
    for number, request in zip(range(round(rate * seconds)), cycle(requests)):
        wait = began + number / rate - time.perf_counter()
        await asyncio.sleep(max(wait, 0))
        if time.perf_counter() - began > seconds:
            break
        if not free:
            without_client += 1
            continue
        task = asyncio.create_task(ask(free.pop(), request))
        asking.add(task)
        task.add_done_callback(asking.discard)
    ended = time.perf_counter()
    await _until_usual(port, requests[0], usual)
    recovery = time.perf_counter() - ended
    await asyncio.gather(*asking)
    return {"wall": ended - began, "statuses": statuses, "without_client": without_client, "recovery": recovery}


async def _until_usual(port: int, request: bytes, usual: float) -> None:
    client, ends = Client(port), time.perf_counter() + PATIENCE
    while time.perf_counter() < ends:
        began = time.perf_counter()
        if await client.ask(request) == "200" and time.perf_counter() - began <= usual:
            break
        await asyncio.sleep(0.01)
    client.close()


def main() -> None:
    """Put the load on the service, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("type")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--usual", type=float, default=0.1)
    args = parser.parse_args()
    requests = requests_of(args.path, args.type, args.folder)
    if args.rate is None:
        work = one_after_the_other(args.port, requests, args.clients, args.count)
    else:
        work = at_a_rate(args.port, requests, args.clients, args.rate, args.seconds, args.usual)
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
