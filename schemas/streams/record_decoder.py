"""From the bytes of a record to what it holds, piece by piece, whatever the topic carries.

Readings and session events are taken out of records by the same rules: a record is one JSON object
or an array of them, each piece is valid or rejected by itself, and bad input never raises.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from schemas.streams.pieces import CHUNK_BYTES, chunks, elements, split_record
from schemas.streams.rejection import MAX_BAD_READINGS, Rejection, fold
from schemas.streams.stream import DEVICE, TIME, TIMESTAMP, Kind, Row
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

Checks = Mapping[str, Callable[[str], object]]
"""By the name of a text in JSON: what raises ValueError unless it is valid."""


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


class RecordDecoder(ABC):
    """Decodes the record values of one topic."""

    stream: Kind

    def __init__(self, stream: Kind, shortest: int) -> None:
        """`shortest`: how many bytes a valid piece has at least."""
        self.stream = stream
        self._shortest = shortest
        only_id = msgspec.defstruct("OnlyId", [(stream.id_field, str)], gc=False)
        self._decode_id: Callable[[bytes], Any] = msgspec.json.Decoder(only_id).decode
        only_time = msgspec.defstruct("OnlyTime", [(TIMESTAMP, str)], gc=False)
        self._decode_time: Callable[[bytes], Any] = msgspec.json.Decoder(only_time).decode

    @abstractmethod
    def read_piece(
        self, piece: bytes, limits: ClockLimits, place: int
    ) -> tuple[Row | None, Rejection | None]:
        """Decode one piece that is known to be well-formed JSON."""

    def decode_singles(self, values: list[bytes], limits: ClockLimits) -> list[Row] | None:
        """The rows of records that hold one valid piece each; None when that is not so or known."""
        return None

    def _decode_at_once(self, value: bytes, limits: ClockLimits) -> list[Row] | None:
        """The rows of a record that is valid as a whole; None when that is not so or known."""
        return None

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


def check_repeated(piece: bytes, texts: Checks) -> None:
    """Raise ValueError unless each of these texts is valid, also where a key is repeated.

    The last one counts; msgspec has checked the types and limits of all.
    """
    if len(piece) > CHUNK_BYTES:
        decode = _texts_decoder(tuple(texts))
        for number, member in enumerate(chunks(piece.strip(), chunk_bytes=1)):
            if number >= MAX_MEMBERS:
                raise ValueError(f"more than {MAX_MEMBERS:,} members, some repeated or escaped")
            found = decode(b"{" + member + b"}")
            for name, check in texts.items():
                if (text := getattr(found, name)) is not None:
                    check(text)
        return
    pairs: list[tuple[str, Any]] = json.loads(
        piece, object_pairs_hook=list, parse_int=str, parse_float=str, parse_constant=str
    )
    for name, text in pairs:
        if name in texts and text is not None:
            texts[name](text)


@cache
def _texts_decoder(names: tuple[str, ...]) -> Callable[[bytes], Any]:
    struct = msgspec.defstruct("OnlyTexts", [(name, str | None, None) for name in names], gc=False)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode
    return decode
