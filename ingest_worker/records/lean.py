"""The records of a partition's fetched bytes, without what nobody reads and what is too large.

This replaces classes of aiokafka and reaches into private parts of it: hence the tight bound on its
version.
"""

import struct
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from ingest_worker.records.allowance import allowance
from ingest_worker.records.record_batch import Bounds, PlainRecord, Unfinished, records_of
from ingest_worker.records.unpacking import NotAtOnceError
from ingest_worker.write.batch import OversizedRecord, Record

SMALL_RECORD_BYTES = 1024
"""Of a batch whose records are larger in the mean, only the values are kept: records hold keys and
headers, too, which nobody reads."""
SIZE, SIZE_AT = struct.Struct(">i"), 8
LOG_OVERHEAD_BYTES = 12


class RawRecords:
    """aiokafka's reader of a partition's fetched bytes, which tells more of each batch."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._records = MemoryRecords(fetched)
        self._next_at = 0
        self.size = 0
        """How many bytes the last batch has."""
        self.has_next = self._records.has_next
        self.size_in_bytes = self._records.size_in_bytes

    def next_batch(self) -> Any:
        """aiokafka's batch."""
        batch = self._records.next_batch()
        (size,) = SIZE.unpack_from(self._fetched, self._next_at + SIZE_AT)
        self.size = LOG_OVERHEAD_BYTES + size
        self._next_at += self.size
        return batch

    def batch_bytes(self) -> bytes:
        """The bytes of the last batch."""
        return self._fetched[self._next_at - self.size : self._next_at]


class LeanRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a partition's fetched bytes: offset, timestamp and value are all we read.

    aiokafka would wrap each into a ConsumerRecord of eleven fields, which costs more than decoding
    its reading. They come in lists; an empty one says that much was unpacked and none is ready.
    """

    next_fetch_offset: int
    most = 0
    """How many records the next list may hold."""

    def __init__(self, bounds: Bounds, *arguments: Any) -> None:
        self._bounds = bounds
        super().__init__(*arguments)

    def __iter__(self) -> Iterator[list[Record]]:
        lists: Iterator[list[Record]] = self._records_iterator
        return lists

    def close(self) -> None:
        """Let go of what is being unpacked."""
        if self._records_iterator is not None:
            self._records_iterator.close()

    def _unpack_records(self) -> Iterator[list[Record]]:
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            # Control batches are no records, whatever the isolation level.
            if not self._is_aborted(batch) and not batch.is_control_batch:
                at_once = True
                try:
                    for some in self._at_once(batch):
                        if some[0].offset < self.next_fetch_offset:
                            some = [r for r in some if r.offset >= self.next_fetch_offset]
                        if some:
                            self.next_fetch_offset = some[-1].offset + 1
                            yield some
                except (NotAtOnceError, UnicodeDecodeError):
                    at_once = False  # the latter is the name of a header that is not UTF-8
                if not at_once:
                    yield from self._in_pieces(self._records.batch_bytes())
            # Compaction may have removed the last record; the batch's own end still holds.
            self.next_fetch_offset = batch.next_offset

    def _at_once(self, batch: Any) -> Iterable[list[Record]]:
        """All records of a batch that aiokafka unpacks. Raises NotAtOnceError, maybe later."""
        if batch.producer_id is None:
            return self._old_at_once(batch)
        size, most_records = self._records.size, batch.last_offset_delta + 1
        allowance.unpacked_bytes = size
        try:
            records = iter(batch)
        except UnboundLocalError as unknown_codec:
            raise NotAtOnceError from unknown_codec
        size = allowance.unpacked_bytes
        if size > self._bounds.max_bytes or size > most_records * SMALL_RECORD_BYTES:
            return self._one_by_one(records)
        allowance.bytes_left -= size
        if most_records == 1:
            only = next(records, None)
            return ([only],) if only else ()
        # A batch that is asked for its iterator again begins anew: the chain asks once.
        return self._by_many(chain(records))

    def _by_many(self, records: Iterator[Any]) -> Iterator[list[Record]]:
        while some := list(islice(records, self.most)):
            yield some

    def _old_at_once(self, batch: Any) -> Iterator[list[Record]]:
        """The same of a batch of the formats before Kafka 0.11."""
        try:
            yield from self._one_by_one(batch)
        except AssertionError as packed_twice:
            raise NotAtOnceError from packed_twice

    def _one_by_one(self, records: Iterable[Any]) -> Iterator[list[Record]]:
        """The records, without what is too large of each."""
        for record in records:
            if record.offset >= self.next_fetch_offset:
                value, key = record.value, record.key
                size = len(value or b"")
                if size > self._bounds.max_bytes:
                    kept = value[: self._bounds.kept_bytes]
                    record = OversizedRecord(record.offset, record.timestamp, kept, size)
                elif record.headers or key:
                    record = PlainRecord(record.offset, record.timestamp, value)
                allowance.bytes_left -= len(record.value or b"")
                yield [record]

    def _in_pieces(self, batch: bytes) -> Iterator[list[Record]]:
        """The records of a batch that is not unpacked at once, from the next one on."""
        records = records_of(batch, self.next_fetch_offset, self._bounds, allowance.turn_is_over)
        try:
            while True:
                while not allowance.go_on_in_pieces(self):
                    yield []
                record = next(records, None)
                if record is None:
                    return
                if isinstance(record, Unfinished):
                    yield []
                else:
                    self.next_fetch_offset = record.offset + 1
                    allowance.bytes_left -= len(record.value or b"")
                    yield [record]
        finally:
            allowance.end_in_pieces(self)

    def _is_aborted(self, batch: Any) -> bool:
        """Whether the batch belongs to a transaction that was aborted."""
        if self._isolation_level != fetcher.READ_COMMITTED or batch.producer_id is None:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        return batch.is_transactional and batch.producer_id in self._aborted_producers
