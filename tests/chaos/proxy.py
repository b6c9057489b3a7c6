"""A TCP proxy between workers and PostgreSQL that fails the way networks do.

It reads along in PostgreSQL's protocol just far enough to know a COPY and a COMMIT when it sees
one, so that a connection can be lost at exactly the wrong moment.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

LOOPBACK = "127.0.0.1"
CHUNK = 64 * 1024
COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
COMMITTED = b"C\0\0\0\x0bCOMMIT\0"
"""CommandComplete, as the server answers."""
COPY_DATA = b"PGCOPY\n\xff\r\n\0"
"""How a binary COPY begins; it comes after the server agreed to it."""


class Proxy:
    """Listens on a port of its own from the `with` line on; every method may be called any time."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = target_host, target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0
        self.latency_s = 0.0
        """Added to everything that passes, either way."""
        self.copies_to_cut = 0
        """So many COPYs are cut off amid their rows."""
        self.copies_to_hold = 0
        """So many COPYs get stuck amid their rows, their connections staying open."""
        self.commits_to_lose = 0
        """So many connections are lost before a COMMIT reaches the server."""
        self.answers_to_lose = 0
        """So many connections are lost after the server committed, and before it is known."""

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self) -> None:
        """Take connections, on the same port as before."""
        self._do(self._listen())

    def stop(self) -> None:
        """Refuse connections, and cut those that are there."""
        self._do(self._stop())

    def cut(self) -> None:
        """Cut all connections; new ones are taken."""
        self._do(self._cut())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.cut()
        await asyncio.gather(*(pair.ended.wait() for pair in pairs))

    async def _end(self) -> None:
        """End what serves connections that were taken just before they were refused."""
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes what was aborted in its next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            there = await asyncio.open_connection(*self._target)
            pair = _Pair(self, writer, there[1])
            self._pairs.add(pair)
            try:
                await pair.run(reader, there[0])
            finally:
                self._pairs.discard(pair)
        except OSError:
            pass  # the server is away
        finally:
            writer.transport.abort()
            self._serving.discard(task)


class _Pair:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(
        self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._losing_answer = False
        self.ended = asyncio.Event()

    async def run(
        self, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader
    ) -> None:
        """Pass bytes on until either side ends."""
        ways = [
            asyncio.create_task(self._pass(from_client, self._server, self._sent)),
            asyncio.create_task(self._pass(from_server, self._client, self._answered)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.ended.set()

    def cut(self) -> None:
        """Lose both connections at once, with whatever is still on its way."""
        self._client.transport.abort()
        self._server.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Callable[[bytes], Coroutine[Any, Any, bool]],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                if self._proxy.latency_s:
                    await asyncio.sleep(self._proxy.latency_s)
                if not await look(chunk):
                    return
                writer.write(chunk)
                await writer.drain()

    async def _sent(self, chunk: bytes) -> bool:
        """What the client sent; false when the connection is to be lost instead."""
        proxy = self._proxy
        if COPY_DATA in chunk:
            if proxy.copies_to_cut:
                proxy.copies_to_cut -= 1
                await self._pass_half(chunk)
                return False
            if proxy.copies_to_hold:
                proxy.copies_to_hold -= 1
                await self._pass_half(chunk)
                await asyncio.Event().wait()
        if COMMIT in chunk:
            if proxy.commits_to_lose:
                proxy.commits_to_lose -= 1
                return False
            if proxy.answers_to_lose:
                proxy.answers_to_lose -= 1
                self._losing_answer = True
        return True

    async def _pass_half(self, chunk: bytes) -> None:
        self._server.write(chunk[: len(chunk) // 2])
        await self._server.drain()

    async def _answered(self, chunk: bytes) -> bool:
        """What the server answered; false when the connection is to be lost instead."""
        return not (self._losing_answer and COMMITTED in chunk)
