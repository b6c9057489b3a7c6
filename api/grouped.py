"""Figures in stretches of time, hours, days or months: from rollups, or from hourly sums."""

from bisect import bisect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

from api.around import fetched
from api.database import Connection, Database
from api.figures import Row
from schemas.analytics import (
    COMPLETE_SHARE,
    EDITION,
    ESTIMATED_SHARE,
    IMPOSSIBLE_EFFICIENCY,
    LOW_EFFICIENCY,
    GroupBy,
    Window,
)
from schemas.settings import Settings
from sql.deployment import of_deployment
from sql.named import load

SQL = load("grouped")
ONE_SNAPSHOT = load("snapshots")["one_snapshot"]


class Grouped(NamedTuple):
    """Rows of sums, of which `api.figures.Figures` are made."""

    whole: Row
    groups: list[tuple[Window, Row]]
    """All there are, in order."""
    vehicles: list[Row]
    """Of a charger those on it, by their `car`."""


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Connection]:
    """A connection whose statements all see the rollups at one instant."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute(ONE_SNAPSHOT)
        yield connection


def of_rollups(settings: Settings, window: Window, now: datetime, by: GroupBy | None) -> Row:
    """What statements about rollups are told of the window, of its groups, and of limits."""
    # A group by hour has no use for rollups by day.
    days = Window(window.start, window.start) if by == "hour" else window.whole_days()
    groups = window.groups(by) if by else []
    return {
        "now": now,
        "first_day": days.start,
        "past_day": days.end,
        "firsts": [group.start for group in groups],
        "pasts": [group.end for group in groups],
        "low": LOW_EFFICIENCY,
        "impossible": IMPOSSIBLE_EFFICIENCY,
        "complete": COMPLETE_SHARE,
        "estimated": ESTIMATED_SHARE,
        "edition": EDITION,
        **of_deployment(settings),
        **window._asdict(),
    }


async def grouped(connection: Connection, statement: str, parameters: Row) -> Grouped:
    """The rows of one of the statements of grouped.sql, told apart."""
    rows = await fetched(connection, SQL[statement], parameters)
    bounds = map(Window, parameters["firsts"], parameters["pasts"])
    groups = [row for row in rows if row["place"] is not None]
    (whole,) = (row for row in rows if row["place"] is None and row["car"] is None)
    return Grouped(
        whole,
        list(zip(bounds, groups, strict=True)),
        [row for row in rows if row["car"] is not None],
    )


def in_groups(window: Window, by: GroupBy, rows: list[Row]) -> list[tuple[Window, list[Row]]]:
    """Each group of the window with those of the rows whose `hour` lies in it."""
    found: list[tuple[Window, list[Any]]] = [(group, []) for group in window.groups(by)]
    starts = [group.start for group, _ in found]
    for row in rows:
        if row["hour"] is not None:
            found[bisect(starts, max(row["hour"], window.start)) - 1][1].append(row)
    return found
