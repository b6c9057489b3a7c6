"""From the bytes of a Kafka record or an HTTP payload to rows, or to the reason why not.

The only decoder of readings: workers, HTTP ingest and replay all accept exactly what this accepts.
msgspec checks types and limits; what it leaves open (time format, control characters, UTF-8 in
ignored fields) is checked here.
"""

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from schemas.streams.pieces import check_utf8
from schemas.streams.record_decoder import Checks, RecordDecoder, check_repeated
from schemas.streams.rejection import REPAIRED, Rejection
from schemas.streams.salvage import Salvager
from schemas.streams.stream import DEVICE, TIME, TIMESTAMP, Row, Stream
from schemas.streams.times import ClockLimits, parse_timestamp
from schemas.text import check_id


class Decoder(RecordDecoder):
    """Decodes the record values of one stream."""

    stream: Stream

    def __init__(self, stream: Stream, *, salvage: Collection[str] = ()) -> None:
        """`salvage`: the expendable fields that readings are taken without when they are wrong."""
        super().__init__(stream, _shortest_reading(stream, salvage))
        self._salvager = Salvager(stream, salvage) if salvage else None
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(
            stream.reading | list[stream.reading]  # type: ignore[name-defined]
        ).decode
        self._decode_one: Callable[[Any], Any] = msgspec.json.Decoder(stream.reading).decode
        self._rows = stream.rows
        self._texts: Checks = {stream.id_field: check_id, TIMESTAMP: parse_timestamp}
        self._keys = [f'"{name}"'.encode() for name in self._texts]

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
                check_repeated(piece, self._texts)
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
                check_repeated(piece, self._texts)
        except (ValueError, RecursionError) as error:
            return self._invalid(place, error, piece)
        return self._untimely(place, row, piece, limits) or row

    def _keys_once(self, value: bytes, readings: int) -> bool:
        """Whether the keys of texts surely come once a reading."""
        return b"\\" not in value and all(value.count(key) == readings for key in self._keys)


def _shortest_reading(stream: Stream, salvage: Collection[str]) -> int:
    """How many bytes the shortest reading has, as an id of one character and one digit a value."""
    needed = [f for f in stream.fields if f.required and f.name not in salvage]
    values: dict[str, Any] = {f.name: 0 for f in needed}
    values |= {stream.id_field: "M", TIMESTAMP: "2000-01-01T00:00:00Z"}
    return len(msgspec.json.encode(values))
