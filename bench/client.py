"""`python -m bench.client JSON`: HTTP clients that send a request as soon as they have an answer.

They do as little as possible, because they share the cores with the API: each client keeps one
connection, and of an answer it only looks at the status.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any

from bench.readings import BenchReadings, Fields, as_json
from schemas.streams import STREAMS

HEADER_END = b"\r\n\r\n"

Requests = Callable[[], bytes]
"""Returns the bytes of the next request."""


class Client:
    """One connection, and the latency of every request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.latencies_ms: list[float] = []

    async def ask(self, request: bytes) -> bytes:
        """Send a request; return the answer's body. Raises ValueError for any status but 2xx."""
        began = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(HEADER_END)
        body = await self._reader.readexactly(_length(head))
        self.latencies_ms.append((time.perf_counter() - began) * 1000)
        if head[9:10] != b"2":
            raise ValueError(f"{head[:15]!r}: {body[:200]!r}")
        return body

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


async def run(wanted: dict[str, Any]) -> dict[str, Any]:
    """Send requests for `seconds`, at most `most`; return their number, time and latencies."""
    following = _gets(wanted) if wanted["kind"] == "get" else _posts(wanted)
    clients = [
        Client(*await asyncio.open_connection("127.0.0.1", wanted["port"]))
        for _ in range(wanted["clients"])
    ]
    began = time.perf_counter()
    until = began + wanted["seconds"]
    asked = 0

    async def work(client: Client) -> None:
        nonlocal asked
        while time.perf_counter() < until and asked < wanted["most"]:
            asked += 1
            await client.ask(following())

    await asyncio.gather(*(work(client) for client in clients))
    took = time.perf_counter() - began
    latencies = sorted(ms for client in clients for ms in client.latencies_ms)
    for client in clients:
        client.close()
    return {"requests": asked, "seconds": took, "latencies_ms": latencies}


def get(path: str) -> bytes:
    """A GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _gets(wanted: dict[str, Any]) -> Requests:
    """GET requests for the paths, again and again, each time in another order."""
    requests = [get(path) for path in wanted["paths"]]
    waiting: list[bytes] = []

    def following() -> bytes:
        if not waiting:
            waiting.extend(random.sample(requests, len(requests)))
        return waiting.pop()

    return following


def _posts(wanted: dict[str, Any]) -> Requests:
    """POST requests with batches of readings that were never sent before, of all streams."""
    start = datetime.fromisoformat(wanted["start"])
    sources = [
        (readings, as_envelope(stream.name, as_json(stream)))
        for stream in STREAMS.values()
        for readings in [BenchReadings(stream, devices=wanted["devices"], start=start)]
    ]
    numbers = count(wanted["first"])

    def following() -> bytes:
        records = []
        minute, first = divmod(next(numbers) * wanted["batch"] // len(sources), wanted["devices"])
        for readings, envelope in sources:
            fields = readings.minute(minute)
            devices = range(first, first + wanted["batch"] // len(sources))
            records += [envelope(fields(device)) for device in devices]
        body = '{"records":[' + ",".join(records) + "]}"
        return (
            f"POST {wanted['path']} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    return following


def as_envelope(stream: str, payload: Callable[[Fields], str]) -> Callable[[Fields], str]:
    """The function from a reading to a record of the ingest API."""
    return lambda fields: f'{{"streamType":"{stream}","payload":{payload(fields)}}}'


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError(f"an answer without its length: {head!r}")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))))
