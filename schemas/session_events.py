"""Session events: how chargers say over Kafka that a session starts or ends.

An event is taken out of a record by the rules for readings, and travels through a worker as a
reading's row does: its time and its device stand where a row has them.
"""

from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec

from schemas.streams.record_decoder import Checks, RecordDecoder, check_repeated
from schemas.streams.rejection import Rejection
from schemas.streams.stream import TIMESTAMP, Row
from schemas.streams.times import ClockLimits, parse_timestamp
from schemas.text import MAX_ID_CHARACTERS, check_id

EventName = Literal["start", "end"]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]
Connector = Id | Annotated[int, msgspec.Meta(ge=0)]
"""A number becomes text."""
Kwh = Annotated[float, msgspec.Meta(ge=0)]


class Event(NamedTuple):
    """What a charger says of one session. An end knows its session by the transaction alone."""

    meter_kwh: float | None
    """What the charger's register shows: meterStart or meterStop."""
    time: int
    """Microseconds since 2000-01-01 UTC."""
    name: EventName
    transaction_id: str
    connector_id: str | None
    vehicle_id: str | None
    meter_id: str | None


class SessionEvents:
    """The kind of what the topic of session events carries."""

    name = "session"
    id_field = "meterId"
    json_names = (
        "event",
        "transactionId",
        "meterId",
        "vehicleId",
        "connectorId",
        "meterStart",
        "meterStop",
        TIMESTAMP,
    )
    energy_names = ("meterStart", "meterStop")
    droppable_names = ("connectorId", "meterStart", "meterStop")

    def payload(self, row: Row) -> dict[str, Any]:
        """An event as sent in JSON, but for its time: microseconds."""
        event = event_of(row)
        shown: dict[str, Any] = {"event": event.name, "transactionId": event.transaction_id}
        if event.name == "start":
            shown |= {"meterId": event.meter_id, "vehicleId": event.vehicle_id}
        optional = {
            "connectorId": event.connector_id,
            "meterStart" if event.name == "start" else "meterStop": event.meter_kwh,
        }
        shown |= {name: value for name, value in optional.items() if value is not None}
        return shown | {TIMESTAMP: event.time}


SESSION_EVENTS = SessionEvents()


class _AnyEvent(msgspec.Struct, gc=False):
    """What tells the two apart."""

    event: EventName


class SessionStart(msgspec.Struct, gc=False, rename="camel"):
    """That a session starts."""

    transaction_id: Id
    meter_id: Id
    vehicle_id: Id
    timestamp: str
    connector_id: Connector | None = None
    meter_start: Kwh | None = None


class SessionEnd(msgspec.Struct, gc=False, rename="camel"):
    """That a session ends."""

    transaction_id: Id
    timestamp: str
    meter_stop: Kwh | None = None


EVENT_TYPES: dict[EventName, type[msgspec.Struct]] = {"start": SessionStart, "end": SessionEnd}
"""What each is made of beside its `event`."""
_SHORTEST = len(b'{"event":"end","transactionId":"T","timestamp":"2000-01-01T00:00:00Z"}')
_TEXTS: dict[EventName, Checks] = {
    "start": {
        **dict.fromkeys(("transactionId", "meterId", "vehicleId"), check_id),
        "connectorId": lambda connector: check_id(str(connector)),
        TIMESTAMP: parse_timestamp,
    },
    "end": {"transactionId": check_id, TIMESTAMP: parse_timestamp},
}


class EventDecoder(RecordDecoder):
    """Decodes the records of session events."""

    def __init__(self) -> None:
        super().__init__(SESSION_EVENTS, _SHORTEST)
        self._name_of = msgspec.json.Decoder(_AnyEvent).decode
        self._start = msgspec.json.Decoder(SessionStart).decode
        self._end = msgspec.json.Decoder(SessionEnd).decode

    def read_piece(
        self, piece: bytes, limits: ClockLimits, place: int
    ) -> tuple[Row | None, Rejection | None]:
        """Decode one event that is known to be well-formed JSON: a row, or a rejection."""
        try:
            event = self._event(piece)
        except (ValueError, RecursionError) as error:
            return None, self._invalid(place, error, piece)
        row = cast("Row", event)
        untimely = self._untimely(place, row, piece, limits)
        return (None, untimely) if untimely else (row, None)

    def _event(self, piece: bytes) -> Event:
        name = self._name_of(piece).event
        if name == "start":
            start = self._start(piece)
            event = Event(
                _number(start.meter_start),
                parse_timestamp(start.timestamp),
                name,
                start.transaction_id,
                None if start.connector_id is None else check_id(str(start.connector_id)),
                start.vehicle_id,
                start.meter_id,
            )
        else:
            end = self._end(piece)
            time = parse_timestamp(end.timestamp)
            event = Event(_number(end.meter_stop), time, name, end.transaction_id, None, None, None)
        check_repeated(piece, _TEXTS[name])
        return event


def event_of(row: Row) -> Event:
    """The event that travelled as a row."""
    return cast("Event", row)


def _number(value: float | None) -> float | None:
    """The number, a -0 as 0."""
    return None if value is None else value + 0.0
