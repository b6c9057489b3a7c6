"""How this process's consumer hands out records: lean, no more at a time than memory has room for.

Three bounds hold whatever producers send. A batch that unpacks to much is unpacked piece by piece,
only one of them at a time; a record over MAX_RECORD_BYTES is handed out cut, as an OversizedRecord;
and one fetch hands out FETCH_BYTES, then what is left waits packed.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from ingest_worker.records.allowance import allowance
from ingest_worker.records.lean import LeanRecords, RawRecords
from ingest_worker.records.record_batch import Bounds
from ingest_worker.records.unpacking import AT_ONCE
from ingest_worker.write.batch import Record
from schemas.settings import Settings

UNFINISHED_WAIT_MS = 20
"""The pause after a fetch that left a large batch half unpacked."""


class RecordConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A consumer each of whose fetches is bounded."""

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Record]]:
        """Fetched records by partition; not all there are, and none while a large one is skipped.

        Waits for records, unless some are being unpacked.
        """
        if allowance.unfinished:
            timeout_ms = min(timeout_ms, UNFINISHED_WAIT_MS)
        allowance.renew()
        fetched: dict[TopicPartition, list[Record]] = await super().getmany(
            *partitions, timeout_ms=timeout_ms, max_records=max_records
        )
        return fetched


class BoundedFetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """Hands out a partition's records while the fetch may hand out more."""

    _partition_records: LeanRecords | None

    def __init__(self, *arguments: Any, partition_records: LeanRecords, **options: Any) -> None:
        super().__init__(*arguments, partition_records=partition_records, **options)
        self._dropped_with_this = partition_records

    def __del__(self) -> None:
        # Records and their iterator refer to each other: large ones would wait for the collector.
        self._dropped_with_this.close()

    def getall(self, max_records: int | None = None) -> list[Record]:
        """The next records; with those of other partitions, about FETCH_BYTES at most."""
        handed: list[Record] = []
        if allowance.bytes_left <= 0:
            return handed
        records = self._partition_records
        if not self.check_assignment(self._topic_partition) or records is None:
            return handed
        records.most = max_records or sys.maxsize
        for some in records:
            handed += some
            records.most -= len(some)
            if not some:
                allowance.unfinished = True
            if not some or not records.most or allowance.bytes_left <= 0:
                break
        else:
            self._partition_records = None
        self._consumed_to(records.next_fetch_offset)
        return handed

    def _consumed_to(self, offset: int) -> None:
        self._assignment.state_value(self._topic_partition).consumed_to(offset)


def hand_out_lean_records(settings: Settings) -> None:
    """Have every consumer of this process hand out records lean and within the bounds.

    Wants the consumer that reads records to be a RecordConsumer, and the only one.
    """
    for batch in DefaultRecordBatch, LegacyRecordBatch:
        module = sys.modules[batch.__module__]
        for codec, unpack in AT_ONCE.items():
            setattr(module, f"{codec}_decode", _counted(unpack))
    bounds = Bounds(settings.max_record_bytes, settings.rejected_raw_bytes)
    fetcher.MemoryRecords = RawRecords
    fetcher.PartitionRecords = functools.partial(LeanRecords, bounds)
    fetcher.FetchResult = BoundedFetchResult


def _counted(unpack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def unpack_and_count(packed: bytes) -> bytes:
        whole = unpack(packed)
        allowance.unpacked_bytes = len(whole)
        return whole

    return unpack_and_count
