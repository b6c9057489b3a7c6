"""Accepted readings as Kafka records: one array for each partition, cut where it is too large.

The bytes of each reading stay as the gateway sent them. A device's readings keep their order, and
go to the partition that Kafka's own clients choose for a record keyed by the device's id.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from brokers import partitions as kafka_partitions

MAX_RECORD_BYTES = 900_000
"""Below the 1 MiB a broker takes by default, with room for what is around a record."""
MAX_CACHED_IDS = 200_000


class OutgoingRecord(NamedTuple):
    """One Kafka record to deliver, and how many readings it holds."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    readings: int


@lru_cache(maxsize=MAX_CACHED_IDS)
def _place(device_id: str, partitions: int) -> int:
    return kafka_partitions.partition_of(device_id.encode(), partitions)


def partition_of(device_id: str, partitions: Sequence[int]) -> int:
    """The one of the sorted `partitions` that Kafka's default partitioner chooses for this key."""
    return partitions[_place(device_id, len(partitions))]


class RecordBuilder:
    """Collects readings and makes records of them, in the order in which they were added."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int], list[bytes]] = {}

    def add(self, topic: str, partition: int, reading: bytes) -> None:
        """Add `reading`, well-formed JSON of at most MAX_RECORD_BYTES."""
        try:
            self._arrays[topic, partition].append(reading)
        except KeyError:
            self._arrays[topic, partition] = [reading]

    def records(self) -> list[OutgoingRecord]:
        """Records with every reading that was added; the value of each is a JSON array."""
        records = []
        for (topic, partition), readings in self._arrays.items():
            for chunk in _chunks(readings):
                value = b"[" + b",".join(chunk) + b"]"
                records.append(OutgoingRecord(topic, partition, None, value, len(chunk)))
        return records


def _chunks(readings: list[bytes]) -> list[list[bytes]]:
    """Cut the readings into arrays of at most MAX_RECORD_BYTES; one larger reading goes alone."""
    if sum(map(len, readings)) + len(readings) < MAX_RECORD_BYTES:
        return [readings]
    chunks: list[list[bytes]] = [[]]
    size = 1
    for reading in readings:
        size += len(reading) + 1
        if size > MAX_RECORD_BYTES and chunks[-1]:
            chunks.append([])
            size = len(reading) + 2
        chunks[-1].append(reading)
    return chunks
