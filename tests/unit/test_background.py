"""Work beside the requests of the API: what fails is logged and counted, never dropped."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from api import background
from api.app import Parts
from api.http import deadline
from api.http.errors import ApiError
from api.metrics import TASKS
from schemas.settings import Settings

PATIENCE_S = 10


def test_a_task_that_fails_is_logged_counted_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "RESTART_PAUSE_S", 0.0)

    async def serve() -> tuple[Parts, int]:
        parts, runs, again = Parts(Settings()), 0, asyncio.Event()

        async def failing() -> None:
            nonlocal runs
            runs += 1
            if runs > 2:
                again.set()
                await asyncio.Event().wait()
            raise LookupError("nobody expected this")

        async def working() -> None:
            pass

        monkeypatch.setattr(parts.producer, "run", failing)
        monkeypatch.setattr(parts.database, "run", working)
        async with parts.running(Starlette()), asyncio.timeout(PATIENCE_S):
            await again.wait()
        return parts, runs

    parts, runs = asyncio.run(serve())
    restarts = {
        sample.labels["task"]: sample.value
        for sample in next(iter(parts.metrics.task_restarts.collect())).samples
        if sample.name == "energy_api_task_restarts_total"
    }
    assert (runs, restarts) == (3, dict.fromkeys(TASKS, 0) | {"kafka": 2})
    failures = [record for record in caplog.records if record.exc_info]
    assert ["task kafka failed" in record.message for record in failures] == [True, True]
    assert "nobody expected this" in caplog.text


def test_the_error_of_an_abandoned_request_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deadline, "DEADLINE_S", 0.01)

    async def stubborn() -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError("nobody saw this") from None

    async def ask() -> None:
        with pytest.raises(ApiError) as caught:
            await deadline.in_time(stubborn())
        assert caught.value.status == 503
        async with asyncio.timeout(PATIENCE_S):
            while deadline._abandoned:
                await asyncio.sleep(0)

    asyncio.run(ask())
    assert "nobody saw this" in caplog.text
