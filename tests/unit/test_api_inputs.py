"""What inputs let through: strict types, times with an offset, text PostgreSQL can store."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.analytics import WindowQuery
from schemas.devices import NewMeter
from schemas.fields import MAX_METADATA_DEPTH, parse_time
from schemas.sessions import SessionStart
from schemas.streams import METER
from schemas.streams.rejection import Rejection
from schemas.telemetry import envelope_problems, problems

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("meterId", ""),
        ("meterId", "x" * 65),
        ("meterId", "a\nb"),
        ("meterId", "a\x85b"),
        ("meterId", "\ud800"),
        ("meterId", 5),
        ("capacityKw", "22"),
        ("capacityKw", True),
        ("capacityKw", -1),
        ("capacityKw", float("inf")),
        ("capacityKw", float("nan")),
        ("location", "a\x00b"),
        ("location", "x" * 501),
        ("isActive", "yes"),
        ("isActive", None),
        ("energyReading", "both"),
        ("metadata", None),
        ("metadata", []),
        ("metadata", {"a": ["\x00"]}),
        ("metadata", {"\x00": 1}),
        ("metadata", {"a": {"b": "\udfff"}}),
        ("metadata", {"a": float("inf")}),
        ("metadata", {"a": "x" * 70_000}),
        ("metadata", nested(MAX_METADATA_DEPTH + 1)),
        ("metadata", nested(900)),
        ("unknown", 1),
    ],
)
def test_bad_fields_are_named(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        NewMeter.model_validate({"meterId": "M", field: value})
    assert [error["loc"][0] for error in caught.value.errors()] == [field]


def test_good_fields_pass() -> None:
    metadata = nested(MAX_METADATA_DEPTH)
    meter = NewMeter.model_validate(
        {"meterId": "ü/..", "capacityKw": 22, "location": None, "metadata": metadata}
    )
    assert (meter.meter_id, meter.capacity_kw, meter.metadata) == ("ü/..", 22.0, metadata)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00z",
        "2026-01-31T12:00:00+0000",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "",
        1769860800,
        None,
    ],
)
def test_times_need_an_offset_and_one_format(text: object) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


def test_a_time_is_utc() -> None:
    assert parse_time("2026-02-01T14:00:00.5+02:00") == NOW + timedelta(microseconds=500_000)


def test_the_default_window_is_the_last_day() -> None:
    assert WindowQuery().window(NOW) == (NOW - DAY, NOW)


def ask(start: datetime | None, end: datetime | None) -> WindowQuery:
    sides = {"startTime": start, "endTime": end}
    return WindowQuery.model_validate(
        {name: side.isoformat() for name, side in sides.items() if side}
    )


def test_one_side_means_a_day_beside_it() -> None:
    assert ask(NOW - 3 * DAY, None).window(NOW) == (NOW - 3 * DAY, NOW - 2 * DAY)
    assert ask(NOW - HOUR, None).window(NOW) == (NOW - HOUR, NOW)
    assert ask(None, NOW - HOUR).window(NOW) == (NOW - HOUR - DAY, NOW - HOUR)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOW, NOW),
        (NOW, NOW - HOUR),
        (NOW + HOUR, None),
        (NOW - 31 * DAY, NOW + timedelta(microseconds=1)),
        (None, datetime(1, 1, 1, tzinfo=UTC)),
        (datetime(9999, 12, 31, 23, tzinfo=UTC), None),
    ],
)
def test_bad_windows(start: datetime | None, end: datetime | None) -> None:
    with pytest.raises(ValueError):
        ask(start, end).window(NOW)


def test_the_longest_window_passes() -> None:
    assert ask(NOW - 31 * DAY, NOW).window(NOW) == (NOW - 31 * DAY, NOW)


def test_a_session_start_takes_no_other_fields() -> None:
    with pytest.raises(ValidationError):
        SessionStart.model_validate({"meterId": "M", "vehicleId": "V", "isActive": True})


def test_every_bad_field_of_a_reading_is_named() -> None:
    raw = b'{"meterId":"a\\n","kwhConsumedAc":-1,"voltage":"230","timestamp":"2026-01-31"}'
    found = problems(METER, Rejection(0, "invalid", "first", raw), "payload")
    assert [problem.field for problem in found] == [
        "payload.meterId",
        "payload.kwhConsumedAc",
        "payload.voltage",
        "payload.timestamp",
    ]


def test_missing_fields_of_an_envelope_are_named() -> None:
    found = envelope_problems(b'{"streamtype":"meter"}', "records[3]", "why")
    assert {problem.field for problem in found} == {
        "records[3].streamtype",
        "records[3].streamType",
        "records[3].payload",
    }
