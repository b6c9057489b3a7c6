"""Writing charging sessions: to start, end and change them, each in a transaction of its own.

Chargers repeat themselves when the network makes them: what names a transaction may be said again
and again, and is done once. Whatever else is not to be done names the session that is in the way.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from api.database import Connection, Database
from api.http.errors import conflict, invalid_field, not_found, unavailable
from schemas.errors import InTheWay
from schemas.fields import utc_now
from schemas.sessions import SessionChange, SessionEnd, SessionStart, TransactionEnd
from schemas.settings import Settings
from sql.named import load

MAX_ATTEMPTS = 3
"""How often a session is tried to be written when transactions get in each other's way."""
GETS_IN_THE_WAY = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ExclusionViolation,
)
"""What another writer may cause; the next attempt sees what it wrote."""
SQL = load("sessions")

Row = dict[str, Any]
Written = TypeVar("Written")


class SessionWrites:
    """Writes sessions; each method raises ApiError 400, 404 or 409."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._max_skew = timedelta(seconds=settings.max_clock_skew_seconds)

    async def start(self, wanted: SessionStart) -> tuple[Row, bool]:
        """The session that was wanted, and whether it is new or its transaction was there."""
        now = utc_now()

        async def start(connection: Connection) -> tuple[Row, bool]:
            parameters = wanted.model_dump()
            meter = await one_row(connection, "lock_meter", parameters)
            vehicle = await one_row(connection, "lock_vehicle", parameters)
            if there := await _of_transaction(connection, wanted):
                return there, False
            if meter is None:
                raise not_found("Meter", wanted.meter_id)
            if vehicle is None:
                raise not_found("Vehicle", wanted.vehicle_id)
            if wanted.started_at is None:
                parameters["started_at"] = await _start_time(connection, parameters, now)
            self._check(parameters, now)
            await _check_free(connection, parameters | {"session_id": None})
            row = await one_row(connection, "start", parameters)
            assert row is not None
            return row, True

        return await self._write(start)

    async def end(self, session_id: UUID, said: SessionEnd) -> Row:
        """The session once it has ended. With its transaction that may be said again."""
        now = utc_now()

        async def end(connection: Connection) -> Row:
            session = await one_session(connection, "lock", session_id)
            if said.transaction_id not in (None, session["transaction_id"]):
                message = f"Session {session_id} is not of transaction {said.transaction_id}"
                raise conflict(message, [_in_the_way("transactionId", session_id)])
            if session["ended_at"] is not None:
                if said.transaction_id is None:
                    message = f"Session {session_id} has ended already"
                    raise conflict(message, [_in_the_way("endedAt", session_id)])
                if session["end_reason"] == "ended":
                    return session
            ended = session | {"ended_at": said.ended_at or now}
            if said.meter_stop is not None:
                ended["meter_stop"] = said.meter_stop
            self._check(ended, now)
            await _check_free(connection, ended)
            return await one_session(connection, "end", session_id, ended)

        return await self._write(end)

    async def end_transaction(self, said: TransactionEnd) -> Row:
        """The session of the transaction once it has ended, however often that is said."""
        async with self._database.connection() as connection:
            session = await one_row(connection, "of_transaction", said.model_dump())
        if session is None:
            raise not_found("Transaction", said.transaction_id)
        return await self.end(session["session_id"], said)

    async def change(self, session_id: UUID, wanted: SessionChange) -> Row:
        """The session once it is corrected; one that is opened again has no `meter_stop`."""
        changes = wanted.model_dump(exclude_unset=True)

        async def change(connection: Connection) -> Row:
            session = await one_session(connection, "lock", session_id)
            changed = session | changes
            if changed["ended_at"] is None and "meter_stop" not in changes:
                changed["meter_stop"] = None
            self._check(changed, utc_now())
            await _check_free(connection, changed)
            changed["end_given"] = "ended_at" in changes
            return await one_session(connection, "change", session_id, changed)

        return await self._write(change)

    async def _write(self, write: Callable[[Connection], Awaitable[Written]]) -> Written:
        """What `write` returns, in a transaction of its own.

        It is tried again when transactions get in each other's way. That no two deadlock is for
        `write` to see to, by locking first what sql/queries/sessions.sql says, and in that order.
        """
        for _ in range(MAX_ATTEMPTS):
            try:
                async with self._database.connection() as connection, connection.transaction():
                    return await write(connection)
            except GETS_IN_THE_WAY:
                continue
        raise unavailable("Others are writing these sessions, try again")

    def _check(self, session: Row, now: datetime) -> None:
        """Raise ApiError 400 where there can be no such session."""
        started_at, ended_at = session["started_at"], session["ended_at"]
        for field, time in (("startedAt", started_at), ("endedAt", ended_at)):
            if time is not None and time - now > self._max_skew:
                seconds = int(self._max_skew.total_seconds())
                raise invalid_field(field, f"must not be more than {seconds} s in the future")
        if ended_at is not None and ended_at < started_at:
            raise invalid_field("endedAt", "must not be before startedAt")
        if session["meter_stop"] is not None and ended_at is None:
            raise invalid_field("meterStop", "must not be given without endedAt")


async def one_row(connection: Connection, query: str, parameters: Row) -> Row | None:
    """The only row of a statement of sessions, if there is one."""
    return await (await connection.execute(SQL[query], parameters)).fetchone()


async def one_session(
    connection: Connection, query: str, session_id: UUID, parameters: Row | None = None
) -> Row:
    """The row of the session. Raises ApiError 404."""
    row = await one_row(connection, query, {**(parameters or {}), "session_id": session_id})
    if row is None:
        raise not_found("Session", str(session_id))
    return row


async def _of_transaction(connection: Connection, wanted: SessionStart) -> Row | None:
    """The session of the wanted transaction. Raises ApiError 409 if it is of other devices."""
    if wanted.transaction_id is None:
        return None
    session = await one_row(connection, "of_transaction", wanted.model_dump())
    if session is not None:
        devices = session["meter_id"], session["vehicle_id"]
        if devices != (wanted.meter_id, wanted.vehicle_id):
            message = "Transaction {} is of meter {} and vehicle {}"
            message = message.format(wanted.transaction_id, *devices)
            raise conflict(message, [_in_the_way("transactionId", session["session_id"])])
    return session


async def _start_time(connection: Connection, devices: Row, now: datetime) -> datetime:
    """When a session starts that starts now: that is cut to the whole second.

    But when either device's last session ended within that second, it is where that one ended.
    """
    second = now.replace(microsecond=0)
    row = await one_row(connection, "last_end", devices | {"second": second, "now": now})
    last_end: datetime | None = row["ended_at"] if row else None
    return max(second, last_end or second)


async def _check_free(connection: Connection, session: Row) -> None:
    """Raise ApiError 409, naming the sessions, when either device is in another one meanwhile."""
    found = await one_row(connection, "in_the_way", session)
    assert found is not None
    taken = {"meter": found["of_meter"], "vehicle": found["of_vehicle"]}
    taken = {kind: other for kind, other in taken.items() if other is not None}
    if taken:
        names = " and ".join(f"{kind} {session[f'{kind}_id']}" for kind in taken)
        are = "are" if len(taken) > 1 else "is"
        message = f"{names[0].upper()}{names[1:]} {are} in a session at that time already"
        raise conflict(message, [_in_the_way(f"{kind}Id", other) for kind, other in taken.items()])


def _in_the_way(field: str, session_id: UUID) -> InTheWay:
    return InTheWay(field=field, session_id=session_id)
