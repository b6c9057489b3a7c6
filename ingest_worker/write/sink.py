"""One flush, one transaction: positions, history, live state, rejected readings, the books.

A sink owns one connection and is used from one thread at a time. What it raises says what to do:
FencedError means that somebody else moved a position, so the positions must be read again; a
psycopg.Error is no fault of the data, so the batch is held and tried again.
"""

import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice
from typing import NamedTuple

from aiokafka import TopicPartition
from psycopg import errors

from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.write.batch import Part, Refusal
from ingest_worker.write.known_days import KnownDays, locked_tables
from ingest_worker.write.ledger import LOCK_TIMEOUT_S, Ledger, PartBooks, Position
from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.writers import (
    Written,
    write_any,
    write_new,
    write_piecewise,
)
from schemas.streams import STREAMS
from schemas.streams.stream import Row, Stream
from sql import store
from sql.connect import Connection, cut
from sql.errors import DayDetachedError, DaysUnavailableError, RowsRefusedError

TRANSACTION_TIMEOUT_S = 300
SESSION = {
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "transaction_timeout": f"{TRANSACTION_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": f"{TRANSACTION_TIMEOUT_S}s",
}
"""What a sink's connection is opened with. Servers before PostgreSQL 17 know the last one only."""
CROSSED = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
    DayDetachedError,
)
"""Another transaction came in between. That is no outage: the next try may succeed."""

NAMED = 3
"""Of the tables that are locked, as many are named."""
Days = dict[str, set[int]]
"""By stream, the days of rows, counted from 2000-01-01."""
Writer = Callable[[Connection, Stream, Sequence[Row], NewestKnown], Written]


class Outcome(NamedTuple):
    """What one flush did with the readings of one topic."""

    stored: int
    duplicate: int
    rejected: Counter[str]
    repaired: int = 0
    """How many of `stored` and `duplicate` were salvaged."""


class Sink:
    """Writes batches over one connection, which it opens again whenever it is gone."""

    def __init__(
        self,
        connections: Connections,
        conninfo: str,
        ledger: Ledger,
        newest_known: dict[str, NewestKnown],
    ) -> None:
        """`newest_known` is what is known of each stream's devices, by the stream's name."""
        self._connections = connections
        self._conninfo = conninfo
        self._ledger = ledger
        self._newest_known = newest_known
        self._days = {name: KnownDays(stream) for name, stream in STREAMS.items()}
        self._connection: Connection | None = None

    def take(self, starts: dict[TopicPartition, int]) -> dict[TopicPartition, Position]:
        """Read the positions of newly held partitions; `starts` are their logs' starts."""
        self._forget(STREAMS)
        return self._ledger.take(self._connect(), starts)

    def stop(
        self,
        partition: TopicPartition,
        next_offset: int,
        why: str,
        claimed_by: str | None = None,
    ) -> None:
        """Note that the partition waits for an operator, and why."""
        self._ledger.stop(self._connect(), partition, next_offset, why, claimed_by)

    def forget_override(self, partition: TopicPartition) -> None:
        """Note that our own claim stands where an operator took the partition over."""
        self._ledger.forget_override(self._connect(), partition)

    def pass_over(self, partition: TopicPartition, position: int, next_offset: int) -> None:
        """Move on from `position`, past offsets that hold no records. Raises FencedError."""
        self._ledger.pass_over(self._connect(), partition, position, next_offset)

    def flush(self, parts: Sequence[Part]) -> dict[str, Outcome]:
        """Write the parts and move their positions; returns the outcome by topic.

        Raises FencedError, DaysUnavailableError before anything is written, or another
        psycopg.Error, which calls for another try with the same parts.
        """
        days = _days(parts)
        self._ensure(days)
        try:
            for write in (self._write_new, write_any):
                try:
                    return self._flush(parts, days, write)
                except RowsRefusedError:
                    continue
            return self._flush(parts, days, write_piecewise)
        except errors.LockNotAvailable as error:
            self._explain_lock(days, error)
            raise

    def _flush(self, parts: Sequence[Part], days: Days, write: Writer) -> dict[str, Outcome]:
        connection = self._connect()
        books = [PartBooks(part) for part in parts]
        partitions = [part.partition for part in parts]
        try:
            with self._ledger.ending_holders(connection, partitions), connection.transaction():
                self._ledger.lock_starts(connection, parts)
                for stream in STREAMS.values():
                    self._write(stream, [b for b in books if b.part.stream is stream], write)
                for name, written in days.items():
                    self._days[name].check_attached(connection, written)
                store.enforce_constraints(connection)
                self._ledger.reject(connection, books)
                self._ledger.advance(connection, books)
                ready_at = time.monotonic()
            metrics.COMMIT_SECONDS.observe(time.monotonic() - ready_at)
        except BaseException:
            self._forget({part.stream.name for part in parts})
            raise
        return _outcomes(books)

    def _ensure(self, days: Days) -> None:
        """Know the partition of every day. Raises DaysUnavailableError."""
        ensured = {name: self._days[name].ensure(self._connect(), of) for name, of in days.items()}
        unavailable = {name: why for name, why in ensured.items() if why}
        if unavailable:
            raise DaysUnavailableError(unavailable)

    def _explain_lock(self, days: Days, error: errors.LockNotAvailable) -> None:
        """Raise what says who has locked a table that was to be written to, if somebody has.

        Raises DaysUnavailableError when it is a day's: all other days can be written to.
        """
        locked = {name: self._days[name].locked(self._connect(), of) for name, of in days.items()}
        locked = {name: why for name, why in locked.items() if why}
        if locked:
            raise DaysUnavailableError(locked) from error
        for stream in days:
            tables = locked_tables(self._connect(), STREAMS[stream].history_table)
            if tables:
                why = "; ".join(f"{table}: {who}" for table, who in islice(tables.items(), NAMED))
                raise errors.LockNotAvailable(why) from error

    def _write(self, stream: Stream, books: Sequence[PartBooks], write: Writer) -> None:
        """Write all rows of one stream, and note in each part's books what became of its own."""
        rows = [row for b in books for row in b.part.rows]
        if not rows:
            return
        written = write(self._connect(), stream, rows, self._newest_known[stream.name])
        starts = list(accumulate((len(b.part.rows) for b in books), initial=0))

        def locate(place: int) -> tuple[PartBooks, int]:
            number = bisect_right(starts, place, hi=len(books)) - 1
            return books[number], place - starts[number]

        for place in written.duplicates:
            b, row = locate(place)
            b.repeat(row)
        refused: dict[TopicPartition, dict[int, Refusal]] = defaultdict(dict)
        for place, why in written.rejected.items():
            b, row = locate(place)
            refused[b.part.partition][row] = why
        for b in books:
            if b.part.partition in refused:
                b.refuse(refused[b.part.partition])

    def _write_new(
        self, connection: Connection, stream: Stream, rows: Sequence[Row], newest: NewestKnown
    ) -> Written:
        partitions = self._days[stream.name].partitions
        return write_new(connection, stream, rows, newest, partitions=partitions)

    # The connection --------------------------------------------------------------------------

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = self._connections.open(self._conninfo, SESSION)
            store.prepare(connection)
            self._connection = connection
        return self._connection

    def abort(self) -> None:
        """Cut the connection under a thread that waits for PostgreSQL; its call then raises."""
        if self._connection:
            cut(self._connection)

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()

    def _forget(self, streams: Iterable[str]) -> None:
        """Forget what is known of these streams; another sink may be writing the others."""
        for name in streams:
            self._newest_known[name].forget()
            self._days[name].forget()


def _days(parts: Sequence[Part]) -> Days:
    days: Days = {}
    for part in parts:
        days.setdefault(part.stream.name, set()).update(part.days())
    return days


def _outcomes(books: Sequence[PartBooks]) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for b in books:
        topic = b.part.partition.topic
        so_far = outcomes.get(topic, Outcome(0, 0, Counter()))
        outcomes[topic] = Outcome(
            so_far.stored + b.stored,
            so_far.duplicate + b.duplicate,
            so_far.rejected + Counter(rejection.reason for _, rejection in b.rejected),
            so_far.repaired + len(b.repaired_as),
        )
    return outcomes
