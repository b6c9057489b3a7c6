"""Runs a fleet against the clock: into Kafka and, where there is one, the API."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime

from devstack.errors import DevstackError
from devstack.fleet.api_client import ApiClient
from devstack.fleet.options import FleetOptions
from devstack.fleet.pace import Pace, SimulatedClock, utc_now
from devstack.fleet.publisher import Publisher
from devstack.fleet.simulation import SimulatedFleet
from schemas.settings import Settings

Progress = Callable[[SimulatedFleet, SimulatedClock], None]
"""It is called after every step."""
LONGEST_WAIT_S = 1.0
DRAIN_LIMIT_S = 30.0


async def run_fleet(
    options: FleetOptions,
    pace: Pace,
    settings: Settings,
    *,
    api_url: str | None,
    stop: asyncio.Event,
    progress: Progress,
) -> tuple[SimulatedFleet, datetime]:
    """Run until `stop` or the pace's end; return the fleet and the start of its simulated time.

    When this returns, Kafka has acknowledged every reading and the API every session. Raises
    DevstackError when one of them cannot be delivered.
    """
    async with Publisher(settings) as publisher, _api_client(api_url) as api:
        partitions = await publisher.partitions()
        clock = SimulatedClock(pace, utc_now(), time.monotonic())
        fleet = SimulatedFleet(options, clock.start, partitions)
        if api:
            await _unless_stopped(stop, api.register(fleet.depots, pace.report_seconds))
            clock.begin(time.monotonic())
        await _run_steps(fleet, clock, publisher, api, stop, progress)
        await publisher.send(fleet.finish())
        await publisher.flush()
        if api:
            for session in fleet.open_sessions():
                api.report(session)
            await _drain(api)
    return fleet, clock.start


async def _run_steps(
    fleet: SimulatedFleet,
    clock: SimulatedClock,
    publisher: Publisher,
    api: ApiClient | None,
    stop: asyncio.Event,
    progress: Progress,
) -> None:
    """Make each step once it is due. Sessions that are still open are reported when it is live."""
    open_reported = False
    while not stop.is_set():
        wait_s = clock.wait_s(utc_now(), time.monotonic())
        if clock.over(time.monotonic()):
            return
        if wait_s:
            left_s = clock.left_s(time.monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, LONGEST_WAIT_S, left_s or LONGEST_WAIT_S)):
                    await stop.wait()
            continue
        if clock.live and api and not open_reported:
            open_reported = True
            for session in fleet.open_sessions():
                api.report(session)
        step = fleet.advance(clock.step_s, hold=not clock.live)
        clock.stepped()
        if api:
            for session in step.ended + (step.began if clock.live else []):
                api.report(session)
        await publisher.send(step.records)
        progress(fleet, clock)


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait([working])
    else:
        await working


async def _drain(api: ApiClient) -> None:
    try:
        async with asyncio.timeout(DRAIN_LIMIT_S):
            await api.drain()
    except TimeoutError:
        raise DevstackError(
            f"the API did not take all sessions within {DRAIN_LIMIT_S:.0f} s"
        ) from None


@contextlib.asynccontextmanager
async def _api_client(url: str | None) -> AsyncIterator[ApiClient | None]:
    if url is None:
        yield None
        return
    client = ApiClient(url)
    try:
        yield client
    finally:
        await client.close()
