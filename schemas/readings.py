"""From the bytes of a Kafka record or an HTTP payload to rows, or to the reason why not.

The only decoder of readings: workers, HTTP ingest and replay all accept exactly what this accepts.
msgspec checks types and limits; what it leaves open (time format, control characters, UTF-8 in
ignored fields) is checked here.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec

from schemas.logs import one_line

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
MAX_ID_CHARACTERS = 64
MAX_CACHED_SECONDS, MAX_CACHED_RESTS = 100_000, 20_000

Row = tuple[Any, ...]
"""One reading as its history table's columns: energy (kWh), time, the other values, device id.

Times are whole microseconds since 2000-01-01 UTC, the number PostgreSQL itself stores.
"""


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


ID_SCHEMA = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
"""What JSON schemas say of ids beside their length; `check_id` holds it."""
Id = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS, extra_json_schema=ID_SCHEMA),
]
Timestamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""Text that `parse_timestamp` takes."""
Energy = Annotated[float, msgspec.Meta(ge=0)]


class MeterReading(msgspec.Struct, gc=False):
    """`kwhConsumedAc` in kWh, `voltage` in V."""

    meterId: Id  # noqa: N815
    kwhConsumedAc: Energy  # noqa: N815
    voltage: Annotated[float, msgspec.Meta(ge=0, le=500)]
    timestamp: Timestamp

    @staticmethod
    def rows(readings: Iterable["MeterReading"]) -> list[Row]:
        """Adding 0.0 turns -0.0 into 0. Raises ValueError for a bad time."""
        return [
            (
                reading.kwhConsumedAc + 0.0,
                _seconds[reading.timestamp[:19]] + _rests[reading.timestamp[19:]],
                reading.voltage + 0.0,
                reading.meterId,
            )
            for reading in readings
        ]


class VehicleReading(msgspec.Struct, gc=False):
    """`kwhDeliveredDc` in kWh, `soc` in %, `batteryTemp` in degrees Celsius."""

    vehicleId: Id  # noqa: N815
    soc: Annotated[float, msgspec.Meta(ge=0, le=100)]
    kwhDeliveredDc: Energy  # noqa: N815
    batteryTemp: Annotated[float, msgspec.Meta(ge=-50, le=100)]  # noqa: N815
    timestamp: Timestamp

    @staticmethod
    def rows(readings: Iterable["VehicleReading"]) -> list[Row]:
        """As MeterReading.rows."""
        return [
            (
                reading.kwhDeliveredDc + 0.0,
                _seconds[reading.timestamp[:19]] + _rests[reading.timestamp[19:]],
                reading.soc + 0.0,
                reading.batteryTemp + 0.0,
                reading.vehicleId,
            )
            for reading in readings
        ]


@dataclass(frozen=True)
class Stream:
    """One kind of reading, and the names it goes by in JSON and in PostgreSQL."""

    name: str
    reading: type[MeterReading] | type[VehicleReading]
    id_field: str
    value_fields: tuple[str, ...]
    """The JSON names of the values, in the order of a Row."""
    id_column: str
    value_columns: tuple[str, ...]
    """The columns of the values, in the order of a Row."""
    value_types: tuple[str, ...]
    devices_table: str
    live_table: str
    history_table: str

    @property
    def copy_types(self) -> tuple[str, ...]:
        """The types of a Row in binary COPY, where a count of microseconds is a timestamptz."""
        return (self.value_types[0], "int8", *self.value_types[1:], "text")


METER = Stream(
    name="meter",
    reading=MeterReading,
    id_field="meterId",
    value_fields=("kwhConsumedAc", "voltage"),
    id_column="meter_id",
    value_columns=("kwh_consumed_ac", "voltage"),
    value_types=("float8", "float4"),
    devices_table="meters",
    live_table="meter_live_state",
    history_table="meter_telemetry_history",
)
VEHICLE = Stream(
    name="vehicle",
    reading=VehicleReading,
    id_field="vehicleId",
    value_fields=("kwhDeliveredDc", "soc", "batteryTemp"),
    id_column="vehicle_id",
    value_columns=("kwh_delivered_dc", "soc", "battery_temp"),
    value_types=("float8", "float4", "float4"),
    devices_table="vehicles",
    live_table="vehicle_live_state",
    history_table="vehicle_telemetry_history",
)
STREAMS = {stream.name: stream for stream in (METER, VEHICLE)}


class ClockLimits(NamedTuple):
    """The times a reading may carry, in microseconds since 2000-01-01 UTC, both ends included."""

    oldest: int
    newest: int


def clock_limits(
    now: datetime, *, max_age_days: int, retention_days: int, max_skew_seconds: int
) -> ClockLimits:
    """The limits at `now`; a retention of 0 days keeps everything."""
    days = min(max_age_days, retention_days) if retention_days else max_age_days
    now_us = to_micros(now)
    return ClockLimits(now_us - days * DAY_US, now_us + max_skew_seconds * SECOND_US)


def to_micros(time: datetime) -> int:
    """Microseconds since 2000-01-01 UTC of an aware datetime."""
    return (time - POSTGRES_EPOCH) // timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """The aware UTC datetime of `micros` since 2000-01-01 UTC."""
    return POSTGRES_EPOCH + timedelta(microseconds=micros)


class Decoder:
    """Decodes the record values of one stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(
            stream.reading | list[stream.reading]  # type: ignore[name-defined]
        ).decode
        self._decode_one: Callable[[Any], Any] = msgspec.json.Decoder(stream.reading).decode
        self._rows: Callable[[list[Any]], list[Row]] = stream.reading.rows
        self._texts = {stream.id_field: check_id, "timestamp": parse_timestamp}
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
                check_id(row[-1])
        times = [row[1] for row in rows]
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
            check_id(row[-1])
            if not self._keys_once(piece, 1):
                self._check_repeated(piece)
        except (ValueError, RecursionError) as error:
            return Rejection(place, "invalid", one_line(error), piece, self._device_id(piece))
        if row[1] < limits.oldest:
            reason, bound = "too_old", limits.oldest
        elif row[1] > limits.newest:
            reason, bound = "in_future", limits.newest
        else:
            return row
        side = "before the oldest" if reason == "too_old" else "after the newest"
        detail = f"{format_micros(row[1])} is {side} accepted time, {format_micros(bound)}"
        return Rejection(place, reason, detail, piece, row[-1])

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


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_id(device_id: str) -> str:
    """Return a valid device id; raises ValueError saying what is wrong with it."""
    if not isinstance(device_id, str):
        raise TypeError("the id is not a string")
    if not 1 <= len(device_id) <= MAX_ID_CHARACTERS:
        raise ValueError(f"the id must have 1 to {MAX_ID_CHARACTERS} characters")
    if _CONTROL.search(device_id):
        raise ValueError("the id has a control character")
    return device_id


_MISSHAPEN = "not YYYY-MM-DDTHH:MM:SS[.fraction](Z|+hh:mm|-hh:mm)"


class _Seconds(dict[str, int]):
    """Times down to the second, as they stand in texts, to microseconds since 2000-01-01.

    Remembers so many: thousands of readings share a second.
    """

    def __missing__(self, text: str) -> int:
        if not _SECOND.fullmatch(text):
            raise ValueError(_MISSHAPEN)
        micros = to_micros(datetime.fromisoformat(text + "Z"))
        if len(self) >= MAX_CACHED_SECONDS:
            self.clear()
        self[text] = micros
        return micros


class _Rests(dict[str, int]):
    """What follows the second, a fraction and an offset, to the microseconds it adds.

    Remembers fractions down to milliseconds.
    """

    def __missing__(self, text: str) -> int:
        found = _REST.fullmatch(text)
        if not found:
            raise ValueError(_MISSHAPEN)
        fraction, sign, hours, minutes = found.group(1, 2, 3, 4)
        micros = int((fraction or "0")[:6].ljust(6, "0"))
        if sign:
            offset_us = (int(hours) * 60 + int(minutes)) * 60 * SECOND_US
            micros -= offset_us if sign == "+" else -offset_us
        if len(fraction or "") <= len("mmm"):
            if len(self) >= MAX_CACHED_RESTS:
                self.clear()
            self[text] = micros
        return micros


_SECOND = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d", re.ASCII)
_REST = re.compile(r"(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)
_seconds, _rests = _Seconds(), _Rests()


def parse_timestamp(text: str) -> int:
    """Microseconds since 2000-01-01 UTC; a finer fraction is cut. Raises ValueError."""
    try:
        return _seconds[text[:19]] + _rests[text[19:]]
    except ValueError as error:
        raise ValueError(f"timestamp {text[:40]!r}: {error}") from None


def format_micros(micros: int) -> str:
    """ISO 8601 in UTC with Z, with a fraction only where there is one."""
    try:
        return to_datetime(micros).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        return f"{micros} microseconds from 2000-01-01"
