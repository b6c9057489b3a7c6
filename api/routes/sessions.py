"""Charging sessions: to start, end, correct and find them.

A meter is in one session at a time, and so is a vehicle.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from api.database import Connection, Database
from api.http.endpoint import allows, answers
from api.http.errors import ApiError, conflict, invalid_field, not_found
from api.http.inputs import path_session_id
from api.http.responses import JsonResponse, list_response
from schemas.fields import utc_now
from schemas.keys import Access
from schemas.sessions import (
    Cursor,
    Session,
    SessionChange,
    SessionEnd,
    SessionFilter,
    SessionPage,
    SessionStart,
)
from schemas.settings import Settings
from sql.named import load

MAX_ATTEMPTS = 3
"""How often a session is tried to be written when a deadlock or serialization failure comes up."""
NOW = SessionEnd()
SQL = load("sessions")

Row = dict[str, Any]


class Sessions:
    """The routes below /v1/sessions."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._max_skew = timedelta(seconds=settings.max_clock_skew_seconds)

    @allows(Access.OPERATE)
    @answers(Session, 201, errors=(404, 409))
    async def start(self, request: Request, body: SessionStart) -> Response:
        """Start a session, or enter a past one; 404 unknown device, 409 either one is taken."""
        now = utc_now()
        self._check_times(body.started_at or now.replace(microsecond=0), body.ended_at, now)

        async def insert(connection: Connection) -> Row:
            return await _insert(connection, body, now)

        return JsonResponse(Session.model_validate(await self._write(insert)), 201)

    @allows(Access.OPERATE)
    @answers(Session, errors=(404, 409), path_id=UUID)
    async def end(self, request: Request, body: SessionEnd = NOW) -> Response:
        """End a session; 409 when it ended already."""
        session_id = path_session_id(request)
        now = utc_now()
        ended_at = body.ended_at or now
        self._check_not_ahead("endedAt", ended_at, now)

        async def end(connection: Connection) -> Row:
            session = await _one(connection, "lock", session_id)
            if session["ended_at"] is not None:
                raise conflict(f"Session {session_id} has ended already")
            if ended_at < session["started_at"]:
                raise invalid_field("endedAt", "must not be before the session's startedAt")
            return await _one(connection, "end", session_id, ended_at=ended_at)

        return JsonResponse(Session.model_validate(await self._write(end)))

    @allows(Access.OPERATE)
    @answers(Session, errors=(404, 409), path_id=UUID)
    async def change(self, request: Request, body: SessionChange) -> Response:
        """Correct a session's times; `endedAt: null` opens it again. 409 when it would overlap."""
        session_id = path_session_id(request)
        changes = body.model_dump(exclude_unset=True)

        async def change(connection: Connection) -> Row:
            session = await _one(connection, "lock", session_id)
            times = {name: session[name] for name in ("started_at", "ended_at")} | changes
            self._check_times(times["started_at"], times["ended_at"], utc_now())
            times["end_given"] = "ended_at" in changes
            try:
                return await _one(connection, "change", session_id, **times)
            except psycopg.errors.ExclusionViolation as error:
                raise _taken(session["meter_id"], session["vehicle_id"], error) from None

        return JsonResponse(Session.model_validate(await self._write(change)))

    @allows(Access.READ)
    @answers(Session, errors=(404,), path_id=UUID)
    async def one(self, request: Request) -> Response:
        """A session."""
        session_id = path_session_id(request)
        async with self._database.connection() as connection:
            row = await _one(connection, "one", session_id)
        return JsonResponse(Session.model_validate(row))

    @allows(Access.READ)
    @answers(list[Session], headers=("Link",))
    async def active(self, request: Request, query: SessionPage) -> Response:
        """Sessions that have not ended, newest first."""
        return await self._list(request, "active", query)

    @allows(Access.READ)
    @answers(list[Session], headers=("Link",))
    async def search(self, request: Request, query: SessionFilter) -> Response:
        """Sessions by device, and by the window they touch; newest first."""
        return await self._list(request, "search", query)

    async def _list(self, request: Request, query: str, page: SessionPage) -> Response:
        async with self._database.connection() as connection:
            after = await _place(connection, page.after)
            parameters = page.model_dump() | after | {"limit": page.limit + 1}
            rows = await (await connection.execute(SQL[query], parameters)).fetchall()
        sessions = [Session.model_validate(row) for row in rows]
        return list_response(request, sessions, page.limit, "cursor")

    async def _write(self, write: Callable[[Connection], Awaitable[Row]]) -> Row:
        """The row that `write` returns, in a transaction of its own.

        It is tried again when transactions get in each other's way. That no two deadlock is for
        `write` to see to, by locking first what sql/queries/sessions.sql says, and in that order.
        """
        attempts_left = MAX_ATTEMPTS
        while True:
            attempts_left -= 1
            try:
                async with self._database.connection() as connection, connection.transaction():
                    return await write(connection)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if not attempts_left:
                    raise

    def _check_times(self, started_at: datetime, ended_at: datetime | None, now: datetime) -> None:
        self._check_not_ahead("startedAt", started_at, now)
        if ended_at is not None:
            self._check_not_ahead("endedAt", ended_at, now)
        _check_order(started_at, ended_at)

    def _check_not_ahead(self, field: str, time: datetime, now: datetime) -> None:
        if time - now > self._max_skew:
            seconds = int(self._max_skew.total_seconds())
            raise invalid_field(field, f"must not be more than {seconds} s in the future")


def _check_order(started_at: datetime, ended_at: datetime | None) -> None:
    if ended_at is not None and ended_at < started_at:
        raise invalid_field("endedAt", "must not be before startedAt")


async def _insert(connection: Connection, wanted: SessionStart, now: datetime) -> Row:
    """Lock the meter, then the vehicle, and insert. Runs in the caller's transaction.

    Without `started_at` the session starts now, cut to the whole second; but when either device's
    last session ended within that second, it starts where that one ended. Raises ApiError 400 when
    `ended_at` is before that, and 404 for an unknown device.
    """
    parameters = wanted.model_dump()
    if await (await connection.execute(SQL["lock_meter"], parameters)).fetchone() is None:
        raise not_found("Meter", wanted.meter_id)
    if await (await connection.execute(SQL["lock_vehicle"], parameters)).fetchone() is None:
        raise not_found("Vehicle", wanted.vehicle_id)
    if wanted.started_at is None:
        second = now.replace(microsecond=0)
        recent = parameters | {"second": second, "now": now}
        row = await (await connection.execute(SQL["last_end"], recent)).fetchone()
        last_end = row["ended_at"] if row else None
        parameters["started_at"] = max(second, last_end or second)
        _check_order(parameters["started_at"], wanted.ended_at)
    try:
        row = await (await connection.execute(SQL["start"], parameters)).fetchone()
    except psycopg.errors.ExclusionViolation as error:
        raise _taken(wanted.meter_id, wanted.vehicle_id, error) from None
    assert row is not None
    return row


async def _place(connection: Connection, after: Cursor | None) -> Row:
    """What the lists' statements are told of a cursor. Raises ApiError 400.

    One of release 0.1.0 is its session, wherever that is now: there has to be one.
    """
    if after is None or after.started_at is not None:
        started_at, session_id = after or (None, None)
        return {"after_start": started_at, "after_id": session_id}
    found = await connection.execute(SQL["one"], {"session_id": after.session_id})
    session = await found.fetchone()
    if session is None:
        raise invalid_field("after", f"there is no session {after.session_id}")
    return {"after_start": session["started_at"], "after_id": session["session_id"]}


async def _one(connection: Connection, query: str, session_id: UUID, **parameters: Any) -> Row:
    parameters["session_id"] = session_id
    row = await (await connection.execute(SQL[query], parameters)).fetchone()
    if row is None:
        raise not_found("Session", str(session_id))
    return row


def _taken(meter_id: str, vehicle_id: str, error: psycopg.errors.ExclusionViolation) -> ApiError:
    one_meter = error.diag.constraint_name == "one_session_a_meter"
    device = f"Meter {meter_id}" if one_meter else f"Vehicle {vehicle_id}"
    return conflict(f"{device} is in a session at that time already")
