"""What may become of a session event, and the words in which a rejected one is told why."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple
from uuid import UUID

from schemas.session_events import Event
from schemas.streams.times import format_micros, to_micros


class Verdict(NamedTuple):
    """What became of one event."""

    outcome: Literal["stored", "duplicate"] | None
    reason: str = ""
    """Why it is rejected, where it is: invalid, conflict or refused."""
    detail: str = ""
    session_id: UUID | None = None
    """The session that it became, or that is in its way."""
    waits: bool = False
    """Whether another event may change this."""


DUPLICATE = Verdict("duplicate")


class Told(NamedTuple):
    """A session that has a transaction."""

    session_id: UUID
    meter_id: str
    vehicle_id: str
    started_at: int
    ended_at: int | None
    timed_out: bool
    connector_id: str | None
    meter_start: float | None
    meter_stop: float | None

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> "Told":
        """The session in a row of columns of these names."""
        told = cls(*row)
        ended_at = None if row[4] is None else to_micros(row[4])
        return told._replace(started_at=to_micros(row[3]), ended_at=ended_at)

    @classmethod
    def made(cls, session_id: UUID, start: Event, end: Event | None) -> "Told":
        """The session that these events have just made."""
        assert start.meter_id
        assert start.vehicle_id
        return cls(
            session_id,
            start.meter_id,
            start.vehicle_id,
            start.time,
            end.time if end else None,
            False,
            start.connector_id,
            start.meter_kwh,
            end.meter_kwh if end else None,
        )

    def as_start(self, transaction_id: str) -> Event:
        """The event that would have started it just so."""
        return Event(
            self.meter_start,
            self.started_at,
            "start",
            transaction_id,
            self.connector_id,
            self.vehicle_id,
            self.meter_id,
        )


def rows_of_events(rows: Iterable[tuple[Any, ...]]) -> Iterable[tuple[tuple[Any, ...], Event]]:
    """What stands in each row before the columns of an event, and the event."""
    for *before, time, kwh, transaction, name, meter_id, vehicle_id, connector_id in rows:
        event = Event(kwh, to_micros(time), name, transaction, connector_id, vehicle_id, meter_id)
        yield tuple(before), event


def compared(event: Event, stored: Event, told: Told | None) -> Verdict:
    """A duplicate of what is stored, or a conflict with it."""
    if event == stored:
        return DUPLICATE
    names = {
        "meter": stored.meter_id,
        "vehicle": stored.vehicle_id,
        "connector": stored.connector_id,
        "kWh": stored.meter_kwh,
    }
    said = "".join(f", {name} {value}" for name, value in names.items() if value is not None)
    session = f"session {told.session_id} " if told else ""
    did = "started" if event.name == "start" else "ended"
    if told and event.name == "end" and told.ended_at is None:
        ended = f"was told to end at {format_micros(stored.time)}, and was opened again since"
        return rejected(event, "conflict", f"{session}{ended}: end it over HTTP")
    why = f"{session}{did} already at {format_micros(stored.time)}{said}"
    return rejected(event, "conflict", why)


def swallowed(event: Event) -> Verdict:
    """Nothing was stored, and nothing said."""
    why = "charging_sessions did not keep it: a trigger or a rule swallowed it"
    return rejected(event, "refused", why)


def rejected(event: Event, reason: str, why: str) -> Verdict:
    """The event is rejected for this reason."""
    return Verdict(None, reason, f"transaction {event.transaction_id}: {why}")
