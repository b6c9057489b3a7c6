"""The rows of `ingest_offsets`: taking, locking and moving positions, and the books kept on them.

Every method takes the caller's connection, and joins its transaction.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from psycopg import errors

from brokers.partitions import name_of
from ingest_worker.errors import FencedError
from ingest_worker.write.batch import Part, Record, Refusal
from ingest_worker.write.quarantine import Quarantine
from reporting.applications import Application
from schemas.streams.rejection import Rejection
from sql.connect import Connection
from sql.named import load

LOCK_TIMEOUT_S = 3
QUERIES = load("positions")

log = logging.getLogger(__name__)


class Position(NamedTuple):
    """Where reading goes on, and the last record that was read before it."""

    next_offset: int
    last_offset: int | None
    last_record_ms: int | None
    stopped: str | None
    claim_overridden: str | None = None
    """The database from which an operator took the partition over, until our claim stands there."""


class PartBooks:
    """What became of one part's readings in this flush: each is exactly one of three."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.duplicate_rows = 0
        self.rejected = part.rejected
        self.newly_rejected = 0
        """How many of `rejected` were not rejected before; the others are duplicates."""
        self.repaired_as = dict.fromkeys(part.repaired, "stored")
        """By row, what became of those that were salvaged: stored or duplicate."""
        self._refused_rows = 0

    def repeat(self, row: int) -> None:
        """Note that a row is stored already."""
        self.duplicate_rows += 1
        if row in self.repaired_as:
            self.repaired_as[row] = "duplicate"

    def refuse(self, refused: Mapping[int, Refusal]) -> None:
        """Note the rows of the part that cannot be stored, and why."""
        self.rejected = self.part.rejections(refused)
        self._refused_rows = len(refused)
        for row in refused:
            self.repaired_as.pop(row, None)

    def repaired(self) -> list[tuple[Record, Rejection]]:
        """What was wrong with the rows that were salvaged, and what became of each."""
        part = self.part
        return [
            (part.origin(row)[0], part.repaired[row]._replace(outcome=outcome))
            for row, outcome in self.repaired_as.items()
        ]

    @property
    def duplicate(self) -> int:
        """How many readings were stored or rejected before."""
        return self.duplicate_rows + len(self.rejected) - self.newly_rejected

    @property
    def stored(self) -> int:
        """How many readings are neither duplicates nor rejected."""
        return len(self.part.rows) - self.duplicate_rows - self._refused_rows


class Ledger:
    """The positions and books of one consumer group."""

    def __init__(self, group_id: str, quarantine: Quarantine) -> None:
        self._group_id = group_id
        self._quarantine = quarantine

    def take(
        self, connection: Connection, starts: dict[TopicPartition, int]
    ) -> dict[TopicPartition, Position]:
        """Read the positions of newly held partitions; `starts` are their logs' starts.

        Taking the lock also ends whoever still holds one with an open transaction.
        """
        with self.ending_holders(connection, list(starts)), connection.transaction():
            for partition, start in sorted(starts.items()):
                connection.execute(
                    QUERIES["insert_missing"],
                    {"group_id": self._group_id, "next_offset": start, **partition._asdict()},
                )
            positions = self.lock(connection, list(starts))
        self._quarantine.measure(connection)
        return positions

    def place(self, connection: Connection, positions: dict[TopicPartition, int]) -> None:
        """Set positions to where a bounded read begins; the books stay."""
        for partition, next_offset in sorted(positions.items()):
            names = {"group_id": self._group_id, "next_offset": next_offset, **partition._asdict()}
            connection.execute(QUERIES["set"], names)

    def lock(
        self, connection: Connection, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Position]:
        """Lock and read the positions."""
        rows = connection.execute(QUERIES["lock"], self._where(partitions))
        return {TopicPartition(*row[:2]): Position(*row[2:]) for row in rows}

    def lock_starts(self, connection: Connection, parts: Sequence[Part]) -> None:
        """Lock the parts' positions. Raises FencedError when one is not where its part starts."""
        positions = self.lock(connection, [part.partition for part in parts])
        for part in parts:
            position = positions.get(part.partition)
            if position is None or position.next_offset != part.start:
                at = "nowhere" if position is None else position.next_offset
                name = name_of(part.partition)
                text = f"{name} is at {at}, the batch starts at {part.start}"
                raise FencedError(text, offset=part.start, **part.partition._asdict())

    @contextmanager
    def ending_holders(
        self, connection: Connection, partitions: Sequence[TopicPartition]
    ) -> Iterator[None]:
        """Around taking a lock: when it fails, end the workers that hold it; the error goes on."""
        try:
            yield
        except errors.LockNotAvailable:
            holders = {
                "application_name": Application.WORKER,
                "held_longer_than": f"{LOCK_TIMEOUT_S - 1} s",
            }
            ended = connection.execute(
                QUERIES["end_lock_holders"], self._where(partitions) | holders
            ).fetchall()
            backends = [pid for (pid,) in ended]
            names = [name_of(partition) for partition in partitions]
            fields = {"backends": backends, "group": self._group_id, "partitions": names}
            log.warning("ended backends that held our positions: %s", backends, extra=fields)
            raise

    def stop(
        self,
        connection: Connection,
        partition: TopicPartition,
        next_offset: int,
        why: str,
        claimed_by: str | None,
    ) -> None:
        """Note in the position's row that the partition waits for an operator.

        `claimed_by` is the other database that reads it, if that is why.
        """
        names = {"group_id": self._group_id, "next_offset": next_offset, **partition._asdict()}
        connection.execute(QUERIES["stop"], {**names, "stopped": why, "claimed_by": claimed_by})

    def forget_override(self, connection: Connection, partition: TopicPartition) -> None:
        """Note that our own claim stands where an operator took the partition over."""
        names = {"group_id": self._group_id, **partition._asdict()}
        connection.execute(QUERIES["forget_override"], names)

    def pass_over(
        self, connection: Connection, partition: TopicPartition, position: int, next_offset: int
    ) -> None:
        """Move on from `position`, past offsets that hold no records. Raises FencedError."""
        names = {"group_id": self._group_id, "expected": position, "next_offset": next_offset}
        moved = connection.execute(QUERIES["pass_over"], {**names, **partition._asdict()})
        if moved.rowcount != 1:
            text = f"{name_of(partition)} is not at {position} any more"
            raise FencedError(text, offset=position, **partition._asdict())

    def reject(self, connection: Connection, books: Sequence[PartBooks]) -> None:
        """Keep the rejected readings; those that were kept before count as duplicates.

        Those that were repaired are kept besides, and count as what their rows became.
        """
        fresh = self._quarantine.keep(
            connection,
            [(b.part.partition, *kept) for b in books for kept in chain(b.rejected, b.repaired())],
        )
        for b in books:
            b.newly_rejected = fresh[b.part.partition]

    def advance(self, connection: Connection, books: Sequence[PartBooks]) -> None:
        """Move the positions and add up the books. Raises FencedError."""
        parts = [b.part for b in books]
        values: dict[str, Any] = {
            "expected": [part.start for part in parts],
            "next_offsets": [part.end for part in parts],
            "last_offsets": [part.last.offset if part.last else None for part in parts],
            "last_record_ms": [part.last.timestamp if part.last else None for part in parts],
            "stored": [b.stored for b in books],
            "duplicate": [b.duplicate for b in books],
            "rejected": [b.newly_rejected for b in books],
        }
        where = self._where([part.partition for part in parts])
        moved = connection.execute(QUERIES["advance"], where | values)
        if moved.rowcount != len(parts):
            raise FencedError(f"only {moved.rowcount} of {len(parts)} positions moved")

    def _where(self, partitions: Sequence[TopicPartition]) -> dict[str, Any]:
        return {
            "group_id": self._group_id,
            "topics": [partition.topic for partition in partitions],
            "partitions": [partition.partition for partition in partitions],
        }
