"""A time limit on every request: one that hangs on a frozen PostgreSQL or Kafka gets a 503.

To cancel a query the server has to be asked, which may be frozen itself. So a late handler is
cancelled in the background, and the answer does not wait for that.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from api.http.errors import unavailable

DEADLINE_S = 9.5
"""Counted from the end of the request's body; longer than the other time limits."""

Handler = Callable[[Request], Awaitable[Response]]
AResult = TypeVar("AResult")
log = logging.getLogger(__name__)
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
    task.add_done_callback(_end_abandoned)
    task.cancel()
    raise unavailable(f"No answer within {DEADLINE_S} s, try again")


def _end_abandoned(task: asyncio.Future[Any]) -> None:
    """Log the error of an abandoned request, which no client gets to see."""
    _abandoned.discard(task)
    if not task.cancelled() and (error := task.exception()):
        log.warning("a request failed after it was answered with 503", exc_info=error)
