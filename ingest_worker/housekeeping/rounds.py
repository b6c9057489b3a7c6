"""What must be done once for all workers, by whichever holds the advisory lock.

The next days' partitions are created ahead of time, so that no flush waits for it; days older than
RETENTION_DAYS are retired, once the rollups have taken in what was logged; a day that is over is
packed; sessions that fell silent are ended; the rollups are kept up to date. Each of these duties
fails by itself, for all to see, and the others go on.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.errors import DutyFailedError
from ingest_worker.health import Status
from ingest_worker.housekeeping.days_ahead import make_days
from ingest_worker.housekeeping.duties import (
    DAYS,
    IDLE_SESSIONS,
    PACKING,
    RETENTION,
    ROLLUPS,
    perform,
)
from ingest_worker.housekeeping.idle_sessions import end_idle_sessions
from ingest_worker.housekeeping.oversight import Oversight
from ingest_worker.housekeeping.reindexing import pack_day
from ingest_worker.housekeeping.retention import retire_days
from ingest_worker.housekeeping.rollups import Backlog, backlog, bring_up_to_date
from reporting.applications import Application
from schemas.settings import Settings
from sql import locks
from sql.connect import Connection, conninfo

INTERVAL_S = 60.0
ROLLUP_INTERVAL_S = 10.0
ROLLUP_BUDGET_S = 3.0
"""How long a round works the rollups' log off before it pauses."""
PAUSE_TO_WORK = 2
LOOK_INTERVAL_S = 30.0
"""How often a worker whose own round takes long looks whether the house is kept."""
LOCK_TIMEOUT_S = 30
"""No duty waits longer for a lock; it is tried again in a later round."""

log = logging.getLogger(__name__)


class Round(NamedTuple):
    """What a round of housekeeping leaves behind."""

    rollups_s: float
    """How long the rollups took."""
    waiting: Backlog


async def keep_house(
    settings: Settings, connections: Connections, status: Status, behind: Callable[[], bool]
) -> None:
    """Bring the rollups up to date every few seconds, do the rounds every minute; until cancelled.

    Readings come first: the rollups pause for longer than they work, and while this worker is
    `behind`, they wait for the next rounds.
    """
    oversight = Oversight(settings, connections, status)
    rounds_at = 0.0
    while True:
        began = time.monotonic()
        everything = began >= rounds_at
        done = None
        if everything or not behind():
            done = await _one_round(settings, connections, oversight, everything=everything)
        if everything:
            rounds_at = began + INTERVAL_S
        await asyncio.sleep(max(ROLLUP_INTERVAL_S, (done.rollups_s if done else 0) * PAUSE_TO_WORK))


async def _one_round(
    settings: Settings, connections: Connections, oversight: Oversight, *, everything: bool
) -> Round | None:
    """Do a round if no other worker is at it, and report how the house is kept."""
    now = datetime.now(UTC)
    working = asyncio.create_task(
        asyncio.to_thread(do_rounds, settings, connections, now, everything=everything)
    )
    done = None
    try:
        while not (await asyncio.wait([working], timeout=LOOK_INTERVAL_S))[0]:
            await oversight.look()
        done = await working
    except (psycopg.Error, DutyFailedError) as error:
        oversight.failed(error)
    else:
        await oversight.look()
    finally:
        working.cancel()
        _set_backlog(done)
    return done


def _set_backlog(done: Round | None) -> None:
    """Have the rollups' gauges say what this worker's round has found; nothing without one."""
    if done is None:
        metrics.ROLLUP_BACKLOG.forget()
        metrics.ROLLUP_AGE_SECONDS.forget()
    else:
        metrics.ROLLUP_BACKLOG.set(done.waiting.entries)
        metrics.ROLLUP_AGE_SECONDS.set(done.waiting.age_s)


def do_rounds(
    settings: Settings, connections: Connections, now: datetime, *, everything: bool = True
) -> Round | None:
    """One round, of the rollups alone unless `everything`; None when another worker is at it.

    Raises psycopg.Error or DutyFailedError when the connection was lost.
    """
    where = conninfo(settings, Application.HOUSEKEEPING)
    with connections.open(where, {"lock_timeout": f"{LOCK_TIMEOUT_S}s"}) as connection:
        if not locks.try_lock(connection, locks.HOUSEKEEPING):
            return None
        if everything:
            perform(connection, DAYS, lambda: make_days(connection, now))
            perform(connection, IDLE_SESSIONS, lambda: end_idle_sessions(connection, settings, now))
        began = time.monotonic()
        complete = perform(
            connection,
            ROLLUPS,
            lambda: bring_up_to_date(connection, settings, now, ROLLUP_BUDGET_S),
        )
        rollups_s = time.monotonic() - began
        if everything:
            _look_after_days(connection, settings, now, rolled_up=bool(complete))
        return Round(rollups_s, backlog(connection))


def _look_after_days(
    connection: Connection, settings: Settings, now: datetime, *, rolled_up: bool
) -> None:
    """Retire what is too old, if the rollups have taken it in, and pack what is over."""
    if rolled_up or not settings.retention_days:
        perform(
            connection, RETENTION, lambda: retire_days(connection, now, settings.retention_days)
        )
    else:
        log.info("retention put off: the rollups have yet to take in what was stored")
    perform(connection, PACKING, lambda: pack_day(connection, now))
