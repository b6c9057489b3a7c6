"""From the bytes of a Kafka record or an HTTP payload to rows, or to the reason why not.

The only decoder of readings: workers, HTTP ingest and replay all accept exactly what this accepts.
msgspec checks types and limits; what it leaves open (time format, control characters, UTF-8 in
ignored fields) is checked here.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from schemas.streams.stream import DEVICE, TIME, TIMESTAMP, Row, Stream
from schemas.streams.times import ClockLimits, format_micros, parse_timestamp
from schemas.text import check_id, one_line


class Rejection(NamedTuple):
    """Why one reading, or a record that could not be split, was not accepted."""

    place: int | None
    """Place in the record; None when the record could not be split."""
    reason: str
    """malformed, invalid, too_old, in_future, conflict or refused."""
    detail: str
    """One line for people."""
    raw: bytes
    """The bytes of that reading alone, or of the whole record."""
    device_id: str | None = None


class Decoder:
    """Decodes the record values of one stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(
            stream.reading | list[stream.reading]  # type: ignore[name-defined]
        ).decode
        self._decode_one: Callable[[Any], Any] = msgspec.json.Decoder(stream.reading).decode
        self._rows = stream.rows
        self._texts = {stream.id_field: check_id, TIMESTAMP: parse_timestamp}
        self._keys = [f'"{name}"'.encode() for name in self._texts]

    def decode(
        self, value: bytes | None, limits: ClockLimits
    ) -> tuple[list[Row], list[int] | None, list[Rejection]]:
        """The readings of one record.

        Returns (rows, places, rejections): `places` holds each row's index in the record, or is
        None when row n is simply reading n. Never raises for bad input.
        """
        if not value:
            return self._decode_pieces(value, limits)
        try:
            readings = self._decode(value)
            rows = self._rows(readings if type(readings) is list else [readings])
            if self._acceptable(rows, [value], value, limits):
                return rows, None, []
        except (ValueError, RecursionError):
            pass  # whatever it was, decoding piece by piece finds and names it
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

    def _acceptable(
        self, rows: list[Row], values: list[bytes], joined: bytes, limits: ClockLimits
    ) -> bool:
        """Whether rows are surely all valid; raises ValueError for bad UTF-8 or a bad id.

        A control character in an id is escaped, not ASCII, or DEL.
        """
        if not joined.isascii() or b"\x7f" in joined:
            for value in values:
                value.decode()
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
            pieces = split_record(value)
        except ValueError as error:
            return [], None, [Rejection(None, "malformed", str(error), value or b"")]
        rows, places, rejections = [], [], []
        for place, piece in enumerate(pieces):
            result = self.decode_piece(piece, limits, place)
            if isinstance(result, Rejection):
                rejections.append(result)
            else:
                rows.append(result)
                places.append(place)
        return rows, places, rejections

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
            return Rejection(place, "invalid", one_line(error), piece, self._device_id(piece))
        if row[TIME] < limits.oldest:
            reason, bound = "too_old", limits.oldest
        elif row[TIME] > limits.newest:
            reason, bound = "in_future", limits.newest
        else:
            return row
        side = "before the oldest" if reason == "too_old" else "after the newest"
        detail = f"{format_micros(row[TIME])} is {side} accepted time, {format_micros(bound)}"
        return Rejection(place, reason, detail, piece, row[DEVICE])

    def _keys_once(self, value: bytes, readings: int) -> bool:
        """Whether the keys of texts surely come once a reading."""
        return b"\\" not in value and all(value.count(key) == readings for key in self._keys)

    def _check_repeated(self, piece: bytes) -> None:
        """Raise ValueError unless each text of a repeated key is valid.

        The last one counts; msgspec has checked the types and limits of all.
        """
        pairs: list[tuple[str, Any]] = json.loads(
            piece, object_pairs_hook=list, parse_int=str, parse_float=str, parse_constant=str
        )
        for name, text in pairs:
            if name in self._texts:
                self._texts[name](text)

    def _device_id(self, piece: bytes) -> str | None:
        """The id of an invalid reading, where it has a valid one."""
        try:
            return check_id(msgspec.json.decode(piece)[self.stream.id_field])
        except (ValueError, RecursionError, LookupError, TypeError):
            return None


def split_record(value: bytes | None) -> list[bytes]:
    """The readings of a well-formed record. Raises ValueError saying what is malformed."""
    if value is None:
        raise ValueError("no value at all (a tombstone)")
    if not value.strip():
        raise ValueError("empty")
    try:
        value.decode()
        whole = msgspec.json.decode(value, type=msgspec.Raw)
        if bytes(whole)[:1] != b"[":
            return [bytes(whole)]
        pieces = [bytes(raw) for raw in msgspec.json.decode(value, type=list[msgspec.Raw])]
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise ValueError("nested too deep to decode") from None
    except msgspec.MsgspecError as error:
        raise ValueError(one_line(error)) from None
    if not pieces:
        raise ValueError("an empty array")
    return pieces
