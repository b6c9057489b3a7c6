"""Retiring days of history that are older than RETENTION_DAYS, while everything else goes on.

A day is announced in `retired_days`, with no rows yet: from then on its rollups are final. It is
detached without blocking COPY, its rows are counted for the books, and it is dropped in the same
transaction as that count. Each step is taken from what the catalog says, so that a run that was
interrupted anywhere is finished by the next one.
"""

import logging
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from psycopg import sql

from schemas.streams import STREAMS
from sql.connect import Connection
from sql.named import load

MARGIN = timedelta(hours=1)
"""A day goes only so long after its last reading ran out: no batch in hand can hold one then."""
QUERIES = load("days")

log = logging.getLogger(__name__)


class Day(NamedTuple):
    """One day partition; `pending` is None once it is detached."""

    name: str
    day: date
    pending: bool | None


def retire_days(connection: Connection, now: datetime, retention_days: int) -> list[str]:
    """Retire what is too old; returns the names. Wants autocommit; raises psycopg.Error."""
    retired = []
    oldest_kept = (now - timedelta(days=retention_days) - MARGIN).date()
    for stream in STREAMS.values():
        history = stream.history_table
        rows = connection.execute(QUERIES["list"], {"history": history}).fetchall()
        for day in (Day(*row) for row in rows):
            if day.pending is None or day.pending or day.day < oldest_kept:
                _retire(connection, history, day)
                retired.append(day.name)
    return retired


def _retire(connection: Connection, history: str, day: Day) -> None:
    names = {"history": sql.Identifier(history), "partition": sql.Identifier(day.name)}

    def statement(name: str) -> sql.Composed:
        return QUERIES[name].format(**names)

    connection.execute(QUERIES["announce"], {"history": history, "day": day.day})
    if day.pending is not None:
        connection.execute(statement("finalize" if day.pending else "detach"))
    with connection.transaction():
        connection.execute(statement("lock"))
        row: Any = connection.execute(statement("count")).fetchone()
        note = {"history": history, "day": day.day, "rows": row[0]}
        connection.execute(QUERIES["note"], note)
        connection.execute(statement("drop"))
    fields = {"day": day.name, "rows": row[0]}
    log.info("retired %s with %d rows", day.name, row[0], extra=fields)
