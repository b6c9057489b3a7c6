"""Corrections as the HTTP API takes and gives them, and the readings that they bring in.

These are decoded as all readings are, but what a reading may be stored without may be missing.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from schemas.errors import Problem, problem
from schemas.fields import DEFAULT_PAGE, DeviceId, Input, Output, PageLimit, Query, Time
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.rejection import REPAIRED
from schemas.streams.stream import TIME, TIMESTAMP, Row, Stream
from schemas.streams.times import ClockLimits, format_micros, to_micros
from schemas.telemetry import problems
from schemas.text import storable

MAX_READINGS = 10_000
"""In one correction."""
MAX_REASON_CHARACTERS = 1_000
MAX_SHIFT_S = 100 * 366 * 86_400
MAX_NUMBER = 2**63 - 1
SECOND_US = 1_000_000
DECODERS = {s.name: Decoder(s, salvage=s.expendable) for s in (METER, VEHICLE)}
"""Of the streams whose readings can be corrected."""

Action = Literal["void", "replace", "shift", "add"]
CorrectedType = Literal["meter", "vehicle"]
Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_REASON_CHARACTERS,
        pattern=r"\S",
        examples=["The clock of the meter was an hour late"],
    ),
    AfterValidator(storable),
]
Readings = list[dict[str, Any]]
GivenReadings = Annotated[Readings, Field(min_length=1, max_length=MAX_READINGS)]
Shift = Annotated[float, Field(ge=-MAX_SHIFT_S, le=MAX_SHIFT_S, allow_inf_nan=False)]
StoredReadings = list[dict[str, Any]]
"""Readings by the columns of their table, without the device."""


class NewCorrection(Input):
    """What a device should have sent in `[startTime, endTime)`, and why."""

    device_id: DeviceId
    stream_type: CorrectedType
    start_time: Time
    end_time: Time
    action: Action
    """`void` takes its readings out, `replace` has others in their place, `shift` moves them, `add`
    brings others in beside them."""
    readings: Annotated[GivenReadings | None, Field(examples=[None])] = None
    """Of `replace` and `add`: readings as history shows them, with times in the window. Only time
    and energy are needed."""
    shift_seconds: Annotated[Shift | None, Field(examples=[None])] = None
    """Of `shift`: by how much, to the microsecond; not 0."""
    reason: Reason

    @field_validator("end_time")
    @classmethod
    def _in_order(cls, end: datetime, info: ValidationInfo) -> datetime:
        if end <= info.data.get("start_time", end.min.replace(tzinfo=end.tzinfo)):
            raise ValueError("must be after startTime")
        return end

    @property
    def shift_us(self) -> int | None:
        """The shift in microseconds."""
        return None if self.shift_seconds is None else round(self.shift_seconds * SECOND_US)

    @property
    def stream(self) -> Stream:
        """That of the device."""
        return STREAMS[self.stream_type]


class Correction(Output):
    """A correction, and who made it; of one that was undone, when and by whom."""

    correction_id: UUID
    device_id: str
    stream_type: CorrectedType
    start_time: datetime
    end_time: datetime
    action: Action
    shift_seconds: Annotated[float | None, Field(examples=[None])]
    readings: Annotated[Readings | None, Field(examples=[None])]
    reason: Reason
    made_by: str
    created_at: datetime
    undone_at: Annotated[datetime | None, Field(examples=[None])]
    undone_by: Annotated[str | None, Field(examples=[None])]

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """Made of a row of `corrections`, with the shift in microseconds."""
        stream = STREAMS[row["stream_type"]]
        columns = {field.name: field.column for field in stream.fields} | {TIMESTAMP: TIMESTAMP}
        shown = row["readings"] and [
            {stream.id_field: row["device_id"]}
            | {name: reading[column] for name, column in columns.items()}
            for reading in row["readings"]
        ]
        shift = row["shift_us"]
        seconds = None if shift is None else shift / SECOND_US
        return cls.model_validate(row | {"readings": shown, "shift_seconds": seconds})


class CorrectionPage(Query):
    """At most `limit` corrections that match all filters given, in the order of their making."""

    device_id: DeviceId | None = None
    stream_type: CorrectedType | None = None
    undone: bool = False
    """Those that were undone, too."""
    limit: PageLimit = DEFAULT_PAGE
    after: Annotated[int, Field(ge=0, le=MAX_NUMBER)] | None = None
    """The place of the last one on the page before."""


def given_readings(
    new: NewCorrection, limits: ClockLimits
) -> tuple[StoredReadings | None, list[Problem]]:
    """The readings that a correction brings in, and what is wrong with what was given."""
    found = [*_needless_and_missing(new)]
    if found or new.readings is None:
        return None, found
    stream, own_id = new.stream, {new.stream.id_field: new.device_id}
    for place, given in enumerate(new.readings):
        if given.get(stream.id_field, new.device_id) != new.device_id:
            found.append(_of(place, stream.id_field, "must be deviceId"))
    given_to_all = orjson.dumps([own_id | given for given in new.readings])
    rows, places, rejections = DECODERS[stream.name].decode(given_to_all, limits)
    for rejection in rejections:
        assert rejection.place is not None
        given, field = new.readings[rejection.place], _field(rejection.place)
        spared = {f"{field}.{name}" for name in stream.expendable if given.get(name) is None}
        if rejection.reason == REPAIRED:
            rejection = rejection._replace(reason="invalid")
        found += [one for one in problems(stream, rejection, field) if one.field not in spared]
    found += _misplaced(new, rows, range(len(rows)) if places is None else places)
    columns = stream.row_columns[:-1]
    stored = [
        dict(zip(columns, row, strict=False)) | {TIMESTAMP: format_micros(row[TIME])}
        for row in rows
    ]
    return stored, found


def _needless_and_missing(new: NewCorrection) -> Iterator[Problem]:
    for name, value, actions in (
        ("readings", new.readings, ("replace", "add")),
        ("shiftSeconds", new.shift_seconds, ("shift",)),
    ):
        if new.action in actions and value is None:
            yield problem(name, f"is needed to {new.action}")
        elif new.action not in actions and value is not None:
            yield problem(name, f"must not be given to {new.action}")
    if new.shift_us == 0:
        yield problem("shiftSeconds", "must not be 0")


def _misplaced(new: NewCorrection, rows: list[Row], places: Iterable[int]) -> Iterator[Problem]:
    """What is wrong with the times of readings that are valid by themselves."""
    first, past = to_micros(new.start_time), to_micros(new.end_time)
    seen: dict[int, int] = {}
    for row, place in zip(rows, places, strict=True):
        if not first <= row[TIME] < past:
            yield _of(place, TIMESTAMP, "must lie in [startTime, endTime)")
        elif (other := seen.setdefault(row[TIME], place)) != place:
            yield _of(place, TIMESTAMP, f"is that of {_field(other)}, too")


def _field(place: int) -> str:
    return f"readings.{place}"


def _of(place: int, name: str, message: str) -> Problem:
    return problem(f"{_field(place)}.{name}", message)
