"""What every sink has: one connection, over which it writes parts and keeps positions.

A sink is used from one thread at a time. What it raises says what to do: FencedError means that
somebody else moved a position, so the positions must be read again; a psycopg.Error is no fault of
the data, so the batch is held and tried again.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from ingest_worker.connections import Connections
from ingest_worker.write.batch import Part
from ingest_worker.write.ledger import LOCK_TIMEOUT_S, Ledger, PartBooks, Position
from sql import store
from sql.connect import Connection, cut

TRANSACTION_TIMEOUT_S = 300
SESSION = {
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "transaction_timeout": f"{TRANSACTION_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": f"{TRANSACTION_TIMEOUT_S}s",
}
"""What a sink's connection is opened with. Servers before PostgreSQL 17 know the last one only."""


class Outcome(NamedTuple):
    """What one flush did with the readings of one topic."""

    stored: int
    duplicate: int
    rejected: Counter[str]
    repaired: int = 0
    """How many of `stored` and `duplicate` were salvaged."""


class Lane(ABC):
    """Writes parts over one connection, which it opens again whenever it is gone."""

    def __init__(self, connections: Connections, conninfo: str, ledger: Ledger) -> None:
        self._connections = connections
        self._conninfo = conninfo
        self._ledger = ledger
        self._connection: Connection | None = None

    @abstractmethod
    def flush(self, parts: Sequence[Part]) -> dict[str, Outcome]:
        """Write the parts and move their positions; returns the outcome by topic."""

    def take(self, starts: dict[TopicPartition, int]) -> dict[TopicPartition, Position]:
        """Read the positions of newly held partitions; `starts` are their logs' starts."""
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


def outcomes_of(books: Sequence[PartBooks]) -> dict[str, Outcome]:
    """What became of the readings of each topic."""
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
