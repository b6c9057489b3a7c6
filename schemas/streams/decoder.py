"""From the bytes of a Kafka record or an HTTP payload to rows, or to the reason why not.

The only decoder of readings: workers, HTTP ingest and replay all accept exactly what this accepts.
msgspec checks types and limits; what it leaves open (time format, control characters, UTF-8 in
ignored fields) is checked here.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.streams.pieces import CHUNK_BYTES, check_utf8, chunks, elements, split_record
from schemas.streams.rejection import MAX_BAD_READINGS, REPAIRED, Rejection, fold
from schemas.streams.salvage import Salvager
from schemas.streams.stream import DEVICE, TIME, TIMESTAMP, Row, Stream
from schemas.streams.times import (
    SECOND_US,
    ClockLimits,
    format_micros,
    parse_timestamp,
    to_datetime,
)
from schemas.text import check_id, one_line

MAX_MEMBERS = 10_000
"""Of a large reading whose keys have to be looked at one by one."""


@dataclass
class _Found:
    """What one record holds, as far as it was looked at."""

    rows: list[Row] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    """Of the bad readings, the first MAX_BAD_READINGS."""
    repaired: list[Rejection] = field(default_factory=list)
    bad: int = 0
    total: int = 0


class Decoder:
    """Decodes the record values of one stream."""

    def __init__(self, stream: Stream, *, salvage: Collection[str] = ()) -> None:
        """`salvage`: the expendable fields that readings are taken without when they are wrong."""
        self.stream = stream
        self._salvager = Salvager(stream, salvage) if salvage else None
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(
            stream.reading | list[stream.reading]  # type: ignore[name-defined]
        ).decode
        self._decode_one: Callable[[Any], Any] = msgspec.json.Decoder(stream.reading).decode
        self._rows = stream.rows
        self._texts = {stream.id_field: check_id, TIMESTAMP: parse_timestamp}
        self._keys = [f'"{name}"'.encode() for name in self._texts]
        self._shortest = _shortest_reading(stream, salvage)
        only_id = msgspec.defstruct("OnlyId", [(stream.id_field, str)], gc=False)
        self._decode_id: Callable[[bytes], Any] = msgspec.json.Decoder(only_id).decode
        only_time = msgspec.defstruct("OnlyTime", [(TIMESTAMP, str)], gc=False)
        self._decode_time: Callable[[bytes], Any] = msgspec.json.Decoder(only_time).decode
        only_texts = msgspec.defstruct(
            "OnlyTexts", [(name, str | None, None) for name in self._texts], gc=False
        )
        self._decode_texts: Callable[[bytes], Any] = msgspec.json.Decoder(only_texts).decode

    def decode(
        self, value: bytes | None, limits: ClockLimits
    ) -> tuple[list[Row], list[int] | None, list[Rejection]]:
        """The readings of one record.

        Returns (rows, places, rejections): `places` holds each row's index in the record, or is
        None when row n is simply reading n. Never raises for bad input. When more than
        MAX_BAD_READINGS are bad there is one rejection for all of them, of the whole record. What
        was salvaged is a row, and has a rejection as REPAIRED besides.
        """
        rows = self._decode_at_once(value, limits) if value else None
        if rows is not None:
            return rows, None, []
        return self._decode_pieces(value, limits)

    def decode_singles(self, values: list[bytes], limits: ClockLimits) -> list[Row] | None:
        """The readings of records that hold one valid reading each; None when any does not."""
        one = self._decode_one
        try:
            rows = self._rows([one(value) for value in values])
            if self._acceptable(rows, values, b"".join(values), limits):
                return rows
        except (ValueError, RecursionError):
            pass
        return None

    def _decode_at_once(self, value: bytes, limits: ClockLimits) -> list[Row] | None:
        """The readings of a record that are all valid; None when any is not."""
        try:
            readings = self._decode(value)
            rows = self._rows(readings if type(readings) is list else [readings])
            if self._acceptable(rows, [value], value, limits):
                return rows
        except (ValueError, RecursionError):
            pass  # whatever it was, decoding piece by piece finds and names it
        return None

    def _acceptable(
        self, rows: list[Row], values: list[bytes], joined: bytes, limits: ClockLimits
    ) -> bool:
        """Whether rows are surely all valid; raises ValueError for bad UTF-8 or a bad id.

        A control character in an id is escaped, not ASCII, or DEL.
        """
        if not joined.isascii() or b"\x7f" in joined:
            for value in values:
                check_utf8(value)
            for row in rows:
                check_id(row[DEVICE])
        times = [row[TIME] for row in rows]
        return (
            bool(rows)
            and min(times) >= limits.oldest
            and max(times) <= limits.newest
            and self._keys_once(joined, len(rows))
        )

    def _decode_pieces(
        self, value: bytes | None, limits: ClockLimits
    ) -> tuple[list[Row], list[int] | None, list[Rejection]]:
        try:
            arrays = split_record(value)
        except ValueError as error:
            return [], None, [Rejection(None, "malformed", str(error), value or b"")]
        assert value is not None
        found = _Found()
        for array in arrays:
            # One array of many may be all good; that of a small record is known not to be.
            rows = self._decode_at_once(array, limits) if len(value) > CHUNK_BYTES else None
            if rows:
                found.places += range(found.total, found.total + len(rows))
                found.rows += rows
                found.total += len(rows)
            else:
                self._sort(elements(array), limits, found)
        if found.bad > MAX_BAD_READINGS:
            found.rejections = [fold(value, found.bad, found.total, found.rejections[0])]
        return found.rows, found.places, found.rejections + found.repaired

    def _sort(self, pieces: list[msgspec.Raw], limits: ClockLimits, found: "_Found") -> None:
        """Add what each of these pieces is: a row, or a rejection if there are not many yet."""
        numbered: Iterable[tuple[int, msgspec.Raw]] = enumerate(pieces, found.total)
        found.total += len(pieces)
        if found.bad > MAX_BAD_READINGS:
            shortest = self._shortest
            # What is shorter than any reading is only counted.
            some = max(map(len, pieces)) >= shortest
            long = [one for one in numbered if len(one[1]) >= shortest] if some else []
            found.bad += len(pieces) - len(long)
            numbered = long
        for place, piece in numbered:
            row, rejection = self.read_piece(bytes(piece), limits, place)
            if row:
                found.rows.append(row)
                found.places.append(place)
                if rejection:
                    found.repaired.append(rejection)
            elif rejection:
                found.bad += 1
                if found.bad <= MAX_BAD_READINGS:
                    found.rejections.append(rejection)

    def read_piece(
        self, piece: bytes, limits: ClockLimits, place: int
    ) -> tuple[Row | None, Rejection | None]:
        """Decode one reading that is known to be well-formed JSON, or salvage it.

        One that is salvaged has both a row and a rejection, as REPAIRED.
        """
        found = self.decode_piece(piece, limits, place)
        if not isinstance(found, Rejection):
            return found, None
        if self._salvager is None or found.reason != "invalid":
            return None, found
        try:
            row, dropped = self._salvager.read(piece)
            check_id(row[DEVICE])
            if not self._keys_once(piece, 1):
                self._check_repeated(piece)
        except (ValueError, RecursionError):
            return None, found
        if untimely := self._untimely(place, row, piece, limits):
            return None, untimely
        return row, found._replace(reason=REPAIRED, dropped=dropped)

    def decode_piece(self, piece: bytes, limits: ClockLimits, place: int) -> Row | Rejection:
        """Decode one reading that is known to be well-formed JSON."""
        try:
            reading = self._decode_one(piece)
            parse_timestamp(reading.timestamp)
            (row,) = self._rows([reading])
            check_id(row[DEVICE])
            if not self._keys_once(piece, 1):
                self._check_repeated(piece)
        except (ValueError, RecursionError) as error:
            return self._invalid(place, error, piece)
        return self._untimely(place, row, piece, limits) or row

    def _untimely(
        self, place: int, row: Row, piece: bytes, limits: ClockLimits
    ) -> Rejection | None:
        """The rejection of a row whose time is not accepted now."""
        if row[TIME] < limits.oldest:
            reason, bound = "too_old", limits.oldest
        elif row[TIME] > limits.newest:
            reason, bound = "in_future", limits.newest
        else:
            return None
        side = "before the oldest" if reason == "too_old" else "after the newest"
        detail = f"{format_micros(row[TIME])} is {side} accepted time, {format_micros(bound)}"
        return Rejection(place, reason, detail, piece, row[DEVICE], time=row[TIME])

    def _invalid(self, place: int, error: Exception, piece: bytes) -> Rejection:
        device_id, time = self._device_id(piece), self._time(piece)
        return Rejection(place, "invalid", one_line(error), piece, device_id, time=time)

    def _keys_once(self, value: bytes, readings: int) -> bool:
        """Whether the keys of texts surely come once a reading."""
        return b"\\" not in value and all(value.count(key) == readings for key in self._keys)

    def _check_repeated(self, piece: bytes) -> None:
        """Raise ValueError unless each text of a repeated key is valid.

        The last one counts; msgspec has checked the types and limits of all.
        """
        if len(piece) > CHUNK_BYTES:
            for number, member in enumerate(chunks(piece.strip(), chunk_bytes=1)):
                if number >= MAX_MEMBERS:
                    raise ValueError(f"more than {MAX_MEMBERS:,} members, some repeated or escaped")
                texts = self._decode_texts(b"{" + member + b"}")
                for name, check in self._texts.items():
                    if (text := getattr(texts, name)) is not None:
                        check(text)
            return
        pairs: list[tuple[str, Any]] = json.loads(
            piece, object_pairs_hook=list, parse_int=str, parse_float=str, parse_constant=str
        )
        for name, text in pairs:
            if name in self._texts:
                self._texts[name](text)

    def _device_id(self, piece: bytes) -> str | None:
        """The id of an invalid reading, where it has a valid one."""
        try:
            return check_id(getattr(self._decode_id(piece), self.stream.id_field))
        except (ValueError, RecursionError):
            return None

    def _time(self, piece: bytes) -> int | None:
        """The time of an invalid reading, where it has one of the years 1 to 9999."""
        try:
            time = parse_timestamp(self._decode_time(piece).timestamp)
            to_datetime(time - SECOND_US), to_datetime(time + SECOND_US)  # PostgreSQL may round it
        except (ValueError, OverflowError, RecursionError):
            return None
        return time


def _shortest_reading(stream: Stream, salvage: Collection[str]) -> int:
    """How many bytes the shortest reading has, as an id of one character and one digit a value."""
    needed = [f for f in stream.fields if f.required and f.name not in salvage]
    values: dict[str, Any] = {f.name: 0 for f in needed}
    values |= {stream.id_field: "M", TIMESTAMP: "2000-01-01T00:00:00Z"}
    return len(msgspec.json.encode(values))
