"""Storing readings one way or the other, told apart: new, duplicate or conflict.

Workers use this for readings that may be stored already, replay for all of its readings. The
caller owns the transaction. Times are microseconds since 2000-01-01 UTC, in and out.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, sql
from psycopg.adapt import Loader
from psycopg.pq import Format

from schemas.readings import DAY_US, POSTGRES_EPOCH, STREAMS, Row, Stream
from sql.named import load
from sql.touched import note_stored

Connection = psycopg.Connection[Any]


class Staged(NamedTuple):
    """What became of staged rows, by their place in the sequence given."""

    stored: list[int]
    conflicts: dict[int, tuple[Any, ...]]
    """The stored values that differ, in the order of the stream's value columns."""


class _MicrosLoader(Loader):
    """A binary timestamptz is a count of microseconds since 2000-01-01 UTC already."""

    format = Format.BINARY

    def load(self, data: Any) -> int:
        return int.from_bytes(data, "big", signed=True)


def prepare(connection: Connection) -> None:
    """Make a new connection ready for this module: staging tables, times as integers.

    Nothing is known of a staging table's size: no plan may read much because of it.
    """
    connection.adapters.register_loader("timestamptz", _MicrosLoader)
    connection.execute("SET max_parallel_workers_per_gather = 0")
    for stream in STREAMS.values():
        connection.execute(load(stream.name)["create_staging"].encode())


def empty_staging(connection: Connection, stream: Stream) -> None:
    """Needed between two uses in one transaction; its end empties the tables anyway."""
    connection.execute(load(stream.name)["empty_staging"].encode())


def create_days(connection: Connection, stream: Stream, days: Iterable[int]) -> None:
    """Create the day partitions that are missing.

    `days` count from 2000-01-01. A transaction that calls this should be short: it locks the
    parent against other changes of its day partitions.
    """
    for day in days:
        connection.execute(
            "SELECT create_day_partition(%s, %s)", (stream.history_table, day_date(day))
        )


def day_date(day: int) -> date:
    """The UTC date of a day counted from 2000-01-01."""
    return POSTGRES_EPOCH.date() + timedelta(days=day)


def copy_rows(connection: Connection, stream: Stream, day: int, rows: Iterable[Row]) -> None:
    """COPY rows that are known to be new and to lie in that day into its partition.

    Raises UniqueViolation when one was not new, UndefinedTable when the partition is gone.
    """
    partition = sql.Identifier(f"{stream.history_table}_{day_date(day):%Y_%m_%d}")
    statement = sql.SQL(load(stream.name)["copy_history"]).format(day_partition=partition)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(stream.copy_types)
        write = copy.write_row
        for row in rows:
            write(row)


def store_staged(connection: Connection, stream: Stream, rows: Sequence[Row]) -> Staged:
    """Store the rows that are new; say which were, and which differ from what is stored.

    The others are duplicates. Of several rows with one key the first counts.
    """
    queries = load(stream.name)
    with connection.cursor(binary=True) as cursor:
        _copy_staged(cursor, stream, rows)
        new_keys = set(cursor.execute(queries["insert_staged"].encode()).fetchall())
        times = [row[1] for row in rows]
        bounds = (min(times), max(times))
        found = cursor.execute(queries["select_conflicts"].encode(), bounds).fetchall()
    conflicts = {seq: tuple(values) for seq, *values in found}
    stored = []
    for seq, row in enumerate(rows if new_keys else ()):
        key = (row[-1], row[1])
        if key in new_keys:
            new_keys.remove(key)
            stored.append(seq)
    note_stored(connection, stream, [[rows[seq]] for seq in stored])
    return Staged(stored, conflicts)


def _copy_staged(cursor: psycopg.Cursor[Any], stream: Stream, rows: Sequence[Row]) -> None:
    with cursor.copy(load(stream.name)["copy_staged"].encode()) as copy:
        copy.set_types(["int4", *stream.copy_types])
        for seq, row in enumerate(rows):
            copy.write_row((seq, *row))


def refused_of(connection: Connection, stream: Stream, rows: Sequence[Row]) -> dict[int, str]:
    """Which of these rows PostgreSQL refuses, each by itself, and why; nothing is stored."""
    with connection.cursor() as cursor:
        _copy_staged(cursor, stream, rows)
        cursor.execute(load(stream.name)["select_refused"].encode())
        return dict(cursor.fetchall())


def newest_known(connection: Connection, stream: Stream, ids: Iterable[str]) -> dict[str, int]:
    """The newest stored time of those devices that were ever heard of."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(load(stream.name)["select_newest"].encode(), (list(ids),))
        return dict(cursor.fetchall())


def newest_of(rows: Iterable[Row]) -> list[Row]:
    """The newest row of each device, in key order."""
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(row[-1])
        if known is None or row[1] > known[1]:
            newest[row[-1]] = row
    return [newest[device_id] for device_id in sorted(newest)]


def upsert_live(connection: Connection, stream: Stream, newest: Sequence[Row]) -> None:
    """Move live state to these rows, unless it is newer already.

    One row a device, in key order: so that workers cannot deadlock.
    """
    if not newest:
        return
    queries = load(stream.name)
    with connection.cursor() as cursor:
        with cursor.copy(queries["copy_newest"].encode()) as copy:
            copy.set_types(stream.copy_types)
            for row in newest:
                copy.write_row(row)
        cursor.execute(queries["upsert_live"].encode())


def day_of(row: Row) -> int:
    """The UTC day of a row, counted from 2000-01-01."""
    return int(row[1] // DAY_US)


def is_data_error(error: psycopg.Error) -> bool:
    """Whether PostgreSQL refuses these rows, rather than being unable to work.

    A check violation without a constraint's name is a missing day partition, not the row's fault.
    """
    if isinstance(error, errors.CheckViolation) and not error.diag.constraint_name:
        return False
    sqlstate = error.sqlstate or ""
    return sqlstate[:2] in ("22", "23") or sqlstate == "P0001"
