"""Runs a fleet against the clock: into Kafka and, where there is one, the API."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime

from devstack.fleet.announcer import Announcer
from devstack.fleet.options import FleetOptions
from devstack.fleet.pace import Pace, SimulatedClock, utc_now
from devstack.fleet.publisher import Publisher
from devstack.fleet.simulation import SimulatedFleet
from devstack.messages import DevstackError
from schemas.settings import Settings

Progress = Callable[[SimulatedFleet, SimulatedClock], None]
"""Told of every step."""
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
    """Run until `stop` or the pace's end; returns the fleet, and where its time began.

    Everything it knows it sent is in Kafka for good, and every session in the API, when this
    returns. Raises DevstackError when that can't be.
    """
    async with Publisher(settings) as publisher, _announcer(api_url) as announcer:
        partitions = await publisher.partitions()
        clock = SimulatedClock(pace, utc_now(), time.monotonic())
        fleet = SimulatedFleet(options, clock.start, partitions)
        if announcer:
            await _unless_stopped(stop, announcer.register(fleet.depots))
            clock.begin(time.monotonic())
        await _live_through(fleet, clock, publisher, announcer, stop, progress)
        await publisher.send(fleet.finish())
        await publisher.flush()
        if announcer:
            for session in fleet.open_sessions():
                announcer.announce(session)
            await _drain(announcer)
    return fleet, clock.start


async def _live_through(
    fleet: SimulatedFleet,
    clock: SimulatedClock,
    publisher: Publisher,
    announcer: Announcer | None,
    stop: asyncio.Event,
    progress: Progress,
) -> None:
    told_open = False
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
        if clock.live and announcer and not told_open:
            told_open = True
            for session in fleet.open_sessions():
                announcer.announce(session)
        step = fleet.advance(clock.step_s, hold=not clock.live)
        clock.stepped()
        if announcer:
            for session in step.ended + (step.began if clock.live else []):
                announcer.announce(session)
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


async def _drain(announcer: Announcer) -> None:
    try:
        async with asyncio.timeout(DRAIN_LIMIT_S):
            await announcer.drain()
    except TimeoutError:
        raise DevstackError(
            f"the API did not take all sessions within {DRAIN_LIMIT_S:.0f} s"
        ) from None


@contextlib.asynccontextmanager
async def _announcer(url: str | None) -> AsyncIterator[Announcer | None]:
    if url is None:
        yield None
        return
    announcer = Announcer(url)
    try:
        yield announcer
    finally:
        await announcer.close()
