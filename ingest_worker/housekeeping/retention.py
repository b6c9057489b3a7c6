"""Retiring days of history that are older than RETENTION_DAYS, while everything else goes on.

A day is announced in `retired_days`, by the identity of its table: from then on its rollups are
final. It is detached without blocking COPY where the worker owns the tables; others, and all on
Citus, ask the database's own function, which waits DETACH_WITHIN_S at most. Its rows are counted
for the books, and it is dropped in the same transaction as that count. Each step is taken from
what the catalog says, so that a run that was interrupted anywhere is finished by the next one, or
taken back when the day is to be kept after all. Nothing but what was announced is ever dropped; a
day that fails holds up no other.
"""

import logging
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import sql

from ingest_worker.housekeeping.problems import Problems
from schemas.streams import STREAMS
from sql.connect import Connection
from sql.day_tables import DayTable, day_tables, hurry
from sql.named import load

MARGIN = timedelta(hours=1)
"""A day goes only so long after its last reading ran out: no batch in hand can hold one then."""
KEEP_ALL = date.min
DETACH_WITHIN_S = 1
"""A DETACH that is not CONCURRENT holds up everybody while it waits."""
QUERIES = load("days")

log = logging.getLogger(__name__)


def retire_days(connection: Connection, now: datetime, retention_days: int) -> list[str]:
    """Retire what is too old; returns the names. 0 keeps every day. Wants autocommit.

    Raises DutyFailedError when days could not be retired, once all others are.
    """
    oldest_kept = (now - timedelta(days=retention_days) - MARGIN).date()
    if not retention_days:
        oldest_kept = KEEP_ALL
    problems = Problems(connection)
    retired: list[str] = []
    for stream in STREAMS.values():
        history = stream.history_table
        tables: list[DayTable] = []
        quietly = False
        with problems.of(history):
            tables = day_tables(connection, history)
            quietly = _may_be_quiet(connection, history, tables)
        for table in tables:
            with problems.of(table.name):
                if _look_after(_Table(connection, history, table, quietly), oldest_kept):
                    retired.append(table.name)
                elif table.day is None and table.past and table.past.date() <= oldest_kept:
                    problems.add(f"{table.name} takes more than a day: it is not retired")
    problems.raise_any()
    return retired


def _may_be_quiet(connection: Connection, history: str, tables: list[DayTable]) -> bool:
    """Whether we may detach without blocking anybody, and PostgreSQL can."""
    row: Any = connection.execute(QUERIES["may_detach"], {"history": history}).fetchone()
    default = any(table.state == "attached" and table.past is None for table in tables)
    return row[0] and not default


def _look_after(table: "_Table", oldest_kept: date) -> bool:
    """Do the next steps with a table, if there are any; true when its day was retired."""
    day, state = table.table.day, table.table.state
    if day is not None and day < oldest_kept and (state != "detached" or table.table.announced):
        table.retire()
        return True
    if state == "pending":
        table.detach_at_once()
    if table.table.announced:
        table.keep()
    return False


class _Table:
    """One day's table, and what is done with it."""

    def __init__(
        self, connection: Connection, history: str, table: DayTable, quietly: bool
    ) -> None:
        """`quietly`: whether it can be detached without blocking anybody."""
        self.table = table
        self._connection = connection
        self._quietly = quietly
        self._words = {"history": sql.Identifier(history), "partition": table.identifier}
        partition = table.identifier.as_string()
        self._values = {"history": history, "day": table.day, "partition": partition}

    def retire(self) -> None:
        """Take the day out of history, count its rows for the books, and drop it."""
        self._connection.execute(QUERIES["announce"], self._values)
        if self.table.state == "attached" and self._quietly:
            self._connection.execute(QUERIES["detach"].format(**self._words))
        elif self.table.state != "detached":
            self.detach_at_once()
        row: Any = self._connection.execute(QUERIES["drop"], self._values).fetchone()
        fields = {"day": self.table.name, "rows": row[0]}
        log.info("retired %s with %d rows", self.table.name, row[0], extra=fields)

    def detach_at_once(self) -> None:
        """Take the day out of history, or end what an interrupted DETACH left pending."""
        with self._connection.transaction():
            hurry(self._connection, lock_s=DETACH_WITHIN_S, statement_s=0)
            self._connection.execute(QUERIES["detach_at_once"], self._values)

    def keep(self) -> None:
        """Take the announcement back: the day is to be kept, and is attached again if need be.

        Its rollups, which were final, are made anew. On Citus a transaction in which the owner has
        attached a day may ask no node as somebody else: all vehicles are asked for before.
        """
        vehicles: Any = self._connection.execute(QUERIES["vehicles"]).fetchone()
        with self._connection.transaction():
            self._connection.execute(QUERIES["withdraw"], self._values)
            if self.table.state != "attached":
                self._connection.execute(QUERIES["ensure"], self._values)
            self._connection.execute(QUERIES["log_day"], self._values | {"vehicles": vehicles[0]})
        fields = {"day": self.table.name}
        log.warning("%s was about to be retired, and is kept", self.table.name, extra=fields)
