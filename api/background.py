"""Work that goes on beside the requests, such as keeping a connection to Kafka."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prometheus_client import Counter

RESTART_PAUSE_S = 1.0

log = logging.getLogger(__name__)


async def keep_running(name: str, work: Callable[[], Awaitable[None]], restarts: Counter) -> None:
    """Do `work` until it is done or cancelled; when it fails, do it again after RESTART_PAUSE_S.

    Each failure is logged with its traceback and counted in `restarts` under `name`.
    """
    while True:
        try:
            return await work()
        except Exception:
            text = "task %s failed, it starts again in %.0f s"
            log.exception(text, name, RESTART_PAUSE_S, extra={"task": name})
            restarts.labels(name).inc()
        await asyncio.sleep(RESTART_PAUSE_S)
