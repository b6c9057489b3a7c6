"""Storing readings one way or the other, told apart: new, duplicate or conflict.

Workers use this for readings that may be stored already, replay for all of its readings. The
caller owns the transaction. Times are microseconds since 2000-01-01 UTC, in and out.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, sql
from psycopg.adapt import Loader
from psycopg.pq import Format

from reporting.tracing import traced
from schemas.streams import STREAMS
from schemas.streams.stream import DEVICE, TIME, Row, Stream
from schemas.streams.times import DAY_US, POSTGRES_EPOCH
from schemas.text import one_line
from sql.citus import has_citus
from sql.connect import Connection
from sql.errors import (
    CHECK_VIOLATION,
    RowsInDoubtError,
    RowsRefusedError,
    RowsSwallowedError,
    is_data_error,
    may_be_data_error,
)
from sql.named import load, load_for
from sql.rollup_log import log_changes

log = logging.getLogger(__name__)


FAR_AHEAD = 2**63


class Staged(NamedTuple):
    """What became of staged rows, by their place in the sequence given."""

    stored: list[int]
    conflicts: dict[int, tuple[Any, ...]]
    """The stored values that differ, in the order of the stream's value columns."""


class DayPartition(NamedTuple):
    """The table that takes a day's rows."""

    schema: str
    name: str
    how: str
    """What it was: `there`, `created`, `attached` (a table beside history), or `default`."""

    @property
    def identifier(self) -> sql.Identifier:
        """Its quoted name."""
        return sql.Identifier(self.schema, self.name)


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
    if has_citus(connection):
        connection.execute(load("distribution")["push_down"])
    for stream in STREAMS.values():
        connection.execute(load_for(stream)["create_staging"])


@contextmanager
def carrying_rows(nodes: Connection | None = None) -> Iterator[None]:
    """Around statements that carry readings: what is the readings' fault is RowsRefusedError.

    Whatever else PostgreSQL raises passes as it is: an outage, to be waited out. `nodes`: a
    connection that may reach several by Citus, which reports some errors of theirs as one of its
    own; then RowsInDoubtError says that it takes `fault_of` to know.
    """
    try:
        yield
    except psycopg.Error as error:
        by_client = isinstance(error, psycopg.DataError) and error.sqlstate is None
        if by_client or is_data_error(error.sqlstate, error.diag.constraint_name):
            raise RowsRefusedError(error) from error
        if nodes and has_citus(nodes) and may_be_data_error(error.sqlstate):
            raise RowsInDoubtError(error) from error
        raise
    except (UnicodeError, OverflowError) as error:  # the client cannot put a row into bytes
        raise RowsRefusedError(error) from error


def enforce_constraints(connection: Connection) -> None:
    """Have deferred constraints and triggers object to the rows now, and from here on at once.

    COMMIT then fails for no row's sake. Raises RowsRefusedError.
    """
    with carrying_rows(connection):
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def empty_staging(connection: Connection, stream: Stream) -> None:
    """Needed between two uses in one transaction; its end empties the tables anyway."""
    connection.execute(load_for(stream)["empty_staging"])


def create_days(connection: Connection, stream: Stream, days: Iterable[int]) -> None:
    """Create the day partitions that are missing. Raises as `ensure_day` does."""
    for day in days:
        ensure_day(connection, stream, day)


def ensure_day(connection: Connection, stream: Stream, day: int) -> DayPartition:
    """Find or make the partition that takes the rows of a day, counted from 2000-01-01.

    A transaction that calls this should be short: it locks the parent against other changes of its
    partitions. Raises psycopg.Error, which names what keeps the day from having a partition.
    """
    names = {"history": stream.history_table, "day": day_date(day)}
    row = connection.execute(load("days")["ensure"], names).fetchone()
    assert row is not None
    partition = DayPartition(*row)
    if partition.how == "attached":
        log.warning(
            "%s was not attached to %s: it is again, since its day is needed",
            partition.name,
            stream.history_table,
        )
    return partition


def find_days(
    connection: Connection, stream: Stream, days: Iterable[int]
) -> dict[int, DayPartition]:
    """Those of the days' partitions that are there under their usual names; waits for no lock."""
    dates = {day_date(day): day for day in days}
    names = {"history": stream.history_table, "days": list(dates)}
    rows = connection.execute(load("days")["find"], names).fetchall()
    return {dates[day]: DayPartition(schema, name, "there") for day, schema, name in rows}


def day_date(day: int) -> date:
    """The UTC date of a day counted from 2000-01-01."""
    return POSTGRES_EPOCH.date() + timedelta(days=day)


@traced("copy")
def copy_rows(
    connection: Connection, stream: Stream, partition: DayPartition, rows: Sequence[Row]
) -> None:
    """COPY rows that are known to be new into the partition that takes all of them.

    Raises RowsRefusedError when one was not new or was swallowed, UndefinedTable when the partition
    is gone.
    """
    statement = load_for(stream)["copy_history"].format(day_partition=partition.identifier)
    with carrying_rows(connection), connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.set_types(stream.copy_types)
            write = copy.write_row
            for row in rows:
                write(row)
        if cursor.rowcount != len(rows):
            raise RowsSwallowedError(partition.name)


@traced("stage")
def store_staged(connection: Connection, stream: Stream, rows: Sequence[Row]) -> Staged:
    """Store the rows that are new; say which were, and which differ from what is stored.

    The others are duplicates. Of several rows with one key the first counts. Raises
    RowsRefusedError; RowsSwallowedError when some were not stored and nothing said so.
    """
    queries = load_for(stream)
    with carrying_rows(connection), connection.cursor(binary=True) as cursor:
        _copy_staged(cursor, stream, rows)
        new_keys = set(cursor.execute(queries["insert_staged"]).fetchall())
        times = [row[TIME] for row in rows]
        bounds = (min(times), max(times))
        found = cursor.execute(queries["select_conflicts"], bounds).fetchall()
    if swallowed := [seq for seq, kept, *_ in found if kept is None]:
        raise RowsSwallowedError(stream.history_table, swallowed)
    stored = []
    for seq, row in enumerate(rows if new_keys else ()):
        key = (row[DEVICE], row[TIME])
        if key in new_keys:
            new_keys.remove(key)
            stored.append(seq)
    # What a trigger has changed differs from what was sent, and is stored all the same.
    new = set(stored)
    conflicts = {seq: tuple(values) for seq, _, *values in found if seq not in new}
    log_changes(connection, stream, [[rows[seq]] for seq in stored], late=True)
    return Staged(stored, conflicts)


def _copy_staged(cursor: psycopg.Cursor[Any], stream: Stream, rows: Sequence[Row]) -> None:
    with cursor.copy(load_for(stream)["copy_staged"]) as copy:
        copy.set_types(["int4", *stream.copy_types])
        for seq, row in enumerate(rows):
            copy.write_row((seq, *row))


def refused_of(connection: Connection, stream: Stream, rows: Sequence[Row]) -> dict[int, str]:
    """Which of these rows PostgreSQL refuses, each by itself, and why; nothing is stored.

    Raises RowsRefusedError when they cannot even be staged, and the psycopg.Error of a row that
    failed by no fault of its own.
    """
    try_each = "try_each_alone" if has_citus(connection) else "try_each"
    with connection.cursor() as cursor:
        with carrying_rows():
            _copy_staged(cursor, stream, rows)
        failed = cursor.execute(load_for(stream)[try_each]).fetchall()
    for seq, sqlstate, message, constraint in failed:
        fault = is_data_error(sqlstate, constraint)
        if not fault and has_citus(connection) and sqlstate == CHECK_VIOLATION:
            # Nodes do not name the constraint; without one it is the day that is missing.
            fault = bool(find_days(connection, stream, [day_of(rows[seq])]))
        if not fault:
            raise errors.lookup(sqlstate)(message)
    return {seq: f"{sqlstate} {one_line(message)}" for seq, sqlstate, message, _ in failed}


def fault_of(connection: Connection, stream: Stream, row: Row, refused: RowsRefusedError) -> str:
    """What a row that was written by itself was refused for.

    Raises the psycopg.Error that it failed with by no fault of its own.
    """
    if not isinstance(refused, RowsInDoubtError):
        return refused.detail
    with connection.transaction(force_rollback=True):
        found = refused_of(connection, stream, [row])
    if not found:
        raise refused.error
    return found[0]


def unstageable(connection: Connection, stream: Stream, rows: Sequence[Row]) -> dict[int, str]:
    """Which of these rows cannot even be staged, and why: what breaks a COPY breaks all of it.

    They are halved until those stand alone.
    """
    found: dict[int, str] = {}
    pending: list[Sequence[int]] = [range(len(rows))]
    while pending:
        places = pending.pop()
        try:
            with connection.transaction(), carrying_rows(), connection.cursor() as cursor:
                _copy_staged(cursor, stream, [rows[place] for place in places])
        except RowsRefusedError as refused:
            if len(places) == 1:
                found[places[0]] = refused.detail
            else:
                pending += halves(places)
    empty_staging(connection, stream)
    return found


def halves(places: Sequence[int]) -> list[Sequence[int]]:
    """Both halves, the first one last: for a stack."""
    middle = len(places) // 2
    return [places[middle:], places[:middle]]


def newest_known(connection: Connection, stream: Stream, ids: Iterable[str]) -> dict[str, int]:
    """The newest stored time of those devices that were ever heard of. Raises RowsRefusedError."""
    with carrying_rows(connection), connection.cursor(binary=True) as cursor:
        cursor.execute(load_for(stream)["select_newest"], (list(ids),))
        return dict(cursor.fetchall())


def transaction_time(connection: Connection) -> int:
    """PostgreSQL's now(), to which live state yields."""
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(load("snapshots")["now"]).fetchone()
    assert row is not None
    return int(row[0])


def newest_of(rows: Iterable[Row], now: int = FAR_AHEAD) -> dict[str, Row]:
    """By device, the row that live state comes to when they come in this order.

    That is the newest; but a time after `now` yields to the next one that is not.
    """
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(row[DEVICE])
        if known is None or row[TIME] > known[TIME] or known[TIME] > now >= row[TIME]:
            newest[row[DEVICE]] = row
    return newest


@traced("live")
def move_live(
    connection: Connection, stream: Stream, rows: Sequence[Row], *, late: bool
) -> set[str]:
    """Move live state to what it comes to when these rows, which are stored, come in this order.

    `late`: not all of them are newer than what was known of their devices; else there is one a
    device, in key order. Returns the devices of which a newer time was stored before. Raises
    RowsRefusedError.
    """
    if not late:
        return _upsert_live(connection, stream, rows)
    newest = newest_of(rows)
    overtaken = _upsert_live(connection, stream, _in_key_order(newest))
    # A time in the future goes first: that it was there has to stay known.
    in_the_end = newest_of(rows, transaction_time(connection))
    yielded = {one: row for one, row in in_the_end.items() if row is not newest[one]}
    if yielded:
        empty_staging(connection, stream)
        _upsert_live(connection, stream, _in_key_order(yielded))
    return overtaken


def _in_key_order(rows: Mapping[str, Row]) -> list[Row]:
    return [rows[device_id] for device_id in sorted(rows)]


def _upsert_live(connection: Connection, stream: Stream, newest: Sequence[Row]) -> set[str]:
    """One row a device, in key order: so that workers cannot deadlock."""
    if not newest:
        return set()
    queries = load_for(stream)
    with carrying_rows(connection), connection.cursor() as cursor:
        with cursor.copy(queries["copy_newest"]) as copy:
            copy.set_types(stream.copy_types)
            for row in newest:
                copy.write_row(row)
        ((moved,),) = cursor.execute(queries["upsert_live"])
        if moved == len(newest):
            return set()
        return {device_id for (device_id,) in cursor.execute(queries["overtaken"])}


def day_of(row: Row) -> int:
    """The UTC day of a row, counted from 2000-01-01."""
    return int(row[TIME] // DAY_US)
