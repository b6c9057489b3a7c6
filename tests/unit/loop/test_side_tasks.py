"""A task beside the loop that dies ends the process, and is not overlooked."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest_worker.errors import SideTaskError
from ingest_worker.loop.side_tasks import SideTasks


def failures(name: str) -> float:
    labels = {"task": name}
    return REGISTRY.get_sample_value("energy_ingest_side_task_failures_total", labels) or 0


async def fails() -> None:
    raise ValueError("a\nbug")


async def returns() -> None:
    """End at once."""


async def runs() -> None:
    await asyncio.Event().wait()


async def fails_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise ValueError("cannot close")


async def is_cancelled_by_something_else() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("dies", "why"),
    [
        (fails, "died: ValueError: a bug"),
        (returns, "died: it ended by itself"),
        (is_cancelled_by_something_else, "died: it ended by itself"),
    ],
)
def test_a_side_task_that_dies_ends_the_loop(
    dies: Callable[[], Coroutine[Any, Any, None]], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = dies.__name__

    async def story() -> None:
        stopping = asyncio.Event()
        side_tasks = SideTasks(stopping)
        side_tasks.start("runs", runs())
        side_tasks.start(name, dies())
        await asyncio.wait_for(stopping.wait(), 5)
        await side_tasks.cancel()
        side_tasks.raise_failure()

    with pytest.raises(SideTaskError, match=f"side task {name} {why}") as raised:
        asyncio.run(story())
    assert (failures(name), failures("runs")) == (1, 0)
    (record,) = caplog.records
    assert (record.levelno, why in record.message) == (logging.ERROR, True)
    if dies is fails:
        assert isinstance(raised.value.__cause__, ValueError)
        assert "Traceback" in caplog.text


def test_side_tasks_that_end_as_they_are_told_are_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        side_tasks = SideTasks(asyncio.Event())
        side_tasks.start("runs", runs())
        await asyncio.sleep(0)
        await side_tasks.cancel()
        side_tasks.raise_failure()

    asyncio.run(story())
    assert caplog.records == []


def test_a_side_task_that_fails_while_it_is_cancelled_has_died() -> None:
    async def story() -> None:
        side_tasks = SideTasks(asyncio.Event())
        side_tasks.start("closing", fails_when_cancelled())
        await asyncio.sleep(0)
        await side_tasks.cancel()
        side_tasks.raise_failure()

    with pytest.raises(SideTaskError, match="cannot close"):
        asyncio.run(story())
    assert failures("closing") == 1
