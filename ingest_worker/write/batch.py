"""What one flush writes: decoded readings, and for each the record in Kafka that held it.

A part is one partition's share. Readings keep their order of arrival. The record of a reading and
its place in the record are looked up only for the few readings that PostgreSQL rejects.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka import TopicPartition

from schemas.streams.decoder import Decoder, Rejection, split_record
from schemas.streams.stream import DEVICE, TIME, Row, Stream
from schemas.streams.times import DAY_US, ClockLimits

SLICE_RECORDS = 500
MAX_BATCH_BYTES = 64 * 1024 * 1024


class Record(Protocol):
    """What the worker reads of a Kafka record; `timestamp` is Kafka's own, in ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True)
class OversizedRecord:
    """A record of more than MAX_RECORD_BYTES, which nobody has unpacked whole."""

    offset: int
    timestamp: int
    value: bytes
    """Its first bytes, as many as are kept of a rejected reading."""
    size: int
    """How many bytes it unpacks to."""


@dataclass
class Part:
    """The readings of one partition from `start` up to, not including, `end`."""

    partition: TopicPartition
    stream: Stream
    start: int
    end: int
    rows: list[Row] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    """The records that gave rows."""
    first_rows: list[int] = field(default_factory=list)
    """For each of them, where its rows begin."""
    places: dict[int, list[int]] = field(default_factory=dict)
    """By number in `records`: the rows' places in a record whose readings are not all rows."""
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    first: Record | None = None
    last: Record | None = None
    _pieces: dict[int, list[bytes]] = field(default_factory=dict)
    """By offset: the bytes of each reading, of records with rows that PostgreSQL rejected."""

    @property
    def readings(self) -> int:
        """How many readings this part accounts for."""
        return len(self.rows) + len(self.rejected)

    def days(self) -> set[int]:
        """The UTC days of the rows, counted from 2000-01-01."""
        return {row[TIME] // DAY_US for row in self.rows}

    def origin(self, row: int) -> tuple[Record, int]:
        """The record of a row, and the row's place in it."""
        number = bisect_right(self.first_rows, row) - 1
        place = row - self.first_rows[number]
        if number in self.places:
            place = self.places[number][place]
        return self.records[number], place

    def reject(self, row: int, reason: str, detail: str) -> tuple[Record, Rejection]:
        """A rejection of a row that was decoded but cannot be stored."""
        record, place = self.origin(row)
        pieces = self._pieces.get(record.offset)
        if pieces is None:
            pieces = self._pieces[record.offset] = split_record(record.value)
        return record, Rejection(place, reason, detail, pieces[place], self.rows[row][DEVICE])


class Batch:
    """The parts of one flush, bounded in readings and in bytes."""

    def __init__(
        self,
        decoders: Mapping[str, Decoder],
        *,
        max_readings: int,
        max_bytes: int,
        limits: Callable[[], ClockLimits],
    ) -> None:
        """`limits` are asked for whenever readings are added: a batch may be open for long."""
        self.parts: dict[TopicPartition, Part] = {}
        self.readings = 0
        self._bytes = 0
        self._decoders = decoders
        self._max_readings = max_readings
        self._max_bytes = max_bytes
        self._limits = limits

    @property
    def full(self) -> bool:
        """Whether no further record is taken."""
        return self.readings >= self._max_readings or self._bytes >= self._max_bytes

    def add(self, partition: TopicPartition, position: int, records: Sequence[Record]) -> int:
        """Decode records of one partition, which continue at `position`, until the batch is full.

        Returns how many were taken: a record that would exceed the bound is left for the next
        batch, unless this one is empty.
        """
        decoder = self._decoders[partition.topic]
        part = self.parts.get(partition) or Part(partition, decoder.stream, position, position)
        limits = self._limits()
        taken = 0
        while taken < len(records) and not self.full:
            slice_ = records[taken : taken + SLICE_RECORDS]
            took = self._add_singles(part, decoder, slice_, limits)
            took = took or self._add(part, decoder, slice_, limits)
            taken += took
            if took < len(slice_):
                break
        if taken:
            part.first = part.first or records[0]
            part.last = records[taken - 1]
            part.end = part.last.offset + 1
            self.parts[partition] = part
        return taken

    def _add_singles(
        self, part: Part, decoder: Decoder, records: Sequence[Record], limits: ClockLimits
    ) -> int:
        """Take all of these at once, if each holds one valid reading; else none."""
        if any(isinstance(record, OversizedRecord) for record in records):
            return 0
        values = [record.value or b"" for record in records]
        size = sum(map(len, values))
        fits = (
            self.readings + len(values) <= self._max_readings
            and self._bytes + size <= self._max_bytes
        )
        rows = decoder.decode_singles(values, limits) if fits else None
        if rows is None:
            return 0
        self._bytes += size
        self.readings += len(rows)
        part.first_rows += range(len(part.rows), len(part.rows) + len(rows))
        part.records += records
        part.rows += rows
        return len(rows)

    def _add(
        self, part: Part, decoder: Decoder, records: Sequence[Record], limits: ClockLimits
    ) -> int:
        """Take one record after the other, whatever they hold, until the batch is full."""
        for taken, record in enumerate(records):
            if isinstance(record, OversizedRecord):
                rows, places, rejections = _oversized(record)
            else:
                rows, places, rejections = decoder.decode(record.value, limits)
            count = len(rows) + len(rejections)
            if self.full or (self.readings and self.readings + count > self._max_readings):
                self._max_readings = self.readings
                return taken
            self.readings += count
            self._bytes += len(record.value or b"")
            if rows:
                if places:
                    part.places[len(part.records)] = places
                part.records.append(record)
                part.first_rows.append(len(part.rows))
                part.rows += rows
            if rejections:
                part.rejected += [(record, rejection) for rejection in rejections]
        return len(records)

    def leave_out(self, partition: TopicPartition) -> None:
        """Drop the part of a partition that is to be read again from before it."""
        part = self.parts.pop(partition, None)
        if part:
            self.readings -= part.readings

    def by_stream(self) -> dict[str, list[Part]]:
        """All parts, by the name of their stream."""
        parts: dict[str, list[Part]] = {}
        for part in self.parts.values():
            parts.setdefault(part.stream.name, []).append(part)
        return parts


def _oversized(record: OversizedRecord) -> tuple[list[Row], None, list[Rejection]]:
    detail = f"unpacks to {record.size} bytes, more than MAX_RECORD_BYTES"
    return [], None, [Rejection(None, "malformed", detail, record.value)]
