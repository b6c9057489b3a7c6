"""What a session event is, and what is none: by the rules of readings."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.session_events import SESSION_EVENTS, Event, EventDecoder, event_of
from schemas.streams.rescue import Rescue, as_sent
from schemas.streams.times import SECOND_US, clock_limits, to_micros

AT = "2026-01-31T12:00:00Z"
TIME = to_micros(datetime(2026, 1, 31, 12, tzinfo=UTC))
NOW = datetime(2026, 2, 1, tzinfo=UTC)
LIMITS = clock_limits(NOW, max_age_days=730, retention_days=0, max_skew_seconds=0)
DECODER = EventDecoder()
START = {"event": "start", "transactionId": "T", "meterId": "M", "vehicleId": "V", "timestamp": AT}
END = {"event": "end", "transactionId": "T", "timestamp": AT}


def decoded(value: bytes | None) -> tuple[list[Event], list[tuple[int | None, str, str]]]:
    """The events of a record, and what of it is rejected: place, reason and detail."""
    rows, _, rejections = DECODER.decode(value, LIMITS)
    return [event_of(row) for row in rows], [one[:3] for one in rejections]


def text_of(**changes: Any) -> bytes:
    """A start with these values."""
    return json.dumps(START | changes).encode()


def test_a_start_and_an_end_alone_and_in_an_array() -> None:
    start = Event(None, TIME, "start", "T", None, "V", "M")
    end = Event(None, TIME, "end", "T", None, None, None)
    assert decoded(text_of(more=[1])) == ([start], [])
    both = json.dumps([END | {"meterId": 5}, START, END | {"meterStop": 7}]).encode()
    assert decoded(both) == ([end, start, end._replace(meter_kwh=7.0)], [])
    said = text_of(meterStart=-0.0, connectorId=1)
    ((event,), _) = decoded(said)
    assert event == start._replace(meter_kwh=0.0, connector_id="1")
    assert str(event.meter_kwh) == "0.0"
    assert decoded(text_of(meterStart=None, connectorId=None)) == ([start], [])


def test_repeated_keys_are_each_valid_and_the_last_counts() -> None:
    twice = (
        b'{"event": "start", "timestamp": "2026-01-31T11:00:00Z",' + json.dumps(END)[1:].encode()
    )
    assert decoded(twice)[0] == [Event(None, TIME, "end", "T", None, None, None)]
    bad = twice.replace(b"11:00", b"25:00")
    assert decoded(bad)[1][0][1] == "invalid"


@pytest.mark.parametrize(
    ("value", "reason", "says"),
    [
        (None, "malformed", "tombstone"),
        (b"[]", "malformed", "empty array"),
        (b"\xff", "malformed", "UTF-8"),
        (b"null", "invalid", "Expected `object`"),
        (text_of(event="stop"), "invalid", "$.event"),
        (json.dumps({**END, "event": "start"}).encode(), "invalid", "meterId"),
        (text_of(transactionId=""), "invalid", "$.transactionId"),
        (text_of(transactionId="x" * 65), "invalid", "$.transactionId"),
        (text_of(meterId="a\x00"), "invalid", "control character"),
        (text_of(connectorId=-1), "invalid", "connectorId"),
        (text_of(connectorId=10**70), "invalid", ""),
        (text_of(meterStart="1"), "invalid", "$.meterStart"),
        (text_of(meterStart=-1), "invalid", "$.meterStart"),
        (text_of(meterStart=1).replace(b": 1", b": 1e999"), "invalid", "out of range"),
        (text_of(timestamp="2026-01-31T12:00:00"), "invalid", "timestamp"),
        (text_of(timestamp="2023-01-31T12:00:00Z"), "too_old", "before the oldest"),
        (text_of(timestamp="2026-02-02T12:00:00Z"), "in_future", "after the newest"),
    ],
)
def test_what_is_no_event_is_rejected_with_a_reason(
    value: bytes | None, reason: str, says: str
) -> None:
    events, ((_, found, detail),) = decoded(value)
    assert (events, found) == ([], reason)
    assert says in detail


def test_a_bad_event_is_rejected_by_itself_with_its_device() -> None:
    rows, places, (rejection,) = DECODER.decode(
        json.dumps([START | {"meterStart": True}, END]).encode(), LIMITS
    )
    assert (len(rows), places) == (1, [1])
    assert (rejection.place, rejection.device_id, rejection.time) == (0, "M", TIME)


def test_an_event_can_be_rescued_and_shown() -> None:
    rescue = Rescue(values={"vehicleId": b'"W"'}, unit="Wh", shift_us=60 * SECOND_US)
    changed = rescue.apply(SESSION_EVENTS, text_of(meterStart=1500, connectorId=2))
    (row,), _, _ = DECODER.decode(changed, LIMITS)
    assert json.loads(as_sent(SESSION_EVENTS.payload(row))) == {
        **START,
        "vehicleId": "W",
        "meterStart": 1.5,
        "connectorId": "2",
        "timestamp": "2026-01-31T12:01:00Z",
    }
    ended = Rescue(unit="Wh").apply(SESSION_EVENTS, json.dumps(END | {"meterStop": 2}).encode())
    assert json.loads(ended)["meterStop"] == 0.002
