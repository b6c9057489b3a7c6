"""What must be done once for all workers, by whichever holds the advisory lock.

The next days' partitions are created ahead of time, so that no flush waits for it; days older than
RETENTION_DAYS are retired, once the rollups have taken in what was logged; a day that is over is
packed; sessions that fell silent are ended; the rollups are kept up to date.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.housekeeping.idle_sessions import end_idle_sessions
from ingest_worker.housekeeping.reindexing import pack_day
from ingest_worker.housekeeping.retention import retire_days
from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from reporting.applications import Application
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.times import DAY_US, to_micros
from schemas.text import one_line
from sql import locks, store
from sql.connect import Connection, conninfo

INTERVAL_S = 60.0
ROLLUP_INTERVAL_S = 10.0
ROLLUP_BUDGET_S = 3.0
"""How long a round works the rollups' log off before it pauses."""
PAUSE_TO_WORK = 2
DAYS_AHEAD = 3
LOCK_TIMEOUT_S = 30
"""A day that is in use for so long is retired in a later round."""

log = logging.getLogger(__name__)


async def keep_house(
    settings: Settings, connections: Connections, behind: Callable[[], bool]
) -> None:
    """Bring the rollups up to date every few seconds, do the rounds every minute; until cancelled.

    Readings come first: the rollups pause for longer than they work, and while this worker is
    `behind`, they wait for the next rounds.
    """
    rounds_at = 0.0
    while True:
        began = time.monotonic()
        everything = began >= rounds_at
        rollups_s = None
        try:
            if everything or not behind():
                rollups_s = await asyncio.to_thread(
                    do_rounds, settings, connections, datetime.now(UTC), everything=everything
                )
        except psycopg.Error as error:
            fields = {"sqlstate": error.sqlstate}
            log.info("housekeeping put off: %s", one_line(error), extra=fields)
        except Exception:  # readings go on without it, the next round may succeed
            log.exception("housekeeping failed")
        if everything:
            rounds_at = began + INTERVAL_S
        await asyncio.sleep(max(ROLLUP_INTERVAL_S, (rollups_s or 0) * PAUSE_TO_WORK))


def do_rounds(
    settings: Settings, connections: Connections, now: datetime, *, everything: bool = True
) -> float | None:
    """One round, of the rollups alone unless `everything`. Raises psycopg.Error.

    Returns the seconds the rollups took; None when another worker is at it.
    """
    with connections.open(conninfo(settings, Application.HOUSEKEEPING)) as connection:
        if not locks.try_lock(connection, locks.HOUSEKEEPING):
            return None
        if everything:
            today = to_micros(now) // DAY_US
            for stream in STREAMS.values():
                store.create_days(connection, stream, range(today, today + DAYS_AHEAD + 1))
            end_idle_sessions(connection, settings, now)
        began = time.monotonic()
        complete = bring_up_to_date(connection, settings, now, ROLLUP_BUDGET_S)
        rollups_s = time.monotonic() - began
        if everything:
            _look_after_days(connection, settings, now, retire=complete)
        waiting = backlog(connection)
        metrics.ROLLUP_BACKLOG.set(waiting.entries)
        metrics.ROLLUP_AGE_SECONDS.set(waiting.age_s)
        return rollups_s


def _look_after_days(
    connection: Connection, settings: Settings, now: datetime, *, retire: bool
) -> None:
    """Retire what is too old, if the rollups have taken it in, and pack what is over."""
    connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
    if settings.retention_days and retire:
        retire_days(connection, now, settings.retention_days)
    elif settings.retention_days:
        log.info("retention put off: the rollups have yet to take in what was stored")
    pack_day(connection, now)
