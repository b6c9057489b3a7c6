"""What one flush writes: decoded readings, and for each the record in Kafka that held it.

A part is one partition's share. Readings keep their order of arrival. The record of a reading and
its place in the record are looked up only for the few readings that PostgreSQL rejects.
"""

import math
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, Protocol

from aiokafka import TopicPartition

from schemas.session_events import SESSION_EVENTS
from schemas.streams.pieces import readings_of
from schemas.streams.record_decoder import RecordDecoder
from schemas.streams.rejection import MAX_BAD_READINGS, REPAIRED, Rejection, fold
from schemas.streams.stream import DEVICE, TIME, Kind, Row
from schemas.streams.times import DAY_US, ClockLimits
from schemas.text import one_line

SLICE_RECORDS = 500
MAX_BATCH_BYTES = 64 * 1024 * 1024
MAX_EVENTS = 200
"""Of sessions: the next readings wait for as long as it takes to write them, one by one."""
LARGE_RECORD_BYTES = 256 * 1024
"""Decoding a larger record may take some tenths of a second, if it is made for that."""


class Record(Protocol):
    """What the worker reads of a Kafka record; `timestamp` is Kafka's own, in ms."""

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def value(self) -> bytes | None: ...


class Refusal(NamedTuple):
    """Why a row that was decoded is not stored."""

    reason: str
    """conflict or refused; of a session event also invalid."""
    detail: str
    same_energy: bool = False
    """Whether it is a conflict whose energy is the stored one's."""


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
    stream: Kind
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
    repaired: dict[int, Rejection] = field(default_factory=dict)
    """By row, what was wrong with those that were salvaged."""
    first: Record | None = None
    last: Record | None = None

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

    def rejections(self, refused: Mapping[int, Refusal]) -> list[tuple[Record, Rejection]]:
        """All rejections, with those of rows that were decoded but cannot be stored.

        `refused` says why, by row. Of a record with more than MAX_BAD_READINGS there
        is one for all of them, as in decoding.
        """
        found = list(self.rejected)
        if not refused:
            return found
        decoded = Counter(record.offset for record, _ in found)
        folded = {record.offset for record, rejection in found if rejection.place is None}
        by_record = groupby(sorted(refused), key=lambda row: bisect_right(self.first_rows, row) - 1)
        for number, rows in by_record:
            record = self.records[number]
            refused_here = {self.origin(row)[1]: row for row in rows}
            bad = decoded[record.offset] + len(refused_here)
            if bad > MAX_BAD_READINGS or record.offset in folded:
                own = [rejection for at, rejection in found if at.offset == record.offset]
                found = [one for one in found if one[0].offset != record.offset]
                found.append((record, self._fold(number, own, refused_here, refused)))
            else:
                found += [
                    (record, self._rejection(place, row, piece, refused[row]))
                    for place, row, piece in _pieces(record, refused_here)
                ]
        return found

    def _rejection(self, place: int, row: int, piece: bytes, why: Refusal) -> Rejection:
        time, device_id = self.rows[row][TIME], self.rows[row][DEVICE]
        found = Rejection(place, why.reason, why.detail, piece, device_id, time=time)
        return found._replace(same_energy=why.same_energy)

    def _fold(
        self,
        number: int,
        own: Sequence[Rejection],
        rows: Mapping[int, int],
        refused: Mapping[int, Refusal],
    ) -> Rejection:
        """One rejection for `own`, those of decoding, and for these rows, which come by place."""
        record = self.records[number]
        place, row = next(iter(rows.items()))
        first = Rejection(place, refused[row].reason, refused[row].detail, b"")
        if own and own[0].place is None:  # decoding has found too many already
            more = f"{len(rows):,} more are bad, the first {first.reason}: {first.detail}"
            return own[0]._replace(detail=one_line(f"{own[0].detail}; {more}"))
        past = self.first_rows[number + 1] if number + 1 < len(self.records) else len(self.rows)
        total = past - self.first_rows[number] + len(own)
        return fold(record.value or b"", len(own) + len(rows), total, first)


def _pieces(record: Record, rows: Mapping[int, int]) -> Iterator[tuple[int, int, bytes]]:
    """Place, row and bytes of the readings at these places of a record, with their rows."""
    missing = len(rows)
    for place, piece in enumerate(readings_of(record.value)):
        if place in rows:
            yield place, rows[place], piece
            missing -= 1
        if not missing:
            return


def is_large(record: Record) -> bool:
    """Whether decoding it may take long."""
    return len(record.value or b"") > LARGE_RECORD_BYTES


class Batch:
    """The parts of one flush, bounded in readings and in bytes."""

    def __init__(
        self,
        decoders: Mapping[str, RecordDecoder],
        *,
        max_readings: int,
        max_bytes: int,
        max_record_bytes: int,
        limits: Callable[[], ClockLimits],
    ) -> None:
        """`limits` are asked for whenever readings are added: a batch may be open for long."""
        self.parts: dict[TopicPartition, Part] = {}
        self.readings = 0
        self.cause = ""
        """Why it is flushed."""
        self._bytes = 0
        self._events = 0
        self._decoders = decoders
        self._max_readings = max_readings
        self._max_bytes = max_bytes
        self._max_record_bytes = max_record_bytes
        self._limits = limits

    @property
    def bytes(self) -> int:
        """Of the records' values, and of what is kept of rejected readings."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether no further record is taken."""
        return self.readings >= self._max_readings or self._bytes >= self._max_bytes

    @property
    def full_of_events(self) -> bool:
        """Whether no further session events are taken; readings may be."""
        return self._events >= MAX_EVENTS

    def turns_away(self, partition: TopicPartition) -> bool:
        """Whether no further record of this partition is taken."""
        is_of_events = self._decoders[partition.topic].stream is SESSION_EVENTS
        return self.full or (is_of_events and self.full_of_events)

    def add(
        self,
        partition: TopicPartition,
        position: int,
        records: Sequence[Record],
        within_s: float = math.inf,
    ) -> int:
        """Decode records of one partition, which continue at `position`, until the batch is full.

        Returns how many were taken: a record that would exceed the bound is left for the next
        batch, unless this one is empty. Nor is one taken after `within_s` has passed, or a large
        one behind others: the caller may want to decode it elsewhere.
        """
        deadline = time.monotonic() + within_s
        decoder = self._decoders[partition.topic]
        part = self.parts.get(partition) or Part(partition, decoder.stream, position, position)
        limits = self._limits()
        taken = 0
        while taken < len(records) and not self.turns_away(partition):
            slice_ = records[taken : taken + SLICE_RECORDS]
            took = self._add_singles(part, decoder, slice_, limits)
            took = took or self._add(part, decoder, slice_, limits, deadline, first=not taken)
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
        self, part: Part, decoder: RecordDecoder, records: Sequence[Record], limits: ClockLimits
    ) -> int:
        """Take all of these at once, if each holds one valid reading; else none."""
        values = [record.value or b"" for record in records]
        size = sum(map(len, values))
        fits = (
            self.readings + len(values) <= self._max_readings
            and self._bytes + size <= self._max_bytes
            and size <= self._max_record_bytes
            and OversizedRecord not in map(type, records)
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
        self,
        part: Part,
        decoder: RecordDecoder,
        records: Sequence[Record],
        limits: ClockLimits,
        deadline: float,
        *,
        first: bool,
    ) -> int:
        """Take one record after the other, whatever they hold, as long as `add` says."""
        for taken, record in enumerate(records):
            late = is_large(record) or time.monotonic() > deadline
            if self.turns_away(part.partition) or (late and not (first and taken == 0)):
                return taken
            rows, places, found = self._decode(decoder, record, limits)
            repaired = {one.place: one for one in found if one.reason == REPAIRED}
            rejections = [one for one in found if one.reason != REPAIRED] if repaired else found
            count = len(rows) + len(rejections)
            if self.readings and self.readings + count > self._max_readings:
                self._max_readings = self.readings
                return taken
            self.readings += count
            self._events += count if decoder.stream is SESSION_EVENTS else 0
            self._bytes += len(record.value or b"")
            if rows:
                if places:
                    part.places[len(part.records)] = places
                for row, place in enumerate(places if places and repaired else ()):
                    if place in repaired:
                        part.repaired[len(part.rows) + row] = repaired[place]
                part.records.append(record)
                part.first_rows.append(len(part.rows))
                part.rows += rows
            self._bytes += sum(len(one.raw) for one in found)
            if rejections:
                part.rejected += [(record, rejection) for rejection in rejections]
        return len(records)

    def leave_out(self, partition: TopicPartition) -> None:
        """Drop the part of a partition that is to be read again from before it."""
        part = self.parts.pop(partition, None)
        if part:
            self.readings -= part.readings

    def _decode(
        self, decoder: RecordDecoder, record: Record, limits: ClockLimits
    ) -> tuple[list[Row], list[int] | None, list[Rejection]]:
        """What the record holds; one that is too large is not looked into."""
        value = record.value or b""
        size = record.size if isinstance(record, OversizedRecord) else len(value)
        if size <= self._max_record_bytes:
            return decoder.decode(record.value, limits)
        bound = f"{self._max_record_bytes:,} bytes are the most that is taken (MAX_RECORD_BYTES)"
        detail = f"a record of {size:,} bytes; {bound}"
        return [], None, [Rejection(None, "malformed", detail, value, size=size)]

    def by_stream(self) -> dict[str, list[Part]]:
        """All parts, by the name of their stream."""
        parts: dict[str, list[Part]] = {}
        for part in self.parts.values():
            parts.setdefault(part.stream.name, []).append(part)
        return parts
