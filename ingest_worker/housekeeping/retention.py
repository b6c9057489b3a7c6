"""Retiring days of history that are older than RETENTION_DAYS, while everything else goes on.

A day is announced in `retired_days`, by the identity of its table: from then on its rollups are
final. It is detached without blocking COPY, its rows are counted for the books, and it is dropped
in the same transaction as that count. Each step is taken from what the catalog says, so that a run
that was interrupted anywhere is finished by the next one, or taken back when the day is to be kept
after all. Nothing but what was announced is ever dropped; a day that fails holds up no other.
"""

import logging
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import sql

from ingest_worker.housekeeping.problems import Problems
from schemas.streams import STREAMS
from sql.connect import Connection
from sql.day_tables import DayTable, day_tables
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
        with problems.of(history):
            tables = day_tables(connection, history)
        default = any(table.state == "attached" and table.past is None for table in tables)
        for table in tables:
            with problems.of(table.name):
                if _look_after(_Table(connection, history, table, default), oldest_kept):
                    retired.append(table.name)
                elif table.day is None and table.past and table.past.date() <= oldest_kept:
                    problems.add(f"{table.name} takes more than a day: it is not retired")
    problems.raise_any()
    return retired


def _look_after(table: "_Table", oldest_kept: date) -> bool:
    """Do the next steps with a table, if there are any; true when its day was retired."""
    day, state = table.table.day, table.table.state
    if day is not None and day < oldest_kept and (state != "detached" or table.table.announced):
        table.retire()
        return True
    if state == "pending":
        table.run("finalize")
    if table.table.announced:
        table.keep()
    return False


class _Table:
    """One day's table, and what is done with it."""

    def __init__(
        self, connection: Connection, history: str, table: DayTable, default: bool
    ) -> None:
        """`default`: whether the history table has a DEFAULT partition."""
        self.table = table
        self._connection = connection
        self._history = history
        self._default = default
        self._words = {"history": sql.Identifier(history), "partition": table.identifier}
        partition = table.identifier.as_string()
        self._values = {"history": history, "day": table.day, "partition": partition}

    def run(self, name: str) -> None:
        """Run a statement about the table."""
        self._connection.execute(QUERIES[name].format(**self._words))

    def retire(self) -> None:
        """Take the day out of history, count its rows for the books, and drop it."""
        self._connection.execute(QUERIES["announce"], self._values)
        if self.table.state == "pending":
            self.run("finalize")
        elif self.table.state == "attached":
            self._detach()
        with self._connection.transaction():
            self.run("lock")
            # What cannot be dropped is not counted again and again.
            with self._connection.transaction(force_rollback=True):
                self.run("drop")
            row: Any = self._connection.execute(QUERIES["count"].format(**self._words)).fetchone()
            self._connection.execute(QUERIES["note"], self._values | {"rows": row[0]})
            self.run("drop")
        fields = {"day": self.table.name, "rows": row[0]}
        log.info("retired %s with %d rows", self.table.name, row[0], extra=fields)

    def keep(self) -> None:
        """Take the announcement back: the day is to be kept, and is attached again if need be.

        Its rollups, which were final, are made anew.
        """
        with self._connection.transaction():
            self._connection.execute(QUERIES["withdraw"], self._values)
            if self.table.state != "attached":
                self._connection.execute(QUERIES["ensure"], self._values)
            self._connection.execute(QUERIES["log_day"], self._values)
        fields = {"day": self.table.name}
        log.warning("%s was about to be retired, and is kept", self.table.name, extra=fields)

    def _detach(self) -> None:
        if not self._default:
            self.run("detach")
            return
        with self._connection.transaction():
            limits = {"lock_timeout": f"{DETACH_WITHIN_S}s", "statement_timeout": "0"}
            self._connection.execute(QUERIES["hurry"], limits)
            self.run("detach_beside_default")
