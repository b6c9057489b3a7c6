"""Reading a Kafka batch record by record, whatever it unpacks to, with one record in memory.

aiokafka unpacks a batch as a whole; it keeps doing so for ordinary ones. This is the slower way for
batches that unpack to too much at once. A value larger than a record may be is skipped, not held.
The formats: https://kafka.apache.org/documentation/#recordbatch
"""

import struct
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException

from ingest_worker.records.unpacking import pieces
from ingest_worker.write.batch import OversizedRecord

MAGIC_AT, RECORD_BATCH_MAGIC = 16, 2
BATCH = struct.Struct(">q i i b I h i q q q h i i")
"""Base offset, size, leader epoch, magic, checksum, attributes, last offset delta, first and last
time, producer's id, epoch and sequence, number of records; the records follow."""
CODEC, LOG_APPEND_TIME = 0x07, 0x08
OLD_MESSAGE = struct.Struct(">q i I b b")
"""Of the formats before Kafka 0.11: offset, size, checksum, magic, attributes."""
OLD_TIME, OLD_SIZE = struct.Struct(">q"), struct.Struct(">i")
NO_TIME_MS = -1
VARINT_BYTES = 10


class Bounds(NamedTuple):
    """What is handed out of one record."""

    max_bytes: int
    """A larger value is not handed out."""
    kept_bytes: int
    """So many of its first bytes are, instead."""


@dataclass(slots=True)
class PlainRecord:
    """A record without what nobody reads: its key and its headers."""

    offset: int
    timestamp: int
    value: bytes | None


class Unfinished:
    """Says that much was unpacked and no record is ready yet: others may have their turn."""


UNFINISHED = Unfinished()
Turns = Generator[Unfinished, None, None]


class _Stream:
    """A position in what is being unpacked."""

    def __init__(self, coming: Iterator[bytes], turn_is_over: Callable[[], bool]) -> None:
        self._coming = coming
        self._turn_is_over = turn_is_over
        self._piece = b""
        self._at = 0
        self.passed = 0
        """How many bytes were read or skipped."""

    def at_end(self) -> bool:
        """Whether nothing follows."""
        while self._at == len(self._piece):
            piece = next(self._coming, None)
            if piece is None:
                return True
            self._piece, self._at = piece, 0
        return False

    def byte(self) -> int:
        if self.at_end():
            raise CorruptRecordException("a batch ends within a record")
        self._at += 1
        self.passed += 1
        return self._piece[self._at - 1]

    def varint(self) -> int:
        bits = 0
        for number in range(VARINT_BYTES):
            byte = self.byte()
            bits |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                return bits >> 1 ^ -(bits & 1)
        raise CorruptRecordException("a batch holds an impossible number")

    def skip(self, size: int) -> Turns:
        """Pass over so many bytes."""
        yield from self.take(size, bytearray(), 0)

    def take(self, size: int, kept: bytearray, keep: int) -> Turns:
        """Pass over so many bytes, and keep the first of them, `keep` at most."""
        if size < 0:
            raise CorruptRecordException("a record is longer than it says")
        while size > 0:
            if self.at_end():
                raise CorruptRecordException("a batch ends within a record")
            here = min(size, len(self._piece) - self._at)
            if keep > len(kept):
                kept += memoryview(self._piece)[self._at :][: min(here, keep - len(kept))]
            self._at += here
            self.passed += here
            size -= here
            if self._turn_is_over():
                yield UNFINISHED

    def take_rest(self, kept: bytearray, keep: int) -> Turns:
        """The same with all there is."""
        while not self.at_end():
            yield from self.take(len(self._piece) - self._at, kept, keep)


def records_of(
    batch: bytes, start: int, bounds: Bounds, turn_is_over: Callable[[], bool]
) -> Iterator[PlainRecord | OversizedRecord | Unfinished]:
    """The records of a batch from offset `start` on, and UNFINISHED whenever a turn is over.

    Of a batch of the formats before Kafka 0.11, all records together are one that is oversized.
    Raises CorruptRecordException.
    """
    if batch[MAGIC_AT] < RECORD_BATCH_MAGIC:
        yield from _old_batch(batch, bounds, turn_is_over)
        return
    base_offset, *_, attributes, _, first_ms, max_ms, _, _, _, count = BATCH.unpack_from(batch)
    stream = _Stream(pieces(attributes & CODEC, batch[BATCH.size :]), turn_is_over)
    for left in reversed(range(count)):
        size = stream.varint()
        end = stream.passed + size
        stream.byte()
        record_ms = first_ms + stream.varint()
        if attributes & LOG_APPEND_TIME:
            record_ms = max_ms
        offset = base_offset + stream.varint()
        key_size = stream.varint()
        yield from stream.skip(max(0, key_size))
        size = stream.varint()
        value = bytearray()
        keep = size if size <= bounds.max_bytes else bounds.kept_bytes
        yield from stream.take(max(0, size), value, keep if offset >= start else 0)
        yield from stream.skip(end - stream.passed)
        if not left and not stream.at_end():  # the last one is not handed out of a spoilt batch
            raise CorruptRecordException("a batch goes on after its last record")
        if offset < start:
            if turn_is_over():
                yield UNFINISHED
        elif size > bounds.max_bytes:
            yield OversizedRecord(offset, record_ms, bytes(value), size)
        else:
            yield PlainRecord(offset, record_ms, bytes(value) if size >= 0 else None)


def _old_batch(
    batch: bytes, bounds: Bounds, turn_is_over: Callable[[], bool]
) -> Iterator[OversizedRecord | Unfinished]:
    offset, _, _, magic, attributes = OLD_MESSAGE.unpack_from(batch)
    at, record_ms = OLD_MESSAGE.size, NO_TIME_MS
    if magic:
        (record_ms,) = OLD_TIME.unpack_from(batch, at)
        at += OLD_TIME.size
    for _ in ("key", "value"):
        (size,) = OLD_SIZE.unpack_from(batch, at)
        begin = at + OLD_SIZE.size
        at = begin + max(0, size)
    stream = _Stream(pieces(attributes & CODEC, batch[begin:at]), turn_is_over)
    value = bytearray()
    yield from stream.take_rest(value, bounds.kept_bytes)
    yield OversizedRecord(offset, record_ms, bytes(value), stream.passed)
