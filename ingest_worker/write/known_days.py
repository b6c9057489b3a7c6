"""The day partitions that a sink writes to: each is asked for once, and made if there is none.

COPY goes straight into a day's partition, by the name it has. Were it taken out of history
meanwhile, the rows would be in no history at all: so each transaction looks, before it commits,
whether what it wrote to is attached still.
"""

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import psycopg
from psycopg import errors

from schemas.streams.stream import Stream
from schemas.text import one_line
from sql import store
from sql.connect import Connection
from sql.day_tables import hurry
from sql.errors import DayDetachedError
from sql.named import load
from sql.store import DayPartition

QUERIES = load("days")
LOCK_TIMEOUT_S = 1
"""How long readings of other days wait while a day's partition is made under somebody's lock."""
STATEMENT_TIMEOUT_S = 20
"""Attaching a table that is there already reads it whole."""
LOCKED_PAUSE_S, SLOW_PAUSE_S = 5.0, 600.0
"""How long nothing is tried again after a lock, and a day whose table takes longer to attach."""
OUTAGES = ("08", "25", "40", "53", "57", "58", "XX")
"""SQLSTATE classes of what has nothing to do with the day: the batch is to be tried again."""


class GivenUp(NamedTuple):
    """What is not tried for a while, since each try holds up the readings of all other days."""

    until: float
    """By the monotonic clock."""
    why: str


class KnownDays:
    """The day partitions of one stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._partitions: dict[int, DayPartition] = {}
        self._locked: GivenUp | None = None
        self._locked_days: dict[int, GivenUp] = {}
        self._slow: dict[int, GivenUp] = {}

    @property
    def partitions(self) -> Mapping[int, DayPartition]:
        """The partition of each known day, counted from 2000-01-01."""
        return self._partitions

    def forget(self) -> None:
        """Ask for every day again."""
        self._partitions.clear()

    def ensure(self, connection: Connection, days: set[int]) -> dict[int, str]:
        """Know the partitions of these days; returns those that get none now, and why.

        Raises psycopg.Error when PostgreSQL is what cannot be used.
        """
        unavailable = {}
        missing = days - self._partitions.keys()
        for day in list(missing):
            if why := _still(self._locked_days.get(day)):
                unavailable[day] = why
                missing.remove(day)
        if missing:
            try:
                self._find(connection, missing)
            except errors.LockNotAvailable:
                unavailable |= self.locked(connection, missing)
                self._find(connection, missing - unavailable.keys())
        for day in sorted(missing - self._partitions.keys() - unavailable.keys()):
            why = _still(self._locked) or _still(self._slow.get(day)) or self._try(connection, day)
            if why:
                date, history = store.day_date(day), self._stream.history_table
                unavailable[day] = f"{history} has no partition for {date}: {why}"
        return unavailable

    def locked(self, connection: Connection, days: Iterable[int]) -> dict[int, str]:
        """Which of these days' tables somebody has locked against writing, and who.

        They are left alone for a while.
        """
        locked = {}
        history = self._stream.history_table
        holders = locked_tables(connection, history)
        for day in days:
            table = f"{history}_{store.day_date(day):%Y_%m_%d}"
            if table in holders:
                locked[day] = f"{table} takes no readings: {holders[table]}"
                until = time.monotonic() + LOCKED_PAUSE_S
                self._locked_days[day] = GivenUp(until, locked[day])
        return locked

    def _find(self, connection: Connection, days: set[int]) -> None:
        with connection.transaction():
            hurry(connection, lock_s=LOCK_TIMEOUT_S, statement_s=STATEMENT_TIMEOUT_S)
            found = store.find_days(connection, self._stream, days)
        self._partitions.update(found)

    def _try(self, connection: Connection, day: int) -> str | None:
        """Know the partition of a day, or why it has none. Raises psycopg.Error for an outage."""
        try:
            self._ensure(connection, day)
        except errors.LockNotAvailable:
            why = _lockers(connection, self._stream)
            self._locked = GivenUp(time.monotonic() + LOCKED_PAUSE_S, why)
        except psycopg.Error as error:
            if _is_outage(connection, error):
                raise
            why = one_line(error)
            if isinstance(error, errors.QueryCanceled):
                self._slow[day] = GivenUp(time.monotonic() + SLOW_PAUSE_S, why)
        else:
            return None
        return why

    def check_attached(self, connection: Connection, days: set[int]) -> None:
        """Raise DayDetachedError when a known partition of these is no part of history any more.

        Once a transaction has written to a partition, nobody can detach it before its end.
        """
        known = [self._partitions[day] for day in days & self._partitions.keys()]
        used = [partition.identifier.as_string() for partition in known]
        names = {"names": used, "history": self._stream.history_table}
        gone = connection.execute(QUERIES["gone"], names).fetchall() if used else []
        if gone:
            names_of_gone = ", ".join(name for (name,) in gone)
            raise DayDetachedError(f"{names_of_gone} is no part of history any more")

    def _ensure(self, connection: Connection, day: int) -> None:
        with connection.transaction():
            hurry(connection, lock_s=LOCK_TIMEOUT_S, statement_s=STATEMENT_TIMEOUT_S)
            partition = store.ensure_day(connection, self._stream, day)
        self._partitions[day] = partition


def _is_outage(connection: Connection, error: psycopg.Error) -> bool:
    if isinstance(error, errors.QueryCanceled) and not connection.closed:
        return False
    return connection.closed or (error.sqlstate or OUTAGES[0])[:2] in OUTAGES


def locked_tables(connection: Connection, history: str) -> dict[str, str]:
    """By name, the tables beside `history` that somebody has locked against writing, and who."""
    rows = connection.execute(QUERIES["locked"], {"history": history}).fetchall()
    return {name: f"locked by {_process(*who)}" for name, *who in reversed(rows)}


def _lockers(connection: Connection, stream: Stream) -> str:
    """Who holds the lock that was waited for in vain."""
    rows = connection.execute(QUERIES["lockers"], {"history": stream.history_table}).fetchall()
    held = "; ".join(_process(*row) for row in rows)
    return f"waits for a lock of {held or 'another process'}"


def _process(pid: int, application: str, since: str, statement: str) -> str:
    return one_line(f"process {pid} ({application}, since {since}): {statement}")


def _still(given_up: GivenUp | None) -> str | None:
    """Why something is not tried at present; None when it may be."""
    return given_up.why if given_up and time.monotonic() < given_up.until else None
