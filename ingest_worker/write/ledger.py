"""The rows of `ingest_offsets`: taking, locking and moving positions, and the books kept on them.

Every method takes the caller's connection, and joins its transaction.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from psycopg import errors

from brokers.partitions import name_of
from ingest_worker import metrics
from ingest_worker.errors import FencedError
from ingest_worker.write.batch import Part, Record
from reporting.applications import Application
from schemas.streams.decoder import Rejection
from schemas.text import one_line, storable
from sql.connect import Connection
from sql.named import load

LOCK_TIMEOUT_S = 3
FULL_AT = 2
"""So many times as large as it may be with raw bytes, the quarantine takes in no more rows."""
MAX_INSERT_BYTES = 2 * 1024 * 1024
"""Of raw bytes in one statement: drivers and servers hold it several times."""
MAX_INSERT_ROWS = 10_000
QUERIES = load("positions")

Entry = tuple[TopicPartition, Record, Rejection]
"""A rejection and where it came from."""

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
        self._refused_rows = 0

    def refuse(self, refused: Mapping[int, tuple[str, str]]) -> None:
        """Note the rows of the part that cannot be stored, with reason and detail of each."""
        self.rejected = self.part.rejections(refused)
        self._refused_rows = len(refused)

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

    def __init__(
        self, group_id: str, *, max_quarantine_bytes: int, rejected_raw_bytes: int
    ) -> None:
        """`max_quarantine_bytes` is how large `rejected_records` may grow with the readings' bytes,
        0 for any size; `rejected_raw_bytes` is how many are kept of one reading.
        """
        self._group_id = group_id
        self._max_quarantine_bytes = max_quarantine_bytes
        self._rejected_raw_bytes = rejected_raw_bytes

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
        _quarantine_bytes(connection)
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

        From a certain size of the table on, they are kept without their bytes; when it has grown
        to twice that, they are only counted.
        """
        entries = [
            (b.part.partition, record, rejection.cut(self._rejected_raw_bytes))
            for b in books
            for record, rejection in b.rejected
        ]
        if not entries:
            return
        size, limit = _quarantine_bytes(connection), self._max_quarantine_bytes
        fresh: Counter[TopicPartition] = Counter()
        for some in _in_pieces(entries):
            if 0 < limit * FULL_AT <= size:
                found = self._count_only(connection, some)
                metrics.REJECTED_ONLY_COUNTED.inc(found.total())
            else:
                found = self._insert(connection, some, with_raw=not 0 < limit <= size)
            fresh += found
        for b in books:
            b.newly_rejected = fresh[b.part.partition]

    def _insert(
        self, connection: Connection, entries: Sequence[Entry], *, with_raw: bool
    ) -> Counter[TopicPartition]:
        """Keep these; returns how many were not kept before, by partition."""
        raws = [rejection.raw for _, _, rejection in entries]
        encoding = connection.info.encoding
        if not with_raw:
            metrics.REJECTED_WITHOUT_RAW.inc(len(entries))
        columns = {
            "device_ids": [_sendable_id(one.device_id, encoding) for _, _, one in entries],
            "details": [_sendable_line(one.detail, encoding) for _, _, one in entries],
            "raws": raws if with_raw else [None] * len(raws),
            "raw_bytes": [rejection.size or len(rejection.raw) for _, _, rejection in entries],
        }
        rows = connection.execute(load("rejected")["insert"], self._origins(entries) | columns)
        return Counter(TopicPartition(*row) for row in rows)

    def _count_only(
        self, connection: Connection, entries: Sequence[Entry]
    ) -> Counter[TopicPartition]:
        """Count those of these that are not kept already; returns how many, by partition."""
        rows = connection.execute(load("rejected")["count_only"], self._origins(entries))
        return Counter(TopicPartition(*row) for row in rows)

    def _origins(self, entries: Sequence[Entry]) -> dict[str, Any]:
        return {
            "group_id": self._group_id,
            "topics": [partition.topic for partition, _, _ in entries],
            "partitions": [partition.partition for partition, _, _ in entries],
            "offsets": [record.offset for _, record, _ in entries],
            "record_ms": [record.timestamp for _, record, _ in entries],
            "record_indexes": [rejection.place for _, _, rejection in entries],
            "reasons": [rejection.reason for _, _, rejection in entries],
        }

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


def _quarantine_bytes(connection: Connection) -> int:
    """The size of `rejected_records` now."""
    row = connection.execute(load("rejected")["size"]).fetchone()
    size = row[0] if row else 0
    metrics.QUARANTINE_BYTES.set(size)
    return int(size)


def _sendable_id(device_id: str | None, encoding: str) -> str | None:
    """The id unless it cannot be handed over, which may be why its reading was refused."""
    if device_id is None:
        return None
    try:
        return storable(device_id).encode(encoding).decode(encoding)
    except ValueError:
        return None


def _sendable_line(text: str, encoding: str) -> str:
    return one_line(text).encode(encoding, "backslashreplace").decode(encoding)


def _in_pieces(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The entries in pieces of a bounded number of rows and raw bytes; one entry at least."""
    start, size = 0, 0
    for end, (_, _, rejection) in enumerate(entries):
        size += len(rejection.raw)
        if end > start and (size > MAX_INSERT_BYTES or end - start >= MAX_INSERT_ROWS):
            yield entries[start:end]
            start, size = end, len(rejection.raw)
    yield entries[start:]
