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

from psycopg.sql import Identifier

from schemas.alerts import JUDGED_FOR
from schemas.analytics import EDITION, Window
from schemas.settings import Settings
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.stream import Stream
from sql.citus import has_citus
from sql.connect import Connection
from sql.deployment import of_deployment
from sql.gathered import ALL, Span, gather, statements
from sql.named import Statements, load

MAX_UNITS = 100_000
"""Hours of devices in one step, more only when a single hour of one flush has more devices; those
that several flushes touched are counted as often, but summed once."""
MAX_GATHERED_UNITS = 10_000
"""The same where the readings of a step have to be gathered from other nodes first."""
MAX_ENTRIES = 1_000
SHORT_ENTRY = timedelta(days=1)
"""Of longer ones only the hours that have readings are summed; to find these would not pay here."""
HOUR = timedelta(hours=1)
GATHERED = load("gathered")
MARK_SESSIONS = load("alerts")["mark_sessions"]
SPANNING = ("find_session_spans", "find_vehicle_spans")
SUMMING = (
    "sum_plain_meters",
    "sum_other_meters",
    "sum_read",
    "sum_plain_vehicles",
    "sum_other_vehicles",
    "sum_covered",
)

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """What one row of the log stands for: at most `hours` of each device, from `first` on."""

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
    deployment = of_deployment(settings) | {"now": now}
    _note_rules(connection, settings)
    row: Any = connection.execute(queries(connection)["newest_entry"]).fetchone()
    skew = timedelta(seconds=settings.max_clock_skew_seconds)
    horizon = (now + skew + 2 * HOUR).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    limits = {"horizon": horizon, "limit": MAX_ENTRIES, "newest": row[0]}
    while _step(connection, limits, deployment):
        if time.monotonic() > until:
            return False
    return True


def queries(connection: Connection) -> Statements:
    """The statements of a step, for this connection."""
    units, sums = (statements(connection, file) for file in ("rollup_units", "rollup_sums"))
    return load("rollup_log") | units | sums


def _gather(connection: Connection, name: str, bounds: dict[str, Any], **most: int) -> None:
    """Gather what a statement looks at, by the spans that the statement `name` says."""
    if not has_citus(connection):
        return
    spans: dict[Stream, list[Span]] = {METER: [], VEHICLE: []}
    for stream, *span in connection.execute(GATHERED[name], bounds):
        spans[STREAMS[stream]].append(Span(*span))
    gather(connection, spans, bounds, **most)


def backlog(connection: Connection) -> Backlog:
    """How much waits."""
    row: Any = connection.execute(queries(connection)["backlog"]).fetchone()
    return Backlog(*row)


def _note_rules(connection: Connection, settings: Settings) -> None:
    """When the deployment's settings or the rules are others than before, all is to be redone."""
    rules = (settings.energy_reading, settings.report_seconds, settings.max_plausible_kw, EDITION)
    run = queries(connection)
    with connection.transaction():
        row = connection.execute(run["made_by"]).fetchone()
        if row == rules:
            return
        if row is not None:
            log.warning("rollups are redone: they were made by %s, now %s", row, rules)
            connection.execute(run["log_everything"])
        connection.execute(run["set_made_by"], rules)


def _step(connection: Connection, limits: dict[str, Any], deployment: dict[str, Any]) -> bool:
    """Take in some entries; false when there is none."""
    run = queries(connection)
    with connection.transaction():
        row: Any = connection.execute(run["oldest_day"], limits).fetchone()
        limits = limits | {"oldest": row[0]}
        rows = connection.execute(run["entries"], limits).fetchall()
        if not rows:
            return False
        connection.execute(run["say_edition"], {"edition": EDITION})
        connection.execute(run["begin"])
        taken = _take(connection, [Entry(*row) for row in rows], limits)
        window = _find_units(connection, deployment, taken)
        if window is not None:
            _sum(connection, window, deployment)
    return True


def _take(connection: Connection, entries: list[Entry], limits: Mapping[str, Any]) -> list[Entry]:
    """Move as many entries as fit into a step out of the log; of a large first one, a part."""
    taken: list[Entry] = []
    most = min(MAX_UNITS, MAX_GATHERED_UNITS) if has_citus(connection) else MAX_UNITS
    units = 0
    for entry in entries:
        units += entry.devices * entry.hours
        if taken and units > most:
            break
        taken.append(entry)
    first = entries[0]
    if first.hours > 1 and first.devices * first.hours > most:
        until = first.first + max(1, most // first.devices) * HOUR
        hours = {"id": first.id, "first": first.first, "until": until}
        connection.execute(queries(connection)["take_first_hours"], hours)
    else:
        ids = [entry.id for entry in taken]
        connection.execute(queries(connection)["take"], {"ids": ids, **limits})
    connection.execute(queries(connection)["take_moved"], limits)
    return taken


def _find_units(
    connection: Connection, deployment: dict[str, Any], taken: list[Entry]
) -> Window | None:
    """Find the hours of vehicles that the taken entries stand for; the window they all lie in."""
    run, short = queries(connection), {"short": SHORT_ENTRY}
    connection.execute(run["touch"], short)
    if any(entry.hours * HOUR > SHORT_ENTRY for entry in taken):
        # Only then: it looks at all day partitions, which takes a while to plan.
        _gather(connection, "long_spans", short, before=0, within=0, after=0, hours=ALL)
        connection.execute(run["touch_what_there_is"], short)
    row: Any = connection.execute(run["bounds_of_taken"]).fetchone()
    if row[0] is None:
        return None
    bounds = deployment | Window(*row).parameters()
    _gather(connection, "changed_spans", bounds, before=3, within=0)
    connection.execute(run["touch_neighbours"], bounds)
    touched = _touched(connection)
    if touched is None:
        return None
    connection.execute(run["find_sessions"], touched._asdict())
    connection.execute(run["index_sessions"])
    connection.execute(run["find_units"])
    connection.execute(run["analyze_units"])
    return _touched(connection)


def _touched(connection: Connection) -> Window | None:
    row: Any = connection.execute(queries(connection)["bounds"]).fetchone()
    return None if row[0] is None else Window(*row)


def _sum(connection: Connection, window: Window, deployment: dict[str, Any]) -> None:
    """Sum the units again, and change the rollups that come out different."""
    run, bounds = queries(connection), deployment | window.parameters()
    for name in SPANNING:
        connection.execute(run[name], bounds)
    _gather(connection, "summed_spans", bounds, after=3)
    for name in SUMMING:
        connection.execute(run[name], bounds)
    connection.execute(run["make_vehicle_hours"])
    _replace(connection, "vehicle_hours", "units")
    for name in ("make_charger_hours", "delete_charger_rows", "write_charger_rows"):
        connection.execute(run[name])
    connection.execute(run["find_unit_days"])
    connection.execute(run["make_vehicle_days"])
    _replace(connection, "vehicle_days", "unit_days")
    connection.execute(MARK_SESSIONS, deployment | {"recent": JUDGED_FOR})


def _replace(connection: Connection, rollup: str, units: str) -> None:
    """Make the units' rows of a vehicles' rollup equal to those just made."""
    tables = {"rollup": rollup, "units": units, "new": f"new_{rollup}"}
    names = {word: Identifier(table) for word, table in tables.items()}
    for name in ("delete_vehicle_rows", "write_vehicle_rows"):
        connection.execute(queries(connection)[name].format(**names))
