"""Distributing a migrated database, empty or filled, over the nodes of a Citus cluster; and back.

Histories and live states are spread by device id, so that all of a device lies on one node; the
rest stays on the coordinator. One table is taken after the other, each in one transaction: a run
that ends anywhere leaves every table whole, and the next run goes on with those that are left.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from psycopg import errors, sql
from psycopg.errors import Diagnostic
from psycopg.rows import class_row

from reporting.command import say
from reporting.progress import Progress
from schemas.streams import STREAMS
from sql import locks
from sql.connect import Connection
from sql.day_tables import day_tables
from sql.errors import DistributionError
from sql.named import load
from sql.node_functions import share_functions

SHARDS_A_NODE = 2
"""By default. A statement about many devices asks every shard, and each day of a history is a table
in each: few are faster. But a shard is the least that can be moved to another node: with two of
them the nodes can be doubled."""
MOST_SHARDS = 64
LET_READERS_END_S = 30.0
"""So long we try to remove the old rows of a table that somebody reads."""
KEEP_WRITERS_S = 10.0
"""So long at most while nobody can write to it."""
QUERIES = load("distribution")
_COPIED = re.compile(r"Copied (\d+) rows")
_MOVING = re.compile(r"moving the data of .*")


class SpreadTable(NamedTuple):
    """A table that is spread, and the column that says on which node a row lies."""

    name: str
    column: str

    @property
    def identifier(self) -> sql.Identifier:
        """Its quoted name."""
        return sql.Identifier(self.name)


class Found(NamedTuple):
    """A table as it is."""

    name: str
    spread_by: str | None
    """Its column; None while it is a plain one of the coordinator. So is `colocation`."""
    colocation: int | None
    shards: int
    days: int
    row_bytes: int
    """Of its rows that are here, seen or not."""
    bytes: int
    """With all that belongs to them, as indexes."""


def spread_tables() -> list[SpreadTable]:
    """The tables that are spread, in the order in which they are."""
    return [
        SpreadTable(name, stream.id_column)
        for stream in STREAMS.values()
        for name in (stream.history_table, stream.live_table)
    ]


def look(connection: Connection) -> list[Found]:
    """The tables of `spread_tables` as they are. Wants a database with Citus."""
    names = {"tables": [table.name for table in spread_tables()]}
    with connection.cursor(row_factory=class_row(Found)) as cursor:
        return cursor.execute(QUERIES["tables"], names).fetchall()


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Keep migrations, grants and others like us out; wants autocommit."""
    connection.execute(QUERIES["end_when_left"])
    if not locks.try_lock(connection, locks.MIGRATION):
        raise DistributionError("another `python -m sql` is at work on this database")
    yield


def distribute(connection: Connection, shards: int) -> dict[str, int]:
    """Spread what is not spread yet; returns these tables' rows by name.

    `shards` counts for the first table; the others lie as it does. Wants autocommit, and what
    `cluster_checks` looks at. Raises DistributionError or psycopg.Error.
    """
    found = {table.name: table for table in look(connection)}
    beside = next((name for name, table in found.items() if table.spread_by), "none")
    share_functions(connection)
    rows = {}
    for table in spread_tables():
        if not found[table.name].spread_by:
            rows[table.name] = _spread(connection, table, beside, shards)
            beside = table.name if beside == "none" else beside
    for one in look(connection):
        if one.row_bytes and (who := _empty_here(connection, one.name, LET_READERS_END_S)):
            raise DistributionError(
                f"{one.name} is on the nodes, but its old rows still take room here, since {who}"
                " reads them: run this again later"
            )
    return rows


def gather(connection: Connection) -> dict[str, int]:
    """Make the tables plain ones of the coordinator again; returns the same as `distribute`.

    Nobody can read a table while it is moved. Raises DistributionError or psycopg.Error.
    """
    found = {table.name: table for table in look(connection)}
    return {
        table.name: _gather(connection, table, found[table.name].days)
        for table in spread_tables()
        if found[table.name].spread_by
    }


def analyze(connection: Connection) -> None:
    """Have plans know the tables where they are now; wants autocommit, and may take a while."""
    for table in spread_tables():
        connection.execute(QUERIES["analyze"].format(table=table.identifier))


def imbalance(connection: Connection) -> int:
    """By how many readings the books and the tables differ. Wants nobody to write meanwhile."""
    stored = connection.execute(QUERIES["stored"]).fetchall()[0][0]
    kept = int(connection.execute(load("positions")["count_kept"]).fetchall()[0][0])
    for stream in STREAMS.values():
        kept += _count(connection, sql.Identifier(stream.history_table))
        for table in day_tables(connection, stream.history_table):
            if table.state != "attached" and table.announced:  # retention counts it later
                kept += _count(connection, table.identifier)
    return int(stored) - kept


def _spread(connection: Connection, table: SpreadTable, beside: str, shards: int) -> int:
    """Copy a table's rows to the nodes; returns how many, which are as many as before."""
    wanted = {
        "table": table.name,
        "column": table.column,
        "beside": beside,
        "shards": shards if beside == "none" else None,
    }
    with connection.transaction():
        before = _lock(connection, table)
        with _told(connection, f"distributing {table.name}", before):
            connection.execute(QUERIES["spread"], wanted)
        _same(connection, table, before)
        # Also keeps readers away until all nodes have committed: the coordinator does so first.
        _empty_here(connection, table.name, KEEP_WRITERS_S)
    return before


def _gather(connection: Connection, table: SpreadTable, days: int) -> int:
    """Copy a table's rows from the nodes; returns how many, which are as many as before."""
    name = {"table": table.name}
    with connection.transaction():
        before = _lock(connection, table)
        functions = connection.execute(QUERIES["functions_of"], name).fetchall()
        with _told(connection, f"gathering {table.name}", days or 1):
            connection.execute(QUERIES["gather"], name)
        connection.execute(QUERIES["on_coordinator_alone"])
        for definition, owner in functions:
            connection.execute(definition.encode())
            connection.execute(owner.encode())
        _same(connection, table, before)
    return before


def _lock(connection: Connection, table: SpreadTable) -> int:
    """Keep writers away until the transaction ends; returns how many rows there are."""
    connection.execute(QUERIES["lock"].format(table=table.identifier))
    return _count(connection, table.identifier)


def _same(connection: Connection, table: SpreadTable, before: int) -> None:
    after = _count(connection, table.identifier)
    if after != before:
        raise DistributionError(
            f"{table.name} had {before} rows and would have {after}: it was left as it was"
        )


def _count(connection: Connection, table: sql.Identifier) -> int:
    found = connection.execute(QUERIES["count"].format(table=table)).fetchall()
    return int(found[0][0])


@contextmanager
def _told(connection: Connection, what: str, total: int) -> Iterator[None]:
    """Show how far Citus is, by what it says: rows that it copied, or days that it moves."""
    progress = Progress(what, total)
    of_this_day = 0

    def hear(said: Diagnostic) -> None:
        nonlocal of_this_day
        text = said.message_primary or ""
        if text.startswith("Copying data"):
            of_this_day = 0
        elif copied := _COPIED.fullmatch(text):
            progress.advance(int(copied[1]) - of_this_day)
            of_this_day = int(copied[1])
        elif _MOVING.fullmatch(text):
            progress.advance(1)

    connection.execute(QUERIES["tell_progress"])
    connection.add_notice_handler(hear)
    try:
        yield
    finally:
        connection.remove_notice_handler(hear)
    progress.close()


def _empty_here(connection: Connection, name: str, within_s: float) -> str | None:
    """Remove the rows that were copied; returns who still reads them when that is too long."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            with connection.transaction():
                connection.execute(QUERIES["hurry"])
                connection.execute(QUERIES["empty_here"], {"table": name})
            return None
        except errors.LockNotAvailable:
            reader = connection.execute(QUERIES["readers"], {"table": name}).fetchone()
            who = str(reader[0]) if reader else "somebody"
            if time.monotonic() > deadline:
                return who
            say(f"waiting for {who}, who still reads {name}")
