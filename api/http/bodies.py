"""Bodies of requests: how large one may be, and how many large ones are in memory at a time.

A small body is simply read. What is beyond the beginning of a larger one is read once there is
room for it in the `Budget`; until then its client has to wait, since its bytes are left on the
connection. Who has sent no more than the beginning takes no room from others.
"""

import asyncio
import contextlib
from collections import deque

from starlette.types import Message, Receive, Scope

from api.http.errors import ApiError, unavailable

MAX_BODY_BYTES = 128 * 1024
"""Of an ordinary request: metadata of 64 KiB, however it is escaped, and some room."""
MAX_INGEST_BYTES = 8 * 1024 * 1024
"""Of telemetry."""
FREE_BYTES = 64 * 1024
"""Up to this size a body needs no room: the server holds as much of any request anyway."""
BUDGET_BYTES = 6 * MAX_INGEST_BYTES
"""Of all larger bodies together. What is made of a body takes a few times its size."""
ROOM_WAIT_S = 5.0


class Budget:
    """Room for large bodies, given out in the order in which it was asked for."""

    def __init__(self, size: int = BUDGET_BYTES) -> None:
        self._left = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Wait for room of `size` bytes. Raises ApiError 503 after ROOM_WAIT_S."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._serve()
        try:
            async with asyncio.timeout(ROOM_WAIT_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give_back(size)
            else:
                with contextlib.suppress(ValueError):  # it was taken out already
                    self._waiting.remove((size, turn))
                self._serve()
            if isinstance(error, TimeoutError):
                raise unavailable("Too many large requests at a time, try again") from None
            raise

    def give_back(self, size: int) -> None:
        """Leave room that was taken to others."""
        self._left += size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._left:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._left -= size
                turn.set_result(None)


class Body:
    """The body of one request as it is received: of at most `limit` bytes, within the budget."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, budget: Budget) -> None:
        self._receive = receive
        self._limit = limit
        self._budget = budget
        self._announced = _content_length(scope)
        self._taken = 0
        self._room = 0

    async def receive(self) -> Message:
        """The next message. Raises ApiError 413, or 503 when there is no room."""
        if (self._announced or 0) > self._limit:
            raise self._too_large()
        if self._taken > FREE_BYTES and not self._room:
            size = self._limit if self._announced is None else self._announced
            await self._budget.take(size)
            self._room = size
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > self._limit:
            raise self._too_large()
        return message

    def done(self) -> None:
        """The request was answered: its room is free."""
        room, self._room = self._room, 0
        if room:
            self._budget.give_back(room)

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The body must not be larger than {self._limit} bytes")


def _content_length(scope: Scope) -> int | None:
    """The size that the request announces; None when it comes in chunks."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return None
    announced: bytes = headers.get(b"content-length", b"0")
    return int(announced) if announced.isdigit() else None
