"""Alerts of the figures: to find them, and to say that somebody looks after one."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.alerts.life import SQL, acknowledge
from api.database import Connection, Database
from api.http.callers import name_of_caller
from api.http.endpoint import allows, answers
from api.http.errors import conflict, not_found
from api.http.inputs import path_uuid
from api.http.responses import JsonResponse, next_page
from schemas.alerts import Acknowledgement, AlertPage, RaisedAlert
from schemas.fields import utc_now
from schemas.keys import Access

WHAT = "Alert"
NOTHING_SAID = Acknowledgement()


class Alerts:
    """The routes below /v1/alerts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @allows(Access.READ)
    @answers(list[RaisedAlert], headers=("Link",))
    async def page(self, request: Request, query: AlertPage) -> Response:
        """Alerts, the newest first."""
        parameters = query.model_dump() | {"limit": query.limit + 1}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["page"], parameters)).fetchall()
        shown = rows[: query.limit]
        headers = next_page(request, after=shown[-1]["number"]) if len(rows) > len(shown) else None
        return JsonResponse([RaisedAlert.of_row(row) for row in shown], headers=headers)

    @allows(Access.READ)
    @answers(RaisedAlert, errors=(404,), path_id=UUID)
    async def one(self, request: Request) -> Response:
        """An alert."""
        alert_id = path_uuid(request, "id", WHAT)
        async with self._database.connection() as connection:
            row = await _one(connection, alert_id)
        return JsonResponse(RaisedAlert.of_row(row))

    @allows(Access.OPERATE)
    @answers(RaisedAlert, errors=(404, 409), path_id=UUID)
    async def acknowledge(self, request: Request, body: Acknowledgement = NOTHING_SAID) -> Response:
        """Say that somebody looks after it; again with another note. 409 once it is resolved."""
        alert_id = path_uuid(request, "id", WHAT)
        who = name_of_caller(request)
        async with self._database.connection() as connection, connection.transaction():
            row = await acknowledge(connection, alert_id, who, body.note, utc_now())
            if row is None:
                await _one(connection, alert_id)
                raise conflict(f"Alert {alert_id} is resolved already")
        return JsonResponse(RaisedAlert.of_row(row))


async def _one(connection: Connection, alert_id: UUID) -> dict[str, Any]:
    row = await (await connection.execute(SQL["one"], {"alert_id": alert_id})).fetchone()
    if row is None:
        raise not_found(WHAT, str(alert_id))
    return row
