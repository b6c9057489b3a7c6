"""What one session event does to the sessions there are: stored, a duplicate, or why it is neither.

Works on what a transaction has locked and read; `sql/session_events.py` says which events, and in
which order.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from psycopg import errors

from schemas.session_events import Event
from schemas.streams.times import format_micros, to_micros
from sql.connect import Connection
from sql.errors import RowsRefusedError
from sql.event_verdicts import Told, Verdict, compared, rejected, rows_of_events, swallowed
from sql.named import load
from sql.store import carrying_rows

QUERIES = load("session_events")


class ToldSessions:
    """The sessions of some transactions, and their devices, locked until the transaction ends."""

    def __init__(self, connection: Connection, events: Iterable[Event], *, careful: bool) -> None:
        """`careful`: an event that PostgreSQL refuses is rejected; else RowsRefusedError ends all.

        Raises SerializationFailure when a session has just got one of the transactions.
        """
        events = list(events)
        self._connection = connection
        self._careful = careful
        self._transactions = sorted({event.transaction_id for event in events})
        meters = {event.meter_id for event in events if event.meter_id}
        vehicles = {event.vehicle_id for event in events if event.vehicle_id}
        known = self._read().values()
        meters |= {told.meter_id for told in known}
        vehicles |= {told.vehicle_id for told in known}
        self._meters = self._lock("lock_meters", meters)
        self._vehicles = self._lock("lock_vehicles", vehicles)
        self._told = self._read()
        for told in self._told.values():
            if told.meter_id not in self._meters or told.vehicle_id not in self._vehicles:
                raise errors.SerializationFailure(f"session {told.session_id} came in between")
        self._open: dict[tuple[str, str], Told] = {}
        """By meter and by vehicle, the session that is known to have no end yet."""
        for told in self._told.values():
            self._keep_open(told)
        self._events = {
            (event.transaction_id, event.name): event
            for _, event in rows_of_events(self._ask("stored"))
        }

    def start(self, event: Event, end: Event | None) -> Verdict:
        """Start a session; with `end` it ends at once, and that event is stored, too."""
        transaction, told = event.transaction_id, self._told.get(event.transaction_id)
        if stored := self._events.get((transaction, "start")):
            return compared(event, stored, told)
        if told:
            return compared(event, told.as_start(transaction), told)
        if unknown := self._unknown(event):
            return rejected(event, "invalid", f"{unknown} is not registered")
        if other := self._open_in_the_way(event, end):
            return _blocked(event, *other)
        values = event._asdict() | {
            "first": event.time,
            "past": end.time if end else None,
            "meter_start": event.meter_kwh,
            "meter_stop": end.meter_kwh if end else None,
            "session_id": None,
        }
        session_id = self._write("start", values)
        if isinstance(session_id, RowsRefusedError):
            return rejected(event, "refused", session_id.detail)
        if session_id is None:
            return self._in_the_way(event, values)
        self._told[transaction] = Told.made(session_id, event, end)
        self._keep_open(self._told[transaction])
        self._events[transaction, "start"] = event
        if end:
            self._events[transaction, "end"] = end
        return Verdict("stored", session_id=session_id)

    def end(self, event: Event) -> Verdict:
        """End a session, also one that was ended as idle."""
        told = self._told.get(event.transaction_id)
        if stored := self._events.get((event.transaction_id, "end")):
            return compared(event, stored, told)
        if told is None:
            why = "no start with this transactionId is known yet"
            return rejected(event, "invalid", why)._replace(waits=True)
        if told.ended_at is not None and not told.timed_out:
            same = event._replace(meter_kwh=told.meter_stop, time=told.ended_at)
            return compared(event, same, told)
        if event.time < told.started_at:
            why = f"it lies before the start of session {told.session_id}"
            return rejected(event, "invalid", f"{why}, {format_micros(told.started_at)}")
        values = {**told._asdict(), "first": told.started_at, "past": event.time}
        if told.timed_out and self._first_in_the_way(values):
            return self._in_the_way(event, values)
        values |= {"meter_stop": event.meter_kwh, "transaction_id": event.transaction_id}
        session_id = self._write("end", values)
        if isinstance(session_id, RowsRefusedError):
            return rejected(event, "refused", session_id.detail)
        if session_id is None:
            return swallowed(event)
        self._told[event.transaction_id] = told._replace(ended_at=event.time, timed_out=False)
        for device in _devices(told):
            if (still := self._open.get(device)) and still.session_id == told.session_id:
                del self._open[device]
        self._events[event.transaction_id, "end"] = event
        return Verdict("stored", session_id=session_id)

    def _unknown(self, event: Event) -> str | None:
        """The device of a start that is not registered."""
        if event.meter_id not in self._meters:
            return f"meter {event.meter_id}"
        return None if event.vehicle_id in self._vehicles else f"vehicle {event.vehicle_id}"

    def _keep_open(self, told: Told) -> None:
        if told.ended_at is None:
            self._open |= dict.fromkeys(_devices(told), told)

    def _open_in_the_way(self, start: Event, end: Event | None) -> tuple[str, UUID, int] | None:
        """The open session that a start cannot pass: found without asking, for many may wait."""
        for kind, device_id in (("meter", start.meter_id), ("vehicle", start.vehicle_id)):
            other = self._open.get((kind, device_id or ""))
            if other and (end is None or end.time > max(start.time, other.started_at)):
                return f"{kind} {device_id}", other.session_id, other.started_at
        return None

    def _in_the_way(self, event: Event, values: dict[str, Any]) -> Verdict:
        """Why the session of `values` cannot be: another one is there."""
        found = self._first_in_the_way(values)
        if found is None:
            return self._taken(event)
        session_id, meter_id, started_at, _ = found
        kind = "meter" if meter_id == values["meter_id"] else "vehicle"
        return _blocked(event, f"{kind} {values[f'{kind}_id']}", session_id, to_micros(started_at))

    def _first_in_the_way(self, values: dict[str, Any]) -> tuple[Any, ...] | None:
        return self._connection.execute(QUERIES["in_the_way"], values).fetchone()

    def _taken(self, event: Event) -> Verdict:
        """Nothing is in the way in time: the transaction is another session's, or it vanished."""
        if event.transaction_id in self._read():
            raise errors.SerializationFailure(f"transaction {event.transaction_id} came in between")
        return swallowed(event)

    def _read(self) -> dict[str, Told]:
        return {row[0]: Told.of_row(row[1:]) for row in self._ask("sessions")}

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        names = {"transactions": self._transactions}
        return self._connection.execute(QUERIES[query], names).fetchall()

    def _lock(self, query: str, ids: Iterable[str]) -> set[str]:
        rows = self._connection.execute(QUERIES[query], {"ids": sorted(ids)})
        return {device_id for (device_id,) in rows}

    def _write(self, query: str, values: dict[str, Any]) -> UUID | RowsRefusedError | None:
        """The session that was written; None when none was. Raises RowsRefusedError."""
        if not self._careful:
            return self._execute(query, values)
        try:
            with self._connection.transaction():
                return self._execute(query, values)
        except RowsRefusedError as refused:
            return refused

    def _execute(self, query: str, values: dict[str, Any]) -> UUID | None:
        with carrying_rows():
            row = self._connection.execute(QUERIES[query], values).fetchone()
        return row[0] if row else None


def _devices(told: Told) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("meter", told.meter_id), ("vehicle", told.vehicle_id)


def _blocked(event: Event, device: str, session_id: UUID, since: int) -> Verdict:
    """The event waits for the end of that session."""
    why = f"{device} is in session {session_id} from {format_micros(since)} on"
    return rejected(event, "conflict", why)._replace(session_id=session_id, waits=True)
