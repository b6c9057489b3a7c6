"""Exchanges of meters and vehicles: to note, list and take back that another one took over the id.

The register of the new one goes on where it likes, so that without a note its first value looks
like a jump or a counter reset. `docs/devices.md` says what figures make of it.
"""

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.database import Connection, Database
from api.http.endpoint import allows, answers
from api.http.errors import conflict, invalid_field, not_found
from api.http.inputs import path_device_id, path_uuid
from api.http.responses import JsonResponse, list_response
from schemas.exchanges import Exchange, ExchangePage, NewExchange
from schemas.fields import device_id_of, utc_now
from schemas.keys import Access
from schemas.settings import Settings
from schemas.streams.stream import Stream
from sql.named import load

SQL = load("exchanges")


class Exchanges:
    """The routes below /v1/devices/meters/{id}/exchanges, or those of vehicles."""

    def __init__(self, stream: Stream, settings: Settings, database: Database) -> None:
        self.id_type = device_id_of(stream)
        self._stream = stream.name
        self._word = stream.name.capitalize()
        self._database = database
        self._max_skew = timedelta(seconds=settings.max_clock_skew_seconds)

    @allows(Access.OPERATE)
    @answers(Exchange, 201, errors=(404, 409), path_id="id_type")
    async def create(self, request: Request, body: NewExchange) -> Response:
        """Note an exchange; 409 when there is one at that instant. Past figures change with it."""
        device = self._device(request)
        if body.at - utc_now() > self._max_skew:
            seconds = int(self._max_skew.total_seconds())
            raise invalid_field("at", f"must not be more than {seconds} s in the future")
        async with self._database.connection() as connection:
            found = await connection.execute(SQL["create"], device | body.model_dump())
            row = await found.fetchone()
            if row is None:
                await self._check_known(connection, device)
                raise conflict(f"{self._word} {device['id']} was exchanged at that instant already")
        return JsonResponse(Exchange.model_validate(row), 201)

    @allows(Access.READ)
    @answers(list[Exchange], errors=(404,), path_id="id_type", headers=("Link",))
    async def page(self, request: Request, query: ExchangePage) -> Response:
        """A device's exchanges, oldest first."""
        device = self._device(request)
        parameters = device | {"after": query.after, "limit": query.limit + 1}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["page"], parameters)).fetchall()
            if not rows:
                await self._check_known(connection, device)
        exchanges = [Exchange.model_validate(row) for row in rows]
        return list_response(request, exchanges, query.limit, "cursor")

    @allows(Access.OPERATE)
    @answers(None, 204, errors=(404,), path_id="id_type")
    async def delete(self, request: Request) -> Response:
        """Take an exchange back. Past figures change with it."""
        device = self._device(request)
        exchange_id = path_uuid(request, "exchangeId", "Exchange")
        async with self._database.connection() as connection:
            parameters = device | {"exchange_id": exchange_id}
            if await (await connection.execute(SQL["delete"], parameters)).fetchone() is None:
                await self._check_known(connection, device)
                raise not_found("Exchange", str(exchange_id))
        return Response(status_code=204)

    def _device(self, request: Request) -> dict[str, Any]:
        return {"stream": self._stream, "id": path_device_id(request, self._word)}

    async def _check_known(self, connection: Connection, device: dict[str, Any]) -> None:
        if await (await connection.execute(SQL["is_known"], device)).fetchone() is None:
            raise not_found(self._word, device["id"])
