"""Bringing the rollups up to date with what the log says has changed.

Each step is one transaction: entries leave the log, and the hours they stand for are summed again
from the readings and the sessions. Killed anywhere, it leaves the log and the rollups as they were.
A step takes a bounded number of hours; an entry with more is taken in parts.
"""

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.settings import Settings
from sql.connect import Connection
from sql.named import load

MAX_UNITS = 100_000
"""Hours of devices in one step, more only when a single hour of one flush has more devices; those
that several flushes touched are counted as often, but summed once."""
MAX_ENTRIES = 1_000
HOUR = timedelta(hours=1)
BASE_REACH = timedelta(days=31)
QUERIES = load("rollups")

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """What one row of the log stands for: `hours` of each device, from `first` on."""

    id: int
    devices: int
    first: datetime
    hours: int


class Backlog(NamedTuple):
    """What the log holds."""

    entries: int
    age_s: float


def bring_up_to_date(
    connection: Connection, settings: Settings, now: datetime, budget_s: float
) -> bool:
    """Take in what is in the log now, for about so long; true when all of it was.

    Wants autocommit. Raises psycopg.Error.
    """
    until = time.monotonic() + budget_s
    connection.execute("SET timezone = 'UTC'")
    _note_energy_reading(connection, settings)
    row: Any = connection.execute(QUERIES["newest_entry"]).fetchone()
    skew = timedelta(seconds=settings.max_clock_skew_seconds)
    horizon = (now + skew + 2 * HOUR).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    limits = {"horizon": horizon, "limit": MAX_ENTRIES, "newest": row[0]}
    mode = {"energy_reading": settings.energy_reading}
    while _step(connection, limits, mode):
        if time.monotonic() > until:
            return False
    return True


def backlog(connection: Connection) -> Backlog:
    """How much waits."""
    row: Any = connection.execute(QUERIES["backlog"]).fetchone()
    return Backlog(*row)


def _note_energy_reading(connection: Connection, settings: Settings) -> None:
    """When the deployment's ENERGY_READING is another than before, everything is to be redone."""
    mode = {"energy_reading": settings.energy_reading}
    with connection.transaction():
        row = connection.execute(QUERIES["state"]).fetchone()
        if row == (settings.energy_reading,):
            return
        if row is not None:
            log.warning("ENERGY_READING was %s, is %s: rollups are redone", *row, *mode.values())
            connection.execute(QUERIES["touch_all"])
        connection.execute(QUERIES["set_state"], mode)


def _step(connection: Connection, limits: dict[str, Any], mode: dict[str, Any]) -> bool:
    """Take in some entries; false when there is none."""
    with connection.transaction():
        row: Any = connection.execute(QUERIES["oldest"], limits).fetchone()
        limits = limits | {"oldest": row[0]}
        rows = connection.execute(QUERIES["list"], limits).fetchall()
        if not rows:
            return False
        connection.execute(QUERIES["begin"])
        _take(connection, [Entry(*row) for row in rows], limits)
        _recompute(connection, mode)
    return True


def _take(connection: Connection, entries: list[Entry], limits: Mapping[str, Any]) -> None:
    """Move as many entries as fit into a step out of the log; of a large first one, a part."""
    ids: list[int] = []
    units = 0
    for entry in entries:
        units += entry.devices * entry.hours
        if ids and units > MAX_UNITS:
            break
        ids.append(entry.id)
    first = entries[0]
    if first.hours > 1 and first.devices * first.hours > MAX_UNITS:
        until = first.first + max(1, MAX_UNITS // first.devices) * HOUR
        part = {"id": first.id, "first": first.first, "until": until}
        connection.execute(QUERIES["take_part"], part)
    else:
        connection.execute(QUERIES["take"], {"ids": ids, **limits})


def _recompute(connection: Connection, mode: dict[str, Any]) -> None:
    """Sum again what the taken entries stand for."""
    connection.execute(QUERIES["spread"])
    row: Any = connection.execute(QUERIES["bounds"]).fetchone()
    if row[0] is None:
        return
    connection.execute(QUERIES["spread_to_next"], mode | {"first": row[0] + HOUR})
    connection.execute(QUERIES["find_units"])
    connection.execute(QUERIES["analyze"])
    row = connection.execute(QUERIES["bounds"]).fetchone()
    first, past = row
    bounds = {"first": first, "past": past, "base_first": first - BASE_REACH}
    connection.execute(QUERIES["compute"], mode | bounds)
    connection.execute(QUERIES["compute_days"])
