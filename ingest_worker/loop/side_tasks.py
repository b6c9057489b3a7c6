"""Tasks that run beside the loop for as long as it runs: one that ends earlier ends the process.

A worker whose housekeeping or monitor has died looks healthy and is not. Its end is therefore
logged with the traceback, counted, and raised once the loop has come to a clean end.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ingest_worker import metrics
from ingest_worker.errors import SideTaskError
from schemas.text import one_line

log = logging.getLogger(__name__)


class SideTasks:
    """Starts tasks by name, and cancels them together at the end."""

    def __init__(self, stopping: asyncio.Event) -> None:
        """`stopping` is set when one of the tasks dies, so that the loop comes to its end."""
        self._stopping = stopping
        self._tasks: list[asyncio.Task[None]] = []
        self._cancelled = False
        self._failure: SideTaskError | None = None

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run this until `cancel`."""
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._look_at_end)
        self._tasks.append(task)

    async def cancel(self) -> None:
        """Cancel all tasks and wait for their ends."""
        self._cancelled = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def raise_failure(self) -> None:
        """Raise SideTaskError if a task died; its cause is what the first of them died of."""
        if self._failure:
            raise self._failure

    def _look_at_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._cancelled and error is None:
            return
        name = task.get_name()
        metrics.SIDE_TASK_FAILURES.labels(name).inc()
        why = f"{type(error).__name__}: {one_line(error)}" if error else "it ended by itself"
        log.error("side task %s died: %s", name, why, exc_info=error, extra={"task": name})
        if self._failure is None:
            self._failure = SideTaskError(f"side task {name} died: {why}")
            self._failure.__cause__ = error
        self._stopping.set()
