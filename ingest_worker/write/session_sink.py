"""One flush of session events, one transaction: positions, sessions, rejections, the books.

It is a transaction of its own beside those of readings, which never wait for a session's locks.
"""

from collections import defaultdict
from collections.abc import Sequence

from aiokafka import TopicPartition
from psycopg import errors

from ingest_worker.write.batch import Part, Refusal
from ingest_worker.write.lane import Lane, Outcome, outcomes_of
from ingest_worker.write.ledger import PartBooks
from schemas.session_events import Event, event_of
from sql import session_events, store
from sql.connect import Connection
from sql.errors import RowsRefusedError, SessionsLockedError
from sql.event_verdicts import Verdict


class SessionSink(Lane):
    """Makes sessions of what chargers say."""

    def flush(self, parts: Sequence[Part]) -> dict[str, Outcome]:
        """Take the events of these parts and move their positions; returns the outcome by topic.

        Raises FencedError, SessionsLockedError, or another psycopg.Error, which calls for another
        try with the same parts.
        """
        try:
            try:
                return self._flush(parts, careful=False)
            except RowsRefusedError:
                return self._flush(parts, careful=True)
        except errors.LockNotAvailable as error:
            raise SessionsLockedError(str(error)) from error

    def _flush(self, parts: Sequence[Part], *, careful: bool) -> dict[str, Outcome]:
        """`careful`: what PostgreSQL refuses is rejected by itself, else RowsRefusedError."""
        connection = self._connect()
        books = [PartBooks(part) for part in parts]
        partitions = [part.partition for part in parts]
        with self._ledger.ending_holders(connection, partitions), connection.transaction():
            session_events.lock_out_others(connection)
            self._ledger.lock_starts(connection, parts)
            if careful:
                store.enforce_constraints(connection)
            events = [event_of(row) for part in parts for row in part.rows]
            verdicts = session_events.take(connection, events, careful=careful)
            store.enforce_constraints(connection)
            _enter(books, verdicts)
            self._ledger.reject(connection, books)
            _wait(connection, parts, verdicts)
            self._ledger.advance(connection, books)
        return outcomes_of(books)


def _enter(books: Sequence[PartBooks], verdicts: Sequence[Verdict]) -> None:
    """Note in each part's books what became of its events."""
    refused: dict[TopicPartition, dict[int, Refusal]] = defaultdict(dict)
    rows = [(b, row) for b in books for row in range(len(b.part.rows))]
    for (b, row), verdict in zip(rows, verdicts, strict=True):
        if verdict.outcome == "duplicate":
            b.repeat(row)
        elif verdict.outcome is None:
            refused[b.part.partition][row] = Refusal(verdict.reason, verdict.detail)
    for b in books:
        if b.part.partition in refused:
            b.refuse(refused[b.part.partition])


def _wait(connection: Connection, parts: Sequence[Part], verdicts: Sequence[Verdict]) -> None:
    """Keep what waits for another event, now that it is kept as rejected."""
    rows = [(part, row) for part in parts for row in range(len(part.rows))]
    waiting: list[tuple[session_events.Origin, Event, Verdict]] = []
    for (part, row), verdict in zip(rows, verdicts, strict=True):
        if verdict.waits:
            record, place = part.origin(row)
            origin = (*part.partition, record.offset, place, record.timestamp)
            waiting.append((origin, event_of(part.rows[row]), verdict))
    session_events.wait(connection, waiting)
