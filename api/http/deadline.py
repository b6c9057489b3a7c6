"""No request waits for ever: one that hangs on a frozen PostgreSQL or Kafka is answered with 503.

Cancelling a query asks the server, which may be frozen itself; so a late handler is cancelled in
the background and the answer does not wait for that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from api.http.errors import unavailable

DEADLINE_S = 9.5
"""From the end of the request's body; above DELIVERY_TIMEOUT_S and the statement timeout."""

Handler = Callable[[Request], Awaitable[Response]]
AResult = TypeVar("AResult")
_abandoned: set[asyncio.Future[Any]] = set()


async def answer_in_time(handler: Handler, request: Request) -> Response:
    """The handler's response. Raises what it raises, or ApiError 503 after DEADLINE_S."""
    await request.body()
    return await in_time(handler(request))


async def in_time(work: Awaitable[AResult]) -> AResult:
    """The result of `work`. Raises what it raises, or ApiError 503 after DEADLINE_S."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=DEADLINE_S)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    _abandoned.add(task)
    task.add_done_callback(_forget)
    task.cancel()
    raise unavailable(f"No answer within {DEADLINE_S} s, try again")


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()
