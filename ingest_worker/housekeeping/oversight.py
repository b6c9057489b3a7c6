"""Whether the house is kept: seen by every worker, also by those that do not hold the lock.

A holder that hangs, or a lock that was left behind on some backend of a pooler, stops housekeeping
everywhere. Nobody but the others could say so.
"""

import asyncio
import time
from typing import Any, NamedTuple

import psycopg

from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.health import Status
from ingest_worker.housekeeping.duties import DUTIES, QUERIES
from reporting.applications import Application
from schemas.settings import Settings
from schemas.text import one_line
from sql import locks
from sql.connect import conninfo

STALE_AFTER_S = 300.0
"""Rounds come every minute; a single duty seldom takes so long."""
HOUSEKEEPING = "housekeeping"
"""What is degraded when it is none of the duties alone."""


class Duty(NamedTuple):
    """How one duty fares. Times are texts but for `last_success`, in seconds of the epoch."""

    name: str
    last_success: float | None
    failing_since: str | None
    why: str | None
    tried_at: str
    tried_s_ago: float


class Seen(NamedTuple):
    """What one look shows: the duty tried last comes first."""

    duties: list[Duty]
    holder: tuple[Any, ...] | None


class Oversight:
    """Looks at what the holder of the lock notes, and reports it as this worker's own."""

    def __init__(self, settings: Settings, connections: Connections, status: Status) -> None:
        self._where = conninfo(settings, Application.HOUSEKEEPING)
        self._connections = connections
        self._status = status
        self._began = time.monotonic()

    async def look(self) -> None:
        """Read how the duties fare, and report it."""
        try:
            seen = await asyncio.to_thread(self._read)
        except psycopg.Error as error:
            self.failed(error)
        else:
            self.report(seen)

    def failed(self, error: Exception) -> None:
        """Report that a whole round, or a look, failed."""
        self._status.degraded(HOUSEKEEPING, f"put off: {one_line(error)}")

    def report(self, seen: Seen) -> None:
        """Set the gauges, and say what is to be looked after."""
        for duty in seen.duties:
            name = f"{HOUSEKEEPING}: {duty.name}"
            if duty.last_success is not None:
                metrics.HOUSEKEEPING_LAST_SUCCESS.labels(duty.name).set(duty.last_success)
            metrics.HOUSEKEEPING_FAILING.labels(duty.name).set(0 if duty.why is None else 1)
            if duty.why is None:
                self._status.recovered(name)
            else:
                self._status.degraded(name, f"fails since {duty.failing_since}: {duty.why}")
        last = seen.duties[0] if seen.duties else None
        idle_s = last.tried_s_ago if last else time.monotonic() - self._began
        if idle_s < STALE_AFTER_S:
            self._status.recovered(HOUSEKEEPING)
        else:
            self._status.degraded(HOUSEKEEPING, _stale(last, seen.holder))

    def _read(self) -> Seen:
        with self._connections.open(self._where) as connection:
            rows = connection.execute(QUERIES["duties"], {"duties": list(DUTIES)}).fetchall()
            holder = connection.execute(QUERIES["holder"], {"lock": locks.HOUSEKEEPING}).fetchone()
        return Seen([Duty(*row) for row in rows], holder)


def _stale(last: Duty | None, holder: tuple[Any, ...] | None) -> str:
    since = f"since {last.name} was begun at {last.tried_at}" if last else "yet"
    if holder is None:
        return f"nothing was done {since}"
    pid, application, connected_at, state = holder
    return (
        f"nothing was done {since}; process {pid} ({application}, connected at {connected_at},"
        f" {state}) holds its lock"
    )
