"""Charging sessions: to start, end, correct and find them.

A meter is in one session at a time, and so is a vehicle.
"""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.database import Connection, Database
from api.http.endpoint import allows, answers
from api.http.errors import invalid_field
from api.http.inputs import path_session_id
from api.http.responses import JsonResponse, list_response
from api.session_writes import SQL, SessionWrites, one_row, one_session
from schemas.keys import Access
from schemas.sessions import (
    Cursor,
    Session,
    SessionChange,
    SessionEnd,
    SessionFilter,
    SessionPage,
    SessionStart,
    TransactionEnd,
)
from schemas.settings import Settings

NOW = SessionEnd()


class Sessions:
    """The routes below /v1/sessions."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._writes = SessionWrites(settings, database)

    @allows(Access.OPERATE)
    @answers(Session, 201, also=(200,), errors=(404, 409))
    async def start(self, request: Request, body: SessionStart) -> Response:
        """Start a session, or enter a past one.

        200 with the session as it is, when its transaction was started already; 404 unknown device;
        409 names the sessions in the way, or that of another meter or vehicle with the transaction.
        """
        session, is_new = await self._writes.start(body)
        return JsonResponse(Session.model_validate(session), 201 if is_new else 200)

    @allows(Access.OPERATE)
    @answers(Session, errors=(404, 409), path_id=UUID)
    async def end(self, request: Request, body: SessionEnd = NOW) -> Response:
        """End a session; 409 when it ended already, unless its own transaction is given."""
        session = await self._writes.end(path_session_id(request), body)
        return JsonResponse(Session.model_validate(session))

    @allows(Access.OPERATE)
    @answers(Session, errors=(404, 409))
    async def end_transaction(self, request: Request, body: TransactionEnd) -> Response:
        """End the session of a transaction; 200 when it has ended already, 404 unknown one."""
        return JsonResponse(Session.model_validate(await self._writes.end_transaction(body)))

    @allows(Access.OPERATE)
    @answers(Session, errors=(404, 409), path_id=UUID)
    async def change(self, request: Request, body: SessionChange) -> Response:
        """Correct a session; `endedAt: null` opens it again. 409 when it would overlap."""
        session = await self._writes.change(path_session_id(request), body)
        return JsonResponse(Session.model_validate(session))

    @allows(Access.READ)
    @answers(Session, errors=(404,), path_id=UUID)
    async def one(self, request: Request) -> Response:
        """A session."""
        session_id = path_session_id(request)
        async with self._database.connection() as connection:
            row = await one_session(connection, "one", session_id)
        return JsonResponse(Session.model_validate(row))

    @allows(Access.READ)
    @answers(list[Session], headers=("Link",))
    async def active(self, request: Request, query: SessionPage) -> Response:
        """Sessions that have not ended, newest first."""
        return await self._list(request, "active", query)

    @allows(Access.READ)
    @answers(list[Session], headers=("Link",))
    async def search(self, request: Request, query: SessionFilter) -> Response:
        """Sessions by device, transaction, and the window they touch; newest first."""
        return await self._list(request, "search", query)

    async def _list(self, request: Request, query: str, page: SessionPage) -> Response:
        async with self._database.connection() as connection:
            after = await _place(connection, page.after)
            parameters = page.model_dump() | after | {"limit": page.limit + 1}
            rows = await (await connection.execute(SQL[query], parameters)).fetchall()
        sessions = [Session.model_validate(row) for row in rows]
        return list_response(request, sessions, page.limit, "cursor")


async def _place(connection: Connection, after: Cursor | None) -> dict[str, Any]:
    """What the lists' statements are told of a cursor. Raises ApiError 400.

    One of release 0.1.0 is its session, wherever that is now: there has to be one.
    """
    if after is None or after.started_at is not None:
        started_at, session_id = after or (None, None)
        return {"after_start": started_at, "after_id": session_id}
    session = await one_row(connection, "one", {"session_id": after.session_id})
    if session is None:
        raise invalid_field("after", f"there is no session {after.session_id}")
    return {"after_start": session["started_at"], "after_id": session["session_id"]}
