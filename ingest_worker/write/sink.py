"""One flush of readings, one transaction: positions, history, live state, rejections, the books."""

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import accumulate, islice

from aiokafka import TopicPartition
from psycopg import errors

from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.write.batch import Part, Refusal
from ingest_worker.write.known_days import KnownDays, locked_tables
from ingest_worker.write.lane import Lane, Outcome, outcomes_of
from ingest_worker.write.ledger import Ledger, PartBooks, Position
from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.writers import (
    Written,
    write_any,
    write_new,
    write_piecewise,
)
from reporting.tracing import span
from schemas.streams import STREAMS
from schemas.streams.stream import Row, Stream
from sql import store
from sql.connect import Connection
from sql.errors import DayDetachedError, DaysUnavailableError, RowsRefusedError

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


class Sink(Lane):
    """Writes readings."""

    def __init__(
        self,
        connections: Connections,
        conninfo: str,
        ledger: Ledger,
        newest_known: dict[str, NewestKnown],
    ) -> None:
        """`newest_known` is what is known of each stream's devices, by the stream's name."""
        super().__init__(connections, conninfo, ledger)
        self._newest_known = newest_known
        self._days = {name: KnownDays(stream) for name, stream in STREAMS.items()}

    def take(self, starts: dict[TopicPartition, int]) -> dict[TopicPartition, Position]:
        """Read the positions of newly held partitions; `starts` are their logs' starts."""
        self._forget(STREAMS)
        return super().take(starts)

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
            with (
                ExitStack() as committing,
                self._ledger.ending_holders(connection, partitions),
                connection.transaction(),
            ):
                self._ledger.lock_starts(connection, parts)
                for stream in STREAMS.values():
                    self._write(stream, [b for b in books if b.part.stream is stream], write)
                for name, written in days.items():
                    self._days[name].check_attached(connection, written)
                store.enforce_constraints(connection)
                self._ledger.reject(connection, books)
                self._ledger.advance(connection, books)
                ready_at = time.monotonic()
                committing.enter_context(span("commit"))
            metrics.COMMIT_SECONDS.observe(time.monotonic() - ready_at)
        except BaseException:
            self._forget({part.stream.name for part in parts})
            raise
        return outcomes_of(books)

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
