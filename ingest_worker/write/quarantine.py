"""Keeping rejected readings, in a table that is bounded in bytes and in rows.

From a certain size on, readings are kept without their bytes; from twice that on, they are only
counted. Every method takes the caller's connection, and joins its transaction.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka import TopicPartition

from ingest_worker import metrics
from ingest_worker.write.batch import Record
from schemas.streams.rejection import Rejection
from schemas.streams.rescue import dropped
from schemas.text import one_line, storable
from sql.connect import Connection
from sql.named import load

FULL_AT = 2
"""So many times as large as it may be with raw bytes, the quarantine takes in no more rows."""
MAX_INSERT_BYTES = 2 * 1024 * 1024
"""Of raw bytes in one statement, which takes six times as much memory."""
MAX_INSERT_ROWS = 10_000
QUERIES = load("rejected")

Entry = tuple[TopicPartition, Record, Rejection]
"""A rejection and where it came from."""


class Quarantine:
    """The rejected readings of one consumer group."""

    def __init__(self, group_id: str, *, max_bytes: int, max_raw_bytes: int) -> None:
        """`max_bytes` is how large the table may grow with the readings' bytes, 0 for any size;
        `max_raw_bytes` is how many are kept of one reading.
        """
        self._group_id = group_id
        self._max_bytes = max_bytes
        self._max_raw_bytes = max_raw_bytes

    def measure(self, connection: Connection) -> int:
        """The size of the table now, in bytes, with indexes and large values."""
        row = connection.execute(QUERIES["size"]).fetchone()
        size = int(row[0]) if row else 0
        metrics.QUARANTINE_BYTES.set(size)
        return size

    def keep(self, connection: Connection, entries: Sequence[Entry]) -> Counter[TopicPartition]:
        """Keep or count these; returns how many were not kept before, by partition.

        Those that have an outcome are resolved: they count for nothing, and are kept only while
        there is room for their bytes.
        """
        fresh: Counter[TopicPartition] = Counter()
        if not entries:
            return fresh
        size = self.measure(connection)
        for some in _in_pieces(
            [(at, record, one.cut(self._max_raw_bytes)) for at, record, one in entries]
        ):
            if 0 < self._max_bytes <= size:
                some = [entry for entry in some if entry[2].outcome is None]
            if 0 < self._max_bytes * FULL_AT <= size:
                found = self._count_only(connection, some)
                metrics.REJECTED_ONLY_COUNTED.inc(found.total())
            else:
                found = self._insert(connection, some, with_raw=not 0 < self._max_bytes <= size)
            fresh += found
        return fresh

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
            "times": [rejection.time for _, _, rejection in entries],
            "outcomes": [rejection.outcome for _, _, rejection in entries],
            "changes": [", ".join(map(dropped, one.dropped)) or None for _, _, one in entries],
            "same_energy": [rejection.same_energy for _, _, rejection in entries],
        }
        rows = connection.execute(QUERIES["insert"], self._origins(entries) | columns)
        return Counter(TopicPartition(*row) for row in rows)

    def _count_only(
        self, connection: Connection, entries: Sequence[Entry]
    ) -> Counter[TopicPartition]:
        """Count those of these that are not kept already; returns how many, by partition."""
        rows = connection.execute(QUERIES["count_only"], self._origins(entries))
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
